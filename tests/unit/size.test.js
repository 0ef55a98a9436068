/**
 * What the package weighs for its users, minified and gzipped: each entry bundled alone, with the modules that it embeds
 * and without. And how large the binding is, in lines.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build, transform } from 'esbuild';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { exports: entries } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));

/** What can be imported as JavaScript. */
const importable = Object.keys(entries).filter((entry) => entries[entry].import);

/**
 * @param {string} program
 * @returns {Promise<{ whole: number, code: number, text: string }>} bytes of its bundle, minified and gzipped, and those
 *   without the modules; and the bundle
 */
async function weigh(program) {
  const { outputFiles: [{ text }] } = await build({
    stdin: { contents: program, resolveDir: root },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    logLevel: 'error',
    external: ['node:*', '@jax-js/jax'],
  });
  const code = text.replaceAll(/(["'`])(?:[0-9a-f]{2}){1000,}\1/g, '""');
  return { whole: gzip(text), code: gzip(code), text };
}

/** @param {string} text */
const gzip = (text) => gzipSync(text, { level: 9 }).length;

const PROGRAM = "import { RMSprop, variable } from 'rmsprop-wasm'; console.log(RMSprop, variable);";

test('a program that imports RMSprop and variable takes at most 33 kB, and holds the kernels of its dialect alone', async (t) => {
  const { whole, code, text } = await weigh(PROGRAM);
  t.diagnostic(`import { RMSprop, variable }: ${whole} bytes, of which ${code} are JavaScript`);
  assert.ok(whole <= 33_000, `${whole} bytes`);
  assert.equal(text.match(/0061736d01000000/g)?.length, 1);
});

const todo = 'the step that all share, and keras/, are larger than what they replaced';

test('its JavaScript takes at most 20 kB', { todo }, async () => {
  const { code } = await weigh(PROGRAM);
  assert.ok(code <= 20_000, `${code} bytes`);
});

/** Kilobytes of each entry at most: of JavaScript, and with the modules that it embeds. @type {Record<string, [number, number]>} */
const LIMITS = {
  '.': [26.5, 35], './v1': [17.5, 28.5], './legacy': [21.5, 32.5], './torch': [28, 37], './optax': [20.5, 30], './jax': [24.5, 34],
  './tfjs': [22.5, 32], './threads': [7, 7], './nats': [10, 10], './node': [2.5, 2.5], './storage': [1.6, 1.6],
  './keras-files': [4.5, 4.5], './tfjs-files': [2.1, 2.1], './scalar': [0.5, 8.5],
};

test('each entry keeps to its limits', async (t) => {
  const sizes = await Promise.all(importable.map(async (entry) => {
    const { whole, code } = await weigh(`export * from 'rmsprop-wasm${entry.slice(1)}';`);
    return { entry, code, whole };
  }));
  t.diagnostic('| entry | JavaScript | with the embedded modules |');
  for (const { entry, code, whole } of sizes) t.diagnostic(`| ${entry} | ${code} | ${whole} |`);
  const tooLarge = sizes.filter(({ entry, code, whole }) => {
    const [ofCode, ofAll] = LIMITS[entry] ?? [0, 0];
    return !(code <= ofCode * 1000 && whole <= ofAll * 1000);
  });
  assert.deepEqual(tooLarge, []);
  assert.deepEqual(Object.keys(LIMITS).sort(), [...importable].sort());
});

test('importing has no effect, so that bundlers leave out what is not used, except that scalar brings kernels', async () => {
  for (const entry of importable) {
    const { text } = await weigh(`import 'rmsprop-wasm${entry.slice(1)}';`);
    if (entry === './scalar') assert.match(text, /0061736d01000000/);
    else assert.equal(text, '', entry);
  }
});

test('js/core and js/keras together have at most 3 500 lines of code', async (t) => {
  let lines = 0;
  for (const folder of ['js/core', 'js/keras']) {
    if (!existsSync(`${root}${folder}`)) continue;
    for (const file of readdirSync(`${root}${folder}`, { recursive: true }).map(String)) {
      if (file.endsWith('.js') && !file.startsWith('generated')) lines += await linesOfCode(`${root}${folder}/${file}`);
    }
  }
  t.diagnostic(`${lines} lines`);
  assert.ok(lines > 0 && lines <= 3500, `${lines} lines`);
});

/**
 * @param {string} file
 * @returns {Promise<number>} its lines, except those that are empty or hold nothing but a comment
 */
async function linesOfCode(file) {
  const text = readFileSync(file, 'utf8');
  await transform(text); // that it is JavaScript
  const bare = text.replaceAll(/^\s*\/\*[\s\S]*?\*\/[ \t]*$/gm, '').replaceAll(/^\s*\/\/.*$/gm, '');
  return bare.split('\n').filter((line) => line.trim() !== '').length;
}
