/**
 * RMSprop as PyTorch has it: `torch.optim.RMSprop` with parameter groups and state dicts, `clip_grad_norm_`,
 * `clip_grad_value_` and the schedulers of `torch.optim.lr_scheduler`. The arithmetic is the kernels', the slots are
 * the engine's; what is here is PyTorch's names, defaults, state and errors.
 */
import { knownOptions, ofType, rangeError } from './check.js';
import { Engine, checkPool, constants } from './engine.js';
import { torch } from './generated/torch.js';
import { buffersBefore, callLoss } from './core/gradients.js';
import { equip } from './core/inspect.js';
import { readStateDict, writeStateDict } from './state-dict.js';
import { checkGradient, describe, disposedError, indexedSlices, isIndexedSlices, isTensor } from './tensor.js';
import {
  NUMBERS, OPTIONS, SLOTS, checkGroup, defaultsOf, groupOf, groupsOf, noteLoaded, rateOf, savedGroups, stateDictOf,
} from './torch/groups.js';
import { constrain } from './updates.js';

export { clipGradNorm, clipGradValue } from './torch-clip.js';
export * as lrScheduler from './torch/schedulers.js';
export * as swaUtils from './torch/swa-utils.js';

/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./torch/groups.js').RMSpropOptions} RMSpropOptions */
/** @typedef {import('./torch/groups.js').GroupOptions} GroupOptions */
/** @typedef {import('./torch/groups.js').ParamGroup} ParamGroup */
/** @typedef {import('./torch/groups.js').Parameter} Parameter */
/** @typedef {import('./torch/groups.js').ParameterState} ParameterState */
/** @typedef {import('./torch/groups.js').SavedState} SavedState */
/** @typedef {import('./torch/groups.js').StateDict} StateDict */
/** @typedef {import('./core/gradients.js').Gradient} Gradient */
/** @typedef {import('./core/gradients.js').LossAndGradients} LossAndGradients */
/**
 * @typedef {object} Home where the state of parameters is that are in one group and one memory, and have the same slots
 * @property {Engine} engine
 * @property {import('./memory.js').Memory} memory
 * @property {boolean} hasBuffer
 * @property {boolean} hasMean
 * @property {import('./engine.js').Placed} [placed] what is to be run
 */
/**
 * @typedef {object} Group
 * @property {ParamGroup} options
 * @property {Map<Variable, number>} counts how often each parameter is in it: PyTorch takes, and steps, one repeatedly
 * @property {Home[]} homes
 */

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
   * @param {Iterable<Parameter> | Iterable<GroupOptions>} params variables, with names or without, or groups with
   *   options of their own
   * @param {RMSpropOptions & { pool?: import('./engine.js').Pool }} [options] of all groups that give no other; `pool`:
   *   threads that share the work of each step, a `ThreadPool` in whose memory the parameters are
   * @throws {TypeError} for an unknown option, naming the nearest known one, or for what is no variable
   * @throws {RangeError} for a number that is negative, NaN or infinite, and for parameters in two groups, or none
   */
  constructor(params, options = {}) {
    knownOptions('RMSprop', options, [...OPTIONS, 'pool']);
    const { pool, ...rest } = options;
    this.#pool = checkPool(pool);
    this.#defaults = defaultsOf(rest);
    for (const group of groupsOf(params)) this.addParamGroup(group);
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
    const options = groupOf(group, this.#defaults);
    const { params } = options;
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
    return stateDictOf(this.paramGroups, this.state);
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
    const saved = savedGroups(stateDict, this.paramGroups);
    const states = saved.map((group) => group.states);
    const homes = rehoused(states, this.#pool);

    for (const [i, group] of this.#groups.entries()) {
      for (const { engine } of group.homes) engine.dispose();
      group.homes = homes.filter(([, place]) => place === i).map(([home]) => home);
      const target = /** @type {Record<string, any>} */ (group.options);
      for (const name of Object.keys(target)) if (name !== 'params') delete target[name];
      Object.assign(target, saved[i].options);
      noteLoaded(group.options);
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

  static {
    equip(this, (optimizer) => #groups in optimizer, (/** @type {RMSprop} */ optimizer) => {
      optimizer.#ready();
      return optimizer.#groups.map(({ options: { params, ...options } }) => ({ params: params.length, ...options }));
    });
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
        home.placed = engine.place();
      }
    }
  }

  #run() {
    for (const { homes } of this.#groups) for (const { placed } of homes) placed?.step();
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
          engine.place().step();
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
 * @param {Uint8Array | ArrayBuffer} bytes what `save` returned, here or in Python
 * @returns {any} the object again; its tensors are typed arrays with a property `shape`, which `variable`,
 *   `loadStateDict` and `save` heed
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
  const engine = new Engine(torch, variables, names.map((name) => ({ name, field: SLOTS[name] })), { pool });
  engine.setWord('rule', constants.RMS_RULE_TORCH);
  return { engine, memory: variables[0].memory, hasBuffer, hasMean };
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
