/**
 * Readers of files, fed with lies (tests/hostile-files.js): they refuse by a RangeError or read, allocate no more than
 * the file justifies, and change nothing. FUZZ_RUNS is how many files of each kind, default 5 000; FUZZ_SEED another
 * seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RMSprop, readSafetensors, variable, writeSafetensors } from 'rmsprop-wasm';
import { RMSprop as LegacyRMSprop } from 'rmsprop-wasm/legacy';
import { loadState, rmsprop, saveState } from 'rmsprop-wasm/optax';
import * as torch from 'rmsprop-wasm/torch';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';
import { corpus, fileOf, hostileFile } from '../hostile-files.js';

const numRuns = Number(process.env.FUZZ_RUNS ?? 5000);
const seed = Number(process.env.FUZZ_SEED ?? 20261124);

/**
 * @param {Uint8Array} file
 * @returns {ReturnType<typeof readSafetensors> | undefined} undefined where it is refused, as it should be
 */
function read(file) {
  try {
    return readSafetensors(file);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    assert.match(error.message, /^safetensors: [^]* must be /);
    assert.ok(error.message.length <= 256);
    return undefined;
  }
}

test('whatever a file says, it is refused or read, and what is read is what is there', (t) => {
  t.diagnostic(`seed ${seed}, ${numRuns} files`);
  let accepted = 0;
  fc.assert(fc.property(hostileFile, (file) => {
    const before = file.slice();
    const result = read(file);
    assert.deepEqual(file, before);
    if (!result) return;
    accepted++;
    const buffers = new Set();
    let total = 0;
    for (const { shape, data } of result.tensors.values()) {
      assert.equal(data.length, shape.reduce((product, length) => product * length, 1));
      total += data.byteLength;
      if (data.buffer !== file.buffer) buffers.add(data.buffer);
    }
    assert.ok(total <= file.length - 8, 'no two tensors share a byte');
    assert.ok([...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0) <= file.length, 'copies are of bytes that are there');
    assert.ok(Object.values(result.metadata).every((text) => typeof text === 'string'));
    // What is read can be written, and is then read alike.
    const again = readSafetensors(writeSafetensors(result.tensors, result.metadata));
    assert.deepEqual(new Map([...again.tensors].sort()), new Map([...result.tensors].sort()));
    assert.deepEqual(again.metadata, result.metadata);
  }), { seed, numRuns });
  t.diagnostic(`${accepted} of them were read`);
  assert.ok(accepted > numRuns / 100);
});

test('a header that claims gigabytes, nests a million deep or has a million members costs no more than it is long', () => {
  assert.equal(read(fileOf('{}', 0, 99_999_999n)), undefined);
  assert.equal(read(fileOf('{}', 0, (1n << 64n) - 1n)), undefined);
  for (const [open, close] of [['[', ']'], ['{"a":', '}']]) {
    assert.equal(read(fileOf(`{"a":${open.repeat(1e6)}1${close.repeat(1e6)}}`, 0)), undefined);
    assert.equal(read(fileOf(open.repeat(1e6), 0)), undefined);
  }
  const member = (/** @type {number} */ i) => `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`;
  assert.equal(read(fileOf(`{${Array.from({ length: 1e5 }, (_, i) => member(i))}}`, 0))?.tensors.size, 1e5);
  assert.equal(read(fileOf(`{${Array.from({ length: 1e5 }, () => member(1))}}`, 0)), undefined);
  assert.equal(read(fileOf(`{"a":{"dtype":"U8","shape":[${Array(1e5).fill(1)}],"data_offsets":[0,1]}}`, 1))?.tensors.size, 1);
});

/**
 * Every optimizer that loads files, its own file, and all that a file could change.
 *
 * @type {Record<string, () => { save: () => Uint8Array, load: (bytes: Uint8Array) => unknown, look: () => unknown }>}
 */
