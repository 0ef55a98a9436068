/** Averages of weights, as `torch.optim.swa_utils` has them. */
import { finite, integer, knownOptions, ofType, rangeError } from '../check.js';
import { cos } from '../math.js';
import { shaped } from '../core/shaped.js';
import { disposedError, variable } from '../tensor.js';
import { checkStrategy } from './cycles.js';
import { checkParams } from './groups.js';
import { CHECK, LRScheduler, checked, perGroup } from './scheduler.js';

/** @typedef {import('./scheduler.js').Optimizer} Optimizer */
/** @typedef {import('./groups.js').Parameter} Parameter */
/** @typedef {import('../tensor.js').Variable} Variable */
/**
 * @callback AvgFn
 * @param {Variable} averaged
 * @param {Variable} current
 * @param {number} nAveraged updates before this one
 * @returns {number[] | import('../tensor.js').TypedArray} the new average, which `averaged` takes
 */
/**
 * @callback MultiAvgFn
 * @param {readonly Variable[]} averaged changed in place
 * @param {readonly Variable[]} current
 * @param {number} nAveraged updates before this one
 * @returns {void}
 */

/**
 * Averages of parameters, over all updates alike (SWA) or with weights that fade (EMA). The first update copies.
 *
 * @example
 * ```js
 * import { variable } from 'rmsprop-wasm';
 * import { swaUtils } from 'rmsprop-wasm/torch';
 *
 * const w = variable([1, 2]);
 * const ema = new swaUtils.AveragedModel([w], { multiAvgFn: swaUtils.getEmaMultiAvgFn(0.5) });
 * ema.updateParameters();
 * w.set([3, 4]);
 * ema.updateParameters();
 * console.log(ema.parameters()[0].toArray(), ema.nAveraged); // prints [ 2, 3 ] 2
 * ```
 */
export class AveragedModel {
  #sources;
  #names;
  #averages;
  #avgFn;
  #multiAvgFn;
  #nAveraged = 0;

