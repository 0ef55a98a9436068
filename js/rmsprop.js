/**
 * RMSprop as Keras 3 has it: names, defaults, order of operations, state and errors. The arithmetic is the kernels',
 * the step is keras/step.js's, and where everything lies keras/linear-memory.js's.
 */
import { signalOf } from './abort.js';
import { finite, knownOptions, ofType, rangeError, show } from './check.js';
import { gradientsOf, setAll, unzip } from './core/gradients.js';
import { configured, equip } from './core/inspect.js';
import { refuseSpellings } from './core/spellings.js';
import { checkVariables } from './core/variables.js';
import { checkPool } from './engine.js';
import { LinearMemory } from './keras/linear-memory.js';
import { KerasState } from './keras/state.js';
import { KERAS_STEP, KerasStep, OWN, exclusionOf } from './keras/step.js';
import { checkOptions, generationOf, revive, withRule } from './keras-options.js';
import { autoName, camelCase } from './naming.js';
import { PARTS, joined } from './safetensors.js';
import { isVariable } from './tensor.js';

/** @typedef {import('./abort.js').AbortOptions} AbortOptions */
/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').Values} Values */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./core/gradients.js').Gradient} Gradient */
/** @typedef {import('./core/gradients.js').LossAndGradients} LossAndGradients */
/** @typedef {import('./core/gradients.js').MinimizeOptions} MinimizeOptions */
/** @typedef {import('./keras-options.js').Hyperparameter} Hyperparameter */
/** @typedef {import('./keras-options.js').Rate} Rate */
/** @typedef {import('./keras-options.js').SlotName} SlotName */
/** @typedef {import('./keras-options.js').RMSpropOptions} RMSpropOptions */

/**
 * RMSprop with the names, defaults and arithmetic of `keras.optimizers.RMSprop` (Keras 3.15):
 *
 *     v <- rho v + (1 - rho) g²,   m <- momentum m + learningRate g / sqrt(v + epsilon),   x <- x - m
 *
 * @example
 * ```js
 * import { RMSprop, variable } from 'rmsprop-wasm';
 *
 * const w = variable([1, -2]);
 * const optimizer = new RMSprop({ learningRate: 0.1, momentum: 0.9 });
 * optimizer.apply([[0.5, -0.5]], [w]);
 * console.log(Array.from(w.data, (x) => x.toFixed(4)).join(' ')); // prints 0.6838 -1.6838
 * ```
 */
export class RMSprop {
  #options;
  #generation;
  #ground;
  #keras;
  #step;
  #state;

