/**
 * The forms in which users hand over gradients, common to all optimizers.
 */
import { array, ofType, rangeError, typeError } from './check.js';
import { checkVariables } from './engine.js';
import { disposedError, isVariable } from './tensor.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').Values} Values */
/**
 * @typedef {Tensor | IndexedSlices | Values} Gradient a tensor of the variable's memory is used in place, an array is
 *   copied
 */
/** @typedef {import('./tensor.js').IndexedSlices} IndexedSlices */
/**
 * @typedef {{ loss: number, gradients: readonly (Gradient | null)[] } | number} LossAndGradients a number alone means
 *   that each `variable.gradient` has been written
 */

/**
 * @param {unknown} pairs an array of [gradient, variable]
 * @returns {[(Gradient | null)[], Variable[]]} the gradients and the variables, not checked further
 * @throws {TypeError} for another form
 */
export function unzip(pairs) {
  for (const [i, pair] of array('pairs', pairs).entries()) {
    const name = `pairs[${i}]`;
    if (array(name, pair).length !== 2) throw rangeError(name, '[gradient, variable]', pair);
  }
  const list = /** @type {[Gradient | null, Variable][]} */ (pairs);
  return [list.map(([gradient]) => gradient), list.map(([, variable]) => variable)];
}

/**
 * Remembers which variables have no gradient buffer, for calls that make some and may fail afterwards.
 *
 * @param {unknown} variables not checked
 * @returns {() => void} frees the buffers that they have come to since, but for those that are their gradients
 */
export function buffersBefore(variables) {
  const without = [variables].flat().filter((variable) => isVariable(variable) && !variable.hasGradientBuffer);
  return () => without.forEach((variable) => /** @type {Variable} */ (variable).freeGradientBuffer());
}

/**
 * Calls a loss function.
 *
 * @param {(...variables: any[]) => LossAndGradients} lossAndGradients
 * @param {readonly Variable[]} variables
 * @param {...unknown} rest what it is called with after the variables: a gradLoss
 * @returns {readonly (Gradient | null)[]} of the variables, in their order, not checked further
 * @throws {TypeError | RangeError} for no function, other variables, or another return value
 */
export function gradientsOf(lossAndGradients, variables, ...rest) {
  ofType('lossAndGradients', lossAndGradients, 'function');
  checkVariables(variables);
  return callLoss(lossAndGradients, variables, ...rest);
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
  if (!Array.isArray(result?.gradients)) {
    throw typeError('the result of lossAndGradients', '{ loss, gradients } or a number', result);
  }
  return result.gradients;
}

/**
 * Copies values into tensors, all or none.
 *
 * @param {string} name what messages call the values
 * @param {readonly Tensor[]} tensors
 * @param {readonly (Values | Tensor)[]} values at least as many
 * @throws {Error | TypeError | RangeError} if one does not fit or a tensor is disposed; nothing is written then
 */
export function setAll(name, tensors, values) {
  for (const tensor of tensors) if (tensor.isDisposed) throw disposedError(tensor);
  const checked = tensors.map((tensor, i) => tensor.checked(`${name}[${i}]`, values[i]));
  tensors.forEach((tensor, i) => tensor.data.set(checked[i]));
}

/**
 * `setAll` of the first tensors of a list.
 *
 * @param {string} name
 * @param {readonly Tensor[]} tensors
 * @param {readonly (Values | Tensor)[]} values at most as many
 * @throws {Error | TypeError | RangeError} see `setAll`
 */
export function setFirst(name, tensors, values) {
  const { length } = array(name, values);
  if (length > tensors.length) throw rangeError(name, `at most ${tensors.length} arrays`, values);
  setAll(name, tensors.slice(0, length), values);
}
