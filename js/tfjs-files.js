/**
 * What `model.save` of TensorFlow.js writes, without TensorFlow.js: a run that `tf.train.rmsprop` or
 * `rmsprop-wasm/tfjs` began goes on here, and then again there.
 *
 *     // Of tf.io.withSaveHandler, or from model.json and weights.bin: { weightSpecs, weightData }
 *     const { variables, iterations, slots } = readTfjsFile(artifacts);
 *     kernel.set(variables.get('dense_Dense1/kernel').data);
 *     const [rms, momentum] = [slots.get('rms'), slots.get('momentum')];
 *     optimizer.setWeights([[iterations], [learningRate], ...rms.values(), ...momentum.values()]);
 *     // … steps …
 *     writeTfjsFile(artifacts, { iterations, variables: new Map(…), slots: new Map(…) });
 */
import { array, integer, knownOptions, ofType, rangeError, typeError } from './check.js';
import { isArrayBuffer, isMap } from './core/identity.js';

/** @typedef {{ name: string, shape: number[], dtype: string, group?: string, quantization?: object }} WeightSpec */
/**
 * @typedef {object} Artifacts what is used of TensorFlow.js's ModelArtifacts
 * @property {WeightSpec[]} [weightSpecs]
 * @property {ArrayBuffer | ArrayBuffer[]} [weightData] all weights, one behind the other
 */
/**
 * @typedef {object} Changes those that are not named stay
 * @property {number} [iterations]
 * @property {ReadonlyMap<string, ArrayLike<number>>} [variables]
 * @property {ReadonlyMap<string, ReadonlyMap<string, ArrayLike<number>>>} [slots]
 */

const TYPES = { float32: Float32Array, int32: Int32Array };

/** What TensorFlow.js calls the counter. */
const COUNTER = 'iter';

/**
 * @param {Artifacts} artifacts saved with `includeOptimizer`
 * @returns {{ variables: Map<string, { shape: number[], data: Float32Array | Int32Array }>, iterations: number | null,
 *   slots: Map<string, Map<string, Float32Array | Int32Array>> }} copies: the model's variables by name; the counter of
 *   the optimizer, null where it was not saved; and its slots, `rms`, `momentum`, `mg` …, each by the name of the
 *   variable
 * @throws {TypeError | RangeError} for anything else, and weights that are neither float32 nor int32 or are quantized
 */
export function readTfjsFile(artifacts) {
  const { places, bytes } = placesOf(artifacts);
  /** @type {ReturnType<typeof readTfjsFile>} */
  const file = { variables: new Map(), iterations: null, slots: new Map() };
  for (const place of places) {
    const data = new place.Type(bytes.slice(place.begin, place.end).buffer);
    if (!place.isState) {
      file.variables.set(place.variable, { shape: [...place.shape], data });
    } else if (place.slot === null) {
      file.iterations = integer(COUNTER, data[0], 0, 2 ** 31 - 1);
    } else {
      const slot = file.slots.get(place.slot) ?? new Map();
      file.slots.set(place.slot, slot.set(place.variable, data));
    }
  }
  return file;
}

/**
 * @template {Artifacts} T
 * @param {T} artifacts left alone
 * @param {Changes} changes
 * @returns {T & { weightData: ArrayBuffer }} the artifacts with other weights, for `tf.io.fromMemory`
 * @throws {TypeError | RangeError} for another change, a name that is not there, an array of another length, and as
 *   `readTfjsFile`
 */
export function writeTfjsFile(artifacts, changes) {
  const { iterations, variables = new Map(), slots = new Map() } = ofType('changes', changes, 'object');
  knownOptions('changes', changes, ['iterations', 'variables', 'slots']);
  const { places, bytes } = placesOf(artifacts);
  const values = new Map([...mapOf('variables', variables)].map(([name, list]) => [`variable ${name}`, list]));
  for (const [slot, lists] of mapOf('slots', slots)) {
    for (const [name, list] of mapOf(`slots.${slot}`, lists)) values.set(`slot ${slot} of ${name}`, list);
  }
  if (iterations !== undefined) values.set(COUNTER, [integer('changes.iterations', iterations, 0, 2 ** 31 - 1)]);
  const changed = bytes.slice();
  for (const { key, Type, begin, end } of places) {
    const list = values.get(key);
    if (list === undefined) continue;
    const length = (end - begin) / Type.BYTES_PER_ELEMENT;
    if (list?.length !== length) throw rangeError(key, `of length ${length}`, list);
    changed.set(new Uint8Array(Type.from(list).buffer), begin);
    values.delete(key);
  }
  if (values.size) throw rangeError('changes', 'of weights that are there', [...values.keys()].join());
  return { ...artifacts, weightData: changed.buffer };
}

/**
 * @param {string} name of changes
 * @param {unknown} map
 * @returns {ReadonlyMap<string, any>} the same
 */
function mapOf(name, map) {
  if (!isMap(map)) throw typeError(`changes.${name}`, 'a Map', map);
  return map;
}

/**
 * @typedef {object} Place of one weight
 * @property {string} key what messages and changes call it
 * @property {boolean} isState whether it is the optimizer's
 * @property {string} variable
 * @property {string | null} slot null: the variable itself, or the counter
 * @property {number[]} shape
 * @property {typeof Float32Array | typeof Int32Array} Type
 * @property {number} begin bytes
 * @property {number} end
 */

/**
 * @param {Artifacts} artifacts
 * @returns {{ bytes: Uint8Array<ArrayBuffer>, places: Place[] }}
 */
function placesOf(artifacts) {
  const { weightSpecs, weightData } = ofType('artifacts', artifacts, 'object');
  const bytes = joined(weightData);
  let end = 0;
  const places = array('artifacts.weightSpecs', weightSpecs).map((/** @type {WeightSpec} */ spec, i) => {
    const { name, shape, dtype, group, quantization } = ofType(`artifacts.weightSpecs[${i}]`, spec, 'object');
    ofType(`artifacts.weightSpecs[${i}].name`, name, 'string');
    const Type = Object.hasOwn(TYPES, dtype) ? TYPES[/** @type {'float32'} */ (dtype)] : undefined;
    if (!Type || quantization) throw rangeError(name, 'of float32 or int32, not quantized', dtype);
    const size = array(`shape of ${name}`, shape).reduce(
      (product, length) => product * integer(`shape of ${name}`, length, 0), Type.BYTES_PER_ELEMENT,
    );
    const begin = end;
    end += size;
    const isState = group === 'optimizer';
    const split = name.lastIndexOf('/');
    const isSlot = isState && name !== COUNTER;
    const [variable, slot] = isSlot ? [name.slice(0, split), name.slice(split + 1)] : [name, null];
    const key = isSlot ? `slot ${slot} of ${variable}` : isState ? COUNTER : `variable ${name}`;
    return { key, isState, variable, slot, shape, Type, begin, end };
  });
  if (end !== bytes.length) throw rangeError('artifacts.weightData', `of ${end} bytes`, bytes);
  return { bytes, places };
}

/**
 * @param {unknown} weightData
 * @returns {Uint8Array<ArrayBuffer>}
 */
function joined(weightData) {
  const parts = Array.isArray(weightData) ? weightData : [weightData];
  for (const part of parts) {
    if (isArrayBuffer(part)) continue;
    throw typeError('artifacts.weightData', 'an ArrayBuffer, or several', part);
  }
  const bytes = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(new Uint8Array(part), at);
    at += part.byteLength;
  }
  return bytes;
}
