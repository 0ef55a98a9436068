/**
 * `npm run coverage`: which lines and branches of the C core and of the package's JavaScript the tests reach. Prints a
 * table and what is left, and fails below 95 %.
 *
 *     node tests/coverage.js
 *
 * C: the native tests, by clang and llvm-cov. Only what a native compiler compiles counts, not what WebAssembly SIMD adds.
 * JavaScript: the tests that run in Node, by V8 and c8.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { testFiles } from './tiers/files.js';

/** @typedef {{ covered: number, total: number }} Count */
/** @typedef {{ name: string, lines: Count, branches: Count, left: string[] }} Report */

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'build/coverage');

/** How many of a hundred have to be reached. */
const GOAL = 95;

/** Folders of tests/ whose tests run the package in another process or not at all, or measure its heap. */
const elsewhere = ['browsers', 'consumers', 'deep', 'mpi'];

/** Tests that reach nothing else of the package: they train for long, or measure files or the heap, where V8 counts too. */
const apart = ['train.test.js', 'size.test.js', 'fast-path.test.js'];

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
/** @type {Report[]} */
const reports = [];
const missing = ['clang', 'llvm-profdata', 'llvm-cov'].filter((name) => spawnSync(name, ['merge', '--help']).error);
if (missing.length === 0) reports.push(ofC());
else console.log(`C is skipped: no ${missing.join(', ')} (on Debian: apt-get install clang libclang-rt-dev llvm)`);
reports.push(ofScripts());

console.log('\n| | lines | branches |\n|---|---|---|');
for (const { name, lines, branches } of reports) console.log(`| ${name} | ${share(lines)} | ${share(branches)} |`);
console.log('\nNot reached:');
for (const { left } of reports) for (const line of left) console.log(`  ${line}`);
const isShort = reports.some(({ lines, branches }) => [lines, branches].some((count) => rate(count) < GOAL));
if (isShort) console.error(`\nbelow ${GOAL} %`);
process.exitCode = isShort ? 1 : 0;

/** @returns {Report} */
function ofC() {
  const build = join(folder, 'native');
  // Warnings are the affair of the usual build. And clang 14 counts no line behind a call that may not return.
  const flags = '-w -D__noreturn__=unused';
  run('cmake', ['-S', '.', '-B', build, '-G', 'Ninja', '-DCMAKE_C_COMPILER=clang', `-DCMAKE_C_FLAGS=${flags}`,
    '-DRMSPROP_COVERAGE=ON']);
  run('cmake', ['--build', build]);
  const profiles = join(folder, 'profiles');
  run('ctest', ['--test-dir', build, '--output-on-failure'], { LLVM_PROFILE_FILE: join(profiles, '%4m.profraw') });
  const profile = join(folder, 'all.profdata');
  run('llvm-profdata', ['merge', '-o', profile, ...readdirSync(profiles).map((name) => join(profiles, name))]);
  const programs = readdirSync(join(build, 'tests/native'))
    .filter((name) => /^(\w+_test\w*|fuzz_\w+)$/.test(name)).map((name) => join(build, 'tests/native', name));
  const [first, ...others] = programs;
  const sources = ['src', 'web-demo/model'].map((name) => join(root, name));
  const exported = run('llvm-cov', ['export', `-instr-profile=${profile}`, first,
    ...others.flatMap((program) => ['-object', program]), ...sources]);
  const [{ files, functions }] = JSON.parse(exported).data;

  const lines = { covered: 0, total: 0 };
  /** @type {string[]} */
  const left = [];
  for (const { filename, summary } of files) {
    lines.covered += summary.lines.covered;
    lines.total += summary.lines.count;
    if (summary.lines.covered < summary.lines.count) {
      left.push(`${filename.slice(root.length)}: ${summary.lines.count - summary.lines.covered} lines`);
    }
  }
  // Of each branch its two ways, by where it stands: a kernel is one text, whatever is compiled from it.
  /** @type {Map<string, [number, number]>} */
  const branches = new Map();
  for (const { filenames, branches: list } of functions) {
    for (const [line, column, , , yes, no, file, , kind] of list) {
      const name = filenames[file];
      if (kind !== 4 || !sources.some((folder) => name.startsWith(folder))) continue;
      const key = `${name.slice(root.length)}:${line}:${column}`;
      const [sofar, otherwise] = branches.get(key) ?? [0, 0];
      branches.set(key, [sofar + yes, otherwise + no]);
    }
  }
  const ways = [...branches.values()].flat();
  for (const [key, [yes, no]] of branches) if (!yes || !no) left.push(`${key} never ${yes ? 'false' : 'true'}`);
  const covered = ways.filter((count) => count > 0).length;
  return { name: 'C: `src/`, `web-demo/model/`', lines, branches: { covered, total: ways.length }, left };
}

/** @returns {Report} */
function ofScripts() {
  const folders = readdirSync(join(root, 'tests'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !elsewhere.includes(entry.name) && !entry.name.startsWith('.'));
  const tests = testFiles(...folders.map(({ name }) => name)).filter((file) => !apart.includes(basename(file)));
  const c8 = join(root, 'node_modules/c8/bin/c8.js');
  run(process.execPath, [c8, '--all', '--include', 'js/**', '--exclude', 'js/generated/**', '--reporter', 'json',
    '--reporter', 'json-summary', '--reports-dir', folder, '--temp-directory', join(folder, 'v8'),
    process.execPath, '--test', '--test-concurrency=1', '--test-reporter=dot', ...tests]);
  const read = (/** @type {string} */ name) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
  const { lines, branches } = read('coverage-summary.json').total;
  const left = Object.entries(read('coverage-final.json')).flatMap(([file, { statementMap, s, branchMap, b }]) => {
    const name = file.slice(root.length);
    const missed = Object.keys(s).filter((key) => s[key] === 0).map((key) => statementMap[key].start.line);
    const ways = Object.keys(b).filter((key) => b[key].includes(0)).map((key) => branchMap[key].loc.start.line);
    const lines = [...new Set([...missed, ...ways])].sort((x, y) => x - y);
    return lines.length === 0 ? [] : `${name}: ${lines.filter((line) => !lines.includes(line - 1)).map((start) => {
      let end = start;
      while (lines.includes(end + 1)) end++;
      return start === end ? start : `${start}–${end}`;
    }).join(', ')}`;
  });
  return { name: 'JavaScript: `js/`', lines, branches, left };
}

/**
 * @param {string} command
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 * @returns {string} what it printed; when it fails, all that it said is printed and the process ends
 */
function run(command, args, env) {
  const options = /** @type {const} */ ({ cwd: root, env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 2 ** 28 });
  const { status, error, stdout, stderr } = spawnSync(command, args, options);
  if (status === 0) return stdout;
  console.error(`${stdout}${stderr}${command} failed: ${error?.message ?? `exit code ${status}`}`);
  process.exit(1);
}

/** @param {Count} count */
function rate({ covered, total }) {
  return (100 * covered) / total;
}

/** @param {Count} count */
function share(count) {
  return `${rate(count).toFixed(1)} % of ${count.total}`;
}
