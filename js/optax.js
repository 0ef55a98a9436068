/**
 * RMSprop as optax has it, and the transforms that go with it: names, defaults, arithmetic and order of optax 0.2.8 run
 * operation by operation, where every operation is rounded on its own. Under jit XLA fuses products with sums; that
 * mode is not ours.
 *
 *     const learningRate = cosineDecaySchedule({ initValue: 0.01, decaySteps: 100 });
 *     const optimizer = chain(clipByGlobalNorm(1), rmsprop({ learningRate }));
 *     const state = optimizer.init(params);
 *     const [updates] = optimizer.update(gradients, state, params);
 *     const next = applyUpdates(params, updates);         // or, in place: optimizer.step(gradients, state, params)
 *
 * Parameters, gradients and updates are trees (tree.js) of tensors or of Float32Array and Float64Array. A null in the
 * place of a gradient passes through: that leaf has no update, and its state stays.
 *
 * What is mutated. A state lies in linear memory: `update` and `step` change it and return it, so that JAX's `updates,
 * state = optimizer.update(gradients, state)` reads the same; keep an older one by `cloneState`. `update` leaves
 * gradients and parameters alone. Where a gradient is a typed array its update is a new typed array; where it is a
 * tensor the update is a tensor of the state, which the next `update` overwrites and `disposeState` frees.
 * `applyUpdates` makes new leaves, of which new tensors are the caller's to dispose of. `step` changes the parameters.
 * A call that throws has changed nothing, if all transforms are those of this module and memory is not exhausted in the
 * middle of a chain.
 */
import { array, finite, integer, knownOptions, ofType, rangeError, typeError } from './check.js';
import { Engine, checkPool } from './engine.js';
import * as constants from './generated/constants.js';
import { optax } from './generated/optax.js';
import {
  MAX_COUNT, ask, biasCorrectionOf, given, next, rmspropOptions, scheduleOf, slotsOf,
} from './optax-options.js';
import {
  Buffers, Form, TransformState, adopting, checkClonable, cloneState, contentOf, copyAll, dataOf, disposeState,
  isTransformState, releaseState,
} from './optax-state.js';
import { readStateDict, writeStateDict } from './state-dict.js';
import { isTensor, tensor } from './tensor.js';

export * from './optax-schedules.js';
export { cloneState, disposeState };

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./tree.js').Tree} Tree */
/** @typedef {import('./optax-state.js').Place} Place */
/** @typedef {import('./optax-options.js').Schedule} Schedule */
/** @typedef {import('./optax-options.js').RmspropOptions} RmspropOptions */
/**
 * @typedef {object} Transform optax's GradientTransformation, and `step`; a transform of the user's own may do without
 *   `step`
 * @property {(params: any) => any} init the state for parameters of this form; they are only looked at
 * @property {(grads: any, state: any, params?: any) => [any, any]} update the updates and the state, which is changed
 * @property {(grads: any, state: any, params: any) => any} step adds the updates to the parameters in place and returns
 *   the state: the bits of `update` and `applyUpdates`
 */

/** How the transforms of this module, and of other copies of the package, work together: see `Steps`. */
const STEPS = Symbol.for('rmsprop-wasm.optax.steps');

/**
 * @template S the state
 * @typedef {object} Steps of a transform: everything that can fail comes before anything changes
 * @property {(params: any) => S} init
 * @property {(state: S, params: any, grads?: any) => any} prepare checks everything and asks the schedules, whose
 *   answers it returns; grads undefined: they are another transform's updates and not there yet
 * @property {(grads: any, state: S, params: any, prepared: any) => [any, S]} update
 * @property {(grads: any, state: S, params: any, prepared: any) => S} [step] without it `update` and an addition
 */

/**
 * @template S
 * @param {Steps<S>} steps
 * @returns {Transform}
 */
function transform(steps) {
  return Object.freeze({
    [STEPS]: steps,
    init: steps.init,
    /** @type {Transform['update']} */
    update(grads, state, maybe) {
      const params = maybe ?? undefined; // as Python's None
      return steps.update(grads, state, params, steps.prepare(state, params, given('grads', grads)));
    },
    /** @type {Transform['step']} */
    step(grads, state, params) {
      new Form(given('params', params)).writable(params);
      return stepBy(steps, grads, state, params, steps.prepare(state, params, given('grads', grads)));
    },
  });
}

