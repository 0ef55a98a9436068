/**
 * RMSprop as Keras 3 has it: names, defaults, order of operations, state and errors. The arithmetic is the kernels',
 * the slots are the engine's.
 */
import { boolean, finite, knownOptions, rangeError, show, typeError } from './check.js';
import { readState, saveState } from './checkpoint.js';
import { Engine, checkVariables, constants } from './engine.js';
import { gradientsOf, unzip } from './gradients.js';
import { Memory } from './memory.js';
import { autoName } from './naming.js';
import { isSchedule } from './schedule-marker.js';
import { deserialize, serialize } from './schedules.js';
import { Tensor, checkGradient, describe, isVariable } from './tensor.js';

/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').Values} Values */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./schedules.js').LearningRateSchedule} LearningRateSchedule */
/** @typedef {import('./gradients.js').Gradient} Gradient */
/** @typedef {import('./gradients.js').LossAndGradients} LossAndGradients */
/** @typedef {number | ((step: number) => number)} Hyperparameter */
/** @typedef {Hyperparameter | LearningRateSchedule} Rate */
/** @typedef {'velocity' | 'momentum' | 'average_gradient' | 'average' | 'gradient_accumulator'} SlotName */
/**
 * @typedef {object} RMSpropOptions `null` stands for an option that is not given, as Python's None
 * @property {Rate} [learningRate] default 0.001; a callback or schedule gets the number
 *   of `apply` calls before this one and is asked once an update
 * @property {Hyperparameter} [rho] decay of the mean square, default 0.9
 * @property {Hyperparameter} [momentum] default 0; a callback always has its slot
 * @property {Hyperparameter} [epsilon] added under the square root, default 1e-7
 * @property {boolean} [centered] divide by an estimate of the variance instead, default false
 * @property {number | null} [weightDecay] decoupled weight decay; default none
 * @property {number | null} [clipnorm] limit of each gradient's norm; 0 and below: none. At most one of the three clips.
 * @property {number | null} [clipvalue] limit of each element
 * @property {number | null} [globalClipnorm] limit of the norm over all gradients
 * @property {boolean} [useEma] keep an exponential moving average of the weights, default false
 * @property {number} [emaMomentum] in [0, 1], default 0.99
 * @property {number | null} [emaOverwriteFrequency] overwrite the weights with the averages every so many iterations
 * @property {string | null} [name] default `rm_sprop`, `rm_sprop_1` …
 * @property {number | null} [lossScaleFactor] what the loss was multiplied by: gradients are divided by it
 * @property {number | null} [gradientAccumulationSteps] at least 2: update once in so many calls, by the mean gradient
 */

const OPTIONS = /** @type {const} */ ([
  'learningRate', 'rho', 'momentum', 'epsilon', 'centered', 'weightDecay', 'clipnorm', 'clipvalue', 'globalClipnorm',
  'useEma', 'emaMomentum', 'emaOverwriteFrequency', 'name', 'lossScaleFactor', 'gradientAccumulationSteps',
]);

/**
 * One step of an optimizer under a loss scale of the caller's, skipped where a gradient is not finite; for
 * LossScaleOptimizer alone.
 *
 * @type {(optimizer: RMSprop, gradients: readonly (Gradient | null)[] | undefined,
 *   variables: readonly Variable[] | undefined, scale: number) => boolean} whether all gradients were finite
 */
export let applyScaled;

/**
 * Forgets the `lossScaleFactor` option; for LossScaleOptimizer alone.
 *
 * @type {(optimizer: RMSprop) => void}
 */
export let dropLossScaleFactor;

/**
 * RMSprop with the names, defaults and arithmetic of `keras.optimizers.RMSprop` (Keras 3.15):
 *
 *     v <- rho v + (1 - rho) g²,   m <- momentum m + learningRate g / sqrt(v + epsilon),   x <- x - m
 */
export class RMSprop {
  #options;
  #name;
  /** How many calls of `apply` there were: int32. */
  #iteration;
  /** The rate, if it was given as a number: float32. @type {Tensor | undefined} */
  #rate;
  /** @type {((step: number) => number) | LearningRateSchedule | undefined} */
  #rateSource;
  /** The momentum of the first average, which Keras makes a copy, and of all others. */
  #emaMomentum;
  /** @type {Engine | undefined} */
  #engine;
  /** @type {{ variables: ReadonlySet<Variable>, pattern: RegExp | undefined }} */
  #excluded = { variables: new Set(), pattern: undefined };
  /** Variables that a warning about a missing gradient has named. @type {Set<Variable>} */
  #warned = new Set();
  /** What runs now and must not be interrupted by another call. @type {string | undefined} */
  #running;
  #disposed = false;

