/**
 * All gradients of an optimizer as one contiguous buffer, for a hook that sends them elsewhere and brings back their
 * mean.
 */
import { rangeError, typeError } from './check.js';
import { Tensor, describe, zerosOf } from './tensor.js';

/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./engine.js').Engine} Engine */
/**
 * @typedef {object} AggregateInfo
 * @property {number} step the number of `apply` calls before this one
 * @property {readonly { name: string, offset: number, length: number }[]} tensors where each variable's gradient stands
 *   in the buffer, in elements
 * @property {AbortSignal} [signal] of the asynchronous call, if it was given one
 */
/**
 * @typedef {(flat: Float32Array, info: AggregateInfo) => void | Promise<void>} AggregateGradients writes the mean or
 *   sum in place. `flat` is linear memory: copy it before sending it elsewhere, and do not keep it. (In a call with a
 *   signal it is a copy already, which the hook may keep.)
 */

/**
 * @param {readonly { name: string, size: number }[]} variables
 * @returns {AggregateInfo['tensors']} where each stands in a buffer of all
 */
export function tensorsIn(variables) {
  let end = 0;
  return variables.map(({ name, size }) => ({ name, offset: (end += size) - size, length: size }));
}

/**
 * One block of memory in which every variable's gradient buffer lies, and a second one for what the hook gets, if that
 * is not what the buffers hold.
 */
export class Arena {
  #variables;
  #tensors;
  /** The blocks. @type {Tensor[]} */
  #blocks = [];
  /** The variables' gradient buffers. @type {Tensor[]} */
  #buffers;
  /** The parts of what the hook gets. @type {Tensor[]} */
  #parts;

  /**
   * @param {readonly Variable[]} variables float32, of one memory
   * @param {boolean} isApart whether the hook gets something else than the gradients as they are: unscaled, accumulated
   * @throws {RangeError | TypeError} if the memory is exhausted, or a variable is of another type
   */
  constructor(variables, isApart) {
    const { memory } = variables[0];
    for (const variable of variables) {
      if (variable.dtype !== 'float32') {
        throw typeError(describe(variable), 'float32 where gradients are aggregated', variable.dtype);
      }
    }
    this.#variables = variables;
    this.#tensors = tensorsIn(variables);
    const last = this.#tensors[variables.length - 1];
    const length = last.offset + last.length;
    try {
      for (let i = 0; i <= Number(isApart); i++) this.#blocks.push(zerosOf(memory, 'float32', [length]));
    } catch (error) {
      for (const block of this.#blocks) block.dispose();
      throw error;
    }
    const [buffers, parts = buffers] = this.#blocks.map(({ byteOffset }) => variables.map(({ shape }, i) =>
      new Tensor(memory, 'float32', shape, byteOffset + this.#tensors[i].offset * 4)));
    [this.#buffers, this.#parts] = [buffers, parts];
    variables.forEach((variable, i) => variable.moveGradientBuffer(buffers[i]));
  }

  /**
   * Gathers the gradients that the engine has staged, unscaled and accumulated; a variable without one counts as zeros.
   *
   * @param {Engine} engine
   * @throws {RangeError} if the gradient of one variable is another's buffer, which would be overwritten
   */
  gather(engine) {
    this.#variables.forEach((variable, i) => {
      const owner = this.#buffers.indexOf(/** @type {Tensor} */ (engine.gradient(i)));
      if (owner >= 0 && owner !== i && this.#parts === this.#buffers) {
        throw rangeError(`gradient of ${describe(variable)}`, 'its own buffer where gradients are aggregated',
          `that of ${describe(this.#variables[owner])}`);
      }
    });
    const placed = engine.place();
    this.#parts.forEach((part, i) => {
      if (!engine.hasGradient(i)) part.data.fill(0);
    });
    placed.prepare(this.#parts[0].byteOffset);
  }

  /**
   * @param {AggregateGradients} hook
   * @param {number} step
   * @param {AbortSignal} [signal] by which the hook may be given up, and then write to what it was given for ever: so
   *   that is a copy
   * @returns {{ settled: void | Promise<void>, finish: () => void }} what the hook returns; `finish` is for when it has
   *   settled, and brings what it wrote to where `stage` finds it
   */
  aggregate(hook, step, signal) {
    const block = this.#blocks[this.#blocks.length - 1];
    const flat = /** @type {Float32Array} */ (signal ? block.data.slice() : block.data);
    const info = { step, tensors: this.#tensors, ...(signal && { signal }) };
    return { settled: hook(flat, info), finish: () => (signal ? block.data.set(flat) : checkAttached(flat)) };
  }

  /**
   * Stages what the hook wrote.
   *
   * @param {Engine} engine
   */
  stage(engine) {
    this.#parts.forEach((part, i) => engine.setGradient(i, part));
  }

  /** Frees the blocks; the variables make buffers of their own again when they need one. */
  dispose() {
    this.#variables.forEach((variable, i) => {
      if (!variable.isDisposed && variable.gradient === this.#buffers[i]) variable.gradient = null;
    });
    for (const tensor of [...this.#parts, ...this.#buffers, ...this.#blocks]) tensor.dispose();
  }
}

/**
 * @param {Float32Array} flat what a hook was given
 * @throws {Error} if the memory has grown since, so that what the hook wrote afterwards went nowhere
 */
function checkAttached(flat) {
  if (flat.buffer.byteLength > 0) return;
  throw new Error('the buffer of aggregateGradients must stay attached, but the memory grew while the hook ran: make '
    + 'tensors before, or give the Memory more initialBytes');
}
