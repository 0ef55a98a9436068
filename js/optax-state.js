/**
 * What the states of optax's transforms have in common: the form of the parameters they were made for, checks of other
 * trees against it, and tensors to write results to.
 */
import { integer, rangeError, typeError } from './check.js';
import { copyOf } from './core/copy.js';
import { arrayKind, hasBrand, isPlain } from './core/identity.js';
import { checkFresh } from './core/values.js';
import { Memory } from './memory.js';
import { MAX_DEPTH } from './state-dict.js';
import { describe, disposedError, isTensor, zerosOf } from './tensor.js';
import { flatten, leavesOf, unflatten } from './tree.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./tree.js').Tree} Tree */
/** @typedef {Tensor | TensorData} Place of the numbers of a leaf, of the leaf's dtype */
/**
 * @typedef {object} Spec of a leaf
 * @property {string} path where it is, to follow the name of the tree
 * @property {Memory} memory
 * @property {'float32' | 'float64'} dtype
 * @property {readonly number[]} shape
 * @property {number} size
 */

/** The array type of each dtype that can be trained. */
const ARRAYS = Object.freeze({ float32: Float32Array, float64: Float64Array });

/** How a number is rounded to each. */
const ROUNDINGS = Object.freeze({ float32: Math.fround, float64: (/** @type {number} */ x) => x });

/** The structure of a tree of parameters, and what each leaf is. */
export class Form {
  /**
   * @param {unknown} params
   * @param {Memory} [memory] where typed arrays are copied to if there is no tensor; default `Memory.default`
   * @throws {TypeError | RangeError | Error} if it is no tree of float32 and float64 arrays, those of one memory
   */
  constructor(params, memory) {
    const { structure, leaves, paths } = flatten('params', params);
    this.structure = structure;
    this.memory = leaves.find(isTensor)?.memory ?? memory ?? Memory.default;
    /** @type {Spec[]} */
    this.leaves = leaves.map((leaf, i) => {
      const name = `params${paths[i]}`;
      if (isTensor(leaf)) {
        if (leaf.isDisposed) throw disposedError(leaf);
        if (leaf.memory !== this.memory) throw rangeError(name, 'in the memory of the other leaves', leaf.memory);
      }
      const dtype = isTensor(leaf) ? leaf.dtype : arrayKind(leaf)?.replace('Array', '').toLowerCase();
      if (dtype !== 'float32' && dtype !== 'float64') {
        throw typeError(name, 'of float32 or float64', isTensor(leaf) ? dtype : leaf);
      }
      const [shape, size] = isTensor(leaf) ? [leaf.shape, leaf.size] : [[leaf.length], leaf.length];
      return { path: paths[i], memory: this.memory, dtype, shape, size };
    });
  }

  /**
   * @param {string} name what messages call the tree
   * @param {unknown} tree
   * @returns {(Place | null)[]} its leaves: tensors as they are, typed arrays as ones of the leaf's dtype that no
   *   growing memory detaches; null where it has none
   * @throws {TypeError | RangeError | Error} if it is no tree of this structure with leaves of these sizes
   */
  read(name, tree) {
    return leavesOf(name, tree, this.structure).map((leaf, i) => {
      if (leaf === null) return null;
      const { path, dtype, size } = this.leaves[i];
      if (!isTensor(leaf)) {
        checkFresh(name + path, `of length ${size}`, leaf);
        if (leaf.length !== size) throw rangeError(name + path, `of length ${size}`, leaf);
        const isUsable = arrayKind(leaf) === ARRAYS[dtype].name && leaf.buffer !== this.memory.buffer;
        return isUsable ? /** @type {TensorData} */ (leaf) : ARRAYS[dtype].from(leaf);
      }
      if (leaf.isDisposed) throw disposedError(leaf);
      if (leaf.memory !== this.memory) throw rangeError(name + path, 'in the memory of the state', describe(leaf));
      if (leaf.dtype !== dtype) throw typeError(name + path, dtype, leaf.dtype);
      if (leaf.size !== size) throw rangeError(name + path, `of ${size} elements`, leaf.size);
      return leaf;
    });
  }

