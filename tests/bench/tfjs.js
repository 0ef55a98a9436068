/**
 * `npm run bench:tfjs`: a step of this package's optimizer against one of `tf.train.rmsprop`, both on TensorFlow.js's
 * wasm backend, with momentum, on the same gradients, taking turns.
 */
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { rmsprop } from 'rmsprop-wasm/tfjs';
import { inTurn, summary } from '../../web-demo/page/turns.js';

const STEPS = 400;
const WARM_UP = 100;
const SEED = 1;

/** @type {[string, number[][]][]} */
const models = [
  ['MNIST MLP 784-128-10', [[784, 128], [128], [128, 10], [10]]],
  ['1M parameters in one tensor', [[1024, 1024]]],
];

await tf.setBackend('wasm');
for (const [what, shapes] of models) {
  const gradients = shapes.map((shape) => tf.randomNormal(shape, 0, 1, 'float32', SEED));
  const rivals = [rmsprop(tf, 0.001, 0.9, 0.9), tf.train.rmsprop(0.001, 0.9, 0.9)].map((optimizer) => {
    const variables = shapes.map((shape) => tf.tidy(() => tf.variable(tf.randomNormal(shape, 0, 1, 'float32', SEED + 1))));
    const pairs = variables.map(({ name }, i) => ({ name, tensor: gradients[i] }));
    return { optimizer, variables, pairs, times: /** @type {number[]} */ ([]) };
  });
  const [ours, theirs] = rivals;
  for (let step = 0; step < STEPS; step++) {
    for (const { optimizer, pairs, times } of inTurn(rivals, step)) {
      const start = performance.now();
      optimizer.applyGradients(pairs);
      if (step >= WARM_UP) times.push(performance.now() - start);
    }
  }
  // What was computed is looked at: the two must agree.
  const distances = ours.variables.map((v, i) => tf.tidy(() => tf.max(tf.abs(tf.sub(v, theirs.variables[i]))).dataSync()[0]));
  const [a, b] = rivals.map(({ times }) => summary(times).median);
  console.log(`${what}: ${a.toFixed(3)} ms, tf.train.rmsprop ${b.toFixed(3)} ms, ${(b / a).toFixed(1)} times as fast; `
    + `largest distance of a weight ${Math.max(...distances)}`);
  for (const { optimizer, variables } of rivals) {
    optimizer.dispose();
    tf.dispose(variables);
  }
  tf.dispose(gradients);
}
