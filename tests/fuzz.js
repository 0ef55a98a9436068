/**
 * `npm run fuzz`: libFuzzer on the entry points of the C interface and on the network of the demo, with the address and
 * undefined-behaviour sanitizers, every result compared with a plain reference (tests/native/fuzz_kernels.c says how).
 *
 *     node tests/fuzz.js [--seconds <n>] [--seed <n>] [--fresh] [--target kernels|dense [<input> ...]]
 *
 * What finds a way to new code is kept in build/fuzz and is where the next run begins, unless it is `--fresh`. An input
 * that fails is written there, too; named as an argument it is run again, alone.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fuzzingClang } from './native/lib-fuzzer.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'build/fuzz');

/**
 * What is fuzzed: the sources whose ways are looked for, those that no optimizer may touch, and the share of the time.
 *
 * @type {{ name: string, sources: string[], plain: string[], includes: string[], share: number }[]}
 */
const targets = [
  {
    name: 'kernels',
    sources: ['tests/native/fuzz_kernels.c', 'src/step.c', 'src/f32x1.c', 'src/f64x1.c'],
    plain: ['tests/native/reference.c'],
    includes: ['include'],
    share: 0.8,
  },
  {
    name: 'dense',
    sources: ['tests/native/fuzz_dense.c', 'web-demo/model/dense.c', 'web-demo/model/dense_f32x1.c'],
    plain: [],
    includes: ['web-demo/model', 'src'],
    share: 0.2,
  },
];

const { values, positionals } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string' },
    fresh: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const [seconds, seed] = [values.seconds, values.seed].map(Number);
const chosen = targets.filter(({ name }) => values.target === undefined || name === values.target);
if (!(seconds >= 5) || !Number.isInteger(seed) || seed < 1 || chosen.length === 0 || (positionals.length && !values.target)) {
  console.error('usage: node tests/fuzz.js [--seconds <5 or more>] [--seed <1 or more>] [--fresh] '
    + '[--target kernels|dense [<input> ...]]');
  process.exit(2);
}

const found = fuzzingClang();
if (found === undefined) {
  console.log('skipped: no clang with libFuzzer (on Debian: apt-get install clang libclang-rt-dev)');
  process.exit(0);
}
const clang = found;

const rows = [];
for (const target of chosen) {
  const binary = build(target);
  if (positionals.length > 0) process.exit(run(binary, positionals, 'inherit').status ?? 1);
  rows.push(fuzz(binary, target, chosen.length === 1 ? seconds : seconds * target.share));
}
console.log([
  '| target | inputs | a second | seconds | seed | edges of the code | corpus | result |',
  '|---|---|---|---|---|---|---|---|',
  ...rows.map((row) => `| ${row.join(' | ')} |`),
].join('\n'));

/**
 * @param {typeof targets[number]} target
 * @returns {string} the program
 */
function build({ name, sources, plain, includes }) {
  mkdirSync(folder, { recursive: true });
  const flags = ['-std=c11', '-g', '-O1', '-UNDEBUG', '-ffp-contract=off', '-fno-math-errno', '-fno-sanitize-recover=all',
    ...includes.map((include) => `-I${include}`)];
  const sanitizers = 'address,undefined';
  const objects = plain.map((_, k) => join(folder, `${name}-${k}.o`));
  const binary = join(folder, `fuzz_${name}`);
  for (const args of [
    ...plain.map((source, k) =>
      [...flags, '-fno-vectorize', '-fno-slp-vectorize', `-fsanitize=${sanitizers}`, '-c', source, '-o', objects[k]]),
    [...flags, `-fsanitize=fuzzer,${sanitizers}`, ...sources, ...objects, '-lm', '-o', binary],
  ]) {
    const { status, stderr } = run(clang, args, 'pipe');
    if (status === 0) continue;
    console.error(stderr);
    process.exit(1);
  }
  return binary;
}

/**
 * @param {string} binary
 * @param {typeof targets[number]} target
 * @param {number} time in seconds
 * @returns {(string | number)[]} a row of the summary
 */
function fuzz(binary, { name }, time) {
  const corpus = join(folder, `corpus-${name}`);
  if (values.fresh) rmSync(corpus, { recursive: true, force: true });
  mkdirSync(corpus, { recursive: true });
  const start = performance.now();
  const { status, stderr } = run(binary, [
    `-seed=${seed}`, `-max_total_time=${Math.round(time)}`, '-max_len=1024', '-len_control=0', '-timeout=25',
    '-print_final_stats=1', `-artifact_prefix=${folder}/${name}-`, corpus,
  ], 'pipe');
  const taken = (performance.now() - start) / 1000;
  if (status !== 0) {
    process.exitCode = 1;
    console.error(stderr.split('\n').filter((line) => !/^#\d+\s+(NEW|REDUCE|pulse)/.test(line)).slice(-80).join('\n'));
    console.error(`The input lies in build/fuzz: node tests/fuzz.js --target ${name} build/fuzz/${name}-crash-… runs it again.`);
  }
  const last = (/** @type {RegExp} */ pattern) => [...stderr.matchAll(pattern)].at(-1)?.[1] ?? '?';
  return [
    name, last(/number_of_executed_units: (\d+)/g), last(/average_exec_per_sec: +(\d+)/g), taken.toFixed(0), seed,
    last(/ cov: (\d+)/g), readdirSync(corpus).length, status === 0 ? 'no difference, no error' : 'FAILED',
  ];
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {'pipe' | 'inherit'} stdio
 */
function run(command, args, stdio) {
  const options = /** @type {const} */ ({ cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 });
  return spawnSync(command, args, { ...options, stdio: ['ignore', stdio, stdio] });
}
