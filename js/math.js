/**
 * exp, log, pow and cos in float64 with the same bits on every engine. ECMAScript leaves the accuracy of Math.exp,
 * Math.log, Math.pow and Math.cos to the engine, and engines differ. Everything here is built from + - * /, which IEEE
 * 754 rounds correctly everywhere, from Math.floor and Math.abs and the operator %, which ECMAScript defines exactly,
 * and from the bits of a float64 read and written through a DataView.
 *
 * The method: arguments are reduced, and series are added up, in unevaluated sums of two float64 (a high part that is
 * returned, and a low part that is left in `low`), with about 100 bits. The last operation rounds to one float64, so
 * that the error is hardly more than half an ulp, and composed schedules do not drift. The tests
 * (`node --test tests/unit/math.test.js`) hold every function to its bound against exact arithmetic and print the
 * largest error; tests/golden/math.test.js compares with correctly rounded values at the arguments of schedules.
 *
 * Special values, signed zeros, infinities and NaN are those of Math.exp, Math.log, Math.pow and Math.cos.
 * No function here allocates. The package's own schedules need no exp: it is there for schedules that others write, as
 * the page of web-demo lets them be typed.
 */

/** ln 2 in two parts; the first ends in 21 zero bits: k * LN2_HIGH is exact for |k| < 2^21 (the split of fdlibm). */
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** π/2 as the sum of three float64. */
const HALF_PI = [1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33];

/** The largest |x| that cos reduces: next to k = 2x/π the float64 are dense enough for the nearest integer. */
const COS_LIMIT = 1125899906842624;

const bits = /* @__PURE__ */ new DataView(/* @__PURE__ */ new ArrayBuffer(8));

/** The low part of the last result of series or logParts. */
let low = 0;

/**
 * @param {number} a
 * @param {number} b
 * @param {number} sum a + b, rounded
 * @returns {number} what rounding left out: a + b is exactly sum + the result (Knuth's two-sum)
 */
function sumError(a, b, sum) {
  const virtual = sum - a;
  return (a - (sum - virtual)) + (b - virtual);
}

/**
 * @param {number} a
 * @param {number} b
 * @param {number} product a * b, rounded
 * @returns {number} what rounding left out: a * b is exactly product + the result, short of over- and underflow
 *   (Dekker)
 */
function productError(a, b, product) {
  const aShifted = 134217729 * a; // 2^27 + 1
  const aHigh = aShifted - (aShifted - a);
  const aLow = a - aHigh;
  const bShifted = 134217729 * b;
  const bHigh = bShifted - (bShifted - b);
  const bLow = b - bHigh;
  return aLow * bLow - (((product - aHigh * bHigh) - aLow * bHigh) - aHigh * bLow);
}

/**
 * The nested series 1 + x t(1)/b(1) (1 + x t(2)/b(2) (1 + ...)), relative error below 2^-98 where |x t(n)/b(n)| < 0.8.
 *
 * @param {number} x
 * @param {number} xLow below an ulp of x
 * @param {number} count terms; what is left out is to be below 2^-100
 * @param {(n: number) => number} top t(n), an integer
 * @param {(n: number) => number} bottom b(n), an integer
 * @returns {number} the high part; the low part is left in low
 */
function series(x, xLow, count, top, bottom) {
  let sum = 1;
  let sumLow = 0;
  for (let n = count; n > 0; n--) {
    const product = x * sum;
    const term = product * top(n);
    const quotient = term / bottom(n);
    const back = quotient * bottom(n);
    const productLow = productError(x, sum, product) + (x * sumLow + xLow * sum);
    const rest = (term - back) - productError(quotient, bottom(n), back) + productError(product, top(n), term);
    sum = 1 + quotient;
    sumLow = sumError(1, quotient, sum) + (rest + productLow * top(n)) / bottom(n);
  }
  const high = sum + sumLow;
  low = sumLow - (high - sum);
  return high;
}

/**
 * ln x as high + low, relative error below 2^-84.
 *
 *     x = 2^k m, m in (sqrt(1/2), sqrt(2)],  s = (m - 1)/(m + 1), |s| < 0.172,  z = s²
 *     ln x = k ln 2 + 2s (1 + z/3 + z²/5 + ...) = k ln 2 + 2s (1 + z 1/3 (1 + z 3/5 (1 + z 5/7 (...))))
 *
 * @param {number} x positive and finite
 * @returns {number} the high part; the low part is left in low
 */
function logParts(x) {
  let k = -1023;
  if (x < 2.2250738585072014e-308) { // subnormal
    x *= 18014398509481984; // 2^54
    k -= 54;
  }
  bits.setFloat64(0, x);
  const top = bits.getUint32(0);
  k += top >>> 20;
  bits.setUint32(0, (top & 0xfffff) | 0x3ff00000);
  let m = bits.getFloat64(0);
  if (m > 1.4142135623730951) {
    m /= 2;
    k++;
  }

  const denominator = m + 1;
  const s = (m - 1) / denominator; // m - 1 is exact
  const back = s * denominator;
  const sLow = (((m - 1 - back) - productError(s, denominator, back)) - s * (m - (denominator - 1))) / denominator;
  const z = s * s;
  const sum = series(z, productError(s, s, z) + 2 * s * sLow, 19, (n) => 2 * n - 1, (n) => 2 * n + 1);

  const exponent = k * LN2_HIGH; // exact
  const main = 2 * s * sum;
  const first = exponent + main;
  const tail = sumError(exponent, main, first)
    + (k * LN2_LOW + (productError(2 * s, sum, main) + 2 * (s * low + sLow * sum)));
  const high = first + tail;
  low = tail - (high - first);
  return high;
}

