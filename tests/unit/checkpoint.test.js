/**
 * n steps, or some steps, save, load somewhere else and the rest of the steps: equal bits.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LossScaleOptimizer, RMSprop, readSafetensors, schedules, variable, writeSafetensors } from 'rmsprop-wasm';

const CONFIGURATIONS = {
  plain: {},
  everything: { momentum: 0.9, centered: true, weightDecay: 0.1, globalClipnorm: 1, useEma: true, emaOverwriteFrequency: 3 },
  'accumulation, stopped in the middle of a window': { gradientAccumulationSteps: 4, momentum: 0.5, useEma: true },
  'loss scale': { lossScaleFactor: 3, clipvalue: 0.5 },
  schedule: () => ({ learningRate: new schedules.ExponentialDecay({ initialLearningRate: 0.1, decaySteps: 2, decayRate: 0.5 }) }),
};

const makeVariables = () =>
  [variable([[1, 2], [3, 4]], { name: 'kernel' }), variable([5, 6], { name: 'bias' }), variable([7], { name: 'kernel' })];
const gradients = (/** @type {number} */ step) => [[[step, -1], [0.5, 2]], [0.1 * step, 3], [-step]];

for (const [name, options] of Object.entries(CONFIGURATIONS)) {
  test(`n steps equal save, load and the rest of the steps: ${name}`, () => {
    const make = () => new RMSprop(typeof options === 'function' ? options() : options);
    const [straight, first, second] = [make(), make(), make()];
    const [a, b, c] = [makeVariables(), makeVariables(), makeVariables()];
    for (let step = 0; step < 10; step++) straight.apply(gradients(step), a);
    for (let step = 0; step < 6; step++) first.apply(gradients(step), b);
    const bytes = first.save({ variables: true });
    second.build(c);
    second.load(bytes);
    for (let step = 6; step < 10; step++) second.apply(gradients(step), c);
    const state = (/** @type {RMSprop} */ optimizer, /** @type {any[]} */ variables) =>
      [...variables, ...optimizer.variables].map((t) => Buffer.from(t.data.slice().buffer).toString('hex'));
    assert.deepEqual(state(second, c), state(straight, a));
    assert.equal(second.iterations, straight.iterations);
  });
}

test('the file names what it holds, and without the weights it holds the state alone', () => {
  const variables = makeVariables();
  const optimizer = new RMSprop({ name: 'mine', momentum: 0.5 });
  optimizer.apply(gradients(1), variables);
  const { tensors, metadata } = readSafetensors(optimizer.save());
  assert.deepEqual([...tensors.keys()].sort(),
    ['bias/momentum', 'bias/velocity', 'kernel#1/momentum', 'kernel#1/velocity', 'kernel/momentum', 'kernel/velocity']);
  assert.deepEqual(tensors.get('kernel/velocity')?.shape, [2, 2]);
  assert.deepEqual(JSON.parse(metadata.config), optimizer.getConfig());
  assert.deepEqual(JSON.parse(metadata.counters), { iteration: 1, learning_rate: optimizer.learningRate });
  assert.deepEqual([metadata.format, metadata.format_version, metadata.dialect], ['rmsprop-wasm', '1', 'keras']);
  assert.equal(readSafetensors(optimizer.save({ variables: true })).tensors.size, 9);
});

test('NaN, infinities and -0 come back bit for bit', () => {
  const v = variable([NaN, -Infinity, -0, 1e-45]);
  const optimizer = new RMSprop();
  optimizer.build([v]);
  const bits = () => Buffer.from(v.data.slice().buffer).toString('hex');
  const before = bits();
  const bytes = optimizer.save({ variables: true });
  v.data.fill(0);
  optimizer.load(bytes);
  assert.equal(bits(), before);
});

test('the rate of the file is taken over, a schedule stays', () => {
  const v = variable([1], { name: 'w' });
  const optimizer = new RMSprop({ learningRate: 0.5 });
  optimizer.build([v]);
  const bytes = optimizer.save();
  optimizer.learningRate = 0.25;
  optimizer.load(bytes);
  assert.equal(optimizer.learningRate, 0.5);
  const scheduled = new RMSprop({ learningRate: () => 0.125 });
  scheduled.build([v]);
  scheduled.load(bytes);
  assert.equal(scheduled.learningRate, 0.125);
});

