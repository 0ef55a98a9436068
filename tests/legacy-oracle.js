/**
 * OptimizerV2's RMSprop in plain numbers, written from semantics §3, §13.2 and §13.3, which shares nothing with the package:
 * every operation is rounded on its own, slices are clipped before those of one row are summed.
 */

/** @typedef {{ indices: readonly number[], values: ArrayLike<number> }} Slices */
/**
 * @typedef {object} Settings numbers alone
 * @property {number} learningRate
 * @property {number} rho
 * @property {number} momentum
 * @property {number} epsilon
 * @property {boolean} [centered]
 * @property {number} [decay]
 * @property {number} [clipnorm]
 * @property {number} [clipvalue]
 * @property {number} [globalClipnorm]
 */

/** One optimizer and its variables, which are all of one type. */
export class LegacyOracle {
  /**
   * @param {Settings} settings
   * @param {readonly (readonly number[])[]} start
   * @param {readonly number[]} rowLengths of each variable
   * @param {'float32' | 'float64'} dtype
   * @param {string} [order] 'g_times_g_omr' for the order of graph mode
   */
  constructor(settings, start, rowLengths, dtype, order) {
    this.settings = settings;
    this.rowLengths = rowLengths;
    this.round = dtype === 'float32' ? Math.fround : (/** @type {number} */ x) => x;
    this.packet = dtype === 'float32' ? 8 : 4;
    this.order = order;
    this.iterations = 0;
    this.variables = start.map((values) => values.map(this.round));
    const zeros = () => start.map((values) => values.map(() => 0));
    this.rms = zeros();
    this.mg = zeros();
    this.momentum = zeros();
  }

  /**
   * @param {readonly number[]} terms
   * @returns {number} their sum in the order of §13.3
   */
  sum(terms) {
    const { round, packet } = this;
    const add = (/** @type {number} */ a, /** @type {number} */ b) => round(a + b);
    const addAll = (/** @type {number[]} */ a, /** @type {readonly number[]} */ b) => a.map((x, i) => add(x, b[i]));
    if (terms.length > 1024 * packet) {
      const half = Math.ceil(terms.length / 2);
      const split = half + ((packet - (half % packet)) % packet);
      return add(this.sum(terms.slice(0, split)), this.sum(terms.slice(split)));
    }
    const packets = [];
    let k = 0;
    for (; k + packet <= terms.length; k += packet) packets.push(terms.slice(k, k + packet));
    const tail = terms.slice(k).reduce(add, 0);
    if (packets.length === 0) return tail;
    const zero = packets[0].map(() => 0);
    let joined = zero;
    if (packets.length >= 4) {
      const four = [zero, zero, zero, zero];
      while (packets.length >= 4) packets.splice(0, 4).forEach((p, j) => { four[j] = addAll(four[j], p); });
      joined = addAll(addAll(addAll(four[0], four[1]), four[2]), four[3]);
    }
    joined = packets.reduce(addAll, joined);
    while (joined.length > 1) joined = addAll(joined.slice(0, joined.length / 2), joined.slice(joined.length / 2));
    return add(joined[0], tail);
  }

  /**
   * @param {readonly (readonly number[])[]} gradients the values alone
   * @returns {number[][]}
   */
  clipped(gradients) {
    const { round } = this;
    const { clipvalue, clipnorm, globalClipnorm } = this.settings;
    const squares = (/** @type {readonly number[]} */ g) => this.sum(g.map((x) => round(x * x)));
    let result = gradients.map((g) => [...g]);
    if (clipvalue !== undefined) {
      const c = round(clipvalue);
      result = result.map((g) => g.map((x) => Math.max(Math.min(x, c), -c)));
    }
    if (clipnorm !== undefined) {
      const c = round(clipnorm);
      result = result.map((g) => {
        const s = squares(g);
        const n = s > 0 ? round(Math.sqrt(s)) : s;
        return g.map((x) => round(round(x * c) / Math.max(n, c)));
      });
    }
    if (globalClipnorm !== undefined) {
      const c = round(globalClipnorm);
      const n = round(Math.sqrt(round(2 * this.sum(result.map((g) => round(squares(g) / 2))))));
      const scale = round(round(c * Math.min(round(1 / n), round(1 / c))) + round(n - n));
      result = result.map((g) => g.map((x) => round(x * scale)));
    }
    return result;
  }

