/**
 * RMSprop's interface: what Keras users rely on beside the arithmetic.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LossScaleOptimizer, RMSprop, indexedSlices, schedules, tensor, variable } from 'rmsprop-wasm';

test('the documented example: 10 becomes 9.683772', () => {
  const x = variable(10);
  const optimizer = new RMSprop({ learningRate: 0.1 });
  assert.equal(optimizer.minimize((v) => ({ loss: v.data[0] ** 2 / 2, gradients: [v.data] }), [x]), 1);
  assert.equal(x.data[0], Math.fround(9.683772));
});

test('step, apply, applyGradients and minimize are one rule', () => {
  const run = (/** @type {(optimizer: RMSprop, v: import('rmsprop-wasm').Variable) => void} */ call) => {
    const v = variable([1, 2, 3]);
    const optimizer = new RMSprop({ momentum: 0.9 });
    for (let i = 0; i < 3; i++) call(optimizer, v);
    assert.equal(optimizer.iterations, 3);
    return [...v.data];
  };
  const g = [1, -2, 0.5];
  const expected = run((optimizer, v) => optimizer.apply([g], [v]));
  assert.deepEqual(run((optimizer, v) => assert.ok(optimizer.applyGradients([[g, v]]) > 0)), expected);
  assert.deepEqual(run((optimizer, v) => optimizer.minimize(() => ({ loss: 0, gradients: [g] }), [v])), expected);
  assert.deepEqual(run((optimizer, v) => optimizer.minimize((w) => { w.gradient = g; return 0; }, [v])), expected);
  assert.deepEqual(run((optimizer, v) => { optimizer.build([v]); v.gradient = g; optimizer.step(); }), expected);
  assert.deepEqual(run((optimizer, v) => { optimizer.build([v]); optimizer.apply([tensor(g)]); }), expected);
});

test('an empty list of gradients changes nothing, and the counter stays', () => {
  const optimizer = new RMSprop();
  optimizer.apply([], []);
  optimizer.apply([]);
  assert.equal(optimizer.iterations, 0);
});

test('a variable without gradient is left out, with one warning, but averaged', (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  const [a, b] = [variable([1], { name: 'a' }), variable([1], { name: 'b' })];
  const optimizer = new RMSprop({ useEma: true, emaMomentum: 0.5 });
  for (let i = 0; i < 3; i++) {
    optimizer.apply([[1], null], [a, b]);
    if (i === 1) b.data[0] = 3;
  }
  assert.equal(warn.mock.callCount(), 1);
  assert.match(String(warn.mock.calls[0].arguments[0]), /Gradients do not exist for variables \["b"\] when minimizing the loss/);
  assert.deepEqual(optimizer.getSlot(b, 'velocity')?.toArray(), [0]);
  assert.deepEqual(optimizer.getSlot(b, 'average')?.toArray(), [2]);
});

test('a subset of the variables, in any order, reaches the right slots', (t) => {
  t.mock.method(console, 'warn', () => {});
  const [a, b] = [variable([1, 1]), variable([1])];
  const optimizer = new RMSprop();
  optimizer.build([a, b]);
  optimizer.apply([[2], [1, 1]], [b, a]);
  optimizer.apply([[2]], [b]);
  const alone = variable([1]);
  const other = new RMSprop();
  for (let i = 0; i < 2; i++) other.apply([[2]], [alone]);
  assert.deepEqual(b.data, alone.data);
  assert.equal(optimizer.iterations, 2);
});

test('callbacks are called once an update, with the number of calls of apply before it', () => {
  /** @type {Record<string, number[]>} */
  const seen = { learningRate: [], rho: [], momentum: [], epsilon: [] };
  const spy = (/** @type {string} */ name, /** @type {number} */ value) => (/** @type {number} */ step) => {
    seen[name].push(step);
    return value;
  };
  const optimizer = new RMSprop({
    learningRate: spy('learningRate', 0.1), rho: spy('rho', 0.9), momentum: spy('momentum', 0.5), epsilon: spy('epsilon', 1e-7),
    gradientAccumulationSteps: 4,
  });
  const v = variable([1]);
  for (let i = 0; i < 12; i++) optimizer.apply([[1]], [v]);
  for (const steps of Object.values(seen)) assert.deepEqual(steps, [3, 7, 11]);
  assert.equal(optimizer.iterations, 3);
  assert.equal(optimizer.variables[0].data[0], 12);
});

