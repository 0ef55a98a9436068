/**
 * RMSProp as TensorFlow 1 has it: names, defaults, slots and errors of `tf.compat.v1.train.RMSPropOptimizer`, as it
 * behaves in eager mode. The arithmetic is the kernels', the slots are the engine's.
 */
import { array, checkCount, finite, integer, knownOptions, ofType, rangeError, show, typeError } from './check.js';
import { buffersBefore, callLoss, setAll } from './core/gradients.js';
import { arrayKind } from './core/identity.js';
import { equip } from './core/inspect.js';
import { checkVariables } from './core/variables.js';
import { Engine, checkPool } from './engine.js';
import * as constants from './generated/constants.js';
import { tensorflow } from './generated/tensorflow.js';
import { growingParts, readGrowing, savesVariables } from './growing-checkpoint.js';
import { locked } from './lock.js';
import { isShared } from './memory.js';
import { snakeCase } from './naming.js';
import { PARTS, joined } from './safetensors.js';
import { describe, disposedError, isIndexedSlices, isTensor, tensorAt, zerosOf } from './tensor.js';
import { checkIsVariable, checkUpdates, constrain, gradLossArguments, updatesOf } from './updates.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').Values} Values */
/** @typedef {import('./core/gradients.js').Gradient} Gradient */
/** @typedef {import('./core/gradients.js').LossAndGradients} LossAndGradients */
/** @typedef {number | (() => number)} Hyperparameter a callback is asked once in each `applyGradients` */
/** @typedef {[Gradient | null, Variable]} Pair a gradient, null where there is none, and its variable */
/** @typedef {import('./updates.js').Update} Update */
/**
 * @typedef {object} RMSPropOptions
 * @property {Hyperparameter} learningRate
 * @property {Hyperparameter} [decay] of the mean square and the mean gradient, default 0.9
 * @property {Hyperparameter} [momentum] default 0; it has its slot in any case
 * @property {Hyperparameter} [epsilon] added under the square root, default 1e-10
 * @property {boolean} [useLocking] in shared memory, let no other thread that does so too update the same variables
 *   meanwhile, slots, constraints and the global step included; default false: updates of several threads may mix
 * @property {boolean} [centered] divide by an estimate of the variance instead, default false
 * @property {string} [name] default 'RMSProp'
 * @property {import('./engine.js').Pool} [pool] threads that share the work of each update: a `ThreadPool`, in whose
 *   memory the variables are
 */
/**
 * @typedef {object} SharedVariable where a variable and its slots lie; to be sent to other threads by postMessage
 * @property {string} name
 * @property {number} byteOffset
 * @property {readonly number[]} shape
 * @property {import('./tensor.js').DType} dtype
 * @property {Record<string, number>} slots byte offsets
 */
/**
 * @typedef {object} GradientOptions
 * @property {Variable | readonly Variable[]} varList the variables to train; there is no collection to take them from
 * @property {number} [gateGradients] one of the GATE constants, default GATE_OP; ignored, there is no graph to order
 * @property {number | null} [aggregationMethod] a value of `tf.AggregationMethod`; ignored
 * @property {boolean} [colocateGradientsWithOps] ignored
 * @property {Tensor | Values} [gradLoss] gradient of the loss: handed to the loss function as its last argument
 */
/**
 * @typedef {object} ApplyOptions
 * @property {Tensor | null} [globalStep] a counter of one integer, 1 more after the update
 * @property {string | null} [name] of TensorFlow's operation; ignored
 */

/** No gating of gradients. */
export const GATE_NONE = 0;
/** Gating within each operation. */
export const GATE_OP = 1;
/** Gating over the whole graph. */
export const GATE_GRAPH = 2;

/** The numbers, in the order in which TensorFlow asks for them, their defaults, and what the kernels call them. */
const HYPERPARAMETERS = /** @type {const} */ ([
  ['learningRate', undefined, 'learning_rate'],
  ['decay', 0.9, 'rho'],
  ['momentum', 0, 'momentum'],
  ['epsilon', 1e-10, 'epsilon'],
]);

const OPTIONS = [...HYPERPARAMETERS.map(([name]) => name), 'useLocking', 'centered', 'name', 'pool'];
const GRADIENT_OPTIONS = ['varList', 'gateGradients', 'aggregationMethod', 'colocateGradientsWithOps', 'gradLoss'];
const APPLY_OPTIONS = ['globalStep', 'name'];

