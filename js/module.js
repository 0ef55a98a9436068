/**
 * The kernels as WebAssembly: the only file that touches `WebAssembly.Module` and `WebAssembly.Instance`.
 * Nothing is compiled before its first use, and then synchronously.
 */
import { knownOptions, typeError } from './check.js';
import { modules } from './generated/rmsprop.js';

/**
 * @typedef {object} Kernels the functions of include/rmsprop.h; pointers and sizes are numbers
 * @property {(options: number, tensors: number, count: number) => void} rms_step
 * @property {(options: number, tensors: number, count: number, first: number, last: number) => void} rms_range
 * @property {(options: number, tensors: number, count: number) => void} rms_sum_squares
 * @property {(options: number, tensors: number, count: number, out: number) => void} rms_prepare
 * @property {(dtype: number, values: number, indices: number, places: number, count: number,
 *   rowLength: number) => number} rms_merge_rows
 * @property {(tensors: number, count: number) => number} rms_all_finite
 */

/** @type {{ module?: WebAssembly.Module, simd: 'auto' | boolean }} */
const configuration = { simd: 'auto' };
/** @type {WebAssembly.Module | undefined} */
let compiled;
/** @type {WeakMap<WebAssembly.Memory, Kernels>} */
const instances = new WeakMap();

/**
 * Chooses the module that the kernels come from; must be called before their first use.
 *
 * @param {object} options
 * @param {WebAssembly.Module} [options.module] an already compiled `rmsprop.wasm`, for runtimes that forbid compiling
 *   from bytes; it must import a memory that is not shared
 * @param {'auto' | boolean} [options.simd] true: the SIMD kernels; false: the scalar ones, which compute the same bits;
 *   default 'auto': SIMD where the engine has it. Not with `module`.
 * @throws {TypeError} for an unknown option or one of the wrong kind
 * @throws {Error} if the kernels are in use already
 */
export function configure(options) {
  knownOptions('configure', options, ['module', 'simd']);
  const { module, simd } = options;
  if (module !== undefined && !(module instanceof WebAssembly.Module)) {
    throw typeError('module', 'a WebAssembly.Module', module);
  }
  if (simd !== undefined && simd !== 'auto' && typeof simd !== 'boolean') {
    throw typeError('simd', "'auto', true or false", simd);
  }
  if (module !== undefined && simd !== undefined) throw new TypeError('simd cannot be chosen together with module');
  if (compiled !== undefined) throw new Error('configure must be called before the first use of the kernels');
  if (module !== undefined) configuration.module = module;
  if (simd !== undefined) configuration.simd = simd;
}

/**
 * @param {import('./memory.js').Memory} of
 * @returns {Kernels} working on that memory; one instance for all that are the same to WebAssembly
 * @throws {Error} if the environment forbids WebAssembly
 */
export function kernelsOf(of) {
  const memory = of.wasmMemory;
  let kernels = instances.get(memory);
  if (kernels === undefined) {
    compiled ??= compile();
    const instance = new WebAssembly.Instance(compiled, { env: { memory } });
    kernels = /** @type {Kernels} */ (/** @type {unknown} */ (instance.exports));
    instances.set(memory, kernels);
  }
  return kernels;
}

function compile() {
  if (configuration.module !== undefined) return configuration.module;
  const simd = bytesOf(modules.simd);
  const useSimd = configuration.simd === 'auto' ? WebAssembly.validate(simd) : configuration.simd;
  try {
    return new WebAssembly.Module(useSimd ? simd : bytesOf(modules.scalar));
  } catch (error) {
    throw new Error(
      `the kernels could not be compiled (${error}): a page needs 'wasm-unsafe-eval' in the script-src of its `
        + 'Content-Security-Policy, a runtime that forbids compiling from bytes needs configure({ module })',
      { cause: error },
    );
  }
}

/**
 * @param {string} base64
 * @returns {Uint8Array<ArrayBuffer>}
 */
function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
