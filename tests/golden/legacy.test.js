/**
 * What the real TensorFlow 2.15.1 computed with keras.optimizers.legacy.RMSprop, replayed: equal bits in every variable,
 * slot and counter. tf.function and Model.fit have the arithmetic of eager mode, but for one case that carries `order`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RMSprop as KerasRMSprop, indexedSlices, schedules, tensor, variable } from 'rmsprop-wasm';
import { RMSprop } from 'rmsprop-wasm/legacy';
import { floats, ulpDistance } from '../bits.js';
import { LegacyOracle } from '../legacy-oracle.js';
import { Tally, gradientOf, load, numbersOf } from '../replay.js';

const recordings = load('tensorflow_2.15.1_legacy_keras.json');

/** The types of tensors that this package has. */
const TYPES = ['float32', 'float64'];

/** @param {string} name */
const camelCase = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

/** @param {any} value of a hyperparameter, maybe a schedule */
function revived(value) {
  return value?.class_name ? schedules.deserialize(value) : value;
}

/**
 * @param {Record<string, any>} hyper by Python's names; of those in `callable` the value at the time is asked for
 * @param {readonly string[]} [callable]
 */
function optimizerOf(hyper, callable = []) {
  const options = Object.entries(hyper).map(([name, value]) =>
    [camelCase(name), callable.includes(name) ? () => hyper[name] : revived(value)]);
  return new RMSprop(Object.fromEntries(options));
}

/** @param {import('rmsprop-wasm').Variable} v */
function nonNegative(v) {
  const { data } = v;
  data.forEach((x, i) => {
    data[i] = x * (x >= 0 ? 1 : 0);
  });
}

/**
 * @param {RMSprop} optimizer
 * @param {any} v
 * @param {string} name
 * @returns {any} undefined if the variable has no such slot
 */
function slotOf(optimizer, v, name) {
  try {
    return optimizer.getSlot(v, name);
  } catch (error) {
    assert.ok(error instanceof RangeError);
    return undefined;
  }
}

/**
 * Compares one array by the gate of its case (semantics §13.4).
 *
 * @param {Tally} tally
 * @param {{ id: string, estimate?: boolean }} recorded
 * @param {string} kind 'variable' or the name of the slot
 * @param {ArrayLike<number>} actual
 * @param {readonly string[]} hex
 * @param {string} what
 */
function compare(tally, { id, estimate }, kind, actual, hex, what) {
  // One case took part of its reciprocal square roots from an AMD processor's estimate.
  if (estimate && (kind === 'variable' || kind === 'momentum')) tally.withinEpsilons(actual, hex, 4, what);
  // TensorFlow counts subnormal numbers as zero, the kernels do not.
  else if (id.startsWith('edge_') && kind !== 'variable') tally.near(actual, hex, 1e-36, what);
  else tally.equal(actual, hex, what);
}

/**
 * @param {any} recorded
 * @param {(step: any, k: number, optimizer: RMSprop, variables: any[]) => void} check is called after each step
 */
function replay(recorded, check) {
  const { dtype, shapes, init, steps, callable = [], constraint, grad_loss: gradLoss } = recorded;
  const hyper = { ...recorded.hyper };
  const optimizer = optimizerOf(hyper, callable);
  if (constraint) assert.equal(constraint, 'NonNeg');
  const variables = init.map((/** @type {string[]} */ hex, /** @type {number} */ i) =>
    variable(numbersOf(hex), { shape: shapes[i], dtype, constraint: constraint && nonNegative }));
  for (const [k, step] of steps.entries()) {
    for (const [name, value] of Object.entries(step.hyper ?? {})) {
      hyper[name] = value;
      if (!callable.includes(name)) /** @type {any} */ (optimizer)[camelCase(name)] = value;
    }
    const gradients = step.grads.map(gradientOf);
    let result;
    if (gradLoss) {
      // The recorded loss was 2 v: its gradient is 2 gradLoss.
      result = optimizer.minimize((_, g) => ({ loss: 0, gradients: [g.map((/** @type {number} */ x) => 2 * x)] }), variables, {
        gradLoss: gradients[0].map((/** @type {number} */ x) => x / 2),
      });
    } else {
      result = optimizer.applyGradients(gradients.map((/** @type {any} */ g, /** @type {number} */ i) => [g, variables[i]]));
    }
    assert.equal(result, step.iterations ?? k + 1, recorded.id);
    assert.equal(optimizer.iterations, result, recorded.id);
    check(step, k, optimizer, variables);
  }
  optimizer.dispose();
  for (const v of variables) v.dispose();
}

