/** What the three tiers run: CONTRIBUTING.md has the table of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, testFiles, usersOfKernels } from './files.js';

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {string} [needs] the step without which it is not run
 * @property {string[][]} [commands] one after the other, until one fails; 'node' is this Node
 * @property {() => string[] | Promise<string[]>} [tests] instead: files for Node's test runner
 * @property {'simd' | 'scalar'} [kernels] that the tests run on; default 'simd'
 * @property {boolean} [oneByOne] whether one file runs at a time: each uses the machine to the full
 * @property {Record<string, string>} [env]
 * @property {string} [ctest] the folder of a build whose tests a command runs by ctest
 */
/** @typedef {'quick' | 'full' | 'deep'} Tier */

/** The steps that download and install, whose time is the network's. */
export const SET_UP = ['programs', 'packages'];

const lint = { name: 'lint', needs: 'packages', commands: [['node', 'node_modules/eslint/bin/eslint.js', '.']] };
const tsc = ['node', 'node_modules/typescript/bin/tsc'];
const types = { name: 'types', needs: 'packages', commands: [tsc] };
const quickFolders = ['unit', 'failure', 'golden'];
const isSmoke = (/** @type {string} */ file) => file.endsWith('/smoke.test.js');

/**
 * The declarations as a user's compiler sees them, who has nothing but them.
 *
 * @returns {string[]}
 */
function declarations() {
  const { exports: entries } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return Object.values(entries).flatMap((/** @type {any} */ entry) => entry.import?.types ?? []);
}

const packed = {
  name: 'package',
  needs: 'packages',
  commands: [
    ['node', 'tests/consumers/pack.js'],
    [...tsc, '--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2022,dom',
      ...declarations()],
    ['node', 'tests/document-types.js'],
  ],
};

/**
 * @param {string} name
 * @param {string[]} selection of the native tests, as ctest takes it
 * @returns {Step}
 */
function native(name, ...selection) {
  const folder = 'build/test';
  return {
    name,
    needs: 'programs',
    ctest: folder,
    commands: [
      ['cmake', '-S', '.', '-B', folder, '-G', 'Ninja'],
      ['cmake', '--build', folder],
      ['ctest', '--test-dir', folder, '--no-tests=error', '--output-on-failure', '--parallel', '2', ...selection],
    ],
  };
}

/** @type {Record<Tier, Step[]>} */
export const tiers = {
  quick: [
    { name: 'packages', commands: [['node', 'tests/setup.js', 'packages', 'quick']] },
    lint,
    types,
    { name: 'tests, SIMD kernels', needs: 'packages', tests: () => testFiles(...quickFolders) },
  ],
  full: [
    { name: 'programs', commands: [['node', 'tests/setup.js', 'programs', 'full']] },
    { name: 'packages', commands: [['node', 'tests/setup.js', 'packages', 'full']] },
    lint,
    types,
    packed,
    {
      name: 'documentation',
      needs: 'packages',
      commands: [['node', 'docs/site/dialects.js', '--check'], ['node', 'docs/site/site.js']],
    },
    {
      name: 'generated modules are what the sources give',
      needs: 'programs',
      commands: [['node', 'src/build.js', '--check']],
    },
    native('native', '--exclude-regex', '^memcheck_'),
    {
      name: 'tests, SIMD kernels',
      needs: 'packages',
      tests: () => testFiles(...quickFolders, 'demo', 'toolkits', 'python'),
    },
    {
      name: 'tests, scalar kernels',
      needs: 'packages',
      kernels: 'scalar',
      tests: () => usersOfKernels(testFiles(...quickFolders)),
    },
    {
      name: 'one test of each slow kind',
      needs: 'package',
      tests: () => [...testFiles('consumers', 'distributed').filter(isSmoke), 'tests/consumers/package.test.js'],
    },
    { name: 'browsers', needs: 'packages', oneByOne: true, tests: () => testFiles('browsers') },
  ],
  deep: [
    { name: 'programs', commands: [['node', 'tests/setup.js', 'programs', 'deep']] },
    { name: 'packages', commands: [['node', 'tests/setup.js', 'packages', 'deep']] },
    {
      name: 'tests, scalar kernels',
      needs: 'packages',
      kernels: 'scalar',
      tests: () => usersOfKernels(testFiles('demo', 'toolkits')),
    },
    { name: 'soak', needs: 'packages', oneByOne: true, tests: () => testFiles('deep') },
    { name: 'distributed', needs: 'packages', oneByOne: true, tests: () => testFiles('distributed') },
    native('native, under memcheck', '--tests-regex', '^memcheck_'),
    { name: 'fuzz', needs: 'programs', commands: [['node', 'tests/fuzz.js', '--seconds', '60', '--seed', '1', '--fresh']] },
    { name: 'navigations in WebKit', needs: 'packages', commands: [['node', 'tests/browsers/navigations.js']] },
    { name: 'mutants', needs: 'programs', commands: [['node', 'tests/mutate.js', '--count', '10', '--seed', '1']] },
    { name: 'coverage', needs: 'packages', commands: [['node', 'tests/coverage.js']] },
    packed,
    {
      name: 'consumers',
      needs: 'package',
      oneByOne: true,
      env: { CONSUMERS: 'all' },
      tests: () => testFiles('consumers').filter((file) => !isSmoke(file)),
    },
  ],
};
