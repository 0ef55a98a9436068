/** The schedulers that lower the rates by steps, factors and powers, and those that a function drives. */
import { array, finite, integer, ofType, rangeError, typeError } from '../check.js';
import { pow } from '../math.js';
import { CHECK, CLOSED_FORM, LRScheduler, checked } from './scheduler.js';

/** @typedef {import('./scheduler.js').Optimizer} Optimizer */
/** @typedef {import('./scheduler.js').Resume} Resume */
/** @typedef {(epoch: number) => number} LrLambda */

/** Multiplies the rates by `gamma` every `stepSize` steps. */
export class StepLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ stepSize: number, gamma?: number } & Resume} options gamma: default 0.1
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { stepSize, gamma = 0.1, lastEpoch } = checked(this, options, ['stepSize', 'gamma']);
    this.stepSize = stepSize;
    this.gamma = gamma;
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  [CHECK]() {
    integer('stepSize', this.stepSize, 1);
    finite('gamma', this.gamma);
  }

  /** @inheritDoc */
  getLr() {
    if (this.lastEpoch === 0 || this.lastEpoch % this.stepSize !== 0) return this.currentLrs();
    return this.currentLrs().map((lr) => lr * this.gamma);
  }

  /** @returns {number[]} the rates of this epoch, by the closed form */
  [CLOSED_FORM]() {
    const factor = pow(this.gamma, Math.floor(this.lastEpoch / this.stepSize));
    return this.baseLrs.map((base) => base * factor);
  }
}

/** Multiplies the rates by `gamma` at each milestone, as often as it is listed. */
export class MultiStepLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ milestones: readonly number[], gamma?: number } & Resume} options gamma: default 0.1
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { milestones, gamma = 0.1, lastEpoch } = checked(this, options, ['milestones', 'gamma']);
    /** How often each step is listed. @type {Record<number, number>} */
    this.milestones = {};
    for (const step of array('milestones', milestones)) {
      this.milestones[step] = (this.milestones[integer('milestones', step, 0)] ?? 0) + 1;
    }
    this.gamma = gamma;
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  [CHECK]() {
    for (const [step, times] of Object.entries(this.milestones)) {
      integer('milestones', Number(step), 0);
      integer(`milestones[${step}]`, times, 1);
    }
    finite('gamma', this.gamma);
  }

  /** @inheritDoc */
  getLr() {
    const times = this.milestones[this.lastEpoch];
    if (times === undefined) return this.currentLrs();
    return this.currentLrs().map((lr) => lr * pow(this.gamma, times));
  }

  /** @returns {number[]} the rates of this epoch, by the closed form */
  [CLOSED_FORM]() {
    const passed = Object.entries(this.milestones).filter(([step]) => Number(step) <= this.lastEpoch);
    const factor = pow(this.gamma, passed.reduce((sum, [, times]) => sum + times, 0));
    return this.baseLrs.map((base) => base * factor);
  }
}

/** Multiplies the rates by `factor` until step `totalIters`. */
export class ConstantLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ factor?: number, totalIters?: number } & Resume} [options] factor: in (0, 1], default 1/3; totalIters:
   *   default 5
   */
  constructor(optimizer, options = {}) {
    super(optimizer);
    const { factor = 1 / 3, totalIters = 5, lastEpoch } = checked(this, options, ['factor', 'totalIters']);
    this.factor = factor;
    this.totalIters = totalIters;
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  [CHECK]() {
    if (finite('factor', this.factor) > 1 || this.factor < 0) {
      throw new RangeError(`Constant multiplicative factor expected to be between 0 and 1, got ${this.factor}`);
    }
    // At step totalIters the rates are divided by it.
    if (this.factor === 0) throw rangeError('factor', 'above 0', 0);
    integer('totalIters', this.totalIters, 0);
  }

  /** @inheritDoc */
  getLr() {
    const rates = this.currentLrs();
    if (this.lastEpoch === 0) return rates.map((lr) => lr * this.factor);
    return this.lastEpoch === this.totalIters ? rates.map((lr) => lr * (1 / this.factor)) : rates;
  }

  /** @returns {number[]} the rates of this epoch, by the closed form */
  [CLOSED_FORM]() {
    const { factor, totalIters, lastEpoch } = this;
    return this.baseLrs.map((base) => base * (factor + Number(lastEpoch >= totalIters) * (1 - factor)));
  }
}

