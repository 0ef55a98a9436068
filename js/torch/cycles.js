/** The schedulers that raise the rates and lower them again, and move the momentums the other way. */
import { finite, integer, ofType, rangeError, show } from '../check.js';
import { cos, pow } from '../math.js';
import { CHECK, LRScheduler, checked, perGroup } from './scheduler.js';

/** @typedef {import('./scheduler.js').Optimizer} Optimizer */
/** @typedef {import('./groups.js').ParamGroup} ParamGroup */

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
   * @param {number} [options.divFactor] not 0, default 25
   * @param {number} [options.finalDivFactor] not 0, default 10 000
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
    checkStrategy(annealStrategy);
    ofType('threePhase', threePhase, 'boolean');
    for (const [name, factor] of Object.entries({ divFactor, finalDivFactor })) {
      if (finite(name, factor) === 0) throw rangeError(name, 'a finite number other than 0', factor);
    }
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
    const empty = this.#emptyPhase();
    if (empty >= 0) {
      throw new RangeError(`pctStart must leave no phase of ${this.totalSteps} steps empty, phase ${empty + 1} is with `
        + `${pctStart}`);
    }
    this._annealFuncType = annealStrategy;
    this.cycleMomentum = ofType('cycleMomentum', cycleMomentum, 'boolean');
    // As PyTorch's state dict has it: RMSprop has a momentum, and no betas.
    this.useBeta1 = false;
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
  [CHECK]() {
    integer('totalSteps', this.totalSteps, 1);
    checkStrategy(this._annealFuncType);
    this._schedulePhases.forEach((phase, i) => {
      finite(`_schedule_phases[${i}].end_step`, phase?.end_step);
      for (const key of /** @type {const} */ (['start_lr', 'end_lr', 'start_momentum', 'end_momentum'])) {
        const known = Object.keys(LIMITS);
        if (!known.includes(phase[key])) {
          throw rangeError(`_schedule_phases[${i}].${key}`, `one of ${known.join(', ')}`, phase[key]);
        }
      }
    });
    const empty = this.#emptyPhase();
    if (empty >= 0) {
      throw rangeError(`_schedule_phases[${empty}].end_step`, 'other than where the phase starts',
        this._schedulePhases[empty].end_step);
    }
  }

  /**
   * @returns {Record<string, any>} PyTorch's dictionary
   */
  stateDict() {
    const { use_beta1: useBeta1, ...state } = super.stateDict();
    return this.cycleMomentum ? { ...state, use_beta1: useBeta1 } : state;
  }

  /** @returns {number} the place of a phase that has no length, by which PyTorch would divide; -1 if there is none */
  #emptyPhase() {
    const ends = [0, ...this._schedulePhases.map(({ end_step: end }) => end)];
    return this._schedulePhases.findIndex((_, i) => ends[i] === ends[i + 1]);
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

/**
 * Refuses an unknown way of annealing.
 *
 * @param {unknown} strategy
 */
export function checkStrategy(strategy) {
  if (strategy === 'cos' || strategy === 'linear') return;
  throw new RangeError(`annealStrategy must be one of 'cos' or 'linear', instead got ${show(strategy)}`);
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
    if (scaleMode !== 'cycle' && scaleMode !== 'iterations') {
      throw rangeError('scaleMode', "'cycle' or 'iterations'", scaleMode);
    }
    this.mode = mode;
    this.gamma = gamma;
    this._scaleFnCustom = scaleFn;
    this.scaleMode = scaleFn !== null ? scaleMode : mode === 'exp_range' ? 'iterations' : 'cycle';
    this.cycleMomentum = ofType('cycleMomentum', cycleMomentum, 'boolean');
    // As PyTorch's state dict has it: RMSprop has a momentum, and no betas.
    this.useBeta1 = false;
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
  [CHECK]() {
    if (this._scaleFnCustom === null && !['triangular', 'triangular2', 'exp_range'].includes(this.mode)) {
      throw new RangeError(`mode is invalid and scaleFn is null: got ${show(this.mode)}`);
    }
    if (this.scaleMode !== 'cycle' && this.scaleMode !== 'iterations') {
      throw rangeError('scaleMode', "'cycle' or 'iterations'", this.scaleMode);
    }
    finite('gamma', this.gamma);
    if (!(this.totalSize > 0 && this.totalSize < Infinity)) throw rangeError('total_size', 'above 0', this.totalSize);
    if (!(this.stepRatio > 0 && this.stepRatio < 1)) throw rangeError('step_ratio', 'in (0, 1)', this.stepRatio);
    for (const [name, list] of Object.entries({
      max_lrs: this.maxLrs, base_momentums: this.baseMomentums, max_momentums: this.maxMomentums,
    })) perGroup(name, this.optimizer, list);
  }

  /**
   * @returns {Record<string, any>} PyTorch's dictionary
   */
  stateDict() {
    const { use_beta1: useBeta1, base_momentums: base, max_momentums: max, ...state } = super.stateDict();
    return this.cycleMomentum ? { ...state, use_beta1: useBeta1, base_momentums: base, max_momentums: max } : state;
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
