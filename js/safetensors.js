/**
 * The safetensors format: 8 bytes with the length of a header, the header (JSON: names, dtypes, shapes, offsets), the
 * data. Written byte for byte as Python's safetensors 0.8.0 writes it (tests/python compares), and read as if an enemy
 * had written it: nothing is allocated for data before the whole header is found to describe the bytes that are there.
 *
 * Numbers are taken as they lie in memory, which is right on little-endian machines alone; elsewhere both functions
 * throw. Not here: files, and dtypes without a typed array of their own (8-bit and 4-bit floats, complex numbers).
 */
import { integer, knownOptions, rangeError, show, typeError } from './check.js';

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

/** An array says which dtype it is, except for these, which share their array with an integer. */
const explicitDtypes = ['BF16', 'F16', 'BOOL'];

/** Python refuses more, so that a header cannot exhaust memory. */
const maximumHeaderBytes = 100_000_000;

const metadataKey = '__metadata__';

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
  requireLittleEndian();
  const file = plainBytes(bytes);
  if (file.length < 8) throw rangeError('the length of a safetensors file', 'at least 8 bytes', file.length);
  const declared = new DataView(file.buffer, file.byteOffset).getBigUint64(0, true);
  const available = file.length - 8;
  if (declared > maximumHeaderBytes || declared > available) {
    const limit = available < maximumHeaderBytes ? `${available}, the bytes that follow it` : maximumHeaderBytes;
    throw rangeError('the header length of a safetensors file', `at most ${limit}`, declared);
  }
  const dataStart = 8 + Number(declared);
  const { entries, metadata } = new HeaderParser(decodeHeader(file.slice(8, dataStart))).parse();

  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const entry of entries) {
    const where = `data_offsets of tensor ${show(shorten(entry.name))}`;
    if (entry.begin !== covered) {
      throw rangeError(where, `contiguous, beginning at ${covered} where the tensor before ends`, entry.begin);
    }
    covered += countElements(entry.name, entry.shape) * arrayOfDtype[entry.dtype].BYTES_PER_ELEMENT;
    if (entry.end !== covered) throw rangeError(where, `ending at ${covered}, as dtype and shape say`, entry.end);
  }
  if (dataStart + covered !== file.length) {
    throw rangeError('the data of a safetensors file', `${covered} bytes, as its header says`, file.length - dataStart);
  }

  /** @type {Map<string, Safetensor>} */
  const tensors = new Map();
  for (const { name, dtype, shape, begin, end } of entries) {
    const Data = arrayOfDtype[dtype];
    const raw = file.subarray(dataStart + begin, dataStart + end);
    const data = raw.byteOffset % Data.BYTES_PER_ELEMENT === 0
      ? new Data(/** @type {ArrayBuffer} */ (raw.buffer), raw.byteOffset, raw.length / Data.BYTES_PER_ELEMENT)
      : new Data(raw.slice().buffer);
    tensors.set(name, { dtype, shape, data });
  }
  return { tensors, metadata };
}

/**
 * Writes a file that Python's safetensors reads: the bytes that it would write itself. (With several metadata entries
 * its order of them is random; here it is the caller's.)
 *
 * @param {ReadonlyMap<string, SafetensorInput> | Readonly<Record<string, SafetensorInput>>} tensors name → tensor
 * @param {Readonly<Record<string, string>>} [metadata] texts, written into the header
 * @returns {Uint8Array} the whole file
 * @throws {TypeError | RangeError} naming the tensor or the metadata entry that cannot be written
 */
