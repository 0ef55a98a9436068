/**
 * Steps by operations of TensorFlow.js, on the device, for backends whose memory the kernels cannot reach: the rule of
 * include/rmsprop.h, equal to rounding. Nothing is read back, but by `read`, when the state moves to another backend.
 */
import { constants } from './engine.js';

/** @typedef {import('./tfjs.js').TF} TF */
/** @typedef {import('./tfjs.js').TFTensor} TFTensor */
/** @typedef {import('./tfjs.js').TFVariable} TFVariable */
/** @typedef {import('./engine.js').OptionField} OptionField */
/** @typedef {Partial<Record<import('./engine.js').SlotField, TFTensor>>} Slots of one variable by the kernels' names */

/**
 * Updates variables by assigning new values. It stands for its own engine.
 */
export class Operations {
  #tf;
  #specs;
  /** @type {TFVariable[]} */
  #variables = [];
  /** @type {Map<TFVariable, Slots>} */
  #slots = new Map();
  /** @type {ReadonlyMap<TFVariable, TFTensor>} */
  #gradients = new Map();
  /** @type {Set<TFVariable>} */
  #keepsWeights = new Set();
  /** What the engine has in rms_step_options. @type {Record<string, number>} */
  #options = {};

  /**
   * @param {TF} tf
   * @param {readonly import('./engine.js').SlotSpec[]} specs
   */
  constructor(tf, specs) {
    this.#tf = tf;
    this.#specs = specs;
  }

  /** @returns {this} */
  get engine() {
    return this;
  }

  /** @returns {readonly TFVariable[]} */
  get variables() {
    return this.#variables;
  }

  /**
   * Makes slots.
   *
   * @param {readonly TFVariable[]} variables that are new
   */
  add(variables) {
    for (const variable of variables) {
      const slots = this.#specs.map(({ field }) => [field, this.#tf.keep(this.#tf.zeros(variable.shape))]);
      this.#slots.set(variable, Object.fromEntries(slots));
      this.#variables.push(variable);
    }
  }

  /**
   * Frees the slots of a variable.
   *
   * @param {TFVariable} variable
   */
  remove(variable) {
    this.#tf.dispose(this.#slots.get(variable));
    this.#slots.delete(variable);
    this.#keepsWeights.delete(variable);
    this.#variables.splice(this.indexOf(variable), 1);
  }

  /**
   * @param {TFVariable} variable
   * @returns {number} its index
   */
  indexOf(variable) {
    return this.#variables.indexOf(variable);
  }

  /**
   * Writes a number of the steps to come.
   *
   * @param {OptionField} field
   * @param {number} value
   */
  setNumber(field, value) {
    this.#options[field] = value;
  }

  /**
   * Writes a word of the steps to come.
   *
   * @param {OptionField} field
   * @param {number} value
   */
  setWord(field, value) {
    this.#options[field] = value;
  }

  /**
   * Includes a variable in weight decay or excludes it.
   *
   * @param {number} index
   * @param {boolean} keeps whether the variable is excluded from weight decay
   */
  setKeepsWeights(index, keeps) {
    if (keeps) this.#keepsWeights.add(this.#variables[index]);
    else this.#keepsWeights.delete(this.#variables[index]);
  }

  /**
   * Says what the step to come takes for gradients.
   *
   * @param {ReadonlyMap<TFVariable, TFTensor>} gradients of the size of their variables
   */
  stage(gradients) {
    this.#gradients = gradients;
  }