const loaders = {
  'Keras 3'() {
    const v = variable([1, 2], { name: 'w' });
    const optimizer = new RMSprop({ momentum: 0.5 });
    optimizer.apply([[1, 1]], [v]);
    return {
      save: () => optimizer.save({ variables: true }),
      load: (bytes) => optimizer.load(bytes),
      look: () => [[...v.data], optimizer.getWeights().map((list) => [...list]), v.memory.bytesInUse],
    };
  },
  'OptimizerV2'() {
    const v = variable([1, 2], { name: 'w' });
    const optimizer = new LegacyRMSprop({ momentum: 0.5 });
    const saved = new LegacyRMSprop({ momentum: 0.5 });
    saved.applyGradients([[[1, 1], v]]);
    return {
      save: () => saved.save({ variables: true }),
      load: (bytes) => optimizer.load(bytes, { variables: [v] }),
      look: () => [[...v.data], optimizer.getWeights().map((list) => [...list]), optimizer.iterations, v.memory.bytesInUse],
    };
  },
  'TensorFlow 1'() {
    const v = variable([1, 2], { name: 'w' });
    const [globalStep, optimizer, saved] = [variable(3, { dtype: 'int32' }), new RMSPropOptimizer({ learningRate: 1 }),
      new RMSPropOptimizer({ learningRate: 1 })];
    saved.applyGradients([[[1, 1], v]]);
    return {
      save: () => saved.save({ variables: true, globalStep }),
      load: (bytes) => optimizer.load(bytes, { variables: [v], globalStep }),
      look: () => [[...v.data], optimizer.variables().map(({ data }) => [...data]), globalStep.data[0], v.memory.bytesInUse],
    };
  },
  'PyTorch'() {
    const v = variable([1, 2]);
    const optimizer = new torch.RMSprop([v], { momentum: 0.5 });
    v.gradient = [1, 1];
    optimizer.step();
    return {
      save: () => torch.save(optimizer.stateDict()),
      load: (bytes) => optimizer.loadStateDict(torch.load(bytes)),
      look: () => [[...v.data], optimizer.stateDict(), v.memory.bytesInUse],
    };
  },
  'optax'() {
    const { init } = rmsprop({ learningRate: 1, momentum: 0.5 });
    const all = { params: { w: Float32Array.of(1, 2) }, state: init({ w: Float32Array.of(1, 2) }) };
    return {
      save: () => saveState(all),
      load: (bytes) => loadState(all, bytes),
      look: () => [[...all.params.w], all.state.count, [...all.state.nu.w.data], [...all.state.trace.w.data]],
    };
  },
};

/**
 * Values that JSON in a file may have in the place of others.
 *
 * @type {fc.Arbitrary<unknown>}
 */
const strange = fc.oneof(
  fc.constantFrom(null, -1, 1.5, 2 ** 31, 2 ** 53, 1e308, '', 'x', [], {}, [[]], true, { $tensor: 'x' }, { $number: 'NaN' }),
  fc.jsonValue({ maxDepth: 2 }),
);

/**
 * @param {any} json
 * @param {readonly number[]} path which child to go into at each depth
 * @param {unknown} value
 * @returns {unknown} the same with a value in the place where the path ends
 */
function replaced(json, [first, ...rest], value) {
  const keys = typeof json === 'object' && json !== null ? Object.keys(json) : [];
  if (first === undefined || keys.length === 0) return value;
  const at = keys[first % keys.length];
  const copy = Array.isArray(json) ? [...json] : { ...json };
  copy[at] = replaced(json[at], rest, value);
  return copy;
}

for (const [name, make] of Object.entries(loaders)) {
  test(`a file that is refused leaves an optimizer as it was: ${name}`, (t) => {
    const { tensors, metadata } = readSafetensors(make().save());
    const key = metadata.tree === undefined ? 'counters' : 'tree';
    let refused = 0;
    const forged = fc.oneof(
      hostileFile.filter((file) => !corpus.includes(file)),
      fc.tuple(fc.array(fc.nat(9), { maxLength: 5 }), strange).map(([path, value]) =>
        writeSafetensors(tensors, { ...metadata, [key]: JSON.stringify(replaced(JSON.parse(metadata[key]), path, value)) })),
      fc.constantFrom(...tensors.keys()).map((gone) =>
        writeSafetensors(new Map([...tensors].filter(([other]) => other !== gone)), metadata)),
      fc.string().map((text) => writeSafetensors(tensors, { ...metadata, [key]: text })),
    );
    fc.assert(fc.property(forged, (file) => {
      const { load, look } = make();
      const before = look();
      try {
        load(file);
      } catch (error) {
        refused++;
        assert.ok(error instanceof RangeError || error instanceof TypeError, `${error}`);
        assert.deepEqual(look(), before);
      }
    }), { seed, numRuns: Math.ceil(numRuns / 10) });
    t.diagnostic(`${refused} refused`);
    assert.ok(refused > numRuns / 40);
  });
}
