/** The kernels without SIMD as a rival: in a thread, since a program's kernels are chosen once. See remote.js. */
import { parentPort } from 'node:worker_threads';
import { configure } from 'rmsprop-wasm';
import 'rmsprop-wasm/scalar';
import { kernels } from './cases.js';
import { ours } from './ours.js';
import { timed } from './timed.js';

configure({ simd: false });

const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
/** @type {import('./rivals.js').Run | undefined} */
let run;

port.on('message', async (/** @type {string} */ line) => {
  const [word, ...rest] = line.split(' ');
  port.postMessage(String(await answer(word, rest)));
});

/**
 * @param {string} word
 * @param {string[]} rest
 * @returns {Promise<string | number>}
 */
async function answer(word, rest) {
  if (word === 'begin') {
    const kernel = kernels.find(({ name }) => name === rest[0]);
    if (!kernel) return `no kernel ${rest[0]}`;
    const shapes = rest.slice(1).map((size) => [Number(size)]);
    run = await ours.begin(kernel, { name: '', shapes, parameters: 0 });
    return 'ok';
  }
  if (!run) return 'no case';
  if (word === 'run') return timed(run, Number(rest[0]));
  if (word === 'weight') return /** @type {() => number} */ (run.weight)();
  run = undefined;
  return 'ok';
}
