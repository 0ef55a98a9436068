/**
 * An optimizer's state as a safetensors file: what is in it and how it is checked. Reading and writing bytes is
 * safetensors.js's affair.
 *
 * Tensors: `<variable>/<slot>` for every slot, and `<variable>` for the weights where they were asked for. A name that
 * several variables share is numbered from the second on: `kernel`, `kernel#1` …
 * Metadata: `format`, `format_version`, `dialect`, `config` (JSON) and `counters` (JSON; exact). Optimizers that make
 * slots as variables come count these among them: `variables`, the names before the slash, in that order.
 */
import { finite, integer, ofType, rangeError, show, typeError } from './check.js';
import { bytesOf } from './core/bytes.js';
import { joined, readSafetensors, safetensorsParts } from './safetensors.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./tensor.js').Variable} Variable */
/**
 * @typedef {object} State of an optimizer
 * @property {readonly Variable[]} variables
 * @property {readonly { name: string, tensors: readonly (Tensor | null)[] }[]} slots in each one tensor a variable,
 *   null where the variable has no such slot
 */

/** The names that safetensors has for the types of tensors. */
const DTYPES = { float32: 'F32', float64: 'F64', int32: 'I32' };

/** The version of the format that `load` reads. */
export const FORMAT = { format: 'rmsprop-wasm', format_version: '1' };

