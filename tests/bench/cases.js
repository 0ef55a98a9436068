/** What the benchmarks of steps measure: on what arrays, with what options. */
import { Random } from '../../web-demo/data/random.js';

/** Hyperparameters of every case. */
export const RATE = 1e-6;
export const RHO = 0.9;
export const MOMENTUM = 0.9;
export const EPSILON = 1e-7;

/**
 * @typedef {object} Kernel
 * @property {string} name
 * @property {boolean} momentum
 * @property {boolean} centered
 * @property {boolean} everything clip by global norm, decoupled weight decay and averages besides
 * @property {number} bytes that a step moves for each float32 parameter, each array counted once for reading, once for
 *   writing
 */

/** @type {Kernel[]} */
export const kernels = [
  // Reads value, gradient and mean square; writes value and mean square.
  { name: 'plain', momentum: false, centered: false, everything: false, bytes: 20 },
  { name: 'momentum', momentum: true, centered: false, everything: false, bytes: 28 },
  { name: 'centered+momentum', momentum: true, centered: true, everything: false, bytes: 36 },
  // The average is read and written, the gradient read once more for the norm.
  { name: 'everything', momentum: true, centered: true, everything: true, bytes: 48 },
];

/**
 * @typedef {object} Model
 * @property {string} name
 * @property {number[][]} shapes of its tensors
 * @property {number} parameters in all
 */

/** @type {Model[]} */
export const models = [
  ...[64, 1024, 16384, 262144, 1048576, 16777216].map((size) => model(size.toLocaleString('en').replaceAll(',', ' '), [[size]])),
  model('40 tensors', Array.from({ length: 40 }, (_, i) => (i % 2 ? [250] : [52, 1000]))),
];

/**
 * @param {string} name
 * @param {number[][]} shapes
 * @returns {Model}
 */
function model(name, shapes) {
  return { name, shapes, parameters: shapes.reduce((sum, shape) => sum + sizeOf(shape), 0) };
}

/**
 * @param {readonly number[]} shape
 * @returns {number}
 */
export function sizeOf(shape) {
  return shape.reduce((product, length) => product * length, 1);
}

/**
 * The same weights and gradients for every rival. Gradients are of the size that training has, and never so small that
 * an average of their squares becomes subnormal.
 *
 * @param {readonly number[]} shape
 * @param {number} tensor its place in the model
 * @returns {{ weights: Float32Array<ArrayBuffer>, gradient: Float32Array<ArrayBuffer> }}
 */
export function arrays(shape, tensor) {
  const random = new Random(1, tensor);
  const fill = (/** @type {number} */ least) => Float32Array.from({ length: sizeOf(shape) }, () => {
    const value = random.symmetric();
    return value + Math.sign(value) * least;
  });
  return { weights: fill(0), gradient: fill(0.01) };
}
