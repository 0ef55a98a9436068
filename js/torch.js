/**
 * RMSprop as PyTorch has it: `torch.optim.RMSprop` with parameter groups and state dicts, `clip_grad_norm_`,
 * `clip_grad_value_` and the schedulers of `torch.optim.lr_scheduler`. The arithmetic is the kernels', the slots are
 * the engine's; what is here is PyTorch's names, defaults, state and errors.
 */
import { array, finite, integer, knownOptions, ofType, rangeError, show, typeError } from './check.js';
import { Engine, checkPool, constants } from './engine.js';
import { buffersBefore, callLoss } from './gradients.js';
import { camelCase, snakeCase } from './naming.js';
import { readStateDict, shaped, writeStateDict } from './state-dict.js';
import {
  checkGradient, describe, disposedError, indexedSlices, isIndexedSlices, isTensor, isVariable,
} from './tensor.js';
import { constrain } from './updates.js';

export { clipGradNorm, clipGradValue } from './torch-clip.js';
export * as lrScheduler from './torch-schedulers.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').TypedArray} TypedArray */
/** @typedef {import('./gradients.js').Gradient} Gradient */
/** @typedef {import('./gradients.js').LossAndGradients} LossAndGradients */
/**
 * @typedef {object} RMSpropOptions
 * @property {number | Tensor} [lr] learning rate, default 0.01; a tensor of one element is read at each step
 * @property {number} [alpha] decay of the mean square and the mean gradient, default 0.99
 * @property {number} [eps] added to the square root, default 1e-8
 * @property {number} [weightDecay] L2: so many times the weights are added to the gradient; default 0
 * @property {number} [momentum] default 0: no momentum buffer
 * @property {boolean} [centered] divide by an estimate of the variance instead, default false
 * @property {boolean} [maximize] climb instead, default false
 */
/**
 * @typedef {object} Limits what schedulers keep in a group, and find there when they resume
 * @property {number} [initialLr]
 * @property {number} [maxLr]
 * @property {number} [minLr]
 * @property {number} [maxMomentum]
 * @property {number} [baseMomentum]
 */
/**
 * @typedef {RMSpropOptions & Limits & { params: Iterable<Variable> | Variable }} GroupOptions a group to be made;
 *   options that it does not give are the optimizer's
 */
/**
 * @typedef {object} OwnOptions
 * @property {readonly Variable[]} params
 * @property {number | Tensor} lr
 * @property {number} momentum
 * @property {number} alpha
 * @property {number} eps
 * @property {boolean} centered
 * @property {number} weightDecay
 * @property {boolean} maximize
 * @property {boolean} capturable of PyTorch's state dicts, as are `foreach` and `differentiable`; without effect here
 * @property {boolean | null} foreach
 * @property {boolean} differentiable
 * @property {string} [name] a label, as users of PyTorch write into groups
 * @property {string[]} [paramNames] of PyTorch's state dicts, where parameters were given by name
 */
/** @typedef {OwnOptions & Limits} ParamGroup what is written here takes effect at the next step, and is checked then */
/**
 * @typedef {object} ParameterState of one parameter, under PyTorch's names
 * @property {number} step steps made
 * @property {Tensor} square_avg
 * @property {Tensor} [momentum_buffer] if the momentum was above 0 at the first step
 * @property {Tensor} [grad_avg] if the group was centered at the first step
 */
/**
 * @typedef {{ state: Record<string, Record<string, any>>, param_groups: Record<string, any>[] }} StateDict
 */

/**
 * @typedef {object} Home where the state of parameters is that are in one group and one memory, and have the same slots
 * @property {Engine} engine
 * @property {import('./memory.js').Memory} memory
 * @property {boolean} hasBuffer
 * @property {boolean} hasMean
 */
/**
 * @typedef {object} Group
 * @property {ParamGroup} options
 * @property {Map<Variable, number>} counts how often each parameter is in it: PyTorch takes, and steps, one repeatedly
 * @property {Home[]} homes
 */

/** Every option of a group in PyTorch's order; `capturable`, `foreach`, `differentiable` cannot be asked for here. */
const DEFAULTS = Object.freeze({
  lr: 1e-2,
  momentum: 0,
  alpha: 0.99,
  eps: 1e-8,
  centered: false,
  weightDecay: 0,
  capturable: false,
  foreach: /** @type {boolean | null} */ (null),
  maximize: false,
  differentiable: false,
});

