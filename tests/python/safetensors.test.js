import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { readSafetensors, writeSafetensors } from '../../js/safetensors.js';
import { hostileFile } from '../hostile-files.js';
import { python, skipWithoutPython } from './python.js';

/** @typedef {import('../../js/safetensors.js').Safetensor} Safetensor */
/** @typedef {[name: string, dtype: string, shape: number[], data: string]} PythonTensor */
/** @typedef {{ metadata: Record<string, string> | null, tensors: PythonTensor[], written: string }} PythonFile */

/**
 * @param {Uint8Array[]} files
 * @returns {(PythonFile | null)[]} what Python's safetensors makes of each
 */
function askPython(files) {
  const input = JSON.stringify(files.map(base64));
  const script = fileURLToPath(new URL('safetensors_peer.py', import.meta.url));
  const { status, stdout, stderr } = spawnSync(python, [script], { input, encoding: 'utf8', maxBuffer: 2 ** 28 });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/**
 * @param {ArrayBufferView} view
 * @returns {string} its bytes
 */
function base64({ buffer, byteOffset, byteLength }) {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

/**
 * @param {Map<string, Safetensor>} tensors
 * @returns {PythonTensor[]} the same, as the Python script tells them
 */
function asPython(tensors) {
  return [...tensors].map(([name, { dtype, shape, data }]) => [name, dtype, shape, base64(data)]);
}

/**
 * @param {number} seed
 * @returns {(below: number) => number} pseudo-random integers (a linear congruential generator, its upper bits)
 */
function randomIntegers(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const kinds = /** @type {[any, Safetensor['dtype']][]} */ ([
  [BigUint64Array, 'U64'], [BigInt64Array, 'I64'], [Float64Array, 'F64'], [Float32Array, 'F32'], [Uint32Array, 'U32'],
  [Int32Array, 'I32'], [Uint16Array, 'BF16'], [Uint16Array, 'F16'], [Uint16Array, 'U16'], [Int16Array, 'I16'],
  [Int8Array, 'I8'], [Uint8Array, 'U8'], [Uint8Array, 'BOOL'],
]);

/**
 * @param {(below: number) => number} random
 * @param {string[]} names
 * @returns {Map<string, Safetensor>} a tensor for each, of any dtype, shape and bits
 */
function randomTensors(random, names) {
  return new Map(names.map((name) => {
    const [Data, dtype] = kinds[random(kinds.length)];
    const shape = Array.from({ length: random(4) }, () => random(5));
    const count = shape.reduce((product, size) => product * size, 1);
    const below = dtype === 'BOOL' ? 2 : 256;
    const bytes = Uint8Array.from({ length: count * Data.BYTES_PER_ELEMENT }, () => random(below));
    return [name, { dtype, shape, data: new Data(bytes.buffer) }];
  }));
}

const awkwardNames = ['', ' ', '"', '\\', '\0', '\n', '\x1f', '\x7f', '/', 'a', 'a.b', 'é', 'e\u0301', '\u2028',
  '\uffee', '\u{1f600}', '\u{10ffff}', '__proto__', 'constructor', '{}', '0', '00', '-1'];

test('Python reads what we write, and writes the same bytes', { skip: skipWithoutPython }, (t) => {
  const seed = 2026;
  t.diagnostic(`seed ${seed}`);
  const random = randomIntegers(seed);
  const numbered = Array.from({ length: 300 }, (_, i) => `layer_${i}/kernel`);
  /** @type {{ tensors: Map<string, Safetensor>, metadata?: Record<string, string> }[]} */
  const cases = [
    { tensors: new Map() },
    { tensors: new Map(), metadata: { only: 'metadata' } },
    { tensors: randomTensors(random, ['one']), metadata: {} },
    { tensors: randomTensors(random, awkwardNames), metadata: { 'é"\\\n\u2028': '\x7f\u{1f600}\0' } },
    ...Array.from({ length: 40 }, () => ({ tensors: randomTensors(random, numbered), metadata: { config: '{}' } })),
  ];
  const files = cases.map(({ tensors, metadata }) => writeSafetensors(tensors, metadata));
  for (const [i, answer] of askPython(files).entries()) {
    assert.ok(answer, `case ${i} is refused by Python`);
    assert.equal(answer.written, base64(files[i]), `case ${i}`);
    assert.deepEqual(answer.metadata, cases[i].metadata ?? null, `case ${i}`);
    const byName = new Map(answer.tensors.map((tensor) => [tensor[0], tensor]));
    for (const tensor of asPython(cases[i].tensors)) assert.deepEqual(byName.get(tensor[0]), tensor, `case ${i}`);
    assert.equal(byName.size, cases[i].tensors.size);
  }
});

test('what Python refuses is refused, what we read Python reads alike', { skip: skipWithoutPython }, (t) => {
  const seed = 7;
  t.diagnostic(`seed ${seed}`);
  const random = randomIntegers(seed);
  const file = writeSafetensors(randomTensors(random, ['a', 'b', 'c', 'd']), { note: 'x' });
  // Mostly within the header, mostly by what means something there.
  const meaningful = [...Buffer.from('{}[]:,"\\ \t019-.eFIUabcd\0\xff', 'latin1')];
  const mutants = Array.from({ length: 4000 }, () => {
    const mutant = [...file];
    for (let changes = 1 + random(2); changes > 0; changes--) {
      const at = random(random(4) === 0 ? 8 : mutant.length);
      const byte = random(4) === 0 ? random(256) : meaningful[random(meaningful.length)];
      const [removed, added] = [[1, [byte]], [1, []], [0, [byte]]][random(10) < 8 ? 0 : 1 + random(2)];
      mutant.splice(at, /** @type {number} */ (removed), .../** @type {number[]} */ (added));
    }
    return Uint8Array.from(mutant);
  });
  let read = 0;
  for (const [i, answer] of askPython(mutants).entries()) {
    let ours;
    try {
      ours = readSafetensors(mutants[i]);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      continue;
    }
    read++;
    const message = `mutant ${i}: ${Buffer.from(mutants[i]).toString('latin1')}`;
    assert.ok(answer, message);
    assert.deepEqual(asPython(ours.tensors).sort(), answer.tensors.sort(), message);
    assert.deepEqual(ours.metadata, answer.metadata ?? {}, message);
  }
  t.diagnostic(`${read} of ${mutants.length} mutants are readable`);
  assert.ok(read > 100);
});

test('of hostile files we read none that Python refuses, and those that both read alike', { skip: skipWithoutPython }, (t) => {
  const seed = 20261124;
  const files = fc.sample(hostileFile, { seed, numRuns: 4000 });
  t.diagnostic(`seed ${seed}`);
  let both = 0;
  /** Why we refuse what Python reads. @type {Map<string, number>} */
  const reasons = new Map();
  for (const [i, answer] of askPython(files).entries()) {
    const message = `file ${i}: ${Buffer.from(files[i]).toString('latin1').slice(0, 500)}`;
    let ours;
    try {
      ours = readSafetensors(files[i]);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      if (!answer) continue;
      const reason = ['JSON with unique keys', '__metadata__', 'dtype of'].find((text) => error.message.includes(text)) ?? error.message;
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      continue;
    }
    assert.ok(answer, message);
    both++;
    assert.deepEqual(asPython(ours.tensors).sort(), answer.tensors.sort(), message);
    assert.deepEqual(ours.metadata, answer.metadata ?? {}, message);
  }
  t.diagnostic(`${both} of ${files.length} are read by both; by Python alone: ${JSON.stringify([...reasons])}`);
  assert.ok(both > 100);
  const known = ['JSON with unique keys', 'dtype of'];
  assert.deepEqual([...reasons.keys()].filter((reason) => !known.includes(reason)), []);
});
