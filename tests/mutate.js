/**
 * `npm run mutate`: breaks copies of the kernels, the engine, the schedules and the reader in small ways, one at a time,
 * and counts how many the tests notice. Fails below 95 %, and when one survives that is not in mutation/survivors.json
 * with a reason.
 *
 *     node tests/mutate.js [--count <mutants an area>] [--seed <n>] [--area <name>] [--jobs <n>]
 *
 * The breaks are a library's (mutation/mutants.js); running them is our own, because no tool that is installable here
 * does it for both languages: Stryker has no C and wants a newer Node than the tests, Mull is no package of the
 * registries.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mutantsOf, shuffled } from './mutation/mutants.js';
import { Copy, areas } from './mutation/suites.js';
import { python, skipWithoutPython } from './python/python.js';

/** @typedef {import('./mutation/mutants.js').Mutant} Mutant */
/** @typedef {import('./mutation/suites.js').Outcome} Outcome */

const root = fileURLToPath(new URL('..', import.meta.url));

/** How many of a hundred have to be noticed. */
const GOAL = 95;

const { values: options } = parseArgs({
  options: {
    count: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    area: { type: 'string' },
    jobs: { type: 'string', default: `${availableParallelism()}` },
  },
});
const [count, seed, jobs] = [options.count, options.seed, options.jobs].map(Number);
const work = join(root, 'build/mutation', options.area ?? 'all');
const chosen = areas.filter(({ name }) => options.area === undefined || name === options.area);
if (![count, seed, jobs].every((n) => Number.isInteger(n) && n > 0) || chosen.length === 0) {
  console.error(`usage: node tests/mutate.js [--count <n>] [--seed <n>] [--jobs <n>] [--area ${areas.map(({ name }) => name).join('|')}]`);
  process.exit(2);
}
if (!existsSync(python)) {
  console.log(`skipped: ${skipWithoutPython}`);
  process.exit(0);
}

/** @type {{ file: string, from: string, to: string, reason: string }[]} */
const explained = JSON.parse(readFileSync(join(root, 'tests/mutation/survivors.json'), 'utf8'));
const stale = explained.filter(({ file, from }) =>
  !readFileSync(join(root, file), 'utf8').split('\n').some((line) => line.trim() === from));
if (stale.length > 0) {
  console.error('tests/mutation/survivors.json explains mutants of lines that are no longer there:');
  for (const { file, from } of stale) console.error(`  ${file}: ${from}`);
  process.exit(1);
}

const results = chosen.map(({ name, files, first }) => ({
  name,
  first,
  queue: shuffled(files.flatMap((file) => mutantsOf(root, file, join(work, 'mutants'))), seed),
  wanted: count,
  /** @type {Record<Outcome, number>} */
  counts: { 'noticed': 0, 'timed out': 0, 'survived': 0, 'invalid': 0, 'same program': 0 },
  /** @type {Mutant[]} */
  survivors: [],
}));

const hasC = chosen.some(({ name }) => name === 'kernels');
const original = new Copy(root, join(work, 'copy-0'));
await original.prepare(hasC, !hasC || chosen.length > 1);
const copies = Array.from({ length: jobs }, (_, k) => (k === 0 ? original : original.twin(join(work, `copy-${k}`))));

await Promise.all(copies.map(async (copy) => {
  for (const area of results) {
    // Those that are none are replaced; the others are handed out before they are run, so that their number is exact.
    while (area.wanted > 0 && area.queue.length > 0) {
      area.wanted--;
      const mutant = /** @type {Mutant} */ (area.queue.shift());
      const outcome = await copy.outcomeOf(mutant, area.first);
      area.counts[outcome]++;
      const isOne = outcome !== 'invalid' && outcome !== 'same program';
      if (!isOne) area.wanted++;
      if (outcome === 'survived') {
        area.survivors.push(mutant);
        console.log(`survived: ${mutant.file}:${mutant.line}\n  - ${mutant.from}\n  + ${mutant.to}`);
      }
      const { 'noticed': seen, 'timed out': late, 'survived': unseen } = area.counts;
      const run = seen + late + unseen;
      if (isOne && run % 10 === 0) console.error(`${area.name}: ${seen + late} of ${run} noticed`);
    }
  }
}));

/** @param {Mutant} mutant */
const reasonOf = ({ file, from, to }) =>
  explained.find((known) => known.file === file && known.from === from && known.to === to)?.reason;

console.log(`\nseed ${seed}\n\n| area | mutants | noticed | of these by their time-out | survived | share |\n|---|---|---|---|---|---|`);
let all = 0;
let noticed = 0;
for (const { name, counts } of results) {
  const killed = counts.noticed + counts['timed out'];
  const total = killed + counts.survived;
  all += total;
  noticed += killed;
  console.log(`| ${[name, total, killed, counts['timed out'], counts.survived, share(killed, total)].join(' | ')} |`);
}
console.log(`| all | ${all} | ${noticed} | | ${all - noticed} | ${share(noticed, all)} |`);

const survivors = results.flatMap((area) => area.survivors);
const unexplained = survivors.filter((mutant) => reasonOf(mutant) === undefined);
for (const mutant of survivors) console.log(`${mutant.file}:${mutant.line}: ${reasonOf(mutant) ?? 'NO REASON GIVEN'}`);
if (unexplained.length > 0) {
  console.error('\nA test should notice them; or say in tests/mutation/survivors.json why none can:');
  console.error(JSON.stringify(unexplained.map(({ file, from, to }) => ({ file, from, to, reason: '' })), null, 2));
}
// A small sample has no share worth the name: there it counts that every survivor is known.
process.exitCode = unexplained.length > 0 || (all >= 100 && noticed / all < GOAL / 100) ? 1 : 0;

/**
 * @param {number} part
 * @param {number} whole
 */
function share(part, whole) {
  return `${((100 * part) / whole).toFixed(1)} %`;
}
