/**
 * Tensors in another program's memory: its allocator alone takes and gives space, it alone grows, and training gives the
 * bits of the default memory.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Memory, RMSprop, indexedSlices, tensor, tensorAt, variable, zeros } from 'rmsprop-wasm';
import { RMSprop as TorchRMSprop } from 'rmsprop-wasm/torch';
import { rmsprop } from 'rmsprop-wasm/optax';

const PAGE = 65536;
const { grow } = WebAssembly.Memory.prototype;

/**
 * Another program: a memory that only itself may grow, and an allocator that hands out blocks which are aligned to 8
 * bytes and no more, filled with rubbish.
 *
 * @param {{ pages?: number, growing?: boolean }} [options] growing: takes a page at each allocation
 */
function program({ pages = 1, growing = false } = {}) {
  const wasmMemory = new WebAssembly.Memory({ initial: pages });
  wasmMemory.grow = () => assert.fail('grown by somebody else than its owner');
  /** @type {Map<number, number>} */
  const blocks = new Map();
  let next = 8;
  const own = {
    wasmMemory,
    blocks,
    /** How many allocations succeed before one fails. */
    left: Infinity,
    grow: () => grow.call(wasmMemory, 1),
    /** @type {(bytes: number) => number} */
    allocate(bytes) {
      if (growing) own.grow();
      if (own.left-- <= 0 || next + bytes > wasmMemory.buffer.byteLength) return 0;
      const address = next;
      next += bytes + (bytes % 16 === 0 ? 24 : 16); // the next is at 8 more than a multiple of 16 again
      new Uint8Array(wasmMemory.buffer, address, bytes).fill(0xa5);
      blocks.set(address, bytes);
      return address;
    },
    /** @type {(address: number) => void} */
    free: (address) => assert.ok(blocks.delete(address), `no block at ${address}`),
  };
  const { allocate, free } = own;
  return Object.assign(own, { memory: new Memory({ memory: wasmMemory, allocate, free }) });
}

const SIZES = [[3], [5, 7], [67]];
const valuesOf = (/** @type {readonly number[]} */ shape, /** @type {number} */ seed) =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.7 + seed));

/**
 * @param {Memory} memory
 * @param {ConstructorParameters<typeof RMSprop>[0]} options
 * @param {(step: number) => void} [between] called before each step
 * @returns {Float32Array[]} the weights and all state, after ten steps by arrays, tensors and rows
 */
function train(memory, options, between = () => {}) {
  const variables = SIZES.map((shape, i) => variable(valuesOf(shape, i), { shape, memory }));
  const optimizer = new RMSprop(options);
  for (let step = 0; step < 10; step++) {
    between(step);
    const gradients = variables.map(({ shape }, i) => valuesOf(shape, step * 3 + i));
    if (step % 3 === 0) optimizer.apply([...gradients], variables);
    else if (step % 3 === 1) {
      variables.forEach((v, i) => v.gradientBuffer().set(gradients[i]));
      optimizer.step();
    } else {
      const place = tensor(gradients[0], { memory });
      optimizer.apply([place, indexedSlices(gradients[1].slice(0, 14), [4, 4]), gradients[2]], variables);
      place.dispose();
    }
  }
  const state = [...variables, ...optimizer.variables].map(({ data }) => /** @type {Float32Array} */ (data.slice()));
  optimizer.dispose();
  for (const v of variables) v.dispose();
  return state;
}

for (const options of [{}, { momentum: 0.9, centered: true, globalClipnorm: 1 }, { useEma: true, weightDecay: 0.01, clipnorm: 0.5 }]) {
  test(`training in another program's memory gives the bits of the default memory: ${JSON.stringify(options)}`, () => {
    const expected = train(Memory.default, options);
    const still = program();
    assert.deepEqual(train(still.memory, options), expected);
    assert.equal(still.blocks.size, 0, 'everything was given back');
    assert.equal(still.memory.bytesInUse, 0);
    assert.equal(still.memory.tensorCount, 0);
    assert.equal(still.wasmMemory.buffer.byteLength, PAGE);

    const between = program();
    assert.deepEqual(train(between.memory, options, () => between.grow()), expected, 'its owner grows it between steps');
    const within = program({ growing: true });
    assert.deepEqual(train(within.memory, options), expected, 'its owner grows it at each allocation');
  });
}

