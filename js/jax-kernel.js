/**
 * A transform of optax.js on arrays of jax-js. jax-js keeps its memory to itself, so gradients are copied out of it,
 * into tensors of linear memory where the kernels read them, and results are copied back straight from there.
 */
import { ofType, rangeError, typeError } from './check.js';
import { ArrayForm, arrayFrom, checkReferences, isConcrete, named, numbersOf } from './jax-arrays.js';
import { readSaved } from './jax-saved.js';
import { Memory } from './memory.js';
import {
  Buffers, Form, TransformState, cloneState, copyAll, dataOf, isTransformState, releaseState,
} from './optax-state.js';
import { zerosOf } from './tensor.js';
import { flatten } from './tree.js';

/** @typedef {import('./jax-arrays.js').Jax} Jax */
/** @typedef {import('./jax-arrays.js').JaxArray} JaxArray */
/** @typedef {import('./tensor.js').Tensor} Tensor */
/**
 * @typedef {object} Path
 * @property {(params: any) => any} init
 * @property {(grads: any, state: any, params?: any) => [any, any]} update
 * @property {(grads: any, state: any, params: any) => [any, any]} step
 * @property {(params: any, saved: unknown) => any} restore see `exportState`
 */

const KIND = 'jax';

/**
 * @param {unknown} state
 * @returns {state is KernelState}
 */
export function isKernelState(state) {
  return isTransformState(state) && state.kind === KIND;
}

/** A state in linear memory: it is changed and returned by `update` and `step`. */
export class KernelState extends TransformState {
  #gradients;
  #weights;
  /**
   * The array that each weight was copied from or to last. Arrays of jax-js never change: as long as `step` is given
   * these, it need not read them.
   *
   * @type {(JaxArray | undefined)[]}
   */
  #copied = [];

  /**
   * @param {ArrayForm} arrays
   * @param {readonly Tensor[]} gradients tensors like them
   * @param {any} inner the state of the transform in optax.js
   */
  constructor(arrays, gradients, inner) {
    super(new Form(arrays.tree(gradients)));
    this.arrays = arrays;
    this.#gradients = gradients;
    this.#weights = new Buffers(this.form);
    this.inner = inner;
  }

  /**
   * @param {readonly (JaxArray | null)[]} grads
   * @returns {any} the tree of their copies
   */
  gradients(grads) {
    return this.arrays.tree(grads.map((gradient, i) => {
      if (gradient === null) return null;
      const data = numbersOf(gradient); // before the view is taken
      this.#gradients[i].data.set(data);
      return this.#gradients[i];
    }));
  }

  /**
   * @param {readonly JaxArray[]} params
   * @returns {Tensor[]} their copies
   */
  weights(params) {
    return params.map((array, i) => {
      const weight = this.#weights.at(i);
      if (this.#copied[i] !== array) {
        const data = numbersOf(array);
        weight.data.set(data);
        this.#copied[i] = array;
      }
      return weight;
    });
  }

  /** @returns {boolean} whether copies of parameters take memory */
  get hasWeights() {
    return this.#weights.count > 0;
  }

  /** Frees the copies of the parameters. */
  dropWeights() {
    this.#weights.dispose();
    this.#weights = new Buffers(this.form);
    this.#copied = [];
  }

  /**
   * Says of a weight that it need not be read again.
   *
   * @param {number} i
   * @param {JaxArray | undefined} array what has the numbers of that weight now; undefined: none
   */
  weightIs(i, array) {
    this.#copied[i] = array;
  }

  /** @returns {string} see `TransformState` */
  get kind() {
    return KIND;
  }

  /** @returns {KernelState} an independent copy */
  clone() {
    const copy = stateFor(this.arrays, () => cloneState(this.inner));
    try {
      this.#copied.forEach((array, i) => {
        if (array === undefined) return;
        copyAll([this.#weights.at(i)], [copy.#weights.at(i)]);
        copy.#copied[i] = array;
      });
    } catch (error) {
      copy.dispose();
      throw error;
    }
    return copy;
  }

