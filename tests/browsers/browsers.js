/**
 * Chromium, Firefox and WebKitGTK under one interface, for the tests that run in browsers.
 *
 *     for (const browser of browsers) {
 *       test(`addition in ${browser.name}`, { skip: browser.missing }, async (t) => {
 *         const page = await browser.open();
 *         t.after(() => page.close());
 *         await page.goto(url);
 *         assert.equal(await page.evaluate((a, b) => a + b, 1, 2), 3);
 *         assert.deepEqual(await page.problems(), []);
 *       });
 *     }
 *
 * What a page can do stands in page.js; how a browser is made to do it, in puppeteer.js and webkit.js.
 */
import { Page } from './page.js';
import { output, whereIs } from './programs.js';
import { drivePuppeteer } from './puppeteer.js';
import { webKitPrograms, webKitVersion } from './webkit-session.js';
import { driveWebKit } from './webkit.js';

/**
 * @typedef {object} OpenOptions
 * @property {{ width: number, height: number }} [viewport] CSS pixels; default 1024 x 768
 * @property {string[]} [args] for the browser's command line, in addition
 */
/**
 * @typedef {object} Browser
 * @property {'Chromium' | 'Firefox' | 'WebKit'} name
 * @property {string} version '' if it is missing
 * @property {string | false} missing why its tests are skipped, as node:test's `skip` takes it; false if it is there
 * @property {(options?: OpenOptions) => Promise<Page>} open a page in a browser process of its own, for the caller to close
 */

const standard = { width: 1024, height: 768 };

/** Every browser that the tests know, whether or not this machine has it. @type {Browser[]} */
export const browsers = [
  byPuppeteer('Chromium', 'chrome', ['chromium', 'chromium-browser', 'google-chrome']),
  byPuppeteer('Firefox', 'firefox', ['firefox-esr', 'firefox']),
  await webKit(),
];

/**
 * @param {'Chromium' | 'Firefox'} name
 * @param {'chrome' | 'firefox'} kind
 * @param {string[]} programs what it may be called
 * @returns {Browser}
 */
function byPuppeteer(name, kind, programs) {
  const path = whereIs(programs);
  return {
    name,
    version: path ? versionIn(output([path, '--version'])) : '',
    missing: path ? false : missing(name, [programs[0]]),
    open: async ({ viewport = standard, args = [] } = {}) =>
      new Page(await drivePuppeteer(kind, present(name, path), viewport, args)),
  };
}

/** @returns {Promise<Browser>} */
async function webKit() {
  const name = 'WebKit';
  const { driver, browser, screen } = webKitPrograms();
  const absent = Object.entries({ WebKitWebDriver: driver, MiniBrowser: browser, Xvfb: screen })
    .filter(([, path]) => !path).map(([program]) => program);
  return {
    name,
    version: absent.length === 0 ? versionIn(await webKitVersion(present(name, screen), present(name, browser))) : '',
    missing: absent.length === 0 ? false : missing(name, absent),
    async open({ viewport = standard, args = [] } = {}) {
      const programs = { driver: present(name, driver), browser: present(name, browser), screen: present(name, screen) };
      return new Page(await driveWebKit(programs, viewport, args));
    },
  };
}

/**
 * @param {string} name
 * @param {string[]} programs
 * @returns {string}
 */
function missing(name, programs) {
  return `${name} is not on this machine (no ${programs.join(', no ')}): node tests/setup.js installs it on Debian`;
}

/**
 * @param {string} name
 * @param {string | undefined} path
 * @returns {string} the path
 */
function present(name, path) {
  if (path === undefined) throw new Error(`${name} is not on this machine`);
  return path;
}

/**
 * @param {string} text
 * @returns {string} the first number with dots in it
 */
function versionIn(text) {
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? '';
}