  /**
   * @param {readonly (readonly number[] | Slices | null)[]} gradients of each variable; null: none
   * @param {readonly number[]} [sequence] the variables that have one, in the order of the list of pairs
   */
  apply(gradients, sequence = gradients.flatMap((g, i) => (g === null ? [] : [i]))) {
    const { round } = this;
    const { decay = 0 } = this.settings;
    const [rate, rho, mu] = [this.settings.learningRate, this.settings.rho, this.settings.momentum].map(Math.fround);
    const lr = decay > 0 ? round(rate / round(1 + round(Math.fround(decay) * this.iterations))) : rate;
    const values = this.clipped(sequence.map((i) => {
      const g = /** @type {any} */ (gradients[i]);
      return Array.from('indices' in g ? g.values : g, round);
    }));
    sequence.forEach((i, k) => {
      const g = /** @type {any} */ (gradients[i]);
      const isSparse = 'indices' in g;
      const rows = isSparse ? this.merged(g.indices, values[k], this.rowLengths[i]) : new Map(values[k].entries());
      if (mu > 0) this.fused(i, rows, isSparse, lr, rho, mu);
      else this.plain(i, rows, isSparse, lr, rho);
    });
    this.iterations++;
  }

  /**
   * @param {readonly number[]} indices
   * @param {readonly number[]} values
   * @param {number} rowLength
   * @returns {Map<number, number>} gradients by element
   */
  merged(indices, values, rowLength) {
    const sums = new Map();
    indices.forEach((row, k) => {
      for (let j = 0; j < rowLength; j++) {
        const element = row * rowLength + j;
        sums.set(element, this.round((sums.get(element) ?? 0) + values[k * rowLength + j]));
      }
    });
    return sums;
  }

  /** §3.4 and §3.6: epsilon outside, all rows of the slots decay. */
  plain(/** @type {number} */ i, /** @type {Map<number, number>} */ rows, /** @type {boolean} */ isSparse,
    /** @type {number} */ lr, /** @type {number} */ rho) {
    const { round } = this;
    const [x, v, mg] = [this.variables[i], this.rms[i], this.mg[i]];
    const complement = round(1 - rho);
    const epsilon = round(this.settings.epsilon);
    if (isSparse) {
      v.forEach((old, e) => { v[e] = round(old * rho); });
      mg.forEach((old, e) => { mg[e] = round(old * rho); });
    }
    for (const [e, g] of rows) {
      const square = this.order === 'g_times_g_omr' ? round(g * round(g * complement)) : round(round(g * g) * complement);
      v[e] = round((isSparse ? v[e] : round(rho * v[e])) + square);
      let d = v[e];
      if (this.settings.centered) {
        mg[e] = round((isSparse ? mg[e] : round(rho * mg[e])) + round(complement * g));
        d = round(v[e] - round(mg[e] * mg[e]));
      }
      const den = round(round(Math.sqrt(d)) + epsilon);
      x[e] = isSparse ? round(x[e] + round(round(-lr * g) / den)) : round(x[e] - round(round(lr * g) / den));
    }
  }

  /** §2.3 and §2.4: epsilon inside, and only what the gradient names is touched. */
  fused(/** @type {number} */ i, /** @type {Map<number, number>} */ rows, /** @type {boolean} */ isSparse,
    /** @type {number} */ lr, /** @type {number} */ rho, /** @type {number} */ mu) {
    const { round } = this;
    const [x, v, mg, m] = [this.variables[i], this.rms[i], this.mg[i], this.momentum[i]];
    const complement = round(1 - rho);
    const epsilon = round(this.settings.epsilon);
    for (const [e, g] of rows) {
      if (isSparse) {
        v[e] = round(round(v[e] * rho) + round(round(g * g) * complement));
        mg[e] = round(round(mg[e] * rho) + round(g * complement));
        const d = this.settings.centered ? round(round(v[e] + epsilon) - round(mg[e] * mg[e])) : round(v[e] + epsilon);
        m[e] = round(round(m[e] * mu) + round(round(round(1 / round(Math.sqrt(d))) * lr) * g));
      } else {
        v[e] = round(v[e] + round(round(round(g * g) - v[e]) * complement));
        mg[e] = round(mg[e] + round(round(g - mg[e]) * complement));
        const d = this.settings.centered ? round(round(v[e] - round(mg[e] * mg[e])) + epsilon) : round(v[e] + epsilon);
        m[e] = round(round(m[e] * mu) + round(round(g * lr) / round(Math.sqrt(d))));
      }
      x[e] = round(x[e] - m[e]);
    }
  }
}
