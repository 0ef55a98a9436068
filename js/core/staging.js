/**
 * Memory of an engine's own for the gradients of its calls: arrays are copied here, and tensors that the step itself
 * overwrites. So what a call has taken is its own, whatever other optimizers do with the same variables meanwhile.
 */
import { disposedError, isTensor, Tensor } from '../tensor.js';
import { outlastGrowth } from './gradients.js';
import { lengthOf } from './values.js';

/** @typedef {import('../memory.js').Memory} Memory */
/** @typedef {import('../tensor.js').Variable} Variable */
/** @typedef {import('./values.js').TypedArray} TypedArray */
/** @typedef {Tensor | TypedArray | null} DenseGradient checked, see `takeGradient` */

/** A buffer for each variable that needed one. */
export class Staging {
  #memory;
  /** @type {(Tensor | undefined)[]} */
  #buffers = [];
  /** Indices of the buffers that were made since `settle`. @type {number[]} */
  #made = [];

  /** @param {Memory} memory */
  constructor(memory) {
    this.#memory = memory;
  }

  /**
   * @param {number} index
   * @param {Tensor | null} gradient
   * @returns {boolean} whether it is the buffer of that variable
   */
  has(index, gradient) {
    return gradient !== null && this.#buffers[index] === gradient;
  }

  /**
   * Brings the gradients of a call into memory.
   *
   * @param {readonly Variable[]} variables
   * @param {DenseGradient[]} gradients one of each; views of linear memory among them are replaced by copies
   * @param {(Tensor | null)[]} staged gets the tensors: those given, or the buffers with the values of arrays
   * @throws {RangeError} if the memory is exhausted, or an array has been detached since it was checked
   */
  bring(variables, gradients, staged) {
    const lacking = variables.filter((_, i) => this.#lacks(i, gradients[i]));
    if (lacking.length) {
      outlastGrowth(gradients, this.#memory);
      variables.forEach((variable, i) => this.#lacks(i, gradients[i]) && this.buffer(i, variable));
    }
    for (let i = 0; i < variables.length; i++) {
      const gradient = gradients[i];
      if (gradient === null || isTensor(gradient)) {
        staged[i] = gradient;
        continue;
      }
      const buffer = /** @type {Tensor} */ (this.#buffers[i]);
      if (lengthOf(gradient) !== buffer.size) throw new RangeError(`the gradient of variables[${i}] was detached`);
      buffer.data.set(gradient);
      staged[i] = buffer;
    }
  }

  /**
   * @param {number} index
   * @param {DenseGradient} gradient
   * @returns {boolean} whether it is to be copied, and there is no buffer yet
   */
  #lacks(index, gradient) {
    return gradient !== null && !isTensor(gradient) && this.#buffers[index] === undefined;
  }

  /**
   * @param {number} index
   * @param {Variable} variable
   * @returns {Tensor} the buffer of that variable, made if there is none
   * @throws {RangeError | Error} if the memory is exhausted, or the variable is disposed
   */
  buffer(index, variable) {
    const made = this.#buffers[index];
    if (made) return made;
    if (variable.isDisposed) throw disposedError(variable);
    const buffer = new Tensor(this.#memory, variable.dtype, variable.shape);
    this.#buffers[index] = buffer;
    this.#made.push(index);
    return buffer;
  }

  /**
   * Ends a call.
   *
   * @param {boolean} isKept whether the buffers that it has made stay
   */
  settle(isKept) {
    if (this.#made.length === 0) return;
    for (const index of this.#made.splice(0)) {
      if (isKept) continue;
      this.#buffers[index]?.dispose();
      this.#buffers[index] = undefined;
    }
  }

  /**
   * Frees the buffer of a variable that goes.
   *
   * @param {number} index those after it move up
   */
  remove(index) {
    this.settle(true);
    if (index < this.#buffers.length) this.#buffers.splice(index, 1)[0]?.dispose();
  }

  /** Frees all buffers. */
  dispose() {
    for (const buffer of this.#buffers.splice(0)) buffer?.dispose();
    this.#made.length = 0;
  }
}
