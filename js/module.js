/**
 * The kernels as WebAssembly: the only file that touches `WebAssembly.Module` and `WebAssembly.Instance`, but that
 * worker.js instantiates what it is sent.
 * Nothing is compiled before its first use, and then synchronously.
 */
import { knownOptions, typeError } from './check.js';
import { isError, isWasmModule } from './core/identity.js';
import { stamp } from './generated/rmsprop.js';
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

/**
 * A module as it is embedded, in generated/. Those with SIMD hold the rules of one family, which the optimizers that
 * need it bring along; the one with the kernels of one lane holds all rules.
 *
 * @typedef {{ readonly name: string, readonly hex: string }} Embedded
 */
/** @typedef {'module' | 'sharedModule'} Kind which memory a module imports: one that is not shared, or a shared one */
/**
 * The state that all copies of the package in one realm share, as the one for `import` and the one for `require`.
 *
 * @typedef {object} Registry
 * @property {Partial<Record<Kind, WebAssembly.Module>> & { simd: 'auto' | boolean }} configuration by `configure`
 * @property {Embedded} [scalar] the kernels with one lane, once the program has imported them
 * @property {Map<string, WebAssembly.Module>} modules what is in use, by kind and name
 * @property {WeakMap<WebAssembly.Memory, Map<WebAssembly.Module, Kernels>>} instances
 */

/**
 * Made when it is first asked for: importing this file has no effect.
 *
 * @returns {Registry} of the copies whose kernels were built from the same sources: those of others have other structs
 */
function registry() {
  const realm = /** @type {{ [KERNELS]?: Record<string, Registry> }} */ (/** @type {unknown} */ (globalThis));
  const registries = (realm[KERNELS] ??= {});
  return (registries[stamp.sources] ??= {
    configuration: { simd: 'auto' }, scalar: undefined, modules: new Map(), instances: new WeakMap(),
  });
}
const KERNELS = Symbol.for('rmsprop-wasm.kernels');

/**
 * Takes in the kernels with one lane; for scalar.js alone.
 *
 * @param {Embedded} scalar
 */
export function registerScalar(scalar) {
  registry().scalar = scalar;
}

/**
 * Chooses the modules that the kernels come from; must be called before their first use.
 *
 * @param {object} options
 * @param {WebAssembly.Module} [options.module] an already compiled `rmsprop.wasm`, for runtimes that forbid compiling
 *   from bytes
 * @param {WebAssembly.Module} [options.sharedModule] an already compiled `rmsprop.shared.wasm`: the same for memory
 *   that is shared among threads
 * @param {'auto' | boolean} [options.simd] true: the SIMD kernels; false: those with one lane, which compute the same
 *   bits, and which `import 'rmsprop-wasm/scalar'` brings; default 'auto': SIMD where the engine has it. Not with a
 *   module.
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
  const { configuration, modules } = registry();
  if (modules.size > 0) {
    throw new Error('configure must be called before the first use of the kernels');
  }
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) Object.assign(configuration, { [name]: value });
  }
}

/**
 * @param {import('./memory.js').Memory} of
 * @param {Embedded} family whose rules it needs
 * @returns {Kernels} working on that memory; one instance for all that are the same to WebAssembly
 * @throws {Error} if the environment forbids WebAssembly, or lacks what the kernels need
 */
export function kernelsOf(of, family) {
  const memory = of.wasmMemory;
  const module = moduleFor(memory, family);
  const instances = getOrMake(registry().instances, memory, () => new Map());
  // WebKit lets any page compile, and asks its policy here.
  return getOrMake(instances, module, () => permitted(kindOf(memory), () =>
    /** @type {any} */ (new WebAssembly.Instance(module, { env: { memory } }).exports)));
}

/**
 * @param {WebAssembly.Memory} memory
 * @param {Embedded} family whose rules are needed
 * @returns {WebAssembly.Module} the kernels for a memory like it, to be instantiated in another thread too
 * @throws {Error} if the environment forbids WebAssembly, or lacks what the kernels need
 */
export function moduleFor(memory, family) {
  const kind = kindOf(memory);
  const { configuration, modules } = registry();
  return getOrMake(modules, `${kind} ${family.name}`, () => {
    const given = configuration[kind];
    if (given) return given;
    const bytes = bytesOf(family);
    const hasLanes = configuration.simd === 'auto' ? WebAssembly.validate(bytes) : configuration.simd;
    if (hasLanes) return compile(kind, bytes);
    const scalar = importedScalar();
    return getOrMake(modules, `${kind} ${scalar.name}`, () => compile(kind, bytesOf(scalar)));
  });
}

/**
 * @returns {Embedded} the kernels with one lane
 * @throws {Error} if the program does not import them
 */
function importedScalar() {
  const { configuration, scalar } = registry();
  if (scalar) return scalar;
  const reason = configuration.simd === 'auto' ? 'this engine has no WebAssembly SIMD' : 'simd is configured as false';
  throw new Error(`the kernels with one lane are missing, and ${reason}: import 'rmsprop-wasm/scalar'`);
}

/**
 * @template K, V
 * @param {{ get: (key: K) => V | undefined, set: (key: K, value: V) => unknown }} map
 * @param {K} key
 * @param {() => V} make
 * @returns {V} what is there, else what has been made for it
 */
function getOrMake(map, key, make) {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
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
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {WebAssembly.Module}
 * @throws {Error} if the environment forbids it
 */
function compile(kind, bytes) {
  return permitted(kind, () => new WebAssembly.Module(kind === 'module' ? bytes : sharing(bytes)));
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
 * @param {Embedded} module
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function bytesOf({ hex }) {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}
