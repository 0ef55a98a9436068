/**
 * Steps in a memory of our own, for backends whose values can be read at once but not be worked on where they are:
 * variables and gradients are copied in, variables out. A variable that nobody else has changed since is not copied in.
 */
import { Engine } from './engine.js';
import { Memory } from './memory.js';
import { Variable } from './tensor.js';

/** @typedef {import('./tfjs.js').TF} TF */
/** @typedef {import('./tfjs.js').TFTensor} TFTensor */
/** @typedef {import('./tfjs.js').TFVariable} TFVariable */
/** @typedef {{ mirror: Variable, dataId: object | undefined }} Mirror of a variable, and of which buffer of it */

/**
 * Updates copies of the variables and assigns them.
 */
export class Copies {
  #tf;
  #specs;
  /** @type {Map<TFVariable, Mirror>} */
  #mirrors = new Map();
  /** @type {Engine | undefined} */
  #engine;

  /**
   * @param {TF} tf
   * @param {readonly import('./engine.js').SlotSpec[]} specs
   */
  constructor(tf, specs) {
    this.#tf = tf;
    this.#specs = specs;
  }

  /** @returns {Engine} after the first `add` */
  get engine() {
    return /** @type {Engine} */ (this.#engine);
  }

  /**
   * Makes slots.
   *
   * @param {readonly TFVariable[]} variables that are new
   * @throws {RangeError} if the memory is exhausted
   */
  add(variables) {
    /** @type {Variable[]} */
    const mirrors = [];
    try {
      for (const { name, shape } of variables) {
        mirrors.push(new Variable(Memory.default, 'float32', shape, name, true, undefined));
      }
      if (this.#engine) this.#engine.add(mirrors);
      else this.#engine = new Engine(mirrors, this.#specs, true);
    } catch (error) {
      for (const mirror of mirrors) mirror.dispose();
      throw error;
    }
    variables.forEach((variable, i) => this.#mirrors.set(variable, { mirror: mirrors[i], dataId: undefined }));
  }

  /**
   * Frees the slots of a variable.
   *
   * @param {TFVariable} variable
   */
  remove(variable) {
    const { mirror } = this.#mirrorOf(variable);
    this.engine.remove(mirror);
    mirror.dispose();
    this.#mirrors.delete(variable);
  }

  /**
   * @param {TFVariable} variable
   * @returns {number} its index in the engine
   */
  indexOf(variable) {
    return this.engine.indexOf(this.#mirrorOf(variable).mirror);
  }

  /**
   * Says what the step to come takes for gradients.
   *
   * @param {ReadonlyMap<TFVariable, TFTensor>} gradients of the size of their variables
   */
  stage(gradients) {
    for (const [variable, gradient] of gradients) {
      const { mirror } = this.#mirrorOf(variable);
      this.engine.setGradient(this.engine.indexOf(mirror), mirror.placeGradient(gradient.dataSync()));
    }
  }

  /**
   * One step, of all variables.
   *
   * @param {readonly TFVariable[]} written the variables that it changes
   */
  step(written) {
    for (const [variable, entry] of this.#mirrors) {
      if (entry.dataId === variable.dataId) continue;
      entry.mirror.data.set(variable.dataSync());
      entry.dataId = variable.dataId;
    }
    this.engine.place();
    this.engine.step();
    for (const variable of written) {
      const entry = this.#mirrorOf(variable);
      const value = this.#tf.tensor(entry.mirror.data.slice(), variable.shape);
      variable.assign(value);
      value.dispose();
      entry.dataId = variable.dataId;
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
   * Fills a slot.
   *
   * @param {string} name
   * @param {TFVariable} variable
   * @param {Float32Array} values
   */
  write(name, variable, values) {
    this.engine.slot(name)[this.indexOf(variable)].data.set(values);
  }

  /** Frees the copies and the slots. */
  dispose() {
    this.#engine?.dispose();
    for (const { mirror } of this.#mirrors.values()) mirror.dispose();
  }

  /**
   * @param {TFVariable} variable
   * @returns {Mirror}
   */
  #mirrorOf(variable) {
    return /** @type {Mirror} */ (this.#mirrors.get(variable));
  }
}