/** How a name begins that `variable` makes up for a variable without one. */
const MADE_UP = /^variable(_\d+)?(?=$|[#/])/;

/** How many names a message lists. */
const SHOWN = 12;

/**
 * @typedef {object} Rest of what is saved
 * @property {object} config JSON-safe
 * @property {Record<string, unknown>} counters JSON-safe, except numbers, which may be infinite and come back exactly
 * @property {boolean} variables whether the weights are saved too
 */

/**
 * @param {string} dialect whose optimizer it is
 * @param {State} state
 * @param {Rest} rest
 * @returns {Uint8Array} the file
 * @throws {RangeError} if two tensors would have one name
 */
export function saveState(dialect, state, rest) {
  return joined(stateParts(dialect, state, rest));
}

/**
 * @param {string} dialect
 * @param {State} state
 * @param {Rest} rest
 * @returns {Uint8Array[]} the file in parts, see `PARTS` of safetensors.js
 * @throws {RangeError} if two tensors would have one name
 */
export function stateParts(dialect, state, { config, counters, variables }) {
  const tensors = new Map();
  for (const [name, { shape, data }] of namedTensors(state, variables)) {
    if (tensors.has(name)) throw rangeError('variable names', 'such that checkpoints can tell tensors apart', name);
    tensors.set(name, { shape, data });
  }
  const numbers = Object.entries(counters).map(([name, value]) => [name, numberToJson(value)]);
  const json = { config: JSON.stringify(config), counters: JSON.stringify(Object.fromEntries(numbers)) };
  return safetensorsParts(tensors, { ...FORMAT, dialect, ...json });
}

/**
 * @param {unknown} value
 * @returns {unknown} the same, but as an object `{ $number: text }` for a number that JSON does not have
 */
export function numberToJson(value) {
  if (typeof value !== 'number' || (Number.isFinite(value) && !Object.is(value, -0))) return value;
  return { $number: Object.is(value, -0) ? '-0' : String(value) };
}

/**
 * @param {any} node of JSON
 * @returns {any} what `numberToJson` was given
 */
export function numberFromJson(node) {
  const isNumber = typeof node === 'object' && node !== null && Object.keys(node).join() === '$number';
  return isNumber ? Number(node.$number) : node;
}

// ---- Numbers of files and of `setWeights`, checked as constructors and setters check them ----

/**
 * @param {string} name of a counter of steps
 * @param {unknown} value in a file, or of a list of weights
 * @returns {number} the value
 * @throws {TypeError | RangeError} if an int32 that counts cannot have it
 */
export function checkCounter(name, value) {
  return integer(name, value, 0, 2 ** 31 - 1);
}

/**
 * @param {string} name of a learning rate
 * @param {unknown} value in a file, or of a list of weights
 * @returns {number} the value
 * @throws {TypeError | RangeError} unless it is a finite number that is one in float32 too
 */
export function checkRate(name, value) {
  const rate = finite(name, value);
  if (!Number.isFinite(Math.fround(rate))) throw rangeError(name, 'a float32', value);
  return rate;
}

/**
 * @param {string} name of a loss scale
 * @param {unknown} value in a file, or of a list of weights
 * @returns {number} the value
 * @throws {TypeError | RangeError} unless it is positive in float32, or infinite, which a scale that grows becomes
 */
export function checkScale(name, value) {
  const expectation = 'a positive float32 or Infinity';
  if (typeof value !== 'number') throw typeError(name, expectation, value);
  const isScale = Math.fround(value) > 0 && (value === Infinity || Number.isFinite(Math.fround(value)));
  if (!isScale) throw rangeError(name, expectation, value);
  return value;
}

/**
 * Reads a file against the state that it is to replace. Nothing is written.
 *
 * @param {string} dialect
 * @param {State} state
 * @param {Uint8Array | ArrayBuffer} bytes
 * @returns {{ counters: Record<string, any>, targets: Tensor[], values: TensorData[] }} the counters as they stand in
 *   the file, for the caller to check, and what is to be copied where
 * @throws {TypeError | RangeError} if it is no such file, or one of another dialect, other variables, shapes or slots
 */
export function readState(dialect, state, bytes) {
  const { tensors, counters } = openState(dialect, bytes);
  return { counters, ...matchState(state, tensors) };
}

/**
 * @param {string} dialect
 * @param {Uint8Array | ArrayBuffer} bytes
 * @returns {{ tensors: Map<string, import('./safetensors.js').Safetensor>, counters: Record<string, any>,
 *   metadata: Record<string, string> }} what is in the file, the counters as they stand there
 * @throws {TypeError | RangeError} if it is no such file, or one of another dialect
 */
export function openState(dialect, bytes) {
  const { tensors, metadata } = readSafetensors(bytesOf('bytes', bytes));
  for (const [key, expected] of Object.entries({ ...FORMAT, dialect })) {
    if (metadata[key] !== expected) throw rangeError(`${key} of the checkpoint`, show(expected), metadata[key]);
  }
  let counters;
  try {
    counters = JSON.parse(metadata.counters);
  } catch {
    // not JSON: refused below like JSON of another kind
  }
  ofType('counters of the checkpoint', counters, 'object');
  const numbers = Object.entries(counters).map(([name, value]) => [name, numberFromJson(value)]);
  return { tensors, counters: Object.fromEntries(numbers), metadata };
}

/**
 * @param {State} state that the tensors are to replace: with or without the weights
 * @param {ReadonlyMap<string, import('./safetensors.js').Safetensor>} tensors of a file
 * @returns {{ targets: Tensor[], values: TensorData[] }} what is to be copied where
 * @throws {RangeError} if they have other names, shapes or types
 */
export function matchState(state, tensors) {
  const hasWeights = keysOf(state.variables).some((key) => tensors.has(key));
  const expected = [...namedTensors(state, hasWeights)];
  const names = new Set(expected.map(([name]) => name));
  const values = expected.map(([name, { dtype, shape }]) => {
    const found = tensors.get(name);
    const form = `${DTYPES[dtype]} of shape [${shape}]`;
    const received = found && `${found.dtype} of shape [${found.shape}]`;
    if (received === form) return /** @type {TensorData} */ (found?.data);
    const error = rangeError(`${show(name)} in the checkpoint`, form, received);
    if (!found) error.message += `: ${differences(names, tensors)}`;
    throw error;
  });
  if (tensors.size !== expected.length) {
    const received = `${tensors.size}: ${differences(names, tensors)}`;
    throw new RangeError(`the checkpoint must be ${expected.length} tensors, got ${received}`);
  }
  return { targets: expected.map(([, tensor]) => tensor), values };
}

/**
 * @param {ReadonlySet<string>} names that were looked for
 * @param {ReadonlyMap<string, unknown>} tensors of the file
 * @returns {string} what there is and what was looked for, for a message
 */
function differences(names, tensors) {
  const extra = [...tensors.keys()].filter((name) => !names.has(name));
  const missing = [...names].filter((name) => !tensors.has(name));
  const texts = [`the file has ${listed(tensors.keys())}, and ${listed(names)} was looked for`];
  if (extra.length) texts.push(`this optimizer has no place for ${listed(extra)} (are its options the same?)`);
  if ([...extra, ...missing].some((name) => MADE_UP.test(name))) texts.push(NAME_THEM);
  return texts.join('; ');
}

/** The advice in an error about a variable whose name was made up. */
const NAME_THEM = 'name your variables, variable(values, { name }): names that are made up differ from run to run';

/**
 * @param {readonly string[]} keys in a file and of variables
 * @returns {string} what to do where they differ, for the end of a message
 */
export function namingHint(keys) {
  return keys.some((key) => MADE_UP.test(key)) ? `; ${NAME_THEM}` : '';
}

/**
 * @param {Iterable<string>} names
 * @returns {string} them, or the first of them, for a message
 */
function listed(names) {
  const all = [...names].map(show);
  if (all.length === 0) return 'nothing';
  return all.length > SHOWN ? `${all.slice(0, SHOWN).join(', ')} … (${all.length} in all)` : all.join(', ');
}

/**
 * @param {State} state
 * @param {boolean} withVariables
 * @returns {Generator<[string, Tensor]>}
 */
function* namedTensors({ variables, slots }, withVariables) {
  const keys = keysOf(variables);
  for (const [i, variable] of variables.entries()) {
    const name = keys[i];
    if (withVariables) yield [name, variable];
    for (const slot of slots) {
      const tensor = slot.tensors[i];
      if (tensor) yield [`${name}/${slot.name}`, tensor];
    }
  }
}

/**
 * @param {readonly { name: string }[]} variables
 * @returns {string[]} what each is called in a file: its name, numbered from the second of that name on
 */
export function keysOf(variables) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  return variables.map(({ name }) => {
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    return count ? `${name}#${count}` : name;
  });
}
