/**
 * Threads that share the work of a step: the bits of one thread with any number of them, for every dialect; and what
 * becomes of a pool that is closed, is misused, or loses a thread.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import { after, before, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { LossScaleOptimizer, Memory, RMSprop, indexedSlices, tensor, variable } from 'rmsprop-wasm';
import { RMSprop as LegacyRMSprop } from 'rmsprop-wasm/legacy';
import * as optax from 'rmsprop-wasm/optax';
import { ThreadPool } from 'rmsprop-wasm/threads';
import { RMSprop as TorchRMSprop } from 'rmsprop-wasm/torch';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';
import { availableCores } from '../../js/hosts.js';
import { MAXIMUM_UNITS } from '../../js/work.js';

const THREADS = [1, 2, 3, 8];
/** Large enough to be divided, with cuts within tensors, and at odd places. */
const SHAPES = [[640, 641], [7], [50001]];

/** @type {ThreadPool[]} */
let pools;
before(async () => { pools = await Promise.all(THREADS.map((threads) => ThreadPool.create({ threads }))); });
after(() => Promise.all(pools.map((pool) => pool.close())));

/** @type {Map<string, Float64Array>} */
const known = new Map();

/**
 * @param {readonly number[]} shape
 * @param {number} seed
 * @returns {Float64Array} not to be changed
 */
function numbersOf(shape, seed) {
  const key = `${shape} ${seed}`;
  const number = (/** @type {unknown} */ _, /** @type {number} */ i) => Math.sin(i * 1.7 + seed) * 10 ** ((i * 7 + seed) % 5 - 3);
  if (!known.has(key)) known.set(key, Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, number));
  return /** @type {Float64Array} */ (known.get(key));
}

/**
 * @typedef {object} Place
 * @property {Memory} memory
 * @property {ThreadPool} [pool]
 */

/**
 * @param {Memory} memory
 * @param {'float32' | 'float64'} [dtype]
 */
const model = (memory, dtype = 'float32') =>
  SHAPES.map((shape, i) => variable(numbersOf(shape, i), { shape, dtype, memory, name: `v${i}` }));

/**
 * Trains by a Keras-like `apply`, with a gradient missing now and then.
 *
 * @param {{ apply: (gradients: any[], variables: any[]) => void, dispose?: () => void }} optimizer
 * @param {Place} place
 * @param {'float32' | 'float64'} [dtype]
 */
function train(optimizer, { memory }, dtype) {
  const variables = model(memory, dtype);
  for (let step = 0; step < 4; step++) {
    const gradients = SHAPES.map((shape, i) => (step === 2 && i === 1 ? null : numbersOf(shape, step * 3 + i)));
    optimizer.apply(gradients, variables);
  }
  return variables;
}

const everything = {
  learningRate: 0.01, momentum: 0.9, centered: true, weightDecay: 0.1, lossScaleFactor: 3, gradientAccumulationSteps: 2,
  useEma: true, emaOverwriteFrequency: 2,
};

