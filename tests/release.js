/**
 * `npm run release:check`: all that a release needs, and a checklist of it. Nothing is published, and nothing stops at the
 * first failure: the list is whole.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** @type {{ item: string, check: () => boolean }[]} */
const items = [
  { item: 'the tree has no uncommitted changes', check: () => output(['git', 'status', '--porcelain']) === '' },
  {
    item: `CHANGELOG.md has a section for ${version}`,
    check: () => readFileSync(join(root, 'CHANGELOG.md'), 'utf8').includes(`\n## [${version}] - `),
  },
  { item: `no tag v${version} is there yet`, check: () => output(['git', 'tag', '--list', `v${version}`]) === '' },
  { item: 'npm test: lint, types, reproducible modules, tests, browsers', check: () => passes(['npm', 'test']) },
  {
    item: 'npm run test:deep: mutants, fuzzers, coverage, replicas, the tarball in every consumer',
    check: () => passes(['npm', 'run', 'test:deep']),
  },
  { item: 'npm run docs: the site, without a dead link', check: () => passes(['npm', 'run', 'docs']) },
  { item: 'npm run docs:plot: the plot is what the package gives', check: () => passes(['npm', 'run', 'docs:plot', '--', '--check']) },
  { item: 'npm publish --dry-run', check: () => passes(['npm', 'publish', '--dry-run']) },
  { item: 'nothing of that has changed a file', check: () => output(['git', 'status', '--porcelain']) === '' },
];

const results = items.map(({ item, check }) => {
  console.log(`\n== ${item}`);
  return { item, isDone: check() };
});
console.log(`\n== ${name} ${version}`);
for (const { item, isDone } of results) console.log(`[${isDone ? 'x' : ' '}] ${item}`);
console.log('[ ] by hand: npm publish, and the tag');
process.exitCode = results.every(({ isDone }) => isDone) ? 0 : 1;

/**
 * @param {string[]} command
 * @returns {boolean} whether it ended well; it is seen while it runs
 */
function passes([program, ...args]) {
  return spawnSync(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0;
}

/**
 * @param {string[]} command
 * @returns {string | undefined} what it printed; undefined if it failed
 */
function output([program, ...args]) {
  const { status, stdout } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