test('an allocation that fails, whichever it is, leaves weights, slots and memory as they were, and nothing grows', () => {
  const options = { momentum: 0.9, centered: true, useEma: true };
  const gradients = SIZES.map((shape) => valuesOf(shape, 9));
  const run = (/** @type {Memory} */ memory, /** @type {(act: () => void) => void} */ attempt) => {
    const variables = SIZES.map((shape, i) => variable(valuesOf(shape, i), { shape, memory }));
    const optimizer = new RMSprop(options);
    attempt(() => optimizer.build(variables));
    attempt(() => optimizer.apply([...gradients], variables));
    const bits = variables.map(({ data }) => data.slice());
    assert.equal(optimizer.iterations, 1);
    optimizer.dispose();
    for (const v of variables) v.dispose();
    return bits;
  };
  const expected = run(Memory.default, (act) => act());
  let failures = 0;
  const other = program();
  const bits = run(other.memory, (act) => {
    for (let after = 0; ; after++) {
      const weights = [...other.blocks].slice(0, 3).map(([at, bytes]) => new Uint8Array(other.wasmMemory.buffer.slice(at, at + bytes)));
      const { tensorCount, bytesInUse } = other.memory;
      const blocks = [...other.blocks.keys()];
      other.left = after;
      try {
        act();
        return;
      } catch (error) {
        assert.ok(error instanceof RangeError && /^memory exhausted: \d+ bytes requested of its owner/.test(error.message), `${error}`);
        failures++;
        const now = [...other.blocks].slice(0, 3).map(([at, length]) => new Uint8Array(other.wasmMemory.buffer, at, length));
        assert.deepEqual(now, weights);
        assert.deepEqual([...other.blocks.keys()], blocks);
        assert.deepEqual([other.memory.tensorCount, other.memory.bytesInUse], [tensorCount, bytesInUse]);
      } finally {
        other.left = Infinity;
      }
    }
  });
  assert.equal(failures, 4 * 3 + 1 + 3, 'each of the slots, the structs, and gradient buffers');
  assert.deepEqual(bits, expected);
  assert.equal(other.blocks.size, 0);
  assert.throws(() => zeros([PAGE], { memory: other.memory }), /^RangeError: memory exhausted: 262144 bytes requested of its owner/);
  assert.throws(() => zeros([2 ** 30], { memory: other.memory }), /^RangeError: memory exhausted: 4294967296 bytes/);
  assert.equal(other.wasmMemory.buffer.byteLength, PAGE);
});

test('what its owner throws comes through, and nothing has changed', () => {
  const { wasmMemory } = program();
  const cause = new Error('no more');
  const memory = new Memory({ memory: wasmMemory, allocate: () => { throw cause; }, free: () => {} });
  assert.throws(() => zeros([3], { memory }), cause);
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], [0, 0]);
});

for (const [returned, name, message] of /** @type {[any, string, string][]} */ ([
  [undefined, 'TypeError', 'an integer in [-2147483648, 4294967295], got undefined'],
  [8n, 'TypeError', 'an integer in [-2147483648, 4294967295], got 8n'],
  ['8', 'TypeError', 'an integer in [-2147483648, 4294967295], got "8"'],
  [NaN, 'RangeError', 'an integer in [-2147483648, 4294967295], got NaN'],
  [2 ** 32, 'RangeError', 'an integer in [-2147483648, 4294967295], got 4294967296'],
  [12, 'RangeError', 'a multiple of 8 in [8, 65520], got 12'],
  [65528, 'RangeError', 'a multiple of 8 in [8, 65520], got 65528'],
  [-8, 'RangeError', 'a multiple of 8 in [8, 65520], got -8'],
])) {
  test(`an allocate that returns ${String(returned)} (${typeof returned}) is refused, and what can be is given back`, () => {
    /** @type {number[]} */
    const freed = [];
    const memory = new Memory({
      memory: new WebAssembly.Memory({ initial: 1 }), allocate: () => returned, free: (address) => freed.push(address),
    });
    assert.throws(() => zeros([3], { memory }), { name, message: `what allocate(16) returns must be ${message}` });
    assert.deepEqual([memory.bytesInUse, memory.tensorCount], [0, 0]);
    assert.deepEqual(freed, message.startsWith('a multiple') ? [returned >>> 0] : []);
  });
}

