/**
 * Clips of sparse gradients, which TensorFlow applies to the slices before it sums those of one row: a clip inside the
 * kernels, which get the sums, would come too late. Everything is rounded to the type of the array it is called with.
 */
import { arrayKind } from './core/identity.js';

/** @typedef {Float32Array | Float64Array} Floats */

/**
 * A sum in the order of TensorFlow's reductions, as src/typed_step.h has it for the kernels: halves above a leaf, four
 * accumulators of packets, at last the lanes of a packet by halves.
 *
 * @param {Floats} terms
 * @returns {number}
 */
export function sumInOrder(terms) {
  const round = roundingOf(terms);
  const packet = 32 / terms.BYTES_PER_ELEMENT;
  if (terms.length > 1024 * packet) {
    const split = Math.ceil(Math.ceil(terms.length / 2) / packet) * packet;
    return round(sumInOrder(terms.subarray(0, split)) + sumInOrder(terms.subarray(split)));
  }
  const packets = Math.floor(terms.length / packet);
  const unrolled = packets - (packets % 4);
  let rest = 0;
  for (let i = packets * packet; i < terms.length; i++) rest = round(rest + terms[i]);
  if (packets === 0) return rest;
  /** The arrays round what is stored in them. */
  const make = /** @type {() => Floats} */ (() => new (/** @type {any} */ (terms.constructor))(packet));
  const accumulators = [make(), make(), make(), make()];
  for (let p = 0; p < unrolled; p++) {
    for (let lane = 0; lane < packet; lane++) accumulators[p % 4][lane] += terms[p * packet + lane];
  }
  const [lanes, ...others] = accumulators;
  for (const other of others) for (let lane = 0; lane < packet; lane++) lanes[lane] += other[lane];
  for (let i = unrolled * packet; i < packets * packet; i++) lanes[i % packet] += terms[i];
  for (let half = packet / 2; half >= 1; half /= 2) {
    for (let lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
  }
  return round(rest + lanes[0]);
}

/**
 * @param {Floats} values
 * @returns {number} the sum of their squares
 */
export function sumOfSquares(values) {
  return sumInOrder(values.map((g) => g * g));
}

/**
 * What a global norm is the root of, where the kernels cannot know it: they neither see slices as they were before
 * those of one row were summed, nor in which order the gradients came.
 *
 * @param {import('./engine.js').Placed} placed gradients, all of one type
 * @param {string} dtype their type
 * @param {readonly number[]} order of the variables that have a gradient
 * @param {ReadonlyMap<number, number>} sums of squares to take for the variables of these indices
 * @returns {number}
 */
export function totalSquares(placed, dtype, order, sums) {
  const dense = placed.sumSquares();
  const all = order.map((index) => sums.get(index) ?? dense[index]);
  return sumInOrder(dtype === 'float32' ? Float32Array.from(all) : Float64Array.from(all));
}

/**
 * max(min(g, limit), -limit)
 *
 * @param {Floats} values changed in place
 * @param {number} limit
 */
export function clipByValue(values, limit) {
  const most = roundingOf(values)(limit);
  values.forEach((g, i) => {
    const below = most < g ? most : g;
    values[i] = below < -most ? -most : below;
  });
}

/**
 * (g * limit) / max(norm, limit)
 *
 * @param {Floats} values changed in place
 * @param {number} limit
 */
export function clipByNorm(values, limit) {
  const round = roundingOf(values);
  const most = round(limit);
  const norm = round(Math.sqrt(sumOfSquares(values)));
  const divisor = most > norm ? most : norm;
  values.forEach((g, i) => {
    values[i] = round(g * most) / divisor;
  });
}

/**
 * g * (limit * min(1 / norm, 1 / limit)); NaN where the norm is not finite
 *
 * @param {Floats} values changed in place
 * @param {number} limit
 * @param {number} sum of the squares of all gradients
 */
export function clipByGlobalNorm(values, limit, sum) {
  const round = roundingOf(values);
  const most = round(limit);
  const norm = round(Math.sqrt(sum));
  const factor = round(round(most * Math.min(round(1 / norm), round(1 / most))) + (norm - norm));
  values.forEach((g, i) => {
    values[i] = g * factor;
  });
}

/**
 * @param {Floats} values
 * @returns {(x: number) => number} rounding to their type
 */
export function roundingOf(values) {
  return arrayKind(values) === 'Float32Array' ? Math.fround : (x) => x;
}
