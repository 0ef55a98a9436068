/**
 * `npm run bench:mnist`: one epoch of the network that `npm start` trains, by the network in C and by two toolkits with
 * each optimizer that there is for them.
 *
 *     npm run bench:mnist -- [--steps n]     the first n steps of the epoch only
 *
 * All have the same first weights, the same batches in the same order and the same hyperparameters: those of `npm start`,
 * but for a constant rate and no averages, which `tf.train.rmsprop` does not have. They take turns step by step. A step is
 * timed from a batch in JavaScript's arrays to new weights and a number that is the loss; making the batch is not, and
 * neither are compilations: before the epoch each makes a step of both sizes of batch and then starts anew.
 *
 * Accuracies are not computed here. That the losses agree is checked: to the bit within a toolkit, nearly between them.
 */
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import * as jax from '@jax-js/jax';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // brings the gradients of TensorFlow.js's operations
import { RMSprop } from 'rmsprop-wasm';
import { disposeState, rmsprop as jaxRmsprop } from 'rmsprop-wasm/jax';
import { rmsprop as tfRmsprop } from 'rmsprop-wasm/tfjs';
import { integer } from '../../js/check.js';
import { fillBatch } from '../../web-demo/data/mnist.js';
import { loadMnist } from '../../web-demo/data/mnist-node.js';
import { Model } from '../../web-demo/model/model.js';
import { Random } from '../../web-demo/data/random.js';
import { ORDER } from '../../web-demo/data/batches.js';
import { defaults } from '../../web-demo/training/trainer.js';
import { inTurn } from '../../web-demo/page/turns.js';

const { batch: BATCH, hidden, learningRate, rho, momentum, seed } = defaults;
const EPSILON = 1e-7;
const CLASSES = 10;
/** The final loss is the mean of this many batches. */
const LAST = 50;
/**
 * How far final losses may be apart. Sums of products are rounded in another order by each toolkit, and training makes
 * such differences grow.
 */
const TOLERANCE = 1e-2;

/**
 * @typedef {object} Batch
 * @property {number} count
 * @property {Float32Array<ArrayBuffer>} inputs count × 784
 * @property {Uint8Array} labels
 * @property {Float32Array<ArrayBuffer>} oneHot count × 10, the labels as probabilities
 */
/**
 * @typedef {object} Contender
 * @property {() => void} start from the first weights, with a new state
 * @property {(batch: Batch) => number | Promise<number>} gradients computes them and returns the loss
 * @property {() => void | Promise<void>} update by these gradients
 */

const { train } = await loadMnist();
const pixels = train.rows * train.columns;
const layers = [pixels, ...hidden, CLASSES];
const stepsPerEpoch = Math.ceil(train.count / BATCH);
const { steps: asked = String(stepsPerEpoch) } = parseArgs({ options: { steps: { type: 'string' } } }).values;
const steps = integer('--steps', Number(asked), 1, stepsPerEpoch);

const order = Uint32Array.from({ length: train.count }, (_, i) => i);
new Random(seed, ORDER).shuffle(order);

/**
 * @param {number} step
 * @returns {Batch}
 */
function batchOf(step) {
  const first = step * BATCH;
  const count = Math.min(BATCH, train.count - first);
  const [inputs, labels] = [new Float32Array(count * pixels), new Uint8Array(count)];
  fillBatch(inputs, labels, train, order, first, count);
  const oneHot = new Float32Array(count * CLASSES);
  labels.forEach((label, i) => (oneHot[i * CLASSES + label] = 1));
  return { count, inputs, labels, oneHot };
}

const firstModel = new Model({ layers, batch: BATCH, seed });
const firstWeights = firstModel.variables.map(({ data, shape }) => ({ values: data.slice(), shape: [...shape] }));
firstModel.dispose();

/** @returns {Contender} */
function cNetwork() {
  /** @type {Model} */
  let model;
  /** @type {RMSprop | undefined} */
  let optimizer;
  return {
    start() {
      optimizer?.dispose();
      model?.dispose();
      model = new Model({ layers, batch: BATCH, seed });
      optimizer = new RMSprop({ learningRate, rho, momentum, epsilon: EPSILON });
      optimizer.build(model.variables);
    },
    gradients: ({ inputs, labels }) => model.lossAndGradients(inputs, labels),
    update: () => optimizer?.step(),
  };
}

/**
 * @param {() => tf.Optimizer} makeOptimizer
 * @returns {Contender}
 */
function tensorFlow(makeOptimizer) {
  /** @type {tf.Variable[]} */
  let weights = [];
  /** @type {tf.Optimizer} */
  let optimizer;
  /** @type {tf.NamedTensorMap} */
  let grads;
  return {
    start() {
      optimizer?.dispose();
      tf.dispose(weights);
      weights = firstWeights.map(({ values, shape }) => tf.tidy(() => tf.variable(tf.tensor(values, shape))));
      optimizer = makeOptimizer();
    },
    gradients({ count, inputs, oneHot }) {
      const computed = tf.tidy(() => {
        const images = tf.tensor2d(inputs, [count, pixels]);
        const labels = tf.tensor2d(oneHot, [count, CLASSES]);
        return optimizer.computeGradients(() => {
          const [kernel, bias, kernel1, bias1] = weights;
          const outputs = tf.relu(tf.add(tf.matMul(images, /** @type {tf.Tensor2D} */ (kernel)), bias));
          const logits = tf.add(tf.matMul(outputs, /** @type {tf.Tensor2D} */ (kernel1)), bias1);
          return /** @type {tf.Scalar} */ (tf.losses.softmaxCrossEntropy(labels, logits));
        }, weights);
      });
      grads = computed.grads;
      const [loss] = computed.value.dataSync();
      computed.value.dispose();
      return loss;
    },
    update() {
      optimizer.applyGradients(grads);
      tf.dispose(grads);
    },
  };
}

