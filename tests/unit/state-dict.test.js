/** Trees in files: what comes back, what stays apart, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSafetensors, variable, writeSafetensors } from 'rmsprop-wasm';
import { RMSprop as LegacyRMSprop } from 'rmsprop-wasm/legacy';
import * as optax from 'rmsprop-wasm/optax';
import { RMSprop, load, save } from 'rmsprop-wasm/torch';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';

/** @typedef {any} Any */

test('a tree comes back, numbers that JSON does not have too', () => {
  const tree = {
    numbers: [1.5, -0, 0, NaN, Infinity, -Infinity, 1e-320, 2 ** 53], text: '{"a":1}', none: null, yes: true, empty: {}, list: [],
    'a.b': { '__proto__x': Float32Array.of(1, -0, NaN), 'constructor': Float64Array.of(2) }, 'ints': Int32Array.of(-1),
  };
  assert.deepEqual(load(save(tree)), tree);
  const odd = load(save(JSON.parse('{"__proto__":{"x":1}}')));
  assert.deepEqual(Object.keys(odd), ['__proto__']);
  assert.equal(odd.x, undefined);
});

test('tensors keep their shape and are named by their place', () => {
  const bytes = save({ model: { w: variable([[1, 2], [3, 4]]) }, state: [{ v: Float32Array.of(1) }] });
  const { tensors, metadata } = readSafetensors(bytes);
  assert.deepEqual([...tensors].map(([name, { shape }]) => [name, shape]), [['model.w', [2, 2]], ['state.0.v', [1]]]);
  assert.equal(metadata.tree, '{"model":{"w":{"$tensor":"model.w"}},"state":[{"v":{"$tensor":"state.0.v"}}]}');
  assert.deepEqual(readSafetensors(save(load(bytes))), readSafetensors(bytes));
});

test('arrays of a file carry their shapes and types, and variable, loadStateDict and save heed them', () => {
  const w = variable([[1, 2], [3, 4]], { name: 'w' });
  const optimizer = new RMSprop([w], { momentum: 0.5 });
  w.gradient = [[1, 1], [1, 1]];
  optimizer.step();
  const bytes = save({ model: { w }, optimizer: optimizer.stateDict() });
  const loaded = load(/** @type {any} */ (bytes.buffer));
  assert.deepEqual(loaded.model.w.shape, [2, 2]);
  assert.deepEqual(loaded.optimizer.state[0].square_avg.shape, [2, 2]);
  assert.deepEqual(save(loaded), bytes);
  const again = variable(loaded.model.w, { name: 'w' });
  assert.deepEqual(again.shape, [2, 2]);
  const other = new RMSprop([again], { momentum: 0.5 });
  other.loadStateDict(loaded.optimizer);
  assert.deepEqual(save({ model: { w: again }, optimizer: other.stateDict() }), bytes);
  // What an array knows can be wrong.
  loaded.model.w.shape = [3];
  for (const call of [() => variable(loaded.model.w), () => save(loaded)]) {
    assert.throws(call, { name: 'RangeError', message: /^shape of the array must be of 4 numbers, got "\[3\]"/ });
  }
  const halves = writeSafetensors({
    b: { dtype: 'BF16', shape: [1, 2], data: Uint16Array.of(1, 2) }, i: { shape: [2, 1], data: BigInt64Array.of(1n, -1n) },
    t: { dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) },
  }, { ...readSafetensors(bytes).metadata, tree: '{"b":{"$tensor":"b"},"i":{"$tensor":"i"},"t":{"$tensor":"t"}}' });
  assert.deepEqual(readSafetensors(save(load(halves))).tensors, readSafetensors(halves).tensors);
});

