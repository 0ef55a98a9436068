/**
 * RMSprop as tf.keras had it from TensorFlow 2.4 to 2.10, and has it since as `keras.optimizers.legacy.RMSprop`
 * (OptimizerV2): names, defaults, order of operations, state and errors. The arithmetic is the kernels', the slots are
 * the engines'.
 */
import { array, checkCount, finite, integer, knownOptions, ofType, rangeError, show, typeError } from './check.js';
import { checkCounter, checkRate } from './checkpoint.js';
import { clipByGlobalNorm, clipByNorm, clipByValue, roundingOf, sumOfSquares, totalSquares } from './clip.js';
import { Engine, checkPool } from './engine.js';
import * as constants from './generated/constants.js';
import { tensorflow } from './generated/tensorflow.js';
import { buffersBefore, callLoss, setAll } from './core/gradients.js';
import { configured, equip } from './core/inspect.js';
import { refuseSpellings } from './core/spellings.js';
import { growingParts, readGrowing, savesVariables } from './growing-checkpoint.js';
import { checkHyperparameter, configOf } from './keras-options.js';
import { camelCase, snakeCase } from './naming.js';
import { PARTS, joined } from './safetensors.js';
import { isSchedule } from './schedule-marker.js';
import { deserialize, serialize } from './schedules.js';
import {
  IndexedSlices, checkGradient, checkSlices, denseOf, describe, disposedError, isIndexedSlices, isTensor, scalar,
  typedCopy, zerosOf,
} from './tensor.js';
import { checkIsVariable, checkUpdates, constrain, gradLossArguments, updatesOf } from './updates.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').Values} Values */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./tensor.js').DType} DType */
/** @typedef {import('./schedules.js').LearningRateSchedule} LearningRateSchedule */
/** @typedef {import('./core/gradients.js').Gradient} Gradient */
/** @typedef {import('./core/gradients.js').LossAndGradients} LossAndGradients */
/** @typedef {import('./updates.js').Update} Update */
/** @typedef {import('./clip.js').Floats} Floats */
/** @typedef {number | ((step: number) => number)} Hyperparameter a callback gets the number of updates made */
/** @typedef {Hyperparameter | LearningRateSchedule} Rate */
/** @typedef {Variable | readonly VariableList[]} VariableList variables, in lists nested to any depth */
/** @typedef {'zeros' | 'ones' | ((shape: readonly number[]) => Values)} Initializer */
/**
 * @typedef {object} RMSpropOptions `null` stands for an option that is not given, as Python's None
 * @property {Rate} [learningRate] default 0.001
 * @property {Hyperparameter} [rho] decay of the mean square, default 0.9
 * @property {Hyperparameter} [momentum] in [0, 1], default 0; a number above 0 and any callback choose the rule with
 *   momentum, for good
 * @property {number} [epsilon] default 1e-7, and so is 0; added to the root, with momentum under it
 * @property {boolean} [centered] divide by an estimate of the variance instead, default false
 * @property {string} [name] default 'RMSprop'
 * @property {number | null} [clipnorm] limit of each gradient's norm; 0 is a limit too
 * @property {number | null} [clipvalue] limit of each element; comes before a limit of the norm
 * @property {number | null} [globalClipnorm] limit of the norm over all gradients; not with clipnorm
 * @property {number | null} [lr] deprecated name of `learningRate`, before which it goes
 * @property {number | null} [decay] the rate is divided by 1 + decay · iterations; default 0
 * @property {import('./engine.js').Pool} [pool] threads that share the work of each step: a `ThreadPool`, in whose
 *   memory the variables are
 */

/** What may be a callback, and be assigned later. */
const HYPERPARAMETERS = /** @type {const} */ (['learningRate', 'rho', 'momentum']);

/** Keyword arguments, all of which must be at least 0, in the order in which the config has those that are given. */
const CLIPS = /** @type {const} */ (['clipnorm', 'clipvalue', 'globalClipnorm']);

/** The options in the order of the config dictionary, with their defaults; null: not given. */
const DEFAULTS = Object.freeze({
  name: 'RMSprop',
  clipnorm: null,
  clipvalue: null,
  globalClipnorm: null,
  learningRate: 0.001,
  decay: 0,
  rho: 0.9,
  momentum: 0,
  epsilon: 1e-7,
  centered: false,
});

const DISPOSED = 'it is disposed';
const DIALECT = 'keras-legacy';

/** What the rule itself may keep: no optimizer takes these from one that had other options. */
const SLOT_NAMES = ['rms', 'momentum', 'mg'];

