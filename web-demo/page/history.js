/**
 * What the charts show: numbers by step, at most so many of them however long training goes on.
 */

/** When there are so many rows, neighbours become one. */
const LIMIT = 4096;

/** Columns of numbers; the first is the step. NaN: no number. */
export class History {
  /** @type {number[][]} */
  #columns;

  /** @param {number} columns without the step */
  constructor(columns) {
    this.#columns = Array.from({ length: columns + 1 }, () => []);
  }

  /** @returns {readonly number[][]} */
  get columns() {
    return this.#columns;
  }

  /**
   * Adds the numbers of a step.
   *
   * @param {readonly number[]} row step, then as many numbers as there are columns
   */
  push(row) {
    this.#columns.forEach((column, i) => column.push(row[i]));
    if (this.#columns[0].length < LIMIT) return;
    this.#columns = this.#columns.map((column, i) => halved(column, i === 0 ? (_, later) => later : mean));
  }
}

/**
 * @param {number} a
 * @param {number} b
 */
function mean(a, b) {
  if (Number.isNaN(a)) return b;
  return Number.isNaN(b) ? a : (a + b) / 2;
}

/**
 * @param {readonly number[]} column of an even length
 * @param {(a: number, b: number) => number} merge
 */
function halved(column, merge) {
  return Array.from({ length: column.length / 2 }, (_, i) => merge(column[2 * i], column[2 * i + 1]));
}

/** A mean in which what is older counts less; from the first number on it is one of its numbers. */
export class RunningMean {
  #sum = 0;
  #weight = 0;
  #keep;

  /** @param {number} length about how many numbers it is the mean of */
  constructor(length) {
    this.#keep = 1 - 1 / length;
  }

  /**
   * @param {number} value
   * @returns {number} the mean with it
   */
  push(value) {
    this.#sum = this.#keep * this.#sum + value;
    this.#weight = this.#keep * this.#weight + 1;
    return this.#sum / this.#weight;
  }
}
