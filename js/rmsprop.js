/**
 * RMSprop as Keras 3 has it: names, defaults, order of operations, state and errors. The arithmetic is the kernels',
 * the slots are the engine's.
 */
import { signalOf, unlessAborted } from './abort.js';
import { Arena } from './arena.js';
import { array, checkCount, finite, integer, knownOptions, ofType, rangeError, show, typeError } from './check.js';
import { readState, saveState } from './checkpoint.js';
import { clipByGlobalNorm, clipByNorm, clipByValue, sumOfSquares, totalSquares } from './clip.js';
import { Engine, checkPool, checkVariables, constants } from './engine.js';
import { buffersBefore, gradientsOf, setAll, setFirst, unzip } from './gradients.js';
import { autoName, camelCase, snakeCase } from './naming.js';
import {
  SLOTS, checkHyperparameter, checkOptions, configOf, evaluate, generationOf, revive, withRule,
} from './keras-options.js';
import { sumOfSquaresByRow, updateRows } from './keras-rows.js';
import { exclusionOf, onlyAccumulates, restoring, updatesIn, writeConstants } from './keras-step.js';
import {
  IndexedSlices, checkGradient, checkSlices, denseOf, describe, isIndexedSlices, isTensor, isVariable, scalar,
  typedCopy, zerosOf,
} from './tensor.js';

/** @typedef {import('./abort.js').AbortOptions} AbortOptions */
/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').Values} Values */
/** @typedef {import('./tensor.js').TypedArray} TypedArray */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./gradients.js').Gradient} Gradient */
/** @typedef {import('./gradients.js').LossAndGradients} LossAndGradients */
/** @typedef {import('./keras-options.js').Rate} Rate */
/** @typedef {import('./keras-options.js').Source} Source */
/** @typedef {import('./keras-options.js').SlotName} SlotName */
/** @typedef {import('./keras-step.js').Asked} Asked */
/** @typedef {import('./keras-options.js').RMSpropOptions} RMSpropOptions */

/**
 * For LossScaleOptimizer alone: replaces the option `lossScaleFactor` for good.
 *
 * @type {(optimizer: RMSprop, scale: number) => void}
 * @throws {TypeError} if the optimizer aggregates gradients, for it would aggregate after the check that all are finite
 */
export let setLossScale;

/**
 * For LossScaleOptimizer alone: throws where a call cannot be made now; one that only reads, where it is disposed.
 *
 * @type {(optimizer: RMSprop, call: string, reads: boolean) => void}
 */
export let checkReady;

/**
 * For LossScaleOptimizer alone: `save` with more counters, and its own config around that of the optimizer.
 *
 * @type {(optimizer: RMSprop, options: { variables?: boolean } | undefined, more: Record<string, number>,
 *   around: (config: object) => object) => Uint8Array}
 */
export let saveWith;

/**
 * For LossScaleOptimizer alone: `load` of what `saveWith` gave.
 *
 * @type {(optimizer: RMSprop, bytes: Uint8Array, check: (counters: Record<string, any>) => void) => void} the check
 *   gets all counters before anything is written, and throws if they are none of its own
 */
export let loadWith;

/**
 * For LossScaleOptimizer alone: `apply`, or `step` without gradients, unless a gradient is not finite.
 *
 * @type {(optimizer: RMSprop, gradients?: readonly (Gradient | null)[], variables?: readonly Variable[]) => boolean}
 *   whether all gradients were finite
 */
export let applyIfFinite;

/**
 * RMSprop with the names, defaults and arithmetic of `keras.optimizers.RMSprop` (Keras 3.15):
 *
 *     v <- rho v + (1 - rho) g²,   m <- momentum m + learningRate g / sqrt(v + epsilon),   x <- x - m
 *
 * @example
 * ```js
 * import { RMSprop, variable } from 'rmsprop-wasm';
 *
 * const w = variable([1, -2]);
 * const optimizer = new RMSprop({ learningRate: 0.1, momentum: 0.9 });
 * optimizer.apply([[0.5, -0.5]], [w]);
 * console.log(Array.from(w.data, (x) => x.toFixed(4)).join(' ')); // prints 0.6838 -1.6838
 * ```
 */
