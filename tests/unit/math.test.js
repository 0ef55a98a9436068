import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cos, exp, log, pow } from '../../js/math.js';

/**
 * The oracle: fixed-point numbers in BigInt with 320 bits behind the point, where the code has 53 bits in all. It
 * shares no method with the code but the Taylor series of e^x and cos x: the logarithm comes from Newton's iteration on
 * e^x.
 *
 * @typedef {{ value: bigint, exponent: number }} Exact the number value * 2^(exponent - 320)
 */
const BITS = 320n;
const ONE = 1n << BITS;

/**
 * @param {bigint} a
 * @param {bigint} b
 */
const multiply = (a, b) => (a * b) >> BITS;

/**
 * @param {bigint} n
 * @returns {bigint} atanh(1/n), or with `sign` -1 atan(1/n)
 */
function inverseTangent(n, sign = 1n) {
  let sum = 0n;
  let power = ONE / n;
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += power / k;
    power = sign * power / (n * n);
  }
  return sum;
}

const LN2 = 2n * inverseTangent(3n);
const PI = 16n * inverseTangent(5n, -1n) - 4n * inverseTangent(239n, -1n); // Machin

const view = new DataView(new ArrayBuffer(8));

/**
 * @param {number} x
 * @returns {string} the bits of a float64 as 16 hexadecimal digits
 */
function bits(x) {
  view.setFloat64(0, x);
  return view.getBigUint64(0).toString(16).padStart(16, '0');
}

/**
 * @param {number} x finite
 * @returns {{ mantissa: bigint, scale: number }} x = mantissa * 2^scale
 */
function decompose(x) {
  view.setFloat64(0, x);
  const word = view.getBigUint64(0);
  const biased = Number((word >> 52n) & 0x7ffn);
  const fraction = word & ((1n << 52n) - 1n);
  const mantissa = biased === 0 ? fraction : fraction | (1n << 52n);
  return { mantissa: x < 0 ? -mantissa : mantissa, scale: Math.max(biased, 1) - 1075 };
}

/**
 * @param {bigint} value
 * @param {number} places
 * @returns {bigint} value * 2^places, rounded down
 */
function shift(value, places) {
  return places >= 0 ? value << BigInt(places) : value >> BigInt(-places);
}

/**
 * @param {number} x
 * @returns {bigint} x in fixed point
 */
function fixed(x) {
  const { mantissa, scale } = decompose(x);
  return shift(mantissa, scale + Number(BITS));
}

/**
 * @param {bigint} x
 * @returns {Exact} e^x
 */
function exactExp(x) {
  const k = x / LN2;
  const r = x % LN2;
  let term = ONE;
  let sum = 0n;
  for (let n = 1n; term !== 0n; n++) {
    sum += term;
    term = multiply(term, r) / n;
  }
  return { value: sum, exponent: Number(k) };
}

/**
 * @param {number} x positive
 * @returns {bigint} ln x
 */
function exactLog(x) {
  const { mantissa, scale } = decompose(x);
  let result = fixed(Math.log(x));
  for (let i = 0; i < 4; i++) { // 50 bits, 100, 200, 400
    const { value, exponent } = exactExp(-result);
    result += shift(mantissa * value, scale + exponent) - ONE;
  }
  return result;
}

/**
 * @param {number} x
 * @returns {bigint} cos x
 */
function exactCos(x) {
  const r = fixed(x) % (2n * PI);
  const square = multiply(r, r);
  let term = ONE;
  let sum = 0n;
  for (let n = 1n; term !== 0n && term !== -1n; n += 2n) {
    sum += term;
    term = -multiply(term, square) / (n * (n + 1n));
  }
  return sum;
}

/**
 * @param {number} actual
 * @param {Exact} exact not 0
 * @param {number} precision bits of a significand
 * @param {number} smallest exponent of the smallest subnormal
 * @returns {number} the distance in units of the last place that a format has where the exact value lies
 */
function errorInUlp(actual, { value, exponent }, precision = 53, smallest = -1074) {
  const { mantissa, scale } = decompose(actual);
  const point = exponent - Number(BITS);
  const length = (value < 0n ? -value : value).toString(2).length;
  const ulp = Math.max(length + point - precision, smallest);
  const difference = shift(mantissa, scale - point) - value;
  return Number(shift(difference < 0n ? -difference : difference, point - ulp + 30)) / 2 ** 30;
}

const seed = 20240601;

