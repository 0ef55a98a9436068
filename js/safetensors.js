/**
 * The safetensors format: 8 bytes with the length of a header, the header (JSON: names, dtypes, shapes, offsets), the
 * data. Written byte for byte as Python's safetensors 0.8.0 writes it (tests/python compares), and read as if an enemy
 * had written it: nothing is allocated for data before the whole header is found to describe the bytes that are there.
 *
 * Numbers are taken as they lie in memory, which is right on little-endian machines alone. Not here: files, and dtypes
 * without a typed array of their own (8-bit and 4-bit floats, complex numbers).
 */
import { knownOptions, show } from './check.js';

/**
 * @typedef {Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array
 *   | BigInt64Array | BigUint64Array} SafetensorData
 */

/**
 * What safetensors calls a type of element. F16 and BF16 come as the 16 bits of each number in a Uint16Array, BOOL as
 * bytes in a Uint8Array: only 0 and 1 are written, what a file has is handed on.
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

const dtypes = /** @type {SafetensorDtype[]} */ (Object.keys(arrayOfDtype));

/** Python refuses more, so that a header cannot exhaust memory. */
const maximumHeaderBytes = 100_000_000;

/** @typedef {{ name: string, dtype: SafetensorDtype, shape: number[], byteLength: number }} Entry of a header */

/**
 * Reads a file that this package, Python's safetensors or an enemy wrote.
 *
 * @param {Uint8Array | ArrayBuffer} bytes the whole file
 * @returns {{ tensors: Map<string, Safetensor>, metadata: Record<string, string> }} the tensors in the order of their
 *   data. `data` is a view on `bytes` where its alignment permits (always in a file that Python or `writeSafetensors`
 *   wrote, at the start of its buffer), else a copy.
 * @throws {TypeError} when `bytes` is neither a Uint8Array nor an ArrayBuffer
 * @throws {RangeError} when they are not a well-formed file
 */
export function readSafetensors(bytes) {
  const file = kindOf(bytes) === 'ArrayBuffer' ? new Uint8Array(bytes) : /** @type {Uint8Array} */ (bytes);
  expect(kindOf(file) === 'Uint8Array', 'bytes', 'a Uint8Array or an ArrayBuffer', bytes, TypeError);
  expect(file.length >= 8, 'file length', 'at least 8', file.length);
  const headerLength = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const limit = Math.min(file.length - 8, maximumHeaderBytes);
  expect(headerLength <= limit, 'header length', `at most ${limit}`, headerLength);

  const dataStart = 8 + headerLength;
  let text = '';
  let header;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(file.slice(8, dataStart));
    header = JSON.parse(text);
  } catch {
    // Refused in the next line, as is what is no object.
  }
  expect(header && text[0] === '{', 'header', 'a JSON object in UTF-8', text);
  const { __metadata__: metadata, ...tensorsOfHeader } = header;
  if ('__metadata__' in header) checkMetadata(metadata, RangeError);

  let dataLength = 0;
  const entries = Object.entries(tensorsOfHeader).map(([name, fields]) => {
    const { dtype, shape, data_offsets: offsets } = fields ?? {};
    const byteLength = countBytes(name, dtype, shape, RangeError);
    dataLength += byteLength;
    expect(isNumbers(offsets), `data_offsets of tensor ${show(name)}`, 'an array of numbers', offsets);
    return { name, dtype, shape, byteLength, offsets };
  });
  expect(file.length - dataStart === dataLength, 'data length', `${dataLength}`, file.length - dataStart);
  entries.sort((a, b) => a.offsets[0] - b.offsets[0] || a.offsets[1] - b.offsets[1]);
  // JSON.parse drops the first of two equal keys and tells 1 from neither 1.0 nor 1e0: their punctuation is left over.
  expect(punctuation(text) === punctuation(stringifyHeader(entries, metadata)),
    'header', 'without equal or unknown keys, and its numbers digits alone', text);

  /** @type {Map<string, Safetensor>} */
  const tensors = new Map();
  let begin = 0;
  for (const { name, dtype, shape, byteLength, offsets } of entries) {
    const end = begin + byteLength;
    expect(`${offsets}` === `${begin},${end}`, `data_offsets of tensor ${show(name)}`, `${begin},${end}`, `${offsets}`);
    const raw = file.subarray(dataStart + begin, dataStart + end);
    const Data = arrayOfDtype[dtype];
    const aligned = raw.byteOffset % Data.BYTES_PER_ELEMENT === 0 ? raw : new Uint8Array(raw);
    const data = new Data(aligned.buffer, aligned.byteOffset, byteLength / Data.BYTES_PER_ELEMENT);
    tensors.set(name, { dtype, shape, data });
    begin = end;
  }
  return { tensors, metadata: metadata ?? {} };
}

/**
 * Writes a file that Python's safetensors reads: the bytes that it would write itself. (With several metadata entries
 * its order of them is random; here it is the caller's.)
 *
 * @param {ReadonlyMap<string, SafetensorInput> | Readonly<Record<string, SafetensorInput>>} tensors name → tensor
 * @param {Readonly<Record<string, string>>} [metadata] texts, written into the header
 * @returns {Uint8Array} the whole file
 * @throws {TypeError | RangeError} naming the tensor or the metadata that cannot be written
 */
