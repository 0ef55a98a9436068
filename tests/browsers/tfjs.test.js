/**
 * The optimizer inside TensorFlow.js in browsers: on both builds of its wasm backend, of which the threaded one exists
 * nowhere else, and on the GPU backends, which run on software here.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { serve } from '../../web-demo/page/serve.js';
import { browsers } from './browsers.js';

/** @typedef {import('../toolkits/types.js').TF} TF */

const root = fileURLToPath(new URL('../..', import.meta.url));

/** @type {Record<string, { url: string, close: () => Promise<void> }>} */
const servers = {};
before(async () => {
  servers.plain = await serve(root);
  servers.isolated = await serve(root, { isolated: true });
});
after(() => Promise.all(Object.values(servers).map((server) => server.close())));

/**
 * @param {import('node:test').TestContext} t
 * @param {import('./browsers.js').Browser} browser
 * @param {string} server
 * @returns {Promise<import('./page.js').Page>} with TensorFlow.js in `tf`
 */
async function open(t, browser, server) {
  const page = await browser.open();
  t.after(() => page.close());
  await page.goto(`${servers[server].url}tests/browsers/tfjs.html`);
  return page;
}

/** Runs in the page: one training run in place, one through copies, and what memory and calls have to say. */
async function trainOnWasm() {
  const { tf } = /** @type {{ tf: TF }} */ (/** @type {unknown} */ (globalThis));
  const { rmsprop } = await import('rmsprop-wasm/tfjs');
  tf.wasm.setWasmPaths('/tests/toolkits/node_modules/@tensorflow/tfjs-backend-wasm/dist/');
  Object.defineProperty(navigator, 'hardwareConcurrency', { value: 4 }); // on fewer cores it would start no second thread
  tf.wasm.setThreadsCount(2);
  await tf.setBackend('wasm');
  await tf.ready();
  const start = tf.memory();
  const backend = /** @type {any} */ (tf.backend());
  const memory = backend.wasm.wasmMemory ?? backend.wasm.asm.memory;

  // Kernels on TensorFlow.js's memory: their instances, and calls of them.
  let [instances, calls] = [0, 0];
  const { Instance } = WebAssembly;
  WebAssembly.Instance = /** @type {any} */ (function (/** @type {any} */ module, /** @type {any} */ imports) {
    const instance = new Instance(module, imports);
    if (imports.env.memory !== memory) return instance;
    instances++;
    const { rms_step: step, ...others } = /** @type {any} */ (instance.exports);
    return { exports: { ...others, rms_step: (/** @type {number[]} */ ...args) => (calls++, step(...args)) } };
  });

  const random = (/** @type {number} */ seed, /** @type {number} */ length) => {
    let state = seed;
    return Float32Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state / 2 ** 31) - 1;
    });
  };
  const inputs = tf.tensor2d(random(11, 96 * 64), [96, 64]);
  const targets = tf.tidy(() => tf.cast(tf.oneHot(tf.argMax(tf.slice(inputs, [0, 0], [96, 3]), 1), 3), 'float32'));
  /** @param {any} optimizer */
  const losses = async (optimizer) => {
    const kernelInitializer = tf.initializers.glorotUniform({ seed: 1 });
    const model = tf.sequential({ layers: [
      tf.layers.dense({ units: 32, activation: 'relu', inputShape: [64], kernelInitializer }),
      tf.layers.dense({ units: 3, activation: 'softmax', kernelInitializer }),
    ] });
    model.compile({ optimizer, loss: 'categoricalCrossentropy' });
    const { history } = await model.fit(inputs, targets, { epochs: 15, batchSize: 32, shuffle: false, verbose: 0 });
    model.dispose();
    optimizer.dispose();
    return /** @type {number[]} */ (history.loss);
  };
  const inPlace = await losses(rmsprop(tf, 0.01, 0.9, 0.9));
  const steps = calls;
  const byCopies = await losses(rmsprop({ ...tf, backend: () => /** @type {any} */ ({ epsilon: () => 1e-7 }) }, 0.01, 0.9, 0.9));
  const theirs = await losses(tf.train.rmsprop(0.01, 0.9, 0.9));
  tf.dispose([inputs, targets]);

  // Memory that grows between steps, as it does when a model is larger than what came before.
  const twins = [0, 1].map(() => tf.tidy(() => tf.variable(tf.tensor1d(random(3, 100)))));
  const twinOptimizers = [rmsprop(tf, 0.1), rmsprop({ ...tf, backend: () => /** @type {any} */ ({ epsilon: () => 1e-7 }) }, 0.1)];
  let growths = 0;
  for (let i = 0; i < 3; i++) {
    const { byteLength } = memory.buffer;
    tf.zeros([byteLength / 4]).dispose();
    growths += Number(memory.buffer.byteLength > byteLength);
    const gradient = tf.tensor1d(random(10 + i, 100));
    twins.forEach((twin, k) => twinOptimizers[k].applyGradients({ [twin.name]: gradient }));
    gradient.dispose();
  }
  const twinValues = twins.map((twin) => [...twin.dataSync()]);
  for (const it of [...twins, ...twinOptimizers]) it.dispose();
  const afterTraining = tf.memory();

  const x = tf.tidy(() => tf.variable(tf.tensor1d(random(1, 1000))));
  const gradients = { [x.name]: tf.tensor1d(random(2, 1000)) };
  const optimizer = rmsprop(tf, { learningRate: 1e-3, momentum: 0.5, useEma: true, globalClipnorm: 1, weightDecay: 0.1 });
  optimizer.applyGradients(gradients);
  const before = { ...tf.memory() };
  const place = backend.getMemoryOffset(x.dataId);
  const { _malloc } = backend.wasm;
  backend.wasm._malloc = () => { throw new Error('memory was taken'); };
  for (let i = 0; i < 1000; i++) optimizer.applyGradients(gradients);
  backend.wasm._malloc = _malloc;
  const flat = tf.memory();
  const isInPlace = backend.getMemoryOffset(x.dataId) === place;
  tf.dispose([x, gradients]);
  optimizer.dispose();
  const numbers = (/** @type {any} */ { numTensors, numBytes }) => [numTensors, numBytes];
  return {
    isShared: !(memory.buffer instanceof ArrayBuffer),
    threads: tf.wasm.getThreadsCount(),
    instances, steps, inPlace, byCopies, theirs, isInPlace, growths, twinValues,
    memory: {
      start: numbers(start), afterTraining: numbers(afterTraining), before: numbers(before), flat: numbers(flat),
      end: numbers(tf.memory()),
    },
  };
}

