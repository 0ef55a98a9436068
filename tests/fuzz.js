/**
 * `npm run fuzz`: libFuzzer on the entry points of the C interface, with the address and undefined-behaviour sanitizers,
 * every result compared with a plain reference (tests/native/fuzz_kernels.c says how).
 *
 *     node tests/fuzz.js [--seconds <n>] [--seed <n>] [--fresh] [<input> ...]
 *
 * What finds a way to new code is kept in build/fuzz/corpus and is where the next run begins, unless it is `--fresh`. An
 * input that fails is written to build/fuzz; named as an argument it is run again, alone.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fuzzingClang } from './native/lib-fuzzer.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'build/fuzz');
const corpus = join(folder, 'corpus');
const binary = join(folder, 'fuzz_kernels');

const { values, positionals } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: '1' },
    fresh: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const [seconds, seed] = [values.seconds, values.seed].map(Number);
if (!(seconds > 0) || !Number.isInteger(seed) || seed < 1) {
  console.error('usage: node tests/fuzz.js [--seconds <above 0>] [--seed <above 0>] [--fresh] [<input> ...]');
  process.exit(2);
}

const compiler = fuzzingClang();
if (compiler === undefined) {
  console.log('skipped: no clang with libFuzzer (on Debian: apt-get install clang libclang-rt-14-dev)');
  process.exit(0);
}
if (values.fresh) rmSync(corpus, { recursive: true, force: true });
mkdirSync(corpus, { recursive: true });
build(compiler);
if (positionals.length > 0) process.exit(run(binary, positionals, 'inherit').status ?? 1);

const start = performance.now();
const { status, stderr } = run(binary, [
  `-seed=${seed}`, `-max_total_time=${seconds}`, '-max_len=1024', '-len_control=0', '-timeout=25',
  '-print_final_stats=1', '-verbosity=1', `-artifact_prefix=${folder}/`, corpus,
], 'pipe');
const taken = (performance.now() - start) / 1000;
if (status !== 0) {
  console.error(stderr.split('\n').filter((line) => !/^#\d+\s+(NEW|REDUCE|pulse)/.test(line)).slice(-80).join('\n'));
  console.error('The input lies in build/fuzz; `npm run fuzz -- build/fuzz/crash-…` runs it again.');
}
console.log([
  '| inputs | a second | seconds | seed | edges of the code | corpus | result |',
  '|---|---|---|---|---|---|---|',
  `| ${[
    last(/number_of_executed_units: (\d+)/g), last(/average_exec_per_sec: +(\d+)/g), taken.toFixed(0), seed,
    last(/ cov: (\d+)/g), readdirSync(corpus).length, status === 0 ? 'no difference, no error' : 'FAILED',
  ].join(' | ')} |`,
].join('\n'));
process.exitCode = status ?? 1;

/** @param {string} clang */
function build(clang) {
  const flags = ['-std=c11', '-g', '-O1', '-UNDEBUG', '-ffp-contract=off', '-fno-math-errno', '-Iinclude',
    '-fno-sanitize-recover=all'];
  const sanitizers = 'address,undefined';
  const reference = join(folder, 'reference.o');
  const core = ['step', 'f32x1', 'f64x1'].map((name) => `src/${name}.c`);
  for (const args of [
    // The reference is not what the fuzzer is to find ways through, and no vectorizer may touch it.
    [...flags, '-fno-vectorize', '-fno-slp-vectorize', `-fsanitize=${sanitizers}`, '-c', 'tests/native/reference.c',
      '-o', reference],
    [...flags, `-fsanitize=fuzzer,${sanitizers}`, 'tests/native/fuzz_kernels.c', ...core, reference, '-lm', '-o', binary],
  ]) {
    const { status, stderr } = run(clang, args, 'pipe');
    if (status === 0) continue;
    console.error(stderr);
    process.exit(1);
  }
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

/** @param {RegExp} pattern global, with one group; what it found last in what the fuzzer said */
function last(pattern) {
  return [...stderr.matchAll(pattern)].at(-1)?.[1] ?? '?';
}