/**
 * RMSprop with the names, defaults and arithmetic of `tf.keras.optimizers.legacy.RMSprop` (Keras 2.15). Without
 * momentum
 *
 *     rms <- rho rms + (1 - rho) g²,   x <- x - learningRate g / (sqrt(rms) + epsilon)
 *
 * and a sparse gradient lets the `rms` of all rows decay, but moves only the rows that it names. With momentum the rule
 * is that of TensorFlow 1, and of a sparse gradient only the rows that it names are updated, variable and slots alike:
 *
 *     rms <- rms + (g² - rms) (1 - rho),   m <- momentum m + g learningRate / sqrt(rms + epsilon),   x <- x - m
 *
 * @example
 * ```js
 * import { variable } from 'rmsprop-wasm';
 * import { RMSprop } from 'rmsprop-wasm/legacy';
 *
 * const w = variable([1]);
 * const optimizer = new RMSprop({ learningRate: 0.1 });
 * optimizer.minimize(() => ({ loss: w.data[0], gradients: [[1]] }), [w]);
 * console.log(optimizer.iterations, w.data[0].toFixed(3)); // prints 1 0.684
 * ```
 */
export class RMSprop {
  /** What never changes: `name`, `centered`, `decay`; and `isFused`: the rule with momentum was chosen. */
  #fixed;
  /** @type {{ learningRate: Rate, rho: Hyperparameter, momentum: Hyperparameter, decay: number }} */
  #hyper;
  /**
   * What can be assigned and is no callback.
   *
   * @type {Record<typeof CLIPS[number], number | null> & { epsilon: number }}
   */
  #plain;
  #iteration;
  #pool;
  /** One for each type of variable, for each type has its own rate. @type {Map<DType, Engine>} */
  #engines = new Map();
  /** The slots that are known outside, by variable and name. @type {Map<Variable, Map<string, Tensor>>} */
  #slots = new Map();
  /** @type {string[]} */
  #slotNames = [];
  /** The slots in the order in which they came. @type {Tensor[]} */
  #weights = [];
  /** Slots that only the user uses. @type {Tensor[]} */
  #added = [];
  /** Whether an update has made weights. */
  #hasWeights = false;
  /** Why no call can be made now. @type {string | undefined} */
  #blocked;

  /**
   * @param {RMSpropOptions} [options]
   * @throws {TypeError} for an unknown option, naming the nearest known one, or one of the wrong kind
   * @throws {RangeError} for NaN, infinity, and what Keras refuses
   */
  constructor(options = {}) {
    const checked = checkOptions(options);
    const { name, centered, decay, learningRate, rho, momentum, epsilon, pool, ...clips } = checked;
    this.#pool = checkPool(pool);
    this.#fixed = { name, centered, decay, isFused: typeof momentum === 'function' || momentum > 0 };
    this.#hyper = { learningRate, rho, momentum, decay };
    this.#plain = { ...clips, epsilon: epsilon || DEFAULTS.epsilon };
    this.#iteration = scalar('int32', 0);
  }

  /** @returns {string} the name given, or 'RMSprop' */
  get name() {
    return this.#fixed.name;
  }

  /** @returns {boolean} */
  get centered() {
    return this.#fixed.centered;
  }

  /** @returns {number | LearningRateSchedule} the rate as float32, what the callback says now, or the schedule */
  get learningRate() {
    const { learningRate } = this.#hyper;
    return isSchedule(learningRate) ? learningRate : this.#evaluate('learningRate');
  }

  /** @param {Rate} rate a number, callback or schedule, from the next update on */
  set learningRate(rate) {
    this.#assign('learningRate', rate);
  }

  /** @returns {number | LearningRateSchedule} another name of `learningRate` */
  get lr() {
    return this.learningRate;
  }

  /** @param {Rate} rate */
  set lr(rate) {
    this.learningRate = rate;
  }

  /** @returns {number} as float32, or what the callback says now */
  get rho() {
    return this.#evaluate('rho');
  }

  /** @param {Hyperparameter} rho from the next update on */
  set rho(rho) {
    this.#assign('rho', rho);
  }

  /** @returns {number} as float32, or what the callback says now */
  get momentum() {
    return this.#evaluate('momentum');
  }

  /**
   * Comes into use with the next update if the optimizer was constructed with a momentum; else nothing changes.
   *
   * @param {Hyperparameter} momentum
   */
  set momentum(momentum) {
    this.#assign('momentum', momentum);
  }

