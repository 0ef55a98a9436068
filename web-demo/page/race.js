/**
 * A race: up to four optimizers train the same network from the same start on the same batches. It knows no page; the
 * same configuration gives the same numbers, to the bit, in every browser and in Node.
 */
import { rangeError } from '../../js/check.js';
import { readSafetensors, writeSafetensors } from '../../js/safetensors.js';
import { Batches } from '../data/batches.js';
import { inputsOf } from '../data/mnist.js';
import { Model } from '../model/model.js';
import { LANES, fromQuery, toQuery } from './configuration.js';
import { logHistogram } from './histogram.js';
import { drive } from './optimizers.js';
import { rateOf } from './rates.js';

/** @typedef {import('../data/mnist.js').Examples} Examples */
/** @typedef {import('./configuration.js').Configuration} Configuration */
/** @typedef {import('./configuration.js').Racer} Racer */
/**
 * @typedef {object} DataSet
 * @property {Examples} train
 * @property {Examples} test
 * @property {readonly string[]} classes
 */
/**
 * @typedef {object} RacerStep
 * @property {number} loss of the batch, before the update: a float32
 * @property {number} rate of the update
 * @property {number} norm Euclidean norm of what the update added to the weights; NaN in steps in which it is not taken
 */
/** @typedef {{ epoch: number, step: number, racers: RacerStep[] }} RaceStep step: over all epochs, from 1 */
/** @typedef {{ raw: number, averaged: number | null }} Accuracies */
/**
 * @typedef {object} Inside of one racer
 * @property {Float32Array} kernel of the first layer: [inputs][outputs]
 * @property {number} inputs
 * @property {number} outputs
 * @property {import('./histogram.js').Histogram} meanSquare of all weights
 * @property {import('./histogram.js').Histogram} effective the rate of each weight: learningRate / sqrt(meanSquare)
 */

/** A step that cannot be made, because of one racer's rate. Nothing has changed then. */
export class RateError extends RangeError {
  /**
   * @param {number} racer whose rate it is
   * @param {string} message
   */
  constructor(racer, message) {
    super(message);
    this.name = 'RateError';
    this.racer = racer;
  }
}

/** The norm of an update is taken in the first of so many steps; it costs about as much as an update. */
export const NORM_EVERY = 10;

/** Networks of several racers, and their place in the data. */
export class Race {
  #configuration;
  #data;
  #batches;
  /** @type {{ model: Model, optimizer: import('./optimizers.js').Driven, schedule: (step: number) => number }[]} */
  #lanes = [];
  /** The rates of the step that is being made. @type {number[]} */
  #rates = [];
  /** The test examples as networks take them. @type {Float32Array | undefined} */
  #testInputs;
  /** FNV-1a over the bits of all losses. */
  #fingerprint = 0x811c9dc5;

