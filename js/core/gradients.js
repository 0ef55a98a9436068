/**
 * The forms in which users hand over gradients, common to all optimizers: each is read and checked once, and from then
 * on nobody can change what a call has taken, except the contents of tensors.
 */
import { array, knownOptions, ofType, rangeError, typeError } from '../check.js';
import { checkGradient, disposedError, isIndexedSlices, isTensor, isVariable, takeSlices } from '../tensor.js';
import { isTypedArray } from './identity.js';
import { bufferOf, copyOf, lengthOf } from './values.js';
import { checkVariables } from './variables.js';

/** @typedef {import('../tensor.js').Tensor} Tensor */
/** @typedef {import('../tensor.js').Variable} Variable */
/** @typedef {import('../tensor.js').Values} Values */
/**
 * @typedef {Tensor | IndexedSlices | Values} Gradient a tensor of the variable's memory is used in place, an array is
 *   copied
 */
/** @typedef {import('../tensor.js').IndexedSlices} IndexedSlices */
/** @typedef {import('./values.js').TypedArray} TypedArray */
/** @typedef {Tensor | TypedArray | IndexedSlices | null} Taken a gradient that is checked, see `takeGradient` */
/**
 * @typedef {{ loss: number, gradients: readonly (Gradient | null)[] } | number} LossAndGradients a number alone means
 *   that each `variable.gradient` has been written
 */

/**
 * @typedef {object} MinimizeOptions
 * @property {boolean} [returnCost] whether `minimize` returns the loss instead of `iterations`, default false
 */

/** The reason that messages give while a loss function or closure runs. */
export const LOSS_RUNS = 'a loss function runs';

/**
 * @param {unknown} pairs an array of [gradient, variable]
 * @returns {[(Gradient | null)[], Variable[]]} the gradients and the variables, not checked further
 * @throws {TypeError} for another form
 */
export function unzip(pairs) {
  /** @type {(Gradient | null)[]} */
  const gradients = [];
  /** @type {Variable[]} */
  const variables = [];
  for (const [i, pair] of array('pairs', pairs).entries()) {
    const name = `pairs[${i}]`;
    if (array(name, pair).length !== 2) throw rangeError(name, '[gradient, variable]', pair);
    gradients.push(pair[0]);
    variables.push(pair[1]);
  }
  return [gradients, variables];
}

/**
 * Reads and checks a gradient, once in a call. What it returns is used from then on.
 *
 * @param {Variable} variable floating, not disposed
 * @param {unknown} gradient
 * @returns {Taken} a tensor of the variable's memory; or a copy of slices; or as many numbers in a row as the variable
 *   has, which may be the caller's own array: `Engine.setGradients` copies it before other code runs
 * @throws {Error | TypeError | RangeError} if it is no gradient of this variable
 */
export function takeGradient(variable, gradient) {
  if (gradient === null) return null;
  if (isTypedArray(gradient) && lengthOf(gradient) === variable.size) return gradient;
  return isIndexedSlices(gradient) ? takeSlices(variable, gradient) : checkGradient(variable, gradient);
}

/**
 * Copies what would be lost if the memory grew: views of it. Call it between `takeGradient` and the first allocation.
 *
 * @template {Taken} T
 * @param {T[]} taken changed in place
 * @param {import('../memory.js').Memory} memory that the variables are in
 */
export function outlastGrowth(taken, { buffer }) {
  taken.forEach((gradient, i) => {
    if (gradient === null || isTensor(gradient) || isIndexedSlices(gradient)) return;
    const values = /** @type {TypedArray} */ (gradient);
    if (bufferOf(values) === buffer) taken[i] = /** @type {T} */ (copyOf(values));
  });
}

/**
 * Remembers which variables have no gradient buffer, for calls that make some and may fail afterwards.
 *
 * @param {unknown} variables not checked
 * @returns {() => void} frees the buffers that they have come to since, except those that are their gradients
 */