/** What is trained where; returns the weights, and slots. @type {Record<string, (place: Place) => any[]>} */
const cases = {
  ...Object.fromEntries(/** @type {ConstructorParameters<typeof RMSprop>[0][]} */ ([
    {}, { momentum: 0.9, centered: true }, { clipnorm: 0.5 }, { globalClipnorm: 0.5, ...everything }, { clipvalue: 0.1, useEma: true },
    { clipnorm: 0.5, ...everything }, { rule: 'keras-2.11', momentum: 0.5, globalClipnorm: 2, useEma: true, weightDecay: 0.1 },
    { aggregateGradients: (/** @type {Float32Array} */ flat) => flat.forEach((g, i) => { flat[i] = g / 2; }), globalClipnorm: 1 },
  ]).map((options) => [`Keras ${JSON.stringify(options)}`, (/** @type {Place} */ { memory, pool }) => {
    const optimizer = new RMSprop({ ...options, pool });
    return [...train(optimizer, { memory }), ...optimizer.variables.slice(2)];
  }])),
  'Keras, float64, global norm': ({ memory, pool }) => {
    const optimizer = new RMSprop({ ...everything, globalClipnorm: 0.5, pool });
    return [...train(optimizer, { memory }, 'float64'), ...optimizer.variables.slice(2)];
  },
  'Keras, float32 and float64, slices': ({ memory, pool }) => {
    const optimizer = new RMSprop({ momentum: 0.9, clipnorm: 0.5, pool });
    const variables = [model(memory)[0], model(memory, 'float64')[0]];
    const slices = indexedSlices(numbersOf([3, 641], 1), [5, 299, 5]);
    for (let step = 0; step < 3; step++) optimizer.apply([slices, numbersOf(SHAPES[0], step)], variables);
    return [...variables, ...optimizer.variables.slice(2)];
  },
  'Keras, slices under a global norm': ({ memory, pool }) => {
    const optimizer = new RMSprop({ momentum: 0.9, globalClipnorm: 0.5, pool });
    const variables = model(memory).slice(0, 2);
    const slices = indexedSlices(numbersOf([3, 641], 1), [5, 299, 5]);
    for (let step = 0; step < 3; step++) optimizer.apply([slices, numbersOf(SHAPES[1], step)], variables);
    return [...variables, ...optimizer.variables.slice(2)];
  },
  'dynamic loss scaling': ({ memory, pool }) => {
    const optimizer = new LossScaleOptimizer(new RMSprop({ momentum: 0.9, clipnorm: 1, pool }), { initialScale: 8, dynamicGrowthSteps: 2 });
    const variables = train(optimizer, { memory });
    const infinite = SHAPES.map((shape, i) => numbersOf(shape, i).slice().fill(i === 2 ? Infinity : 1));
    optimizer.apply(infinite, variables);
    return [...variables, tensor([optimizer.dynamicScale, optimizer.iterations])];
  },
  ...Object.fromEntries([{}, { momentum: 0.9, centered: true, clipnorm: 0.3 }, { globalClipnorm: 0.3, decay: 0.1 }].map((options) =>
    [`legacy ${JSON.stringify(options)}`, (/** @type {Place} */ { memory, pool }) => {
      const optimizer = new LegacyRMSprop({ ...options, pool });
      const variables = model(memory);
      for (let step = 0; step < 3; step++) optimizer.applyGradients(variables.map((v, i) => [numbersOf(v.shape, step + i), v]));
      return [...variables, ...optimizer.weights];
    }])),
  'TensorFlow 1, dense and rows': ({ memory, pool }) => {
    const optimizer = new RMSPropOptimizer({ learningRate: 0.01, momentum: 0.9, centered: true, useLocking: true, pool });
    const variables = model(memory);
    for (let step = 0; step < 3; step++) {
      const rows = indexedSlices(numbersOf([400, 641], step), Array.from({ length: 400 }, (_, k) => (k * 7) % 640));
      optimizer.applyGradients([[rows, variables[0]], [numbersOf(SHAPES[2], step), variables[2]]]);
    }
    return [...variables, ...optimizer.variables()];
  },
  'PyTorch': ({ memory, pool }) => {
    const variables = model(memory);
    const optimizer = new TorchRMSprop([{ params: variables.slice(0, 2), momentum: 0.9 }, { params: variables.slice(2), centered: true }],
      { lr: 0.01, weightDecay: 0.1, maximize: true, pool });
    for (let step = 0; step < 3; step++) {
      variables.forEach((v, i) => { v.gradient = numbersOf(v.shape, step + i); });
      optimizer.step();
    }
    return [...variables, ...[...optimizer.state.values()].map(({ square_avg }) => square_avg)];
  },
  'optax, update of arrays and step of tensors': ({ memory, pool }) => {
    const optimizer = optax.chain(optax.clipByGlobalNorm(0.5), optax.rmsprop({
      learningRate: 0.01, momentum: 0.9, nesterov: true, centered: true, biasCorrection: true, pool }));
    const params = Object.fromEntries(model(memory).map((v) => [v.name, v]));
    const arrays = SHAPES.map((shape, i) => Float32Array.from(numbersOf(shape, i)));
    let [state, ofArrays] = [optimizer.init(params), optimizer.init(arrays)];
    let updates;
    for (let step = 0; step < 3; step++) {
      const grads = SHAPES.map((shape, i) => Float32Array.from(numbersOf(shape, step + i)));
      state = optimizer.step(Object.fromEntries(grads.map((g, i) => [`v${i}`, g])), state, params);
      [updates, ofArrays] = optimizer.update(grads, ofArrays, arrays);
    }
    return [...Object.values(params), ...updates.map((/** @type {any} */ u) => tensor(u))];
  },
};

