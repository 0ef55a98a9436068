/** Checkpoints in the storage of every browser: they outlive the page, and the run goes on with Node's bits. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { serve } from '../../web-demo/page/serve.js';
import { browsers } from './browsers.js';

/** @type {{ url: string, close: () => Promise<void> }} */
let server;
before(async () => { server = await serve(fileURLToPath(new URL('../..', import.meta.url))); });
after(() => server?.close());

/**
 * Steps of a run, from its beginning or from a file. Runs in Node and in pages.
 *
 * @param {number} from
 * @param {number} to
 * @param {number[] | null} saved
 */
async function run(from, to, saved) {
  const { LossScaleOptimizer, RMSprop, variable } = await import('rmsprop-wasm');
  const v = variable([1, -2, 3, 0.5, 1e-3], { name: 'w' });
  const inner = new RMSprop({ name: 'run', learningRate: 0.1, momentum: 0.9, centered: true, useEma: true, gradientAccumulationSteps: 3 });
  const optimizer = new LossScaleOptimizer(inner, { dynamicGrowthSteps: 3, name: 'scale' });
  optimizer.build([v]);
  if (saved) optimizer.load(Uint8Array.from(saved));
  for (let step = from; step < to; step++) optimizer.apply([v.data.map((x) => (x + step) * 1000)], [v]);
  return [...optimizer.save({ variables: true })];
}

/**
 * Runs in pages, or with another storage in Node.
 *
 * @param {number[]} bytes
 */
async function keep(bytes) {
  const { saveItem, toBlob } = await import(/** @type {any} */ ('/js/storage.js'));
  await saveItem('run', Uint8Array.from(bytes));
  return toBlob(Uint8Array.from(bytes)).size;
}

async function find() {
  const { deleteItem, listItems, loadItem } = await import(/** @type {any} */ ('/js/storage.js'));
  const [names, bytes] = [await listItems(), await loadItem('run')];
  await deleteItem('run');
  return { names, bytes: [...bytes], rest: await listItems() };
}

for (const browser of browsers) {
  const name = `${browser.name} ${browser.version}`.trim();
  test(`a run that is stored in ${name} goes on after a reload, and in Node, with equal bits`, { skip: browser.missing }, async (t) => {
    const page = await browser.open();
    t.after(() => page.close());
    await page.goto(`${server.url}tests/browsers/page.html`);
    const half = await page.evaluate(run, 0, 5, null);
    assert.equal(await page.evaluate(keep, half), half.length);
    await page.goto(`${server.url}tests/browsers/page.html?again`);
    const found = await page.evaluate(find);
    assert.deepEqual(found, { names: ['run'], bytes: half, rest: [] });
    const straight = await run(0, 11, null);
    assert.deepEqual(await page.evaluate(run, 5, 11, found.bytes), straight);
    assert.deepEqual(await run(5, 11, half), straight);
    assert.deepEqual(await page.problems(), []);
  });
}
