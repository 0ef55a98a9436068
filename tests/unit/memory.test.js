import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, RMSprop, tensor, variable, zeros } from 'rmsprop-wasm';

const PAGE = 65536;

test('blocks are aligned to 64 bytes, apart from one another, never at address 0, and counted', () => {
  const memory = new Memory();
  const offsets = [0, 1, 64, 65, 1000].map((bytes) => memory.allocate(bytes));
  assert.ok(offsets.every((offset) => offset > 0 && offset % 64 === 0), `${offsets}`);
  assert.equal(memory.bytesInUse, 64 + 64 + 64 + 128 + 1024);
  assert.equal(new Set(offsets).size, 5);
  for (const offset of offsets) memory.free(offset);
  assert.equal(memory.bytesInUse, 0);
});

test('what is freed is joined with its neighbours and used again', () => {
  const memory = new Memory({ initialBytes: PAGE, maximumBytes: PAGE });
  const blocks = Array.from({ length: 3 }, () => memory.allocate(20000));
  assert.throws(() => memory.allocate(20000), /memory exhausted: 20032 bytes requested, 60096 of at most 65536 in use/);
  memory.free(blocks[0]);
  memory.free(blocks[2]);
  memory.free(blocks[1]);
  memory.free(memory.allocate(PAGE - 64));
  assert.equal(memory.bytesInUse, 0);
});

test('a block can be freed once, and only at its start', () => {
  const memory = new Memory();
  const block = memory.allocate(128);
  for (const wrong of [block + 64, 0, -1]) assert.throws(() => memory.free(wrong), RangeError);
  memory.free(block);
  assert.throws(() => memory.free(block), { name: 'RangeError', message: /byteOffset must be the start of a block in use, got/ });
});

test('memory grows on demand up to its maximum, and an exhausted memory stays usable', () => {
  const memory = new Memory({ initialBytes: PAGE, maximumBytes: 4 * PAGE });
  const first = zeros([10], { memory });
  const large = zeros([30000], { memory });
  assert.ok(memory.buffer.byteLength > PAGE);
  const before = { bytes: memory.bytesInUse, tensors: memory.tensorCount };
  assert.throws(() => zeros([100000], { memory }), RangeError);
  assert.throws(() => memory.allocate(2 ** 40), RangeError);
  assert.deepEqual({ bytes: memory.bytesInUse, tensors: memory.tensorCount }, before);
  large.dispose();
  assert.equal(zeros([40000], { memory }).data.length, 40000);
  assert.deepEqual(first.toArray(), Array(10).fill(0));
});

test('100 000 random allocations and frees never overlap, and all space comes back whole', () => {
  const memory = new Memory({ initialBytes: PAGE, maximumBytes: 64 * PAGE });
  let seed = 42;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  /** @type {{ offset: number, bytes: number, mark: number }[]} */
  const blocks = [];
  for (let i = 0; i < 100000; i++) {
    if (blocks.length > 0 && (random() < 0.5 || blocks.length > 200)) {
      const [block] = blocks.splice(Math.floor(random() * blocks.length), 1);
      const bytes = new Uint8Array(memory.buffer, block.offset, block.bytes);
      assert.ok(bytes[0] === block.mark && bytes[block.bytes - 1] === block.mark, `block at ${block.offset}`);
      memory.free(block.offset);
    } else {
      const bytes = 1 + Math.floor(random() ** 3 * 20000);
      const block = { offset: memory.allocate(bytes), bytes, mark: i & 255 };
      new Uint8Array(memory.buffer, block.offset, bytes).fill(block.mark);
      blocks.push(block);
    }
  }
  for (const block of blocks) memory.free(block.offset);
  assert.equal(memory.bytesInUse, 0);
  assert.ok(memory.allocate(memory.buffer.byteLength - 64) > 0);
});

