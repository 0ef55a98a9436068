/**
 * optax's learning-rate schedules: functions from a count, the number of updates before this one, to a rate.
 *
 *     const schedule = warmupCosineDecaySchedule({ initValue: 0, peakValue: 0.1, warmupSteps: 5, decaySteps: 25 });
 *     rmsprop({ learningRate: schedule });
 *
 * They compute in float32 as optax does, operation by operation, with the cosine and the power of math.js rounded once.
 * What XLA makes of them under jit (a linear schedule that ends at -3e-9, a fractional power that ends in NaN) is left
 * out.
 */
import { finite, integer, knownOptions, ofType, rangeError, typeError } from './check.js';
import { cos, pow } from './math.js';

/** @typedef {(count: number) => number} Schedule */

const f32 = Math.fround;

/**
 * @param {string} name of the schedule, for messages
 * @param {any} options
 * @param {Record<string, any>} defaults of each option; undefined: it must be given. null allows null.
 * @returns {Record<string, any>} all options: integers where they are called steps or begin, finite numbers otherwise
 */
function checked(name, options, defaults) {
  knownOptions(name, options, Object.keys(defaults));
  return Object.fromEntries(Object.entries(defaults).map(([key, standard]) => {
    const value = options[key] ?? (standard === undefined ? options[key] : standard);
    if (typeof standard === 'boolean') ofType(key, value, 'boolean');
    else if (/(Steps|Begin)$/.test(key)) integer(key, value, Number.MIN_SAFE_INTEGER);
    else if (value === null && standard === null) return [key, value];
    else if (!['boundariesAndScales', 'interpolateType'].includes(key)) finite(key, value);
    return [key, value];
  }));
}

/**
 * @param {string} name
 * @param {number} value
 * @returns {number} the value
 */
function positive(name, value) {
  if (value <= 0) throw rangeError(name, 'greater than 0', value);
  return value;
}

/**
 * @param {Schedule} schedule
 * @returns {Schedule} the same for numbers alone
 */
function ofCount(schedule) {
  return (count) => schedule(finite('count', count));
}

/**
 * @param {Schedule} first
 * @param {number} boundary
 * @param {Schedule} second
 * @returns {Schedule} the first before the boundary; the second, which counts from there, after it
 */
function joined(first, boundary, second) {
  return ofCount((count) => (count < boundary ? first(count) : second(count - boundary)));
}

/**
 * @param {unknown} given optax's dictionary
 * @returns {[number, number][]} sorted
 */
function boundariesOf(given) {
  if (given === null) return [];
  return Object.entries(ofType('boundariesAndScales', given, 'object')).map(([boundary, scale]) => {
    const name = `boundariesAndScales[${boundary}]`;
    integer('the keys of boundariesAndScales', Number(boundary), Number.MIN_SAFE_INTEGER);
    if (finite(name, scale) < 0) throw rangeError(name, 'at least 0', scale);
    return /** @type {[number, number]} */ ([Number(boundary), scale]);
  }).sort(([a], [b]) => a - b);
}

/**
 * @param {object} options
 * @param {number} options.value
 * @returns {Schedule} always the value
 */
export function constantSchedule(options) {
  const { value } = checked('constantSchedule', options, { value: undefined });
  return ofCount(() => value);
}

/**
 * From initValue to endValue as (1 - t)^power, t = (count - transitionBegin) / transitionSteps in [0, 1].
 *
 * @param {object} options
 * @param {number} options.initValue
 * @param {number} options.endValue
 * @param {number} options.power
 * @param {number} options.transitionSteps 0 and below: initValue for good
 * @param {number} [options.transitionBegin] default 0, which below 0 stands for
 * @returns {Schedule}
 */
export function polynomialSchedule(options) {
  const { initValue, endValue, power, transitionSteps, transitionBegin } = checked('polynomialSchedule', options, {
    initValue: undefined, endValue: undefined, power: undefined, transitionSteps: undefined, transitionBegin: 0,
  });
  if (transitionSteps <= 0) return ofCount(() => initValue);
  const begin = Math.max(transitionBegin, 0);
  return ofCount((count) => {
    const t = Math.min(Math.max(count - begin, 0), transitionSteps);
    const rest = f32(1 - f32(t / transitionSteps));
    return f32(f32(f32(initValue - endValue) * f32(pow(rest, power))) + f32(endValue));
  });
}

/**
 * From initValue to endValue in a straight line.
 *
 * @param {object} options
 * @param {number} options.initValue
 * @param {number} options.endValue
 * @param {number} options.transitionSteps 0 and below: initValue for good
 * @param {number} [options.transitionBegin] default 0, which below 0 stands for
 * @returns {Schedule}
 */
export function linearSchedule(options) {
  const all = checked('linearSchedule', options, {
    initValue: undefined, endValue: undefined, transitionSteps: undefined, transitionBegin: 0,
  });
  return polynomialSchedule(/** @type {any} */ ({ ...all, power: 1 }));
}

