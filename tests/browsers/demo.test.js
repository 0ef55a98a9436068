/**
 * The built demo in every browser, under a policy that forbids making code from text: it learns, to the bit as in Node,
 * and does what its buttons say. Screenshots are left in build/demo-screenshots, to be looked at.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { firstExamples } from '../../web-demo/data/mnist.js';
import { loadMnist } from '../../web-demo/data/mnist-node.js';
import { buildDemo } from '../../web-demo/page/build.js';
import { fromQuery } from '../../web-demo/page/configuration.js';
import { Race } from '../../web-demo/page/race.js';
import { serve } from '../../web-demo/page/serve.js';
import { makeToySet, toySets } from '../../web-demo/data/toy.js';
import { browsers } from './browsers.js';

const screenshots = fileURLToPath(new URL('../../build/demo-screenshots', import.meta.url));

/** As the page's own, but for its workers too, which a policy in the page does not reach. */
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
  + "connect-src 'self'; worker-src 'self'";

/** Two optimizers on few images. */
const STEPS = 160;
const QUERY = `examples=4000&hidden=32&batch=50&seed=4&evaluateEvery=80&until=${STEPS}`
  + '&a.dialect=keras&a.rate=0.002&a.ema=0.95&a.momentum=0.5'
  + '&b.dialect=torch&b.schedule=expression&b.expression=0.002*exp(-step/200)*(1%2Bcos(step/50))';
/** What they must have reached by then: the share of the 10 000 test images that the averaged weights of A get right. */
const ACCURACY = 0.87;

/** @type {{ url: string, close: () => Promise<void> }} */
let server;
/** What Node computes. @type {{ fingerprint: string, losses: number[], accuracies: import('../../web-demo/page/race.js').Accuracies[] }} */
let expected;
/** Test image 0, a seven: where a pen goes, row by row, in shares of the pad. @type {[number, number][]} */
let strokes;
before(async () => {
  const { folder } = await buildDemo();
  server = await serve(folder, { headers: { 'Content-Security-Policy': policy } });
  const { train, test: held } = await loadMnist();
  const { configuration, problems } = fromQuery(QUERY);
  assert.deepEqual(problems, []);
  const race = new Race({ train: firstExamples(train, configuration.examples), test: held, classes: [...'0123456789'] }, configuration);
  for (let step = 1; step < STEPS; step++) race.step();
  const { racers } = race.step();
  expected = { fingerprint: race.fingerprint, losses: racers.map(({ loss }) => loss), accuracies: [race.evaluate(0), race.evaluate(1)] };
  race.dispose();
  assert.ok(/** @type {number} */ (expected.accuracies[0].averaged) >= ACCURACY, `${expected.accuracies[0].averaged}`);
  assert.equal(held.labels[0], 7);
  strokes = strokesOf(held.pixels.subarray(0, 784));
});
after(() => server?.close());

/**
 * @param {Uint8Array} pixels of an image of 28 × 28
 * @returns {[number, number][]} from each row's first ink to its last, and in the next row back
 */
function strokesOf(pixels) {
  return Array.from({ length: 28 }, (_, y) => {
    const ink = Array.from({ length: 28 }, (__, x) => x).filter((x) => pixels[28 * y + x] > 100);
    return ink.length === 0 ? [] : [ink[0], /** @type {number} */ (ink.at(-1))].map((x) => [(x + 0.5) / 28, (y + 0.5) / 28]);
  }).flatMap((row, y) => /** @type {[number, number][]} */ (y % 2 ? row.reverse() : row));
}