export function buffersBefore(variables) {
  const without = [variables].flat().filter((variable) => isVariable(variable) && !variable.hasGradientBuffer);
  return () => without.forEach((variable) => /** @type {Variable} */ (variable).freeGradientBuffer());
}

/**
 * Calls a loss function, before a step: meanwhile the optimizer can be read, and gradients can be written.
 *
 * @param {import('./step.js').Step} step of the optimizer
 * @param {(...variables: any[]) => LossAndGradients} lossAndGradients
 * @param {readonly Variable[]} variables
 * @param {MinimizeOptions} [options]
 * @returns {[readonly (Gradient | null)[], readonly Variable[], number | undefined]} the gradients, not checked
 *   further, the variables, and the loss if it is to be returned
 * @throws {TypeError | RangeError} for no function, other variables, an unknown option, or another return value
 */
export function gradientsOf(step, lossAndGradients, variables, options = {}) {
  step.check('minimize');
  ofType('lossAndGradients', lossAndGradients, 'function');
  checkVariables(variables);
  knownOptions('minimize', options, ['returnCost']);
  const returnCost = ofType('returnCost', options.returnCost ?? false, 'boolean');
  const list = [...variables];
  /** @type {any} */
  let result;
  const call = (/** @type {any[]} */ ...args) => (result = lossAndGradients(...args));
  const gradients = step.during('minimize', LOSS_RUNS, () => callLoss(call, list));
  const loss = result.loss ?? result;
  if (returnCost && typeof loss !== 'number') throw typeError('loss', 'a number for returnCost', result.loss);
  return [gradients, list, returnCost ? loss : undefined];
}

/**
 * Calls a loss function, for code that has checked it and the variables.
 *
 * @param {(...variables: any[]) => LossAndGradients} lossAndGradients
 * @param {readonly Variable[]} variables
 * @param {...unknown} rest
 * @returns {readonly (Gradient | null)[]} see `gradientsOf`
 * @throws {TypeError} for another return value
 */
export function callLoss(lossAndGradients, variables, ...rest) {
  const result = lossAndGradients(...variables, ...rest);
  if (typeof result === 'number') return variables.map(({ gradient }) => gradient);
  const gradients = result?.gradients;
  if (Array.isArray(gradients)) return gradients;
  throw typeError('the result of lossAndGradients', '{ loss, gradients } or a number', result);
}

/**
 * Copies values into tensors, all or none. They may be these tensors themselves, in another order.
 *
 * @param {string} name what messages call the values
 * @param {readonly Tensor[]} tensors
 * @param {readonly (Values | Tensor)[]} values at least as many
 * @param {readonly ((name: string, value: unknown) => unknown)[]} [checks] of the numbers that the first values are
 * @throws {Error | TypeError | RangeError} if one does not fit or a tensor is disposed; nothing is written then
 */
export function setAll(name, tensors, values, checks = []) {
  for (const tensor of tensors) if (tensor.isDisposed) throw disposedError(tensor);
  const buffers = new Set(tensors.map(({ memory }) => memory.buffer));
  const checked = tensors.map((tensor, i) => {
    const flat = tensor.checked(`${name}[${i}]`, values[i]);
    checks[i]?.(`${name}[${i}]`, flat[0]);
    return buffers.has(bufferOf(flat)) ? copyOf(flat) : flat;
  });
  tensors.forEach((tensor, i) => tensor.data.set(checked[i]));
}

/**
 * `setAll` of the first tensors of a list.
 *
 * @param {string} name
 * @param {readonly Tensor[]} tensors
 * @param {readonly (Values | Tensor)[]} values at most as many
 * @param {Parameters<typeof setAll>[3]} [checks]
 * @throws {Error | TypeError | RangeError} see `setAll`
 */
export function setFirst(name, tensors, values, checks) {
  const { length } = array(name, values);
  if (length > tensors.length) throw rangeError(name, `at most ${tensors.length} arrays`, values);
  setAll(name, tensors.slice(0, length), values, checks);
}
