/**
 * `npm run bench`: a step of this package against its peers and against the limits of the machine.
 *
 *     npm run bench -- [--quick] [--filter <regular expression>] [--native] [--json <file>]
 *     npm run bench -- --against <folder>   the kernels of this tree against those of another checkout, in the same turns
 *     npm run bench -- --calls              what a call costs beside its arithmetic (calls.js)
 *
 * For each case, a kernel and a model, all rivals take turns in blocks of some milliseconds, each round in another order;
 * what is printed are nanoseconds for a parameter, the minimum and the median over the rounds, and how many times as
 * long each peer takes, by the medians. Gradients are there already. No library for benchmarks does that: they measure
 * one rival after the other, and a machine that became slower in between decides the ratio.
 *
 *   GB/s      what the step moves by its definition (cases.js), by the median
 *   triad     moving as many bytes, reading three arrays and writing two: the limit out of cache
 *   divider   one square root and one division for each parameter: the limit in cache
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { benchCalls } from './calls.js';
import { kernels, models } from './cases.js';
import { nativePeers } from './native.js';
import { twoTrees } from './ours.js';
import { inThisEngine } from './rivals.js';
import { inTurn, summary } from '../../web-demo/page/turns.js';
import { timed } from './timed.js';

/** @typedef {import('./rivals.js').Rival} Rival */
/** @typedef {import('./rivals.js').Run} Run */
/** @typedef {{ minimum: number, median: number }} Time nanoseconds for a parameter */
/** @typedef {{ kernel: string, model: string, bytes: number, times: Record<string, Time> }} Result */

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    filter: { type: 'string', default: '' },
    native: { type: 'boolean', default: false },
    json: { type: 'string' },
    against: { type: 'string' },
    calls: { type: 'boolean', default: false },
  },
});
if (options.calls) {
  benchCalls();
  process.exit();
}
const rounds = 15;
/** How long a block lasts at least, in milliseconds. */
const block = options.quick ? 3 : 20;
const chosen = options.quick ? ['1 024', '16 384', '1 048 576', '40 tensors'] : models.map(({ name }) => name);
const pattern = new RegExp(options.filter);

setFlagsFromString('--no-liftoff'); // the fast code at once, not when a busy machine gets round to it
const engine = options.against === undefined ? await inThisEngine() : await twoTrees(options.against);
const native = options.native ? await nativePeers() : { rivals: [], close() {} };
const rivals = [...engine.rivals, ...native.rivals];
console.log(`${rounds} rounds of blocks of at least ${block} ms, Node ${process.versions.node}, ${cpus()[0].model}\n`);

await warmUp();
/** @type {Result[]} */
const results = [];
for (const kernel of kernels) {
  const cases = models.filter(({ name }) => chosen.includes(name) && pattern.test(`${kernel.name} ${name}`));
  if (cases.length === 0) continue;
  const taking = rivals.filter(({ refuses }) => cases.some((model) => !refuses?.(kernel, model)));
  printRow([kernel.name, 'ns', 'GB/s', ...taking.slice(1).map(({ name }) => name)]);
  printRow(Array.from({ length: taking.length + 2 }, () => '---'));
  for (const model of cases) {
    const times = await compare(taking.filter(({ refuses }) => !refuses?.(kernel, model)), kernel, model);
    const own = times[taking[0].name];
    const ratios = taking.slice(1).map(({ name }) => (times[name] ? (times[name].median / own.median).toFixed(2) : ''));
    printRow([model.name, `${own.minimum.toFixed(3)} / ${own.median.toFixed(3)}`, (kernel.bytes / own.median).toFixed(1), ...ratios]);
    results.push({ kernel: kernel.name, model: model.name, bytes: kernel.bytes, times });
  }
  console.log();
}
if (options.json !== undefined) {
  const machine = { processor: cpus()[0].model, node: process.versions.node, rounds, block };
  writeFileSync(options.json, `${JSON.stringify({ machine, results }, null, 2)}\n`);
}
await engine.close();
native.close();

/** Lets each rival's engine compile its fast code, which it does in the background. */
async function warmUp() {
  const [kernel] = kernels;
  const [, model] = models;
  for (const { refuses, begin } of rivals) {
    if (refuses?.(kernel, model)) continue;
    const run = await begin(kernel, model);
    await run.enter?.();
    for (const end = performance.now() + 500; performance.now() < end;) await timed(run, 10);
    await run.end?.();
  }
}

/**
 * @param {Rival[]} contenders
 * @param {import('./cases.js').Kernel} kernel
 * @param {import('./cases.js').Model} model
 * @returns {Promise<Record<string, Time>>} by the names of the rivals
 */
async function compare(contenders, kernel, model) {
  const entries = [];
  for (const { name, begin } of contenders) {
    const run = await begin(kernel, model);
    entries.push({ name, run, steps: await stepsOfBlock(run), times: /** @type {number[]} */ ([]) });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { run, steps, times } of inTurn(entries, round)) {
      await run.enter?.();
      times.push((await timed(run, steps)) / steps / model.parameters);
    }
  }
  for (const { name, run } of entries) {
    // That it was computed at all. Where gradients stay the same, the frameworks' centered forms are NaN by now.
    const weight = await run.weight?.() ?? 0;
    const isExpected = Number.isFinite(weight) || (kernel.centered && name !== contenders[0].name);
    if (!isExpected) throw new Error(`${name} made a weight ${weight}`);
    await run.end?.();
  }
  return Object.fromEntries(entries.map(({ name, times }) => [name, summary(times)]));
}

/**
 * @param {Run} run
 * @returns {Promise<number>} how many steps last as long as a block
 */
async function stepsOfBlock(run) {
  await run.enter?.();
  for (let steps = 1; ; steps *= 2) {
    const milliseconds = (await timed(run, steps)) / 1e6;
    if (milliseconds >= block) return Math.max(1, Math.ceil((steps * block) / milliseconds));
  }
}

/** @param {string[]} cells of a table in Markdown */
function printRow(cells) {
  console.log(`| ${cells.join(' | ')} |`);
}
