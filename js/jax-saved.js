/**
 * The state of `rmsprop` outside of jax-js and of linear memory: a plain object of numbers and typed arrays, the same
 * for both paths, that `structuredClone`, a worker's message or a file can take.
 */
import { integer, ofType, rangeError, typeError } from './check.js';
import { arrayKind } from './core/identity.js';
import { MAX_COUNT } from './optax-options.js';
import { leavesOf } from './tree.js';

/**
 * @typedef {object} SavedState
 * @property {number} count updates so far
 * @property {any} nu the tree of mean squares: a Float32Array or Float64Array for each parameter
 * @property {any} [mu] the tree of mean gradients, if centered
 * @property {any} [trace] the tree of traces, with momentum
 */

/**
 * @param {unknown} saved
 * @param {import('./jax-arrays.js').ArrayForm} form of the parameters
 * @param {readonly string[]} slots that the optimizer has
 * @returns {{ count: number, slots: Record<string, (Float32Array | Float64Array)[]> }} what was saved, by leaf
 * @throws {TypeError | RangeError} if it is not a state of this optimizer for these parameters
 */
export function readSaved(saved, form, slots) {
  const { count, ...trees } = ofType('saved', saved, 'object');
  integer('saved.count', count, 0, MAX_COUNT);
  const keys = Object.keys(trees).filter((key) => trees[key] !== undefined);
  if (keys.length !== slots.length || !slots.every((name) => keys.includes(name))) {
    throw rangeError('saved', `a state with count, ${slots.join(', ')}`, ['count', ...keys].join(', '));
  }
  return {
    count,
    slots: Object.fromEntries(slots.map((name) => [
      name,
      leavesOf(`saved.${name}`, trees[name], form.structure).map((/** @type {any} */ leaf, i) => {
        const { path, size, dtype } = form.leaves[i];
        const kind = dtype === 'float32' ? 'Float32Array' : 'Float64Array';
        if (arrayKind(leaf) !== kind) throw typeError(`saved.${name}${path}`, `a ${kind}`, leaf);
        if (leaf.length !== size) throw rangeError(`saved.${name}${path}`, `of length ${size}`, leaf);
        return leaf;
      }),
    ])),
  };
}
