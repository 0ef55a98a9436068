/**
 * What the package weighs for its users. The embedded modules have a budget of their own (kernels.test.js), so the
 * entry's is for the JavaScript; the test prints both.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/**
 * @param {boolean} withModules whether the base64 of the modules is in it
 * @returns {Promise<number>} bytes of the main entry's bundle, minified and gzipped
 */
async function weigh(withModules) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../../js/index.js', import.meta.url))],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    plugins: withModules ? [] : [{
      name: 'without-modules',
      setup({ onLoad }) {
        onLoad({ filter: /generated\/rmsprop\.js$/ }, async ({ path }) => {
          const { layout } = await import(path);
          return { contents: `export const layout = ${JSON.stringify(layout)}; export const modules = {};` };
        });
      },
    }],
  });
  return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

test('the main entry takes at most 20 KB without the modules and 48 kB with them, minified and gzipped', async (t) => {
  const [code, whole] = [await weigh(false), await weigh(true)];
  t.diagnostic(`main entry: ${code} bytes, ${whole} with the embedded modules`);
  assert.ok(code <= 20 * 1024, `${code} bytes`);
  assert.ok(whole <= 48_000, `${whole} bytes: 48 kB are the limit`);
});