export function writeSafetensors(tensors, metadata) {
  requireLittleEndian();
  if (typeof tensors !== 'object' || tensors === null) throw typeError('tensors', 'a Map or an object', tensors);
  const entries = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const checked = entries.map(([name, tensor]) => checkTensor(name, tensor));
  checked.sort((a, b) => dtypes.indexOf(a.dtype) - dtypes.indexOf(b.dtype) || compareAsUtf8(a.name, b.name));

  const members = metadata === undefined ? [] : [`"${metadataKey}":${stringifyMetadata(metadata)}`];
  let dataBytes = 0;
  for (const { name, dtype, shape, data } of checked) {
    const begin = dataBytes;
    dataBytes += data.byteLength;
    const offsets = [begin, dataBytes];
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: offsets })}`);
  }
  const header = new TextEncoder().encode(`{${members.join(',')}}`);
  const headerBytes = Math.ceil(header.length / 8) * 8; // so that the data is aligned
  if (headerBytes > maximumHeaderBytes) {
    throw rangeError('the header of a safetensors file', `at most ${maximumHeaderBytes} bytes`, headerBytes);
  }

  const file = new Uint8Array(8 + headerBytes + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(header, 8);
  file.fill(0x20, 8 + header.length, 8 + headerBytes);
  let at = 8 + headerBytes;
  for (const { data } of checked) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/** Reads the header's JSON and no other: JSON.parse would let the last of two equal keys win, and round numbers. */
class HeaderParser {
  #text;
  #at = 0;

  /** @param {string} text */
  constructor(text) {
    this.#text = text;
  }

  /** @returns {{ entries: HeaderEntry[], metadata: Record<string, string> }} */
  parse() {
    if (!this.#text.startsWith('{')) throw this.#unexpected('"{"');
    /** @type {HeaderEntry[]} */
    const entries = [];
    /** @type {[string, string][]} */
    const metadata = [];
    for (const name of this.#keys()) {
      if (name === metadataKey) {
        for (const key of this.#keys()) metadata.push([key, this.#string()]);
      } else {
        entries.push(this.#entry(name));
      }
    }
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected('nothing but spaces');
    return { entries, metadata: Object.fromEntries(metadata) };
  }

  /**
   * @param {string} name
   * @returns {HeaderEntry}
   */
  #entry(name) {
    const { dtype, shape, offsets } = this.#fields();
    const where = `of tensor ${show(shorten(name))}`;
    if (!isDtype(dtype)) throw rangeError(`dtype ${where}`, `one of ${dtypes.join(', ')}`, shorten(dtype));
    if (shape === undefined) throw rangeError(`shape ${where}`, 'an array', shape);
    if (offsets?.length !== 2) throw rangeError(`data_offsets ${where}`, 'an array of two numbers', offsets);
    return { name, dtype, shape, begin: offsets[0], end: offsets[1] };
  }

  /** @returns {{ dtype?: string, shape?: number[], offsets?: number[] }} what is there of a tensor's three fields */
  #fields() {
    /** @type {{ dtype?: string, shape?: number[], offsets?: number[] }} */
    const fields = {};
    for (const key of this.#keys()) {
      if (key === 'dtype') fields.dtype = this.#string();
      else if (key === 'shape') fields.shape = this.#counts();
      else if (key === 'data_offsets') fields.offsets = this.#counts();
      else throw rangeError('a tensor\'s field in a safetensors header', 'dtype, shape or data_offsets', shorten(key));
    }
    return fields;
  }

  /**
   * @yields {string} an object's keys; whoever takes one reads its value before the next
   * @returns {Generator<string, void>}
   */
  *#keys() {
    this.#expect('{');
    if (this.#take('}')) return;
    const seen = new Set();
    do {
      const key = this.#string();
      if (seen.has(key)) throw rangeError('a key in a safetensors header', 'there once', shorten(key));
      seen.add(key);
      this.#expect(':');
      yield key;
    } while (this.#take(','));
    this.#expect('}');
  }

  /** @returns {number[]} */
  #counts() {
    this.#expect('[');
    /** @type {number[]} */
    const counts = [];
    if (this.#take(']')) return counts;
    do {
      counts.push(this.#count());
    } while (this.#take(','));
    this.#expect(']');
    return counts;
  }

  /** @returns {number} */
  #count() {
    this.#skipSpace();
    const digits = /(?:0|[1-9]\d{0,15})/y; // longer ones are not safe, and fail at their 17th digit
    digits.lastIndex = this.#at;
    const count = Number(digits.exec(this.#text)?.[0] ?? NaN);
    if (!Number.isSafeInteger(count)) throw this.#unexpected('an integer from 0 to 2 ** 53 - 1');
    this.#at = digits.lastIndex;
    return count;
  }

  /** @returns {string} */
  #string() {
    this.#expect('"');
    const start = this.#at - 1;
    while (this.#text[this.#at] !== '"') {
      if (this.#at >= this.#text.length) throw this.#unexpected('the end of a string');
      this.#at += this.#text[this.#at] === '\\' ? 2 : 1;
    }
    this.#at++;
    const token = this.#text.slice(start, this.#at);
    /** @type {string} */
    let value;
    try {
      value = JSON.parse(token);
    } catch {
      throw rangeError('a string in a safetensors header', 'JSON', shorten(token));
    }
    if (!isWellFormed(value)) throw rangeError('a string in a safetensors header', 'well-formed', shorten(value));
    return value;
  }

  /** @param {string} character */
  #expect(character) {
    if (!this.#take(character)) throw this.#unexpected(show(character));
  }

  /**
   * @param {string} character
   * @returns {boolean} whether it came next, and was taken
   */
  #take(character) {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skipSpace() {
    while (this.#at < this.#text.length && ' \t\n\r'.includes(this.#text[this.#at])) this.#at++;
  }

  /**
   * @param {string} expectation
   * @returns {RangeError}
   */
  #unexpected(expectation) {
    const found = this.#at < this.#text.length ? show(shorten(this.#text.slice(this.#at))) : 'its end';
    return new RangeError(
      `the header of a safetensors file must have ${expectation} at character ${this.#at}, got ${found}`,
    );
  }
}

/** @typedef {{ name: string, dtype: SafetensorDtype, shape: number[], begin: number, end: number }} HeaderEntry */

