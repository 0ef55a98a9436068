/**
 * The parameter groups of PyTorch's optimizers: their options, what is checked of them, and how state dicts have them.
 * Nothing here steps.
 */
import { array, editDistance, finite, integer, ofType, rangeError, show, typeError } from '../check.js';
import { copyOf } from '../core/copy.js';
import { isTypedArray } from '../core/identity.js';
import { shapeOfArray, shaped } from '../core/shaped.js';
import { camelCase, snakeCase } from '../naming.js';
import { describe, disposedError, isTensor, isVariable } from '../tensor.js';

/** @typedef {import('../tensor.js').Tensor} Tensor */
/** @typedef {import('../tensor.js').Variable} Variable */
/** @typedef {import('../tensor.js').TypedArray} TypedArray */
/**
 * @typedef {object} RMSpropOptions
 * @property {number | Tensor} [lr] learning rate, default 0.01; a tensor of one element is read at each step
 * @property {number} [alpha] decay of the mean square and the mean gradient, default 0.99
 * @property {number} [eps] added to the square root, default 1e-8
 * @property {number} [weightDecay] L2: so many times the weights are added to the gradient; default 0
 * @property {number} [momentum] default 0: no momentum buffer
 * @property {boolean} [centered] divide by an estimate of the variance instead, default false
 * @property {boolean} [maximize] climb instead, default false
 * @property {boolean} [capturable] without effect here, as are `foreach` and `differentiable`: they are kept alone
 * @property {boolean | null} [foreach]
 * @property {boolean} [differentiable]
 */
/**
 * @typedef {object} Limits what schedulers keep in a group, and find there when they resume
 * @property {number} [initialLr]
 * @property {number} [maxLr]
 * @property {number} [minLr]
 * @property {number} [maxMomentum]
 * @property {number} [baseMomentum]
 * @property {number} [swaLr]
 */
/** @typedef {{ [own: string]: unknown }} OwnKeys what users keep in a group: without effect, but in state dicts */
/** @typedef {Variable | readonly [name: string, variable: Variable]} Parameter */
/**
 * @typedef {RMSpropOptions & Limits & { params: Iterable<Parameter> | Variable, paramNames?: readonly string[] }
 *   & OwnKeys} GroupOptions a group to be made; options that it does not give are the optimizer's
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
 * @property {boolean} capturable without effect here, as are `foreach` and `differentiable`
 * @property {boolean | null} foreach
 * @property {boolean} differentiable
 * @property {readonly string[]} [paramNames] where parameters were given with names
 */
/**
 * @typedef {OwnOptions & Limits & OwnKeys} ParamGroup what is written here takes effect at the next step, and is
 *   checked then
 */
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

/** Every option of a group in PyTorch's order. */
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

export const OPTIONS = Object.freeze(Object.keys(DEFAULTS));

/** Options that state dicts of older versions of PyTorch may lack. */
const ADDED_LATER = /** @type {const} */ ([
  'momentum', 'centered', 'foreach', 'maximize', 'differentiable', 'capturable',
]);

/** What schedulers keep in a group, and find there when they resume. */
const LIMITS = /** @type {const} */ (['initialLr', 'maxLr', 'minLr', 'maxMomentum', 'baseMomentum', 'swaLr']);

/** Every key of a group that has a meaning; all others are the user's own. */
const GROUP_KEYS = ['params', ...OPTIONS, ...LIMITS, 'paramNames'];

/** How other frameworks call options of a group. @type {Record<string, string>} */
const ALIASES = { learningrate: 'lr', rho: 'alpha', epsilon: 'eps' };

/** The numbers in the order in which PyTorch checks them, what it calls them, and what the kernels do. */
export const NUMBERS = /** @type {const} */ ([
  ['lr', 'learning rate', 'learning_rate'],
  ['eps', 'epsilon value', 'epsilon'],
  ['momentum', 'momentum value', 'momentum'],
  ['weightDecay', 'weight_decay value', 'weight_decay'],
  ['alpha', 'alpha value', 'rho'],
]);

