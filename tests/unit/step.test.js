/**
 * The kernels as users reach them, against the oracle, bit for bit: sizes, combinations of options, special values,
 * and what lies beside the arrays.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, RMSprop, tensor, variable, zeros } from 'rmsprop-wasm';
import { largestUlp } from '../bits.js';
import { oracleApply } from '../oracle.js';

const SEED = 20260102;
let state = SEED;

/** @returns {number} in [0, 1): Park and Miller's generator */
function random() {
  state = (state * 48271) % 2147483647;
  return state / 2147483647;
}

/** @returns {number} of either sign, from 1e-4 to 1e2 in size */
const number = () => (random() * 2 - 1) * 10 ** (Math.floor(random() * 7) - 4);

const SPECIALS = [0, -0, 1e-40, -1e-45, Infinity, -Infinity, NaN, 3e38, 1e-30, 1];

/**
 * @param {number} size
 * @param {boolean} special
 */
const numbers = (size, special) =>
  Float32Array.from({ length: size }, () => (special && random() < 0.4 ? SPECIALS[Math.floor(random() * 10)] : number()));

/**
 * @param {Record<string, any>} options
 * @param {number[]} sizes
 * @param {{ special?: boolean, calls?: number, missing?: boolean }} how
 */
function compare(options, sizes, { special = false, calls = 4, missing = true }) {
  const optimizer = new RMSprop(options);
  const variables = sizes.map((size) => variable(numbers(size, special)));
  optimizer.build(variables);
  const slot = (/** @type {any} */ v, /** @type {string} */ name) => optimizer.getSlot(v, name)?.data.slice() ?? null;
  const states = variables.map((v) => /** @type {any} */ ({
    value: v.data.slice(),
    meanSquare: slot(v, 'velocity'),
    meanGradient: slot(v, 'average_gradient'),
    momentum: slot(v, 'momentum'),
    average: slot(v, 'average'),
    accumulator: slot(v, 'gradient_accumulator'),
  }));
  const defaults = { learningRate: 0.001, rho: 0.9, momentum: 0, epsilon: 1e-7 };
  for (let call = 0; call < calls; call++) {
    const gradients = sizes.map((size, k) => (missing && k === 1 && call === 2 ? null : numbers(size, special)));
    oracleApply(states, gradients, { ...defaults, ...options }, call);
    optimizer.apply(gradients, variables);
    const what = `${JSON.stringify(options)}, sizes ${sizes}, call ${call}`;
    variables.forEach((v, k) => {
      const actual = {
        value: v.data,
        meanSquare: slot(v, 'velocity'),
        meanGradient: slot(v, 'average_gradient'),
        momentum: slot(v, 'momentum'),
        average: slot(v, 'average'),
        accumulator: slot(v, 'gradient_accumulator'),
      };
      for (const [name, data] of Object.entries(actual)) {
        if (data === null) assert.equal(states[k][name], null);
        else assert.equal(largestUlp(data, states[k][name]), 0, `${name} of variable ${k}, ${what}`);
      }
    });
  }
  optimizer.dispose();
  for (const v of variables) v.dispose();
}

const EXTRAS = [
  {}, { weightDecay: 0.1 }, { lossScaleFactor: 3 }, { gradientAccumulationSteps: 2 }, { clipvalue: 0.5 }, { clipnorm: 0.5 },
  { globalClipnorm: 0.5 }, { useEma: true, emaMomentum: 0.9 }, { useEma: true, emaMomentum: 0.9, emaOverwriteFrequency: 2 },
];
const RULES = [{}, { momentum: 0.9 }, { centered: true }, { centered: true, momentum: 0.9 }];

test('every size from 0 to 67, plain and with everything on, has the oracle\'s bits', (t) => {
  t.diagnostic(`seed ${SEED}`);
  t.mock.method(console, 'warn', () => {});
  const everything = {
    learningRate: 0.01, weightDecay: 0.1, lossScaleFactor: 3, gradientAccumulationSteps: 2, globalClipnorm: 0.5, useEma: true,
  };
  for (let size = 0; size <= 67; size++) {
    for (const rule of RULES) {
      compare({ ...rule, learningRate: 0.01 }, [size, 3], { calls: 2 });
      compare({ ...rule, ...everything }, [size, 3], { calls: 3 });
    }
  }
});

test('every pair of options has the oracle\'s bits', (t) => {
  t.mock.method(console, 'warn', () => {});
  for (const rule of RULES) {
    for (const a of EXTRAS) {
      for (const b of EXTRAS) {
        const clips = ['clipvalue', 'clipnorm', 'globalClipnorm'].filter((clip) => clip in a || clip in b);
        if (clips.length < 2) compare({ ...rule, ...a, ...b, learningRate: 0.01 }, [9, 21, 1], { calls: 5 });
      }
    }
  }
});

