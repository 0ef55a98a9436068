/**
 * What happens behind the page: data, the race, and who gets a turn when. It speaks in messages, so that it can run in
 * a worker (worker.js) and in Node, where it is tested.
 */
import { firstExamples } from '../data/mnist.js';
import { Race, RateError, configurationIn } from './race.js';

/** @typedef {import('./configuration.js').Configuration} Configuration */
/** @typedef {import('./race.js').DataSet} DataSet */
/**
 * @typedef {{ type: 'configure', race: number, configuration: Configuration }
 *   | { type: 'rates', racers: readonly import('./configuration.js').Racer[] }
 *   | { type: 'run' } | { type: 'pause' } | { type: 'step' }
 *   | { type: 'predict', id: number, racer: number, pixels: Uint8Array }
 *   | { type: 'inspect', id: number, racer: number }
 *   | { type: 'sample', id: number, chosen: number }
 *   | { type: 'save', id: number }
 *   | { type: 'load', race: number, bytes: Uint8Array }} Request race: its number in all replies about it; chosen: in
 *   [0, 1)
 */
/**
 * @typedef {object} Ready a race that has just begun, or goes on from a file
 * @property {'ready'} type
 * @property {number} race
 * @property {Configuration} configuration
 * @property {number} steps
 * @property {number} stepsPerEpoch
 * @property {number} parameterCount
 * @property {number} trainCount
 * @property {number} testCount
 * @property {readonly string[]} classes
 * @property {string} fingerprint
 * @property {{ x: Float32Array, labels: Uint8Array } | null} points of a set in the plane: x, y of some of its points
 */
/**
 * @typedef {{ type: 'loading', received: number, total: number }
 *   | Ready
 *   | { type: 'steps', race: number, rows: Float64Array, count: number, fingerprint: string }
 *   | { type: 'accuracies', race: number, step: number, racers: import('./race.js').Accuracies[] }
 *   | { type: 'running', race: number, running: boolean, step: number }
 *   | { type: 'problem', race: number, racer: number, message: string }
 *   | { type: 'failed', message: string }
 *   | { type: 'answer', id: number, value: any }} Reply
 * rows: count rows of step, epoch, and for each racer loss, rate, norm
 */

/** How long steps may run, in milliseconds, before messages get a turn. */
const TURN = 30;
/** Numbers of a row that are not of a racer, and that are of each. */
export const ROW_HEAD = 2;
export const ROW_RACER = 3;
/** Points of a plane that are shown. */
const SHOWN_POINTS = 400;
/** Points on each side of the grid on which decisions in a plane are shown. */
export const GRID = 48;
/** The grid reaches from minus this to this. */
export const GRID_EDGE = 1.15;

/** One race at a time, and the messages that drive it. */
export class Session {
  #send;
  #loadData;
  /** @type {Map<string, Promise<DataSet>>} */
  #sets = new Map();
  /** @type {DataSet | undefined} */
  #data;
  /** @type {Race | undefined} */
  #race;
  /** The number of the race. */
  #number = 0;
  #running = false;
  /** Counts races, so that what was begun for an older one notices. */
  #generation = 0;
  /** The step after which the test set was last gone through. */
  #evaluated = -1;

  /**
   * @param {object} options
   * @param {(reply: Reply) => void} options.send
   * @param {(name: string, onProgress: (received: number, total: number) => void) => Promise<DataSet>} options.loadData
   */
  constructor({ send, loadData }) {
    this.#send = send;
    this.#loadData = loadData;
  }

  /**
   * @param {Request} request
   * @returns {Promise<void>} settled when it is done; training that it starts goes on
   */
  async handle(request) {
    try {
      await this.#handle(request);
    } catch (error) {
      if (error instanceof RateError && request.type !== 'load') {
        // Of the race that there is, or of the one that could not begin.
        const number = request.type === 'configure' ? request.race : this.#number;
        this.#setRunning(false);
        this.#send({ type: 'problem', race: number, racer: error.racer, message: error.message });
      } else {
        this.#setRunning(false);
        this.#send({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
      }
    }
  }

