/**
 * What the real PyTorch 2.15 and 1.13 computed on their AVX2 kernels, which fuse multiply-adds. Ours fuse none, so an
 * oracle replays the runs and shows where it is done (semantics.md §6), and ours is held to within the roundings of one step.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fma32, fma64 } from '../fma.js';
import { Tally, load, numbersOf } from '../replay.js';
import {
  PLACES, SLOTS, distance, distances, elementsOf, fromEachState, grouped, runOracle, stepElement,
} from '../torch-replay.js';

/** @typedef {import('../torch-replay.js').At} At */
/** @typedef {typeof PLACES[number]} Place */

const FUSED = /** @type {const} */ (['decay', 'square', 'mean', 'variance', 'step']);

/** @typedef {{ name: string, file: string, hasLerp: boolean, count: number, undecided?: Place[] }} Release */
/** @type {Release[]} */
const releases = [
  { name: 'PyTorch 2.15.0', file: 'torch_2.15.0_cpu_native.json', hasLerp: true, count: 33 },
  // Its centered cases come out the same with the variance fused or not.
  { name: 'PyTorch 1.13.1', file: 'torch_1.13.1_cpu_avx2.json', hasLerp: false, count: 5, undecided: ['variance'] },
];

for (const { name, file, hasLerp, count, undecided = [] } of releases) {
  /** @type {any[]} */
  const recorded = load(file).cases;
  const cases = recorded.filter(({ dtype }) => dtype !== 'bfloat16').map((c) => grouped(c));
  const others = recorded.filter(({ dtype }) => dtype === 'bfloat16').map(({ id }) => id);

  test(`whole runs of the fused ${name} are met to the bit by the formulas with those multiply-adds fused`, (t) => {
    const tally = new Tally();
    for (const c of cases) {
      tally.cases++;
      runOracle({ fused: FUSED, hasLerp }, c, (...values) => tally.equal(...values));
    }
    assert.equal(tally.cases, count);
    t.diagnostic(`${name}, fused, by the oracle: ${tally}`);
    if (others.length) t.diagnostic(`not replayed, for want of the type: ${others.join(', ')}`);
  });

  test(`the runs of ${name} tell for each multiply-add whether it is fused`, (t) => {
    const counts = PLACES.map((place) => {
      const isFused = FUSED.includes(/** @type {any} */ (place));
      const fused = isFused ? FUSED.filter((other) => other !== place) : [...FUSED, place];
      let different = 0;
      for (const c of cases) {
        runOracle({ fused, hasLerp }, c, (values, bits) => numbersOf(bits).forEach((x, j) => {
          different += Number(!Object.is(values[j], x));
        }));
      }
      assert.equal(different === 0, undecided.includes(place), `${place}: ${different} values differ`);
      return `${place} ${isFused ? 'not ' : ''}fused ${different}`;
    });
    t.diagnostic(`values that would differ: ${counts.join(', ')}`);
  });

  test(`from each state of the fused ${name} our step has the bits of the unfused formulas, within rounding of the fused`, (t) => {
    const ours = new Tally();
    const largest = { square_avg: 0, grad_avg: 0, momentum: 0, parameter: 0 };
    // Up to 2.0 the mean gradient has another formula.
    const comparable = cases.filter(({ groups }) => hasLerp || !groups[0].hyper.centered);
    for (const c of comparable) {
      ours.cases++;
      fromEachState(c, (at) => {
        asUnfused(ours, c.dtype, at);
        const found = fromFused(at);
        const allowed = limits(at.hyper);
        for (const key of /** @type {(keyof typeof largest)[]} */ (Object.keys(largest))) {
          largest[key] = Math.max(largest[key], found[key]);
          assert.ok(found[key] <= allowed[key], `${at.what}, ${key}: ${found[key]} ulp of the largest term, not ${allowed[key]}`);
        }
      });
    }
    t.diagnostic(`ours by the oracle without fusion: ${ours}`);
    t.diagnostic(`ours from the fused, in ulp of the largest term: ${Object.entries(largest).map((pair) => pair.join(' ')).join(', ')}`);
    const left = cases.filter((c) => !comparable.includes(c)).map(({ id }) => id);
    if (left.length) t.diagnostic(`not compared, for the older form of the mean gradient: ${left.join(', ')}`);
  });
}

/**
 * @param {Tally} tally
 * @param {'float32' | 'float64'} dtype
 * @param {At} at
 */
function asUnfused(tally, dtype, { what, i, data, state, before, step, hyper }) {
  const elements = elementsOf(before, i);
  numbersOf(step.grads[i] ?? []).forEach((g, j) => stepElement({ dtype, fused: [], hasLerp: true }, elements[j], g, hyper));
  const same = (/** @type {any} */ actual, /** @type {number[]} */ expected, /** @type {string} */ which) => {
    tally.values += expected.length;
    expected.forEach((x, j) => assert.ok(Object.is(actual[j], x), `${which}[${j}] is ${actual[j]}, not ${x}`));
  };
  same(data, elements.map(({ param }) => param), what);
  for (const name of SLOTS.filter((slot) => state[slot])) same(state[name].data, elements.map((e) => e[name]), `${what}, ${name}`);
}

