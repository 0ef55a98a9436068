/**
 * What the real TensorFlow.js 4.22 computed on its cpu backend. Its rule is Keras 3's with a momentum that is always
 * there, but for the centered form, which subtracts epsilon where everybody else adds it: that fault is not copied.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { RMSprop, variable } from 'rmsprop-wasm';
import { floats, largestUlp } from '../bits.js';

const { cases } = JSON.parse(readFileSync(new URL('tfjs_4.22.0_cpu.json', import.meta.url), 'utf8'));
const f = Math.fround;

/**
 * The rule of TensorFlow.js, one rounding an operation.
 *
 * @param {Record<'x' | 'rms' | 'momentum' | 'mg', Float32Array>} state changed in place
 * @param {Float32Array} gradient
 * @param {{ rate: number, decay: number, mu: number, epsilon: number, centered: boolean }} options
 * @param {boolean} subtractsEpsilon as tfjs does where it is centered; else as everybody does, with our guard
 */
function oracle(state, gradient, { rate, decay, mu, epsilon, centered }, subtractsEpsilon) {
  gradient.forEach((g, i) => {
    const v = (state.rms[i] = f(f(state.rms[i] * f(decay)) + f(f(g * g) * f(1 - decay))));
    let d = f(v + f(epsilon));
    if (centered) {
      const mg = (state.mg[i] = f(f(state.mg[i] * f(decay)) + f(g * f(1 - decay))));
      if (subtractsEpsilon) {
        d = f(v - f(f(mg * mg) + f(epsilon)));
      } else {
        d = f(f(v - f(mg * mg)) + f(epsilon));
        if (d <= 0) d = f(epsilon);
      }
    }
    const m = (state.momentum[i] = f(f(state.momentum[i] * f(mu)) + f(f(g * f(rate)) / f(Math.sqrt(d)))));
    state.x[i] = f(state.x[i] - m);
  });
}

test('TensorFlow.js 4.22 is met to the bit, save for its sign of epsilon in the centered form', (t) => {
  let values = 0;
  for (const { id, args, init, steps } of cases) {
    const [rate, decay = 0.9, mu = 0, givenEpsilon, centered = false] = args;
    const options = { rate, decay, mu, epsilon: givenEpsilon ?? 1e-7, centered };
    const start = () => ({
      x: floats(init), rms: new Float32Array(init.length), momentum: new Float32Array(init.length), mg: new Float32Array(init.length),
    });
    const [theirs, mended] = [start(), start()];
    const v = variable(floats(init));
    const ours = new RMSprop({ learningRate: rate, rho: decay, momentum: () => mu, epsilon: options.epsilon, centered });
    for (const [k, step] of steps.entries()) {
      const gradient = floats(step.grad);
      oracle(theirs, gradient, options, true);
      oracle(mended, gradient, options, false);
      ours.apply([gradient], [v]);
      const what = `${id}, step ${k}`;
      assert.equal(largestUlp(theirs.x, floats(step.x)), 0, `${what}: the oracle is what tfjs computed`);
      assert.equal(largestUlp(theirs.rms, floats(step.weights.rms)), 0, what);
      assert.equal(largestUlp(theirs.momentum, floats(step.weights.momentum)), 0, what);
      assert.equal(largestUlp(v.data, mended.x), 0, `${what}: ours is the same with the sign mended`);
      assert.equal(largestUlp(ours.getSlot(v, 'velocity')?.data ?? [], floats(step.weights.rms)), 0, what);
      assert.equal(largestUlp(ours.getSlot(v, 'momentum')?.data ?? [], mended.momentum), 0, what);
      if (!centered) assert.equal(largestUlp(v.data, floats(step.x)), 0, `${what}: ours is tfjs's`);
      values += 4 * gradient.length;
    }
    assert.ok(v.data.every(Number.isFinite), `${id} stays finite`);
  }
  t.diagnostic(`${cases.length} cases, ${values} values, largest distance 0 ulp`);
});

/** The objectives of tfjs's own tests: the cost, and its gradient. */
const objectives = /** @type {Record<string, (x: Float32Array) => { cost: number, gradient: Float32Array }>} */ ({
  sum_squares: (x) => ({ cost: x.reduce((sum, xi) => sum + xi * xi, 0), gradient: x.map((xi) => 2 * xi) }),
  square_of_sum: (x) => {
    const sum = x.reduce((a, b) => a + b, 0);
    return { cost: sum ** 2, gradient: x.map(() => 2 * sum) };
  },
});

const golden = JSON.parse(readFileSync(new URL('tfjs_golden.json', import.meta.url), 'utf8')).cases;
for (const { id, what, hyper, init, objective, steps, tolerance } of golden) {
  test(`golden case ${id}: ${what}`, () => {
    const { learningRate, decay: rho, momentum, epsilon, centered } = hyper;
    const v = variable(init[0], { name: 'x' });
    const make = () => new RMSprop({ learningRate, rho, momentum: () => momentum, epsilon, centered });
    let optimizer = make();
    optimizer.build([v]);
    for (const { expect, atol = tolerance.atol } of steps) {
      const { cost, gradient } = objectives[objective](/** @type {Float32Array} */ (v.data));
      if (expect.cost !== undefined) assert.ok(Math.abs(cost - expect.cost) <= atol, `cost ${cost} is not ${expect.cost}`);
      // Half of these tests are about going on from a saved state.
      const state = optimizer.save();
      optimizer.dispose();
      optimizer = make();
      optimizer.build([v]);
      optimizer.load(state);
      optimizer.apply([gradient], [v]);
      expect.vars?.[0].forEach((/** @type {number} */ x, /** @type {number} */ i) =>
        assert.ok(Math.abs(v.data[i] - x) <= atol, `x[${i}] ${v.data[i]} is not ${x}`));
      if (expect.iterations !== undefined) assert.equal(optimizer.iterations, expect.iterations);
    }
  });
}
