/**
 * A worker of a pool that takes a part of the first job and then ends.
 */
import { listen } from '../../js/hosts.js';
import { changes } from '../../js/wait.js';
import { REMAINING, WORDS } from '../../js/work.js';

listen(({ memory, block }, answer) => {
  const words = new Int32Array(memory.buffer, block, WORDS);
  answer('ready');
  for (;;) {
    changes(words, REMAINING, 0, Infinity);
    const remaining = Atomics.load(words, REMAINING);
    if (remaining > 0 && Atomics.compareExchange(words, REMAINING, remaining, remaining - 1) === remaining) process.exit(3);
  }
});