/**
 * @param {At} at
 * @returns {Record<'square_avg' | 'grad_avg' | 'momentum' | 'parameter', number>} in ulp of the largest term that went in
 */
function fromFused(at) {
  const { what, i, state, before, step, hyper } = at;
  const { alpha = 0.99, eps = 1e-8, weight_decay: decay = 0, centered = false } = hyper;
  const take = 1 - alpha;
  const next = elementsOf(step, i);
  const old = elementsOf(before, i);
  // A gradient that weight decay nearly cancels is as wrong as what it was made of, and so is all that it goes into.
  const gradients = Array.from(numbersOf(step.grads[i] ?? []), (g, j) => Math.abs(g) + Math.abs(decay * old[j].param));
  const squares = gradients.map((g) => take * g * g);
  const means = gradients.map((g, j) => (take < 0.5 ? take : 1) * g + Math.abs(old[j].grad_avg));
  // The difference under the root makes its error larger by square / variance.
  const quotients = gradients.map((g, j) => {
    const square = next[j].square_avg;
    const variance = centered ? square - next[j].grad_avg ** 2 : square;
    return g === 0 ? 0 : g / (Math.sqrt(variance) + eps) * (square / variance);
  });
  const average = (/** @type {'square_avg' | 'grad_avg'} */ name, /** @type {number[]} */ terms) => {
    if (!state[name]) return 0;
    const expected = numbersOf(step.state[i][name]);
    return distance(state[name].data, expected, [expected.map(Math.abs), terms], `${what}, ${name}`);
  };
  return { square_avg: average('square_avg', squares), grad_avg: average('grad_avg', means), ...distances(at, quotients) };
}

/**
 * How far apart the roundings of two steps can bring them. Each operation rounds by half an ulp, which is one part in 2^24
 * at most (float64: 2^53), and a number of such parts is no more than as many ulp. Operations that both round count twice.
 *
 * @param {Record<string, any>} hyper
 * @returns {Record<'square_avg' | 'grad_avg' | 'momentum' | 'parameter', number>} in ulp of the largest term
 */
function limits({ alpha = 0.99, weight_decay: decay = 0, centered = false }) {
  // g + decay x: a product, and a sum twice
  const gradient = decay ? 3 : 0;
  // (take g) g, of which the first product is rounded twice if g differs; then half an ulp for a product and two sums
  const average = (decay ? 2 * gradient + 2 : 0) + 1.5;
  // an ulp is two parts; mean² has twice the error of the mean, whose terms are below the root of square / alpha; 3 roundings
  const variance = 2 * average + (centered ? 2 * 2 * average / Math.sqrt(alpha) + 3 : 0);
  // the root halves it; root, + eps and quotient round twice
  const quotient = gradient + variance / 2 + 6;
  // the sum twice; for the parameter also the rate's product twice, or a buffer's
  return { square_avg: average, grad_avg: average, momentum: quotient + 1, parameter: quotient + 3.5 };
}

test('the multiply-adds of the oracle are rounded once, whatever they are of', () => {
  const max32 = (2 - 2 ** -23) * 2 ** 127;
  /** @type {[(a: number, b: number, c: number) => number, number, number, number, number][]} */
  const cases = [
    // Halfway between two float32, and a little more: a sum in float64 loses the little.
    [fma32, 24929, 673, 0, 2 ** 24], [fma32, 24929, 673, 2 ** -60, 2 ** 24 + 2], [fma32, -24929, 673, -(2 ** -60), -(2 ** 24) - 2],
    [fma64, 1 + 2 ** -30, 1 - 2 ** -30, -1, -(2 ** -60)],
    // Subnormal numbers, ties to even.
    [fma32, 3 * 2 ** -75, 2 ** -75, 0, 2 ** -148], [fma32, 3 * 2 ** -75, 2 ** -75, -(2 ** -149), 0],
    [fma64, 3 * 2 ** -540, 2 ** -535, 2 ** -1074, 2 ** -1073], [fma64, 2 ** -540, -(2 ** -535), 0, -0],
    // The product alone would overflow.
    [fma32, max32, 2, -max32, max32], [fma64, Number.MAX_VALUE, 2, -Number.MAX_VALUE, Number.MAX_VALUE],
    [fma32, max32, 2, 0, Infinity], [fma64, Number.MAX_VALUE, 2, 0, Infinity],
    [fma64, Number.MAX_VALUE, 2, -Infinity, -Infinity],
    [fma32, Infinity, 1, -Infinity, NaN], [fma32, 0, Infinity, 1, NaN], [fma64, 1, 1, NaN, NaN],
    // Signs of zeros.
    [fma32, -0, 1, -0, -0], [fma32, -0, 1, 0, 0], [fma64, 1, -1, 1, 0], [fma64, 0, 5, 2 ** -1074, 2 ** -1074],
  ];
  for (const [fma, a, b, c, expected] of cases) {
    assert.ok(Object.is(fma(a, b, c), expected), `${fma.name}(${a}, ${b}, ${c}) is ${fma(a, b, c)}, not ${expected}`);
  }
});
