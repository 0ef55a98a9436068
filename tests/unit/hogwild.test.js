/**
 * Threads that update the same variables, each by an optimizer of its own: shared memory, shared slots, and TensorFlow
 * 1's `useLocking`, under which the result is that of some order of whole updates, to the bit.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Memory, RMSprop, indexedSlices, tensorAt, variable, zeros } from 'rmsprop-wasm';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';
import { gradientOf } from '../threads/gradients.js';

const PAGE = 65536;
const isScalar = process.env.RMSPROP_KERNELS === 'scalar';

/**
 * @param {any} task of tests/threads/helper.js
 * @returns {Promise<any>} its first answer
 */
function helper(task) {
  const worker = new Worker(new URL('../threads/helper.js', import.meta.url), { workerData: { ...task, isScalar } });
  return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
}

test('a shared memory is a SharedArrayBuffer, grows up to its maximum, and trains with the same bits', () => {
  const memory = new Memory({ shared: true, initialBytes: PAGE, maximumBytes: 40 * PAGE });
  assert.ok(memory.buffer instanceof SharedArrayBuffer);
  assert.equal(memory.buffer.byteLength, PAGE);
  const train = (/** @type {Memory} */ place) => {
    const v = variable(Float32Array.from({ length: 9999 }, (_, i) => i / 7), { memory: place });
    const optimizer = new RMSprop({ momentum: 0.9, centered: true, globalClipnorm: 1, useEma: true });
    for (let step = 0; step < 3; step++) optimizer.apply([v.data], [v]);
    return v.data.slice();
  };
  assert.deepEqual(train(memory), train(new Memory()));
  assert.throws(() => zeros([PAGE * 10], { memory }), /^RangeError: memory exhausted/);
  assert.equal(new Memory().buffer instanceof SharedArrayBuffer, false, 'others are not');
  assert.throws(() => new Memory(/** @type {any} */ ({ shared: 1 })), /^TypeError: shared must be of type boolean, got 1/);
});

test('Memory.from joins a shared memory, and no other', () => {
  const memory = new Memory({ shared: true });
  const joined = Memory.from(memory.wasmMemory);
  const v = variable([1, 2, 3], { memory });
  const same = tensorAt(joined, v.byteOffset, [3]);
  same.data[1] = 5;
  assert.deepEqual(v.toArray(), [1, 5, 3]);
  const own = zeros([100_000], { memory: joined });
  assert.deepEqual([memory.tensorCount, joined.tensorCount], [1, 1]);
  assert.ok(own.byteOffset >= v.byteOffset + 64);
  for (const wrong of [new WebAssembly.Memory({ initial: 1 }), memory, memory.buffer, undefined]) {
    assert.throws(() => Memory.from(/** @type {any} */ (wrong)), /^TypeError: wasmMemory must be a shared WebAssembly\.Memory, got/);
  }
});

test('what tensorAt gives is trained where it lies, by every name', () => {
  const memory = new Memory({ shared: true });
  const v = variable([10], { memory });
  const same = tensorAt(Memory.from(memory.wasmMemory), v.byteOffset, [1], { name: 'w' });
  const optimizer = new RMSprop({ learningRate: 0.1 });
  optimizer.apply([[10]], [same]);
  assert.equal(v.data[0], Math.fround(9.683772));
  assert.equal(same.name, 'w');
});

test('four threads allocate in one memory at a time, and no block is handed out twice', async () => {
  const memory = new Memory({ shared: true, initialBytes: PAGE });
  const tasks = [1, 2, 3, 4].map((number) => helper({ what: 'allocate', number, wasmMemory: memory.wasmMemory, count: 5000 }));
  const answers = await Promise.all(tasks);
  assert.deepEqual(answers, Array(4).fill({ wrong: 0, bytesInUse: 0 }));
  assert.ok(zeros([1000], { memory }).byteOffset > 0);
});

test('pages by which another thread grows the memory in between are not handed out', () => {
  const memory = new Memory({ shared: true, initialBytes: PAGE });
  const { wasmMemory } = memory;
  const { grow } = WebAssembly.Memory.prototype;
  /** @type {[number, number][]} */
  const theirs = [];
  wasmMemory.grow = (pages) => {
    if (theirs.length < 3) theirs.push([grow.call(wasmMemory, 2) * PAGE, 2 * PAGE]);
    return grow.call(wasmMemory, pages);
  };
  for (let i = 0; i < 30; i++) {
    const bytes = 5000 * i;
    const at = memory.allocate(bytes);
    for (const [start, length] of theirs) assert.ok(at + bytes <= start || at >= start + length, `${at} within ${start}`);
  }
  assert.equal(theirs.length, 3);
});