for (const [name, run] of Object.entries(cases)) {
  test(`${name}: 1, 2, 3 and 8 threads give the bits of a step without a pool`, (t) => {
    t.mock.method(console, 'warn', () => {});
    const bitsOf = (/** @type {any[]} */ tensors) =>
      tensors.map(({ data }) => Buffer.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)));
    const expected = bitsOf(run({ memory: new Memory() }));
    for (const pool of pools) {
      const actual = bitsOf(run({ memory: pool.memory, pool }));
      assert.equal(actual.length, expected.length);
      actual.forEach((bits, i) => assert.ok(bits.equals(expected[i]), `array ${i} with ${pool.threads} threads`));
    }
  });
}

test('the workers take their part, of sums too, and not of a small step', (t) => {
  const pool = pools[1];
  const store = t.mock.method(Atomics, 'store').mock;
  const exchange = t.mock.method(Atomics, 'compareExchange').mock;
  const small = variable(new Float32Array(1000), { memory: pool.memory });
  const optimizer = new RMSprop({ globalClipnorm: 1, pool });
  optimizer.apply([new Float32Array(1000)], [small]);
  assert.equal(store.callCount(), 0, 'nothing to divide');

  const large = variable(new Float32Array(400_000), { memory: pool.memory });
  const dividing = new RMSprop({ globalClipnorm: 1, pool });
  large.gradientBuffer();
  dividing.build([large]);
  // A job is two stores, the units that are pending and those that remain; what this thread takes is in its exchanges.
  let helped = [false, false];
  for (let step = 0; step < 5000 && !helped.every(Boolean); step++) {
    for (const mocked of [store, exchange]) mocked.resetCalls();
    dividing.step();
    assert.equal(store.callCount(), 4, 'a job for the sums and one for the step');
    const units = [store.calls[0], store.calls[2]].map((call) => Number(call.arguments[2]));
    const taken = [0, 0];
    let job = 0;
    for (const { arguments: [, , from, to], result } of exchange.calls) {
      if (result !== from) continue;
      if (Number(from) > units[0]) job = 1;
      taken[job] += Number(from) - Number(to);
    }
    assert.deepEqual(units, [64, 98], 'leaves of at most 8 192 elements, units of 4 096');
    helped = helped.map((was, i) => was || taken[i] < units[i]);
  }
  assert.deepEqual(helped, [true, true]);
});

test('the workers take their part of the steps of every dialect, each with kernels of its own', (t) => {
  const pool = pools[1];
  const { memory } = pool;
  const v = variable(new Float32Array(400_000), { memory });
  v.gradientBuffer();
  const transform = optax.rmsprop({ learningRate: 1, pool });
  const state = transform.init([v]);
  const [keras, torch] = [new RMSprop({ pool }), new TorchRMSprop([v], { pool })];
  keras.build([v]);
  const [legacy, v1] = [new LegacyRMSprop({ pool }), new RMSPropOptimizer({ learningRate: 1, pool })];
  const steps = [
    () => keras.step(), () => torch.step(), () => legacy.applyGradients([[v.gradient, v]]),
    () => v1.applyGradients([[v.gradient, v]]), () => transform.step([v.gradient], state, [v]),
  ];
  const exchange = t.mock.method(Atomics, 'compareExchange').mock;
  for (const step of steps) {
    let taken = 98;
    for (let call = 0; call < 5000 && taken === 98; call++) {
      exchange.resetCalls();
      step();
      const units = exchange.calls.filter(({ arguments: [, , from], result }) => result === from)
        .map(({ arguments: [, , from, to] }) => (Number(from) % MAXIMUM_UNITS) - (Number(to) % MAXIMUM_UNITS));
      taken = units.reduce((sum, count) => sum + count, 0);
    }
    assert.ok(taken < 98, `a worker has done some of the 98 units, not ${98 - taken}`);
  }
});

