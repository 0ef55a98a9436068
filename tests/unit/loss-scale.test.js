/**
 * LossScaleOptimizer beyond the recorded vectors: what it refuses, what it resumes, and what it does where others fail.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LossScaleOptimizer, RMSprop, readSafetensors, variable, writeSafetensors } from 'rmsprop-wasm';

/** @param {ConstructorParameters<typeof RMSprop>[0]} [options] @param {ConstructorParameters<typeof LossScaleOptimizer>[1]} [scaling] */
const make = (options, scaling) => new LossScaleOptimizer(new RMSprop(options), scaling);

test('what belongs to the inner optimizer is refused with the place where to set it', () => {
  for (const option of ['clipnorm', 'learningRate', 'useEma']) {
    assert.throws(() => make({}, /** @type {any} */ ({ [option]: 1 })),
      { name: 'TypeError', message: `LossScaleOptimizer does not support "${option}": set it on the innerOptimizer` });
  }
  assert.throws(() => make({}, /** @type {any} */ ({ dynamic: false })), /does not support "dynamic": set lossScaleFactor on the innerOptimizer/);
  assert.throws(() => make({}, /** @type {any} */ ({ foo: 1 })), /LossScaleOptimizer has no option "foo"/);
  assert.throws(() => make({ aggregateGradients() {} }), /innerOptimizer must be without aggregateGradients/);
});

test('getConfig comes back by fromConfig', () => {
  const optimizer = make({ momentum: 0.5, name: 'inner' }, { initialScale: 8, dynamicGrowthSteps: 3, name: 'outer' });
  assert.deepEqual(LossScaleOptimizer.fromConfig(optimizer.getConfig()).getConfig(), optimizer.getConfig());
});

test('a gradient that overwrites must be finite too', () => {
  const [v, overwritten] = [variable([1]), variable([2])];
  overwritten.overwriteWithGradient = true;
  const optimizer = make({}, { initialScale: 4 });
  optimizer.apply([[1], [Infinity]], [v, overwritten]);
  assert.deepEqual([v.data[0], overwritten.data[0], optimizer.iterations, optimizer.dynamicScale], [1, 2, 0, 2]);
  optimizer.apply([[1], [5]], [v, overwritten]);
  assert.deepEqual([overwritten.data[0], optimizer.iterations, optimizer.stepCounter], [5, 1, 1]);
});

test('the scale is what its variable holds, whoever wrote it', () => {
  const [v, w] = [variable([1]), variable([1])];
  const optimizer = make({}, { initialScale: 1024 });
  optimizer.build([v]);
  optimizer.variables[3].data[0] = 4;
  optimizer.apply([[4]], [v]);
  new RMSprop().apply([[1]], [w]);
  assert.equal(v.data[0], w.data[0]);
});

test('save and load, getWeights and setWeights resume scale, counter and slots', () => {
  const [v, w, x] = [variable([1, 2], { name: 'v' }), variable([1, 2], { name: 'v' }), variable([1, 2], { name: 'v' })];
  const scaling = { initialScale: 4, dynamicGrowthSteps: 3 };
  const [first, second, third] = [make({}, scaling), make({}, scaling), make({}, scaling)];
  second.build([w]);
  third.build([x]);
  first.apply([[4, 8]], [v]);
  first.apply([[NaN, 8]], [v]);
  first.apply([[4, 8]], [v]);
  second.load(first.save({ variables: true }));
  third.setWeights(first.getWeights());
  x.set(v.data);
  for (const [optimizer, variables] of /** @type {[LossScaleOptimizer, any][]} */ ([[second, [w]], [third, [x]]])) {
    assert.deepEqual([optimizer.dynamicScale, optimizer.stepCounter, optimizer.iterations], [2, 1, 2]);
    optimizer.apply([[2, 2]], variables);
    optimizer.apply([[2, 2]], variables);
    assert.equal(optimizer.dynamicScale, 4);
  }
  first.apply([[2, 2]], [v]);
  first.apply([[2, 2]], [v]);
  assert.deepEqual([w.toArray(), x.toArray()], [v.toArray(), v.toArray()]);

  const plain = new RMSprop();
  plain.build([v]);
  const before = w.toArray();
  assert.throws(() => second.load(plain.save({ variables: true })), /step_counter of the checkpoint must be/);
  assert.deepEqual([w.toArray(), second.dynamicScale], [before, 4]);
});

test('where a constraint throws, the step counts', () => {
  const v = variable([1], { constraint() { throw new Error('mine'); } });
  const optimizer = make();
  assert.throws(() => optimizer.apply([[1]], [v]), /mine/);
  assert.deepEqual([optimizer.iterations, optimizer.stepCounter], [1, 1]);
  assert.throws(() => optimizer.apply([[1, 2]], [v]), RangeError);
  assert.deepEqual([optimizer.iterations, optimizer.stepCounter], [1, 1]);
});

test('the name is its own; the rate and the averages are those of the inner optimizer', () => {
  const v = variable([1]);
  const optimizer = make({ useEma: true, learningRate: 0.5 }, { name: 'outer', initialScale: 1 });
  assert.deepEqual([optimizer.name, optimizer.learningRate], ['outer', 0.5]);
  optimizer.learningRate = 0.25;
  assert.equal(optimizer.innerOptimizer.learningRate, 0.25);
  optimizer.apply([[1]], [v]);
  optimizer.apply([[1]], [v]);
  const average = optimizer.innerOptimizer.getSlot(v, 'average')?.data[0];
  assert.notEqual(v.data[0], average);
  optimizer.finalizeVariableValues([v]);
  assert.equal(v.data[0], average);
});

test('a checkpoint whose scale or counter is not a number is refused, and nothing is written', () => {
  const v = variable([1], { name: 'v' });
  const optimizer = make({}, { initialScale: 4 });
  optimizer.apply([[4]], [v]);
  const { tensors, metadata } = readSafetensors(optimizer.save());
  const before = optimizer.getWeights().map((weights) => weights.slice());
  for (const [name, value] of Object.entries({ dynamic_scale: '8', step_counter: -1 })) {
    const counters = JSON.stringify({ ...JSON.parse(metadata.counters), [name]: value });
    const file = writeSafetensors(tensors, { ...metadata, counters });
    assert.throws(() => optimizer.load(file), new RegExp(`${name} of the checkpoint must be`));
    assert.deepEqual(optimizer.getWeights(), before);
  }
});

test('the initial scale is in the config, from which the same optimizer is made', () => {
  const config = make({}, { initialScale: 8 }).getConfig();
  assert.equal(config.initial_scale, 8);
  assert.equal(LossScaleOptimizer.fromConfig(config).dynamicScale, 8);
});
