/**
 * Sparse gradients: some rows of a variable.
 */
import { array, integer, rangeError, typeError } from '../check.js';
import { arrayKind, hasBrand, isTypedArray } from './identity.js';
import { ARRAYS, describe, disposedError, isTensor } from './tensor-kinds.js';
import { checkShape, copyOf, flatValues, lengthOf, shapeOf, sizeOf } from './values.js';

/** @typedef {import('../tensor.js').Tensor} Tensor */
/** @typedef {import('../tensor.js').TensorData} TensorData */
/** @typedef {import('../tensor.js').Values} Values */
/** @typedef {import('../tensor.js').Variable} Variable */
/** @typedef {import('./values.js').TypedArray} TypedArray */

const SLICES = Symbol.for('rmsprop-wasm.IndexedSlices');

/**
 * @param {unknown} value
 * @returns {value is IndexedSlices}
 */
export function isIndexedSlices(value) {
  return hasBrand(value, SLICES);
}

/**
 * A sparse gradient: rows of numbers and which rows of the variable they belong to. Rows of one index add up, in the
 * order of the list. Made by `indexedSlices`.
 */
export class IndexedSlices {
  /** @type {Tensor | TypedArray} */
  #values;

  /**
   * @param {Tensor | Values} values
   * @param {readonly number[] | Int32Array} indices
   * @param {readonly number[]} [denseShape]
   * @throws {TypeError | RangeError} see `indexedSlices`
   */
  constructor(values, indices, denseShape) {
    const list = isTypedArray(indices) ? copyOf(indices) : [...array('indices', indices)];
    for (let offset = 0; offset < list.length; offset++) {
      const index = list[offset];
      const isRow = Number.isInteger(index) && index >= 0 && index < 2 ** 31;
      if (!isRow) integer(`indices[${offset}]`, index, 0, 2 ** 31 - 1);
    }
    const variableShape = denseShape === undefined ? undefined : checkShape(denseShape);
    if (isTensor(values)) {
      if (values.isDisposed) throw disposedError(values);
      this.#values = values;
    } else {
      const shape = shapeOf(values);
      this.#values = copyOf(flatValues('values', values, { size: sizeOf(shape), shape, dtype: 'float64' }));
    }
    /** Rows of the variable, one for each row of values. */
    this.indices = new Int32Array(list);
    /** The variable's shape, if it was given. */
    this.denseShape = variableShape;
  }

  /** @returns {true} */
  get [SLICES]() {
    return true;
  }

  /** @returns {TypedArray} the rows, one after the other */
  get values() {
    return isTensor(this.#values) ? this.#values.data : this.#values;
  }
}

/**
 * @param {Tensor | Values} values rows of numbers: flat, or nested in rows
 * @param {readonly number[] | Int32Array} indices which row of the variable each belongs to; may name a row repeatedly
 * @param {readonly number[]} [denseShape] the variable's shape, to be checked against it
 * @returns {IndexedSlices} a sparse gradient; a tensor is referred to, arrays are copied
 * @throws {TypeError | RangeError} for what are no numbers, or negative or fractional indices
 *
 * @example
 * ```js
 * import { RMSprop, indexedSlices, variable } from 'rmsprop-wasm';
 *
 * const table = variable(new Float32Array(6), { shape: [3, 2] });
 * new RMSprop({ learningRate: 1 }).apply([indexedSlices([[1, 1]], [2])], [table]);
 * console.log(table.data.map(Math.round).join()); // prints 0,0,0,0,-3,-3
 * ```
 */
export function indexedSlices(values, indices, denseShape) {
  return new IndexedSlices(values, indices, denseShape);
}

/**
 * @param {Variable} of
 * @param {IndexedSlices} slices
 * @returns {IndexedSlices} the same
 * @throws {RangeError} if they are no rows of the variable
 */
export function checkSlices(of, slices) {
  takeSlices(of, slices);
  return slices;
}

/**
 * @param {Variable} of
 * @param {IndexedSlices} slices
 * @returns {IndexedSlices} a copy that nobody else has, of numbers of the variable's type
 * @throws {RangeError} if they are no rows of the variable
 */
export function takeSlices(of, slices) {
  const { denseShape = of.shape, indices: given } = slices;
  const name = `gradient of ${describe(of)}`;
  if (arrayKind(given) !== 'Int32Array') throw typeError(`${name}: indices`, 'an Int32Array', given);
  const indices = new Int32Array(given);
  const { values: numbers } = slices;
  const [rows, ...rest] = of.shape;
  if (rows === undefined || `${denseShape}` !== `${of.shape}`) {
    throw rangeError(name, `slices of shape [${of.shape}]`, `[${denseShape}]`);
  }
  const rowLength = sizeOf(rest);
  if (lengthOf(numbers) !== indices.length * rowLength) {
    throw rangeError(name, `${indices.length} rows of ${rowLength} numbers`, numbers);
  }
  indices.forEach((index, offset) => {
    if (index >= 0 && index < rows) return;
    throw new RangeError(`${name}: index ${index} at offset ${offset} in indices is out of range [0, ${rows})`);
  });
  const taken = { [SLICES]: true, indices, values: typedCopy(of, numbers), denseShape: of.shape };
  return /** @type {IndexedSlices} */ (/** @type {unknown} */ (taken));
}

/**
 * @param {Tensor} of
 * @param {ArrayLike<number>} values
 * @returns {TensorData} a copy in the type of the tensor
 */
export function typedCopy(of, values) {
  return new ARRAYS[of.dtype](values);
}

/**
 * @param {Variable} of
 * @param {IndexedSlices} slices checked
 * @returns {TensorData} the gradient with all its rows; rows of one index are summed from +0 in list order
 */
export function denseOf(of, { indices, values }) {
  const dense = new ARRAYS[of.dtype](of.size);
  const rowLength = of.size / of.shape[0];
  const typed = typedCopy(of, values);
  indices.forEach((row, k) => {
    for (let i = 0; i < rowLength; i++) dense[row * rowLength + i] += typed[k * rowLength + i];
  });
  return dense;
}