test('memory may grow between steps', () => {
  for (const pool of pools) {
    const options = { momentum: 0.9, globalClipnorm: 1 };
    const [inPool, alone] = [variable(numbersOf(SHAPES[0], 1), { memory: pool.memory }), variable(numbersOf(SHAPES[0], 1))];
    const optimizers = [new RMSprop({ ...options, pool }), new RMSprop(options)];
    for (let step = 0; step < 4; step++) {
      optimizers.forEach((optimizer, i) => optimizer.apply([numbersOf(SHAPES[0], step)], [[inPool, alone][i]]));
      pool.memory.wasmMemory.grow(3);
      const late = variable(numbersOf(SHAPES[0], 2), { memory: pool.memory });
      assert.ok(late.byteOffset > 0);
    }
    assert.deepEqual(inPool.data.slice(), alone.data);
  }
});

test('wrong options are refused by name', async () => {
  for (const [options, message] of /** @type {[any, RegExp][]} */ ([
    [{ thread: 2 }, /^TypeError: ThreadPool has no option "thread"; did you mean "threads"\?/],
    [{ threads: 0 }, /^RangeError: threads must be an integer in \[1, 256\], got 0/],
    [{ threads: '2' }, /^TypeError: threads must be an integer in \[1, 256\], got "2"/],
    [{ maximumBytes: 1.5 }, /^RangeError: maximumBytes must be an integer in \[65536, /],
    [{ maximumBytes: 1 }, /^RangeError: maximumBytes must be an integer in \[65536, /],
    [{ maximumBytes: 65536, memory: pools[0].memory }, /^TypeError: maximumBytes cannot be chosen together with memory, got 65536/],
    [{ memory: new Memory() }, /^TypeError: memory must be a Memory made with shared: true, got Memory/],
    [{ memory: new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }) }, /^TypeError: memory must be a Memory made/],
  ])) await assert.rejects(ThreadPool.create(options), message);
  for (const make of /** @type {((pool: any) => unknown)[]} */ ([
    (pool) => new RMSprop({ pool }), (pool) => new LegacyRMSprop({ pool }), (pool) => new RMSPropOptimizer({ learningRate: 1, pool }),
    (pool) => new TorchRMSprop([variable(1)], { pool }), (pool) => optax.rmsprop({ learningRate: 1, pool }),
  ])) {
    for (const wrong of [2, null, {}]) assert.throws(() => make(wrong), /^TypeError: pool must be a ThreadPool, got/);
    assert.doesNotThrow(() => make(undefined));
  }
  const overwritten = Object.assign(variable([1], { memory: pools[0].memory }), { overwriteWithGradient: true });
  assert.throws(() => new RMSprop({ pool: pools[0] }).build([overwritten]), /^RangeError: variables must be at least one/);
  const elsewhere = variable([1, 2]);
  assert.throws(() => new RMSprop({ pool: pools[0] }).build([elsewhere]), /^RangeError: variables must be in pool\.memory, got Memory/);
  assert.equal('pool' in new RMSprop({ pool: pools[0] }).getConfig(), false);
});

