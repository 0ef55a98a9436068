/**
 * The check of the variables that an optimizer is given.
 */
import { array, rangeError, typeError } from '../check.js';
import { describe, disposedError, isVariable } from '../tensor.js';

/** @typedef {import('../tensor.js').Variable} Variable */

/**
 * @param {unknown} variables
 * @returns {asserts variables is readonly Variable[]} what one engine can work on: at least one variable, floating, of
 *   one memory, each once
 * @throws {TypeError | RangeError | Error} naming the first that is not
 */
export function checkVariables(variables) {
  const list = array('variables', variables);
  if (list.length === 0) throw rangeError('variables', 'at least one', list);
  const seen = new Set();
  for (const [i, variable] of list.entries()) {
    if (!isVariable(variable)) throw typeError(`variables[${i}]`, 'a variable', variable);
    if (variable.isDisposed) throw disposedError(variable);
    if (variable.dtype === 'int32') throw typeError(describe(variable), 'float32 or float64', variable.dtype);
    if (variable.memory !== list[0].memory) {
      throw rangeError(describe(variable), `in the memory of ${describe(list[0])}`, variable.memory);
    }
    if (seen.has(variable)) throw rangeError(describe(variable), 'in the list once', list);
    seen.add(variable);
  }
}
