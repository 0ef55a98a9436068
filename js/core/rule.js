/**
 * The update of include/rmsprop.h, once, as a function over an algebra: the operations of src/kernel.h, in their order.
 * Each way to compute brings an algebra of its own: the operations of a toolkit for whole arrays, text of a shading
 * language (rule-text.js), or plain numbers (`numbers`), by which the kernels hold this text to their bits.
 *
 * Names are those of the C structs. Norms are sums over arrays, which are the caller's; what is made of a sum is here.
 */
import * as constants from '../generated/constants.js';
import { rules } from '../generated/rmsprop.js';


/** @typedef {import('../engine.js').OptionField} OptionField fields of rms_step_options */
/** @typedef {Readonly<Partial<Record<OptionField, number>>>} StepOptions rms_step_options */
/**
 * @template T
 * @typedef {object} Algebra the vocabulary of src/vector.h. Operands are of T, or scalars of the step.
 * @property {(a: T, b: T) => T} add
 * @property {(a: T, b: T) => T} subtract
 * @property {(a: T, b: T) => T} multiply
 * @property {(a: T, b: T) => T} divide
 * @property {(a: T) => T} negate
 * @property {(a: T) => T} squareRoot
 * @property {(a: T, limit: T) => T} clamp a limited to [-limit, limit]; NaN stays NaN
 * @property {(a: T, instead: T) => T} positiveOr a where a > 0 or a is NaN, instead where a <= 0
 * @property {(like: T) => T} zeros
 * @property {T} zero a scalar
 * @property {T} one
 */
/**
 * @template T
 * @typedef {Algebra<T> & Record<'minimum' | 'maximum', (a: T, b: T) => T>} AlgebraOfNorms a NaN in a stays in the
 *   maximum; that of a minimum is open
 */
/**
 * @typedef {object} Form what a step is, except for its numbers: one program of a GPU serves all steps of one form
 * @property {typeof rules[number]} row whose arithmetic
 * @property {number} flags enum rms_step_flags
 * @property {boolean} averagesAlways whether a tensor is averaged where it has no gradient, too
 * @property {boolean} lerpsFromGradient which end a LERPED mean gradient is computed from
 * @property {boolean} leavesValue whether the update is a result of its own instead of being added to the value
 */
/**
 * @template T
 * @typedef {object} Arrays of one tensor; what is not there switches its part of the rule off
 * @property {T} value
 * @property {T} [gradient]
 * @property {T} [mean_square]
 * @property {T} [mean_gradient]
 * @property {T} [momentum]
 * @property {T} [average]
 * @property {T} [accumulator]
 */
/**
 * @template T
 * @typedef {Partial<Arrays<T>> & { update?: T }} Changes the arrays that a step changes
 */
/**
 * @typedef {'learning_rate' | 'rho' | 'complement' | 'rest' | 'momentum' | 'epsilon' | 'weight_decay' | 'loss_scale'
 *   | 'accumulation_steps' | 'clip_value' | 'clip_norm' | 'inverse_clip_norm' | 'bias_correction' | 'ema_momentum'
 *   | 'ema_complement'} ScalarName
 */
/** @template T @typedef {Record<ScalarName, T>} Scalars of a step */

const CLIPS_BY_NORM = constants.RMS_CLIP_BY_NORM | constants.RMS_CLIP_BY_GLOBAL_NORM;
const CLIPS = constants.RMS_CLIP_BY_VALUE | CLIPS_BY_NORM;
const DECAYS = constants.RMS_DECAY_WEIGHTS | constants.RMS_DECAY_GRADIENTS;

/**
 * @param {StepOptions} options
 * @param {(x: number) => number} round to the element type
 * @param {object} [tensor]
 * @param {number} [tensor.flags] enum rms_tensor_flags
 * @param {boolean} [tensor.namesRows] whether a sparse gradient names rows, and these alone are computed
 * @param {boolean} [tensor.leavesValue] see Form
 * @returns {Form} of the step for that tensor
 */
