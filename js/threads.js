/**
 * Threads that share the work of each step of an optimizer:
 *
 *     const pool = await ThreadPool.create();
 *     const w = variable(values, { memory: pool.memory });
 *     const optimizer = new RMSprop({ pool });
 *     …
 *     await pool.close();
 *
 * A step is cut into ranges of the whole model, which the calling thread and the workers take one after the other.
 * Nothing is copied or allocated for it, and the bits are those of a step by one thread, whatever the number of threads
 * and whoever takes what. A page must be cross-origin isolated. On its main thread, which is not allowed to sleep, the
 * end of a step is waited for by looking again and again.
 */
import { integer, knownOptions, typeError } from './check.js';
import { disposes } from './core/inspect.js';
import * as constants from './generated/constants.js';
import { layout } from './generated/rmsprop.js';
import { availableCores, startThread } from './hosts.js';
import { Memory, isMemory, isShared } from './memory.js';
import { kernelsOf, moduleFor } from './module.js';
import { TIMEOUT, changes } from './wait.js';
import {
  COUNT, FAILED, KIND, LEAVES, MAXIMUM_UNITS, OPTIONS, PENDING, RANGES, REMAINING, SHARE, SUMS, TENSORS, UNIT, WORDS,
  remaining, work,
} from './work.js';

/** @typedef {import('./module.js').Kernels} Kernels */
/** @typedef {import('./module.js').Embedded} Embedded */
/** @typedef {import('./hosts.js').Thread} Thread */
/** @typedef {{ own: Kernels, number: number }} Module what the calling thread works with, and its number */

const MAXIMUM_THREADS = 256;

/**
 * Below so many elements, in all arrays together, one thread is as fast: a plain step of 131 072 parameters takes some
 * 60 microseconds, and to wake up a thread that sleeps takes half of that.
 */
const WORTHWHILE = 3 * 2 ** 17;

/** How long a worker may take to start, and to end, in milliseconds. */
const START_TIMEOUT = 30000;
const END_TIMEOUT = 1000;

const CLIPS_BY_NORM = constants.RMS_CLIP_BY_NORM | constants.RMS_CLIP_BY_GLOBAL_NORM;

/** Words of an rms_tensor. */
const TENSOR_WORDS = layout.tensor.size / 4;
const [VALUE, UPDATE, LENGTH, GRADIENT, INDICES, INDEX_COUNT, ROW_LENGTH] = [
  layout.tensor.value, layout.tensor.update, layout.tensor.length, layout.tensor.gradient, layout.tensor.indices,
  layout.tensor.index_count, layout.tensor.row_length,
].map((offset) => offset / 4);

/** A sum of squares of float64. */
const SUM_BYTES = 8;

/**
 * The calling thread and workers, which do the steps of optimizers together. Made by `ThreadPool.create`.
 *
 * @example
 * ```js
 * import { RMSprop, variable } from 'rmsprop-wasm';
 * import { ThreadPool } from 'rmsprop-wasm/threads';
 *
 * const pool = await ThreadPool.create({ threads: 2 });
 * const w = variable(new Float32Array(400_000), { memory: pool.memory });
 * const optimizer = new RMSprop({ learningRate: 0.1, pool });
 * optimizer.apply([new Float32Array(400_000).fill(1)], [w]);
 * console.log(w.data[399_999].toFixed(4), pool.threads); // prints -0.3162 2
 * await pool.close();
 * ```
 */
export class ThreadPool {
  #memory;
  #threads;
  #kernels;
  /** What all threads have, or are sent, by module. @type {Map<WebAssembly.Module, Kernels>} */
  #modules = new Map();
  /** The calling thread's, by number. @type {Kernels[]} */
  #own = [];
  #words;
  #block;
  /** @type {Helper[]} */
  #workers = [];
  /** All of memory, made anew when it has grown. */
  #view = /** @type {Uint32Array} */ (new Uint32Array());
  /** Scratch for the leaves of sums, and how many sums it holds. */
  #sums = 0;
  #room = 0;
  /** Why it cannot be used any more. @type {Error | undefined} */
  #failure;
  /** @type {Promise<void> | undefined} */
  #closing;

