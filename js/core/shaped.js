/**
 * Typed arrays that know the shape of the tensor they came from, as files of PyTorch's state dicts need it: in a
 * property `shape`, which is not enumerable, so that the array is otherwise like any other.
 */
import { array, integer, rangeError } from '../check.js';

/** @typedef {{ readonly length: number }} TypedArray */

/**
 * @template {TypedArray} T
 * @param {T} values
 * @param {readonly number[]} shape
 * @returns {T & { shape: number[] }} the array
 */
export function shaped(values, shape) {
  const property = { value: [...shape], writable: true, configurable: true, enumerable: false };
  return /** @type {any} */ (Object.defineProperty(values, 'shape', property));
}

/**
 * @param {TypedArray} values
 * @param {number} [length] how many they are
 * @returns {number[]} its `shape`, if it has one of its own; else its length alone
 * @throws {TypeError | RangeError} if it has one that is not that of as many numbers
 */
export function shapeOfArray(values, length = values.length) {
  if (!Object.hasOwn(values, 'shape')) return [length];
  const given = /** @type {any} */ (values).shape;
  const shape = Array.from(array('shape of the array', given), (size) => integer('shape of the array', size, 0));
  const count = shape.reduce((product, size) => product * size, 1);
  if (count !== length) throw rangeError('shape of the array', `of ${length} numbers`, `[${shape}]`);
  return shape;
}