test('a file that does not fit is refused, and nothing is written', () => {
  const v = variable([1, 2], { name: 'w' });
  const optimizer = new RMSprop({ momentum: 0.5 });
  optimizer.apply([[1, 1]], [v]);
  const file = readSafetensors(optimizer.save({ variables: true }));
  const other = (/** @type {Record<string, any>} */ changes, /** @type {Record<string, string>} */ metadata = {}) =>
    writeSafetensors(
      Object.fromEntries(Object.entries({ ...Object.fromEntries(file.tensors), ...changes }).filter(([, t]) => t !== null)),
      { ...file.metadata, ...metadata },
    );
  const two = { shape: [2], data: new Float32Array(2) };
  /** @type {[Uint8Array, RegExp][]} */
  const cases = [
    [other({ 'w/velocity': null, w: null }), /"w\/velocity" in the checkpoint must be F32 of shape \[2\], got undefined/],
    [other({ 'w/average': two }), /the checkpoint must be 3 tensors, got 4: .*no place for "w\/average"/],
    [other({ 'w/velocity': { shape: [1, 2], data: new Float32Array(2) } }), /"w\/velocity" in the checkpoint must be F32 of shape \[2\], got "F32 of shape \[1,2\]"/],
    [other({ 'w/momentum': { shape: [2], data: new Float64Array(2) } }), /"w\/momentum" in the checkpoint must be F32 of shape \[2\], got "F64/],
    [other({}, { format: 'pt' }), /format of the checkpoint must be "rmsprop-wasm", got "pt"/],
    [other({}, { format_version: '2' }), /format_version of the checkpoint must be "1", got "2"/],
    [other({}, { dialect: 'torch' }), /dialect of the checkpoint must be "keras", got "torch"/],
    [other({}, { counters: '{' }), /counters of the checkpoint must be of type object, got undefined/],
    [other({}, { counters: '{"iteration":-1}' }), /iteration of the checkpoint must be an integer in \[0, 2147483647\], got -1/],
    [other({}, { counters: '{"iteration":1,"learning_rate":null}' }), /learning_rate of the checkpoint must be a finite number, got null/],
    [optimizer.save().subarray(0, 100), /./],
  ];
  const state = () => [v, ...optimizer.variables].map((t) => [...t.data]);
  const before = state();
  for (const [bytes, message] of cases) {
    assert.throws(() => optimizer.load(bytes), message);
    assert.deepEqual(state(), before);
  }
});

test('an error names what the file has, what was looked for, and says when names are missing', () => {
  const built = (/** @type {any} */ options, /** @type {(string | undefined)[]} */ names) => {
    const optimizer = new RMSprop(options);
    optimizer.build(names.map((name) => variable([1, 2], { name })));
    return optimizer;
  };
  const load = (/** @type {RMSprop} */ from, /** @type {RMSprop} */ into, options = {}) => () => into.load(from.save(options));
  const [plain, both] = [['x'], ['x', 'y']].map((names) => () => built({}, names));
  assert.throws(load(built({ momentum: 0.9 }, ['x']), plain()), {
    name: 'RangeError',
    message: 'the checkpoint must be 1 tensors, got 2: the file has "x/momentum", "x/velocity", and "x/velocity" was looked '
      + 'for; this optimizer has no place for "x/momentum" (are its options the same?)',
  });
  assert.throws(load(both(), plain()), /the file has "x\/velocity", "y\/velocity", and "x\/velocity" was looked for; .*no place for "y\/velocity"/);
  assert.throws(load(both(), plain(), { variables: true }), /and "x", "x\/velocity" was looked for; .*no place for "y", "y\/velocity"/);
  assert.throws(load(plain(), both()), /"y\/velocity" in the checkpoint must be F32 of shape \[2\], got undefined: the file has "x\/velocity", and/);
  assert.throws(load(built({}, [undefined]), built({}, [undefined])), /name your variables, variable\(values, \{ name \}\)/);
  assert.throws(() => plain().load(new Uint8Array(0)), /file must be at least 8 bytes long, got 0/);
});

test('numbers of a file are checked as those of a constructor', () => {
  const make = () => {
    const optimizer = new LossScaleOptimizer(new RMSprop());
    optimizer.apply([[1, 1]], [variable([1, 2], { name: 'w' })]);
    return optimizer;
  };
  const optimizer = make();
  const { tensors, metadata } = readSafetensors(optimizer.save());
  const counters = JSON.parse(metadata.counters);
  const load = (/** @type {object} */ changes) => () => optimizer.load(writeSafetensors(tensors, {
    ...metadata, counters: JSON.stringify({ ...counters, ...changes }),
  }));
  const number = (/** @type {number} */ value) => ({ $number: String(value) });
  /** @type {[string, any[]][]} */
  const refused = [
    ['learning_rate', [1e39, -1e39, number(NaN), number(Infinity), null, '1', {}, { $number: 'x' }]],
    ['dynamic_scale', [0, -1, 1e-320, 1e-46, 1e308, 3.5e38, number(NaN), number(-Infinity), null, '1']],
    ['iteration', [-5, 0.5, 2 ** 31, number(NaN), number(Infinity), number(-0.5), null]],
    ['step_counter', [-1, 1.5, 2 ** 31, number(NaN), null]],
  ];
  const state = () => [optimizer.dynamicScale, ...optimizer.getWeights().map((list) => [...list])];
  const before = state();
  for (const [name, values] of refused) {
    for (const value of values) {
      assert.throws(load({ [name]: value }), new RegExp(`Error: ${name} of the checkpoint must be `), JSON.stringify(value));
      assert.deepEqual(state(), before);
    }
  }
  const largest = 2 ** 31 - 1;
  const reachable = [{ dynamic_scale: number(Infinity) }, { dynamic_scale: 2 ** -149 }, { iteration: largest }, { learning_rate: 3e38 }];
  for (const changes of reachable) {
    load(changes)();
    const bytes = optimizer.save();
    optimizer.load(bytes);
    assert.deepEqual(optimizer.save(), bytes);
  }
});

test('numbers of setWeights are checked as those of a constructor, and nothing is written', () => {
  const inner = new RMSprop();
  const optimizer = new LossScaleOptimizer(inner);
  optimizer.apply([[1, 1]], [variable([1, 2], { name: 'w' })]);
  const weights = optimizer.getWeights();
  const changed = (/** @type {number} */ place, /** @type {number} */ value) =>
    weights.map((list, i) => (i === place ? [value] : list));
  for (const [place, values] of /** @type {[number, number[]][]} */ ([
    [0, [-5, NaN, 0.5]], [1, [NaN, Infinity, 1e39]], [2, [-1, NaN]], [3, [0, 1e-320, 1e308, NaN, -1]], [4, [-5]], [5, [NaN, 1e39]],
  ])) {
    for (const value of values) {
      assert.throws(() => optimizer.setWeights(changed(place, value)), new RegExp(`Error: weights\\[${place}\\] must be `), `${value}`);
      assert.deepEqual(optimizer.getWeights(), weights);
    }
  }
  assert.throws(() => inner.setWeights([0, NaN]), /^RangeError: weights\[1\] must be a finite number, got NaN/);
  optimizer.setWeights(changed(3, Infinity));
  assert.equal(optimizer.dynamicScale, Infinity);
});

test('a scale that steps have made infinite or tiny can be saved and loaded', () => {
  for (const [gradient, initialScale, expected] of /** @type {const} */ ([[1, 2 ** 127, Infinity], [NaN, 2 ** -149, 2 ** -149]])) {
    const make = () => new LossScaleOptimizer(new RMSprop(), { initialScale, dynamicGrowthSteps: 1 });
    const [first, second] = [make(), make()];
    first.apply([[gradient]], [variable([1], { name: 'w' })]);
    assert.equal(first.dynamicScale, expected);
    second.build([variable([1], { name: 'w' })]);
    second.load(first.save({ variables: true }));
    assert.equal(second.dynamicScale, expected);
    assert.deepEqual(second.getWeights(), first.getWeights());
  }
});

test('a name that no file can have is refused where it is given', () => {
  for (const name of ['__metadata__', 'half \ud800', '\udc00', 'n'.repeat(140_000), 'é'.repeat(40_000)]) {
    assert.throws(() => variable([1], { name }), /^RangeError: name must be a name for a file: 65535 bytes of UTF-8 at most, /);
  }
  const name = `${'é'.repeat(20_000)}\u{1f600}`;
  const optimizer = new RMSprop();
  optimizer.apply([[1]], [variable([1], { name })]);
  assert.equal(readSafetensors(optimizer.save({ variables: true })).tensors.get(name)?.shape.join(), '1');
});

test('two tensors never share a name', () => {
  const optimizer = new RMSprop();
  optimizer.build([variable([1], { name: 'a/velocity' }), variable([1], { name: 'a' })]);
  assert.throws(() => optimizer.save({ variables: true }), /variable names must be such that checkpoints can tell tensors apart, got "a\/velocity"/);
  assert.ok(optimizer.save().length > 0);
});

test('a checkpoint keeps float64 as it is, and names its types', () => {
  const [a, b] = [variable([1, 2], { name: 'v', dtype: 'float64' }), variable([1, 2], { name: 'v', dtype: 'float64' })];
  const [first, second] = [new RMSprop({ momentum: 0.9 }), new RMSprop({ momentum: 0.9 })];
  first.apply([[0.1, 1e-300]], [a]);
  second.build([b]);
  const file = first.save({ variables: true });
  assert.deepEqual([...readSafetensors(file).tensors.values()].map(({ dtype }) => dtype), ['F64', 'F64', 'F64']);
  second.load(file);
  assert.deepEqual(b.data, a.data);
  for (const name of ['velocity', 'momentum']) assert.deepEqual(second.getSlot(b, name)?.data, first.getSlot(a, name)?.data);
  assert.throws(() => new RMSprop({ momentum: 0.9 }).load(file));
});