  /**
   * @param {unknown} params
   * @returns {Place[]} its leaves, as `read` returns them
   * @throws {TypeError | RangeError | Error} see `read`; if a leaf is null
   */
  values(params) {
    return this.read('params', params).map((place, i) => {
      if (place === null) throw typeError(`params${this.leaves[i].path}`, 'a tensor or typed array', place);
      return place;
    });
  }

  /**
   * @param {unknown} params
   * @returns {Place[]} its leaves, to be written to
   * @throws {TypeError | RangeError | Error} see `values`; if a leaf is there twice, or cannot be written in place
   */
  writable(params) {
    const leaves = leavesOf('params', params, this.structure);
    const places = this.values(params);
    places.forEach((place, i) => {
      // `read` has copied what is of another type, or a view that would be detached when its memory grows.
      if (place === leaves[i]) return;
      const { path, dtype } = this.leaves[i];
      throw typeError(`params${path}`, `a tensor, or a ${dtype} array outside of linear memory`, leaves[i]);
    });
    if (new Set(places).size !== places.length) throw rangeError('params', 'a tree with each leaf once', params);
    return places;
  }

  /** @returns {Tensor[]} zeros for each leaf */
  zeros() {
    /** @type {Tensor[]} */
    const made = [];
    try {
      for (const { memory, dtype, shape } of this.leaves) made.push(zerosOf(memory, dtype, shape));
    } catch (error) {
      for (const tensor of made) tensor.dispose();
      throw error;
    }
    return made;
  }

  /**
   * @param {number} i
   * @returns {(x: number) => number} rounding to the dtype of that leaf
   */
  rounding(i) {
    return ROUNDINGS[this.leaves[i].dtype];
  }

  /**
   * @param {readonly unknown[]} leaves
   * @returns {any} the tree of them
   */
  tree(leaves) {
    return unflatten(this.structure, leaves);
  }
}

/** Tensors of a state, one for each leaf, made when they are first asked for. */
export class Buffers {
  #form;
  /** @type {Tensor[]} */
  #tensors = [];

  /** @param {Form} form */
  constructor(form) {
    this.#form = form;
  }

  /**
   * @param {number} i
   * @returns {Tensor}
   */
  at(i) {
    const { memory, dtype, shape } = this.#form.leaves[i];
    return (this.#tensors[i] ??= zerosOf(memory, dtype, shape));
  }

  /** @returns {number} how many there are */
  get count() {
    return this.#tensors.length;
  }

  /** Frees them. */
  dispose() {
    this.#tensors.forEach((tensor) => tensor.dispose());
  }
}

const STATE = Symbol.for('rmsprop-wasm.TransformState');

/**
 * @param {unknown} state
 * @returns {state is TransformState}
 */
export function isTransformState(state) {
  return hasBrand(state, STATE);
}

/** The state of one transform, and all of it where the transform remembers nothing. */
export class TransformState {
  #updates;
  #disposed = false;

  /** @param {Form} form */
  constructor(form) {
    this.form = form;
    this.#updates = new Buffers(form);
  }

  /** @returns {true} */
  get [STATE]() {
    return true;
  }

  /** @returns {string} of which transform: what states are told apart by, whichever copy of the package made them */
  get kind() {
    return 'stateless';
  }

  /** @returns {boolean} */
  get isDisposed() {
    return this.#disposed;
  }

  /**
   * Computes updates: typed arrays become new typed arrays, tensors the state's own, which the next call overwrites.
   *
   * @param {readonly (Place | null)[]} leaves what `form.read` returned; null stays null
   * @param {(out: TensorData, values: TensorData, i: number) => void} compute writes all of out, the update of leaf i
   * @returns {any} the tree of updates
   */
  map(leaves, compute) {
    // All are made before the first view is taken, for memory that grows detaches views.
    const updates = leaves.map((leaf, i) => {
      if (leaf === null) return null;
      return isTensor(leaf) ? this.updateAt(i) : new ARRAYS[this.form.leaves[i].dtype](leaf.length);
    });
    updates.forEach((update, i) => {
      if (update !== null) compute(dataOf(update), dataOf(/** @type {Place} */ (leaves[i])), i);
    });
    return this.form.tree(updates);
  }