const OPTIONS = ['lr', 'alpha', 'eps', 'weightDecay', 'momentum', 'centered', 'maximize'];

/** Options that state dicts of older versions of PyTorch may lack. */
const ADDED_LATER = /** @type {const} */ ([
  'momentum', 'centered', 'foreach', 'maximize', 'differentiable', 'capturable',
]);

/** What schedulers keep in a group, and find there when they resume. */
const LIMITS = /** @type {const} */ (['initialLr', 'maxLr', 'minLr', 'maxMomentum', 'baseMomentum']);

/** Everything that a group may have. */
const GROUP_KEYS = ['params', ...Object.keys(DEFAULTS), ...LIMITS, 'name', 'paramNames'];

/** The numbers in the order in which PyTorch checks them, what it calls them, and what the kernels do. */
const NUMBERS = /** @type {const} */ ([
  ['lr', 'learning rate', 'learning_rate'],
  ['eps', 'epsilon value', 'epsilon'],
  ['momentum', 'momentum value', 'momentum'],
  ['weightDecay', 'weight_decay value', 'weight_decay'],
  ['alpha', 'alpha value', 'rho'],
]);

const BOOLEANS = /** @type {const} */ (['centered', 'maximize']);

/** PyTorch's names of the slots, in its order; the last two are there when they are asked for. */
const SLOTS = Object.freeze({ square_avg: 'mean_square', momentum_buffer: 'momentum', grad_avg: 'mean_gradient' });

/**
 * RMSprop with the names, defaults and arithmetic of `torch.optim.RMSprop` (PyTorch 2.15, scalar CPU kernels):
 *
 *     v <- alpha v + (1 - alpha) g²,   b <- momentum b + g / (sqrt(v) + eps),   x <- x - lr b
 *
 * A parameter's gradient is its `.gradient`; without one it is passed over and has no state.
 *
 * @example
 * ```js
 * import { variable } from 'rmsprop-wasm';
 * import { RMSprop } from 'rmsprop-wasm/torch';
 *
 * const [w, b] = [variable([1]), variable([0])];
 * const optimizer = new RMSprop([{ params: [w] }, { params: [b], lr: 0.1 }], { lr: 0.01 });
 * w.gradient = [1];
 * b.gradient = [1];
 * optimizer.step();
 * console.log(w.data[0].toFixed(3), b.data[0].toFixed(3)); // prints 0.900 -1.000
 * ```
 */
export class RMSprop {
  #defaults;
  #pool;
  /** @type {Group[]} */
  #groups = [];
  /** In the order of the parameters' first gradients. @type {Map<Variable, { step: number, home: Home }>} */
  #states = new Map();
  #isDisposed = false;