/**
 * Numerical Recipes' 32-bit generator.
 *
 * @returns {(from: number, to: number) => number} uniform random numbers
 */
function random() {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return (from, to) => from + (to - from) * (next() + next() / 2 ** 32);
}

/**
 * @param {import('node:test').TestContext} t
 * @param {string} what
 * @param {number} bound
 * @param {Iterable<{ error: number, at: string }>} errors
 */
function hold(t, what, bound, errors) {
  let largest = { error: 0, at: '' };
  let points = 0;
  for (const measured of errors) {
    points++;
    if (!(measured.error <= largest.error)) largest = measured;
  }
  const worst = `largest error ${largest.error.toFixed(4)} ulp at ${largest.at}`;
  t.diagnostic(`${what}: ${points} points, seed ${seed}, ${worst}`);
  assert.ok(largest.error < bound, `${what}: ${worst}, the bound is ${bound}`);
}

test('exp is within 0.501 ulp, and within 0.75 ulp where it is subnormal', (t) => {
  /** @param {number} x */
  const measure = (x) => ({ error: errorInUlp(exp(x), exactExp(fixed(x))), at: String(x) });
  const draw = random();
  const wide = Array.from({ length: 5000 }, () => draw(-708.3, 709.7));
  const narrow = Array.from({ length: 5000 }, (_, i) => draw(-1, 1) * 2 ** -(i % 54));
  const edges = [709.782712893384, -708.3964185322641, 0.34657359027997264, -0.34657359027997264, 0.3465735902799727];
  const subnormal = Array.from({ length: 500 }, () => draw(-745.1, -708.4));
  hold(t, 'exp', 0.501, [...wide, ...narrow, ...edges].map(measure));
  hold(t, 'exp, subnormal', 0.75, [...subnormal, -745.1332191019411].map(measure));
});

test('log is within 0.501 ulp, next to 1 and for subnormal arguments too', (t) => {
  /** @param {number} x */
  const measure = (x) => ({ error: errorInUlp(log(x), { value: exactLog(x), exponent: 0 }), at: String(x) });
  const draw = random();
  const wide = Array.from({ length: 3000 }, () => draw(1, 2) * 2 ** Math.floor(draw(-1022, 1024)));
  const near = Array.from({ length: 3000 }, (_, i) => 1 + draw(-0.5, 1) * 2 ** -(i % 52)).filter((x) => x !== 1);
  const edges = [
    5e-324, 2 ** -1022, Number.MAX_VALUE, 1 + 2 ** -52, 1 - 2 ** -53, Math.SQRT2, Math.SQRT1_2, 1.4142135623730954, 10,
  ];
  hold(t, 'log', 0.501, [...wide, ...near, ...edges].map(measure));
});

test('pow is within 0.501 ulp however large y ln x is, and rounds correctly to float32', (t) => {
  const float32Errors = /** @type {number[]} */ ([]);
  /** @param {[number, number]} xy */
  const measure = ([x, y]) => {
    const exact = exactExp(multiply(fixed(y), exactLog(x)));
    const actual = pow(x, y);
    if (Math.abs(exact.exponent) < 125) float32Errors.push(errorInUlp(Math.fround(actual), exact, 24, -149));
    return { error: errorInUlp(actual, exact), at: `(${x}, ${y})` };
  };
  const draw = random();
  /** @type {[number, number][]} */
  const points = [];
  for (let i = 0; i < 3000; i++) {
    const x = exp(draw(-20, 20));
    points.push([x, draw(-708, 709) / log(x)]);
    const nearOne = 1 + draw(0.1, 1) * 2 ** -(i % 45);
    points.push([nearOne, draw(-708, 709) / log(nearOne)]);
    // Where the series of the logarithm is longest and its exponent 0, so that y is largest.
    const edge = i % 2 ? draw(0.7072, 0.74) : draw(1.37, 1.4142);
    points.push([edge, (i % 4 < 2 ? 1 : -1) * draw(690, 707) / log(edge)]);
    // Bases and exponents of schedules: float32 numbers.
    points.push([Math.fround(draw(0.001, 1)), Math.fround(draw(0, 12))]);
  }
  hold(t, 'pow', 0.501, points.map(measure));
  /** @type {[number, number][]} */
  const subnormal = [];
  for (let i = 0; i < 300; i++) {
    const x = draw(0.01, 1);
    subnormal.push([x, draw(-744, -709) / log(x)]);
  }
  hold(t, 'pow, subnormal', 0.75, subnormal.map(measure));
  const largest = Math.max(...float32Errors);
  t.diagnostic(`${float32Errors.length} of them rounded to float32: largest error ${largest.toFixed(8)} ulp`);
  assert.ok(largest <= 0.5);
});

