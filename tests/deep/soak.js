/**
 * Prints as JSON what 100 000 steps leave behind, of linear memory and, after a garbage collection, of the JavaScript heap;
 * run by soak.test.js with --expose-gc.
 */
import { LossScaleOptimizer, Memory, RMSprop, indexedSlices, variable } from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';
import * as optax from 'rmsprop-wasm/optax';
import * as torch from 'rmsprop-wasm/torch';
import * as v1 from 'rmsprop-wasm/v1';

/** A leak grows the heap in each part, code that the engine compiles at its leisure in some: the median tells them apart. */
const PARTS = 5;
const STEPS = 100_000 / PARTS;
const WARM_UP = 10_000;
const gc = /** @type {() => void} */ (globalThis.gc);

const memory = new Memory();
const a = variable([1, 2, 3], { memory, name: 'a' });
const b = variable([[4, 5]], { memory, name: 'b' });
const gradients = [[1, -1, 2], [[3, 4]]];
/** @type {[any, any][]} */
const pairs = [[gradients[0], a], [gradients[1], b]];
const params = { a, b: Float32Array.of(4, 5) };
const grads = { a: Float32Array.of(1, -1, 2), b: Float32Array.of(3, 4) };
const rate = () => 1e-3;

/** Each kind of step, made anew. @type {Record<string, () => () => unknown>} */
const kinds = {
  'step': () => {
    const it = new RMSprop({ momentum: 0.9, centered: true, useEma: true, globalClipnorm: 1, learningRate: rate });
    it.build([a, b]);
    a.gradient = gradients[0];
    b.gradient = gradients[1];
    return () => it.step();
  },
  'apply, slices': () => {
    const it = new RMSprop({ gradientAccumulationSteps: 2 });
    const slices = indexedSlices([1, 2], [0, 2]);
    return () => it.apply([slices, gradients[1]], [a, b]);
  },
  'apply, loss scale': () => {
    const it = new LossScaleOptimizer(new RMSprop());
    return () => it.apply(gradients, [a, b]);
  },
  'legacy': () => {
    const it = new legacy.RMSprop({ momentum: 0.9, clipnorm: 1 });
    return () => it.applyGradients(pairs);
  },
  'v1': () => {
    const it = new v1.RMSPropOptimizer({ learningRate: rate });
    return () => it.applyGradients([[indexedSlices([1, 2], [0, 2]), a], pairs[1]]);
  },
  'torch': () => {
    const it = new torch.RMSprop([a, b], { momentum: 0.9 });
    return () => it.step(() => ({ loss: 1, gradients }));
  },
  'optax, update': () => {
    const it = optax.chain(optax.clipByGlobalNorm(1), optax.rmsprop({ learningRate: rate }));
    const state = it.init(params);
    return () => it.update(grads, state, params);
  },
  'optax, step': () => {
    const it = optax.rmsprop({ learningRate: rate, momentum: 0.9 });
    const state = it.init(params);
    return () => it.step(grads, state, params);
  },
};

const results = Object.entries(kinds).map(([name, make]) => {
  const step = make();
  for (let i = 0; i < WARM_UP; i++) step();
  const taken = () => [memory, Memory.default].map(({ bytesInUse, tensorCount, buffer }) => [bytesInUse, tensorCount, buffer.byteLength]);
  const before = taken();
  const growths = Array.from({ length: PARTS }, () => {
    gc();
    const heap = process.memoryUsage().heapUsed;
    for (let i = 0; i < STEPS; i++) step();
    gc();
    return process.memoryUsage().heapUsed - heap;
  }).sort((one, other) => one - other);
  return { name, before, after: taken(), heapBytes: growths[PARTS >> 1] * PARTS };
});
console.log(JSON.stringify(results));
