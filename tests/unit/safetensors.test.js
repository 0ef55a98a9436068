import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSafetensors, writeSafetensors } from '../../js/safetensors.js';

/** @typedef {import('../../js/safetensors.js').SafetensorInput} SafetensorInput */

/**
 * What Python's safetensors 0.8.0 wrote (numpy 2.4.6):
 *
 *     print(base64.b64encode(safetensors.numpy.save({
 *       'kernel': numpy.arange(6, dtype=numpy.float32).reshape(2, 3), 'iterations': numpy.array(7, numpy.int64),
 *       'mask': numpy.array([True, False, True]), 'empty': numpy.zeros((0, 4), numpy.float32),
 *       'half': numpy.array([1, -2], numpy.float16), 'é "\\\n': numpy.array([-1], numpy.int8),
 *       'double': numpy.array([0.1]),
 *     }, {'note': 'from Python: é\u2028\x7f'})))
 */
const pythonFile = Buffer.from(`
  2AEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJub3RlIjoiZnJvbSBQeXRob246IMOp4oCofyJ9LCJpdGVyYXRpb25zIjp7ImR0eXBlIjoi
  STY0Iiwic2hhcGUiOltdLCJkYXRhX29mZnNldHMiOlswLDhdfSwiZG91YmxlIjp7ImR0eXBlIjoiRjY0Iiwic2hhcGUiOlsxXSwiZGF0
  YV9vZmZzZXRzIjpbOCwxNl19LCJlbXB0eSI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMCw0XSwiZGF0YV9vZmZzZXRzIjpbMTYsMTZd
  fSwia2VybmVsIjp7ImR0eXBlIjoiRjMyIiwic2hhcGUiOlsyLDNdLCJkYXRhX29mZnNldHMiOlsxNiw0MF19LCJoYWxmIjp7ImR0eXBl
  IjoiRjE2Iiwic2hhcGUiOlsyXSwiZGF0YV9vZmZzZXRzIjpbNDAsNDRdfSwiw6kgXCJcXFxuIjp7ImR0eXBlIjoiSTgiLCJzaGFwZSI6
  WzFdLCJkYXRhX29mZnNldHMiOls0NCw0NV19LCJtYXNrIjp7ImR0eXBlIjoiQk9PTCIsInNoYXBlIjpbM10sImRhdGFfb2Zmc2V0cyI6
  WzQ1LDQ4XX19ICAgBwAAAAAAAACamZmZmZm5PwAAAAAAAIA/AAAAQAAAQEAAAIBAAACgQAA8AMD/AQAB`, 'base64');

/** @returns {Record<string, SafetensorInput>} what is in it */
function pythonTensors() {
  return {
    kernel: { shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) },
    iterations: { shape: [], data: BigInt64Array.of(7n) },
    mask: { dtype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) },
    empty: { shape: [0, 4], data: new Float32Array(0) },
    half: { dtype: 'F16', shape: [2], data: Uint16Array.of(0x3c00, 0xc000) },
    'é "\\\n': { shape: [1], data: Int8Array.of(-1) },
    double: { shape: [1], data: Float64Array.of(0.1) },
  };
}

const pythonMetadata = { note: 'from Python: é\u2028\x7f' };

/**
 * @param {string | Uint8Array} headerText taken as it is
 * @param {number | Uint8Array} [data] bytes, or how many zeros
 * @returns {Uint8Array} a file of them
 */
function file(headerText, data = 0) {
  const text = typeof headerText === 'string' ? new TextEncoder().encode(headerText) : headerText;
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  return Uint8Array.from([...length, ...text, ...(typeof data === 'number' ? new Uint8Array(data) : data)]);
}

/**
 * @param {string} fields beyond or instead of those of a good F32 scalar
 * @returns {string} a header with the tensor "a"
 */
function scalarHeader(fields) {
  const good = { '"dtype"': '"F32"', '"shape"': '[]', '"data_offsets"': '[0,4]' };
  const missing = Object.entries(good).filter(([name]) => !fields.includes(name)).map((pair) => pair.join(':'));
  return `{"a":{${[...missing, ...(fields ? [fields] : [])].join(',')}}}`;
}

