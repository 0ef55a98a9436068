/**
 * Drives WebKitGTK's MiniBrowser, by WebDriver.
 *
 * A page that is cross-origin isolated moves to another browsing context group, and now and then the session loses its
 * window by that: so an isolated page has a session of its own, and another one when it is lost. Plain pages share one.
 */
import { Key, error } from 'selenium-webdriver';
import { HANG_MS, LateError, end, inTime } from './programs.js';
import { startScreen, startSession } from './webkit-session.js';

/** @typedef {import('./page.js').Driver} Driver */
/** @typedef {import('./page.js').Problem} Problem */

/**
 * Milliseconds that a page may take to load in each session that is tried. That of an isolated page may be lost, and then
 * does nothing for ever; where the machine was only slow, the next one has twice the time.
 */
const LIMITS_MS = { plain: [HANG_MS], isolated: [10_000, 20_000, 40_000, 80_000, 160_000, 320_000] };

/** What this process asked for, and how many sessions were lost by that. */
export const navigations = { plain: { count: 0, lost: 0 }, isolated: { count: 0, lost: 0 } };

/**
 * @param {{ driver: string, browser: string, screen: string }} programs
 * @param {{ width: number, height: number }} viewport
 * @param {string[]} args
 * @returns {Promise<Driver>}
 */
export async function driveWebKit(programs, viewport, args) {
  const [screen, display] = await startScreen(programs.screen);
  const driver = new WebKit(() => startSession(programs, display, args), () => end(screen), viewport);
  try {
    await driver.renew();
    return driver;
  } catch (error) {
    await driver.close();
    throw error;
  }
}

/** @implements {Driver} */
class WebKit {
  #startSession;
  #endScreen;
  #viewport;
  /** @type {import('./webkit-session.js').Session | undefined} */
  #session;
  /** What the session has loaded. @type {'nothing' | 'plain' | 'isolated'} */
  #loaded = 'nothing';
  /** Of pages that were left. @type {Problem[]} */
  #past = [];

  /**
   * @param {() => Promise<import('./webkit-session.js').Session>} startSession
   * @param {() => void} endScreen
   * @param {{ width: number, height: number }} viewport of the first page
   */
  constructor(startSession, endScreen, viewport) {
    this.#startSession = startSession;
    this.#endScreen = endScreen;
    this.#viewport = viewport;
  }

  get #webDriver() {
    if (!this.#session) throw new Error('WebKit has no session');
    return this.#session.webDriver;
  }

  /** Ends the session and its processes, if there is one, and starts another. */
  async renew() {
    this.#session?.end();
    this.#session = undefined;
    this.#session = await this.#startSession();
    this.#loaded = 'nothing';
    await this.setViewport(this.#viewport.width, this.#viewport.height);
  }

  async problems() {
    return [...this.#past, ...await this.#presentProblems()];
  }

  /** @returns {Promise<Problem[]>} */
  #presentProblems() {
    return this.#webDriver.executeScript('return globalThis.__problems ?? []');
  }

  /** @param {string} url */
  async goto(url) {
    this.#past.push(...await this.#presentProblems());
    const kind = await isIsolated(url) ? 'isolated' : 'plain';
    if (this.#loaded !== 'nothing' && (kind === 'isolated' || this.#loaded === 'isolated')) await this.renew();
    navigations[kind].count++;
    for (const [tried, limit] of LIMITS_MS[kind].entries()) {
      this.#loaded = kind;
      try {
        return await inTime(`Loading ${url} in WebKit`, limit, load(this.#webDriver, url));
      } catch (failure) {
        if (!(failure instanceof LateError || failure instanceof error.NoSuchWindowError)) throw failure;
        const { count, lost } = navigations[kind];
        navigations[kind].lost = lost + 1;
        console.log(`${failure.message}: its session is lost. Pages asked for: ${count} ${kind}. Sessions lost by them: ${lost + 1}.`);
        if (tried + 1 === LIMITS_MS[kind].length) throw failure;
        await this.renew();
      }
    }
  }

  /** @param {string} expression */
  evaluate(expression) {
    return /** @type {Promise<string>} */ (
      this.#webDriver.executeAsyncScript(`(${expression}).then(arguments[arguments.length - 1])`));
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  async setViewport(width, height) {
    this.#viewport = { width, height };
    const inner = async () => /** @type {number[]} */ (await this.#webDriver.executeScript('return [innerWidth, innerHeight]'));
    // How much the window has around its page is not known, and it takes a new size some time after it was told.
    const window = this.#webDriver.manage().window();
    for (let tries = 0; tries < 300; tries++) {
      const [w, h] = await inner();
      if (w === width && h === height) return;
      const rect = await window.getRect();
      await window.setRect({ x: 0, y: 0, width: rect.width + width - w, height: rect.height + height - h });
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error(`the viewport did not become ${width} x ${height}, but ${(await inner()).join(' x ')}`);
  }

  async screenshot() {
    return Buffer.from(await this.#webDriver.takeScreenshot(), 'base64');
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  async move(x, y) {
    await this.#webDriver.actions().move({ x: Math.round(x), y: Math.round(y), duration: 0 }).perform();
  }

  down() {
    return this.#webDriver.actions().press().perform();
  }

  up() {
    return this.#webDriver.actions().release().perform();
  }

  /** @param {string} key */
  press(key) {
    return this.#webDriver.actions().sendKeys(keyCode(key)).perform();
  }

  /** @param {string} text */
  type(text) {
    return this.#webDriver.actions().sendKeys(text).perform();
  }

  async close() {
    this.#session?.end();
    this.#session = undefined;
    this.#endScreen();
  }
}

/**
 * @param {string} url
 * @returns {Promise<boolean>} whether its headers ask for a browsing context group of its own
 */
async function isIsolated(url) {
  const { headers, body } = await fetch(url);
  await body?.cancel();
  return (headers.get('Cross-Origin-Opener-Policy') ?? 'unsafe-none') !== 'unsafe-none';
}

/**
 * WebDriver cannot run a script ahead of a page's own. This runs one as soon as the new document is there, while it is
 * being read, so that it misses as little as can be.
 *
 * @param {import('selenium-webdriver').WebDriver} webDriver
 * @param {string} url
 * @returns {Promise<void>} at the load event
 */
async function load(webDriver, url) {
  await webDriver.executeScript('globalThis.__isLeft = true');
  await webDriver.get(url);
  while (true) {
    const state = await webDriver.executeScript(`if (globalThis.__isLeft) return '';
      (${collectProblems})(); return document.readyState;`).catch(unlessLeft);
    if (state === 'complete') return;
    await new Promise((done) => setTimeout(done, state === '' ? 5 : 20));
  }
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
