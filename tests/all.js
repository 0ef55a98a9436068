/**
 * `npm run test:quick`, `npm test`, `npm run test:deep`: runs all steps of a tier, whether or not others fail, except those
 * that need one that failed. At the end it names every test that failed, with the command that runs it alone.
 *
 *     node tests/all.js quick|full|deep [<part of a step's name> ...]
 *
 * With parts of names only those steps run, which must find what they need from an earlier run.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './tiers/files.js';
import { SET_UP, tiers } from './tiers/steps.js';

/** @typedef {import('./tiers/reporter.js').Failure} Failure */
/** @typedef {import('./tiers/steps.js').Step} Step */
/**
 * @typedef {object} Problem
 * @property {string} what failed
 * @property {string} command that runs it alone
 */

const [tier, ...parts] = process.argv.slice(2);
if (!(tier in tiers)) {
  console.error(`usage: node tests/all.js ${Object.keys(tiers).join('|')} [<part of a step's name> ...]`);
  process.exit(2);
}
const steps = tiers[/** @type {keyof typeof tiers} */ (tier)]
  .filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
const results = join(root, 'build/tests');
rmSync(results, { recursive: true, force: true });
mkdirSync(results, { recursive: true });

/** @type {{ name: string, seconds: number, state: string, problems: Problem[] }[]} */
const done = [];
for (const step of steps) {
  const { name, needs } = step;
  if (done.some((other) => other.name === needs && other.state !== 'passed')) {
    done.push({ name, seconds: 0, state: 'not run', problems: [{ what: `it needs "${needs}", which did not pass`, command: '' }] });
    continue;
  }
  console.log(`\n== ${name}`);
  const start = performance.now();
  const problems = step.tests ? await runTests(step) : await runCommands(step);
  done.push({ name, seconds: (performance.now() - start) / 1000, state: problems.length === 0 ? 'passed' : 'FAILED', problems });
}

console.log(`\n== summary of ${tier}`);
for (const { name, seconds, state } of done) console.log(`${state.padEnd(7)} ${seconds.toFixed(1).padStart(7)} s  ${name}`);
const total = (/** @type {typeof done} */ some) => some.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(1).padStart(7);
console.log(`        ${total(done.filter(({ name }) => !SET_UP.includes(name)))} s  together, without ${SET_UP.join(' and ')}`);
for (const { name, problems } of done) {
  for (const { what, command } of problems) console.log(`\n${name}: ${what}${command && `\n  ${command}`}`);
}
process.exitCode = done.length > 0 && done.every(({ state }) => state === 'passed') ? 0 : 1;

/**
 * @param {Step} step
 * @returns {Promise<Problem[]>}
 */
async function runCommands({ commands = [], env, ctest }) {
  for (const command of commands) {
    const failed = ctest && join(root, ctest, 'Testing/Temporary/LastTestsFailed.log');
    if (failed) rmSync(failed, { force: true });
    if (await run(command, env) === 0) continue;
    const names = failed ? linesOf(failed).map((line) => line.replace(/^\d+:/, '')) : [];
    if (names.length === 0) return [{ what: 'the command failed', command: shell(command, env) }];
    return names.map((name) => ({
      what: name,
      command: shell(['ctest', '--test-dir', ctest ?? '', '--output-on-failure', '-R', `^${name}$`]),
    }));
  }
  return [];
}

/**
 * @param {Step} step
 * @returns {Promise<Problem[]>}
 */
async function runTests({ name, tests, kernels = 'simd', oneByOne, env }) {
  const files = await /** @type {NonNullable<Step['tests']>} */ (tests)();
  if (files.length === 0) return [{ what: 'there is no test file', command: '' }];
  const report = join(results, `${name.replaceAll(/\W+/g, '-')}.jsonl`);
  const settings = { ...env, ...(kernels === 'scalar' && scalar()) };
  const exitCode = await run([
    'node', '--test', `--test-concurrency=${oneByOne ? 1 : availableParallelism()}`,
    '--test-reporter=spec', '--test-reporter-destination=stdout',
    '--test-reporter=./tests/tiers/reporter.js', `--test-reporter-destination=${report}`,
    ...files,
  ], settings);

  const lines = linesOf(report).map((line) => JSON.parse(line));
  /** @type {Problem[]} */
  const problems = lines.filter(({ file }) => file !== undefined).map((/** @type {Failure} */ { file, path, alone }) => {
    const pattern = alone && `^${alone.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}$`;
    const short = relative(root, file);
    const command = ['node', '--test', ...(pattern ? [`--test-name-pattern=${pattern}`] : []), ...runnersOf(short, files)];
    return { what: [short, ...path].join(' > '), command: shell(command, settings) };
  });
  const executed = lines.find((line) => line.executed !== undefined)?.executed ?? 0;
  if (executed === 0) problems.push({ what: 'no test was executed', command: '' });
  else if (exitCode !== 0 && problems.length === 0) problems.push({ what: `the test runner ended with ${exitCode}`, command: '' });
  return problems;
}

/**
 * @param {string} file in which a test stands
 * @param {string[]} files that were run
 * @returns {string[]} those that have the test: where it stands in a module of theirs, all that import it
 */
function runnersOf(file, files) {
  if (files.includes(file)) return [file];
  const users = files.filter((user) => readFileSync(join(root, user), 'utf8').includes(`/${basename(file)}'`));
  return users.length > 0 ? users : files;
}

/** @returns {Record<string, string>} what has every Node process of a test take the kernels without SIMD */
function scalar() {
  const preload = `--import=${pathToFileURL(join(root, 'tests/force-scalar.js'))}`;
  return { RMSPROP_KERNELS: 'scalar', NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} ${preload}`.trim() };
}

/**
 * @param {string[]} command
 * @param {Record<string, string>} [env]
 * @returns {Promise<number>} its exit code, once it has ended; what it prints is seen meanwhile
 */
function run([program, ...args], env) {
  return new Promise((resolve) => {
    const child = spawn(program === 'node' ? process.execPath : program, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    child.once('error', ({ message }) => {
      console.error(message);
      resolve(1);
    });
    child.once('close', (code, signal) => {
      if (signal) console.error(`${program} was ended by ${signal}`);
      resolve(code ?? 1);
    });
  });
}

/**
 * @param {string} file
 * @returns {string[]} none, if it is not there
 */
function linesOf(file) {
  try {
    return readFileSync(file, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

/**
 * @param {string[]} command
 * @param {Record<string, string>} [env]
 * @returns {string} as a shell takes it
 */
function shell(command, env = {}) {
  const quoted = (/** @type {string} */ word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
  return [...Object.entries(env).map(([name, value]) => `${name}=${quoted(value)}`), ...command.map(quoted)].join(' ');
}
