/**
 * Prints as JSON how many bytes `step()` allocates on the JavaScript heap; run by unit/fast-path.test.js with a young
 * generation that is never collected meanwhile.
 */
import { RMSprop, variable } from 'rmsprop-wasm';
import { ThreadPool } from 'rmsprop-wasm/threads';

const WARM_UP = 30000;
const STEPS = 100000;
const BOXED_NUMBER = 16;

/**
 * @type {{ name: string, options: ConstructorParameters<typeof RMSprop>[0] & object, variables: number, allowed: number,
 *   size?: number, share?: number }[]} `size` of a variable; `share` of the steps that are made
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
cases.push({ name: 'in a pool', options: { globalClipnorm: 0.7, pool }, variables: 3, allowed: 0, size: 2 ** 17, share: 0.4 });

const gc = /** @type {() => void} */ (globalThis.gc);
const results = cases.map(({ name, options, variables: count, allowed, size = 8, share = 1 }) => {
  const { memory } = options.pool ?? {};
  const variables = Array.from({ length: count }, () => variable(new Float32Array(size), { memory }));
  for (const v of variables) v.gradientBuffer().data.fill(0.1);
  const optimizer = new RMSprop(options);
  optimizer.build(variables);
  for (let i = 0; i < WARM_UP * share; i++) optimizer.step();
  gc();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < STEPS * share; i++) optimizer.step();
  return { name, bytesPerStep: (process.memoryUsage().heapUsed - before) / (STEPS * share), allowed };
});
console.log(JSON.stringify(results));
await pool.close();
