/** Bit patterns of floats, as the recorded vectors write them, and their distance. */

/**
 * @param {readonly string[]} hex 8 digits each
 * @returns {Float32Array<ArrayBuffer>}
 */
export function floats(hex) {
  return new Float32Array(Uint32Array.from(hex, (digits) => Number.parseInt(digits, 16)).buffer);
}

/**
 * The float32s between two numbers, counted: 0 for equal bits, and for two NaNs; -0 and +0 are 1 apart.
 *
 * @param {number} a
 * @param {number} b
 * @returns {number} Infinity if only one is NaN
 */
export function ulpDistance(a, b) {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b) ? 0 : Infinity;
  return Math.abs(ordinal(a) - ordinal(b));
}

/**
 * @param {ArrayLike<number>} actual
 * @param {ArrayLike<number>} expected
 * @returns {number} the largest distance, Infinity if the lengths differ
 */
export function largestUlp(actual, expected) {
  if (actual.length !== expected.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, ulpDistance(actual[i], expected[i]));
  return largest;
}

/**
 * @param {number} x
 * @param {number} [precision] 24 for float32, 53 for float64
 * @returns {number} the unit in the last place of x
 */
export function spacing(x, precision = 24) {
  const exponent = Number((new BigUint64Array(Float64Array.of(x).buffer)[0] >> 52n) & 0x7ffn) - 1023;
  return 2 ** Math.max(exponent - precision + 1, precision === 24 ? -149 : -1074);
}

/** @param {number} x a float32 */
function ordinal(x) {
  const bits = new Int32Array(Float32Array.of(x).buffer)[0];
  return bits >= 0 ? bits : -1 - (bits & 0x7fffffff);
}