/**
 * @param {Uint8Array | ArrayBuffer} bytes
 * @returns {Uint8Array} the same bytes, and no Buffer, whose slice() would not copy
 */
function plainBytes(bytes) {
  if (arrayTag(bytes) === 'Uint8Array') {
    const view = /** @type {Uint8Array} */ (bytes);
    return new Uint8Array(view.buffer, view.byteOffset, view.length);
  }
  // Not instanceof, which is false for an ArrayBuffer of another realm.
  if (Object.prototype.toString.call(bytes) === '[object ArrayBuffer]') {
    return new Uint8Array(/** @type {ArrayBuffer} */ (bytes));
  }
  throw typeError('the bytes of a safetensors file', 'a Uint8Array or an ArrayBuffer', bytes);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} the header's text
 */
function decodeHeader(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw rangeError('the header of a safetensors file', 'UTF-8', bytes);
  }
}

/**
 * @param {unknown} name
 * @param {SafetensorInput} tensor
 * @returns {Safetensor & { name: string }}
 */
function checkTensor(name, tensor) {
  if (typeof name !== 'string') throw typeError('the name of a tensor', 'a string', name);
  if (name === metadataKey || !isWellFormed(name)) {
    throw rangeError('the name of a tensor', `well-formed and not ${metadataKey}`, name);
  }
  const where = `of tensor ${show(name)}`;
  knownOptions(`tensor ${show(name)}`, tensor, ['dtype', 'shape', 'data']);
  const { shape, data } = tensor;
  const tag = arrayTag(data);
  const fitting = dtypes.filter((dtype) => arrayOfDtype[dtype].name === tag);
  if (fitting.length === 0) throw typeError(`data ${where}`, 'a typed array with a safetensors dtype', data);
  const dtype = tensor.dtype ?? fitting.find((candidate) => !explicitDtypes.includes(candidate));
  if (!isDtype(dtype) || !fitting.includes(dtype)) {
    throw rangeError(`dtype ${where}`, `${fitting.join(' or ')} for a ${tag}`, dtype);
  }
  if (!Array.isArray(shape)) throw typeError(`shape ${where}`, 'an array', shape);
  for (const size of shape) integer(`shape ${where}`, size, 0);
  const count = countElements(name, shape);
  if (data.length !== count) {
    throw rangeError(`data ${where}`, `${count} elements long, as its shape says`, data.length);
  }
  if (dtype === 'BOOL') {
    const wrong = /** @type {Uint8Array} */ (data).find((value) => value > 1);
    if (wrong !== undefined) throw rangeError(`data ${where}`, '0 or 1 in a BOOL', wrong);
  }
  return { name, dtype, shape, data };
}

/**
 * @param {Readonly<Record<string, string>>} metadata
 * @returns {string} JSON
 */
function stringifyMetadata(metadata) {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw typeError('metadata', 'an object of strings', metadata);
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') throw typeError(`metadata ${show(key)}`, 'a string', value);
    if (!isWellFormed(key + value)) throw rangeError(`metadata ${show(key)}`, 'well-formed, key and value', value);
  }
  return JSON.stringify(metadata);
}

/**
 * @param {string} name of the tensor
 * @param {readonly number[]} shape non-negative safe integers
 * @returns {number} their product, 1 for none
 */
function countElements(name, shape) {
  let count = 1;
  for (const size of shape) {
    count *= size;
    // A sixteenth, so that the bytes are countable too; Python's limit is 2 ** 64 bytes.
    if (count > Number.MAX_SAFE_INTEGER / 16) {
      throw rangeError(`the number of elements of tensor ${show(shorten(name))}`, 'below 2 ** 49', count);
    }
  }
  return count;
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
 * @param {unknown} dtype
 * @returns {dtype is SafetensorDtype}
 */
function isDtype(dtype) {
  return dtypes.includes(/** @type {SafetensorDtype} */ (dtype));
}

/**
 * @param {unknown} value
 * @returns {string | undefined} the kind of a typed array, whatever its realm or subclass; undefined for anything else
 */
function arrayTag(value) {
  return ArrayBuffer.isView(value) ? /** @type {Uint8Array | DataView} */ (value)[Symbol.toStringTag] : undefined;
}

/**
 * @param {string} text
 * @returns {boolean} whether UTF-8 can say it: it has no half of a surrogate pair alone
 */
function isWellFormed(text) {
  return !/\p{Surrogate}/u.test(text);
}

/**
 * @template {string | undefined} Text
 * @param {Text} text from a file, however long
 * @returns {Text | string} its beginning, for an error message
 */
function shorten(text) {
  return text !== undefined && text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** WebAssembly's memory is little-endian everywhere, so nothing else of the package would work there either. */
function requireLittleEndian() {
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1) {
    throw new Error('safetensors need a little-endian machine; this one is big-endian');
  }
}
