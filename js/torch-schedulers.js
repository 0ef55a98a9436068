/**
 * The schedulers of `torch.optim.lr_scheduler`: they write the rates, and some the momentums, of an optimizer's
 * parameter groups, once when they are made and then at each `step()`. They reckon as PyTorch does, in float64 and,
 * where PyTorch goes from one rate to the next, by recurrence; powers and cosines are the package's own, the same on
 * every engine.
 */
import { array, finite, integer, knownOptions, ofType, rangeError, show, typeError } from './check.js';
import { cos, log, pow } from './math.js';
import { snakeCase } from './naming.js';
import { isTensor } from './tensor.js';

/** @typedef {import('./torch/groups.js').ParamGroup} ParamGroup */
/** @typedef {{ readonly paramGroups: readonly ParamGroup[] }} Optimizer */
/**
 * @typedef {object} Resume
 * @property {number} [lastEpoch] the last step of a run that is resumed, in which the groups have their `initialLr`;
 *   default -1
 */

/** Where PyTorch's names are not the JavaScript ones in snake_case. @type {Record<string, string>} */
const PYTHON_NAMES = { tMax: 'T_max', t0: 'T_0', tI: 'T_i', tMult: 'T_mult', tCur: 'T_cur' };

/** @param {string} name */
const pythonName = (name) => PYTHON_NAMES[name] ?? snakeCase(name);

/**
 * What the schedulers have in common, and the base of one's own: override `getLr`, and end the constructor with
 * `this.begin()`.
 */
export class LRScheduler {
  #optimizer;
  #stepCount = 0;
  /** @type {number[]} */
  #lastLr = [];

  /**
   * @param {Optimizer} optimizer
   * @throws {TypeError} if it is none
   */
  constructor(optimizer) {
    if (!Array.isArray(optimizer?.paramGroups)) throw new TypeError(`${show(optimizer)} is not an Optimizer`);
    this.#optimizer = optimizer;
    /** Steps made, the initial one apart. */
    this.lastEpoch = -1;
    /** The rates from which the schedule starts. @type {number[]} */
    this.baseLrs = [];
    /** Whether the step is the one that the constructor makes. */
    this._isInitial = false;
    this._getLrCalledWithinStep = false;
  }

  /** @returns {Optimizer} */
  get optimizer() {
    return this.#optimizer;
  }

  /** @returns {number} calls of `step`, the constructor's included; warm restarts do not count, as in PyTorch */
  get stepCount() {
    return this.#stepCount;
  }

