/**
 * rmsprop-wasm/scalar: importing it brings the kernels with one lane, of all dialects, for engines without WebAssembly
 * SIMD and for `configure({ simd: false })`. They compute the same bits. It exports nothing.
 *
 * @module rmsprop-wasm/scalar
 */
import { scalar } from './generated/scalar.js';
import { registerScalar } from './module.js';

registerScalar(scalar);
