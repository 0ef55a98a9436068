/**
 * exp, log, pow and cos in float64 with the same bits on every engine. ECMAScript leaves the accuracy of Math.exp,
 * Math.log, Math.pow and Math.cos to the engine, and engines differ. Everything here is built from + - * /, which IEEE
 * 754 rounds correctly everywhere, from Math.floor and Math.abs and the operator %, which ECMAScript defines exactly,
 * and from the bits of a float64 read and written through a DataView.
 *
 * The method: a logarithm and an exponential that carry their value as an unevaluated sum of two float64 (the high part
 * returned, the low part in `low`), so that pow loses nothing in y * log(x); plain Taylor series on reduced arguments,
 * long enough that what is left out is below 2^-67 of the result. The error bounds are sums of the roundings; the test
 * (`node --test tests/unit/math.test.js`) holds every function to its bound against exact arithmetic and prints the
 * largest error.
 *
 * Special values, signed zeros, infinities and NaN are those of Math.exp, Math.log, Math.pow and Math.cos.
 * No function here allocates. The package's own schedules need no exp: it is there for schedules that others write, as
 * the page of web-demo lets them be typed.
 */

/** ln 2 in two parts; the first ends in 21 zero bits: k * LN2_HIGH is exact for |k| < 2^21 (the split of fdlibm). */
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** π/2 in four parts; the first three have 31 bits, so that k times each of them is exact for |k| <= 2^22. */
const HALF_PI_A = 1.5707963267341256;
const HALF_PI_B = 6.077100509014471e-11;
const HALF_PI_C = -2.5082788063426444e-20;
const HALF_PI_D = 8.4784276603689e-32;

/** 2/3 in two parts. */
const TWO_THIRDS_HIGH = 0.6666666666666666;
const TWO_THIRDS_LOW = 3.700743415417188e-17;

/** The largest |x| that cos reduces with full accuracy. */
const COS_LIMIT = 1048576 * 3.141592653589793;

const bits = /* @__PURE__ */ new DataView(/* @__PURE__ */ new ArrayBuffer(8));

/** low[0] is the low part of the last result of logParts. */
const low = /* @__PURE__ */ new Float64Array(1);

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
 * ln x as high + low, relative error below 2^-64.
 *
 *     x = 2^k m, m in (sqrt(1/2), sqrt(2)],  s = (m - 1)/(m + 1), |s| < 0.172,  z = s²
 *     ln x = k ln 2 + 2s + (2/3) s z + (2/5) s z² + 2 s z³ (1/7 + z/9 + z²/11 + ... + z^9/25)
 *
 * The first three terms are kept in two parts each; what follows is below 2^-12 of the second, its products are exact.
 *
 * @param {number} x positive and finite
 * @returns {number} the high part; the low part is left in low[0]
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

  const numerator = m - 1; // exact
  const denominator = m + 1;
  const denominatorLow = m - (denominator - 1);
  const s = numerator / denominator;
  const back = s * denominator;
  const sLow = (((numerator - back) - productError(s, denominator, back)) - s * denominatorLow) / denominator;

  const z = s * s;
  const cube = z * s;
  const zLow = productError(s, s, z);
  const cubeLow = productError(z, s, cube) + zLow * s;
  const third = cube * TWO_THIRDS_HIGH;
  const thirdLow = productError(cube, TWO_THIRDS_HIGH, third) + (cube * TWO_THIRDS_LOW + cubeLow * TWO_THIRDS_HIGH);

  const fifth = cube * z;
  const fifthLow = productError(cube, z, fifth) + (cubeLow * z + cube * zLow);
  let series = 1 / 25;
  for (let n = 23; n > 5; n -= 2) series = series * z + 1 / n;
  const rest = 0.4 * fifth + (0.4 * fifthLow + 2 * fifth * z * series + thirdLow + 2 * sLow / (1 - z) + k * LN2_LOW);

  const exponent = k * LN2_HIGH;
  const first = exponent + 2 * s;
  const second = first + third;
  const tail = sumError(exponent, 2 * s, first) + sumError(first, third, second) + rest;
  const high = second + tail;
  low[0] = tail - (high - second);
  return high;
}

/**
 * e^(x + xLow), error below 0.75 ulp (1 ulp where the result is subnormal) beside what x + xLow itself is off.
 *
 *     k = round(x / ln 2),  r = x + xLow - k ln 2, |r| < 0.347
 *     e^(x + xLow) = 2^k (1 + r + r²/2! + ... + r^15/15!)
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
  const rLow = (exact - r) - correction;

  let series = 1;
  for (let n = 15; n > 2; n--) series = 1 + series * r / n;
  const sum = 1 + r;
  const result = sum + (sumError(1, r, sum) + (rLow + rLow * r + r * r / 2 * series));

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
 * e^x, error below 0.75 ulp (1 ulp where the result is subnormal).
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
 * The natural logarithm of x, error below 0.51 ulp.
 *
 * @param {number} x
 * @returns {number} NaN below zero, -Infinity at ±0
 */
export function log(x) {
  if (x > 0) return x < Infinity ? logParts(x) : Infinity;
  return x === 0 ? -Infinity : NaN;
}

/**
 * x^y = e^(y ln x), error below 0.85 ulp (1 ulp where the result is subnormal), whatever |y ln x|; a result that
 * float64 holds exactly is exact. Rounded to float32 it is the correctly rounded power in all but about one of 2^28
 * cases.
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
  return sign * expParts(product, productError(power, logarithm, product) + power * low[0]);
}

/**
 * The cosine of x radians, error below 0.8 ulp for |x| <= 2^20 π, also next to its zeros. Beyond that range, which no
 * schedule reaches at a step >= 0, the result is NaN rather than a number of uncertain phase.
 *
 *     k = round(x / (π/2)),  r = x - k π/2, |r| < 0.786, in two parts,  z = r²
 *     k even: ±(1 - z/2! + z²/4! - ... + z^9/18!)      k odd: ∓(r - r z/3! + r z²/5! - ... + r z^9/19!)
 *
 * @param {number} x
 * @returns {number}
 */
export function cos(x) {
  x = Math.abs(x);
  if (!(x <= COS_LIMIT)) return NaN;
  const k = Math.floor(x * 0.6366197723675814 + 0.5);
  const a = x - k * HALF_PI_A; // exact
  const partB = -k * HALF_PI_B;
  const b = a + partB;
  const partC = -k * HALF_PI_C;
  const c = b + partC;
  const tail = sumError(a, partB, b) + sumError(b, partC, c) - k * HALF_PI_D;
  const r = c + tail;
  const rLow = tail - (r - c);

  // cos r = 1 - z/2 (1 - z/(3·4) (1 - z/(5·6) (1 - ...))) and sin r = r - r z/6 (1 - z/(4·5) (1 - z/(6·7) (1 - ...)));
  // the loop makes the bracket that follows z/(3·4), or z/6.
  const z = r * r;
  const isSine = k & 1;
  let series = 1;
  for (let d = 17 + isSine; d > 3; d -= 2) series = 1 - z / (d * (d + 1)) * series;
  let result;
  if (isSine) {
    result = r + (rLow * (1 - z / 2) - r * (z / 6 * series));
  } else {
    const halfZ = z / 2;
    const most = 1 - halfZ;
    result = most + (((1 - most) - halfZ) + (halfZ * (z / 12 * series) - r * rLow));
  }
  // cos(r + kπ/2) is cos r, -sin r, -cos r, sin r for k = 0, 1, 2, 3 modulo 4.
  return (k + 1) & 2 ? -result : result;
}
