/**
 * Fresh projects that have installed the packed tarball, and the tools that work on them.
 *
 * `npm run test:consumers -- --help` says what is run; the table of who is tried stands in rows.js.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { HANG_MS } from '../browsers/programs.js';

const execute = promisify(execFile);
const here = fileURLToPath(new URL('.', import.meta.url));
const tools = join(here, 'node_modules');
export const root = fileURLToPath(new URL('../../', import.meta.url));
/** Where `pack.js` puts the tarball. */
export const tarball = join(root, 'build/package/rmsprop-wasm.tgz');

/**
 * Tools run on Linux for x64, which the packages of the runtimes are for, and on none of this machine.
 *
 * @type {string | false} why their tests are skipped, as node:test's `skip` takes it
 */
export const missing = process.platform !== 'linux' || process.arch !== 'x64'
  ? `the runtimes of tests/consumers/package.json are for Linux on x64, this is ${process.platform} on ${process.arch}`
  : !existsSync(join(tools, '.rmsprop-lock-hash')) && 'node src/install.js tests/consumers installs the tools';

/**
 * @param {string} name of a package in tests/consumers/package.json
 * @returns {string} its version
 */
export function versionOf(name) {
  return JSON.parse(readFileSync(join(tools, name, 'package.json'), 'utf8')).version;
}

/**
 * @param {number | string} major
 * @returns {string} the program node of that version
 */
export const node = (major) => join(tools, `node-${major}/bin/node`);

/**
 * @param {string} file of a package in tests/consumers/package.json
 * @returns {string} where it is
 */
export const tool = (file) => join(tools, file);

/** A folder of projects, whose tools lie beside them as if each had installed its own. */
export class Workspace {
  #folder = mkdtempSync(join(tmpdir(), 'rmsprop-consumers-'));

  /**
   * @returns {Promise<Workspace>} with the tarball installed by npm
   */
  static async make() {
    if (!existsSync(tarball)) throw new Error(`${tarball} is missing: node tests/consumers/pack.js makes it`);
    const workspace = new Workspace();
    const installed = join(workspace.#folder, 'installed');
    mkdirSync(installed);
    writeFileSync(join(installed, 'package.json'), '{ "name": "installed", "private": true }\n');
    await run(['npm', 'install', '--offline', '--no-audit', '--no-fund', '--no-package-lock', tarball], { cwd: installed });
    copy(tools, join(workspace.#folder, 'node_modules'));
    return workspace;
  }

  /**
   * @param {string} name of the folder
   * @param {Record<string, string>} files of the project; a package.json that says nothing unless there is another
   * @param {object} [options]
   * @param {boolean} [options.alone] whether the tools lie in the project, for those that look nowhere else
   * @returns {string} its folder, in which `rmsprop-wasm` is installed
   */
  project(name, files, { alone = false } = {}) {
    const folder = join(this.#folder, name);
    const modules = join(folder, 'node_modules');
    mkdirSync(folder);
    if (alone) copy(tools, modules);
    else mkdirSync(modules);
    copy(join(this.#folder, 'installed/node_modules/rmsprop-wasm'), join(modules, 'rmsprop-wasm'));
    const all = { 'package.json': JSON.stringify({ name, private: true }), ...files };
    for (const [file, text] of Object.entries(all)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    }
    return folder;
  }

  /** Removes all of it. */
  remove() {
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/**
 * By hard links where that can be: it takes no time and no space.
 *
 * @param {string} from
 * @param {string} to
 */
function copy(from, to) {
  if (spawnSync('cp', ['-al', from, to], { stdio: 'ignore' }).status === 0) return;
  rmSync(to, { recursive: true, force: true });
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

/** No colours, no questions, no reports to anybody; and not CI, of which Next.js expects a cache. */
const env = /** @type {Record<string, string>} */ ({ ...process.env, NO_COLOR: '1', NEXT_TELEMETRY_DISABLED: '1' });
for (const name of ['CI', 'FORCE_COLOR', 'NODE_OPTIONS', 'NODE_ENV', 'NODE_TEST_CONTEXT', 'RMSPROP_KERNELS']) delete env[name];

/**
 * @param {string[]} command
 * @param {object} options
 * @param {string} options.cwd
 * @returns {Promise<string>} all that it printed
 * @throws {Error} with that, when it fails
 */
export async function run([program, ...args], { cwd }) {
  const running = execute(program, args, { cwd, env, timeout: HANG_MS, maxBuffer: 2 ** 26 });
  running.child.stdin?.end();
  try {
    const { stdout, stderr } = await running;
    return stdout + stderr;
  } catch (error) {
    const { message, stdout = '', stderr = '' } = /** @type {Error & { stdout?: string, stderr?: string }} */ (error);
    throw new Error(`${message}\n${stdout}${stderr}`, { cause: error });
  }
}

/**
 * Starts a server that says on which port it listens.
 *
 * @param {string[]} command
 * @param {object} options
 * @param {string} options.cwd
 * @returns {Promise<{ url: string, output: () => string, close: () => Promise<void> }>}
 */
export async function start([program, ...args], { cwd }) {
  const server = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const ended = new Promise((done) => server.once('close', done));
  const close = async () => {
    server.kill();
    await ended;
  };
  const url = await new Promise((found, fail) => {
    const look = (/** @type {Buffer} */ chunk) => {
      output += chunk;
      const [address] = /http:\/\/(localhost|127\.0\.0\.1):\d+\//.exec(output) ?? [];
      if (address) found(address);
    };
    server.stdout.on('data', look);
    server.stderr.on('data', look);
    ended.then(() => fail(new Error(`${program} ended:\n${output}`)));
    setTimeout(() => fail(new Error(`${program} names no address:\n${output}`)), HANG_MS).unref();
  }).catch(async (error) => {
    await close();
    throw error;
  });
  return { url, output: () => output, close };
}

/**
 * @param {string} folder
 * @returns {string[]} the paths of the JavaScript files in it and in its folders
 */
export function scriptsIn(folder) {
  return readdirSync(folder, { recursive: true }).map(String).filter((file) => /\.m?js$/.test(file))
    .map((file) => join(folder, file));
}