test('an allocate that returns the same block twice is refused', () => {
  const memory = new Memory({ memory: new WebAssembly.Memory({ initial: 1 }), allocate: () => 16, free: () => {} });
  const first = tensor([1, 2], { memory });
  assert.throws(() => zeros([2], { memory }), {
    name: 'RangeError', message: 'what allocate(8) returns must be a block that is not in use, got 16',
  });
  assert.deepEqual(first.toArray(), [1, 2]);
  assert.equal(memory.bytesInUse, 8);
});

test('addresses above 2 GiB, which WebAssembly returns as negative numbers, are right', (t) => {
  let wasmMemory;
  try {
    wasmMemory = new WebAssembly.Memory({ initial: 2 ** 15 + 1 });
  } catch (error) {
    t.skip(`no room for 2 GiB: ${error}`);
    return;
  }
  let next = -(2 ** 31);
  /** @type {number[]} */
  const freed = [];
  const memory = new Memory({
    memory: wasmMemory, allocate: (bytes) => (next += bytes) - bytes, free: (address) => freed.push(address | 0),
  });
  const v = variable([10], { memory });
  const optimizer = new RMSprop({ learningRate: 0.1 });
  optimizer.apply([[10]], [v]);
  assert.equal(v.byteOffset, 2 ** 31);
  assert.equal(v.data[0].toFixed(6), '9.683772');
  optimizer.dispose();
  v.dispose();
  assert.ok(freed.includes(-(2 ** 31)));
});

test('in a shared memory a step gives the same bits', () => {
  const train = (/** @type {Memory} */ memory) => {
    const v = variable(Array.from({ length: 37 }, (_, i) => i - 18), { memory });
    const optimizer = new RMSprop({ learningRate: 0.1, momentum: 0.9, centered: true, globalClipnorm: 1, useEma: true });
    for (let step = 0; step < 3; step++) optimizer.apply([v.toArray()], [v]);
    const [values, average] = [v.data.slice(), optimizer.getSlot(v, 'average')?.data.slice()];
    optimizer.dispose();
    v.dispose();
    return { values, average };
  };
  const shared = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true });
  let next = 64;
  const memory = new Memory({ memory: shared, allocate: (bytes) => (next += bytes) - bytes, free: () => {} });
  assert.deepEqual(train(memory), train(new Memory()));
  assert.ok(memory.buffer instanceof SharedArrayBuffer);
});

test('options of the wrong kind are refused by name', () => {
  const own = { memory: new WebAssembly.Memory({ initial: 1 }), allocate: () => 8, free: () => {} };
  for (const [wrong, message] of /** @type {[any, string][]} */ ([
    [{ memory: new ArrayBuffer(8) }, 'memory must be a WebAssembly.Memory, got ArrayBuffer'],
    [{ memory: undefined }, 'memory must be a WebAssembly.Memory, got undefined'],
    [{ memory: new Memory() }, 'memory must be a WebAssembly.Memory, got Memory'],
    [{ allocate: undefined }, 'allocate must be of type function, got undefined'],
    [{ free: 5 }, 'free must be of type function, got 5'],
    [{ initialBytes: PAGE }, 'initialBytes cannot be chosen together with memory, got 65536'],
    [{ maximumBytes: PAGE }, 'maximumBytes cannot be chosen together with memory, got 65536'],
    [{ alocate: own.allocate }, 'Memory has no option "alocate"; did you mean "allocate"?'],
  ])) assert.throws(() => new Memory({ ...own, ...wrong }), { name: 'TypeError', message });
  assert.throws(() => new Memory(/** @type {any} */ ({ allocate: own.allocate, free: own.free })), TypeError);
});

