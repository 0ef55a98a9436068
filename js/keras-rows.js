/**
 * What Keras 3 alone does with a sparse gradient: it does not merge slices of one row. Without such rows a sparse
 * gradient is the dense one with zeros elsewhere, and the kernels do it.
 */
import { sumInOrder } from './clip.js';
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
 * What Keras 3 takes for the sum of squares in its global norm: each slice is squared on its own, and then they add up.
 *
 * @param {Variable} variable
 * @param {IndexedSlices} slices
 * @returns {number} in the variable's type
 */
export function sumOfSquaresByRow(variable, { indices, values }) {
  const round = roundingOf(variable);
  const terms = values.map((g) => round(round(g) * round(g)));
  const squares = denseOf(variable, /** @type {IndexedSlices} */ ({ indices, values: terms }));
  return sumInOrder(/** @type {import('./clip.js').Floats} */ (squares));
}

/**
 * One update of Keras 3 by slices of which several belong to one row. Each is squared on its own before they add up,
 * and moves its row by a step of its own; all rows decay, and with a momentum all move.
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