  /** @returns {number[]} the rate of each group as the last step left it */
  getLastLr() {
    return [...this.#lastLr];
  }

  /**
   * @returns {number[]} the rates of `lastEpoch`, from those of the epoch before
   * @abstract
   */
  getLr() {
    throw new Error(`${this.constructor.name} must override getLr`);
  }

  /**
   * Writes the next rates into the groups.
   *
   * @throws {RangeError} if the schedule has no next; nothing has changed then
   */
  step() {
    this.attempt(() => {
      this.#stepCount++;
      this.moveTo(this.lastEpoch + 1);
    });
  }

  /**
   * Runs what changes the scheduler and the groups, for subclasses. If it throws, they are as they were.
   *
   * @param {() => void} change
   */
  attempt(change) {
    ofType('change', change, 'function');
    const { paramGroups } = this.#optimizer;
    const rates = paramGroups.map(rateOf);
    const groups = paramGroups.map(({ params: _params, ...options }) => options);
    const [own, stepCount, lastLr] = [{ ...this }, this.#stepCount, this.#lastLr];
    try {
      change();
    } catch (error) {
      restore(this, own);
      [this.#stepCount, this.#lastLr] = [stepCount, lastLr];
      paramGroups.forEach((group, i) => {
        restore(group, groups[i]);
        if (isTensor(group.lr)) group.lr.data[0] = rates[i];
      });
      throw error;
    }
  }

  /**
   * @returns {Record<string, any>} PyTorch's dictionary: all that the scheduler knows but the optimizer
   */
  stateDict() {
    // As in PyTorch, functions are not saved.
    const own = Object.entries(this).map(([name, value]) =>
      [pythonName(name), typeof value === 'function' ? null : value]);
    return structuredClone({
      ...Object.fromEntries(own),
      _step_count: this.#stepCount,
      _last_lr: this.#lastLr,
    });
  }

  /**
   * Takes over what `stateDict` gave. The optimizer has a state of its own: load that too.
   *
   * @param {Record<string, any>} stateDict PyTorch's of this scheduler; keys that it does not have are passed over
   * @throws {TypeError | RangeError} for a value of another kind; nothing has changed then
   */
  loadStateDict(stateDict) {
    ofType('stateDict', stateDict, 'object');
    const { _step_count: stepCount = this.#stepCount, _last_lr: lastLr = this.#lastLr } = stateDict;
    integer('_step_count', stepCount, 0);
    array('_last_lr', lastLr).forEach((lr, i) => finite(`_last_lr[${i}]`, lr));
    const loaded = Object.entries(this).flatMap(([name, value]) => {
      const key = pythonName(name);
      return stateDict[key] == null || typeof value === 'function' ? [] : [[name, alike(key, stateDict[key], value)]];
    });
    Object.assign(this, Object.fromEntries(loaded));
    this.#stepCount = stepCount;
    this.#lastLr = [...lastLr];
  }

  /**
   * Attaches the scheduler and makes its initial step: for the constructors of subclasses, when their options are set.
   *
   * @param {number} [lastEpoch] see `Resume`
   * @param {() => void} [prepare] writes into the groups before
   * @throws {unknown} what `prepare` or `getLr` throws; nothing has changed then
   */
  begin(lastEpoch = -1, prepare = () => {}) {
    integer('lastEpoch', lastEpoch, -1);
    ofType('prepare', prepare, 'function');
    const { paramGroups } = this.#optimizer;
    this.attempt(() => {
      prepare();
      paramGroups.forEach((group, i) => {
        if (lastEpoch === -1) group.initialLr ??= rateOf(group);
        else if (group.initialLr === undefined) {
          throw new RangeError(`param 'initialLr' is not specified in paramGroups[${i}] when resuming an optimizer`);
        }
      });
      this.baseLrs = paramGroups.map(({ initialLr }) => /** @type {number} */ (initialLr));
      this.lastEpoch = lastEpoch;
      this._isInitial = true;
      this.step();
      this._isInitial = false;
    });
  }

  /**
   * A step to any epoch, for subclasses.
   *
   * @param {number} epoch
   */
  moveTo(epoch) {
    finite('epoch', epoch);
    this.attempt(() => {
      this.lastEpoch = epoch;
      this.write(this.getLr());
    });
  }

  /**
   * Writes rates into the groups, for subclasses.
   *
   * @param {readonly number[]} rates of all groups, or the first
   */
  write(rates) {
    const { paramGroups } = this.#optimizer;
    array('rates', rates).forEach((rate, i) => finite(`rates[${i}]`, rate));
    if (rates.length > paramGroups.length) {
      throw rangeError('rates', `at most ${paramGroups.length}, one for each group`, rates);
    }
    rates.forEach((lr, i) => {
      const group = paramGroups[i];
      if (isTensor(group.lr)) group.lr.data[0] = lr;
      else group.lr = lr;
    });
    this.#lastLr = paramGroups.map(rateOf);
  }

  /** @returns {number[]} the rates that the groups have now, for subclasses */
  currentLrs() {
    return this.#optimizer.paramGroups.map(rateOf);
  }
}

/** Multiplies the rates by `gamma` every `stepSize` steps. */
export class StepLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ stepSize: number, gamma?: number } & Resume} options gamma: default 0.1
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { stepSize, gamma = 0.1, lastEpoch } = checked(this, options, ['stepSize', 'gamma']);
    this.stepSize = integer('stepSize', stepSize, 1);
    this.gamma = finite('gamma', gamma);
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  getLr() {
    if (this.lastEpoch === 0 || this.lastEpoch % this.stepSize !== 0) return this.currentLrs();
    return this.currentLrs().map((lr) => lr * this.gamma);
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
    this.gamma = finite('gamma', gamma);
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  getLr() {
    const times = this.milestones[this.lastEpoch];
    if (times === undefined) return this.currentLrs();
    return this.currentLrs().map((lr) => lr * pow(this.gamma, times));
  }
}

/** Multiplies the rates by `factor` until step `totalIters`. */
export class ConstantLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ factor?: number, totalIters?: number } & Resume} [options] factor: in [0, 1], default 1/3; totalIters:
   *   default 5
   */
  constructor(optimizer, options = {}) {
    super(optimizer);
    const { factor = 1 / 3, totalIters = 5, lastEpoch } = checked(this, options, ['factor', 'totalIters']);
    if (finite('factor', factor) > 1 || factor < 0) {
      throw new RangeError(`Constant multiplicative factor expected to be between 0 and 1, got ${factor}`);
    }
    this.factor = factor;
    this.totalIters = integer('totalIters', totalIters, 0);
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  getLr() {
    const rates = this.currentLrs();
    if (this.lastEpoch === 0) return rates.map((lr) => lr * this.factor);
    return this.lastEpoch === this.totalIters ? rates.map((lr) => lr * (1 / this.factor)) : rates;
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
    if (finite('startFactor', startFactor) > 1 || startFactor <= 0) {
      throw new RangeError('Starting multiplicative factor expected to be greater than 0 and less or equal to 1, '
        + `got ${startFactor}`);
    }
    if (finite('endFactor', endFactor) > 1 || endFactor < 0) {
      throw new RangeError(`Ending multiplicative factor expected to be between 0 and 1, got ${endFactor}`);
    }
    this.startFactor = startFactor;
    this.endFactor = endFactor;
    this.totalIters = integer('totalIters', totalIters, 0);
    this.begin(lastEpoch);
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
    this.gamma = finite('gamma', gamma);
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  getLr() {
    return this._isInitial ? this.currentLrs() : this.currentLrs().map((lr) => lr * this.gamma);
  }
}

/** Takes the rates to 0 by (1 - step / totalIters) ** power. */
export class PolynomialLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ totalIters?: number, power?: number } & Resume} [options] totalIters: default 5; power: default 1
   */
  constructor(optimizer, options = {}) {
    super(optimizer);
    const { totalIters = 5, power = 1, lastEpoch } = checked(this, options, ['totalIters', 'power']);
    this.totalIters = integer('totalIters', totalIters, 0);
    this.power = finite('power', power);
    this.begin(lastEpoch);
  }

  /** @inheritDoc */
  getLr() {
    if (this._isInitial || this.lastEpoch > this.totalIters) return this.currentLrs();
    const quotient = (1 - this.lastEpoch / this.totalIters) / (1 - (this.lastEpoch - 1) / this.totalIters);
    const factor = pow(quotient, this.power);
    return this.currentLrs().map((lr) => lr * factor);
  }
}