test('a pool is as large as the machine, in a memory of its own, and is closed for good', async () => {
  const { availableParallelism, cpus } = await import('node:os');
  const pool = await ThreadPool.create();
  assert.equal(pool.threads, availableParallelism?.() ?? cpus().length);
  assert.ok(pool.memory.buffer instanceof SharedArrayBuffer);
  assert.notEqual(pool.memory, Memory.default);
  const v = variable([1, 2, 3], { memory: pool.memory });
  const optimizer = new RMSprop({ momentum: 0.9, pool });
  optimizer.apply([[1, 1, 1]], [v]);
  const before = v.toArray();
  await Promise.all([pool.close(), pool.close()]);
  assert.throws(() => optimizer.apply([[1, 1, 1]], [v]), /^Error: the pool is closed$/);
  assert.deepEqual([v.toArray(), optimizer.iterations], [before, 1], 'nothing has changed');
  optimizer.dispose();
  v.dispose();
  assert.equal(pool.memory.bytesInUse, 0, 'everything was given back');
});

test('a process ends although a pool is open', () => {
  const script = `
    import { RMSprop, variable } from 'rmsprop-wasm';
    import { ThreadPool } from 'rmsprop-wasm/threads';
    const pool = await ThreadPool.create({ threads: 3 });
    const v = variable(new Float32Array(400_000), { memory: pool.memory });
    new RMSprop({ pool }).apply([v.data], [v]);
    console.log('stepped');
    // Turns of the event loop happen only while something keeps the process alive.
    let turns = 0;
    setInterval(() => { if (++turns === 1000) { console.log('still alive'); process.exit(); } }, 1).unref();`;
  const root = new URL('../..', import.meta.url);
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root });
  assert.equal(printed.toString(), 'stepped\n');
});

/**
 * Makes a pool whose workers come from elsewhere: where there is a `Worker`, as in browsers, the pool takes that.
 *
 * @param {import('node:test').TestContext} t
 * @param {new () => object} Fake
 * @param {Parameters<typeof ThreadPool.create>[0]} [options]
 */
function poolOf(t, Fake, options = { threads: 2 }) {
  const scope = /** @type {any} */ (globalThis);
  scope.Worker = Fake;
  t.after(() => { delete scope.Worker; });
  return ThreadPool.create(options);
}

