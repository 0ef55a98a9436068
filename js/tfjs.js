/**
 * RMSprop as an optimizer of TensorFlow.js: its names, defaults, calls and weights, with the options of Keras's RMSprop
 * besides. How variables are updated is for the files tfjs-….js; `tf` itself is handed in, nothing of it is imported.
 */
import { signalOf } from './abort.js';
import { tensorsIn } from './arena.js';
import { array, integer, knownOptions, ofType, rangeError, show, typeError } from './check.js';
import { equip } from './core/inspect.js';
import { restoring } from './core/step.js';
import * as constants from './generated/constants.js';
import {
  HYPERPARAMETERS, SLOTS, checkHyperparameter, checkOptions, configOf, evaluate, generationOf, revive,
} from './keras-options.js';
import { exclusionOf, onlyAccumulates, updatesIn, writeConstants } from './keras/step.js';
import { snakeCase } from './naming.js';
import { isSchedule } from './schedule-marker.js';
import { State } from './tfjs-state.js';

/**
 * @typedef {object} TFTensor what is used of a `tf.Tensor`
 * @property {string} dtype
 * @property {number[]} shape
 * @property {number} size
 * @property {object} dataId
 * @property {boolean} isDisposed
 * @property {() => any} dataSync
 * @property {() => Promise<any>} data
 * @property {() => void} dispose
 */
/**
 * @typedef {TFTensor & { name: string, trainable: boolean, assign: (value: any) => void }} TFVariable what is used of a
 *   `tf.Variable`
 */
/**
 * @typedef {'add' | 'addN' | 'backend' | 'clone' | 'concat' | 'dispose' | 'div' | 'engine' | 'fill' | 'getBackend'
 *   | 'keep' | 'lessEqual' | 'maximum' | 'minimum' | 'mul' | 'reshape' | 'scalar' | 'sqrt' | 'square' | 'sub' | 'sum'
 *   | 'tensor' | 'tidy' | 'where' | 'zeros'} TFFunction
 */
/**
 * @typedef {Record<TFFunction, (...args: any[]) => any> & {
 *   Optimizer: abstract new (...args: any[]) => any,
 *   serialization: { registerClass: (...args: any[]) => any },
 * }} TF what is used of `@tensorflow/tfjs` or `@tensorflow/tfjs-core`, version 4
 */
/** @typedef {{ name: string, tensor: TFTensor }} NamedTensor */
/** @typedef {import('./keras-options.js').Rate} Rate */
/** @typedef {import('./keras-options.js').Hyperparameter} Hyperparameter */
/** @typedef {Omit<import('./keras-options.js').RMSpropOptions, 'learningRate'>} CommonOptions */
/**
 * @typedef {object} OwnOptions
 * @property {Rate} learningRate a number, a schedule, or a callback that gets the number of `applyGradients` calls
 *   before this one
 * @property {Hyperparameter} [decay] of the mean square, default 0.9; `rho` is another name of it
 */
/** @typedef {CommonOptions & OwnOptions} TFRMSpropOptions the options of the main entry's RMSprop */
/**
 * @typedef {object} RMSpropExtension what the optimizer has beyond `tf.Optimizer`
 * @property {Rate} learningRate the current rate; to be set, as the main entry's RMSprop has it
 * @property {number} iterations updates made
 * @property {(variableGradients: Record<string, any> | NamedTensor[], options?: import('./abort.js').AbortOptions) =>
 *   Promise<number>} applyGradientsAsync with an `aggregateGradients` that may be asynchronous
 * @property {<R>(fn: () => R, options?: import('./abort.js').AbortOptions) => R} withAverages runs a function,
 *   sync or async, on the averages
 * @property {() => void} finalizeVariableValues copies the averages into the variables, for good
 * @property {(options: { variables?: readonly TFVariable[], names?: RegExp | string | readonly (RegExp | string)[] })
 *   => void} excludeFromWeightDecay leaves variables out of weight decay
 */

/**
 * @typedef {object} Update what a call is about to do
 * @property {readonly TFVariable[]} variables
 * @property {Map<TFVariable, TFTensor>} [gradients] unless there is a hook that gets them
 * @property {import('./tfjs-kernels.js').Readable} [gathered] what the hook is to get
 * @property {Float32Array} [flat] what the hook has, or leaves, of all gradients
 */

