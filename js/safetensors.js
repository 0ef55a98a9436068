/**
 * The safetensors format: 8 bytes with the length of a header, the header (JSON: names, dtypes, shapes, offsets), the
 * data. Written byte for byte as Python's safetensors 0.8.0 writes it (tests/python compares), and read as if an enemy
 * had written it: whatever the header says, nothing is allocated beyond copies of bytes that are there.
 *
 * Numbers are taken as they lie in memory, which is right on little-endian machines alone. Not here: files, and dtypes
 * without a typed array of their own (8-bit and 4-bit floats, complex numbers).
 */

import { bytesOf } from './core/bytes.js';
import { arrayKind, isMap, tagOf } from './core/identity.js';
import { decodeUtf8, encodeUtf8 } from './core/utf8.js';

/**
 * @typedef {Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array
 *   | BigInt64Array | BigUint64Array} SafetensorData
 */

/**
 * What safetensors calls a type of element. F16 and BF16 come as the 16 bits of each number in a Uint16Array, BOOL as
 * bytes in a Uint8Array, whose values nobody checks.
 *
 * @typedef {keyof typeof arrayOfDtype} SafetensorDtype
 */

/**
 * @typedef {object} Safetensor
 * @property {SafetensorDtype} dtype
 * @property {number[]} shape a scalar's is []
 * @property {SafetensorData} data as many elements as the product of the shape
 */

/**
 * @typedef {object} SafetensorInput
 * @property {SafetensorDtype} [dtype] by default the one in the array's name: U16 for Uint16Array, U8 for Uint8Array
 * @property {readonly number[]} shape
 * @property {SafetensorData} data
 */

/**
 * In the order in which Python writes them: greater alignment first, then as its Rust declares them, from the last.
 */
const arrayOfDtype = {
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
  F32: Float32Array,
  U32: Uint32Array,
  I32: Int32Array,
  BF16: Uint16Array,
  F16: Uint16Array,
  U16: Uint16Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

/** @type {string[]} */
const dtypes = Object.keys(arrayOfDtype);

/** The key of the metadata in a header, which no tensor can have. */
const METADATA = '__metadata__';

/** How long a header may be, in bytes: Python's limit, so that a header cannot exhaust memory. */
const MAX_HEADER = 100_000_000;

/** How long a name may be, in bytes, so that many of them fit into a header. */
const MAX_NAME = 65_535;

/**
 * The method by which `saveFile` asks an optimizer, of this copy of the package or another, for what `save` returns, in
 * parts: the beginning of the file, and then tensors where they lie, as they are until the optimizer is used again.
 */
export const PARTS = Symbol.for('rmsprop-wasm.saveParts');

/**
 * @param {string} what has the name, for the message
 * @param {string} name
 * @returns {string} the same
 * @throws {RangeError} if no tensor in a file can be called so
 */
export function checkTensorName(what, name) {
  const isSavable = name !== METADATA && !/\p{Surrogate}/u.test(name) && encodeUtf8(name).length <= MAX_NAME;
  if (isSavable) return name;
  const shown = JSON.stringify(name.length > 50 ? `${name.slice(0, 50)}…` : name);
  const expectation = `${MAX_NAME} bytes of UTF-8 at most, without half of a surrogate pair, and not ${METADATA}`;
  throw new RangeError(`${what} must be a name for a file: ${expectation}; got ${shown} of ${name.length} characters`);
}

/**
 * Reads a file that this package, Python's safetensors or an enemy wrote.
 *
 * @param {Uint8Array | ArrayBuffer} bytes the whole file
 * @returns {{ tensors: Map<string, Safetensor>, metadata: Record<string, string> }} the tensors in the order of their
 *   data. `data` is a view on `bytes` where its alignment permits (always in a file that Python or `writeSafetensors`
 *   wrote, at the start of its buffer), else a copy.
 * @throws {TypeError} when `bytes` is neither a Uint8Array nor an ArrayBuffer, or detached
 * @throws {RangeError} when they are not a well-formed file
 */
export function readSafetensors(bytes) {
  expectKind('file', bytes, ['Uint8Array', 'ArrayBuffer']);
  const file = bytesOf('safetensors: file', bytes);
  expect(file.length >= 8, 'file', 'at least 8 bytes long', file.length);
  const headerLength = file.subarray(0, 8).reduceRight((high, byte) => high * 256 + byte, 0);
  const limit = Math.min(file.length - 8, MAX_HEADER);
  expect(headerLength <= limit, 'header length', `at most ${limit}`, headerLength);
  const content = file.subarray(8 + headerLength);
  const { entries, metadata } = readHeader(file.slice(8, 8 + headerLength), content.length);
  /** @type {Map<string, Safetensor>} */
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: offsets }] of entries) {
    const Data = arrayOfDtype[/** @type {SafetensorDtype} */ (dtype)];
    const size = Data.BYTES_PER_ELEMENT;
    const raw = content.subarray(...offsets);
    const data = raw.byteOffset % size ? new Uint8Array(raw) : raw;
    tensors.set(name, { dtype, shape, data: new Data(data.buffer, data.byteOffset, data.byteLength / size) });
  }
  return { tensors, metadata };
}

