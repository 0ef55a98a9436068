/**
 * How variables and optimizers show themselves, end in `using` blocks, and say what is wrong with a Proxy of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { LossScaleOptimizer, Memory, RMSprop, indexedSlices, tensor, variable } from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';
import * as optax from 'rmsprop-wasm/optax';
import { ThreadPool } from 'rmsprop-wasm/threads';
import * as torch from 'rmsprop-wasm/torch';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';
import { Group } from '../../js/nats-group.js';

/** @type {Record<string, () => any>} */
const optimizers = {
  'rmsprop-wasm': () => new RMSprop({ name: 'mine', rho: 0.75 }),
  'LossScaleOptimizer': () => new LossScaleOptimizer(new RMSprop({ name: 'mine', rho: 0.75 })),
  legacy: () => new legacy.RMSprop({ name: 'mine', rho: 0.75 }),
  v1: () => new RMSPropOptimizer({ learningRate: 0.1, name: 'mine', decay: 0.75 }),
  torch: () => new torch.RMSprop([variable([1])], { alpha: 0.75 }),
};

/** What Vue's reactive does to methods and getters: `this` is the Proxy. @param {any} target */
const reactive = (target) => new Proxy(target, { get: (object, key, receiver) => Reflect.get(object, key, receiver) });

const isRefusal = { name: 'TypeError', message: /must be the object itself, got a Proxy.*markRaw/ };

