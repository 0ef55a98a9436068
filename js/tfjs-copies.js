/**
 * Steps in a memory of our own, for backends whose values can be read at once but not be worked on where they are:
 * variables and gradients are copied in, variables out. Anybody may have changed a variable since the last step, also
 * where it lies, so it is copied in each time.
 */
import { Memory } from './memory.js';
import { Variable } from './tensor.js';
import { KernelPath } from './tfjs-kernels.js';

/** @typedef {import('./tfjs.js').TF} TF */
/** @typedef {import('./tfjs.js').TFTensor} TFTensor */
/** @typedef {import('./tfjs.js').TFVariable} TFVariable */

/**
 * Updates copies of the variables and assigns them.
 *
 * @augments {KernelPath<Variable>}
 */
export class Copies extends KernelPath {
  #tf;

  /**
   * @param {TF} tf
   * @param {readonly import('./engine.js').SlotSpec[]} specs
   */
  constructor(tf, specs) {
    super(tf, specs);
    this.#tf = tf;
  }

  /**
   * Makes copies and slots.
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
      this.take(variables, mirrors);
    } catch (error) {
      for (const mirror of mirrors) mirror.dispose();
      throw error;
    }
  }

  /**
   * Frees the copy and the slots of a variable.
   *
   * @param {TFVariable} variable
   */
  remove(variable) {
    const mirror = this.adapterOf(variable);
    super.remove(variable);
    mirror.dispose();
  }

  /**
   * Says what the step to come takes for gradients.
   *
   * @param {ReadonlyMap<TFVariable, TFTensor>} gradients of the size of their variables
   */
  stage(gradients) {
    for (const [variable, gradient] of gradients) {
      const values = gradient.dataSync();
      this.engine.setGradient(this.indexOf(variable), this.adapterOf(variable).placeGradient(values));
    }
  }

  /**
   * One step, of all variables.
   *
   * @param {readonly TFVariable[]} written the variables that it changes
   */
  step(written) {
    for (const [variable, mirror] of this.adapters) mirror.data.set(variable.dataSync());
    this.engine.place().step();
    for (const variable of written) {
      const value = this.#tf.tensor(this.adapterOf(variable).data.slice(), variable.shape);
      variable.assign(value);
      value.dispose();
    }
  }

  /** Frees the copies and the slots. */
  dispose() {
    super.dispose();
    for (const mirror of this.adapters.values()) mirror.dispose();
  }
}