export function writeSafetensors(tensors, metadata) {
  const isMap = kindOf(tensors) === 'Map';
  expect(isMap || kindOf(tensors) === 'Object', 'tensors', 'a Map or an object', tensors, TypeError);
  if (metadata !== undefined) checkMetadata(metadata, TypeError);
  const pairs = isMap ? [.../** @type {Map<string, any>} */ (tensors)] : Object.entries(tensors);
  const entries = pairs.map(([name, tensor]) => {
    const of = `of tensor ${show(name)}`;
    expect(name !== '__metadata__', 'name of a tensor', 'another', name);
    knownOptions(`tensor ${show(name)}`, tensor, ['dtype', 'shape', 'data']);
    const { shape, data } = tensor;
    const kind = kindOf(data);
    const fitting = dtypes.filter((dtype) => arrayOfDtype[dtype].name === kind);
    expect(fitting.length, `data ${of}`, 'a typed array with a dtype', data, TypeError);
    const dtype = tensor.dtype ?? kind.replace(/Big|Array|[a-z]/g, ''); // BigInt64Array → I64
    expect(fitting.includes(dtype), `dtype ${of}`, `${fitting.join(' or ')} for a ${kind}`, dtype);
    const byteLength = countBytes(name, dtype, shape, TypeError);
    expect(data.byteLength === byteLength, `bytes ${of}`, `${byteLength} as its shape says`, data.byteLength);
    expect(dtype !== 'BOOL' || data.every((value) => value < 2), `data ${of}`, '0 or 1 in a BOOL', data);
    return { name, dtype, shape, byteLength, data };
  });
  entries.sort((a, b) => dtypes.indexOf(a.dtype) - dtypes.indexOf(b.dtype) || compareAsUtf8(a.name, b.name));

  const header = new TextEncoder().encode(stringifyHeader(entries, metadata));
  const headerLength = Math.ceil(header.length / 8) * 8; // so that the data is aligned
  expect(headerLength <= maximumHeaderBytes, 'header length', `at most ${maximumHeaderBytes}`, headerLength);
  let at = 8 + headerLength;
  const file = new Uint8Array(entries.reduce((length, { byteLength }) => length + byteLength, at));
  file.fill(0x20, 8, at);
  file.set(header, 8);
  new DataView(file.buffer).setUint32(0, headerLength, true); // of 64 bits, whose upper half is 0
  for (const { data } of entries) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/**
 * @param {readonly Entry[]} entries in the order of their data
 * @param {object} [metadata]
 * @returns {string} the header that Python writes
 */
function stringifyHeader(entries, metadata) {
  const members = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  let begin = 0;
  for (const { name, dtype, shape, byteLength } of entries) {
    const end = begin + byteLength;
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    begin = end;
  }
  return `{${members}}`;
}

/**
 * @param {string} json valid
 * @returns {number} how much of it is neither strings nor spaces nor digits
 */
function punctuation(json) {
  return json.replace(/\\./g, '').replace(/"[^"]*"|[\s\d]/g, '').length;
}

/**
 * @param {string} name of the tensor
 * @param {SafetensorDtype} dtype
 * @param {unknown} shape
 * @param {ErrorKind} Kind
 * @returns {number}
 */
function countBytes(name, dtype, shape, Kind) {
  checkText('name of a tensor', name, Kind);
  const of = `of tensor ${show(name)}`;
  expect(dtypes.includes(dtype), `dtype ${of}`, `one of ${dtypes}`, dtype);
  expect(isNumbers(shape), `shape ${of}`, 'an array of numbers', shape, Kind);
  let bytes = arrayOfDtype[dtype].BYTES_PER_ELEMENT;
  for (const size of shape) {
    bytes *= size;
    expect(Number.isSafeInteger(size) && size >= 0 && Number.isSafeInteger(bytes),
      `shape ${of}`, 'of countable elements', size);
  }
  return bytes;
}

/**
 * @param {unknown} metadata
 * @param {ErrorKind} Kind
 */
function checkMetadata(metadata, Kind) {
  expect(kindOf(metadata) === 'Object', 'metadata', 'an object', metadata, Kind);
  for (const text of Object.entries(metadata).flat()) checkText('metadata', text, Kind);
}

/**
 * @param {string} what
 * @param {unknown} text
 * @param {ErrorKind} Kind
 */
function checkText(what, text, Kind) {
  expect(typeof text === 'string', what, 'a string', text, Kind);
  expect(!/\p{Surrogate}/u.test(text), what, 'well-formed', text);
}

/**
 * The order of Python's safetensors, by bytes: UTF-16 puts surrogates before U+E000, UTF-8 puts what they stand for
 * last.
 *
 * @param {string} a well-formed
 * @param {string} b well-formed
 * @returns {number} negative, 0 or positive, as for sort
 */
function compareAsUtf8(a, b) {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return (a.codePointAt(at) ?? -1) - (b.codePointAt(at) ?? -1);
}

/**
 * @param {unknown} list
 * @returns {list is number[]}
 */
function isNumbers(list) {
  return Array.isArray(list) && list.every((item) => typeof item === 'number');
}

/**
 * @param {unknown} value
 * @returns {string} 'Uint8Array', 'Map', 'Object' …, whatever its realm or subclass
 */
function kindOf(value) {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** @typedef {typeof TypeError | typeof RangeError} ErrorKind */

/**
 * The one form of all errors here. It cuts what a file may have made long.
 *
 * @param {unknown} condition
 * @param {string} what
 * @param {string} expectation
 * @param {unknown} got
 * @param {ErrorKind} [Kind]
 * @returns {asserts condition}
 */
function expect(condition, what, expectation, got, Kind = RangeError) {
  if (condition) return;
  const shown = typeof got === 'object' ? kindOf(got) : show(got);
  throw new Kind(`safetensors: ${what.slice(0, 99)} must be ${expectation}, got ${shown.slice(0, 99)}`);
}