/** Takes the rates to `etaMin` along a cosine in `tMax` steps, and back in as many. */
export class CosineAnnealingLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {{ tMax: number, etaMin?: number } & Resume} options etaMin: default 0
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { tMax, etaMin = 0, lastEpoch } = checked(this, options, ['tMax', 'etaMin']);
    this.tMax = integer('tMax', tMax, 1);
    this.etaMin = finite('etaMin', etaMin);
    this.begin(lastEpoch);
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
    if (!(Number.isInteger(t0) && t0 > 0)) throw new RangeError(`Expected positive integer t0, but got ${show(t0)}`);
    if (!(Number.isInteger(tMult) && tMult >= 1)) {
      throw new RangeError(`Expected integer tMult >= 1, but got ${show(tMult)}`);
    }
    this.t0 = t0;
    this.tI = t0;
    this.tMult = tMult;
    this.etaMin = finite('etaMin', etaMin);
    this.tCur = lastEpoch;
    this.begin(lastEpoch);
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

/**
 * Raises the rates from `maxLr / divFactor` to `maxLr` and takes them to that start divided by `finalDivFactor`, once;
 * the momentums go the other way.
 */
export class OneCycleLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {object} options
   * @param {number | readonly number[]} options.maxLr of all groups, or of each
   * @param {number} [options.totalSteps] or `epochs` and `stepsPerEpoch`
   * @param {number} [options.epochs]
   * @param {number} [options.stepsPerEpoch]
   * @param {number} [options.pctStart] the part of the cycle in which the rate rises, in [0, 1], default 0.3
   * @param {'cos' | 'linear'} [options.annealStrategy] default 'cos'
   * @param {boolean} [options.cycleMomentum] default true
   * @param {number | readonly number[]} [options.baseMomentum] default 0.85
   * @param {number | readonly number[]} [options.maxMomentum] default 0.95
   * @param {number} [options.divFactor] default 25
   * @param {number} [options.finalDivFactor] default 10 000
   * @param {boolean} [options.threePhase] back to the start first, and then to the end; default false
   * @param {number} [options.lastEpoch] see `Resume`
   */
  constructor(optimizer, options) {
    super(optimizer);
    const {
      maxLr, totalSteps, epochs, stepsPerEpoch, pctStart = 0.3, annealStrategy = 'cos', cycleMomentum = true,
      baseMomentum = 0.85, maxMomentum = 0.95, divFactor = 25, finalDivFactor = 1e4, threePhase = false, lastEpoch = -1,
    } = checked(this, options, [
      'maxLr', 'totalSteps', 'epochs', 'stepsPerEpoch', 'pctStart', 'annealStrategy', 'cycleMomentum', 'baseMomentum',
      'maxMomentum', 'divFactor', 'finalDivFactor', 'threePhase',
    ]);
    if (totalSteps == null && (epochs == null || stepsPerEpoch == null)) {
      throw new RangeError('You must define either totalSteps OR (epochs AND stepsPerEpoch)');
    }
    const counts = totalSteps == null ? { epochs, stepsPerEpoch } : { totalSteps };
    for (const [name, count] of Object.entries(counts)) {
      if (!Number.isInteger(count) || Number(count) <= 0) {
        throw new RangeError(`Expected positive integer ${name}, but got ${show(count)}`);
      }
    }
    if (typeof pctStart !== 'number' || !(pctStart >= 0 && pctStart <= 1)) {
      throw new RangeError(`Expected float between 0 and 1 pctStart, but got ${show(pctStart)}`);
    }
    if (annealStrategy !== 'cos' && annealStrategy !== 'linear') {
      throw new RangeError(`annealStrategy must be one of 'cos' or 'linear', instead got ${show(annealStrategy)}`);
    }
    ofType('threePhase', threePhase, 'boolean');
    finite('divFactor', divFactor);
    finite('finalDivFactor', finalDivFactor);
    const maxLrs = perGroup('maxLr', optimizer, maxLr);
    const maxMomentums = perGroup('maxMomentum', optimizer, maxMomentum);
    const baseMomentums = perGroup('baseMomentum', optimizer, baseMomentum);

    this.totalSteps = totalSteps ?? /** @type {number} */ (epochs) * /** @type {number} */ (stepsPerEpoch);
    const peak = pctStart * this.totalSteps - 1;
    const end = this.totalSteps - 1;
    /** As PyTorch's state dict has them. */
    this._schedulePhases = threePhase ? [
      phase(peak, 'initial_lr', 'max_lr', 'max_momentum', 'base_momentum'),
      phase(2 * pctStart * this.totalSteps - 2, 'max_lr', 'initial_lr', 'base_momentum', 'max_momentum'),
      phase(end, 'initial_lr', 'min_lr', 'max_momentum', 'max_momentum'),
    ] : [
      phase(peak, 'initial_lr', 'max_lr', 'max_momentum', 'base_momentum'),
      phase(end, 'max_lr', 'min_lr', 'base_momentum', 'max_momentum'),
    ];
    this._annealFuncType = annealStrategy;
    this.cycleMomentum = ofType('cycleMomentum', cycleMomentum, 'boolean');
    this.#checkEpoch(lastEpoch + 1);
    this.begin(lastEpoch, () => optimizer.paramGroups.forEach((group, i) => {
      if (lastEpoch !== -1) return;
      group.initialLr = maxLrs[i] / divFactor;
      group.maxLr = maxLrs[i];
      group.minLr = group.initialLr / finalDivFactor;
      if (!cycleMomentum) return;
      group.momentum = group.maxMomentum = maxMomentums[i];
      group.baseMomentum = baseMomentums[i];
    }));
  }

  /** @inheritDoc */
  getLr() {
    this.#checkEpoch(this.lastEpoch);
    const { paramGroups } = this.optimizer;
    // The phase in which the epoch is, and how much of it is over.
    const k = this._schedulePhases.findIndex(({ end_step: end }, i) =>
      this.lastEpoch <= end || i === this._schedulePhases.length - 1);
    const { end_step: end, start_lr: startLr, end_lr: endLr, ...momentums } = this._schedulePhases[k];
    const start = k === 0 ? 0 : this._schedulePhases[k - 1].end_step;
    const part = (this.lastEpoch - start) / (end - start);
    const rates = paramGroups.map((group) => this.#anneal(group, startLr, endLr, part));
    if (this.cycleMomentum) {
      for (const group of paramGroups) {
        group.momentum = this.#anneal(group, momentums.start_momentum, momentums.end_momentum, part);
      }
    }
    return rates;
  }

  /** @param {number} epoch */
  #checkEpoch(epoch) {
    if (epoch <= this.totalSteps) return;
    throw new RangeError(`Tried to step ${epoch} times. The specified number of total steps is ${this.totalSteps}`);
  }

  /**
   * @param {ParamGroup} group
   * @param {string} from PyTorch's name of the limit
   * @param {string} to
   * @param {number} part from 0 to 1
   * @returns {number}
   */
  #anneal(group, from, to, part) {
    const start = group[LIMITS[from]];
    const end = group[LIMITS[to]];
    if (start === undefined || end === undefined) {
      throw new RangeError(`${LIMITS[start === undefined ? from : to]} must be in each of paramGroups when resuming`);
    }
    if (this._annealFuncType === 'linear') return (end - start) * part + start;
    return end + (start - end) / 2 * (cos(Math.PI * part) + 1);
  }
}

