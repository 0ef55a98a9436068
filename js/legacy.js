/**
 * RMSprop as tf.keras had it from TensorFlow 2.4 to 2.10, and has it since as `keras.optimizers.legacy.RMSprop`
 * (OptimizerV2): names, defaults, order of operations, state and errors. The arithmetic is the kernels', the slots are
 * the engines'.
 */
import { array, finite, integer, knownOptions, ofType, rangeError, show, typeError } from './check.js';
import { clipByGlobalNorm, clipByNorm, clipByValue, sumInOrder, sumOfSquares } from './clip.js';
import { Engine, constants } from './engine.js';
import { callLoss, setAll } from './gradients.js';
import { camelCase, snakeCase } from './naming.js';
import { isSchedule } from './schedule-marker.js';
import { deserialize, serialize } from './schedules.js';
import {
  IndexedSlices, checkGradient, checkSlices, denseOf, describe, disposedError, isIndexedSlices, isTensor, scalar, zerosOf,
} from './tensor.js';
import { checkIsVariable, checkUpdates, constrain, updatesOf } from './updates.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').Values} Values */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./tensor.js').DType} DType */
/** @typedef {import('./schedules.js').LearningRateSchedule} LearningRateSchedule */
/** @typedef {import('./gradients.js').Gradient} Gradient */
/** @typedef {import('./gradients.js').LossAndGradients} LossAndGradients */
/** @typedef {import('./updates.js').Update} Update */
/** @typedef {number | ((step: number) => number)} Hyperparameter a callback gets the number of updates before this one */
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

/**
 * RMSprop with the names, defaults and arithmetic of `tf.keras.optimizers.legacy.RMSprop` (Keras 2.15). Without momentum
 *
 *     rms <- rho rms + (1 - rho) g²,   x <- x - learningRate g / (sqrt(rms) + epsilon)
 *
 * and a sparse gradient lets the `rms` of all rows decay, but moves only the rows that it names. With momentum the rule is
 * that of TensorFlow 1, and of a sparse gradient only the rows that it names are updated, variable and slots alike:
 *
 *     rms <- rms + (g² - rms) (1 - rho),   m <- momentum m + g learningRate / sqrt(rms + epsilon),   x <- x - m
 */
export class RMSprop {
  /** What never changes: `name`, `centered`, `decay`; and `isFused`: the rule with momentum was chosen. */
  #fixed;
  /** @type {{ learningRate: Rate, rho: Hyperparameter, momentum: Hyperparameter, decay: number }} */
  #hyper;
  /** What can be assigned and is no callback. @type {Record<typeof CLIPS[number], number | null> & { epsilon: number }} */
  #plain;
  #iteration;
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
    const { name, centered, decay, learningRate, rho, momentum, epsilon, ...clips } = checkOptions(options);
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
    this.#hyper.decay = finite('decay', decay);
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
      throw new Error(`Cannot set iterations of optimizer ${show(this.name)} after its weights have been created, got ${show(count)}`);
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
   * @param {readonly (Values | Tensor)[]} weights as many as `weights`; or one less, as in files of older versions, which
   *   do not count iterations: they become 0 then
   * @throws {TypeError | RangeError} for another number, or one that does not fit; nothing is written then
   */
  setWeights(weights) {
    this.#ready('setWeights');
    const expected = this.weights;
    const given = array('weights', weights);
    const isShort = expected.length === given.length + 1;
    if (!isShort && expected.length !== given.length) {
      throw new RangeError(`setWeights of optimizer ${show(this.name)} got a weight list of length ${given.length}, but the`
        + ` optimizer was expecting ${expected.length} weights`);
    }
    setAll('weights', expected, isShort ? [0, ...given] : given);
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
   * Makes a slot. One that exists already is returned as it is; a slot of the optimizer itself may be made before the first
   * update, which then starts from it.
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
    const existing = this.#slots.get(variable)?.get(name);
    if (existing) return existing;
    if (variable.isDisposed) throw disposedError(variable);
    if (variable.dtype === 'int32') throw rangeError(describe(variable), 'float32 or float64', variable.dtype);
    const values = initialValues(variable, name, initializer);
    const isOwn = this.#specs().some((spec) => spec.name === name);
    const slot = isOwn
      ? this.#engineOf(variable.dtype, [variable]).slotOf(variable, name)
      : zerosOf(variable.memory, variable.dtype, variable.shape);
    if (!isOwn) this.#added.push(slot);
    slot.data.set(values);
    this.#register(variable, name, slot);
    return slot;
  }
}
