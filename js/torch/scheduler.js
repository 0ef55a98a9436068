/**
 * What the schedulers of `torch.optim.lr_scheduler` have in common: the base class, which is also the base of one's
 * own, and the checks of their options. A scheduler writes the rates, and some the momentums, of an optimizer's
 * parameter groups, once when it is made and then at each `step()`. All compute as PyTorch does, in float64 and, where
 * PyTorch goes from one rate to the next, by recurrence; powers and cosines are the package's own, the same on every
 * engine.
 */
import { array, finite, integer, knownOptions, ofType, rangeError, show, typeError } from '../check.js';
import { snakeCase } from '../naming.js';
import { isTensor } from '../tensor.js';
import { changedLoaded, copied, rateOf } from './groups.js';

/** @typedef {import('./groups.js').ParamGroup} ParamGroup */
/** @typedef {{ readonly paramGroups: readonly ParamGroup[] }} Optimizer */
/**
 * @typedef {object} Resume
 * @property {number} [lastEpoch] the last step of a run that is resumed, in which the groups have their `initialLr`;
 *   default -1
 */

// What schedulers do for one another stands under symbols, which two copies of the package share.
export const CHECK = /* @__PURE__ */ Symbol.for('rmsprop-wasm.scheduler.check');
export const CLOSED_FORM = /* @__PURE__ */ Symbol.for('rmsprop-wasm.scheduler.closedForm');
export const INITIAL_STEP = /* @__PURE__ */ Symbol.for('rmsprop-wasm.scheduler.initialStep');
export const UNDO_INITIAL_STEP = /* @__PURE__ */ Symbol.for('rmsprop-wasm.scheduler.undoInitialStep');
export const NEEDS_METRIC = /* @__PURE__ */ Symbol.for('rmsprop-wasm.scheduler.needsMetric');

/** Where PyTorch's names are not the JavaScript ones in snake_case. @type {Record<string, string>} */
const PYTHON_NAMES = { tMax: 'T_max', t0: 'T_0', tI: 'T_i', tMult: 'T_mult', tCur: 'T_cur' };

