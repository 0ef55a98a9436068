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
import { mutantsOf } from './mutation/mutants.js';
import { named, shuffled } from './mutation/names.js';
import { Copy, areas } from './mutation/suites.js';
import { python, skipWithoutPython } from './python/python.js';

/** @typedef {import('./mutation/mutants.js').Mutant & { name: string }} Mutant */
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

const results = chosen.map(({ name, files, first }) => ({
  name,
  first,
  queue: shuffled(named(files.flatMap((file) => mutantsOf(root, file, join(work, 'mutants')))), seed),
  wanted: count,
  /** @type {Record<Outcome, number>} */
  counts: { 'noticed': 0, 'timed out': 0, 'survived': 0, 'invalid': 0, 'same program': 0 },
  /** @type {Mutant[]} */
  survivors: [],
}));

/** Why a mutant survives, by its name. @type {Record<string, string>} */
const explained = JSON.parse(readFileSync(join(root, 'tests/mutation/survivors.json'), 'utf8'));
const all = new Set(results.flatMap(({ queue }) => queue.map(({ name }) => name)));
const stale = Object.keys(explained).filter((name) => !all.has(name));
if (stale.length > 0 && options.area === undefined) {
  console.error(`tests/mutation/survivors.json explains mutants that are no longer there:\n  ${stale.join('\n  ')}`);
  process.exit(1);
}

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
        console.log(`survived: ${mutant.name}\n  at ${mutant.file}:${mutant.line}\n  - ${mutant.from}\n  + ${mutant.to}`);
      }
      const { 'noticed': seen, 'timed out': late, 'survived': unseen } = area.counts;
      const run = seen + late + unseen;
      if (isOne && run % 10 === 0) console.error(`${area.name}: ${seen + late} of ${run} noticed`);
    }
  }
}));

console.log(`\nseed ${seed}\n\n| area | mutants | noticed | of these by their time-out | survived | share |\n|---|---|---|---|---|---|`);
let total = 0;
let noticed = 0;
for (const { name, counts } of results) {
  const killed = counts.noticed + counts['timed out'];
  const run = killed + counts.survived;
  total += run;
  noticed += killed;
  console.log(`| ${[name, run, killed, counts['timed out'], counts.survived, share(killed, run)].join(' | ')} |`);
}
console.log(`| all | ${total} | ${noticed} | | ${total - noticed} | ${share(noticed, total)} |`);

const survivors = results.flatMap((area) => area.survivors);
const unexplained = survivors.filter(({ name }) => explained[name] === undefined);
for (const { name } of survivors) console.log(`${name}: ${explained[name] ?? 'NO REASON GIVEN'}`);
if (unexplained.length > 0) {
  console.error('\nA test should notice them; or say in tests/mutation/survivors.json why none can:');
  console.error(JSON.stringify(Object.fromEntries(unexplained.map(({ name }) => [name, ''])), null, 2));
}
// A small sample has no share worth the name: there it counts that every survivor is known.
process.exitCode = unexplained.length > 0 || (total >= 100 && noticed / total < GOAL / 100) ? 1 : 0;

/**
 * @param {number} part
 * @param {number} whole
 */
function share(part, whole) {
  return `${((100 * part) / whole).toFixed(1)} %`;
}
