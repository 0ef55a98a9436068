/**
 * Dynamic loss scaling around an optimizer, as Keras 3's LossScaleOptimizer has it.
 */
import { finite, integer, knownOptions, typeError } from './check.js';
import { gradientsOf, unzip } from './gradients.js';
import { Memory } from './memory.js';
import { autoName } from './naming.js';
import { RMSprop, applyScaled, dropLossScaleFactor } from './rmsprop.js';
import { Tensor } from './tensor.js';

/** @typedef {import('./gradients.js').Gradient} Gradient */
/** @typedef {import('./tensor.js').Variable} Variable */

const OPTIONS = /** @type {const} */ (['initialScale', 'dynamicGrowthSteps', 'name']);

/**
 * Steps the inner optimizer by gradients of a scaled loss. Where a gradient is not finite it leaves everything as it is
 * and halves the scale; after `dynamicGrowthSteps` finite steps in a row it doubles the scale. The scale has no bounds.
 */
export class LossScaleOptimizer {
  #inner;
  #name;
  #initialScale;
  #dynamicGrowthSteps;
  /** Keras's order: iteration (stays 0), learning rate (stays 0), step counter, dynamic scale. @type {Tensor[]} */
  #own;

  /**
   * @param {RMSprop} innerOptimizer its `lossScaleFactor` is dropped: this scale takes its place
   * @param {object} [options]
   * @param {number} [options.initialScale] default 2¹⁵
   * @param {number} [options.dynamicGrowthSteps] default 2 000
   * @param {string | null} [options.name] default `loss_scale_optimizer`, `loss_scale_optimizer_1` …
   * @throws {TypeError | RangeError} for an unknown option or one of the wrong kind
   */
  constructor(innerOptimizer, options = {}) {
    if (!(innerOptimizer instanceof RMSprop)) throw typeError('innerOptimizer', 'an RMSprop', innerOptimizer);
    knownOptions('LossScaleOptimizer', options, OPTIONS);
    const { initialScale = 2 ** 15, dynamicGrowthSteps = 2000, name } = options;
    this.#initialScale = finite('initialScale', initialScale);
    this.#dynamicGrowthSteps = integer('dynamicGrowthSteps', dynamicGrowthSteps, 0);
    if (name !== undefined && name !== null && typeof name !== 'string') throw typeError('name', 'a string', name);
    this.#name = name ?? autoName('loss_scale_optimizer');
    this.#inner = innerOptimizer;
    dropLossScaleFactor(innerOptimizer);
    this.#own = /** @type {const} */ (['int32', 'float32', 'int32', 'float32']).map((dtype) => {
      const state = new Tensor(Memory.default, dtype, []);
      state.data[0] = 0;
      return state;
    });
    this.#own[3].data[0] = initialScale;
  }

  /** @returns {RMSprop} */
  get innerOptimizer() {
    return this.#inner;
  }

  /** @returns {string} */
  get name() {
    return this.#name;
  }

  /** @returns {number} what the loss is multiplied by now */
  get dynamicScale() {
    return this.#own[3].data[0];
  }

  /** @returns {number} finite steps since the scale last changed */
  get stepCounter() {
    return this.#own[2].data[0];
  }

  /** @returns {number} of the inner optimizer */
  get iterations() {
    return this.#inner.iterations;
  }

  /** @returns {number} of the inner optimizer */
  get learningRate() {
    return this.#inner.learningRate;
  }

  /** @param {import('./rmsprop.js').Rate} rate */
  set learningRate(rate) {
    this.#inner.learningRate = rate;
  }

  /** @returns {Tensor[]} Keras's order: iteration, learning rate, step counter, dynamic scale, then the inner state */
  get variables() {
    return [...this.#own, ...this.#inner.variables];
  }

  /**
   * @param {Variable} variable
   * @param {string} name
   * @returns {Tensor | null} of the inner optimizer
   */
  getSlot(variable, name) {
    return this.#inner.getSlot(variable, name);
  }

  /**
   * @param {readonly Variable[]} variables see `RMSprop.build`
   */
  build(variables) {
    this.#inner.build(variables);
  }

  /**
   * @param {number} loss
   * @returns {number} the loss times the scale, to take the gradients of
   */
  scaleLoss(loss) {
    return finite('loss', loss) * this.dynamicScale;
  }

  /**
   * @param {readonly (Gradient | null)[]} gradients of the scaled loss
   * @param {readonly Variable[]} [variables] see `RMSprop.apply`
   */
  apply(gradients, variables) {
    this.#follow(applyScaled(this.#inner, gradients, variables, this.dynamicScale));
  }

  /**
   * @param {readonly (readonly [Gradient | null, Variable])[]} pairs gradients of the scaled loss
   * @returns {number} `iterations` after it
   */
  applyGradients(pairs) {
    this.apply(...unzip(pairs));
    return this.iterations;
  }

  /** `apply` with each built variable's `.gradient`, of the scaled loss. */
  step() {
    this.#follow(applyScaled(this.#inner, undefined, undefined, this.dynamicScale));
  }

  /**
   * @param {(...variables: Variable[]) => import('./gradients.js').LossAndGradients} lossAndGradients returns gradients of
   *   the scaled loss
   * @param {readonly Variable[]} variables
   * @returns {number} `iterations` after it
   */
  minimize(lossAndGradients, variables) {
    this.apply(gradientsOf(lossAndGradients, variables), variables);
    return this.iterations;
  }

  /** @returns {Record<string, unknown>} Keras's dictionary */
  getConfig() {
    return {
      name: this.#name,
      inner_optimizer: {
        module: 'keras.optimizers', class_name: 'RMSprop', config: this.#inner.getConfig(), registered_name: null,
      },
      initial_scale: this.#initialScale,
      dynamic_growth_steps: this.#dynamicGrowthSteps,
    };
  }

  /** Frees its own state and the inner optimizer's. Calling it again does nothing. */
  dispose() {
    this.#inner.dispose();
    for (const state of this.#own) state.dispose();
  }

  /** @param {boolean} finite whether the step was made */
  #follow(finite) {
    const [, , counter, scale] = this.#own;
    if (!finite) {
      counter.data[0] = 0;
      scale.data[0] *= 0.5;
    } else if (counter.data[0] === this.#dynamicGrowthSteps - 1) {
      counter.data[0] = 0;
      scale.data[0] *= 2;
    } else {
      counter.data[0] += 1;
    }
  }
}
