/**
 * Prints as JSON how many bytes `step()` allocates on the JavaScript heap, in all cases or in those that are named; run by
 * heap.test.js and unit/fast-path.test.js with a young generation that is never collected meanwhile.
 */
import { RMSprop, variable } from 'rmsprop-wasm';
import { ThreadPool } from 'rmsprop-wasm/threads';

/** Until the engine has optimised all: in a pool that takes some 23 000 steps after a collection; before, each boxes a number. */
const WARM_UP = 30000;
const STEPS = 5000;
/** How often they are measured. What a step allocates is in each; what the engine does, when it gets to it, in one or two. */
const TIMES = 21;
const BOXED_NUMBER = 16;

/**
 * @type {{ name: string, options: ConstructorParameters<typeof RMSprop>[0] & object, variables: number, allowed: number,
 *   size?: number, share?: number }[]} `size` of a variable; `share` of the steps that are measured
 */
const cases = [
  { name: 'plain', options: {}, variables: 1, allowed: 0 },
  { name: 'plain, 40 variables', options: {}, variables: 40, allowed: 0 },
  {
    name: 'every option',
    options: {
      momentum: 0.9, centered: true, useEma: true, emaOverwriteFrequency: 3, weightDecay: 0.1, globalClipnorm: 0.7,
      lossScaleFactor: 3.5, gradientAccumulationSteps: 2,
    },
    variables: 3,
    allowed: 0,
  },
  { name: 'callback', options: { learningRate: (/** @type {number} */ step) => 0.1 / (1 + step) }, variables: 1, allowed: BOXED_NUMBER },
];

// Each step is divided among two threads, and its norm, too.
const pool = await ThreadPool.create({ threads: 2 });
cases.push({ name: 'in a pool', options: { globalClipnorm: 0.7, pool }, variables: 3, allowed: 0, size: 2 ** 17, share: 0.2 });

const gc = /** @type {() => void} */ (globalThis.gc);
const names = process.argv.slice(2);
const chosen = cases.filter(({ name }) => names.length === 0 || names.includes(name));
const results = chosen.map(({ name, options, variables: count, allowed, size = 8, share = 1 }) => {
  const { memory } = options.pool ?? {};
  const variables = Array.from({ length: count }, () => variable(new Float32Array(size), { memory }));
  for (const v of variables) v.gradientBuffer().data.fill(0.1);
  const optimizer = new RMSprop(options);
  optimizer.build(variables);
  gc();
  for (let i = 0; i < WARM_UP; i++) optimizer.step();
  const heap = Float64Array.from({ length: TIMES + 1 });
  heap[0] = process.memoryUsage().heapUsed;
  for (let k = 1; k <= TIMES; k++) {
    for (let i = 0; i < STEPS * share; i++) optimizer.step();
    heap[k] = process.memoryUsage().heapUsed;
  }
  const growths = heap.subarray(1).map((bytes, k) => bytes - heap[k]).sort();
  return { name, bytesPerStep: growths[(TIMES - 1) / 2] / (STEPS * share), allowed };
});
console.log(JSON.stringify(results));
await pool.close();