export class RMSprop {
  #options;
  #generation;
  /** Calls of `apply`: int32. */
  #iteration;
  /** The rate, where it is a number: float32. @type {Tensor | undefined} */
  #rate;
  /** The momentum of the first average, which Keras 3 makes a copy, and of all others. */
  #emaMomentum;
  /** What every gradient is divided by, null if by nothing. @type {number | null} */
  #lossScale;
  /** The flags of every step. */
  #flags = 0;
  /** The hyperparameters that are asked in each update. @type {Asked[]} */
  #asked = [];
  /** All variables that it is built for. @type {readonly Variable[]} */
  #variables = [];
  /** What updates those that are not overwritten. @type {Engine | undefined} */
  #engine;
  /** The accumulators of those that are overwritten with their gradients. @type {Map<Variable, Tensor | null>} */
  #overwritten = new Map();
  /** The gradients that overwrite in this call. @type {[Variable, TypedArray][]} */
  #overwrites = [];
  /** Where the gradients lie, where a hook aggregates them. @type {Arena | undefined} */
  #arena;
  #aggregate;
  #pool;
  /** Whether a variable is left out of weight decay. @type {(variable: Variable) => boolean} */
  #isExcluded = () => false;
  /** Variables that a warning about a missing gradient has named. @type {Set<Variable>} */
  #warned = new Set();
  /** Slices of the call that share rows, by variable. @type {Map<number, { slices: IndexedSlices, dense: Tensor }>} */
  #rows = new Map();
  /** What the global norm takes for the sum of squares of slices, by variable. @type {Map<number, number>} */
  #sums = new Map();
  /** Slices to be clipped by the global norm before those of a row are summed. @type {Map<number, IndexedSlices>} */
  #unclipped = new Map();
  /** The order of the gradients in the global norm, if not that of the variables. @type {number[] | null} */
  #order = null;
  /** Why no call can be made now. @type {string | undefined} */
  #blocked;

