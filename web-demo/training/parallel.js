/**
 * Data-parallel training on one machine, in Node: each worker has the whole model and computes the gradients of its
 * share of every batch; `aggregateGradients` averages them, and each applies the mean to its own copy. All copies stay
 * equal.
 */
import { Worker } from 'node:worker_threads';
import { Exchange } from './exchange.js';
import { defaults } from './trainer.js';

/** @typedef {import('../data/mnist.js').Examples} Examples */
/**
 * @typedef {object} Outcome
 * @property {number} seconds the time that all steps took, of the slowest worker; starting workers is not counted
 * @property {number[]} losses of each batch
 * @property {number[]} times seconds of each step, of the first worker
 * @property {Uint8Array[]} states each worker's weights and optimizer, as safetensors
 * @property {import('./trainer.js').Accuracies} accuracies of the model
 */

/**
 * @param {object} options
 * @param {Examples} options.train
 * @param {Examples} options.test
 * @param {number} options.workers
 * @param {Partial<import('./trainer.js').Settings>} [options.settings] instead of those of `npm start`
 * @param {'auto' | boolean} [options.simd] see `configure`
 * @returns {Promise<Outcome>}
 * @throws {Error} what a worker throws, as a rejection; the others are ended then
 */
export async function trainInParallel({ train, test, workers, settings = {}, simd = 'auto' }) {
  const [shared, sharedTest] = [train, test].map(inSharedMemory);
  const { hidden } = { ...defaults, ...settings };
  const layers = [train.rows * train.columns, ...hidden, 10];
  const length = layers.slice(1).reduce((sum, outputs, i) => sum + (layers[i] + 1) * outputs, 0);
  const buffer = new SharedArrayBuffer(Exchange.bytes(workers, length));
  /** @type {Worker[]} */
  const started = [];
  try {
    const answers = await Promise.all(Array.from({ length: workers }, (_, index) => {
      const workerData = { train: shared, test: sharedTest, settings, index, of: workers, buffer, length, simd };
      const worker = new Worker(new URL('./parallel-worker.js', import.meta.url), { workerData });
      started.push(worker);
      return new Promise((resolve, reject) => {
        worker.once('message', resolve).once('error', reject);
        worker.once('exit', (code) => reject(new Error(`worker ${index} has ended with exit code ${code}`)));
      });
    }));
    const [{ losses, times, accuracies }] = answers;
    return {
      seconds: Math.max(...answers.map(({ seconds }) => seconds)),
      losses,
      times,
      states: answers.map(({ state }) => state),
      accuracies,
    };
  } finally {
    await Promise.all(started.map((worker) => worker.terminate()));
  }
}

/**
 * @param {Examples} examples
 * @returns {Examples} whose arrays workers get without a copy
 */
function inSharedMemory({ pixels, labels, ...rest }) {
  const [sharedPixels, sharedLabels] = [pixels, labels].map((bytes) => {
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    return shared;
  });
  return { ...rest, pixels: sharedPixels, labels: sharedLabels };
}
