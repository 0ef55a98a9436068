/**
 * The learning rate of each step, from what is set in the page.
 */
import { schedules } from '../../js/index.js';
import { compileExpression } from './expression.js';

/** @typedef {import('./configuration.js').Racer} Racer */
/** @typedef {(step: number) => number} Rate of a step, counted from 0 */

/**
 * The schedules of the package, by the names of the page.
 *
 * @type {Record<string, (racer: Racer) => import('../../js/schedules.js').LearningRateSchedule>}
 */
const BUILT_IN = {
  exponential: ({ rate, decaySteps, decayRate, staircase }) =>
    new schedules.ExponentialDecay({ initialLearningRate: rate, decaySteps, decayRate, staircase }),
  inverse: ({ rate, decaySteps, decayRate, staircase }) =>
    new schedules.InverseTimeDecay({ initialLearningRate: rate, decaySteps, decayRate, staircase }),
  polynomial: ({ rate, decaySteps, endRate, power, cycle }) =>
    new schedules.PolynomialDecay({
      initialLearningRate: rate, decaySteps, endLearningRate: endRate, power, cycle,
    }),
  piecewise: ({ boundaries, values }) => new schedules.PiecewiseConstantDecay({
    boundaries: [...boundaries], values: [...values],
  }),
  cosine: ({ rate, decaySteps, alpha, warmupSteps }) => new schedules.CosineDecay(warmupSteps > 0
    ? { initialLearningRate: 0, warmupTarget: rate, warmupSteps, decaySteps, alpha }
    : { initialLearningRate: rate, decaySteps, alpha }),
  restarts: ({ rate, decaySteps, tMul, mMul, alpha }) =>
    new schedules.CosineDecayRestarts({ initialLearningRate: rate, firstDecaySteps: decaySteps, tMul, mMul, alpha }),
};

/**
 * @param {Racer} racer
 * @param {number} stepsPerEpoch
 * @returns {Rate} throws a RangeError for a step without a finite rate of at least 0
 * @throws {RangeError} if its expression is wrong
 */
export function rateOf(racer, stepsPerEpoch) {
  if (racer.schedule === 'constant') return () => racer.rate;
  if (racer.schedule !== 'expression') {
    const schedule = BUILT_IN[racer.schedule](racer);
    return (step) => checked(schedule.at(step), step);
  }
  const evaluate = compileExpression(racer.expression);
  return (step) => checked(evaluate(step, stepsPerEpoch), step);
}

/**
 * @param {number} rate
 * @param {number} step
 */
function checked(rate, step) {
  if (rate >= 0 && rate < Infinity) return rate;
  throw new RangeError(`must be finite and at least 0, but is ${Number(rate.toPrecision(6))} at step ${step}`);
}

/** Points of a curve. */
const POINTS = 240;

/**
 * @param {Racer} racer
 * @param {number} stepsPerEpoch
 * @param {number} last step to show
 * @returns {{ steps: number[], rates: number[] }}
 * @throws {RangeError} if a rate in it is none
 */
export function curveOf(racer, stepsPerEpoch, last) {
  const rate = rateOf(racer, stepsPerEpoch);
  const count = Math.min(POINTS, last + 1);
  const steps = Array.from({ length: count }, (_, i) => (count > 1 ? Math.round((i * last) / (count - 1)) : 0));
  return { steps, rates: steps.map(rate) };
}