test('sizes that are no sizes are refused', () => {
  assert.throws(() => new Memory({ initialBytes: NaN }), { name: 'RangeError', message: /initialBytes must be .*, got NaN/ });
  assert.throws(() => new Memory({ maximumBytes: 1 }), RangeError);
  assert.throws(() => new Memory({ initialBytes: 3 * PAGE, maximumBytes: 2 * PAGE }), RangeError);
  assert.throws(() => new Memory(/** @type {any} */ ({ initialByte: 1 })), {
    name: 'TypeError', message: 'Memory has no option "initialByte"; did you mean "initialBytes"?',
  });
  assert.throws(() => new Memory().allocate(-1), RangeError);
  assert.throws(() => new Memory().allocate(/** @type {any} */ ('1')), TypeError);
});

test('data is right after growth, also where a view was read before', () => {
  const memory = new Memory({ initialBytes: PAGE });
  const t = tensor([1, 2, 3], { memory });
  const old = t.data;
  zeros([PAGE], { memory });
  assert.equal(old.length, 0);
  assert.deepEqual([...t.data], [1, 2, 3]);
  assert.equal(t.data, t.data);
});

test('an optimizer goes on after its memory has grown, from inside or outside', () => {
  const memory = new Memory({ initialBytes: PAGE });
  const [a, b] = [variable([1, 2], { memory }), variable([1, 2])];
  const [grown, still] = [new RMSprop({ momentum: 0.9 }), new RMSprop({ momentum: 0.9 })];
  for (let step = 0; step < 4; step++) {
    grown.apply([[1, -1]], [a]);
    still.apply([[1, -1]], [b]);
    if (step === 1) zeros([PAGE], { memory });
    if (step === 2) memory.wasmMemory.grow(1);
  }
  assert.deepEqual(a.data, b.data);
});

test('10 000 steps and as many optimizers leave bytesInUse where it was', () => {
  const memory = new Memory();
  const v = variable(new Float32Array(1000), { memory });
  const optimizer = new RMSprop({ momentum: 0.9, centered: true, useEma: true, globalClipnorm: 1 });
  v.gradientBuffer().data.fill(0.1);
  optimizer.build([v]);
  const bytes = memory.bytesInUse;
  for (let step = 0; step < 10000; step++) optimizer.step();
  assert.equal(memory.bytesInUse, bytes);
  optimizer.dispose();
  const without = { own: memory.bytesInUse, counters: Memory.default.bytesInUse };
  for (let i = 0; i < 1000; i++) {
    const short = new RMSprop({ momentum: 0.9 });
    short.apply([[...v.data]], [v]);
    short.dispose();
    short.dispose();
  }
  assert.deepEqual({ own: memory.bytesInUse, counters: Memory.default.bytesInUse }, without);
});

test('build gives back what it took when memory runs out', () => {
  const memory = new Memory({ initialBytes: PAGE, maximumBytes: PAGE });
  const v = variable(new Float32Array(4000), { memory });
  const optimizer = new RMSprop({ momentum: 0.9, centered: true, useEma: true });
  const before = { bytes: memory.bytesInUse, tensors: memory.tensorCount };
  assert.throws(() => optimizer.build([v]), /memory exhausted/);
  assert.deepEqual({ bytes: memory.bytesInUse, tensors: memory.tensorCount }, before);
  assert.equal(optimizer.getSlot(v, 'velocity'), null);
});

test('an engine without WebAssembly gets an error that says what is missing and what to do', () => {
  const { WebAssembly } = globalThis;
  Reflect.deleteProperty(globalThis, 'WebAssembly');
  try {
    assert.throws(() => new Memory(), /^Error: rmsprop-wasm needs WebAssembly, which this engine does not have: .*--jitless.*Lockdown Mode.*Hermes/);
  } finally {
    globalThis.WebAssembly = WebAssembly;
  }
});

test('a memory that the engine refuses is an error that names maximumBytes', (t) => {
  t.mock.method(WebAssembly, 'Memory', function refuse() {
    throw new RangeError('WebAssembly.Memory(): could not allocate memory');
  });
  assert.throws(() => new Memory({ initialBytes: PAGE, maximumBytes: 4 * PAGE, shared: true }), {
    name: 'RangeError',
    message: 'the engine refuses a shared memory of 65536 bytes that may grow to maximumBytes, 262144 '
      + '(WebAssembly.Memory(): could not allocate memory): give a smaller maximumBytes, as phones need',
  });
});