/**
 * @param {Uint8Array} header
 * @param {number} length of the data behind it, in bytes
 * @returns {{ entries: [string, any][], metadata: Record<string, string> }} checked, in the order of their data
 */
function readHeader(header, length) {
  const { [METADATA]: metadata, ...members } = parseHeader(header);
  expect(areStrings(metadata ?? {}), 'metadata', 'strings', metadata); // null is none, for Python too

  const entries = Object.entries(members);
  for (const [name, entry] of entries) {
    const isTensor = dtypes.includes(entry?.dtype) && areCounts(entry.shape) && areCounts(entry.data_offsets)
      && Object.keys(entry).length === 3;
    expect(isTensor, `tensor "${name}"`, `{ dtype, shape, data_offsets }, dtype of ${dtypes}`, entry);
  }
  // By begin + end, which orders all that do not overlap, empty ones too.
  entries.sort(([, { data_offsets: [a, b] }], [, { data_offsets: [c, d] }]) => a + b - c - d);

  let end = 0;
  for (const [name, { dtype, shape, data_offsets: offsets }] of entries) {
    const size = arrayOfDtype[/** @type {SafetensorDtype} */ (dtype)].BYTES_PER_ELEMENT;
    const expected = `${[end, end += shape.reduce(multiply, size)]}`;
    expect(`${offsets}` === expected, `tensor "${name}"`, `at data_offsets ${expected}`, offsets);
  }
  expect(end === length, 'data length', end, length);
  return { entries, metadata: metadata ?? {} };
}

/**
 * Writes a file that Python's safetensors reads: the bytes that it would write itself. (With several metadata entries
 * its order of them is random; here it is the caller's.)
 *
 * @param {ReadonlyMap<string, SafetensorInput> | Readonly<Record<string, SafetensorInput>>} tensors name → tensor
 * @param {Readonly<Record<string, string>>} [metadata] texts, written into the header
 * @returns {Uint8Array} the whole file
 * @throws {TypeError} when an argument, a name or an array is of the wrong kind
 * @throws {RangeError} when what would be written is not a well-formed file
 *
 * @example
 * ```js
 * import { readSafetensors, writeSafetensors } from 'rmsprop-wasm';
 *
 * const bytes = writeSafetensors(new Map([['w', { dtype: 'F32', shape: [1, 2], data: Float32Array.of(1, 2) }]]), {
 *   format: 'pt',
 * });
 * const { tensors, metadata } = readSafetensors(bytes);
 * console.log(tensors.get('w')?.shape, metadata); // prints [ 1, 2 ] { format: 'pt' }
 * ```
 */
export function writeSafetensors(tensors, metadata) {
  return joined(safetensorsParts(tensors, metadata));
}

/**
 * @param {readonly Uint8Array[]} parts of a file
 * @returns {Uint8Array<ArrayBuffer>} the file
 */