  /**
   * @param {Iterable<Variable> | Iterable<GroupOptions>} params variables, or groups with options of their own
   * @param {RMSpropOptions & { pool?: import('./engine.js').Pool }} [options] of all groups that give no other; `pool`:
   *   threads that share the work of each step, a `ThreadPool` in whose memory the parameters are
   * @throws {TypeError} for an unknown option, naming the nearest known one, or for what is no variable
   * @throws {RangeError} for a number that is negative, NaN or infinite, and for parameters in two groups, or none
   */
  constructor(params, options = {}) {
    knownOptions('RMSprop', options, [...OPTIONS, 'pool']);
    const { pool, ...rest } = options;
    this.#pool = checkPool(pool);
    this.#defaults = { ...DEFAULTS, ...given(rest) };
    checkDefaults(this.#defaults);
    const list = listOf(params);
    if (list.length === 0) throw new RangeError('optimizer got an empty parameter list');
    const isGroups = typeof list[0] === 'object' && list[0] !== null && !isTensor(list[0]);
    for (const group of isGroups ? list : [{ params: list }]) this.addParamGroup(group);
  }

  /** @returns {readonly ParamGroup[]} the groups, whose options may be written */
  get paramGroups() {
    return Object.freeze(this.#groups.map(({ options }) => options));
  }

  /**
   * @returns {Map<Variable, ParameterState>} of each parameter that has had a gradient; the tensors are those that the
   *   next step changes
   */
  get state() {
    return new Map([...this.#states].map(([variable, { step, home }]) => {
      const i = home.engine.indexOf(variable);
      const slots = home.engine.slots.map(({ name, tensors }) => [name, tensors[i]]);
      return [variable, /** @type {ParameterState} */ ({ step, ...Object.fromEntries(slots) })];
    }));
  }

  /**
   * Adds a group.
   *
   * @param {GroupOptions} group
   * @throws {TypeError | RangeError} for an unknown option, a number that is none, what is no variable, or parameters
   *   of another group; nothing has changed then
   */
  addParamGroup(group) {
    this.#ready();
    if (typeof group !== 'object' || group === null || isTensor(group)) {
      throw new TypeError(`param_group must be an object with params, but got ${show(group)}`);
    }
    knownOptions('group', group, ['params', ...OPTIONS, ...LIMITS]);
    const { params: own, ...rest } = group;
    const params = checkParams(own);
    const options = /** @type {ParamGroup} */ ({ params, ...given(rest) });
    // Options in PyTorch's order: the group's own first.
    Object.assign(options, { ...this.#defaults, ...options });
    Object.defineProperty(options, 'params', { writable: false, configurable: false });
    checkGroup(options);
    if (this.#groups.some(({ counts }) => params.some((variable) => counts.has(variable)))) {
      throw new RangeError('some parameters appear in more than one parameter group');
    }
    /** @type {Map<Variable, number>} */
    const counts = new Map();
    for (const variable of params) counts.set(variable, (counts.get(variable) ?? 0) + 1);
    if (counts.size < params.length) {
      console.warn('optimizer contains a parameter group with duplicate parameters: each step updates them repeatedly');
    }
    this.#groups.push({ options, counts, homes: [] });
  }

  /**
   * One update of every parameter that has a gradient.
   *
   * @param {(...variables: any[]) => LossAndGradients} [closure] is called with all parameters and returns
   *   `{ loss, gradients }`, or the loss alone, having written each `.gradient`
   * @returns {number | undefined} the closure's loss
   * @throws {TypeError | RangeError} for what does not fit; weights, state and counters are as before then
   * @throws {Error} for a sparse gradient, or a disposed tensor; likewise
   */
  step(closure) {
    this.#ready();
    const [loss, gradients] = closure === undefined ? [undefined, this.#ownGradients()] : this.#evaluate(closure);
    this.#checkStep(gradients);
    const freeBuffers = buffersBefore([...gradients.keys()]);
    /** @type {[Group, Home][]} */
    const created = [];
    let homes;
    try {
      homes = this.#house(gradients, created);
      this.#stage(gradients, homes);
    } catch (error) {
      for (const [, { engine }] of created) engine.dispose();
      this.#settle(false);
      freeBuffers();
      throw error;
    }
    this.#settle(true);
    for (const [group, home] of created) group.homes.push(home);
    for (const [variable, home] of homes) this.#states.set(variable, { step: 0, home });

    this.#run();
    this.#repeat(gradients);
    for (const { counts } of this.#groups) {
      for (const [variable, count] of counts) {
        const state = this.#states.get(variable);
        if (state && gradients.has(variable)) state.step += count;
      }
    }
    const failure = constrain([...gradients.keys()].map((variable) => ({ variable })));
    if (failure) throw failure.error;
    return loss;
  }

  /**
   * Clears the gradients of all parameters.
   *
   * @param {object} [options]
   * @param {boolean} [options.setToNone] default true: there is none then, and a step passes over the parameter; false
   *   fills those that are there with 0
   * @throws {Error} if a gradient to be filled is disposed; nothing has changed then
   */
  zeroGrad(options = {}) {
    this.#ready();
    knownOptions('zeroGrad', options, ['setToNone']);
    const setToNone = ofType('setToNone', options.setToNone ?? true, 'boolean');
    const variables = this.#groups.flatMap(({ options: { params } }) => params);
    if (!setToNone) {
      for (const { gradient } of variables) {
        if (isTensor(gradient) && gradient.isDisposed) throw disposedError(gradient);
      }
    }
    for (const variable of variables) {
      const { gradient } = variable;
      if (setToNone || gradient === null) variable.gradient = null;
      else if (isTensor(gradient)) gradient.data.fill(0);
      else variable.gradient = indexedSlices(new Float64Array(0), [], variable.shape);
    }
  }

  /**
   * @returns {StateDict} PyTorch's dictionary. Its arrays are copies, flat and of the parameter's type;
   *   `load_state_dict` takes it when each has become a `torch.tensor` of the parameter's shape
   * @throws {TypeError} for a key in a group that groups do not have
   */
  stateDict() {
    for (const { options } of this.#groups) knownOptions('group', options, GROUP_KEYS);
    /** @type {Map<Variable, number>} */
    const indices = new Map();
    let first = 0;
    const groups = this.#groups.map(({ options: { params, ...options } }) => {
      params.forEach((variable, i) => indices.has(variable) || indices.set(variable, first + i));
      first += params.length;
      const entries = Object.entries({ ...options, lr: rateOf(options.lr) });
      const saved = Object.fromEntries(entries.map(([name, value]) => [snakeCase(name), value]));
      return structuredClone({ ...saved, params: params.map((variable) => indices.get(variable)) });
    });
    const state = [...this.state].map(([variable, { step, ...slots }]) => {
      const arrays = Object.entries(slots).map(([name, tensor]) => [name, shaped(tensor.data.slice(), tensor.shape)]);
      return [indices.get(variable), { step, ...Object.fromEntries(arrays) }];
    });
    return { state: Object.fromEntries(state), param_groups: groups };
  }

  /**
   * Takes over the state and the options of a state dict, PyTorch's or one of `stateDict`: a run that is loaded from it
   * goes on with equal bits. Parameters are matched by their places in the groups.
   *
   * @param {StateDict} stateDict arrays may be typed or nested, as JSON has them; they are rounded to the parameter's
   *   type
   * @throws {RangeError} for another number of groups or of parameters in one, or arrays of another length
   * @throws {TypeError} for what is no state dict, and for keys that groups do not have; nothing has changed then
   */
  loadStateDict(stateDict) {
    this.#ready();
    const saved = array('param_groups', ofType('stateDict', stateDict, 'object').param_groups);
    ofType('state', stateDict.state, 'object');
    if (saved.length !== this.#groups.length) {
      throw new RangeError('loaded state dict has a different number of parameter groups: '
        + `${saved.length}, the optimizer has ${this.#groups.length}`);
    }
    const options = saved.map((group, i) => savedOptions(`param_groups[${i}]`, group));
    this.#groups.forEach(({ options: { params } }, i) => {
      if (saved[i].params.length === params.length) return;
      throw new RangeError("loaded state dict contains a parameter group that doesn't match the size of optimizer's "
        + `group: group ${i} has ${saved[i].params.length} parameters, not ${params.length}`);
    });
    const states = this.#groups.map(({ options: { params } }, i) =>
      savedStates(stateDict.state, new Map(params.map((variable, k) => [variable, saved[i].params[k]]))));
    const homes = rehoused(states, this.#pool);

    for (const [i, group] of this.#groups.entries()) {
      for (const { engine } of group.homes) engine.dispose();
      group.homes = homes.filter(([, place]) => place === i).map(([home]) => home);
      const target = /** @type {Record<string, any>} */ (group.options);
      for (const name of Object.keys(target)) if (name !== 'params') delete target[name];
      Object.assign(target, options[i]);
    }
    // In the order of the dictionary, as PyTorch.
    const loaded = new Map(states.flatMap((list) => list.map((state) => [`${state.id}`, state])));
    this.#states = new Map();
    for (const id of Object.keys(stateDict.state)) {
      const state = loaded.get(id);
      if (!state) continue;
      const [home] = homes.find(([{ engine }]) => engine.indexOf(state.variable) >= 0) ?? [];
      this.#states.set(state.variable, { step: state.step, home: /** @type {Home} */ (home) });
    }
  }

  /** Frees the state; the parameters stay. Calling it again does nothing. */
  dispose() {
    this.#isDisposed = true;
    for (const { homes } of this.#groups) for (const { engine } of homes) engine.dispose();
    this.#states.clear();
  }

  // ---- The step ----

  #ready() {
    if (this.#isDisposed) throw new Error('the optimizer is disposed');
  }

  /** @returns {Map<Variable, Gradient>} of the parameters that have one */
  #ownGradients() {
    /** @type {Map<Variable, Gradient>} */
    const gradients = new Map();
    for (const { counts } of this.#groups) {
      for (const variable of counts.keys()) if (variable.gradient !== null) gradients.set(variable, variable.gradient);
    }
    return gradients;
  }

  /**
   * @param {(...variables: any[]) => LossAndGradients} closure
   * @returns {[number, Map<Variable, Gradient>]} its loss, and the gradients of the parameters that have one
   */
  #evaluate(closure) {
    ofType('closure', closure, 'function');
    const variables = this.#groups.flatMap(({ counts }) => [...counts.keys()]);
    /** @type {any} */
    let result;
    const list = callLoss((...args) => (result = closure(...args)), variables);
    this.#ready();
    if (list.length !== variables.length) {
      throw rangeError('gradients', `as many as parameters, ${variables.length}`, list);
    }
    /** @type {Map<Variable, Gradient>} */
    const gradients = new Map();
    list.forEach((gradient, i) => gradient === null || gradients.set(variables[i], gradient));
    return [typeof result === 'number' ? result : result.loss, gradients];
  }

