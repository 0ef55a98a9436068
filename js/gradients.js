/**
 * The forms in which users hand over gradients, common to all optimizers.
 */
import { typeError } from './check.js';
import { checkVariables } from './engine.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').Values} Values */
/** @typedef {Tensor | Values} Gradient a tensor of the variable's memory is used in place, an array is copied */
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
  if (!Array.isArray(pairs)) throw typeError('pairs', 'an array of [gradient, variable]', pairs);
  pairs.forEach((pair, i) => {
    if (!Array.isArray(pair) || pair.length !== 2) throw typeError(`pairs[${i}]`, '[gradient, variable]', pair);
  });
  return [pairs.map(([gradient]) => gradient), pairs.map(([, variable]) => variable)];
}

/**
 * Calls a loss function.
 *
 * @param {(...variables: Variable[]) => LossAndGradients} lossAndGradients
 * @param {readonly Variable[]} variables
 * @returns {readonly (Gradient | null)[]} of the variables, in their order, not checked further
 * @throws {TypeError | RangeError} for no function, other variables, or another return value
 */
export function gradientsOf(lossAndGradients, variables) {
  if (typeof lossAndGradients !== 'function') throw typeError('lossAndGradients', 'a function', lossAndGradients);
  checkVariables(variables);
  const result = lossAndGradients(...variables);
  if (typeof result === 'number') return variables.map(({ gradient }) => gradient);
  if (typeof result !== 'object' || result === null || !Array.isArray(result.gradients)) {
    throw typeError('what lossAndGradients returns', '{ loss, gradients } or a number', result);
  }
  return result.gradients;
}
