/**
 * RMSprop as optax has it, and the transforms that go with it: names, defaults, arithmetic and order of optax 0.2.8 run
 * operation by operation, where every operation is rounded on its own. Under jit XLA fuses products with sums; that mode
 * is not ours.
 *
 *     const optimizer = chain(clipByGlobalNorm(1), rmsprop({ learningRate: cosineDecaySchedule({ initValue: 0.01, decaySteps: 100 }) }));
 *     const state = optimizer.init(params);
 *     const [updates] = optimizer.update(gradients, state, params);
 *     const next = applyUpdates(params, updates);         // or, in place: optimizer.step(gradients, state, params)
 *
 * Parameters, gradients and updates are trees (tree.js) of tensors or of Float32Array and Float64Array. A null in the
 * place of a gradient passes through: that leaf has no update, and its state stays.
 *
 * What is mutated. A state lies in linear memory: `update` and `step` change it and return it, so that JAX's
 * `updates, state = optimizer.update(gradients, state)` reads the same; keep an older one by `cloneState`. `update` leaves
 * gradients and parameters alone. Where a gradient is a typed array its update is a new typed array; where it is a tensor
 * the update is a tensor of the state, which the next `update` overwrites and `disposeState` frees. `applyUpdates` makes new
 * leaves, of which new tensors are the caller's to dispose of. `step` changes the parameters. A call that throws has changed
 * nothing, if the transforms are those of this module.
 */
import { array, finite, integer, knownOptions, ofType, rangeError, typeError } from './check.js';
import { Engine, constants } from './engine.js';
import { pow } from './math.js';
import { Buffers, Form, TransformState, cloneState, copyAll, dataOf, disposeState } from './optax-state.js';
import { isTensor, tensor } from './tensor.js';

export * from './optax-schedules.js';
export { cloneState, disposeState };

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./tree.js').Tree} Tree */
/** @typedef {import('./optax-state.js').Place} Place */
/** @typedef {import('./engine.js').SlotField} SlotField */
/** @typedef {(count: number) => number} Schedule from the number of updates before this one */
/**
 * @typedef {object} Transform optax's GradientTransformation, and `step`; a transform of the user's own may do without `step`
 * @property {(params: any) => any} init the state for parameters of this form; they are only looked at
 * @property {(grads: any, state: any, params?: any) => [any, any]} update the updates and the state, which is changed
 * @property {(grads: any, state: any, params: any) => any} step adds the updates to the parameters in place and returns the
 *   state: the bits of `update` and `applyUpdates`
 */
/**
 * @typedef {object} RmspropOptions
 * @property {number | Schedule} learningRate a schedule is asked once an update
 * @property {number} [decay] of the mean square, default 0.9
 * @property {number} [eps] default 1e-8
 * @property {number} [initialScale] what the mean square starts at, default 0
 * @property {boolean} [epsInSqrt] add eps under the root, default true; false is PyTorch's place
 * @property {boolean} [centered] divide by an estimate of the variance instead, default false
 * @property {number | null} [momentum] decay of the trace, default null: there is none; 0 has one
 * @property {boolean} [nesterov] default false
 * @property {boolean} [biasCorrection] default false
 */

/** What XLA's int32 counters stop at. */
const MAX_COUNT = 2 ** 31 - 1;

/** How the transforms of this module work together: see `Steps`. */
const STEPS = Symbol('steps');

/**
 * @typedef {object} Steps of a transform: everything that can fail comes before anything changes
 * @property {(params: any) => any} init
 * @property {(state: any, params: any, grads?: any) => any} prepare checks everything and asks the schedules, whose answers it
 *   returns; grads undefined: they are another transform's updates and not there yet
 * @property {(grads: any, state: any, params: any, prepared: any) => [any, any]} update
 * @property {(grads: any, state: any, params: any, prepared: any) => any} [step] without it `update` and an addition
 */

/**
 * @param {Steps} steps
 * @returns {Transform}
 */
function transform(steps) {
  return Object.freeze({
    [STEPS]: steps,
    init: steps.init,
    /** @type {Transform['update']} */
    update(grads, state, params) {
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
 * @param {Steps} steps
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
 * @returns {Steps}
 */
function stepsOf(name, transformation) {
  const { init, update, [STEPS]: steps } = ofType(name, transformation, 'object');
  ofType(`${name}.init`, init, 'function');
  ofType(`${name}.update`, update, 'function');
  return steps ?? { init, prepare: () => undefined, update: (grads, state, params) => update(grads, state, params) };
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {any} the value, not undefined
 */
function given(name, value) {
  if (value === undefined) throw typeError(name, 'given', value);
  return value;
}

/**
 * @template {TransformState} T
 * @param {any} state
 * @param {new (...args: any[]) => T} type
 * @param {any} grads
 * @param {any} params
 * @returns {T} the state, checked against the trees that are there
 */
function checkState(state, type, grads, params) {
  if (!(state instanceof type)) throw typeError('state', 'what init of this transform returned', state);
  if (state.isDisposed) throw new Error('state is disposed');
  if (grads !== undefined) state.form.read('grads', grads);
  if (params !== undefined) state.form.read('params', params);
  return state;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {number | Schedule}
 */
function scheduleOf(name, value) {
  if (typeof value === 'function') return /** @type {Schedule} */ (value);
  return finite(name, value, 'a finite number or a function');
}

/**
 * @param {string} name
 * @param {number | Schedule} source
 * @param {number} count
 * @returns {number} what it says
 */
function ask(name, source, count) {
  return typeof source === 'number' ? source : finite(`${name} at count ${count}`, source(count));
}

/**
 * @param {number} count
 * @returns {number} one more, short of an overflow
 */
function next(count) {
  return Math.min(count + 1, MAX_COUNT);
}

/**
 * What a moment is multiplied by to correct its bias: 1 / (1 - decay^count), each operation rounded.
 *
 * @param {number} decay
 * @param {number} count
 * @param {(x: number) => number} round
 * @returns {number}
 */
function biasCorrectionOf(decay, count, round) {
  return round(1 / round(1 - round(pow(round(decay), count))));
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
  #inputs;

  /**
   * @param {Form} form
   * @param {readonly import('./engine.js').SlotSpec[]} slots
   */
  constructor(form, slots) {
    super(form);
    this.#slots = slots;
    this.#inputs = new Buffers(form);
    const variables = /** @type {any} */ (form.leaves);
    this.#engine = variables.length ? new Engine(variables, slots, true) : undefined;
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
   * @param {readonly Place[] | null} values to be changed; null: the updates are written
   * @param {(engine: Engine) => void} writeOptions
   * @returns {(Place | null)[]} the updates, if they were asked for
   */
  run(gradients, values, writeOptions) {
    const engine = this.#engine;
    this.count = next(this.count);
    if (!engine) return [];
    const inputs = gradients.map((gradient, i) => (gradient === null || isTensor(gradient) ? gradient : this.#inputs.at(i)));
    const outputs = gradients.map((gradient, i) => {
      const value = values?.[i];
      return isTensor(value) || (gradient === null) ? value : this.updateAt(i);
    });
    return [];
  }
}
