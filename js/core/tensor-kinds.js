/**
 * Questions about tensors that need no class of them: their marks, what messages call them, and the arrays of
 * their types.
 */
import { show } from '../check.js';
import { hasBrand } from './identity.js';

/** @typedef {import('../tensor.js').Tensor} Tensor */
/** @typedef {import('../tensor.js').Variable} Variable */

/** The array type of each dtype. */
export const ARRAYS = Object.freeze({ float32: Float32Array, float64: Float64Array, int32: Int32Array });

/** On every tensor's prototype, so that two copies of the package (ESM and CommonJS) know each other's. */
export const TENSOR = Symbol.for('rmsprop-wasm.Tensor');
export const VARIABLE = Symbol.for('rmsprop-wasm.Variable');

/**
 * @param {unknown} value
 * @returns {value is Tensor}
 */
export function isTensor(value) {
  return hasBrand(value, TENSOR);
}

/**
 * @param {unknown} value
 * @returns {value is Variable}
 */
export function isVariable(value) {
  return hasBrand(value, VARIABLE);
}

/**
 * @template {Tensor} T
 * @param {T} tensor
 * @returns {T} the same
 * @throws {TypeError} for a Proxy of one: its brand says so
 */
export function itself(tensor) {
  isTensor(tensor);
  return tensor;
}

/**
 * @param {Tensor} tensor
 * @returns {string} what messages call it
 */
export function describe(tensor) {
  return isVariable(tensor) ? `variable ${show(tensor.name)}` : `tensor of shape [${tensor.shape}]`;
}

/**
 * @param {Tensor} tensor
 * @returns {Error} to throw
 */
export function disposedError(tensor) {
  return new Error(`${describe(tensor)} is disposed`);
}
