/**
 * What the real Keras 3.15.1 computed, replayed: equal bits in every variable, slot and counter.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LossScaleOptimizer, RMSprop, schedules, variable } from 'rmsprop-wasm';
import { floats, largestUlp } from '../bits.js';

/** @param {string} name */
const load = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));

/** Compares and counts. */
class Tally {
  values = 0;
  largest = 0;

  /**
   * @param {ArrayLike<number>} actual
   * @param {readonly string[] | number} expected bit patterns, or an integer counter
   * @param {string} what
   */
  compare(actual, expected, what) {
    const numbers = typeof expected === 'number' ? Int32Array.of(expected) : floats(expected);
    const ulp = largestUlp(actual, numbers);
    this.values += numbers.length;
    this.largest = Math.max(this.largest, ulp);
    assert.equal(ulp, 0, `${what}: [${Array.from(actual)}] is ${ulp} ulp from [${numbers}]`);
  }
}

/**
 * The schedules of the recorded cases, which are written as Python.
 *
 * @type {Record<string, import('../../js/schedules.js').LearningRateSchedule>}
 */
const recordedSchedules = {
  'ExponentialDecay(0.05, decay_steps=3, decay_rate=0.9)':
    new schedules.ExponentialDecay({ initialLearningRate: 0.05, decaySteps: 3, decayRate: 0.9 }),
  'InverseTimeDecay(0.05, decay_steps=1, decay_rate=0.5)':
    new schedules.InverseTimeDecay({ initialLearningRate: 0.05, decaySteps: 1, decayRate: 0.5 }),
};

/**
 * @param {Record<string, any>} hyper
 * @returns {RMSprop | LossScaleOptimizer}
 */
function optimizerOf(hyper) {
  if (hyper.inner) {
    assert.equal(hyper.inner, 'RMSprop(0.05)');
    return new LossScaleOptimizer(new RMSprop({ learningRate: 0.05 }), {
      initialScale: hyper.initial_scale,
      dynamicGrowthSteps: hyper.dynamic_growth_steps,
    });
  }
  const schedule = recordedSchedules[hyper.learning_rate];
  assert.ok(schedule || typeof hyper.learning_rate === 'number', `no schedule for ${hyper.learning_rate}`);
  return RMSprop.fromConfig(schedule ? { ...hyper, learning_rate: schedule } : hyper);
}

test('the executed Keras 3.15.1 (NumPy) is met to the bit in every variable, slot and counter', (t) => {
  const { cases } = load('keras_3.15.1_numpy.json');
  assert.equal(cases.length, 17);
  const tally = new Tally();
  for (const { id, hyper, init, steps } of cases) {
    const optimizer = optimizerOf(hyper);
    const variables = init.map((/** @type {string[]} */ bits) => variable(floats(bits)));
    optimizer.build(variables);
    for (const [k, step] of steps.entries()) {
      optimizer.apply(step.grads.map(floats), variables);
      for (const [i, bits] of step.vars.entries()) tally.compare(variables[i].data, bits, `${id}, step ${k}, variable ${i}`);
      assert.equal(optimizer.variables.length, step.optimizer_variables.length, id);
      for (const [i, expected] of step.optimizer_variables.entries()) {
        tally.compare(optimizer.variables[i].data, expected, `${id}, step ${k}, optimizer variable ${i}`);
      }
      assert.equal(optimizer.iterations, step.iterations, id);
    }
    optimizer.dispose();
  }
  t.diagnostic(`${cases.length} cases, ${tally.values} values, largest distance ${tally.largest} ulp`);
});

test('random combinations of all options are met to the bit, gradients missing now and then', (t) => {
  const { cases } = load('keras_combinations.json');
  const tally = new Tally();
  t.mock.method(console, 'warn', () => {});
  for (const { id, options, shapes, start, calls } of cases) {
    const optimizer = RMSprop.fromConfig(options);
    optimizer.excludeFromWeightDecay({ names: 'b' });
    const variables = start.map((/** @type {string[]} */ bits, /** @type {number} */ i) =>
      variable(floats(bits), { shape: shapes[i], name: 'abc'[i] }));
    for (const [k, call] of calls.entries()) {
      optimizer.apply(call.gradients.map((/** @type {string[] | null} */ bits) => bits && floats(bits)), variables);
      for (const [i, bits] of call.variables.entries()) {
        tally.compare(variables[i].data, bits, `${id}, call ${k}, variable ${i}, ${JSON.stringify(options)}`);
      }
      assert.equal(optimizer.variables.length, call.state.length, id);
      for (const [i, expected] of call.state.entries()) {
        tally.compare(optimizer.variables[i].data, expected, `${id}, call ${k}, state ${i}, ${JSON.stringify(options)}`);
      }
    }
    optimizer.dispose();
    for (const v of variables) v.dispose();
  }
  t.diagnostic(`${cases.length} cases, ${tally.values} values, largest distance ${tally.largest} ulp`);
});

/**
 * Keras's own tests, many of which step SGD. With rho 1 the mean square stays 0 and with epsilon 1 the root is exactly
 * 1, so that x <- x - learning_rate g to the bit.
 *
 * @param {Record<string, any>} hyper
 */
