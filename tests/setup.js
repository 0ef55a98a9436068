/**
 * Makes present what the tests need, and does nothing where it is: npm packages, a Python of their own, programs.
 *
 *     node tests/setup.js [packages|programs [quick|full|deep]]      default: both, for all tiers
 *
 * Runs before anything is installed: it may import nothing but what Node brings. It never asks: no terminal is needed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installManifest } from '../src/install.js';
import { canFuzz } from './native/lib-fuzzer.js';
import { python, pythonFolder } from './python/python.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const TIERS = ['quick', 'full', 'deep'];
const [only, tier = 'deep'] = process.argv.slice(2);
if (![undefined, 'packages', 'programs'].includes(only) || !TIERS.includes(tier)) {
  console.error(`usage: node tests/setup.js [packages|programs [${TIERS.join('|')}]]`);
  process.exit(2);
}
/** @param {string} first the smallest tier that needs something */
const isFor = (first) => TIERS.indexOf(first) <= TIERS.indexOf(tier);

/**
 * What must be on the machine: a command that succeeds where it is, the Debian packages that bring it, and what for; a
 * name, where it is not the command's; `isDeep`, where `npm test` does without.
 * Without one that only `skips`, those tests are skipped; without another the step that builds fails.
 *
 * @type {{ command: string[], packages: string[], why: string, name?: string, skips?: boolean, isDeep?: boolean }[]}
 */
const programs = [
  { command: ['emcc', '--version'], packages: ['emscripten'], why: 'compiles the WebAssembly modules' },
  { command: ['cmake', '--version'], packages: ['cmake'], why: 'builds them, and the native library' },
  { command: ['ninja', '--version'], packages: ['ninja-build'], why: 'runs what cmake plans' },
  { command: ['cc', '--version'], packages: ['gcc', 'libc6-dev'], why: 'compiles the native tests' },
  { command: ['pkg-config', '--version'], packages: ['pkg-config'], why: 'tells compilers where the C library is', isDeep: true },
  { command: ['g++', '--version'], packages: ['g++'], why: 'compiles the C++ programs that use the library', skips: true, isDeep: true },
  { command: ['clang++', '--version'], packages: ['clang'], why: 'compiles them once more', skips: true, isDeep: true },
  {
    command: ['gcc', '-m32', '-fsyntax-only', '-include', 'stdint.h', '-x', 'c', '/dev/null'],
    packages: ['gcc-multilib', 'g++-multilib'],
    why: 'compiles them for 32 bits',
    isDeep: true,
    skips: true,
  },
  {
    command: ['python3', '-c', 'import venv, ensurepip'],
    packages: ['python3', 'python3-venv'],
    why: "runs the checks against Python's own safetensors",
    skips: true,
  },
  {
    command: canFuzz('clang'),
    packages: ['clang', 'libclang-rt-dev'],
    why: 'fuzzes the C interface',
    name: "clang's libFuzzer",
    isDeep: true,
    skips: true,
  },
  {
    command: ['llvm-profdata', 'merge', '--help'],
    packages: ['llvm'],
    why: 'counts which lines of C the tests reach',
    skips: true,
    isDeep: true,
  },
  {
    command: ['valgrind', '--version'],
    packages: ['valgrind', 'libc6-dbg'],
    why: 'runs the native tests under memcheck',
    skips: true,
  },
  { command: ['chromium', '--version'], packages: ['chromium'], why: 'runs the tests in a browser', skips: true },
  { command: ['firefox-esr', '--version'], packages: ['firefox-esr'], why: 'runs them in a second one', skips: true },
  {
    command: ['WebKitWebDriver', '--help'],
    packages: ['webkit2gtk-driver'],
    why: "runs them in a third one, WebKitGTK's MiniBrowser",
    skips: true,
  },
  {
    command: ['nats-server', '--version'],
    packages: ['nats-server'],
    why: 'carries messages between replicas',
    skips: true,
  },
  {
    command: ['mpicc', '--version'],
    packages: ['openmpi-bin', 'libopenmpi-dev'],
    why: 'compiles and starts the C programs of several processes',
    skips: true,
  },
  { command: ['Xvfb', '-help'], packages: ['xvfb'], why: 'is the screen that MiniBrowser wants', skips: true },
];

/** The oldest Node that the linter runs on; the package itself needs 18. */
const oldestNode = [20, 19];