  /**
   * Everything that is wrong with a step to come.
   *
   * @param {Map<Variable, Gradient>} gradients
   */
  #checkStep(gradients) {
    for (const { options, counts } of this.#groups) {
      checkGroup(options);
      for (const variable of counts.keys()) {
        if (!gradients.has(variable)) continue;
        const gradient = gradients.get(variable);
        if (variable.isDisposed) throw disposedError(variable);
        if (isIndexedSlices(gradient)) throw new Error('RMSprop does not support sparse gradients');
        checkGradient(variable, gradient);
        const home = this.#states.get(variable)?.home;
        if (!home) continue;
        const missing = options.momentum > 0 && !home.hasBuffer ? 'momentum_buffer'
          : options.centered && !home.hasMean ? 'grad_avg' : '';
        // PyTorch's KeyError: these buffers are made at a parameter's first step, or not at all.
        if (missing) throw new RangeError(`state of ${describe(variable)} has no ${missing}`);
      }
    }
  }

  /**
   * Makes the slots of parameters that have their first gradient.
   *
   * @param {Map<Variable, Gradient>} gradients
   * @param {[Group, Home][]} created gets the places that are new; nothing else refers to them yet
   * @returns {Map<Variable, Home>} where those parameters' slots are; where there are others, they are to be settled
   */
  #house(gradients, created) {
    /** @type {Map<Variable, Home>} */
    const homes = new Map();
    for (const group of this.#groups) {
      const hasBuffer = group.options.momentum > 0;
      const hasMean = group.options.centered;
      const news = [...group.counts.keys()].filter((variable) =>
        gradients.has(variable) && !this.#states.has(variable));
      for (const memory of new Set(news.map((variable) => variable.memory))) {
        const variables = news.filter((variable) => variable.memory === memory);
        let home = group.homes.find((old) =>
          old.memory === memory && old.hasBuffer === hasBuffer && old.hasMean === hasMean);
        if (home) home.engine.add(variables, true);
        else created.push([group, home = homeFor(variables, hasBuffer, hasMean, this.#pool)]);
        for (const variable of variables) homes.set(variable, home);
      }
    }
    return homes;
  }

  /** @param {boolean} isKept whether what `#house` added to places that there were stays there */
  #settle(isKept) {
    for (const { homes } of this.#groups) for (const { engine } of homes) engine.settle(isKept);
  }

  /**
   * Writes all that the kernels read. It is the last that can fail.
   *
   * @param {Map<Variable, Gradient>} gradients
   * @param {Map<Variable, Home>} news where parameters are that have no state yet
   */
  #stage(gradients, news) {
    for (const group of this.#groups) {
      const { options } = group;
      const numbers = { ...options, lr: rateOf(options.lr) };
      for (const home of new Set([...group.homes, ...[...group.counts.keys()].flatMap((v) => news.get(v) ?? [])])) {
        const { engine } = home;
        for (const [name, , field] of NUMBERS) engine.setNumber(field, numbers[name]);
        engine.setWord('flags', (options.weightDecay === 0 ? 0 : constants.RMS_DECAY_GRADIENTS)
          | (options.maximize ? constants.RMS_MAXIMIZE : 0));
        // A buffer that is not asked for any more stays as it is.
        engine.useSlot('momentum_buffer', options.momentum > 0);
        engine.useSlot('grad_avg', options.centered);
        engine.variables.forEach((variable, i) => {
          const isHere = (news.get(variable) ?? this.#states.get(variable)?.home) === home;
          const gradient = /** @type {any} */ (isHere ? gradients.get(variable) : undefined);
          engine.setGradient(i, gradient === undefined ? null : variable.placeGradient(gradient));
        });
        engine.place();
      }
    }
  }

  #run() {
    for (const { homes } of this.#groups) for (const { engine } of homes) engine.step();
  }

  /**
   * Steps parameters that are in their group more than once for all times but the first.
   *
   * @param {Map<Variable, Gradient>} gradients
   */
  #repeat(gradients) {
    for (const { counts, homes } of this.#groups) {
      const most = Math.max(...counts.values());
      for (let pass = 1; pass < most; pass++) {
        for (const { engine } of homes) {
          engine.variables.forEach((variable, i) => {
            if (!gradients.has(variable) || (counts.get(variable) ?? 0) <= pass) engine.setGradient(i, null);
          });
          engine.place();
          engine.step();
        }
      }
    }
  }
}

/**
 * What `torch.save` is to PyTorch: a file of whatever is to be kept, typically state dicts and parameters.
 *
 *     const bytes = save({ model: { w }, optimizer: optimizer.stateDict(), scheduler: scheduler.stateDict() });
 *
 * @param {unknown} object plain objects, arrays, numbers, strings, booleans and null, with tensors and typed arrays as
 *   leaves
 * @returns {Uint8Array} a safetensors file, in which tensors have names like `optimizer.state.0.square_avg`; see
 *   state-dict.js for what is not a tensor
 * @throws {TypeError | RangeError} for anything else, naming where it is
 */
export function save(object) {
  return writeStateDict('torch', object);
}

/**
 * @param {Uint8Array} bytes what `save` returned, here or in Python
 * @returns {any} the object again; its tensors are flat typed arrays
 * @throws {TypeError | RangeError} if it is anything else
 */
export function load(bytes) {
  return readStateDict('torch', bytes);
}

/**
 * @param {Variable[]} variables of one memory
 * @param {boolean} hasBuffer
 * @param {boolean} hasMean
 * @param {import('./engine.js').Pool} [pool]
 * @returns {Home}
 */
function homeFor(variables, hasBuffer, hasMean, pool) {
  const names = /** @type {(keyof typeof SLOTS)[]} */ (Object.keys(SLOTS)).filter((name) =>
    name === 'square_avg' || (name === 'momentum_buffer' ? hasBuffer : hasMean));
  const engine = new Engine(variables, names.map((name) => ({ name, field: SLOTS[name] })), false, undefined, pool);
  engine.setWord('rule', constants.RMS_RULE_TORCH);
  return { engine, memory: variables[0].memory, hasBuffer, hasMean };
}

// ---- Checks ----

/**
 * @template {object} T
 * @param {T} options
 * @returns {T} without those that are undefined
 */
function given(options) {
  return /** @type {T} */ (Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)));
}

