/**
 * `npm run test:consumers`: packs the package and tries the tarball in every consumer, C programs included.
 *
 *     npm run test:consumers                 all of them
 *     npm run test:consumers -- --write      and, if all pass, writes the README's table of where it is tested
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installManifest } from '../../web-demo/install.js';
import { root } from './projects.js';

const { values: { write } } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
const results = join(root, 'build/consumers.jsonl');

for (const folder of ['tests', 'tests/consumers']) installManifest(join(root, folder));
rmSync(results, { force: true });
const env = { ...process.env, CONSUMERS: 'all', CONSUMERS_RESULTS: results };
for (const args of [
  ['tests/consumers/pack.js'],
  ['--test', '--test-reporter=spec', 'tests/consumers/consumers.test.js', 'tests/consumers/c.test.js'],
]) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) process.exit(status ?? 1);
}
if (write) {
  const file = join(root, 'README.md');
  const marks = /(<!-- consumers: .*? -->\n)[\s\S]*?(<!-- end of consumers -->)/;
  const text = readFileSync(file, 'utf8');
  if (!marks.test(text)) throw new Error('README.md has no place for the table');
  writeFileSync(file, text.replace(marks, (_, start, end) => `${start}${table()}${end}`));
  console.log('wrote the table in README.md');
}

/** @returns {string} Markdown: a row for each consumer that passed, and where */
function table() {
  /** @type {Map<string, { group: string, name: string, versions: Set<string>, browsers: string[], note: string }>} */
  const consumers = new Map();
  for (const line of readFileSync(results, 'utf8').trim().split('\n')) {
    /** @type {import('./results.js').Result} */
    const { group, name, versions, browser, note = '' } = JSON.parse(line);
    const key = `${group}: ${name}`;
    const row = consumers.get(key) ?? { group, name, versions: new Set(), browsers: [], note };
    consumers.set(key, row);
    for (const version of versions) row.versions.add(version);
    if (browser) row.browsers.push(browser);
  }
  /** Browsers are the same for all: one line says which. @type {Map<string, string[]>} */
  const groups = new Map();
  for (const { group, name, versions, browsers, note } of [...consumers.values()].sort(byOrder)) {
    const browsed = browsers.length > 0 && `in ${browsers.map((browser) => browser.split(' ')[0]).join(', ')}`;
    const details = [[...versions].join(', '), note, browsed].filter(Boolean).join('; ');
    groups.set(group, [...groups.get(group) ?? [], details ? `${name} (${details})` : name]);
  }
  const browsers = [...new Set([...consumers.values()].flatMap((consumer) => consumer.browsers))].sort();
  groups.set('Browsers', browsers);
  const rows = [...groups].map(([group, names]) => `| ${group} | ${names.join(' · ')} |\n`);
  return ['| | |\n|---|---|\n', ...rows].join('');
}

/**
 * @param {{ group: string, name: string }} a
 * @param {{ group: string, name: string }} b
 * @returns {number} by group as they first come, then by name: tests end in any order
 */
function byOrder(a, b) {
  const groups = ['Runtimes', 'Bundlers', 'Pages and workers', 'TypeScript', 'Test runners', 'Linters of packages', 'C and C++'];
  return groups.indexOf(a.group) - groups.indexOf(b.group) || a.name.localeCompare(b.name, 'en', { numeric: true });
}
