/**
 * What the real Keras computed on TensorFlow: 3.15.1 (the rule 'keras') and 2.15 (the rule 'keras-2.11'), replayed at the
 * gates that belong to each kind of case:
 *
 *   - equal bits in every variable, slot and counter, NaN = NaN;
 *   - `edge_…`: TensorFlow counts subnormal numbers as zero, we do not: variables equal bits, slots within 1e-36;
 *   - `order`: a graph optimizer reordered the quotient. Ours is the eager order, so these are replayed by the oracle, in
 *     the order that the case names;
 *   - `estimate`: a CPU's estimate of the reciprocal root took part: mean squares and gradients equal bits, variables and
 *     momentums within 4 epsilons of the largest element of the tensor;
 *   - `contracted`: XLA fused multiply-adds: all within 8 epsilons of it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LossScaleOptimizer, RMSprop, indexedSlices, schedules, variable } from 'rmsprop-wasm';
import { oracleApply } from '../oracle.js';
import { Tally, gradientOf, load, numbersOf } from '../replay.js';

/**
 * Compares what a case recorded of one tensor by the gate for it.
 *
 * @param {Tally} tally
 * @param {any} c a case
 * @param {string} slot
 * @param {ArrayLike<number>} actual
 * @param {readonly string[]} hex
 * @param {string} what
 */
function compare(tally, c, slot, actual, hex, what) {
  if (c.contracted) tally.withinEpsilons(actual, hex, 8, what);
  else if (c.estimate && ['variable', 'momentum', 'average'].includes(slot)) tally.withinEpsilons(actual, hex, 4, what);
  else if (c.id.startsWith('edge_') && slot !== 'variable') tally.near(actual, hex, 1e-36, what);
  else tally.equal(actual, hex, what);
}

/**
 * @param {any} c
 * @param {'keras' | 'keras-2.11'} rule
 */
function optimizerOf(c, rule) {
  const { learning_rate: rate = 0.001, ...hyper } = c.hyper;
  const learningRate = typeof rate === 'number' ? rate : schedules.deserialize(rate);
  const optimizer = RMSprop.fromConfig({ ...hyper, learningRate, rule });
  if (!c.loss_scale) return optimizer;
  const { initial_scale: initialScale, dynamic_growth_steps: dynamicGrowthSteps } = c.loss_scale;
  return new LossScaleOptimizer(optimizer, { initialScale, dynamicGrowthSteps });
}

/**
 * @param {any} c
 * @param {'keras' | 'keras-2.11'} rule
 * @param {Tally} tally
 */
function replay(c, rule, tally) {
  const optimizer = optimizerOf(c, rule);
  const constraint = c.constraint === 'NonNeg'
    ? (/** @type {import('rmsprop-wasm').Variable} */ v) => v.data.forEach((x, i) => { v.data[i] = x * (x >= 0 ? 1 : 0); })
    : undefined;
  const variables = c.init.map((/** @type {string[]} */ bits, /** @type {number} */ i) =>
    variable(numbersOf(bits), { shape: c.shapes[i], dtype: c.dtype, constraint, name: `v${i}` }));
  if (c.exclude) {
    /** @type {RMSprop} */ (optimizer).excludeFromWeightDecay({ variables: c.exclude.map((/** @type {number} */ i) => variables[i]) });
  }
  optimizer.build(variables);
  for (const [k, step] of c.steps.entries()) {
    if (step.hyper) optimizer.learningRate = step.hyper.learning_rate;
    optimizer.apply(step.grads.map(gradientOf), variables);
    if (!step.vars) continue;
    for (const [i, bits] of step.vars.entries()) {
      compare(tally, c, 'variable', variables[i].data, bits, `${c.id}, step ${k}, variable ${i}`);
    }
    for (const [name, slots] of Object.entries(step.slots ?? {})) {
      const what = `${c.id}, step ${k}, ${name}`;
      if (name === 'dynamic_scale') tally.equal([/** @type {any} */ (optimizer).dynamicScale], slots[0], what);
      else if (name === 'step_counter') assert.equal(/** @type {any} */ (optimizer).stepCounter, slots, what);
      else {
        slots.forEach((/** @type {string[]} */ bits, /** @type {number} */ i) => {
          const slot = optimizer.getSlot(variables[i], name === 'accumulator' ? 'gradient_accumulator' : name);
          assert.ok(slot, `${c.id} has a slot ${name}`);
          compare(tally, c, name, slot.data, bits, `${what} ${i}`);
        });
      }
    }
    if (step.iterations !== undefined) assert.equal(optimizer.iterations, step.iterations, `${c.id}, step ${k}`);
  }
  optimizer.dispose();
}

