/** Hyperparameters as attributes: what is assigned counts from the next step on, or is refused by name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LossScaleOptimizer, RMSprop, variable } from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';

/** @typedef {any} Any */

const start = { learningRate: 0.1, momentum: 0.5, useEma: true, emaMomentum: 0.9, lossScaleFactor: 2 };

/**
 * @param {Any} options
 * @param {(optimizer: Any) => void} [change] made after the first of three steps
 * @returns {[string, Any]} weights and slots after the third, and the optimizer
 */
function trained(options, change = () => {}) {
  const w = variable([1, -2, 3], { name: 'w' });
  const optimizer = new RMSprop({ name: 'it', ...options });
  for (const gradient of [[0.5, 2, -1], [3, -1, 0.25], [1, 1, -4]]) {
    optimizer.apply([gradient], [w]);
    if (optimizer.iterations === 1) change(optimizer);
  }
  return [JSON.stringify([[...w.data], ...optimizer.getWeights().map((values) => [...values])]), optimizer];
}

const VALUES = {
  momentum: 0.75, rho: 0.5, epsilon: 0.25, clipnorm: 0.5, clipvalue: 0.25, globalClipnorm: 0.75, weightDecay: 0.125,
  emaMomentum: 0.25, emaOverwriteFrequency: 2, lossScaleFactor: 8,
};

for (const [name, value] of Object.entries(VALUES)) {
  test(`${name} that is assigned counts from the next step on, as if a file had brought the state to it`, () => {
    const [changed, optimizer] = trained(start, (it) => { it[name] = value; });
    assert.notEqual(changed, trained(start)[0]);
    assert.equal(optimizer[name], value);
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    assert.equal(optimizer.getConfig()[snake], value);

    const w = variable([1, -2, 3], { name: 'w' });
    const first = new RMSprop(start);
    first.apply([[0.5, 2, -1]], [w]);
    const second = new RMSprop({ ...start, [name]: value });
    second.build([w]);
    second.setWeights(first.getWeights());
    for (const gradient of [[3, -1, 0.25], [1, 1, -4]]) second.apply([gradient], [w]);
    assert.equal(JSON.stringify([[...w.data], ...second.getWeights().map((values) => [...values])]), changed);
  });
}

test('an attribute can be switched off, and a callback can be assigned', () => {
  const off = trained({ ...start, clipnorm: 0.1 }, (it) => {
    it.clipnorm = null;
    it.lossScaleFactor = null;
  })[1];
  assert.deepEqual([off.clipnorm, off.lossScaleFactor], [null, null]);
  assert.equal(trained(start, (it) => { it.rho = () => 0.5; })[0], trained(start, (it) => { it.rho = 0.5; })[0]);
});

test('momentum needs a slot: it cannot rise from zero after build, and the slot stays when it becomes zero', () => {
  const w = variable([1]);
  const plain = new RMSprop();
  plain.momentum = 0.5;
  plain.momentum = 0;
  plain.build([w]);
  const text = 'momentum must be given before the optimizer is built, for it has no slot, got 0.5';
  assert.throws(() => { plain.momentum = 0.5; }, { name: 'RangeError', message: text });
  assert.deepEqual([plain.momentum, plain.slotNames], [0, ['velocity']]);
  const [, heavy] = trained(start, (it) => { it.momentum = 0; });
  assert.deepEqual(heavy.slotNames, ['average', 'velocity', 'momentum']);
  heavy.load(heavy.save());
  heavy.momentum = 0.5;
});

test('what is refused changes nothing', () => {
  const w = variable([1]);
  const optimizer = new RMSprop({ useEma: true, clipnorm: 1 });
  optimizer.build([w]);
  const before = JSON.stringify(optimizer.getConfig());
  /** @type {[string, Any, string][]} */
  const refused = [
    ['clipvalue', 1, 'only one of clipnorm, clipvalue, globalClipnorm can be set, got clipnorm and clipvalue'],
    ['emaMomentum', 2, 'emaMomentum must be in [0, 1], got 2'],
    ['clipnorm', 1e39, 'clipnorm must be a float32, as the variables, got 1e+39'],
    ['lossScaleFactor', 0, 'lossScaleFactor must be other than 0, got 0'],
    ['lossScaleFactor', 1e-60, 'lossScaleFactor must be a float32, as the variables, got 1e-60'],
  ];
  for (const [name, value, message] of refused) {
    assert.throws(() => { /** @type {Any} */ (optimizer)[name] = value; }, { name: 'RangeError', message });
  }
  assert.equal(JSON.stringify(optimizer.getConfig()), before);
});

