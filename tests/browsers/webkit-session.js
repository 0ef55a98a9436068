/** Sessions of WebKitGTK's MiniBrowser, each with processes of its own, and the programs that they take. */
import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Builder, Capabilities } from 'selenium-webdriver';
import { HANG_MS, end, inTime, output, start, whereIs } from './programs.js';

/** No graphics card, and, in a container, no right to make the sandbox's namespaces. */
const environment = {
  LIBGL_ALWAYS_SOFTWARE: '1',
  WEBKIT_DISABLE_COMPOSITING_MODE: '1',
  WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
};

/** An address of the loopback network that no other process on this machine takes: a port that is free there stays free. */
const host = `127.${[16, 8, 0].map((shift) => (process.pid >> shift) & 255).join('.')}`;
let port = 4444;

/** @returns {{ driver?: string, browser?: string, screen?: string }} the programs that it takes, where they are there */
export function webKitPrograms() {
  return {
    driver: whereIs(['WebKitWebDriver']),
    browser: whereIs(['MiniBrowser'], miniBrowserFolders()),
    screen: whereIs(['Xvfb']),
  };
}

/** @returns {string[]} where distributions put MiniBrowser, which is in no PATH: /usr/lib/x86_64-linux-gnu/webkit2gtk-4.1 */
function miniBrowserFolders() {
  return ['/usr/lib', '/usr/lib64', '/usr/libexec'].flatMap((folder) => {
    const inside = subfolders(folder);
    return [...inside, ...inside.flatMap(subfolders)];
  }).filter((folder) => /\/webkit2?gtk-?[\d.]+$/.test(folder));
}

/**
 * @param {string} folder
 * @returns {string[]} none where it cannot be read
 */
function subfolders(folder) {
  try {
    return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
      .map(({ name }) => `${folder}/${name}`);
  } catch {
    return [];
  }
}

/**
 * @param {string} screen the path of Xvfb
 * @param {string} browser the path of MiniBrowser, which says nothing without a screen
 * @returns {Promise<string>} what it says its version is
 */
export async function webKitVersion(screen, browser) {
  const [process, display] = await startScreen(screen);
  const version = output([browser, '--version'], { ...environment, DISPLAY: display });
  end(process);
  return version;
}

/**
 * @param {string} program the path of Xvfb, the screen that nobody sees
 * @returns {Promise<[import('node:child_process').ChildProcess, display: string]>}
 */
export async function startScreen(program) {
  const screen = start([program, '-displayfd', '3', '-screen', '0', '2560x1600x24', '-nolisten', 'tcp']);
  try {
    return [screen, `:${await inTime('Starting Xvfb', HANG_MS, firstLine(screen, 3))}`];
  } catch (error) {
    end(screen);
    throw error;
  }
}

/**
 * @typedef {object} Session
 * @property {import('selenium-webdriver').WebDriver} webDriver
 * @property {() => void} end ends its processes at once
 */

/**
 * @param {{ driver: string, browser: string }} programs
 * @param {string} display
 * @param {string[]} args of MiniBrowser
 * @returns {Promise<Session>} with an empty page
 */
export async function startSession({ driver, browser }, display, args) {
  const url = `http://${host}:${++port}`;
  const server = start([driver, `--host=${host}`, `--port=${port}`], { ...environment, DISPLAY: display });
  try {
    await inTime('Starting WebKitWebDriver', HANG_MS, Promise.race([answers(`${url}/status`), failsAtExit(server)]));
    const capabilities = new Capabilities({
      browserName: 'MiniBrowser',
      pageLoadStrategy: 'none', // the driver watches a page load
      timeouts: { script: null }, // Page has the limits
      'webkitgtk:browserOptions': { binary: browser, args: ['--automation', ...args] },
    });
    const webDriver = await inTime('Starting MiniBrowser', HANG_MS, Promise.resolve(
      new Builder().disableEnvironmentOverrides().usingServer(url).withCapabilities(capabilities).build(),
    ));
    return { webDriver, end: () => end(server) };
  } catch (error) {
    end(server);
    throw error;
  }
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {number} descriptor
 * @returns {Promise<string>} the first line it writes there
 */
function firstLine(child, descriptor) {
  return new Promise((done, fail) => {
    createInterface(/** @type {import('node:stream').Readable} */ (child.stdio[descriptor])).once('line', done);
    failsAtExit(child).catch(fail);
  });
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @returns {Promise<never>} fails once it has ended, or could not be started
 */
function failsAtExit(child) {
  return new Promise((_, fail) => {
    child.once('error', fail);
    child.once('exit', (code) => fail(new Error(`${child.spawnfile} ended with exit code ${code}`)));
  });
}

/**
 * @param {string} url
 * @returns {Promise<void>} once somebody answers there
 */
async function answers(url) {
  while (true) {
    try {
      await fetch(url);
      return;
    } catch {
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