test('the console shows name, shape, type and the first values', () => {
  const w = variable(new Float32Array(12).fill(0.5), { name: 'w', shape: [3, 4] });
  const text = inspect(w).replace(/\s+/g, ' ');
  assert.match(text, /^Variable \{ name: 'w', shape: \[ 3, 4 \], dtype: 'float32', data: Float32Array\(12\) \[/);
  assert.match(text, /\[ (0\.5, ){6}\.\.\. 6 more items \]/);
  assert.match(inspect({ t: tensor([1], { dtype: 'int32' }) }), /t: Tensor \{.*'int32'.*\[ 1 \]/);
  w.dispose();
  assert.equal(inspect(w), 'Variable <variable "w" is disposed>');
});

test('JSON gets the numbers of a tensor in its shape', () => {
  assert.equal(JSON.stringify({ w: variable([[1, 2], [3, 4]]), s: tensor(5) }), '{"w":[[1,2],[3,4]],"s":5}');
  const gone = tensor([1]);
  gone.dispose();
  assert.throws(() => JSON.stringify(gone), /is disposed/);
});

for (const [name, make] of Object.entries(optimizers)) {
  test(`an optimizer shows its options, and that it is disposed: ${name}`, () => {
    const optimizer = make();
    const text = inspect(optimizer, { depth: 9 });
    assert.ok(text.startsWith(`${optimizer.constructor.name} `), text);
    assert.match(text, /0\.75/);
    if (name !== 'torch') assert.match(text, /name: 'mine'/);
    assert.match(JSON.stringify(optimizer), /0\.75/);
    optimizer.dispose();
    assert.match(inspect(optimizer), /^\w+ <.*disposed>$/);
  });

  test(`a Proxy of an optimizer is refused by every method, and says markRaw: ${name}`, () => {
    const optimizer = make();
    const wrapped = reactive(optimizer);
    for (const method of ['apply', 'applyGradients', 'step', 'minimize', 'dispose', 'save', 'stateDict']) {
      if (method in optimizer) assert.throws(() => wrapped[method]([[[1], variable([1])]]), isRefusal);
    }
    for (const getter of ['iterations', 'name', 'learningRate', 'paramGroups']) {
      if (/** @type {any} */ (optimizer)[getter] !== undefined) assert.throws(() => wrapped[getter], isRefusal);
    }
    optimizer.dispose();
  });

  test(`Symbol.dispose disposes an optimizer: ${name}`, { skip: !Symbol.dispose }, () => {
    const optimizer = make();
    optimizer[Symbol.dispose]();
    assert.match(inspect(optimizer), /disposed/);
  });
}

test('iterations are shown as they are now, and a class of the user under its own name', () => {
  const optimizer = new (class Mine extends RMSprop {})();
  optimizer.apply([[1]], [variable([1])]);
  assert.match(inspect(optimizer), /^Mine \{[^]*iterations: 1,/);
  assert.equal(JSON.parse(JSON.stringify(optimizer)).iterations, 1);
});

test('a Proxy of a variable is refused wherever it is used, and says markRaw', () => {
  const w = variable([1]);
  const wrapped = reactive(w);
  for (const property of ['shape', 'size', 'dtype', 'memory', 'isDisposed', 'byteOffset', 'data', 'gradient']) {
    assert.throws(() => wrapped[property], isRefusal, property);
  }
  for (const [method, ...args] of [
    ['set', [2]], ['toArray'], ['dispose'], ['gradientBuffer'], ['freeGradientBuffer'], ['placeGradient', [1]],
  ]) assert.throws(() => wrapped[/** @type {string} */ (method)](...args), isRefusal, String(method));
  for (const gradient of [null, [1], indexedSlices([1], [0])]) {
    assert.throws(() => { wrapped.gradient = gradient; }, isRefusal);
  }
  assert.throws(() => new RMSprop().apply([[1]], [wrapped]), isRefusal);
  assert.throws(() => new RMSprop().apply([reactive(tensor([1]))], [w]), isRefusal);
  assert.throws(() => new torch.RMSprop([wrapped]), isRefusal);
  assert.throws(() => new LossScaleOptimizer(reactive(new RMSprop())), isRefusal);
  assert.deepEqual([...w.data], [1]);
  w.gradient = [1];
  new RMSprop().apply([w.gradient], [w]);
});

test('a view that growing memory has detached is called stale where it is a gradient', () => {
  const memory = new Memory();
  const w = variable([1, 2], { memory, name: 'w' });
  const stale = tensor([3, 4], { memory }).data;
  memory.allocate(memory.buffer.byteLength);
  assert.equal(stale.length, 0);
  const isStale = { name: 'RangeError', message: /stale view.*\.data/ };
  assert.throws(() => new RMSprop().apply([stale], [w]), isStale);
  assert.throws(() => { w.gradient = stale; }, { message: /^gradient of variable "w" must be 2 numbers, .*, got a stale view: / });
  assert.throws(() => new legacy.RMSprop().applyGradients([[stale, w]]), isStale);
  assert.throws(() => new RMSPropOptimizer({ learningRate: 1 }).applyGradients([[stale, w]]), isStale);
  assert.throws(() => indexedSlices(stale, [0]), isStale);
  assert.throws(() => variable(stale), isStale);
  const transform = optax.rmsprop({ learningRate: 0.1 });
  const params = { w };
  assert.throws(() => transform.update({ w: stale }, transform.init(params), params), isStale);
  assert.throws(() => new RMSprop().apply([new Float32Array(0)], [w]), { message: /must be 2 numbers.*of length 0/ });
  assert.deepEqual([...w.data], [1, 2]);
});

test('Symbol.dispose closes pools and groups', { skip: !Symbol.dispose }, async () => {
  const pool = /** @type {any} */ (await ThreadPool.create({ threads: 2 }));
  pool[Symbol.dispose]();
  assert.throws(() => pool.kernels.check(), /closed/);
  await pool.close();
  let closed = 0;
  /** @type {any} */ (Group.prototype)[Symbol.dispose].call({ close: () => { closed += 1; } });
  assert.equal(closed, 1);
});

test('what is read in withAverages is a view of the raw weights afterwards, a copy is not', () => {
  const w = variable([1]);
  const optimizer = new RMSprop({ useEma: true, emaMomentum: 0.5 });
  for (const gradient of [1, 1, 1]) optimizer.apply([[gradient]], [w]);
  const [raw] = w.data;
  const [view, copy] = optimizer.withAverages(() => [w.data, w.data.slice()]);
  assert.equal(view[0], raw);
  assert.notEqual(copy[0], raw);
});