  /**
   * Use `ThreadPool.create`.
   *
   * @param {Memory} memory
   * @param {number} threads
   * @throws {TypeError | RangeError} see `create`
   */
  constructor(memory, threads) {
    integer('threads', threads, 1, MAXIMUM_THREADS);
    if (!isMemory(memory) || !isShared(memory)) {
      throw typeError('memory', 'a Memory made with shared: true', memory);
    }
    this.#memory = memory;
    this.#threads = threads;
    this.#block = memory.allocate(WORDS * 4);
    this.#words = new Int32Array(memory.buffer, this.#block, WORDS).fill(0);
    this.#words[SHARE] = 2 * threads;
    this.#kernels = Object.freeze({ check: () => this.#check(), of: this.#kernelsOf.bind(this) });
  }

  /**
   * Starts workers.
   *
   * @param {object} [options]
   * @param {number} [options.threads] how many work at a time, the calling one among them; default as many as there are
   *   cores, at most 256
   * @param {Memory} [options.memory] where variables will be, made with `shared: true`; default a new one
   * @param {number} [options.maximumBytes] of the new memory; default 4 GiB, which phones may refuse
   * @returns {Promise<ThreadPool>} when all workers are ready
   * @throws {TypeError | RangeError} for an unknown option or one of the wrong kind, as a rejection
   * @throws {Error} where memory cannot be shared, as in a page that is not cross-origin isolated, or if a worker does
   *   not start; likewise
   */
  static async create(options = {}) {
    knownOptions('ThreadPool', options, ['threads', 'memory', 'maximumBytes']);
    const { threads = Math.min(await availableCores(), MAXIMUM_THREADS), memory, maximumBytes } = options;
    if (memory !== undefined && maximumBytes !== undefined) {
      throw new TypeError(`maximumBytes cannot be chosen together with memory, got ${maximumBytes}`);
    }
    requireSharing();
    const pool = new ThreadPool(memory ?? new Memory({ shared: true, maximumBytes }), threads);
    try {
      await pool.#start();
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  /** @returns {Memory} where the variables are that it works on */
  get memory() {
    return this.#memory;
  }

  /** @returns {number} how many threads work at a time, the calling one among them */
  get threads() {
    return this.#threads;
  }

  /** @returns {import('./engine.js').PoolKernels} for optimizers: the kernels, run by all threads */
  get kernels() {
    return this.#kernels;
  }

  /**
   * Ends the workers. The memory stays, and what is in it; optimizers of the pool cannot step any more. Calling it
   * again does nothing.
   *
   * @returns {Promise<void>} when they have ended
   */
  close() {
    return (this.#closing ??= this.#close());
  }

  static {
    disposes(this, 'close');
  }

  async #start() {
    await Promise.all(Array.from({ length: this.#threads - 1 }, async (_, i) => {
      const worker = new Helper(`thread ${i + 1} of the pool`, (reason) => {
        this.#failure ??= new Error(reason);
      });
      this.#workers.push(worker);
      await worker.start({ memory: this.#memory.wasmMemory, block: this.#block });
    }));
  }

  async #close() {
    this.#failure = new Error('the pool is closed');
    Atomics.store(this.#words, REMAINING, -1);
    Atomics.notify(this.#words, REMAINING);
    const ended = await Promise.all(this.#workers.map((worker) => worker.end()));
    // A worker that may still look at it keeps it.
    if (!ended.every(Boolean)) return;
    this.#memory.free(this.#block);
    if (this.#room) this.#memory.free(this.#sums);
  }

  #check() {
    if (this.#failure) throw this.#failure;
  }

  /**
   * Sends the workers a module that they do not have yet. They sleep, and take it when the first job wakes them.
   *
   * @param {Embedded} family
   * @returns {Kernels}
   */
  #kernelsOf(family) {
    const module = moduleFor(this.#memory.wasmMemory, family);
    const known = this.#modules.get(module);
    if (known) return known;
    const own = kernelsOf(this.#memory, family);
    const kernels = this.#shared({ own, number: this.#own.length });
    for (const worker of this.#workers) worker.post({ module });
    this.#own.push(own);
    this.#modules.set(module, kernels);
    return kernels;
  }

  // ---- What takes the place of the kernels ----

  /**
   * @param {Module} module
   * @returns {Kernels}
   */
  #shared(module) {
    return Object.freeze({
      ...module.own,
      rms_step: (options, tensors, count) => this.#step(module, options, tensors, count),
      rms_range: (options, tensors, count, first, last) => this.#range(module, options, tensors, count, first, last),
      rms_sum_squares: (options, tensors, count) => this.#sumSquares(module, options, tensors, count),
    });
  }

  /**
   * @param {Module} module
   * @param {number} options
   * @param {number} tensors
   * @param {number} count
   */
  #step(module, options, tensors, count) {
    this.#refreshView();
    const flags = this.#view[(options + layout.options.flags) / 4];
    if (flags & CLIPS_BY_NORM && !(flags & constants.RMS_HOLD)) this.#sumSquares(module, options, tensors, count);
    this.#range(module, options, tensors, count, 0, 2 ** 32 - 1);
  }

  /**
   * @param {Module} module
   * @param {number} options
   * @param {number} tensors
   * @param {number} count
   * @param {number} first
   * @param {number} last
   */
  #range(module, options, tensors, count, first, last) {
    this.#refreshView();
    const words = this.#view;
    let length = 0;
    let work = 0;
    for (let i = 0, at = tensors / 4; i < count; i++, at += TENSOR_WORDS) {
      length += words[at + LENGTH];
      let arrays = 0;
      for (let array = VALUE; array <= UPDATE; array++) if (words[at + array]) arrays++;
      work += gradientLength(words, at) * arrays;
    }
    if (work < WORTHWHILE || this.#threads === 1 || first > 0 || last < length) {
      module.own.rms_range(options, tensors, count, first, last);
    } else {
      this.#divide(module, RANGES, options, tensors, count, Math.ceil(length / UNIT));
    }
  }

  /**
   * @param {Module} module
   * @param {number} options
   * @param {number} tensors
   * @param {number} count
   */
  #sumSquares(module, options, tensors, count) {
    this.#refreshView();
    const words = this.#view;
    let work = 0;
    for (let i = 0, at = tensors / 4; i < count; i++, at += TENSOR_WORDS) {
      if (words[at + GRADIENT]) work += gradientLength(words, at);
    }
    const { own } = module;
    if (work < WORTHWHILE || this.#threads === 1) {
      own.rms_sum_squares(options, tensors, count);
      return;
    }
    const leaves = own.rms_sum_squares_range(options, tensors, count, 0, 0, 0);
    if (leaves >= MAXIMUM_UNITS || (leaves > this.#room && !this.#makeRoom(leaves))) {
      own.rms_sum_squares(options, tensors, count);
      return;
    }
    this.#divide(module, LEAVES, options, tensors, count, leaves);
    own.rms_join_sum_squares(options, tensors, count, this.#sums);
  }

  /**
   * @param {number} leaves
   * @returns {boolean} whether there was memory
   */
  #makeRoom(leaves) {
    try {
      const sums = this.#memory.allocate(leaves * SUM_BYTES);
      if (this.#room) this.#memory.free(this.#sums);
      [this.#sums, this.#room] = [sums, leaves];
      return true;
    } catch {
      return false; // one thread needs none
    }
  }

  #refreshView() {
    const { buffer } = this.#memory;
    if (this.#view.buffer !== buffer) this.#view = new Uint32Array(buffer);
  }

  /**
   * Runs a job and returns when it is done.
   *
   * @param {Module} module
   * @param {number} kind
   * @param {number} options
   * @param {number} tensors
   * @param {number} count
   * @param {number} units
   * @throws {Error} if a worker does not finish what it has begun
   */
  #divide({ number }, kind, options, tensors, count, units) {
    const words = this.#words;
    words[KIND] = kind;
    words[OPTIONS] = options;
    words[TENSORS] = tensors;
    words[COUNT] = count;
    words[SUMS] = this.#sums;
    Atomics.store(words, PENDING, units);
    Atomics.store(words, REMAINING, remaining(units, number));
    Atomics.notify(words, REMAINING);
    work(this.#own, words);
    for (;;) {
      const pending = Atomics.load(words, PENDING);
      if (pending === 0) return;
      const isLate = !changes(words, PENDING, pending) && Atomics.load(words, PENDING) === pending;
      if (isLate || Atomics.load(words, FAILED)) break;
    }
    this.#failure = new Error('a thread of the pool has failed, or has not finished its part of a step within '
      + `${TIMEOUT} ms: the step is done in part only. Close the pool, and load weights and slots from a checkpoint`);
    throw this.#failure;
  }
}

/** A thread of the pool, from outside. */
class Helper {
  #name;
  #onFailure;
  /** @type {Thread | undefined} */
  #thread;
  /**
   * What it is to answer, or has answered.
   *
   * @type {{ message: string, resolve: () => void, reject: (error: Error) => void } | undefined}
   */
  #awaited;
  #isClosing = false;
  #hasEnded = false;

  /**
   * @param {string} name for messages
   * @param {(message: string) => void} onFailure
   */
  constructor(name, onFailure) {
    this.#name = name;
    this.#onFailure = onFailure;
  }

  /**
   * Starts it and waits until it is ready.
   *
   * @param {unknown} message what it is to work with
   * @throws {Error} if it does not get ready
   */
  async start(message) {
    this.#thread = await startThread({
      onMessage: (received) => received === this.#awaited?.message && this.#awaited?.resolve(),
      onEnd: (reason) => {
        this.#hasEnded = true;
        this.#awaited?.reject(new Error(`${this.#name} could not be started: ${reason}`));
        if (!this.#isClosing) this.#onFailure(`${this.#name} has ended: ${reason}. Close the pool and make another`);
      },
    });
    const ready = this.#hears('ready', START_TIMEOUT);
    this.#thread.post(message);
    await ready;
    this.#thread.keepAlive(false);
  }

  /**
   * Leaves it a message, which it finds when it is not at work.
   *
   * @param {unknown} message
   */
  post(message) {
    this.#thread?.post(message);
  }

  /** @returns {Promise<boolean>} whether it has certainly ended */
  async end() {
    this.#isClosing = true;
    const thread = this.#thread;
    if (!thread) return true;
    this.#awaited?.reject(new Error(`${this.#name} was ended before it was ready`)); // nothing where it was
    thread.keepAlive(true);
    if (!this.#hasEnded) this.#hasEnded = await this.#hears('closed', END_TIMEOUT).then(() => true, () => false);
    await thread.terminate();
    return this.#hasEnded;
  }

  /**
   * @param {string} message
   * @param {number} timeout in milliseconds
   * @returns {Promise<void>}
   */
  async #hears(message, timeout) {
    let timer;
    try {
      await new Promise((resolve, reject) => {
        this.#awaited = { message, resolve: () => resolve(undefined), reject };
        timer = setTimeout(() => reject(new Error(`${this.#name} has not answered within ${timeout} ms`)), timeout);
      });
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * @param {Uint32Array} words
 * @param {number} at index of an rms_tensor
 * @returns {number} how many elements its gradient has, or would have
 */
function gradientLength(words, at) {
  return words[at + INDICES] ? words[at + INDEX_COUNT] * words[at + ROW_LENGTH] : words[at + LENGTH];
}

/** @throws {Error} where memory cannot be sent to other threads */
function requireSharing() {
  const { crossOriginIsolated, SharedArrayBuffer } = /** @type {any} */ (globalThis);
  if (crossOriginIsolated !== false && SharedArrayBuffer !== undefined) return;
  throw new Error(`a ThreadPool needs memory that threads share, which ${crossOriginIsolated === false
    ? 'a page has only when it is cross-origin isolated: serve it with Cross-Origin-Opener-Policy: same-origin and '
      + 'Cross-Origin-Embedder-Policy: require-corp'
    : 'this engine does not have: there is no SharedArrayBuffer'}`);
}