/** Of `tf.AggregationMethod`: ADD_N, EXPERIMENTAL_TREE, EXPERIMENTAL_ACCUMULATE_N. */
const AGGREGATION_METHODS = [0, 1, 2];

/**
 * RMSProp with the names, defaults and arithmetic of `tf.compat.v1.train.RMSPropOptimizer`, whose mean square `rms`
 * starts at one:
 *
 *     rms <- rms + (g² - rms) (1 - decay),   momentum <- momentum' momentum + g learningRate / sqrt(rms + epsilon),
 *     x <- x - momentum
 *
 * Of a sparse gradient only the rows that it names are updated, variable and slots alike.
 *
 * @example
 * ```js
 * import { variable } from 'rmsprop-wasm';
 * import { RMSPropOptimizer } from 'rmsprop-wasm/v1';
 *
 * const w = variable([1]);
 * const optimizer = new RMSPropOptimizer({ learningRate: 0.1 });
 * optimizer.applyGradients([[[1], w]]); // the mean square starts at 1
 * console.log(w.data[0].toFixed(3), optimizer.getSlotNames().join()); // prints 0.900 momentum,rms
 * ```
 */
export class RMSPropOptimizer {
  static GATE_NONE = GATE_NONE;
  static GATE_OP = GATE_OP;
  static GATE_GRAPH = GATE_GRAPH;

  #name;
  #centered;
  #useLocking;
  #pool;
  /** In the order of `HYPERPARAMETERS`. @type {Hyperparameter[]} */
  #hyperparameters;
  /** @type {Engine | undefined} */
  #engine;
  /** Variables that have been updated, which is what gives them slots. @type {Set<Variable>} */
  #updated = new Set();
  /** Their slots, named, in the order in which they were made. @type {(Tensor & { name: string })[]} */
  #slots = [];
  /** How many slots have the name of a variable before the slash. @type {Map<string, number>} */
  #slotCounts = new Map();
  /** Slots of variables to come that lie somewhere already, in the order of the engine. @type {Tensor[]} */
  #joined = [];
  /** Why no call can be made now. @type {string | undefined} */
  #blocked;