const SIZE = 1003;

/**
 * @param {{ what: string, threads: number, count: number, useLocking: boolean }} how
 */
function start({ what, threads, count, useLocking }) {
  const memory = new Memory({ shared: true });
  const options = { learningRate: 0.01, decay: 0.9, momentum: 0.9, centered: true, useLocking };
  const v = variable(gradientOf(0, 0, SIZE), { memory, name: 'w' });
  const globalStep = zeros([], { memory, dtype: 'int32' });
  const log = zeros([4096], { memory, dtype: 'int32' });
  const optimizer = new RMSPropOptimizer(options);
  const task = {
    what, wasmMemory: memory.wasmMemory, options, shared: optimizer.share(v), log: log.byteOffset, globalStep: globalStep.byteOffset, count,
  };
  const answers = Array.from({ length: threads }, (_, i) => helper({ ...task, number: i + 1 }));
  return { memory, options, v, globalStep, log, optimizer, answers };
}

test('with useLocking four threads\' updates of one variable are those of some order, to the bit, and none is lost', async () => {
  const [threads, count] = [4, 400];
  const { options, v, globalStep, log, optimizer, answers } = start({ what: 'update', threads, count, useLocking: true });
  assert.deepEqual(await Promise.all(answers), Array(threads).fill('done'));

  // The order is what the constraints logged, which run within the updates.
  assert.equal(log.data[0], threads * count, 'no line of the log is lost');
  assert.equal(globalStep.data[0], threads * count, 'no step is lost');
  const order = [...log.data.subarray(1, 1 + threads * count)];
  const switches = order.filter((number, i) => i > 0 && number !== order[i - 1]).length;
  assert.ok(switches >= threads, `the threads took turns, ${switches} times`);

  const alone = variable(gradientOf(0, 0, SIZE));
  const replay = new RMSPropOptimizer({ ...options, useLocking: false });
  const next = Array(threads + 1).fill(0);
  for (const number of order) replay.applyGradients([[gradientOf(number, next[number]++, SIZE), alone]]);
  assert.deepEqual(next.slice(1), Array(threads).fill(count), 'each thread\'s updates, in its order');
  assert.deepEqual(v.data.slice(), alone.data);
  for (const name of ['rms', 'mg', 'momentum']) {
    assert.deepEqual(optimizer.getSlot(v, name)?.data.slice(), replay.getSlot(alone, name)?.data, name);
  }
});

test('without useLocking updates may mix, the global step counts all the same', async (t) => {
  const { v, globalStep, optimizer, answers } = start({ what: 'update', threads: 4, count: 200, useLocking: false });
  await Promise.all(answers);
  assert.equal(globalStep.data[0], 800);
  assert.ok(v.data.every(Number.isFinite));
  // That nothing is lost may be chance: it is counted by one atomic addition.
  const { mock } = t.mock.method(Atomics, 'add');
  optimizer.applyGradients([[gradientOf(1, 0, SIZE), v]], { globalStep });
  const [array, ...rest] = /** @type {unknown[]} */ (mock.calls[0].arguments);
  assert.deepEqual([mock.callCount(), array === globalStep.data, ...rest], [1, true, 0, 1]);
});

test('a thread that ends while it holds a lock: an error after a time, which has changed nothing', async () => {
  const { memory, v, globalStep, optimizer, answers } = start({ what: 'die', threads: 1, count: 1, useLocking: true });
  await Promise.all(answers);
  const state = () => [v, globalStep, ...optimizer.variables()].map(({ data }) => data.slice());
  const before = state();
  assert.throws(() => optimizer.applyGradients([[gradientOf(1, 0, SIZE), v]], { globalStep }),
    /^Error: variable "w" is locked: the thread that has held its lock for 5000 ms must have ended in an update, or hangs in one/);
  assert.deepEqual(state(), before);

  // Another variable has another lock, and who asks for none goes on.
  const others = [1, 2].map((i) => variable([i], { memory }));
  optimizer.applyGradients([[[1], others[1]]]);
  new RMSPropOptimizer({ learningRate: 0.1 }).applyGradients([[gradientOf(1, 0, SIZE), v]]);
});