test('the executed legacy RMSprop is met to the bit in every variable, slot and counter', (t) => {
  const { cases } = recordings;
  assert.equal(cases.length, 94);
  t.mock.method(console, 'warn', () => {});
  const tally = new Tally();
  const skipped = cases.filter((/** @type {any} */ { dtype }) => !TYPES.includes(dtype));
  const reordered = cases.filter((/** @type {any} */ { order }) => order);
  for (const recorded of cases) {
    if (skipped.includes(recorded) || reordered.includes(recorded)) continue;
    const { id } = recorded;
    tally.cases++;
    replay(recorded, (step, k, optimizer, variables) => {
      if (!step.vars) return;
      assert.deepEqual(optimizer.getSlotNames(), Object.keys(step.slots), id);
      for (const [i, v] of variables.entries()) {
        const what = `${id}, step ${k}, variable ${i}`;
        compare(tally, recorded, 'variable', v.data, step.vars[i], what);
        for (const [name, arrays] of Object.entries(step.slots)) {
          const slot = slotOf(optimizer, v, name);
          assert.equal(slot === undefined, arrays[i] === null, `${what}, ${name}: a variable gets its slots with its first gradient`);
          if (slot) compare(tally, recorded, name, slot.data, arrays[i], `${what}, ${name}`);
        }
      }
    });
  }
  const ids = (/** @type {any[]} */ list) => list.map(({ id }) => id);
  t.diagnostic(`legacy Keras: ${tally}`);
  t.diagnostic(`types that this package does not have: ${skipped.length} cases, ${ids(skipped)}`);
  assert.deepEqual(ids(skipped), ['float16_plain', 'float16_centered_momentum', 'bfloat16_plain', 'bfloat16_centered_momentum']);
  assert.deepEqual(ids(reordered), ['function_sparse']);
  assert.equal(tally.cases, 89);
  assert.equal(tally.largestUlp, 0);
});

test('graph mode multiplies g (g (1 - rho)) in sparse updates; the eager order, ours, is (g g) (1 - rho)', (t) => {
  const recorded = recordings.cases.find((/** @type {any} */ { order }) => order);
  const { hyper, init, shapes, dtype, order } = recorded;
  assert.equal(order, 'g_times_g_omr');
  const settings = { learningRate: hyper.learning_rate, rho: 0.9, momentum: 0, epsilon: 1e-7 };
  const start = init.map((/** @type {string[]} */ hex) => [...numbersOf(hex)]);
  const rowLengths = shapes.map((/** @type {number[]} */ [, length]) => length);
  const [graph, eager] = [order, undefined].map((o) => new LegacyOracle(settings, start, rowLengths, dtype, o));
  const tally = new Tally();
  tally.cases++;
  let differing = 0;
  replay(recorded, (step, k, optimizer, [v]) => {
    for (const oracle of [graph, eager]) oracle.apply(step.grads.map(gradientOf));
    tally.equal(graph.variables[0], step.vars[0], `step ${k}: the oracle in graph mode's order`);
    tally.equal(graph.rms[0], step.slots.rms[0], `step ${k}: its rms`);
    assert.deepEqual([...v.data], eager.variables[0], `step ${k}: the oracle in eager order`);
    assert.deepEqual([...optimizer.getSlot(v, 'rms').data], eager.rms[0]);
    eager.rms[0].forEach((x, i) => { differing += Number(x !== graph.rms[0][i]); });
  });
  t.diagnostic(`legacy Keras, by the order's formula: ${tally}; between the orders ${differing} elements of rms differ`);
  assert.ok(differing > 0);
});

test('the schedules agree with those of TensorFlow 2.15.1', (t) => {
  assert.equal(recordings.schedules.length, 10);
  let points = 0;
  let largest = 0;
  for (const { class_name: name, config, steps, values } of recordings.schedules) {
    const schedule = revived({ class_name: name, config });
    floats(values).forEach((expected, i) => {
      // TensorFlow counts subnormal numbers as zero.
      const rate = schedule.at(steps[i]);
      const ulp = ulpDistance(Math.abs(rate) < 2 ** -126 ? 0 : rate, expected);
      const isExact = /Piecewise|InverseTime/.test(name) || (name === 'PolynomialDecay' && Number.isInteger(config.power));
      assert.ok(ulp <= (isExact ? 0 : 1), `${name} at ${steps[i]} must be ${expected}, got ${rate}`);
      largest = Math.max(largest, ulp);
      points++;
    });
  }
  t.diagnostic(`legacy Keras, schedules: ${points} points, largest distance ${largest} ulp`);
});

