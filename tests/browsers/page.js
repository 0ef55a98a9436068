/** What a test does with a page, the same in every browser. */
import { HANG_MS, inTime } from './programs.js';

/**
 * @typedef {object} Problem something that went wrong in the page, whether or not the page noticed
 * @property {'console' | 'page' | 'request'} kind an error on the console, an exception that nobody caught, a request that
 *   failed or was answered with 400 or above. In WebKit, what goes wrong before a page is half read may be missed.
 * @property {string} text
 */
/**
 * @typedef {object} Driver how a browser is made to do it
 * @property {(url: string) => Promise<void>} goto until the load event
 * @property {(expression: string) => Promise<string>} evaluate a JavaScript expression whose value is a promise of a string
 * @property {(width: number, height: number) => Promise<void>} setViewport in CSS pixels
 * @property {() => Promise<Uint8Array>} screenshot PNG
 * @property {(x: number, y: number) => Promise<void>} move the pointer, in CSS pixels of the viewport
 * @property {() => Promise<void>} down the main button
 * @property {() => Promise<void>} up
 * @property {(key: string) => Promise<void>} press a key by its name in `KeyboardEvent.key`
 * @property {(text: string) => Promise<void>} type
 * @property {() => Promise<void>} close the page and its browser
 * @property {() => Promise<Problem[]>} problems
 */

/** Limit of a wait for what a page is to do. It counts polls instead of time: on a busy machine each takes longer. */
const MAX_POLLS = 2400;

/** Milliseconds between two polls. */
const PAUSE_MS = 50;

/**
 * @template T
 * @param {() => Promise<T>} get
 * @param {(value: T) => boolean} holds
 * @param {string} what is polled
 * @returns {Promise<T>} what it gives, once that holds
 */
export async function poll(get, holds, what) {
  let value = await get();
  for (let polls = 1; !holds(value); polls++) {
    if (polls === MAX_POLLS) throw new Error(`${holds} did not hold of ${what} in ${polls} polls: ${JSON.stringify(value)}`);
    await new Promise((done) => setTimeout(done, PAUSE_MS));
    value = await get();
  }
  return value;
}

/** One page, in a browser of its own. */
export class Page {
  #driver;

  /** @param {Driver} driver */
  constructor(driver) {
    this.#driver = driver;
  }

  /** @returns {Promise<Problem[]>} what has gone wrong so far, in order */
  problems() {
    return this.#driver.problems();
  }

  /**
   * @param {string} url
   * @returns {Promise<void>} when the page has loaded
   */
  goto(url) {
    return this.#driver.goto(url);
  }

  /**
   * Runs a function in the page. It sees nothing of where it is written: what it needs are arguments.
   *
   * @template {unknown[]} A
   * @template R
   * @param {(...args: A) => R} f may be asynchronous; it gives what JSON can carry
   * @param {A} args what JSON can carry
   * @returns {Promise<Awaited<R>>}
   * @throws {Error} what it throws in the page, by its text
   */
  evaluate(f, ...args) {
    return this.evaluateFor(HANG_MS, f, ...args);
  }

  /**
   * `evaluate`, with a limit of its own.
   *
   * @template {unknown[]} A
   * @template R
   * @param {number} milliseconds
   * @param {(...args: A) => R} f
   * @param {A} args
   * @returns {Promise<Awaited<R>>}
   */
  async evaluateFor(milliseconds, f, ...args) {
    const call = `(${f})(${args.map((arg) => JSON.stringify(arg) ?? 'undefined').join(', ')})`;
    const expression = `(async () => JSON.stringify({ value: await ${call} }))()`
      + '.catch((e) => JSON.stringify({ error: e instanceof Error ? `${e.name}: ${e.message}\\n${e.stack}` : String(e) }))';
    const { value, error } = JSON.parse(await inTime('The function in the page', milliseconds, this.#driver.evaluate(expression)));
    if (error !== undefined) throw new Error(`in the page: ${error}`);
    return value;
  }

  /**
   * @template {unknown[]} A
   * @template R
   * @param {(value: Awaited<R>) => boolean} holds
   * @param {(...args: A) => R} f as in `evaluate`
   * @param {A} args
   * @returns {Promise<Awaited<R>>} what it gives, once that holds
   */
  until(holds, f, ...args) {
    return poll(() => this.evaluate(f, ...args), holds, `${f}`);
  }

  /**
   * @template {unknown[]} A
   * @param {(...args: A) => unknown} f as in `evaluate`
   * @param {A} args
   * @returns {Promise<void>} once it gives something true
   */
  async waitFor(f, ...args) {
    await this.until(Boolean, f, ...args);
  }

  /**
   * @param {number} width CSS pixels; WebKit's window has a toolbar and becomes no narrower than it, some 450
   * @param {number} height
   * @returns {Promise<void>}
   */
  setViewport(width, height) {
    return this.#driver.setViewport(width, height);
  }

  /** @returns {Promise<Buffer>} what the viewport shows, as PNG */
  async screenshot() {
    return Buffer.from(await inTime('A screenshot', HANG_MS, this.#driver.screenshot()));
  }

  /**
   * @param {string} selector of an element, whose centre the pointer goes to
   * @returns {Promise<void>}
   */
  async hover(selector) {
    const [x, y] = await this.evaluate((/** @type {string} */ wanted) => {
      const element = document.querySelector(wanted);
      if (!element) throw new Error(`no element matches ${wanted}`);
      element.scrollIntoView({ block: 'nearest', inline: 'nearest', behavior: 'instant' });
      const { left, top, width, height } = element.getBoundingClientRect();
      return [left + width / 2, top + height / 2];
    }, selector);
    await this.#driver.move(x, y);
  }

  /**
   * @param {string} selector
   * @returns {Promise<void>}
   */
  async click(selector) {
    await this.hover(selector);
    await this.#driver.down();
    await this.#driver.up();
  }

  /**
   * Draws with the main button held.
   *
   * @param {readonly (readonly [x: number, y: number])[]} points CSS pixels of the viewport
   * @returns {Promise<void>}
   */
  async drag([[x, y], ...rest]) {
    await this.#driver.move(x, y);
    await this.#driver.down();
    for (const [toX, toY] of rest) await this.#driver.move(toX, toY);
    await this.#driver.up();
  }

  /**
   * @param {string} key as `KeyboardEvent.key` names it: 'Tab', 'ArrowLeft', 'a'
   * @returns {Promise<void>}
   */
  press(key) {
    return this.#driver.press(key);
  }

  /**
   * @param {string} text goes to the element in focus
   * @returns {Promise<void>}
   */
  type(text) {
    return this.#driver.type(text);
  }

  /** @returns {Promise<void>} once the browser has ended */
  close() {
    return this.#driver.close();
  }
}