test('constant callbacks have the bits of numbers', () => {
  const [a, b] = [variable([1, -2]), variable([1, -2])];
  const numbers = new RMSprop({ learningRate: 0.01, rho: 0.95, momentum: 0.7, epsilon: 1e-5 });
  const callbacks = new RMSprop({ learningRate: () => 0.01, rho: () => 0.95, momentum: () => 0.7, epsilon: () => 1e-5 });
  for (let i = 0; i < 3; i++) {
    numbers.apply([[0.3, -4]], [a]);
    callbacks.apply([[0.3, -4]], [b]);
  }
  assert.deepEqual(a.data, b.data);
});

test('the learning rate is held as float32, can be set, and cannot replace a schedule by a number', () => {
  const optimizer = new RMSprop();
  assert.equal(optimizer.learningRate, 0.0010000000474974513);
  optimizer.learningRate = 0.5;
  assert.equal(optimizer.learningRate, 0.5);
  assert.equal(optimizer.variables[1].data[0], 0.5);
  assert.throws(() => { optimizer.learningRate = NaN; }, RangeError);
  assert.equal(optimizer.learningRate, 0.5);
  const schedule = new schedules.ExponentialDecay({ initialLearningRate: 1, decaySteps: 1, decayRate: 0.5 });
  optimizer.learningRate = schedule;
  assert.equal(optimizer.learningRate, 1);
  assert.equal(optimizer.variables.length, 1);
  assert.throws(() => { optimizer.learningRate = 0.1; }, TypeError);
  const v = variable([0]);
  optimizer.apply([[1]], [v]);
  assert.equal(optimizer.learningRate, 0.5);
});

test('the state is listed in Keras\'s order under Keras\'s slot names', () => {
  const [a, b] = [variable([1, 2]), variable([[3]])];
  const optimizer = new RMSprop({ momentum: 0.9, centered: true, useEma: true, gradientAccumulationSteps: 2 });
  assert.deepEqual(optimizer.variables.map(({ dtype, shape }) => [dtype, shape]), [['int32', []], ['float32', []]]);
  assert.deepEqual(optimizer.slotNames, ['average', 'gradient_accumulator', 'velocity', 'momentum', 'average_gradient']);
  optimizer.build([a, b]);
  const state = optimizer.variables;
  optimizer.slotNames.forEach((name, k) => {
    assert.equal(state[2 + 2 * k], optimizer.getSlot(a, name));
    assert.equal(state[3 + 2 * k], optimizer.getSlot(b, name));
  });
  assert.equal(state.length, 12);
  assert.equal(optimizer.getSlot(a, 'rms'), null);
  assert.equal(optimizer.getSlot(variable(1), 'velocity'), null);
  assert.deepEqual(new RMSprop().slotNames, ['velocity']);
});

test('getConfig is the dictionary that Keras 3.15.1 prints', () => {
  // python -c "import keras, json; print(json.dumps(keras.optimizers.RMSprop(name='rm_sprop').get_config()))"
  const printed = '{"name": "rm_sprop", "learning_rate": 0.0010000000474974513, "weight_decay": null, "clipnorm": null, '
    + '"global_clipnorm": null, "clipvalue": null, "use_ema": false, "ema_momentum": 0.99, "ema_overwrite_frequency": null, '
    + '"loss_scale_factor": null, "gradient_accumulation_steps": null, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-07, '
    + '"centered": false}';
  const config = new RMSprop({ name: 'rm_sprop' }).getConfig();
  assert.deepEqual(config, JSON.parse(printed));
  assert.deepEqual(Object.keys(config), Object.keys(JSON.parse(printed)));
  // ... and with keras.optimizers.schedules.CosineDecay(0.1, 100) for the rate
  const schedule = '{"module": "keras.optimizers.schedules", "class_name": "CosineDecay", "config": {"initial_learning_rate": '
    + '0.1, "decay_steps": 100, "alpha": 0.0, "name": "CosineDecay", "warmup_target": null, "warmup_steps": 0}, '
    + '"registered_name": null}';
  const scheduled = new RMSprop({ learningRate: new schedules.CosineDecay({ initialLearningRate: 0.1, decaySteps: 100 }) });
  assert.deepEqual(scheduled.getConfig().learning_rate, JSON.parse(schedule));
  // ... and with a function f
  function f() { return 0.1; }
  assert.deepEqual(new RMSprop({ learningRate: f }).getConfig().learning_rate,
    { module: 'builtins', class_name: 'function', config: 'f', registered_name: 'function' });
});