  /**
   * @param {RMSPropOptions} options
   * @throws {TypeError} for an unknown option, naming the nearest known one, or one of the wrong kind
   * @throws {RangeError} for NaN, infinity and an empty name; like TensorFlow it checks no ranges
   */
  constructor(options) {
    knownOptions('RMSPropOptimizer', options, OPTIONS);
    const { useLocking = false, centered = false, name = 'RMSProp' } = options;
    this.#hyperparameters = HYPERPARAMETERS.map(([key, standard]) => {
      const value = options[key] === undefined ? standard : options[key];
      return typeof value === 'function' ? value : finite(key, value, 'a finite number or callback');
    });
    this.#useLocking = ofType('useLocking', useLocking, 'boolean');
    this.#pool = checkPool(options.pool);
    this.#centered = ofType('centered', centered, 'boolean');
    if (ofType('name', name, 'string') === '') throw new RangeError('Must specify the optimizer name, got ""');
    this.#name = name;
  }

  /** @returns {string} the name given to the constructor */
  getName() {
    return this.#name;
  }

  /** @returns {string[]} momentum, rms and, when centered, mg, sorted; [] before the first update */
  getSlotNames() {
    return this.#updated.size ? this.#slotSpecs().map(({ name }) => name).sort() : [];
  }

  /**
   * @param {Variable} variable
   * @param {string} name one of `getSlotNames`
   * @returns {Tensor | null} null when the variable has had no gradient yet or has no such slot
   */
  getSlot(variable, name) {
    if (!this.#engine || !this.#updated.has(variable)) return null;
    return this.#engine.slot(name)[this.#engine.indexOf(variable)] ?? null;
  }

  /**
   * The slots of all variables, sorted by their names as strings.
   *
   * The names are those of graph mode and its checkpoints, RMSProp being the optimizer's name: `weights/RMSProp`,
   * `weights/RMSProp_1`, … for rms, mg (when centered) and momentum. A second variable of the same name has the
   * numbers that follow. (In eager mode TensorFlow goes on counting over the whole process.)
   *
   * @returns {(Tensor & { name: string })[]}
   */
  variables() {
    // What TensorFlow compares ends in ':0'.
    return [...this.#slots].sort((a, b) => (`${a.name}:0` < `${b.name}:0` ? -1 : 1));
  }

  /**
   * Calls the loss function.
   *
   * @param {(...variables: any[]) => LossAndGradients} loss is called with the elements of `varList`, and `gradLoss` if
   *   it was given; returns { loss, gradients }, or a number having written each `variable.gradient`
   * @param {GradientOptions} options
   * @returns {Pair[]} for `applyGradients`
   * @throws {Error} if the loss is no function
   * @throws {RangeError} for no variables, a wrong number of gradients, or options out of range
   * @throws {TypeError} for other variables, options of the wrong kind, or another return value
   */
  computeGradients(loss, options) {
    this.#ready('computeGradients');
    knownOptions('computeGradients', options ?? {}, GRADIENT_OPTIONS);
    if (typeof loss !== 'function') {
      throw new Error(`\`loss\` passed to computeGradients must be a function, got ${show(loss)}`);
    }
    const { varList = [], gateGradients = GATE_OP, aggregationMethod, gradLoss } = options ?? {};
    if (![GATE_NONE, GATE_OP, GATE_GRAPH].includes(gateGradients)) {
      throw rangeError('gateGradients', 'one of GATE_NONE (0), GATE_OP (1), GATE_GRAPH (2)', gateGradients);
    }
    if (aggregationMethod != null && !AGGREGATION_METHODS.includes(aggregationMethod)) {
      throw rangeError('aggregationMethod', `one of ${AGGREGATION_METHODS}`, aggregationMethod);
    }
    ofType('colocateGradientsWithOps', options?.colocateGradientsWithOps ?? false, 'boolean');
    const rest = gradLossArguments(gradLoss);
    const variables = /** @type {Variable[]} */ ([varList].flat());
    variables.forEach((variable, i) => checkIsVariable(`varList[${i}]`, variable));
    if (variables.length === 0) throw new RangeError('No variables to optimize: varList is empty.');

    const gradients = callLoss(loss, variables, ...rest);
    if (gradients.length !== variables.length) {
      throw rangeError('gradients', `as many as variables, ${variables.length}`, gradients);
    }
    return variables.map((variable, i) => [gradients[i], variable]);
  }

  /**
   * One update. Slots are made for the variables that have a gradient for the first time; then constraints run, and the
   * global step counts.
   *
   * When it throws, weights, slots and the global step are as before. Only what a constraint throws comes after the
   * update, when the other constraints have run and the step has been counted.
   *
   * @param {readonly (readonly [Gradient | null, Variable])[]} pairs those without a gradient are left out; a variable
   *   may come once
   * @param {ApplyOptions} [options]
   * @throws {Error} for a tensor instead of a variable, a disposed one, and a sparse gradient with a constraint
   * @throws {TypeError | RangeError} for what does not fit, a global step that is the last int32, and where no variable
   *   has a gradient
   * @throws {RangeError} with `useLocking`, in shared memory of another program
   * @throws {Error} with `useLocking`, if another thread holds a variable's lock and does not give it back
   */
  applyGradients(pairs, options = {}) {
    this.#ready('applyGradients');
    knownOptions('applyGradients', options, APPLY_OPTIONS);
    const { globalStep, name } = options;
    if (name != null) ofType('name', name, 'string');
    if (globalStep != null) checkGlobalStep(globalStep);
    const { updates, missing } = updatesOf(pairs);
    if (updates.length === 0) throw missing.length ? noGradients(missing) : new RangeError('No variables provided.');
    checkUpdates(updates);
    const numbers = this.#askHyperparameters();
    if (globalStep != null) checkGlobalStep(globalStep); // the callbacks may have disposed or set it

    const variables = updates.map(({ variable }) => variable);
    const freeBuffers = buffersBefore(variables);
    const engine = this.#engineOf(variables);
    let isDone = false;
    let failure;
    try {
      const placed = stage(engine, updates, numbers);
      const update = () => {
        placed.step();
        isDone = true;
        for (const { variable } of updates) this.#nameSlots(engine, variable);
        this.#blocked = 'a constraint runs';
        failure = constrain(updates);
        this.#blocked = undefined;
        if (globalStep != null) count(globalStep);
      };
      if (this.#useLocking) locked(lockable(updates, globalStep), update);
      else update();
    } finally {
      for (const variable of variables) engine.setGradient(engine.indexOf(variable), null);
      this.#settle(engine, isDone);
      if (!isDone) freeBuffers();
    }
    if (failure) throw /** @type {{ error: unknown }} */ (failure).error;
  }

  /**
   * `computeGradients` and then `applyGradients`.
   *
   * @param {(...variables: any[]) => LossAndGradients} loss see `computeGradients`
   * @param {GradientOptions & ApplyOptions} options
   * @throws {Error | TypeError | RangeError} as the two
   */
  minimize(loss, options) {
    this.#ready('minimize');
    knownOptions('minimize', options ?? {}, [...GRADIENT_OPTIONS, ...APPLY_OPTIONS]);
    const { globalStep, name, ...gradientOptions } = options ?? {};
    const pairs = this.computeGradients(loss, gradientOptions);
    if (pairs.every(([gradient]) => gradient === null)) {
      throw noGradients(pairs.map(([, variable]) => variable), `, between these variables and loss ${show(loss)}`);
    }
    this.applyGradients(pairs, { globalStep, name });
  }

  /**
   * @param {object} [options]
   * @param {boolean} [options.variables] save the weights too, default false
   * @param {Tensor | null} [options.globalStep] a counter to save with it
   * @returns {Uint8Array} the whole state as a safetensors file: a run that is loaded from it goes on with equal bits
   * @throws {TypeError | RangeError} for other options, and if two tensors would have one name
   */
  save(options = {}) {
    return joined(this[PARTS](options));
  }

  /**
   * @param {{ variables?: boolean, globalStep?: Tensor | null }} [options]
   * @returns {Uint8Array[]} what `save` returns, in parts
   */
  [PARTS](options = {}) {
    this.#ready('save');
    const variables = savesVariables('save', options, ['globalStep']);
    const { globalStep } = options;
    if (globalStep != null) checkGlobalStep(globalStep, false);
    const config = this.#config();
    const counters = globalStep == null ? {} : { global_step: globalStep.data[0] };
    return growingParts(DIALECT, this.#made(), { config, counters, variables });
  }

  /**
   * Takes over the state of a file, and the weights if it has them; slots that are missing are made. Hyperparameters
   * stay those of the constructor.
   *
   * @param {Uint8Array | ArrayBuffer} bytes what `save` returned, by an optimizer with the same slots
   * @param {object} [options]
   * @param {readonly Variable[]} [options.variables] those of the file, matched by their names; those of one name in
   *   the order in which they were first updated. Default those that have slots: a new optimizer has none.
   * @param {Tensor | null} [options.globalStep] takes over the counter that was saved with it
   * @throws {TypeError | RangeError} if it is anything else; nothing is written then
   */
  load(bytes, options = {}) {
    this.#ready('load');
    knownOptions('load', options, ['variables', 'globalStep']);
    const { globalStep } = options;
    if (globalStep != null) checkGlobalStep(globalStep, false);
    const variables = array('variables', options.variables ?? [...this.#updated]);
    const { counters, slots, weights } = readGrowing(DIALECT, bytes, variables, this.#made());
    if (globalStep != null) integer('global_step of the checkpoint', counters.global_step, -(2 ** 31), 2 ** 31 - 1);
    const updated = [...new Set(slots.map(({ variable }) => variable))];
    const names = this.#slotSpecs().map(({ name }) => name);
    for (const variable of updated) {
      const found = slots.filter((slot) => slot.variable === variable).map(({ name }) => name);
      if (found.length === names.length && names.every((name) => found.includes(name))) continue;
      throw rangeError('the checkpoint', `one with the slots ${names.join()} of ${describe(variable)}`, found.join());
    }

    const engine = updated.length ? this.#engineOf(updated) : undefined;
    const targets = slots.map(({ variable, name }) => engine?.slot(name)[engine.indexOf(variable)]);
    let isDone = false;
    try {
      setAll(
        'checkpoint',
        /** @type {Tensor[]} */ ([...targets, ...weights.map(({ variable }) => variable)]),
        [...slots, ...weights].map(({ values }) => values),
      );
      isDone = true;
    } finally {
      if (engine) this.#settle(engine, isDone);
    }
    for (const variable of updated) this.#nameSlots(/** @type {Engine} */ (engine), variable);
    if (globalStep != null) globalStep.data[0] = counters.global_step;
  }

  /** @returns {(import('./growing-checkpoint.js').Slot & { tensor: Tensor })[]} in the order in which they were made */
  #made() {
    return [...this.#updated].flatMap((variable) => this.#slotSpecs().map(({ name }) =>
      ({ variable, name, tensor: /** @type {Tensor} */ (this.getSlot(variable, name)) })));
  }

  /**
   * Makes slots, where there are none yet, and tells where variables and slots lie, so that optimizers of other threads
   * can `join`: TensorFlow's slots are variables that all workers share.
   *
   * @param {Variable | readonly Variable[]} varList in shared memory; neither they nor this optimizer may be disposed
   *   while others use them
   * @returns {SharedVariable[]} to be sent by postMessage, as `memory.wasmMemory` is
   * @throws {Error | TypeError | RangeError} for what are no variables of one shared memory, each once
   */
  share(varList) {
    this.#ready('share');
    const variables = /** @type {Variable[]} */ ([varList].flat());
    variables.forEach((variable, i) => checkIsVariable(`varList[${i}]`, variable));
    checkVariables(variables);
    const [{ memory }] = variables;
    if (!isShared(memory)) throw rangeError(describe(variables[0]), 'in shared memory', memory);
    const engine = this.#engineOf(variables);
    this.#settle(engine, true);
    return variables.map((variable) => {
      this.#nameSlots(engine, variable);
      const { name, byteOffset, shape, dtype } = variable;
      const slots = engine.slots.map((slot) => [slot.name, slot.tensors[engine.indexOf(variable)].byteOffset]);
      return { name, byteOffset, shape: [...shape], dtype, slots: Object.fromEntries(slots) };
    });
  }

  /**
   * Takes in variables, with their slots, that an optimizer of another thread has shared: both update the same numbers
   * from then on, each with its own gradients.
   *
   * @param {import('./memory.js').Memory} memory that they lie in: `Memory.from` the other thread's; one optimizer has
   *   one
   * @param {readonly SharedVariable[]} shared what `share` returned, of an optimizer that is centered if this one is
   * @returns {Variable[]} for `applyGradients`; to dispose of them frees nothing
   * @throws {TypeError | RangeError} for something else
   */
  join(memory, shared) {
    this.#ready('join');
    const specs = this.#slotSpecs();
    for (const { name, slots } of array('shared', shared)) {
      const missing = specs.find((spec) => !Number.isInteger(slots?.[spec.name]));
      if (missing) throw rangeError(`slots of shared variable ${show(name)}`, `with ${missing.name}`, slots);
    }
    const variables = shared.map(({ byteOffset, shape, ...options }) =>
      tensorAt(memory, byteOffset, shape, { dtype: options.dtype, name: options.name }));
    this.#joined = specs.flatMap(({ name }) =>
      shared.map(({ slots, shape, dtype }) => tensorAt(memory, slots[name], shape, { dtype })));
    try {
      const engine = this.#engineOf(variables);
      this.#settle(engine, true);
      for (const variable of variables) this.#nameSlots(engine, variable);
    } finally {
      this.#joined = [];
    }
    return variables;
  }

  /** Frees the slots; the variables stay. Calling it again does nothing. */
  dispose() {
    if (this.#blocked === DISPOSED) return;
    this.#ready('dispose');
    this.#blocked = DISPOSED;
    this.#engine?.dispose();
  }

  #slotSpecs() {
    return /** @type {import('./engine.js').SlotSpec[]} */ ([
      { name: 'rms', field: 'mean_square', initial: 1 },
      ...(this.#centered ? [{ name: 'mg', field: 'mean_gradient' }] : []),
      { name: 'momentum', field: 'momentum' },
    ]);
  }

  /** @returns {readonly number[]} in the order of `HYPERPARAMETERS`, rounded to float32 as TensorFlow holds them */
  #askHyperparameters() {
    this.#blocked = 'a callback runs';
    try {
      return this.#hyperparameters.map((source, i) =>
        Math.fround(typeof source === 'number' ? source : finite(`${HYPERPARAMETERS[i][0]}()`, source())));
    } finally {
      this.#blocked = undefined;
    }
  }

  /**
   * @param {readonly Variable[]} variables
   * @returns {Engine} that has them, for as long as the call does not fail
   */
  #engineOf(variables) {
    let engine = this.#engine;
    if (engine === undefined) {
      /** @type {typeof zerosOf} */
      const makeSlot = (...args) => this.#joined.shift() ?? zerosOf(...args);
      engine = new Engine(tensorflow, variables, this.#slotSpecs(), { makeZeros: makeSlot, pool: this.#pool });
      engine.setWord('rule', constants.RMS_RULE_TF1);
    }
    engine.add(variables, true);
    return engine;
  }

  /**
   * @param {Engine} engine of `#engineOf`
   * @param {boolean} isKept whether it stays, and all that was added
   */
  #settle(engine, isKept) {
    engine.settle(isKept);
    if (isKept) this.#engine = engine;
    else if (!this.#engine) engine.dispose();
  }

  /**
   * Makes the slots of an updated variable known.
   *
   * @param {Engine} engine
   * @param {Variable} variable
   */
  #nameSlots(engine, variable) {
    if (this.#updated.has(variable)) return;
    this.#updated.add(variable);
    const prefix = `${variable.name}/${this.#name}`;
    for (const { tensors } of engine.slots) {
      const count = this.#slotCounts.get(prefix) ?? 0;
      this.#slotCounts.set(prefix, count + 1);
      const name = count ? `${prefix}_${count}` : prefix;
      this.#slots.push(Object.assign(tensors[engine.indexOf(variable)], { name }));
    }
  }

  /** @returns {Record<string, unknown>} its options, under TensorFlow's names; a callback by its name */
  #config() {
    const numbers = HYPERPARAMETERS.map(([name], i) => {
      const value = this.#hyperparameters[i];
      return [snakeCase(name), typeof value === 'function' ? { class_name: 'function', config: value.name } : value];
    });
    return { name: this.#name, ...Object.fromEntries(numbers), centered: this.#centered };
  }

  static {
    equip(this, (optimizer) => #name in optimizer, (/** @type {RMSPropOptimizer} */ optimizer) => {
      optimizer.#ready('inspect');
      return optimizer.#config();
    });
  }

  /** @param {string} call */
  #ready(call) {
    if (this.#blocked) throw new Error(`${call} of optimizer ${show(this.#name)} cannot be used: ${this.#blocked}`);
  }
}

const DISPOSED = 'it is disposed';
const DIALECT = 'tf1';

/**
 * @param {unknown} step
 * @param {boolean} [counts] whether one is to be added, default true
 */
function checkGlobalStep(step, counts = true) {
  const expectation = 'a variable of one integer';
  if (!isTensor(step)) throw typeError('globalStep', expectation, step);
  if (step.isDisposed) throw disposedError(step);
  if (step.size !== 1) throw rangeError('globalStep.size', '1', step.size);
  if (!Number.isInteger(step.data[0])) throw rangeError('globalStep', expectation, step.data[0]);
  if (counts && step.dtype === 'int32') checkCount('globalStep', step.data[0]);
}

/**
 * Hands an update over to an engine.
 *
 * @param {Engine} engine
 * @param {readonly Update[]} updates checked
 * @param {readonly number[]} numbers
 * @returns {import('./engine.js').Placed}
 */
function stage(engine, updates, numbers) {
  for (const { gradient, variable } of updates) {
    const index = engine.indexOf(variable);
    if (isIndexedSlices(gradient)) engine.setRows(index, gradient);
    else engine.setGradient(index, variable.placeGradient(gradient));
  }
  HYPERPARAMETERS.forEach(([, , field], i) => engine.setNumber(field, numbers[i]));
  return engine.place();
}

/**
 * @param {Tensor} globalStep is 1 more afterwards: of int32 also where several threads count at a time
 */
function count({ data }) {
  if (arrayKind(data) === 'Int32Array') Atomics.add(/** @type {Int32Array} */ (data), 0, 1);
  else data[0] += 1;
}

/**
 * @param {readonly Update[]} updates
 * @param {Tensor | null | undefined} globalStep
 * @returns {Tensor[]} what no other thread may change during the update
 */
function lockable(updates, globalStep) {
  const variables = updates.map(({ variable }) => variable);
  return globalStep?.memory === variables[0].memory ? [...variables, globalStep] : variables;
}

/**
 * @param {readonly Variable[]} variables
 * @param {string} [where]
 * @returns {RangeError} to throw
 */
function noGradients(variables, where = '') {
  return new RangeError(`No gradients provided for any variable: ${variables.map(describe).join(', ')}${where}.`);
}