/**
 * e^(x + xLow), error below 0.5 ulp and 2^-20 of one (0.75 ulp where the result is subnormal and rounded twice) beside
 * what x + xLow itself is off.
 *
 *     k = round(x / ln 2),  r = x + xLow - k ln 2, |r| < 0.347
 *     e^(x + xLow) = 2^k (1 + r (1 + r/2 (1 + r/3 (...))))
 *
 * @param {number} x in [-746, 710]
 * @param {number} xLow below an ulp of x
 * @returns {number}
 */
function expParts(x, xLow) {
  const k = Math.floor(x / 0.6931471805599453 + 0.5);
  const exact = x - k * LN2_HIGH;
  const correction = k * LN2_LOW - xLow;
  const r = exact - correction;
  const result = series(r, sumError(exact, -correction, r), 22, () => 1, (n) => n);

  // 2^k in two steps, so that neither factor over- or underflows and only the last product may round.
  const half = k >> 1;
  return result * powerOfTwo(half) * powerOfTwo(k - half);
}

/**
 * @param {number} k in [-1022, 1023]
 * @returns {number} 2^k
 */
function powerOfTwo(k) {
  bits.setUint32(0, (k + 1023) << 20);
  bits.setUint32(4, 0);
  return bits.getFloat64(0);
}

/**
 * e^x, error below 0.501 ulp (0.75 ulp where the result is subnormal).
 *
 * @param {number} x
 * @returns {number}
 */
export function exp(x) {
  if (x > 710) return Infinity;
  if (x < -746) return 0;
  return x === x ? expParts(x, 0) : NaN;
}

/**
 * The natural logarithm of x, error below 0.501 ulp.
 *
 * @param {number} x
 * @returns {number} NaN below zero, -Infinity at ±0
 */
export function log(x) {
  if (x > 0) return x < Infinity ? logParts(x) : Infinity;
  return x === 0 ? -Infinity : NaN;
}

/**
 * x^y = e^(y ln x), error below 0.501 ulp (0.75 ulp where the result is subnormal), whatever |y ln x|; a result that
 * float64 holds exactly is exact.
 *
 * @param {number} x
 * @param {number} y
 * @returns {number} as Math.pow: 1 for y = 0 even where x is NaN; NaN for |x| = 1 with y infinite (C gives 1) and for a
 *   negative finite x with a y that is no integer
 */
export function pow(x, y) {
  if (y === 0) return 1;
  if (x !== x || y !== y) return NaN;
  const base = Math.abs(x);
  const isOdd = Math.abs(y % 2) === 1;
  const sign = isOdd && (x < 0 || 1 / x < 0) ? -1 : 1;
  if (base === 1 && Math.abs(y) === Infinity) return NaN;
  if (base === 0 || base === Infinity || Math.abs(y) === Infinity) {
    return (base > 1) === (y > 0) ? sign * Infinity : sign * 0;
  }
  if (x < 0 && Math.floor(y) !== y) return NaN;

  const logarithm = logParts(base);
  // The smallest |ln x| but 0 is 2^-53: beyond 2^70 the power has left the range, and the products below must not.
  let power = y;
  if (Math.abs(y) > 1180591620717411303424) power = y > 0 ? 1180591620717411303424 : -1180591620717411303424;
  const product = power * logarithm;
  if (product > 710) return sign * Infinity;
  if (product < -746) return sign * 0;
  return sign * expParts(product, productError(power, logarithm, product) + power * low);
}

/**
 * The cosine of x radians, error below 0.501 ulp for |x| <= 2^20 π, also next to its zeros, and up to 2^50 except next
 * to them. Beyond that range, which no schedule reaches, the result is NaN rather than a number of uncertain phase.
 *
 *     k = round(x / (π/2)),  r = x - k π/2, |r| < 0.8, in two parts,  z = r²
 *     k even: ±(1 - z/2! + z²/4! - ...)      k odd: ∓r (1 - z/3! + z²/5! - ...)
 *
 * @param {number} x
 * @returns {number}
 */
export function cos(x) {
  x = Math.abs(x);
  if (!(x <= COS_LIMIT)) return NaN;
  const k = Math.floor(x * 0.6366197723675814 + 0.5);
  let r = x;
  let rLow = 0;
  for (const part of HALF_PI) {
    const product = k * part;
    const difference = r - product;
    rLow += sumError(r, -product, difference) - productError(k, part, product);
    r = difference + rLow;
    rLow -= r - difference;
  }

  // The n-th term of the cosine is divided by (2n - 1) 2n, of the sine by 2n (2n + 1).
  const isSine = k & 1;
  const z = r * r;
  const sum = series(z, productError(r, r, z) + 2 * r * rLow, 13, () => -1, (n) => 2 * n * (2 * n + 2 * isSine - 1));
  const product = r * sum;
  const result = isSine ? product + (productError(r, sum, product) + r * low + rLow * sum) : sum;
  // cos(r + kπ/2) is cos r, -sin r, -cos r, sin r for k = 0, 1, 2, 3 modulo 4.
  return (k + 1) & 2 ? -result : result;
}