export function formOf(options, round, { flags: tensorFlags = 0, namesRows = false, leavesValue = false } = {}) {
  let { flags = 0 } = options;
  const { rule = 0, rho = 0 } = options;
  if (tensorFlags & constants.RMS_KEEP_WEIGHTS) flags &= ~DECAYS;
  if (tensorFlags & constants.RMS_KEEP_GRADIENT) flags &= ~CLIPS;
  return {
    row: rules[namesRows && rule === constants.RMS_RULE_TF1 ? constants.TF1_ROWS : rule],
    flags,
    averagesAlways: rule !== constants.RMS_RULE_KERAS_2_11,
    lerpsFromGradient: !(Math.abs(round(1 - rho)) < 0.5),
    leavesValue,
  };
}

/**
 * @param {StepOptions} options fields that the form does not read may be left out
 * @param {Form['row']} row
 * @param {(x: number) => number} round to the element type
 * @returns {Scalars<number>} of the step, rounded
 */
export function scalarsOf(options, row, round) {
  const number = (/** @type {OptionField} */ field) => options[field] ?? 0;
  const [rho, emaMomentum, clipNorm] = [number('rho'), number('ema_momentum'), number('clip_norm')];
  const complement = row.rounds_rho_first ? round(1 - round(rho)) : round(1 - rho);
  return {
    learning_rate: round(number('learning_rate')),
    rho: round(rho),
    complement, // 1 - rho
    rest: round(1 - complement),
    momentum: round(number('momentum')),
    epsilon: round(number('epsilon')),
    weight_decay: round(number('weight_decay')),
    loss_scale: round(number('loss_scale')),
    accumulation_steps: round(number('accumulation_steps')),
    clip_value: round(number('clip_value')),
    clip_norm: round(clipNorm),
    inverse_clip_norm: round(1 / clipNorm),
    bias_correction: round(number('bias_correction')),
    ema_momentum: round(emaMomentum),
    ema_complement: row.rounds_ema_last ? round(1 - emaMomentum) : round(1 - round(emaMomentum)),
  };
}

/**
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form} form
 * @param {Scalars<T>} s
 * @param {T} gradient
 * @returns {T} g / loss_scale
 */
function unscaled({ divide }, { flags }, s, gradient) {
  return flags & constants.RMS_UNSCALE ? divide(gradient, s.loss_scale) : gradient;
}

/**
 * The gradient before any clip, which is what norms are of.
 *
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form} form
 * @param {Scalars<T>} s
 * @param {T} gradient
 * @param {T} [accumulator]
 * @returns {T} (g / loss_scale + accumulator) / accumulation_steps
 */
export function prepared(algebra, form, s, gradient, accumulator) {
  if (form.flags & constants.RMS_PREPARED) return gradient;
  const g = unscaled(algebra, form, s, gradient);
  if (accumulator === undefined) return g;
  return algebra.divide(algebra.add(g, accumulator), s.accumulation_steps);
}

/**
 * The gradient whose squares are summed for the norm clips: prepared, and clipped by value where that is asked, too.
 *
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form} form
 * @param {Scalars<T>} s
 * @param {T} gradient
 * @param {T} [accumulator]
 * @returns {T}
 */
export function clippedByValue(algebra, form, s, gradient, accumulator) {
  const g = prepared(algebra, form, s, gradient, accumulator);
  return form.flags & constants.RMS_CLIP_BY_VALUE ? algebra.clamp(g, s.clip_value) : g;
}

/**
 * @template T
 * @param {AlgebraOfNorms<T>} algebra
 * @param {Scalars<T>} s
 * @param {T} sumOfSquares of one tensor's gradient
 * @returns {T} max(n, clip_norm), by which a clip by norm divides
 */
export function normOf({ squareRoot, maximum }, s, sumOfSquares) {
  return maximum(squareRoot(sumOfSquares), s.clip_norm);
}

/**
 * @template T
 * @param {AlgebraOfNorms<T>} algebra
 * @param {Scalars<T>} s
 * @param {T} sumOfSquares of all gradients
 * @returns {T} clip_norm * min(1 / n, 1 / clip_norm), the factor of every gradient; NaN where n is not finite
 */
export function globalFactorOf({ add, subtract, multiply, divide, squareRoot, minimum, one }, s, sumOfSquares) {
  const norm = squareRoot(sumOfSquares);
  const factor = multiply(minimum(divide(one, norm), s.inverse_clip_norm), s.clip_norm);
  return add(factor, subtract(norm, norm));
}

/**
 * One step of one tensor.
 *
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form} form
 * @param {Scalars<T>} s
 * @param {Arrays<T>} arrays
 * @param {T} [norm] with a norm clip: what normOf or globalFactorOf gave
 * @returns {Changes<T>} nothing is changed in place
 */
