/**
 * `npm test`: sets the machine up, then lint, types, builds and tests, in this order, until one fails.
 *
 * The process ends with the exit code of the step that failed, or with 0.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { testFiles } from './test-files.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const modules = join(root, 'node_modules');

/**
 * @param {string[]} args
 * @returns {string[]} the command that runs them with this Node
 */
const node = (...args) => [process.execPath, ...args];
const tsc = node(join(modules, 'typescript/bin/tsc'));
const scalar = `--import=${pathToFileURL(join(root, 'tests/force-scalar.js'))}`;

/**
 * What each step is called and runs. A test process finds in RMSPROP_KERNELS which kernels it is to run on.
 *
 * @type {{ name: string, before?: () => void, commands: string[][], env?: Record<string, string> }[]}
 */
const steps = [
  { name: 'set-up', commands: [node('tests/setup.js')] },
  { name: 'lint', commands: [node(join(modules, 'eslint/bin/eslint.js'), '.')] },
  { name: 'types', commands: [tsc] },
  {
    name: 'package',
    commands: [
      node('tests/consumers/pack.js'),
      // As a user's compiler sees them, who has nothing but them.
      [...tsc, '--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022',
        '--lib', 'es2022,dom',
        ...['index', 'v1', 'legacy', 'torch', 'optax', 'jax', 'tfjs', 'nats', 'threads', 'node', 'storage', 'keras-files',
          'tfjs-files'].map((entry) => `dist/types/${entry}.d.ts`)],
      node('tests/document-types.js'),
    ],
  },
  { name: 'documentation', commands: [node('docs/site/dialects.js', '--check'), node('docs/site/site.js')] },
  { name: 'generated modules are what the sources give', commands: [node('src/build.js', '--check')] },
  {
    name: 'native',
    commands: [
      ['cmake', '-S', '.', '-B', 'build/test', '-G', 'Ninja'],
      ['cmake', '--build', 'build/test'],
      ['ctest', '--test-dir', 'build/test', '--output-on-failure', '--parallel', '2'],
    ],
  },
  // Three of each area, chosen by a seed: a mutant that a change of the code makes to be chosen has to be noticed, too.
  { name: 'mutants', commands: [node('tests/mutate.js', '--count', '3', '--seed', '1')] },
  { name: 'coverage', commands: [node('tests/coverage.js')] },
  { name: 'fuzz', commands: [node('tests/fuzz.js', '--seconds', '20', '--seed', '1', '--fresh')] },
  {
    name: 'Node, SIMD kernels',
    commands: [nodeTests('unit', 'failure', 'golden', 'demo', 'toolkits', 'python')],
    env: { RMSPROP_KERNELS: 'simd' },
  },
  {
    name: 'Node, scalar kernels',
    commands: [nodeTests('unit', 'failure', 'golden', 'demo', 'toolkits')],
    env: { RMSPROP_KERNELS: 'scalar', NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} ${scalar}`.trim() },
  },
  // One file after the other: both use the machine to the full.
  { name: 'consumers', commands: [oneByOne(nodeTests('consumers'))] },
  { name: 'several replicas', commands: [oneByOne(nodeTests('distributed'))] },
  // A browser wants the machine for itself.
  { name: 'browsers', commands: [oneByOne(nodeTests('browsers'))] },
];

/**
 * @param {string[]} folders of tests/
 * @returns {string[]} the command that runs their tests; named one by one, since Node 20 searches a folder otherwise
 */
function nodeTests(...folders) {
  return node('--test', '--test-reporter=spec', ...testFiles(...folders));
}

/**
 * @param {string[]} command of `nodeTests`
 * @returns {string[]} the same, with one file at a time
 */
function oneByOne([program, ...args]) {
  return [program, '--test-concurrency=1', ...args];
}

/**
 * @param {string[]} command
 * @param {Record<string, string>} [env]
 * @returns {number} its exit code
 */
function run([program, ...args], env) {
  const { status, error, signal } = spawnSync(program, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (error) console.error(error.message);
  if (signal) console.error(`${program} was ended by ${signal}`);
  return status ?? 1;
}

/** @type {{ name: string, seconds: number, exitCode: number }[]} */
const done = [];
for (const { name, before, commands, env } of steps) {
  console.log(`\n== ${name}`);
  const start = performance.now();
  before?.();
  let exitCode = 0;
  for (const command of commands) {
    exitCode = run(command, env);
    if (exitCode !== 0) break;
  }
  done.push({ name, seconds: (performance.now() - start) / 1000, exitCode });
  if (exitCode !== 0) break;
}

console.log('\n== summary');
for (const { name, seconds, exitCode } of done) {
  console.log(`${exitCode === 0 ? 'passed' : 'FAILED'} ${seconds.toFixed(1).padStart(7)} s  ${name}`);
}
for (const { name } of steps.slice(done.length)) console.log(`not run            ${name}`);
process.exitCode = done.find(({ exitCode }) => exitCode !== 0)?.exitCode ?? 0;