test('what no file can hold is refused, and so is what no file should say', () => {
  /** @type {Any} */
  let deep = 1;
  for (let i = 0; i < 101; i++) deep = [deep];
  /** @type {[Any, object][]} */
  const trees = [
    [{ a: () => 1 }, { name: 'TypeError', message: /^a must be a tensor, .*got function a$/ }],
    [{ a: [new Date()] }, { name: 'TypeError', message: /^a.0 must be a tensor, .*got Date$/ }],
    [{ $a: 1 }, { name: 'RangeError', message: 'tree: key must be without $ at its start, got "$a"' }],
    [{ 'a.b': Float32Array.of(1), 'a': { b: Float32Array.of(1) } }, { name: 'RangeError', message: /such that files can tell tensors apart, got "a.b"/ }],
    [deep, { name: 'RangeError', message: /nested at most 100 deep/ }],
  ];
  for (const [tree, expected] of trees) assert.throws(() => save(tree), expected);

  const { tensors, metadata } = readSafetensors(save({ a: Float32Array.of(1) }));
  const forged = (/** @type {object} */ changes) => writeSafetensors(tensors, { ...metadata, ...changes });
  /** @type {[Any, object][]} */
  const files = [
    ['x', { name: 'TypeError', message: /^bytes must be a Uint8Array/ }],
    [forged({ dialect: 'optax' }), { name: 'RangeError', message: 'dialect of the file must be "torch", got "optax"' }],
    [forged({ format_version: '2' }), { name: 'RangeError', message: 'format_version of the file must be "1", got "2"' }],
    [forged({ tree: '{' }), { name: 'RangeError', message: /^tree of the file must be JSON/ }],
    [forged({ tree: '{}' }), { name: 'RangeError', message: 'tree of the file must be one with each tensor once, got "a"' }],
    [forged({ tree: '[{"$tensor":"a"},{"$tensor":"a"}]' }), { name: 'RangeError', message: /each tensor once, got "a"/ }],
    [forged({ tree: '[{"$tensor":"b"}]' }), { name: 'RangeError', message: /each tensor once, got "b"/ }],
    [forged({ tree: `${'['.repeat(1e5)}1${']'.repeat(1e5)}` }), { name: 'RangeError', message: /nested at most 100 deep/ }],
  ];
  for (const [bytes, expected] of files) assert.throws(() => load(bytes), expected);
});

test('optimizers that make slots as variables come refuse files of other variables and slots', () => {
  const make = () => variable([1, 2], { name: 'w' });
  const legacy = (/** @type {Any} */ options = {}) => new LegacyRMSprop(options);
  const v1 = (/** @type {Any} */ options = {}) => new RMSPropOptimizer({ learningRate: 1, ...options });
  const saved = (/** @type {Any} */ optimizer) => {
    optimizer.applyGradients([[[1, 1], make()]]);
    return optimizer.save();
  };
  const other = variable([1], { name: 'w' });
  const later = variable([1], { name: 'later' });
  const used = legacy();
  used.applyGradients([[[1], later]]);
  /** @type {[Any, Any, Any, object][]} */
  const cases = [
    [legacy(), saved(legacy()), {}, { name: 'RangeError', message: /^variables must be with one named "w", as in the checkpoint/ }],
    [legacy(), saved(legacy()), { variables: [other] }, { name: 'RangeError', message: /"w\/rms" in the checkpoint must be F32 of shape \[1\]/ }],
    [legacy(), saved(legacy()), { variables: [make(), 3] }, { name: 'TypeError', message: /^variables\[1\] must be a variable/ }],
    [legacy(), saved(legacy()), { variable: [] }, { name: 'TypeError', message: /did you mean "variables"/ }],
    [legacy({ momentum: 0.5 }), saved(legacy()), { variables: [make()] }, { name: 'RangeError', message: /one with slot "momentum"/ }],
    [legacy(), saved(legacy({ centered: true })), { variables: [make()] }, { name: 'RangeError', message: /one without slot "mg"/ }],
    [used, saved(legacy()), { variables: [make(), later] }, { name: 'RangeError', message: /one with slot "rms" of variable "later"/ }],
    [legacy(), saved(v1()), { variables: [make()] }, { name: 'RangeError', message: /^dialect of the checkpoint must be "keras-legacy", got "tf1"/ }],
    [v1(), saved(v1({ centered: true })), { variables: [make()] }, { name: 'RangeError', message: /one with the slots rms,momentum/ }],
    [v1(), saved(v1()), { variables: [make()], globalStep: variable(0, { dtype: 'int32' }) }, { name: 'TypeError', message: /^global_step of the checkpoint/ }],
  ];
  for (const [optimizer, bytes, options, expected] of cases) {
    const { bytesInUse } = other.memory;
    assert.throws(() => optimizer.load(bytes, options), expected);
    assert.equal(other.memory.bytesInUse, bytesInUse);
  }
});

test("numbers of one's own in a file of optax need not be counts, those of states must", () => {
  const make = (/** @type {number} */ best, /** @type {number} */ epoch) =>
    ({ best, epoch, state: optax.rmsprop({ learningRate: 1 }).init({ w: Float32Array.of(1, 2) }) });
  const { best, epoch } = optax.loadState(make(0, 0), optax.saveState(make(0.5, -1)));
  assert.deepEqual([best, epoch], [0.5, -1]);
  const { tensors, metadata } = readSafetensors(optax.saveState(make(0, 0)));
  const tree = metadata.tree.replace('"count":0', '"count":0.5');
  assert.notEqual(tree, metadata.tree);
  assert.throws(() => optax.loadState(make(0, 0), writeSafetensors(tensors, { ...metadata, tree })), {
    name: 'RangeError', message: 'state.state.count must be an integer in [0, 2147483647], got 0.5',
  });
});