/**
 * @param {Steps<any>} steps
 * @param {any} grads
 * @param {any} state
 * @param {any} params
 * @param {any} prepared
 * @returns {any} the state
 */
function stepBy(steps, grads, state, params, prepared) {
  if (steps.step) return steps.step(grads, state, params, prepared);
  const [updates, next] = steps.update(grads, state, params, prepared);
  const form = new Form(params);
  const places = form.writable(params);
  form.read('updates', updates).forEach((update, i) => {
    if (update !== null) add(dataOf(places[i]), dataOf(places[i]), dataOf(update));
  });
  return next;
}

/**
 * @param {string} name
 * @param {unknown} transformation of this module or of the user's own
 * @returns {Steps<any>}
 */
function stepsOf(name, transformation) {
  const { init, update, [STEPS]: steps } = ofType(name, transformation, 'object');
  ofType(`${name}.init`, init, 'function');
  ofType(`${name}.update`, update, 'function');
  return steps ?? { init, prepare: () => undefined, update: (grads, state, params) => update(grads, state, params) };
}

/**
 * Checks a state against the trees that are there.
 *
 * @param {any} state
 * @param {string} kind see TransformState
 * @param {any} grads
 * @param {any} params
 */
function checkState(state, kind, grads, params) {
  if (!isTransformState(state) || state.kind !== kind) {
    throw typeError('state', 'what init of this transform returned', state);
  }
  if (state.isDisposed) throw new Error('state is disposed');
  if (grads !== undefined) state.form.read('grads', grads);
  if (params !== undefined) state.form.values(params);
}

/**
 * @param {TensorData} out
 * @param {TensorData} a
 * @param {TensorData} b
 */
function add(out, a, b) {
  for (let i = 0; i < out.length; i++) out[i] = a[i] + b[i];
}

// ---- RMSprop ----

/** The state of `rmsprop`. Its trees can be read, and written by `set` of their tensors. */
class RmspropState extends TransformState {
  #engine;
  #slots;
  #pool;
  #inputs;

  /**
   * @param {Form} form
   * @param {readonly import('./engine.js').SlotSpec[]} slots
   * @param {import('./engine.js').Pool} [pool]
   */
  constructor(form, slots, pool) {
    super(form);
    this.#slots = slots;
    this.#pool = pool;
    this.#inputs = new Buffers(form);
    const variables = /** @type {any} */ (form.leaves);
    this.#engine = variables.length ? new Engine(optax, variables, slots, { isChecked: true, pool }) : undefined;
    /** Updates so far. */
    this.count = 0;
  }

  /** @returns {any} the mean square of each leaf */
  get nu() {
    return this.#slot('nu');
  }

  /** @returns {any} the mean gradient of each leaf, undefined if the optimizer is not centered */
  get mu() {
    return this.#slot('mu');
  }

  /** @returns {any} the trace of each leaf, undefined without momentum */
  get trace() {
    return this.#slot('trace');
  }