/**
 * The constructor's own numbers must not be negative; PyTorch lets a group have any.
 *
 * @param {Record<string, any>} options
 */
function checkDefaults(options) {
  checkRate(options.lr);
  for (const [name, label] of NUMBERS) {
    const value = name === 'lr' ? rateOf(options.lr) : options[name];
    const expectation = 'a finite number >= 0';
    if (typeof value !== 'number') throw typeError(name, expectation, value);
    if (!(value >= 0 && value < Infinity)) {
      throw new RangeError(`Invalid ${label}: ${value}; ${name} must be ${expectation}`);
    }
  }
  for (const name of BOOLEANS) ofType(name, options[name], 'boolean');
}

/** @param {Record<string, any>} options of a group */
function checkGroup(options) {
  knownOptions('group', options, GROUP_KEYS);
  checkRate(options.lr);
  for (const [name] of NUMBERS) finite(name, name === 'lr' ? rateOf(options.lr) : options[name]);
  for (const name of BOOLEANS) ofType(name, options[name], 'boolean');
  for (const name of LIMITS) if (options[name] !== undefined) finite(name, options[name]);
  if (options.name !== undefined) ofType('name', options.name, 'string');
  if (options.paramNames !== undefined) {
    array('paramNames', options.paramNames).forEach((name, i) => ofType(`paramNames[${i}]`, name, 'string'));
  }
}