test('a worker that ends in the middle of a step: an error after a time, and the pool can be closed', async (t) => {
  const pool = await poolOf(t, class {
    #worker = new Worker(new URL('../threads/broken-worker.js', import.meta.url));
    postMessage(/** @type {any} */ message) { this.#worker.postMessage(message); }
    terminate() { return this.#worker.terminate(); }
    set onmessage(/** @type {any} */ listener) { this.#worker.on('message', (data) => listener({ data })); }
  });
  const v = variable(new Float32Array(400_000), { memory: pool.memory });
  const optimizer = new RMSprop({ pool });
  assert.throws(() => {
    // Until the worker has been awake in time to take a part.
    for (;;) optimizer.apply([new Float32Array(400_000)], [v]);
  }, /^Error: a thread of the pool has failed, or has not finished its part of a step within 5000 ms: the step is done in part only/);
  const { iterations } = optimizer;
  assert.throws(() => optimizer.apply([new Float32Array(400_000)], [v]), /has failed, or has not finished/);
  assert.equal(optimizer.iterations, iterations);
  await pool.close();
});

test('a worker that ends between steps is reported by the next, which changes nothing', async (t) => {
  /** @type {any} */
  let worker;
  const pool = await poolOf(t, class {
    onmessage = (/** @type {any} */ _message) => {};
    onerror = (/** @type {any} */ _event) => {};
    constructor() { worker = this; }
    postMessage() { setImmediate(() => this.onmessage({ data: 'ready' })); }
    terminate() {}
  });
  const v = variable([1, 2, 3], { memory: pool.memory });
  const optimizer = new RMSprop({ pool });
  optimizer.apply([[1, 1, 1]], [v]);
  worker.onerror({ message: 'out of memory', preventDefault() {} });
  const before = v.toArray();
  assert.throws(() => optimizer.apply([[1, 1, 1]], [v]),
    /^Error: thread 1 of the pool has ended: out of memory\. Close the pool and make another$/);
  assert.deepEqual([v.toArray(), optimizer.iterations], [before, 1]);
  await pool.close();
});

test('a worker that never answers, or cannot start, is an error of create', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const silent = poolOf(t, class { postMessage() {} terminate() {} });
  const passing = setInterval(() => t.mock.timers.tick(10000), 10);
  await assert.rejects(silent, /^Error: thread 1 of the pool has not answered within 30000 ms$/);
  const failing = poolOf(t, class {
    onerror = (/** @type {any} */ _event) => {};
    postMessage() { setImmediate(() => this.onerror({ message: '', preventDefault() {} })); }
    terminate() {}
  });
  await assert.rejects(failing, /^Error: thread 1 of the pool could not be started: its script could not be loaded$/);
  clearInterval(passing);
});

test('after a create that failed no worker is waited for any more', async (t) => {
  let made = 0;
  const failing = poolOf(t, class {
    onerror = (/** @type {any} */ _event) => {};
    isFirst = made++ === 0;
    postMessage() { if (this.isFirst) setImmediate(() => this.onerror({ message: 'no', preventDefault() {} })); }
    terminate() {}
  }, { threads: 3 });
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  await assert.rejects(failing, /^Error: thread 1 of the pool could not be started: no$/);
  assert.equal(timers(), before);
});

test('on a machine of more cores than a pool can have threads, a pool has as many as it can', async (t) => {
  t.mock.method(os, 'availableParallelism', () => 1000);
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const pool = await poolOf(t, class {
    onmessage = (/** @type {any} */ _message) => {};
    postMessage() { setImmediate(() => this.onmessage({ data: 'ready' })); }
    terminate() {}
  }, {});
  assert.equal(pool.threads, 256);
  await pool.close();
});

test('an engine that does not say how many cores there are gets one thread', async (t) => {
  const scope = /** @type {any} */ (globalThis);
  const names = ['process', 'navigator'];
  const known = names.map((name) => Object.getOwnPropertyDescriptor(scope, name));
  t.after(() => names.forEach((name, i) => {
    if (known[i]) Object.defineProperty(scope, name, known[i]);
    else delete scope[name];
  }));
  for (const navigator of [{}, undefined]) {
    for (const [name, value] of Object.entries({ process: undefined, navigator })) {
      Object.defineProperty(scope, name, { value, configurable: true });
    }
    assert.equal(await availableCores(), 1);
  }
});

test('a bundler for browsers finds nothing of Node\'s, and the script of the workers', async () => {
  const { build } = await import('esbuild');
  for (const entry of ['threads', 'worker']) {
    const { outputFiles: [{ text }], warnings } = await build({
      entryPoints: [new URL(`../../js/${entry}.js`, import.meta.url).pathname], bundle: true, format: 'esm', platform: 'browser',
      write: false,
    });
    assert.deepEqual(warnings, []);
    assert.doesNotMatch(text, /import .*["']node:|import\(["']node:|require\(["']/);
    if (entry === 'threads') assert.match(text, /new Worker\(new URL\("\.\/worker\.js", import\.meta\.url\), \{ type: "module"/);
  }
});

test('without memory that can be shared create says what a page needs', async (t) => {
  const scope = /** @type {any} */ (globalThis);
  scope.crossOriginIsolated = false;
  t.after(() => { delete scope.crossOriginIsolated; });
  await assert.rejects(ThreadPool.create(), /^Error: a ThreadPool needs memory that threads share.*Cross-Origin-Opener-Policy: same-origin/);
});

test('maximumBytes is the limit of the memory that a pool makes', async () => {
  const pool = await ThreadPool.create({ threads: 1, maximumBytes: 2 ** 20 });
  assert.throws(() => variable(new Float32Array(2 ** 19), { memory: pool.memory }), /memory exhausted: .* of at most 1048576 in use/);
  await pool.close();
});