/**
 * The oracle in the order that the case names.
 *
 * @param {any} c
 * @param {Tally} tally
 */
function replayOrder(c, tally) {
  const { learning_rate: learningRate = 0.001, rho = 0.9, momentum = 0, epsilon = 1e-7, centered = false } = c.hyper;
  const states = c.init.map((/** @type {string[]} */ bits) => {
    const zeros = () => new Float32Array(bits.length);
    return {
      value: numbersOf(bits), meanSquare: zeros(), meanGradient: centered ? zeros() : null, momentum: momentum ? zeros() : null,
      average: null, accumulator: null,
    };
  });
  const names = { velocity: 'meanSquare', momentum: 'momentum', average_gradient: 'meanGradient' };
  for (const [k, step] of c.steps.entries()) {
    oracleApply(states, step.grads.map(numbersOf), { learningRate, rho, momentum, epsilon, order: c.order }, k);
    if (!step.vars) continue;
    for (const [i, bits] of step.vars.entries()) {
      compare(tally, c, 'variable', states[i].value, bits, `${c.id}, step ${k}, variable ${i}`);
    }
    for (const [name, slots] of Object.entries(step.slots)) {
      slots.forEach((/** @type {string[]} */ bits, /** @type {number} */ i) => {
        compare(tally, c, name, states[i][names[/** @type {'velocity'} */ (name)]], bits, `${c.id}, step ${k}, ${name} ${i}`);
      });
    }
  }
}

for (const { file, rule, count } of /** @type {const} */ ([
  { file: 'keras_3.15.1_tensorflow.json', rule: 'keras', count: 56 },
  { file: 'tensorflow_2.15.1_keras_2_11.json', rule: 'keras-2.11', count: 65 },
])) {
  test(`the rule '${rule}' replays ${file}`, (t) => {
    t.mock.method(console, 'warn', () => {});
    const { cases } = load(file);
    assert.equal(cases.length, count);
    const tally = new Tally();
    const missing = cases.filter((/** @type {any} */ { dtype }) => !['float32', 'float64'].includes(dtype));
    const ordered = cases.filter((/** @type {any} */ { order }) => order);
    for (const c of cases) {
      if (missing.includes(c)) continue;
      if (c.order) replayOrder(c, tally);
      else replay(c, rule, tally);
    }
    tally.cases = cases.length - missing.length;
    const without = missing.map((/** @type {any} */ { id }) => id).join(', ');
    t.diagnostic(`of ${cases.length}: ${tally}; ${ordered.length} by the oracle in graph order; types we do not have: ${without}`);
  });
}

// ---- The tests and errors of Keras 2.15 ----

/** @param {any} options */
const old = (options) => RMSprop.fromConfig({ ...options, rule: 'keras-2.11' });

/** @param {string} id @returns {any} the case of Keras's own documentation or tests */
function golden(id) {
  const found = load('keras2mid_golden.json').cases.find((/** @type {any} */ c) => c.id === id);
  assert.ok(found, id);
  return found;
}

/** rho 1 and epsilon 1 make every root 1: SGD, which two of those tests step. */
const SGD = { learning_rate: 1, rho: 1, epsilon: 1 };

/**
 * @param {ArrayLike<number>} actual
 * @param {readonly number[]} expected
 * @param {any} tolerance of a case: as NumPy's allclose
 */
