import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
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

test('metadata null is none, as for Python', () => {
  const header = '{"__metadata__":null}';
  assert.deepEqual(readSafetensors(Uint8Array.from([header.length, 0, 0, 0, 0, 0, 0, 0, ...Buffer.from(header)])).metadata, {});
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

test('an empty tensor may begin where another begins or ends, whichever the header names first', () => {
  const before = '"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}';
  const full = '"f":{"dtype":"F32","shape":[],"data_offsets":[0,4]}';
  const after = '"g":{"dtype":"U8","shape":[9,0],"data_offsets":[4,4]}';
  for (const members of [[before, full, after], [after, full, before], [full, after, before]]) {
    assert.deepEqual([...readSafetensors(file(`{${members}}`, 4)).tensors.keys()], ['e', 'f', 'g']);
  }
});

test('fields may stand in any order, between spaces, and strings be escaped in any way', () => {
  const name = '\\u0022:{\\/\\u005C\\ud83d\\uDE00\\\\ud800';
  const tensor = '{ "data_offsets" :\t[ 0 ,4],\n"shape":[],"d\\u0074ype":"F\\u00332"}';
  const { tensors, metadata } = readSafetensors(file(`{ "${name}":${tensor}, "__metadata__":{"${name}":"${name}"}} \r\n`, 4));
  const read = '":{/\\\u{1f600}\\ud800';
  assert.deepEqual([...tensors], [[read, { dtype: 'F32', shape: [], data: new Float32Array(1) }]]);
  assert.deepEqual(metadata, { [read]: read });
  assert.deepEqual(readSafetensors(writeSafetensors(tensors, metadata)), { tensors, metadata });
});

test('no more spaces are written than align the data', () => {
  for (let length = 0; length < 17; length++) {
    const bytes = writeSafetensors({ ['x'.repeat(length)]: { shape: [], data: Uint8Array.of(1) } });
    const header = Buffer.from(bytes.subarray(8, -1)).toString();
    assert.equal(header.length % 8, 0);
    assert.match(header, /\} {0,7}$/);
  }
});

test('a file cut short at any byte, or with a byte more, is refused', () => {
  for (let length = 0; length < pythonFile.length; length++) {
    assert.throws(() => readSafetensors(pythonFile.subarray(0, length)),
      { name: 'RangeError', message: /^safetensors: (file must be at least 8 bytes long|(header|data) length must be .*\d), got \d+$/ }, `cut to ${length} bytes`);
  }
  assert.throws(() => readSafetensors(Buffer.concat([pythonFile, Buffer.alloc(1)])),
    { name: 'RangeError', message: 'safetensors: data length must be 48, got 49' });
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
        if (!(error instanceof RangeError && /^safetensors: [^]* must be [^]*, got /.test(error.message))) throw error;
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
  const primitive = '{"toString":1,"valueOf":1,"constructor":{"name":{}},"length":2,"every":1}';

  const notJson = /^safetensors: header must be JSON with unique keys and plain integers, got /;
  const notTensor = /^safetensors: tensor "a" must be \{ dtype, shape, data_offsets \}, dtype of U64,.*,BOOL, got /;
  const notMetadata = /^safetensors: metadata must be strings, got /;
  /** @type {(offsets: string, got: string, name?: string) => RegExp} */
  const elsewhere = (offsets, got, name = 'a') =>
    RegExp(`^safetensors: tensor "${name}" must be at data_offsets ${offsets}, got \\[${got}\\]$`);

  /** @type {[string, Uint8Array, RegExp][]} */
  const lies = [
    ['no bytes', new Uint8Array(0), /^safetensors: file must be at least 8 bytes long, got 0$/],
    ['header length beyond the file', Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 255, 123, 125]),
      /^safetensors: header length must be at most 2, got 18446744073709552000$/],
    ['header a byte too long', file('{}').fill(3, 0, 1), /^safetensors: header length must be at most 2, got 3$/],
    ['header length that only its last byte makes large', file('{}').fill(1, 7, 8),
      /^safetensors: header length must be at most 2, got 72057594037927940$/],
    ['header of more than 100 MB', limit, /^safetensors: header length must be at most 100000000, got 100000001$/],
    ['header without object', file(''), notJson],
    ['header without object, but data that looks like one', file('', new TextEncoder().encode('{}')), notJson],
    ['header is an array', file('[]'), notJson],
    ['header is null', file('null'), notJson],
    ['header is a string', file('"{}"'), notJson],
    ['space before the header', file(' {}'), notJson],
    ['byte order mark', file('\ufeff{}'), notJson],
    ['header that is not UTF-8', file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), notJson],
    ['metadata that is not UTF-8',
      file(Uint8Array.from(Buffer.from('{"__metadata__":{"a":"\xff"}}', 'latin1'))), notJson],
    ['NUL as padding', file('{}\0'), notJson],
    ['more JSON', file('{}{}'), notJson],
    ['open string', file('{"a'), notJson],
    ['string ending in a backslash', file('{"a\\'), notJson],
    ['trailing comma', file(`{${scalar('a', '[0,4]')},}`, 4), notJson],
    ['control character in a string', file('{"a\n":1}'), notJson],
    ['unknown escape', file('{"\\x":1}'), notJson],
    ['half a surrogate pair', file(`{${scalar('\\ud800', '[0,4]')}}`, 4), notJson],
    ['half a surrogate pair behind backslashes', file(`{${scalar('\\\\\\\\\\uDFFF', '[0,4]')}}`, 4), notJson],
    ['half a surrogate pair in metadata', file('{"__metadata__":{"a":"\\udbff"}}'), notJson],
    ['half a surrogate pair in a key of metadata', file('{"__metadata__":{"\\udc00\\ud800":""}}'), notJson],
    ['tensor twice', file(`{${scalar('a', '[0,4]')},${scalar('a', '[4,8]')}}`, 8), notJson],
    ['tensor twice, both good', file(`{${scalar('a', '[0,4]')},${scalar('a', '[0,4]')}}`, 4), notJson],
    ['tensor twice, once escaped', file(`{${scalar('a', '[0,4]')},${scalar('\\u0061', '[0,4]')}}`, 4), notJson],
    ['tensor twice, with quotes and punctuation in its name',
      file(`{${scalar('\\":{\\\\', '[0,4]')},${scalar('\\":{\\\\', '[0,4]')}}`, 4), notJson],
    ['field twice', file(scalarHeader('"dtype":"F32","dtype":"F32"'), 4), notJson],
    ['shape twice', file(scalarHeader('"shape":[],"shape":[]'), 4), notJson],
    ['metadata twice', file('{"__metadata__":{},"__metadata__":{}}'), notJson],
    ['metadata key twice', file('{"__metadata__":{"a":"","a":""}}'), notJson],
    ['field twice, hidden by numbers that JSON writes with a sign',
      file('{"a":{"dtype":"F32","dtype":"F32","shape":[1000000000000000000000,0],"data_offsets":[0,0]}}'), notTensor],
    ['field twice, hidden by such a number in an unknown field',
      file(scalarHeader('"dtype":"F32","dtype":"F32","x":1000000000000000000000'), 4), notTensor],
    ['metadata number', file('{"__metadata__":{"a":1}}'), notMetadata],
    ['metadata array', file('{"__metadata__":["a"]}'), notMetadata],
    ['metadata string', file('{"__metadata__":"a"}'), notMetadata],
    ['metadata object', file('{"__metadata__":{"a":{}}}'), notMetadata],
    ['metadata with a null', file('{"__metadata__":{"a":"","b":null}}'), notMetadata],
    ['tensor null', file('{"a":null}'), notTensor],
    ['tensor string', file('{"a":"abc"}'), notTensor],
    ['tensor array', file('{"a":["F32",[],[0,4]]}', 4), notTensor],
    ['no fields', file('{"a":{}}'), notTensor],
    ['no dtype', file('{"a":{"shape":[],"data_offsets":[0,4]}}', 4), notTensor],
    ['no shape', file('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4), notTensor],
    ['no offsets', file('{"a":{"dtype":"F32","shape":[]}}', 4), notTensor],
    ['unknown field', file(scalarHeader('"x":1'), 4), notTensor],
    ['unknown dtype', file(scalarHeader('"dtype":"F8_E4M3"'), 4), notTensor],
    ['dtype in small letters', file(scalarHeader('"dtype":"f32"'), 4), notTensor],
    ['dtype out of the prototype', file(scalarHeader('"dtype":"toString"'), 4), notTensor],
    ['dtype number', file(scalarHeader('"dtype":32'), 4), notTensor],
    ['dtype array', file(scalarHeader('"dtype":["F32"]'), 4), notTensor],
    ['dtype that is no primitive', file(scalarHeader(`"dtype":${primitive}`), 4), notTensor],
    ['shape string', file(scalarHeader('"shape":""'), 4), notTensor],
    ['shape null', file(scalarHeader('"shape":null'), 4), notTensor],
    ['shape number', file(scalarHeader('"shape":1'), 4), notTensor],
    ['shape that is no primitive', file(scalarHeader(`"shape":${primitive}`), 4), notTensor],
    ['size that is no primitive', file(scalarHeader(`"shape":[${primitive}]`), 4), notTensor],
    ['offsets string', file(scalarHeader('"data_offsets":"0,4"'), 4), notTensor],
    ['offsets null', file(scalarHeader('"data_offsets":null'), 4), notTensor],
    ['offsets as strings', file(scalarHeader('"data_offsets":["0","4"]'), 4), notTensor],
    ['offset that is no primitive', file(scalarHeader(`"data_offsets":[${primitive},4]`), 4), notTensor],
    ['negative offset', file(scalarHeader('"data_offsets":[-4,0]'), 4), notTensor],
    ['offset not safe', file(scalarHeader('"data_offsets":[0,9007199254740992]'), 4), notTensor],
    ['offset infinite', file(scalarHeader('"data_offsets":[0,1e999]'), 4), notJson],
    ['no offset', file(scalarHeader('"data_offsets":[]'), 4), elsewhere('0,4', '')],
    ['one offset', file(scalarHeader('"data_offsets":[0]'), 4), elsewhere('0,4', '0')],
    ['three offsets', file(scalarHeader('"data_offsets":[0,4,4]'), 4), elsewhere('0,4', '0,4,4')],
    ['negative size', file(scalarHeader('"shape":[-1]'), 4), notTensor],
    ['negative sizes with a good product', file(scalarHeader('"shape":[-1,-1]'), 4), notTensor],
    ['negative zero', file(scalarHeader('"data_offsets":[-0,4]'), 4), notJson],
    ['fraction', file(scalarHeader('"shape":[1.5]'), 4), notTensor],
    ['integer with a point', file(scalarHeader('"shape":[1.0]'), 4), notJson],
    ['exponent', file(scalarHeader('"data_offsets":[0,4e0]'), 4), notJson],
    ['exponent that shortens', file(scalarHeader('"shape":[1E3],"data_offsets":[0,4000]'), 4000), notJson],
    ['leading zero', file(scalarHeader('"shape":[01]'), 4), notJson],
    ['size as string', file(scalarHeader('"shape":["1"]'), 4), notTensor],
    ['size null', file(scalarHeader('"shape":[null]'), 4), notTensor],
    ['size true', file(scalarHeader('"shape":[true]'), 4), notTensor],
    ['nested shape', file(scalarHeader('"shape":[[1]]'), 4), notTensor],
    ['nested deeply', file(scalarHeader(`"shape":${'['.repeat(1e6)}${']'.repeat(1e6)}`), 4), notJson],
    ['number not safe', file(scalarHeader('"shape":[9007199254740992]'), 4), notTensor],
    ['number of 17 digits', file(scalarHeader('"shape":[10000000000000000]'), 4), notTensor],
    ['number not safe, beside a zero', file('{"a":{"dtype":"U8","shape":[9007199254740993,0],"data_offsets":[0,0]}}'),
      notTensor],
    ['number of elements overflows', file(scalarHeader(`"shape":[${huge},${huge}]`), 4), elsewhere('0,Infinity', '0,4')],
    ['number of bytes overflows', file(scalarHeader(`"shape":[${huge}],"data_offsets":[0,${huge}]`), 4),
      elsewhere('0,36028797018963964', `0,${huge}`)],
    ['overflow before a zero', file(scalarHeader(`"shape":[${huge},0],"data_offsets":[0,0]`)),
      elsewhere('0,Infinity', '0,0')],
    ['overflow between zeros', file(scalarHeader(`"shape":[${huge},${huge},${huge},0],"data_offsets":[0,0]`)),
      elsewhere('0,Infinity', '0,0')],
    ['shape larger than the data', file(scalarHeader('"shape":[2]'), 4), elsewhere('0,8', '0,4')],
    ['shape smaller than the data', file(scalarHeader('"shape":[0]'), 4), elsewhere('0,0', '0,4')],
    ['end before begin', file(scalarHeader('"data_offsets":[4,0]'), 4), elsewhere('0,4', '4,0')],
    ['hole before the first', file(scalarHeader('"data_offsets":[4,8]'), 8), elsewhere('0,4', '4,8')],
    ['hole', file(`{${scalar('a', '[0,4]')},${scalar('b', '[5,9]')}}`, 9), elsewhere('4,8', '5,9', 'b')],
    ['overlap', file(`{${scalar('a', '[0,4]')},${scalar('b', '[2,6]')}}`, 6), elsewhere('4,8', '2,6', 'b')],
    ['the same data', file(`{${scalar('a', '[0,4]')},${scalar('b', '[0,4]')}}`, 4), elsewhere('4,8', '0,4', 'b')],
    ['tensor within another', file('{"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},'
      + '"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}', 6), elsewhere('0,1', '2,3', 'b')],
    ['offsets out of the file', file(scalarHeader('"shape":[16],"data_offsets":[0,64]'), 4),
      /^safetensors: data length must be 64, got 4$/],
    ['offsets far out of the file', file('{"a":{"dtype":"U8","shape":[9007199254740991],'
      + '"data_offsets":[0,9007199254740991]}}', 4), /^safetensors: data length must be 9007199254740991, got 4$/],
    ['data that no tensor has', file('{}', 1), /^safetensors: data length must be 0, got 1$/],
  ];
  for (const [name, bytes, message] of lies) {
    assert.throws(() => readSafetensors(bytes), { name: 'RangeError', message }, name);
  }
});

