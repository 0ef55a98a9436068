/**
 * Checkpoints of optimizers that make slots as variables come (TensorFlow 1, OptimizerV2): the file of checkpoint.js,
 * whose counters also list the slots, in the order in which they were made. A new optimizer makes them in that order.
 */
import { array, knownOptions, ofType, rangeError, show, typeError } from './check.js';
import { keysOf, matchState, namingHint, openState, stateParts } from './checkpoint.js';
import { bytesOf } from './core/bytes.js';
import { checkVariables } from './core/variables.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {{ variable: Variable, name: string }} Slot */
/**
 * @typedef {object} Plan what is in a file, checked against the variables that are there
 * @property {Record<string, any>} counters as they stand in the file, for the caller to check
 * @property {(Slot & { values: TensorData })[]} slots in the order in which they are to be made
 * @property {{ variable: Variable, values: TensorData }[]} weights [] where the file has none
 */

/**
 * @param {string} dialect
 * @param {readonly (Slot & { tensor: Tensor })[]} slots in the order in which they were made
 * @param {import('./checkpoint.js').Rest} rest
 * @returns {Uint8Array[]} the file in parts, see `PARTS` of safetensors.js
 */
export function growingParts(dialect, slots, { config, counters, variables: withVariables }) {
  const variables = [...new Set(slots.map(({ variable }) => variable))];
  const keys = keysOf(variables);
  const places = slots.map(({ variable, name }) => [keys[variables.indexOf(variable)], name]);
  const state = stateOf(variables, slots, ({ tensor }) => tensor);
  const all = { ...counters, slots: places };
  return stateParts(dialect, state, { config, counters: all, variables: withVariables });
}

/**
 * Reads a file. Nothing is written.
 *
 * @param {string} dialect
 * @param {Uint8Array | ArrayBuffer} bytes
 * @param {readonly Variable[]} variables that may have slots in it
 * @param {readonly Slot[]} existing what the file must have
 * @returns {Plan}
 * @throws {TypeError | RangeError} if it is no such file, or one of other variables, shapes or slots
 */
export function readGrowing(dialect, bytes, variables, existing) {
  // A copy of what lies in linear memory: slots are made before it is written, and growing detaches views of it.
  const file = bytesOf('bytes', bytes);
  const isLinear = variables.some((variable) => variable?.memory?.buffer === file.buffer);
  const { tensors, counters } = openState(dialect, isLinear ? file.slice() : file);
  if (variables.length) checkVariables(variables);
  const keys = keysOf(variables);
  const slots = array('slots of the checkpoint', counters.slots).map((place) => {
    const [key, name] = array('slots of the checkpoint', place);
    ofType('slots of the checkpoint', name, 'string');
    const variable = variables[keys.indexOf(key)];
    if (!variable) {
      const error = rangeError('variables', `with one named ${show(key)}, as in the checkpoint`, keys.join());
      error.message += namingHint([key, ...keys]);
      throw error;
    }
    return { variable, name };
  });
  for (const { variable, name } of existing) {
    if (slots.some((slot) => slot.variable === variable && slot.name === name)) continue;
    throw rangeError('the checkpoint', `one with slot ${show(name)} of variable ${show(variable.name)}`, undefined);
  }
  const present = [...new Set(slots.map(({ variable }) => variable))];
  const state = stateOf(present, slots, ({ variable }) => variable);
  const { values } = matchState(state, tensors);
  const hasWeights = values.length > slots.length;
  const plan = { counters, slots: slots.map((slot) => ({ ...slot, values: values[0] })), weights: [] };
  let next = 0;
  present.forEach((variable, i) => {
    if (hasWeights) plan.weights.push(/** @type {never} */ ({ variable, values: values[next++] }));
    for (const { name, tensors: held } of state.slots) {
      if (!held[i]) continue;
      const slot = plan.slots.find((found) => found.variable === variable && found.name === name);
      if (slot) slot.values = values[next++];
    }
  });
  return plan;
}

/**
 * @param {string} name of the class
 * @param {{ variables?: boolean }} options
 * @param {readonly string[]} [others] options it has besides
 * @returns {boolean} whether the weights are saved too
 */
export function savesVariables(name, options, others = []) {
  knownOptions(name, options, ['variables', ...others]);
  return ofType('variables', options.variables ?? false, 'boolean');
}

/**
 * @template {Slot} S
 * @param {readonly Variable[]} variables
 * @param {readonly S[]} slots
 * @param {(slot: S) => Tensor} tensorOf
 * @returns {import('./checkpoint.js').State}
 * @throws {TypeError} if a slot is there twice
 */
function stateOf(variables, slots, tensorOf) {
  /** @type {Map<string, (Tensor | null)[]>} */
  const byName = new Map();
  for (const slot of slots) {
    const tensors = byName.get(slot.name) ?? variables.map(() => null);
    const i = variables.indexOf(slot.variable);
    if (tensors[i]) throw typeError('slots of the checkpoint', 'each once', slot.name);
    tensors[i] = tensorOf(slot);
    byName.set(slot.name, tensors);
  }
  return { variables, slots: [...byName].map(([name, tensors]) => ({ name, tensors })) };
}