  /**
   * @returns {TFTensor} the gradients of the step, unscaled and accumulated, one variable after the other; zeros for a
   *   variable that has none
   */
  gather() {
    const tf = this.#tf;
    return tf.keep(tf.tidy(() => {
      const prepared = this.#prepared();
      return tf.concat(this.#variables.map((variable) => tf.reshape(prepared.get(variable) ?? tf.zeros(variable.shape),
        [variable.size])));
    }));
  }

  /** Drops the gradients of the step. */
  unstage() {
    this.#gradients = new Map();
  }

  /** One step, of all variables; nothing is assigned before everything is computed. */
  step() {
    const tf = this.#tf;
    /** @type {(() => void)[]} */
    const writes = [];
    tf.tidy(() => {
      const gradients = this.#prepared();
      this.#clip(gradients);
      for (const variable of this.#variables) {
        const slots = /** @type {Slots} */ (this.#slots.get(variable));
        const changed = this.#update(variable, slots, gradients.get(variable));
        const { value, ...others } = changed;
        if (value !== variable) writes.push(() => variable.assign(value));
        writes.push(() => {
          for (const name of /** @type {(keyof Slots)[]} */ (Object.keys(others))) {
            tf.keep(others[name]);
            slots[name]?.dispose();
          }
          Object.assign(slots, others);
        });
      }
      for (const write of writes) write();
    });
  }

  /** @param {number} flag of enum rms_step_flags */
  #has(flag) {
    return (this.#options.flags & flag) !== 0;
  }

  /** @returns {Map<TFVariable, TFTensor>} the gradients, unscaled and joined with the accumulators */
  #prepared() {
    const tf = this.#tf;
    const { loss_scale: scale, accumulation_steps: steps } = this.#options;
    /** @type {Map<TFVariable, TFTensor>} */
    const prepared = new Map();
    for (const [variable, gradient] of this.#gradients) {
      const accumulator = this.#has(constants.RMS_PREPARED) ? undefined : this.#slots.get(variable)?.accumulator;
      let g = tf.reshape(gradient, variable.shape);
      if (this.#has(constants.RMS_UNSCALE) && !this.#has(constants.RMS_PREPARED)) g = tf.div(g, scale);
      if (accumulator) g = tf.add(g, accumulator);
      if (accumulator && !this.#has(constants.RMS_HOLD)) g = tf.div(g, steps);
      prepared.set(variable, g);
    }
    return prepared;
  }

  /** @param {Map<TFVariable, TFTensor>} gradients changed in place */
  #clip(gradients) {
    if (this.#has(constants.RMS_HOLD)) return;
    const tf = this.#tf;
    const { clip_value: most, clip_norm: limit } = this.#options;
    /** @type {(norm: TFTensor) => TFTensor} */
    const globalFactor = (norm) => tf.add(
      tf.mul(tf.minimum(tf.div(1, norm), 1 / limit), limit),
      tf.sub(norm, norm), // NaN where the norm is not finite
    );
    if (this.#has(constants.RMS_CLIP_BY_GLOBAL_NORM)) {
      const sums = [...gradients.values()].map((g) => tf.sum(tf.square(g)));
      if (sums.length === 0) return;
      const factor = globalFactor(tf.sqrt(tf.addN(sums)));
      for (const [variable, g] of gradients) gradients.set(variable, tf.mul(g, factor));
    } else if (this.#has(constants.RMS_CLIP_BY_NORM)) {
      for (const [variable, g] of gradients) {
        const norm = tf.sqrt(tf.sum(tf.square(g)));
        gradients.set(variable, tf.div(tf.mul(g, limit), tf.maximum(norm, limit)));
      }
    } else if (this.#has(constants.RMS_CLIP_BY_VALUE)) {
      for (const [variable, g] of gradients) gradients.set(variable, tf.maximum(tf.minimum(g, most), -most));
    }
  }

  /**
   * @param {TFVariable} variable
   * @param {Slots} slots
   * @param {TFTensor | undefined} gradient clipped
   * @returns {Slots & { value: TFTensor }} the slots that change, and the value
   */
  #update(variable, slots, gradient) {
    const tf = this.#tf;
    const { ema_momentum: beta } = this.#options;
    const holds = this.#has(constants.RMS_HOLD);
    /** @type {Slots & { value: TFTensor }} */
    const changed = { value: variable };
    if (slots.accumulator && !holds) changed.accumulator = tf.zeros(variable.shape);
    if (gradient && holds) changed.accumulator = gradient;
    else if (gradient) this.#move(variable, slots, gradient, changed);
    if (slots.average && (gradient || this.#options.rule !== constants.RMS_RULE_KERAS_2_11)) {
      // a <- ema_momentum a + (1 - ema_momentum) x
      changed.average = tf.add(tf.mul(slots.average, beta), tf.mul(changed.value, 1 - beta));
      if (this.#has(constants.RMS_OVERWRITE)) changed.value = tf.clone(changed.average);
    }
    return changed;
  }

  /**
   * @param {TFVariable} variable
   * @param {Slots} slots
   * @param {TFTensor} g
   * @param {Slots & { value: TFTensor }} changed gets what changes
   */
  #move(variable, slots, g, changed) {
    const tf = this.#tf;
    const { learning_rate: rate, rho, momentum, epsilon, weight_decay: decay } = this.#options;
    const { mean_square: v, mean_gradient: mg, momentum: m } = /** @type {Required<Slots>} */ (slots);
    /** @type {TFTensor} */
    let x = variable;
    if (this.#has(constants.RMS_DECAY_WEIGHTS) && !this.#keepsWeights.has(variable)) {
      x = tf.sub(x, tf.mul(tf.mul(x, decay), rate));
    }
    // v <- rho v + (1 - rho) g²
    changed.mean_square = tf.add(tf.mul(v, rho), tf.mul(tf.square(g), 1 - rho));
    let d = tf.add(changed.mean_square, epsilon);
    if (mg) {
      // mg <- rho mg + (1 - rho) g;  d <- (v - mg²) + epsilon, and epsilon where that is zero or negative
      changed.mean_gradient = tf.add(tf.mul(mg, rho), tf.mul(g, 1 - rho));
      d = tf.add(tf.sub(changed.mean_square, tf.square(changed.mean_gradient)), epsilon);
      d = tf.where(tf.lessEqual(d, 0), tf.fill(variable.shape, epsilon), d);
    }
    // m <- momentum m + rate g / sqrt(d);  x <- x - m
    changed.momentum = tf.add(tf.mul(m, momentum), tf.div(tf.mul(g, rate), tf.sqrt(d)));
    changed.value = tf.sub(x, changed.momentum);
  }

  /**
   * @param {string} name of a slot
   * @param {TFVariable} variable
   * @returns {Float32Array} a copy of what it holds
   */
  read(name, variable) {
    return this.#slot(name, variable).tensor.dataSync().slice();
  }

  /**
   * @param {string} name of a slot
   * @param {TFVariable} variable
   * @returns {TFTensor} a copy of what it holds
   */
  tensorOf(name, variable) {
    return this.#tf.clone(this.#slot(name, variable).tensor);
  }

  /**
   * Fills a slot.
   *
   * @param {string} name
   * @param {TFVariable} variable
   * @param {Float32Array} values
   */
  write(name, variable, values) {
    this.#replace(name, variable, this.#tf.tensor(values.slice(), variable.shape));
  }

  /**
   * Copies a variable into a slot of it.
   *
   * @param {string} name
   * @param {TFVariable} variable
   */
  copyInto(name, variable) {
    this.#replace(name, variable, this.#tf.clone(variable));
  }

  /**
   * @param {string} name
   * @param {TFVariable} variable
   * @param {TFTensor} by
   */
  #replace(name, variable, by) {
    const { slots, field, tensor } = this.#slot(name, variable);
    slots[field] = this.#tf.keep(by);
    tensor.dispose();
  }

  /**
   * @param {string} name
   * @param {TFVariable} variable
   */
  #slot(name, variable) {
    const slots = /** @type {Slots} */ (this.#slots.get(variable));
    const { field } = /** @type {import('./engine.js').SlotSpec} */ (this.#specs.find((spec) => spec.name === name));
    return { slots, field, tensor: /** @type {TFTensor} */ (slots[field]) };
  }

  /** Frees the slots. */
  dispose() {
    for (const slots of this.#slots.values()) this.#tf.dispose(slots);
    this.#slots.clear();
    this.#variables = [];
  }
}