test('fromConfig takes Keras\'s dictionary, the camelCase options, schedules and named callbacks', () => {
  const options = {
    name: 'mine', learningRate: 0.25, rho: 0.8, momentum: 0.5, epsilon: 1e-3, centered: true, weightDecay: 0.5, clipvalue: 2,
    useEma: true, emaMomentum: 0.5, emaOverwriteFrequency: 3, lossScaleFactor: 2, gradientAccumulationSteps: 2,
  };
  const config = new RMSprop(options).getConfig();
  assert.deepEqual(RMSprop.fromConfig(config).getConfig(), config);
  assert.deepEqual(RMSprop.fromConfig(options).getConfig(), config);
  assert.deepEqual(RMSprop.fromConfig(JSON.parse(JSON.stringify(config))).getConfig(), config);
  const schedule = new RMSprop({
    learningRate: new schedules.PolynomialDecay({ initialLearningRate: 0.1, decaySteps: 10, power: 2 }),
  }).getConfig();
  assert.deepEqual(RMSprop.fromConfig(schedule).getConfig(), schedule);
  const half = () => 0.5;
  const called = new RMSprop({ learningRate: half }).getConfig();
  assert.throws(() => RMSprop.fromConfig(called), /customObjects\.half must be of type function, got undefined/);
  assert.equal(RMSprop.fromConfig(called, { customObjects: { half } }).learningRate, 0.5);
  assert.throws(() => RMSprop.fromConfig({ learning_rat: 1 }), /RMSprop has no option "learningRat"; did you mean "learningRate"\?/);
});

test('optimizers are named as Keras 3.15 names them', () => {
  const [a, b] = [new RMSprop(), new RMSprop()];
  assert.match(a.name, /^rm_sprop(_\d+)?$/);
  assert.notEqual(a.name, b.name);
  assert.equal(new RMSprop({ name: 'mine' }).name, 'mine');
});

test('weights go out and in, in Keras\'s order; a shorter list sets the first ones', () => {
  const v = variable([1, 2]);
  const optimizer = new RMSprop({ momentum: 0.5 });
  optimizer.apply([[1, 2]], [v]);
  const weights = optimizer.getWeights();
  assert.deepEqual(weights.map((w) => w.length), [1, 1, 2, 2]);
  optimizer.apply([[3, 4]], [v]);
  optimizer.setWeights(weights);
  assert.deepEqual(optimizer.getWeights(), weights);
  optimizer.setWeights([[7], [0.5]]);
  assert.equal(optimizer.iterations, 7);
  assert.equal(optimizer.learningRate, 0.5);
  assert.deepEqual(optimizer.getWeights().slice(2), weights.slice(2));
  assert.throws(() => optimizer.setWeights([[8], [0.25], [1, 2, 3]]), /weights\[2\] must be 2 numbers/);
  assert.equal(optimizer.iterations, 7);
  assert.throws(() => new RMSprop().setWeights(weights), /must be built first: call build\(variables\)/);
});

test('weights are excluded from decay by variable, by string and by RegExp, before and after build', () => {
  const names = ['dense/kernel', 'dense/bias', 'norm/gamma'];
  const decayed = (/** @type {any} */ exclusion, /** @type {boolean} */ late) => {
    const variables = names.map((name) => variable([2], { name }));
    const optimizer = new RMSprop({ learningRate: 1, weightDecay: 0.1 });
    if (late) optimizer.build(variables);
    optimizer.excludeFromWeightDecay(exclusion(variables));
    optimizer.apply([[0], [0], [0]], variables);
    return variables.map((v) => v.data[0] !== 2);
  };
  for (const late of [false, true]) {
    assert.deepEqual(decayed((/** @type {any[]} */ vs) => ({ variables: [vs[0]] }), late), [false, true, true]);
    assert.deepEqual(decayed(() => ({ names: 'bias|gamma' }), late), [true, false, false]);
    assert.deepEqual(decayed(() => ({ names: /^DENSE/gi }), late), [false, false, true]);
    assert.deepEqual(decayed(() => ({ names: ['bias', /gamma$/] }), late), [true, false, false]);
    assert.deepEqual(decayed(() => ({}), late), [true, true, true]);
  }
  assert.throws(() => new RMSprop().excludeFromWeightDecay(/** @type {any} */ ({ name: 'x' })), /did you mean "names"\?/);
  assert.throws(() => new RMSprop().excludeFromWeightDecay({ names: /** @type {any} */ (1) }), TypeError);
  assert.throws(() => new RMSprop().excludeFromWeightDecay({ variables: /** @type {any} */ (['x']) }), /variables must be variables, got "x"/);
});

