/**
 * A replica of `npm run bench:distributed` as a thread: gradients lie in shared memory, each thread adds up its range of
 * all of them, and all take the mean from there. Started by it.
 */
import { parentPort, workerData } from 'node:worker_threads';

const { shared, rank, replicas, floats, rounds } = workerData;
const array = (/** @type {number} */ index) => new Float32Array(shared, index * floats * 4, floats);
const gradients = Array.from({ length: replicas }, (_, i) => array(i));
const mean = array(replicas);
/** How many have come to the barrier, and how often it has opened. */
const barrier = new Int32Array(shared, (replicas + 1) * floats * 4, 2);

function meet() {
  const opened = Atomics.load(barrier, 1);
  if (Atomics.add(barrier, 0, 1) === replicas - 1) {
    Atomics.store(barrier, 0, 0);
    Atomics.add(barrier, 1, 1);
    Atomics.notify(barrier, 1);
  } else {
    while (Atomics.load(barrier, 1) === opened) Atomics.wait(barrier, 1, opened);
  }
}

const [first, end] = [rank, rank + 1].map((r) => Math.floor((floats * r) / replicas));
const own = Float32Array.from({ length: floats }, (_, i) => ((i * 7 + rank) % 13) - 6);
const flat = new Float32Array(floats);
/** @type {number[]} */
const times = [];
for (let round = 0; round < rounds; round++) {
  meet();
  const start = performance.now();
  gradients[rank].set(own);
  meet();
  for (let i = first; i < end; i++) {
    let sum = gradients[0][i];
    for (let r = 1; r < replicas; r++) sum = Math.fround(sum + gradients[r][i]);
    mean[i] = sum / replicas;
  }
  meet();
  flat.set(mean);
  times.push(performance.now() - start);
}
parentPort?.postMessage(times);