/** tfjs's name of each slot by the kernels' name, in the order of its weights, then those that it does not have. */
const NAMES = Object.freeze(/** @type {Record<string, string>} */ ({
  mean_square: 'rms',
  momentum: 'momentum',
  mean_gradient: 'mg',
  average: 'average',
  accumulator: 'gradient_accumulator',
}));

const DISPOSED = 'it is disposed';

/** The class made for each `tf`. @type {WeakMap<object, any>} */
const classes = new WeakMap();

/**
 * RMSprop for TensorFlow.js, to be used wherever `tf.train.rmsprop` is. Also in its positional form:
 * `rmsprop(tf, learningRate, decay, momentum, epsilon, centered)`.
 *
 * @template {TF} T
 * @param {T} tf `@tensorflow/tfjs`, or `@tensorflow/tfjs-core` with a backend
 * @param {TFRMSpropOptions | Rate} options or the learning rate
 * @param {Hyperparameter} [decay]
 * @param {Hyperparameter} [momentum]
 * @param {Hyperparameter | null} [epsilon]
 * @param {boolean} [centered]
 * @returns {InstanceType<T['Optimizer']> & RMSpropExtension}
 * @throws {TypeError} for an unknown option, naming the nearest known one, or one of the wrong kind
 * @throws {RangeError} for NaN, infinity, and what Keras refuses
 * @throws {Error} without a learning rate, as `tf.train.rmsprop`
 */
export function rmsprop(tf, options, decay, momentum, epsilon, centered) {
  const isPositional = options === null || typeof options !== 'object' || isSchedule(options);
  if (!isPositional && [decay, momentum, epsilon, centered].some((value) => value !== undefined)) {
    throw new TypeError('rmsprop must be given options or positional arguments, got both');
  }
  const given = isPositional
    ? { learningRate: options, decay, momentum, epsilon: epsilon ?? undefined, centered }
    : options;
  return new (register(tf))(given);
}

/**
 * Makes the optimizer known to TensorFlow.js, so that models saved with it can be loaded; `rmsprop` does it too.
 *
 * @template {TF} T
 * @param {T} tf
 * @returns {new (options: TFRMSpropOptions) => InstanceType<T['Optimizer']> & RMSpropExtension} its class
 * @throws {TypeError} if it is another module
 */
export function register(tf) {
  if (typeof tf?.Optimizer !== 'function' || typeof tf.serialization?.registerClass !== 'function') {
    throw typeError('tf', '@tensorflow/tfjs or @tensorflow/tfjs-core', tf);
  }
  let made = classes.get(tf);
  if (made === undefined) {
    made = makeClass(tf);
    classes.set(tf, made);
    tf.serialization.registerClass(made);
  }
  return made;
}

/**
 * @param {TF} tf
 * @param {unknown} given
 * @param {ReturnType<typeof generationOf>} generation
 * @returns {Record<string, any>} Keras's options, checked; epsilon that is not given is the backend's, as in
 *   `tf.train.rmsprop`: 1e-4 where its textures have 16 bits, else 1e-7
 */
function optionsOf(tf, given, generation) {
  knownOptions('rmsprop', given, [...Object.keys(generation.defaults), 'decay', 'rule', 'aggregateGradients']);
  const { decay, ...others } = /** @type {Record<string, any>} */ (given);
  if (others.learningRate == null) throw new Error('learningRate for RMSPropOptimizer must be defined.');
  if (decay !== undefined) {
    if (others.rho !== undefined) throw new TypeError('decay and rho are one option, got both');
    checkHyperparameter('decay', decay);
  }
  const { epsilon = tf.backend().epsilon() } = others;
  return checkOptions({ ...others, rho: decay ?? others.rho, epsilon }, generation);
}

/**
 * @param {string} option
 * @param {string} name the callback had
 * @returns {() => number} stands for a callback that a file could not hold, so that the rest can be loaded
 */
function lostCallback(option, name) {
  return { [name]() {
    throw new Error(`${option} was a callback, which no file holds: set learningRate, or make a new optimizer`);
  } }[name];
}

/**
 * @param {Record<string, any>} options
 * @returns {import('./engine.js').SlotSpec[]} in the order of the weights
 */
