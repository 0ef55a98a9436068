/**
 * An optimizer's state as a safetensors file: what is in it and how it is checked. Reading and writing bytes is
 * safetensors.js's affair.
 *
 * Tensors: `<variable>/<slot>` for every slot, and `<variable>` for the weights where they were asked for. A name that
 * several variables share is numbered from the second on: `kernel`, `kernel#1` …
 * Metadata: `format`, `format_version`, `dialect`, `config` (JSON) and `counters` (JSON; exact).
 */
import { show, typeError } from './check.js';
import { readSafetensors, writeSafetensors } from './safetensors.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/**
 * @typedef {object} State
 * @property {string} dialect whose optimizer it is
 * @property {readonly Variable[]} variables
 * @property {readonly { name: string, tensors: readonly Tensor[] }[]} slots one tensor a variable
 */

const FORMAT = 'rmsprop-wasm';
const FORMAT_VERSION = '1';

/**
 * @param {State} state
 * @param {object} rest
 * @param {object} rest.config JSON-safe
 * @param {Record<string, number>} rest.counters
 * @param {boolean} rest.variables whether the weights are saved too
 * @returns {Uint8Array} the file
 * @throws {RangeError} if two tensors would have one name
 */
export function saveState(state, { config, counters, variables }) {
  /** @type {Map<string, { dtype: string, shape: readonly number[], data: ArrayBufferView }>} */
  const tensors = new Map();
  for (const [name, tensor] of namedTensors(state, variables)) {
    if (tensors.has(name)) throw new RangeError(`two tensors would be saved as ${show(name)}: rename a variable`);
    tensors.set(name, { dtype: 'F32', shape: tensor.shape, data: tensor.data });
  }
  return writeSafetensors(/** @type {any} */ (tensors), {
    format: FORMAT,
    format_version: FORMAT_VERSION,
    dialect: state.dialect,
    config: JSON.stringify(config),
    counters: JSON.stringify(counters),
  });
}

/**
 * Reads a file against the state that it is to replace. Nothing is written yet.
 *
 * @param {Uint8Array} bytes
 * @param {State} state
 * @returns {{ counters: Record<string, unknown>, write: () => void }} the counters as they stand in the file, for the
 *   caller to check; `write` copies all tensors in
 * @throws {TypeError | RangeError} if it is no such file, or one of another dialect, other variables, shapes or slots
 */
export function readState(bytes, state) {
  if (!(bytes instanceof Uint8Array)) throw typeError('bytes', 'a Uint8Array', bytes);
  const { tensors, metadata } = readSafetensors(bytes);
  expectMetadata(metadata, 'format', FORMAT);
  expectMetadata(metadata, 'format_version', FORMAT_VERSION);
  expectMetadata(metadata, 'dialect', state.dialect);
  const withSlots = [...namedTensors(state, false)];
  const withVariables = [...namedTensors(state, true)];
  const expected = tensors.size > withSlots.length ? withVariables : withSlots;
  for (const [name, tensor] of expected) {
    const found = tensors.get(name);
    if (found === undefined) throw new RangeError(`the checkpoint must hold ${show(name)}, got none`);
    if (found.dtype !== 'F32' || `${found.shape}` !== `${tensor.shape}`) {
      throw new RangeError(
        `${show(name)} must be F32 of shape [${tensor.shape}], got ${found.dtype} of shape [${found.shape}]`,
      );
    }
  }
  if (tensors.size !== expected.length) {
    const names = new Set(expected.map(([name]) => name));
    const unknown = [...tensors.keys()].find((name) => !names.has(name));
    throw new RangeError(`the checkpoint holds ${show(unknown)}, which this optimizer has not`);
  }
  return {
    counters: parseCounters(metadata.counters),
    write() {
      for (const [name, tensor] of expected) {
        tensor.data.set(/** @type {Float32Array} */ (/** @type {{ data: unknown }} */ (tensors.get(name)).data));
      }
    },
  };
}

/**
 * @param {State} state
 * @param {boolean} withVariables
 * @returns {Generator<[string, Tensor]>}
 */
function* namedTensors({ variables, slots }, withVariables) {
  /** @type {Map<string, number>} */
  const seen = new Map();
  for (const [i, variable] of variables.entries()) {
    const count = seen.get(variable.name) ?? 0;
    seen.set(variable.name, count + 1);
    const name = count === 0 ? variable.name : `${variable.name}#${count}`;
    if (withVariables) yield [name, variable];
    for (const slot of slots) yield [`${name}/${slot.name}`, slot.tensors[i]];
  }
}

/**
 * @param {Record<string, string>} metadata
 * @param {string} key
 * @param {string} expected
 */
function expectMetadata(metadata, key, expected) {
  if (metadata[key] !== expected) {
    throw new RangeError(`the checkpoint's ${key} must be ${show(expected)}, got ${show(metadata[key])}`);
  }
}

/**
 * @param {string | undefined} text
 * @returns {Record<string, unknown>}
 */
function parseCounters(text) {
  try {
    const counters = JSON.parse(text ?? '');
    if (typeof counters === 'object' && counters !== null) return counters;
  } catch {
    // falls through to the one message for all that is no JSON object
  }
  throw new RangeError(`the checkpoint's counters must be a JSON object, got ${show(text)}`);
}