test('tensorAt is the bytes that are there: reads and writes go through, dispose frees nothing', () => {
  const other = program();
  const { memory } = other;
  new Float32Array(other.wasmMemory.buffer, 4096, 4).set([1, 2, 3, 4]);
  const at = tensorAt(memory, 4096, [2, 2]);
  assert.deepEqual([at.toArray(), at.shape, at.dtype, at.byteOffset, at.memory], [[[1, 2], [3, 4]], [2, 2], 'float32', 4096, memory]);
  at.set([5, 6, 7, 8]);
  const old = at.data;
  other.grow();
  assert.equal(old.length, 0);
  assert.deepEqual([...new Float32Array(other.wasmMemory.buffer, 4096, 4)], [5, 6, 7, 8]);
  assert.deepEqual(at.toArray(), [[5, 6], [7, 8]], 'right after growth');
  const beyond = tensorAt(memory, PAGE, []);
  beyond.set(3);
  assert.equal(new Float32Array(other.wasmMemory.buffer)[PAGE / 4], 3, 'in the new page');

  assert.deepEqual([memory.tensorCount, memory.bytesInUse], [0, 0]);
  at.dispose();
  at.dispose();
  assert.throws(() => at.data, /variable "tensor_4096" is disposed/);
  assert.deepEqual([...new Float32Array(other.wasmMemory.buffer, 4096, 4)], [5, 6, 7, 8]);

  const doubles = tensorAt(memory, 4096, [2], { dtype: 'float64' });
  assert.deepEqual([...doubles.data], [...new Float64Array(other.wasmMemory.buffer, 4096, 2)]);
  assert.ok(tensorAt(memory, 4100, [3], { dtype: 'int32' }).data instanceof Int32Array);
  const mine = tensor([1, 2, 3]);
  assert.deepEqual(tensorAt(Memory.default, mine.byteOffset + 4, [2]).toArray(), [2, 3], 'also in a memory of ours');
});

test('tensorAt refuses what is no place', () => {
  const { memory } = program();
  for (const [args, name, message] of /** @type {[any, string, string][]} */ ([
    [[undefined, 64, [1]], 'TypeError', 'memory must be a Memory, got undefined'],
    [[memory.wasmMemory, 64, [1]], 'TypeError', 'memory must be a Memory, got Memory'],
    [[memory, '64', [1]], 'TypeError', 'byteOffset must be a multiple of 4 in [4, 65532], got "64"'],
    [[memory, NaN, [1]], 'RangeError', 'byteOffset must be a multiple of 4 in [4, 65532], got NaN'],
    [[memory, 0, [1]], 'RangeError', 'byteOffset must be a multiple of 4 in [4, 65532], got 0'],
    [[memory, -4, [1]], 'RangeError', 'byteOffset must be a multiple of 4 in [4, 65532], got -4'],
    [[memory, 66, [1]], 'RangeError', 'byteOffset must be a multiple of 4 in [4, 65532], got 66'],
    [[memory, 65532, [2]], 'RangeError', 'byteOffset must be a multiple of 4 in [4, 65528], got 65532'],
    [[memory, 68, [1], { dtype: 'float64' }], 'RangeError', 'byteOffset must be a multiple of 8 in [8, 65528], got 68'],
    [[memory, 4, [128, 128]], 'RangeError', 'shape must be of an array within 65536 bytes, got "[128,128]"'],
    [[memory, 4, [1.5]], 'RangeError', 'shape must be an integer in [0, 9007199254740991], got 1.5'],
    [[memory, 4, 3], 'TypeError', 'shape must be an array, got 3'],
    [[memory, 4, [1], { dtype: 'int8' }], 'TypeError', 'dtype must be one of float32,float64,int32, got "int8"'],
    [[memory, 4, [1], { memory }], 'TypeError', 'tensorAt has no option "memory"; it has dtype, name'],
  ])) assert.throws(() => tensorAt(.../** @type {Parameters<typeof tensorAt>} */ (args)), { name, message });
  assert.equal(tensorAt(memory, 65532, [1]).size, 1, 'the last that fits');
});

test('every façade works there: torch with variables, optax in place on the weights of the other program', () => {
  const other = program({ pages: 2 });
  const start = [1, -2, 3];
  const stepTorch = (/** @type {Memory} */ memory) => {
    const v = variable(start, { memory });
    const optimizer = new TorchRMSprop([v], { lr: 0.1, momentum: 0.9 });
    for (let step = 0; step < 3; step++) {
      v.gradient = v.data;
      optimizer.step();
    }
    return v.data.slice();
  };
  assert.deepEqual(stepTorch(other.memory), stepTorch(Memory.default));

  const [weights, gradients] = [4096, 8192].map((at) => new Float32Array(other.wasmMemory.buffer, PAGE + at, 3));
  const optimizer = rmsprop({ learningRate: 0.1, momentum: 0.9 });
  weights.set(start);
  const params = tensorAt(other.memory, weights.byteOffset, [3]);
  const grads = tensorAt(other.memory, gradients.byteOffset, [3]);
  const reference = tensor(start);
  let [state, expected] = [optimizer.init(params), optimizer.init(reference)];
  for (let step = 0; step < 3; step++) {
    gradients.set(weights);
    state = optimizer.step(grads, state, params);
    expected = optimizer.step(tensor(reference), expected, reference);
  }
  assert.deepEqual(weights, reference.data);
});