export function step(algebra, form, s, arrays, norm) {
  const { gradient, accumulator, average } = arrays;
  if (gradient !== undefined && !(form.flags & constants.RMS_HOLD)) return updated(algebra, form, s, arrays, norm);
  /** @type {Changes<T>} */
  const changes = {};
  if (accumulator !== undefined && gradient !== undefined) {
    changes.accumulator = algebra.add(unscaled(algebra, form, s, gradient), accumulator);
  } else if (accumulator !== undefined && !(form.flags & constants.RMS_HOLD)) {
    changes.accumulator = algebra.zeros(accumulator);
  }
  if (average !== undefined && form.averagesAlways) {
    changes.average = averaged(algebra, s, average, arrays.value);
    if (form.flags & constants.RMS_OVERWRITE) changes.value = changes.average;
  }
  return changes;
}

/**
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form} form
 * @param {Scalars<T>} s
 * @param {Arrays<T>} arrays with a gradient
 * @param {T} [norm]
 * @returns {Changes<T>}
 */
function updated(algebra, form, s, arrays, norm) {
  const { add, subtract, multiply, negate } = algebra;
  const { row, flags } = form;
  const { mean_gradient: mg, momentum: m, average, accumulator } = arrays;
  const v = /** @type {T} */ (arrays.mean_square);
  let x = arrays.value;
  /** @type {Changes<T>} */
  const changes = {};

  let g = clippedByValue(algebra, form, s, /** @type {T} */ (arrays.gradient), accumulator);
  if (accumulator !== undefined) changes.accumulator = algebra.zeros(accumulator);
  g = clippedByNorm(algebra, form, s, g, norm);
  if (flags & constants.RMS_MAXIMIZE) g = negate(g);
  if (flags & DECAYS) {
    const decayed = multiply(x, s.weight_decay);
    if (flags & constants.RMS_DECAY_GRADIENTS) g = add(g, decayed);
    else x = subtract(x, multiply(decayed, s.learning_rate));
  }

  changes.mean_square = nextMeanSquare(algebra, row, s, v, g);
  if (mg !== undefined) changes.mean_gradient = nextMeanGradient(algebra, form, s, mg, g);
  const den = denominator(algebra, form, s, changes.mean_square, changes.mean_gradient);
  let change = increment(algebra, row, s, g, den, m !== undefined);
  if (m !== undefined) {
    // m <- momentum * m + increment; with Nesterov's look-ahead once more for the step, not for the state
    const next = changes.momentum = add(multiply(s.momentum, m), change);
    change = flags & constants.RMS_NESTEROV ? add(multiply(s.momentum, next), change) : next;
    if (row.rate_after_momentum) change = multiply(s.learning_rate, change);
  }
  if (form.leavesValue) {
    changes.update = row.adds ? change : negate(change);
    return changes;
  }
  changes.value = row.adds ? add(x, change) : subtract(x, change);
  if (average === undefined) return changes;
  changes.average = averaged(algebra, s, average, changes.value);
  if (flags & constants.RMS_OVERWRITE) changes.value = changes.average;
  return changes;
}

/**
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form} form
 * @param {Scalars<T>} s
 * @param {T} g
 * @param {T | undefined} norm
 * @returns {T} (g * clip_norm) / norm, or by the global norm g * factor
 */
function clippedByNorm({ multiply, divide }, { flags }, s, g, norm) {
  if (!(flags & CLIPS_BY_NORM)) return g;
  const given = /** @type {T} */ (norm);
  return flags & constants.RMS_CLIP_BY_NORM ? divide(multiply(g, s.clip_norm), given) : multiply(g, given);
}

/**
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form['row']} row
 * @param {Scalars<T>} s
 * @param {T} v
 * @param {T} g
 * @returns {T}
 */
function nextMeanSquare({ add, subtract, multiply }, row, s, v, g) {
  switch (row.mean_square) {
    case 'DIFFERENCE': // v <- v + (g * g - v) * (1 - rho)
      return add(v, multiply(subtract(multiply(g, g), v), s.complement));
    case 'GROUPED': // v <- rho * v + ((1 - rho) * g) * g
      return add(multiply(s.rho, v), multiply(multiply(s.complement, g), g));
    default: // v <- rho * v + (1 - rho) * (g * g)
      return add(multiply(s.rho, v), multiply(s.complement, multiply(g, g)));
  }
}