test('a loss scale is left to the optimizer that scales, and so it stays when another attribute is assigned', () => {
  const inner = new RMSprop({ learningRate: 0.1, useEma: true });
  const outer = new LossScaleOptimizer(inner, { initialScale: 8 });
  assert.throws(() => { inner.lossScaleFactor = 2; }, {
    name: 'RangeError', message: 'lossScaleFactor must be left to the LossScaleOptimizer, got 2',
  });
  inner.emaMomentum = 0.5;
  const w = variable([1]);
  outer.apply([[8]], [w]);
  const x = variable([1]);
  new RMSprop({ learningRate: 0.1 }).apply([[1]], [x]);
  assert.deepEqual(w.data, x.data);
  outer.learningRate = 0.5;
  assert.equal(inner.learningRate, 0.5);
});

test('a number that float64 can hold fits its variables, and not float32', () => {
  for (const name of ['clipnorm', 'clipvalue', 'globalClipnorm', 'lossScaleFactor']) {
    new RMSprop({ [name]: 1e39 }).apply([[1]], [variable([1], { dtype: 'float64' })]);
    const w = variable([1]);
    assert.throws(() => new RMSprop({ [name]: 1e39 }).apply([[1]], [w]), {
      name: 'RangeError', message: `${name} must be a float32, as the variables, got 1e+39`,
    });
    assert.equal(w.data[0], 1);
  }
  assert.throws(() => new RMSprop({ gradientAccumulationSteps: 2.5 }), {
    name: 'RangeError', message: 'gradientAccumulationSteps must be an integer >= 2, got 2.5',
  });
});

test('names of other frameworks are refused, naming the right one', () => {
  const spellings = {
    lr: 'learningRate', learning_rate: 'learningRate', paramGroups: 'learningRate', param_groups: 'learningRate',
    alpha: 'rho', decay: 'rho', eps: 'epsilon', weight_decay: 'weightDecay', global_clipnorm: 'globalClipnorm',
    ema_momentum: 'emaMomentum', ema_overwrite_frequency: 'emaOverwriteFrequency', loss_scale_factor: 'lossScaleFactor',
  };
  /** @type {(optimizer: Any, name: string, right: string) => void} */
  const refuses = (optimizer, name, right) => assert.throws(() => { optimizer[name] = 0.1; }, {
    name: 'TypeError',
    message: `${optimizer.constructor.name} has no attribute "${name}"; did you mean "${right}"?`,
  });
  for (const [name, right] of Object.entries(spellings)) refuses(new RMSprop(), name, right);
  for (const name of ['lr', 'learning_rate']) refuses(new LossScaleOptimizer(new RMSprop()), name, 'learningRate');
  for (const [name, right] of [['alpha', 'rho'], ['learning_rate', 'learningRate'], ['eps', 'epsilon']]) {
    refuses(new legacy.RMSprop(), name, right);
  }
  const own = new legacy.RMSprop();
  own.lr = 0.5;
  own.decay = 0.25;
  assert.deepEqual([own.learningRate, own.decay], [0.5, 0.25]);
});

test('setters of the legacy optimizer check as its constructor', () => {
  const optimizer = /** @type {Any} */ (new legacy.RMSprop({ clipnorm: 1, momentum: 0.5 }));
  for (const [name, value] of [['clipnorm', -1], ['clipvalue', -1], ['momentum', 5], ['momentum', -1], ['decay', -1]]) {
    const before = optimizer[name];
    assert.throws(() => { optimizer[name] = value; }, { name: 'RangeError', message: new RegExp(`^${name} must be .*${value}$`) });
    assert.equal(optimizer[name], before);
  }
});
