/**
 * Data-parallel training (web-demo/training/parallel.js) in small: every copy of the model is equal to the bit, and equal to what
 * one model learns from the gradients of the same shares, averaged in the same order.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { RMSprop, schedules } from 'rmsprop-wasm';
import { ORDER } from '../../web-demo/data/batches.js';
import { Exchange } from '../../web-demo/training/exchange.js';
import { fillBatch } from '../../web-demo/data/mnist.js';
import { Model } from '../../web-demo/model/model.js';
import { trainInParallel } from '../../web-demo/training/parallel.js';
import { Random } from '../../web-demo/data/random.js';

const simd = process.env.RMSPROP_KERNELS !== 'scalar';
const settings = { epochs: 2, batch: 32, hidden: [13], learningRate: 0.01, momentum: 0.9, ema: null, seed: 5 };

/**
 * @param {number} count
 * @returns {import('../../web-demo/data/mnist.js').Examples} images in which the label is where the light is
 */
function examplesOf(count) {
  const labels = Uint8Array.from({ length: count }, (_, i) => (i * 7) % 10);
  const pixels = Uint8Array.from({ length: count * 64 }, (_, i) => ((i % 64) % 10 === labels[Math.floor(i / 64)] ? 250 : (i * 31) % 90));
  return { count, rows: 8, columns: 8, pixels, labels };
}

/** The last batch of an epoch has 2 examples: of three workers one has none. */
const [train, held] = [examplesOf(194), examplesOf(50)];

/**
 * @param {number} workers
 * @returns {Float32Array[]} what one model's variables become by the mean gradients of the workers' shares
 */
function alone(workers) {
  const { epochs, batch, hidden, learningRate, momentum, seed } = settings;
  const model = new Model({ layers: [64, ...hidden, 10], batch, seed });
  const stepsPerEpoch = Math.ceil(train.count / batch);
  const total = epochs * stepsPerEpoch;
  const warmupSteps = Math.floor(total * 0.1);
  const schedule = new schedules.CosineDecay({
    initialLearningRate: 0, warmupTarget: learningRate, warmupSteps, decaySteps: total - warmupSteps });
  const optimizer = new RMSprop({ learningRate: (step) => schedule.at(step + 1), momentum });
  const random = new Random(seed, ORDER);
  const order = Uint32Array.from({ length: train.count }, (_, i) => i);
  for (let step = 0; step < total; step++) {
    if (step % stepsPerEpoch === 0) random.shuffle(order);
    const first = (step % stepsPerEpoch) * batch;
    const count = Math.min(batch, train.count - first);
    const sums = model.variables.map(({ size }) => new Float64Array(size));
    for (let worker = 0; worker < workers; worker++) {
      const [begin, end] = [worker, worker + 1].map((k) => Math.floor((count * k) / workers));
      if (begin === end) continue;
      const [inputs, labels] = [new Float32Array((end - begin) * 64), new Uint8Array(end - begin)];
      fillBatch(inputs, labels, train, order, first + begin, end - begin);
      model.lossAndGradients(inputs, labels);
      const weight = (end - begin) / count;
      model.variables.forEach((v, i) => v.gradientBuffer().data.forEach((g, j) => { sums[i][j] += weight * g; }));
    }
    optimizer.apply(sums, model.variables);
  }
  return model.variables.map(({ data }) => /** @type {Float32Array} */ (data.slice()));
}

test('one, two and three workers: each copy is equal to the bit to the others, and to one model with the same gradients', async () => {
  const { readSafetensors } = await import('rmsprop-wasm');
  for (const workers of [1, 2, 3]) {
    const { states, losses, accuracies } = await trainInParallel({ train, test: held, workers, settings, simd });
    assert.equal(states.length, workers);
    for (const state of states) assert.deepEqual(state, states[0]);
    const { tensors } = readSafetensors(states[0]);
    const names = ['dense/kernel', 'dense/bias', 'dense_1/kernel', 'dense_1/bias'];
    const weights = names.map((name) => [...(/** @type {any} */ (tensors.get(name)).data ?? tensors.get(name))]);
    assert.deepEqual(weights, alone(workers).map((data) => [...data]), `${workers} workers`);
    assert.ok(losses[losses.length - 2] < losses[0] / 2, `it learns: ${losses[0]} … ${losses[losses.length - 2]}`);
    assert.ok(accuracies.raw > 0.8, `${accuracies.raw}`);
  }
});

test('an error of a worker is that of the run, and ends the others', async () => {
  const broken = { ...train, labels: train.labels.map((label, i) => (i === 100 ? 77 : label)) };
  await assert.rejects(trainInParallel({ train: broken, test: held, workers: 2, settings, simd }), /labels\[\d+\] must be an integer in \[0, 9\], got 77/);
});

test('npm run demo:threads refuses numbers that are none before it does anything', () => {
  const script = fileURLToPath(new URL('../../web-demo/training/train-parallel.js', import.meta.url));
  for (const [option, value, range] of [
    ['--workers', '0', '[1, 256]'], ['--epochs', 'x', '[1, 1000]'], ['--batch', '1.5', '[1, 60000]'], ['--examples', '-3', '[1, 60000]'],
  ]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, option, value], { encoding: 'utf8' });
    assert.deepEqual([status, stdout], [1, ''], `${option} ${value}`);
    assert.ok(stderr.includes(`'${option} <n>' argument '${value}' is invalid. It must be an integer in ${range}.`), stderr);
  }
});

test('the weighted sum of an exchange is that in the order of the workers', () => {
  const buffer = new SharedArrayBuffer(Exchange.bytes(1, 3));
  const exchange = new Exchange(buffer, 0, 1, 3);
  const values = Float32Array.of(1, 2, 3);
  assert.equal(exchange.average(values, 0.5, 8), 4);
  assert.deepEqual([...values], [0.5, 1, 1.5]);
});

test('a worker that a late notify of the round before wakes up goes on waiting for the others', async () => {
  const buffer = new SharedArrayBuffer(Exchange.bytes(2, 1));
  // The other worker calls notify, as if for the round before, until this one has slept and been woken up twice; if that
  // let this one pass, it would be the last to arrive at the second meeting, which sets the count of the arrived to 0.
  const late = new Worker(`
    import { workerData } from 'node:worker_threads';
    import { Exchange } from ${JSON.stringify(new URL('../../web-demo/training/exchange.js', import.meta.url).href)};
    const words = new Int32Array(workerData, 0, 2);
    while (Atomics.load(words, 0) === 0);
    for (let woken = 0; woken < 2 && Atomics.load(words, 0) === 1;) woken += Atomics.notify(words, 1);
    new Exchange(workerData, 1, 2, 1).average(Float32Array.of(2), 0.5, 30);
  `, { eval: true, workerData: buffer, execArgv: ['--input-type=module'] });
  const ended = once(late, 'exit');
  await once(late, 'online');
  const values = Float32Array.of(1);
  try {
    assert.equal(new Exchange(buffer, 0, 2, 1).average(values, 0.5, 10), 20);
    assert.deepEqual([...values], [1.5]);
    assert.deepEqual(await ended, [0]);
  } finally {
    await late.terminate();
  }
});
