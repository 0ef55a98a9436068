/**
 * What all ways have in common that update variables of TensorFlow.js by the kernels: an engine, and what stands in it
 * for each variable.
 */
import { Engine } from './engine.js';
import { keras } from './generated/keras.js';
import { zerosOf } from './tensor.js';

/** @typedef {import('./tfjs.js').TF} TF */
/** @typedef {import('./tfjs.js').TFTensor} TFTensor */
/** @typedef {import('./tfjs.js').TFVariable} TFVariable */
/** @typedef {Pick<TFTensor, 'data' | 'dataSync' | 'dispose'>} Readable a tensor, or what can be read like one */
/** @typedef {import('./engine.js').SlotSpec} SlotSpec */
/** @typedef {import('./tensor.js').Variable} Variable */

/**
 * The base of those ways; `add`, `stage` and `step` are theirs.
 *
 * @template {Variable} A what stands for a variable
 */
export class KernelPath {
  #tf;
  #specs;
  #makeZeros;
  /** @type {Map<TFVariable, A>} */
  #adapters = new Map();
  /** @type {Engine | undefined} */
  #engine;

  /**
   * @param {TF} tf
   * @param {readonly SlotSpec[]} specs
   * @param {import('./engine.js').EngineOptions['makeZeros']} [makeZeros] makes the slots
   */
  constructor(tf, specs, makeZeros) {
    this.#tf = tf;
    this.#specs = specs;
    this.#makeZeros = makeZeros;
  }

  /** @returns {Engine} after the first variables have been taken in */
  get engine() {
    return /** @type {Engine} */ (this.#engine);
  }

  /** @returns {ReadonlyMap<TFVariable, A>} what stands for each variable */
  get adapters() {
    return this.#adapters;
  }

  /**
   * Makes slots.
   *
   * @param {readonly TFVariable[]} variables that are new
   * @param {readonly A[]} adapters what stands for each
   * @throws {RangeError} if the memory is exhausted; nothing has changed then
   */
  take(variables, adapters) {
    if (this.#engine) this.#engine.add(adapters);
    else this.#engine = new Engine(keras, adapters, this.#specs, { isChecked: true, makeZeros: this.#makeZeros });
    variables.forEach((variable, i) => this.#adapters.set(variable, adapters[i]));
  }

  /**
   * Frees the slots of a variable.
   *
   * @param {TFVariable} variable
   */
  remove(variable) {
    this.engine.remove(this.adapterOf(variable));
    this.#adapters.delete(variable);
  }

  /**
   * @param {TFVariable} variable that is known
   * @returns {A} what stands for it
   */
  adapterOf(variable) {
    return /** @type {A} */ (this.#adapters.get(variable));
  }

  /**
   * @param {TFVariable} variable
   * @returns {number} its index in the engine
   */
  indexOf(variable) {
    return this.engine.indexOf(this.adapterOf(variable));
  }

  /**
   * @returns {Readable} the gradients of the step, unscaled and accumulated, one variable after the other; zeros for a
   *   variable that has none
   * @throws {RangeError} if the memory is exhausted
   */
  gather() {
    const { variables } = this.engine;
    const length = variables.reduce((total, { size }) => total + size, 0);
    const all = zerosOf(variables[0].memory, 'float32', [length]);
    try {
      this.engine.place().prepare(all.byteOffset);
      const values = all.data.slice();
      return { dataSync: () => values, data: async () => values, dispose() {} };
    } finally {
      all.dispose();
    }
  }

  /** Drops the gradients of the step. */
  unstage() {
    for (let i = 0; i < this.engine.variables.length; i++) this.engine.setGradient(i, null);
  }

  /**
   * @param {string} name of a slot
   * @param {TFVariable} variable
   * @returns {Float32Array} a copy of what it holds
   */
  read(name, variable) {
    return /** @type {Float32Array} */ (this.engine.slot(name)[this.indexOf(variable)].data.slice());
  }

  /**
   * @param {string} name of a slot
   * @param {TFVariable} variable
   * @returns {TFTensor} a copy of what it holds
   */
  tensorOf(name, variable) {
    return this.#tf.tensor(this.read(name, variable), variable.shape);
  }

  /**
   * Copies a variable into a slot of it.
   *
   * @param {string} name
   * @param {TFVariable} variable
   */
  copyInto(name, variable) {
    this.write(name, variable, variable.dataSync());
  }

  /**
   * Fills a slot.
   *
   * @param {string} name
   * @param {TFVariable} variable
   * @param {Float32Array} values
   */
  write(name, variable, values) {
    this.engine.slot(name)[this.indexOf(variable)].data.set(values);
  }

  /** Frees the slots. */
  dispose() {
    this.#engine?.dispose();
  }
}
