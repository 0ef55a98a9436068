/**
 * Linear memory and its allocator, or another program's memory and the functions by which it hands out space. What lies
 * in it (tensors) is tensor.js's affair, what runs on it module.js's.
 */
import { finite, integer, knownOptions, ofType, rangeError, typeError } from './check.js';
import { isSharedArrayBuffer, isWasmMemory } from './core/identity.js';

const PAGE = 65536;
/** Blocks start at multiples of a cache line and are whole cache lines long. */
const ALIGNMENT = 64;
/** What another program's allocator must give: float64, and the structs of the kernels, need no more. */
const OWNER_ALIGNMENT = 8;
const MAXIMUM_BYTES = 65536 * PAGE;

/**
 * @typedef {object} Owner another program, by whose functions alone space in its memory is taken and given back
 * @property {(bytes: number) => number} allocate
 * @property {(address: number) => void} free
 */

/** On every memory's prototype, so that two copies of the package (ESM and CommonJS) know each other's. */
const COUNT = Symbol.for('rmsprop-wasm.Memory');

/**
 * @param {unknown} value
 * @returns {value is Memory}
 */
export function isMemory(value) {
  return typeof (/** @type {any} */ (value)?.[COUNT]) === 'function';
}

/**
 * @param {{ buffer: ArrayBufferLike }} memory
 * @returns {boolean} whether threads share it
 */
export function isShared({ buffer }) {
  return isSharedArrayBuffer(buffer);
}

/**
 * Counts a tensor in (1) or out (-1) of `memory.tensorCount`; for tensor.js alone.
 *
 * @type {(memory: Memory, change: 1 | -1) => void}
 */
export const countTensor = (memory, change) => memory[COUNT](change);

/**
 * @param {{ initial: number, maximum: number, shared: boolean }} pages
 * @returns {WebAssembly.Memory}
 * @throws {Error} where the engine has no WebAssembly
 * @throws {RangeError} where it refuses a memory of that size
 */
function reserve(pages) {
  requireWebAssembly();
  try {
    return new WebAssembly.Memory(pages);
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    const size = `${pages.shared ? 'shared ' : ''}memory of ${pages.initial * PAGE} bytes`;
    const limit = `maximumBytes, ${pages.maximum * PAGE}`;
    throw new RangeError(`the engine refuses a ${size} that may grow to ${limit} (${message}): `
      + 'give a smaller maximumBytes, as phones need', { cause: error });
  }
}

/** @throws {Error} where the engine has no WebAssembly, naming what to do */
function requireWebAssembly() {
  if (typeof WebAssembly === 'object') return;
  throw new Error('rmsprop-wasm needs WebAssembly, which this engine does not have: start Node without --jitless, '
    + 'on iOS switch Lockdown Mode off for this page, in React Native use a WebView, for Hermes has no WebAssembly');
}

/**
 * A growing WebAssembly memory that hands out 64-byte aligned blocks. It takes pages as they are needed, up to its
 * maximum, and reuses what is freed; address 0 is never handed out.
 *
 * Threads that share one have a `Memory` of their own for it. Each hands out only pages by which it has grown the
 * memory itself, which no other thread can get: so they need no common list, and no lock that one of them might die
 * with.
 *
 * Or the memory of another program, which hands out blocks itself: then it never grows from here.
 */
export class Memory {
  /** @type {Memory | undefined} */
  static #default;

  /** @type {WebAssembly.Memory} */
  #wasmMemory;
  /** @type {Owner | undefined} */
  #owner;
  #maximumPages = MAXIMUM_BYTES / PAGE;
  /** Pages that blocks are handed out from. */
  #pages = 0;
  /** Free blocks by address, never two adjacent. @type {{ byteOffset: number, bytes: number }[]} */
  #free = [];
  /** Bytes of each block in use, by address. @type {Map<number, number>} */
  #used = new Map();
  #bytesInUse = 0;
  #tensorCount = 0;

