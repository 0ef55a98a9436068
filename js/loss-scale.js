/**
 * Dynamic loss scaling around an optimizer, as Keras 3's LossScaleOptimizer has it.
 */
import { finite, integer, knownOptions, ofType, typeError } from './check.js';
import { gradientsOf, unzip } from './gradients.js';
import { autoName } from './naming.js';
import { RMSprop, applyIfFinite, setLossScale } from './rmsprop.js';
import { scalar } from './tensor.js';

/** @typedef {import('./gradients.js').Gradient} Gradient */
/** @typedef {import('./gradients.js').LossAndGradients} LossAndGradients */
/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */

/**
 * Steps the inner optimizer by gradients of a scaled loss. Where a gradient is not finite it leaves everything as it is
 * and halves the scale; after `dynamicGrowthSteps` finite steps in a row it doubles the scale. The scale has no bounds.
 */
export class LossScaleOptimizer {
  #inner;
  #name;
  #initialScale;
  #dynamicGrowthSteps;
  /** Keras's own variables: the iteration and the rate stay 0, for the inner optimizer has those that count. */
  #iteration;
  #rate;
  #counter;
  #scale;

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
    knownOptions('LossScaleOptimizer', options, ['initialScale', 'dynamicGrowthSteps', 'name']);
    const { initialScale = 2 ** 15, dynamicGrowthSteps = 2000, name } = options;
    this.#initialScale = finite('initialScale', initialScale);
    this.#dynamicGrowthSteps = integer('dynamicGrowthSteps', dynamicGrowthSteps, 0);
    this.#name = ofType('name', name ?? autoName('loss_scale_optimizer'), 'string');
    this.#inner = innerOptimizer;
    this.#iteration = scalar('int32', 0);
    this.#rate = scalar('float32', 0);
    this.#counter = scalar('int32', 0);
    this.#scale = scalar('float32', initialScale);
    setLossScale(innerOptimizer, this.dynamicScale);
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
    return this.#scale.data[0];
  }

  /** @returns {number} finite steps since the scale last changed */
  get stepCounter() {
    return this.#counter.data[0];
  }

  /** @returns {number} of the inner optimizer */
  get iterations() {
    return this.#inner.iterations;
  }

  /** @returns {number} of the inner optimizer */
  get learningRate() {
    return this.#inner.learningRate;
  }

  /** @param {import('./keras-options.js').Rate} rate */
  set learningRate(rate) {
    this.#inner.learningRate = rate;
  }

  /** @returns {Tensor[]} Keras's order: iteration, learning rate, step counter, dynamic scale, then the inner state */
  get variables() {
    return [this.#iteration, this.#rate, this.#counter, this.#scale, ...this.#inner.variables];
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
   * Makes the slots of the inner optimizer.
   *
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
   * A step of the inner optimizer, unless a gradient is not finite.
   *
   * @param {readonly (Gradient | null)[]} gradients of the scaled loss
   * @param {readonly Variable[]} [variables] see `RMSprop.apply`
   */
  apply(gradients, variables) {
    this.#follow(applyIfFinite(this.#inner, gradients, variables));
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
    this.#follow(applyIfFinite(this.#inner));
  }

  /**
   * @param {(...variables: Variable[]) => LossAndGradients} lossAndGradients returns gradients of the scaled loss
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
    for (const state of [this.#iteration, this.#rate, this.#counter, this.#scale]) state.dispose();
  }

  /** @param {boolean} wasFinite whether the step was made */
  #follow(wasFinite) {
    const grows = wasFinite && this.stepCounter === this.#dynamicGrowthSteps - 1;
    this.#counter.data[0] = wasFinite && !grows ? this.stepCounter + 1 : 0;
    if (!wasFinite) this.#scale.data[0] *= 0.5;
    if (grows) this.#scale.data[0] *= 2;
    setLossScale(this.#inner, this.dynamicScale);
  }
}