  static {
    checkReady = (optimizer, call, reads) => (reads ? optimizer.#alive(call) : optimizer.#ready(call));
    saveWith = (optimizer, options, more, around) => optimizer.#save(options, more, around);
    loadWith = (optimizer, bytes, check) => optimizer.#load(bytes, check);
    setLossScale = (optimizer, scale) => {
      if (optimizer.#aggregate) throw typeError('innerOptimizer', 'without aggregateGradients', optimizer);
      if (optimizer.#lossScale === scale) return;
      optimizer.#options.lossScaleFactor = null;
      optimizer.#lossScale = scale;
      optimizer.#writeConstants();
    };
    applyIfFinite = (optimizer, gradients, variables) => {
      optimizer.#ready('apply');
      return optimizer.#attempt(variables, () => {
        const engine = gradients ? optimizer.#stage(gradients, variables) : optimizer.#stageOwn();
        engine?.place();
        const overwrites = optimizer.#overwrites.every(([, values]) => values.every(Number.isFinite));
        if (!overwrites || engine?.allFinite() === false) return false;
        if (engine) optimizer.#update(engine);
        return true;
      });
    };
  }

  /**
   * @param {RMSpropOptions} [options]
   * @throws {TypeError} for an unknown option, naming the nearest known one, or one of the wrong kind
   * @throws {RangeError} for NaN, infinity, and what Keras refuses
   */
  constructor(options = {}) {
    this.#generation = generationOf(options);
    this.#aggregate = options.aggregateGradients;
    if (this.#aggregate !== undefined) ofType('aggregateGradients', this.#aggregate, 'function');
    this.#pool = checkPool(options.pool);
    this.#options = checkOptions(options, this.#generation);
    const { learningRate, emaMomentum, lossScaleFactor = null } = this.#options;
    const { isOld, prefix } = this.#generation;
    this.#options.name ??= isOld ? prefix : autoName(prefix);
    this.#emaMomentum = Float64Array.of(isOld ? emaMomentum : 0, emaMomentum);
    this.#lossScale = lossScaleFactor;
    this.#iteration = scalar('int32', 0);
    if (typeof learningRate === 'number') this.#rate = scalar('float32', learningRate);
  }

  /** @returns {string} the name given, or one that Keras would give */
  get name() {
    return this.#options.name;
  }

  /** @returns {number} updates made: calls of `apply`, divided by `gradientAccumulationSteps` if there are such */
  get iterations() {
    this.#alive('iterations');
    return updatesIn(this.#options, this.#iteration.data[0]);
  }

  /** @returns {number} the current rate: the number, rounded to float32, or what the callback or schedule says now */
  get learningRate() {
    this.#alive('learningRate');
    if (this.#rate) return this.#rate.data[0];
    return evaluate('learningRate', this.#options.learningRate, this.#iteration.data[0]);
  }

  /**
   * A number replaces a number; a callback or schedule replaces anything.
   *
   * @param {Rate} rate
   * @throws {TypeError} for a number where the optimizer has a callback or schedule
   */
  set learningRate(rate) {
    this.#ready('learningRate');
    checkHyperparameter('learningRate', rate);
    if (typeof rate !== 'number') {
      this.#rate?.dispose();
      this.#rate = undefined;
      this.#options.learningRate = rate;
      this.#writeConstants();
    } else if (this.#rate) {
      this.#rate.data[0] = rate;
    } else {
      throw typeError('learningRate', 'a callback or schedule as before', rate);
    }
  }

  /**
   * @returns {Tensor[]} the state in Keras's order: the iteration (int32 scalar), the rate if it was given as a number,
   *   then per variable averages, gradient accumulators, velocities, momentums, average gradients
   */
  get variables() {
    this.#alive('variables');
    const slots = this.#state().slots.flatMap(({ tensors }) => tensors).filter((tensor) => tensor !== null);
    return [this.#iteration, ...(this.#rate && !this.#generation.isOld ? [this.#rate] : []), ...slots];
  }

  /** @returns {SlotName[]} the slots that each variable has, in the order of `variables` */
  get slotNames() {
    return this.#slotSpecs().map(({ name }) => name);
  }

  /**
   * @param {Variable} variable
   * @param {string} name one of `slotNames`
   * @returns {Tensor | null} null when the variable is unknown or has no such slot
   */
  getSlot(variable, name) {
    if (this.#overwritten.has(variable)) {
      return name === 'gradient_accumulator' ? this.#overwritten.get(variable) ?? null : null;
    }
    return this.#engine?.slot(name)[this.#engine.indexOf(variable)] ?? null;
  }

  /**
   * Makes the slots. The first `apply` with variables does it too; a second call with the same variables does nothing.
   *
   * @param {readonly Variable[]} variables floating, of one memory, each once; at least one that is not overwritten
   *   with its gradient
   * @throws {TypeError | RangeError} for other variables; nothing is allocated then
   */
  build(variables) {
    this.#ready('build');
    checkVariables(variables);
    const built = this.#engine ? this.#variables : variables;
    if (variables.length !== built.length || variables.some((variable, i) => variable !== built[i])) {
      throw rangeError('variables', 'those the optimizer is built for', variables);
    }
    if (!this.#engine) {
      const overwritten = this.#generation.isOld ? [] : variables.filter((variable) => variable.overwriteWithGradient);
      const updated = variables.filter((variable) => !overwritten.includes(variable));
      const { clipnorm, globalClipnorm, gradientAccumulationSteps, lossScaleFactor } = this.#options;
      const other = updated.find(({ dtype }) => dtype !== updated[0].dtype);
      if (other && !(clipnorm > 0) && globalClipnorm > 0) {
        throw typeError(describe(other), `${updated[0].dtype} as the others under globalClipnorm`, other.dtype);
      }
      const engine = new Engine(updated, this.#slotSpecs(), false, undefined, this.#pool);
      this.#engine = engine;
      try {
        for (const variable of overwritten) {
          const { memory, dtype, shape } = variable;
          this.#overwritten.set(variable, gradientAccumulationSteps ? zerosOf(memory, dtype, shape) : null);
        }
        if (this.#aggregate) this.#arena = new Arena(updated, Boolean(lossScaleFactor || gradientAccumulationSteps));
      } catch (error) {
        this.#unbuild();
        throw error;
      }
      this.#variables = [...variables];
      if (this.#generation.isOld) setAll('average', engine.slot('average'), variables);
    }
    this.#writeConstants();
  }

  /**
   * One call of the rule: an update, or with gradient accumulation a part of one.
   *
   * @param {readonly (Gradient | null)[]} gradients null: no gradient, the variable is left out; empty: nothing happens
   * @param {readonly Variable[]} [variables] in the order of the gradients; default all that the optimizer is built for
   * @throws {TypeError | RangeError} for what does not fit; weights, slots and counters are as before then
   */
  apply(gradients, variables) {
    this.#ready('apply');
    this.#attempt(variables, () => {
      const engine = this.#stage(array('gradients', gradients), variables);
      if (engine) this.#update(engine);
    });
  }

  /**
   * @param {readonly (readonly [Gradient | null, Variable])[]} pairs
   * @returns {number} `iterations` after it
   * @throws {TypeError | RangeError} as `apply`
   */
  applyGradients(pairs) {
    this.apply(...unzip(pairs));
    return this.iterations;
  }

  /**
   * `applyGradients` with an `aggregateGradients` that may be asynchronous. Until it settles all other calls throw.
   *
   * @param {readonly (readonly [Gradient | null, Variable])[]} pairs
   * @param {AbortOptions} [options] with a signal the hook can be given up: nothing has changed then, and the optimizer
   *   can be used again at once. For that the hook gets a copy of the gradients, to which it may write for ever.
   * @returns {Promise<number>} `iterations` after it
   * @throws {TypeError | RangeError} as `apply`, what the hook throws, and the signal's reason, as a rejection
   */
  async applyGradientsAsync(pairs, options = {}) {
    this.#ready('applyGradientsAsync');
    const signal = signalOf('applyGradientsAsync', options);
    const [gradients, variables] = unzip(pairs);
    await this.#attempt(variables, async () => {
      const engine = this.#stage(gradients, variables);
      if (engine) await this.#updateAsync(engine, signal);
    });
    return this.iterations;
  }

  /**
   * `step` with an `aggregateGradients` that may be asynchronous. Until it settles all other calls throw.
   *
   * @param {AbortOptions} [options] see `applyGradientsAsync`
   * @returns {Promise<void>}
   * @throws {RangeError} as `step`, what the hook throws, and the signal's reason, as a rejection
   */
  async stepAsync(options = {}) {
    this.#ready('stepAsync');
    const signal = signalOf('stepAsync', options);
    await this.#updateAsync(this.#stageOwn(), signal);
  }

  /**
   * `apply` with each built variable's `.gradient`: the fast path, which allocates nothing.
   *
   * @throws {RangeError} if the optimizer is not built or no variable has a gradient
   */
  step() {
    this.#ready('step');
    this.#update(this.#stageOwn());
  }

  /**
   * @param {(...variables: Variable[]) => LossAndGradients} lossAndGradients is called with the variables
   * @param {readonly Variable[]} variables
   * @returns {number} `iterations` after it
   * @throws {TypeError | RangeError} as `apply`, and for another return value
   */
  minimize(lossAndGradients, variables) {
    this.#ready('minimize');
    this.apply(gradientsOf(lossAndGradients, variables), variables);
    return this.iterations;
  }

  /**
   * @param {number} loss
   * @returns {number} the loss times `lossScaleFactor`, to take the gradients of
   */
  scaleLoss(loss) {
    return finite('loss', loss) * (this.#options.lossScaleFactor ?? 1);
  }

  /**
   * Copies the averages into the variables, for good. Without `useEma`, and before the first step, it does nothing.
   *
   * @param {readonly Variable[]} [variables] as many as the optimizer is built for, in that order; default those
   * @throws {RangeError} for another number of variables
   */
  finalizeVariableValues(variables) {
    this.#ready('finalizeVariableValues');
    if (!this.#options.useEma) return;
    const engine = this.#built();
    const targets = variables ?? this.#variables;
    checkVariables(targets);
    if (targets.length !== this.#variables.length) {
      throw rangeError('variables', `the ${this.#variables.length} that the optimizer is built for`, targets);
    }
    const averaged = targets.filter((_, i) => !this.#overwritten.has(this.#variables[i]));
    if (this.#iteration.data[0]) setAll('average', averaged, engine.slot('average'));
  }

  /**
   * Runs a function with the averages in the variables and puts the weights back afterwards, bit for bit, also when the
   * function throws or its promise is rejected. Before the first step the weights are their own averages.
   *
   * @template T
   * @param {() => T} fn sync or async; steps, `save`, `load` and `dispose` throw while it runs
   * @param {AbortOptions} [options] with a signal that is given while a promise is waited for, the weights come back at
   *   once and the promise is rejected
   * @returns {T} what `fn` returns
   * @throws {RangeError} without `useEma`
   */
  withAverages(fn, options = {}) {
    this.#ready('withAverages');
    ofType('fn', fn, 'function');
    const signal = signalOf('withAverages', options);
    const { useEma } = this.#options;
    if (!useEma) throw rangeError('useEma', 'true for withAverages', useEma);
    const engine = this.#built();
    const variables = this.#iteration.data[0] ? engine.variables : [];
    const weights = variables.map(({ data }) => data.slice());
    setAll('average', variables, engine.slot('average'));
    this.#blocked = 'withAverages runs';
    return restoring(fn, () => {
      this.#blocked = undefined;
      variables.forEach((variable, i) => variable.isDisposed || variable.set(weights[i]));
    }, signal);
  }

  /**
   * Leaves variables out of weight decay, from the next step on. A later call replaces an earlier one.
   *
   * @param {object} options
   * @param {readonly Variable[]} [options.variables]
   * @param {RegExp | string | readonly (RegExp | string)[]} [options.names] searched for in the variables' names; a
   *   string is a regular expression too, as in Python's `re.search`, and may begin with flags: `(?i)`
   * @throws {TypeError | RangeError} for others; nothing has changed then
   */
  excludeFromWeightDecay(options) {
    this.#ready('excludeFromWeightDecay');
    const isExcluded = exclusionOf(options, isVariable);
    if (this.#engine && this.#generation.isOld) {
      throw new RangeError('excludeFromWeightDecay can only be used before the optimizer is built');
    }
    this.#isExcluded = isExcluded;
    this.#writeConstants();
  }

  /**
   * @returns {Record<string, unknown>} Keras's dictionary, in Keras's order, JSON-safe; the rate as read back from
   *   float32, a schedule as Keras serializes it, a callback by its name
   */
  getConfig() {
    return this.#config(true);
  }

  /** @param {boolean} isComplete whether a schedule that has no config is refused */
  #config(isComplete) {
    const options = { ...this.#options, ...(this.#rate && { learningRate: this.#rate.data[0] }) };
    const entries = Object.entries(options);
    return Object.fromEntries(entries.map(([name, value]) => [snakeCase(name), configOf(value, isComplete)]));
  }

  /**
   * @param {Record<string, any>} config Keras's dictionary, or the options of the constructor
   * @param {object} [options]
   * @param {Record<string, any>} [options.customObjects] callbacks and schedule classes of the user's own by name
   * @returns {RMSprop} by the rule whose dictionary it is
   */
  static fromConfig(config, options = {}) {
    knownOptions('fromConfig', options, ['customObjects']);
    const { customObjects = {} } = options;
    ofType('customObjects', customObjects, 'object');
    const entries = Object.entries(ofType('config', config, 'object'));
    const revived = entries.map(([name, value]) => [camelCase(name), revive(value, customObjects)]);
    return new this(withRule(Object.fromEntries(revived)));
  }

  /** @returns {TensorData[]} copies of `variables`, in their order */
  getWeights() {
    return this.variables.map(({ data }) => data.slice());
  }

  /**
   * Takes over what `getWeights` gave.
   *
   * @param {readonly (Values | Tensor)[]} weights as `getWeights` returns them; a shorter list sets the first ones
   * @throws {TypeError | RangeError} if the optimizer is not built, or one has another length; nothing is written then
   */
  setWeights(weights) {
    this.#ready('setWeights');
    this.#built();
    setFirst('weights', this.variables, weights);
  }

  /** @returns {Float32Array} all weights of the built variables, one after the other, in build order */
  exportParameters() {
    this.#built();
    const flat = new Float32Array(totalSize(this.#variables));
    let end = 0;
    for (const { data } of this.#variables) flat.set(data, (end += data.length) - data.length);
    return flat;
  }

  /**
   * Copies all weights in from one array.
   *
   * @param {Float32Array} flat as `exportParameters` returns it
   * @throws {TypeError | RangeError} for another type or length; nothing is written then
   */
  importParameters(flat) {
    this.#ready('importParameters');
    this.#built();
    const variables = this.#variables;
    if (!(flat instanceof Float32Array)) throw typeError('flat', 'a Float32Array', flat);
    if (flat.length !== totalSize(variables)) throw rangeError('flat', `of length ${totalSize(variables)}`, flat);
    let end = 0;
    setAll('flat', variables, variables.map(({ size }) => flat.subarray(end, (end += size))));
  }

  /**
   * @param {object} [options]
   * @param {boolean} [options.variables] save the weights too, default false
   * @returns {Uint8Array} the whole state as a safetensors file: a run that is loaded from it goes on with equal bits
   * @throws {RangeError} if the optimizer is not built
   */
  save(options) {
    return this.#save(options);
  }

  /**
   * @param {{ variables?: boolean }} [options]
   * @param {Record<string, number>} [more] counters
   * @param {(config: object) => object} [around]
   */
  #save(options = {}, more = {}, around = (config) => config) {
    this.#ready('save');
    knownOptions('save', options, ['variables']);
    const variables = ofType('variables', options.variables ?? false, 'boolean');
    const counters = { iteration: this.#iteration.data[0], learning_rate: this.#rate?.data[0], ...more };
    this.#built();
    const config = around(this.#config(false));
    return saveState(this.#dialect, this.#state(), { config, counters, variables });
  }

  /**
   * Takes over the state of a file, and the weights if it has them. Hyperparameters other than a number for the rate
   * stay those of the constructor.
   *
   * @param {Uint8Array} bytes what `save` returned, by an optimizer with the same slots and variables of the same names
   * @throws {TypeError | RangeError} if it is anything else, or the optimizer is not built; nothing is written then
   */
  load(bytes) {
    this.#load(bytes);
  }

  /**
   * @param {Uint8Array} bytes
   * @param {(counters: Record<string, any>) => void} [check]
   */
  #load(bytes, check) {
    this.#ready('load');
    this.#built();
    const { counters, targets, values } = readState(this.#dialect, this.#state(), bytes);
    check?.(counters);
    const { iteration, learning_rate: rate } = counters;
    integer('iteration of the checkpoint', iteration, 0, 2 ** 31 - 1);
    if (rate !== undefined) finite('learning_rate of the checkpoint', rate);
    const rates = this.#rate && rate !== undefined ? [this.#rate] : [];
    setAll('checkpoint', [this.#iteration, ...targets, ...rates], [iteration, ...values, rate]);
  }

  /** Frees slots and counters; the variables stay. Calling it again does nothing. */
  dispose() {
    if (this.#iteration.isDisposed) return;
    this.#ready('dispose');
    this.#blocked = 'it is disposed';
    this.#unbuild();
    this.#iteration.dispose();
    this.#rate?.dispose();
  }

  // ---- The step ----

  /**
   * @template T
   * @param {readonly Variable[] | undefined} variables of a call that may build or make gradient buffers; not checked
   * @param {() => T} call sync or async
   * @returns {T} what the call returns; if it fails before the update, what it has made is given back
   */
  #attempt(variables, call) {
    const isNew = !this.#engine;
    const calls = this.#iteration.data[0];
    const freeBuffers = buffersBefore(variables ?? this.#variables);
    const undo = (/** @type {unknown} */ error) => {
      if (this.#iteration.data[0] === calls) { // else a constraint threw, and the update stands
        if (isNew) this.#unbuild();
        freeBuffers();
      }
      throw error;
    };
    try {
      const result = /** @type {any} */ (call());
      return typeof result?.then === 'function' ? result.then(undefined, undo) : result;
    } catch (error) {
      return undo(error);
    }
  }

  #unbuild() {
    this.#engine?.dispose();
    this.#arena?.dispose();
    for (const accumulator of this.#overwritten.values()) accumulator?.dispose();
    this.#engine = this.#arena = undefined;
    this.#overwritten.clear();
    this.#variables = [];
  }

  /**
   * Hands the gradients of a call to the engine, which is built if it is not yet.
   *
   * @param {readonly (Gradient | null)[]} gradients
   * @param {readonly Variable[]} [given]
   * @returns {Engine | undefined} undefined if the list is empty
   */
  #stage(gradients, given) {
    if (gradients.length === 0) return undefined;
    if (!given) this.#built();
    const variables = given ?? this.#variables;
    checkVariables(variables);
    if (gradients.length !== variables.length) {
      throw rangeError('gradients', `as many as variables, ${variables.length}`, gradients);
    }
    for (const variable of variables) {
      if (this.#engine && !this.#variables.includes(variable)) {
        throw rangeError('variables', 'those the optimizer is built for', describe(variable));
      }
    }
    gradients.forEach((gradient, i) => this.#check(variables[i], gradient));
    if (gradients.every((gradient) => gradient === null)) throw noGradients();
    if (!this.#engine) this.build(variables);
    const engine = this.#built();
    this.#clearSlices();
    this.#overwrites.length = 0;
    engine.variables.forEach((_, i) => engine.setGradient(i, null));
    const order = variables.filter((variable) => !this.#overwritten.has(variable)).map((v) => engine.indexOf(v));
    if (order.some((index, i) => i > 0 && index < order[i - 1])) this.#order = order;
    variables.forEach((variable, i) => {
      const gradient = gradients[i];
      if (!this.#overwritten.has(variable)) this.#stageOne(engine, engine.indexOf(variable), gradient);
      else if (gradient !== null) this.#stageOverwrite(variable, gradient);
    });
    return engine;
  }

  /**
   * @param {Variable} variable
   * @param {Gradient | null} gradient
   * @throws {TypeError | RangeError} if it is no gradient of this variable that this optimizer can take
   */
  #check(variable, gradient) {
    if (!isIndexedSlices(gradient)) {
      if (gradient !== null) checkGradient(variable, gradient);
      return;
    }
    checkSlices(variable, gradient);
    if (this.#lossScale !== null) {
      throw typeError(`gradient of ${describe(variable)}`, 'dense under a loss scale', gradient);
    }
  }

  /**
   * @param {Engine} engine
   * @param {number} index
   * @param {Gradient | null} gradient checked
   */
  #stageOne(engine, index, gradient) {
    const variable = engine.variables[index];
    if (!isIndexedSlices(gradient)) {
      engine.setGradient(index, gradient === null ? null : variable.placeGradient(gradient));
      return;
    }
    const { gradientAccumulationSteps, clipnorm, clipvalue, globalClipnorm } = this.#options;
    const { isOld } = this.#generation;
    // Accumulators and hooks take the rows merged, the clips the slices as they are.
    const isMerged = gradientAccumulationSteps || this.#aggregate;
    const isGlobal = !(clipnorm > 0) && globalClipnorm > 0;
    const isClipped = !isMerged && (isOld || !isGlobal);
    let slices = gradient;
    if (isClipped) {
      const values = /** @type {Float32Array | Float64Array} */ (typedCopy(variable, gradient.values));
      if (clipnorm > 0) clipByNorm(values, clipnorm);
      else if (!isGlobal && clipvalue > 0) clipByValue(values, clipvalue);
      slices = new IndexedSlices(values, gradient.indices, undefined);
      if (isGlobal) {
        this.#sums.set(index, sumOfSquares(values));
        this.#unclipped.set(index, slices);
      }
    }
    const dense = variable.placeGradient(denseOf(variable, slices));
    engine.setGradient(index, dense, isClipped);
    const sharesRows = new Set(slices.indices).size < slices.indices.length;
    if (!sharesRows || isOld || isMerged) return;
    if (isClipped) this.#rows.set(index, { slices, dense });
    else this.#sums.set(index, sumOfSquaresByRow(variable, slices));
  }

  /** Forgets the slices of the call before. */
  #clearSlices() {
    if (this.#rows.size) this.#rows.clear();
    if (this.#sums.size) this.#sums.clear();
    if (this.#unclipped.size) this.#unclipped.clear();
    this.#order = null;
  }

  #stageOwn() {
    const engine = this.#built();
    const { variables } = engine;
    this.#clearSlices();
    for (let i = 0; i < variables.length; i++) {
      const { gradient } = variables[i];
      if (isIndexedSlices(gradient)) this.#check(variables[i], gradient);
    }
    for (let i = 0; i < variables.length; i++) {
      const { gradient } = variables[i];
      if (isIndexedSlices(gradient)) this.#stageOne(engine, i, gradient);
      else engine.setGradient(i, gradient);
    }
    if (this.#overwritten.size) {
      this.#overwrites.length = 0;
      for (const variable of this.#overwritten.keys()) {
        if (variable.gradient !== null) this.#stageOverwrite(variable, variable.gradient);
      }
    }
    return engine;
  }

  /**
   * @param {Variable} variable that is overwritten
   * @param {Gradient} gradient checked
   */
  #stageOverwrite(variable, gradient) {
    const values = isIndexedSlices(gradient) ? denseOf(variable, gradient) : checkGradient(variable, gradient);
    this.#overwrites.push([variable, isTensor(values) ? values.data : values]);
  }

  /**
   * Replaces variables by their gradients; under accumulation by the largest of each window, elementwise.
   *
   * @param {boolean} holds whether the call only accumulates
   */
  #overwrite(holds) {
    for (const [variable, gradient] of this.#overwrites) {
      const accumulator = this.#overwritten.get(variable);
      const values = Array.from(gradient, (g, i) => (accumulator ? Math.max(g, accumulator.data[i]) : g));
      if (accumulator) accumulator.data.set(holds ? values : values.map(() => 0));
      if (!holds) variable.data.set(values);
    }
  }

  /** @returns {boolean} whether the next call only accumulates */
  #holds() {
    return onlyAccumulates(this.#options, this.#iteration.data[0]);
  }

  /**
   * @param {Engine} engine with the gradients of this call
   * @param {AbortSignal} [signal]
   * @returns {{ settled: void | Promise<void>, finish: () => void } | undefined} of the hook, if there is one to run
   */
  #runHook(engine, signal) {
    if (!this.#aggregate || !this.#arena || this.#holds()) return undefined;
    this.#checkGradientsExist(engine);
    engine.setWord('flags', this.#flags);
    this.#arena.gather(engine);
    this.#blocked = 'aggregateGradients runs';
    try {
      return this.#arena.aggregate(this.#aggregate, this.#iteration.data[0], signal);
    } finally {
      this.#blocked = undefined;
    }
  }

  /**
   * @param {Engine} engine with the gradients of this call
   */
  #update(engine) {
    const run = this.#runHook(engine);
    if (typeof run?.settled?.then === 'function') {
      run.settled.then(undefined, () => {}); // it is not waited for, and this is what is reported
      throw new TypeError('aggregateGradients must be synchronous here, got a promise: use stepAsync or '
        + 'applyGradientsAsync');
    }
    run?.finish();
    this.#finish(engine);
  }

  /**
   * @param {Engine} engine with the gradients of this call
   * @param {AbortSignal} [signal]
   */
  async #updateAsync(engine, signal) {
    const run = this.#runHook(engine, signal);
    this.#blocked = 'aggregateGradients has not settled';
    try {
      await unlessAborted(run?.settled, signal);
    } finally {
      this.#blocked = undefined;
    }
    run?.finish();
    this.#finish(engine);
  }

  /**
   * Everything that can fail comes first; then the kernels run, and at last the constraints.
   *
   * @param {Engine} engine with the gradients of this call
   */
  #finish(engine) {
    const { emaOverwriteFrequency } = this.#options;
    const calls = this.#iteration.data[0];
    const updates = updatesIn(this.#options, calls);
    const holds = this.#holds();
    let flags = this.#flags;
    if (holds) flags |= constants.RMS_HOLD;
    if (this.#arena && !holds) {
      flags |= constants.RMS_PREPARED;
      this.#arena.stage(engine);
    }
    if (emaOverwriteFrequency && (updates + 1) % emaOverwriteFrequency === 0) flags |= constants.RMS_OVERWRITE;
    this.#checkGradientsExist(engine);
    checkCount('iterations', calls);
    if (!holds) this.#askHyperparameters(engine, calls);
    engine.copyNumber('ema_momentum', this.#emaMomentum, updates ? 1 : 0);
    engine.setWord('flags', flags);
    engine.place();
    if (this.#overwrites.length) this.#overwrite(holds);
    if (this.#rows.size) this.#updateRows(engine);
    // Keras leaves the averages, too, where nothing but overwriting is to be done.
    if (this.#clipsGlobally && (this.#sums.size || this.#order)) this.#stepByGlobalNorm(engine);
    else if (!this.#overwrites.length || engine.hasGradients) engine.step();

    // The update stands, whatever a constraint does: the others run, the call counts, and only then it is reported.
    const failure = this.#constrain(engine);
    this.#iteration.data[0] = calls + 1;
    if (failure) throw failure.error;
  }

  get #clipsGlobally() {
    return (this.#flags & constants.RMS_CLIP_BY_GLOBAL_NORM) !== 0;
  }

  /**
   * A step whose global norm is not that of the gradients as they lie in the engine.
   *
   * @param {Engine} engine placed
   */
  #stepByGlobalNorm(engine) {
    const order = (this.#order ?? engine.variables.map((_, i) => i)).filter((index) => engine.hasGradient(index));
    const total = totalSquares(engine, order, this.#sums);
    for (const [index, slices] of this.#unclipped) {
      const variable = engine.variables[index];
      clipByGlobalNorm(/** @type {Float32Array} */ (slices.values), this.#options.globalClipnorm, total);
      variable.placeGradient(denseOf(variable, slices));
    }
    engine.stepWithSum(total);
  }

  /**
   * Updates the variables whose slices share rows; the engine then only averages them.
   *
   * @param {Engine} engine
   */
  #updateRows(engine) {
    for (const [index, { slices }] of this.#rows) {
      const variable = engine.variables[index];
      const weightDecay = this.#isExcluded(variable) ? null : this.#options.weightDecay;
      const slot = (/** @type {string} */ name) => engine.slot(name)[index]?.data;
      updateRows(variable, slot, slices, (field) => engine.number(field), weightDecay);
      engine.setGradient(index, null);
    }
    engine.place();
    for (const [index, { dense }] of this.#rows) engine.setGradient(index, dense, true);
  }

  /**
   * Writes what each update asks anew; it comes into use when all callbacks have answered.
   *
   * @param {Engine} engine
   * @param {number} calls of `apply` before this one
   */
  #askHyperparameters(engine, calls) {
    this.#blocked = 'a callback runs';
    try {
      for (let i = 0; i < this.#asked.length; i++) {
        const { name, field, source } = this.#asked[i];
        engine.setNumber(field, evaluate(name, source, calls));
      }
    } finally {
      this.#blocked = undefined;
    }
    if (this.#rate) engine.copyNumber('learning_rate', this.#rate.data, 0);
  }

  /**
   * @param {Engine} engine
   * @throws {RangeError} if no variable has a gradient
   */
  #checkGradientsExist(engine) {
    let missing = 0;
    let isNew = false;
    for (let i = 0; i < engine.variables.length; i++) {
      if (engine.hasGradient(i)) continue;
      missing++;
      if (!this.#warned.has(engine.variables[i])) isNew = true;
    }
    if (missing === engine.variables.length && !this.#overwrites.length) throw noGradients();
    if (!isNew) return;
    const without = engine.variables.filter((_, i) => !engine.hasGradient(i));
    for (const variable of without) this.#warned.add(variable);
    const names = without.map(({ name }) => show(name)).join(', ');
    console.warn(`Gradients do not exist for variables [${names}] when minimizing the loss.`);
  }

  /**
   * Runs the constraints of the variables that had a gradient.
   *
   * @param {Engine} engine
   * @returns {{ error: unknown } | undefined} what the first that failed threw
   */
  #constrain(engine) {
    let failure;
    this.#blocked = 'a constraint runs';
    for (let i = 0; i < engine.variables.length; i++) {
      const variable = engine.variables[i];
      if (!variable.constraint || !engine.hasGradient(i)) continue;
      try {
        variable.constraint(variable);
      } catch (error) {
        failure ??= { error };
      }
    }
    this.#blocked = undefined;
    return failure;
  }

  // ---- State ----

  /** Tells the engine what does not change from step to step. */
  #writeConstants() {
    const engine = this.#engine;
    if (!engine) return;
    ({ flags: this.#flags, asked: this.#asked } = writeConstants(
      engine, this.#options, this.#lossScale, this.#generation,
    ));
    engine.variables.forEach((variable, i) => engine.setKeepsWeights(i, this.#isExcluded(variable)));
  }

  get #dialect() {
    return this.#generation.isOld ? 'keras-2.11' : 'keras';
  }

  /** @returns {import('./checkpoint.js').State} */
  #state() {
    const slots = this.slotNames.map((name) => ({
      name, tensors: this.#variables.map((variable) => this.getSlot(variable, name)),
    }));
    return { variables: this.#variables, slots };
  }

  #slotSpecs() {
    return SLOTS.filter(([, , isAsked]) => isAsked(this.#options)).map(([name, field]) => ({ name, field }));
  }

  #built() {
    if (!this.#engine) throw new RangeError(`optimizer ${show(this.name)} must be built first: call build(variables)`);
    return this.#engine;
  }

  /** @param {string} call that only reads */
  #alive(call) {
    if (this.#iteration.isDisposed) this.#ready(call);
  }

  /** @param {string} call */
  #ready(call) {
    if (this.#blocked) throw new Error(`${call} of optimizer ${show(this.name)} cannot be used: ${this.#blocked}`);
  }
}

/** @param {readonly Tensor[]} tensors */
function totalSize(tensors) {
  return tensors.reduce((total, { size }) => total + size, 0);
}

function noGradients() {
  return new RangeError('No gradients provided for any variable.');
}
