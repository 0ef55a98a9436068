/**
 * The options of optax's rmsprop, checked; the slots they ask for; and the numbers of one step that depend on a count.
 */
import { finite, knownOptions, ofType, typeError } from './check.js';
import { pow } from './math.js';

/** @typedef {(count: number) => number} Schedule from the number of updates before this one */
/**
 * @typedef {object} RmspropOptions
 * @property {number | Schedule} learningRate a schedule is asked once an update
 * @property {number} [decay] of the mean square, default 0.9
 * @property {number} [eps] default 1e-8
 * @property {number} [initialScale] what the mean square starts at, default 0
 * @property {boolean} [epsInSqrt] add eps under the root, default true; false is PyTorch's place
 * @property {boolean} [centered] divide by an estimate of the variance instead, default false
 * @property {number | null} [momentum] decay of the trace, default null: there is none; 0 has one
 * @property {boolean} [nesterov] default false
 * @property {boolean} [biasCorrection] default false
 */
/** @typedef {Required<RmspropOptions>} CheckedOptions */

/** What XLA's int32 counters stop at. */
export const MAX_COUNT = 2 ** 31 - 1;

const DEFAULTS = Object.freeze({
  learningRate: undefined,
  decay: 0.9,
  eps: 1e-8,
  initialScale: 0,
  epsInSqrt: true,
  centered: false,
  momentum: null,
  nesterov: false,
  biasCorrection: false,
});

/**
 * @param {RmspropOptions} options
 * @param {readonly string[]} [more] options that are the caller's affair
 * @returns {CheckedOptions} all of them
 * @throws {TypeError | RangeError} for an unknown option, or a value of the wrong kind, NaN or infinite
 */
export function rmspropOptions(options, more = []) {
  knownOptions('rmsprop', options, [...Object.keys(DEFAULTS), ...more]);
  /** @type {Record<string, any>} */
  const all = { ...DEFAULTS };
  for (const [name, value] of Object.entries(options)) if (value !== undefined) all[name] = value;
  scheduleOf('learningRate', all.learningRate);
  for (const name of ['decay', 'eps', 'initialScale']) finite(name, all[name]);
  for (const name of ['epsInSqrt', 'centered', 'nesterov', 'biasCorrection']) ofType(name, all[name], 'boolean');
  if (all.momentum !== null) finite('momentum', all.momentum, 'a finite number or null');
  return /** @type {any} */ (all);
}

/**
 * @param {CheckedOptions} options
 * @returns {import('./engine.js').SlotSpec[]}
 */
export function slotsOf(options) {
  /** @type {import('./engine.js').SlotSpec[]} */
  const slots = [{ name: 'nu', field: 'mean_square', initial: options.initialScale }];
  if (options.centered) slots.push({ name: 'mu', field: 'mean_gradient' });
  if (options.momentum !== null) slots.push({ name: 'trace', field: 'momentum' });
  return slots;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {any} the value, not undefined
 */
export function given(name, value) {
  if (value === undefined) throw typeError(name, 'given', value);
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {number | Schedule}
 */
export function scheduleOf(name, value) {
  if (typeof value === 'function') return /** @type {Schedule} */ (value);
  return finite(name, value, 'a finite number or a function');
}

/**
 * @param {string} name
 * @param {number | Schedule} source
 * @param {number} count
 * @returns {number} what it says
 */
export function ask(name, source, count) {
  return typeof source === 'number' ? source : finite(`${name} at count ${count}`, source(count));
}

/**
 * @param {number} count
 * @returns {number} one more, short of an overflow
 */
export function next(count) {
  return Math.min(count + 1, MAX_COUNT);
}

/**
 * What a moment is multiplied by to correct its bias: 1 / (1 - decay^count), each operation rounded.
 *
 * @param {number} decay
 * @param {number} count
 * @param {(x: number) => number} round
 * @returns {number}
 */
export function biasCorrectionOf(decay, count, round) {
  return round(1 / round(1 - round(pow(round(decay), count))));
}
