/**
 * The parameter groups of PyTorch's optimizers: their options, what is checked of them, and how state dicts have them.
 * Nothing here steps.
 */
import { array, finite, integer, knownOptions, ofType, show, typeError } from '../check.js';
import { camelCase, snakeCase } from '../naming.js';
import { shaped } from '../state-dict.js';
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

export const OPTIONS = ['lr', 'alpha', 'eps', 'weightDecay', 'momentum', 'centered', 'maximize'];

/** Options that state dicts of older versions of PyTorch may lack. */
const ADDED_LATER = /** @type {const} */ ([
  'momentum', 'centered', 'foreach', 'maximize', 'differentiable', 'capturable',
]);

/** What schedulers keep in a group, and find there when they resume. */
const LIMITS = /** @type {const} */ (['initialLr', 'maxLr', 'minLr', 'maxMomentum', 'baseMomentum']);

/** Everything that a group may have. */
const GROUP_KEYS = ['params', ...Object.keys(DEFAULTS), ...LIMITS, 'name', 'paramNames'];

/** The numbers in the order in which PyTorch checks them, what it calls them, and what the kernels do. */
export const NUMBERS = /** @type {const} */ ([
  ['lr', 'learning rate', 'learning_rate'],
  ['eps', 'epsilon value', 'epsilon'],
  ['momentum', 'momentum value', 'momentum'],
  ['weightDecay', 'weight_decay value', 'weight_decay'],
  ['alpha', 'alpha value', 'rho'],
]);

const BOOLEANS = /** @type {const} */ (['centered', 'maximize']);

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
  for (const name of BOOLEANS) ofType(name, defaults[name], 'boolean');
  return /** @type {any} */ (defaults);
}

/**
 * @param {unknown} params of the constructor: variables, or groups
 * @returns {any[]} groups, not checked yet
 */
export function groupsOf(params) {
  const list = listOf(params);
  if (list.length === 0) throw new RangeError('optimizer got an empty parameter list');
  return typeof list[0] === 'object' && list[0] !== null && !isTensor(list[0]) ? list : [{ params: list }];
}

/**
 * @param {GroupOptions} group as a user gives it
 * @param {typeof DEFAULTS} defaults what it has that it does not give
 * @returns {ParamGroup}
 * @throws {TypeError | RangeError} for an unknown option, a number that is none, or what is no variable
 */
export function groupOf(group, defaults) {
  if (typeof group !== 'object' || group === null || isTensor(group)) {
    throw new TypeError(`param_group must be an object with params, but got ${show(group)}`);
  }
  knownOptions('group', group, ['params', ...OPTIONS, ...LIMITS]);
  const { params: own, ...rest } = group;
  const options = /** @type {ParamGroup} */ ({ params: checkParams(own), ...given(rest) });
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
 * @param {readonly ParamGroup[]} groups
 * @param {Map<Variable, ParameterState>} state
 * @returns {StateDict} PyTorch's dictionary, which shares nothing with the optimizer
 * @throws {TypeError} for a key in a group that groups do not have
 */
export function stateDictOf(groups, state) {
  for (const group of groups) knownOptions('group', group, GROUP_KEYS);
  /** @type {Map<Variable, number>} */
  const indices = new Map();
  let first = 0;
  const saved = groups.map(({ params, ...options }) => {
    params.forEach((variable, i) => indices.has(variable) || indices.set(variable, first + i));
    first += params.length;
    const entries = Object.entries({ ...options, lr: rateOf(options.lr) });
    const named = Object.fromEntries(entries.map(([name, value]) => [snakeCase(name), value]));
    return structuredClone({ ...named, params: params.map((variable) => indices.get(variable)) });
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
  const options = saved.map((group, i) => savedOptions(`param_groups[${i}]`, group));
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
