/** Exactly rounded a b + c of float32 and of float64, which JavaScript has no operation for. */

/** @typedef {{ precision: number, least: number }} Format how many bits a number has, and the exponent of the least one */

/** @type {Format} */
const FLOAT32 = { precision: 24, least: -149 };
/** @type {Format} */
const FLOAT64 = { precision: 53, least: -1074 };

/**
 * @param {number} a a float32, as are b and c
 * @param {number} b
 * @param {number} c
 * @returns {number} a b + c, rounded once to a float32
 */
export function fma32(a, b, c) {
  return Math.fround(fused(FLOAT32, a, b, c));
}

/**
 * @param {number} a
 * @param {number} b
 * @param {number} c
 * @returns {number} a b + c, rounded once
 */
export function fma64(a, b, c) {
  return fused(FLOAT64, a, b, c);
}

/**
 * @param {Format} format
 * @param {number} a
 * @param {number} b
 * @param {number} c
 * @returns {number} of at most that precision, if too large for the format not yet infinite
 */
function fused({ precision, least }, a, b, c) {
  // A finite product may overflow before an infinite c is added; every other case here is exact, with its signs.
  if (Number.isFinite(a) && Number.isFinite(b) && !Number.isFinite(c)) return c;
  if (!Number.isFinite(a) || !Number.isFinite(b) || a === 0 || b === 0) return a * b + c;
  const [x, y, z] = [a, b, c].map(exactly);
  let exponent = Math.min(x.exponent + y.exponent, z.exponent);
  const product = (x.integer * y.integer) << BigInt(x.exponent + y.exponent - exponent);
  const sum = product + (z.integer << BigInt(z.exponent - exponent));
  const sign = sum < 0n ? -1 : 1;
  let integer = sum < 0n ? -sum : sum;
  const excess = Math.max(integer.toString(2).length - precision, least - exponent);
  if (excess > 0) {
    const rest = BigInt.asUintN(excess, integer);
    const half = 1n << BigInt(excess - 1);
    integer >>= BigInt(excess);
    exponent += excess;
    if (rest > half || (rest === half && integer & 1n)) integer++;
  }
  return integer === 0n ? 0 * sign : sign * Number(integer) * 2 ** exponent;
}

/**
 * @param {number} x finite
 * @returns {{ integer: bigint, exponent: number }} x = integer 2^exponent
 */
function exactly(x) {
  const bits = new BigUint64Array(Float64Array.of(x).buffer)[0];
  const field = Number((bits >> 52n) & 0x7ffn);
  const fraction = BigInt.asUintN(52, bits);
  const magnitude = field ? fraction | (1n << 52n) : fraction;
  return { integer: x < 0 ? -magnitude : magnitude, exponent: Math.max(field, 1) - 1075 };
}
