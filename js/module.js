/**
 * The kernels as WebAssembly: the only file that touches `WebAssembly.Module` and `WebAssembly.Instance`, but that
 * worker.js instantiates what it is sent.
 * Nothing is compiled before its first use, and then synchronously.
 */
import { knownOptions, typeError } from './check.js';
import { isError, isWasmModule } from './core/identity.js';
import { modules } from './generated/rmsprop.js';
import { isShared } from './memory.js';

/**
 * @typedef {object} Kernels the functions of include/rmsprop.h; pointers and sizes are numbers
 * @property {(options: number, tensors: number, count: number) => void} rms_step
 * @property {(options: number, tensors: number, count: number, first: number, last: number) => void} rms_range
 * @property {(options: number, tensors: number, count: number) => void} rms_sum_squares
 * @property {(options: number, tensors: number, count: number, first: number, last: number, leaves: number) => number}
 *   rms_sum_squares_range
 * @property {(options: number, tensors: number, count: number, leaves: number) => void} rms_join_sum_squares
 * @property {(options: number, tensors: number, count: number) => void} rms_average
 * @property {(options: number, tensors: number, count: number, out: number) => void} rms_prepare
 * @property {(dtype: number, values: number, indices: number, places: number, count: number,
 *   rowLength: number) => number} rms_merge_rows
 * @property {(tensors: number, count: number) => number} rms_all_finite
 */

/** @typedef {'module' | 'sharedModule'} Kind which memory a module imports: one that is not shared, or a shared one */

/** What `configure` chose. @type {Partial<Record<Kind, WebAssembly.Module>> & { simd: 'auto' | boolean }} */
const configuration = { simd: 'auto' };
/** What is in use. @type {Partial<Record<Kind, WebAssembly.Module>>} */
const compiled = {};
/** @type {WeakMap<WebAssembly.Memory, Kernels>} */
const instances = new WeakMap();

/**
 * Chooses the modules that the kernels come from; must be called before their first use.
 *
 * @param {object} options
 * @param {WebAssembly.Module} [options.module] an already compiled `rmsprop.wasm`, for runtimes that forbid compiling
 *   from bytes
 * @param {WebAssembly.Module} [options.sharedModule] an already compiled `rmsprop.shared.wasm`: the same for memory
 *   that is shared among threads
 * @param {'auto' | boolean} [options.simd] true: the SIMD kernels; false: the scalar ones, which compute the same bits;
 *   default 'auto': SIMD where the engine has it. Not with a module.
 * @throws {TypeError} for an unknown option or one of the wrong kind
 * @throws {Error} if kernels are in use already
 */
export function configure(options) {
  knownOptions('configure', options, ['module', 'sharedModule', 'simd']);
  const { simd } = options;
  for (const kind of /** @type {const} */ (['module', 'sharedModule'])) {
    const module = options[kind];
    if (module === undefined) continue;
    if (!isWasmModule(module)) throw typeError(kind, 'a WebAssembly.Module', module);
    if (simd !== undefined) throw new TypeError(`simd cannot be chosen together with ${kind}`);
  }
  if (simd !== undefined && simd !== 'auto' && typeof simd !== 'boolean') {
    throw typeError('simd', "'auto', true or false", simd);
  }
  if (compiled.module || compiled.sharedModule) {
    throw new Error('configure must be called before the first use of the kernels');
  }
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) Object.assign(configuration, { [name]: value });
  }
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
    const module = moduleFor(memory);
    // WebKit lets any page compile, and asks its policy here.
    const { exports } = permitted(kindOf(memory), () => new WebAssembly.Instance(module, { env: { memory } }));
    kernels = /** @type {Kernels} */ (/** @type {unknown} */ (exports));
    instances.set(memory, kernels);
  }
  return kernels;
}

/**
 * @param {WebAssembly.Memory} memory
 * @returns {WebAssembly.Module} the kernels for a memory like it, to be instantiated in another thread too
 * @throws {Error} if the environment forbids WebAssembly
 */
export function moduleFor(memory) {
  const kind = kindOf(memory);
  return (compiled[kind] ??= configuration[kind] ?? permitted(kind, () => compile(kind)));
}

/**
 * @param {WebAssembly.Memory} memory
 * @returns {Kind}
 */
function kindOf(memory) {
  return isShared(memory) ? 'sharedModule' : 'module';
}

/**
 * @template T
 * @param {Kind} kind
 * @param {() => T} act
 * @returns {T} what it returns
 * @throws {Error} if the environment forbids it
 */
function permitted(kind, act) {
  try {
    return act();
  } catch (error) {
    if (!isError(error, 'CompileError')) throw error;
    throw new Error(
      `the kernels could not be compiled (${error}): a page needs 'wasm-unsafe-eval' in the script-src of its `
        + `Content-Security-Policy, a runtime that forbids compiling from bytes needs configure({ ${kind} })`,
      { cause: error },
    );
  }
}

/**
 * @param {Kind} kind
 * @returns {WebAssembly.Module}
 */
function compile(kind) {
  let bytes = bytesOf(modules.simd);
  if (!(configuration.simd === 'auto' ? WebAssembly.validate(bytes) : configuration.simd)) {
    bytes = bytesOf(modules.scalar);
  }
  return new WebAssembly.Module(kind === 'module' ? bytes : sharing(bytes));
}

/** The import section: env.memory, of any size. */
const IMPORT = [2, 15, 1, 3, ...'env', 6, ...'memory', 2, 0, 0].map(byteOf);
/** The same for a shared memory, which has a limit: at most 65 536 pages. */
const SHARED_IMPORT = [2, 18, 1, 3, ...'env', 6, ...'memory', 2, 3, 0, 0x80, 0x80, 4].map(byteOf);

/**
 * The build for shared memory is the other one in all but the import (tests/unit/kernels.test.js compares it with what
 * the linker makes): so it need not be embedded too.
 *
 * @param {Uint8Array<ArrayBuffer>} bytes of a module that imports a memory that is not shared
 * @returns {Uint8Array<ArrayBuffer>} the module that imports a shared one
 */
export function sharing(bytes) {
  const at = bytes.findIndex((_, i) => IMPORT.every((byte, k) => bytes[i + k] === byte));
  const made = new Uint8Array(bytes.length - IMPORT.length + SHARED_IMPORT.length);
  made.set(bytes.subarray(0, at));
  made.set(SHARED_IMPORT, at);
  made.set(bytes.subarray(at + IMPORT.length), at + SHARED_IMPORT.length);
  return made;
}

/**
 * @param {string | number} of a character or a byte
 * @returns {number}
 */
function byteOf(of) {
  return typeof of === 'string' ? of.charCodeAt(0) : of;
}

/**
 * @param {string} base64
 * @returns {Uint8Array<ArrayBuffer>}
 */
function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
