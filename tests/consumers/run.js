/**
 * `npm run test:consumers`: packs the package and tries the tarball in every consumer, C programs included.
 *
 *     npm run test:consumers                 all of them
 *     npm run test:consumers -- --write      and, if all pass, writes the table of docs/tests.md of where it is tested
 */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { installManifest } from '../../src/install.js';
import { root } from './projects.js';
import { writeTable } from './table.js';

const { values: { write } } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
const results = join(root, 'build/consumers.jsonl');

for (const folder of ['.', 'tests/browsers', 'tests/consumers']) installManifest(join(root, folder));
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
  writeTable(results);
  console.log('wrote the table in docs/tests.md');
}