function specsOf(options) {
  // As tfjs has it, the momentum has its slot in any case.
  const asked = SLOTS.filter(([name, , isAsked]) => name === 'momentum' || isAsked(options)).map(([, field]) => field);
  const fields = /** @type {import('./engine.js').SlotField[]} */ (Object.keys(NAMES));
  return fields.filter((field) => asked.includes(field)).map((field) => ({ name: NAMES[field], field }));
}

/**
 * @param {TF} tf
 * @returns {any} the class of its optimizers
 */
function makeClass(tf) {
  return class RMSpropWasm extends tf.Optimizer {
    static className = 'RMSpropWasm';

    #options;
    #generation;
    /** @type {import('./arena.js').AggregateGradients | undefined} */
    #aggregate;
    #specs;
    #state;
    #flags = 0;
    /** The hyperparameters that are asked in each update. @type {import('./keras/step.js').Asked[]} */
    #asked = [];
    /** @type {(variable: TFVariable) => boolean} */
    #isExcluded = () => false;
    /** What `getWeights` returned last. @type {TFTensor[]} */
    #weights = [];
    /** Why no call can be made now. @type {string | undefined} */
    #blocked;

    /** @param {TFRMSpropOptions} options */
    constructor(options) {
      super();
      this.#generation = generationOf(options);
      this.#options = optionsOf(tf, options, this.#generation);
      this.#aggregate = options.aggregateGradients;
      if (this.#aggregate !== undefined) ofType('aggregateGradients', this.#aggregate, 'function');
      this.#specs = specsOf(this.#options);
      this.#state = new State(tf, this.#specs);
      this.iterations_ = 0;
    }

    /** @returns {number} calls of `applyGradients`, divided by `gradientAccumulationSteps` if there are such */
    get iterations() {
      return updatesIn(this.#options, this.iterations_);
    }

    /** @returns {number} the current rate */
    get learningRate() {
      const { learningRate } = this.#options;
      return typeof learningRate === 'number' ? learningRate : evaluate('learningRate', learningRate, this.iterations_);
    }

    /** @param {Rate} rate a number replaces a number; a callback or schedule replaces anything */
    set learningRate(rate) {
      this.#ready('learningRate');
      checkHyperparameter('learningRate', rate);
      if (typeof rate === 'number' && typeof this.#options.learningRate !== 'number') {
        throw typeError('learningRate', 'a callback or schedule as before', rate);
      }
      this.#options.learningRate = rate;
      this.#tellPath();
    }

    /**
     * @param {() => any} f
     * @param {TFVariable[]} [varList]
     * @returns {{ value: any, grads: any }} the loss, and gradients of it times `lossScaleFactor`: what
     *   `applyGradients` takes
     */
    computeGradients(f, varList) {
      const { lossScaleFactor: scale } = this.#options;
      if (scale == null) return super.computeGradients(f, varList);
      const { value: scaled, grads } = super.computeGradients(() => tf.mul(f(), scale), varList);
      const value = tf.div(scaled, scale);
      scaled.dispose();
      return { value, grads };
    }

    /**
     * One call of the rule: an update, or with gradient accumulation a part of one. When it throws, variables, slots
     * and counter are as before.
     *
     * @param {Record<string, TFTensor> | NamedTensor[]} variableGradients by the names of registered variables; a
     *   variable without a gradient is left out
     */
    applyGradients(variableGradients) {
      this.#ready('applyGradients');
      const update = this.#begin(variableGradients);
      const { gathered } = update;
      if (gathered) {
        /** @type {Float32Array} */
        let values;
        try {
          values = gathered.dataSync();
        } finally {
          gathered.dispose();
        }
        const { settled } = this.#whileBlocked('aggregateGradients runs', () =>
          ({ settled: this.#runHook(update, values) }));
        if (typeof settled?.then === 'function') {
          settled.then(undefined, () => {}); // it is not waited for, and this is what is reported
          throw new TypeError('aggregateGradients must be synchronous here, got a promise: use applyGradientsAsync');
        }
      }
      this.#finish(update);
    }

    /**
     * `applyGradients` with an `aggregateGradients` that may be asynchronous. The gradients may be disposed as soon as
     * it has returned its promise. Until that settles, all other calls throw.
     *
     * @param {Record<string, TFTensor> | NamedTensor[]} variableGradients
     * @param {import('./abort.js').AbortOptions} [options] with a signal the hook can be given up: nothing has changed
     *   then, and the optimizer can be used again at once
     * @returns {Promise<number>} `iterations` after it
     */
    async applyGradientsAsync(variableGradients, options = {}) {
      this.#ready('applyGradientsAsync');
      const signal = signalOf('applyGradientsAsync', options);
      const update = this.#begin(variableGradients);
      const { gathered } = update;
      if (gathered) {
        await this.#whileBlocked('aggregateGradients has not settled', async () => {
          /** @type {Float32Array} */
          let values;
          try {
            values = await gathered.data();
          } finally {
            gathered.dispose();
          }
          signal?.throwIfAborted(); // while they were read: the hook sends nothing for a step that is given up
          return this.#runHook(update, values, signal);
        }, signal);
      }
      this.#finish(update);
      return this.iterations;
    }

    /**
     * Checks what a call is given. Nothing is written.
     *
     * @param {unknown} variableGradients
     * @returns {Update} with what the hook is to get, if there is one and the call is more than a part of an update
     */
    #begin(variableGradients) {
      const { variables, gradients } = updatesOf(tf, variableGradients);
      if (!this.#aggregate || variables.length === 0 || this.#holds) return { variables, gradients };
      const path = this.#meet(variables);
      try {
        path.stage(gradients);
        path.engine.setWord('flags', this.#flags);
        return { variables: this.#state.variables, gathered: path.gather() };
      } finally {
        path.unstage();
      }
    }

    /**
     * @param {Update} update gets what the hook has, or leaves, of all gradients
     * @param {Float32Array} values gathered
     * @param {AbortSignal} [signal]
     * @returns {void | Promise<void>}
     */
    #runHook(update, values, signal) {
      update.flat = values.slice();
      const info = { step: this.iterations_, tensors: tensorsIn(update.variables), ...(signal && { signal }) };
      return this.#aggregate?.(update.flat, info);
    }

    /**
     * Everything that can fail comes before the step.
     *
     * @param {Update} update
     */
    #finish({ variables: met, gradients: given, flat }) {
      const { emaOverwriteFrequency, emaMomentum, useEma } = this.#options;
      const calls = this.iterations_;
      const holds = this.#holds;
      const updates = updatesIn(this.#options, calls);
      const numbers = holds ? [] : this.#ask(calls);
      const variables = met.filter(({ isDisposed }) => !isDisposed); // while the hook was waited for
      const gradients = given ?? tensorsOf(tf, met, /** @type {Float32Array} */ (flat));
      try {
        if (variables.length > 0) {
          const path = this.#meet(variables);
          const overwrites = useEma && emaOverwriteFrequency && (updates + 1) % emaOverwriteFrequency === 0;
          try {
            path.stage(gradients);
            this.#asked.forEach(({ field }, i) => holds || path.engine.setNumber(field, numbers[i]));
            // Keras's first average is a copy; tf.keras's starts as one.
            path.engine.setNumber('ema_momentum', updates || this.#generation.isOld ? emaMomentum : 0);
            path.engine.setWord('flags', this.#flags | (holds ? constants.RMS_HOLD : 0)
              | (flat ? constants.RMS_PREPARED : 0) | (overwrites ? constants.RMS_OVERWRITE : 0));
            let written = holds ? [] : [...gradients.keys()];
            if (overwrites) written = [...this.#state.variables];
            path.step(written);
          } finally {
            path.unstage();
          }
        }
      } finally {
        if (flat) tf.dispose([...gradients.values()]);
      }
      this.incrementIterations();
    }

    /** @returns {boolean} whether the next call only accumulates */
    get #holds() {
      return onlyAccumulates(this.#options, this.iterations_);
    }

    /**
     * @param {readonly TFVariable[]} variables
     * @returns {import('./tfjs-state.js').Path} that has slots for them and knows the options
     */
    #meet(variables) {
      const { path, isChanged, fresh } = this.#state.meet(variables);
      if (isChanged) this.#tellPath(path);
      // An average that begins later begins as a copy.
      if (this.#options.useEma && (this.#generation.isOld || updatesIn(this.#options, this.iterations_) > 0)) {
        for (const variable of fresh) path.copyInto(NAMES.average, variable);
      }
      return path;
    }

    /**
     * As tfjs's own, but a step that fails leaves no tensors behind.
     *
     * @param {() => TFTensor} f returns the loss, a scalar
     * @param {boolean} [returnCost]
     * @param {TFVariable[]} [varList] default all trainable variables
     * @returns {TFTensor | null} the loss, if asked for
     */
    minimize(f, returnCost = false, varList) {
      const { value, grads } = this.computeGradients(f, varList);
      let isReturned = false;
      try {
        this.applyGradients(varList ? varList.map(({ name }) => ({ name, tensor: grads[name] })) : grads);
        isReturned = returnCost;
      } finally {
        tf.dispose(grads);
        if (!isReturned) value.dispose();
      }
      return returnCost ? value : null;
    }

    /** Counts a call; tfjs's own goes by `iterations`, which are updates here. */
    incrementIterations() {
      this.iterations_ += 1;
    }

    /**
     * @param {number} calls of `applyGradients` before this one
     * @returns {number[]} what callbacks and schedules say
     */
    #ask(calls) {
      return this.#whileBlocked('a callback runs', () =>
        this.#sources().map(({ name, source }) => evaluate(name, source, calls)));
    }

    /**
     * @template R
     * @param {string} why
     * @param {() => R} fn sync or async
     * @param {AbortSignal} [signal]
     * @returns {R} what it returns; meanwhile no call can be made
     */
    #whileBlocked(why, fn, signal) {
      this.#blocked = why;
      return restoring(fn, () => {
        this.#blocked = undefined;
      }, signal);
    }

    /** @returns {{ name: string, source: any }[]} the hyperparameters that are no numbers, in the order of `#asked` */
    #sources() {
      return HYPERPARAMETERS.map(([name]) => ({ name, source: this.#options[name] }))
        .filter(({ source }) => typeof source !== 'number');
    }

    /** @param {import('./tfjs-state.js').Path} [path] default the one in use, if there is one */
    #tellPath(path = this.#state.path) {
      const engine = path?.engine;
      if (!path || !engine) return;
      ({ flags: this.#flags, asked: this.#asked } = writeConstants(
        engine, this.#options, this.#options.lossScaleFactor ?? null, this.#generation,
      ));
      for (const variable of this.#state.variables) {
        engine.setKeepsWeights(path.indexOf(variable), this.#isExcluded(variable));
      }
    }

    /**
     * @returns {Promise<NamedTensor[]>} the counter and all slots, in the order and by the names of tfjs; the tensors
     *   are copies that belong to the optimizer, until the next call or `dispose`
     */
    async getWeights() {
      this.#ready('getWeights');
      for (const tensor of this.#weights) tensor.dispose();
      const named = [{ name: 'iter', tensor: tf.scalar(this.iterations_, 'int32') }, ...this.#state.save()];
      this.#weights = named.map(({ tensor }) => tf.keep(tensor));
      return named;
    }

    /**
     * Takes over what `getWeights` gave, here or of a `tf.train.rmsprop`. Slots of variables that are not known yet
     * are theirs when they come: by name, or, if a loaded model has given them other names, in order.
     *
     * @param {NamedTensor[]} weightValues
     * @throws {TypeError | RangeError} if they are anything else; nothing has changed then
     */
    async setWeights(weightValues) {
      this.#ready('setWeights');
      const weights = array('weightValues', weightValues);
      weights.forEach((weight, i) => {
        if (typeof weight?.tensor?.data === 'function' && typeof weight.name === 'string') return;
        throw typeError(`weightValues[${i}]`, '{ name, tensor }', weight);
      });
      if (weights.length === 0) throw rangeError('weightValues', 'at least the counter', weights);
      const values = await Promise.all(weights.map(({ tensor }) => tensor.data()));
      this.#ready('setWeights');
      const [iterations] = values[0];
      if (values[0].length !== 1) throw rangeError('iter', 'one number', values[0]);
      integer('iter', iterations, 0, 2 ** 31 - 1);
      this.#state.load(entriesOf(weights.slice(1), values.slice(1), this.#specs.map(({ name }) => name)));
      this.iterations_ = iterations;
    }

    /** @returns {Record<string, unknown>} tfjs's five options, and the others that are given, but for the hook */
    getConfig() {
      const { learningRate, rho: decay, momentum, epsilon, centered, ...others } = this.#options;
      const { defaults, isOld } = this.#generation;
      const given = Object.entries(others).filter(([name, value]) => value !== defaults[name]);
      if (isOld) given.unshift(['rule', 'keras-2.11']);
      const config = { learningRate, decay, momentum, epsilon, centered, ...Object.fromEntries(given) };
      return Object.fromEntries(Object.entries(config).map(([name, value]) => [name, configOf(value)]));
    }

    /**
     * @param {new (options: any) => any} cls
     * @param {Record<string, any>} config what `getConfig` gave, as tfjs hands it over; callbacks are looked up in its
     *   `customObjects`
     * @returns {any} an optimizer; where it had a callback that is not there, it throws when that is asked
     */
    static fromConfig(cls, config) {
      const { customObjects = {}, ...entries } = ofType('config', config, 'object');
      const options = Object.entries(entries).map(([name, given]) => {
        const value = kerasConfig(given);
        const isLost = value?.class_name === 'function' && !Object.hasOwn(customObjects, value.config);
        return [name, isLost ? lostCallback(name, value.config) : revive(value, customObjects)];
      });
      return new cls(Object.fromEntries(options));
    }

    /**
     * Leaves variables out of weight decay, from the next step on. A later call replaces an earlier one.
     *
     * @param {object} options
     * @param {readonly TFVariable[]} [options.variables]
     * @param {RegExp | string | readonly (RegExp | string)[]} [options.names] searched for in the variables' names
     */
    excludeFromWeightDecay(options) {
      this.#ready('excludeFromWeightDecay');
      this.#isExcluded = exclusionOf(options, (value) => typeof /** @type {any} */ (value)?.assign === 'function');
      this.#tellPath();
    }

    /** Copies the averages into the variables, for good. Without `useEma`, and before the first step, does nothing. */
    finalizeVariableValues() {
      this.#ready('finalizeVariableValues');
      if (this.#options.useEma && this.iterations_ > 0) this.#assignAverages();
    }

    #assignAverages() {
      tf.tidy(() => {
        const { variables } = this.#state;
        const averages = variables.map((variable) => this.#state.tensorOf(NAMES.average, variable));
        variables.forEach((variable, i) => variable.assign(averages[i]));
      });
    }

    /**
     * Runs a function with the averages in the variables and puts the weights back afterwards, bit for bit, also when
     * the function throws or its promise is rejected. Before the first step the weights are their own averages.
     *
     * @template R
     * @param {() => R} fn sync or async; the optimizer cannot be used while it runs
     * @param {import('./abort.js').AbortOptions} [options] with a signal that is given while a promise is waited for,
     *   the weights come back at once and the promise is rejected
     * @returns {R} what `fn` returns
     * @throws {RangeError} without `useEma`
     */
    withAverages(fn, options = {}) {
      this.#ready('withAverages');
      ofType('fn', fn, 'function');
      const signal = signalOf('withAverages', options);
      const { useEma } = this.#options;
      if (!useEma) throw rangeError('useEma', 'true for withAverages', useEma);
      const variables = this.iterations_ > 0 ? this.#state.variables : [];
      /** @type {TFTensor[]} */
      const weights = [];
      try {
        for (const variable of variables) weights.push(tf.keep(tf.clone(variable)));
        if (this.iterations_ > 0) this.#assignAverages();
      } catch (error) {
        for (const weight of weights) weight.dispose();
        throw error;
      }
      this.#blocked = 'withAverages runs';
      return restoring(fn, () => {
        this.#blocked = undefined;
        variables.forEach((variable, i) => {
          if (!variable.isDisposed) variable.assign(weights[i]);
          weights[i].dispose();
        });
      }, signal);
    }

    /** Frees the slots; the variables stay. Calling it again does nothing. */
    dispose() {
      if (this.#blocked === DISPOSED) return;
      this.#ready('dispose');
      this.#blocked = DISPOSED;
      this.#state.dispose();
      for (const tensor of this.#weights) tensor.dispose();
    }

    static {
      equip(this, (optimizer) => #specs in optimizer, (optimizer) => {
        optimizer.#ready('inspect');
        return { iterations: optimizer.iterations, ...optimizer.getConfig() };
      });
    }

    /** @param {string} call */
    #ready(call) {
      if (this.#blocked) throw new Error(`${call} of the optimizer cannot be used: ${this.#blocked}`);
    }
  };
}

/**
 * @param {unknown} entry
 * @param {number} i its place
 * @returns {[name: string, tensor: any]}
 */
function namedTensor(entry, i) {
  const what = `variableGradients[${i}]`;
  if (typeof entry !== 'object' || entry === null) throw typeError(what, '{ name, tensor }', entry);
  const { name, tensor } = /** @type {Record<string, unknown>} */ (entry);
  return [ofType(`${what}.name`, name, 'string'), tensor];
}

/**
 * @param {TF} tf
 * @param {readonly TFVariable[]} variables
 * @param {Float32Array} flat what a hook left of their gradients
 * @returns {Map<TFVariable, TFTensor>} the gradients of those that are still there, to be disposed
 * @throws {Error} if the hook gave the buffer away
 */
function tensorsOf(tf, variables, flat) {
  if (flat.buffer.byteLength === 0) throw new Error('the buffer of aggregateGradients must stay attached');
  const places = tensorsIn(variables);
  return new Map(variables.flatMap((variable, i) => {
    if (variable.isDisposed) return [];
    const { offset, length } = places[i];
    return [[variable, tf.tensor(flat.slice(offset, offset + length), variable.shape)]];
  }));
}

/**
 * @param {TF} tf
 * @param {unknown} given names and gradients
 * @returns {{ variables: TFVariable[], gradients: Map<TFVariable, TFTensor> }} all variables that are named, and the
 *   gradients of those that have one
 * @throws {Error | TypeError | RangeError} naming the first that is no gradient of a variable
 */
function updatesOf(tf, given) {
  const { registeredVariables } = tf.engine();
  const pairs = Array.isArray(given)
    ? given.map(namedTensor)
    : Object.entries(ofType('variableGradients', given, 'object'));
  /** @type {Set<TFVariable>} */
  const variables = new Set();
  /** @type {Map<TFVariable, TFTensor>} */
  const gradients = new Map();
  for (const [name, gradient] of pairs) {
    const variable = registeredVariables[name];
    if (variable === undefined || variable.isDisposed) throw new Error(`there is no variable ${show(name)}`);
    if (variables.has(variable)) throw rangeError('variableGradients', 'each variable once', name);
    if (variable.dtype !== 'float32') throw typeError(`variable ${show(name)}`, 'float32', variable.dtype);
    variables.add(variable);
    if (gradient == null) continue;
    const what = `gradient of variable ${show(name)}`;
    if (typeof gradient.dataSync !== 'function') throw typeError(what, 'a tensor', gradient);
    if (gradient.isDisposed) throw new Error(`${what} is disposed`);
    if (gradient.dtype !== 'float32') throw typeError(what, 'float32', gradient.dtype);
    if (gradient.size !== variable.size) throw rangeError(what, `of ${variable.size} elements`, gradient.size);
    gradients.set(variable, gradient);
  }
  return { variables: [...variables], gradients };
}

/**
 * @param {NamedTensor[]} weights without the counter
 * @param {any[]} values of each
 * @param {string[]} slotNames
 * @returns {import('./tfjs-state.js').Entry[]} by variable
 * @throws {RangeError} if not every variable has all slots, or there are others
 */
function entriesOf(weights, values, slotNames) {
  /** @type {Map<string, import('./tfjs-state.js').Entry>} */
  const entries = new Map();
  weights.forEach(({ name: weight, tensor: { shape } }, i) => {
    const split = weight.lastIndexOf('/');
    const [name, slot] = [weight.slice(0, split), weight.slice(split + 1)];
    if (!slotNames.includes(slot)) throw rangeError('weightValues', `of the slots ${slotNames}`, weight);
    let entry = entries.get(name);
    if (entry === undefined) entries.set(name, (entry = { name, shape, slots: {} }));
    if (`${entry.shape}` !== `${shape}`) throw rangeError(weight, `of shape [${entry.shape}]`, `[${shape}]`);
    if (Object.hasOwn(entry.slots, slot)) throw rangeError('weightValues', 'each weight once', weight);
    entry.slots[slot] = Float32Array.from(values[i]);
  });
  for (const { name, slots } of entries.values()) {
    for (const slot of slotNames) {
      if (!Object.hasOwn(slots, slot)) throw rangeError('weightValues', `with ${name}/${slot}`, weights);
    }
  }
  return [...entries.values()];
}

/**
 * @param {any} value in a config
 * @returns {any} the same with the keys of objects as Keras spells them: loading a model, tfjs spells them its own way
 */
function kerasConfig(value) {
  if (Array.isArray(value)) return value.map(kerasConfig);
  if (typeof value !== 'object' || value === null || isSchedule(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [snakeCase(name), kerasConfig(inner)]));
}