/** The folders with manifests, by the smallest tier that needs them. */
const manifests = {
  quick: ['.', 'web-demo', 'web-demo/page', 'docs/site', 'tests/toolkits', 'tests/browsers', 'tests/distributed', 'tests/bench'],
  full: [],
  deep: ['tests/consumers'],
};

try {
  requireNode();
  if (only !== 'packages') installPrograms(programs.filter(({ isDeep }) => isFor(isDeep ? 'deep' : 'full')));
  if (only !== 'programs') {
    for (const [first, folders] of Object.entries(manifests)) {
      if (isFor(first)) for (const folder of folders) installManifest(join(root, folder));
    }
    if (isFor('full')) installPython();
  }
} catch (error) {
  console.error(`set-up: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
    throw new Error(`the tests need Node.js ${oldestNode.join('.')} or newer, this is ${process.versions.node}`);
  }
}

/** @param {typeof programs} wanted */
function installPrograms(wanted) {
  const missing = wanted.filter(({ command }) => !succeeds(command));
  if (missing.length === 0) return;
  for (const { command, name = command[0], why } of missing) console.log(`${name} is missing: it ${why}`);

  const install = ['apt-get', 'install', '--yes', '--no-install-recommends'];
  if (succeeds(['apt-get', '--version']) && process.getuid?.() === 0) {
    console.log(`Installing ${packagesOf(missing).join(', ')} by apt-get, which takes some minutes ...`);
    attempt(['apt-get', 'update']);
    // Those that only skip tests one by one: a distribution that lacks one of them still brings the rest.
    for (const some of [missing.filter(({ skips }) => !skips), ...missing.filter(({ skips }) => skips).map((program) => [program])]) {
      if (some.length > 0) attempt([...install, ...packagesOf(some)]);
    }
  }
  const absent = missing.filter(({ command }) => !succeeds(command));
  if (absent.length === 0) return;
  const needed = absent.filter(({ skips }) => !skips);
  const names = (/** @type {typeof programs} */ some) => some.map(({ command, name = command[0] }) => name).join(', ');
  const told = [
    needed.length > 0 ? `${names(needed)} must be installed` : `without ${names(absent)} some tests are skipped`,
    'On Debian or Ubuntu:',
    `  sudo apt-get update && sudo ${[...install, ...packagesOf(absent)].join(' ')}`,
    'Elsewhere: by the package manager, Emscripten by its own installer, emsdk. Then run this again.',
  ].join('\n');
  if (needed.length > 0) throw new Error(told);
  console.log(told);
}

/**
 * @param {{ packages: string[] }[]} some
 * @returns {string[]}
 */
function packagesOf(some) {
  return some.flatMap((program) => program.packages);
}

/**
 * Runs a command; where it fails, says so and goes on. What it should have brought is looked for afterwards.
 *
 * @param {string[]} command
 */
function attempt(command) {
  try {
    run(command);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  }
}

/** Makes tests/.venv as tests/python/requirements.txt says; where that cannot be, says why and leaves none. */
function installPython() {
  const requirements = join(root, 'tests/python/requirements.txt');
  const wanted = readFileSync(requirements, 'utf8');
  const note = join(pythonFolder, '.requirements');
  if (existsSync(note) && readFileSync(note, 'utf8') === wanted && succeeds([python, '--version'])) return;

  rmSync(pythonFolder, { recursive: true, force: true });
  console.log('Installing tests/python/requirements.txt into tests/.venv (once, from the Python package index) ...');
  try {
    run(['python3', '-m', 'venv', pythonFolder]);
    run([python, '-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', '--quiet', '-r', requirements]);
    writeFileSync(note, wanted);
  } catch (error) {
    rmSync(pythonFolder, { recursive: true, force: true });
    console.log(`${error instanceof Error ? error.message : error}\nThe Python checks will be skipped: see above why.`);
  }
}

/**
 * @param {string[]} command
 * @returns {boolean} whether it could be run and ended well
 */
function succeeds([program, ...args]) {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

/**
 * @param {string[]} command
 * @throws {Error} with all that it said, when it fails
 */
function run([program, ...args]) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) {
    const cause = error?.message ?? `exit code ${status}`;
    throw new Error(`${stdout ?? ''}${stderr ?? ''}${[program, ...args].join(' ')} failed: ${cause}`);
  }
}