function assertClose(actual, expected, { atol = 0, rtol = 0 }) {
  assert.equal(actual.length, expected.length);
  expected.forEach((x, i) => assert.ok(Math.abs(actual[i] - x) <= atol + rtol * Math.abs(x), `${actual[i]}, not ${x}`));
}

test("the 2.15 documentation's example: 10 becomes 9.683772", () => {
  const { hyper, init, dtype: [dtype], steps: [{ grads, expect }], tolerance } = golden('doc.9.683772.keras2_mid');
  const x = variable(init[0], { dtype });
  old(hyper).apply(grads, [x]);
  assertClose(x.data, expect.vars[0], tolerance);
});

test("Keras 2.15's testMovingAverageOptimizer: averages start at the variables and take in those with a gradient", (t) => {
  t.mock.method(console, 'warn', () => {});
  const { hyper: { optimizer, ...hyper }, init, dtype: [dtype], steps, tolerance } = golden('keras2mid.testMovingAverageOptimizer');
  assert.deepEqual([optimizer, tolerance.kind, steps.length], ['SGD', 'exact', 3]);
  const sgd = old({ ...SGD, ...hyper });
  const variables = init.map((/** @type {number[]} */ values) => variable(values, { dtype }));
  for (const { grads, expect } of steps) {
    sgd.apply(grads, variables);
    assert.deepEqual(variables.map((/** @type {any} */ v) => v.toArray()), expect.vars);
  }
});

test("Keras 2.15's testClipGlobalNorm", () => {
  const { hyper, grads, dtype: [dtype], expect, tolerance } = golden('keras2mid.testClipGlobalNorm');
  const variables = grads.map((/** @type {number[]} */ { length }) => variable(new Array(length).fill(0), { dtype }));
  old({ ...SGD, ...hyper }).apply(grads, variables);
  for (const [i, clipped] of expect.clipped.entries()) {
    assertClose(variables[i].data.map((/** @type {number} */ x) => -x), clipped, tolerance);
  }
});

test("Keras 2.15's testSparseGradientsWorkAsExpected", () => {
  const { hyper, init: [start], dtype: [dtype], steps: [{ repeat, grads: [gradient] }] } =
    golden('keras2mid.testSparseGradientsWorkAsExpected');
  const rows = [...gradient.keys()].filter((i) => gradient[i] !== 0);
  const [dense, sparse] = [variable(start, { dtype }), variable(start, { dtype })];
  const [a, b] = [old(hyper), old(hyper)];
  for (let step = 0; step < repeat; step++) {
    a.apply([gradient], [dense]);
    b.apply([indexedSlices(rows.map((i) => gradient[i]), rows)], [sparse]);
  }
  assert.deepEqual(sparse.data, dense.data);
  assert.notDeepEqual(dense.toArray(), start);
});

/** The recorded constructor calls of Keras 2.15, as our options; those of TensorFlow's own mechanisms have none. */
const constructorCalls = /** @type {Record<string, any>} */ ({
  'decay=1': { decay: 1 },
  'gradient_aggregator=1': { gradient_aggregator: 1 },
  'gradient_transformers=1': { gradient_transformers: 1 },
  'foo=1': { foo: 1 },
  'clipnorm=-1': { clipnorm: -1 },
  'clipvalue=-1': { clipvalue: -1 },
  'global_clipnorm=-1': { global_clipnorm: -1 },
  'momentum=-1': { momentum: -1 },
  'rho=-1': { rho: -1 },
  'epsilon=-1': { epsilon: -1 },
  'weight_decay=-1': { weight_decay: -1 },
  'learning_rate=-1': { learning_rate: -1 },
  'clipnorm and global_clipnorm': { clipnorm: 1, global_clipnorm: 1 },
  'ema_momentum=1.5': { use_ema: true, ema_momentum: 1.5 },
  'ema_momentum=1.5 without use_ema': { ema_momentum: 1.5 },
  'ema_overwrite_frequency=0': { use_ema: true, ema_overwrite_frequency: 0 },
  'ema_overwrite_frequency=2.5': { use_ema: true, ema_overwrite_frequency: 2.5 },
  'integer learning rate': { learning_rate: 1 },
  'callable learning rate': { learning_rate: () => 1 },
});

