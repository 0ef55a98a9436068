/**
 * PyTorch's clips, `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_`: they change the gradients of parameters in
 * place, between the backward pass and the step.
 */
import { finite, knownOptions, ofType, rangeError, typeError } from './check.js';
import { pow } from './math.js';
import { describe, disposedError, isTensor, isVariable } from './tensor.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */

/**
 * Scales all gradients by one factor, so that their norm is `maxNorm` at most. As in PyTorch, gradients below the limit
 * are multiplied by 1, and the factor is a reciprocal times `maxNorm`.
 *
 * @param {Iterable<Variable> | Variable} params those without a gradient are passed over
 * @param {number} maxNorm
 * @param {object} [options]
 * @param {number} [options.normType] the order p of the norm, default 2; Infinity is the largest magnitude
 * @param {boolean} [options.errorIfNonfinite] default false: gradients become NaN or 0 when the norm is NaN or infinite
 * @returns {number} the norm of all gradients together, before the clip
 * @throws {TypeError | RangeError} for what are no such numbers or variables
 * @throws {Error} for a sparse or disposed gradient, and with `errorIfNonfinite`; nothing has changed then
 */
export function clipGradNorm(params, maxNorm, options = {}) {
  const gradients = gradientsOf('clipGradNorm', params);
  finite('maxNorm', maxNorm);
  knownOptions('clipGradNorm', options, ['normType', 'errorIfNonfinite']);
  const { normType = 2, errorIfNonfinite = false } = options;
  if (typeof normType !== 'number') throw typeError('normType', 'a number', normType);
  if (Number.isNaN(normType)) throw rangeError('normType', 'a number', normType);
  ofType('errorIfNonfinite', errorIfNonfinite, 'boolean');
  if (gradients.length === 0) return 0;

  // The total has the wider of the types.
  const wider = gradients.some(({ dtype }) => dtype === 'float64') ? 'float64' : 'float32';
  const total = norm(wider, gradients.map(({ dtype, data }) => norm(dtype, data, normType)), normType);
  if (errorIfNonfinite && !Number.isFinite(total)) {
    throw new Error(`The total norm of order ${normType} for gradients from \`params\` is non-finite, so it cannot be `
      + 'clipped. To disable this error and scale the gradients by the non-finite norm anyway, set '
      + '`errorIfNonfinite: false`');
  }
  const reciprocal = rounded(wider, 1 / rounded(wider, total + rounded(wider, 1e-6)));
  const factor = Math.min(rounded(wider, reciprocal * rounded(wider, maxNorm)), 1);
  for (const { dtype, data } of gradients) {
    const own = rounded(dtype, factor);
    for (let i = 0; i < data.length; i++) data[i] *= own;
  }
  return total;
}

/**
 * Limits every element of all gradients to [-value, value]. NaN stays.
 *
 * @param {Iterable<Variable> | Variable} params those without a gradient are passed over
 * @param {number} value
 * @throws {TypeError | RangeError} for what is no such number or variable
 * @throws {Error} for a sparse or disposed gradient; nothing has changed then
 */
export function clipGradValue(params, value) {
  const gradients = gradientsOf('clipGradValue', params);
  finite('value', value);
  for (const { data } of gradients) {
    for (let i = 0; i < data.length; i++) data[i] = Math.min(Math.max(data[i], -value), value);
  }
}

/**
 * @param {string} name what asks
 * @param {unknown} params
 * @returns {Tensor[]} the gradients of those that have one
 */
function gradientsOf(name, params) {
  const isIterable = typeof (/** @type {any} */ (params)?.[Symbol.iterator]) === 'function';
  if (!isVariable(params) && !isIterable) throw typeError('params', 'a variable or an iterable of them', params);
  /** @type {Tensor[]} */
  const gradients = [];
  for (const variable of isVariable(params) ? [params] : /** @type {Iterable<unknown>} */ (params)) {
    if (!isVariable(variable)) throw typeError('params', 'variables', variable);
    const { gradient } = variable;
    if (gradient === null) continue;
    if (!isTensor(gradient)) {
      throw new Error(`${name} does not support sparse gradients, ${describe(variable)} has one`);
    }
    if (gradient.isDisposed) throw disposedError(gradient);
    gradients.push(gradient);
  }
  return gradients;
}

/**
 * @param {string} dtype
 * @param {number} x
 * @returns {number}
 */
function rounded(dtype, x) {
  return dtype === 'float64' ? x : Math.fround(x);
}

/**
 * The norm with every operation rounded to the type, in the order of PyTorch with one thread: squares are added up in
 * the lanes of a register of 256 bits, then the lanes, then the tail; what other norms add up, one after another.
 *
 * @param {string} dtype
 * @param {ArrayLike<number>} values
 * @param {number} order 0 counts those that are not 0, -Infinity is the smallest magnitude
 * @returns {number}
 */
function norm(dtype, values, order) {
  if (order === 2) return rounded(dtype, Math.sqrt(sumOfSquares(dtype, values)));
  const exponent = rounded(dtype, order);
  let sum = order === -Infinity && values.length ? Infinity : 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]);
    if (order === Infinity) sum = Math.max(sum, magnitude);
    else if (order === -Infinity) sum = Math.min(sum, magnitude);
    else if (order === 0) sum = rounded(dtype, sum + Number(magnitude !== 0));
    else sum = rounded(dtype, sum + (order === 1 ? magnitude : rounded(dtype, pow(magnitude, exponent))));
  }
  const isPower = ![0, 1, Infinity, -Infinity].includes(order);
  return isPower ? rounded(dtype, pow(sum, rounded(dtype, 1 / exponent))) : sum;
}

/**
 * @param {string} dtype
 * @param {ArrayLike<number>} values
 * @returns {number}
 */
function sumOfSquares(dtype, values) {
  // A typed array rounds what is written into it.
  const lanes = dtype === 'float64' ? new Float64Array(4) : new Float32Array(8);
  const whole = values.length - values.length % lanes.length;
  for (let i = 0; i < whole; i++) lanes[i % lanes.length] += rounded(dtype, values[i] * values[i]);
  let sum = 0;
  for (const lane of lanes) sum = rounded(dtype, sum + lane);
  for (let i = whole; i < values.length; i++) sum = rounded(dtype, sum + rounded(dtype, values[i] * values[i]));
  return sum;
}
