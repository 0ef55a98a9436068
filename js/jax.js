/**
 * optax's rmsprop on arrays of jax-js (`@jax-js/jax`), which has no rmsprop of its own:
 *
 *     import * as jax from '@jax-js/jax';
 *     import { applyUpdates, rmsprop } from 'rmsprop-wasm/jax';
 *
 *     const optimizer = rmsprop(jax, { learningRate: 0.01 });
 *     let state = optimizer.init(jax.tree.ref(params));
 *     let updates;
 *     [updates, state] = optimizer.update(grads, state);
 *     params = applyUpdates(params, updates);
 *
 * or, both in one, `[params, state] = optimizer.step(grads, state, params)`.
 *
 * Options, defaults and arithmetic are those of optax.js. The module is handed in; nothing of it is bundled.
 *
 * References. As everywhere in jax-js, arrays that are handed over are consumed: `init` consumes params, `update` grads
 * and params, `step` both, `applyUpdates` both; `jax.tree.ref(params)` keeps them. A call that throws has consumed
 * nothing and changed nothing.
 *
 * Two paths, one result:
 *
 * - 'kernel' copies gradients into linear memory and runs the kernels of optax.js: its bits. Its state lies in linear
 *   memory, is changed and returned, and is freed by `disposeState`. `step` keeps the weights there, too: params that
 *   it returned itself are not read again.
 * - 'operations' computes the same by operations of jax-js, to rounding: on its GPU backends, where nothing has to
 *   leave the device, and inside of `jit`. Its state is a tree of arrays and is consumed.
 *
 * 'auto' takes what was measured to be the faster, by the device of the params: see `fasterPath`.
 *
 * Schedules get the number of updates before this one. Inside of `jit` that is an array: a schedule written in jax-js's
 * operations may compute from it, and return an array without dimensions, which is consumed. The schedules of this
 * package compute numbers: hand the rate to the function that is compiled, and take it as `learningRate: () => rate`.
 */
import { knownOptions, ofType, rangeError, typeError } from './check.js';
import { isArrayBuffer, isBytes } from './core/identity.js';
import { ARRAYS, checkJax, isConcrete, mapArrays } from './jax-arrays.js';
import { isKernelState, kernelPath, saveKernelState } from './jax-kernel.js';
import { operationsPath, saveOperationsState } from './jax-operations.js';
import { rmspropOptions, slotsOf } from './optax-options.js';
import { rmsprop as optaxRmsprop } from './optax.js';
import { readStateDict, writeStateDict } from './state-dict.js';
import { flatten } from './tree.js';

export * from './optax-schedules.js';
export { applyUpdates } from './jax-arrays.js';

/** @typedef {import('./jax-arrays.js').Jax} Jax */
/** @typedef {import('./jax-arrays.js').JaxArray} JaxArray */
/** @typedef {import('./jax-saved.js').SavedState} SavedState */
/** @typedef {(count: any) => any} JaxSchedule from the number of updates before this one to a rate */
/**
 * @typedef {Omit<import('./optax-options.js').RmspropOptions, 'learningRate'> & {
 *   learningRate: number | JaxSchedule,
 *   path?: 'auto' | 'kernel' | 'operations',
 * }} JaxRmspropOptions
 */
/**
 * @typedef {object} JaxTransform
 * @property {(params: any) => any} init the state for parameters of this form, which are consumed
 * @property {(grads: any, state: any, params?: any) => [any, any]} update the updates and the state; consumes all
 * @property {(grads: any, state: any, params: any) => [any, any]} step new parameters and the state; consumes all
 */
/**
 * @typedef {JaxTransform & { restore: (params: any, saved: SavedState | Uint8Array) => any }} JaxRmsprop restore: the
 *   state that `exportState` or `saveState` saved, for parameters of this form, which are consumed
 */

const PATHS = ['auto', 'kernel', 'operations'];
const SLOTS = ['nu', 'mu', 'trace'];

/**
 * optax.rmsprop.
 *
 * @param {Jax} jax the module `@jax-js/jax`, or `{ numpy }` of it; with `jit` operations are compiled
 * @param {JaxRmspropOptions} options those of optax.js, and `path`, default 'auto'
 * @returns {JaxRmsprop}
 * @throws {TypeError | RangeError} for an unknown option, or a value of the wrong kind, NaN or infinite
 */
