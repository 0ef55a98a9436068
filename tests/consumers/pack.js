/**
 * Packs the package as `npm publish` would, into build/package/rmsprop-wasm.tgz, and says how large it is. The tests of
 * consumers run on this tarball.
 *
 *     node tests/consumers/pack.js
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root, tarball } from './projects.js';

const folder = dirname(tarball);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const { status, stdout, stderr } = spawnSync('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root, encoding: 'utf8' });
if (status !== 0) {
  console.error(`${stdout}${stderr}npm pack failed`);
  process.exit(1);
}
// prepack may print before npm does.
const [report] = JSON.parse(stdout.slice(stdout.search(/^[[{]/m)));
renameSync(join(folder, report.filename), tarball);
writeFileSync(join(folder, 'report.json'), JSON.stringify(report));
console.log(`${report.filename}: ${report.files.length} files, ${report.size} bytes packed, ${report.unpackedSize} unpacked`);
