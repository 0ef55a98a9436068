/**
 * The packed tarball, installed in a fresh project of each consumer in rows.js, trains there and gives the same bits.
 *
 * CONSUMERS=all runs all of them, as `npm run test:consumers` does; otherwise the quick ones.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import * as sources from '../../js/index.js';
import { serve } from '../../web-demo/page/serve.js';
import { browsers } from '../browsers/browsers.js';
import { program } from './program.js';
import { Workspace, missing, run, scriptsIn, start, tarball, versionOf } from './projects.js';
import { record } from './results.js';
import { rows } from './rows.js';

/** By the sources, which the other tests hold to the frameworks'. */
const bits = program(sources);
const tried = rows({ bits, tarball });
const isQuick = process.env.CONSUMERS !== 'all';

/** What only the façades and the other parts of the package say: a bundle of RMSprop holds none of it. */
const elsewhere = ['GATE_GRAPH', 'StepLR', 'addDecayedWeights', 'registerClass', 'getSlotNames', 'loss_scale_optimizer', 'node:'];

const WARNING = /warn|deprecat|⚠|externalized/i;

/** @type {Workspace} */
let workspace;
/**
 * Each project that is there and built, with what is to be noted of it.
 *
 * @type {Map<import('./rows.js').Row, { folder: string, note: string }>}
 */
const built = new Map();

if (!missing) {
  before(async () => {
    workspace = await Workspace.make();
  });
  after(() => workspace?.remove());
}

describe('on the packed tarball', { skip: missing, concurrency: 2 }, () => {
  tried.forEach((row, index) => {
    const { group, name, of, files, alone, commands } = row;
    test(`${group}: ${name}`, { skip: skipOf(row) }, async (t) => {
      const folder = workspace.project(`project-${index}`, files, { alone });
      let output = '';
      for (const command of commands) output = await run(command, { cwd: folder });
      if (row.silent) assert.doesNotMatch(output, WARNING);
      if (row.bits === 'printed') assert.equal(output.trimEnd().split('\n').at(-1), row.prints ?? bits);
      const note = row.bundle === undefined ? '' : weigh(join(folder, row.bundle), row.budget ?? Infinity);
      if (note) t.diagnostic(`${name}: ${note}`);
      built.set(row, { folder, note });
      if (row.page === undefined) record({ group, name, versions: of.map(versionOf), note });
    });
  });
});

for (const browser of browsers) {
  describe(`in ${browser.name}, what the consumers made`, { skip: missing || browser.missing }, () => {
    /** @type {import('../browsers/page.js').Page} */
    let page;
    before(async () => {
      page = await browser.open();
    });
    after(() => page?.close());

    for (const row of tried) {
      const { group, name, of, page: path } = row;
      if (path === undefined) continue;
      test(`${group}: ${name}`, { skip: skipOf(row) }, async (t) => {
        const project = built.get(row);
        assert.ok(project, 'it was built');
        const earlier = (await page.problems()).length;
        const [, folder = '', file] = /^(?:(.*)\/)?([^/]*)$/.exec(path) ?? [];
        // The folder of the page: bundles want to be at the root of their site.
        /** @type {{ url: string, close: () => Promise<void>, output?: () => string }} */
        const site = row.server
          ? await start(row.server, { cwd: project.folder })
          : await serve(join(project.folder, folder), { isolated: row.isolated });
        try {
          await page.goto(`${site.url}${file}`);
          if (row.isolated && await page.evaluate(() => typeof SharedArrayBuffer === 'undefined')) {
            t.skip(`this ${browser.name} has no shared memory, isolated or not`);
            return;
          }
          await page.waitFor(() => Boolean(globalThis.document.querySelector('#bits')?.textContent));
          assert.equal(await page.evaluate(() => globalThis.document.querySelector('#bits')?.textContent), bits);
          assert.deepEqual((await page.problems()).slice(earlier), []);
          if (site.output) assert.doesNotMatch(site.output(), WARNING);
        } finally {
          await site.close();
        }
        record({ group, name, versions: of.map(versionOf), note: project.note, browser: `${browser.name} ${browser.version}` });
      });
    }
  });
}

/**
 * @param {import('./rows.js').Row} row
 * @returns {string | false} why it is skipped
 */
function skipOf(row) {
  return isQuick && !row.quick && 'npm run test:consumers runs it';
}

/**
 * @param {string} folder
 * @param {number} budget bytes
 * @returns {string} what its scripts weigh, for people
 */
function weigh(folder, budget) {
  const texts = scriptsIn(folder).map((file) => readFileSync(file, 'utf8'));
  assert.ok(texts.length > 0, `no script in ${folder}`);
  for (const word of elsewhere) assert.ok(!texts.some((text) => text.includes(word)), `${word} is in the bundle`);
  const bytes = texts.reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0);
  assert.ok(bytes <= budget, `${bytes} bytes gzipped, ${budget} are allowed`);
  return `${(bytes / 1000).toFixed(1)} kB gzipped`;
}