const BOOLEANS = /** @type {const} */ (['centered', 'maximize', 'capturable', 'differentiable']);

/** PyTorch's names of the slots, in its order; the last two are there when they are asked for. */
export const SLOTS = Object.freeze({
  square_avg: 'mean_square', momentum_buffer: 'momentum', grad_avg: 'mean_gradient',
});

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
 * @param {RMSpropOptions} options of the constructor
 * @returns {typeof DEFAULTS} what groups have that give no other
 * @throws {TypeError | RangeError} for a number that is none or negative
 */
export function defaultsOf(options) {
  const defaults = /** @type {Record<string, any>} */ ({ ...DEFAULTS, ...given(options) });
  checkRate(defaults.lr);
  for (const [name, label] of NUMBERS) {
    const value = name === 'lr' ? rateOf(defaults.lr) : defaults[name];
    const expectation = 'a finite number >= 0';
    if (typeof value !== 'number') throw typeError(name, expectation, value);
    if (!(value >= 0 && value < Infinity)) {
      throw new RangeError(`Invalid ${label}: ${value}; ${name} must be ${expectation}`);
    }
  }
  checkFlags(defaults);
  return /** @type {any} */ (defaults);
}

/**
 * @param {unknown} params of the constructor: variables, or groups
 * @returns {any[]} groups, not checked yet
 */
export function groupsOf(params) {
  const list = listOf(params);
  if (list.length === 0) throw new RangeError('optimizer got an empty parameter list');
  const [first] = list;
  const isGroups = typeof first === 'object' && first !== null && !isTensor(first) && !Array.isArray(first);
  return isGroups ? list : [{ params: list }];
}

/**
 * @param {GroupOptions} group as a user gives it
 * @param {typeof DEFAULTS} defaults what it has that it does not give
 * @returns {ParamGroup}
 * @throws {TypeError | RangeError} for a misspelled option, a number that is none, or what is no variable
 */
export function groupOf(group, defaults) {
  if (typeof group !== 'object' || group === null || isTensor(group)) {
    throw new TypeError(`param_group must be an object with params, but got ${show(group)}`);
  }
  const { params, ...rest } = group;
  const options = /** @type {ParamGroup} */ ({ ...checkParams(params), ...given(rest) });
  // Options in PyTorch's order: the group's own first.
  Object.assign(options, { ...defaults, ...options });
  Object.defineProperty(options, 'params', { writable: false, configurable: false });
  checkGroup(options);
  return options;
}

/**
 * Refuses what a step could not take.
 *
 * @param {Record<string, any>} options of a group
 */
export function checkGroup(options) {
  checkKeys('group', options, GROUP_KEYS);
  checkRate(options.lr);
  for (const [name] of NUMBERS) finite(name, name === 'lr' ? rateOf(options.lr) : options[name]);
  checkFlags(options);
  for (const name of LIMITS) if (options[name] !== undefined) finite(name, options[name]);
  if (options.paramNames === undefined) return;
  array('paramNames', options.paramNames).forEach((name, i) => ofType(`paramNames[${i}]`, name, 'string'));
  if (options.params && options.paramNames.length !== options.params.length) {
    throw rangeError('paramNames', `as many as params, ${options.params.length}`, options.paramNames);
  }
}

/** @param {Record<string, any>} options */
function checkFlags(options) {
  for (const name of BOOLEANS) ofType(name, options[name], 'boolean');
  if (options.foreach !== null) ofType('foreach', options.foreach, 'boolean');
}

/**
 * Refuses a key that is a known one misspelled, in the spelling of the other language, or as other frameworks call it.
 * All other keys are the user's own.
 *
 * @param {string} name of the group, for the message
 * @param {object} group
 * @param {readonly string[]} known
 */