/**
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form} form
 * @param {Scalars<T>} s
 * @param {T} mg
 * @param {T} g
 * @returns {T}
 */
function nextMeanGradient({ add, subtract, multiply }, { row, lerpsFromGradient }, s, mg, g) {
  switch (row.mean_gradient) {
    case 'NUDGED': // mg <- mg + (g - mg) * (1 - rho)
      return add(mg, multiply(subtract(g, mg), s.complement));
    case 'LERPED': // mg <- mg + w * (g - mg), or g - (g - mg) * (1 - w)
      if (lerpsFromGradient) return subtract(g, multiply(subtract(g, mg), s.rest));
      return add(mg, multiply(s.complement, subtract(g, mg)));
    default: // mg <- rho * mg + (1 - rho) * g
      return add(multiply(s.rho, mg), multiply(s.complement, g));
  }
}

/**
 * The denominator. Where rounding makes the variance under a centered root zero or negative, epsilon included where it
 * is inside, the variance counts as zero; a NaN stays.
 *
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form} form
 * @param {Scalars<T>} s
 * @param {T} meanSquare new
 * @param {T | undefined} meanGradient new; undefined: not centered
 * @returns {T}
 */
function denominator(algebra, { row, flags }, s, meanSquare, meanGradient) {
  const { add, subtract, multiply, squareRoot, positiveOr, zero } = algebra;
  /** @type {(moment: T) => T} */
  const corrected = (moment) => (flags & constants.RMS_CORRECT_BIAS ? multiply(moment, s.bias_correction) : moment);
  const v = corrected(meanSquare);
  if (meanGradient === undefined) {
    return row.epsilon === 'OUTSIDE' ? add(squareRoot(v), s.epsilon) : squareRoot(add(v, s.epsilon));
  }
  const mg = corrected(meanGradient);
  const square = multiply(mg, mg);
  switch (row.epsilon) {
    case 'OUTSIDE': return add(squareRoot(positiveOr(subtract(v, square), zero)), s.epsilon);
    case 'INSIDE_FIRST': return squareRoot(positiveOr(subtract(add(v, s.epsilon), square), s.epsilon));
    default: return squareRoot(positiveOr(add(subtract(v, square), s.epsilon), s.epsilon));
  }
}

/**
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Form['row']} row
 * @param {Scalars<T>} s
 * @param {T} g
 * @param {T} den
 * @param {boolean} hasMomentum
 * @returns {T} what the gradient adds to the momentum
 */
function increment({ multiply, divide, one }, row, s, g, den, hasMomentum) {
  if (row.rate_after_momentum && hasMomentum) return divide(g, den);
  switch (row.quotient) {
    case 'BY_RECIPROCAL': return multiply(multiply(s.learning_rate, g), divide(one, den));
    case 'RATE_RECIPROCAL': return multiply(multiply(divide(one, den), s.learning_rate), g);
    case 'SCALED': return multiply(s.learning_rate, multiply(divide(one, den), g));
    default: return divide(multiply(s.learning_rate, g), den);
  }
}

/**
 * @template T
 * @param {Algebra<T>} algebra
 * @param {Scalars<T>} s
 * @param {T} average
 * @param {T} x
 * @returns {T} ema_momentum * a + (1 - ema_momentum) * x
 */
function averaged({ add, multiply }, s, average, x) {
  return add(multiply(s.ema_momentum, average), multiply(s.ema_complement, x));
}

/**
 * The algebra of plain numbers.
 *
 * @param {(x: number) => number} round what follows every operation: Math.fround, or nothing for float64
 * @returns {AlgebraOfNorms<number>}
 */
export function numbers(round) {
  return {
    add: (a, b) => round(a + b),
    subtract: (a, b) => round(a - b),
    multiply: (a, b) => round(a * b),
    divide: (a, b) => round(a / b),
    negate: (a) => -a,
    squareRoot: (a) => round(Math.sqrt(a)),
    clamp: (a, limit) => (limit < a ? limit : a < -limit ? -limit : a),
    positiveOr: (a, instead) => (a <= 0 ? instead : a),
    minimum: (a, b) => (a < b ? a : b),
    maximum: (a, b) => (b > a ? b : a),
    zeros: () => 0,
    zero: 0,
    one: 1,
  };
}