/**
 * What a golden case asks for. Some step SGD: with rho 1 the mean square stays 0, and with epsilon 1 the denominator,
 * sqrt(0) + 1, is exactly 1, so that x <- x - learningRate g to the bit.
 *
 * @param {Record<string, any>} hyper
 * @returns {Record<string, any>}
 */
function goldenHyper({ optimizer, learning_rate_schedule: schedule, ...hyper }) {
  if (schedule) {
    assert.equal(schedule, 'InverseTimeDecay(0.01, decay_steps=1.0, decay_rate=0.5)');
    const config = { initial_learning_rate: 0.01, decay_steps: 1, decay_rate: 0.5 };
    return { ...hyper, learning_rate: { class_name: 'InverseTimeDecay', config } };
  }
  if (hyper.momentum === 'callable returning 0.0') return { ...hyper, momentum: 0 };
  if (optimizer === undefined) return hyper;
  assert.equal(optimizer, 'SGD');
  return { ...hyper, rho: 1, epsilon: 1 };
}

test("Keras's own tests hold, at their own tolerances", (t) => {
  const golden = load('legacy_golden.json').cases;
  assert.equal(golden.length, 23);
  let [values, replayed] = [0, 0];
  /** @type {string[]} */
  const skipped = [];
  for (const { id, hyper, dtype, init, steps, tolerance, variant } of golden) {
    if (variant.startsWith('cross:')) continue;
    for (const type of dtype) {
      if (!TYPES.includes(type)) {
        skipped.push(`${id} in ${type}`);
        continue;
      }
      replayed++;
      const optimizer = optimizerOf(goldenHyper(hyper), id.endsWith('CallableParams') ? ['learning_rate', 'rho', 'momentum'] : []);
      const variables = init.map((/** @type {number[]} */ start, /** @type {number} */ i) =>
        variable(start, { dtype: type, shape: steps[0].grads[i].dense_shape ?? [start.length] }));
      for (const { grads, expect, repeat = 1 } of steps) {
        for (let k = 0; k < repeat; k++) {
          optimizer.applyGradients(grads.map((/** @type {any} */ g, /** @type {number} */ i) => [goldenGradient(g), variables[i]]));
        }
        for (const [name, arrays] of Object.entries({ variable: expect.vars, ...expect.slots })) {
          for (const [i, expected] of arrays.entries()) {
            const actual = name === 'variable' ? variables[i].data : optimizer.getSlot(variables[i], name).data;
            assert.equal(actual.length, expected.length);
            values += expected.length;
            expected.forEach((/** @type {number} */ x, /** @type {number} */ k) => {
              const { rtol = 0, atol = 0, kind } = tolerance;
              const isClose = kind.startsWith('exact')
                ? actual[k] === Math.fround(x)
                : Math.abs(actual[k] - x) <= atol + rtol * Math.abs(x);
              assert.ok(isClose, `${id} ${type}: ${name} ${i}[${k}] must be near ${x}, got ${actual[k]}`);
            });
          }
        }
      }
      optimizer.dispose();
    }
  }
  t.diagnostic(`legacy Keras, golden: ${golden.length - 1} cases, ${replayed} replays by type, ${values} values`);
  t.diagnostic(`types that this package does not have: ${skipped.length} replays, ${skipped.join(', ')}`);
});

/** @param {any} g an array, or slices */
function goldenGradient(g) {
  return Array.isArray(g) ? g : indexedSlices(g.values, g.indices, g.dense_shape);
}

