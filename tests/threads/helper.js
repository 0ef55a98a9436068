/**
 * A thread for tests: does what it is told with a shared memory, and answers. `what` names it:
 *
 *   allocate   takes and gives back blocks at random, each marked with this thread's number, and checks the marks
 *   update     joins variables of a TensorFlow 1 optimizer and applies `count` gradients, each logged in the constraint,
 *              which runs within the update
 *   die        the same, and ends in the constraint of the first
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Memory, configure, tensorAt } from 'rmsprop-wasm';
import 'rmsprop-wasm/scalar';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';
import { gradientOf } from './gradients.js';

const { what, number, wasmMemory, isScalar } = workerData;
if (isScalar) configure({ simd: false });
const memory = Memory.from(wasmMemory);

if (what === 'allocate') parentPort?.postMessage(allocate(workerData.count));
else update(workerData);

/** @param {number} count */
function allocate(count) {
  let seed = number + 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  /** @type {[number, number][]} */
  const blocks = [];
  let wrong = 0;
  for (let i = 0; i < count; i++) {
    if (blocks.length > 100 || (blocks.length > 0 && random() < 0.4)) {
      const [[at, bytes]] = blocks.splice(Math.floor(random() * blocks.length), 1);
      if (!new Uint8Array(memory.buffer, at, bytes).every((byte) => byte === number)) wrong++;
      memory.free(at);
    } else {
      const bytes = 1 + Math.floor(random() ** 3 * 50000);
      const at = memory.allocate(bytes);
      new Uint8Array(memory.buffer, at, bytes).fill(number);
      blocks.push([at, bytes]);
    }
  }
  for (const [at] of blocks) memory.free(at);
  return { wrong, bytesInUse: memory.bytesInUse };
}

/** @param {{ options: any, shared: any, log: number, count: number, globalStep: number }} task */
function update({ options, shared, log, count, globalStep }) {
  const optimizer = new RMSPropOptimizer(options);
  const [v] = optimizer.join(memory, shared);
  const step = tensorAt(memory, globalStep, [], { dtype: 'int32' });
  const order = tensorAt(memory, log, [4096], { dtype: 'int32' });
  v.constraint = () => {
    if (what === 'die') {
      parentPort?.postMessage('dying');
      process.exit(1);
    }
    // Neither reading nor writing is atomic here: only the lock keeps two threads from taking one place.
    const next = order.data[0];
    order.data[next + 1] = number;
    order.data[0] = next + 1;
  };
  for (let k = 0; k < count; k++) optimizer.applyGradients([[gradientOf(number, k, v.size), v]], { globalStep: step });
  parentPort?.postMessage('done');
}
