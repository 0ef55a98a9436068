/**
 * An optimizer's state as a safetensors file: what is in it and how it is checked. Reading and writing bytes is
 * safetensors.js's affair.
 *
 * Tensors: `<variable>/<slot>` for every slot, and `<variable>` for the weights where they were asked for. A name that
 * several variables share is numbered from the second on: `kernel`, `kernel#1` …
 * Metadata: `format`, `format_version`, `dialect`, `config` (JSON) and `counters` (JSON; exact). Optimizers that make
 * slots as variables come count these among them: `variables`, the names before the slash, in that order.
 */
import { ofType, rangeError, show, typeError } from './check.js';
import { isBytes } from './core/identity.js';
import { readSafetensors, writeSafetensors } from './safetensors.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').TensorData} TensorData */
/** @typedef {import('./tensor.js').Variable} Variable */
/**
 * @typedef {object} State of an optimizer
 * @property {readonly Variable[]} variables
 * @property {readonly { name: string, tensors: readonly (Tensor | null)[] }[]} slots in each one tensor a variable,
 *   null where the variable has no such slot
 */

/** What safetensors calls the types of tensors. */
const DTYPES = { float32: 'F32', float64: 'F64', int32: 'I32' };

/** What `load` of this version reads. */
export const FORMAT = { format: 'rmsprop-wasm', format_version: '1' };

/**
 * @param {string} dialect whose optimizer it is
 * @param {State} state
 * @param {object} rest
 * @param {object} rest.config JSON-safe
 * @param {Record<string, unknown>} rest.counters JSON-safe, whose numbers come back exactly
 * @param {boolean} rest.variables whether the weights are saved too
 * @returns {Uint8Array} the file
 * @throws {RangeError} if two tensors would have one name
 */
export function saveState(dialect, state, { config, counters, variables }) {
  const tensors = new Map();
  for (const [name, { shape, data }] of namedTensors(state, variables)) {
    if (tensors.has(name)) throw rangeError('variable names', 'such that checkpoints can tell tensors apart', name);
    tensors.set(name, { shape, data });
  }
  const json = { config: JSON.stringify(config), counters: JSON.stringify(counters) };
  return writeSafetensors(tensors, { ...FORMAT, dialect, ...json });
}

/**
 * Reads a file against the state that it is to replace. Nothing is written.
 *
 * @param {string} dialect
 * @param {State} state
 * @param {Uint8Array} bytes
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
 * @param {Uint8Array} bytes
 * @returns {{ tensors: Map<string, import('./safetensors.js').Safetensor>, counters: Record<string, any>,
 *   metadata: Record<string, string> }} what is in the file, the counters as they stand there
 * @throws {TypeError | RangeError} if it is no such file, or one of another dialect
 */
export function openState(dialect, bytes) {
  if (!isBytes(bytes)) throw typeError('bytes', 'a Uint8Array', bytes);
  const { tensors, metadata } = readSafetensors(bytes);
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
  return { tensors, counters, metadata };
}

/**
 * @param {State} state that the tensors are to replace: with or without the weights
 * @param {ReadonlyMap<string, import('./safetensors.js').Safetensor>} tensors of a file
 * @returns {{ targets: Tensor[], values: TensorData[] }} what is to be copied where
 * @throws {RangeError} if they have other names, shapes or types
 */
export function matchState(state, tensors) {
  const slots = [...namedTensors(state, false)];
  const expected = tensors.size > slots.length ? [...namedTensors(state, true)] : slots;
  const values = expected.map(([name, { dtype, shape }]) => {
    const found = tensors.get(name);
    const form = `${DTYPES[dtype]} of shape [${shape}]`;
    const received = found && `${found.dtype} of shape [${found.shape}]`;
    if (received !== form) throw rangeError(`${show(name)} in the checkpoint`, form, received);
    return /** @type {TensorData} */ (found?.data);
  });
  if (tensors.size !== expected.length) {
    throw rangeError('the checkpoint', `${expected.length} tensors`, [...tensors.keys()].join());
  }
  return { targets: expected.map(([, tensor]) => tensor), values };
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
