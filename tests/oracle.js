/**
 * Keras 3's rule for one tensor, written out with Math.fround, one rounding an operation. It shares nothing with the
 * package: no import, and its own sums, written with plain arrays.
 */
const f = Math.fround;

/**
 * @typedef {object} OracleState of one tensor; arrays that the variant does not have are null
 * @property {Float32Array} value
 * @property {Float32Array} meanSquare
 * @property {Float32Array | null} meanGradient
 * @property {Float32Array | null} momentum
 * @property {Float32Array | null} average
 * @property {Float32Array | null} accumulator
 */
/**
 * @typedef {object} OracleOptions as Keras's, and null for what is not given
 * @property {number} learningRate
 * @property {number} rho
 * @property {number} momentum
 * @property {number} epsilon
 * @property {number | null} [weightDecay]
 * @property {number | null} [lossScaleFactor]
 * @property {number | null} [gradientAccumulationSteps]
 * @property {number | null} [clipnorm]
 * @property {number | null} [globalClipnorm]
 * @property {number | null} [clipvalue]
 * @property {number} [emaMomentum]
 * @property {number | null} [emaOverwriteFrequency]
 * @property {string} [order] of the quotient where a graph optimizer has changed it: 'quotient_as_rsqrt' or 'rate_first'
 */

/**
 * One call of `apply` on several tensors.
 *
 * @param {OracleState[]} states changed in place
 * @param {(Float32Array | null)[]} gradients
 * @param {OracleOptions} options
 * @param {number} calls how many calls there were before
 */
export function oracleApply(states, gradients, options, calls) {
  const parts = options.gradientAccumulationSteps ?? 1;
  const updates = Math.floor(calls / parts);
  const holds = (calls + 1) % parts !== 0;
  const prepared = gradients.map((gradient, k) => gradient && prepare(gradient, states[k].accumulator, holds, options));
  states.forEach((state, k) => {
    const gradient = prepared[k];
    if (state.accumulator) {
      if (holds) state.accumulator.set(gradient ?? state.accumulator);
      else state.accumulator.fill(0);
    }
  });
  if (!holds) {
    const clipped = clip(prepared, options);
    states.forEach((state, k) => {
      const gradient = clipped[k];
      if (gradient) update(state, gradient, options);
    });
  }
  for (const state of states) average(state, options, updates);
}

/**
 * @param {Float32Array} gradient
 * @param {Float32Array | null} accumulator
 * @param {boolean} holds
 * @param {OracleOptions} options
 */
function prepare(gradient, accumulator, holds, { lossScaleFactor, gradientAccumulationSteps }) {
  return gradient.map((g, i) => {
    if (lossScaleFactor != null) g = f(g / f(lossScaleFactor));
    if (accumulator) g = f(g + accumulator[i]);
    return accumulator && !holds ? f(g / f(gradientAccumulationSteps ?? 1)) : g;
  });
}

/**
 * @param {(Float32Array | null)[]} gradients
 * @param {OracleOptions} options
 */
function clip(gradients, { clipnorm, globalClipnorm, clipvalue }) {
  if (clipnorm && clipnorm > 0) {
    const limit = f(clipnorm);
    return gradients.map((gradient) => {
      if (!gradient) return null;
      const norm = f(Math.sqrt(sumOfSquares(gradient)));
      const divisor = Number.isNaN(norm) ? norm : Math.max(norm, limit);
      return gradient.map((g) => f(f(g * limit) / divisor));
    });
  }
  if (globalClipnorm && globalClipnorm > 0) {
    const sums = gradients.flatMap((gradient) => (gradient ? [sumOfSquares(gradient)] : []));
    const norm = f(Math.sqrt(sumInOrder(sums)));
    const factor = f(f(f(globalClipnorm) * Math.min(f(1 / norm), f(1 / globalClipnorm))) + f(norm - norm));
    return gradients.map((gradient) => gradient && gradient.map((g) => f(g * factor)));
  }
  if (clipvalue && clipvalue > 0) {
    const limit = f(clipvalue);
    return gradients.map((gradient) => gradient && gradient.map((g) => (g > limit ? limit : g < -limit ? -limit : g)));
  }
  return gradients;
}