/** Everything that the page says of the race. Runs in the page. */
function numbers() {
  const text = (/** @type {string} */ id) => document.getElementById(id)?.textContent ?? '';
  const of = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  return {
    step: Number(of('step').dataset.value ?? 0),
    evaluated: Number(document.querySelector('#standings tr')?.getAttribute('data-step') ?? -1),
    fingerprint: text('fingerprint'),
    losses: ['a-loss', 'b-loss'].map((id) => Number(of(id)?.dataset.value)),
    raw: ['a-raw', 'b-raw'].map(text),
    averaged: ['a-averaged', 'b-averaged'].map(text),
    rates: ['a-rate', 'b-rate'].map(text),
    status: text('status'),
    alert: of('alert').hidden ? '' : text('alert'),
    isRunning: of('run').getAttribute('aria-pressed') === 'true',
    canRun: !of('run').hasAttribute('disabled'),
  };
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(2)} %`;

/**
 * @param {import('./page.js').Page} page
 * @param {(now: ReturnType<typeof numbers>) => boolean} holds
 * @returns {Promise<ReturnType<typeof numbers>>} once it holds
 */
function numbersWhen(page, holds) {
  return page.until(holds, numbers);
}

/** @param {import('./page.js').Page} page @param {string} url */
async function openAndTrain(page, url) {
  await page.goto(url);
  await numbersWhen(page, ({ canRun }) => canRun);
  await page.click('#run');
  return numbersWhen(page, ({ isRunning, evaluated }) => !isRunning && evaluated === STEPS);
}

/**
 * Types into a field, instead of what is there.
 *
 * @param {import('./page.js').Page} page
 * @param {string} id
 * @param {string} text
 */
async function fill(page, id, text) {
  await page.click(`[id="${id}"]`);
  await page.evaluate((name) => /** @type {HTMLInputElement} */ (document.getElementById(name)).select(), id);
  await page.type(text);
}

/**
 * @param {import('./page.js').Page} page
 * @param {string} id of a list
 * @param {string} value
 */
async function choose(page, id, value) {
  await page.evaluate((list, wanted) => {
    const select = /** @type {HTMLSelectElement} */ (document.getElementById(list));
    select.value = wanted;
    select.dispatchEvent(new Event('change'));
  }, id, value);
}

for (const browser of browsers) {
  const name = `${browser.name} ${browser.version}`.trim();

  test(`the demo learns in ${name}, to the bit as in Node, and again from its address`, { skip: browser.missing }, async (t) => {
    const page = await browser.open({ viewport: { width: 1280, height: 900 } });
    t.after(() => page.close());
    const first = await openAndTrain(page, `${server.url}?${QUERY}`);
    assert.equal(first.step, STEPS);
    assert.deepEqual(first.losses, expected.losses);
    assert.equal(first.fingerprint, expected.fingerprint);
    assert.deepEqual(first.raw, expected.accuracies.map(({ raw }) => percent(raw)));
    assert.deepEqual(first.averaged, [percent(/** @type {number} */ (expected.accuracies[0].averaged)), '–']);
    assert.equal(await page.evaluate(() => crossOriginIsolated), false);

    const address = await page.evaluate(() => location.href);
    assert.deepEqual(fromQuery(new URL(address).search), fromQuery(QUERY));
    const again = await openAndTrain(page, address);
    assert.deepEqual([again.losses, again.fingerprint, again.raw], [first.losses, first.fingerprint, first.raw]);
    assert.deepEqual(await page.problems(), []);
  });

  test(`the demo does what its buttons and fields say in ${name}`, { skip: browser.missing }, async (t) => {
    const page = await browser.open({ viewport: { width: 1280, height: 900 } });
    t.after(() => page.close());
    await openAndTrain(page, `${server.url}?${QUERY}`);

    // A drawing, and what the network says of it.
    await page.hover('#pad');
    const [left, top, side] = await page.evaluate(() => {
      const box = /** @type {Element} */ (document.getElementById('pad')).getBoundingClientRect();
      return [box.left, box.top, box.width];
    });
    await page.drag(strokes.map(([x, y]) => [left + x * side, top + y * side]));
    await page.waitFor(() => document.getElementById('answer')?.dataset.value === '7');
    const bars = await page.evaluate(() => [...document.querySelectorAll('#bars tr')].map((row) =>
      [...row.querySelectorAll('.bar > span:last-child')].map((cell) => parseFloat(cell.textContent ?? ''))));
    for (const kind of [0, 1]) {
      const shares = bars.map((row) => row[kind]);
      assert.ok(Math.abs(shares.reduce((sum, share) => sum + share) - 100) < 1, `${shares}`);
      assert.equal(shares.indexOf(Math.max(...shares)), 7, `${shares}`);
    }

    // A rate that changes while training goes on; then a pause.
    await page.click('#run');
    await numbersWhen(page, ({ isRunning, step }) => isRunning && step > STEPS);
    await page.evaluate(() => {
      const { postMessage } = Worker.prototype;
      /** @type {number[]} */
      const used = /** @type {any} */ (globalThis).used = [];
      Worker.prototype.postMessage = function (/** @type {any} */ message) {
        if (message.type === 'rates') used.push(message.racers[0].rate);
        postMessage.call(this, message);
      };
    });
    await fill(page, 'a.rate', '5e-4');
    await numbersWhen(page, ({ isRunning, rates }) => isRunning && rates[0] === '5e-4');
    assert.deepEqual(await page.evaluate(() => /** @type {any} */ (globalThis).used), [0.0005], 'not the 5 of 5e-4');
    assert.match(await page.evaluate(() => location.search), /a\.rate=0\.0005/);

    // An expression that is none: training waits, and goes on when it is mended.
    await fill(page, 'b.expression', '0.001 * ');
    const waiting = await numbersWhen(page, ({ alert, status }) => alert !== '' && /waits/.test(status));
    assert.match(waiting.alert, /^Optimizer B: rate Unexpected end of expression/);
    assert.equal(await page.evaluate(() => document.getElementById('b.expression')?.getAttribute('aria-invalid')), 'true');
    await page.type('7');
    await numbersWhen(page, ({ alert, rates, isRunning }) => alert === '' && rates[1] === '0.007' && isRunning);
    await page.click('#run');
    const paused = await numbersWhen(page, ({ isRunning, step, evaluated }) => !isRunning && step === evaluated);

    // A checkpoint: saved, gone on, loaded, gone on again.
    await page.evaluate(() => {
      const make = URL.createObjectURL;
      URL.createObjectURL = (/** @type {Blob} */ blob) => {
        /** @type {any} */ (globalThis).saved = blob;
        return make.call(URL, blob);
      };
      HTMLAnchorElement.prototype.click = () => {}; // no download that would ask somebody
      document.getElementById('save')?.click();
    });
    await page.waitFor(() => /** @type {any} */ (globalThis).saved?.size > 100_000);
    await page.click('#single');
    const gone = await numbersWhen(page, ({ step, evaluated }) => step === paused.step + 1 && evaluated === step);
    await page.evaluate(() => {
      const list = new DataTransfer();
      list.items.add(new File([/** @type {any} */ (globalThis).saved], 'race.safetensors'));
      const input = /** @type {HTMLInputElement} */ (document.getElementById('file'));
      input.files = list.files;
      input.dispatchEvent(new Event('change'));
    });
    await numbersWhen(page, ({ status, fingerprint }) => /goes on from step/.test(status) && fingerprint === paused.fingerprint);
    await page.click('#single');
    const goneAgain = await numbersWhen(page, ({ fingerprint }) => fingerprint !== paused.fingerprint);
    assert.deepEqual([goneAgain.fingerprint, goneAgain.losses], [gone.fingerprint, gone.losses]);

    // Other optimizers and another data set, by choosing; the keyboard, on the pad and on a chart.
    await choose(page, 'preset', '2');
    if (await page.evaluate(() => document.querySelector('#data option[value=fashion]')?.hasAttribute('disabled'))) {
      t.diagnostic('Fashion-MNIST is not on this machine: apt-get install dataset-fashion-mnist');
    } else {
      await choose(page, 'data', 'fashion');
      await numbersWhen(page, ({ canRun, step }) => canRun && step === 0);
      await page.click('#single');
      await numbersWhen(page, ({ step, evaluated }) => step === 1 && evaluated === 1);
      assert.equal(await page.evaluate(() => document.querySelector('#bars tr:last-child th')?.textContent), 'ankle boot');
    }
    await choose(page, 'data', 'rings');
    await numbersWhen(page, ({ canRun, step }) => canRun && step === 0);
    await page.click('#run');
    await numbersWhen(page, ({ step }) => step > 20);
    assert.equal(await page.evaluate(() => document.querySelectorAll('#standings tr').length), 4);
    await page.click('[data-chart=loss] .plot');
    for (const key of ['ArrowRight', '+', '0']) await page.press(key);
    await page.click('#run');

    assert.deepEqual(await page.evaluate(() => performance.getEntriesByType('resource').map((entry) => entry.name)
      .filter((url) => !url.startsWith(location.origin) && !/^(blob|data):/.test(url))), []);
    assert.deepEqual(await page.problems(), []);
  });

  test(`what is changed in ${name} while an expression is wrong counts as soon as that is mended`, { skip: browser.missing }, async (t) => {
    const page = await browser.open({ viewport: { width: 1280, height: 900 } });
    t.after(() => page.close());
    await page.goto(`${server.url}?data=rings&hidden=4&batch=30&a.dialect=keras&a.schedule=expression&a.expression=0.001`);
    await numbersWhen(page, ({ canRun }) => canRun);
    await fill(page, 'a.expression', '0.01 *');
    await numbersWhen(page, ({ alert }) => alert !== '');
    await fill(page, 'a.rho', '0.5');
    await fill(page, 'a.expression', '0.01');
    await numbersWhen(page, ({ alert, canRun }) => alert === '' && canRun);
    for (const count of [1, 2]) {
      await page.click('#single');
      await numbersWhen(page, ({ step, evaluated }) => step === count && evaluated === count);
    }
    const { configuration } = fromQuery(await page.evaluate(() => location.search));
    assert.deepEqual([configuration.racers[0].rho, configuration.racers[0].expression], [0.5, '0.01']);
    const race = new Race({ ...makeToySet('rings'), classes: toySets.rings.classes }, configuration);
    for (let step = 0; step < 2; step++) race.step();
    assert.equal((await page.evaluate(numbers)).fingerprint, race.fingerprint, 'the race is that of the address');
    race.dispose();
    assert.deepEqual(await page.problems(), []);
  });

  test(`the demo measures speed in ${name} when asked, and fits every width`, { skip: browser.missing }, async (t) => {
    const page = await browser.open({ viewport: { width: 1280, height: 900 } });
    t.after(() => page.close());
    await openAndTrain(page, `${server.url}?${QUERY}`);
    await page.click('#measure');
    await page.waitFor(() => !document.getElementById('measure')?.hasAttribute('disabled'));
    const speeds = await page.evaluate(() => [...document.querySelectorAll('#speeds tbody tr')].map((row) =>
      [...row.children].map((cell) => cell.textContent ?? '')));
    assert.deepEqual(speeds.map(([who]) => who.split(' ')[0]), ['rmsprop-wasm', 'tf.train.rmsprop', 'a'],
      await page.evaluate(() => document.getElementById('measuring')?.textContent ?? ''));
    for (const [, ...cells] of speeds) for (const cell of cells) assert.ok(parseFloat(cell) > 0, cell);
    t.diagnostic(speeds.map((row) => row.join(', ')).join('; '));

    mkdirSync(screenshots, { recursive: true });
    await page.evaluate(() => scrollTo(0, 0));
    /** @type {[string, number, number][]} */
    const sizes = [['desktop', 1280, 900], ['phone', browser.name === 'WebKit' ? 480 : 390, 844]];
    for (const [kind, width, height] of sizes) {
      await page.setViewport(width, height);
      await page.evaluate(async () => { // the charts follow one frame after they are told
        for (let frame = 0; frame < 4; frame++) await new Promise(requestAnimationFrame);
      });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(overflow <= 0, `at ${width} the page is ${overflow} too wide`);
      const png = await page.screenshot();
      assert.equal(png.readUInt32BE(16), width);
      writeFileSync(join(screenshots, `${browser.name.toLowerCase()}-${kind}.png`), png);
    }
    assert.deepEqual(await page.problems(), []);
  });
}
