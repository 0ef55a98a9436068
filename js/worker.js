/**
 * A thread of a pool: started by threads.js, it takes part in job after job until the pool is closed.
 */
import { listen } from './hosts.js';
import { changes } from './wait.js';
import { FAILED, PENDING, REMAINING, WORDS, work } from './work.js';

listen(({ module, memory, block }, answer) => {
  const kernels = /** @type {any} */ (new WebAssembly.Instance(module, { env: { memory } }).exports);
  const words = new Int32Array(memory.buffer, block, WORDS);
  answer('ready');
  try {
    do {
      changes(words, REMAINING, 0, Infinity);
      work(kernels, words);
    } while (Atomics.load(words, REMAINING) >= 0);
  } catch (error) {
    Atomics.store(words, FAILED, 1);
    Atomics.notify(words, PENDING);
    throw error;
  }
  answer('closed');
});
