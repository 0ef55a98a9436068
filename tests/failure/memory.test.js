/** Memory that runs out, is used for long, or is refused: what it holds stays usable, and nothing is lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LossScaleOptimizer, Memory, RMSprop, indexedSlices, variable, zeros } from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';
import * as optax from 'rmsprop-wasm/optax';
import * as torch from 'rmsprop-wasm/torch';
import * as v1 from 'rmsprop-wasm/v1';
import { bitsOf } from './table.js';

/** @typedef {any} Any */

const PAGE = 65536;

test('1 000 000 random cycles of allocate and free take at most twice the memory that is in use, and it comes back whole', (t) => {
  // Knuth's rule: beside n blocks in use, allocated and freed at random, n / 2 are free. None that is free was large enough
  // for the request that made the memory grow, so that they are no larger on the average than those in use: half as many
  // bytes again. Growing takes a quarter more: 1.5 · 1.25 = 1.875 times what is in use, and less than a page of rounding.
  for (const [seed, live, largest] of [[1, 40, 2 ** 20], [2, 300, 2 ** 16], [3, 300, 2 ** 20], [4, 1000, 2 ** 12]]) {
    let state = seed;
    const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
    const memory = new Memory({ initialBytes: PAGE });
    // Sizes of all magnitudes from a cache line on, each as likely as the others.
    const size = () => Math.floor(64 * (largest / 64) ** random());
    const blocks = Array.from({ length: live }, () => memory.allocate(size()));
    let peak = 0;
    for (let i = 0; i < 250_000; i++) {
      const k = Math.floor(random() * live);
      memory.free(blocks[k]);
      blocks[k] = memory.allocate(size());
      peak = Math.max(peak, memory.bytesInUse);
    }
    const { byteLength } = memory.buffer;
    t.diagnostic(`${live} blocks of up to ${largest} bytes: ${(byteLength / peak).toFixed(2)} times what was in use (seed ${seed})`);
    assert.ok(byteLength <= 2 * peak + PAGE, `${byteLength} bytes for ${peak}`);
    for (const block of blocks) memory.free(block);
    assert.equal(memory.bytesInUse, 0);
    memory.allocate(byteLength - 64);
    assert.equal(memory.buffer.byteLength, byteLength, 'all free space is one block');
  }
});

test('memory that may not grow any more refuses, and everything in it goes on', () => {
  const memory = new Memory({ initialBytes: PAGE, maximumBytes: 2 * PAGE });
  const [a, b] = [variable([1, 2, 3], { memory }), variable([1, 2, 3])];
  const [full, free] = [new RMSprop({ momentum: 0.9 }), new RMSprop({ momentum: 0.9 })];
  full.apply([[1, 1, 1]], [a]);
  free.apply([[1, 1, 1]], [b]);
  /** @type {Any[]} */
  const taken = [];
  assert.throws(() => {
    for (;;) taken.push(zeros([512], { memory }));
  }, /^RangeError: memory exhausted: 2048 bytes requested, \d+ of at most 131072 in use$/);
  assert.equal(memory.buffer.byteLength, 2 * PAGE);
  for (let i = 0; i < 3; i++) {
    assert.throws(() => zeros([PAGE], { memory }), RangeError);
    full.apply([[1, -1, 1]], [a]);
    free.apply([[1, -1, 1]], [b]);
  }
  assert.deepEqual(a.data, b.data);
  taken.pop()?.dispose();
  zeros([512], { memory }).dispose();
  // And where somebody else has filled it: WebAssembly itself refuses to grow.
  const shared = new Memory({ initialBytes: PAGE, maximumBytes: 4 * PAGE });
  shared.wasmMemory.grow(3);
  assert.throws(() => zeros([PAGE], { memory: shared }), RangeError);
  assert.equal(zeros([100], { memory: shared }).size, 100);
});

// ---- An allocation that fails, whichever it is ----

/** A memory whose owner gives out so many blocks more, and then none. */
function failing() {
  const wasmMemory = new WebAssembly.Memory({ initial: 4 });
  let next = 64;
  /** @type {Map<number, number>} */
  const used = new Map();
  const owner = {
    left: Infinity,
    used,
    memory: new Memory({
      memory: wasmMemory,
      allocate: (bytes) => {
        if (owner.left-- <= 0) return 0;
        const at = next;
        next += Math.ceil(bytes / 64) * 64;
        used.set(at, bytes);
        return at;
      },
      free: (at) => { assert.ok(used.delete(at), `${at} is freed twice`); },
    }),
  };
  return owner;
}

const gradients = [[1, -1, 2], [[3, 4]]];

/**
 * What takes memory, in each optimizer: its first call, and one that adds a variable or slices.
 *
 * @type {Record<string, (a: Any, b: Any, c: Any) => { calls: (() => unknown)[], state: () => Any[], dispose: () => void }>}
 */