/** PyTorch's names of a group's limits, and where they are. */
const LIMITS = /** @type {Record<string, 'initialLr' | 'maxLr' | 'minLr' | 'maxMomentum' | 'baseMomentum'>} */ ({
  initial_lr: 'initialLr',
  max_lr: 'maxLr',
  min_lr: 'minLr',
  max_momentum: 'maxMomentum',
  base_momentum: 'baseMomentum',
});

/**
 * @param {number} end
 * @param {string} startLr
 * @param {string} endLr
 * @param {string} startMomentum
 * @param {string} endMomentum
 * @returns {Record<'start_lr' | 'end_lr' | 'start_momentum' | 'end_momentum', string> & { end_step: number }}
 */
function phase(end, startLr, endLr, startMomentum, endMomentum) {
  return { end_step: end, start_lr: startLr, end_lr: endLr, start_momentum: startMomentum, end_momentum: endMomentum };
}

/** Moves the rates between `baseLr` and `maxLr`, up and down again; the momentums go the other way. */
export class CyclicLR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {object} options
   * @param {number | readonly number[]} options.baseLr of all groups, or of each
   * @param {number | readonly number[]} options.maxLr
   * @param {number} [options.stepSizeUp] steps up, default 2 000
   * @param {number | null} [options.stepSizeDown] steps down, default as many
   * @param {'triangular' | 'triangular2' | 'exp_range'} [options.mode] all cycles alike, each half as high as the one
   *   before, or lower by `gamma` at each step; default 'triangular'
   * @param {number} [options.gamma] default 1
   * @param {((x: number) => number) | null} [options.scaleFn] instead of a mode
   * @param {'cycle' | 'iterations'} [options.scaleMode] what it is called with, default 'cycle'
   * @param {boolean} [options.cycleMomentum] default true
   * @param {number | readonly number[]} [options.baseMomentum] default 0.8
   * @param {number | readonly number[]} [options.maxMomentum] default 0.9
   * @param {number} [options.lastEpoch] see `Resume`
   */
  constructor(optimizer, options) {
    super(optimizer);
    const {
      baseLr, maxLr, stepSizeUp = 2000, stepSizeDown = null, mode = 'triangular', gamma = 1, scaleFn = null,
      scaleMode = 'cycle', cycleMomentum = true, baseMomentum = 0.8, maxMomentum = 0.9, lastEpoch = -1,
    } = checked(this, options, [
      'baseLr', 'maxLr', 'stepSizeUp', 'stepSizeDown', 'mode', 'gamma', 'scaleFn', 'scaleMode', 'cycleMomentum',
      'baseMomentum', 'maxMomentum',
    ]);
    const baseLrs = perGroup('baseLr', optimizer, baseLr);
    this.maxLrs = perGroup('maxLr', optimizer, maxLr);
    const up = integer('stepSizeUp', stepSizeUp, 1);
    this.totalSize = up + integer('stepSizeDown', stepSizeDown ?? up, 1);
    this.stepRatio = up / this.totalSize;
    if (scaleFn !== null) ofType('scaleFn', scaleFn, 'function');
    else if (!['triangular', 'triangular2', 'exp_range'].includes(mode)) {
      throw new RangeError(`mode is invalid and scaleFn is null: got ${show(mode)}`);
    }
    if (scaleMode !== 'cycle' && scaleMode !== 'iterations') {
      throw rangeError('scaleMode', "'cycle' or 'iterations'", scaleMode);
    }
    this.mode = mode;
    this.gamma = finite('gamma', gamma);
    this._scaleFnCustom = scaleFn;
    this.scaleMode = scaleFn !== null ? scaleMode : mode === 'exp_range' ? 'iterations' : 'cycle';
    this.cycleMomentum = ofType('cycleMomentum', cycleMomentum, 'boolean');
    this.baseMomentums = perGroup('baseMomentum', optimizer, baseMomentum);
    this.maxMomentums = perGroup('maxMomentum', optimizer, maxMomentum);
    // PyTorch's initial step goes by the groups' initialLr, as here, and only then are these the base.
    this.begin(lastEpoch, () => {
      if (lastEpoch !== -1) return;
      this.write(baseLrs);
      optimizer.paramGroups.forEach((group, i) => {
        if (!cycleMomentum) return;
        group.momentum = group.maxMomentum = this.maxMomentums[i];
        group.baseMomentum = this.baseMomentums[i];
      });
    });
    this.baseLrs = baseLrs;
  }

  /** @inheritDoc */
  getLr() {
    const cycle = Math.floor(1 + this.lastEpoch / this.totalSize);
    const x = 1 + this.lastEpoch / this.totalSize - cycle;
    const height = x <= this.stepRatio ? x / this.stepRatio : (x - 1) / (this.stepRatio - 1);
    const scale = this.#scale(this.scaleMode === 'cycle' ? cycle : this.lastEpoch);
    if (this.cycleMomentum) {
      this.optimizer.paramGroups.forEach((group, i) => {
        const momentum = this.maxMomentums[i];
        if (momentum !== undefined) group.momentum = momentum - (momentum - this.baseMomentums[i]) * height * scale;
      });
    }
    return this.baseLrs.map((base, i) => base + (this.maxLrs[i] - base) * height * scale);
  }

  /**
   * @param {number} x the cycle, or the step
   * @returns {number}
   */
  #scale(x) {
    if (this._scaleFnCustom) return finite('the result of scaleFn', this._scaleFnCustom(x));
    if (this.mode === 'triangular2') return 1 / pow(2, x - 1);
    return this.mode === 'exp_range' ? pow(this.gamma, x) : 1;
  }
}

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
    if (finite('factor', factor) >= 1) throw new RangeError(`Factor should be < 1.0, got ${factor}`);
    if (mode !== 'min' && mode !== 'max') throw new RangeError(`mode ${show(mode)} is unknown!`);
    if (thresholdMode !== 'rel' && thresholdMode !== 'abs') {
      throw new RangeError(`threshold mode ${show(thresholdMode)} is unknown!`);
    }
    this.factor = factor;
    this.defaultMinLr = Array.isArray(minLr) ? null : /** @type {number} */ (minLr);
    this.minLrs = perGroup('minLr', optimizer, minLr);
    this.patience = integer('patience', patience, 0);
    this.cooldown = integer('cooldown', cooldown, 0);
    this.eps = finite('eps', eps);
    this.mode = mode;
    this.threshold = finite('threshold', threshold);
    this.thresholdMode = thresholdMode;
    this.modeWorse = mode === 'min' ? Infinity : -Infinity;
    this.best = this.modeWorse;
    this.cooldownCounter = 0;
    this.numBadEpochs = 0;
    this.lastEpoch = 0;
    this.write([]);
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
    this.write([]);
  }

  /**
   * @returns {Record<string, any>} PyTorch's dictionary, which has less of the common part
   */
  stateDict() {
    const { base_lrs: _lrs, _step_count, _is_initial, _get_lr_called_within_step, ...state } = super.stateDict();
    return state;
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

/**
 * @param {Record<string, any>} object
 * @param {object} before its enumerable fields, as they are to be again, but for those that cannot be written
 */
function restore(object, before) {
  for (const [name, { writable }] of Object.entries(Object.getOwnPropertyDescriptors(object))) {
    if (writable && !Object.hasOwn(before, name)) delete object[name];
  }
  Object.assign(object, before);
}

/**
 * @param {ParamGroup} group
 * @returns {number}
 */
function rateOf({ lr }) {
  return isTensor(lr) ? lr.data[0] : lr;
}

/**
 * @template {object} T
 * @param {LRScheduler} scheduler
 * @param {T} options
 * @param {readonly string[]} known
 * @param {boolean} [resumes] whether `lastEpoch` is one of them
 * @returns {T & Resume}
 */
function checked(scheduler, options, known, resumes = true) {
  knownOptions(scheduler.constructor.name, options, resumes ? [...known, 'lastEpoch'] : known);
  const { lastEpoch } = /** @type {Resume} */ (options);
  if (lastEpoch !== undefined) integer('lastEpoch', lastEpoch, -1);
  return options;
}

/**
 * @param {string} name
 * @param {Optimizer} optimizer
 * @param {unknown} value a number, or one for each group
 * @returns {number[]} one for each group
 */
function perGroup(name, { paramGroups }, value) {
  if (!Array.isArray(value)) {
    finite(name, value, 'a finite number, or one for each group');
    return paramGroups.map(() => /** @type {number} */ (value));
  }
  if (value.length !== paramGroups.length) {
    throw new RangeError(`${name} must have the same length as optimizer.paramGroups. `
      + `${name} has ${value.length} values, paramGroups has ${paramGroups.length}.`);
  }
  return value.map((number, i) => finite(`${name}[${i}]`, number));
}

/**
 * @param {string} name
 * @param {any} value from a state dict
 * @param {any} present what it takes the place of
 * @returns {any} a copy of the value, of the same kind
 */
function alike(name, value, present) {
  if (Array.isArray(present)) return structuredClone(array(name, value));
  if (typeof present === 'number' || present === null) {
    // Not `finite`: the best metric of a plateau starts at infinity.
    if (typeof value !== 'number') throw typeError(name, 'a number', value);
    return value;
  }
  return structuredClone(ofType(name, value, /** @type {any} */ (typeof present)));
}
