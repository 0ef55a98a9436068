/** The schedulers that move the rates along a cosine. */
import { finite, integer, show } from '../check.js';
import { cos, log, pow } from '../math.js';
import { CHECK, CLOSED_FORM, LRScheduler, checked } from './scheduler.js';

/** @typedef {import('./scheduler.js').Optimizer} Optimizer */
/** @typedef {import('./scheduler.js').Resume} Resume */

/** Takes the rates to `etaMin` along a cosine in `tMax` steps, and back in as many. */
export class CosineAnnealingLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ tMax: number, etaMin?: number } & Resume} options etaMin: default 0
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { tMax, etaMin = 0, lastEpoch } = checked(this, options, ['tMax', 'etaMin']);
    this.tMax = tMax;
    this.etaMin = etaMin;
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  [CHECK]() {
    integer('tMax', this.tMax, 1);
    finite('etaMin', this.etaMin);
  }

  /** @inheritDoc */
  getLr() {
    const { lastEpoch, tMax, etaMin } = this;
    const rates = this.currentLrs();
    if (this._isInitial) return rates;
    if (this.stepCount === 1 && lastEpoch > 0) {
      return this.baseLrs.map((base) => etaMin + (base - etaMin) * (1 + cos(lastEpoch * Math.PI / tMax)) / 2);
    }
    // From the lowest point the recurrence, a quotient of 0 and 0 there, cannot go on.
    if ((lastEpoch - 1 - tMax) % (2 * tMax) === 0) {
      return this.baseLrs.map((base, i) => rates[i] + (base - etaMin) * (1 - cos(Math.PI / tMax)) / 2);
    }
    const quotient = (1 + cos(Math.PI * lastEpoch / tMax)) / (1 + cos(Math.PI * (lastEpoch - 1) / tMax));
    return rates.map((lr) => quotient * (lr - etaMin) + etaMin);
  }

  /** @returns {number[]} the rates of this epoch, by the closed form */
  [CLOSED_FORM]() {
    const { lastEpoch, tMax, etaMin } = this;
    return this.baseLrs.map((base) => etaMin + (base - etaMin) * (1 + cos(Math.PI * lastEpoch / tMax)) / 2);
  }
}

/** Takes the rates to `etaMin` along a cosine in `t0` steps, starts again, `tMult` times as slowly each time. */
export class CosineAnnealingWarmRestarts extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ t0: number, tMult?: number, etaMin?: number } & Resume} options tMult: default 1; etaMin: default 0
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { t0, tMult = 1, etaMin = 0, lastEpoch = -1 } = checked(this, options, ['t0', 'tMult', 'etaMin']);
    this.t0 = t0;
    this.tI = t0;
    this.tMult = tMult;
    this.etaMin = etaMin;
    this.tCur = lastEpoch;
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  [CHECK]() {
    const { t0, tMult } = this;
    if (!(Number.isInteger(t0) && t0 > 0)) throw new RangeError(`Expected positive integer t0, but got ${show(t0)}`);
    if (!(Number.isInteger(tMult) && tMult >= 1)) {
      throw new RangeError(`Expected integer tMult >= 1, but got ${show(tMult)}`);
    }
    integer('tI', this.tI, 1);
    finite('tCur', this.tCur);
    finite('etaMin', this.etaMin);
  }

  /** @inheritDoc */
  getLr() {
    const { etaMin, tCur, tI } = this;
    return this.baseLrs.map((base) => etaMin + (base - etaMin) * (1 + cos(Math.PI * tCur / tI)) / 2);
  }

  /**
   * Writes the rates of an epoch into the groups.
   *
   * @param {number} [epoch] any epoch >= 0, in fractions too; default the next
   * @throws {RangeError} for another; nothing has changed then
   */
  step(epoch) {
    if (epoch === undefined && this.lastEpoch >= 0) {
      this.attempt(() => {
        this.tCur++;
        if (this.tCur >= this.tI) {
          this.tCur %= this.tI;
          this.tI *= this.tMult;
        }
        this.moveTo(this.lastEpoch + 1);
      });
      return;
    }
    const target = epoch ?? 0;
    if (finite('epoch', target) < 0) throw new RangeError(`Expected non-negative epoch, but got ${target}`);
    const { t0, tMult } = this;
    this.attempt(() => {
      this.tI = t0;
      this.tCur = target;
      if (target >= t0 && tMult === 1) {
        this.tCur = target % t0;
      } else if (target >= t0) {
        const restarts = Math.floor(log(target / t0 * (tMult - 1) + 1) / log(tMult));
        this.tCur = target - t0 * (pow(tMult, restarts) - 1) / (tMult - 1);
        this.tI = t0 * pow(tMult, restarts);
      }
      this.moveTo(Math.floor(target));
    });
  }
}
