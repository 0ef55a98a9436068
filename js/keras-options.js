/**
 * The options of Keras's RMSprop: which there are, their defaults and checks, and how they go to configs and come back.
 */
import { finite, integer, knownOptions, ofType, rangeError, show } from './check.js';
import * as constants from './generated/constants.js';
import { isSchedule } from './schedule-marker.js';
import { deserialize, serialize } from './schedules.js';

/** @typedef {number | ((step: number) => number)} Hyperparameter */
/** @typedef {import('./schedules.js').LearningRateSchedule} LearningRateSchedule */
/** @typedef {Hyperparameter | LearningRateSchedule} Rate */
/** @typedef {((step: number) => number) | LearningRateSchedule} Source of a hyperparameter that is asked */
/** @typedef {'velocity' | 'momentum' | 'average_gradient' | 'average' | 'gradient_accumulator'} SlotName */
/**
 * @typedef {object} RMSpropOptions `null` stands for an option that is not given, as Python's None
 * @property {Rate} [learningRate] default 0.001; a callback or schedule gets the number
 *   of `apply` calls before this one and is asked once an update
 * @property {Hyperparameter} [rho] decay of the mean square, default 0.9
 * @property {Hyperparameter} [momentum] default 0; a callback always has its slot
 * @property {Hyperparameter} [epsilon] added under the square root, default 1e-7
 * @property {boolean} [centered] divide by an estimate of the variance instead, default false
 * @property {number | null} [weightDecay] decoupled weight decay; default none
 * @property {number | null} [clipnorm] limit of each gradient's norm; 0 and below: none. Only one of three clips.
 * @property {number | null} [clipvalue] limit of each element
 * @property {number | null} [globalClipnorm] limit of the norm over all gradients
 * @property {boolean} [useEma] keep an exponential moving average of the weights, default false
 * @property {number} [emaMomentum] in [0, 1], default 0.99
 * @property {number | null} [emaOverwriteFrequency] overwrite the weights with the averages every so many iterations
 * @property {string | null} [name] default `rm_sprop`, `rm_sprop_1` …
 * @property {number | null} [lossScaleFactor] what the loss was multiplied by: gradients are divided by it
 * @property {number | null} [gradientAccumulationSteps] at least 2: update once in so many calls, by the mean gradient
 * @property {import('./arena.js').AggregateGradients} [aggregateGradients] called once an update with all gradients as
 *   one buffer, unscaled and accumulated, to be changed in place; if it returns a promise, use the `…Async` calls. Not
 *   with 'keras-2.11', nor under a dynamic loss scale.
 * @property {import('./engine.js').Pool} [pool] threads that share the work of each step: a `ThreadPool`, in whose
 *   memory the variables are
 * @property {'keras' | 'keras-2.11'} [rule] Keras 3, or the arithmetic, averages and defaults of tf.keras 2.11 to 2.15,
 *   which has no loss scale and no accumulation; default 'keras'
 * @property {boolean} [jitCompile] with 'keras-2.11': taken from configs, without effect
 * @property {boolean} [isLegacyOptimizer] with 'keras-2.11': taken from configs, without effect
 */

/** What both generations of Keras have in the middle of their configs. */
const COMMON = {
  weightDecay: null, clipnorm: null, globalClipnorm: null, clipvalue: null, useEma: false, emaMomentum: 0.99,
};
const RULE = { rho: 0.9, momentum: 0, epsilon: 1e-7, centered: false };

/**
 * The generations of Keras: options in the order of the config dictionary with their defaults (null: not given), and
 * what they do differently.
 *
 * @type {Record<string, { rule: number, prefix: string, defaults: Record<string, any>, isOld: boolean }>}
 */
export const GENERATIONS = {
  'keras': {
    rule: constants.RMS_RULE_KERAS,
    prefix: 'rm_sprop',
    isOld: false,
    defaults: {
      name: null,
      learningRate: 0.001,
      ...COMMON,
      emaOverwriteFrequency: null,
      lossScaleFactor: null,
      gradientAccumulationSteps: null,
      ...RULE,
    },
  },
  // tf.keras.optimizers.RMSprop of 2.11 to 2.15. Of the two norms and the value, a norm wins; averages start as copies
  // of the variables, and take in those that have a gradient; the rate is no part of the state.
  'keras-2.11': {
    rule: constants.RMS_RULE_KERAS_2_11,
    prefix: 'RMSprop',
    isOld: true,
    defaults: {
      name: null,
      ...COMMON,
      emaOverwriteFrequency: 100,
      jitCompile: false, // these two only come and go with configs
      isLegacyOptimizer: false,
      learningRate: 0.001,
      ...RULE,
    },
  },
};

/** The options that may be callbacks, and what the kernels call them. */
export const HYPERPARAMETERS = /** @type {const} */ ([
  ['learningRate', 'learning_rate'], ['rho', 'rho'], ['momentum', 'momentum'], ['epsilon', 'epsilon'],
]);

/**
 * Keras's name of each slot in Keras's order, the kernels' name, and whether the options ask for it.
 *
 * @type {readonly [SlotName, import('./engine.js').SlotField, (options: Record<string, any>) => boolean][]}
 */
export const SLOTS = [
  ['average', 'average', ({ useEma }) => useEma],
  ['gradient_accumulator', 'accumulator', ({ gradientAccumulationSteps }) => gradientAccumulationSteps],
  ['velocity', 'mean_square', () => true],
  ['momentum', 'momentum', ({ momentum }) => typeof momentum === 'function' || momentum > 0],
  ['average_gradient', 'mean_gradient', ({ centered }) => centered],
];

/**
 * @param {RMSpropOptions} options
 * @returns {typeof GENERATIONS[string]}
 */
