/** The schedulers that are made of others. */
import { array, integer, knownOptions, ofType, rangeError, show } from '../check.js';
import { CHECK, INITIAL_STEP, NEEDS_METRIC, UNDO_INITIAL_STEP, LRScheduler, warnOfLoaded } from './scheduler.js';

/** @typedef {import('./scheduler.js').Optimizer} Optimizer */

/** What both have: their schedulers step, save and load with them, and are as before when that fails. */
class ComposedScheduler extends LRScheduler {
  #schedulers;
  /** Whether it is the first scheduler of a `SequentialLR`. */
  #isFirst = false;

  /**
   * @param {Optimizer} optimizer
   * @param {readonly LRScheduler[]} schedulers
   */
  constructor(optimizer, schedulers) {
    const { name } = new.target;
    if (array('schedulers', schedulers).length === 0) {
      throw new RangeError(`${name} expects at least one scheduler, but got no scheduler`);
    }
    super(optimizer);
    schedulers.forEach((scheduler, i) => {
      if (typeof scheduler?.attempt !== 'function') {
        throw new TypeError(`${name} expects schedulers, but got ${show(scheduler)} at index ${i}`);
      }
      if (scheduler[NEEDS_METRIC]) {
        throw new RangeError(`${name} does not support ReduceLROnPlateau, whose step needs a metric, but got one at `
          + `index ${i}`);
      }
      if (scheduler.optimizer !== optimizer) {
        throw new RangeError(`${name} expects all schedulers to belong to the same optimizer, but that at index ${i} `
          + 'has another');
      }
    });
    this.#schedulers = Object.freeze([...schedulers]);
  }

  /** @returns {readonly LRScheduler[]} of which it is made */
  get schedulers() {
    return this.#schedulers;
  }

