/**
 * Arrays of jax-js, as far as they are needed here: what they look like, trees of them, and who holds a reference.
 *
 * jax-js counts references. An array that is handed to a function is consumed by it: the function gives up one
 * reference. `array.ref` takes another first. Nothing here consumes before all checks have passed.
 */
import { rangeError, typeError } from './check.js';
import { flatten, leavesOf, unflatten } from './tree.js';

/**
 * @typedef {object} JaxArray an array of jax-js, or what stands for one while a function is traced: only what is used
 *   of it, so that no declarations of jax-js are needed. Each operation consumes its operands.
 * @property {number[]} shape
 * @property {string} dtype
 * @property {any} ref
 * @property {() => void} dispose
 * @property {(other: any) => any} add
 * @property {(other: any) => any} sub
 * @property {(other: any) => any} mul
 * @property {(dtype: any) => any} astype
 */
/**
 * @typedef {object} Jax the module `@jax-js/jax`, or as much of it
 * @property {JaxNumpy} numpy
 * @property {unknown} [tree] not needed
 * @property {(f: any) => any} [jit] compiles the operations; without it they are run one by one
 * @property {() => string} [defaultDevice] without it new arrays are bound to the device of the gradients
 */
/**
 * @typedef {object} JaxNumpy
 * @property {(values: any, options?: any) => any} array
 * @property {(shape: number[], options?: any) => any} zeros
 * @property {(shape: number[], value: any, options?: any) => any} full
 * @property {(x: any) => any} sqrt
 * @property {(x: any) => any} reciprocal
 * @property {(condition: any, x: any, y: any) => any} where
 * @property {(x: any, y: any) => any} lessEqual
 * @property {(x: any, y: any) => any} notEqual
 * @property {(x: any, y: any) => any} bitwiseAnd
 * @property {(x: any, y: any) => any} minimum
 * @property {(x: any, indices: any) => any} take
 */
/** @typedef {{ path: string, shape: readonly number[], size: number, dtype: 'float32' | 'float64' }} ArraySpec */

const METHODS = /** @type {const} */ (['add', 'sub', 'mul', 'astype', 'dispose']);

const FUNCTIONS = /** @type {const} */ ([
  'array', 'zeros', 'full', 'sqrt', 'reciprocal', 'where', 'lessEqual', 'notEqual', 'bitwiseAnd', 'minimum',
  'take',
]);

/**
 * @param {unknown} value
 * @returns {value is JaxArray} whether it looks like one
 */
export function isArray(value) {
  if (typeof value !== 'object' || value === null || !('shape' in value && 'dtype' in value)) return false;
  return METHODS.every((method) => typeof (/** @type {any} */ (value)[method]) === 'function');
}

/**
 * @param {JaxArray} array
 * @returns {boolean} whether it has numbers, and does not just stand for some while a function is traced
 */
export function isConcrete(array) {
  return typeof (/** @type {any} */ (array).dataSync) === 'function';
}

/** What the leaves of their trees are. @type {import('./tree.js').LeafKind<JaxArray>} */
export const ARRAYS = { isLeaf: isArray, leaf: 'a jax-js array' };

/**
 * @param {unknown} jax
 * @returns {Jax} it, with the functions that are needed
 * @throws {TypeError} naming what is missing
 */
export function checkJax(jax) {
  const { numpy, jit, defaultDevice } = /** @type {any} */ (jax) ?? {};
  for (const name of FUNCTIONS) {
    if (typeof numpy?.[name] !== 'function') throw typeError('jax', 'the module @jax-js/jax, or { numpy } of it', jax);
  }
  for (const [name, value] of Object.entries({ jit, defaultDevice })) {
    if (value !== undefined && typeof value !== 'function') throw typeError(`jax.${name}`, 'a function', value);
  }
  return /** @type {Jax} */ (jax);
}

/** The structure of a tree of arrays, and what each leaf is. */
export class ArrayForm {
  /**
   * @param {string} name what messages call the tree
   * @param {unknown} tree
   * @throws {TypeError} if it is no tree of float32 and float64 arrays
   */
  constructor(name, tree) {
    const { structure, leaves, paths } = flatten(name, tree, ARRAYS);
    this.structure = structure;
    /** @type {readonly ArraySpec[]} */
    this.leaves = leaves.map(({ shape, dtype }, i) => {
      if (dtype !== 'float32' && dtype !== 'float64') {
        throw typeError(name + paths[i], 'an array of float32 or float64', dtype);
      }
      return { path: paths[i], shape: [...shape], size: shape.reduce((size, length) => size * length, 1), dtype };
    });
  }