  /** @returns {number} as float32 */
  get decay() {
    return Math.fround(this.#hyper.decay);
  }

  /** @param {number} decay can be read again and nothing more: updates keep to the constructor's, as in Keras */
  set decay(decay) {
    this.#ready('decay');
    this.#hyper.decay = checkNotNegative('decay', finite('decay', decay));
  }

  /** @returns {number} */
  get epsilon() {
    return this.#plain.epsilon;
  }

  /** @param {number} epsilon from the next update on; here 0 is 0 */
  set epsilon(epsilon) {
    this.#ready('epsilon');
    this.#plain.epsilon = finite('epsilon', epsilon);
  }

  /** @returns {number | null} */
  get clipnorm() {
    return this.#plain.clipnorm;
  }

  /** @param {number | null} limit from the next update on; null: none */
  set clipnorm(limit) {
    this.#assignClip('clipnorm', limit);
  }

  /** @returns {number | null} */
  get clipvalue() {
    return this.#plain.clipvalue;
  }

  /** @param {number | null} limit from the next update on; null: none */
  set clipvalue(limit) {
    this.#assignClip('clipvalue', limit);
  }

  /** @returns {number | null} */
  get globalClipnorm() {
    return this.#plain.globalClipnorm;
  }

  /** @param {number | null} limit from the next update on; null: none */
  set globalClipnorm(limit) {
    this.#assignClip('globalClipnorm', limit);
  }

  /** @returns {number} updates made */
  get iterations() {
    return this.#iteration.data[0];
  }

  /**
   * @param {number} count an integer of at least 0
   * @throws {Error} if weights exist already
   */
  set iterations(count) {
    this.#ready('iterations');
    if (this.#hasWeights) {
      const what = `iterations of optimizer ${show(this.name)}`;
      throw new Error(`Cannot set ${what} after its weights have been created, got ${show(count)}`);
    }
    this.#iteration.data[0] = integer('iterations', count, 0, 2 ** 31 - 1);
  }

  /**
   * @returns {Tensor[]} the state in Keras's order: the iterations (int32 scalar), then of the variables of the first
   *   update all rms, all momentum and all mg, then those of variables that came later; [] before the first update
   */
  get weights() {
    return this.#hasWeights ? [this.#iteration, ...this.#weights] : [...this.#weights];
  }

  /** @returns {TensorData[]} copies of `weights`, in their order */
  getWeights() {
    return this.weights.map(({ data }) => data.slice());
  }

  /**
   * Takes over what `getWeights` gave.
   *
   * @param {readonly (Values | Tensor)[]} weights as many as `weights`; or one less, as in files of older versions,
   *   which do not count iterations: they become 0 then
   * @throws {TypeError | RangeError} for another number, or one that does not fit; nothing is written then
   */
  setWeights(weights) {
    this.#ready('setWeights');
    const expected = this.weights;
    const given = array('weights', weights);
    const isShort = expected.length === given.length + 1;
    if (!isShort && expected.length !== given.length) {
      throw new RangeError(`setWeights of optimizer ${show(this.name)} got a weight list of length ${given.length}, but`
        + ` the optimizer was expecting ${expected.length} weights`);
    }
    setAll('weights', expected, isShort ? [0, ...given] : given, [checkCounter]);
  }

  /** @returns {string[]} in the order in which they came: rms, momentum, mg; [] before the first update */
  getSlotNames() {
    return [...this.#slotNames];
  }

  /**
   * @param {Variable} variable
   * @param {string} name one of `getSlotNames`
   * @returns {Tensor}
   * @throws {RangeError} if the variable has no such slot
   */
  getSlot(variable, name) {
    const slot = this.#slots.get(variable)?.get(name);
    if (!slot) {
      const owner = isTensor(variable) ? describe(variable) : show(variable);
      throw new RangeError(`optimizer ${show(this.name)} has no slot ${show(name)} for ${owner}`);
    }
    return slot;
  }

  /**
   * Makes a slot. One that exists already is returned as it is; a slot of the optimizer itself may be made before the
   * first update, which then starts from it.
   *
   * @param {Variable} variable float32 or float64
   * @param {string} name
   * @param {Initializer} [initializer] a function gets the variable's shape and returns as many values; default 'zeros'
   * @returns {Tensor} of the variable's type and shape
   * @throws {TypeError | RangeError | Error} for what does not fit; nothing is made then
   */
  addSlot(variable, name, initializer = 'zeros') {
    this.#ready('addSlot');
    checkIsVariable('variable', variable);
    ofType('name', name, 'string');
    if (this.#slots.get(variable)?.has(name)) return this.getSlot(variable, name);
    if (variable.dtype === 'int32') throw rangeError(describe(variable), 'float32 or float64', variable.dtype);
    const values = this.#calling(() => initialValues(variable, name, initializer));
    if (variable.isDisposed) throw disposedError(variable);
    const slot = this.#make(variable, name);
    slot.data.set(values);
    this.#register(variable, name, slot);
    return slot;
  }

  /**
   * Calls a loss function.
   *
   * @param {(...variables: any[]) => LossAndGradients} lossAndGradients is called with the elements of `params`;
   *   returns { loss, gradients }, or a number having written each `variable.gradient`
   * @param {VariableList} params
   * @returns {Gradient[]} of the variables, as the function gave them: not clipped
   * @throws {TypeError | RangeError | Error} for other variables or another return value, and where a gradient is
   *   missing
   */
  getGradients(lossAndGradients, params) {
    this.#ready('getGradients');
    return pairsOf(lossAndGradients, params).map(([gradient, variable]) => {
      if (gradient === null) {
        throw new RangeError(`${describe(variable)} has null for gradient: all operations must have one defined`);
      }
      if (isIndexedSlices(gradient)) checkSlices(variable, gradient);
      else checkGradient(variable, gradient);
      return gradient;
    });
  }

  /**
   * One update, by the gradients that a loss function gives.
   *
   * @param {(...variables: any[]) => LossAndGradients} lossAndGradients is called with the variables, and then
   *   `gradLoss` if it was given; returns { loss, gradients }, or a number having written each `variable.gradient`
   * @param {VariableList | (() => VariableList)} varList
   * @param {object} [options]
   * @param {Tensor | Values | null} [options.gradLoss] gradient of the loss
   * @param {string | null} [options.name] of TensorFlow's operation; ignored
   * @returns {number | null} see `applyGradients`
   * @throws {TypeError | RangeError | Error} as `applyGradients`, and for another return value
   */
  minimize(lossAndGradients, varList, options = {}) {
    this.#ready('minimize');
    knownOptions('minimize', options, ['gradLoss', 'name']);
    const { gradLoss, name } = options;
    const pairs = pairsOf(lossAndGradients, varList, ...gradLossArguments(gradLoss));
    return this.applyGradients(pairs, { name });
  }

  /**
   * One update: gradients are clipped, by value, then by norm; weights are made for variables that come for the first
   * time; then constraints run, and `iterations` counts.
   *
   * @param {readonly (readonly [Gradient | null, Variable])[]} pairs those without a gradient are left out, with a
   *   warning; a variable may come once; empty: nothing happens
   * @param {object} [options]
   * @param {string | null} [options.name] of TensorFlow's operation; ignored
   * @param {boolean} [options.experimentalAggregateGradients] default true; ignored, there are no replicas
   * @returns {number | null} `iterations` after it; null for an empty list
   * @throws {Error} for a tensor instead of a variable, a disposed one, and a sparse gradient of a variable with a
   *   constraint
   * @throws {TypeError | RangeError} for what does not fit, and where no variable has a gradient
   *
   * Weights, slots and the counter are as before then. Only an error of a constraint comes after the update, when the
   * other constraints have run.
   */
  applyGradients(pairs, options = {}) {
    this.#ready('applyGradients');
    knownOptions('applyGradients', options, ['name', 'experimentalAggregateGradients']);
    const { name, experimentalAggregateGradients } = options;
    if (name != null) ofType('name', name, 'string');
    ofType('experimentalAggregateGradients', experimentalAggregateGradients ?? true, 'boolean');
    const { updates, missing } = updatesOf(pairs);
    const without = missing.map((variable) => show(variable.name)).join(', ');
    if (updates.length === 0) {
      if (missing.length === 0) return null;
      throw new RangeError(`No gradients provided for any variable: [${without}].`);
    }
    checkUpdates(updates);
    checkCount('iterations', this.iterations);
    const byType = this.#byType(updates);
    const rate = this.#evaluate('learningRate');
    const numbers = { rho: this.#evaluate('rho'), momentum: this.#evaluate('momentum'), epsilon: this.epsilon };

    this.#update(byType, rate, numbers);
    this.#registerAll(updates);
    if (without) console.warn(`Gradients do not exist for variables [${without}] when minimizing the loss.`);
    this.#blocked = 'a constraint runs';
    const failure = constrain(updates);
    this.#blocked = undefined;
    this.#iteration.data[0] += 1;
    if (failure) throw failure.error;
    return this.iterations;
  }

  /**
   * @returns {Record<string, unknown>} Keras's dictionary, in Keras's order, JSON-safe; numbers that updates have taken
   *   up are read back from float32, a callback gives what it returns now, a schedule is serialized
   */
  getConfig() {
    const { name, decay, centered } = this.#fixed;
    const clips = CLIPS.map((clip) => [snakeCase(clip), this.#plain[clip]]).filter(([, limit]) => limit !== null);
    const [learningRate, rho, momentum] = HYPERPARAMETERS.map((hyper) => {
      const value = this.#hyper[hyper];
      if (isSchedule(value)) return serialize(value);
      return typeof value === 'number' && this.#hasWeights ? Math.fround(value) : this.#ask(hyper);
    });
    const { epsilon } = this;
    return { name, ...Object.fromEntries(clips), learning_rate: learningRate, decay, rho, momentum, epsilon, centered };
  }

  /**
   * @param {Record<string, any>} config Keras's dictionary, in which `lr` goes before `learning_rate`, or the options
   *   of the constructor
   * @param {object} [options]
   * @param {Record<string, any>} [options.customObjects] schedule classes of the user's own by name
   * @returns {RMSprop}
   */
  static fromConfig(config, options = {}) {
    knownOptions('fromConfig', options, ['customObjects']);
    if (options.customObjects !== undefined) ofType('customObjects', options.customObjects, 'object');
    const { lr, ...given } = Object.fromEntries(
      Object.entries(ofType('config', config, 'object')).map(([key, value]) => [camelCase(key), value]),
    );
    if (lr !== undefined) given.learningRate = lr;
    if (given.learningRate?.class_name) given.learningRate = deserialize(given.learningRate, options);
    return new RMSprop(given);
  }

  /**
   * @param {object} [options]
   * @param {boolean} [options.variables] save the weights too, default false
   * @returns {Uint8Array} the whole state as a safetensors file: a run that is loaded from it goes on with equal bits
   * @throws {RangeError} if two tensors would have one name
   */
  save(options = {}) {
    return joined(this[PARTS](options));
  }

  /**
   * @param {{ variables?: boolean }} [options]
   * @returns {Uint8Array[]} what `save` returns, in parts
   */
  [PARTS](options = {}) {
    this.#ready('save');
    const variables = savesVariables('save', options);
    const { name, decay, centered } = this.#fixed;
    const { learningRate } = this.#hyper;
    const hyper = HYPERPARAMETERS.map((key) => [snakeCase(key), configOf(this.#hyper[key], false)]);
    const plain = Object.entries(this.#plain).map(([key, value]) => [snakeCase(key), value]);
    const config = { name, decay, centered, ...Object.fromEntries([...hyper, ...plain]) };
    const counters = {
      iterations: this.iterations,
      has_weights: this.#hasWeights,
      ...(typeof learningRate === 'number' && { learning_rate: learningRate }),
    };
    return growingParts(DIALECT, this.#made(), { config, counters, variables });
  }

  /**
   * Takes over the state of a file, and the weights if it has them; slots that are missing are made. Hyperparameters
   * other than a number for the rate stay those of the constructor.
   *
   * @param {Uint8Array | ArrayBuffer} bytes what `save` returned, by an optimizer with the same slots
   * @param {object} [options]
   * @param {readonly Variable[]} [options.variables] those of the file, matched by their names; those of one name in
   *   the order in which they were first updated. Default those that have slots: a new optimizer has none.
   * @throws {TypeError | RangeError} if it is anything else; nothing is written then
   */
  load(bytes, options = {}) {
    this.#ready('load');
    knownOptions('load', options, ['variables']);
    const variables = array('variables', options.variables ?? [...this.#slots.keys()]);
    const { counters, slots, weights } = readGrowing(DIALECT, bytes, variables, this.#made());
    const { iterations, has_weights: hasWeights, learning_rate: rate } = counters;
    checkCounter('iterations of the checkpoint', iterations);
    ofType('has_weights of the checkpoint', hasWeights, 'boolean');
    if (rate !== undefined) checkRate('learning_rate of the checkpoint', rate);
    const names = this.#specs().map(({ name }) => name);
    const updated = new Set(slots.filter(({ name }) => names.includes(name)).map(({ variable }) => variable));
    const own = [...updated].filter(() => hasWeights).flatMap((variable) => names.map((name) => ({ variable, name })));
    for (const { variable, name } of own) {
      if (slots.some((slot) => slot.variable === variable && slot.name === name)) continue;
      throw rangeError('the checkpoint', `one with slot ${show(name)} of ${describe(variable)}`, undefined);
    }
    for (const { variable, name } of slots) {
      if (names.includes(name) || !SLOT_NAMES.includes(name)) continue;
      throw rangeError('the checkpoint', `one without slot ${show(name)}`, describe(variable));
    }

    const before = new Map(this.#engines);
    /** @type {Tensor[]} */
    const added = [];
    /** @type {Tensor[]} */
    let made = [];
    let isDone = false;
    try {
      for (const dtype of new Set([...updated].map((variable) => variable.dtype))) {
        this.#engineOf(dtype, [...updated].filter((variable) => variable.dtype === dtype));
      }
      made = slots.map(({ variable, name }) => {
        const existing = this.#slots.get(variable)?.get(name) ?? this.#ownSlot(variable, name);
        if (existing) return existing;
        added.push(zerosOf(variable.memory, variable.dtype, variable.shape));
        return added[added.length - 1];
      });
      const targets = [...made, ...weights.map(({ variable }) => variable)];
      setAll('checkpoint', targets, [...slots, ...weights].map(valuesOf));
      isDone = true;
    } finally {
      this.#settle(before, isDone);
      if (!isDone) for (const slot of added) slot.dispose();
    }
    this.#added.push(...added);
    slots.forEach(({ variable, name }, i) => this.#register(variable, name, made[i]));
    this.#iteration.data[0] = iterations;
    this.#hasWeights = hasWeights;
    if (rate !== undefined && typeof this.#hyper.learningRate === 'number') this.#hyper.learningRate = rate;
  }

  /** Frees slots and counter; the variables stay. Calling it again does nothing. */
  dispose() {
    if (this.#blocked === DISPOSED) return;
    this.#ready('dispose');
    this.#blocked = DISPOSED;
    for (const engine of this.#engines.values()) engine.dispose();
    for (const slot of this.#added) slot.dispose();
    this.#iteration.dispose();
  }

  static {
    equip(this, (optimizer) => #fixed in optimizer, configured);
    refuseSpellings(this);
  }

  // ---- The update ----

  /**
   * @param {readonly Update[]} updates checked
   * @returns {Map<DType, Update[]>}
   */
  #byType(updates) {
    /** @type {Map<DType, Update[]>} */
    const byType = new Map();
    for (const update of updates) {
      const { dtype } = update.variable;
      if (this.globalClipnorm !== null && byType.size > 0 && !byType.has(dtype)) {
        const { dtype: first } = updates[0].variable;
        throw typeError(describe(update.variable), `${first} as the others under globalClipnorm`, dtype);
      }
      byType.set(dtype, [...(byType.get(dtype) ?? []), update]);
    }
    return byType;
  }

  /**
   * Everything that can fail comes first; then the kernels run.
   *
   * @param {Map<DType, Update[]>} byType
   * @param {number} rate a float32
   * @param {{ rho: number, momentum: number, epsilon: number }} numbers
   */
  #update(byType, rate, numbers) {
    const staged = [];
    const freeBuffers = buffersBefore([...byType.values()].flat().map(({ variable }) => variable));
    const before = new Map(this.#engines);
    let isDone = false;
    try {
      for (const [dtype, updates] of byType) {
        const engine = this.#engineOf(dtype, updates.map(({ variable }) => variable));
        engine.setNumber('learning_rate', this.#decayed(rate, updates[0].variable));
        engine.setNumber('rho', numbers.rho);
        engine.setNumber('momentum', numbers.momentum);
        engine.setNumber('epsilon', numbers.epsilon);
        staged.push(this.#stage(engine, updates));
      }
      for (const run of staged) run();
      isDone = true;
    } finally {
      for (const engine of this.#engines.values()) engine.variables.forEach((_, i) => engine.setGradient(i, null));
      this.#settle(before, isDone);
      if (!isDone) freeBuffers();
    }
  }

  /**
   * Hands the gradients of one type to their engine.
   *
   * @param {Engine} engine
   * @param {readonly Update[]} updates all its variables that have a gradient in this call
   * @returns {() => void} what runs the kernels, and cannot fail
   */
  #stage(engine, updates) {
    const { clipnorm, clipvalue, globalClipnorm } = this.#plain;
    let flags = 0;
    if (clipvalue !== null) flags |= constants.RMS_CLIP_BY_VALUE;
    if (clipnorm !== null) flags |= constants.RMS_CLIP_BY_NORM;
    if (globalClipnorm !== null) flags |= constants.RMS_CLIP_BY_GLOBAL_NORM;
    const limit = clipnorm ?? globalClipnorm ?? 0;
    engine.setWord('flags', flags);
    engine.setNumber('clip_value', clipvalue ?? 0);
    // The kernels round 1 / limit; TensorFlow rounds the limit before it divides.
    engine.setNumber('clip_norm', updates[0].variable.dtype === 'float32' ? Math.fround(limit) : limit);

    /** Dense gradients by the index of their variable. @type {Map<number, Tensor>} */
    const dense = new Map();
    /** Slices, to be clipped before those of one row are summed. @type {Map<number, IndexedSlices>} */
    const sparse = new Map();
    for (const { gradient, variable } of updates) {
      const index = engine.indexOf(variable);
      if (!isIndexedSlices(gradient)) dense.set(index, variable.placeGradient(gradient));
      else sparse.set(index, flags === 0 ? gradient : copyOf(gradient, variable));
    }
    for (const [index, gradient] of dense) engine.setGradient(index, gradient);
    const total = this.#clipSlices(engine, updates, sparse);
    for (const [index, slices] of sparse) {
      const variable = engine.variables[index];
      // Without momentum rms and mg of all rows decay: by the dense update, whose gradient is 0 in the others.
      if (this.#fixed.isFused) engine.setRows(index, slices, true);
      else engine.setGradient(index, variable.placeGradient(denseOf(variable, slices)), true);
    }
    const placed = engine.place();
    return () => {
      if (total === undefined) placed.step();
      else placed.stepWithSum(total);
    };
  }

  /**
   * Clips slices as the kernels clip dense gradients.
   *
   * @param {Engine} engine in which the dense gradients are staged
   * @param {readonly Update[]} updates all gradients, in the order in which their norms are summed
   * @param {Map<number, IndexedSlices>} sparse changed in place, where anything is to be clipped
   * @returns {number | undefined} the sum of the squares of all gradients, if they are clipped by it
   */
  #clipSlices(engine, updates, sparse) {
    const { clipnorm, clipvalue, globalClipnorm } = this.#plain;
    const lists = [...sparse.values()].map(({ values }) => /** @type {Floats} */ (values));
    for (const values of lists) {
      if (clipvalue !== null) clipByValue(values, clipvalue);
      if (clipnorm !== null) clipByNorm(values, clipnorm);
    }
    if (globalClipnorm === null) return undefined;
    const placed = engine.place();
    const sums = new Map([...sparse.keys()].map((index, i) => [index, sumOfSquares(lists[i])]));
    const order = updates.map(({ variable }) => engine.indexOf(variable));
    const total = totalSquares(placed, engine.variables[0].dtype, order, sums);
    for (const values of lists) clipByGlobalNorm(values, globalClipnorm, total);
    return total;
  }

  /**
   * @param {number} rate a float32
   * @param {Variable} variable
   * @returns {number} the rate of this update, in the arithmetic of the variable's type
   */
  #decayed(rate, variable) {
    const { decay } = this.#fixed;
    if (!(decay > 0)) return rate;
    const round = roundingOf(/** @type {Floats} */ (variable.data));
    return round(rate / round(1 + round(Math.fround(decay) * round(this.iterations))));
  }

  /**
   * @param {typeof HYPERPARAMETERS[number]} name
   * @returns {number} as Keras holds it for variables of any type: a float32
   */
  #evaluate(name) {
    return Math.fround(this.#ask(name));
  }

  /**
   * @param {typeof HYPERPARAMETERS[number]} name
   * @returns {number} as it was given, or as the callback or schedule gives it now
   */
  #ask(name) {
    const source = this.#hyper[name];
    if (typeof source === 'number') return source;
    const step = this.iterations;
    const value = this.#calling(() => (typeof source === 'function' ? source(step) : source.at(step)));
    return finite(`${name} at step ${step}`, value);
  }

  /**
   * @template T
   * @param {() => T} callback of the user's
   * @returns {T} what it returns; no call can be made meanwhile
   */
  #calling(callback) {
    const before = this.#blocked;
    this.#blocked ??= 'a callback runs';
    try {
      return callback();
    } finally {
      this.#blocked = before;
    }
  }

  // ---- State ----

  #specs() {
    return /** @type {import('./engine.js').SlotSpec[]} */ ([
      { name: 'rms', field: 'mean_square' },
      ...(this.#fixed.isFused ? [{ name: 'momentum', field: 'momentum' }] : []),
      ...(this.#fixed.centered ? [{ name: 'mg', field: 'mean_gradient' }] : []),
    ]);
  }

  /**
   * @param {DType} dtype
   * @param {readonly Variable[]} variables of that type
   * @returns {Engine} that has them; those that are new are to be settled
   */
  #engineOf(dtype, variables) {
    const existing = this.#engines.get(dtype);
    if (existing) {
      existing.add(variables, true);
      return existing;
    }
    const engine = new Engine(tensorflow, variables, this.#specs(), { pool: this.#pool });
    engine.setWord('rule', this.#fixed.isFused ? constants.RMS_RULE_TF1 : constants.RMS_RULE_LEGACY);
    this.#engines.set(dtype, engine);
    return engine;
  }

  /**
   * @param {ReadonlyMap<DType, Engine>} before the engines that were there before `#engineOf`
   * @param {boolean} isKept whether the others stay, and all variables that were added
   */
  #settle(before, isKept) {
    for (const [dtype, engine] of this.#engines) {
      engine.settle(isKept);
      if (isKept || before.has(dtype)) continue;
      engine.dispose();
      this.#engines.delete(dtype);
    }
  }

  /** @returns {(import('./growing-checkpoint.js').Slot & { tensor: Tensor })[]} in the order in which they came */
  #made() {
    const slots = [...this.#slots].flatMap(([variable, byName]) =>
      [...byName].map(([name, tensor]) => ({ variable, name, tensor })));
    const order = new Map(this.#weights.map((tensor, i) => [tensor, i]));
    return slots.sort((a, b) => Number(order.get(a.tensor)) - Number(order.get(b.tensor)));
  }

  /**
   * @param {Variable} variable
   * @param {string} name
   * @returns {Tensor} a slot, not registered yet
   */
  #make(variable, name) {
    if (this.#specs().some((spec) => spec.name === name)) {
      this.#engineOf(variable.dtype, [variable]).settle(true);
      return /** @type {Tensor} */ (this.#ownSlot(variable, name));
    }
    const slot = zerosOf(variable.memory, variable.dtype, variable.shape);
    this.#added.push(slot);
    return slot;
  }

  /**
   * @param {Variable} variable
   * @param {string} name
   * @returns {Tensor | undefined} a slot that the rule itself keeps, if it is made
   */
  #ownSlot(variable, name) {
    const engine = this.#engines.get(variable.dtype);
    return engine?.slot(name)[engine.indexOf(variable)];
  }

  /**
   * Makes the slots of updated variables known.
   *
   * @param {readonly Update[]} updates
   */
  #registerAll(updates) {
    this.#hasWeights = true;
    for (const { name } of this.#specs()) {
      for (const { variable } of updates) {
        this.#register(variable, name, /** @type {Tensor} */ (this.#ownSlot(variable, name)));
      }
    }
  }

  /**
   * @param {Variable} variable
   * @param {string} name
   * @param {Tensor} slot
   */
  #register(variable, name, slot) {
    const slots = this.#slots.get(variable) ?? new Map();
    if (slots.has(name)) return;
    this.#slots.set(variable, slots.set(name, slot));
    this.#weights.push(slot);
    if (!this.#slotNames.includes(name)) this.#slotNames.push(name);
  }

  /**
   * @param {typeof HYPERPARAMETERS[number]} name
   * @param {any} value
   */
  #assign(name, value) {
    this.#ready(name);
    checkHyperparameter(name, value);
    if (name === 'momentum') checkMomentum(value);
    this.#hyper[name] = value;
  }

  /**
   * @param {typeof CLIPS[number]} name
   * @param {number | null} limit
   */
  #assignClip(name, limit) {
    this.#ready(name);
    if (limit !== null) checkNotNegative(name, finite(name, limit, 'a finite number or null'));
    const plain = { ...this.#plain, [name]: limit };
    checkClips(plain);
    this.#plain = plain;
  }

  /** @param {string} call */
  #ready(call) {
    if (this.#blocked) throw new Error(`${call} of optimizer ${show(this.name)} cannot be used: ${this.#blocked}`);
  }
}

/**
 * @param {RMSpropOptions} given
 * @returns {typeof DEFAULTS & Record<string, any>} every option but lr, null for what is not given
 */
function checkOptions(given) {
  knownOptions('RMSprop', given, [...Object.keys(DEFAULTS), 'lr', 'pool']);
  for (const name of /** @type {const} */ ([...CLIPS, 'lr', 'decay'])) {
    const value = given[name];
    if (value != null) checkNotNegative(name, finite(name, value));
  }
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const { lr, ...options } = { lr: null, ...DEFAULTS, ...present };
  options.decay ??= DEFAULTS.decay;
  checkClips(options);
  ofType('name', options.name, 'string');
  ofType('centered', options.centered, 'boolean');
  finite('epsilon', options.epsilon);
  for (const name of HYPERPARAMETERS) checkHyperparameter(name, options[name]);
  checkMomentum(options.momentum);
  if (lr === null) return options;
  console.warn('The option lr is deprecated, use learningRate instead.');
  return { ...options, learningRate: lr };
}

/**
 * @param {string} name
 * @param {number} value
 * @returns {number} the value
 */
function checkNotNegative(name, value) {
  if (value < 0) throw rangeError(name, '>= 0', value);
  return value;
}

/** @param {any} momentum a number or callback */
function checkMomentum(momentum) {
  if (momentum < 0 || momentum > 1) throw rangeError('momentum', 'in [0, 1]', momentum);
}

/** @param {Record<string, any>} clips */
function checkClips({ clipnorm, globalClipnorm }) {
  if (clipnorm === null || globalClipnorm === null) return;
  throw new RangeError(
    `Cannot accept both clipnorm and globalClipnorm, got clipnorm ${clipnorm} and globalClipnorm ${globalClipnorm}`,
  );
}

/**
 * @param {unknown} lossAndGradients
 * @param {VariableList | (() => VariableList)} varList
 * @param {...unknown} rest what the function is called with after the variables
 * @returns {[Gradient | null, Variable][]} not checked further
 */
function pairsOf(lossAndGradients, varList, ...rest) {
  if (isTensor(lossAndGradients) || typeof lossAndGradients === 'number') {
    const loss = isTensor(lossAndGradients) ? describe(lossAndGradients) : lossAndGradients;
    throw new RangeError(`a tape is required when a loss is passed: pass a function that gives gradients, got ${loss}`);
  }
  const fn = ofType('lossAndGradients', lossAndGradients, 'function');
  /** @type {any[]} */
  const lists = [typeof varList === 'function' ? varList() : varList];
  const variables = lists.flat(Infinity);
  variables.forEach((variable, i) => checkIsVariable(`variables[${i}]`, variable));
  const gradients = callLoss(fn, variables, ...rest);
  if (gradients.length !== variables.length) {
    throw rangeError('gradients', `as many as variables, ${variables.length}`, gradients);
  }
  return gradients.map((gradient, i) => [gradient, variables[i]]);
}

/**
 * @param {Variable} variable
 * @param {string} name of the slot
 * @param {Initializer} initializer
 * @returns {ArrayLike<number>} as many numbers as the variable has, outside linear memory
 */
function initialValues(variable, name, initializer) {
  if (typeof initializer === 'function') {
    return variable.checked(`the initial value of slot ${show(name)}`, initializer([...variable.shape])).slice();
  }
  const known = ['zeros', 'ones'].indexOf(ofType('initializer', initializer, 'string'));
  if (known === -1) throw rangeError('initializer', "'zeros', 'ones' or a function", initializer);
  return new Float64Array(variable.size).fill(known);
}

/**
 * @param {IndexedSlices} slices
 * @param {Variable} of
 * @returns {IndexedSlices} with an array of the variable's type, which may be changed
 */
function copyOf({ values, indices }, of) {
  return new IndexedSlices(typedCopy(of, values), indices, undefined);
}

/** @param {{ values: TensorData }} held */
function valuesOf({ values }) {
  return values;
}
