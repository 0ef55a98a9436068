/** Several processes that each train by TensorFlow.js's model.fit: weights averaged every few batches by a callback. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { noServer, startServer } from '../../web-demo/distributed/server.js';

const run = promisify(execFile);
const replica = fileURLToPath(new URL('tfjs-replica.js', import.meta.url));

/**
 * @param {string} url
 * @param {number} size
 * @returns {Promise<{ hashes: string[], losses: number[] }[]>} what each replica printed
 */
function train(url, size) {
  return Promise.all(Array.from({ length: size }, async (_, rank) => {
    const { stdout } = await run(process.execPath, [replica, url, `tfjs-${size}`, `${rank}`, `${size}`, '4'], { timeout: 60_000 });
    return JSON.parse(/** @type {string} */ (stdout.trim().split('\n').at(-1)));
  }));
}

test('two processes under model.fit have equal weights after each averaging, and learn', { skip: noServer }, async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const [first, second] = await train(server.url, 2);
  assert.equal(first.hashes.length, 6 * 8 / 4);
  assert.deepEqual(second.hashes, first.hashes);
  assert.equal(new Set(first.hashes).size, first.hashes.length);
  for (const { losses } of [first, second]) assert.ok(losses[5] < losses[0] / 2, `${losses}`);
  const [alone] = await train(server.url, 1);
  assert.notDeepEqual(alone.hashes, first.hashes); // the other's examples count
});