/** An optimizer with averages that differ from the weights. */
function averaging() {
  const variables = [variable([1, NaN, -0]), variable([2])];
  const optimizer = new RMSprop({ useEma: true, emaMomentum: 0.5, learningRate: 0.1 });
  for (let i = 0; i < 3; i++) optimizer.apply([[1, 1, 1], [2]], variables);
  const bits = () => variables.map((v) => Buffer.from(v.data.slice().buffer).toString('hex'));
  const averages = variables.map((v) => [...(optimizer.getSlot(v, 'average')?.data ?? [])]);
  return { variables, optimizer, bits, averages };
}

test('withAverages swaps the averages in and the weights back, bit for bit', async () => {
  const { variables, optimizer, bits, averages } = averaging();
  const before = bits();
  const inside = () => variables.map((v) => [...v.data]);
  assert.deepEqual(optimizer.withAverages(inside), averages);
  assert.deepEqual(bits(), before);
  assert.deepEqual(await optimizer.withAverages(async () => { await null; return inside(); }), averages);
  assert.deepEqual(bits(), before);
  assert.throws(() => optimizer.withAverages(() => { throw new Error('mine'); }), /mine/);
  assert.deepEqual(bits(), before);
  await assert.rejects(optimizer.withAverages(async () => { throw new Error('mine'); }), /mine/);
  assert.deepEqual(bits(), before);
});

test('nothing may interrupt withAverages, a callback or a constraint', () => {
  const { variables, optimizer } = averaging();
  optimizer.withAverages(() => {
    for (const call of [
      () => optimizer.step(), () => optimizer.apply([[1, 1, 1], [2]], variables), () => optimizer.save(), () => optimizer.dispose(),
      () => optimizer.load(new Uint8Array()), () => optimizer.withAverages(() => 0), () => optimizer.finalizeVariableValues(),
    ]) assert.throws(call, { name: 'Error', message: /cannot be used: withAverages runs$/ });
  });
  const v = variable([1]);
  /** @type {RMSprop} */
  const reentrant = new RMSprop({ learningRate: () => { reentrant.apply([[1]], [v]); return 1; } });
  assert.throws(() => reentrant.apply([[1]], [v]), /apply of optimizer .* cannot be used: a callback runs$/);
  assert.equal(reentrant.iterations, 0);
  assert.deepEqual(v.toArray(), [1]);
});

test('withAverages needs averages; before the first step they are the weights', () => {
  const v = variable([1]);
  const without = new RMSprop();
  without.build([v]);
  assert.throws(() => without.withAverages(() => 0), { name: 'RangeError', message: 'useEma must be true for withAverages, got false' });
  const fresh = new RMSprop({ useEma: true });
  fresh.build([v]);
  assert.deepEqual(fresh.withAverages(() => v.toArray()), [1]);
  fresh.finalizeVariableValues([v]);
  assert.deepEqual(v.toArray(), [1]);
});

test('finalizeVariableValues copies the averages in for good', () => {
  const { variables, optimizer, averages } = averaging();
  assert.throws(() => optimizer.finalizeVariableValues([variables[0]]), RangeError);
  optimizer.finalizeVariableValues();
  assert.deepEqual(variables.map((v) => [...v.data]), averages);
  const without = new RMSprop();
  without.finalizeVariableValues();
});

test('a constraint runs after the average, for variables that had a gradient', (t) => {
  t.mock.method(console, 'warn', () => {});
  let runs = 0;
  const constraint = (/** @type {import('rmsprop-wasm').Variable} */ v) => { runs++; v.data[0] = 0.5; };
  const [a, b] = [variable([1], { constraint }), variable([1], { constraint })];
  const optimizer = new RMSprop({ useEma: true });
  optimizer.apply([[1], null], [a, b]);
  assert.equal(runs, 1);
  assert.deepEqual([a.data[0], b.data[0]], [0.5, 1]);
  assert.notEqual(optimizer.getSlot(a, 'average')?.data[0], 0.5);
});