test('a long name does not make a long message', () => {
  const name = 'x'.repeat(100_000);
  const isShort = (/** @type {Error} */ error) => error.message.startsWith('safetensors: ') && error.message.length < 300;
  const texts = [`{"${name}":{}}`, `{"a":"${name}"}`, `{"__metadata__":{"a":"${name}","b":1}}`, name];
  for (const text of texts) assert.throws(() => readSafetensors(file(text)), isShort);
});

test('a header may be long', () => {
  const note = '\\"'.repeat(1_000_000);
  const tensors = new Map(Array.from({ length: 5_000 }, (_, i) => [`${i}`, { shape: [1], data: Uint8Array.of(i) }]));
  const back = readSafetensors(writeSafetensors(tensors, { note }));
  assert.ok(back.metadata.note === note);
  assert.deepEqual([...back.tensors.keys()], [...tensors.keys()].sort());
});

test('what comes from another realm is taken like what is from here', () => {
  const tensors = runInNewContext('new Map([["w", { shape: [2], data: Float32Array.of(1, 2) }]])');
  const written = writeSafetensors(tensors, runInNewContext('({ note: "x" })'));
  assert.deepEqual(written, writeSafetensors({ w: { shape: [2], data: Float32Array.of(1, 2) } }, { note: 'x' }));
  for (const kind of ['Uint8Array', 'ArrayBuffer']) {
    const bytes = runInNewContext(`const bytes = Uint8Array.from(written); bytes.${kind === 'ArrayBuffer' ? 'buffer' : 'subarray()'}`,
      { written: [...written] });
    assert.deepEqual(readSafetensors(bytes).tensors.get('w')?.shape, [2], kind);
  }
});