  /**
   * @param {string} name what messages call the tree
   * @param {unknown} tree
   * @returns {(JaxArray | null)[]} its leaves, null where it has none
   * @throws {TypeError | RangeError} if it is no tree of this structure with leaves of these types and shapes
   */
  read(name, tree) {
    const leaves = leavesOf(name, tree, this.structure, ARRAYS);
    leaves.forEach((leaf, i) => {
      if (leaf === null) return;
      const { path, shape, dtype } = this.leaves[i];
      if (leaf.dtype !== dtype) throw typeError(name + path, dtype, leaf.dtype);
      if (leaf.shape.join() !== shape.join()) {
        throw new RangeError(`${name}${path} must be of shape [${shape}], got [${leaf.shape}]`);
      }
    });
    return leaves;
  }

  /**
   * @param {string} name what messages call the tree
   * @param {unknown} tree
   * @returns {JaxArray[]} its leaves
   * @throws {TypeError | RangeError} see `read`; if a leaf is null
   */
  readAll(name, tree) {
    return this.read(name, tree).map((leaf, i) => {
      if (leaf === null) throw typeError(name + this.leaves[i].path, ARRAYS.leaf, leaf);
      return leaf;
    });
  }

  /**
   * @param {readonly unknown[]} leaves
   * @returns {any} the tree of them
   */
  tree(leaves) {
    return unflatten(this.structure, leaves);
  }
}

/**
 * @typedef {[name: string, leaf: JaxArray | null]} Named with what messages call it
 */

/**
 * @param {string} name
 * @param {ArrayForm} form
 * @param {readonly (JaxArray | null)[]} leaves
 * @returns {Named[]}
 */
export function named(name, form, leaves) {
  return leaves.map((leaf, i) => [name + form.leaves[i].path, leaf]);
}

/**
 * Checks that a reference can be consumed for each place where an array stands.
 *
 * @param {readonly Named[]} places of everything that one call consumes
 * @throws {RangeError} naming the first that has been freed, or that stands in more places than it has references
 */
export function checkReferences(places) {
  /** @type {Map<JaxArray, number>} */
  const uses = new Map();
  for (const [name, leaf] of places) {
    if (leaf === null || !isConcrete(leaf)) continue;
    const count = (uses.get(leaf) ?? 0) + 1;
    uses.set(leaf, count);
    const { refCount } = /** @type {any} */ (leaf);
    if (refCount === 0) throw rangeError(name, 'an array that is not freed (.ref keeps one)', leaf.toString());
    if (refCount < count) throw rangeError(name, `a reference of its own, .ref, for each of ${count} places`, refCount);
  }
}

/**
 * @param {JaxArray} array
 * @returns {any} its numbers in a typed array; the reference stays the caller's
 */
export function numbersOf(array) {
  const reference = array.ref;
  try {
    return reference.dataSync();
  } catch (error) {
    reference.dispose(); // it is consumed only where it succeeds
    throw error;
  }
}

/**
 * @param {Jax} jax
 * @param {import('./tensor.js').TensorData} data copied
 * @param {ArraySpec} spec
 * @param {JaxArray} neighbor a concrete array
 * @returns {any} a new array on its device
 */
export function arrayFrom({ numpy, defaultDevice }, data, { shape, dtype }, neighbor) {
  const { device } = /** @type {any} */ (neighbor);
  const options = defaultDevice?.() === device ? { dtype } : { dtype, device };
  if (data.length === 0) return numpy.zeros([...shape], options);
  return numpy.array(data, { ...options, shape: [...shape] });
}

/**
 * @param {unknown} tree
 * @param {(array: any) => any} change
 * @param {boolean} consumes whether it gives up a reference for each place
 * @returns {any} the tree of what it makes of the arrays
 * @throws {TypeError | RangeError} if it is no tree of arrays, or one is freed; nothing has changed then
 */
export function mapArrays(tree, change, consumes) {
  const { structure, leaves, paths } = flatten('state', tree, ARRAYS);
  const places = leaves.map((leaf, i) => /** @type {Named} */ ([`state${paths[i]}`, leaf]));
  if (consumes) checkReferences(places);
  else for (const place of places) checkReferences([place]);
  return unflatten(structure, leaves.map((leaf) => change(leaf)));
}

/**
 * Adds updates, leaf by leaf, as optax.apply_updates; `jit(applyUpdates)` does it in one go. Consumes both trees.
 *
 * @param {any} params
 * @param {any} updates as `update` returned them
 * @returns {any} a new tree: params + updates; where the update is null the parameter itself
 * @throws {TypeError | RangeError} if the trees differ, or an array has no reference to be consumed
 */
export function applyUpdates(params, updates) {
  const form = new ArrayForm('params', params);
  const values = form.readAll('params', params);
  const changes = form.read('updates', updates);
  checkReferences([...named('params', form, values), ...named('updates', form, changes)]);
  return form.tree(values.map((value, i) => (changes[i] === null ? value : value.add(changes[i]))));
}
