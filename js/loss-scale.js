/**
 * Dynamic loss scaling around an optimizer, as Keras 3's LossScaleOptimizer has it.
 */
import { finite, integer, knownOptions, ofType, show, typeError } from './check.js';
import { checkCounter, checkRate, checkScale } from './checkpoint.js';
import { gradientsOf, setFirst, unzip } from './core/gradients.js';
import { configured, equip } from './core/inspect.js';
import { refuseSpellings } from './core/spellings.js';
import { KERAS_STEP, OWN } from './keras/step.js';
import { autoName, camelCase } from './naming.js';
import { RMSprop } from './rmsprop.js';
import { PARTS, joined } from './safetensors.js';
import { scalars } from './tensor.js';

/** @typedef {import('./core/gradients.js').Gradient} Gradient */
/** @typedef {import('./core/gradients.js').LossAndGradients} LossAndGradients */
/** @typedef {import('./core/gradients.js').MinimizeOptions} MinimizeOptions */
/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */

/**
 * Steps the inner optimizer by gradients of a scaled loss. Where a gradient is not finite it leaves everything as it is
 * and halves the scale; after `dynamicGrowthSteps` finite steps in a row it doubles the scale. The scale has no bounds.
 *
 * @example
 * ```js
 * import { LossScaleOptimizer, RMSprop, variable } from 'rmsprop-wasm';
 *
 * const w = variable([1]);
 * const optimizer = new LossScaleOptimizer(new RMSprop(), { initialScale: 8 });
 * optimizer.apply([[Infinity]], [w]); // such a step is left out, and the scale halved
 * console.log(w.data[0], optimizer.dynamicScale); // prints 1 4
 * ```
 */
export class LossScaleOptimizer {
  #inner;
  /** The inner optimizer's. */
  #keras;
  #step;
  #state;
  #name;
  #initialScale;
  #dynamicGrowthSteps;
  /** Keras's own variables: the iteration and the rate stay 0, for the inner optimizer has those that count. */
  #iteration;
  #rate;
  #counter;
  #scale;

  /**
   * @param {RMSprop} innerOptimizer its `lossScaleFactor` is dropped: this scale takes its place; without
   *   `aggregateGradients`
   * @param {object} [options]
   * @param {number} [options.initialScale] default 2¹⁵
   * @param {number} [options.dynamicGrowthSteps] default 2 000
   * @param {string | null} [options.name] default `loss_scale_optimizer`, `loss_scale_optimizer_1` …
   * @throws {TypeError | RangeError} for an unknown option or one of the wrong kind
   */
  constructor(innerOptimizer, options = {}) {
    if (typeof innerOptimizer?.[KERAS_STEP] !== 'function') {
      throw typeError('innerOptimizer', 'an RMSprop', innerOptimizer);
    }
    for (const option of Object.keys(ofType('LossScaleOptimizer options', options, 'object'))) {
      if (!INNER_OPTIONS.includes(option)) continue;
      throw new TypeError(`LossScaleOptimizer does not support ${show(option)}: set it on the innerOptimizer`);
    }
    if ('dynamic' in options) {
      throw new TypeError('LossScaleOptimizer does not support "dynamic": set lossScaleFactor on the innerOptimizer');
    }
    knownOptions('LossScaleOptimizer', options, ['initialScale', 'dynamicGrowthSteps', 'name']);
    const { initialScale = 2 ** 15, dynamicGrowthSteps = 2000, name } = options;
    this.#initialScale = checkScale('initialScale', finite('initialScale', initialScale));
    this.#dynamicGrowthSteps = integer('dynamicGrowthSteps', dynamicGrowthSteps, 0);
    this.#name = ofType('name', name ?? autoName('loss_scale_optimizer'), 'string');
    const { keras, state } = innerOptimizer[KERAS_STEP]();
    // It would aggregate after the check that all are finite.
    if (keras.hasHook) throw typeError('innerOptimizer', 'without aggregateGradients', innerOptimizer);
    keras.step.check('LossScaleOptimizer');
    [this.#iteration, this.#rate, this.#counter, this.#scale] = scalars(
      ['int32', 0], ['float32', 0], ['int32', 0], ['float32', initialScale],
    );
    keras.scaleBy(Math.fround(initialScale));
    this.#inner = innerOptimizer;
    this.#keras = keras;
    this.#step = keras.step;
    this.#state = state;
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
    this.#step.checkAlive('dynamicScale');
    return this.#scale.data[0];
  }

  /** @returns {number} finite steps since the scale last changed */
  get stepCounter() {
    this.#step.checkAlive('stepCounter');
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
    this.#run('apply', gradients, variables);
  }

  /**
   * @param {readonly (readonly [Gradient | null, Variable])[]} pairs gradients of the scaled loss
   * @returns {number} `iterations` after it
   */
  applyGradients(pairs) {
    this.#step.check('applyGradients');
    this.#run('applyGradients', ...unzip(pairs));
    return this.iterations;
  }

  /** `apply` with each built variable's `.gradient`, of the scaled loss. */
  step() {
    this.#run('step', OWN);
  }