test('the constructor refuses what the real Keras 2.15 refused, and nothing else', (t) => {
  const { errors } = load('tensorflow_2.15.1_keras_2_11.json');
  let checked = 0;
  for (const { id, error } of errors) {
    if (!(id in constructorCalls)) continue;
    const call = () => old(constructorCalls[id]).dispose();
    if (error === null) assert.doesNotThrow(call, id);
    else assert.throws(call, (thrown) => thrown instanceof TypeError || thrown instanceof RangeError, id);
    checked++;
  }
  assert.equal(checked, Object.keys(constructorCalls).length);
  const others = errors.filter((/** @type {any} */ { id }) => !(id in constructorCalls)).map((/** @type {any} */ { id }) => id);
  t.diagnostic(`${checked} constructor calls; in tests/unit or not ours: ${others.join('; ')}`);
});

test('the calls refuse what the real Keras 2.15 refused', () => {
  const [v, stranger] = [variable([1, 2]), variable([1, 2])];
  const optimizer = old({});
  optimizer.build([v]);
  assert.throws(() => optimizer.apply([[1, 1]], [stranger]), RangeError);
  assert.throws(() => optimizer.apply([null], [v]), /No gradients provided for any variable/);
  assert.throws(() => optimizer.excludeFromWeightDecay({ names: 'v' }), /only be used before the optimizer is built/);
  const scheduled = old({ learning_rate: new schedules.ExponentialDecay({ initialLearningRate: 1, decaySteps: 1, decayRate: 0.5 }) });
  assert.throws(() => { scheduled.learningRate = 0.1; }, TypeError);
});

test('the configs and the state of both generations are those that the real Keras printed', () => {
  const { facts } = load('tensorflow_2.15.1_keras_2_11.json');
  for (const { hyper, order, config } of facts.filter((/** @type {any} */ { id }) => id === 'get_config')) {
    const ours = old(hyper).getConfig();
    assert.deepEqual(Object.keys(ours), order);
    const { learning_rate: rate, ...rest } = config;
    assert.equal(Math.fround(Number(rate)), ours.learning_rate);
    assert.deepEqual(ours, { ...rest, learning_rate: ours.learning_rate });
  }
  for (const [{ facts: list }, rule] of /** @type {const} */ ([
    [load('tensorflow_2.15.1_keras_2_11.json'), 'keras-2.11'], [load('keras_3.15.1_tensorflow.json'), 'keras'],
  ])) {
    for (const { hyper, names, paths } of list.filter((/** @type {any} */ { id }) => id === 'variables')) {
      const optimizer = RMSprop.fromConfig({ ...hyper, rule });
      const [a, b] = [variable([1], { name: 'a' }), variable([2], { name: 'b' })];
      optimizer.build([a, b]);
      const ours = optimizer.variables.map((tensor) => {
        for (const v of [a, b]) {
          const slot = optimizer.slotNames.find((name) => optimizer.getSlot(v, name) === tensor);
          if (slot) return names ? `${slot}/${v.name}:0` : `rmsprop/${v.name}_${slot}`;
        }
        const name = tensor.dtype === 'int32' ? 'iteration' : 'learning_rate';
        return names ? `${name}:0` : `rmsprop/${name}`;
      });
      assert.deepEqual(ours, names ?? paths);
    }
  }
});

test('slices of one row stay apart in Keras 3: each is squared on its own', () => {
  const { facts, errors } = load('keras_3.15.1_tensorflow.json');
  const recorded = facts.filter((/** @type {any} */ { id }) => id.startsWith('duplicate indices are not merged'));
  assert.equal(recorded.length, 2);
  for (const { duplicate, velocity, variable: weights } of recorded) {
    const v = variable([[1], [1], [1], [1]]);
    const optimizer = new RMSprop({ learningRate: 1, rho: 0.5 });
    optimizer.apply([duplicate ? indexedSlices([[1], [2], [4]], [0, 2, 0]) : indexedSlices([[5], [2]], [0, 2])], [v]);
    assert.deepEqual(optimizer.getSlot(v, 'velocity')?.data, numbersOf(velocity));
    assert.deepEqual(v.data, numbersOf(weights));
  }
  const scaled = new RMSprop({ lossScaleFactor: 2 });
  assert.equal(errors.filter((/** @type {any} */ { error }) => error === 'TypeError').length, 2);
  assert.throws(() => scaled.apply([indexedSlices([1], [0])], [variable([1, 2])]), TypeError);
});