test('writes the bytes that Python writes, whatever the order of the tensors', () => {
  assert.deepEqual(Buffer.from(writeSafetensors(pythonTensors(), pythonMetadata)), pythonFile);
  const reversed = new Map(Object.entries(pythonTensors()).reverse());
  assert.deepEqual(Buffer.from(writeSafetensors(reversed, pythonMetadata)), pythonFile);
});

test('reads what Python wrote', () => {
  const { tensors, metadata } = readSafetensors(pythonFile);
  assert.deepEqual(metadata, pythonMetadata);
  const names = ['iterations', 'double', 'empty', 'kernel', 'half', 'é "\\\n', 'mask'];
  assert.deepEqual([...tensors.keys()], names);
  for (const [name, { shape, data }] of Object.entries(pythonTensors())) {
    assert.deepEqual(tensors.get(name)?.shape, shape);
    assert.deepEqual(tensors.get(name)?.data, data);
  }
  assert.deepEqual([...tensors.values()].map(({ dtype }) => dtype), ['I64', 'F64', 'F32', 'F32', 'F16', 'I8', 'BOOL']);
});

test('every dtype, each bit of it, comes back in the order of alignment', () => {
  const random = Uint8Array.from({ length: 16 }, (_, i) => i * 89 + 131);
  const arrays = [
    ['U64', BigUint64Array], ['I64', BigInt64Array], ['F64', Float64Array], ['F32', Float32Array], ['U32', Uint32Array],
    ['I32', Int32Array], ['BF16', Uint16Array], ['F16', Uint16Array], ['U16', Uint16Array], ['I16', Int16Array],
    ['I8', Int8Array], ['U8', Uint8Array],
  ];
  /** @type {Map<string, any>} */
  const written = new Map();
  for (const [dtype, Data] of /** @type {[string, any][]} */ (arrays)) {
    const data = new Data(random.slice().buffer);
    written.set(dtype.toLowerCase(), { dtype, shape: [data.length], data });
  }
  written.set('bool', { dtype: 'BOOL', shape: [2, 1], data: Uint8Array.of(0, 1) });
  const { tensors } = readSafetensors(writeSafetensors(new Map([...written].reverse())));
  assert.deepEqual([...tensors], [...written]);
});

test('the dtype is inferred from the array unless it is given', () => {
  const { tensors } = readSafetensors(writeSafetensors({
    a: { shape: [1], data: new Uint16Array(1) },
    b: { shape: [1], data: new Uint8Array(1) },
    c: { shape: [1], data: Buffer.alloc(1) },
  }));
  assert.deepEqual([...tensors.values()].map(({ dtype }) => dtype), ['U16', 'U8', 'U8']);
});

test('names of one dtype are ordered by their UTF-8, not by their UTF-16', () => {
  const names = ['', 'a', 'a1', 'b', 'é', '\uffee', '\u{1f600}', '\u{1f601}', '\u{1f601}a'];
  const tensors = new Map([...names].reverse().map((name) => [name, { shape: [], data: new Float32Array(1) }]));
  assert.deepEqual([...readSafetensors(writeSafetensors(tensors)).tensors.keys()], names);
});

test('no tensor and no metadata is a file too', () => {
  assert.deepEqual(Buffer.from(writeSafetensors({})), Buffer.from('\x08\0\0\0\0\0\0\0{}      '));
  assert.deepEqual(readSafetensors(writeSafetensors({})), { tensors: new Map(), metadata: {} });
  const empty = writeSafetensors({}, {});
  assert.equal(Buffer.from(empty.subarray(8)).toString(), '{"__metadata__":{}}     ');
  assert.deepEqual(readSafetensors(empty), { tensors: new Map(), metadata: {} });
});

