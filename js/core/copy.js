/**
 * Copies by structure, of what plain data is made of; what has a class of its own is refused, for nobody can know what
 * it keeps where.
 */
import { typeError } from '../check.js';
import { arrayKind, isPlain } from './identity.js';

/**
 * @typedef {object} Kind of data
 * @property {string} expectation what messages call it
 * @property {(name: string, value: any) => any} copyOwn copies, or refuses, what is particular about it; undefined for
 *   the rest
 */

/**
 * @param {string} name what messages call the value
 * @param {any} value plain objects and arrays, nested, of typed arrays, numbers, strings and the like; functions are
 *   taken over, for they are no data
 * @param {Kind} kind
 * @returns {any} a copy that shares no object with it
 * @throws {TypeError} naming what is anything else
 */
export function copyOf(name, value, kind) {
  const own = kind.copyOwn(name, value);
  if (own !== undefined) return own;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return Array.from(value, (item, i) => copyOf(`${name}[${i}]`, item, kind));
  if (isPlain(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copyOf(`${name}.${key}`, item, kind)]));
  }
  if (arrayKind(value) !== undefined) return /** @type {any} */ (value).slice();
  throw typeError(name, kind.expectation, value);
}