test('cos is within 0.501 ulp up to 2^20 π, also next to its zeros, and far beyond', (t) => {
  /** @param {number} x */
  const measure = (x) => ({ error: errorInUlp(cos(x), { value: exactCos(x), exponent: 0 }), at: String(x) });
  const draw = random();
  const wide = Array.from({ length: 5000 }, () => draw(-(2 ** 20) * Math.PI, 2 ** 20 * Math.PI));
  const narrow = Array.from({ length: 5000 }, () => draw(-7, 7));
  const zeros = Array.from({ length: 5000 }, (_, i) => (i < 50 ? i : Math.floor(draw(0, 2 ** 21))) * (Math.PI / 2));
  const edges = [
    2 ** 20 * Math.PI, Math.PI / 4, 0.7853981633974484, Math.PI / 2, Math.PI, Math.fround(Math.PI), 1e-8, 1e-300,
  ];
  hold(t, 'cos', 0.501, [...wide, ...narrow, ...zeros, ...edges].map(measure));
  const far = Array.from({ length: 5000 }, () => draw(0, 1) * 2 ** Math.floor(draw(22, 51)));
  hold(t, 'cos, beyond', 0.501, [...far, 2 ** 50].map(measure));
});

test('nothing is more than 2 ulp from Math.*: V8 has fdlibm, which is within 1 ulp', () => {
  const draw = random();
  /**
   * @param {number} actual
   * @param {number} expected
   * @param {string} at
   */
  const close = (actual, expected, at) => {
    const distance = BigInt(`0x${bits(actual)}`) - BigInt(`0x${bits(expected)}`);
    assert.ok(distance >= -2n && distance <= 2n, `${at}: ${actual}, Math has ${expected}`);
  };
  for (let i = 0; i < 20000; i++) {
    const x = draw(-700, 700);
    close(exp(x), Math.exp(x), `exp(${x})`);
    close(cos(x), Math.cos(x), `cos(${x})`);
    const y = Math.exp(x);
    close(log(y), Math.log(y), `log(${y})`);
    const z = draw(0, 2);
    close(pow(z, x / 100), Math.pow(z, x / 100), `pow(${z}, ${x / 100})`);
  }
});

test('a power that float64 holds is exact', () => {
  let two = 5e-324;
  for (let k = -1074; k < 1024; k++) {
    assert.equal(pow(2, k), two, `2^${k}`);
    two *= 2;
  }
  for (let x = 2; x < 300; x++) {
    let power = 1;
    for (let y = 0; power <= 2 ** 53; y++) {
      assert.equal(pow(x, y), power, `${x}^${y}`);
      assert.equal(pow(-x, y), y % 2 ? -power : power, `(-${x})^${y}`);
      power *= x;
    }
  }
  const draw = random();
  for (let i = 0; i < 20000; i++) {
    const x = Math.fround(draw(0, 1));
    assert.equal(pow(x, 2), x * x);
    assert.equal(pow(x, 1), x);
    assert.equal(pow(x * x, 0.5), x);
  }
});

test('special values are those of Math.*', () => {
  const values = [
    0, 1, 2, 3, 0.5, 1.5, 1 / 3, Infinity, 5e-324, 1e-320, 2 ** -1022, Number.MAX_VALUE, 1e300, 2 ** 53, 2 ** 53 - 1,
    2 ** 60, 1023, 1024, 1074, 1 + 2 ** -52, 1 - 2 ** -53, 709.7, 745.2, 1e10,
  ].flatMap((x) => [x, -x]).concat(NaN);
  /** @param {number} x */
  const isSpecial = (x) => !Number.isFinite(x) || x === 0 || Math.abs(x) === 1;
  /**
   * @param {number} actual
   * @param {number} expected
   * @param {string} at
   */
  const same = (actual, expected, at) => {
    const isClose = Math.abs(actual - expected) <= Math.max(2 ** -51 * Math.abs(expected), 5e-324);
    assert.ok(isSpecial(expected) ? Object.is(actual, expected) : isClose, `${at}: ${actual}, Math has ${expected}`);
  };
  for (const x of values) {
    same(exp(x), Math.exp(x), `exp(${x})`);
    same(log(x), Math.log(x), `log(${x})`);
    if (!(Math.abs(x) > 2 ** 20 * Math.PI)) same(cos(x), Math.cos(x), `cos(${x})`);
    for (const y of values) same(pow(x, y), Math.pow(x, y), `pow(${x}, ${y})`);
  }
});