  /**
   * @param {object} [options]
   * @param {number} [options.initialBytes] taken at once, rounded up to pages of 65 536 bytes; default 1 MiB
   * @param {number} [options.maximumBytes] never exceeded, rounded down to pages; default 4 GiB
   * @param {boolean} [options.shared] whether threads can share it, default false. Bytes 4 to 63 are then locks
   *   (lock.js). `bytesInUse` and `tensorCount` count this thread's.
   * @param {WebAssembly.Memory} [options.memory] another program's, shared or not, instead of a new one; with
   *   `allocate` and `free`, and without sizes. It is never grown from here; its owner may grow it at any time.
   * @param {(bytes: number) => number} [options.allocate] returns the address of a block of at least that size, a
   *   multiple of 8, or 0 if there is none; C's `malloc`, as the program exports it, will do
   * @param {(address: number) => void} [options.free] takes a block back: C's `free`
   * @throws {TypeError | RangeError} for an unknown option, one of the wrong kind, or a size out of range
   * @throws {RangeError} if the engine refuses a memory of that size
   * @throws {Error} if the engine has no WebAssembly
   */
  constructor(options = {}) {
    knownOptions('Memory', options, ['initialBytes', 'maximumBytes', 'shared', 'memory', 'allocate', 'free']);
    if ('memory' in options || 'allocate' in options || 'free' in options) {
      const { memory, allocate, free, ...sizes } = options;
      if (!isWasmMemory(memory)) throw typeError('memory', 'a WebAssembly.Memory', memory);
      ofType('allocate', allocate, 'function');
      ofType('free', free, 'function');
      for (const [size, bytes] of Object.entries(sizes)) {
        if (bytes !== undefined) throw new TypeError(`${size} cannot be chosen together with memory, got ${bytes}`);
      }
      this.#wasmMemory = memory;
      this.#owner = /** @type {Owner} */ ({ allocate, free });
      return;
    }
    const { initialBytes = 16 * PAGE, maximumBytes = MAXIMUM_BYTES, shared = false } = options;
    ofType('shared', shared, 'boolean');
    integer('maximumBytes', maximumBytes, PAGE, MAXIMUM_BYTES);
    this.#maximumPages = Math.floor(maximumBytes / PAGE);
    integer('initialBytes', initialBytes, 0, this.#maximumPages * PAGE);
    const initial = Math.max(1, Math.ceil(initialBytes / PAGE));
    this.#wasmMemory = reserve({ initial, maximum: this.#maximumPages, shared });
    this.#pages = initial;
    this.#release(ALIGNMENT, initial * PAGE - ALIGNMENT);
  }

  /**
   * Joins a memory that another thread has made. What lies in it is reached by `tensorAt`; blocks that are handed out
   * here are this thread's, and only its `Memory` can free them.
   *
   * @param {WebAssembly.Memory} wasmMemory a shared one, as `memory.wasmMemory` of `new Memory({ shared: true })` comes
   *   by postMessage
   * @returns {Memory} of the same bytes
   * @throws {TypeError} for anything else
   */
  static from(wasmMemory) {
    if (!isWasmMemory(wasmMemory) || !isShared(wasmMemory)) {
      throw typeError('wasmMemory', 'a shared WebAssembly.Memory', wasmMemory);
    }
    const memory = new Memory({ memory: wasmMemory, allocate: Number, free: Number });
    memory.#owner = undefined;
    return memory;
  }

  /** @returns {Memory} the memory of every tensor that is made without another; created at first use */
  static get default() {
    return (Memory.#default ??= new Memory());
  }

  /** @returns {WebAssembly.Memory} to instantiate other modules on; growing it from outside is allowed */
  get wasmMemory() {
    return this.#wasmMemory;
  }

  /** @returns {ArrayBufferLike} the bytes; another object after the memory has grown, so never keep it */
  get buffer() {
    return this.#wasmMemory.buffer;
  }

  /** @returns {boolean} whether it is another program's, who hands out the blocks */
  get hasOwner() {
    return !!this.#owner;
  }

  /** @returns {number} bytes handed out and not freed yet, in whole blocks of 64; of 8 in another program's memory */
  get bytesInUse() {
    return this.#bytesInUse;
  }

  /** @returns {number} tensors that live here and are not disposed yet */
  get tensorCount() {
    return this.#tensorCount;
  }

  /**
   * @param {number} bytes at least 0
   * @returns {number} the byte offset of a block of at least that size, a multiple of 64, in another program's memory
   *   of 8; its content is undefined
   * @throws {RangeError} if the memory is exhausted: nothing has changed then
   * @throws {TypeError | RangeError} if the owner's `allocate` returned no address of such a block
   */
  allocate(bytes) {
    const unit = this.#owner ? OWNER_ALIGNMENT : ALIGNMENT;
    const needed = Math.max(1, Math.ceil(integer('bytes', bytes, 0) / unit)) * unit;
    const byteOffset = this.#owner ? this.#ask(this.#owner, needed) : this.#take(needed) ?? this.#grow(needed);
    this.#used.set(byteOffset, needed);
    this.#bytesInUse += needed;
    return byteOffset;
  }

  /**
   * Counts a tensor in or out; for tensor.js alone.
   *
   * @param {1 | -1} change
   */
  [COUNT](change) {
    this.#tensorCount += change;
  }

  /**
   * Takes a block back.
   *
   * @param {number} byteOffset what `allocate` returned
   * @throws {RangeError} if no block in use starts there
   */
  free(byteOffset) {
    const bytes = this.#used.get(finite('byteOffset', byteOffset));
    if (bytes === undefined) throw rangeError('byteOffset', 'the start of a block in use', byteOffset);
    this.#used.delete(byteOffset);
    this.#bytesInUse -= bytes;
    if (this.#owner) this.#owner.free(byteOffset);
    else this.#release(byteOffset, bytes);
  }

  /**
   * Takes from the owner. A block that cannot be used is given back.
   *
   * @param {Owner} owner
   * @param {number} bytes
   * @returns {number}
   */
  #ask(owner, bytes) {
    // A larger number would reach a WebAssembly function without its upper bits.
    const returned = bytes < MAXIMUM_BYTES ? owner.allocate(bytes) : 0;
    const name = `what allocate(${bytes}) returns`;
    integer(name, returned, -(2 ** 31), 2 ** 32 - 1);
    if (returned === 0) {
      throw new RangeError(
        `memory exhausted: ${bytes} bytes requested of its owner, who has handed out ${this.#bytesInUse} here`,
      );
    }
    const byteOffset = returned >>> 0; // WebAssembly's functions return addresses above 2 GiB as negative numbers
    if (this.#used.has(byteOffset)) throw rangeError(name, 'a block that is not in use', returned);
    const end = this.buffer.byteLength - bytes;
    if (byteOffset % OWNER_ALIGNMENT === 0 && byteOffset <= end) return byteOffset;
    owner.free(byteOffset);
    throw rangeError(name, `a multiple of ${OWNER_ALIGNMENT} in [${OWNER_ALIGNMENT}, ${end}]`, returned);
  }

  /**
   * Takes from the smallest free block that fits, so that large blocks stay whole.
   *
   * @param {number} bytes
   * @returns {number | undefined}
   */
  #take(bytes) {
    let best = -1;
    for (let i = 0; i < this.#free.length; i++) {
      const size = this.#free[i].bytes;
      if (size >= bytes && (best < 0 || size < this.#free[best].bytes)) best = i;
    }
    if (best < 0) return undefined;
    const block = this.#free[best];
    const { byteOffset } = block;
    block.byteOffset += bytes;
    block.bytes -= bytes;
    if (block.bytes === 0) this.#free.splice(best, 1);
    return byteOffset;
  }

  /**
   * Takes from new pages, joined with a free block at the end.
   *
   * @param {number} bytes
   * @returns {number}
   */
  #grow(bytes) {
    const end = this.buffer.byteLength;
    const last = this.#free.at(-1);
    const atEnd = last !== undefined && last.byteOffset + last.bytes === end ? last.bytes : 0;
    const pages = Math.ceil((bytes - atEnd) / PAGE);
    // A quarter more than there is, so that many small requests grow the memory few times; or else just enough.
    const ample = Math.min(Math.max(pages, Math.ceil(this.#pages / 4)), this.#maximumPages - end / PAGE);
    for (const wanted of ample > pages ? [ample, pages] : [pages]) {
      let start;
      try {
        start = this.#wasmMemory.grow(wanted) * PAGE;
      } catch {
        continue;
      }
      this.#pages += wanted;
      this.#release(start, wanted * PAGE);
      // Where another thread has grown it in between, what was at the end is not: then once more.
      return this.#take(bytes) ?? this.#grow(bytes);
    }
    throw new RangeError(
      `memory exhausted: ${bytes} bytes requested, ${this.#bytesInUse} of at most ${this.#maximumPages * PAGE} in use`,
    );
  }

  /**
   * Puts a block among the free ones and joins it with its neighbours.
   *
   * @param {number} byteOffset
   * @param {number} bytes
   */
  #release(byteOffset, bytes) {
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#free[middle].byteOffset < byteOffset) low = middle + 1;
      else high = middle;
    }
    const before = this.#free[low - 1];
    const after = this.#free[low];
    const joinsBefore = before !== undefined && before.byteOffset + before.bytes === byteOffset;
    const joinsAfter = after !== undefined && byteOffset + bytes === after.byteOffset;
    if (joinsBefore && joinsAfter) {
      before.bytes += bytes + after.bytes;
      this.#free.splice(low, 1);
    } else if (joinsBefore) {
      before.bytes += bytes;
    } else if (joinsAfter) {
      after.byteOffset = byteOffset;
      after.bytes += bytes;
    } else {
      this.#free.splice(low, 0, { byteOffset, bytes });
    }
  }
}
