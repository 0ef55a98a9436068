/** Replays recorded vectors: reads their files, turns bit patterns into numbers, compares by the gates, and counts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { indexedSlices } from 'rmsprop-wasm';
import { floats, ulpDistance } from './bits.js';

/**
 * @param {string} name of a file in tests/golden
 * @returns {any}
 */
export function load(name) {
  return JSON.parse(readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8'));
}

/**
 * @param {readonly string[]} hex bit patterns, 8 digits each for float32 and 16 for float64
 * @returns {Float32Array | Float64Array}
 */
export function numbersOf(hex) {
  if (hex.length === 0 || hex[0].length === 8) return floats(hex);
  assert.equal(hex[0].length, 16);
  return new Float64Array(BigUint64Array.from(hex, (digits) => BigInt(`0x${digits}`)).buffer);
}

/**
 * @param {readonly string[] | { indices: number[], values: string[] } | null} recorded as gen_tf_vectors.py writes it
 * @returns {Float32Array | Float64Array | import('rmsprop-wasm').IndexedSlices | null}
 */
export function gradientOf(recorded) {
  if (recorded === null) return null;
  return 'indices' in recorded ? indexedSlices(numbersOf(recorded.values), recorded.indices) : numbersOf(recorded);
}

/** Compares what was computed with what was recorded, and counts. */
export class Tally {
  cases = 0;
  values = 0;
  /** In units of the last place, over the values that must be equal. */
  largestUlp = 0;
  /** In epsilons of the largest element, over the values that need only be near. */
  largestEpsilons = 0;

  /**
   * Equal bits, NaN equal to NaN.
   *
   * @param {ArrayLike<number>} actual
   * @param {readonly string[]} hex
   * @param {string} what
   */
  equal(actual, hex, what) {
    const expected = this.#expected(actual, hex, what);
    expected.forEach((x, i) => {
      const ulp = distance(actual[i], x, expected);
      this.largestUlp = Math.max(this.largestUlp, ulp);
      assert.equal(ulp, 0, `${what}[${i}] is ${actual[i]}, ${ulp} ulp from ${x}`);
    });
  }

  /**
   * Equal, or this far away at most.
   *
   * @param {ArrayLike<number>} actual
   * @param {readonly string[]} hex
   * @param {number} absolute
   * @param {string} what
   */
  near(actual, hex, absolute, what) {
    const expected = this.#expected(actual, hex, what);
    expected.forEach((x, i) => {
      const isNear = distance(actual[i], x, expected) === 0 || Math.abs(actual[i] - x) <= absolute;
      assert.ok(isNear, `${what}[${i}] must be within ${absolute} of ${x}, got ${actual[i]}`);
    });
  }

  /**
   * Within some epsilons (2^-23, or 2^-52) of the largest element.
   *
   * @param {ArrayLike<number>} actual
   * @param {readonly string[]} hex
   * @param {number} count
   * @param {string} what
   */
  withinEpsilons(actual, hex, count, what) {
    const expected = this.#expected(actual, hex, what);
    const epsilon = (expected instanceof Float32Array ? 2 ** -23 : 2 ** -52) * Math.max(...expected.map(Math.abs));
    expected.forEach((x, i) => {
      const epsilons = actual[i] === x ? 0 : Math.abs(actual[i] - x) / epsilon;
      this.largestEpsilons = Math.max(this.largestEpsilons, epsilons);
      assert.ok(epsilons <= count, `${what}[${i}] must be within ${count} epsilons of ${x}, got ${actual[i]}: ${epsilons}`);
    });
  }

  /**
   * @param {ArrayLike<number>} actual
   * @param {readonly string[]} hex
   * @param {string} what
   */
  #expected(actual, hex, what) {
    const expected = numbersOf(hex);
    assert.equal(actual.length, expected.length, what);
    this.values += expected.length;
    return expected;
  }

  /** @returns {string} what `npm test` prints */
  toString() {
    const near = this.largestEpsilons ? `, ${this.largestEpsilons.toFixed(2)} epsilons of the largest element by estimates` : '';
    return `${this.cases} cases, ${this.values} values, largest distance ${this.largestUlp} ulp${near}`;
  }
}

/**
 * @param {number} a
 * @param {number} b
 * @param {Float32Array | Float64Array} type an array of the type of both
 * @returns {number} the numbers of that type between them, counted; 0 for two NaNs, Infinity for one
 */
function distance(a, b, type) {
  if (type instanceof Float32Array || Number.isNaN(a) || Number.isNaN(b)) return ulpDistance(a, b);
  const [x, y] = [a, b].map((double) => {
    const bits = new BigInt64Array(Float64Array.of(double).buffer)[0];
    return bits >= 0n ? bits : -1n - (bits & 0x7fffffffffffffffn);
  });
  return Math.abs(Number(x - y));
}
