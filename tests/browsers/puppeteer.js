/** Drives Chromium, by the DevTools protocol, and Firefox, by WebDriver BiDi. */
import puppeteer from 'puppeteer-core';
import { HANG_MS, end, own } from './programs.js';

/** @typedef {import('./page.js').Driver} Driver */

/** A WebGL and a WebGPU that need no graphics card. */
const softwareGraphics = [
  '--use-angle=swiftshader', '--enable-unsafe-swiftshader',
  '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader',
];

/**
 * @param {'chrome' | 'firefox'} browser
 * @param {string} executablePath
 * @param {{ width: number, height: number }} viewport
 * @param {string[]} args
 * @returns {Promise<Driver>}
 */
export async function drivePuppeteer(browser, executablePath, viewport, args) {
  const root = process.getuid?.() === 0; // Chromium's sandbox refuses to run as root
  const running = await puppeteer.launch({
    browser,
    executablePath,
    headless: true,
    timeout: HANG_MS,
    protocolTimeout: 0, // Page has the limits
    handleSIGINT: false, // programs.js
    handleSIGTERM: false,
    handleSIGHUP: false,
    defaultViewport: null,
    args: browser === 'chrome' ? [...softwareGraphics, ...(root ? ['--no-sandbox'] : []), ...args] : args,
  });
  const program = running.process();
  own(program);
  const close = async () => {
    await running.close();
    if (program) end(program);
  };
  try {
    const [page] = await running.pages();
    await page.setViewport(viewport); // Firefox gives its first page none
    /** @type {import('./page.js').Problem[]} */
    const problems = [];
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push({ kind: 'console', text: message.text() });
    });
    page.on('pageerror', (error) => {
      problems.push({ kind: 'page', text: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
    });
    page.on('requestfailed', (request) => {
      problems.push({ kind: 'request', text: `${request.url()} ${request.failure()?.errorText ?? 'failed'}` });
    });
    page.on('response', (response) => {
      if (response.status() >= 400) problems.push({ kind: 'request', text: `${response.url()} ${response.status()}` });
    });
    return {
      problems: async () => [...problems],
      goto: async (url) => { await page.goto(url, { waitUntil: 'load', timeout: HANG_MS }); },
      evaluate: (expression) => /** @type {Promise<string>} */ (page.evaluate(expression)),
      setViewport: (width, height) => page.setViewport({ width, height }),
      screenshot: () => page.screenshot({ type: 'png' }),
      move: (x, y) => page.mouse.move(x, y),
      down: () => page.mouse.down(),
      up: () => page.mouse.up(),
      press: (key) => page.keyboard.press(/** @type {import('puppeteer-core').KeyInput} */ (key)),
      type: (text) => page.keyboard.type(text),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