test('where a constraint throws, the update stands, the others run, the call counts, and it is reported', () => {
  let others = 0;
  const a = variable([1], { constraint() { throw new Error('too small'); } });
  const b = variable([1], { constraint() { others++; } });
  const optimizer = new RMSprop();
  assert.throws(() => optimizer.apply([[1], [1]], [a, b]), /too small/);
  assert.equal(others, 1);
  assert.equal(optimizer.iterations, 1);
  assert.ok(a.data[0] < 1);
});

test('all parameters go out and in as one buffer', () => {
  const variables = [variable([[1, 2], [3, 4]]), variable(5), variable([6])];
  const optimizer = new RMSprop();
  optimizer.build(variables);
  const flat = optimizer.exportParameters();
  assert.deepEqual([...flat], [1, 2, 3, 4, 5, 6]);
  optimizer.importParameters(flat.map((x) => -x));
  assert.deepEqual(variables.map((v) => v.toArray()), [[[-1, -2], [-3, -4]], -5, [-6]]);
  assert.throws(() => optimizer.importParameters(new Float32Array(5)), {
    name: 'RangeError', message: 'flat must be of length 6, got Float32Array of length 5',
  });
  assert.throws(() => optimizer.importParameters(/** @type {any} */ ([1, 2, 3, 4, 5, 6])), TypeError);
});

test('a disposed optimizer says so; its variables live on', () => {
  const v = variable([1]);
  const optimizer = new RMSprop({ name: 'mine' });
  optimizer.apply([[1]], [v]);
  optimizer.dispose();
  optimizer.dispose();
  assert.throws(() => optimizer.apply([[1]], [v]), { name: 'Error', message: 'apply of optimizer "mine" cannot be used: it is disposed' });
  assert.ok(v.data[0] < 1);
});

test('the centered guard acts only where Keras would be NaN or infinite', () => {
  // With epsilon 0 and a constant gradient, the variance rounds to 0 or below within a few steps.
  const v = variable([0, 0, 0]);
  const optimizer = new RMSprop({ centered: true, epsilon: 1e-12 });
  for (let i = 0; i < 100; i++) optimizer.apply([[1, 3, 0.7]], [v]);
  assert.ok(v.data.every(Number.isFinite), `${v.data}`);
});

test('build twice with the same variables does nothing, with others it is refused', () => {
  const [a, b] = [variable([1]), variable([1])];
  const optimizer = new RMSprop();
  optimizer.build([a]);
  const slot = optimizer.getSlot(a, 'velocity');
  optimizer.build([a]);
  assert.equal(optimizer.getSlot(a, 'velocity'), slot);
  assert.throws(() => optimizer.build([a, b]), /variables must be those the optimizer is built for/);
});

test('the loss scale halves on overflow, doubles after enough finite steps, and leaves all else alone on overflow', () => {
  const v = variable([1, 2]);
  const inner = new RMSprop({ learningRate: 0.1, lossScaleFactor: 7, useEma: true });
  const optimizer = new LossScaleOptimizer(inner, { initialScale: 8, dynamicGrowthSteps: 2 });
  assert.equal(inner.getConfig().loss_scale_factor, null);
  assert.equal(optimizer.innerOptimizer, inner);
  assert.equal(optimizer.scaleLoss(2), 16);
  optimizer.apply([[8, 16]], [v]);
  const reference = variable([1, 2]);
  new RMSprop({ learningRate: 0.1 }).apply([[1, 2]], [reference]);
  assert.deepEqual(v.data, reference.data);
  assert.deepEqual([optimizer.dynamicScale, optimizer.stepCounter, optimizer.iterations], [8, 1, 1]);
  const state = () => [v, ...optimizer.variables.slice(4)].flatMap((t) => [...t.data]);
  const before = state();
  v.gradient = [Infinity, 1];
  optimizer.step();
  assert.deepEqual(state(), before);
  assert.deepEqual([optimizer.dynamicScale, optimizer.stepCounter, optimizer.iterations], [4, 0, 1]);
  for (let i = 0; i < 2; i++) optimizer.applyGradients([[[1, 1], v]]);
  assert.deepEqual([optimizer.dynamicScale, optimizer.stepCounter, optimizer.iterations], [8, 0, 3]);
  optimizer.minimize(() => ({ loss: 1, gradients: [[NaN, 0]] }), [v]);
  assert.equal(optimizer.dynamicScale, 4);
  assert.throws(() => new LossScaleOptimizer(inner, /** @type {any} */ ({ clipnorm: 1 })), TypeError);
  assert.throws(() => new LossScaleOptimizer(/** @type {any} */ ({})), /innerOptimizer must be an RMSprop/);
  optimizer.dispose();
  assert.throws(() => inner.step(), /it is disposed/);
});

