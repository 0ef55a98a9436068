/** Drives WebKitGTK's MiniBrowser, by WebDriver, on a screen that nobody sees. */
import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { Builder, Capabilities, Key, error } from 'selenium-webdriver';
import { end, inTime, output, start, whereIs } from './programs.js';

/** @typedef {import('./page.js').Driver} Driver */
/** @typedef {import('./page.js').Problem} Problem */

/** Milliseconds, for each of what has to start. */
const patience = 30_000;

/** Milliseconds that a page is given to load before it is asked for again. */
const NAVIGATION = 15_000;

/** No graphics card, and, in a container, no right to make the sandbox's namespaces. */
const environment = {
  LIBGL_ALWAYS_SOFTWARE: '1',
  WEBKIT_DISABLE_COMPOSITING_MODE: '1',
  WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
};

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
 * @param {string} program the path of Xvfb
 * @returns {Promise<[import('node:child_process').ChildProcess, display: string]>}
 */
async function startScreen(program) {
  const screen = start([program, '-displayfd', '3', '-screen', '0', '2560x1600x24', '-nolisten', 'tcp']);
  try {
    return [screen, `:${await inTime('Starting Xvfb', patience, firstLine(screen, 3))}`];
  } catch (error) {
    end(screen);
    throw error;
  }
}

/**
 * @param {{ driver: string, browser: string, screen: string }} programs
 * @param {{ width: number, height: number }} viewport
 * @param {string[]} args
 * @returns {Promise<Driver>}
 */
export async function driveWebKit(programs, viewport, args) {
  const [screen, display] = await startScreen(programs.screen);
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let server;
  const stop = () => {
    if (server) end(server);
    end(screen);
  };
  try {
    const port = await freePort();
    server = start([programs.driver, `--port=${port}`], { ...environment, DISPLAY: display });
    const url = `http://127.0.0.1:${port}`;
    await inTime('Starting WebKitWebDriver', patience, answers(`${url}/status`));
    const capabilities = new Capabilities({
      browserName: 'MiniBrowser',
      pageLoadStrategy: 'none', // see goto
      timeouts: { script: null }, // Page has the limits
      'webkitgtk:browserOptions': { binary: programs.browser, args: ['--automation', ...args] },
    });
    const session = await inTime('Starting MiniBrowser', patience, Promise.resolve(
      new Builder().disableEnvironmentOverrides().usingServer(url).withCapabilities(capabilities).build(),
    ));
    const driver = driverOf(session, stop);
    await driver.setViewport(viewport.width, viewport.height);
    return driver;
  } catch (error) {
    stop();
    throw error;
  }
}

/**
 * @param {import('selenium-webdriver').WebDriver} session
 * @param {() => void} stop ends all processes
 * @returns {Driver}
 */