function checkKeys(name, group, known) {
  const plain = (/** @type {string} */ key) => key.replaceAll('_', '').toLowerCase();
  for (const key of Object.keys(group)) {
    if (known.includes(key)) continue;
    const letters = plain(key);
    const errors = letters.length < 4 ? 0 : letters.length < 8 ? 1 : 2;
    const meant = ALIASES[letters] ?? known.find((option) => editDistance(letters, plain(option)) <= errors);
    if (meant !== undefined) throw new TypeError(`${name} has no option ${show(key)}; did you mean ${show(meant)}?`);
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
export function rateOf(lr) {
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
 * @param {unknown} params of a group: variables, or pairs of a name and a variable
 * @returns {{ params: readonly Variable[], paramNames?: readonly string[] }}
 * @throws {TypeError | RangeError} for what is no variable, and for names of some alone
 */
export function checkParams(params) {
  const list = isVariable(params) ? [params] : listOf(params);
  const variables = list.map((one) => (Array.isArray(one) ? one[1] : one));
  for (const variable of variables) {
    if (!isVariable(variable)) {
      throw new TypeError(`optimizer can only optimize variables, but one of the params is ${show(variable)}`);
    }
    if (variable.isDisposed) throw disposedError(variable);
    if (variable.dtype === 'int32') throw typeError(describe(variable), 'float32 or float64', variable.dtype);
  }
  const names = list.flatMap((one, i) => (Array.isArray(one) ? [ofType(`params[${i}][0]`, one[0], 'string')] : []));
  if (names.length > 0 && names.length < list.length) {
    throw new RangeError('all optimizer params should be with/without names. Some param names are missing');
  }
  return { params: Object.freeze(variables), ...(names.length > 0 ? { paramNames: Object.freeze(names) } : {}) };
}

// ---- State dicts ----

/**
 * @param {readonly ParamGroup[]} groups
 * @param {Map<Variable, ParameterState>} state
 * @returns {StateDict} PyTorch's dictionary, which shares nothing with the optimizer
 * @throws {TypeError} for a misspelled key in a group, and for a value of the user's own that no file could have
 */
export function stateDictOf(groups, state) {
  for (const group of groups) checkKeys('group', group, GROUP_KEYS);
  /** @type {Map<Variable, number>} */
  const indices = new Map();
  let first = 0;
  const saved = groups.map(({ params, ...options }, k) => {
    params.forEach((variable, i) => indices.has(variable) || indices.set(variable, first + i));
    first += params.length;
    const entries = Object.entries({ ...options, lr: rateOf(options.lr) });
    const named = entries.map(([name, value]) => [
      GROUP_KEYS.includes(name) ? snakeCase(name) : name, copied(`paramGroups[${k}].${name}`, value),
    ]);
    return { ...Object.fromEntries(named), params: params.map((variable) => indices.get(variable)) };
  });
  const states = [...state].map(([variable, { step, ...slots }]) => {
    const arrays = Object.entries(slots).map(([name, tensor]) => [name, shaped(tensor.data.slice(), tensor.shape)]);
    return [indices.get(variable), { step, ...Object.fromEntries(arrays) }];
  });
  return { state: Object.fromEntries(states), param_groups: saved };
}

/**
 * @typedef {{ id: unknown, variable: Variable, step: number, arrays: Record<string, TypedArray> }} SavedState
 */
/**
 * @typedef {object} SavedGroup what a state dict has of one group
 * @property {Record<string, any>} options
 * @property {SavedState[]} states of those parameters that have one
 */

/**
 * @param {StateDict} stateDict
 * @param {readonly ParamGroup[]} groups to which its groups belong, in the same order
 * @returns {SavedGroup[]} checked
 * @throws {TypeError | RangeError} for what is no state dict of those groups
 */
export function savedGroups(stateDict, groups) {
  const saved = array('param_groups', ofType('stateDict', stateDict, 'object').param_groups);
  ofType('state', stateDict.state, 'object');
  if (saved.length !== groups.length) {
    throw new RangeError('loaded state dict has a different number of parameter groups: '
      + `${saved.length}, the optimizer has ${groups.length}`);
  }
  const options = saved.map((group, i) => savedOptions(`param_groups[${i}]`, group, groups[i]));
  groups.forEach(({ params }, i) => {
    if (saved[i].params.length === params.length) return;
    throw new RangeError("loaded state dict contains a parameter group that doesn't match the size of optimizer's "
      + `group: group ${i} has ${saved[i].params.length} parameters, not ${params.length}`);
  });
  return groups.map(({ params }, i) => ({
    options: options[i],
    states: savedStates(stateDict.state, new Map(params.map((variable, k) => [variable, saved[i].params[k]]))),
  }));
}

/**
 * @param {string} name
 * @param {any} group of a state dict
 * @param {ParamGroup} present the group that takes it over
 * @returns {Record<string, any>} its options, checked; what older versions of PyTorch did not write has its default,
 *   and the names of parameters stay where it has none
 */
function savedOptions(name, group, present) {
  array(`${name}.params`, ofType(name, group, 'object').params);
  const known = GROUP_KEYS.map(snakeCase);
  checkKeys(name, group, known);
  const { params: _params, ...saved } = { ...group, lr: singleNumber(`${name}.lr`, group.lr) };
  const options = Object.fromEntries(Object.entries(saved).map(([key, value]) =>
    [known.includes(key) ? camelCase(key) : key, copied(`${name}.${key}`, value)]));
  for (const key of ADDED_LATER) if (options[key] === undefined) options[key] = DEFAULTS[key];
  if (present.paramNames) options.paramNames ??= present.paramNames;
  checkGroup(options);
  return options;
}

/** What a state dict holds. @type {import('../core/copy.js').Kind} */
const DATA = {
  expectation: 'numbers, text, arrays or plain objects',
  copyOwn(name, value) {
    if (typeof value === 'function' || typeof value === 'symbol') throw typeError(name, DATA.expectation, value);
    if (isTensor(value)) return shaped(value.data.slice(), value.shape);
    return isTypedArray(value) ? shaped(value.slice(), shapeOfArray(value)) : undefined;
  },
};

/**
 * @param {string} name
 * @param {unknown} value of a group or scheduler
 * @returns {any} a copy that shares nothing with it; a tensor becomes a typed array
 * @throws {TypeError} for what no file could have
 */
export function copied(name, value) {
  return copyOf(name, value, DATA);
}

// ---- Loaded rates ----

/** The rates of groups that come from the state dict of a run which had a scheduler. @type {WeakMap<object, number>} */
const loadedRates = /* @__PURE__ */ new WeakMap();

/**
 * Notes that the rate of a group comes from a state dict.
 *
 * @param {ParamGroup} group that has just been loaded
 */
export function noteLoaded(group) {
  loadedRates.delete(group);
  if (group.initialLr !== undefined) loadedRates.set(group, rateOf(group.lr));
}

/**
 * @param {readonly ParamGroup[]} groups on which a scheduler has been made
 * @param {readonly number[]} before their rates before
 * @returns {number} the place of a group whose loaded rate it has changed, once after each loading; -1 if there is none
 */
export function changedLoaded(groups, before) {
  const place = groups.findIndex((group, i) => loadedRates.get(group) === before[i] && rateOf(group.lr) !== before[i]);
  if (place >= 0) for (const group of groups) loadedRates.delete(group);
  return place;
}

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
 * @param {string} name
 * @param {any} value a number, or the only element of an array or tensor, as a tensor of no dimension may be written
 * @returns {number}
 */
function singleNumber(name, value) {
  if (isTensor(value) && value.size === 1) return finite(name, value.data[0]);
  return finite(name, value?.length === 1 ? value[0] : value);
}
