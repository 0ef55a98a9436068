/**
 * The training loop, step by step, for whoever shows it: a terminal (train.js), a page, a test. It knows no terminal,
 * no page and no file; it measures time only to report it, so the same seed gives the same numbers on every machine.
 */
import { finite, integer, knownOptions, rangeError, typeError } from '../../js/check.js';
import { RMSprop, schedules } from '../../js/index.js';
import { Batches } from '../data/batches.js';
import { inputsOf } from '../data/mnist.js';
import { Model } from '../model/model.js';

/** @typedef {import('../data/mnist.js').Examples} Examples */
/**
 * @typedef {object} Settings
 * @property {number} epochs how often each example is seen
 * @property {number} batch examples per step; the last step of an epoch takes what is left
 * @property {readonly number[]} hidden outputs of each hidden layer
 * @property {number} learningRate the peak: reached by a warm-up, left along a half cosine that ends at zero
 * @property {number} rho
 * @property {number} momentum
 * @property {boolean} centered
 * @property {number | null} ema momentum of the averages of the weights; null: none
 * @property {number} weightDecay 0: none
 * @property {number} seed of the first weights and of the order of the examples
 */
/**
 * @typedef {object} Part of a run that several trainers make together, each on its share of every batch
 * @property {number} index of this trainer, from 0; asked at each step, like `of`
 * @property {number} of how many there are
 * @property {(gradients: Float32Array, weight: number, loss: number, step: number) => number | Promise<number>} average
 *   makes the gradients, in place, the weighted sum of all trainers' and returns that of their losses; an asynchronous
 *   one is for `stepAsync`
 */
/**
 * @typedef {{ batch: import('../data/batches.js').Batch, start: number, beforeUpdate: number }} Begun a step; times in
 *   milliseconds
 */
/**
 * @typedef {object} Step
 * @property {number} epoch from 1
 * @property {number} step of the epoch, from 1
 * @property {number} loss of the batch, before the update
 * @property {number} meanLoss over the examples of the epoch so far
 * @property {number} rate the learning rate of the update
 */
/**
 * @typedef {object} Accuracies shares of the test set
 * @property {number} raw
 * @property {number | null} averaged null without averages
 */

/**
 * What `npm start` does without flags; `npm start -- --seed n` ends between 98.28 and 98.44 % with averaged weights for
 * n from 1 to 8.
 *
 * @type {Readonly<Settings>}
 */
export const defaults = Object.freeze({
  epochs: 5,
  batch: 128,
  hidden: Object.freeze([256]),
  learningRate: 0.0005,
  rho: 0.9,
  momentum: 0.9,
  centered: false,
  ema: 0.99,
  weightDecay: 0,
  seed: 1,
});

/** The share of all steps in which the learning rate rises. */
const WARMUP = 0.1;

/**
 * Checks what neither the model nor the optimizer checks.
 *
 * @param {Settings} settings
 * @throws {TypeError | RangeError} naming the first that is out of range
 */
function check({ epochs, hidden, learningRate, weightDecay }) {
  integer('epochs', epochs, 1, 10000);
  if (!Array.isArray(hidden)) throw typeError('hidden', 'an array of sizes', hidden);
  hidden.forEach((size, i) => integer(`hidden[${i}]`, size, 1, 65536));
  if (finite('learningRate', learningRate) <= 0) throw rangeError('learningRate', 'greater than 0', learningRate);
  if (finite('weightDecay', weightDecay) < 0) throw rangeError('weightDecay', 'at least 0', weightDecay);
}

/**
 * A model, its optimizer and its place in the training data.
 */
export class Trainer {
  #test;
  #settings;
  #model;
  #optimizer;
  #batches;
  #part;
  /** The test images as the model takes them, made at the first evaluation. @type {Float32Array | undefined} */
  #testInputs;
  /** Of the epoch so far. */
  #lossSum = 0;
  #examplesSummed = 0;
  #rate = 0;
  #seconds = 0;
  #optimizerSeconds = 0;
  /** Of the batch, or of this trainer's share before the others' are averaged in. */
  #loss = 0;
  /** The size of that share, the batch being 1. */
  #weight = 1;

