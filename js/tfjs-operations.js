/**
 * Steps by operations of TensorFlow.js, on the device, for backends whose memory the kernels cannot reach: the rule of
 * core/rule.js over whole tensors. Nothing is read back, but by `read`, when the state moves to another backend.
 */
import { clippedByValue, formOf, globalFactorOf, normOf, prepared, scalarsOf, step } from './core/rule.js';
import * as constants from './generated/constants.js';

/** @typedef {import('./tfjs.js').TF} TF */
/** @typedef {import('./tfjs.js').TFTensor} TFTensor */
/** @typedef {import('./tfjs.js').TFVariable} TFVariable */
/** @typedef {import('./engine.js').OptionField} OptionField */
/** @typedef {Partial<Record<import('./engine.js').SlotField, TFTensor>>} Slots of one variable by the kernels' names */

/**
 * @param {TF} tf
 * @returns {import('./core/rule.js').AlgebraOfNorms<any>} of tensors, and of numbers beside them
 */
function algebraOf(tf) {
  return {
    add: (a, b) => tf.add(a, b),
    subtract: (a, b) => tf.sub(a, b),
    multiply: (a, b) => tf.mul(a, b),
    divide: (a, b) => tf.div(a, b),
    negate: (a) => tf.mul(a, -1),
    squareRoot: (a) => tf.sqrt(a),
    clamp: (a, limit) => tf.maximum(tf.minimum(a, limit), -limit),
    positiveOr: (a, instead) => tf.where(tf.lessEqual(a, 0), tf.fill(a.shape, instead), a),
    minimum: (a, b) => tf.minimum(a, b),
    maximum: (a, b) => tf.maximum(a, b),
    zeros: ({ shape }) => tf.zeros(shape),
    zero: 0,
    one: 1,
  };
}

/**
 * Updates variables by assigning new values. It stands for its own engine.
 */
export class Operations {
  #tf;
  #algebra;
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
    this.#algebra = algebraOf(tf);
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
      const scalars = this.#scalars();
      const holds = this.#has(constants.RMS_HOLD);
      const gradients = holds ? this.#gradients : this.#prepared();
      const norms = holds ? undefined : this.#norms(scalars, gradients);
      for (const variable of this.#variables) {
        const slots = /** @type {Slots} */ (this.#slots.get(variable));
        const form = this.#formOf(variable, holds ? 0 : constants.RMS_PREPARED);
        const given = gradients.get(variable);
        const arrays = { ...slots, value: variable, gradient: given && tf.reshape(given, variable.shape) };
        const { value, ...others } = step(this.#algebra, form, scalars, arrays, norms?.get(variable));
        // What is overwritten by its average is that very tensor, which a variable would take over.
        if (value) writes.push(() => variable.assign(value === others.average ? tf.clone(value) : value));
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

  /**
   * @param {TFVariable} variable
   * @param {number} [more] flags
   * @returns {import('./core/rule.js').Form} of the step for that variable
   */
  #formOf(variable, more = 0) {
    const options = { ...this.#options, flags: this.#options.flags | more };
    return formOf(options, Math.fround, { flags: this.#keepsWeights.has(variable) ? constants.RMS_KEEP_WEIGHTS : 0 });
  }

  /** @returns {import('./core/rule.js').Scalars<any>} of the step */
  #scalars() {
    return scalarsOf(this.#options, formOf(this.#options, Math.fround).row, Math.fround);
  }

  /** @returns {Map<TFVariable, TFTensor>} the gradients, unscaled and joined with the accumulators */
  #prepared() {
    const scalars = this.#scalars();
    return new Map([...this.#gradients].map(([variable, gradient]) => {
      const g = this.#tf.reshape(gradient, variable.shape);
      const accumulator = this.#slots.get(variable)?.accumulator;
      return [variable, prepared(this.#algebra, this.#formOf(variable), scalars, g, accumulator)];
    }));
  }

  /**
   * @param {import('./core/rule.js').Scalars<any>} scalars
   * @param {ReadonlyMap<TFVariable, TFTensor>} gradients prepared
   * @returns {Map<TFVariable, TFTensor>} what a norm clip divides or multiplies by; empty without one
   */
  #norms(scalars, gradients) {
    const tf = this.#tf;
    const isGlobal = this.#has(constants.RMS_CLIP_BY_GLOBAL_NORM);
    if (gradients.size === 0 || !(isGlobal || this.#has(constants.RMS_CLIP_BY_NORM))) return new Map();
    const sums = [...gradients].map(([variable, gradient]) => {
      const form = this.#formOf(variable, constants.RMS_PREPARED);
      return tf.sum(tf.square(clippedByValue(this.#algebra, form, scalars, gradient)));
    });
    const factor = isGlobal && globalFactorOf(this.#algebra, scalars, tf.addN(sums));
    return new Map([...gradients.keys()].map((variable, i) =>
      [variable, factor || normOf(this.#algebra, scalars, sums[i])]));
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
