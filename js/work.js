/**
 * What the threads of a pool have in common: the words by which they speak, and how each takes parts of a job until
 * none are left. threads.js hands out jobs, worker.js waits for them.
 */

/** @typedef {import('./module.js').Kernels} Kernels */

/** What is to be divided. */
export const RANGES = 0;
export const LEAVES = 1;

/** How many elements are a unit of RANGES: a few microseconds of work. Of LEAVES a leaf is one. */
export const UNIT = 4096;

/** A job has fewer units than this: above them, the word REMAINING holds the number of the job's module. */
export const MAXIMUM_UNITS = 2 ** 20;

// Indices of 32-bit words. What different threads write to is apart by a cache line, 16 words.
/**
 * Units that nobody has taken yet, and by which module they are to be done: `remaining`. 0: none; below 0: the pool is
 * closed. One word, so that a thread without that module cannot take any.
 */
export const REMAINING = 0;
/** Units that are not done yet. */
export const PENDING = 16;
/** 1 if a thread has failed. */
export const FAILED = 17;
// The job: written before REMAINING is, and left as it is while anything is pending.
export const KIND = 32;
export const OPTIONS = 33;
export const TENSORS = 34;
export const COUNT = 35;
export const SUMS = 36;
/** What part of the units that remain is taken at a time, as its reciprocal. */
export const SHARE = 37;
export const WORDS = 48;

/**
 * @param {number} units
 * @param {number} module its number
 * @returns {number} what the word REMAINING holds
 */
export function remaining(units, module) {
  return units === 0 ? 0 : module * MAXIMUM_UNITS + units;
}

/**
 * Takes units and works on them until none remain. Large parts come first, so that there are few, and small ones last,
 * so that all threads end together.
 *
 * @param {readonly Kernels[]} modules by their numbers
 * @param {Int32Array} words
 * @returns {boolean} false if the units that remain need a module that is not among them
 */
export function work(modules, words) {
  for (;;) {
    const word = Atomics.load(words, REMAINING);
    if (word <= 0) return true;
    const last = word % MAXIMUM_UNITS;
    const module = (word - last) / MAXIMUM_UNITS;
    if (module >= modules.length) return false;
    const first = last - Math.ceil(last / words[SHARE]);
    if (Atomics.compareExchange(words, REMAINING, word, remaining(first, module)) !== word) continue;
    const kernels = modules[module];
    // From here on the job stays, whichever it is, until this part is done.
    if (words[KIND] === RANGES) {
      kernels.rms_range(words[OPTIONS], words[TENSORS], words[COUNT], first * UNIT, last * UNIT);
    } else {
      kernels.rms_sum_squares_range(words[OPTIONS], words[TENSORS], words[COUNT], first, last, words[SUMS]);
    }
    if (Atomics.sub(words, PENDING, last - first) === last - first) Atomics.notify(words, PENDING);
  }
}
