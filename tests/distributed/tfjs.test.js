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
 * @param {number} every
 * @returns {Promise<{ hashes: string[], losses: number[] }[]>} what each replica printed
 */
function train(url, size, every) {
  return Promise.all(Array.from({ length: size }, async (_, rank) => {
    const args = [replica, url, `tfjs-${size}-${every}`, ...[rank, size, every].map(String)];
    const { stdout } = await run(process.execPath, args);
    return JSON.parse(/** @type {string} */ (stdout.trim().split('\n').at(-1)));
  }));
}

for (const { name, every, averagings } of [
  { name: 'under model.fit, weights averaged every four batches', every: 4, averagings: 6 * 8 / 4 },
  { name: 'in a loop, gradients averaged inside applyGradientsAsync', every: 0, averagings: 6 * 8 },
]) {
  test(`two processes ${name}: equal weights after each, and both learn`, { skip: noServer }, async (t) => {
    const server = await startServer();
    t.after(() => server.stop());
    const [first, second] = await train(server.url, 2, every);
    assert.equal(first.hashes.length, averagings);
    assert.deepEqual(second.hashes, first.hashes);
    assert.equal(new Set(first.hashes).size, averagings);
    for (const { losses } of [first, second]) assert.ok(losses[5] < losses[0] / 2, `${losses}`);
    const [alone] = await train(server.url, 1, every);
    assert.notDeepEqual(alone.hashes, first.hashes); // the other's examples count
  });
}