  /** @param {string} name */
  #slot(name) {
    if (!this.#slots.some((slot) => slot.name === name)) return undefined;
    return this.form.tree(this.#engine?.slot(name) ?? []);
  }

  /**
   * @param {readonly import('./engine.js').SlotSpec[]} slots
   * @returns {boolean} whether it has these, and no others
   */
  has(slots) {
    return slots.length === this.#slots.length && slots.every(({ name }, k) => this.#slots[k].name === name);
  }

  /**
   * One call of the kernels.
   *
   * @param {readonly (Place | null)[]} gradients
   * @param {readonly Place[] | null} values to be changed; null: they are left alone
   * @param {(engine: Engine) => void} writeOptions
   * @returns {(Place | null)[]} the updates, empty if values were changed
   */
  run(gradients, values, writeOptions) {
    const engine = this.#engine;
    if (!engine) {
      this.count = next(this.count);
      return [];
    }
    // All tensors are made before anything is copied, for memory that grows detaches views.
    const inputs = gradients.map((gradient, i) =>
      (gradient === null || isTensor(gradient) ? gradient : this.#inputs.at(i)));
    const targets = gradients.map((gradient, i) => {
      const value = values?.[i];
      if (gradient === null) return null;
      return value && isTensor(value) ? value : this.updateAt(i);
    });
    const meanSquares = engine.slot('nu');
    gradients.forEach((gradient, i) => {
      const [input, target] = [inputs[i], targets[i]];
      engine.setGradient(i, input);
      if (gradient === null || input === null || target === null) {
        engine.setValue(i, meanSquares[i], null); // not touched without a gradient, but there must be something
        return;
      }
      if (input !== gradient) input.data.set(dataOf(gradient));
      if (!values) {
        engine.setValue(i, input, target); // a value that stays as it is may be any
      } else {
        if (target !== values[i]) target.data.set(dataOf(values[i]));
        engine.setValue(i, target, null);
      }
    });
    writeOptions(engine);
    engine.place().step();
    this.count = next(this.count);
    if (!values) {
      return gradients.map((gradient, i) => {
        const target = targets[i];
        return target === null || isTensor(gradient) ? target : target.data.slice();
      });
    }
    values.forEach((value, i) => {
      const target = targets[i];
      if (target !== null && !isTensor(value)) value.set(target.data);
    });
    return [];
  }

  /** @returns {string} see `TransformState` */
  get kind() {
    return 'rmsprop';
  }

  /** @returns {Record<string, any>} see `TransformState` */
  content() {
    const { count, nu, mu, trace } = this;
    return { count, nu, ...(mu !== undefined && { mu }), ...(trace !== undefined && { trace }) };
  }

  /**
   * Takes over the counts.
   *
   * @param {Record<string, any>} content see `TransformState`
   */
  adopt({ count }) {
    this.count = count;
  }

  /** @returns {RmspropState} */
  clone() {
    const copy = new RmspropState(this.form, this.#slots, this.#pool);
    copy.count = this.count;
    this.#slots.forEach(({ name }) => copyAll(this.#engine?.slot(name) ?? [], copy.#engine?.slot(name) ?? []));
    return copy;
  }

  /** Frees all tensors. */
  dispose() {
    if (this.isDisposed) return;
    super.dispose();
    this.#engine?.dispose();
    this.#inputs.dispose();
  }
}

/**
 * optax.rmsprop:
 *
 *     nu <- decay nu + (1 - decay) g²,   centered also mu <- decay mu + (1 - decay) g
 *     u = -learningRate (g / sqrt(nu + eps)),   centered nu - mu² in the place of nu
 *     trace <- u + momentum trace,   the update is trace, with Nesterov's look-ahead u + momentum trace
 *
 * Beware of PyTorch's other conventions: eps outside the root (`epsInSqrt: false`), decay 0.99, and a rate that is
 * applied to the trace, not before.
 *
 * Where optax's number is a traced array, as under inject_hyperparams, it is a float32 and so is 1 - decay: hand over
 * `Math.fround(decay)` to have its bits.
 *
 * @param {RmspropOptions & { pool?: import('./engine.js').Pool }} options `pool`: threads that share the work of each
 *   step, a `ThreadPool`; parameters that are tensors are in its memory
 * @returns {Transform}
 * @throws {TypeError | RangeError} for an unknown option, or a value of the wrong kind, NaN or infinite
 *
 * @example
 * ```js
 * import { applyUpdates, disposeState, rmsprop } from 'rmsprop-wasm/optax';
 *
 * const optimizer = rmsprop({ learningRate: 0.1 });
 * let params = { w: Float32Array.of(1, 2) };
 * const state = optimizer.init(params);
 * const [updates] = optimizer.update({ w: Float32Array.of(1, -1) }, state);
 * params = applyUpdates(params, updates);
 * console.log(Array.from(params.w, (x) => x.toFixed(3)).join()); // prints 0.684,2.316
 * disposeState(state);
 * ```
 */
export function rmsprop(options) {
  const all = rmspropOptions(options, ['pool']);
  const pool = checkPool(options.pool);
  const { learningRate: rate } = all;
  const slots = slotsOf(all);
  const flags = (all.nesterov ? constants.RMS_NESTEROV : 0) | (all.biasCorrection ? constants.RMS_CORRECT_BIAS : 0);

  /** @type {(state: RmspropState, learningRate: number) => (engine: Engine) => void} */
  const writer = (state, learningRate) => (engine) => {
    engine.setWord('rule', all.epsInSqrt ? constants.RMS_RULE_OPTAX : constants.RMS_RULE_OPTAX_OUTSIDE);
    engine.setWord('flags', flags);
    engine.setNumber('learning_rate', -learningRate);
    engine.setNumber('rho', all.decay);
    engine.setNumber('momentum', all.momentum ?? 0);
    engine.setNumber('epsilon', all.eps);
    if (!all.biasCorrection) return;
    // With a float64 leaf, all of this is float64, as in JAX once its float64 is enabled.
    const isDouble = state.form.leaves.some(({ dtype }) => dtype === 'float64');
    const round = isDouble ? (/** @type {number} */ x) => x : Math.fround;
    engine.setNumber('bias_correction', biasCorrectionOf(all.decay, next(state.count), round));
  };

  return transform({
    init: (params) => new RmspropState(new Form(params, pool?.memory), slots, pool),
    prepare(state, params, grads) {
      checkState(state, 'rmsprop', grads, params);
      if (!state.has(slots)) throw rangeError('state', `one with ${slots.map(({ name }) => name).join(', ')}`, state);
      return ask('learningRate', rate, state.count);
    },
    update(grads, state, _, learningRate) {
      const updates = state.run(state.form.read('grads', grads), null, writer(state, learningRate));
      return [state.form.tree(updates), state];
    },
    step(grads, state, params, learningRate) {
      state.run(state.form.read('grads', grads), state.form.writable(params), writer(state, learningRate));
      return state;
    },
  });
}

/**
 * @param {Tree} params left alone
 * @param {Tree} updates as `update` returned them
 * @returns {any} a new tree of new leaves: params + updates, each sum rounded once to the type of the parameter; where
 *   the update is null a copy of the parameter. New tensors are the caller's to dispose of.
 * @throws {TypeError | RangeError | Error} if the trees differ
 */
export function applyUpdates(params, updates) {
  const form = new Form(params);
  const [values, changes] = [form.read('params', params), form.read('updates', updates)];
  const results = values.map((value) => {
    if (isTensor(value)) return tensor(value, { memory: value.memory });
    return value === null ? null : value.slice();
  });
  results.forEach((result, i) => {
    const change = changes[i];
    if (result !== null && change !== null) add(dataOf(result), dataOf(result), dataOf(change));
  });
  return form.tree(results);
}

// ---- Files ----

/**
 * What flax's `to_bytes` is to optax: a file of a state, or of any tree with states in it, such as `{ params, state }`.
 *
 * @param {any} state left alone
 * @returns {Uint8Array} a safetensors file, in which tensors have names like `state.nu.w`; see state-dict.js
 * @throws {TypeError | RangeError | Error} for what is no such tree, or is disposed
 */
export function saveState(state) {
  return writeStateDict('optax', contentOf(state));
}

/**
 * What flax's `from_bytes` is to optax.
 *
 * @template T
 * @param {T} state what the file was made of, in form: `init(params)`, or `{ params, state: init(params) }`. Its arrays
 *   are written to.
 * @param {Uint8Array} bytes what `saveState` returned
 * @returns {T} the state, with which a run goes on with equal bits
 * @throws {TypeError | RangeError | Error} if it is anything else; nothing is written then
 */
export function loadState(state, bytes) {
  return adopting('state', state, readStateDict('optax', bytes))();
}

// ---- Other transforms ----

/**
 * Applies transforms one after the other, each to the updates of the one before.
 *
 * @param {...any} transforms of this module, or any `{ init, update }`
 * @returns {Transform} its state is the array of theirs
 * @throws {TypeError | RangeError} if there is none, or one is anything else
 */
export function chain(...transforms) {
  if (transforms.length === 0) throw rangeError('transforms', 'at least one', transforms);
  const parts = transforms.map((part, k) => stepsOf(`transforms[${k}]`, part));

  /** @type {(grads: any, states: any[], params: any, prepared: any[], count: number) => any} */
  const run = (grads, states, params, prepared, count) => {
    let updates = grads;
    for (let k = 0; k < count; k++) [updates, states[k]] = parts[k].update(updates, states[k], params, prepared[k]);
    return updates;
  };

  return transform({
    init(params) {
      /** @type {any[]} */
      const states = [];
      try {
        for (const { init } of parts) states.push(init(params));
      } catch (error) {
        releaseState(states);
        throw error;
      }
      return states;
    },
    prepare(states, params, grads) {
      if (array('state', states).length !== parts.length) {
        throw rangeError('state', `that of ${parts.length} transforms`, states);
      }
      return parts.map(({ prepare }, k) => prepare(states[k], params, k === 0 ? grads : undefined));
    },
    update: (grads, states, params, prepared) => [run(grads, states, params, prepared, parts.length), states],
    step(grads, states, params, prepared) {
      const last = parts.length - 1;
      const updates = run(grads, states, params, prepared, last);
      states[last] = stepBy(parts[last], updates, states[last], params, prepared[last]);
      return states;
    },
  });
}

/**
 * A transform that remembers nothing.
 *
 * @param {(state: TransformState, leaves: (Place | null)[]) => any} update
 * @returns {Transform}
 */
function stateless(update) {
  return transform({
    init: (params) => new TransformState(new Form(params)),
    prepare: (state, params, grads) => checkState(state, 'stateless', grads, params),
    update: (grads, state) => [update(state, state.form.read('grads', grads)), state],
  });
}

/**
 * Limits each element to [-maxDelta, maxDelta].
 *
 * @param {number} maxDelta
 * @returns {Transform}
 * @throws {TypeError | RangeError} if it is no finite number
 */
export function clip(maxDelta) {
  finite('maxDelta', maxDelta);
  return stateless((state, leaves) => state.map(leaves, (out, g, i) => {
    const high = state.form.rounding(i)(maxDelta);
    for (let j = 0; j < out.length; j++) {
      const raised = g[j] < -high ? -high : g[j];
      out[j] = raised > high ? high : raised;
    }
  }));
}

/**
 * Scales all updates so that their norm, over all leaves together, is maxNorm at most: g <- (g (1 / norm)) maxNorm,
 * unless norm < maxNorm. The squares of a leaf are summed in float64 and their sum is rounded: XLA's order of summation
 * is its own affair, and may differ in the last place of the norm.
 *
 * @param {number} maxNorm
 * @returns {Transform}
 * @throws {TypeError | RangeError} if it is no finite number
 */
export function clipByGlobalNorm(maxNorm) {
  finite('maxNorm', maxNorm);
  return stateless((state, leaves) => {
    let total = 0;
    let widest = Math.fround;
    leaves.forEach((leaf, i) => {
      if (leaf === null) return;
      const round = state.form.rounding(i);
      let sum = 0;
      for (const x of dataOf(leaf)) sum += round(x * x);
      if (state.form.leaves[i].dtype === 'float64') widest = round;
      total = widest(total + round(sum));
    });
    const norm = widest(Math.sqrt(total));
    const isBelow = norm < widest(maxNorm);
    return state.map(leaves, (out, g, i) => {
      const round = state.form.rounding(i);
      const [reciprocal, limit] = [round(1 / round(norm)), round(maxNorm)];
      for (let j = 0; j < out.length; j++) out[j] = isBelow ? g[j] : round(g[j] * reciprocal) * limit;
    });
  });
}

/** A state that counts. */
class CountState extends TransformState {
  count = 0;

  /** @returns {string} see `TransformState` */
  get kind() {
    return 'count';
  }

  /** @returns {Record<string, any>} see `TransformState` */
  content() {
    return { count: this.count };
  }

  /**
   * Takes over the counts.
   *
   * @param {Record<string, any>} content see `TransformState`
   */
  adopt({ count }) {
    this.count = count;
  }

  /** @returns {CountState} */
  clone() {
    const copy = new CountState(this.form);
    copy.count = this.count;
    return copy;
  }
}

/**
 * Adds weightDecay times the parameters: g <- g + weightDecay x. Before `rmsprop` that is L2 regularization; after it,
 * with a negative number, decoupled weight decay.
 *
 * @param {number | Schedule} weightDecay
 * @returns {Transform} whose `update` needs the parameters
 * @throws {TypeError | RangeError} if it is neither a finite number nor a function
 */
export function addDecayedWeights(weightDecay) {
  scheduleOf('weightDecay', weightDecay);
  return transform({
    init: (params) => new CountState(new Form(params)),
    prepare(state, params, grads) {
      checkState(state, 'count', grads, given('params', params));
      return ask('weightDecay', weightDecay, state.count);
    },
    update(grads, state, params, rate) {
      const leaves = state.form.read('grads', grads);
      const values = state.form.values(params);
      const updates = state.map(leaves, (out, g, i) => {
        const round = state.form.rounding(i);
        const x = dataOf(values[i]);
        if (weightDecay === 0) out.set(g);
        else for (let j = 0; j < out.length; j++) out[j] = g[j] + round(round(rate) * x[j]);
      });
      state.count = next(state.count);
      return [updates, state];
    },
  });
}

/** The state of `ema`. */
class EmaState extends TransformState {
  #averages;

  /** @param {Form} form */
  constructor(form) {
    super(form);
    this.#averages = form.zeros();
    /** Updates so far. */
    this.count = 0;
  }

  /** @returns {any} the tree of averages */
  get ema() {
    return this.form.tree(this.#averages);
  }

  /**
   * @param {number} i
   * @returns {TensorData}
   */
  averageOf(i) {
    return this.#averages[i].data;
  }

  /** @returns {string} see `TransformState` */
  get kind() {
    return 'ema';
  }

  /** @returns {Record<string, any>} see `TransformState` */
  content() {
    return { count: this.count, ema: this.ema };
  }

  /**
   * Takes over the counts.
   *
   * @param {Record<string, any>} content see `TransformState`
   */
  adopt({ count }) {
    this.count = count;
  }

  /** @returns {EmaState} */
  clone() {
    const copy = new EmaState(this.form);
    copy.count = this.count;
    copyAll(this.#averages, copy.#averages);
    return copy;
  }

  /** Frees all tensors. */
  dispose() {
    super.dispose();
    for (const average of this.#averages) average.dispose();
  }
}

/**
 * Replaces updates by their exponential moving average: ema <- (1 - decay) g + decay ema.
 *
 * @param {number} decay
 * @param {object} [options]
 * @param {boolean} [options.debias] divide what is returned by 1 - decay^count, default true
 * @returns {Transform}
 * @throws {TypeError | RangeError} for an unknown option, or a value of the wrong kind, NaN or infinite
 */
export function ema(decay, options = {}) {
  finite('decay', decay);
  knownOptions('ema', options, ['debias']);
  const debias = ofType('debias', options.debias ?? true, 'boolean');
  return transform({
    init: (params) => new EmaState(new Form(params)),
    prepare: (state, params, grads) => checkState(state, 'ema', grads, params),
    update(grads, state) {
      const count = next(state.count);
      const updates = state.map(state.form.read('grads', grads), (out, g, i) => {
        const round = state.form.rounding(i);
        const [kept, added] = [round(decay), round(1 - decay)];
        const correction = debias ? biasCorrectionOf(decay, count, round) : 1;
        const average = state.averageOf(i);
        for (let j = 0; j < out.length; j++) {
          average[j] = round(added * g[j]) + round(kept * average[j]);
          out[j] = average[j] * correction;
        }
      });
      state.count = count;
      return [updates, state];
    },
  });
}

/** The state of `multiSteps`. */
class MultiStepsState extends TransformState {
  #means;

  /**
   * @param {Form} form
   * @param {any} innerOptState
   */
  constructor(form, innerOptState) {
    super(form);
    /** The state of the optimizer inside. */
    this.innerOptState = innerOptState;
    /** Gradients gathered since the last update. */
    this.miniStep = 0;
    /** Updates so far. */
    this.gradientStep = 0;
    this.#means = form.zeros();
  }

  /** @returns {any} the tree of means of the gradients since the last update */
  get accGrads() {
    return this.form.tree(this.#means);
  }

  /**
   * @param {number} i
   * @param {TensorData} gradient of leaf i
   * @returns {TensorData} a new array: its mean with this gradient, mean + (g - mean) / n
   */
  meanWith(i, gradient) {
    const round = this.form.rounding(i);
    const mean = this.#means[i].data.slice();
    for (let j = 0; j < mean.length; j++) mean[j] += round(round(gradient[j] - mean[j]) / (this.miniStep + 1));
    return mean;
  }

  /**
   * Counts a gradient in.
   *
   * @param {readonly (TensorData | null)[]} means with it
   * @param {boolean} isLast they have been used for an update
   * @param {number} every
   */
  take(means, isLast, every) {
    this.miniStep = (this.miniStep + 1) % every;
    if (isLast) this.gradientStep = next(this.gradientStep);
    this.#means.forEach(({ data }, i) => {
      data.set(means[i] ?? data);
      // Times 0, as optax does it: a mean that is not finite becomes NaN and stays that.
      if (isLast) for (let j = 0; j < data.length; j++) data[j] *= 0;
    });
  }

  /** @returns {string} see `TransformState` */
  get kind() {
    return 'multiSteps';
  }

  /** @returns {Record<string, any>} see `TransformState` */
  content() {
    const { miniStep, gradientStep, innerOptState, accGrads } = this;
    return {
      mini_step: miniStep, gradient_step: gradientStep, inner_opt_state: innerOptState, acc_grads: accGrads,
    };
  }

  /**
   * Takes over the counts.
   *
   * @param {Record<string, any>} content see `TransformState`
   */
  adopt({ mini_step: miniStep, gradient_step: gradientStep, inner_opt_state: innerOptState }) {
    this.miniStep = miniStep;
    this.gradientStep = gradientStep;
    this.innerOptState = innerOptState;
  }

  /** @returns {MultiStepsState} */
  clone() {
    const inner = cloneState(this.innerOptState);
    let copy;
    try {
      copy = new MultiStepsState(this.form, inner);
    } catch (error) {
      releaseState(inner);
      throw error;
    }
    copy.miniStep = this.miniStep;
    copy.gradientStep = this.gradientStep;
    copyAll(this.#means, copy.#means);
    return copy;
  }

  /** Frees all tensors, those of the state inside too. */
  dispose() {
    super.dispose();
    for (const mean of this.#means) mean.dispose();
    releaseState(this.innerOptState);
  }
}

/**
 * Gathers gradients over several calls and updates once, by their mean, which runs along: mean <- mean + (g - mean) /
 * n.
 *
 * As in optax, the optimizer inside computes an update in every call, in between on a copy of its state; what is
 * returned then is that update times 0: zeros with its signs. The means have the type of the leaves (optax's are
 * float32).
 *
 * @param {any} optimizer a transform of this module, or any `{ init, update }`
 * @param {number | ((gradientStep: number) => number)} every how many gradients make an update, an integer from 1; a
 *   function gets the number of updates before
 * @returns {Transform}
 * @throws {TypeError | RangeError} if it is anything else
 */
export function multiSteps(optimizer, every) {
  const inner = stepsOf('optimizer', optimizer);
  if (typeof every !== 'function') integer('every', every, 1, MAX_COUNT);

  return transform({
    init(params) {
      const innerOptState = inner.init(params);
      try {
        if (every !== 1) checkClonable('the state of optimizer', innerOptState);
        return new MultiStepsState(new Form(params), innerOptState);
      } catch (error) {
        releaseState(innerOptState);
        throw error;
      }
    },
    prepare(state, params, grads) {
      checkState(state, 'multiSteps', grads, params);
      const count = typeof every === 'number' ? every : integer('every', every(state.gradientStep), 1, MAX_COUNT);
      return { count, prepared: inner.prepare(state.innerOptState, params) };
    },
    update(grads, state, params, { count, prepared }) {
      const { form } = state;
      const leaves = form.read('grads', grads);
      const means = leaves.map((leaf, i) => (leaf === null ? null : state.meanWith(i, dataOf(leaf))));
      const isLast = state.miniStep === count - 1;
      const before = isLast ? state.innerOptState : cloneState(state.innerOptState);
      let changes;
      try {
        const [updates, after] = inner.update(form.tree(means), before, params, prepared);
        changes = form.read('updates', updates);
        if (isLast) state.innerOptState = after;
      } finally {
        if (!isLast) releaseState(before);
      }
      state.take(means, isLast, count);
      const factor = isLast ? 1 : 0;
      const emitted = state.map(leaves.map((leaf, i) => changes[i] && leaf), (out, _, i) => {
        const change = dataOf(/** @type {Place} */ (changes[i]));
        for (let j = 0; j < out.length; j++) out[j] = factor * change[j];
      });
      return [emitted, state];
    },
  });
}
