/**
 * RMSprop as PyTorch has it: `torch.optim.RMSprop` with parameter groups and state dicts, `clip_grad_norm_`,
 * `clip_grad_value_` and the schedulers of `torch.optim.lr_scheduler`. The arithmetic is the kernels', the slots are
 * the engine's; what is here is PyTorch's names, defaults, state and errors.
 */
import { knownOptions, ofType, rangeError } from './check.js';
import { Engine, checkPool } from './engine.js';
import { LOSS_RUNS, callLoss, outlastGrowth, takeGradient } from './core/gradients.js';
import { equip } from './core/inspect.js';
import { Overlap } from './core/overlap.js';
import { Step, warn } from './core/step.js';
import * as constants from './generated/constants.js';
import { torch } from './generated/torch.js';
import { readStateDict, writeStateDict } from './state-dict.js';
import { describe, disposedError, indexedSlices, isIndexedSlices, isTensor } from './tensor.js';
import {
  NUMBERS, OPTIONS, SLOTS, checkGroup, defaultsOf, groupOf, groupsOf, noteLoaded, rateOf, savedGroups, stateDictOf,
} from './torch/groups.js';

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
/** @typedef {import('./core/gradients.js').LossAndGradients} LossAndGradients */
/** @typedef {import('./core/staging.js').DenseGradient} DenseGradient */
/** @typedef {import('./memory.js').Memory} Memory */
/**
 * @typedef {object} Home where the state of parameters is that are in one group and one memory, and have the same slots
 * @property {Engine} engine
 * @property {Memory} memory
 * @property {boolean} hasBuffer
 * @property {boolean} hasMean
 * @property {import('./engine.js').Placed} [placed] what is to be run
 */
/**
 * @typedef {object} Member a parameter
 * @property {Variable} variable
 * @property {number} place among all parameters
 * @property {number} times how often it is in its group: PyTorch takes, and steps, one repeatedly
 * @property {Home} [home] undefined before its first gradient
 * @property {number} index of it in the engine
 * @property {number} step steps made
 */
