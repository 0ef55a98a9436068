/**
 * The dense layers of model/dense.h as WebAssembly, on an optimizer's memory. Compiled at first use, synchronously.
 */
import { dense } from './generated/dense.js';

/**
 * @typedef {object} DenseKernels the functions of model/dense.h; pointers are byte offsets, sizes are numbers
 * @property {(batch: number, inputs: number, outputs: number) => number} rms_dense_scratch_length
 * @property {(output: number, scratch: number, input: number, kernel: number, bias: number,
 *   batch: number, inputs: number, outputs: number, relu: number) => void} rms_dense_forward
 * @property {(kernelGradient: number, biasGradient: number, inputGradient: number, outputGradient: number,
 *   scratch: number, input: number, kernel: number, output: number,
 *   batch: number, inputs: number, outputs: number) => void} rms_dense_backward
 * @property {(values: number, batch: number, classes: number) => void} rms_softmax
 * @property {(values: number, labels: number, batch: number, classes: number) => number} rms_softmax_cross_entropy
 * @property {(values: number, labels: number, batch: number, classes: number) => number} rms_count_correct
 * @property {(x: number) => number} rms_exp
 * @property {(x: number) => number} rms_log
 */

/** @type {WebAssembly.Module | undefined} */
let compiled;
/** @type {WeakMap<WebAssembly.Memory, DenseKernels>} */
const instances = new WeakMap();

/**
 * @param {WebAssembly.Memory} memory
 * @returns {DenseKernels} working on that memory; the same object for the same memory
 * @throws {WebAssembly.CompileError} if the engine has no WebAssembly SIMD, or the page forbids compiling
 */
export function denseKernelsOf(memory) {
  let kernels = instances.get(memory);
  if (kernels === undefined) {
    compiled ??= new WebAssembly.Module(bytesOf(dense.hex));
    const instance = new WebAssembly.Instance(compiled, { env: { memory } });
    kernels = /** @type {DenseKernels} */ (/** @type {unknown} */ (instance.exports));
    instances.set(memory, kernels);
  }
  return kernels;
}

/**
 * @param {string} hex
 * @returns {Uint8Array<ArrayBuffer>}
 */
function bytesOf(hex) {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}
