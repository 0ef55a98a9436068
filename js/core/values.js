/**
 * Arrays of numbers as callers hand them over: what they are, and the numbers in a row. What is asked of a typed array
 * is asked by the getters that all of them inherit, so that no subclass, realm or Proxy can answer otherwise; an array
 * is read once.
 */
import { array, integer, rangeError, typeError } from '../check.js';
import { arrayKind, isTypedArray, typedArrayGetter } from './identity.js';
import { shapeOfArray } from './shaped.js';

/**
 * @typedef {Int8Array | Uint8Array | Uint8ClampedArray | Int16Array | Uint16Array | Int32Array | Uint32Array
 *   | Float32Array | Float64Array} TypedArray
 */

/** How many numbers there are, 0 in a buffer that is detached. @type {(values: TypedArray) => number} */
export const lengthOf = /* @__PURE__ */ typedArrayGetter('length');

/** Where the numbers lie. @type {(values: TypedArray) => ArrayBufferLike} */
export const bufferOf = /* @__PURE__ */ typedArrayGetter('buffer');

/**
 * @param {TypedArray} values
 * @returns {TypedArray} a copy of the same type
 */
export function copyOf(values) {
  const Type = /** @type {any} */ (globalThis)[/** @type {string} */ (arrayKind(values))];
  return new Type(values);
}

/**
 * @param {unknown} shape
 * @returns {readonly number[]} a copy
 * @throws {TypeError | RangeError} if it is no list of lengths
 */
export function checkShape(shape) {
  const lengths = [...array('shape', shape)];
  for (const length of lengths) integer('shape', length, 0);
  return Object.freeze(lengths);
}

/**
 * @param {readonly number[]} shape
 * @returns {number} how many elements it has
 */
export function sizeOf(shape) {
  return shape.reduce((product, length) => product * length, 1);
}

/**
 * @param {unknown} values
 * @returns {readonly number[]} the lengths along the first element of each level
 */
export function shapeOf(values) {
  if (isTypedArray(values)) return shapeOfArray(values, lengthOf(values));
  return Array.isArray(values) ? [values.length, ...shapeOf(values[0])] : [];
}

/**
 * @param {string} name what messages call the values
 * @param {unknown} values a number, nested or typed array
 * @param {{ size: number, shape: readonly number[], dtype: string }} target
 * @returns {TypedArray} the numbers in a row, as many as the target has: a typed array itself, or a copy
 * @throws {TypeError | RangeError} for what is no array of numbers, or another length
 */
export function flatValues(name, values, { size, shape, dtype }) {
  const flat = isTypedArray(values) ? values : flatten(values, shape, size);
  if (flat === undefined) throw typeError(name, expected(size, shape), values);
  if (isTypedArray(values)) checkFresh(name, expected(size, shape), values);
  if (flat === null || lengthOf(flat) !== size) throw rangeError(name, expected(size, shape), values);
  if (dtype === 'int32') for (let i = 0; i < size; i++) integer(name, flat[i], -(2 ** 31), 2 ** 31 - 1);
  return flat;
}

/**
 * Refuses a view whose buffer is detached, which in Node 20 only an attempt to use it tells from an empty one.
 *
 * @param {string} name
 * @param {string} expectation
 * @param {TypedArray} values
 * @throws {RangeError} if it is one
 */
export function checkFresh(name, expectation, values) {
  if (lengthOf(values) > 0) return;
  try {
    new Uint8Array(bufferOf(values));
  } catch {
    throw new RangeError(`${name} must be ${expectation}, got a stale view: its memory has grown or was transferred; `
      + 'read .data again');
  }
}

/**
 * @param {number} size
 * @param {readonly number[]} shape
 * @returns {string} what values must be
 */
function expected(size, shape) {
  return `${size} numbers, flat or in shape [${shape}]`;
}

/**
 * @param {unknown} values a number, or arrays
 * @param {readonly number[]} shape
 * @param {number} size
 * @returns {Float64Array | undefined | null} the numbers in a row; undefined if there is something else among them,
 *   null if they are neither flat nor nested in that shape
 */
function flatten(values, shape, size) {
  /** @type {number[]} */
  const flat = [];
  let areNumbers = true;
  let [isFlat, isInShape] = [true, true];
  /** @type {(value: unknown, depth: number) => void} */
  const read = (value, depth) => {
    if (!Array.isArray(value)) {
      if (typeof value !== 'number') areNumbers = false;
      else flat.push(value);
      isFlat &&= depth === 1 || (depth === 0 && size === 1); // a number is the only element of any tensor of one
      isInShape &&= depth === shape.length;
      return;
    }
    const { length } = value;
    if (depth > 0) isFlat = false;
    if (depth >= shape.length || length !== shape[depth]) isInShape = false;
    for (let i = 0; i < length; i++) {
      if (i in value) read(value[i], depth + 1);
      else isFlat = isInShape = false;
    }
  };
  read(values, 0);
  if (!areNumbers) return undefined;
  return isFlat || isInShape ? Float64Array.from(flat) : null;
}