  /**
   * @param {RMSpropOptions} [options]
   * @throws {TypeError} for an unknown option, naming the nearest known one, or one of the wrong kind
   * @throws {RangeError} for NaN, infinity, and what Keras refuses
   */
  constructor(options = {}) {
    this.#generation = generationOf(options);
    const { isOld, prefix } = this.#generation;
    const { aggregateGradients } = options;
    if (aggregateGradients !== undefined) ofType('aggregateGradients', aggregateGradients, 'function');
    const pool = checkPool(options.pool);
    this.#options = checkOptions(options, this.#generation);
    this.#options.name ??= isOld ? prefix : autoName(prefix);
    this.#ground = new LinearMemory(this.#options, isOld, aggregateGradients !== undefined, pool, () =>
      new RangeError(`optimizer ${show(this.name)} must be built first: call build(variables)`));
    this.#keras = new KerasStep(
      () => `optimizer ${show(this.name)}`, this.#options, this.#generation, this.#ground, aggregateGradients,
    );
    this.#step = this.#keras.step;
    this.#state = new KerasState(this.#options, isOld, this.#ground);
  }

  /** @returns {{ keras: KerasStep, state: KerasState }} for a wrapper of the optimizer */
  [KERAS_STEP]() {
    return { keras: this.#keras, state: this.#state };
  }

  /** @returns {string} the name given, or one that Keras would give */
  get name() {
    return this.#options.name;
  }

  /** @returns {number} updates made: calls of `apply`, divided by `gradientAccumulationSteps` if there are such */
  get iterations() {
    this.#step.checkAlive('iterations');
    return this.#keras.iterations;
  }

  /** @returns {number} the current rate: the number, rounded to float32, or what the callback or schedule says now */
  get learningRate() {
    this.#step.checkAlive('learningRate');
    return this.#keras.learningRate;
  }

  /**
   * A number replaces a number; a callback or schedule replaces anything.
   *
   * @param {Rate} rate
   * @throws {TypeError} for a number where the optimizer has a callback or schedule
   */
  set learningRate(rate) {
    this.#keras.learningRate = rate;
  }

  // ---- Options that can be assigned, checked as in the constructor, from the next step on ----

  /** @returns {Hyperparameter} */
  get momentum() {
    return this.#keras.get('momentum');
  }

  /** @param {Hyperparameter} value from zero after `build` it is refused, for it has no slot */
  set momentum(value) {
    this.#keras.set('momentum', value);
  }

  /** @returns {Hyperparameter} */
  get rho() {
    return this.#keras.get('rho');
  }

  /** @param {Hyperparameter} value */
  set rho(value) {
    this.#keras.set('rho', value);
  }

  /** @returns {Hyperparameter} */
  get epsilon() {
    return this.#keras.get('epsilon');
  }

  /** @param {Hyperparameter} value */
  set epsilon(value) {
    this.#keras.set('epsilon', value);
  }

  /** @returns {number | null} */
  get clipnorm() {
    return this.#keras.get('clipnorm');
  }

  /** @param {number | null} value */
  set clipnorm(value) {
    this.#keras.set('clipnorm', value);
  }

  /** @returns {number | null} */
  get clipvalue() {
    return this.#keras.get('clipvalue');
  }

  /** @param {number | null} value */
  set clipvalue(value) {
    this.#keras.set('clipvalue', value);
  }

  /** @returns {number | null} */
  get globalClipnorm() {
    return this.#keras.get('globalClipnorm');
  }

  /** @param {number | null} value */
  set globalClipnorm(value) {
    this.#keras.set('globalClipnorm', value);
  }

  /** @returns {number | null} */
  get weightDecay() {
    return this.#keras.get('weightDecay');
  }

  /** @param {number | null} value */
  set weightDecay(value) {
    this.#keras.set('weightDecay', value);
  }

  /** @returns {number} */
  get emaMomentum() {
    return this.#keras.get('emaMomentum');
  }

  /** @param {number} value */
  set emaMomentum(value) {
    this.#keras.set('emaMomentum', value);
  }

  /** @returns {number | null} */
  get emaOverwriteFrequency() {
    return this.#keras.get('emaOverwriteFrequency');
  }

  /** @param {number | null} value */
  set emaOverwriteFrequency(value) {
    this.#keras.set('emaOverwriteFrequency', value);
  }

  /** @returns {number | null} */
  get lossScaleFactor() {
    return this.#keras.get('lossScaleFactor');
  }

  /** @param {number | null} value */
  set lossScaleFactor(value) {
    this.#keras.set('lossScaleFactor', value);
  }

  /**
   * @returns {Tensor[]} the state in Keras's order: the iteration (int32 scalar), the rate if it was given as a number,
   *   then per variable averages, gradient accumulators, velocities, momentums, average gradients
   */
  get variables() {
    this.#step.checkAlive('variables');
    return this.#state.variables;
  }

  /** @returns {SlotName[]} the slots that each variable has, in the order of `variables` */
  get slotNames() {
    return this.#ground.slotNames;
  }

  /**
   * @param {Variable} variable
   * @param {string} name one of `slotNames`
   * @returns {Tensor | null} null when the variable is unknown or has no such slot
   */
  getSlot(variable, name) {
    return this.#ground.slot(variable, name);
  }

  /**
   * Makes the slots. The first `apply` with variables does it too; a second call with the same variables does nothing.
   *
   * @param {readonly Variable[]} variables floating, of one memory, each once; at least one that is not overwritten
   *   with its gradient
   * @throws {TypeError | RangeError} for other variables; nothing is allocated then
   */
  build(variables) {
    this.#step.check('build');
    checkVariables(variables);
    this.#ground.build(variables);
    this.#keras.tell();
  }

  /**
   * One call of the rule: an update, or with gradient accumulation a part of one.
   *
   * @param {readonly (Gradient | null)[]} gradients null: no gradient, the variable is left out; empty: nothing happens
   * @param {readonly Variable[]} [variables] in the order of the gradients; default all that the optimizer is built for
   * @throws {TypeError | RangeError} for what does not fit; weights, slots and counters are as before then
   */
  apply(gradients, variables) {
    this.#step.run('apply', gradients, variables);
  }

  /**
   * @param {readonly (readonly [Gradient | null, Variable])[]} pairs
   * @returns {number} `iterations` after it
   * @throws {TypeError | RangeError} as `apply`
   */
  applyGradients(pairs) {
    this.#step.check('applyGradients');
    this.#step.run('applyGradients', ...unzip(pairs));
    return this.iterations;
  }

  /**
   * `applyGradients` with an `aggregateGradients` that may be asynchronous. Until it settles all other calls throw.
   *
   * @param {readonly (readonly [Gradient | null, Variable])[]} pairs
   * @param {AbortOptions} [options] with a signal the hook can be given up: nothing has changed then, and the optimizer
   *   can be used again at once. For that the hook gets a copy of the gradients, to which it may write for ever.
   * @returns {Promise<number>} `iterations` after it
   * @throws {TypeError | RangeError} as `apply`, what the hook throws, and the signal's reason, as a rejection
   */
  async applyGradientsAsync(pairs, options = {}) {
    this.#step.check('applyGradientsAsync');
    const signal = signalOf('applyGradientsAsync', options);
    await this.#step.runAsync('applyGradientsAsync', signal, ...unzip(pairs));
    return this.iterations;
  }

  /**
   * `step` with an `aggregateGradients` that may be asynchronous. Until it settles all other calls throw.
   *
   * @param {AbortOptions} [options] see `applyGradientsAsync`
   * @returns {Promise<void>}
   * @throws {RangeError} as `step`, what the hook throws, and the signal's reason, as a rejection
   */
  async stepAsync(options = {}) {
    this.#step.check('stepAsync');
    await this.#step.runAsync('stepAsync', signalOf('stepAsync', options), OWN);
  }

  /**
   * `apply` with each built variable's `.gradient`: the fast path, which allocates nothing.
   *
   * @throws {RangeError} if the optimizer is not built or no variable has a gradient
   */
  step() {
    this.#step.run('step', OWN);
  }

  /**
   * @param {(...variables: Variable[]) => LossAndGradients} lossAndGradients is called with the variables
   * @param {readonly Variable[]} variables
   * @param {MinimizeOptions} [options] `returnCost`: whether the loss is returned, default false
   * @returns {number} `iterations` after it, or the loss
   * @throws {TypeError | RangeError} as `apply`, and for an unknown option or another return value
   */
  minimize(lossAndGradients, variables, options) {
    const [gradients, list, cost] = gradientsOf(this.#step, lossAndGradients, variables, options);
    this.#step.run('minimize', gradients, list);
    return cost ?? this.iterations;
  }

  /**
   * @param {number} loss
   * @returns {number} the loss times `lossScaleFactor`, to take the gradients of
   */
  scaleLoss(loss) {
    return finite('loss', loss) * (this.#options.lossScaleFactor ?? 1);
  }

  /**
   * Copies the averages into the variables, for good. Without `useEma`, and before the first step, it does nothing.
   *
   * @param {readonly Variable[]} [variables] as many as the optimizer is built for, in that order; default those
   * @throws {RangeError} for another number of variables
   */
  finalizeVariableValues(variables) {
    this.#step.check('finalizeVariableValues');
    if (!this.#options.useEma) return;
    const engine = this.#ground.built();
    const built = this.#ground.variables;
    const targets = variables ?? built;
    checkVariables(targets);
    if (targets.length !== built.length) {
      throw rangeError('variables', `the ${built.length} that the optimizer is built for`, targets);
    }
    const averaged = targets.filter((_, i) => !this.#ground.isOverwritten(built[i]));
    if (this.#ground.calls) setAll('average', averaged, engine.slot('average'));
  }

  /**
   * Runs a function with the averages in the variables and puts the weights back afterwards, bit for bit, also when the
   * function throws or its promise is rejected. Before the first step the weights are their own averages. A variable's
   * `.data` that is read in the function is a view, which shows the raw weights afterwards: return copies, such as
   * `w.data.slice()`.
   *
   * @template T
   * @param {() => T} fn sync or async; steps, `save`, `load` and `dispose` throw while it runs
   * @param {AbortOptions} [options] with a signal that is given while a promise is waited for, the weights come back at
   *   once and the promise is rejected
   * @returns {T} what `fn` returns
   * @throws {RangeError} without `useEma`
   */
  withAverages(fn, options = {}) {
    this.#step.check('withAverages');
    ofType('fn', fn, 'function');
    const signal = signalOf('withAverages', options);
    const { useEma } = this.#options;
    if (!useEma) throw rangeError('useEma', 'true for withAverages', useEma);
    const engine = this.#ground.built();
    const variables = this.#ground.calls ? engine.variables : [];
    const weights = variables.map(({ data }) => data.slice());
    setAll('average', variables, engine.slot('average'));
    return this.#step.during('withAverages', 'withAverages runs', fn, () => {
      variables.forEach((variable, i) => variable.isDisposed || variable.set(weights[i]));
    }, signal);
  }

  /**
   * Leaves variables out of weight decay, from the next step on. A later call replaces an earlier one.
   *
   * @param {object} options
   * @param {readonly Variable[]} [options.variables]
   * @param {RegExp | string | readonly (RegExp | string)[]} [options.names] searched for in the variables' names; a
   *   string is a regular expression too, as in Python's `re.search`, and may begin with flags: `(?i)`
   * @throws {TypeError | RangeError} for others; nothing has changed then
   */
  excludeFromWeightDecay(options) {
    this.#step.check('excludeFromWeightDecay');
    const isExcluded = exclusionOf(options, isVariable);
    if (this.#ground.target && this.#generation.isOld) {
      throw new RangeError('excludeFromWeightDecay can only be used before the optimizer is built');
    }
    this.#keras.exclude(isExcluded);
  }

  /**
   * @returns {Record<string, unknown>} Keras's dictionary, in Keras's order, JSON-safe; the rate as read back from
   *   float32, a schedule as Keras serializes it, a callback by its name
   */
  getConfig() {
    return this.#state.config(true);
  }

  /**
   * @param {Record<string, any>} config Keras's dictionary, or the options of the constructor
   * @param {object} [options]
   * @param {Record<string, any>} [options.customObjects] callbacks and schedule classes of the user's own by name
   * @returns {RMSprop} by the rule whose dictionary it is
   */
  static fromConfig(config, options = {}) {
    knownOptions('fromConfig', options, ['customObjects']);
    const { customObjects = {} } = options;
    ofType('customObjects', customObjects, 'object');
    const entries = Object.entries(ofType('config', config, 'object'));
    const revived = entries.map(([name, value]) => [camelCase(name), revive(value, customObjects)]);
    return new this(withRule(Object.fromEntries(revived)));
  }

  /** @returns {TensorData[]} copies of `variables`, in their order */
  getWeights() {
    return this.variables.map(({ data }) => data.slice());
  }

  /**
   * Takes over what `getWeights` gave.
   *
   * @param {readonly (Values | Tensor)[]} weights as `getWeights` returns them; a shorter list sets the first ones
   * @throws {TypeError | RangeError} if the optimizer is not built, or one has another length; nothing is written then
   */
  setWeights(weights) {
    this.#step.check('setWeights');
    this.#state.setWeights(weights);
  }

  /** @returns {Float32Array} all weights of the built variables, one after the other, in build order */
  exportParameters() {
    return this.#state.exportParameters();
  }

  /**
   * Copies all weights in from one array.
   *
   * @param {Float32Array} flat as `exportParameters` returns it
   * @throws {TypeError | RangeError} for another type or length; nothing is written then
   */
  importParameters(flat) {
    this.#step.check('importParameters');
    this.#state.importParameters(flat);
  }

  /**
   * @param {object} [options]
   * @param {boolean} [options.variables] save the weights too, default false
   * @returns {Uint8Array} the whole state as a safetensors file: a run that is loaded from it goes on with equal bits
   * @throws {RangeError} if the optimizer is not built
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
    return this.#state.save(options);
  }

  /**
   * Takes over the state of a file, and the weights if it has them. Hyperparameters other than a number for the rate
   * stay those of the constructor.
   *
   * @param {Uint8Array | ArrayBuffer} bytes what `save` returned, by an optimizer with the same slots and variables of
   *   the same names
   * @throws {TypeError | RangeError} if it is anything else, or the optimizer is not built; nothing is written then
   */
  load(bytes) {
    this.#step.check('load');
    this.#state.load(bytes);
  }

  /** Frees slots and counters; the variables stay. Calling it again does nothing. */
  dispose() {
    this.#step.dispose(() => this.#ground.dispose());
  }

  static {
    equip(this, (optimizer) => #step in optimizer, configured);
    refuseSpellings(this);
  }
}