/**
 * @param {'kernel' | 'operations'} path
 * @returns {Contender}
 */
function jaxJs(path) {
  const { numpy: np, nn, tree } = jax;
  const lossAndGradients = jax.jit(jax.valueAndGrad((
    /** @type {jax.Array[]} */ [kernel, bias, kernel1, bias1],
    /** @type {jax.Array} */ images,
    /** @type {jax.Array} */ labels,
  ) => {
    const outputs = nn.relu(np.matmul(images, kernel).add(bias));
    const logits = np.matmul(outputs, kernel1).add(bias1);
    return nn.logSoftmax(logits).mul(labels).sum(-1).mean().neg();
  }));
  const optimizer = jaxRmsprop(jax, { learningRate, decay: rho, momentum, eps: EPSILON, path });
  /** @type {any} */
  let params;
  /** @type {any} */
  let state;
  /** @type {any} */
  let grads;
  return {
    start() {
      if (params !== undefined) {
        tree.dispose(params);
        disposeState(state);
      }
      params = firstWeights.map(({ values, shape }) => np.array(values, { shape }));
      state = optimizer.init(tree.ref(params));
    },
    async gradients({ count, inputs, oneHot }) {
      const images = np.array(inputs, { shape: [count, pixels] });
      const labels = np.array(oneHot, { shape: [count, CLASSES] });
      const [loss, computed] = lossAndGradients(tree.ref(params), images, labels);
      grads = computed;
      await jax.blockUntilReady([loss, grads]);
      return loss.item();
    },
    async update() {
      [params, state] = optimizer.step(grads, state, params);
      await jax.blockUntilReady(params);
    },
  };
}

await tf.setBackend('wasm');
await jax.init('wasm');
jax.defaultDevice('wasm');

/** @type {[string, Contender][]} */
const contenders = [
  ['C network, rmsprop-wasm', cNetwork()],
  ['TensorFlow.js, tf.train.rmsprop', tensorFlow(() => tf.train.rmsprop(learningRate, rho, momentum, EPSILON))],
  ['TensorFlow.js, rmsprop-wasm/tfjs', tensorFlow(() => tfRmsprop(tf, learningRate, rho, momentum, EPSILON))],
  ["jax-js, rmsprop-wasm/jax, 'kernel'", jaxJs('kernel')],
  ["jax-js, rmsprop-wasm/jax, 'operations'", jaxJs('operations')],
];
const rivals = contenders.map(([name, contender]) => {
  return { name, ...contender, seconds: 0, optimizerSeconds: 0, losses: /** @type {number[]} */ ([]) };
});

const lastStep = stepsPerEpoch - 1;
for (const { start, gradients, update } of rivals) {
  start();
  for (const step of [0, lastStep]) {
    await gradients(batchOf(step));
    await update();
  }
  start();
}
for (let step = 0; step < steps; step++) {
  const batch = batchOf(step);
  for (const rival of inTurn(rivals, step)) {
    const begin = performance.now();
    rival.losses.push(await rival.gradients(batch));
    const beforeUpdate = performance.now();
    await rival.update();
    const end = performance.now();
    rival.seconds += (end - begin) / 1000;
    rival.optimizerSeconds += (end - beforeUpdate) / 1000;
  }
}

const fastest = Math.min(...rivals.map(({ seconds }) => seconds));
const results = rivals.map(({ name, seconds, optimizerSeconds, losses }) => {
  const last = losses.slice(-LAST);
  return { name, seconds, optimizerSeconds, loss: last.reduce((sum, loss) => sum + loss, 0) / last.length };
});
console.log(`${layers.join('-')} on MNIST, ${steps} of ${stepsPerEpoch} steps of ${BATCH}, rate ${learningRate}, rho ${rho}, `
  + `momentum ${momentum}, seed ${seed}`);
console.log(`${''.padEnd(40)}seconds  times the fastest  optimizer's share  loss of the last ${Math.min(LAST, steps)} steps`);
for (const { name, seconds, optimizerSeconds, loss } of results) {
  const share = `${(100 * optimizerSeconds / seconds).toFixed(1)} %`;
  console.log(`${name.padEnd(40)}${seconds.toFixed(2).padStart(7)}${(seconds / fastest).toFixed(2).padStart(19)}`
    + `${share.padStart(19)}${loss.toFixed(4).padStart(10)}`);
}
const [, theirs, ours, kernel, operations] = rivals;
assert.deepEqual(ours.losses, theirs.losses, 'every loss must be that of tf.train.rmsprop');
assert.deepEqual(operations.losses, kernel.losses, 'every loss must be the same on both paths');
const losses = results.map(({ loss }) => loss);
const distance = Math.max(...losses) - Math.min(...losses);
assert.ok(distance <= TOLERANCE, `final losses must be at most ${TOLERANCE} apart, got ${distance}`);