  /** @inheritDoc */
  attempt(/** @type {() => void} */ change) {
    ofType('change', change, 'function');
    super.attempt(this.#schedulers.reduce((inner, scheduler) => () => scheduler.attempt(inner), change));
  }

  /** @inheritDoc */
  [INITIAL_STEP]() {
    super[INITIAL_STEP]();
    this.#isFirst = true;
  }

  /** @inheritDoc */
  [UNDO_INITIAL_STEP]() {
    for (const scheduler of this.#schedulers) scheduler[UNDO_INITIAL_STEP]();
  }

  /**
   * @returns {Record<string, any>} PyTorch's dictionary, with those of the schedulers, and less of the common part
   */
  stateDict() {
    const { base_lrs: _lrs, _step_count: count, _is_initial: isInitial, _get_lr_called_within_step, ...state } =
      super.stateDict();
    return {
      ...state,
      ...(this.#isFirst ? { _step_count: count, _is_initial: isInitial } : {}),
      _schedulers: this.#schedulers.map((scheduler) => scheduler.stateDict()),
    };
  }

  /** @inheritDoc */
  loadStateDict(/** @type {Record<string, any>} */ stateDict) {
    const { _schedulers: saved, ...own } = ofType('stateDict', stateDict, 'object');
    if (array('_schedulers', saved).length !== this.#schedulers.length) {
      throw rangeError('_schedulers', `the state dicts of ${this.#schedulers.length} schedulers`, saved);
    }
    this.attempt(() => {
      this.#schedulers.forEach((scheduler, i) => scheduler.loadStateDict(saved[i]));
      super.loadStateDict(own);
    });
  }
}

/** Follows several schedulers one after another: each starts at its milestone, as if from the initial rates. */
export class SequentialLR extends ComposedScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {object} options
   * @param {readonly LRScheduler[]} options.schedulers of this optimizer; only the first may be composed itself
   * @param {readonly number[]} options.milestones the steps at which the second, third … scheduler starts
   * @param {number} [options.lastEpoch] default -1
   */
  constructor(optimizer, options) {
    knownOptions('SequentialLR', options, ['schedulers', 'milestones', 'lastEpoch']);
    const { schedulers, milestones, lastEpoch = -1 } = options;
    super(optimizer, schedulers);
    if (array('milestones', milestones).length !== schedulers.length - 1) {
      throw new RangeError('Sequential Schedulers expects number of schedulers provided to be one more than the number '
        + `of milestone points, but got number of schedulers ${schedulers.length} and the number of milestones to be `
        + `equal to ${milestones.length}`);
    }
    schedulers.forEach((scheduler, i) => {
      if (i > 0) checkStart(`schedulers[${i}]`, scheduler);
    });
    this._milestones = [...milestones];
    this.lastEpoch = integer('lastEpoch', lastEpoch, -1) + 1;
    const rates = this.currentLrs();
    this.attempt(() => {
      this[CHECK]();
      this.write(optimizer.paramGroups.map(({ initialLr }) => /** @type {number} */ (initialLr)));
      this[UNDO_INITIAL_STEP]();
      schedulers[this.#placeOf(0)][INITIAL_STEP]();
      this.write(this.currentLrs());
      warnOfLoaded(this, rates);
    });
  }

  /** @inheritDoc */
  [CHECK]() {
    this._milestones.forEach((milestone, i) => integer(`milestones[${i}]`, milestone, this._milestones[i - 1] ?? 0));
  }

  /** @inheritDoc */
  step() {
    this.attempt(() => {
      this.lastEpoch++;
      const i = this.#placeOf(this.lastEpoch);
      const scheduler = this.schedulers[i];
      if (i > 0 && this._milestones[i - 1] === this.lastEpoch) scheduler.moveTo(0, true);
      else scheduler.step();
      this.write(this.currentLrs());
    });
  }

  /**
   * @param {number} epoch
   * @returns {number} of the scheduler that is at work then
   */
  #placeOf(epoch) {
    return this._milestones.filter((milestone) => milestone <= epoch).length;
  }
}

/** Takes a step of several schedulers at each step: their factors multiply. */
export class ChainedScheduler extends ComposedScheduler {
  /**
   * @param {readonly LRScheduler[] | Optimizer} schedulers of one optimizer, as in Python; or, as for every other
   *   scheduler, the optimizer
   * @param {{ optimizer?: Optimizer | null, schedulers?: readonly LRScheduler[] }} [options] optimizer: default that of
   *   the first scheduler; schedulers: where the optimizer comes first
   */
  constructor(schedulers, options = {}) {
    const first = /** @type {any} */ (schedulers);
    const isOptimizer = Array.isArray(first?.paramGroups);
    knownOptions('ChainedScheduler', options, [isOptimizer ? 'schedulers' : 'optimizer']);
    if (isOptimizer) super(first, /** @type {readonly LRScheduler[]} */ (options.schedulers));
    else super(options.optimizer ?? first?.[0]?.optimizer, first);
    this.write(this.currentLrs());
  }

  /** @inheritDoc */
  step() {
    this.attempt(() => {
      for (const scheduler of this.schedulers) scheduler.step();
      this.write(this.currentLrs());
    });
  }

  /** @inheritDoc */
  stateDict() {
    const { last_epoch: _epoch, ...state } = super.stateDict();
    return state;
  }
}

/**
 * @param {string} name
 * @param {LRScheduler} scheduler that is to start at a milestone
 * @throws {RangeError} if it cannot: PyTorch would fail when the milestone is reached
 */
function checkStart(name, scheduler) {
  if ('schedulers' in scheduler) throw rangeError(name, 'a scheduler of its own, not composed of others', scheduler);
  const { totalIters, constructor } = /** @type {any} */ (scheduler);
  if (totalIters === 0 && /^(Linear|Polynomial)LR$/.test(constructor.name)) {
    throw rangeError(`totalIters of ${name}`, 'above 0 in a SequentialLR', totalIters);
  }
}
