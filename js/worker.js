/**
 * A thread of a pool: started by threads.js, it takes part in job after job until the pool is closed. Where a job needs
 * a module that it does not have yet, it goes and gets it: one is on its way then.
 */
import { listen } from './hosts.js';
import { changes } from './wait.js';
import { FAILED, PENDING, REMAINING, WORDS, work } from './work.js';

/** @type {import('./module.js').Kernels[]} */
const modules = [];
/** @type {WebAssembly.Memory} */
let memory;
/** @type {Int32Array} */
let words;

listen((message, answer) => {
  if (message.memory) {
    memory = message.memory;
    words = new Int32Array(memory.buffer, message.block, WORDS);
    answer('ready');
  } else {
    modules.push(/** @type {any} */ (new WebAssembly.Instance(message.module, { env: { memory } }).exports));
  }
  try {
    do changes(words, REMAINING, 0, Infinity);
    while (work(modules, words) && Atomics.load(words, REMAINING) >= 0);
  } catch (error) {
    Atomics.store(words, FAILED, 1);
    Atomics.notify(words, PENDING);
    throw error;
  }
  if (Atomics.load(words, REMAINING) < 0) answer('closed');
});