/** @param {unknown} lr */
function checkRate(lr) {
  if (isTensor(lr) && lr.size !== 1) throw new RangeError(`Tensor lr must be 1-element, got ${lr.size} elements`);
}

/**
 * @param {number | Tensor} lr
 * @returns {number}
 */
function rateOf(lr) {
  return isTensor(lr) ? lr.data[0] : lr;
}

/**
 * @param {unknown} params
 * @returns {any[]}
 */
function listOf(params) {
  if (typeof (/** @type {any} */ (params)?.[Symbol.iterator]) === 'function') return [.../** @type {any} */ (params)];
  throw new TypeError('params argument given to the optimizer should be an iterable of variables or groups, '
    + `but got ${show(params)}`);
}

/**
 * @param {unknown} params of a group
 * @returns {readonly Variable[]}
 */
function checkParams(params) {
  const list = isVariable(params) ? [params] : listOf(params);
  for (const variable of list) {
    if (!isVariable(variable)) {
      throw new TypeError(`optimizer can only optimize variables, but one of the params is ${show(variable)}`);
    }
    if (variable.isDisposed) throw disposedError(variable);
    if (variable.dtype === 'int32') throw typeError(describe(variable), 'float32 or float64', variable.dtype);
  }
  return Object.freeze(list);
}

