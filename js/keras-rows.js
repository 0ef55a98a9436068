/**
 * What Keras 3 alone does with a sparse gradient: clips it slice by slice, and does not merge slices of one row. Without
 * such rows a sparse gradient is the dense one with zeros elsewhere, and the kernels do it.
 */
import { denseOf } from './tensor.js';

/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./tensor.js').IndexedSlices} IndexedSlices */

/** @typedef {(x: number) => number} Rounding to the variable's type */

/**
 * @param {Variable} variable
 * @returns {Rounding}
 */
const roundingOf = (variable) => (variable.dtype === 'float32' ? Math.fround : (x) => x);

/**
 * A sum in the order of TensorFlow's reductions, as src/typed_step.h has it: halves above a leaf, four accumulators of
 * packets, lanes by halves.
 *
 * @param {ArrayLike<number>} terms
 * @param {number} first
 * @param {number} count
 * @param {number} packet 8 for float32, 4 for float64
 * @param {Rounding} round
 * @returns {number}
 */
function sumOf(terms, first, count, packet, round) {
  if (count > 1024 * packet) {
    const split = Math.ceil(Math.ceil(count / 2) / packet) * packet;
    return round(sumOf(terms, first, split, packet, round) + sumOf(terms, first + split, count - split, packet, round));
  }
  const whole = Math.floor(count / packet);
  let rest = 0;
  for (let i = whole * packet; i < count; i++) rest = round(rest + terms[first + i]);
  if (whole === 0) return rest;
  const lanes = Array.from({ length: packet }, (_, lane) => {
    const sums = [0, 0, 0, 0];
    const inBlocks = whole - (whole % 4);
    for (let p = 0; p < inBlocks; p++) sums[p % 4] = round(sums[p % 4] + terms[first + p * packet + lane]);
    let sum = sums.reduce((a, b) => round(a + b));
    for (let p = inBlocks; p < whole; p++) sum = round(sum + terms[first + p * packet + lane]);
    return sum;
  });
  for (let half = packet / 2; half >= 1; half /= 2) {
    for (let i = 0; i < half; i++) lanes[i] = round(lanes[i] + lanes[i + half]);
  }
  return round(rest + lanes[0]);
}

/**
 * What Keras 3 takes for the sum of squares in its global norm: each slice is squared on its own, and then they add up.
 *
 * @param {Variable} variable
 * @param {IndexedSlices} slices
 * @returns {number} in the variable's type
 */
export function sumOfSquares(variable, { indices, values }) {
  const round = roundingOf(variable);
  const squares = denseOf(variable, /** @type {IndexedSlices} */ ({ indices, values: values.map((g) => round(round(g) ** 2)) }));
  return sumOf(squares, 0, squares.length, variable.dtype === 'float32' ? 8 : 4, round);
}

/**
 * @param {import('./engine.js').Engine} engine placed, its variables of one type
 * @param {ReadonlyMap<number, number>} sums of the variables whose gradients are slices that share rows
 * @returns {number} the square of the global norm
 */
export function totalSquares(engine, sums) {
  const [{ dtype }] = engine.variables;
  const all = engine.sumSquares().map((sum, i) => sums.get(i) ?? sum).filter((_, i) => engine.hasGradient(i));
  return sumOf(all, 0, all.length, dtype === 'float32' ? 8 : 4, dtype === 'float32' ? Math.fround : (x) => x);
}

/**
 * Clips the values of slices as they are, by value or by their norm.
 *
 * @param {Variable} variable
 * @param {TensorData} values changed in place
 * @param {{ clipnorm: number | null, clipvalue: number | null }} options as Keras's
 */
export function clipSlices(variable, values, { clipnorm, clipvalue }) {
  const round = roundingOf(variable);
  if (clipnorm !== null && clipnorm > 0) {
    const limit = round(clipnorm);
    const squares = values.map((g) => g * g);
    const norm = round(Math.sqrt(sumOf(squares, 0, squares.length, variable.dtype === 'float32' ? 8 : 4, round)));
    const divisor = limit > norm ? limit : norm;
    values.forEach((g, i) => {
      values[i] = round(g * limit) / divisor;
    });
  } else if (clipvalue !== null && clipvalue > 0) {
    const limit = round(clipvalue);
    values.forEach((g, i) => {
      values[i] = g > limit ? limit : g < -limit ? -limit : g;
    });
  }
}

/**
 * One update of Keras 3 by slices of which several belong to one row. Each is squared on its own before they add up, and
 * moves its row by a step of its own; all rows decay, and with a momentum all move.
 *
 * @param {Variable} variable changed in place
 * @param {(name: string) => TensorData | undefined} slot the variable's slots, changed in place
 * @param {IndexedSlices} slices of the variable's type, clipped
 * @param {(field: 'learning_rate' | 'rho' | 'momentum' | 'epsilon') => number} number
 * @param {number | null} weightDecay
 */
export function updateRows(variable, slot, slices, number, weightDecay) {
  const round = roundingOf(variable);
  const [rate, rho, momentum, epsilon] = /** @type {const} */ (['learning_rate', 'rho', 'momentum', 'epsilon']).map(
    (field) => round(number(field)),
  );
  const complement = round(1 - number('rho'));
  const { indices, values } = slices;
  const rowLength = variable.size / variable.shape[0];
  const weights = variable.data;
  const velocity = /** @type {TensorData} */ (slot('velocity'));
  const means = slot('average_gradient');
  const momentums = slot('momentum');
  /** @type {(terms: import('./tensor.js').TypedArray) => TensorData} */
  const dense = (terms) => denseOf(variable, /** @type {IndexedSlices} */ ({ indices, values: terms }));
  if (weightDecay !== null) {
    const decay = round(weightDecay);
    weights.forEach((x, i) => {
      weights[i] = x - round(round(x * decay) * rate);
    });
  }
  // v <- rho v + the sum over slices of (1 - rho) (g g)
  const squares = dense(values.map((g) => round(complement * round(g * g))));
  velocity.forEach((v, i) => {
    velocity[i] = round(rho * v) + squares[i];
  });
  // mg <- rho mg + the sum over slices of (1 - rho) g
  if (means) {
    const weighted = dense(values.map((g) => round(complement * g)));
    means.forEach((mg, i) => {
      means[i] = round(rho * mg) + weighted[i];
    });
  }
  const root = velocity.map((v, i) => {
    const d = means ? round(round(v - round(means[i] * means[i])) + epsilon) : round(v + epsilon);
    return Math.sqrt(means && d <= 0 ? epsilon : d);
  });
  const places = values.map((_, i) => indices[Math.floor(i / rowLength)] * rowLength + (i % rowLength));
  const steps = values.map((g, i) => round(round(rate * g) / root[places[i]]));
  if (momentums) {
    const summed = dense(steps);
    momentums.forEach((m, i) => {
      momentums[i] = round(momentum * m) + summed[i];
      weights[i] -= momentums[i];
    });
  } else {
    steps.forEach((step, i) => {
      weights[places[i]] -= step;
    });
  }
}