export function joined(parts) {
  const file = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

/**
 * What `writeSafetensors` writes, without a copy of the data.
 *
 * @param {ReadonlyMap<string, SafetensorInput> | Readonly<Record<string, SafetensorInput>>} tensors
 * @param {Readonly<Record<string, string>>} [metadata]
 * @returns {Uint8Array[]} the beginning of the file, and then views of the tensors' data
 * @throws {TypeError | RangeError} as `writeSafetensors`
 */
export function safetensorsParts(tensors, metadata) {
  expectKind('tensors', tensors, ['Map', 'Object']);
  expect(areStrings(metadata), 'metadata', 'strings', metadata, TypeError);
  const pairs = kindOf(tensors) === 'Map' ? [.../** @type {Map<string, any>} */ (tensors)] : Object.entries(tensors);
  const entries = pairs.map(([name, tensor]) => {
    // The array's name says which dtype is meant by default: BigInt64Array I64.
    const { data, dtype = kindOf(data).replace(/Big|Array|[a-z]/g, ''), ...fields } = tensor ?? {};
    expectKind('name', name, ['String']);
    const Data = arrayOfDtype[/** @type {SafetensorDtype} */ (dtype)];
    expectKind(`tensor "${name}"`, data, [Data?.name ?? `array of ${dtypes}`]);
    const { buffer, byteOffset, byteLength } = data;
    return { order: dtypes.indexOf(dtype), key: encodeUtf8(name), name, fields: { dtype, ...fields },
      bytes: new Uint8Array(buffer, byteOffset, byteLength) };
  });
  // Python orders by dtype, then by the bytes of the name.
  entries.sort((a, b) => a.order - b.order || compared(a.key, b.key));

  let end = 0;
  const members = entries.map(({ name, bytes, fields }) =>
    `${JSON.stringify(name)}:${JSON.stringify({ ...fields, data_offsets: [end, end += bytes.length] })}`);
  if (metadata) members.unshift(`"${METADATA}":${JSON.stringify(metadata)}`);
  const header = encodeUtf8(`{${members}}`);

  const at = (header.length + 15) & ~7; // where the data begins: behind 8 bytes and the header, and aligned to 8
  const head = new Uint8Array(at).fill(0x20, 8);
  new Uint32Array(head.buffer, 0, 1)[0] = at - 8;
  head.set(header, 8);
  expect(at - 8 <= MAX_HEADER, 'header length', `at most ${MAX_HEADER}`, at - 8);
  readHeader(head.subarray(8), end); // refuses what could not be read back
  return [head, ...entries.map(({ bytes }) => bytes)];
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 * @returns {number} negative where a comes first
 */
function compared(a, b) {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

/**
 * @param {Uint8Array} bytes
 * @returns {Record<string, any>}
 */
function parseHeader(bytes) {
  let text;
  try {
    text = decodeUtf8(bytes);
    const header = JSON.parse(text);
    const canonical = JSON.stringify(header);
    // JSON.parse drops all but the last of equal keys and takes 1.0, 1e0 and -0 for integers: punctuation that only the
    // text has. Nothing makes up for it: the caller lets strings and non-negative integers pass, in known fields alone.
    // JSON.stringify escapes by \ud nothing but half of a surrogate pair, which UTF-8 cannot say.
    const isSound = bytes[0] === 0x7b && punctuation(text) === punctuation(canonical)
      && !canonical.replace(/\\\\/g, '').includes('\\ud');
    if (isSound) return header;
  } catch {
    // Refused below, as is JSON that is no object.
  }
  expect(false, 'header', 'JSON with unique keys and plain integers', text);
}

/**
 * @param {string} json valid
 * @returns {number} how many characters are left without strings, spaces and digits
 */
function punctuation(json) {
  return json.replace(/\\./g, '').replace(/"[^"]*"|[\s\d]/g, '').length;
}

/**
 * @param {number} product
 * @param {number} factor
 * @returns {number} infinite behind a product that is not exact, so that a factor 0 does not hide it
 */
function multiply(product, factor) {
  return Number.isSafeInteger(product) ? product * factor : Infinity;
}

/**
 * @param {unknown} list
 * @returns {boolean}
 */
function areCounts(list) {
  return Array.isArray(list) && list.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/**
 * @param {object} [object]
 * @returns {boolean}
 */
function areStrings(object = {}) {
  return kindOf(object) === 'Object' && Object.values(object).every((item) => kindOf(item) === 'String');
}

/**
 * @param {unknown} value
 * @returns {string} 'Uint8Array', 'Map', 'Object' …, whatever its realm or subclass
 */
function kindOf(value) {
  return arrayKind(value) ?? (isMap(value) ? 'Map' : tagOf(value));
}

/**
 * What is not of a kind is a TypeError; what is in a file, always a RangeError.
 *
 * @param {string} what
 * @param {unknown} value
 * @param {string[]} kinds
 */
function expectKind(what, value, kinds) {
  expect(kinds.includes(kindOf(value)), what, kinds.join(' or '), kindOf(value), TypeError);
}

/**
 * Throws unless the condition holds: the one form of all errors, cut short because names and texts may be long.
 *
 * @param {unknown} condition
 * @param {string} what
 * @param {unknown} expectation
 * @param {unknown} got
 * @param {typeof TypeError | typeof RangeError} [Kind]
 * @returns {asserts condition}
 */
function expect(condition, what, expectation, got, Kind = RangeError) {
  if (condition) return;
  let shown;
  try {
    shown = JSON.stringify(got);
  } catch {
    shown = kindOf(got); // what JSON cannot say: bigints, circles
  }
  throw new Kind(`safetensors: ${what} must be ${expectation}, got ${shown}`.slice(0, 256));
}