const optimizers = {
  'RMSprop': (a, b) => keras(new RMSprop({ momentum: 0.9, centered: true, useEma: true }), a, b),
  'RMSprop, aggregated': (a, b) => keras(new RMSprop({ aggregateGradients: () => {}, gradientAccumulationSteps: 2 }), a, b),
  'RMSprop, overwriting': (a, b) => {
    b.overwriteWithGradient = true;
    return keras(new RMSprop({ gradientAccumulationSteps: 2 }), a, b);
  },
  'LossScaleOptimizer': (a, b) => keras(new LossScaleOptimizer(new RMSprop({ centered: true })), a, b),
  'legacy': (a, b, c) => {
    const [it, other] = [0, 1].map(() => new legacy.RMSprop({ momentum: 0.9, centered: true }));
    return {
      calls: [() => it.applyGradients([[gradients[0], a], [gradients[1], b]]),
        () => it.applyGradients([[indexedSlices([1, 2], [0, 2]), a], [[1], c]]),
        () => it.addSlot(a, 'mine', 'ones'),
        () => other.load(it.save(), { variables: [a, b, c] })],
      state: () => [...it.weights, ...other.weights],
      dispose: () => [it, other].forEach((each) => each.dispose()),
    };
  },
  'v1': (a, b, c) => {
    const [it, other] = [0, 1].map(() => new v1.RMSPropOptimizer({ learningRate: 0.1, centered: true }));
    return {
      calls: [() => it.applyGradients([[gradients[0], a], [gradients[1], b]]),
        () => it.applyGradients([[indexedSlices([1, 2], [0, 2]), a], [[1], c]]),
        () => other.load(it.save(), { variables: [a, b, c] })],
      state: () => [...it.variables(), ...other.variables()],
      dispose: () => [it, other].forEach((each) => each.dispose()),
    };
  },
  'torch': (a, b, c) => {
    const it = new torch.RMSprop([a, b, c], { momentum: 0.9, centered: true });
    /** @type {Any} */
    let saved;
    return {
      calls: [() => it.step(() => ({ loss: 1, gradients: [...gradients, null] })),
        () => it.step(() => ({ loss: 1, gradients: [...gradients, [1]] })),
        () => it.loadStateDict(saved ??= it.stateDict())],
      state: () => [...it.state.values()].flatMap(({ step: _, ...slots }) => Object.values(slots)),
      dispose: () => it.dispose(),
    };
  },
  'optax': (a, b) => {
    const it = optax.multiSteps(optax.chain(optax.clip(1), optax.rmsprop({ learningRate: 0.1, momentum: 0.9, centered: true }),
      optax.ema(0.9)), 2);
    /** @type {Any[]} */
    const states = [];
    return {
      calls: [() => states.push(it.init([a, b])), () => states.push(optax.cloneState(states[0]))],
      state: () => [],
      dispose: () => optax.disposeState(states),
    };
  },
};

/** @param {Any} it @param {Any} a @param {Any} b */
function keras(it, a, b) {
  const apply = () => it.apply(gradients, [a, b]);
  return { calls: [apply, apply], state: () => it.variables, dispose: () => it.dispose() };
}

for (const [name, make] of Object.entries(optimizers)) {
  test(`${name}: an allocation that fails, whichever it is, leaves all as it was, and what it took is given back`, () => {
    const run = (/** @type {Memory} */ memory, /** @type {(call: () => unknown, trace: () => unknown[]) => void} */ attempt) => {
      const [a, b, c] = [variable([1, 2, 3], { memory, name: 'a' }), variable([[4, 5]], { memory, name: 'b' }),
        variable([6], { memory, name: 'c' })];
      const made = make(a, b, c);
      const trace = () => [bitsOf([a, b, c, ...made.state()]), memory.bytesInUse, memory.tensorCount, Memory.default.bytesInUse];
      for (const call of made.calls) attempt(call, trace);
      const bits = bitsOf([a, b, c, ...made.state()]);
      made.dispose();
      for (const each of [a, b, c]) each.dispose();
      assert.deepEqual([memory.bytesInUse, memory.tensorCount], [0, 0]);
      return bits;
    };
    const expected = run(new Memory(), (call) => call());
    const owner = failing();
    let failures = 0;
    const bits = run(owner.memory, (call, trace) => {
      for (let after = 0; ; after++) {
        const before = trace();
        owner.left = after;
        try {
          call();
          return;
        } catch (error) {
          assert.match(`${error}`, /^RangeError: memory exhausted: \d+ bytes requested of its owner/);
        } finally {
          owner.left = Infinity;
        }
        failures++;
        assert.deepEqual(trace(), before, `when allocation ${after} failed`);
      }
    });
    assert.ok(failures >= 5, `${failures}`);
    assert.equal(bits, expected);
    assert.equal(owner.used.size, 0);
  });
}