for (const browser of browsers) {
  /** @type {number[] | undefined} the losses of the build without threads */
  let plain;
  for (const server of ['plain', 'isolated']) {
    test(`${browser.name}, ${server} page: kernels run in the memory of the wasm backend, one call a step, no copy`, {
      skip: browser.missing,
    }, async (t) => {
      const page = await open(t, browser, server);
      const isThreaded = server === 'isolated' && await page.evaluate(() => typeof SharedArrayBuffer === 'function');
      const seen = await page.evaluate(trainOnWasm);
      t.diagnostic(`${isThreaded ? `threaded build, ${seen.threads} threads` : 'build without threads'}`);
      assert.equal(seen.isShared, isThreaded);
      assert.equal(seen.threads > 1, isThreaded);
      assert.equal(seen.instances, 1);
      assert.equal(seen.steps, 45);
      assert.deepEqual(seen.inPlace, seen.byCopies);
      assert.deepEqual(seen.inPlace, seen.theirs);
      assert.ok(seen.inPlace[14] < 0.5 * seen.inPlace[0], `${seen.inPlace}`);
      assert.deepEqual(seen.inPlace, plain ??= seen.inPlace);
      assert.ok(seen.isInPlace);
      assert.ok(seen.growths > 0, 'the memory did not grow');
      assert.deepEqual(seen.twinValues[0], seen.twinValues[1]);
      assert.deepEqual(seen.memory.flat, seen.memory.before);
      assert.deepEqual(seen.memory.afterTraining, seen.memory.start);
      assert.deepEqual(seen.memory.end, seen.memory.start);
      assert.deepEqual(await page.problems(), []);
    });
  }
}

/*
 * How far the two may be apart: a step moves a weight by at most 0.16 (0.05 g / sqrt(0.1 g²)), by ten operations, of which
 * shaders may round one by 2.5 ulp of 6e-8. So a step adds 2.4e-7 and the weight's own rounding, 6e-8 of it; 12 steps, 4e-6.
 */

/**
 * Runs in the page: the same steps on a backend by operations, and on the cpu backend by the kernels.
 *
 * @param {string} backend
 */