  static {
    applyScaled = (optimizer, gradients, variables, scale) => optimizer.#applyScaled(gradients, variables, scale);
    dropLossScaleFactor = (optimizer) => {
      optimizer.#options = { ...optimizer.#options, lossScaleFactor: undefined };
    };
  }

  /**
   * @param {RMSpropOptions} [options]
   * @throws {TypeError} for an unknown option, naming the nearest known one, or one of the wrong kind
   * @throws {RangeError} for NaN, infinity, and what Keras refuses
   */
  constructor(options = {}) {
    knownOptions('RMSprop', options, OPTIONS);
    this.#options = checkOptions(options);
    const { learningRate, emaMomentum } = this.#options;
    this.#emaMomentum = Float64Array.of(0, emaMomentum);
    this.#name = options.name ?? autoName('rm_sprop');
    this.#iteration = new Tensor(Memory.default, 'int32', []);
    this.#iteration.data[0] = 0;
    if (typeof learningRate === 'number') {
      this.#rate = new Tensor(Memory.default, 'float32', []);
      this.#rate.data[0] = learningRate;
    } else {
      this.#rateSource = learningRate;
    }
  }

  /** @returns {string} */
  get name() {
    return this.#name;
  }

  /** @returns {number} updates made: calls of `apply`, divided by `gradientAccumulationSteps` if there are such */
  get iterations() {
    return this.#updatesBefore(this.#iteration.data[0]);
  }