/**
 * @typedef {object} Group
 * @property {ParamGroup} options
 * @property {Member[]} members
 * @property {Home[]} homes
 * @property {Record<string, any>} checked the options of the call
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
  /** All parameters. @type {Map<Variable, Member>} */
  #members = new Map();
  /** Those that have state, in the order of their first gradients. @type {Set<Member>} */
  #stateful = new Set();
  /** What the engines write in one call. */
  #overlap = new Overlap();
  /** The gradients of the call, by the places of the parameters. @type {DenseGradient[]} */
  #taken = [];
  /** What the call has made: parameters with their first gradients, and homes. */
  #made = { members: /** @type {Member[]} */ ([]), homes: /** @type {Set<Home>} */ (new Set()) };
  #step = new Step(() => 'the optimizer', {
    stage: (gradients) => this.#stage(gradients),
    ask: () => this.#ask(),
    place: () => this.#place(),
    run: () => this.#run(),
    constrain: (constrain) => {
      for (const { variable, place } of this.#members.values()) if (this.#taken[place] !== null) constrain(variable);
    },
    count: () => this.#count(),
    undo: () => this.#undo(),
  });

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
    return new Map([...this.#stateful].map(({ variable, step, home, index }) => {
      const slots = /** @type {Home} */ (home).engine.slots.map(({ name, tensors }) => [name, tensors[index]]);
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
    this.#step.check('addParamGroup');
    const options = groupOf(group, this.#defaults);
    const { params } = options;
    if (params.some((variable) => this.#members.has(variable))) {
      throw new RangeError('some parameters appear in more than one parameter group');
    }
    /** @type {Map<Variable, Member>} */
    const members = new Map();
    for (const variable of params) {
      const member = members.get(variable);
      const place = this.#members.size + members.size;
      if (member) member.times += 1;
      else members.set(variable, { variable, place, times: 1, home: undefined, index: -1, step: 0 });
    }
    if (members.size < params.length) {
      warn('optimizer contains a parameter group with duplicate parameters: each step updates them repeatedly');
    }
    for (const [variable, member] of members) this.#members.set(variable, member);
    this.#groups.push({ options, members: [...members.values()], homes: [], checked: options });
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
    this.#step.check('step');
    const [loss, gradients] = closure === undefined ? [] : this.#evaluate(closure);
    this.#step.run('step', gradients);
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
    this.#step.check('zeroGrad', LOSS_RUNS);
    knownOptions('zeroGrad', options, ['setToNone']);
    const setToNone = ofType('setToNone', options.setToNone ?? true, 'boolean');
    const variables = [...this.#members.keys()];
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
    this.#step.check('loadStateDict');
    const saved = savedGroups(stateDict, this.paramGroups);
    const states = saved.map((group) => group.states);
    const homes = rehoused(states, this.#pool, this.#overlap);

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
    this.#stateful.clear();
    for (const member of this.#members.values()) member.home = undefined;
    for (const id of Object.keys(stateDict.state)) {
      const state = loaded.get(id);
      if (!state) continue;
      const [home] = homes.find(([{ engine }]) => engine.indexOf(state.variable) >= 0) ?? [];
      const member = /** @type {Member} */ (this.#members.get(state.variable));
      this.#settleIn(member, /** @type {Home} */ (home), state.step);
      this.#stateful.add(member);
    }
  }

  /** Frees the state; the parameters stay. Calling it again does nothing. */
  dispose() {
    this.#step.dispose(() => {
      for (const { homes } of this.#groups) for (const { engine } of homes) engine.dispose();
      this.#stateful.clear();
    });
  }

  /**
   * @param {Member} member
   * @param {Home} home where its slots are from now on
   * @param {number} step
   */
  #settleIn(member, home, step) {
    member.home = home;
    member.index = home.engine.indexOf(member.variable);
    member.step = step;
  }

  static {
    equip(this, (optimizer) => #groups in optimizer, (/** @type {RMSprop} */ optimizer) => {
      optimizer.#step.checkAlive('inspect');
      return optimizer.#groups.map(({ options: { params, ...options } }) => ({ params: params.length, ...options }));
    });
  }

  // ---- The step ----

  /**
   * @param {(...variables: any[]) => LossAndGradients} closure
   * @returns {[loss: number, gradients: readonly unknown[]]} its loss, and a gradient for each parameter, or null
   */
  #evaluate(closure) {
    ofType('closure', closure, 'function');
    const variables = [...this.#members.keys()];
    /** @type {any} */
    let result;
    const list = this.#step.during('step', LOSS_RUNS, () =>
      callLoss((...args) => (result = closure(...args)), variables));
    if (list.length !== variables.length) {
      throw rangeError('gradients', `as many as parameters, ${variables.length}`, list);
    }
    return [typeof result === 'number' ? result : result.loss, list];
  }

  /**
   * @param {readonly unknown[] | undefined} gradients one for each parameter; undefined: those that they have
   * @returns {boolean} true
   */
  #stage(gradients) {
    const taken = this.#taken = /** @type {DenseGradient[]} */ ([]);
    /** @type {Set<Memory>} */
    const memories = new Set();
    let hasNew = false;
    for (const group of this.#groups) {
      const checked = group.checked = { ...group.options };
      checkGroup(checked);
      checked.lr = rateOf(checked.lr);
      for (const member of group.members) {
        const { variable, place, home } = member;
        const gradient = takeDense(variable, gradients ? gradients[place] : variable.gradient);
        taken.push(gradient);
        if (gradient === null) continue;
        memories.add(variable.memory);
        if (home) checkSlots(variable, home, checked);
        else hasNew = true;
      }
    }
    for (const memory of memories) outlastGrowth(taken, memory);
    if (hasNew) this.#house();
    for (const { members, homes } of this.#groups) {
      const lists = new Map(homes.map((home) =>
        [home, home.engine.variables.map(() => /** @type {DenseGradient} */ (null))]));
      for (const { home, index, place } of members) {
        const list = home && lists.get(home);
        if (list) list[index] = taken[place];
      }
      for (const [{ engine }, list] of lists) engine.setGradients(list);
    }
    return true;
  }

  /** Makes the slots of parameters that have their first gradient. */
  #house() {
    for (const { checked, homes, members } of this.#groups) {
      const hasBuffer = checked.momentum > 0;
      const hasMean = checked.centered;
      /** @type {Map<Memory, Member[]>} */
      const news = new Map();
      for (const member of members) {
        if (member.home || this.#taken[member.place] === null) continue;
        const { memory } = member.variable;
        const alike = news.get(memory);
        if (alike) alike.push(member);
        else news.set(memory, [member]);
      }
      for (const [memory, alike] of news) {
        const variables = alike.map(({ variable }) => variable);
        let home = homes.find((old) =>
          old.memory === memory && old.hasBuffer === hasBuffer && old.hasMean === hasMean);
        if (home) {
          home.engine.add(variables, true);
        } else {
          home = homeFor(variables, hasBuffer, hasMean, this.#pool, this.#overlap);
          homes.push(home);
          this.#made.homes.add(home);
        }
        for (const member of alike) {
          this.#settleIn(member, home, 0);
          this.#made.members.push(member);
        }
      }
    }
  }

  /** Writes the options of the groups. */
  #ask() {
    for (const { checked, homes } of this.#groups) {
      for (const { engine } of homes) {
        for (const [name, , field] of NUMBERS) engine.setNumber(field, checked[name]);
        engine.setWord('flags', (checked.weightDecay === 0 ? 0 : constants.RMS_DECAY_GRADIENTS)
          | (checked.maximize ? constants.RMS_MAXIMIZE : 0));
        // A buffer that is not asked for any more stays as it is.
        engine.useSlot('momentum_buffer', checked.momentum > 0);
        engine.useSlot('grad_avg', checked.centered);
      }
    }
  }

  #place() {
    for (const { homes } of this.#groups) for (const home of homes) home.placed = home.engine.place();
  }

  #run() {
    for (const { homes, members, options } of this.#groups) {
      for (const { placed } of homes) placed?.step();
      // Parameters that are in their group more than once are stepped for all times but the first.
      if (members.length === options.params.length) continue;
      const most = members.reduce((most, { times }) => Math.max(most, times), 1);
      for (let pass = 1; pass < most; pass++) {
        for (const { home, index, times } of members) if (times <= pass) home?.engine.setGradient(index, null);
        for (const { engine } of homes) engine.place().step();
      }
    }
  }

  #count() {
    for (const member of this.#members.values()) if (this.#taken[member.place] !== null) member.step += member.times;
    for (const member of this.#made.members) this.#stateful.add(member);
    this.#end(true);
  }

  #undo() {
    for (const member of this.#made.members) member.home = undefined;
    const made = this.#made.homes;
    if (made.size) for (const group of this.#groups) group.homes = group.homes.filter((home) => !made.has(home));
    for (const { engine } of made) engine.dispose();
    this.#end(false);
  }

  /** @param {boolean} isKept whether what the call has added to homes stays there */
  #end(isKept) {
    for (const { homes } of this.#groups) for (const { engine } of homes) engine.settle(isKept);
    this.#made.members.length = this.#taken.length = 0;
    this.#made.homes.clear();
  }
}

/**
 * @param {Variable} variable
 * @param {unknown} gradient
 * @returns {DenseGradient} checked
 */
function takeDense(variable, gradient) {
  if (gradient === null) return null;
  if (variable.isDisposed) throw disposedError(variable);
  if (isIndexedSlices(gradient)) throw new Error('RMSprop does not support sparse gradients');
  return /** @type {DenseGradient} */ (takeGradient(variable, gradient));
}

/**
 * @param {Variable} variable
 * @param {Home} home
 * @param {Record<string, any>} options
 * @throws {RangeError} PyTorch's KeyError: some slots are made at a parameter's first step, or not at all
 */
function checkSlots(variable, home, options) {
  const missing = options.momentum > 0 && !home.hasBuffer ? 'momentum_buffer'
    : options.centered && !home.hasMean ? 'grad_avg' : '';
  if (missing) throw new RangeError(`state of ${describe(variable)} has no ${missing}`);
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
 * @param {import('./engine.js').Pool | undefined} pool
 * @param {Overlap} overlap
 * @returns {Home}
 */
function homeFor(variables, hasBuffer, hasMean, pool, overlap) {
  const names = /** @type {(keyof typeof SLOTS)[]} */ (Object.keys(SLOTS)).filter((name) =>
    name === 'square_avg' || (name === 'momentum_buffer' ? hasBuffer : hasMean));
  const engine = new Engine(torch, variables, names.map((name) => ({ name, field: SLOTS[name] })), { pool, overlap });
  engine.setWord('rule', constants.RMS_RULE_TORCH);
  return { engine, memory: variables[0].memory, hasBuffer, hasMean };
}

/**
 * @param {SavedState[][]} groups
 * @param {import('./engine.js').Pool | undefined} pool
 * @param {Overlap} overlap of the engines
 * @returns {[Home, number][]} engines that hold those states, and the group of each
 */
function rehoused(groups, pool, overlap) {
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
          const home = homeFor(variables, 'momentum_buffer' in arrays, 'grad_avg' in arrays, pool, overlap);
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
