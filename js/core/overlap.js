/**
 * The places that a step writes. A gradient that lies there is copied before, since the step of one variable
 * may overwrite it before another one reads it.
 */

/** @typedef {import('../memory.js').Memory} Memory */
/** @typedef {{ memory: Memory, written: () => [start: number, end: number][] }} Writer an engine: what it writes */

/** The ranges that the engines of one optimizer write in one call. */
export class Overlap {
  /** @type {Set<Writer>} */
  #writers = new Set();
  /**
   * The ranges in each memory by their starts, and how far those up to each reach.
   *
   * @type {Map<Memory, { starts: Float64Array, reaches: Float64Array }>}
   */
  #ranges = new Map();
  /** Changes with the ranges: what was found before holds as long as it is the same. */
  version = 0;

  /**
   * Takes an engine in.
   *
   * @param {Writer} writer
   */
  add(writer) {
    this.#writers.add(writer);
    this.forget();
  }

  /**
   * Forgets an engine.
   *
   * @param {Writer} writer
   */
  remove(writer) {
    this.#writers.delete(writer);
    this.forget();
  }

  /** Is told that the ranges have changed. */
  forget() {
    this.version++;
    this.#ranges.clear();
  }

  /**
   * @param {Memory} memory
   * @param {number} start
   * @param {number} end
   * @returns {boolean} whether any byte from the start to before the end is written
   */
  has(memory, start, end) {
    const { starts, reaches } = this.#ranges.get(memory) ?? this.#measure(memory);
    let low = 0;
    for (let high = starts.length; low < high;) {
      const middle = (low + high) >> 1;
      if (starts[middle] < end) low = middle + 1;
      else high = middle;
    }
    return low > 0 && reaches[low - 1] > start;
  }

  /** @param {Memory} memory */
  #measure(memory) {
    const writers = [...this.#writers].filter((writer) => writer.memory === memory);
    const ranges = writers.flatMap((writer) => writer.written()).sort(([a], [b]) => a - b);
    let reach = 0;
    const measured = {
      starts: Float64Array.from(ranges, ([start]) => start),
      reaches: Float64Array.from(ranges, ([, end]) => (reach = Math.max(reach, end))),
    };
    this.#ranges.set(memory, measured);
    return measured;
  }
}