  /** @returns {number} the current rate: the number, rounded to float32, or what the callback or schedule says now */
  get learningRate() {
    if (this.#rate !== undefined) return this.#rate.data[0];
    return evaluate('learningRate', this.#source(), this.#iteration.data[0]);
  }

  /**
   * A number replaces a number; a callback or schedule replaces anything.
   *
   * @param {Rate} rate
   * @throws {TypeError} for a number where the optimizer has a callback or schedule
   */
  set learningRate(rate) {
    this.#ready('learningRate');
    checkRate(rate);
    if (typeof rate !== 'number') {
      this.#rate?.dispose();
      this.#rate = undefined;
      this.#rateSource = rate;
    } else if (this.#rate === undefined) {
      throw new TypeError(`learningRate must be set to a callback or schedule where it was one before, got ${show(rate)}`);
    } else {
      this.#rate.data[0] = rate;
    }
  }

  /**
   * @returns {Tensor[]} the state in Keras's order: the iteration (int32 scalar), the rate if it was given as a number,
   *   then per variable averages, gradient accumulators, velocities, momentums, average gradients
   */
  get variables() {
    const state = [this.#iteration];
    if (this.#rate !== undefined) state.push(this.#rate);
    for (const { tensors } of this.#slots()) state.push(...tensors);
    return state;
  }

  /** @returns {SlotName[]} the slots that each variable has, in the order of `variables` */
  get slotNames() {
    return this.#slotSpecs().map(({ name }) => name);
  }

  /**
   * @param {Variable} variable
   * @param {string} name one of `slotNames`
   * @returns {Tensor | null} null when the variable is unknown or has no such slot
   */
  getSlot(variable, name) {
    return this.#engine?.slot(name)?.[this.#engine.indexOf(variable)] ?? null;
  }

  /**
   * Makes the slots. The first `apply` with variables does it too; a second call with the same variables does nothing.
   *
   * @param {readonly Variable[]} variables float32, of one memory, each once
   * @throws {TypeError | RangeError} for other variables; nothing is allocated then
   */
  build(variables) {
    this.#ready('build');
    if (this.#engine === undefined) {
      this.#engine = new Engine(variables, this.#slotSpecs());
      this.#writeConstants(this.#engine);
      this.#markExcluded();
      return;
    }
    checkVariables(variables);
    const built = this.#engine.variables;
    if (variables.length !== built.length || variables.some((variable, i) => variable !== built[i])) {
      throw new RangeError('the optimizer is built for other variables already: make a new optimizer for these');
    }
  }

  /**
   * One call of the rule: an update, or with gradient accumulation a part of one.
   *
   * @param {readonly (Gradient | null)[]} gradients null: no gradient, the variable is left out; empty: nothing happens
   * @param {readonly Variable[]} [variables] in the order of the gradients; default all that the optimizer is built for
   * @throws {TypeError | RangeError} for what does not fit; weights, slots and counters are as before then
   */
  apply(gradients, variables) {
    this.#ready('apply');
    if (this.#stage(gradients, variables)) this.#update(this.#builtEngine());
  }

  /**
   * @param {readonly (readonly [Gradient | null, Variable])[]} pairs
   * @returns {number} `iterations` after it
   * @throws {TypeError | RangeError} as `apply`
   */
  applyGradients(pairs) {
    this.apply(...unzip(pairs));
    return this.iterations;
  }

  /**
   * `apply` with each built variable's `.gradient`: the fast path, which allocates nothing.
   *
   * @throws {RangeError} if the optimizer is not built or no variable has a gradient
   */
  step() {
    this.#ready('step');
    const engine = this.#builtEngine();
    this.#stageOwn(engine);
    this.#update(engine);
  }

  /**
   * @param {(...variables: Variable[]) => LossAndGradients} lossAndGradients is called with the variables
   * @param {readonly Variable[]} variables
   * @returns {number} `iterations` after it
   * @throws {TypeError | RangeError} as `apply`, and for another return value
   */
  minimize(lossAndGradients, variables) {
    this.#ready('minimize');
    this.apply(gradientsOf(lossAndGradients, variables), variables);
    return this.iterations;
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
   * @param {readonly Variable[]} [variables] default and otherwise: all that the optimizer is built for, in that order
   * @throws {RangeError} for another number of variables
   */
  finalizeVariableValues(variables) {
    this.#ready('finalizeVariableValues');
    if (!this.#options.useEma) return;
    const engine = this.#builtEngine();
    const targets = variables ?? engine.variables;
    checkVariables(targets);
    if (targets.length !== engine.variables.length) {
      throw rangeError('variables', `the ${engine.variables.length} variables the optimizer is built for`, targets);
    }
    targets.forEach((target, i) => checkGradient(target, this.#averages(engine)[i]));
    if (this.#iteration.data[0] === 0) return;
    targets.forEach((target, i) => target.set(this.#averages(engine)[i]));
  }

  /**
   * Runs a function with the averages in the variables and puts the weights back afterwards, bit for bit, also when the
   * function throws or its promise is rejected. Before the first step the weights are their own averages.
   *
   * @template T
   * @param {() => T} fn sync or async; steps, `save`, `load` and `dispose` throw while it runs
   * @returns {T} what `fn` returns
   * @throws {RangeError} without `useEma`
   */
  withAverages(fn) {
    this.#ready('withAverages');
    if (typeof fn !== 'function') throw typeError('fn', 'a function', fn);
    if (!this.#options.useEma) throw rangeError('useEma', 'true for withAverages', false);
    const engine = this.#builtEngine();
    const variables = this.#iteration.data[0] === 0 ? [] : engine.variables;
    const weights = variables.map((variable) => variable.data.slice());
    const averages = this.#averages(engine);
    variables.forEach((variable, i) => variable.data.set(averages[i].data));
    this.#running = 'withAverages';
    const restore = () => {
      this.#running = undefined;
      variables.forEach((variable, i) => {
        if (!variable.isDisposed) variable.data.set(weights[i]);
      });
    };
    let result;
    try {
      result = fn();
    } catch (error) {
      restore();
      throw error;
    }
    if (isThenable(result)) return /** @type {T} */ (/** @type {unknown} */ (Promise.resolve(result).finally(restore)));
    restore();
    return result;
  }

  /**
   * Leaves variables out of weight decay, from the next step on. A later call replaces an earlier one.
   *
   * @param {object} options
   * @param {readonly Variable[]} [options.variables]
   * @param {RegExp | string | readonly (RegExp | string)[]} [options.names] searched for in the variables' names; a
   *   string is a regular expression too, as in Python's `re.search`
   * @throws {TypeError} for others; nothing has changed then
   */
  excludeFromWeightDecay(options) {
    this.#ready('excludeFromWeightDecay');
    knownOptions('excludeFromWeightDecay', options, ['variables', 'names']);
    const { variables = [], names = [] } = options;
    if (!Array.isArray(variables)) throw typeError('variables', 'an array of variables', variables);
    variables.forEach((variable, i) => {
      if (!isVariable(variable)) throw typeError(`variables[${i}]`, 'a variable', variable);
    });
    const sources = (Array.isArray(names) ? names : [names]).map((name, i) => {
      if (typeof name === 'string') return name;
      if (name instanceof RegExp) return name;
      throw typeError(`names[${i}]`, 'a RegExp or a string', name);
    });
    this.#excluded = { variables: new Set(variables), pattern: joinPatterns(sources) };
    this.#markExcluded();
  }

  /**
   * @returns {Record<string, unknown>} Keras's dictionary, in Keras's order, JSON-safe; the rate as read back from
   *   float32, a schedule as Keras serializes it, a callback by its name
   */
  getConfig() {
    const options = this.#options;
    const source = this.#rate === undefined ? this.#source() : this.#rate.data[0];
    return {
      name: this.#name,
      learning_rate: isSchedule(source) ? serialize(source) : configOf(source),
      weight_decay: options.weightDecay ?? null,
      clipnorm: options.clipnorm ?? null,
      global_clipnorm: options.globalClipnorm ?? null,
      clipvalue: options.clipvalue ?? null,
      use_ema: options.useEma,
      ema_momentum: options.emaMomentum,
      ema_overwrite_frequency: options.emaOverwriteFrequency ?? null,
      loss_scale_factor: options.lossScaleFactor ?? null,
      gradient_accumulation_steps: options.gradientAccumulationSteps ?? null,
      rho: configOf(options.rho),
      momentum: configOf(options.momentum),
      epsilon: configOf(options.epsilon),
      centered: options.centered,
    };
  }

  /**
   * @param {Record<string, any>} config Keras's dictionary, or the options of the constructor
   * @param {object} [options]
   * @param {Record<string, any>} [options.customObjects] callbacks and schedule classes of the user's own by name
   * @returns {RMSprop}
   */
  static fromConfig(config, options = {}) {
    if (typeof config !== 'object' || config === null) throw typeError('config', 'an object', config);
    knownOptions('fromConfig', options, ['customObjects']);
    const { customObjects = {} } = options;
    const entries = Object.entries(config).map(([key, value]) => {
      const name = key.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
      return [name, fromConfigValue(name, value, customObjects)];
    });
    return new RMSprop(Object.fromEntries(entries));
  }

  /** @returns {TensorData[]} copies of `variables`, in their order */
  getWeights() {
    return this.variables.map((state) => state.data.slice());
  }

  /**
   * @param {readonly (Values | Tensor)[]} weights as `getWeights` returns them; a shorter list sets the first ones
   * @throws {TypeError | RangeError} if the optimizer is not built, or one has another length; nothing is written then
   */
  setWeights(weights) {
    this.#ready('setWeights');
    this.#builtEngine();
    if (!Array.isArray(weights)) throw typeError('weights', 'an array', weights);
    const targets = this.variables.slice(0, weights.length);
    const staged = targets.map((target, i) => target.checked(`weights[${i}]`, weights[i]));
    targets.forEach((target, i) => target.data.set(staged[i]));
  }

  /** @returns {Float32Array} all weights of the built variables, one after the other, in build order */
  exportParameters() {
    const { variables } = this.#builtEngine();
    const flat = new Float32Array(variables.reduce((length, { size }) => length + size, 0));
    let offset = 0;
    for (const variable of variables) {
      flat.set(variable.data, offset);
      offset += variable.size;
    }
    return flat;
  }

  /**
   * @param {Float32Array} flat as `exportParameters` returns it
   * @throws {TypeError | RangeError} for another type or length; nothing is written then
   */
  importParameters(flat) {
    this.#ready('importParameters');
    const { variables } = this.#builtEngine();
    if (!(flat instanceof Float32Array)) throw typeError('flat', 'a Float32Array', flat);
    const length = variables.reduce((sum, { size }) => sum + size, 0);
    if (flat.length !== length) throw new RangeError(`flat must have ${length} elements, got ${flat.length}`);
    const views = variables.map((variable) => variable.data);
    let offset = 0;
    for (const view of views) {
      view.set(flat.subarray(offset, offset + view.length));
      offset += view.length;
    }
  }

  /**
   * @param {object} [options]
   * @param {boolean} [options.variables] save the weights too, default false
   * @returns {Uint8Array} the whole state as a safetensors file: a run that is loaded from it goes on with equal bits
   * @throws {RangeError} if the optimizer is not built
   */
  save(options = {}) {
    this.#ready('save');
    knownOptions('save', options, ['variables']);
    const variables = boolean('variables', options.variables ?? false);
    /** @type {Record<string, number>} */
    const counters = { iteration: this.#iteration.data[0] };
    if (this.#rate !== undefined) counters.learning_rate = this.#rate.data[0];
    return saveState(this.#state(), { config: this.getConfig(), counters, variables });
  }

  /**
   * Takes over the state of a file, and the weights if it has them. Hyperparameters other than a number for the rate
   * stay those of the constructor.
   *
   * @param {Uint8Array} bytes what `save` returned, by an optimizer with the same slots and variables of the same names
   * @throws {TypeError | RangeError} if it is anything else, or the optimizer is not built; nothing is written then
   */
  load(bytes) {
    this.#ready('load');
    const { counters, write } = readState(bytes, this.#state());
    const { iteration, learning_rate: rate } = counters;
    if (!Number.isInteger(iteration) || /** @type {number} */ (iteration) < 0) {
      throw rangeError("the checkpoint's iteration", 'an integer of at least 0', iteration);
    }
    if (rate !== undefined) finite("the checkpoint's learning_rate", rate);
    write();
    this.#iteration.data[0] = /** @type {number} */ (iteration);
    if (this.#rate !== undefined && rate !== undefined) this.#rate.data[0] = /** @type {number} */ (rate);
  }

  /** Frees slots and counters; the variables stay. Calling it again does nothing. */
  dispose() {
    if (this.#disposed) return;
    this.#ready('dispose');
    this.#disposed = true;
    this.#engine?.dispose();
    this.#iteration.dispose();
    this.#rate?.dispose();
  }

  // ---- The step ----

  /**
   * Hands the gradients of a call to the engine, which is built if it is not yet.
   *
   * @param {readonly (Gradient | null)[]} gradients
   * @param {readonly Variable[] | undefined} given
   * @returns {boolean} false if the list is empty
   */
  #stage(gradients, given) {
    if (!Array.isArray(gradients)) throw typeError('gradients', 'an array', gradients);
    if (gradients.length === 0) return false;
    const variables = given ?? this.#builtEngine().variables;
    checkVariables(variables);
    if (gradients.length !== variables.length) {
      throw new RangeError(`gradients must be as many as the variables, ${variables.length}, got ${gradients.length}`);
    }
    for (const variable of variables) {
      if (this.#engine !== undefined && this.#engine.indexOf(variable) < 0) {
        throw new RangeError(`variables must be those the optimizer is built for, got unknown ${describe(variable)}`);
      }
    }
    gradients.forEach((gradient, i) => gradient !== null && checkGradient(variables[i], gradient));
    if (gradients.every((gradient) => gradient === null)) throw noGradients();
    if (this.#engine === undefined) this.build(variables);
    const engine = this.#builtEngine();
    for (let i = 0; i < engine.variables.length; i++) engine.setGradient(i, null);
    gradients.forEach((gradient, i) => {
      if (gradient !== null) engine.setGradient(engine.indexOf(variables[i]), variables[i].placeGradient(gradient));
    });
    return true;
  }

  /** @param {Engine} engine */
  #stageOwn(engine) {
    const { variables } = engine;
    for (let i = 0; i < variables.length; i++) engine.setGradient(i, variables[i].gradient);
  }

  /**
   * @param {readonly (Gradient | null)[] | undefined} gradients undefined: each variable's own
   * @param {readonly Variable[] | undefined} variables
   * @param {number} scale what the gradients are divided by
   * @returns {boolean} whether they are all finite
   */
  #applyScaled(gradients, variables, scale) {
    this.#ready('apply');
    if (gradients === undefined) this.#stageOwn(this.#builtEngine());
    else if (!this.#stage(gradients, variables)) return true;
    const engine = this.#builtEngine();
    engine.place();
    if (!engine.allFinite()) return false;
    this.#update(engine, scale);
    return true;
  }

  /**
   * Everything that can fail comes first; then the kernels run, and at last the constraints.
   *
   * @param {Engine} engine with the gradients of this call
   * @param {number} [dynamicScale] what the gradients are divided by, where it is not the option `lossScaleFactor`
   */
  #update(engine, dynamicScale) {
    const { weightDecay, gradientAccumulationSteps, lossScaleFactor, emaOverwriteFrequency } = this.#options;
    const calls = this.#iteration.data[0];
    const updates = this.#updatesBefore(calls);
    const holds = gradientAccumulationSteps !== undefined && (calls + 1) % gradientAccumulationSteps !== 0;
    this.#checkGradientsExist(engine);
    if (!holds) this.#writeHyperparameters(engine, calls);

    let flags = 0;
    if (holds) flags |= constants.RMS_HOLD;
    if (weightDecay !== undefined) flags |= constants.RMS_DECAY_WEIGHTS;
    if (lossScaleFactor !== undefined || dynamicScale !== undefined) flags |= constants.RMS_UNSCALE;
    if (emaOverwriteFrequency && (updates + 1) % emaOverwriteFrequency === 0) flags |= constants.RMS_OVERWRITE;
    engine.setWord('flags', flags);
    if (dynamicScale !== undefined) engine.setNumber('loss_scale', dynamicScale);
    engine.copyNumber('ema_momentum', this.#emaMomentum, updates === 0 ? 0 : 1);
    engine.place();
    engine.step();

    // The update stands, whatever a constraint does: the others run, the call counts, and only then it is reported.
    const failure = this.#constrain(engine);
    this.#iteration.data[0] = calls + 1;
    if (failure !== undefined) throw failure.error;
  }

  /**
   * What stays the same for the life of the engine.
   *
   * @param {Engine} engine
   */
  #writeConstants(engine) {
    const { rho, momentum, epsilon, weightDecay, lossScaleFactor, gradientAccumulationSteps, clip, clipLimit } = this.#options;
    if (typeof rho === 'number') engine.setNumber('rho', rho);
    if (typeof momentum === 'number') engine.setNumber('momentum', momentum);
    if (typeof epsilon === 'number') engine.setNumber('epsilon', epsilon);
    engine.setNumber('weight_decay', weightDecay ?? 0);
    engine.setNumber('loss_scale', lossScaleFactor ?? 1);
    engine.setNumber('accumulation_steps', gradientAccumulationSteps ?? 1);
    engine.setNumber('clip_limit', clipLimit);
    engine.setWord('clip', clip);
  }

  /**
   * What may be different in each update. All callbacks are asked before anything is written.
   *
   * @param {Engine} engine
   * @param {number} calls of `apply` before this one
   */
  #writeHyperparameters(engine, calls) {
    const { rho, momentum, epsilon } = this.#options;
    this.#running = 'a callback';
    try {
      const rate = this.#rate ?? evaluate('learningRate', this.#source(), calls);
      const nextRho = typeof rho === 'function' ? evaluate('rho', rho, calls) : undefined;
      const nextMomentum = typeof momentum === 'function' ? evaluate('momentum', momentum, calls) : undefined;
      const nextEpsilon = typeof epsilon === 'function' ? evaluate('epsilon', epsilon, calls) : undefined;
      // Keras holds the rate as float32; all others go to the kernels as they are.
      if (typeof rate === 'number') engine.setFloat('learning_rate', rate);
      else engine.copyNumber('learning_rate', rate.data, 0);
      if (nextRho !== undefined) engine.setNumber('rho', nextRho);
      if (nextMomentum !== undefined) engine.setNumber('momentum', nextMomentum);
      if (nextEpsilon !== undefined) engine.setNumber('epsilon', nextEpsilon);
    } finally {
      this.#running = undefined;
    }
  }

  /**
   * @param {Engine} engine
   * @throws {RangeError} if no variable has a gradient
   */
  #checkGradientsExist(engine) {
    let missing = 0;
    let news = false;
    for (let i = 0; i < engine.variables.length; i++) {
      if (engine.hasGradient(i)) continue;
      missing++;
      if (!this.#warned.has(engine.variables[i])) news = true;
    }
    if (missing === engine.variables.length) throw noGradients();
    if (news) this.#warnOfMissing(engine);
  }

  /** @param {Engine} engine */
  #warnOfMissing(engine) {
    const missing = engine.variables.filter((_, i) => !engine.hasGradient(i));
    for (const variable of missing) this.#warned.add(variable);
    console.warn(
      `Gradients do not exist for variables [${missing.map(({ name }) => show(name)).join(', ')}] when minimizing the loss.`,
    );
  }

  /**
   * Runs the constraints of the variables that had a gradient.
   *
   * @param {Engine} engine
   * @returns {{ error: unknown } | undefined} what the first that failed threw
   */
  #constrain(engine) {
    let failure;
    this.#running = 'a constraint';
    for (let i = 0; i < engine.variables.length; i++) {
      const variable = engine.variables[i];
      if (variable.constraint === undefined || !engine.hasGradient(i)) continue;
      try {
        variable.constraint(variable);
      } catch (error) {
        failure ??= { error };
      }
    }
    this.#running = undefined;
    return failure;
  }

  // ---- State ----

  /** @returns {{ name: SlotName, field: import('./engine.js').SlotField }[]} in the order of Keras's `variables` */
  #slotSpecs() {
    const { useEma, gradientAccumulationSteps, momentum, centered } = this.#options;
    /** @type {{ name: SlotName, field: import('./engine.js').SlotField }[]} */
    const specs = [];
    if (useEma) specs.push({ name: 'average', field: 'average' });
    if (gradientAccumulationSteps !== undefined) specs.push({ name: 'gradient_accumulator', field: 'accumulator' });
    specs.push({ name: 'velocity', field: 'mean_square' });
    if (typeof momentum === 'function' || momentum > 0) specs.push({ name: 'momentum', field: 'momentum' });
    if (centered) specs.push({ name: 'average_gradient', field: 'mean_gradient' });
    return specs;
  }

  /** @returns {{ name: SlotName, tensors: readonly Tensor[] }[]} the slots that are built */
  #slots() {
    const engine = this.#engine;
    if (engine === undefined) return [];
    return this.#slotSpecs().map(({ name }) => ({ name, tensors: engine.slot(name) ?? [] }));
  }

  #state() {
    return { dialect: 'keras', variables: this.#builtEngine().variables, slots: this.#slots() };
  }

  /** @param {Engine} engine */
  #averages(engine) {
    return /** @type {readonly Tensor[]} */ (engine.slot('average'));
  }

  #source() {
    return /** @type {((step: number) => number) | LearningRateSchedule} */ (this.#rateSource);
  }

  /**
   * @param {number} calls of `apply`
   * @returns {number} how many updates they were
   */
  #updatesBefore(calls) {
    const { gradientAccumulationSteps } = this.#options;
    return gradientAccumulationSteps === undefined ? calls : Math.floor(calls / gradientAccumulationSteps);
  }

  #markExcluded() {
    const engine = this.#engine;
    if (engine === undefined) return;
    const { variables, pattern } = this.#excluded;
    engine.variables.forEach((variable, i) => {
      engine.setKeepsWeights(i, variables.has(variable) || (pattern?.test(variable.name) ?? false));
    });
  }

  #builtEngine() {
    if (this.#engine === undefined) {
      throw new RangeError(`optimizer ${show(this.#name)} must be built first: call build(variables)`);
    }
    return this.#engine;
  }

  /** @param {string} what is to run */
  #ready(what) {
    if (this.#disposed) throw new Error(`optimizer ${show(this.#name)} is disposed`);
    if (this.#running !== undefined) throw new Error(`${what} cannot be used while ${this.#running} runs`);
  }
}

/**
 * @param {RMSpropOptions} options
 */
function checkOptions(options) {
  const {
    learningRate = 0.001, rho = 0.9, momentum = 0, epsilon = 1e-7, centered = false, useEma = false, emaMomentum = 0.99,
    name,
  } = options;
  checkRate(learningRate);
  for (const [key, value] of Object.entries({ rho, momentum, epsilon })) {
    if (typeof value === 'function') continue;
    if (typeof value !== 'number') throw typeError(key, 'a finite number or a function (step) => number', value);
    finite(key, value);
  }
  boolean('centered', centered);
  boolean('useEma', useEma);
  if (name !== undefined && name !== null && typeof name !== 'string') throw typeError('name', 'a string', name);
  const weightDecay = optional('weightDecay', options.weightDecay);
  const lossScaleFactor = optional('lossScaleFactor', options.lossScaleFactor);
  // Python takes 0 for "off" here and below.
  const gradientAccumulationSteps = optional('gradientAccumulationSteps', options.gradientAccumulationSteps) || undefined;
  if (gradientAccumulationSteps !== undefined && gradientAccumulationSteps < 2) {
    throw rangeError('gradientAccumulationSteps', 'an integer >= 2', gradientAccumulationSteps);
  }
  finite('emaMomentum', emaMomentum);
  const emaOverwriteFrequency = optional('emaOverwriteFrequency', options.emaOverwriteFrequency);
  if (useEma) {
    if (emaMomentum < 0 || emaMomentum > 1) throw rangeError('emaMomentum', 'in [0, 1]', emaMomentum);
    if (emaOverwriteFrequency && (!Number.isInteger(emaOverwriteFrequency) || emaOverwriteFrequency < 1)) {
      throw rangeError('emaOverwriteFrequency', 'an integer >= 1', emaOverwriteFrequency);
    }
  }
  const clips = {
    clipnorm: optional('clipnorm', options.clipnorm),
    clipvalue: optional('clipvalue', options.clipvalue),
    globalClipnorm: optional('globalClipnorm', options.globalClipnorm),
  };
  if (Object.values(clips).filter((limit) => limit !== undefined).length > 1) {
    const received = Object.entries(clips).map(([key, limit]) => `${key} ${limit}`).join(', ');
    throw new RangeError(`only one of clipnorm, clipvalue and globalClipnorm can be set, got ${received}`);
  }
  return {
    learningRate, rho, momentum, epsilon, centered, weightDecay, useEma, emaMomentum, emaOverwriteFrequency,
    lossScaleFactor, gradientAccumulationSteps, ...clips, ...clipOf(clips),
  };
}

/**
 * @param {{ clipnorm?: number, clipvalue?: number, globalClipnorm?: number }} clips
 * @returns {{ clip: number, clipLimit: number }} how the kernels clip; a limit of 0 and below means not at all
 */
function clipOf({ clipnorm = 0, clipvalue = 0, globalClipnorm = 0 }) {
  if (clipnorm > 0) return { clip: constants.RMS_CLIP_BY_NORM, clipLimit: clipnorm };
  if (globalClipnorm > 0) return { clip: constants.RMS_CLIP_BY_GLOBAL_NORM, clipLimit: globalClipnorm };
  if (clipvalue > 0) return { clip: constants.RMS_CLIP_BY_VALUE, clipLimit: clipvalue };
  return { clip: constants.RMS_CLIP_NONE, clipLimit: 0 };
}

/**
 * @param {string} name
 * @param {number | null | undefined} value
 * @returns {number | undefined}
 */
function optional(name, value) {
  return value === undefined || value === null ? undefined : finite(name, value);
}

/** @param {unknown} rate */
function checkRate(rate) {
  if (typeof rate === 'function' || isSchedule(rate)) return;
  if (typeof rate !== 'number') {
    throw typeError('learningRate', 'a number, a function (step) => number or a LearningRateSchedule', rate);
  }
  finite('learningRate', rate);
}

/**
 * @param {string} name
 * @param {((step: number) => number) | LearningRateSchedule} source
 * @param {number} step
 * @returns {number} what it says, a finite number
 */
function evaluate(name, source, step) {
  const value = typeof source === 'function' ? source(step) : source.at(step);
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    const Kind = typeof value === 'number' ? RangeError : TypeError;
    throw new Kind(`${name} at step ${step} must be a finite number, got ${show(value)}`);
  }
  return value;
}

/**
 * What Keras writes for a function; JSON has none.
 *
 * @param {Hyperparameter} value
 * @returns {unknown}
 */
function configOf(value) {
  if (typeof value === 'number') return value;
  return { module: 'builtins', class_name: 'function', config: value.name, registered_name: 'function' };
}

/**
 * @param {string} name
 * @param {any} value
 * @param {Record<string, any>} customObjects
 * @returns {unknown}
 */
function fromConfigValue(name, value, customObjects) {
  if (typeof value !== 'object' || value === null || isSchedule(value)) return value;
  if (value.class_name !== 'function') return deserialize(value, { customObjects });
  if (typeof customObjects[value.config] === 'function') return customObjects[value.config];
  throw new TypeError(`${name} was the function ${show(value.config)}: pass it in customObjects`);
}

/**
 * @param {readonly (RegExp | string)[]} patterns
 * @returns {RegExp | undefined} matches where one of them does; without state, whatever flags they had
 */
function joinPatterns(patterns) {
  if (patterns.length === 0) return undefined;
  const [first] = patterns;
  if (patterns.length === 1 && first instanceof RegExp) return new RegExp(first.source, first.flags.replace(/[gy]/g, ''));
  return new RegExp(patterns.map((pattern) => `(?:${pattern instanceof RegExp ? pattern.source : pattern})`).join('|'));
}

/** @param {unknown} value */
function isThenable(value) {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

function noGradients() {
  return new RangeError('No gradients provided for any variable.');
}