  /**
   * @param {object} options
   * @param {Examples} options.train
   * @param {Examples} options.test
   * @param {Partial<Settings>} [options.settings] instead of `defaults`
   * @param {import('../../js/index.js').Memory} [options.memory]
   * @param {Part} [options.part] default: there are no others
   * @throws {TypeError | RangeError} for settings out of range, or if the memory is exhausted
   */
  constructor({ train, test, settings = {}, memory, part }) {
    knownOptions('settings', settings, Object.keys(defaults));
    this.#settings = Object.freeze({ ...defaults, ...settings });
    check(this.#settings);
    const { epochs, batch, hidden, learningRate, rho, momentum, centered, ema, weightDecay, seed } = this.#settings;
    this.#test = test;
    this.#model = new Model({ layers: [train.rows * train.columns, ...hidden, 10], batch, seed, memory });
    this.#batches = new Batches(train, batch, seed);
    this.#part = part;
    const total = epochs * this.#batches.stepsPerEpoch;
    const warmupSteps = Math.floor(total * WARMUP);
    const schedule = new schedules.CosineDecay({
      initialLearningRate: 0,
      warmupTarget: learningRate,
      warmupSteps,
      decaySteps: total - warmupSteps,
    });
    try {
      this.#optimizer = new RMSprop({
        // Counted from the first update, so that the first rate is not zero.
        learningRate: (step) => (this.#rate = schedule.at(step + 1)),
        rho,
        momentum,
        centered,
        ...(weightDecay > 0 ? { weightDecay } : {}),
        ...(ema === null ? {} : { useEma: true, emaMomentum: ema }),
        ...(part && {
          aggregateGradients: (/** @type {Float32Array} */ gradients, /** @type {{ step: number }} */ { step }) => {
            const result = part.average(gradients, this.#weight, this.#loss, step);
            if (typeof result !== 'number') return result.then((loss) => { this.#loss = loss; });
            this.#loss = result;
            return undefined;
          },
        }),
        name: 'rmsprop', // not numbered, so that equal runs save equal files
      });
      this.#optimizer.build(this.#model.variables);
    } catch (error) {
      this.#model.dispose();
      throw error;
    }
  }

  /** @returns {Readonly<Settings>} */
  get settings() {
    return this.#settings;
  }

  /** @returns {Model} */
  get model() {
    return this.#model;
  }

  /** @returns {RMSprop} */
  get optimizer() {
    return this.#optimizer;
  }

  /** @returns {number} */
  get stepsPerEpoch() {
    return this.#batches.stepsPerEpoch;
  }

  /** @returns {number} how many steps have been made */
  get steps() {
    return this.#batches.made;
  }

  /** @returns {number} how many examples have been trained on, each as often as it was seen */
  get examples() {
    return this.#batches.examples;
  }

  /** @returns {boolean} whether all epochs are over */
  get done() {
    return this.steps >= this.#settings.epochs * this.stepsPerEpoch;
  }

  /** @returns {number} the time that all steps took, making the batches included, evaluations not */
  get seconds() {
    return this.#seconds;
  }

  /** @returns {number} the part of `seconds` that the optimizer took */
  get optimizerSeconds() {
    return this.#optimizerSeconds;
  }

  /**
   * Trains on one batch.
   *
   * @returns {Step} what came of it; its `step` equals `stepsPerEpoch` at the end of an epoch
   */
  step() {
    const begun = this.#begin();
    this.#optimizer.step();
    return this.#end(begun);
  }

  /**
   * `step`, with a part whose `average` is asynchronous. When that fails, the next call makes the same step again.
   *
   * @returns {Promise<Step>}
   */
  async stepAsync() {
    const begun = this.#begin();
    await this.#optimizer.stepAsync();
    return this.#end(begun);
  }

  /** Goes on where the optimizer is, which has loaded the state of another trainer with the same settings. */
  resume() {
    this.#batches.advance(this.#optimizer.iterations);
    this.#examplesSummed = this.#lossSum = 0;
  }

  /** @returns {Begun} */
  #begin() {
    if (this.done) throw new Error(`all ${this.#settings.epochs} epochs are over`);
    const start = performance.now();
    const batch = this.#batches.current(this.#part);
    this.#computeGradients(batch);
    return { batch, start, beforeUpdate: performance.now() };
  }

  /**
   * @param {Begun} begun whose update is made
   * @returns {Step}
   */
  #end({ batch: { count, epoch, step }, start, beforeUpdate }) {
    this.#batches.advance();
    const loss = this.#loss;
    const end = performance.now();
    this.#optimizerSeconds += (end - beforeUpdate) / 1000;
    this.#seconds += (end - start) / 1000;
    if (step === 1) this.#examplesSummed = this.#lossSum = 0;
    this.#examplesSummed += count;
    this.#lossSum += loss * count;
    return { epoch, step, loss, meanLoss: this.#lossSum / this.#examplesSummed, rate: this.#rate };
  }

  /** @param {import('../data/batches.js').Batch} batch */
  #computeGradients({ inputs, labels, count }) {
    this.#weight = labels.length / count;
    this.#loss = 0;
    if (labels.length > 0) this.#loss = this.#model.lossAndGradients(inputs, labels);
    else for (const variable of this.#model.variables) variable.gradientBuffer().data.fill(0);
  }

  /** @returns {Accuracies} on the test set */
  evaluate() {
    const inputs = (this.#testInputs ??= inputsOf(this.#test.pixels));
    const accuracy = () => this.#model.evaluate(inputs, this.#test.labels).accuracy;
    return { raw: accuracy(), averaged: this.#settings.ema === null ? null : this.#optimizer.withAverages(accuracy) };
  }

  /**
   * Goes on from a file.
   *
   * @param {Uint8Array} bytes what `save` gave, of a trainer with the same layers and optimizer
   * @throws {TypeError | RangeError} if it is anything else; nothing has changed then
   */
  load(bytes) {
    this.#optimizer.load(bytes);
    this.resume();
  }

  /** @returns {Uint8Array} the weights and the optimizer's state, as safetensors */
  save() {
    return this.#optimizer.save({ variables: true });
  }

  /** Frees its memory; calling it again does nothing. */
  dispose() {
    this.#optimizer.dispose();
    this.#model.dispose();
  }
}

/** How long steps may run, in milliseconds, before whoever shows them gets a turn. */
const TURN = 50;

/**
 * Trains to the end, letting other work run in between.
 *
 * @param {Trainer} trainer
 * @param {object} [listeners]
 * @param {(step: Step) => void} [listeners.onProgress] after some of the steps, the last of an epoch among them
 * @param {(step: Step, accuracies: Accuracies) => void} [listeners.onEpoch] after each epoch, with its last step
 * @param {AbortSignal} [listeners.signal] ends the run between two steps
 * @returns {Promise<boolean>} whether it came to the end
 */
export async function run(trainer, { onProgress, onEpoch, signal } = {}) {
  let turn = performance.now();
  while (!trainer.done) {
    if (signal?.aborted) return false;
    const step = trainer.step();
    const endOfEpoch = step.step === trainer.stepsPerEpoch;
    if (endOfEpoch || performance.now() - turn > TURN) {
      onProgress?.(step);
      await new Promise((resolve) => setTimeout(resolve));
      turn = performance.now();
    }
    if (endOfEpoch) onEpoch?.(step, trainer.evaluate());
  }
  return true;
}
