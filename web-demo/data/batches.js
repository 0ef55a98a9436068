/**
 * The place in the training data: which examples the next step takes. Seeded, so that everyone who trains with the same
 * seed sees the same batches, on every machine.
 */
import { fillBatch } from './mnist.js';
import { Random } from './random.js';

/** @typedef {import('./mnist.js').Examples} Examples */
/**
 * @typedef {object} Batch
 * @property {Float32Array} inputs of the own share, rows × columns each; valid until the next batch is made
 * @property {Uint8Array} labels of the own share, which may be empty; valid until the next batch is made
 * @property {number} count examples of the whole batch
 * @property {number} epoch from 1
 * @property {number} step of the epoch, from 1
 */

/** The stream of the seed that orders the examples; the model's weights have stream 0. */
export const ORDER = 1;

/**
 * The batches of one epoch after the other, each epoch in an order of its own; or of each batch a share, where several
 * train on one batch together.
 *
 *     const batch = batches.current();
 *     …
 *     batches.advance();
 */
export class Batches {
  #examples;
  #size;
  #seed;
  #order;
  #inputs;
  #labels;
  #stepsPerEpoch;
  #made = 0;

  /**
   * @param {Examples} examples
   * @param {number} size examples per batch; the last of an epoch takes what is left
   * @param {number} seed
   */
  constructor(examples, size, seed) {
    this.#examples = examples;
    this.#size = size;
    this.#seed = seed;
    this.#order = unshuffled(examples.count, seed);
    this.#inputs = new Float32Array(size * examples.rows * examples.columns);
    this.#labels = new Uint8Array(size);
    this.#stepsPerEpoch = Math.ceil(examples.count / size);
  }

  /** @returns {number} */
  get stepsPerEpoch() {
    return this.#stepsPerEpoch;
  }

  /** @returns {number} how many batches have been made */
  get made() {
    return this.#made;
  }

  /** @returns {number} how many examples have been in them, each as often as it was */
  get examples() {
    const epochs = Math.floor(this.#made / this.#stepsPerEpoch);
    return epochs * this.#examples.count + (this.#made % this.#stepsPerEpoch) * this.#size;
  }

  /**
   * Makes the batch of this place, as often as it is asked for.
   *
   * @param {{ index: number, of: number }} [share] which of how many; default: all of it
   * @returns {Batch} its `step` equals `stepsPerEpoch` at the end of an epoch
   */
  current({ index, of } = { index: 0, of: 1 }) {
    const order = this.#order;
    for (; order.shuffles * this.#stepsPerEpoch <= this.#made; order.shuffles++) order.random.shuffle(order.numbers);
    const step = this.#made % this.#stepsPerEpoch;
    const first = step * this.#size;
    const count = Math.min(this.#size, this.#examples.count - first);
    const begin = Math.floor((count * index) / of);
    const own = Math.floor((count * (index + 1)) / of) - begin;
    fillBatch(this.#inputs, this.#labels, this.#examples, order.numbers, first + begin, own);
    return {
      inputs: this.#inputs.subarray(0, own * this.#examples.rows * this.#examples.columns),
      labels: this.#labels.subarray(0, own),
      count,
      epoch: Math.floor(this.#made / this.#stepsPerEpoch) + 1,
      step: step + 1,
    };
  }

  /**
   * Goes on to the next place, or to another.
   *
   * @param {number} [made] how many batches come before it
   */
  advance(made = this.#made + 1) {
    // A shuffle cannot be undone.
    if (made < (this.#order.shuffles - 1) * this.#stepsPerEpoch) {
      this.#order = unshuffled(this.#examples.count, this.#seed);
    }
    this.#made = made;
  }
}

/**
 * @param {number} count
 * @param {number} seed
 * @returns {{ numbers: Uint32Array, random: Random, shuffles: number }} numbers: of the examples, in the order of the
 *   epoch; shuffles: how often it was shuffled, once for each epoch that has begun
 */
function unshuffled(count, seed) {
  return { numbers: Uint32Array.from({ length: count }, (_, i) => i), random: new Random(seed, ORDER), shuffles: 0 };
}