function goldenOptimizer(hyper) {
  const sgd = { rho: 1, epsilon: 1 };
  if (hyper.inner) {
    assert.equal(hyper.inner, 'SGD(0.5)');
    const inner = new RMSprop({ learningRate: 0.5, lossScaleFactor: 100, ...sgd });
    const { initial_scale: initialScale, dynamic_growth_steps: dynamicGrowthSteps } = hyper;
    return new LossScaleOptimizer(inner, { initialScale, dynamicGrowthSteps });
  }
  const { optimizer, learning_rate: rate = 0.001, ...rest } = hyper;
  assert.ok(optimizer === undefined || optimizer === 'SGD');
  return RMSprop.fromConfig({
    ...rest,
    ...(optimizer === 'SGD' ? sgd : {}),
    learning_rate: rate === 'lambda: 0.1' ? () => 0.1 : rate,
  });
}

/**
 * @param {ArrayLike<number>} actual
 * @param {readonly number[]} expected
 * @param {{ kind: string, rtol?: number, atol?: number }} tolerance as the project's test states it
 * @param {string} what
 */
function assertClose(actual, expected, { rtol = 0, atol = 0 }, what) {
  assert.equal(actual.length, expected.length, what);
  expected.forEach((x, i) => {
    const distance = Math.abs(actual[i] - x);
    assert.ok(distance <= atol + rtol * Math.abs(x), `${what}[${i}] must be ${x} within ${atol} + ${rtol}x, got ${actual[i]}`);
  });
}

/** What a case expects of its optimizer, by the key under "expect". */
const expectations = /** @type {Record<string, (optimizer: any, variables: any[]) => ArrayLike<number>[] | number>} */ ({
  vars: (_, variables) => variables.map((v) => v.data),
  average: (optimizer, variables) => variables.map((v) => optimizer.getSlot(v, 'average').data),
  accumulator: (optimizer, variables) => variables.map((v) => optimizer.getSlot(v, 'gradient_accumulator').data),
  vars_after_finalize: (optimizer, variables) => {
    optimizer.finalizeVariableValues(variables);
    return variables.map((v) => v.data);
  },
  scale: (optimizer) => optimizer.scaleLoss(1),
  iterations: (optimizer) => optimizer.iterations,
  _iterations: (optimizer) => optimizer.variables[0].data[0],
});

for (const golden of load('keras_golden.json').cases) {
  test(`golden case ${golden.id}: ${golden.what}`, () => {
    const { id, hyper, tolerance } = golden;
    if (golden.grads) {
      // The clipped gradient is what rho 1, epsilon 1 and rate 1 move a variable at 0 by.
      const optimizer = RMSprop.fromConfig({ ...hyper, rho: 1, epsilon: 1, learning_rate: 1 });
      const variables = golden.grads.map((/** @type {number[]} */ g) => variable(g.map(() => 0)));
      optimizer.apply(golden.grads, variables);
      for (const [i, clipped] of golden.expect.clipped.entries()) {
        assertClose(variables[i].data.map((/** @type {number} */ x) => -x), clipped, tolerance, id);
      }
      return;
    }
    if (golden.steps.length === 0) {
      assert.equal(id, 'keras3.test_gradient_accumulation_with_weigth_decay.rmsprop');
      accumulationIsTheMean(hyper, golden.init, tolerance);
      return;
    }
    const optimizer = goldenOptimizer(hyper);
    const variables = golden.init.map((/** @type {number[]} */ values) => variable(values));
    golden.overwrite?.forEach((/** @type {boolean} */ overwrites, /** @type {number} */ i) => {
      variables[i].overwriteWithGradient = overwrites;
    });
    for (const { grads, expect = {}, repeat = 1 } of golden.steps) {
      for (let k = 0; k < repeat; k++) {
        const gradients = grads.map((/** @type {(number | string)[]} */ g) => g.map((x) => (x === 'inf' ? Infinity : x)));
        optimizer.apply(gradients, variables);
      }
      for (const [key, expected] of Object.entries(expect)) {
        assert.ok(key in expectations, `${id} expects ${key}`);
        const actual = expectations[key](optimizer, variables);
        if (typeof actual === 'number') assert.equal(actual, expected, `${id}: ${key}`);
        else actual.forEach((data, i) => assertClose(data, expected[i], tolerance, `${id}: ${key} ${i}`));
      }
    }
  });
}

/**
 * @param {Record<string, number>} hyper with gradient accumulation
 * @param {readonly number[][]} init
 * @param {{ kind: string, rtol: number, atol: number }} tolerance
 */
function accumulationIsTheMean(hyper, init, tolerance) {
  const { gradient_accumulation_steps: parts, ...plain } = hyper;
  const whole = RMSprop.fromConfig(plain);
  const inParts = RMSprop.fromConfig(hyper);
  const a = init.map((values) => variable(values));
  const b = init.map((values) => variable(values));
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 8; round++) {
    const gradients = Array.from({ length: parts }, () => init.map((values) => values.map(random)));
    whole.apply(init.map((values, i) => values.map((_, j) => gradients.reduce((sum, g) => sum + g[i][j], 0) / parts)), a);
    for (const g of gradients) inParts.apply(g, b);
    a.forEach((v, i) => assertClose(b[i].data, Array.from(v.data), tolerance, `round ${round}, variable ${i}`));
  }
}