test('the reader wants bytes', () => {
  for (const wrong of [undefined, null, 'text', [1, 2], new Float32Array(8), new DataView(new ArrayBuffer(8)), {}]) {
    assert.throws(() => readSafetensors(/** @type {any} */ (wrong)),
      { name: 'TypeError', message: /^safetensors: file must be Uint8Array or ArrayBuffer, got "\w+"$/ });
  }
});

test('the writer refuses what cannot be read back', () => {
  const data = new Float32Array(2);
  const good = { shape: [2], data };
  const notJson = /^safetensors: header must be JSON with unique keys and plain integers, got /;
  const notTensor = /^safetensors: tensor "w" must be \{ dtype, shape, data_offsets \}, dtype of U64,.*,BOOL, got \{/;
  /** @type {[unknown, unknown, string, RegExp][]} */
  const wrong = [
    [null, undefined, 'TypeError', /^safetensors: tensors must be Map or Object, got "Null"$/],
    [7, undefined, 'TypeError', /^safetensors: tensors must be Map or Object, got "Number"$/],
    [[good], undefined, 'TypeError', /^safetensors: tensors must be Map or Object, got "Array"$/],
    [new Map([[1, good]]), undefined, 'TypeError', /^safetensors: name must be String, got "Number"$/],
    [new Map([[null, good]]), undefined, 'TypeError', /^safetensors: name must be String, got "Null"$/],
    [{ __metadata__: good }, undefined, 'RangeError', /^safetensors: metadata must be strings, got \{"dtype":/],
    [{ __metadata__: good }, { a: 'b' }, 'RangeError', notJson],
    [{ '\ud800': good }, undefined, 'RangeError', notJson],
    [{ w: data }, undefined, 'TypeError', /^safetensors: tensor "w" must be array of U64,.*,BOOL, got "Undefined"$/],
    [{ w: null }, undefined, 'TypeError', /^safetensors: tensor "w" must be array of U64,.*,BOOL, got "Undefined"$/],
    [{ w: { ...good, dType: 'F32' } }, undefined, 'RangeError', notTensor],
    [{ w: { shape: [2], data: [1, 2] } }, undefined, 'TypeError', /^safetensors: tensor "w" must be array .* got "Array"$/],
    [{ w: { shape: [2], data: new Uint8ClampedArray(2) } }, undefined, 'TypeError', /must be array .* "Uint8ClampedArray"$/],
    [{ w: { shape: [2], data: new DataView(new ArrayBuffer(2)) } }, undefined, 'TypeError', /must be array .* "DataView"$/],
    [{ w: { data } }, undefined, 'RangeError', notTensor],
    [{ w: { shape: 2, data } }, undefined, 'RangeError', notTensor],
    [{ w: { shape: ['2'], data } }, undefined, 'RangeError', notTensor],
    [{ w: { shape: [-2], data } }, undefined, 'RangeError', notTensor],
    [{ w: { shape: [2.5], data } }, undefined, 'RangeError', notTensor],
    [{ w: { shape: [NaN], data } }, undefined, 'RangeError', notTensor],
    [{ w: { shape: [3], data } }, undefined, 'RangeError', /^safetensors: tensor "w" must be at data_offsets 0,12, got \[0,8\]$/],
    [{ w: { shape: [], data } }, undefined, 'RangeError', /^safetensors: tensor "w" must be at data_offsets 0,4, got \[0,8\]$/],
    [{ w: { ...good, dtype: 'float32' } }, undefined, 'TypeError', /^safetensors: tensor "w" must be array of U64,/],
    [{ w: { ...good, dtype: 'I32' } }, undefined, 'TypeError', /^safetensors: tensor "w" must be Int32Array, got "Float32A/],
    [{ w: { dtype: 'F8', shape: [1], data: new Uint8Array(1) } }, undefined, 'TypeError', /must be array of U64,/],
    [{ w: good }, null, 'TypeError', /^safetensors: metadata must be strings, got null$/],
    [{ w: good }, ['a'], 'TypeError', /^safetensors: metadata must be strings, got \["a"\]$/],
    [{ w: good }, new Map([['a', 'b']]), 'TypeError', /^safetensors: metadata must be strings, got \{\}$/],
    [{ w: good }, { a: 1 }, 'TypeError', /^safetensors: metadata must be strings, got \{"a":1\}$/],
    [{ w: good }, { a: undefined }, 'TypeError', /^safetensors: metadata must be strings, got \{\}$/],
    [{ w: good }, { a: '\udfff' }, 'RangeError', notJson],
    [{ w: good }, { '\udfff': 'a' }, 'RangeError', notJson],
    [{}, { a: 'x'.repeat(100_000_000) }, 'RangeError', /^safetensors: header length must be at most 100000000, got 100000032$/],
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