/**
 * initValue times the scales of all boundaries up to the count, the boundary's own count included.
 *
 * @param {object} options
 * @param {number} options.initValue
 * @param {Record<number, number> | null} [options.boundariesAndScales] scales by boundary, default none
 * @returns {Schedule}
 */
export function piecewiseConstantSchedule(options) {
  const { initValue, boundariesAndScales } = checked('piecewiseConstantSchedule', options, {
    initValue: undefined, boundariesAndScales: null,
  });
  const boundaries = boundariesOf(boundariesAndScales);
  return ofCount((count) => boundaries.reduce(
    (value, [boundary, scale]) => (count < boundary ? value : f32(f32(scale) * f32(value))), initValue,
  ));
}

/**
 * initValue decayRate^((count - transitionBegin) / transitionSteps)
 *
 * @param {object} options
 * @param {number} options.initValue
 * @param {number} options.transitionSteps 0 and below: initValue for good
 * @param {number} options.decayRate 0: initValue for good
 * @param {number} [options.transitionBegin] default 0, which below 0 stands for
 * @param {boolean} [options.staircase] round the exponent down, default false
 * @param {number | null} [options.endValue] where the decay stops, or the growth if decayRate is 1 or more; default
 *   never
 * @returns {Schedule}
 */
export function exponentialDecay(options) {
  const all = checked('exponentialDecay', options, {
    initValue: undefined, transitionSteps: undefined, decayRate: undefined,
    transitionBegin: 0, staircase: false, endValue: null,
  });
  const { initValue, transitionSteps, decayRate, transitionBegin, staircase, endValue } = all;
  if (transitionSteps <= 0 || decayRate === 0) return ofCount(() => initValue);
  const begin = Math.max(transitionBegin, 0);
  const stop = decayRate < 1 ? Math.max : Math.min;
  return ofCount((count) => {
    const exponent = f32((count - begin) / transitionSteps);
    const power = f32(pow(f32(decayRate), staircase ? Math.floor(exponent) : exponent));
    const decayed = count <= begin ? f32(initValue) : f32(f32(initValue) * power);
    return endValue === null ? decayed : stop(decayed, f32(endValue));
  });
}

/**
 * initValue ((1 - alpha) (½ (1 + cos(π t)))^exponent + alpha), t = count / decaySteps, at most 1.
 *
 * @param {object} options
 * @param {number} options.initValue
 * @param {number} options.decaySteps greater than 0
 * @param {number} [options.alpha] the fraction of initValue that is left at the end, default 0
 * @param {number} [options.exponent] default 1
 * @returns {Schedule}
 */
export function cosineDecaySchedule(options) {
  const { initValue, decaySteps, alpha, exponent } = checked('cosineDecaySchedule', options, {
    initValue: undefined, decaySteps: undefined, alpha: 0, exponent: 1,
  });
  positive('decaySteps', decaySteps);
  return ofCount((count) => {
    const angle = f32(f32(f32(Math.PI) * f32(Math.min(count, decaySteps))) / f32(decaySteps));
    const cosine = f32(0.5 * f32(1 + f32(cos(angle))));
    const decayed = f32(f32(f32(1 - alpha) * f32(pow(cosine, f32(exponent)))) + f32(alpha));
    return f32(f32(initValue) * decayed);
  });
}

/**
 * A line from initValue to peakValue, then a cosine to endValue.
 *
 * @param {object} options
 * @param {number} options.initValue
 * @param {number} options.peakValue
 * @param {number} options.warmupSteps
 * @param {number} options.decaySteps of both together, more than warmupSteps
 * @param {number} [options.endValue] default 0
 * @param {number} [options.exponent] of the cosine, default 1
 * @returns {Schedule}
 */
export function warmupCosineDecaySchedule(options) {
  const all = checked('warmupCosineDecaySchedule', options, {
    initValue: undefined, peakValue: undefined, warmupSteps: undefined, decaySteps: undefined, endValue: 0, exponent: 1,
  });
  const { initValue, peakValue, warmupSteps, decaySteps, endValue, exponent } = all;
  if (decaySteps <= warmupSteps) throw rangeError('decaySteps', `greater than warmupSteps, ${warmupSteps}`, decaySteps);
  const alpha = peakValue === 0 ? 0 : endValue / peakValue;
  return joined(
    linearSchedule({ initValue, endValue: peakValue, transitionSteps: warmupSteps }), warmupSteps,
    cosineDecaySchedule({ initValue: peakValue, decaySteps: decaySteps - warmupSteps, alpha, exponent }),
  );
}

/**
 * A line from initValue to peakValue, then an exponential decay.
 *
 * @param {object} options
 * @param {number} options.initValue
 * @param {number} options.peakValue
 * @param {number} options.warmupSteps
 * @param {number} options.transitionSteps from here on of the decay: see `exponentialDecay`
 * @param {number} options.decayRate
 * @param {number} [options.transitionBegin]
 * @param {boolean} [options.staircase]
 * @param {number | null} [options.endValue]
 * @returns {Schedule}
 */
