/**
 * Workers that average arrays with each other through shared memory, in a fixed order: all get the same bits.
 */
import { TIMEOUT, changes } from '../../js/wait.js';

/** How long a worker waits for the others, in milliseconds: one of them may be evaluating the model. */
const PATIENCE = 20 * TIMEOUT;

const ARRIVED = 0;
const ROUND = 1;
/** Bytes before the numbers: a cache line for the words above. */
const HEAD = 64;

/** What one of several workers has of the exchange. */
export class Exchange {
  #index;
  #of;
  #words;
  #weights;
  #losses;
  #parts;
  #mean;
  /** Where this worker's piece begins, and scratch for it. */
  #first;
  #sums;

  /**
   * @param {SharedArrayBuffer} buffer of `Exchange.bytes`, zeros at first, the same for all
   * @param {number} index of this worker, from 0
   * @param {number} of how many workers there are
   * @param {number} length of the arrays
   */
  constructor(buffer, index, of, length) {
    this.#index = index;
    this.#of = of;
    this.#words = new Int32Array(buffer, 0, HEAD / 4);
    this.#weights = new Float64Array(buffer, HEAD, of);
    this.#losses = new Float64Array(buffer, HEAD + 8 * of, of);
    const start = HEAD + 16 * of;
    this.#parts = Array.from({ length: of }, (_, k) => new Float32Array(buffer, start + 4 * length * k, length));
    this.#mean = new Float32Array(buffer, start + 4 * length * of, length);
    this.#first = Math.floor((length * index) / of);
    this.#sums = new Float64Array(Math.floor((length * (index + 1)) / of) - this.#first);
  }

  /**
   * @param {number} of
   * @param {number} length
   * @returns {number} how large the buffer must be
   */
  static bytes(of, length) {
    return HEAD + 16 * of + 4 * length * (of + 1);
  }

  /**
   * Returns when all workers have called it.
   *
   * @param {Float32Array} values this worker's; becomes the sum of all workers', each times its weight. Sums are
   *   float64, in the order of the workers, and then rounded to float32.
   * @param {number} weight
   * @param {number} loss
   * @returns {number} the weighted sum of the losses
   * @throws {Error} if another worker does not come in time
   */
  average(values, weight, loss) {
    this.#parts[this.#index].set(values);
    this.#weights[this.#index] = weight;
    this.#losses[this.#index] = loss;
    this.#meet();
    // Each worker sums a piece of the arrays for all.
    const sums = this.#sums.fill(0);
    this.#parts.forEach((part, k) => addScaled(sums, part, this.#first, this.#weights[k]));
    this.#mean.set(sums, this.#first);
    const mean = this.#losses.reduce((sum, other, k) => sum + this.#weights[k] * other, 0);
    this.#meet();
    values.set(this.#mean);
    return mean;
  }

  #meet() {
    const round = Atomics.load(this.#words, ROUND);
    if (Atomics.add(this.#words, ARRIVED, 1) + 1 === this.#of) {
      Atomics.store(this.#words, ARRIVED, 0);
      Atomics.add(this.#words, ROUND, 1);
      Atomics.notify(this.#words, ROUND);
      return;
    }
    // Whoever saw the last round begin before its writer called notify may wait already when that call wakes it up.
    while (Atomics.load(this.#words, ROUND) === round) {
      if (changes(this.#words, ROUND, round, PATIENCE)) continue;
      throw new Error(`another worker has not come within ${PATIENCE} ms`);
    }
  }
}

/**
 * @param {Float64Array} sums
 * @param {Float32Array} values
 * @param {number} first of the values that are added, one to each sum
 * @param {number} weight they are multiplied by it
 */
function addScaled(sums, values, first, weight) {
  for (let i = 0; i < sums.length; i++) sums[i] += weight * values[first + i];
}