export function generationOf(options) {
  const { rule = 'keras' } = ofType('RMSprop options', options, 'object');
  if (!Object.hasOwn(GENERATIONS, ofType('rule', rule, 'string'))) {
    throw rangeError('rule', Object.keys(GENERATIONS).map(show).join(' or '), rule);
  }
  return GENERATIONS[rule];
}

/**
 * @param {Record<string, any>} options a dictionary of either generation, or the constructor's options
 * @returns {Record<string, any>} the same with the rule whose dictionary it is, if it does not say so itself
 */
export function withRule(options) {
  const isOld = ['jitCompile', 'isLegacyOptimizer'].some((name) => Object.hasOwn(options, name));
  return isOld ? { rule: 'keras-2.11', ...options } : options;
}

/**
 * @param {RMSpropOptions} given
 * @param {typeof GENERATIONS[string]} generation
 * @returns {Record<string, any>} every option in the order of Keras's config, null for what is not given
 */
export function checkOptions(given, { defaults, isOld }) {
  const known = [...Object.keys(defaults), 'rule', 'pool', ...(isOld ? [] : ['aggregateGradients'])];
  knownOptions('RMSprop', given, known);
  /** @type {Record<string, any>} */
  const options = { ...defaults };
  for (const [name, standard] of Object.entries(defaults)) {
    const value = given[/** @type {keyof RMSpropOptions} */ (name)];
    if (value === undefined) continue;
    options[name] = value;
    if (value === null && (standard === null || name === 'emaOverwriteFrequency')) continue;
    if (name === 'name') ofType(name, value, 'string');
    else if (typeof standard === 'boolean') ofType(name, value, 'boolean');
    else if (HYPERPARAMETERS.some(([hyperparameter]) => hyperparameter === name)) checkHyperparameter(name, value);
    else finite(name, value);
  }
  const { gradientAccumulationSteps, useEma, emaMomentum, emaOverwriteFrequency, lossScaleFactor } = options;
  // As in Python, 0 switches an option off.
  if (gradientAccumulationSteps && !(gradientAccumulationSteps >= 2 && Number.isInteger(gradientAccumulationSteps))) {
    throw rangeError('gradientAccumulationSteps', 'an integer >= 2', gradientAccumulationSteps);
  }
  if (lossScaleFactor === 0) throw rangeError('lossScaleFactor', 'other than 0', 0);
  if (useEma && (emaMomentum < 0 || emaMomentum > 1)) throw rangeError('emaMomentum', 'in [0, 1]', emaMomentum);
  if (useEma && emaOverwriteFrequency) integer('emaOverwriteFrequency', emaOverwriteFrequency, 1);
  const exclusive = ['clipnorm', ...(isOld ? [] : ['clipvalue']), 'globalClipnorm'];
  const clips = exclusive.filter((name) => options[name] !== null);
  if (clips.length > 1) {
    throw new RangeError(`only one of ${exclusive.join(', ')} can be set, got ${clips.join(' and ')}`);
  }
  return options;
}

/**
 * Checks that the variables' types can hold what gradients are compared with or divided by.
 *
 * @param {Record<string, any>} options checked
 * @param {readonly { dtype: string }[]} variables that they are for
 * @throws {RangeError} for a clip or scale that a variable's type cannot hold
 */
export function checkFit(options, variables) {
  if (variables.every(({ dtype }) => dtype === 'float64')) return;
  for (const name of ['clipnorm', 'clipvalue', 'globalClipnorm', 'weightDecay', 'lossScaleFactor']) {
    const value = Math.fround(options[name] ?? 1);
    const isLost = name === 'lossScaleFactor' && value === 0;
    if (isLost || !Number.isFinite(value)) throw rangeError(name, 'a float32, as the variables', options[name]);
  }
}

/**
 * Checks that a value is one that a hyperparameter can have.
 *
 * @param {string} name
 * @param {unknown} value a number or a callback; the learning rate may be a schedule too
 * @throws {TypeError | RangeError} if it is not
 */
export function checkHyperparameter(name, value) {
  if (typeof value === 'function' || (name === 'learningRate' && isSchedule(value))) return;
  const expectation = `a finite number${name === 'learningRate' ? ', schedule' : ''} or callback`;
  inRange(name, finite(name, value, expectation));
}

/**
 * @param {string} name
 * @param {number} value
 * @returns {number} the value, which float32 can hold if it is the rate, as Keras holds it
 */
function inRange(name, value) {
  if (name === 'learningRate' && !Number.isFinite(Math.fround(value))) throw rangeError(name, 'a float32', value);
  return value;
}

/**
 * @param {string} name
 * @param {Source} source
 * @param {number} step
 * @returns {number} what it says, a finite number
 */
export function evaluate(name, source, step) {
  const value = typeof source === 'function' ? source(step) : source.at(step);
  if (!Number.isFinite(value)) finite(`${name} at step ${step}`, value);
  return inRange(name, value);
}

/**
 * @param {unknown} value of an option
 * @param {boolean} [isComplete] whether a schedule of the user's own that has no config is refused; default true
 * @returns {unknown} what Keras's config has for it
 */
export function configOf(value, isComplete = true) {
  if (isSchedule(value)) {
    return isComplete || value.hasConfig ? serialize(value) : { class_name: value.constructor.name };
  }
  if (typeof value !== 'function') return value;
  return { module: 'builtins', class_name: 'function', config: value.name, registered_name: 'function' };
}

/**
 * @param {any} value in a config
 * @param {Record<string, any>} customObjects
 * @returns {any} the option
 */
export function revive(value, customObjects) {
  if (!value?.class_name) return value;
  if (value.class_name !== 'function') return deserialize(value, { customObjects });
  return ofType(`customObjects.${value.config}`, customObjects[value.config], 'function');
}
