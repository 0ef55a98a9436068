/**
 * Random numbers from a seed, the same on every machine: integer operations, and floats only where they are exact.
 * Not for secrets.
 */
import { integer } from '../../js/check.js';

/** xoshiro128** by Blackman and Vigna, its state filled by splitmix32. */
export class Random {
  /** Four 32-bit integers, not all zero. */
  #state;

  /**
   * @param {number} seed an integer in [0, 2^32 - 1]
   * @param {number} [stream] an integer in [0, 2^32 - 1]; streams of one seed are unrelated: one for each purpose
   */
  constructor(seed, stream = 0) {
    const counter = integer('seed', seed, 0, 2 ** 32 - 1) ^ mix(integer('stream', stream, 0, 2 ** 32 - 1));
    // splitmix32 maps its counters one to one, so at most one of the four can be zero.
    this.#state = Uint32Array.from({ length: 4 }, (_, i) => mix(counter + Math.imul(i + 1, 0x9e3779b9)));
  }

  /** @returns {number} an integer in [0, 2^32 - 1] */
  bits() {
    const state = this.#state;
    const result = Math.imul(rotateLeft(Math.imul(state[1], 5), 7), 9) >>> 0;
    const shifted = state[1] << 9;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotateLeft(state[3], 11);
    return result;
  }

  /**
   * @param {number} limit an integer in [1, 2^21], so that the product below is exact
   * @returns {number} an integer in [0, limit - 1]; each as probable as the others to 2^-11
   */
  below(limit) {
    return Math.floor((this.bits() * limit) / 2 ** 32);
  }

  /** @returns {number} in [-1, 1), a multiple of 2^-23 and thus a float32 */
  symmetric() {
    return (this.bits() >>> 8) / 2 ** 23 - 1;
  }

  /**
   * Puts values in a random order, in place.
   *
   * @param {Uint32Array} values at most 2^21
   */
  shuffle(values) {
    for (let last = values.length - 1; last > 0; last--) {
      const chosen = this.below(last + 1);
      const value = values[chosen];
      values[chosen] = values[last];
      values[last] = value;
    }
  }
}

/**
 * @param {number} value an integer
 * @returns {number} the finalizer of splitmix32: a one-to-one map of 32-bit integers
 */
function mix(value) {
  let mixed = value | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return mixed ^ (mixed >>> 15);
}

/**
 * @param {number} value
 * @param {number} places
 */
function rotateLeft(value, places) {
  return (value << places) | (value >>> (32 - places));
}