function driverOf(session, stop) {
  /** @type {Problem[]} of pages that were left */
  const past = [];
  const present = async () => /** @type {Problem[]} */ (await session.executeScript('return globalThis.__problems ?? []'));
  return {
    problems: async () => [...past, ...await present()],

    // WebDriver cannot run a script ahead of a page's own. This runs one as soon as the new document is there, while it
    // is being read, so that it misses as little as can be.
    async goto(url) {
      past.push(...await present());
      await session.executeScript('globalThis.__isLeft = true');
      // MiniBrowser loses a navigation now and then: `Page` sets the limit for all of them.
      while (true) {
        await session.get(url);
        for (const end = performance.now() + NAVIGATION; performance.now() < end;) {
          const state = await session.executeScript(`if (globalThis.__isLeft) return '';
            (${collectProblems})(); return document.readyState;`).catch(unlessLeft);
          if (state === 'complete') return;
          await new Promise((done) => setTimeout(done, state === '' ? 5 : 20));
        }
      }
    },

    evaluate: (expression) => session.executeAsyncScript(`(${expression}).then(arguments[arguments.length - 1])`),

    async setViewport(width, height) {
      const inner = async () => /** @type {number[]} */ (await session.executeScript('return [innerWidth, innerHeight]'));
      // How much the window has around its page is not known, and it takes a new size at its leisure.
      const window = session.manage().window();
      for (let tries = 0; tries < 30; tries++) {
        const [w, h] = await inner();
        if (w === width && h === height) return;
        const rect = await window.getRect();
        await window.setRect({ x: 0, y: 0, width: rect.width + width - w, height: rect.height + height - h });
        await new Promise((done) => setTimeout(done, 100));
      }
      throw new Error(`the viewport did not become ${width} x ${height}, but ${(await inner()).join(' x ')}`);
    },

    screenshot: async () => Buffer.from(await session.takeScreenshot(), 'base64'),

    async move(x, y) {
      await session.actions().move({ x: Math.round(x), y: Math.round(y), duration: 0 }).perform();
    },
    down: () => session.actions().press().perform(),
    up: () => session.actions().release().perform(),

    press: (key) => session.actions().sendKeys(keyCode(key)).perform(),
    type: (text) => session.actions().sendKeys(text).perform(),

    async close() {
      try {
        await inTime('Ending MiniBrowser', 5000, session.quit());
      } catch {
        // It is ended below, asked or not.
      }
      stop();
    },
  };
}

/**
 * @param {unknown} failure of a script
 * @returns {string} '' if its document was just being left
 * @throws {unknown} what else it is
 */
function unlessLeft(failure) {
  if (failure instanceof error.NoSuchFrameError) return '';
  throw failure;
}

/** Runs in the page: keeps what goes wrong from now on in `__problems`. */
function collectProblems() {
  const page = /** @type {any} */ (globalThis);
  if (page.__problems) return;
  /** @type {Problem[]} */
  const problems = page.__problems = [];
  const say = console.error;
  console.error = (...args) => {
    problems.push({ kind: 'console', text: args.map(String).join(' ') });
    say.apply(console, args);
  };
  page.addEventListener('error', (/** @type {ErrorEvent} */ event) => {
    const target = /** @type {any} */ (event.target);
    if (target === page) problems.push({ kind: 'page', text: String(event.error ?? event.message) });
    else problems.push({ kind: 'request', text: `${target.src ?? target.href} failed` });
  }, true);
  page.addEventListener('unhandledrejection', (/** @type {PromiseRejectionEvent} */ event) => {
    problems.push({ kind: 'page', text: String(event.reason) });
  });
  const { fetch } = page;
  page.fetch = async (/** @type {unknown[]} */ ...args) => {
    try {
      const response = await fetch.apply(page, args);
      if (response.status >= 400) problems.push({ kind: 'request', text: `${response.url} ${response.status}` });
      return response;
    } catch (failure) {
      problems.push({ kind: 'request', text: `${args[0]} ${failure}` });
      throw failure;
    }
  };
}

/**
 * @param {string} key by its name in `KeyboardEvent.key`
 * @returns {string} as WebDriver sends it
 */
function keyCode(key) {
  if (key.length === 1) return key;
  const name = key.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();
  const code = /** @type {Record<string, any>} */ (Key)[name === 'BACKSPACE' ? 'BACK_SPACE' : name];
  if (typeof code !== 'string') throw new TypeError(`key must be a name of KeyboardEvent.key, got ${key}`);
  return code;
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {number} descriptor
 * @returns {Promise<string>} the first line it writes there
 */
function firstLine(child, descriptor) {
  return new Promise((done, fail) => {
    createInterface(/** @type {import('node:stream').Readable} */ (child.stdio[descriptor])).once('line', done);
    child.once('error', fail);
    child.once('exit', (code) => fail(new Error(`${child.spawnfile} ended with exit code ${code}`)));
  });
}

/** @returns {Promise<number>} one that nobody listens at */
function freePort() {
  return new Promise((done, fail) => {
    const server = createServer().once('error', fail).listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => done(port));
    });
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
