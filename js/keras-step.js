/**
 * What optimizers with Keras's options have in common around a step: how the options become those of the kernels, which
 * variables do not decay, and what runs on averages.
 */
import { unlessAborted } from './abort.js';
import { array, knownOptions, ofType, rangeError, typeError } from './check.js';
import { isRegExp } from './core/identity.js';
import { constants } from './engine.js';
import { HYPERPARAMETERS } from './keras-options.js';

/** @typedef {import('./engine.js').OptionField} OptionField */
/**
 * @typedef {{ name: string, field: OptionField, source: import('./keras-options.js').Source }} Asked a hyperparameter
 *   to be asked in each update
 */
/**
 * @typedef {object} Target an engine, or what stands for one
 * @property {readonly { dtype: string }[]} variables
 * @property {(field: OptionField, value: number) => void} setNumber
 * @property {(field: OptionField, value: number) => void} setWord
 */

/**
 * Writes what does not change from step to step.
 *
 * @param {Target} engine
 * @param {Record<string, any>} options checked
 * @param {number | null} lossScale what every gradient is divided by, null if by nothing
 * @param {{ rule: number, isOld: boolean }} generation of Keras
 * @returns {{ flags: number, asked: Asked[] }} the flags of every step, and the hyperparameters that are asked anew
 */
export function writeConstants(engine, options, lossScale, { rule, isOld }) {
  const { clipnorm, globalClipnorm, clipvalue, weightDecay } = options;
  let flags = 0;
  if (weightDecay !== null) flags |= constants.RMS_DECAY_WEIGHTS;
  if (lossScale !== null) flags |= constants.RMS_UNSCALE;
  // A limit of 0 or below is none, as in Keras.
  if (clipnorm > 0) flags |= constants.RMS_CLIP_BY_NORM;
  else if (globalClipnorm > 0) flags |= constants.RMS_CLIP_BY_GLOBAL_NORM;
  else if (clipvalue > 0) flags |= constants.RMS_CLIP_BY_VALUE;
  /** @type {Asked[]} */
  const asked = [];
  engine.setWord('rule', rule);
  for (const [name, field] of HYPERPARAMETERS) {
    const source = options[name];
    if (typeof source === 'number') engine.setNumber(field, source);
    else asked.push({ name, field, source });
  }
  engine.setNumber('weight_decay', weightDecay ?? 0);
  engine.setNumber('loss_scale', lossScale ?? 1);
  engine.setNumber('accumulation_steps', options.gradientAccumulationSteps ?? 1);
  engine.setNumber('clip_value', clipvalue ?? 0);
  const limit = clipnorm ?? globalClipnorm ?? 0;
  // For the global norm the kernels round 1 / limit, as Keras 3; tf.keras rounds the limit before it divides.
  const isRounded = isOld && !(clipnorm > 0) && engine.variables[0]?.dtype === 'float32';
  engine.setNumber('clip_norm', isRounded ? Math.fround(limit) : limit);
  return { flags, asked };
}

/**
 * @param {{ gradientAccumulationSteps?: number | null }} options
 * @param {number} calls of the optimizer
 * @returns {number} how many updates they were
 */
export function updatesIn({ gradientAccumulationSteps }, calls) {
  return Math.floor(calls / (gradientAccumulationSteps || 1));
}

/**
 * @param {{ gradientAccumulationSteps?: number | null }} options
 * @param {number} calls before this one
 * @returns {boolean} whether this one only accumulates
 */
export function onlyAccumulates(options, calls) {
  return updatesIn(options, calls + 1) === updatesIn(options, calls);
}

/**
 * Runs a function and then what puts things back, also when the function throws or its promise is rejected.
 *
 * @template R
 * @param {() => R} fn sync or async
 * @param {() => void} restore
 * @param {AbortSignal} [signal] puts things back at once where a promise is waited for
 * @returns {R} what `fn` returns
 */
export function restoring(fn, restore, signal) {
  let result;
  try {
    result = /** @type {any} */ (fn());
  } catch (error) {
    restore();
    throw error;
  }
  if (typeof result?.then === 'function') return /** @type {any} */ (unlessAborted(result, signal).finally(restore));
  restore();
  return result;
}

/**
 * @template {{ name: string }} V
 * @param {object} options
 * @param {readonly V[]} [options.variables]
 * @param {RegExp | string | readonly (RegExp | string)[]} [options.names] searched for in the variables' names; a
 *   string is a regular expression too, as in Python's `re.search`, and may begin with flags: `(?i)`
 * @param {(value: unknown) => boolean} isVariable
 * @returns {(variable: V) => boolean} whether a variable is among them
 * @throws {TypeError | RangeError} for others
 */
export function exclusionOf(options, isVariable) {
  knownOptions('excludeFromWeightDecay', options, ['variables', 'names']);
  const variables = array('variables', options.variables ?? []);
  const names = [options.names ?? []].flat();
  for (const variable of variables) if (!isVariable(variable)) throw typeError('variables', 'variables', variable);
  for (const name of names) if (!isRegExp(name)) ofType('names', name, 'string');
  const patterns = names.map((name) => (isRegExp(name) ? name : patternOf(name)));
  return (variable) =>
    variables.includes(variable) || patterns.some((pattern) => variable.name.search(pattern) >= 0);
}

/**
 * @param {string} text a regular expression of Python's; it may begin with flags
 * @returns {RegExp}
 * @throws {RangeError} if it is none of JavaScript's, which has no such forms as `(?P<name>…)`
 */
function patternOf(text) {
  const [, flags, pattern] = /** @type {RegExpExecArray} */ (/^(?:\(\?([ims]+)\))?(.*)$/s.exec(text));
  try {
    return new RegExp(pattern, flags);
  } catch {
    throw rangeError('names', 'regular expressions', text);
  }
}
