/**
 * The package under a strict Content-Security-Policy, and under one that forbids WebAssembly.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RMSprop, variable } from 'rmsprop-wasm';
import { serve } from '../../web-demo/page/serve.js';
import { browsers } from './browsers.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

const rest = "default-src 'none'; connect-src 'self'; img-src data:";
const policies = {
  allowing: `${rest}; script-src 'self' 'wasm-unsafe-eval'`,
  forbidding: `${rest}; script-src 'self'`,
};

/** What runs in the page: no import map there, for that would be an inline script. */
async function train() {
  const entry = '/js/index.js';
  const { Memory, RMSprop: Optimizer, variable: made } = /** @type {typeof import('../../js/index.js')} */ (await import(entry));
  const x = made([1, 2, 3]);
  const optimizer = new Optimizer({ momentum: 0.9 });
  const before = [Memory.default.bytesInUse, Memory.default.tensorCount];
  try {
    for (let step = 0; step < 3; step++) optimizer.apply([[1, -1, 2]], [x]);
  } catch (error) {
    const after = [Memory.default.bytesInUse, Memory.default.tensorCount];
    return { error: `${error}`, isTraceless: `${after}` === `${before}`, values: [...x.data], iterations: optimizer.iterations };
  }
  return { values: [...x.data], iterations: optimizer.iterations };
}

/** The same in Node. */
function expected() {
  const x = variable([1, 2, 3]);
  const optimizer = new RMSprop({ momentum: 0.9 });
  for (let step = 0; step < 3; step++) optimizer.apply([[1, -1, 2]], [x]);
  return { values: [...x.data], iterations: 3 };
}

for (const browser of browsers) {
  const name = `${browser.name} ${browser.version}`.trim();

  test(`under script-src 'self' 'wasm-unsafe-eval' it trains with Node's bits in ${name}`, { skip: browser.missing }, async (t) => {
    const server = await serve(root, { headers: { 'Content-Security-Policy': policies.allowing } });
    t.after(() => server.close());
    const page = await browser.open();
    t.after(() => page.close());
    await page.goto(`${server.url}tests/browsers/csp.html`);
    assert.equal(await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'document.title = "run"';
      document.head.append(script);
      return document.title;
    }), 'A page under a Content-Security-Policy', 'the policy is in force: no inline script runs');
    assert.deepEqual(await page.evaluate(train), expected());
  });

  test(`without 'wasm-unsafe-eval' the error says so, and nothing has changed, in ${name}`, { skip: browser.missing }, async (t) => {
    const server = await serve(root, { headers: { 'Content-Security-Policy': policies.forbidding } });
    t.after(() => server.close());
    const page = await browser.open();
    t.after(() => page.close());
    await page.goto(`${server.url}tests/browsers/csp.html`);
    const seen = await page.evaluate(train);
    // Chromium and Firefox refuse the module, WebKit the instance.
    assert.match(seen.error ?? '', new RegExp('^Error: the kernels could not be compiled \\(CompileError: [^]*\\): a page needs '
      + "'wasm-unsafe-eval' in the script-src of its Content-Security-Policy, "));
    assert.deepEqual({ ...seen, error: undefined }, { error: undefined, isTraceless: true, values: [1, 2, 3], iterations: 0 });
  });
}