test('a lock is given back whatever a constraint throws, and an update within an update does not wait for itself', () => {
  const memory = new Memory({ shared: true });
  const options = { learningRate: 0.1, useLocking: true };
  const [v, w] = [variable([1], { memory }), variable([2], { memory })];
  const inner = new RMSPropOptimizer(options);
  v.constraint = () => {
    inner.applyGradients([[[1], v.constraint ? (v.constraint = undefined, v) : v]]);
    throw new Error('of the constraint');
  };
  const optimizer = new RMSPropOptimizer(options);
  assert.throws(() => optimizer.applyGradients([[[1], v], [[1], w]]), /of the constraint/);
  assert.deepEqual([...new Int32Array(memory.buffer, 4, 14)], Array(14).fill(0), 'all locks are free');
  optimizer.applyGradients([[indexedSlices([1], [0]), v]]);
});

test('an update within an update through another object of the same memory does not wait for itself', (t) => {
  const memory = new Memory({ shared: true });
  const options = { learningRate: 0.1, useLocking: true };
  const v = variable([1], { memory, name: 'v' });
  const outer = new RMSPropOptimizer(options);
  const nest = (/** @type {WebAssembly.Memory} */ wasmMemory) => {
    const same = tensorAt(Memory.from(wasmMemory), v.byteOffset, [1], { name: 'v' });
    const inner = new RMSPropOptimizer(options);
    inner.join(same.memory, new RMSPropOptimizer(options).share(v));
    v.constraint = () => {
      v.constraint = undefined;
      inner.applyGradients([[[1], same]]);
    };
    outer.applyGradients([[[1], v]]);
  };
  const waits = t.mock.method(Atomics, 'wait');
  nest(memory.wasmMemory);
  // One that came by postMessage is another object.
  assert.throws(() => nest(structuredClone(memory.wasmMemory)),
    /^Error: variable "v" is locked by this thread itself, through another object of the same memory/);
  assert.equal(waits.mock.callCount(), 0);
  assert.deepEqual([...new Int32Array(memory.buffer, 4, 14)], Array(14).fill(0), 'all locks are free');
});

test('no locks are put into the first bytes of another program\'s shared memory', () => {
  const wasmMemory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  let end = 1024;
  const memory = new Memory({ memory: wasmMemory, allocate: (bytes) => (end += bytes) - bytes, free() {} });
  const theirs = new Uint8Array(wasmMemory.buffer, 0, 1024).fill(1);
  const v = variable([1], { memory });
  const optimizer = new RMSPropOptimizer({ learningRate: 0.1, useLocking: true });
  assert.throws(() => optimizer.applyGradients([[[1], v]]),
    /^RangeError: variable "variable.*" must be in a Memory made with shared: true, which has place for locks, got Memory/);
  assert.deepEqual([v.data[0], optimizer.getSlotNames(), theirs.every((byte) => byte === 1)], [1, [], true]);
  new RMSPropOptimizer({ learningRate: 0.1 }).applyGradients([[[1], v]]);
  assert.notEqual(v.data[0], 1);
});

test('share and join refuse what they cannot share', () => {
  const memory = new Memory({ shared: true });
  const [inside, outside] = [variable([1], { memory }), variable([1])];
  const optimizer = new RMSPropOptimizer({ learningRate: 0.1 });
  assert.throws(() => optimizer.share(outside), /^RangeError: variable "variable.*" must be in shared memory, got Memory/);
  assert.throws(() => optimizer.share(/** @type {any} */ (zeros([1], { memory }))), /^Error: Trying to update a Tensor/);
  assert.throws(() => optimizer.share([]), /^RangeError: variables must be at least one/);
  const shared = optimizer.share([inside]);
  assert.deepEqual(structuredClone(shared), shared);
  assert.equal(optimizer.getSlot(inside, 'rms')?.data[0], 1);
  const centered = new RMSPropOptimizer({ learningRate: 0.1, centered: true });
  assert.throws(() => centered.join(memory, shared), /^RangeError: slots of shared variable "variable.*" must be with mg, got Object/);
  assert.throws(() => centered.join(memory, /** @type {any} */ (shared[0])), /^TypeError: shared must be an array, got Object/);
  assert.throws(() => new RMSPropOptimizer({ learningRate: 1 }).join(memory, [{ ...shared[0], byteOffset: 2 }]), /^RangeError: byteOffset/);

  const second = new RMSPropOptimizer({ learningRate: 0.1 });
  const [joined] = second.join(Memory.from(memory.wasmMemory), shared);
  optimizer.applyGradients([[[3], inside]]);
  second.applyGradients([[[3], joined]]);
  assert.equal(second.getSlot(joined, 'rms')?.data[0], optimizer.getSlot(inside, 'rms')?.data[0], 'one slot, updated twice');
  const late = variable([1], { memory: joined.memory });
  second.applyGradients([[[3], late]]);
  assert.notEqual(second.getSlot(late, 'rms')?.data[0], second.getSlot(joined, 'rms')?.data[0], 'what comes later has slots of its own');
});
