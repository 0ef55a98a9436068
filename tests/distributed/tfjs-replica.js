/**
 * A replica that trains in TensorFlow.js, with rmsprop-wasm inside. A process of its own:
 *
 *     node tests/distributed/tfjs-replica.js <server> <group> <rank> <size> <every>
 *
 * With `every` above 0 by model.fit: its weights are averaged with those of the others by a callback, after so many batches.
 * With 0 by a loop: gradients are averaged in each step, for the hook is asynchronous and model.fit's steps are not.
 * Prints one line of JSON: the hashes of the weights after each averaging, and the loss of each epoch.
 */
import { createHash } from 'node:crypto';
import { connect } from '@nats-io/transport-node';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { allReduce, localSgd } from 'rmsprop-wasm/nats';
import { rmsprop } from 'rmsprop-wasm/tfjs';
import { Random } from '../../web-demo/data/random.js';

const [servers, group, ...numbers] = process.argv.slice(2);
const [rank, size, every] = numbers.map(Number);
await tf.setBackend('wasm');
const connection = await connect({ servers });

const layer = (/** @type {object} */ options) => tfl.layers.dense(/** @type {any} */ ({
  kernelInitializer: tfl.initializers.glorotUniform({ seed: 1 }), ...options,
}));
const model = tfl.sequential({ layers: [layer({ units: 8, activation: 'relu', inputShape: [4] }), layer({ units: 1 })] });
const place = { connection, group, rank, size };
const optimizer = rmsprop(tf, {
  learningRate: 0.01, momentum: 0.5, ...(every ? {} : { aggregateGradients: allReduce(place) }),
});
model.compile({ optimizer, loss: 'meanSquaredError' });

/** The model's weights as one array, as localSgd takes them. */
const parameters = {
  exportParameters() {
    const arrays = model.getWeights().map((weight) => /** @type {Float32Array} */ (weight.dataSync()));
    return Float32Array.from(arrays.flatMap((values) => [...values]));
  },
  /** @param {Float32Array} flat */
  importParameters(flat) {
    let end = 0;
    const tensors = model.getWeights().map((weight) => tf.tensor(flat.slice(end, (end += weight.size)), weight.shape));
    model.setWeights(tensors);
    tf.dispose(tensors);
  },
};

const random = new Random(100 + rank); // each replica has examples of its own
const inputs = Float32Array.from({ length: 64 * 4 }, () => random.symmetric());
const targets = Float32Array.from({ length: 64 }, (_, i) => inputs[4 * i] - 2 * inputs[4 * i + 1] + 0.5 * inputs[4 * i + 3]);
/** @type {string[]} */
const hashes = [];
/** @type {number[]} */
const losses = [];
const note = () => hashes.push(createHash('sha256').update(parameters.exportParameters()).digest('hex'));
const [x, y] = [tf.tensor2d(inputs, [64, 4]), tf.tensor2d(targets, [64, 1])];
const [epochs, batchSize] = [6, 8];

async function fit() {
  const average = localSgd({ ...place, every });
  await model.fit(x, y, {
    epochs,
    batchSize,
    shuffle: false,
    callbacks: {
      async onBatchEnd() { if (await average(parameters)) note(); },
      async onEpochEnd(_, logs) { losses.push(/** @type {any} */ (logs).loss); },
    },
  });
}

async function loop() {
  for (let epoch = 0; epoch < epochs; epoch++) {
    let sum = 0;
    for (let first = 0; first < 64; first += batchSize) {
      const { value, grads } = tf.variableGrads(() => {
        const output = /** @type {import('@tensorflow/tfjs-core').Tensor} */ (model.apply(tf.slice(x, [first, 0], [batchSize, 4])));
        return tf.losses.meanSquaredError(tf.slice(y, [first, 0], [batchSize, 1]), output);
      });
      await optimizer.applyGradientsAsync(grads);
      sum += value.dataSync()[0];
      tf.dispose([value, grads]);
      note();
    }
    losses.push(sum / (64 / batchSize));
  }
}

await (every ? fit() : loop());
console.log(JSON.stringify({ hashes, losses }));
await connection.close();