  /**
   * @param {number} i
   * @returns {Tensor} where the update of a leaf is written
   */
  updateAt(i) {
    return this.#updates.at(i);
  }

  /** @returns {TransformState} an independent copy */
  clone() {
    return new TransformState(this.form);
  }

  /**
   * @returns {Record<string, any>} all that the state remembers, under optax's names: counts and trees of tensors, and
   *   states inside it
   */
  content() {
    return {};
  }

  /**
   * Takes over counts and states inside; tensors are written where they are.
   *
   * @param {Record<string, any>} _content of the form of `content()`, checked
   */
  adopt(_content) {}

  /** Frees all tensors, the updates that were returned among them; calling it again does nothing. */
  dispose() {
    this.#disposed = true;
    this.#updates.dispose();
  }
}

/**
 * @param {any} state of any transform, a chain of them, or any tree of tensors and typed arrays
 * @param {number} [depth] how deep it is in a tree: below `MAX_DEPTH` all is left as it is, for files refuse it
 * @returns {any} the tree with what the states remember in their places
 * @throws {Error} if a state is disposed
 */
export function contentOf(state, depth = 0) {
  if (isTransformState(state)) {
    if (state.isDisposed) throw new Error('state is disposed');
    return contentOf(state.content(), depth);
  }
  if (isTensor(state) || ArrayBuffer.isView(state) || depth > MAX_DEPTH) return state;
  if (Array.isArray(state)) return state.map((part) => contentOf(part, depth + 1));
  if (!isPlain(state)) return state;
  return Object.fromEntries(Object.entries(state).map(([key, value]) => [key, contentOf(value, depth + 1)]));
}

/**
 * Checks saved values against a tree.
 *
 * @param {string} name where it is
 * @param {any} state
 * @param {any} saved
 * @param {boolean} [isContent] whether it is of a transform's state, whose integers are counts
 * @returns {() => any} what then writes them, and gives the tree with the numbers of the saved one: it cannot fail
 * @throws {TypeError | RangeError | Error} if they do not fit
 */
export function adopting(name, state, saved, isContent = false) {
  if (isTransformState(state)) {
    if (state.isDisposed) throw new Error(`${name} is disposed`);
    const content = adopting(name, state.content(), saved, true);
    return () => {
      state.adopt(content());
      return state;
    };
  }
  if (isTensor(state)) {
    if (state.isDisposed) throw disposedError(state);
    const values = checkedData(name, state.data, saved);
    return () => state.set(values);
  }
  if (ArrayBuffer.isView(state)) {
    const values = checkedData(name, /** @type {any} */ (state), saved);
    return () => {
      /** @type {any} */ (state).set(values);
      return state;
    };
  }
  if (Array.isArray(state)) {
    if (!Array.isArray(saved)) throw typeError(name, 'an array', saved);
    if (saved.length !== state.length) throw rangeError(name, `of length ${state.length}`, saved);
    const parts = state.map((part, i) => adopting(`${name}[${i}]`, part, saved[i], isContent));
    return () => parts.map((part) => part());
  }
  if (isPlain(state)) {
    if (!isPlain(saved)) throw typeError(name, 'an object', saved);
    const keys = Object.keys(state).filter((key) => state[key] !== undefined);
    const given = Object.keys(saved);
    if (given.length !== keys.length || !keys.every((key) => Object.hasOwn(saved, key))) {
      throw rangeError(name, `an object with the keys [${keys}]`, given.join());
    }
    const parts = keys.map((key) =>
      /** @type {const} */ ([key, adopting(`${name}.${key}`, state[key], saved[key], isContent)]));
    return () => Object.fromEntries(parts.map(([key, part]) => [key, part()]));
  }
  const isAlike = state === null ? saved === null : typeof saved === typeof state && typeof saved !== 'object';
  if (!isAlike) throw typeError(name, state === null ? 'null' : `of type ${typeof state}`, saved);
  if (isContent && Number.isInteger(state)) integer(name, saved, 0, 2 ** 31 - 1);
  return () => saved;
}

/**
 * @param {string} name
 * @param {TensorData} like
 * @param {any} saved
 * @returns {TensorData} the saved array, of that type and length
 */
function checkedData(name, like, saved) {
  const kind = arrayKind(like);
  if (arrayKind(saved) !== kind) throw typeError(name, `a ${kind}`, saved);
  if (saved.length !== like.length) throw rangeError(name, `of length ${like.length}`, saved);
  return saved;
}

/**
 * @param {Place} place
 * @returns {TensorData} its numbers, until memory grows
 */
export function dataOf(place) {
  return isTensor(place) ? place.data : place;
}

/**
 * Copies the numbers of tensors.
 *
 * @param {readonly Tensor[]} from
 * @param {readonly Tensor[]} to
 */
export function copyAll(from, to) {
  from.forEach((tensor, i) => to[i].data.set(tensor.data));
}

/**
 * @template T
 * @param {T} state of any transform, or a chain of them. A state of the user's own is plain data, which is copied by
 *   its structure, or has a method `clone`, and `dispose` where it takes memory.
 * @returns {T} an independent copy: steps with one of them leave the other alone
 * @throws {TypeError} naming what nobody knows how to copy
 * @throws {RangeError | Error} if the memory is exhausted or the state disposed; nothing has been taken then
 */
export function cloneState(state) {
  /** @type {{ dispose: () => void }[]} */
  const made = [];
  try {
    return copyOf('state', state, stateCopiedBy((name, part) => {
      const copy = cloneOwn(name, part);
      if (copy !== undefined && has(copy, 'dispose')) made.push(copy);
      return copy;
    }));
  } catch (error) {
    for (const copy of made) copy.dispose();
    throw error;
  }
}

/**
 * @param {string} name
 * @param {any} part
 * @returns {any} a copy of a tensor, or of what can copy itself; undefined of other parts
 */
function cloneOwn(name, part) {
  if (isTensor(part)) {
    if (part.isDisposed) throw disposedError(part);
    return zerosOf(part.memory, part.dtype, part.shape).set(part);
  }
  if (isTransformState(part) && part.isDisposed) throw new Error(`${name} is disposed`);
  return !isPlain(part) && has(part, 'clone') ? part.clone() : undefined;
}

/**
 * @param {any} part
 * @param {'clone' | 'dispose'} method
 * @returns {boolean}
 */
const has = (part, method) => typeof part?.[method] === 'function';

/** @type {(copyOwn: import('./core/copy.js').Kind['copyOwn']) => import('./core/copy.js').Kind} */
const stateCopiedBy = (copyOwn) =>
  ({ expectation: 'plain data, or an object with the methods clone and dispose', copyOwn });

/**
 * Refuses what `cloneState` would refuse, without taking memory.
 *
 * @param {string} name
 * @param {unknown} state
 * @throws {TypeError} naming it
 */
export function checkClonable(name, state) {
  copyOf(name, state, stateCopiedBy((_, part) =>
    (isTensor(part) || arrayKind(part) !== undefined || (!isPlain(part) && has(part, 'clone')) ? part : undefined)));
}

/**
 * Frees the linear memory of a state, and of the updates that its transform returned; or the tensors of any other tree,
 * of parameters that are no longer needed. Calling it again does nothing.
 *
 * @param {unknown} state see `cloneState`
 * @throws {TypeError} naming what nobody knows how to free; nothing has been freed then
 */
export function disposeState(state) {
  for (const part of disposablesIn(state, (part) => (has(part, 'clone') ? part : undefined))) part.dispose();
}

/**
 * Frees as much of a state as it knows, where another error is on its way.
 *
 * @param {unknown} state
 */
export function releaseState(state) {
  for (const part of disposablesIn(state, (part) => part)) part.dispose();
}

/**
 * @param {unknown} state
 * @param {(part: any) => any} other undefined for what has a class and nothing to dispose, and is to be refused
 * @returns {{ dispose: () => void }[]} the parts that can be disposed
 */
function disposablesIn(state, other) {
  /** @type {{ dispose: () => void }[]} */
  const found = [];
  copyOf('state', state, stateCopiedBy((_, part) => {
    if (typeof part !== 'object' || part === null || arrayKind(part) !== undefined) return part;
    if (isPlain(part) || Array.isArray(part)) return undefined;
    if (!has(part, 'dispose')) return other(part);
    found.push(part);
    return part;
  }));
  return found;
}