test('tf.keras clips slices as they are, and then sums those of one row', () => {
  const rows = indexedSlices([[3], [4]], [0, 0]);
  for (const { clip, clipped } of [
    { clip: { clipvalue: 0.5 }, clipped: 0.5 + 0.5 },
    { clip: { clipnorm: 1 }, clipped: 3 / 5 + 4 / 5 },
    { clip: { globalClipnorm: 6.5 }, clipped: 3 / 2 + 4 / 2 }, // with the 12 of the other variable the norm is 13
  ]) {
    const [v, other] = [variable([[0], [0]]), variable([0])];
    const optimizer = new RMSprop({ rule: 'keras-2.11', rho: 0, ...clip });
    for (let step = 0; step < 2; step++) optimizer.apply([rows, [12]], [v, other]);
    const velocity = optimizer.getSlot(v, 'velocity')?.data[0] ?? NaN;
    assert.ok(Math.abs(velocity - clipped ** 2) < 1e-6, `${Object.keys(clip)}: ${velocity}`);
  }
});

for (const rule of /** @type {const} */ (['keras', 'keras-2.11'])) {
  test(`the global norm of '${rule}' sums in the order of the gradients given`, () => {
    const gradients = [[4096], ...Array.from({ length: 6 }, () => [1])];
    /** @param {boolean} build @param {boolean} reversed */
    const velocity = (build, reversed) => {
      const variables = gradients.map(() => variable([0]));
      const pairs = gradients.map((gradient, i) => /** @type {[number[], import('rmsprop-wasm').Variable]} */ ([gradient, variables[i]]));
      const optimizer = new RMSprop({ rule, globalClipnorm: 4000 });
      if (build) optimizer.build(variables);
      optimizer.applyGradients(reversed ? pairs.reverse() : pairs);
      return optimizer.getSlot(variables[0], 'velocity')?.data[0];
    };
    assert.equal(velocity(true, true), velocity(false, true));
    assert.equal(velocity(true, false), velocity(false, false));
    assert.notEqual(velocity(true, true), velocity(true, false));
  });
}

test('two sparse steps end at the numbers that Keras 3 printed, under every option that treats slices in its own way', (t) => {
  const { errors } = load('keras_3.15.1_tensorflow.json');
  const options = /** @type {Record<string, any>} */ ({
    'weight_decay (all rows decay)': { weightDecay: 0.1 },
    'global_clipnorm (merges duplicates)': { globalClipnorm: 0.5 },
    'epsilon=0': { epsilon: 0 },
    'centered, negative variance estimate': { centered: true },
  });
  let checked = 0;
  for (const { id, error, result } of errors) {
    const name = Object.keys(options).find((key) => id.includes(key));
    if (error !== null || name === undefined) continue;
    const v = variable([[1], [1], [1], [1]]);
    const optimizer = new RMSprop({ learningRate: 1, rho: 0.5, ...options[name] });
    const indices = id.endsWith('duplicate indices') ? [0, 2, 0] : [0, 2, 1];
    for (let step = 0; step < 2; step++) optimizer.apply([indexedSlices([[1], [2], [4]], indices)], [v]);
    const printed = [...result.matchAll(/'([^']+)'/g)].map(([, number]) => Math.fround(number === 'nan' ? NaN : Number(number)));
    assert.deepEqual([...v.data], printed, id);
    checked++;
  }
  t.diagnostic(`${checked} results; TensorFlow refuses shared rows where a denominator is 0 or NaN, we do not`);
  assert.equal(checked, 6);
});
