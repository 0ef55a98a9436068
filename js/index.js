/**
 * rmsprop-wasm: RMSprop as C kernels in WebAssembly SIMD, with the arithmetic of Keras 3 to the bit.
 *
 * @module rmsprop-wasm
 */
export { configure } from './module.js';
export { Memory } from './memory.js';
export { IndexedSlices, Tensor, Variable, indexedSlices, ones, tensor, tensorAt, variable, zeros } from './tensor.js';
export { RMSprop } from './rmsprop.js';
export { LossScaleOptimizer } from './loss-scale.js';
export * as schedules from './schedules.js';
export { readSafetensors, writeSafetensors } from './safetensors.js';
