/** The scheduler that watches a metric. */
import { finite, integer, show, typeError } from '../check.js';
import { CHECK, NEEDS_METRIC, LRScheduler, checked, perGroup } from './scheduler.js';

/** @typedef {import('./scheduler.js').Optimizer} Optimizer */

/** Multiplies the rates by `factor` when a metric has not improved for more than `patience` steps. */
export class ReduceLROnPlateau extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {object} [options]
   * @param {'min' | 'max'} [options.mode] what is better, default 'min'
   * @param {number} [options.factor] below 1, default 0.1
   * @param {number} [options.patience] default 10
   * @param {number} [options.threshold] what counts as better, default 1e-4
   * @param {'rel' | 'abs'} [options.thresholdMode] whether it is a part of the best metric, default 'rel'
   * @param {number} [options.cooldown] steps after a reduction that do not count, default 0
   * @param {number | readonly number[]} [options.minLr] of all groups, or of each; default 0
   * @param {number} [options.eps] smaller reductions are not made, default 1e-8
   */
  constructor(optimizer, options = {}) {
    super(optimizer);
    const {
      mode = 'min', factor = 0.1, patience = 10, threshold = 1e-4, thresholdMode = 'rel', cooldown = 0, minLr = 0,
      eps = 1e-8,
    } = checked(this, options, [
      'mode', 'factor', 'patience', 'threshold', 'thresholdMode', 'cooldown', 'minLr', 'eps',
    ], false);
    this.factor = factor;
    this.defaultMinLr = Array.isArray(minLr) ? null : /** @type {number} */ (minLr);
    this.minLrs = perGroup('minLr', optimizer, minLr);
    this.patience = patience;
    this.cooldown = cooldown;
    this.eps = eps;
    this.mode = mode;
    this.threshold = threshold;
    this.thresholdMode = thresholdMode;
    this[CHECK]();
    this.modeWorse = mode === 'min' ? Infinity : -Infinity;
    this.best = this.modeWorse;
    this.cooldownCounter = 0;
    this.numBadEpochs = 0;
    this.lastEpoch = 0;
    this.write(this.currentLrs());
  }

  /** @returns {boolean} true */
  get [NEEDS_METRIC]() {
    return true;
  }

  /** @inheritDoc */
  [CHECK]() {
    const { factor, mode, thresholdMode } = this;
    if (finite('factor', factor) >= 1) throw new RangeError(`Factor should be < 1.0, got ${factor}`);
    if (mode !== 'min' && mode !== 'max') throw new RangeError(`mode ${show(mode)} is unknown!`);
    if (thresholdMode !== 'rel' && thresholdMode !== 'abs') {
      throw new RangeError(`threshold mode ${show(thresholdMode)} is unknown!`);
    }
    this.minLrs.forEach((lr, i) => finite(`minLr[${i}]`, lr));
    integer('patience', this.patience, 0);
    integer('cooldown', this.cooldown, 0);
    finite('eps', this.eps);
    finite('threshold', this.threshold);
  }

  /**
   * Counts an epoch, and reduces the rates if its time has come.
   *
   * @param {number} [metrics] of the epoch; NaN is no improvement
   * @throws {TypeError} if it is no number
   * @throws {Error} if groups have been added and `minLr` was a list; nothing has changed then
   */
  step(metrics) {
    if (typeof metrics !== 'number') throw typeError('metrics', 'a number', metrics);
    const isBetter = this.#isBetter(metrics);
    let bad = isBetter ? 0 : this.numBadEpochs + 1;
    let cooldown = this.cooldownCounter;
    if (cooldown > 0) {
      cooldown--;
      bad = 0;
    }
    if (bad > this.patience) {
      this.#reduce();
      cooldown = this.cooldown;
      bad = 0;
    }
    if (isBetter) this.best = metrics;
    this.numBadEpochs = bad;
    this.cooldownCounter = cooldown;
    this.lastEpoch++;
    this.write(this.currentLrs());
  }

  /**
   * @returns {Record<string, any>} PyTorch's dictionary, which has less of the common part
   */
  stateDict() {
    const { base_lrs: _lrs, _step_count, _is_initial, _get_lr_called_within_step, ...state } = super.stateDict();
    return state;
  }

  /** @inheritDoc */
  loadStateDict(/** @type {Record<string, any>} */ stateDict) {
    this.attempt(() => {
      super.loadStateDict(stateDict);
      if (stateDict.default_min_lr === null) this.defaultMinLr = null;
      this.modeWorse = this.mode === 'min' ? Infinity : -Infinity;
    });
  }

  /**
   * @param {number} metrics
   * @returns {boolean}
   */
  #isBetter(metrics) {
    const { best, threshold } = this;
    const isRelative = this.thresholdMode === 'rel';
    if (this.mode === 'min') return metrics < (isRelative ? best * (1 - threshold) : best - threshold);
    return metrics > (isRelative ? best * (threshold + 1) : best + threshold);
  }

  #reduce() {
    const rates = this.currentLrs();
    if (rates.length !== this.minLrs.length) {
      if (this.defaultMinLr === null) {
        throw new Error(`The number of param groups in the optimizer (${rates.length}) differs from when `
          + `ReduceLROnPlateau was initialized (${this.minLrs.length}), usually due to a new param group being added `
          + 'to the optimizer');
      }
      this.minLrs = rates.map(() => /** @type {number} */ (this.defaultMinLr));
    }
    this.write(rates.map((lr, i) => {
      const reduced = Math.max(lr * this.factor, this.minLrs[i]);
      return lr - reduced > this.eps ? reduced : lr;
    }));
  }
}
