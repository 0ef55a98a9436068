/**
 * All gradients of an optimizer as one contiguous buffer, for a hook that sends them elsewhere and brings back their
 * mean.
 */
import { typeError } from './check.js';
import { Tensor, describe, zerosOf } from './tensor.js';

/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./engine.js').Engine} Engine */
/**
 * @typedef {object} AggregateInfo
 * @property {number} step the number of `apply` calls before this one
 * @property {readonly { name: string, offset: number, length: number }[]} tensors where each variable's gradient stands
 *   in the buffer, in elements
 */
/**
 * @typedef {(flat: Float32Array, info: AggregateInfo) => void | Promise<void>} AggregateGradients writes the mean or
 *   sum in place. `flat` is linear memory: copy it before sending it elsewhere, and do not keep it.
 */

/**
 * One block of memory in which every variable's gradient buffer lies.
 */
export class Arena {
  #block;
  #parts;
  #tensors;

  /**
   * @param {readonly Variable[]} variables float32, of one memory
   * @throws {RangeError | TypeError} if the memory is exhausted, or a variable is of another type
   */
  constructor(variables) {
    const { memory } = variables[0];
    for (const variable of variables) {
      if (variable.dtype !== 'float32') {
        throw typeError(describe(variable), 'float32 where gradients are aggregated', variable.dtype);
      }
    }
    let length = 0;
    this.#tensors = variables.map(({ name, size }) => ({ name, offset: (length += size) - size, length: size }));
    this.#block = zerosOf(memory, 'float32', [length]);
    this.#parts = variables.map((variable, i) =>
      new Tensor(memory, 'float32', variable.shape, this.#block.byteOffset + this.#tensors[i].offset * 4));
    variables.forEach((variable, i) => variable.moveGradientBuffer(this.#parts[i]));
  }

  /**
   * Gathers the gradients that the engine has staged, unscaled and accumulated; a variable without one counts as zeros.
   *
   * @param {Engine} engine
   */
  gather(engine) {
    engine.place();
    this.#parts.forEach((part, i) => {
      if (!engine.hasGradient(i)) part.data.fill(0);
    });
    engine.prepare(this.#block.byteOffset);
  }

  /**
   * @param {AggregateGradients} hook
   * @param {number} step
   * @returns {void | Promise<void>} what the hook returns
   */
  aggregate(hook, step) {
    return hook(/** @type {Float32Array} */ (this.#block.data), { step, tensors: this.#tensors });
  }

  /**
   * Stages the gathered gradients.
   *
   * @param {Engine} engine
   */
  stage(engine) {
    this.#parts.forEach((part, i) => engine.setGradient(i, part));
  }

  /** Frees the block; the variables make buffers of their own again when they need one. */
  dispose() {
    for (const part of this.#parts) part.dispose();
    this.#block.dispose();
  }
}
