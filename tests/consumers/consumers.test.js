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
import { serve } from '../../web-demo/serve.js';
import { browsers } from '../browsers/browsers.js';
import { program } from './program.js';
import { Workspace, missing, run, scriptsIn, start, tarball, versionOf } from './projects.js';
import { record } from './results.js';
import { rows } from './rows.js';

/** By the sources, which the other tests hold to the frameworks'. */
const bits = program(sources);
const isQuick = process.env.CONSUMERS !== 'all';

/** What only the façades and the other parts of the package say: a bundle of RMSprop holds none of it. */
const elsewhere = ['GATE_GRAPH', 'StepLR', 'addDecayedWeights', 'registerClass', 'getSlotNames', 'loss_scale_optimizer', 'node:'];

/** @type {Workspace} */
let workspace;

describe('consumers of the packed tarball', { skip: missing, concurrency: 2 }, () => {
  before(async () => {
    workspace = await Workspace.make();
  });
  after(() => workspace?.remove());

  rows({ bits, tarball }).forEach((row, index) => {
    const { group, name, of, files, alone, commands, silent, page, bundle } = row;
    const skip = isQuick && !row.quick && 'npm run test:consumers runs it';
    test(`${group}: ${name}`, { skip }, async (t) => {
      const project = workspace.project(`project-${index}`, files, { alone });
      let output = '';
      for (const command of commands) output = await run(command, { cwd: project });
      if (silent) assert.doesNotMatch(output, /warn|deprecat|⚠|externalized/i);
      if (row.bits === 'printed') assert.equal(output.trimEnd().split('\n').at(-1), bits);
      let note = '';
      if (bundle !== undefined) note = weigh(join(project, bundle), row.budget ?? Infinity);

      const version = [...new Set(of.map(versionOf))].join(', ');
      if (page === undefined) record({ group, name, version, note });
      else await inBrowsers(t, { ...row, page }, project, (browser) => record({ group, name, version: [version, browser].filter(Boolean).join(', '), note }));
    });
  });
});

/**
 * @param {string} folder
 * @param {number} budget
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

/**
 * @param {import('node:test').TestContext} t
 * @param {import('./rows.js').Row & { page: string }} row
 * @param {string} project
 * @param {(browser: string) => void} passed
 */
async function inBrowsers(t, { page: path, server, silent }, project, passed) {
  // A folder's own: Next.js's bundles want to be at the root of their site.
  const [, folder = '', file] = /^(?:(.*)\/)?([^/]*)$/.exec(path) ?? [];
  const served = server ? await start(server, { cwd: project }) : await serve(join(project, folder));
  t.after(() => served.close());
  for (const browser of browsers) {
    await t.test(browser.name, { skip: browser.missing }, async (inner) => {
      const page = await browser.open(inner);
      await page.goto(`${served.url}${file}`);
      await page.waitFor(() => Boolean(document.querySelector('#bits')?.textContent));
      assert.equal(await page.evaluate(() => document.querySelector('#bits')?.textContent), bits);
      assert.deepEqual(page.problems, []);
      passed(`${browser.name} ${browser.version}`);
    });
  }
  if (silent && 'output' in served) assert.doesNotMatch(served.output(), /warn|deprecat|externalized/i);
}
