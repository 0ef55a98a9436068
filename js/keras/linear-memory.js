/**
 * The variables and slots of an optimizer in linear memory: an engine for those that are updated, arrays for those that
 * are overwritten with their gradients, and one arena for all gradients where a hook aggregates them.
 */
import { Arena } from '../arena.js';
import { array, rangeError, typeError } from '../check.js';
import { outlastGrowth, setAll, takeGradient } from '../core/gradients.js';
import { checkVariables } from '../core/variables.js';
import { Engine } from '../engine.js';
import { keras } from '../generated/keras.js';
import { SLOTS, checkFit } from '../keras-options.js';
import { denseOf, describe, disposedError, isIndexedSlices, isTensor, scalars, typedCopy, zerosOf } from '../tensor.js';
import { Slices } from './slices.js';
import { OWN, noGradients } from './step.js';

/** @typedef {import('../core/gradients.js').Taken} Taken */
/** @typedef {import('../tensor.js').Tensor} Tensor */
/** @typedef {import('../tensor.js').TensorData} TensorData */
/** @typedef {import('../tensor.js').Variable} Variable */
/** @typedef {import('../keras-options.js').SlotName} SlotName */

/** See `Ground` of step.js. */
export class LinearMemory {
  #options;
  #isOld;
  #hasHook;
  #pool;
  /** Makes the error for a call that needs slots before there are any. @type {() => Error} */
  #unbuilt;
  /** Calls of `apply`: int32. @type {Tensor} */
  #iteration;
  /** The rate, where it is a number: float32. @type {Tensor | undefined} */
  #rate;
  /** All variables that it is built for, and the place of each. @type {Map<Variable, number>} */
  #places = new Map();
  /** @type {readonly Variable[]} */
  #variables = [];
  /** Engine of the variables that are not overwritten. @type {Engine | undefined} */
  #engine;
  /** @type {import('../engine.js').Placed | undefined} */
  #placed;
  /** The accumulators of those that are overwritten with their gradients. @type {Map<Variable, Tensor | null>} */
  #overwritten = new Map();
  /** The gradients that overwrite in this call. @type {Map<Variable, TensorData>} */
  #overwrites = new Map();
  /** Where the gradients lie, where a hook aggregates them. @type {Arena | undefined} */
  #arena;
  /** Whether the hook gets something else than the gradients as they are. */
  #isApart = false;
  /** The slots that are there. @type {{ name: SlotName, field: import('../engine.js').SlotField }[] | undefined} */
  #built;
  #slices;
  /** Whether this call has built it. */
  #isNew = false;
  /** Changes when it is built, and when that is undone. */
  version = 0;
  /** Whether gradients are divided by a loss scale. */
  isScaled = false;