/** @param {ParamGroup} group */
const groupRate = ({ lr }) => rateOf(lr);

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
    /** Steps made, without the initial one. */
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

  /** @returns {boolean} whether `step` is called with a metric */
  get [NEEDS_METRIC]() {
    return false;
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
   * @returns {number[]} the rates of `lastEpoch` from the base rates, for a schedule that starts at a milestone of a
   *   `SequentialLR`; schedules that have no recurrence need not override it
   */
  [CLOSED_FORM]() {
    return this.getLr();
  }

  /**
   * Checks the fields, when they are set by the constructor and when they come from a state dict. To be overridden.
   *
   * @throws {TypeError | RangeError} for a field with which `getLr` could not work
   */
  [CHECK]() {
    // One's own scheduler may have nothing to check.
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

  /** The step that the constructor makes, and a `SequentialLR` once more for its first scheduler. */
  [INITIAL_STEP]() {
    this.attempt(() => {
      this.#stepCount = 0;
      this._isInitial = true;
      this.step();
      this._isInitial = false;
    });
  }

  /** Takes back the count of the initial step, when a `SequentialLR` takes the scheduler over. */
  [UNDO_INITIAL_STEP]() {
    this.lastEpoch--;
  }

  /**
   * Runs what changes the scheduler and the groups, for subclasses. If it throws, they are as they were.
   *
   * @param {() => void} change
   */
  attempt(change) {
    ofType('change', change, 'function');
    const { paramGroups } = this.#optimizer;
    const rates = paramGroups.map(groupRate);
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
   * @returns {Record<string, any>} PyTorch's dictionary: all that the scheduler knows except the optimizer. Functions
   *   are not saved, as in PyTorch: there is null in their place
   */
  stateDict() {
    const own = Object.entries(this).map(([name, value]) => [pythonName(name), copied(name, withoutCode(value))]);
    return { ...Object.fromEntries(own), _step_count: this.#stepCount, _last_lr: [...this.#lastLr] };
  }

  /**
   * Takes over what `stateDict` gave. The optimizer has a state of its own: make the scheduler first, then load both.
   *
   * @param {Record<string, any>} stateDict PyTorch's of this scheduler; keys that it does not have are passed over
   * @throws {TypeError | RangeError} for a value of another kind, or one that the constructor would refuse; nothing has
   *   changed then
   */
  loadStateDict(stateDict) {
    ofType('stateDict', stateDict, 'object');
    const { _step_count: stepCount = this.#stepCount, _last_lr: lastLr = this.#lastLr } = stateDict;
    integer('_step_count', stepCount, 0);
    array('_last_lr', lastLr).forEach((lr, i) => finite(`_last_lr[${i}]`, lr));
    const loaded = Object.entries(this).flatMap(([name, present]) => {
      const key = pythonName(name);
      return stateDict[key] == null ? [] : [[name, alike(key, stateDict[key], present)]];
    });
    this.attempt(() => {
      Object.assign(this, Object.fromEntries(loaded));
      this.#stepCount = stepCount;
      this.#lastLr = [...lastLr];
      this[CHECK]();
    });
  }

  /**
   * Attaches the scheduler and makes its initial step: for the constructors of subclasses, when their options are set.
   * The initial step starts the schedule from the rates that the groups have: behind the optimizer's `loadStateDict`,
   * it changes the rates that were loaded, and says so by `console.warn`.
   *
   * @param {number} [lastEpoch] see `Resume`
   * @param {() => void} [prepare] writes into the groups before
   * @throws {unknown} what `prepare` or `getLr` throws; nothing has changed then
   */
  begin(lastEpoch = -1, prepare = () => {}) {
    integer('lastEpoch', lastEpoch, -1);
    ofType('prepare', prepare, 'function');
    const { paramGroups } = this.#optimizer;
    const rates = paramGroups.map(groupRate);
    this.attempt(() => {
      this[CHECK]();
      prepare();
      paramGroups.forEach((group, i) => {
        if (lastEpoch === -1) group.initialLr ??= groupRate(group);
        else if (group.initialLr === undefined) {
          throw new RangeError(`param 'initialLr' is not specified in paramGroups[${i}] when resuming an optimizer`);
        }
      });
      this.baseLrs = paramGroups.map(({ initialLr }) => /** @type {number} */ (initialLr));
      this.lastEpoch = lastEpoch;
      this[INITIAL_STEP]();
      if (lastEpoch === -1) warnOfLoaded(this, rates);
    });
  }

  /**
   * A step to any epoch, for subclasses.
   *
   * @param {number} epoch
   * @param {boolean} [isStart] whether a schedule starts there: by the closed form
   */
  moveTo(epoch, isStart = false) {
    finite('epoch', epoch);
    ofType('isStart', isStart, 'boolean');
    this.attempt(() => {
      this.lastEpoch = epoch;
      this.write(isStart ? this[CLOSED_FORM]() : this.getLr());
    });
  }

  /**
   * Writes rates into the groups, for subclasses.
   *
   * @param {readonly number[]} rates of all groups
   * @throws {RangeError} if there are more or fewer groups: PyTorch, too, refuses groups that were added behind a
   *   scheduler which starts from the rates of those that there were
   */
  write(rates) {
    const { paramGroups } = this.#optimizer;
    array('rates', rates).forEach((rate, i) => finite(`rates[${i}]`, rate));
    if (rates.length !== paramGroups.length) {
      throw rangeError('rates', `${paramGroups.length}, one for each group`, rates);
    }
    rates.forEach((lr, i) => {
      const group = paramGroups[i];
      if (isTensor(group.lr)) group.lr.data[0] = lr;
      else group.lr = lr;
    });
    this.#lastLr = paramGroups.map(groupRate);
  }

  /** @returns {number[]} the rates that the groups have now, for subclasses */
  currentLrs() {
    return this.#optimizer.paramGroups.map(groupRate);
  }
}

/**
 * Says once after each `loadStateDict` of an optimizer that a scheduler changed what was loaded: PyTorch's own trap.
 *
 * @param {LRScheduler} scheduler just made
 * @param {readonly number[]} before the rates that the groups had
 */
export function warnOfLoaded(scheduler, before) {
  const i = changedLoaded(scheduler.optimizer.paramGroups, before);
  if (i < 0) return;
  console.warn(`${scheduler.constructor.name} was made after the optimizer's loadStateDict: its initial step has `
    + `changed paramGroups[${i}].lr from the loaded ${before[i]} to ${scheduler.currentLrs()[i]}. Make schedulers `
    + 'first, then load the state dicts of the optimizer and of the schedulers.');
}

/**
 * @param {Record<string, any>} object
 * @param {object} before its enumerable fields, as they are to be again, except those that cannot be written
 */
function restore(object, before) {
  for (const [name, { writable }] of Object.entries(Object.getOwnPropertyDescriptors(object))) {
    if (writable && !Object.hasOwn(before, name)) delete object[name];
  }
  Object.assign(object, before);
}

/**
 * @template {object} T
 * @param {LRScheduler} scheduler
 * @param {T} options
 * @param {readonly string[]} known
 * @param {boolean} [resumes] whether `lastEpoch` is one of them
 * @returns {T & Resume}
 */
export function checked(scheduler, options, known, resumes = true) {
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
export function perGroup(name, { paramGroups }, value) {
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
 * @param {any} value a field of a scheduler
 * @returns {any} what is saved of it: null for functions
 */
function withoutCode(value) {
  if (typeof value === 'function') return null;
  return Array.isArray(value) ? value.map(withoutCode) : value;
}

/**
 * @param {string} name
 * @param {any} value from a state dict
 * @param {any} present what it takes the place of
 * @returns {any} a copy of the value, of the same kind; functions stay
 */
function alike(name, value, present) {
  if (typeof present === 'function') throw typeError(name, 'null: functions are not saved', value);
  if (Array.isArray(present)) {
    const list = array(name, value);
    if (typeof present[0] !== 'function') return copied(name, list);
    if (list.length !== present.length) throw rangeError(name, `${present.length} times null`, list);
    return list.map((one, i) => (one === null ? present[i] : alike(`${name}[${i}]`, one, present[i])));
  }
  if (typeof present === 'number' || present === null) {
    // Not `finite`: the best metric of a plateau starts at infinity.
    if (typeof value !== 'number') throw typeError(name, 'a number', value);
    return value;
  }
  return copied(name, ofType(name, value, /** @type {any} */ (typeof present)));
}