  /**
   * @param {DataSet} data
   * @param {Configuration} configuration
   * @throws {RangeError} for a rate that is none, or if the memory is exhausted
   */
  constructor(data, configuration) {
    const { hidden, batch, seed, racers } = configuration;
    this.#configuration = configuration;
    this.#data = data;
    this.#batches = new Batches(data.train, batch, seed);
    const layers = [data.train.rows * data.train.columns, ...hidden, data.classes.length];
    try {
      racers.forEach((racer, i) => {
        const schedule = this.#scheduleOf(racer, i);
        const model = new Model({ layers, batch, seed });
        try {
          const optimizer = drive(racer, model.variables, () => this.#rates[i]);
          this.#lanes.push({ model, optimizer, schedule });
        } catch (error) {
          model.dispose();
          throw error;
        }
      });
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /**
   * @param {Racer} racer
   * @param {number} i
   */
  #scheduleOf(racer, i) {
    return naming(i, () => rateOf(racer, this.#batches.stepsPerEpoch));
  }

  /** @returns {Configuration} */
  get configuration() {
    return this.#configuration;
  }

  /** @returns {number} */
  get steps() {
    return this.#batches.made;
  }

  /** @returns {number} */
  get stepsPerEpoch() {
    return this.#batches.stepsPerEpoch;
  }

  /** @returns {number} how many numbers each racer trains */
  get parameterCount() {
    return this.#lanes[0].model.parameterCount;
  }

  /** @returns {string} 8 hexadecimal digits that depend on every bit of every loss so far */
  get fingerprint() {
    return this.#fingerprint.toString(16).padStart(8, '0');
  }

  /**
   * Takes other rates into use, from the next step on.
   *
   * @param {readonly Racer[]} racers as many as there are, of which only the rates may differ
   * @throws {RateError} if an expression is wrong; nothing has changed then
   */
  setRates(racers) {
    const schedules = racers.map((racer, i) => this.#scheduleOf(racer, i));
    this.#lanes.forEach((lane, i) => (lane.schedule = schedules[i]));
    this.#configuration = { ...this.#configuration, racers };
  }

  /**
   * Trains every racer on the next batch.
   *
   * @returns {RaceStep}
   * @throws {RateError} for a rate that is none
   */
  step() {
    const { steps } = this;
    this.#rates = this.#lanes.map(({ schedule }, i) => naming(i, () => schedule(steps)));
    const { inputs, labels, epoch } = this.#batches.current();
    const takesNorm = steps % NORM_EVERY === 0;
    const racers = this.#lanes.map(({ model, optimizer }, i) => {
      const loss = model.lossAndGradients(inputs, labels);
      const before = takesNorm ? model.variables.map(({ data }) => data.slice()) : [];
      optimizer.step();
      this.#note(loss);
      return { loss, rate: this.#rates[i], norm: takesNorm ? distance(before, model.variables) : NaN };
    });
    this.#batches.advance();
    return { epoch, step: steps + 1, racers };
  }

  /** @param {number} loss */
  #note(loss) {
    // The payload of a NaN is undefined.
    float.setFloat32(0, Number.isNaN(loss) ? NaN : loss, true);
    const bits = Number.isNaN(loss) ? 0x7fc00000 : float.getUint32(0, true);
    for (let shift = 0; shift < 32; shift += 8) {
      this.#fingerprint = Math.imul(this.#fingerprint ^ ((bits >>> shift) & 0xff), 0x01000193) >>> 0;
    }
  }

  /**
   * @template T
   * @param {number} i a racer
   * @param {(model: Model) => T} fn
   * @returns {{ raw: T, averaged: T | null }} what it says of the weights, and of their averages
   */
  #ofBoth(i, fn) {
    const { model, optimizer } = this.#lanes[i];
    return { raw: fn(model), averaged: optimizer.withAverages?.(() => fn(model)) ?? null };
  }

  /**
   * @param {number} i a racer
   * @returns {Accuracies} shares of the test set
   */
  evaluate(i) {
    const { test } = this.#data;
    const inputs = (this.#testInputs ??= inputsOf(test.pixels));
    return this.#ofBoth(i, (model) => model.evaluate(inputs, test.labels).accuracy);
  }

  /**
   * @param {number} i a racer
   * @param {Uint8Array | Float32Array} pixels of any number of examples
   * @returns {{ raw: Float32Array, averaged: Float32Array | null }} the probability of each class for each
   */
  predict(i, pixels) {
    const inputs = inputsOf(pixels);
    return this.#ofBoth(i, (model) => model.predict(inputs));
  }

  /**
   * @param {number} i a racer
   * @returns {Inside}
   */
  inspect(i) {
    const { model, optimizer } = this.#lanes[i];
    const { epsilon, centered } = this.#configuration.racers[i];
    const { meanSquare, meanGradient } = optimizer.slots();
    const [{ data: kernel, shape: [inputs, outputs] }] = model.variables;
    const rate = this.#rates[i] ?? 0;
    const squares = join(meanSquare.map((tensor) => tensor?.data ?? new Float32Array(0)));
    const means = centered ? join(meanGradient.map((tensor) => tensor?.data ?? new Float32Array(0))) : undefined;
    const effective = squares.map((square, k) => {
      const variance = Math.max(0, means ? square - means[k] * means[k] : square);
      return rate / (optimizer.epsilonInside ? Math.sqrt(variance + epsilon) : Math.sqrt(variance) + epsilon);
    });
    return {
      kernel: Float32Array.from(kernel),
      inputs,
      outputs,
      meanSquare: logHistogram(squares),
      effective: logHistogram(effective),
    };
  }

  /**
   * @returns {Uint8Array} a safetensors file: for each racer what its optimizer's `save({ variables: true })` gives,
   *   every name after `a/`, `b/` …; and what the race needs beyond
   * @throws {RangeError} before the first step, when not every dialect has a state
   */
  save() {
    if (this.steps === 0) throw new RangeError('there must be a step before there is something to save');
    const tensors = new Map();
    /** @type {Record<string, string>} */
    const all = {
      race: JSON.stringify({
        format: FORMAT, query: toQuery(this.#configuration), steps: this.steps, fingerprint: this.#fingerprint,
      }),
    };
    this.#lanes.forEach(({ optimizer }, i) => {
      const saved = readSafetensors(optimizer.save());
      for (const [name, tensor] of saved.tensors) tensors.set(`${LANES[i]}/${name}`, tensor);
      all[LANES[i]] = JSON.stringify(saved.metadata);
    });
    return writeSafetensors(tensors, all);
  }

  /**
   * Replaces the state of a race that has not begun, so that it goes on to the bit where the saved one was.
   *
   * @param {Uint8Array} bytes what `save` gave, of a race of the configuration that `configurationIn` says
   * @throws {TypeError | RangeError} if it is anything else; the race can only be disposed of then
   */
  load(bytes) {
    const { tensors, metadata } = readSafetensors(bytes);
    const { steps, fingerprint } = headOf(metadata);
    this.#lanes.forEach(({ optimizer }, i) => {
      const prefix = `${LANES[i]}/`;
      const own = [...tensors].filter(([name]) => name.startsWith(prefix));
      const named = new Map(own.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
      this.#rates[i] = 0;
      optimizer.load(writeSafetensors(named, parsed(metadata[LANES[i]])));
    });
    this.#batches.advance(steps);
    this.#fingerprint = fingerprint;
    this.#rates = this.#lanes.map(({ schedule }, i) => naming(i, () => schedule(steps - 1)));
  }

  /** Frees its memory; calling it again does nothing. */
  dispose() {
    for (const { model, optimizer } of this.#lanes) {
      optimizer.dispose();
      model.dispose();
    }
    this.#lanes = [];
  }
}

const FORMAT = 'rmsprop-wasm race 1';

const float = new DataView(new ArrayBuffer(4));

/**
 * @param {Uint8Array} bytes a file that `Race.save` gave
 * @returns {Configuration} of the race that it can be loaded into
 * @throws {TypeError | RangeError} if it is none
 */
export function configurationIn(bytes) {
  const { configuration, problems } = fromQuery(headOf(readSafetensors(bytes).metadata).query);
  if (problems.length > 0) throw new RangeError(`the checkpoint has settings that are none: ${problems.join('; ')}`);
  return configuration;
}

/**
 * @param {Record<string, string>} metadata
 * @returns {{ query: string, steps: number, fingerprint: number }}
 */
function headOf(metadata) {
  const { format, query, steps, fingerprint } = parsed(metadata.race);
  if (format !== FORMAT) throw rangeError('format of the checkpoint', JSON.stringify(FORMAT), format);
  const isHash = Number.isInteger(fingerprint) && fingerprint >= 0 && fingerprint < 2 ** 32;
  if (typeof query !== 'string' || !isHash || !Number.isInteger(steps) || steps < 1 || steps > 2 ** 31) {
    throw new RangeError('the checkpoint must say its settings, steps and fingerprint');
  }
  return { query, steps, fingerprint };
}

/**
 * @param {unknown} text
 * @returns {any} the object that it is as JSON; {} if it is none
 */
function parsed(text) {
  try {
    return JSON.parse(String(text)) ?? {};
  } catch {
    return {};
  }
}

/**
 * @template T
 * @param {number} racer
 * @param {() => T} fn
 * @returns {T}
 * @throws {RateError} for a RangeError
 */
function naming(racer, fn) {
  try {
    return fn();
  } catch (error) {
    throw error instanceof RangeError ? new RateError(racer, error.message) : error;
  }
}

/**
 * @param {readonly ArrayLike<number>[]} before
 * @param {readonly import('../../js/index.js').Variable[]} after
 * @returns {number} the Euclidean norm of the difference
 */
function distance(before, after) {
  let sum = 0;
  after.forEach(({ data }, i) => {
    const old = before[i];
    for (let k = 0; k < data.length; k++) sum += (data[k] - old[k]) ** 2;
  });
  return Math.sqrt(sum);
}

/**
 * @param {readonly ArrayLike<number>[]} parts
 * @returns {Float32Array}
 */
function join(parts) {
  const all = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let end = 0;
  for (const part of parts) all.set(part, (end += part.length) - part.length);
  return all;
}