test('cos is NaN beyond 2^50', () => {
  for (const x of [2 ** 50 + 0.25, 1e16, 1e300, Infinity]) {
    assert.equal(cos(x), NaN);
    assert.equal(cos(-x), NaN);
  }
  assert.equal(bits(cos(2 ** 50)), '3febc7711009e00b');
});

test('the bits are the correctly rounded ones, on every engine', () => {
  /** @type {[string, number, string][]} */
  const pinned = [
    ['exp(1)', exp(1), '4005bf0a8b145769'],
    ['exp(-1)', exp(-1), '3fd78b56362cef38'],
    ['exp(0.1)', exp(0.1), '3ff1aec7b35a00d4'],
    ['exp(-0.3465735902799727)', exp(-0.3465735902799727), '3fe6a09e667f3bcc'],
    ['exp(37.12224449478367)', exp(37.12224449478367), '434786368c56ab19'],
    ['exp(700.5)', exp(700.5), '7f18625c7d4f56c2'],
    ['exp(-740)', exp(-740), '0000000000000055'],
    ['log(2)', log(2), '3fe62e42fefa39ef'],
    ['log(3)', log(3), '3ff193ea7aad030b'],
    ['log(10)', log(10), '40026bb1bbb55516'],
    ['log(0.1)', log(0.1), 'c0026bb1bbb55515'],
    ['log(0.96)', log(0.96), 'bfa4e69ed6d80eb3'],
    ['log(1.0000000000000002)', log(1.0000000000000002), '3cafffffffffffff'],
    ['log(1e-310)', log(1e-310), 'c0864e69394d9508'],
    ['pow(0.96, 0.01)', pow(0.96, 0.01), '3feffca813500ae8'],
    ['pow(0.5, 0.5)', pow(0.5, 0.5), '3fe6a09e667f3bcd'],
    ['pow(1.1, 150)', pow(1.1, 150), '4138af35d5f56dff'],
    ['pow(10, -300)', pow(10, -300), '01a56e1fc2f8f359'],
    ['pow(-3, 33)', pow(-3, 33), 'c333bfefa65abb83'],
    ['pow(0.9999999993041424, 721677644636.9918)', pow(0.9999999993041424, 721677644636.9918), '12a6a22442917435'],
    ['pow(0.7596611707027999, 2584.577175089869)', pow(0.7596611707027999, 2584.577175089869), '00020a67b7a27253'],
    ['pow(1.3723, 2215)', pow(1.3723, 2215), '7f2488a829a92b1a'],
    ['pow(0.709, -2034)', pow(0.709, -2034), '7f01ccb74b029309'],
    ['pow(0.7155, -2068)', pow(0.7155, -2068), '7e5bc31ab7f6cc5b'],
    ['pow(0.7375, -2315)', pow(0.7375, -2315), '7f7ecceb814d41ff'],
    ['cos(1)', cos(1), '3fe14a280fb5068c'],
    ['cos(0.1)', cos(0.1), '3fefd712f9a817c1'],
    ['cos(1.5707963267948966)', cos(1.5707963267948966), '3c91a62633145c07'],
    ['cos(3.1415927410125732)', cos(3.1415927410125732), 'bfefffffffffffde'],
    ['cos(2.341029959256047)', cos(2.341029959256047), 'bfe6481d1e1c6349'],
    ['cos(585362.7849044729)', cos(585362.7849044729), 'bfe76d011ec3d413'],
    ['cos(3294198.5)', cos(3294198.5), '3fef9988912023b9'],
    ['cos(-1e6)', cos(-1e6), '3fedf9df9906d32c'],
  ];
  for (const [what, value, expected] of pinned) assert.equal(bits(value), expected, what);
});

test('nothing is left to the engine: of Math, floor and abs alone', () => {
  const text = readFileSync(new URL('../../js/math.js', import.meta.url), 'utf8');
  const source = text.replace(/\/\*[^]*?\*\/|\/\/.*/g, '');
  assert.deepEqual([...new Set(source.match(/Math\.\w+/g))].sort(), ['Math.abs', 'Math.floor']);
  assert.ok(!source.includes('**'));
});