/** Multiplies the rates by a factor that moves from `startFactor` to `endFactor` in `totalIters` equal steps. */
export class LinearLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ startFactor?: number, endFactor?: number, totalIters?: number } & Resume} [options] startFactor: in
   *   (0, 1], default 1/3; endFactor: in [0, 1], default 1; totalIters: default 5
   */
  constructor(optimizer, options = {}) {
    super(optimizer);
    const { startFactor = 1 / 3, endFactor = 1, totalIters = 5, lastEpoch } =
      checked(this, options, ['startFactor', 'endFactor', 'totalIters']);
    this.startFactor = startFactor;
    this.endFactor = endFactor;
    this.totalIters = totalIters;
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  [CHECK]() {
    if (finite('startFactor', this.startFactor) > 1 || this.startFactor <= 0) {
      throw new RangeError('Starting multiplicative factor expected to be greater than 0 and less or equal to 1, '
        + `got ${this.startFactor}`);
    }
    if (finite('endFactor', this.endFactor) > 1 || this.endFactor < 0) {
      throw new RangeError(`Ending multiplicative factor expected to be between 0 and 1, got ${this.endFactor}`);
    }
    integer('totalIters', this.totalIters, 0);
  }

  /** @inheritDoc */
  getLr() {
    const rates = this.currentLrs();
    if (this.lastEpoch === 0) return rates.map((lr) => lr * this.startFactor);
    if (this._isInitial || this.lastEpoch > this.totalIters) return rates;
    const change = this.endFactor - this.startFactor;
    const factor = 1 + change / (this.totalIters * this.startFactor + (this.lastEpoch - 1) * change);
    return rates.map((lr) => lr * factor);
  }

  /** @returns {number[]} the rates of this epoch, by the closed form */
  [CLOSED_FORM]() {
    const { startFactor, endFactor, totalIters, lastEpoch } = this;
    const factor = startFactor + (endFactor - startFactor) * Math.min(totalIters, lastEpoch) / totalIters;
    return this.baseLrs.map((base) => base * factor);
  }
}

/** Multiplies the rates by `gamma` at each step. */
export class ExponentialLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ gamma: number } & Resume} options
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { gamma, lastEpoch } = checked(this, options, ['gamma']);
    this.gamma = gamma;
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  [CHECK]() {
    finite('gamma', this.gamma);
  }

  /** @inheritDoc */
  getLr() {
    return this._isInitial ? this.currentLrs() : this.currentLrs().map((lr) => lr * this.gamma);
  }

  /** @returns {number[]} the rates of this epoch, by the closed form */
  [CLOSED_FORM]() {
    const factor = pow(this.gamma, this.lastEpoch);
    return this.baseLrs.map((base) => base * factor);
  }
}

/** Takes the rates to 0 by (1 - step / totalIters) ** power. */
export class PolynomialLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ totalIters?: number, power?: number } & Resume} [options] totalIters: default 5; power: at least 0,
   *   default 1
   */
  constructor(optimizer, options = {}) {
    super(optimizer);
    const { totalIters = 5, power = 1, lastEpoch } = checked(this, options, ['totalIters', 'power']);
    this.totalIters = totalIters;
    this.power = power;
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  [CHECK]() {
    integer('totalIters', this.totalIters, 0);
    // At step totalIters the base is 0.
    if (finite('power', this.power) < 0) throw rangeError('power', 'at least 0', this.power);
  }

  /** @inheritDoc */
  getLr() {
    if (this._isInitial || this.lastEpoch > this.totalIters) return this.currentLrs();
    const quotient = (1 - this.lastEpoch / this.totalIters) / (1 - (this.lastEpoch - 1) / this.totalIters);
    const factor = pow(quotient, this.power);
    return this.currentLrs().map((lr) => lr * factor);
  }

  /** @returns {number[]} the rates of this epoch, by the closed form */
  [CLOSED_FORM]() {
    const { totalIters, power, lastEpoch } = this;
    const factor = pow(1 - Math.min(totalIters, lastEpoch) / totalIters, power);
    return this.baseLrs.map((base) => base * factor);
  }
}

/** Sets the rates to the initial ones times what a function says. */
export class LambdaLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ lrLambda: LrLambda | readonly LrLambda[] } & Resume} options lrLambda: the factor of each step, of all
   *   groups or of each
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { lrLambda, lastEpoch } = checked(this, options, ['lrLambda']);
    this.lrLambdas = lambdas(optimizer, lrLambda);
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  getLr() {
    return this.baseLrs.map((base, i) => base * factorOf(this.lrLambdas[i], this.lastEpoch));
  }
}

/** Multiplies the rates at each step by what a function says. */
export class MultiplicativeLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ lrLambda: LrLambda | readonly LrLambda[] } & Resume} options lrLambda: the factor of each step, of all
   *   groups or of each
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { lrLambda, lastEpoch } = checked(this, options, ['lrLambda']);
    this.lrLambdas = lambdas(optimizer, lrLambda);
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  getLr() {
    const rates = this.currentLrs();
    if (this._isInitial) return rates;
    if (rates.length !== this.lrLambdas.length) {
      throw rangeError('lrLambda', `${rates.length} functions, one for each group`, this.lrLambdas);
    }
    return rates.map((lr, i) => lr * factorOf(this.lrLambdas[i], this.lastEpoch));
  }
}

/**
 * @param {Optimizer} optimizer
 * @param {unknown} lrLambda
 * @returns {LrLambda[]} one for each group
 */
function lambdas({ paramGroups }, lrLambda) {
  if (!Array.isArray(lrLambda)) {
    if (typeof lrLambda !== 'function') throw typeError('lrLambda', 'a function, or one for each group', lrLambda);
    return paramGroups.map(() => /** @type {LrLambda} */ (lrLambda));
  }
  if (lrLambda.length !== paramGroups.length) {
    throw new RangeError(`Expected ${paramGroups.length} lrLambdas, but got ${lrLambda.length}`);
  }
  return lrLambda.map((one, i) => ofType(`lrLambda[${i}]`, one, 'function'));
}

/**
 * @param {LrLambda} lrLambda
 * @param {number} epoch
 * @returns {number}
 */
function factorOf(lrLambda, epoch) {
  return finite(`the result of lrLambda(${epoch})`, lrLambda(epoch));
}