export function rmsprop(jax, options) {
  checkJax(jax);
  const { path = 'auto', ...rest } = ofType('rmsprop options', options, 'object');
  knownOptions('rmsprop', rest, [...Object.keys(rmspropOptions({ learningRate: 0 })), 'path']);
  if (!PATHS.includes(path)) {
    throw (typeof path === 'string' ? rangeError : typeError)('path', "'auto', 'kernel' or 'operations'", path);
  }
  const checked = rmspropOptions(rest);
  const names = slotsOf(checked).map(({ name }) => name);
  const kernel = path === 'operations' ? undefined : kernelPath(jax, optaxRmsprop(rest), names, false);
  const operations = path === 'kernel' ? undefined : operationsPath(jax, checked);

  /** @type {(params: unknown) => any} */
  const pathFor = (params) => {
    if (kernel && operations) return fasterPath(params, jax.jit !== undefined) === 'kernel' ? kernel : operations;
    return kernel ?? operations;
  };
  /** @type {(state: unknown) => any} */
  const pathOf = (state) => (isKernelState(state) ? kernel ?? operations : operations ?? kernel);

  return Object.freeze({
    init: (/** @type {any} */ params) => pathFor(params).init(params),
    update: (/** @type {any} */ grads, /** @type {any} */ state, /** @type {any} */ params) =>
      pathOf(state).update(grads, state, params),
    step: (/** @type {any} */ grads, /** @type {any} */ state, /** @type {any} */ params) =>
      pathOf(state).step(grads, state, params),
    restore: (/** @type {any} */ params, /** @type {any} */ saved) =>
      pathFor(params).restore(params, isBytes(saved) || isArrayBuffer(saved) ? readStateDict('optax', saved) : saved),
  });
}

/**
 * @param {unknown} params
 * @param {boolean} hasJit
 * @returns {'kernel' | 'operations'} the path that was measured to be the faster where these are
 */
function fasterPath(params, hasJit) {
  const { leaves } = flatten('params', params, ARRAYS);
  if (leaves.some((leaf) => !isConcrete(leaf))) return 'operations'; // inside of jit there is no other
  const device = /** @type {any} */ (leaves[0])?.device;
  if (device === 'cpu') return 'kernel';
  // Under cross-origin isolation memory is shared, and reading an array out costs more than the operations.
  if (device === 'wasm') return globalThis.crossOriginIsolated && hasJit ? 'operations' : 'kernel';
  return device === undefined ? 'kernel' : 'operations';
}

/**
 * Runs any transform of `rmsprop-wasm/optax` on arrays of jax-js, by the kernel path: chains with clipping or weight
 * decay, `ema`, `multiSteps`.
 *
 * @param {Jax} jax the module `@jax-js/jax`, or `{ numpy }` of it
 * @param {import('./optax.js').Transform} transform
 * @returns {JaxTransform}
 * @throws {TypeError} if it is anything else
 */
export function wrap(jax, transform) {
  checkJax(jax);
  for (const name of /** @type {const} */ (['init', 'update', 'step'])) {
    ofType(`transform.${name}`, ofType('transform', transform, 'object')[name], 'function');
  }
  const { init, update, step } = kernelPath(jax, transform, [], true);
  return Object.freeze({ init, update, step });
}

/**
 * @template T
 * @param {T} state
 * @returns {T} an independent one: steps with one leave the other alone
 * @throws {TypeError | RangeError} if it is no state, or the memory is exhausted
 */
export function cloneState(state) {
  if (isKernelState(state)) return /** @type {any} */ (state.clone());
  return mapArrays(state, (array) => array.ref, false);
}

/**
 * Frees a state; of that of the kernel path calling it again does nothing.
 *
 * @param {unknown} state
 */
export function disposeState(state) {
  if (isKernelState(state)) state.dispose();
  else mapArrays(state, (array) => array.dispose(), true);
}

/**
 * @param {unknown} state of `rmsprop`, of either path; it is left alone
 * @returns {SavedState} its numbers, copied: `restore` goes on from there, on either path
 * @throws {TypeError | RangeError | Error} if it is another state, or disposed
 */
export function exportState(state) {
  return isKernelState(state) ? saveKernelState(state, SLOTS) : saveOperationsState(state);
}

/**
 * @param {unknown} state of `rmsprop`, of either path; it is left alone
 * @returns {Uint8Array} what `exportState` gives as a safetensors file, which `restore` takes, and `loadState` of
 *   `rmsprop-wasm/optax` too
 * @throws {TypeError | RangeError | Error} if it is another state, or disposed
 */
export function saveState(state) {
  return writeStateDict('optax', exportState(state));
}
