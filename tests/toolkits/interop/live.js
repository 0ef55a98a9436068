/**
 * `npm run interop`: Python begins a run, JavaScript goes on, and Python ends it, as if it had never left.
 *
 *     npm run interop -- keras <python with keras and its numpy backend>
 *     npm run interop -- torch <python with torch and safetensors>
 *
 * Their versions are in the docstrings of keras_peer.py and torch_peer.py. It fails unless all bits are equal. PyTorch
 * runs its scalar kernels (ATEN_CPU_CAPABILITY=default), whose arithmetic is the package's.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kerasCases, kerasLeg, torchCases, torchLeg } from './legs.js';

const peers = {
  keras: { cases: kerasCases, leg: kerasLeg },
  torch: { cases: Object.fromEntries(torchCases.map((name) => [name, '.safetensors'])), leg: torchLeg },
};
const [kind, python] = process.argv.slice(2);
const peer = peers[/** @type {keyof typeof peers} */ (kind)];
if (!peer || !python) {
  console.error('usage: npm run interop -- keras|torch PYTHON');
  process.exit(2);
}

/** @param {string[]} args */
function ask(...args) {
  const script = fileURLToPath(new URL(`${kind}_peer.py`, import.meta.url));
  const env = { ...process.env, ATEN_CPU_CAPABILITY: 'default', PYTHONDONTWRITEBYTECODE: '1' };
  const { status, stdout, stderr } = spawnSync(python, [script, ...args], { encoding: 'utf8', env });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

const folder = mkdtempSync(join(tmpdir(), 'interop-'));
let failed = 0;
let passed = 0;
try {
  for (const [name, suffix] of Object.entries(peer.cases)) {
    const path = join(folder, name + suffix);
    ask('begin', name, path);
    const leg = await peer.leg(name, new Uint8Array(readFileSync(path)));
    leg.train(5, 8);
    writeFileSync(path, await leg.save());
    const [ended, straight] = [JSON.parse(ask('end', name, path)), JSON.parse(ask('straight', name))[12]];
    const equal = ended.filter((/** @type {string} */ array, /** @type {number} */ i) => array === straight[i]).length;
    const isEqual = equal === straight.length && ended.length === straight.length;
    console.log(`${kind}, ${name}: ${equal} of ${straight.length} arrays are bit for bit those of never having left`);
    if (isEqual) passed++;
    else failed++;
  }
} finally {
  rmSync(folder, { recursive: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
