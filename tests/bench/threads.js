/**
 * `npm run bench:threads`: a step by a `ThreadPool` against the same step by one thread, in the same memory, taking turns.
 *
 *     npm run bench:threads -- [--threads n] [--filter <regular expression>]
 *
 * It wants as many idle cores as threads: what else runs on the machine slows a step by several down more than a step by
 * one. So each step is timed, and minima are told, too.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { ThreadPool } from 'rmsprop-wasm/threads';
import { kernels, models } from './cases.js';
import { rivalIn } from './ours.js';
import { inTurn, summary } from '../../web-demo/page/turns.js';
import { timed } from './timed.js';

const { threads, filter } = parseArgs({
  options: { threads: { type: 'string', default: '2' }, filter: { type: 'string', default: '' } },
}).values;
const ROUNDS = 60;
/** Parameters that are updated before the other takes its turn. */
const BLOCK = 2 ** 21;

const sizes = [16384, 32768, 65536, 131072, 524288].map((size) =>
  ({ name: size.toLocaleString('en').replaceAll(',', ' '), shapes: [[size]], parameters: size }));
const pattern = new RegExp(filter);
const pool = await ThreadPool.create({ threads: Number(threads) });
const rivals = [rivalIn('1 thread', () => pool.memory), rivalIn(`${threads} threads`, () => pool.memory, pool)];
console.log(`${ROUNDS} rounds, Node ${process.versions.node}, ${cpus().length} × ${cpus()[0].model}
Nanoseconds for a parameter, minimum / median, and how many times as fast ${threads} threads are\n`);
for (const kernel of kernels) {
  const cases = [...sizes, ...models.filter(({ parameters }) => parameters >= 65536)]
    .sort((a, b) => a.parameters - b.parameters).filter(({ name }) => pattern.test(`${kernel.name} ${name}`));
  if (cases.length === 0) continue;
  console.log(`| ${kernel.name} | 1 thread | ${threads} threads | by minima | by medians |\n|---|---|---|---|---|`);
  for (const model of cases) {
    const steps = Math.ceil(BLOCK / model.parameters);
    const runs = [];
    for (const { begin } of rivals) runs.push({ run: await begin(kernel, model), times: /** @type {number[]} */ ([]) });
    for (const { run } of runs) await timed(run, 10 + steps);
    for (let round = 0; round < ROUNDS; round++) {
      for (const { run, times } of inTurn(runs, round)) {
        for (let step = 0; step < steps; step++) times.push((await timed(run, 1)) / model.parameters);
      }
    }
    const [one, several] = runs.map(({ run, times }) => {
      if (!Number.isFinite(run.weight?.())) throw new Error(`a weight is ${run.weight?.()}`);
      run.end?.();
      return summary(times);
    });
    const cells = [one, several].map(({ minimum, median }) => `${minimum.toFixed(3)} / ${median.toFixed(3)}`);
    const ratios = [one.minimum / several.minimum, one.median / several.median].map((ratio) => ratio.toFixed(2));
    console.log(`| ${model.name} | ${[...cells, ...ratios].join(' | ')} |`);
  }
  console.log();
}
await pool.close();