test('names that mean something to JavaScript are names like others', () => {
  const names = ['__proto__', 'constructor', 'toString'];
  const metadata = JSON.parse('{"__proto__":"p","constructor":"c"}');
  const tensors = new Map(names.map((name, i) => [name, { shape: [], data: Int32Array.of(i) }]));
  const back = readSafetensors(writeSafetensors(tensors, metadata));
  assert.deepEqual([...back.tensors.keys()], names);
  assert.deepEqual(Object.entries(back.metadata), [['__proto__', 'p'], ['constructor', 'c']]);
  assert.equal(Object.getPrototypeOf(back.metadata), Object.prototype);
});

test('data is a view on the file where it is aligned, and a copy where it is not', () => {
  const written = writeSafetensors({ w: { shape: [2], data: Float32Array.of(1, 2) } });
  for (let shift = 0; shift < 9; shift++) {
    const buffer = new ArrayBuffer(written.length + shift + 1);
    const shifted = new Uint8Array(buffer, shift, written.length);
    shifted.set(written);
    const data = readSafetensors(shifted).tensors.get('w')?.data;
    assert.deepEqual(data, Float32Array.of(1, 2));
    assert.equal(data?.buffer === buffer, shift % 4 === 0, `shift ${shift}`);
  }
  assert.deepEqual(readSafetensors(/** @type {ArrayBuffer} */ (written.buffer)).tensors.get('w')?.data,
    Float32Array.of(1, 2));
});

test('reads a part of a pooled Buffer, and a file whose header is not padded', () => {
  const byte = '"b":{"dtype":"U8","shape":[],"data_offsets":[0,1]}';
  const float = '"a":{"dtype":"F32","shape":[],"data_offsets":[1,5]}';
  const bytes = file(`{${byte},${float}}`, Uint8Array.of(9, 0, 0, 0x80, 0x3f));
  const pooled = Buffer.concat([Buffer.from('x'), bytes, Buffer.from('y')]).subarray(1, -1);
  for (const input of [bytes, pooled]) {
    const { tensors } = readSafetensors(input);
    assert.deepEqual([...tensors], [
      ['b', { dtype: 'U8', shape: [], data: Uint8Array.of(9) }],
      ['a', { dtype: 'F32', shape: [], data: Float32Array.of(1) }],
    ]);
  }
});

test('an empty tensor may begin where another does, whichever the header names first', () => {
  const empty = '"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}';
  const full = '"f":{"dtype":"F32","shape":[],"data_offsets":[0,4]}';
  for (const header of [`{${empty},${full}}`, `{${full},${empty}}`]) {
    assert.deepEqual([...readSafetensors(file(header, 4)).tensors.keys()], ['e', 'f']);
  }
});

test('a file cut short at any byte, or with a byte more, is refused', () => {
  for (let length = 0; length < pythonFile.length; length++) {
    assert.throws(() => readSafetensors(pythonFile.subarray(0, length)), RangeError, `cut to ${length} bytes`);
  }
  assert.throws(() => readSafetensors(Buffer.concat([pythonFile, Buffer.alloc(1)])),
    { name: 'RangeError', message: 'the data of a safetensors file must be 48 bytes, as its header says, got 49' });
});

