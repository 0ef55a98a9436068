/**
 * What the charts show: numbers by step, at most so many of them however long training goes on.
 */

/** When there are so many rows, neighbours become one, and each row to come is one of twice as many steps. */
const LIMIT = 4096;

/** Columns of numbers; the first is the step. NaN: no number. */
export class History {
  /** @type {number[][]} */
  #columns;
  /** How many rows become one. */
  #stride = 1;
  /** Of the row that is being made: sums, and how many numbers are in each. */
  #sums;
  #counts;
  #pending = 0;

  /** @param {number} columns without the step */
  constructor(columns) {
    this.#columns = Array.from({ length: columns + 1 }, () => []);
    this.#sums = new Float64Array(columns);
    this.#counts = new Float64Array(columns);
  }

  /** @returns {readonly number[][]} of complete rows; each is the mean of its steps, and has the number of the last */
  get columns() {
    return this.#columns;
  }

  /**
   * Adds the numbers of a step.
   *
   * @param {readonly number[]} row step, then as many numbers as there are columns
   */
  push([step, ...numbers]) {
    numbers.forEach((number, i) => {
      if (Number.isNaN(number)) return;
      this.#sums[i] += number;
      this.#counts[i] += 1;
    });
    this.#pending += 1;
    if (this.#pending < this.#stride) return;
    const [steps, ...columns] = this.#columns;
    steps.push(step);
    // 0 / 0 is NaN: no number.
    columns.forEach((column, i) => column.push(this.#sums[i] / this.#counts[i]));
    this.#sums.fill(0);
    this.#counts.fill(0);
    this.#pending = 0;
    if (steps.length < LIMIT) return;
    this.#columns = this.#columns.map((column, i) => halved(column, i === 0 ? (_, later) => later : mean));
    this.#stride *= 2;
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