test('variables of both types are clipped by their norms as if each were alone; the global norm is of one type', () => {
  const types = /** @type {const} */ (['float32', 'float64', 'float64', 'float32']);
  const together = types.map((dtype) => variable([1, 2], { dtype }));
  const alone = types.map((dtype) => variable([1, 2], { dtype }));
  for (const rule of /** @type {const} */ (['keras', 'keras-2.11'])) {
    new RMSprop({ clipnorm: 0.3, rule }).apply([[3, 4], [3, 4], [6, 8], [5, 12]], together);
    [[3, 4], [3, 4], [6, 8], [5, 12]].forEach((gradient, i) => new RMSprop({ clipnorm: 0.3, rule }).apply([gradient], [alone[i]]));
    assert.deepEqual(together.map((v) => v.toArray()), alone.map((v) => v.toArray()));
    assert.throws(() => new RMSprop({ globalClipnorm: 1, rule }).build(together), /must be float32 as the others under globalClipnorm, got "float64"/);
  }
});

test('a dictionary of tf.keras comes back under its own rule, and a subclass as one', () => {
  class Mine extends RMSprop {}
  const config = new RMSprop({ rule: 'keras-2.11', momentum: 0.5 }).getConfig();
  const revived = Mine.fromConfig(config);
  assert.ok(revived instanceof Mine);
  assert.deepEqual(revived.getConfig(), config);
});

test('names excluded from weight decay are regular expressions, with flags as Python has them', () => {
  const [bias, kernel] = [variable([1], { name: 'dense/Bias' }), variable([1], { name: 'dense/kernel' })];
  const optimizer = new RMSprop({ learningRate: 0, weightDecay: 0.5 });
  for (const names of ['(', '(?P<a>b)']) {
    assert.throws(() => optimizer.excludeFromWeightDecay({ names }), /^RangeError: names must be regular expressions, got/);
  }
  optimizer.excludeFromWeightDecay({ names: '(?i)bias' });
  assert.throws(() => optimizer.excludeFromWeightDecay({ names: ['kernel', '('] }), RangeError);
  optimizer.learningRate = () => 0.5;
  optimizer.apply([[0], [0]], [bias, kernel]);
  assert.deepEqual([bias.data[0], kernel.data[0]], [1, 0.75]);
});

test('a rate that float32 cannot hold is refused', () => {
  const v = variable([1]);
  assert.throws(() => new RMSprop({ learningRate: 1e39 }), { name: 'RangeError', message: 'learningRate must be a float32, got 1e+39' });
  assert.throws(() => new RMSprop({ learningRate: () => 1e39 }).apply([[1]], [v]), RangeError);
  assert.equal(v.data[0], 1);
  assert.ok(new RMSprop({ epsilon: 1e39 }));
});

test('a schedule without getConfig can be saved, not serialized', () => {
  class Mine extends schedules.LearningRateSchedule {
    at() { return 0.1; }
  }
  const v = variable([1], { name: 'v' });
  const optimizer = new RMSprop({ learningRate: new Mine() });
  optimizer.apply([[1]], [v]);
  assert.throws(() => optimizer.getConfig(), /Mine must override getConfig/);
  const resumed = new RMSprop({ learningRate: new Mine() });
  resumed.build([v]);
  resumed.load(optimizer.save());
  assert.equal(resumed.iterations, 1);
});

test('nothing is written into any variable when one is disposed', () => {
  const [a, b] = [variable([1], { name: 'a' }), variable([1], { name: 'b' })];
  const optimizer = new RMSprop();
  optimizer.apply([[1], [1]], [a, b]);
  const file = optimizer.save({ variables: true });
  optimizer.apply([[1], [1]], [a, b]);
  b.dispose();
  const before = a.data[0];
  assert.throws(() => optimizer.load(file), /disposed/);
  assert.throws(() => optimizer.importParameters(Float32Array.of(5, 5)), /disposed/);
  assert.deepEqual([a.data[0], optimizer.iterations], [before, 2]);
});