test('a file with any one byte changed is refused or read, and nothing else happens', () => {
  // The three changes are: one bit, the next value, and a character that JSON gives a meaning to.
  const changes = [(/** @type {number} */ byte) => byte ^ 0x80, (/** @type {number} */ byte) => byte + 1, () => 0x22];
  for (let at = 0; at < pythonFile.length; at++) {
    for (const change of changes) {
      const bytes = Uint8Array.from(pythonFile);
      bytes[at] = change(bytes[at]);
      try {
        const { tensors } = readSafetensors(bytes);
        const total = [...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
        assert.equal(total, 48, `byte ${at}`);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
  }
});

test('a file that lies is refused with what was expected and what came', () => {
  const huge = '9007199254740991';
  const scalar = (/** @type {string} */ name, /** @type {string} */ offsets) =>
    `"${name}":{"dtype":"F32","shape":[],"data_offsets":${offsets}}`;
  const limit = new Uint8Array(8 + 100_000_001);
  new DataView(limit.buffer).setBigUint64(0, 100_000_001n, true);

  /** @type {[string, Uint8Array, RegExp][]} */
  const lies = [
    ['no bytes', new Uint8Array(0), /length of a safetensors file must be at least 8 bytes, got 0/],
    ['header length beyond the file', Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 255, 123, 125]),
      /header length of a safetensors file must be at most 2, the bytes that follow it, got 18446744073709551615n/],
    ['header a byte too long', file('{}').fill(3, 0, 1), /header length .* at most 2, the bytes that follow it, got 3n/],
    ['header of more than 100 MB', limit, /header length .* must be at most 100000000, got 100000001n/],
    ['header without object', file(''), /must have "\{" at character 0, got its end/],
    ['header is an array', file('[]'), /must have "\{" at character 0, got "\[\]"/],
    ['space before the header', file(' {}'), /must have "\{" at character 0, got " \{\}"/],
    ['byte order mark', file('\ufeff{}'), /must have "\{" at character 0/],
    ['header that is not UTF-8', file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /must be UTF-8, got/],
    ['NUL as padding', file('{}\0'), /must have nothing but spaces at character 2, got "\\u0000"/],
    ['more JSON', file('{}{}'), /must have nothing but spaces at character 2, got "\{\}"/],
    ['open string', file('{"a'), /must have the end of a string at character 3, got its end/],
    ['string ending in a backslash', file('{"a\\'), /must have the end of a string at character 5, got its end/],
    ['trailing comma', file(`{${scalar('a', '[0,4]')},}`, 4), /must have "\\"" at character 53, got "\}"/],
    ['control character in a string', file('{"a\n":1}'), /a string .* must be JSON, got "\\"a\\n\\""/],
    ['unknown escape', file('{"\\x":1}'), /a string .* must be JSON/],
    ['half a surrogate pair', file('{"\\ud800":1}'), /a string .* must be well-formed/],
    ['tensor twice', file(`{${scalar('a', '[0,4]')},${scalar('a', '[4,8]')}}`, 8), /must be there once, got "a"/],
    ['tensor twice, once escaped', file(`{${scalar('a', '[0,4]')},${scalar('\\u0061', '[4,8]')}}`, 8), /there once/],
    ['field twice', file(scalarHeader('"dtype":"F32","dtype":"F32"'), 4), /must be there once, got "dtype"/],
    ['metadata twice', file('{"__metadata__":{},"__metadata__":{}}'), /must be there once, got "__metadata__"/],
    ['metadata key twice', file('{"__metadata__":{"a":"","a":""}}'), /must be there once, got "a"/],
    ['metadata number', file('{"__metadata__":{"a":1}}'), /must have "\\"" at character 21, got "1\}\}"/],
    ['metadata null', file('{"__metadata__":null}'), /must have "\{" at character 16/],
    ['metadata object', file('{"__metadata__":{"a":{}}}'), /must have "\\"" at character 21/],
    ['tensor null', file('{"a":null}'), /must have "\{" at character 5/],
    ['no fields', file('{"a":{}}'), /dtype of tensor "a" must be one of U64, .*, BOOL, got undefined/],
    ['no shape', file('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4), /shape of tensor "a" must be an array, got und/],
    ['no offsets', file('{"a":{"dtype":"F32","shape":[]}}', 4), /data_offsets of tensor "a" must be an array of two/],
    ['unknown field', file(scalarHeader('"x":1'), 4), /field in .* must be dtype, shape or data_offsets, got "x"/],
    ['unknown dtype', file(scalarHeader('"dtype":"F8_E4M3"'), 4), /dtype of tensor "a" must be one of .*, got "F8_E4M3"/],
    ['dtype in small letters', file(scalarHeader('"dtype":"f32"'), 4), /dtype of tensor "a" must be one of .*, got "f32"/],
    ['dtype out of the prototype', file(scalarHeader('"dtype":"toString"'), 4), /dtype of tensor "a" must be one of/],
    ['dtype number', file(scalarHeader('"dtype":32'), 4), /must have "\\""/],
    ['one offset', file(scalarHeader('"data_offsets":[0]'), 4), /an array of two numbers, got an array of length 1/],
    ['three offsets', file(scalarHeader('"data_offsets":[0,4,4]'), 4), /an array of two numbers, got an array of length 3/],
    ['negative size', file(scalarHeader('"shape":[-1]'), 4), /must have an integer from 0 to 2 \*\* 53 - 1 .*, got "-1/],
    ['fraction', file(scalarHeader('"shape":[1.0]'), 4), /must have "\]" .*, got "\.0/],
    ['exponent', file(scalarHeader('"data_offsets":[0,4e0]'), 4), /must have "\]" .*, got "e0/],
    ['leading zero', file(scalarHeader('"shape":[01]'), 4), /must have "\]" .*, got "1\]/],
    ['size as string', file(scalarHeader('"shape":["1"]'), 4), /must have an integer/],
    ['size null', file(scalarHeader('"shape":[null]'), 4), /must have an integer/],
    ['nested shape', file(scalarHeader('"shape":[[1]]'), 4), /must have an integer/],
    ['number not safe', file(scalarHeader('"shape":[9007199254740992]'), 4), /must have an integer .*, got "9007199254740992/],
    ['number of 17 digits', file(scalarHeader('"shape":[10000000000000000]'), 4), /must have "\]"/],
    ['number of elements overflows', file(scalarHeader(`"shape":[${huge},${huge}]`), 4), /elements of tensor "a" must be below/],
    ['overflow before a zero', file(scalarHeader(`"shape":[${huge},0]`), 4), /elements of tensor "a" must be below 2 \*\* 49/],
    ['shape larger than the data', file(scalarHeader('"shape":[2]'), 4), /must be ending at 8, as dtype and shape say, got 4/],
    ['shape smaller than the data', file(scalarHeader('"shape":[0]'), 4), /must be ending at 0, .*, got 4/],
    ['end before begin', file(scalarHeader('"data_offsets":[4,0]'), 4), /must be contiguous, beginning at 0 .*, got 4/],
    ['hole before the first', file(scalarHeader('"data_offsets":[4,8]'), 8), /must be contiguous, beginning at 0 .*, got 4/],
    ['hole', file(`{${scalar('a', '[0,4]')},${scalar('b', '[5,9]')}}`, 9), /of tensor "b" must be contig.* at 4 .*, got 5/],
    ['overlap', file(`{${scalar('a', '[0,4]')},${scalar('b', '[2,6]')}}`, 6), /of tensor "b" must be cont.* at 4 .*, got 2/],
    ['the same data', file(`{${scalar('a', '[0,4]')},${scalar('b', '[0,4]')}}`, 4), /of tensor "b" must be contiguous/],
    ['offsets out of the file', file(scalarHeader('"shape":[16],"data_offsets":[0,64]'), 4), /must be 64 bytes, .*, got 4/],
    ['data that no tensor has', file('{}', 1), /the data of a safetensors file must be 0 bytes, .*, got 1/],
  ];
  for (const [name, bytes, message] of lies) {
    assert.throws(() => readSafetensors(bytes), { name: 'RangeError', message }, name);
  }
});

test('a long name does not make a long message', () => {
  const name = 'x'.repeat(100_000);
  const isShort = (/** @type {Error} */ error) => error.message.length < 300;
  assert.throws(() => readSafetensors(file(`{"${name}":{}}`)), isShort);
});

test('the reader wants bytes', () => {
  for (const wrong of [undefined, null, 'text', [1, 2], new Float32Array(8), new DataView(new ArrayBuffer(8)), {}]) {
    assert.throws(() => readSafetensors(/** @type {any} */ (wrong)),
      { name: 'TypeError', message: /^the bytes of a safetensors file must be a Uint8Array or an ArrayBuffer, got / });
  }
});

test('the writer refuses what cannot be read back', () => {
  const data = new Float32Array(2);
  const good = { shape: [2], data };
  /** @type {[unknown, unknown, string, RegExp][]} */
  const wrong = [
    [null, undefined, 'TypeError', /^tensors must be a Map or an object, got null/],
    [new Map([[1, good]]), undefined, 'TypeError', /^the name of a tensor must be a string, got 1/],
    [{ __metadata__: good }, undefined, 'RangeError', /^the name of a tensor must be .* not __metadata__, got/],
    [{ '\ud800': good }, undefined, 'RangeError', /^the name of a tensor must be well-formed/],
    [{ w: data }, undefined, 'TypeError', /^tensor "w" has no option "0"; did you mean/],
    [{ w: null }, undefined, 'TypeError', /^tensor "w" options must be an object, got null/],
    [{ w: { ...good, dType: 'F32' } }, undefined, 'TypeError', /^tensor "w" has no option "dType"; did you mean "dtype"/],
    [{ w: { shape: [2], data: [1, 2] } }, undefined, 'TypeError', /^data of tensor "w" must be a typed array/],
    [{ w: { shape: [2], data: new Uint8ClampedArray(2) } }, undefined, 'TypeError', /^data of tensor "w" must be/],
    [{ w: { shape: [2], data: new DataView(new ArrayBuffer(2)) } }, undefined, 'TypeError', /^data of tensor "w" must be/],
    [{ w: { data } }, undefined, 'TypeError', /^shape of tensor "w" must be an array, got undefined/],
    [{ w: { shape: ['2'], data } }, undefined, 'TypeError', /^shape of tensor "w" must be an integer/],
    [{ w: { shape: [-2], data } }, undefined, 'RangeError', /^shape of tensor "w" must be an integer .*, got -2/],
    [{ w: { shape: [2.5], data } }, undefined, 'RangeError', /^shape of tensor "w" must be an integer .*, got 2.5/],
    [{ w: { shape: [3], data } }, undefined, 'RangeError', /^data of tensor "w" must be 3 elements long.*, got 2/],
    [{ w: { shape: [], data } }, undefined, 'RangeError', /^data of tensor "w" must be 1 elements long.*, got 2/],
    [{ w: { ...good, dtype: 'float32' } }, undefined, 'RangeError', /^dtype of tensor "w" must be F32 for a Float32Array/],
    [{ w: { ...good, dtype: 'I32' } }, undefined, 'RangeError', /^dtype of tensor "w" must be F32 .*, got "I32"/],
    [{ w: { dtype: 'F8', shape: [1], data: new Uint8Array(1) } }, undefined, 'RangeError', /must be U8 or BOOL for a Uint8/],
    [{ w: { dtype: 'BOOL', shape: [1], data: Uint8Array.of(2) } }, undefined, 'RangeError', /must be 0 or 1 in a BOOL/],
    [{ w: good }, null, 'TypeError', /^metadata must be an object of strings, got null/],
    [{ w: good }, ['a'], 'TypeError', /^metadata must be an object of strings, got an array/],
    [{ w: good }, { a: 1 }, 'TypeError', /^metadata "a" must be a string, got 1/],
    [{ w: good }, { a: undefined }, 'TypeError', /^metadata "a" must be a string, got undefined/],
    [{ w: good }, { a: '\udfff' }, 'RangeError', /^metadata "a" must be well-formed/],
    [{}, { a: 'x'.repeat(100_000_000) }, 'RangeError', /^the header of a safetensors file must be at most 100000000 bytes/],
  ];
  for (const [tensors, metadata, name, message] of wrong) {
    const write = () => writeSafetensors(/** @type {any} */ (tensors), /** @type {any} */ (metadata));
    assert.throws(write, { name, message });
  }
});

test('the file does not change with the tensor it was written from', () => {
  const data = Float32Array.of(1, 2);
  const written = writeSafetensors({ w: { shape: [1], data: data.subarray(1) } });
  data.fill(0);
  assert.deepEqual(readSafetensors(written).tensors.get('w')?.data, Float32Array.of(2));
});