test("legacy and new RMSprop stay together as Keras's own test has it, dense and sparse with a duplicate index", () => {
  const { hyper, init, steps, tolerance } = load('legacy_golden.json').cases.find((/** @type {any} */ { variant }) =>
    variant.startsWith('cross:'));
  const [a, b] = [variable(init[0], { dtype: 'float64' }), variable(init[0], { dtype: 'float64' })];
  const legacy = new RMSprop(hyper);
  const newer = new KerasRMSprop({ ...hyper, rule: 'keras-2.11' });
  for (const { grads: [g], repeat = 1 } of steps) {
    for (let k = 0; k < repeat; k++) {
      legacy.applyGradients([[goldenGradient(g), a]]);
      newer.apply([goldenGradient(g)], [b]);
      a.data.forEach((x, i) => assert.ok(Math.abs(x - b.data[i]) <= tolerance.atol + tolerance.rtol * Math.abs(b.data[i])));
    }
  }
});

test('the oracle of the unit tests is the recorded optimizer', (t) => {
  let cases = 0;
  const tally = new Tally();
  for (const { id, hyper, dtype, shapes, init, steps, order, callable, constraint, estimate } of recordings.cases) {
    const changes = steps.some((/** @type {any} */ step) => step.hyper);
    const isNumeric = Object.values(hyper).every((value) => typeof value !== 'object');
    if (!TYPES.includes(dtype) || changes || callable || constraint || estimate || !isNumeric || id.startsWith('edge_')) continue;
    cases++;
    const given = Object.fromEntries(Object.entries(hyper).map(([name, value]) => [camelCase(name), value]));
    const settings = { learningRate: 0.001, rho: 0.9, momentum: 0, ...given, epsilon: hyper.epsilon || 1e-7 };
    const oracle = new LegacyOracle(
      settings, init.map((/** @type {string[]} */ hex) => [...numbersOf(hex)]),
      shapes.map((/** @type {number[]} */ [, ...rest]) => rest.reduce((product, length) => product * length, 1)), dtype, order,
    );
    for (const { grads, vars, slots } of steps) {
      oracle.apply(grads.map(gradientOf));
      oracle.variables.forEach((x, i) => {
        if (!vars) return;
        tally.equal(x, vars[i], `${id}, variable ${i}`);
        for (const name of /** @type {const} */ (['rms', 'mg', 'momentum'])) {
          if (slots[name]?.[i]) tally.equal(oracle[name][i], slots[name][i], `${id}, ${name} ${i}`);
        }
      });
    }
  }
  tally.cases = cases;
  t.diagnostic(`legacy Keras, oracle: ${tally}`);
  assert.equal(cases, 70);
});

/**
 * @param {string} id
 * @returns {any[]}
 */
function factsOf(id) {
  const found = recordings.facts.filter((/** @type {any} */ fact) => fact.id === id);
  assert.ok(found.length > 0, id);
  return found;
}

