/**
 * A step of each path of rmsprop-wasm/jax, interleaved, on the wasm backend of jax-js: where `path: 'auto'` comes from.
 *
 *     npm run bench:jax -- [rounds]
 *
 * Prints microseconds a step, minimum and median, gradients already there; a step ends when the new weights are computed.
 */
import * as jax from '@jax-js/jax';
import { applyUpdates, rmsprop } from 'rmsprop-wasm/jax';
import { inTurn, summary } from '../../web-demo/page/turns.js';

const { numpy: np, tree, jit } = jax;
const rounds = Number(process.argv[2] ?? 30);
const warmUp = 5;

/** The shapes of each model's tensors. @type {Record<string, number[][]>} */
const models = {
  '1 024 in one': [[1024]],
  '101 770 in four, the MNIST MLP': [[784, 128], [128], [128, 10], [10]],
  '1 048 576 in one': [[1024, 1024]],
  '1 045 000 in forty': Array.from({ length: 40 }, (_, i) => (i % 2 ? [250] : [52, 1000])),
};

const make = (/** @type {number[]} */ shape) => {
  const size = shape.reduce((product, length) => product * length, 1);
  return np.array(Float32Array.from({ length: size }, (_, i) => Math.sin(i + 1) / 10), { shape });
};

await jax.init('wasm');
jax.defaultDevice('wasm');

const applyCompiled = jit(applyUpdates);
/** @type {Record<string, { module: any, path: 'kernel' | 'operations', inStep: boolean }>} */
const ways = {
  'kernel, step': { module: jax, path: 'kernel', inStep: true },
  'kernel, update and jit(applyUpdates)': { module: jax, path: 'kernel', inStep: false },
  'operations with jit, step': { module: jax, path: 'operations', inStep: true },
  'operations with jit, update and jit(applyUpdates)': { module: jax, path: 'operations', inStep: false },
  'operations one by one, step': { module: { numpy: np }, path: 'operations', inStep: true },
};

for (const [model, shapes] of Object.entries(models)) {
  const runs = Object.entries(ways).map(([name, { module, path, inStep }]) => {
    const optimizer = rmsprop(module, { learningRate: 1e-3, momentum: 0.9, path });
    /** @type {any} */
    let params = shapes.map(make);
    let state = optimizer.init(tree.ref(params));
    /** @type {number[]} */
    const times = [];
    return {
      name,
      times,
      async step() {
        const grads = shapes.map(make);
        const start = performance.now();
        if (inStep) {
          [params, state] = optimizer.step(grads, state, params);
        } else {
          const [updates, next] = optimizer.update(grads, state);
          [params, state] = [applyCompiled(params, updates), next];
        }
        await jax.blockUntilReady(params);
        times.push((performance.now() - start) * 1000);
      },
    };
  });
  for (let round = 0; round < rounds + warmUp; round++) for (const run of inTurn(runs, round)) await run.step();
  console.log(`${model} parameters`);
  for (const { name, times } of runs) {
    const { minimum, median } = summary(times.slice(warmUp));
    console.log(`  ${name}: ${minimum.toFixed(0)} / ${median.toFixed(0)}`);
  }
}