  /** @param {Request} request */
  async #handle(request) {
    switch (request.type) {
      case 'configure':
        return this.#begin(request.race, request.configuration);
      case 'load':
        return this.#begin(request.race, configurationIn(request.bytes), request.bytes);
      case 'rates':
        return this.#race?.setRates(request.racers);
      case 'run':
        if (!this.#running && this.#race) {
          this.#setRunning(true);
          void this.#run(this.#race).catch((error) => this.handle(/** @type {any} */ ({ type: 'throw', error })));
        }
        return undefined;
      case 'pause':
        return this.#setRunning(false);
      case 'step':
        this.#setRunning(false);
        if (!this.#race) return undefined;
        this.#steps(this.#race, 1, Infinity);
        return this.#evaluate(this.#race);
      case 'predict': {
        const { raw, averaged } = this.#begun().predict(request.racer, request.pixels);
        return this.#answer(request.id, { raw, averaged });
      }
      case 'inspect':
        return this.#answer(request.id, this.#inspect(request.racer));
      case 'sample': {
        const { count, rows, columns, pixels, labels } = /** @type {DataSet} */ (this.#data).test;
        const index = Math.floor(request.chosen * count);
        const size = rows * columns;
        return this.#answer(request.id, {
          index, label: labels[index], pixels: pixels.slice(index * size, (index + 1) * size),
        });
      }
      case 'save':
        return this.#answer(request.id, { bytes: this.#begun().save() });
      default:
        throw /** @type {any} */ (request).error ?? new TypeError('unknown request');
    }
  }

  /**
   * @param {number} id
   * @param {any} value
   */
  #answer(id, value) {
    this.#send({ type: 'answer', id, value });
  }

  #begun() {
    if (!this.#race) throw new Error('there is no race yet');
    return this.#race;
  }

  /** @param {boolean} running */
  #setRunning(running) {
    if (this.#running === running) return;
    this.#running = running;
    this.#send({ type: 'running', race: this.#number, running, step: this.#race?.steps ?? 0 });
  }

  /**
   * @param {number} number
   * @param {Configuration} configuration
   * @param {Uint8Array} [bytes] a checkpoint to go on from
   */
  async #begin(number, configuration, bytes) {
    const generation = ++this.#generation;
    this.#setRunning(false);
    const { data: name, examples } = configuration;
    let loading = this.#sets.get(name);
    if (!loading) {
      loading = this.#loadData(name, (received, total) => this.#send({ type: 'loading', received, total }));
      this.#sets.set(name, loading);
      loading.catch(() => this.#sets.delete(name));
    }
    const { train: all, test, classes } = await loading;
    if (generation !== this.#generation) return;
    const data = { train: firstExamples(all, examples), test, classes };
    const race = new Race(data, configuration);
    try {
      if (bytes) race.load(bytes);
    } catch (error) {
      race.dispose();
      throw error;
    }
    this.#setRunning(false); // the old one may have been told to run meanwhile
    this.#race?.dispose();
    this.#race = race;
    this.#number = number;
    this.#data = data;
    this.#evaluated = -1;
    const { steps, stepsPerEpoch, parameterCount, fingerprint } = race;
    const points = data.train.pixels instanceof Float32Array && {
      x: data.train.pixels.slice(0, 2 * SHOWN_POINTS), labels: data.train.labels.slice(0, SHOWN_POINTS),
    };
    this.#send({
      type: 'ready',
      race: number,
      configuration,
      steps,
      stepsPerEpoch,
      parameterCount,
      fingerprint,
      trainCount: data.train.count,
      testCount: test.count,
      classes,
      points: points || null,
    });
    await this.#evaluate(race);
  }

  /**
   * Trains until told to pause, letting messages in.
   *
   * @param {Race} race
   */
  async #run(race) {
    const { pace, until, evaluateEvery } = race.configuration;
    const start = performance.now();
    const first = race.steps;
    const isCurrent = () => race === this.#race;
    while (this.#running && isCurrent()) {
      const { steps } = race;
      // Up to the next stop: the step to pause at, a test, what the pace allows.
      const allowed = pace > 0 ? Math.floor((pace * (performance.now() - start)) / 1000) - (steps - first) : Infinity;
      const left = Math.min(until > steps ? until - steps : Infinity, evaluateEvery - (steps % evaluateEvery), allowed);
      if (left > 0) this.#steps(race, left, TURN);
      if (left > 0 && race.steps === until) this.#setRunning(false);
      if (race.steps % evaluateEvery === 0) await this.#evaluate(race);
      await (left > 0 ? turn() : new Promise((resolve) => setTimeout(resolve, 8)));
    }
    if (isCurrent()) await this.#evaluate(race);
  }

  /**
   * @param {Race} race
   * @param {number} most steps
   * @param {number} milliseconds
   */
  #steps(race, most, milliseconds) {
    const end = performance.now() + milliseconds;
    /** @type {number[]} */
    const numbers = [];
    let count = 0;
    try {
      do {
        const { step, epoch, racers } = race.step();
        numbers.push(step, epoch);
        for (const { loss, rate, norm } of racers) numbers.push(loss, rate, norm);
        count++;
      } while (count < most && performance.now() < end);
    } finally {
      if (count > 0) {
        const { fingerprint } = race;
        this.#send({ type: 'steps', race: this.#number, rows: Float64Array.from(numbers), count, fingerprint });
      }
    }
  }

  /**
   * Goes through the test set with every racer, if that was not done after this step. Messages are let in in between,
   * so that training may have gone on or ended meanwhile.
   *
   * @param {Race} race
   */
  async #evaluate(race) {
    const step = race.steps;
    if (this.#evaluated === step) return;
    this.#evaluated = step;
    /** @type {import('./race.js').Accuracies[]} */
    const racers = [];
    for (let i = 0; i < race.configuration.racers.length; i++) {
      await turn();
      if (race !== this.#race || race.steps !== step) return;
      racers.push(race.evaluate(i));
    }
    this.#send({ type: 'accuracies', race: this.#number, step, racers });
  }

  /** @param {number} racer */
  #inspect(racer) {
    const race = this.#begun();
    const inside = race.inspect(racer);
    const isPlane = this.#data?.train.pixels instanceof Float32Array;
    return { ...inside, step: race.steps, decisions: isPlane ? race.predict(racer, grid()) : null };
  }
}

/** @returns {Float32Array} x, y of each point of the grid, from the upper left corner on */
function grid() {
  const at = (/** @type {number} */ i) => GRID_EDGE * ((2 * (i + 0.5)) / GRID - 1);
  return Float32Array.from({ length: 2 * GRID * GRID }, (_, k) => {
    const point = k >> 1;
    return k % 2 === 0 ? at(point % GRID) : -at(Math.floor(point / GRID));
  });
}

/** @returns {Promise<void>} after all messages that have come meanwhile; without the 4 ms that timers wait at least */
function turn() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
