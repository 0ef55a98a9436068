/**
 * Locks of variables in shared memory, for optimizers in several threads that update the same ones.
 *
 * They are words in the first bytes of the memory, which nothing else uses: no thread has to be told where they are. A
 * variable's lock is chosen by its address, so two variables may have one: they wait for each other without need, no
 * more. A lock holds the number of its holder, 0 when it is free; words[15] counts the numbers given out.
 */
import { rangeError } from './check.js';
import { isShared } from './memory.js';
import { TIMEOUT, changes } from './wait.js';
import { describe } from './tensor.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */

const WORDS = 16;
const LOCKS = 14;
const NUMBERS = 15;
/** Blocks of memory start at multiples of it, so that neighbours have different locks. */
const ALIGNMENT = 64;

/** This thread's number in each memory, of which there may be several objects. @type {WeakMap<object, number>} */
const numbers = new WeakMap();

/** What this thread holds. @type {{ words: Int32Array, lock: number, number: number }[]} */
const held = [];

/**
 * Runs a function while this thread alone holds the locks of tensors; without shared memory it just runs it. Calls may
 * be nested, if the inner one locks no other tensors.
 *
 * @param {readonly Tensor[]} tensors of one memory
 * @param {() => void} fn
 * @throws {RangeError} if the memory is another program's
 * @throws {Error} if another thread does not give a lock back in time, which is what happens when it has ended; `fn`
 *   has not been called then
 */
export function locked(tensors, fn) {
  const { memory } = tensors[0];
  if (!isShared(memory)) {
    fn();
    return;
  }
  if (memory.hasOwner) {
    throw rangeError(describe(tensors[0]), 'in a Memory made with shared: true, which has place for locks', memory);
  }
  const words = new Int32Array(memory.buffer, 0, WORDS);
  let number = numbers.get(memory.wasmMemory);
  if (number === undefined) numbers.set(memory.wasmMemory, (number = Atomics.add(words, NUMBERS, 1) + 1));
  const start = held.length;
  try {
    // In ascending order, so that no two threads wait for each other.
    for (const tensor of [...tensors].sort((a, b) => lockOf(a) - lockOf(b))) {
      const lock = lockOf(tensor);
      if (take(words, lock, number, tensor)) held.push({ words, lock, number });
    }
    fn();
  } finally {
    for (const { lock } of held.splice(start)) {
      Atomics.store(words, lock, 0);
      Atomics.notify(words, lock, 1);
    }
  }
}

/**
 * @param {Tensor} tensor
 * @returns {number} the index of its lock
 */
function lockOf(tensor) {
  return 1 + (Math.floor(tensor.byteOffset / ALIGNMENT) % LOCKS);
}

/**
 * @param {Int32Array} words
 * @param {number} lock
 * @param {number} number of this thread
 * @param {Tensor} tensor for the message
 * @returns {boolean} whether this thread holds it from now on; false if it did already
 */
function take(words, lock, number, tensor) {
  for (;;) {
    const holder = Atomics.compareExchange(words, lock, 0, number);
    if (holder === 0) return true;
    if (holder === number) return false;
    if (held.some((own) => own.lock === lock && own.number === holder && areSame(own.words, words))) {
      throw new Error(`${describe(tensor)} is locked by this thread itself, through another object of the same memory: `
        + 'have one WebAssembly.Memory a thread');
    }
    if (changes(words, lock, holder)) continue;
    throw new Error(`${describe(tensor)} is locked: the thread that has held its lock for ${TIMEOUT} ms must have ended`
      + ' in an update, or hangs in one, which may be done in part only');
  }
}

/**
 * A memory that came to a thread twice is two objects, which nothing but their contents tells from two memories.
 *
 * @param {Int32Array} words
 * @param {Int32Array} others
 * @returns {boolean} whether both are the first words of one memory
 */
function areSame(words, others) {
  return [1, 2, 3].every(() => {
    const before = Atomics.load(words, NUMBERS);
    Atomics.add(others, NUMBERS, 1); // numbers need not be consecutive
    return Atomics.load(words, NUMBERS) !== before;
  });
}
