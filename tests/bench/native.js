/**
 * The rivals of `npm run bench -- --native`, each in a process of its own: the library compiled by the machine's C
 * compiler for its processor, and the Python frameworks, which are installed into tests/bench/.venv at the first time
 * (several gigabytes: PyTorch comes with CUDA).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { remote, startProcess } from './remote.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'tests/bench/native');
const python = join(root, 'tests/bench/.venv/bin/python');

/** The Python rivals, and how many threads each has. @type {[string, number][]} */
const frameworks = [1, 2].filter((threads) => threads <= availableParallelism()).flatMap((threads) =>
  ['torch', 'torch.compile', 'tensorflow', 'optax'].map((name) => /** @type {[string, number]} */ ([name, threads])));

/** @returns {Promise<{ rivals: import('./rivals.js').Rival[], close: () => void }>} */
export async function nativePeers() {
  const library = startProcess([compile()]);
  const peers = [{ ...library, rival: remote('C, -march=native', library.ask) }];
  const why = installFrameworks();
  if (why) console.log(`The Python frameworks are left out: ${why}`);
  for (const [name, threads] of why ? [] : frameworks) {
    const peer = startProcess([python, join(folder, 'peers.py'), name, String(threads)]);
    const rival = remote(`${name}, ${threads === 1 ? 'one thread' : `${threads} threads`}`, peer.ask,
      ({ everything }) => (everything ? 'has no such options' : undefined));
    peers.push({ ...peer, rival });
  }
  return { rivals: peers.map(({ rival }) => rival), close: () => peers.forEach(({ close }) => close()) };
}

/** @returns {string} the program */
function compile() {
  const program = join(root, 'build/bench/step');
  mkdirSync(join(root, 'build/bench'), { recursive: true });
  const sources = ['step.c', 'f32x1.c', 'f32x8.c', 'f64x1.c'].map((name) => join(root, 'src', name));
  run(['cc', '-O3', '-march=native', '-ffp-contract=off', '-fno-math-errno', '-DNDEBUG', '-DRMS_VECTORS', `-I${join(root, 'include')}`,
    ...sources, join(folder, 'step.c'), '-lm', '-o', program]);
  return program;
}

/** @returns {string | undefined} why they are not there */
function installFrameworks() {
  const requirements = join(folder, 'requirements.txt');
  const note = join(root, 'tests/bench/.venv/.requirements');
  const wanted = readFileSync(requirements, 'utf8');
  if (existsSync(note) && readFileSync(note, 'utf8') === wanted) return undefined;
  console.log('Installing tests/bench/native/requirements.txt (once, several gigabytes) ...');
  try {
    run(['python3', '-m', 'venv', join(root, 'tests/bench/.venv')]);
    run([python, '-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', '--quiet', '-r', requirements]);
    writeFileSync(note, wanted);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** @param {string[]} command */
function run([program, ...args]) {
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? stderr}`);
}