test('two objects for one memory run on it, and a tensor belongs to its own', () => {
  const other = program();
  const second = new Memory({ memory: other.wasmMemory, allocate: other.allocate, free: other.free });
  const [a, b] = [variable([10], { memory: other.memory }), variable([10], { memory: second })];
  for (const v of [a, b]) new RMSprop({ learningRate: 0.1 }).apply([[10]], [v]);
  assert.deepEqual(a.data, b.data);
  assert.throws(() => { a.gradient = zeros([1], { memory: second }); }, /gradient of variable .* must be in the memory of the variable/);
  assert.throws(() => new RMSprop().build([a, b]), /in the memory of/);
});

/** A program with a heap, weights and a gradient of its own: of the sum of (w - i)² / 2. */
const C = `
#include <stdlib.h>
#define KEEP(name) __attribute__((export_name(name)))
static float gradients[1000];
KEEP("gradients") float *gradients_of(const float *weights) {
  for (int i = 0; i < 1000; i++) gradients[i] = weights[i] - (float)i;
  return gradients;
}
KEEP("allocate") void *allocate(size_t bytes) { return malloc(bytes); }
KEEP("release") void release(void *block) { free(block); }
`;

test('a program compiled by Emscripten: weights from its malloc, gradients of its own, growth by its malloc', (t) => {
  if (spawnSync('emcc', ['--version']).error) {
    t.skip('there is no Emscripten: emcc');
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'own-memory-'));
  try {
    writeFileSync(join(folder, 'program.c'), C);
    execFileSync('emcc', ['-O1', '--no-entry', '-sSTANDALONE_WASM', '-sALLOW_MEMORY_GROWTH', '-sINITIAL_MEMORY=131072',
      '-sTOTAL_STACK=16384', join(folder, 'program.c'), '-o', join(folder, 'program.wasm')], { stdio: 'pipe' });
    const module = new WebAssembly.Module(readFileSync(join(folder, 'program.wasm')));
    const imports = /** @type {WebAssembly.Imports} */ ({});
    for (const { module: from, name } of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
    const exports = /** @type {any} */ (new WebAssembly.Instance(module, imports).exports);
    exports._initialize?.();
    const { memory: wasmMemory, allocate, release } = exports;
    wasmMemory.grow = () => assert.fail('grown by somebody else than its owner');

    const memory = new Memory({ memory: wasmMemory, allocate, free: release });
    const options = { learningRate: 0.5, momentum: 0.5, centered: true, globalClipnorm: 10 };
    const [theirs, ours] = [variable(new Float32Array(1000), { memory }), variable(new Float32Array(1000))];
    const [inTheirs, inOurs] = [new RMSprop(options), new RMSprop(options)];
    const before = wasmMemory.buffer.byteLength;
    for (let step = 0; step < 50; step++) {
      theirs.gradient = tensorAt(memory, exports.gradients(theirs.byteOffset), [1000]);
      inTheirs.apply([theirs.gradient], [theirs]);
      inOurs.apply([ours.data.map((w, i) => w - i)], [ours]);
      assert.deepEqual(theirs.data, ours.data, `step ${step}`);
      if (step % 10 === 0) assert.notEqual(allocate(50000), 0);
    }
    assert.ok(wasmMemory.buffer.byteLength > before, 'it has grown');
    assert.deepEqual(inTheirs.variables.slice(2).map(({ data }) => data), inOurs.variables.slice(2).map(({ data }) => data));
    assert.ok(theirs.data[3] !== 0, 'it has trained');
    // 2 ** 32 bytes, of which a malloc of WebAssembly would see 0.
    assert.throws(() => zeros([2 ** 30], { memory }), /^RangeError: memory exhausted: 4294967296 bytes requested of its owner/);
    inTheirs.dispose();
    theirs.dispose();
    assert.equal(memory.bytesInUse, 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