/**
 * @param {OracleState} state
 * @param {Float32Array} gradient
 * @param {OracleOptions} options
 */
function update({ value, meanSquare, meanGradient, momentum }, gradient, options) {
  const rate = f(options.learningRate);
  const rho = f(options.rho);
  const complement = f(1 - options.rho);
  const epsilon = f(options.epsilon);
  gradient.forEach((g, i) => {
    let x = value[i];
    if (options.weightDecay != null) x = f(x - f(f(x * f(options.weightDecay)) * rate));
    meanSquare[i] = f(f(rho * meanSquare[i]) + f(complement * f(g * g)));
    let d = f(meanSquare[i] + epsilon);
    if (meanGradient) {
      meanGradient[i] = f(f(rho * meanGradient[i]) + f(complement * g));
      d = f(f(meanSquare[i] - f(meanGradient[i] * meanGradient[i])) + epsilon);
      if (d <= 0) d = epsilon;
    }
    const root = f(Math.sqrt(d));
    let m = f(f(rate * g) / root);
    if (options.order === 'quotient_as_rsqrt') m = f(f(rate * g) * f(1 / root));
    if (options.order === 'rate_first') m = f(f(rate * f(1 / root)) * g);
    if (momentum) m = momentum[i] = f(f(f(options.momentum) * momentum[i]) + m);
    value[i] = f(x - m);
  });
}

/**
 * @param {OracleState} state
 * @param {OracleOptions} options
 * @param {number} updates before this call
 */
function average(state, { emaMomentum = 0.99, emaOverwriteFrequency }, updates) {
  if (!state.average) return;
  const k = updates === 0 ? 0 : f(emaMomentum);
  const complement = f(1 - k);
  const averages = state.average;
  state.value.forEach((x, i) => {
    averages[i] = f(f(k * averages[i]) + f(complement * x));
  });
  if (emaOverwriteFrequency && (updates + 1) % emaOverwriteFrequency === 0) state.value.set(averages);
}

/** @param {Float32Array} gradient */
function sumOfSquares(gradient) {
  return sumInOrder(Array.from(gradient, (g) => f(g * g)));
}

/**
 * TensorFlow's order, as semantics of its reductions: a tree of halves above 8 192 terms; below, four accumulators of
 * eight lanes, whole packets left over, the lanes by halves, and at the end what is short of a packet.
 *
 * @param {readonly number[]} terms
 * @returns {number}
 */
export function sumInOrder(terms) {
  const n = terms.length;
  if (n > 8192) {
    const split = Math.ceil(Math.ceil(n / 2) / 8) * 8;
    return f(sumInOrder(terms.slice(0, split)) + sumInOrder(terms.slice(split)));
  }
  const packets = Math.floor(n / 8);
  let rest = 0;
  for (let i = packets * 8; i < n; i++) rest = f(rest + terms[i]);
  if (packets === 0) return rest;
  const accumulators = Array.from({ length: 4 }, () => new Array(8).fill(0));
  const inBlocks = Math.floor(packets / 4) * 4;
  for (let p = 0; p < inBlocks; p++) {
    for (let i = 0; i < 8; i++) accumulators[p % 4][i] = f(accumulators[p % 4][i] + terms[8 * p + i]);
  }
  const lanes = accumulators.reduce((a, b) => a.map((x, i) => f(x + b[i])));
  for (let p = inBlocks; p < packets; p++) {
    for (let i = 0; i < 8; i++) lanes[i] = f(lanes[i] + terms[8 * p + i]);
  }
  for (let width = 4; width >= 1; width /= 2) {
    for (let i = 0; i < width; i++) lanes[i] = f(lanes[i] + lanes[i + width]);
  }
  return f(rest + lanes[0]);
}