  /**
   * @param {Iterable<Parameter> | Variable} params with names, which state dicts have then, or without
   * @param {{ multiAvgFn?: MultiAvgFn | null, avgFn?: AvgFn | null }} [options] how averages move, all at once or one
   *   at a time; default `getSwaAvgFn()`
   * @throws {TypeError | RangeError} for what is no variable or function, and for both functions
   */
  constructor(params, options = {}) {
    const { params: sources, paramNames } = checkParams(params);
    knownOptions('AveragedModel', options, ['multiAvgFn', 'avgFn']);
    const { multiAvgFn = null, avgFn = null } = options;
    if (multiAvgFn !== null) ofType('multiAvgFn', multiAvgFn, 'function');
    if (avgFn !== null) ofType('avgFn', avgFn, 'function');
    if (multiAvgFn && avgFn) throw new TypeError('Only one of avgFn and multiAvgFn should be provided');
    this.#sources = sources;
    this.#names = (paramNames ?? sources.map((_, i) => `${i}`)).map((name) => `module.${name}`);
    this.#multiAvgFn = multiAvgFn;
    this.#avgFn = avgFn ?? getSwaAvgFn();
    /** @type {Variable[]} */
    this.#averages = [];
    try {
      for (const [i, source] of sources.entries()) {
        const { memory } = source;
        this.#averages.push(variable(source, { name: this.#names[i], memory, trainable: false }));
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** @returns {number} updates made */
  get nAveraged() {
    return this.#nAveraged;
  }

  /** @returns {Variable[]} the averages, in the order of the parameters */
  parameters() {
    return [...this.#averages];
  }

  /**
   * Takes the parameters up into the averages.
   *
   * @param {Iterable<Parameter> | Variable} [params] of the same lengths and types; default those of the constructor
   * @throws {TypeError | RangeError | Error} for others, and what a function of the user's throws; the averages are as
   *   they were then
   */
  updateParameters(params = this.#sources) {
    const { params: current } = checkParams(params);
    const averages = this.#averages;
    if (current.length !== averages.length) throw rangeError('params', `${averages.length} variables`, current);
    current.forEach(({ size, dtype }, i) => {
      if (size !== averages[i].size || dtype !== averages[i].dtype) {
        throw rangeError(`params[${i}]`, `${averages[i].size} of ${averages[i].dtype}`, current[i]);
      }
    });
    for (const average of averages) if (average.isDisposed) throw disposedError(average);
    const before = averages.map(({ data }) => data.slice());
    try {
      if (this.#nAveraged === 0) averages.forEach((average, i) => average.set(current[i]));
      else if (this.#multiAvgFn) this.#multiAvgFn(averages, current, this.#nAveraged);
      else averages.forEach((average, i) => average.set(this.#avgFn(average, current[i], this.#nAveraged)));
    } catch (error) {
      averages.forEach((average, i) => average.set(before[i]));
      throw error;
    }
    this.#nAveraged++;
  }

  /**
   * @returns {Record<string, any>} PyTorch's dictionary: `n_averaged` and the averages, as `module.` and the name, or
   *   the place, of each
   */
  stateDict() {
    const arrays = this.#averages.map(({ data, shape }, i) => [this.#names[i], shaped(data.slice(), shape)]);
    return { n_averaged: this.#nAveraged, ...Object.fromEntries(arrays) };
  }

  /**
   * Takes over what `stateDict` gave.
   *
   * @param {Record<string, any>} stateDict PyTorch's
   * @throws {TypeError | RangeError} for arrays that are missing or of another length; nothing has changed then
   */
  loadStateDict(stateDict) {
    const { n_averaged: given } = ofType('stateDict', stateDict, 'object');
    const count = integer('n_averaged', given?.length === 1 ? given[0] : given, 0);
    const names = this.#names;
    const arrays = this.#averages.map((average, i) => average.checked(names[i], stateDict[names[i]]).slice());
    arrays.forEach((values, i) => this.#averages[i].set(values));
    this.#nAveraged = count;
  }

  /** Frees the averages; the parameters stay. Calling it again does nothing. */
  dispose() {
    for (const average of this.#averages) average.dispose();
  }
}

/**
 * @param {number} [decay] in [0, 1], default 0.999
 * @returns {MultiAvgFn} average <- average + (1 - decay) (parameter - average)
 */
export function getEmaMultiAvgFn(decay = 0.999) {
  const weight = 1 - checkDecay(decay);
  return (averaged, current) => averaged.forEach((average, i) => lerp(average, current[i], weight));
}

/** @returns {MultiAvgFn} the mean of all updates, by a lerp */
export function getSwaMultiAvgFn() {
  return (averaged, current, nAveraged) => {
    // PyTorch divides float32 numbers, whatever the type of the parameters.
    const weight = Math.fround(1 / Math.fround(nAveraged + 1));
    averaged.forEach((average, i) => lerp(average, current[i], weight));
  };
}

/**
 * @param {number} [decay] in [0, 1], default 0.999
 * @returns {AvgFn} average <- decay average + (1 - decay) parameter
 */
export function getEmaAvgFn(decay = 0.999) {
  checkDecay(decay);
  return ({ dtype, data }, { data: current }) => {
    const f = roundingOf(dtype);
    const [kept, taken] = [f(decay), f(1 - decay)];
    return data.map((average, i) => f(kept * average) + f(taken * current[i]));
  };
}

/** @returns {AvgFn} the mean of all updates */
export function getSwaAvgFn() {
  return ({ dtype, data }, { data: current }, nAveraged) => {
    const f = roundingOf(dtype);
    return data.map((average, i) => average + f(f(current[i] - average) / f(nAveraged + 1)));
  };
}

/** Takes the rates to `swaLr`, and leaves them there while weights are averaged. */
export class SWALR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {object} options
   * @param {number | readonly number[]} options.swaLr of all groups, or of each
   * @param {number} [options.annealEpochs] steps on the way, default 10
   * @param {'cos' | 'linear'} [options.annealStrategy] default 'cos'
   * @param {number} [options.lastEpoch] see `Resume`
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { swaLr, annealEpochs = 10, annealStrategy = 'cos', lastEpoch } =
      checked(this, options, ['swaLr', 'annealEpochs', 'annealStrategy']);
    const rates = perGroup('swaLr', optimizer, swaLr);
    this._annealStrategy = annealStrategy;
    this.annealEpochs = annealEpochs;
    this.begin(lastEpoch, () => optimizer.paramGroups.forEach((group, i) => {
      group.swaLr = rates[i];
    }));
  }

  /** @inheritDoc */
  [CHECK]() {
    checkStrategy(this._annealStrategy);
    integer('annealEpochs', this.annealEpochs, 0);
  }

  /** @inheritDoc */
  getLr() {
    const epochs = this.annealEpochs;
    const step = epochs === 0 ? Math.max(1, this.stepCount - 1) : this.stepCount - 1;
    const before = this.#part((step - 1) / Math.max(1, epochs));
    const part = this.#part(step / Math.max(1, epochs));
    return this.optimizer.paramGroups.map(({ swaLr }, i) => {
      if (swaLr === undefined) throw new RangeError(`swaLr must be in paramGroups[${i}], which was added later`);
      const lr = this.currentLrs()[i];
      const initial = before === 1 ? swaLr : (lr - before * swaLr) / (1 - before);
      return swaLr * part + initial * (1 - part);
    });
  }

  /**
   * @param {number} time steps made, of those on the way
   * @returns {number} how much of the way they are, from 0 to 1
   */
  #part(time) {
    const within = Math.max(0, Math.min(1, time));
    return this._annealStrategy === 'linear' ? within : (1 - cos(Math.PI * within)) / 2;
  }
}

/**
 * @param {unknown} decay
 * @returns {number} the decay, in [0, 1]
 */
function checkDecay(decay) {
  if (finite('decay', decay) < 0 || Number(decay) > 1) {
    throw new RangeError(`Invalid decay value ${decay} provided. Please provide a value in [0,1] range`);
  }
  return Number(decay);
}

/**
 * @param {string} dtype
 * @returns {(x: number) => number}
 */
function roundingOf(dtype) {
  return dtype === 'float64' ? Number : Math.fround;
}

/**
 * average <- average + weight (current - average), from the nearer end, as `torch.lerp`.
 *
 * @param {Variable} average changed
 * @param {Variable} current
 * @param {number} weight
 */
function lerp({ dtype, data }, { data: current }, weight) {
  const f = roundingOf(dtype);
  const w = f(weight);
  const rest = f(1 - w);
  for (let i = 0; i < data.length; i++) {
    const way = f(current[i] - data[i]);
    data[i] = Math.abs(w) < 0.5 ? data[i] + f(w * way) : current[i] - f(way * rest);
  }
}
