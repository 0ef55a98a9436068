/**
 * Waiting for another thread that writes to shared memory: by looking for a moment, and then by `Atomics.wait`, which
 * the main thread of a page may not call: it goes on looking.
 */

/** How long another thread's part of the work may take, in milliseconds, before that thread counts as lost. */
export const TIMEOUT = 5000;

/** How often to look before going to sleep: for as long as it takes to be woken up again, some ten microseconds. */
const LOOKS = 4000;

let maySleep = true;

/**
 * Waits until a word is not what it was, or its writer has called `Atomics.notify`.
 *
 * @param {Int32Array} words in shared memory
 * @param {number} index
 * @param {number} value what it was
 * @param {number} [timeout] in milliseconds, default `TIMEOUT`; Infinity: for good
 * @returns {boolean} false if the time is over
 */
export function changes(words, index, value, timeout = TIMEOUT) {
  if (differs(words, index, value)) return true;
  if (maySleep) {
    try {
      return Atomics.wait(words, index, value, timeout) !== 'timed-out';
    } catch {
      maySleep = false;
    }
  }
  const end = performance.now() + timeout;
  while (performance.now() < end) if (differs(words, index, value)) return true;
  return false;
}

/**
 * @param {Int32Array} words
 * @param {number} index
 * @param {number} value
 * @returns {boolean} whether a word is not, or soon no longer, what it was
 */
function differs(words, index, value) {
  for (let i = 0; i < LOOKS; i++) if (Atomics.load(words, index) !== value) return true;
  return false;
}