test('infinities, NaNs, zeros of either sign and denormals go where the oracle\'s go', (t) => {
  t.mock.method(console, 'warn', () => {});
  for (const rule of RULES) {
    for (const extra of EXTRAS) {
      for (let round = 0; round < 5; round++) compare({ ...rule, ...extra }, [67, 5], { special: true, calls: 3 });
    }
  }
});

test('norms of long tensors, and of many, are summed in TensorFlow\'s order', () => {
  compare({ clipnorm: 0.1 }, [8191, 8192, 8193, 20001, 65537], { missing: false, calls: 1 });
  compare({ globalClipnorm: 0.1 }, [100000, 7, 33], { missing: false, calls: 1 });
  compare({ globalClipnorm: 0.1 }, Array.from({ length: 45 }, (_, k) => k + 1), { missing: true, calls: 3 });
});

test('a gradient in place, at any offset of whole floats, has the bits of a copied one, and nothing beside it changes', () => {
  const memory = new Memory();
  for (const size of [1, 4, 5, 31, 64]) {
    const guarded = tensor(numbers(size + 16, false), { memory });
    const before = guarded.data.slice();
    const a = variable(numbers(size, false), { memory });
    const b = variable(a);
    const gradient = numbers(size, false);
    const [inPlace, copied] = [new RMSprop({ momentum: 0.5 }), new RMSprop({ momentum: 0.5 })];
    a.gradientBuffer().data.set(gradient);
    inPlace.build([a]);
    inPlace.step();
    copied.apply([Array.from(gradient)], [b]);
    assert.deepEqual(a.data, b.data);
    assert.deepEqual(guarded.data, before);
    for (const made of [inPlace, copied, a, b, guarded]) made.dispose();
  }
});

test('a constant gradient stays finite for 5 000 steps, centered with momentum', () => {
  const v = variable([0, 0, 0, 0, 0, 0]);
  v.gradient = [1e-4, 1e-2, 0.1, 1, 30, 1e3];
  const optimizer = new RMSprop({ centered: true, momentum: 0.9 });
  optimizer.build([v]);
  for (let step = 0; step < 5000; step++) optimizer.step();
  assert.ok(v.data.every(Number.isFinite), `${v.data}`);
});

test('a zero gradient moves nothing but the decaying state', () => {
  const v = variable([1, -2, 3]);
  const optimizer = new RMSprop({ centered: true });
  optimizer.apply([[1, 1, 1]], [v]);
  const [value, velocity] = [v.data.slice(), optimizer.getSlot(v, 'velocity')?.data.slice()];
  optimizer.apply([[0, 0, 0]], [v]);
  assert.deepEqual(v.data, value);
  assert.deepEqual(optimizer.getSlot(v, 'velocity')?.data, velocity?.map((x) => Math.fround(Math.fround(0.9) * x)));
});

test('momentum 0 by callback has a slot and the bits of no momentum', () => {
  const [a, b] = [variable([1, 2, 3]), variable([1, 2, 3])];
  const [without, withSlot] = [new RMSprop(), new RMSprop({ momentum: () => 0 })];
  for (let step = 0; step < 5; step++) {
    without.apply([[1, -2, 0.5]], [a]);
    withSlot.apply([[1, -2, 0.5]], [b]);
  }
  assert.deepEqual(a.data, b.data);
  assert.equal(without.getSlot(a, 'momentum'), null);
  assert.notEqual(withSlot.getSlot(b, 'momentum'), null);
});

test('one tensor split in two has the same bits', () => {
  const values = numbers(50, false);
  const gradients = numbers(50, false);
  const whole = variable(values);
  const parts = [variable(values.slice(0, 23)), variable(values.slice(23))];
  new RMSprop({ momentum: 0.9, centered: true }).apply([gradients], [whole]);
  new RMSprop({ momentum: 0.9, centered: true }).apply([gradients.slice(0, 23), gradients.slice(23)], parts);
  assert.deepEqual([...parts[0].data, ...parts[1].data], [...whole.data]);
});

test('a scalar, a matrix and an empty tensor are trained alike', () => {
  const [scalar, matrix, empty] = [variable(1), variable([[1, 1], [1, 1]]), variable(zeros([0, 3]))];
  new RMSprop({ learningRate: 0.1 }).apply([2, [[2, 2], [2, 2]], []], [scalar, matrix, empty]);
  assert.deepEqual([...matrix.data], Array(4).fill(scalar.data[0]));
  assert.ok(scalar.data[0] < 1);
});
