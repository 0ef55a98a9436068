/**
 * The state of an optimizer with Keras's options as lists of arrays, and as a file.
 */
import { knownOptions, ofType, rangeError, typeError } from '../check.js';
import { checkCounter, checkRate, readState, stateParts } from '../checkpoint.js';
import { setAll, setFirst } from '../core/gradients.js';
import { arrayKind } from '../core/identity.js';
import { configOf } from '../keras-options.js';
import { snakeCase } from '../naming.js';

/** @typedef {import('./linear-memory.js').LinearMemory} LinearMemory */
/** @typedef {import('../tensor.js').Tensor} Tensor */

/** Reads and writes all that a step changes. Whether it may is the caller's to check. */
export class KerasState {
  #options;
  #isOld;
  #ground;

  /**
   * @param {Record<string, any>} options checked; changed by setters
   * @param {boolean} isOld the generation of Keras
   * @param {LinearMemory} ground
   */
  constructor(options, isOld, ground) {
    this.#options = options;
    this.#isOld = isOld;
    this.#ground = ground;
  }

  /** @returns {Tensor[]} the state in Keras's order; the rate of the old generation is no part of it */
  get variables() {
    const { counters, state } = this.#ground;
    const slots = state.slots.flatMap(({ tensors }) => tensors).filter((tensor) => tensor !== null);
    return [...(this.#isOld ? counters.slice(0, 1) : counters), ...slots];
  }

  /** @returns {((name: string, value: unknown) => number)[]} of the numbers that `variables` begin with */
  get checks() {
    return !this.#isOld && this.#ground.rate !== undefined ? [checkCounter, checkRate] : [checkCounter];
  }

  get #dialect() {
    return this.#isOld ? 'keras-2.11' : 'keras';
  }

  /**
   * @param {boolean} isComplete whether a schedule that has no config is refused
   * @returns {Record<string, unknown>} Keras's dictionary
   */
  config(isComplete) {
    const { rate } = this.#ground;
    const options = { ...this.#options, ...(rate !== undefined && { learningRate: rate }) };
    const entries = Object.entries(options);
    return Object.fromEntries(entries.map(([name, value]) => [snakeCase(name), configOf(value, isComplete)]));
  }

  /**
   * Takes over weights.
   *
   * @param {readonly (import('../tensor.js').Values | Tensor)[]} weights of `variables`, or of the first of them
   */
  setWeights(weights) {
    this.#ground.built();
    setFirst('weights', this.variables, weights, this.checks);
  }

  /** @returns {Float32Array} all weights, one after the other */
  exportParameters() {
    this.#ground.built();
    const { variables } = this.#ground;
    const flat = new Float32Array(totalSize(variables));
    let end = 0;
    for (const { data } of variables) flat.set(data, (end += data.length) - data.length);
    return flat;
  }

  /**
   * Copies all weights in.
   *
   * @param {Float32Array} flat one after the other
   */
  importParameters(flat) {
    this.#ground.built();
    const { variables } = this.#ground;
    if (arrayKind(flat) !== 'Float32Array') throw typeError('flat', 'a Float32Array', flat);
    const size = totalSize(variables);
    if (flat.length !== size) throw rangeError('flat', `of length ${size}`, flat);
    let end = 0;
    setAll('flat', variables, variables.map((variable) => flat.subarray(end, (end += variable.size))));
  }

  /**
   * @param {{ variables?: boolean }} [options]
   * @param {Record<string, number>} [more] counters
   * @param {(config: object) => object} [around] puts the config into that of a wrapper
   * @returns {Uint8Array[]} the file in parts, see `PARTS` of safetensors.js
   */
  save(options = {}, more = {}, around = (config) => config) {
    knownOptions('save', options, ['variables']);
    const variables = ofType('variables', options.variables ?? false, 'boolean');
    const { calls, rate, state } = this.#ground;
    this.#ground.built();
    const counters = { iteration: calls, learning_rate: rate, ...more };
    return stateParts(this.#dialect, state, { config: around(this.config(false)), counters, variables });
  }

  /**
   * Takes over the state of a file.
   *
   * @param {Uint8Array | ArrayBuffer} bytes what `save` returned
   * @param {(counters: Record<string, any>) => void} [check] gets all counters before anything is written, and throws
   *   if they are none of its own
   */
  load(bytes, check) {
    this.#ground.built();
    const { counters, targets, values } = readState(this.#dialect, this.#ground.state, bytes);
    check?.(counters);
    const { iteration, learning_rate: rate } = counters;
    checkCounter('iteration of the checkpoint', iteration);
    if (rate !== undefined) checkRate('learning_rate of the checkpoint', rate);
    const [iterationTensor, ...rates] = rate === undefined ? this.#ground.counters.slice(0, 1) : this.#ground.counters;
    setAll('checkpoint', [iterationTensor, ...targets, ...rates], [iteration, ...values, rate]);
  }
}

/** @param {readonly Tensor[]} tensors */
function totalSize(tensors) {
  return tensors.reduce((total, { size }) => total + size, 0);
}
