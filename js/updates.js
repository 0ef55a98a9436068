/**
 * Pairs of gradient and variable, as TensorFlow's optimizers take them: their checks and the constraints after the
 * update.
 */
import { rangeError, typeError } from './check.js';
import { unzip } from './core/gradients.js';
import { isTypedArray } from './core/identity.js';
import { checkVariables } from './core/variables.js';
import {
  checkGradient, checkSlices, describe, disposedError, isIndexedSlices, isTensor, isVariable,
} from './tensor.js';

/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./core/gradients.js').Gradient} Gradient */
/** @typedef {{ gradient: Gradient, variable: Variable }} Update a pair that has a gradient */

/**
 * @param {unknown} pairs
 * @returns {{ updates: Update[], missing: Variable[] }} the pairs that have a gradient, of the right kinds and not
 *   checked further, and the variables of the others
 * @throws {Error | TypeError | RangeError} if one is no such pair
 */
export function updatesOf(pairs) {
  const [gradients, variables] = unzip(pairs);
  /** @type {Update[]} */
  const updates = [];
  /** @type {Variable[]} */
  const missing = [];
  variables.forEach((variable, i) => {
    const gradient = gradients[i];
    checkIsVariable(`the variable of pairs[${i}]`, variable);
    if (gradient === null) {
      missing.push(variable);
      return;
    }
    if (!isGradient(gradient)) {
      const expectation = 'a Tensor, IndexedSlices, array of numbers or null';
      throw typeError(`gradient of ${describe(variable)}`, expectation, gradient);
    }
    updates.push({ gradient, variable });
  });
  return { updates, missing };
}

/**
 * Checks the kind of what is to be updated.
 *
 * @param {string} name
 * @param {unknown} variable
 * @throws {Error | TypeError} if it is a tensor, which TensorFlow refuses to update, or something else
 */
export function checkIsVariable(name, variable) {
  if (isVariable(variable)) return;
  if (isTensor(variable)) {
    throw new Error(`Trying to update a Tensor: ${name} must be a variable, got ${describe(variable)}`);
  }
  throw typeError(name, 'a variable', variable);
}

/**
 * @param {unknown} gradLoss null: there is none
 * @returns {unknown[]} what a loss function is called with after the variables
 * @throws {TypeError | RangeError | Error} if it is no gradient of a loss
 */
export function gradLossArguments(gradLoss) {
  if (gradLoss == null) return [];
  if (!isGradient(gradLoss) || isIndexedSlices(gradLoss)) {
    throw typeError('gradLoss', 'a Tensor, array of numbers or null', gradLoss);
  }
  if (isTensor(gradLoss) && gradLoss.isDisposed) throw disposedError(gradLoss);
  if (isTensor(gradLoss) && gradLoss.dtype === 'int32') {
    throw new RangeError(`Invalid type ${gradLoss.dtype} for gradLoss, expected: [float32, float64].`);
  }
  return [gradLoss];
}

/**
 * @param {unknown} value
 * @returns {boolean} whether it is of a kind that gradients can have
 */
function isGradient(value) {
  return isTensor(value) || isIndexedSlices(value) || typeof value === 'number' || Array.isArray(value)
    || isTypedArray(value);
}

/**
 * Checks everything about updates that can be known before memory is taken.
 *
 * @param {readonly Update[]} updates at least one
 * @throws {Error | TypeError | RangeError} naming the first that cannot be made
 */
export function checkUpdates(updates) {
  for (const { variable } of updates) {
    // TensorFlow has no kernel for it: InvalidArgumentError.
    if (variable.dtype === 'int32') throw rangeError(describe(variable), 'float32 or float64', variable.dtype);
  }
  checkVariables(updates.map(({ variable }) => variable));
  for (const { gradient, variable } of updates) {
    if (!isIndexedSlices(gradient)) {
      checkGradient(variable, gradient);
    } else if (variable.constraint) {
      throw new Error(`Cannot use a constraint function on a sparse variable: ${describe(variable)} has one.`);
    } else {
      checkSlices(variable, gradient);
    }
  }
}

/**
 * Runs the constraints of the updated variables, all of them whatever one throws.
 *
 * @param {readonly { variable: Variable }[]} updates
 * @returns {{ error: unknown } | undefined} what the first that failed threw
 */
export function constrain(updates) {
  let failure;
  for (const { variable } of updates) {
    try {
      variable.constraint?.(variable);
    } catch (error) {
      failure ??= { error };
    }
  }
  return failure;
}
