/**
 * Pools of threads in pages: the bits of one thread where a page is cross-origin isolated, from the repository's own
 * files; a clear error where it is not.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { serve } from '../../web-demo/page/serve.js';
import { browsers } from './browsers.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** @type {{ url: string, close: () => Promise<void> }} */
let plain;
/** @type {{ url: string, close: () => Promise<void> }} */
let isolated;
before(async () => { [plain, isolated] = [await serve(root), await serve(root, { isolated: true })]; });
after(() => Promise.all([plain?.close(), isolated?.close()]));

/**
 * Trains by pools of 1, 2 and 3 threads and without one. Runs in Node and in pages.
 *
 * @param {boolean} isInPage
 */
async function train(isInPage) {
  const { Memory, RMSprop, variable } = await import('rmsprop-wasm');
  const { ThreadPool } = await import('rmsprop-wasm/threads');
  const sumOf = (/** @type {Uint8Array} */ bytes) => bytes.reduce((sum, byte) => Math.imul(sum, 31) + byte | 0, 7);
  const SIZE = 500_001;
  const options = { learningRate: 0.01, momentum: 0.9, centered: true, globalClipnorm: 1, weightDecay: 0.01, useEma: true };
  const run = (/** @type {any} */ memory, /** @type {any} */ pool = undefined) => {
    // No sine here: engines differ in it.
    const v = variable(Float32Array.from({ length: SIZE }, (_, i) => (i * 7919 % 1009) / 1009 - 0.5), { memory });
    const optimizer = new RMSprop({ ...options, pool });
    optimizer.build([v]);
    v.gradientBuffer();
    for (let step = 0; step < 20; step++) {
      const g = /** @type {any} */ (v.gradient).data;
      for (let i = 0; i < SIZE; i++) g[i] = ((i + step) * 31 % 97) / 97 - 0.4;
      optimizer.step();
    }
    return sumOf(new Uint8Array(v.data.buffer, v.byteOffset, SIZE * 4));
  };
  const sums = [run(new Memory())];
  for (const threads of isInPage ? [1, 2, 3] : []) {
    const pool = await ThreadPool.create({ threads });
    sums.push(run(pool.memory, pool));
    await pool.close();
    let message = '';
    try {
      run(pool.memory, pool);
    } catch (error) {
      message = String(error);
    }
    if (message !== 'Error: the pool is closed') throw new Error(`after close: ${message}`);
  }
  const pool = isInPage ? await ThreadPool.create() : undefined;
  const cores = pool?.threads;
  await pool?.close();
  return { sums, cores: cores === undefined || cores === navigator.hardwareConcurrency };
}

/** What `ThreadPool.create` says. */
async function attempt() {
  const { ThreadPool } = await import('rmsprop-wasm/threads');
  try {
    const pool = await ThreadPool.create({ threads: 2 });
    await pool.close();
    return 'a pool';
  } catch (error) {
    return String(error);
  }
}

for (const browser of browsers) {
  const name = `${browser.name} ${browser.version}`.trim();

  test(`1, 2 and 3 threads give Node's bits in an isolated page in ${name}, if it has such`, { skip: browser.missing }, async (t) => {
    const page = await browser.open();
    t.after(() => page.close());
    await page.goto(`${isolated.url}tests/browsers/page.html`);
    if (!await page.evaluate(() => 'SharedArrayBuffer' in globalThis)) {
      assert.match(await page.evaluate(attempt), /^Error: a ThreadPool needs memory .* which this engine does not have/);
      t.diagnostic('it has no SharedArrayBuffer, and says so');
      return;
    }
    const { sums: [expected] } = await train(false);
    const { sums, cores } = await page.evaluate(train, true);
    assert.deepEqual(sums, Array(4).fill(expected));
    assert.ok(cores, 'a pool is as large as the machine');
    assert.deepEqual(await page.problems(), []);
  });

  test(`a page in ${name} that is not isolated is told what it needs`, { skip: browser.missing }, async (t) => {
    const page = await browser.open();
    t.after(() => page.close());
    await page.goto(`${plain.url}tests/browsers/page.html`);
    assert.match(await page.evaluate(attempt),
      /^Error: a ThreadPool needs memory that threads share, which a page has only when it is cross-origin isolated: serve it with/);
    assert.deepEqual(await page.problems(), []);
  });
}