// ---- State dicts ----

/**
 * @param {string} name
 * @param {any} group of a state dict
 * @returns {Record<string, any>} its options, checked; what older versions of PyTorch did not write has its default
 */
function savedOptions(name, group) {
  array(`${name}.params`, ofType(name, group, 'object').params);
  knownOptions(name, group, GROUP_KEYS.map(snakeCase));
  const { params: _params, ...saved } = { ...group, lr: singleNumber(`${name}.lr`, group.lr) };
  const entries = Object.entries(structuredClone(saved)).map(([key, value]) => [camelCase(key), value]);
  const options = Object.fromEntries(entries);
  for (const key of ADDED_LATER) if (options[key] === undefined) options[key] = DEFAULTS[key];
  checkGroup(options);
  return options;
}

/**
 * @typedef {{ id: unknown, variable: Variable, step: number, arrays: Record<string, TypedArray> }} SavedState
 */

/**
 * @param {Record<string, any>} state of a state dict
 * @param {Map<Variable, unknown>} ids of the parameters of one group
 * @returns {SavedState[]} of those parameters that have one, checked
 */
function savedStates(state, ids) {
  return [...ids].flatMap(([variable, id]) => {
    const entry = state[/** @type {string} */ (id)];
    if (entry === undefined) return [];
    ofType(`state[${id}]`, entry, 'object');
    const names = Object.keys(SLOTS).filter((name) => name === 'square_avg' || entry[name] != null);
    const arrays = Object.fromEntries(names.map((name) => {
      const values = variable.checked(`state[${id}].${name}`, entry[name]);
      // The memory may grow before they are copied, which would detach a view of it.
      return [name, values.buffer === variable.memory.buffer ? values.slice() : values];
    }));
    const name = `state[${id}].step`;
    return [{ id, variable, step: integer(name, singleNumber(name, entry.step), 0), arrays }];
  });
}

/**
 * @param {SavedState[][]} groups
 * @param {import('./engine.js').Pool} [pool]
 * @returns {[Home, number][]} engines that hold those states, and the group of each
 */
function rehoused(groups, pool) {
  /** @type {[Home, number][]} */
  const homes = [];
  try {
    groups.forEach((states, place) => {
      const kindOf = (/** @type {SavedState} */ { arrays }) => `${Object.keys(arrays)}`;
      for (const memory of new Set(states.map(({ variable }) => variable.memory))) {
        for (const kind of new Set(states.map(kindOf))) {
          const alike = states.filter((state) => state.variable.memory === memory && kindOf(state) === kind);
          if (alike.length === 0) continue;
          const [{ arrays }] = alike;
          const variables = alike.map(({ variable }) => variable);
          const home = homeFor(variables, 'momentum_buffer' in arrays, 'grad_avg' in arrays, pool);
          homes.push([home, place]);
          for (const { name, tensors } of home.engine.slots) {
            alike.forEach((state, i) => tensors[i].set(state.arrays[name]));
          }
        }
      }
    });
  } catch (error) {
    for (const [{ engine }] of homes) engine.dispose();
    throw error;
  }
  return homes;
}

/**
 * @param {string} name
 * @param {any} value a number, or the only element of an array or tensor, as a tensor of no dimension may be written
 * @returns {number}
 */
function singleNumber(name, value) {
  if (isTensor(value) && value.size === 1) return finite(name, value.data[0]);
  return finite(name, value?.length === 1 ? value[0] : value);
}