test('withAverages gives the other weights back when one of the variables was disposed meanwhile', () => {
  const [v, w] = [variable([1]), variable([2])];
  const optimizer = new RMSprop({ useEma: true });
  optimizer.apply([[1], [1]], [v, w]);
  optimizer.apply([[1], [1]], [v, w]);
  const weights = w.data.slice();
  optimizer.withAverages(() => {
    assert.notDeepEqual(w.data, weights);
    v.dispose();
  });
  assert.deepEqual(w.data, weights);
});

test('nothing but overwriting leaves the averages as they are', () => {
  const [v, overwritten] = [variable([1]), variable([2])];
  overwritten.overwriteWithGradient = true;
  const optimizer = new RMSprop({ useEma: true });
  optimizer.apply([[1], [3]], [v, overwritten]);
  optimizer.apply([[1], [3]], [v, overwritten]);
  const average = optimizer.getSlot(v, 'average')?.data[0];
  optimizer.apply([null, [4]], [v, overwritten]);
  assert.equal(overwritten.data[0], 4);
  assert.equal(optimizer.getSlot(v, 'average')?.data[0], average);
});

test('a sparse gradient under a loss scale is refused by name, expectation and value', () => {
  const v = variable([[1], [2]], { name: 'v' });
  const scaled = new LossScaleOptimizer(new RMSprop());
  assert.throws(() => scaled.apply([indexedSlices([[1]], [0], [2, 1])], [v]),
    { name: 'TypeError', message: /^gradient of variable "v" must be dense under a loss scale, got / });
});

test('applyGradientsAsync of a disposed optimizer is refused', async () => {
  const optimizer = new RMSprop({ name: 'gone' });
  optimizer.dispose();
  await assert.rejects(optimizer.applyGradientsAsync([[[1], variable([1])]]), /^Error: applyGradientsAsync of optimizer "gone" cannot be used: it is disposed/);
});

test('a global norm runs in the order of the gradients given, also where only the first two changed places', () => {
  const values = [60.39, 61.76, 93.22, 24.87, 48.04, 39.35, 63.16, 68.02, 23.16, 19.2];
  const swapped = [1, 0, 2, 3, 4, 5, 6, 7, 8, 9];
  const natural = values.map((_, i) => i);
  /** The variables after one step, by where their gradient stands in `values`. */
  const after = (/** @type {number[]} */ built, /** @type {number[]} */ given) => {
    const variables = values.map(() => variable([0]));
    const optimizer = new RMSprop({ globalClipnorm: 1, epsilon: 1 });
    optimizer.build(built.map((i) => variables[i]));
    optimizer.applyGradients(given.map((i) => /** @type {const} */ ([[values[i]], variables[i]])));
    return variables.map(({ data }) => data[0]);
  };
  assert.deepEqual(after(natural, swapped), after(swapped, swapped));
  assert.notDeepEqual(after(natural, natural), after(natural, swapped), 'the order shows');
});

test('minimize returns the loss with returnCost, and a loss that is no number is refused before anything is written', () => {
  for (const make of [() => new RMSprop(), () => new LossScaleOptimizer(new RMSprop(), { initialScale: 2 })]) {
    const w = variable([1]);
    const optimizer = make();
    assert.equal(optimizer.minimize(() => ({ loss: 3.5, gradients: [[1]] }), [w], { returnCost: true }), 3.5);
    w.gradient = [1];
    assert.equal(optimizer.minimize(() => 2.5, [w], { returnCost: true }), 2.5);
    assert.equal(optimizer.minimize(() => ({ loss: 3.5, gradients: [[1]] }), [w], { returnCost: false }), 3);
    const before = w.data[0];
    const none = /** @type {any} */ (() => ({ gradients: [[1]] }));
    assert.throws(() => optimizer.minimize(none, [w], { returnCost: true }), {
      name: 'TypeError', message: 'loss must be a number for returnCost, got undefined',
    });
    assert.throws(() => optimizer.minimize(none, [w], /** @type {any} */ ({ returnCosts: true })), /did you mean "returnCost"/);
    assert.deepEqual([w.data[0], optimizer.iterations], [before, 3]);
  }
});

test('a float64 variable decays by the weight decay that is rounded to float32, as in Keras on TensorFlow', () => {
  for (const rule of /** @type {const} */ (['keras', 'keras-2.11'])) {
    const w = variable([1], { dtype: 'float64' });
    new RMSprop({ learningRate: 0.5, weightDecay: 0.1, rule }).apply([[0]], [w]);
    assert.equal(w.data[0], 1 - 0.5 * Math.fround(0.1));
  }
});