async function compareWithCpu(backend) {
  const { tf } = /** @type {{ tf: TF }} */ (/** @type {unknown} */ (globalThis));
  const { rmsprop } = await import('rmsprop-wasm/tfjs');
  if (!await tf.setBackend(backend).catch(() => false)) return { missing: `TensorFlow.js finds no ${backend} here` };
  await tf.ready();
  const random = (/** @type {number} */ seed, /** @type {number} */ length) => {
    let state = seed;
    return Float32Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state / 2 ** 31) - 1;
    });
  };
  const shapes = [[3, 5], [70], []];
  const sizes = [15, 70, 1];
  const variants = [
    {}, { momentum: 0.9 }, { centered: true, momentum: 0.5, epsilon: 1e-5 }, { clipvalue: 0.3 }, { clipnorm: 0.5 },
    { globalClipnorm: 0.7 }, { weightDecay: 0.01 }, { gradientAccumulationSteps: 3, lossScaleFactor: 8 },
    { useEma: true, emaMomentum: 0.8, emaOverwriteFrequency: 3 },
    { rule: /** @type {const} */ ('keras-2.11'), useEma: true, emaMomentum: 0.8 },
    { globalClipnorm: 1, aggregateGradients: (/** @type {Float32Array} */ flat) => flat.forEach((g, i) => { flat[i] = g / 2; }) },
  ];
  /** @param {any} options */
  const run = async (options) => {
    const start = tf.memory();
    const variables = sizes.map((size, i) => tf.tidy(() => tf.variable(tf.tensor(random(i + 1, size), shapes[i]))));
    // One epsilon: the backends' own may differ.
    const optimizer = rmsprop(tf, { learningRate: 0.05, epsilon: 1e-7, ...options });
    const step = async (/** @type {number} */ k) => {
      const gradients = sizes.map((size, i) => ({
        name: variables[i].name,
        tensor: i === 1 && k % 4 === 3 ? /** @type {any} */ (null) : tf.tensor(random(100 + k * 3 + i, size), shapes[i]),
      }));
      await optimizer.applyGradientsAsync(gradients);
      tf.dispose(gradients.map(({ tensor }) => tensor));
    };
    for (let k = 0; k < 12; k++) await step(k);
    const values = [];
    for (const variable of variables) values.push(...await variable.data());
    const slots = [];
    for (const { tensor } of (await optimizer.getWeights()).slice(1)) slots.push(...await tensor.data());
    const averaged = options.useEma ? await optimizer.withAverages(async () => [...await variables[1].data()]) : [];
    const back = [];
    for (const variable of variables) back.push(...await variable.data());
    const { numTensors } = tf.memory();
    for (let k = 12; k < 24; k++) await step(k);
    const isFlat = tf.memory().numTensors === numTensors;
    optimizer.dispose();
    tf.dispose(variables);
    const isClean = tf.memory().numTensors === start.numTensors && tf.memory().numBytes === start.numBytes;
    return { values, slots, averaged, back, isFlat, isClean };
  };
  const device = [];
  for (const options of variants) device.push(await run(options));
  await tf.setBackend('cpu');
  const results = [];
  for (const [i, options] of variants.entries()) {
    results.push({ name: JSON.stringify(options), device: device[i], cpu: await run(options) });
  }
  return results;
}

for (const browser of browsers) {
  for (const backend of ['webgl', 'webgpu']) {
    test(`${browser.name}, ${backend}: a run by operations equals one by the kernels to rounding, and leaks nothing`, {
      skip: browser.missing,
    }, async (t) => {
      const page = await open(t, browser, 'plain');
      const seen = await page.evaluate(compareWithCpu, backend);
      if ('missing' in seen) return t.skip(seen.missing);
      for (const { name, device, cpu } of seen) {
        for (const { values, back, isFlat, isClean } of [device, cpu]) {
          assert.deepEqual(back, values, `${name}: the weights come back from their averages`);
          assert.ok(isFlat, `${name}: tensors come with every step`);
          assert.ok(isClean, `${name}: tensors are left over`);
        }
        for (const what of /** @type {const} */ (['values', 'slots', 'averaged'])) {
          assert.equal(device[what].length, cpu[what].length);
          let most = 0;
          device[what].forEach((x, i) => { most = Math.max(most, Math.abs(x - cpu[what][i]) / Math.max(1, Math.abs(cpu[what][i]))); });
          assert.ok(most < 4e-6, `${name}: ${what} differ by ${most}`);
        }
      }
      assert.deepEqual(await page.problems(), []);
    });
  }
}