  /** Frees all tensors. */
  dispose() {
    if (this.isDisposed) return;
    super.dispose();
    releaseState([this.#gradients, this.inner]);
    this.#weights.dispose();
    this.#copied = [];
  }
}

/**
 * @param {ArrayForm} arrays
 * @param {(params: any) => any} init of a transform
 * @returns {KernelState}
 * @throws {RangeError} if the memory is exhausted
 */
function stateFor(arrays, init) {
  /** @type {Tensor[]} */
  const gradients = [];
  try {
    for (const { dtype, shape } of arrays.leaves) gradients.push(zerosOf(Memory.default, dtype, shape));
    return new KernelState(arrays, gradients, init(arrays.tree(gradients)));
  } catch (error) {
    releaseState(gradients);
    throw error;
  }
}

/**
 * @param {Jax} jax
 * @param {import('./optax.js').Transform} transform of optax.js
 * @param {readonly string[]} slots that it has, if it is `rmsprop`
 * @param {boolean} readsParams whether its `update` looks at parameters
 * @returns {Path} it on arrays of jax-js
 */
export function kernelPath(jax, transform, slots, readsParams) {
  /**
   * @param {unknown} state
   * @returns {KernelState}
   */
  const checked = (state) => {
    if (!isKernelState(state)) throw typeError('state', 'what init of this optimizer returned', state);
    if (state.isDisposed) throw new Error('state is disposed');
    return state;
  };

  /**
   * @param {readonly import('./jax-arrays.js').Named[]} places of all arrays
   */
  const checkArrays = (places) => {
    for (const [name, leaf] of places) {
      if (leaf === null) continue;
      if (!isConcrete(leaf)) throw typeError(name, "an array with numbers, unless path is 'operations'", leaf);
      if (leaf.dtype === 'float64' && !('Float16Array' in globalThis)) {
        // There numpy.array fails on a Float64Array, for it asks whether it is a Float16Array.
        throw typeError(name, 'float32 where there is no Float16Array', leaf.dtype);
      }
    }
    checkReferences(places);
  };

  /**
   * @param {ArrayForm} form
   * @param {any} params
   * @returns {JaxArray[]} its leaves, checked
   */
  const checkedParams = (form, params) => {
    const leaves = form.readAll('params', params);
    checkArrays(named('params', form, leaves));
    return leaves;
  };

  /** @param {readonly (JaxArray | null)[]} leaves */
  const consume = (leaves) => leaves.forEach((leaf) => leaf?.dispose());

  return {
    init(params) {
      const form = new ArrayForm('params', params);
      const leaves = checkedParams(form, params);
      const state = stateFor(form, transform.init);
      consume(leaves);
      return state;
    },

    update(grads, state, params) {
      const { arrays } = checked(state);
      const gradients = arrays.read('grads', grads);
      const values = params == null ? [] : arrays.readAll('params', params);
      checkArrays([...named('grads', arrays, gradients), ...named('params', arrays, values)]);
      const weights = readsParams && params != null ? arrays.tree(state.weights(values)) : undefined;
      const [updates, inner] = transform.update(state.gradients(gradients), state.inner, weights);
      state.inner = inner;
      const changes = state.form.read('updates', updates);
      const results = arrays.tree(gradients.map((gradient, i) => {
        const change = changes[i];
        if (change === null || gradient === null) return null;
        return arrayFrom(jax, dataOf(change), arrays.leaves[i], gradient);
      }));
      consume(gradients);
      consume(values);
      return [results, state];
    },

    step(grads, state, params) {
      const { arrays } = checked(state);
      const gradients = arrays.read('grads', grads);
      const values = arrays.readAll('params', params);
      checkArrays([...named('grads', arrays, gradients), ...named('params', arrays, values)]);
      const { hasWeights: hadWeights } = state;
      const weights = state.weights(values);
      const inputs = state.gradients(gradients);
      values.forEach((_, i) => state.weightIs(i, undefined)); // until the step has succeeded
      try {
        state.inner = transform.step(inputs, state.inner, arrays.tree(weights));
      } catch (error) {
        if (!hadWeights) state.dropWeights();
        throw error;
      }
      const results = values.map((value, i) => {
        const result = gradients[i] === null ? value // its reference goes back
          : arrayFrom(jax, weights[i].data, arrays.leaves[i], value);
        state.weightIs(i, result);
        return result;
      });
      consume(values.filter((_, i) => gradients[i] !== null));
      consume(gradients);
      return [arrays.tree(results), state];
    },

    restore(params, saved) {
      const form = new ArrayForm('params', params);
      const leaves = checkedParams(form, params);
      const { count, slots: values } = readSaved(saved, form, slots);
      const state = stateFor(form, transform.init);
      state.inner.count = count;
      for (const name of slots) {
        tensorsOf(state.inner[name]).forEach((tensor, i) => tensor.data.set(values[name][i]));
      }
      consume(leaves);
      return state;
    },
  };
}

/**
 * @param {unknown} tree
 * @returns {Tensor[]} its leaves
 */
function tensorsOf(tree) {
  return /** @type {Tensor[]} */ (flatten('state', tree).leaves);
}

/**
 * @param {KernelState} state
 * @param {readonly string[]} slots
 * @returns {import('./jax-saved.js').SavedState}
 */
export function saveKernelState(state, slots) {
  if (state.isDisposed) throw new Error('state is disposed');
  const count = state.inner?.count;
  if (typeof count !== 'number' || !('nu' in state.inner)) {
    throw rangeError('state', 'one of rmsprop: for others there is cloneState', state.inner);
  }
  const { arrays, inner } = state;
  return /** @type {any} */ ({
    count,
    ...Object.fromEntries(slots.filter((name) => inner[name] !== undefined).map((name) => [
      name, arrays.tree(tensorsOf(ofType(name, inner[name], 'object')).map(({ data }) => data.slice())),
    ])),
  });
}
