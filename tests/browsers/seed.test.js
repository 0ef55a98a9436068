/**
 * The README's first example in every browser, from the repository's own files, which no bundler has seen: the bits are
 * Node's. And what the harness promises of a page.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { serve } from '../../web-demo/page/serve.js';
import { browsers } from './browsers.js';
import { poll } from './page.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** @type {{ url: string, close: () => Promise<void> }} */
let plain;
/** @type {{ url: string, close: () => Promise<void> }} */
let isolated;
before(async () => { [plain, isolated] = [await serve(root), await serve(root, { isolated: true })]; });
after(() => Promise.all([plain?.close(), isolated?.close()]));

/** The README's example, and the same with everything that has a slot. Runs in Node and in pages. */
async function seed() {
  const { RMSprop, variable } = await import('rmsprop-wasm');
  const x = variable(10);
  const optimizer = new RMSprop({ learningRate: 0.1 });
  optimizer.minimize(() => ({ loss: x.data[0] ** 2 / 2, gradients: [x.data] }), [x]);

  const y = variable(Array.from({ length: 67 }, (_, i) => (i - 33) / 7));
  const all = new RMSprop({ learningRate: 0.1, momentum: 0.9, centered: true, weightDecay: 0.01, globalClipnorm: 1, useEma: true });
  for (let step = 0; step < 20; step++) all.apply([y.data], [y]);
  const { buffer, byteOffset, byteLength } = y.data;
  return { printed: x.data[0].toFixed(6), bits: [...new Uint8Array(buffer, byteOffset, byteLength)] };
}

for (const browser of browsers) {
  const name = `${browser.name} ${browser.version}`.trim();

  test(`the first example of the README gives Node's bits in ${name}`, { skip: browser.missing }, async (t) => {
    const page = await browser.open();
    t.after(() => page.close());
    await page.goto(`${plain.url}tests/browsers/page.html`);
    assert.equal((await seed()).printed, '9.683772');
    assert.deepEqual(await page.evaluate(seed), await seed());
    assert.deepEqual(await page.problems(), []);
  });

  test(`a page in ${name} is isolated where it was asked for, and takes pointer and keys`, { skip: browser.missing }, async (t) => {
    const page = await browser.open({ viewport: { width: 640, height: 480 } });
    t.after(() => page.close());
    for (const [{ url }, expected] of /** @type {const} */ ([[plain, false], [isolated, true]])) {
      await page.goto(`${url}tests/browsers/page.html`);
      assert.equal(await page.evaluate(() => crossOriginIsolated), expected);
    }
    await page.evaluate(() => {
      document.body.innerHTML = '<p style="height: 2000px"></p><input><canvas width="90" height="90"></canvas>';
      /** @type {any} */ (globalThis).strokes = [];
      const canvas = /** @type {HTMLCanvasElement} */ (document.querySelector('canvas'));
      canvas.addEventListener('pointermove', (event) => {
        if (event.buttons === 1) /** @type {any} */ (globalThis).strokes.push(Math.round(event.offsetX));
      });
    });
    await page.click('input');
    await page.type('loss 0');
    for (const key of ['Backspace', 'ArrowLeft', '5']) await page.press(key);
    assert.equal(await page.evaluate(() => document.querySelector('input')?.value), 'loss5 ');

    await page.hover('canvas');
    const [left, top] = await page.evaluate(() => {
      const box = /** @type {Element} */ (document.querySelector('canvas')).getBoundingClientRect();
      return [Math.ceil(box.left), Math.ceil(box.top)];
    });
    await page.drag([[left + 10, top + 10], [left + 30, top + 10], [left + 50, top + 20]]);
    const strokes = await page.evaluate(() => /** @type {number[]} */ (/** @type {any} */ (globalThis).strokes));
    assert.ok(strokes.length >= 2, `${strokes}`);
    assert.ok(Math.abs(/** @type {number} */ (strokes.at(-1)) - 50) <= 1, `${strokes}`);

    assert.deepEqual(await page.evaluate(() => [innerWidth, innerHeight]), [640, 480]);
    await page.setViewport(480, 500);
    assert.deepEqual(await page.evaluate(() => [innerWidth, innerHeight]), [480, 500]);
    const png = await page.screenshot();
    assert.equal(png.toString('latin1', 1, 4), 'PNG');
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [480, 500]);
    assert.deepEqual(await page.problems(), []);
  });

  test(`what goes wrong in a page in ${name} is seen`, { skip: browser.missing }, async (t) => {
    const page = await browser.open();
    t.after(() => page.close());
    await page.goto(`${plain.url}tests/browsers/page.html`);
    await assert.rejects(page.evaluate(() => { throw new RangeError('thrown in the page'); }), /RangeError: thrown in the page/);
    await assert.rejects(page.evaluateFor(300, () => new Promise(() => {})), /took longer than 0.3 s/);
    await page.evaluate(async () => {
      console.error('said by console.error');
      setTimeout(() => { throw new TypeError('caught by nobody'); });
      Promise.reject(new Error('handled by nobody'));
      await fetch('no-such-file');
    });
    const wanted = [
      /^console: .*said by console.error/m, /^page: .*caught by nobody/m, /^page: .*handled by nobody/m, /^request: .*no-such-file.*404/m,
    ];
    const seen = async () => (await page.problems()).map(({ kind, text }) => `${kind}: ${text}`).join('\n');
    await poll(seen, (text) => wanted.every((problem) => problem.test(text)), 'the problems');
  });
}
