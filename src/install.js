/**
 * Makes the packages of a folder's package-lock.json present, by `npm ci`, unless they are.
 *
 *     node src/install.js web-demo     (what `npm start` does first)
 *
 * Runs before anything is installed: it may import nothing but what Node 18 brings.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Says nothing when there is nothing to do, and one line before it installs.
 *
 * @param {string} folder with a package.json and its package-lock.json
 * @throws {Error} with a message for people, when npm is missing or fails
 */
export function installManifest(folder) {
  const lock = readFileSync(join(folder, 'package-lock.json'));
  const hash = createHash('sha256').update(lock).digest('hex');
  // npm ci empties node_modules first: the note is there only if it ended well, and for this lock.
  const note = join(folder, 'node_modules', '.rmsprop-lock-hash');
  if (readIfThere(note) === hash) return;

  const name = basename(resolve(folder));
  const count = Object.keys(JSON.parse(lock.toString()).packages).filter((path) => path !== '').length;
  console.log(`Installing ${count} packages for ${name} (once, from the npm registry) ...`);
  const start = performance.now();
  const { status, error, stdout, stderr } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    shell: process.platform === 'win32', // there npm is a .cmd
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  if (error) {
    throw new Error(`npm could not be started (${error.message}): install Node.js 18 or newer together with npm`);
  }
  if (status !== 0) {
    throw new Error(
      `${stdout}${stderr}npm ci in ${name} failed (exit code ${status}). It needs the npm registry, or a filled npm ` +
        'cache; behind a proxy, set npm\'s "proxy" and "registry". Then run this again.',
    );
  }
  writeFileSync(note, hash);
  console.log(`  ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

/**
 * @param {string} file
 * @returns {string | undefined} its text
 */
function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const folders = process.argv.slice(2);
  if (folders.length === 0) {
    console.error('usage: node src/install.js <folder>...');
    process.exit(2);
  }
  try {
    for (const folder of folders) installManifest(folder);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