test('weights, slots, configs and return values are those that TensorFlow showed', (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  let seen = 0;
  for (const [i, fact] of factsOf('weights').entries()) {
    const [a, b] = [variable([1, 2], { name: 'a' }), variable([3], { name: 'b' })];
    const optimizer = optimizerOf(fact.hyper);
    for (let k = 0; k < 2; k++) optimizer.applyGradients([[[0.5, 0.25], a], [[0.125], b]]);
    assert.deepEqual(optimizer.getSlotNames(), fact.slot_names);
    assert.deepEqual(optimizer.weights.map(({ shape }) => shape), fact.shapes);
    const [count, ...arrays] = optimizer.getWeights();
    assert.deepEqual([...count], [fact.values[0]]);
    assert.deepEqual(arrays, fact.values.slice(1).map(numbersOf));
    // The recorded names are the slots of each variable in turn.
    const slots = fact.names.slice(1).map((/** @type {string} */ name) => name.match(/^RMSprop\/(.)\/(.*):0$/)?.slice(1));
    const expected = slots.map((/** @type {string[]} */ [of, name]) => optimizer.getSlot(of === 'a' ? a : b, name));
    assert.deepEqual(optimizer.weights.slice(1), expected);

    const shorter = factsOf('set_weights, one shorter')[i];
    optimizer.setWeights(arrays.map((array) => array.map((x) => x + 1)));
    assert.equal(optimizer.iterations, shorter.iterations);
    assert.deepEqual(optimizer.getWeights().slice(1), shorter.values.map(numbersOf));
    seen += 2;
  }
  for (const { hyper, order, config } of factsOf('get_config')) {
    const schedule = config.learning_rate.class_name && { learning_rate: config.learning_rate };
    const shown = optimizerOf({ ...hyper, ...schedule }).getConfig();
    assert.deepEqual(shown, config);
    assert.deepEqual(Object.keys(shown), order);
    assert.deepEqual(RMSprop.fromConfig(config).getConfig(), config);
    seen++;
  }
  const [wins] = factsOf('lr wins');
  const deprecated = new RMSprop({ lr: 0.3 });
  assert.deepEqual([deprecated.learningRate, deprecated.lr], [wins.learning_rate, wins.lr]);
  assert.match(String(warn.mock.calls.at(-1)?.arguments[0]), /lr is deprecated, use learningRate instead/);
  const [renamed] = factsOf('from_config with lr and learning_rate');
  assert.equal(RMSprop.fromConfig({ ...new RMSprop().getConfig(), lr: 0.7 }).learningRate, renamed.learning_rate);
  const [empty] = factsOf('apply_gradients of an empty list');
  const idle = new RMSprop();
  assert.equal(empty.returned, 'NoneType');
  assert.equal(idle.applyGradients([]), null);
  assert.equal(idle.iterations, empty.iterations);

  const v = variable([1, 2]);
  const optimizer = new RMSprop({ rho: 1, learningRate: 0 });
  const [returned] = factsOf('apply_gradients returns');
  assert.equal(optimizer.applyGradients([[[1, 1], v]]), returned.value);
  const [existing] = factsOf('add_slot of an existing name returns it unchanged');
  assert.equal(optimizer.addSlot(v, 'rms', 'ones'), optimizer.getSlot(v, 'rms'));
  assert.deepEqual(optimizer.getSlot(v, 'rms').data, numbersOf(existing.value));
  const [added] = factsOf('add_slot of a new name');
  assert.deepEqual(optimizer.addSlot(v, 'extra', 'ones').data, numbersOf(added.value));
  assert.deepEqual(optimizer.getSlotNames(), added.slot_names);
  assert.deepEqual(optimizer.weights.slice(1), ['rms', 'extra'].map((name) => optimizer.getSlot(v, name)));
  seen += 6;
  assert.equal(seen, recordings.facts.length);
  t.diagnostic(`legacy Keras: ${seen} recorded facts hold`);
});

/** What Python's errors are here. */
const KINDS = /** @type {Record<string, typeof Error>} */ ({
  TypeError, ValueError: RangeError, KeyError: RangeError, InvalidArgumentError: RangeError, RuntimeError: Error, AttributeError: Error,
});

const v = () => variable([1, 2], { name: 'v' });
const one = [1, 1];

/** @param {import('rmsprop-wasm/legacy').RMSpropOptions} [options] */
function built(options) {
  const [optimizer, of] = [new RMSprop(options), v()];
  optimizer.applyGradients([[one, of]]);
  return { optimizer, of };
}

/** @param {any} options */
const made = (options) => () => new RMSprop(options);

/**
 * What is called for each recorded error, and the information that the message must have. Of another kind than the recorded
 * one, by design: null accepts what was refused, a class refuses what was accepted or is thrown instead.
 *
 * @type {Record<string, [call: () => unknown, information: RegExp, kind?: typeof Error]>}
 */