  /**
   * @param {(...variables: Variable[]) => LossAndGradients} lossAndGradients returns gradients of the scaled loss
   * @param {readonly Variable[]} variables
   * @param {MinimizeOptions} [options] `returnCost`: whether the scaled loss is returned, default false
   * @returns {number} `iterations` after it, or the loss
   */
  minimize(lossAndGradients, variables, options) {
    const [gradients, list, cost] = gradientsOf(this.#step, lossAndGradients, variables, options);
    this.#run('minimize', gradients, list);
    return cost ?? this.iterations;
  }

  /** @returns {Record<string, unknown>} Keras's dictionary */
  getConfig() {
    return this.#config(this.#inner.getConfig());
  }

  /** @param {object} config of the inner optimizer */
  #config(config) {
    return {
      name: this.#name,
      inner_optimizer: { module: 'keras.optimizers', class_name: 'RMSprop', config, registered_name: null },
      initial_scale: this.#initialScale,
      dynamic_growth_steps: this.#dynamicGrowthSteps,
    };
  }

  /**
   * @param {Record<string, any>} config what `getConfig` or Keras gave
   * @param {object} [options] see `RMSprop.fromConfig`
   * @param {Record<string, any>} [options.customObjects]
   * @returns {LossScaleOptimizer}
   */
  static fromConfig(config, options = {}) {
    const entries = Object.entries(ofType('config', config, 'object')).map(([name, value]) => [camelCase(name), value]);
    const { innerOptimizer, ...rest } = Object.fromEntries(entries);
    const inner = ofType('innerOptimizer.config', ofType('innerOptimizer', innerOptimizer, 'object').config, 'object');
    const made = RMSprop.fromConfig(inner, options);
    try {
      return new this(made, rest);
    } catch (error) {
      made.dispose();
      throw error;
    }
  }

  /**
   * Copies the averages into the variables, for good.
   *
   * @param {readonly Variable[]} [variables] see `RMSprop.finalizeVariableValues`
   */
  finalizeVariableValues(variables) {
    this.#inner.finalizeVariableValues(variables);
  }

  /** @returns {import('./tensor.js').TensorData[]} copies of `variables`, in their order */
  getWeights() {
    return this.variables.map(({ data }) => data.slice());
  }

  /**
   * Takes over what `getWeights` gave.
   *
   * @param {readonly (import('./tensor.js').Values | Tensor)[]} weights a shorter list sets the first ones
   * @throws {TypeError | RangeError} if one has another length; nothing is written then
   */
  setWeights(weights) {
    this.#step.check('setWeights');
    const checks = [checkCounter, checkRate, checkCounter, checkScale, ...this.#state.checks];
    setFirst('weights', this.variables, weights, checks);
  }

  /**
   * @param {object} [options] see `RMSprop.save`
   * @param {boolean} [options.variables]
   * @returns {Uint8Array} the inner optimizer's state, the scale and its counter
   */
  save(options) {
    return joined(this[PARTS](options));
  }

  /**
   * @param {{ variables?: boolean }} [options]
   * @returns {Uint8Array[]} what `save` returns, in parts
   */
  [PARTS](options) {
    this.#step.check('save');
    const counters = { step_counter: this.stepCounter, dynamic_scale: this.dynamicScale };
    return this.#state.save(options, counters, (config) => this.#config(config));
  }

  /**
   * Takes over the state of a file; see `RMSprop.load`.
   *
   * @param {Uint8Array | ArrayBuffer} bytes what `save` returned
   * @throws {TypeError | RangeError} if it is anything else; nothing is written then
   */
  load(bytes) {
    /** @type {Record<string, any>} */
    let counters = {};
    this.#step.check('load');
    this.#state.load(bytes, (found) => {
      checkCounter('step_counter of the checkpoint', found.step_counter);
      checkScale('dynamic_scale of the checkpoint', found.dynamic_scale);
      counters = found;
    });
    this.#counter.data[0] = counters.step_counter;
    this.#scale.data[0] = counters.dynamic_scale;
  }

  /** Frees its own state and the inner optimizer's. Calling it again does nothing. */
  dispose() {
    this.#inner.dispose();
    for (const state of [this.#iteration, this.#rate, this.#counter, this.#scale]) state.dispose();
  }

  static {
    equip(this, (optimizer) => #inner in optimizer, configured);
    refuseSpellings(this);
  }

  /**
   * @param {string} call
   * @param {unknown} gradients
   * @param {readonly Variable[]} [variables]
   */
  #run(call, gradients, variables) {
    this.#step.run(call, gradients, variables, this.#scaling);
  }

  /** @type {import('./keras/step.js').Scaling} */
  #scaling = { scale: () => this.dynamicScale, follow: (wasFinite) => this.#follow(wasFinite) };

  /** @param {boolean} wasFinite whether the step was made */
  #follow(wasFinite) {
    const grows = wasFinite && this.stepCounter === this.#dynamicGrowthSteps - 1;
    this.#counter.data[0] = wasFinite && !grows ? this.stepCounter + 1 : 0;
    // Not to zero, by which nothing can be unscaled ever again.
    if (!wasFinite) this.#scale.data[0] = Math.max(this.#scale.data[0] * 0.5, SMALLEST_SCALE);
    if (grows) this.#scale.data[0] *= 2;
    this.#keras.scaleBy(this.dynamicScale);
  }
}

/** The smallest positive float32. */
const SMALLEST_SCALE = 2 ** -149;

/** What Keras's base class takes and this optimizer refuses, for the inner one has it. */
const INNER_OPTIONS = [
  'learningRate', 'weightDecay', 'clipnorm', 'clipvalue', 'globalClipnorm', 'useEma', 'emaMomentum',
  'emaOverwriteFrequency', 'lossScaleFactor', 'gradientAccumulationSteps',
];