export function warmupExponentialDecaySchedule(options) {
  const { initValue, peakValue, warmupSteps, ...decay } = checked('warmupExponentialDecaySchedule', options, {
    initValue: undefined, peakValue: undefined, warmupSteps: undefined,
    transitionSteps: undefined, decayRate: undefined, transitionBegin: 0, staircase: false, endValue: null,
  });
  return joined(
    linearSchedule({ initValue, endValue: peakValue, transitionSteps: warmupSteps }), warmupSteps,
    exponentialDecay(/** @type {any} */ ({ initValue: peakValue, ...decay })),
  );
}

/**
 * Through initValue at 0 and, at each boundary, the value before times its scale; the last value from then on.
 *
 * @param {object} options
 * @param {'linear' | 'cosine'} options.interpolateType
 * @param {number} options.initValue
 * @param {Record<number, number> | null} [options.boundariesAndScales] scales by boundary, default none
 * @returns {Schedule}
 */
export function piecewiseInterpolateSchedule(options) {
  const { interpolateType, initValue, boundariesAndScales } = checked('piecewiseInterpolateSchedule', options, {
    interpolateType: undefined, initValue: undefined, boundariesAndScales: null,
  });
  if (interpolateType !== 'linear' && interpolateType !== 'cosine') {
    const error = typeof interpolateType === 'string' ? rangeError : typeError;
    throw error('interpolateType', "'linear' or 'cosine'", interpolateType);
  }
  const boundaries = boundariesOf(boundariesAndScales);
  const counts = [0, ...boundaries.map(([boundary]) => boundary)];
  const values = [f32(initValue)];
  for (const [, scale] of boundaries) values.push(f32(/** @type {number} */ (values.at(-1)) * f32(scale)));
  return ofCount((count) => {
    const k = counts.findIndex((start, i) => start <= count && count < counts[i + 1]);
    if (k < 0) return count < /** @type {number} */ (counts.at(-1)) ? 0 : /** @type {number} */ (values.at(-1));
    const [start, end] = [values[k], values[k + 1]];
    const fraction = f32((count - counts[k]) / (counts[k + 1] - counts[k]));
    if (interpolateType === 'linear') return f32(f32(f32(end - start) * fraction) + start);
    const height = f32(f32(start - end) / 2);
    return f32(end + f32(height * f32(f32(cos(f32(f32(Math.PI) * fraction))) + 1)));
  });
}

/**
 * Three lines: from peakValue / divFactor up to peakValue, back, and on down to peakValue / divFactor / finalDivFactor.
 *
 * @param {object} options
 * @param {number} options.transitionSteps greater than 0
 * @param {number} options.peakValue
 * @param {number} [options.pctStart] where the peak is, as a fraction of transitionSteps; default 0.3
 * @param {number} [options.pctFinal] where the way back ends, default 0.85
 * @param {number} [options.divFactor] default 25
 * @param {number} [options.finalDivFactor] default 1e4
 * @returns {Schedule}
 */
export function linearOnecycleSchedule(options) {
  const all = checked('linearOnecycleSchedule', options, {
    transitionSteps: undefined, peakValue: undefined, pctStart: 0.3, pctFinal: 0.85, divFactor: 25, finalDivFactor: 1e4,
  });
  const { transitionSteps, peakValue, pctStart, pctFinal, divFactor, finalDivFactor } = all;
  positive('transitionSteps', transitionSteps);
  return piecewiseInterpolateSchedule({
    interpolateType: 'linear',
    initValue: peakValue / divFactor,
    boundariesAndScales: {
      [Math.trunc(pctStart * transitionSteps)]: divFactor,
      [Math.trunc(pctFinal * transitionSteps)]: 1 / divFactor,
      [transitionSteps]: 1 / finalDivFactor,
    },
  });
}

/**
 * Two half cosines: from peakValue / divFactor up to peakValue, and down to peakValue / divFactor / finalDivFactor.
 *
 * @param {object} options
 * @param {number} options.transitionSteps greater than 0
 * @param {number} options.peakValue
 * @param {number} [options.pctStart] where the peak is, as a fraction of transitionSteps; default 0.3
 * @param {number} [options.divFactor] default 25
 * @param {number} [options.finalDivFactor] default 1e4
 * @returns {Schedule}
 */
export function cosineOnecycleSchedule(options) {
  const all = checked('cosineOnecycleSchedule', options, {
    transitionSteps: undefined, peakValue: undefined, pctStart: 0.3, divFactor: 25, finalDivFactor: 1e4,
  });
  const { transitionSteps, peakValue, pctStart, divFactor, finalDivFactor } = all;
  positive('transitionSteps', transitionSteps);
  return piecewiseInterpolateSchedule({
    interpolateType: 'cosine',
    initValue: peakValue / divFactor,
    boundariesAndScales: {
      [Math.trunc(pctStart * transitionSteps)]: divFactor,
      [transitionSteps]: 1 / (divFactor * finalDivFactor),
    },
  });
}