  /**
   * @param {Record<string, any>} options checked
   * @param {boolean} isOld the generation of Keras
   * @param {boolean} hasHook
   * @param {import('../engine.js').Pool | undefined} pool
   * @param {() => Error} unbuilt
   */
  constructor(options, isOld, hasHook, pool, unbuilt) {
    this.#options = options;
    this.#isOld = isOld;
    this.#hasHook = hasHook;
    this.#pool = pool;
    this.#unbuilt = unbuilt;
    this.#slices = new Slices(options, isOld);
    const { learningRate } = options;
    const rates = typeof learningRate === 'number' ? [/** @type {const} */ (['float32', learningRate])] : [];
    [this.#iteration, this.#rate] = scalars(['int32', 0], ...rates);
  }

  /** @returns {number} calls of `apply` so far */
  get calls() {
    return this.#iteration.data[0];
  }

  /** @param {number} calls how many there are now */
  set calls(calls) {
    this.#iteration.data[0] = calls;
  }

  /** @returns {number | undefined} the rate, if it is a number */
  get rate() {
    return this.#rate?.data[0];
  }

  /** @param {number | undefined} rate a number replaces a number; undefined: it is none any more */
  set rate(rate) {
    if (rate !== undefined && this.#rate) {
      this.#rate.data[0] = rate;
    } else {
      this.#rate?.dispose();
      this.#rate = undefined;
    }
  }

  /** @returns {Tensor[]} the iteration, and the rate if it is a number */
  get counters() {
    return this.#rate ? [this.#iteration, this.#rate] : [this.#iteration];
  }

  /** @returns {readonly Variable[]} all that it is built for */
  get variables() {
    return this.#variables;
  }

  /** @returns {Engine | undefined} */
  get target() {
    return this.#engine;
  }

  /**
   * @returns {Engine}
   * @throws {RangeError} before it is built
   */
  built() {
    if (!this.#engine) throw this.#unbuilt();
    return this.#engine;
  }

  /** @returns {SlotName[]} the slots that each variable has, in Keras's order */
  get slotNames() {
    return this.#specs().map(({ name }) => name);
  }

  /** @returns {import('../checkpoint.js').State} */
  get state() {
    const slots = this.slotNames.map((name) => ({ name, tensors: this.#variables.map((v) => this.slot(v, name)) }));
    return { variables: this.#variables, slots };
  }

  /**
   * @param {Variable} variable
   * @param {string} name
   * @returns {Tensor | null} null when the variable is unknown or has no such slot
   */
  slot(variable, name) {
    if (this.#overwritten.has(variable)) {
      return name === 'gradient_accumulator' ? this.#overwritten.get(variable) ?? null : null;
    }
    return this.#engine?.slot(name)[this.#engine.indexOf(variable)] ?? null;
  }

  /**
   * @param {Variable} variable
   * @returns {boolean} whether a step replaces it by its gradient
   */
  isOverwritten(variable) {
    return this.#overwritten.has(variable);
  }

  #specs() {
    return this.#built ?? specsOf(this.#options);
  }

  /**
   * Checks options that are assigned.
   *
   * @param {Record<string, any>} options that are to replace those it is built by
   * @throws {RangeError | TypeError} if they need what is not there
   */
  check(options) {
    if (!this.#engine) return;
    this.#checkFit(options, this.#engine.variables);
    if (specsOf(options).length > this.#specs().length) {
      throw rangeError('momentum', 'given before the optimizer is built, for it has no slot', options.momentum);
    }
    if (this.#arena && options.lossScaleFactor && !this.#isApart) {
      throw rangeError('lossScaleFactor', 'given before the optimizer is built', options.lossScaleFactor);
    }
  }

  /**
   * Checks options against the types of the variables.
   *
   * @param {Record<string, any>} options checked
   * @param {readonly Variable[]} updated
   */
  #checkFit(options, updated) {
    checkFit(options, updated);
    const { clipnorm, globalClipnorm } = options;
    const other = updated.find(({ dtype }) => dtype !== updated[0].dtype);
    if (other && !(clipnorm > 0) && globalClipnorm > 0) {
      throw typeError(describe(other), `${updated[0].dtype} as the others under globalClipnorm`, other.dtype);
    }
  }

  /**
   * Makes the slots, unless they are there.
   *
   * @param {readonly Variable[]} variables checked
   * @throws {TypeError | RangeError} for others than it is built for, or if the memory is exhausted
   */
  build(variables) {
    const built = this.#engine ? this.#variables : variables;
    if (variables.length !== built.length || variables.some((variable, i) => variable !== built[i])) {
      throw rangeError('variables', 'those the optimizer is built for', variables);
    }
    if (this.#engine) return;
    const overwritten = this.#isOld ? [] : variables.filter((variable) => variable.overwriteWithGradient);
    const updated = variables.filter((variable) => !overwritten.includes(variable));
    const { gradientAccumulationSteps, lossScaleFactor } = this.#options;
    this.#checkFit(this.#options, updated);
    const engine = new Engine(keras, updated, this.#specs(), { pool: this.#pool });
    this.#engine = engine;
    this.#built = this.#specs();
    this.#isApart = Boolean(lossScaleFactor || gradientAccumulationSteps);
    this.version++;
    try {
      for (const variable of overwritten) {
        const { memory, dtype, shape } = variable;
        this.#overwritten.set(variable, gradientAccumulationSteps ? zerosOf(memory, dtype, shape) : null);
      }
      if (this.#hasHook) this.#arena = new Arena(updated, this.#isApart);
      if (this.#isOld) setAll('average', engine.slot('average'), variables);
    } catch (error) {
      this.unbuild();
      throw error;
    }
    this.#variables = [...variables];
    this.#places = new Map(this.#variables.map((variable, i) => [variable, i]));
  }

  /** Frees the slots. */
  unbuild() {
    this.#engine?.dispose();
    this.#arena?.dispose();
    for (const accumulator of this.#overwritten.values()) accumulator?.dispose();
    this.#engine = this.#arena = this.#placed = this.#built = undefined;
    this.#overwritten.clear();
    this.#overwrites.clear();
    this.#variables = [];
    this.#places.clear();
    this.version++;
  }

  /** Frees everything. */
  dispose() {
    this.unbuild();
    this.#iteration.dispose();
    this.#rate?.dispose();
  }

  // ---- A step ----

  /**
   * @param {unknown} gradients a list, or OWN
   * @param {readonly Variable[]} [given] default all variables
   * @returns {boolean}
   */
  stage(gradients, given) {
    this.#slices.clear();
    if (this.#overwrites.size) this.#overwrites.clear();
    if (gradients !== OWN) return this.#stageList(array('gradients', gradients), given);
    const engine = this.built();
    const { variables } = engine;
    let isDense = this.#overwritten.size === 0;
    for (let i = 0; isDense && i < variables.length; i++) {
      const { gradient } = variables[i];
      if (isIndexedSlices(gradient)) isDense = false;
      else engine.setGradient(i, gradient);
    }
    return isDense || this.#stageList(this.#variables.map(({ gradient }) => gradient), undefined);
  }

  /**
   * @param {readonly unknown[]} gradients
   * @param {readonly Variable[]} [given]
   * @returns {boolean}
   */
  #stageList(gradients, given) {
    const { length } = gradients;
    if (length === 0) return false;
    if (!given) this.built();
    const variables = given ? this.#checked(given) : this.#variables;
    if (length !== variables.length) {
      throw rangeError('gradients', `as many as variables, ${variables.length}`, gradients);
    }
    /** @type {Taken[]} */
    const taken = [];
    let isAny = false;
    for (let i = 0; i < length; i++) {
      taken[i] = this.#take(variables[i], gradients[i]);
      isAny ||= taken[i] !== null;
    }
    if (!isAny) throw noGradients();
    if (!this.#engine) {
      outlastGrowth(taken, variables[0].memory);
      this.build(variables);
      this.#isNew = true;
    }
    return this.#arrange(variables, taken);
  }

  /**
   * @param {unknown} given
   * @returns {readonly Variable[]} a copy, of variables that can be updated
   */
  #checked(given) {
    const variables = [...array('variables', given)];
    if (!this.#engine) {
      checkVariables(variables);
      return variables;
    }
    let last = -1;
    const isInOrder = variables.every((variable, i) => {
      const place = variable === this.#variables[i] ? i : this.#places.get(variable) ?? -1;
      const isNext = place > last && !variable.isDisposed;
      last = place;
      return isNext;
    });
    if (!isInOrder || variables.length === 0) checkVariables(variables);
    const stranger = isInOrder ? undefined : variables.find((variable) => !this.#places.has(variable));
    if (stranger) throw rangeError('variables', 'those the optimizer is built for', describe(stranger));
    return variables;
  }

  /**
   * @param {Variable} variable
   * @param {unknown} gradient
   * @returns {Taken}
   */
  #take(variable, gradient) {
    const taken = takeGradient(variable, gradient);
    if (this.isScaled && isIndexedSlices(taken)) {
      throw typeError(`gradient of ${describe(variable)}`, 'dense under a loss scale', gradient);
    }
    return taken;
  }

  /**
   * Hands the gradients to the engine.
   *
   * @param {readonly Variable[]} variables
   * @param {readonly Taken[]} taken one of each
   * @returns {boolean} true
   */
  #arrange(variables, taken) {
    const engine = this.built();
    const isMerged = Boolean(this.#options.gradientAccumulationSteps) || this.#hasHook;
    /** @type {import('../core/staging.js').DenseGradient[]} */
    const dense = engine.variables.map(() => null);
    let last = -1;
    let isInOrder = true;
    variables.forEach((variable, i) => {
      const gradient = taken[i];
      if (this.#overwritten.size && this.#overwritten.has(variable)) {
        if (gradient !== null) this.#overwrites.set(variable, flatCopy(variable, gradient));
        return;
      }
      const index = variable === engine.variables[i] ? i : engine.indexOf(variable);
      isInOrder &&= index > last;
      last = index;
      dense[index] = isIndexedSlices(gradient) ? this.#slices.take(index, variable, gradient, isMerged) : gradient;
    });
    if (!isInOrder) {
      this.#slices.setOrder(variables.map((variable) => engine.indexOf(variable)).filter((index) => index >= 0));
    }
    engine.setGradients(dense);
    this.#slices.stage(engine);
    return true;
  }

  /** @returns {boolean} whether this call overwrites variables */
  get hasOthers() {
    return this.#overwrites.size > 0;
  }

  /** @returns {boolean} whether all gradients of the call are finite */
  allFinite() {
    for (const values of this.#overwrites.values()) if (!values.every(Number.isFinite)) return false;
    return this.built().place().allFinite();
  }

  /** @returns {boolean} whether the gradients of the step are those that a hook left */
  get isAggregated() {
    return this.#arena !== undefined;
  }

  /**
   * @param {import('../arena.js').AggregateGradients} hook
   * @param {number} step
   * @param {AbortSignal} [signal]
   * @returns {import('../core/step.js').Hook | undefined}
   */
  aggregate(hook, step, signal) {
    this.#arena?.gather(this.built());
    return this.#arena?.aggregate(hook, step, signal);
  }

  /**
   * The last checks, and addresses.
   *
   * @param {boolean} holds whether the call only accumulates
   */
  place(holds) {
    const engine = this.built();
    if (!holds) this.#arena?.stage(engine);
    if (this.#rate) engine.copyNumber('learning_rate', this.#rate.data, 0);
    if (this.#overwritten.size) this.#checkOverwritten();
    const placed = engine.place();
    this.#placed = this.#slices.isEmpty ? placed : this.#slices.place(engine, placed);
  }

  /**
   * Overwrites, and runs the kernels.
   *
   * @param {boolean} holds
   * @param {boolean} clipsGlobally
   * @param {(variable: Variable) => number | null} weightDecayOf
   */
  run(holds, clipsGlobally, weightDecayOf) {
    const engine = this.built();
    const placed = /** @type {import('../engine.js').Placed} */ (this.#placed);
    if (this.#overwritten.size) this.#overwrite(holds);
    // Keras leaves the averages, too, where nothing but overwriting is to be done.
    if (this.#overwrites.size && !engine.hasGradients && !this.#slices.hasRows) return;
    if (this.#slices.isEmpty) placed.step();
    else this.#slices.run(engine, placed, clipsGlobally, weightDecayOf);
  }

  #checkOverwritten() {
    for (const [variable, accumulator] of this.#overwritten) {
      for (const tensor of [accumulator, this.#overwrites.has(variable) ? variable : null]) {
        if (tensor?.isDisposed) throw disposedError(tensor);
      }
    }
  }

  /**
   * Replaces variables by their gradients; under accumulation by the largest of each window, elementwise.
   *
   * @param {boolean} holds
   */
  #overwrite(holds) {
    for (const [variable, accumulator] of this.#overwritten) {
      const values = this.#overwrites.get(variable);
      if (values && accumulator) {
        const { data } = accumulator;
        for (let i = 0; i < values.length; i++) values[i] = Math.max(values[i], data[i]);
      }
      if (accumulator && !holds) accumulator.data.fill(0);
      else if (accumulator && values) accumulator.data.set(values);
      if (values && !holds) variable.data.set(values);
    }
  }

  /**
   * Hands over the variables that were updated.
   *
   * @param {(variable: Variable) => void} constrain
   */
  constrain(constrain) {
    const engine = this.built();
    const { variables } = engine;
    for (let i = 0; i < variables.length; i++) if (engine.hasGradient(i)) constrain(variables[i]);
  }

  /**
   * Ends a call.
   *
   * @param {boolean} isKept whether what it has made stays
   */
  settle(isKept) {
    if (this.#isNew && !isKept) this.unbuild();
    else this.#engine?.settle(isKept);
    this.#isNew = false;
  }
}

/**
 * @param {Variable} variable
 * @param {Exclude<Taken, null>} gradient
 * @returns {TensorData} a copy of its own
 */
function flatCopy(variable, gradient) {
  if (isIndexedSlices(gradient)) return denseOf(variable, gradient);
  return typedCopy(variable, isTensor(gradient) ? gradient.data : gradient);
}

/** @param {Record<string, any>} options checked */
function specsOf(options) {
  return SLOTS.filter(([, , isAsked]) => isAsked(options)).map(([name, field]) => ({ name, field }));
}