const calls = {
  'unexpected keyword': [made({ foo: 1 }), /"foo"/],
  'clipnorm=-1': [made({ clipnorm: -1 }), /^clipnorm must be >= 0, got -1$/],
  'clipvalue=-1': [made({ clipvalue: -1 }), /^clipvalue must be >= 0, got -1$/],
  'global_clipnorm=-1': [made({ globalClipnorm: -1 }), /^globalClipnorm must be >= 0, got -1$/],
  'decay=-1': [made({ decay: -1 }), /^decay must be >= 0, got -1$/],
  'lr=-1': [made({ lr: -1 }), /^lr must be >= 0, got -1$/],
  'learning_rate=-1': [made({ learningRate: -1 }), /./],
  'rho=-1': [made({ rho: -1 }), /./],
  'epsilon=-1': [made({ epsilon: -1 }), /./],
  'clipnorm and global_clipnorm': [
    made({ clipnorm: 1, globalClipnorm: 2 }), /^Cannot accept both clipnorm and globalClipnorm, got clipnorm 1 and globalClipnorm 2$/,
  ],
  'momentum=2.5': [made({ momentum: 2.5 }), /^momentum must be in \[0, 1\], got 2.5$/],
  'momentum=-0.5': [made({ momentum: -0.5 }), /^momentum must be in \[0, 1\], got -0.5$/],
  'momentum=1': [made({ momentum: 1 }), /./],
  'rho=1.5': [made({ rho: 1.5 }), /./],
  // A value of the wrong kind is a TypeError everywhere in this package, and refused at once.
  'epsilon callable': [made({ epsilon: () => 1e-3 }), /^epsilon must be a finite number, got function epsilon$/, TypeError],
  'get_slot of an absent name': [
    () => { const { optimizer, of } = built(); optimizer.getSlot(of, 'momentum'); }, /no slot "momentum" for variable "v"$/,
  ],
  'set_weights too long': [
    () => built().optimizer.setWeights([[0], [0, 0], [0, 0]]),
    /^setWeights of optimizer "RMSprop" got a weight list of length 3, but the optimizer was expecting 2 weights$/,
  ],
  'set_weights of another shape': [() => built().optimizer.setWeights([[0], [0, 0, 0]]), /in shape \[2\], got Array of length 3$/],
  'iterations assigned after weights exist': [
    () => { built().optimizer.iterations = 3; }, /^Cannot set iterations of .* after its weights have been created, got 3$/,
  ],
  'all gradients None': [() => new RMSprop().applyGradients([[null, v()]]), /^No gradients provided for any variable: \["v"\]/],
  'one gradient None': [() => new RMSprop().applyGradients([[null, v()], [one, v()]]), /./],
  'sparse gradient with a constraint': [
    () => new RMSprop().applyGradients([[indexedSlices([1], [0]), variable([1, 2], { name: 'v', constraint: () => {} })]]),
    /^Cannot use a constraint function on a sparse variable: variable "v"/,
  ],
  'variable is a Tensor': [() => new RMSprop().applyGradients([[1, /** @type {any} */ (tensor(2))]]), /^Trying to update a Tensor/],
  'sparse index out of range, momentum 0': [
    () => new RMSprop().applyGradients([[indexedSlices([1], [7]), v()]]), /index 7 at offset 0 in indices is out of range \[0, 2\)/,
  ],
  'sparse index out of range, momentum': [
    () => new RMSprop({ momentum: 0.9 }).applyGradients([[indexedSlices([1], [7]), v()]]), /index 7 at offset 0 in indices is out of range/,
  ],
  'gradient of another shape, momentum 0': [() => new RMSprop().applyGradients([[[1, 1, 1], v()]]), /must be 2 numbers.*length 3$/],
  // Gradients are not broadcast here.
  'gradient of shape (1,), momentum 0': [() => new RMSprop().applyGradients([[[1], v()]]), /must be 2 numbers.*length 1$/, RangeError],
  'gradient of another shape, momentum': [
    () => new RMSprop({ momentum: 0.9 }).applyGradients([[[1, 1, 1], v()]]), /must be 2 numbers.*length 3$/,
  ],
  'Tensor loss without a tape': [
    () => new RMSprop().minimize(/** @type {any} */ (tensor(1)), [v()]), /^a tape is required when a loss is passed.*got tensor of shape \[\]/,
  ],
  'get_gradients without dependence (graph)': [
    () => new RMSprop().getGradients(() => ({ loss: 0, gradients: [null] }), [v()]), /^variable "v" has null for gradient/,
  ],
};

/** Recorded errors of what this package does not have. */
const absent = ['get_updates in eager mode', 'cross-replica context', 'experimental_aggregate_gradients=False, central storage',
  'unknown attribute'];

test("errors are TensorFlow's: of the same kind, under the same condition, with the same information", (t) => {
  t.mock.method(console, 'warn', () => {});
  let held = 0;
  for (const { id, error } of recordings.errors) {
    if (absent.includes(id)) continue;
    assert.ok(id in calls, `nothing is called for "${id}"`);
    const [call, information, kind = error && KINDS[error]] = calls[id];
    if (kind === null) call();
    else {
      assert.throws(call, (/** @type {Error} */ thrown) => {
        assert.equal(thrown.constructor, kind, `${id}: ${thrown}`);
        assert.match(thrown.message, information, id);
        return true;
      });
    }
    held++;
  }
  t.diagnostic(`legacy Keras: ${held} recorded errors; ${absent.length} of what is not here: ${absent.join('; ')}`);
  assert.equal(held + absent.length, recordings.errors.length);
});
