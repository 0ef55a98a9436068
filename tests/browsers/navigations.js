/**
 * Loads plain and cross-origin isolated pages in WebKit, and counts what is lost: `npm run test:deep` does it, too.
 *
 *     node tests/browsers/navigations.js [--count <navigations>]     default 400, half of them isolated
 *
 * Ends with 1 unless every plain page was loaded by its first session, and every isolated one by some session.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { serve } from '../../web-demo/page/serve.js';
import { browsers } from './browsers.js';
import { navigations } from './webkit.js';

/** Navigations of one kind, one after the other, before those of the other kind. */
const SERIES = 8;

const { values } = parseArgs({ options: { count: { type: 'string', default: '400' } } });
const count = Number(values.count);
if (!Number.isInteger(count) || count < 2) {
  console.error(`count must be an integer >= 2, got ${values.count}`);
  process.exit(2);
}
const webKit = /** @type {import('./browsers.js').Browser} */ (browsers.find(({ name }) => name === 'WebKit'));
if (webKit.missing) {
  console.log(`skipped: ${webKit.missing}`);
  process.exit(0);
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const servers = { plain: await serve(root), isolated: await serve(root, { isolated: true }) };
const kinds = /** @type {const} */ (['plain', 'isolated']);
const left = { plain: Math.ceil(count / 2), isolated: Math.floor(count / 2) };
const loaded = { plain: 0, isolated: 0 };

/** Opens pages one after the other, until nothing is left. */
async function load() {
  while (left.plain + left.isolated > 0) {
    const page = await webKit.open();
    try {
      for (const kind of kinds) {
        for (let i = 0; i < SERIES && left[kind] > 0; i++) {
          left[kind]--;
          await page.goto(`${servers[kind].url}tests/browsers/page.html`);
          if (await page.evaluate(() => crossOriginIsolated) === (kind === 'isolated')) loaded[kind]++;
        }
      }
    } catch (error) {
      console.error(error);
    } finally {
      await page.close();
    }
  }
}

try {
  await Promise.all([load(), load()]); // most of the time is spent waiting
} finally {
  await Promise.all(kinds.map((kind) => servers[kind].close()));
}
for (const kind of kinds) {
  console.log(`${kind} pages: ${navigations[kind].count} asked for, ${loaded[kind]} loaded, ${navigations[kind].lost} sessions lost`);
}
process.exitCode = navigations.plain.lost > 0 || loaded.plain + loaded.isolated < count ? 1 : 0;
