/**
 * Gradients, indices and shapes are taken at the moment of the call: whatever happens to them afterwards changes nothing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LossScaleOptimizer, Memory, RMSprop, indexedSlices, tensor, tensorAt, variable } from 'rmsprop-wasm';
import * as torch from 'rmsprop-wasm/torch';

/** @typedef {any} Any */

const PAGE = 65536;
const bits = (/** @type {Any[]} */ tensors) => tensors.map(({ data }) => Buffer.from(data.slice().buffer).toString('hex')).join();

test('views of linear memory are gradients, also where the memory grows in the call', () => {
  const memory = new Memory({ initialBytes: PAGE });
  const x = variable(new Float32Array(12000).fill(10), { memory });
  const optimizer = new RMSprop({ learningRate: 0.1 });
  const { byteLength } = memory.buffer;
  optimizer.minimize(() => ({ loss: 0, gradients: [x.data] }), [x]);
  assert.notEqual(memory.buffer.byteLength, byteLength, 'the memory must grow for this test to test anything');
  const other = variable(new Float32Array(12000).fill(10));
  new RMSprop({ learningRate: 0.1 }).apply([new Float32Array(12000).fill(10)], [other]);
  assert.deepEqual(x.data, other.data);
});

test('a variable that gets its first gradient later lets the views of others outlast it', (t) => {
  t.mock.method(console, 'warn', () => {});
  const memory = new Memory({ initialBytes: PAGE });
  // Two variables, their slots and one buffer fit into the page; another buffer does not.
  const [b, a] = ['b', 'a'].map((name) => variable(new Float32Array(2720).fill(1), { name, memory }));
  const optimizer = new RMSprop();
  optimizer.build([b, a]);
  optimizer.apply([null, a.data], [b, a]);
  assert.equal(memory.buffer.byteLength, PAGE);
  optimizer.apply([b.data, a.data], [b, a]);
  assert.notEqual(memory.buffer.byteLength, PAGE);
  assert.equal(optimizer.iterations, 2);
});

test('a tensor that the step itself overwrites is copied: as a variable, a slot, or bytes of either', () => {
  const run = (/** @type {(v: Any) => Any} */ hand, count = 5) => {
    const [x, y] = [variable([1, 2]), variable([5, 6])];
    const optimizer = new RMSprop({ learningRate: 0.1 });
    for (let i = 0; i < count; i++) optimizer.minimize(() => ({ loss: 0, gradients: [hand(y), hand(x)] }), [x, y]);
    return bits([x, y, ...optimizer.variables]);
  };
  const expected = run((v) => tensor(v));
  assert.equal(run((v) => v), expected);
  assert.equal(run((v) => v.data), expected);
  assert.equal(run((v) => tensorAt(v.memory, v.byteOffset, [2])), expected);

  const withSlot = (/** @type {(t: Any) => Any} */ hand) => {
    const [x, y] = [variable([1, 2]), variable([5, 6])];
    const optimizer = new RMSprop({ learningRate: 0.1 });
    optimizer.apply([[3, 4], [5, 6]], [x, y]);
    for (let i = 0; i < 3; i++) {
      optimizer.apply([hand(optimizer.getSlot(y, 'velocity')), hand(optimizer.getSlot(x, 'velocity'))], [x, y]);
    }
    return bits([x, y, ...optimizer.variables]);
  };
  assert.equal(withSlot((t) => t), withSlot((t) => tensor(t)));

  // Bytes that overlap the own value, but are not it.
  const shifted = (/** @type {boolean} */ copies) => {
    const memory = new Memory();
    const address = memory.allocate(12);
    new Float32Array(memory.buffer, address, 3).set([1, 2, 3]);
    const x = tensorAt(memory, address, [2]);
    const gradient = tensorAt(memory, address + 4, [2]);
    new RMSprop({ learningRate: 0.1 }).apply([copies ? [...gradient.data] : gradient], [x]);
    return bits([x]);
  };
  assert.equal(shifted(false), shifted(true));
});

test('an own value is read where it is, and nothing is allocated for it', () => {
  const memory = new Memory();
  const x = variable([1, 2], { memory });
  x.gradient = x;
  const optimizer = new RMSprop();
  optimizer.build([x]);
  const before = memory.bytesInUse;
  optimizer.step();
  assert.equal(memory.bytesInUse, before);
});

test('what a callback does to the gradients of the call changes nothing of it', () => {
  for (const spoil of /** @type {((given: Any) => void)[]} */ ([
    ({ array }) => array.fill(NaN), ({ array }) => structuredClone(array, { transfer: [array.buffer] }),
    ({ slices }) => { slices.indices[0] = -3000; }, ({ slices }) => { slices.values.fill(NaN); },
    ({ slices }) => { slices.indices = new Int32Array(5); }, ({ slices }) => { slices.denseShape = [7]; },
    ({ rows }) => rows.dispose(), ({ list }) => { list.length = 0; }, ({ list }) => { list[0] = [NaN]; },
    ({ a }) => { a.gradient = null; }, ({ nested }) => { nested[0][0] = NaN; },
  ])) {
    const run = (/** @type {boolean} */ spoils, /** @type {boolean} */ own) => {
      const memory = new Memory();
      const [a, b, c] = [variable([1, 2], { memory }), variable([[3, 4], [5, 6]], { memory }), variable([[1]], { memory })];
      const rows = tensor([1, 1], { memory });
      const guard = tensor(new Float32Array(1000).fill(7), { memory });
      const [array, slices, nested] = [Float32Array.of(1, 2), indexedSlices(rows, [1]), [[5]]];
      const given = { a, array, rows, slices, nested, list: /** @type {Any[]} */ ([array, slices, nested]) };
      let spoiled = !spoils;
      const optimizer = new RMSprop({ learningRate: () => {
        if (!spoiled) spoil(given);
        spoiled = true;
        return 0.1;
      } });
      optimizer.build([a, b, c]);
      if (own) {
        [a, b, c].forEach((each, i) => { each.gradient = given.list[i]; });
        optimizer.step();
      } else {
        optimizer.apply(given.list, [a, b, c]);
      }
      return bits([a, b, c, guard, ...optimizer.variables]);
    };
    for (const own of [false, true]) assert.equal(run(true, own), run(false, own), `${spoil}`);
  }
});

test('a typed array cannot lie about its length, a list is read once, and a shape is read once', () => {
  class Liar extends Float32Array {
    get length() { return 2; }
  }
  const x = variable([1, 2]);
  const optimizer = new RMSprop();
  assert.throws(() => optimizer.apply([new Liar(5)], [x]), RangeError);
  const long = new Liar(2);
  optimizer.apply([long], [x]);
  let reads = 0;
  const shape = Object.defineProperty([0], 0, { get: () => (reads++ ? 1000 : 1) });
  assert.equal(tensor([1], { shape }).size, 1);
  let looks = 0;
  const sly = new Proxy([[1, 2]], { get: (target, key) => (key === '0' && looks++ ? [1, 2, 3] : Reflect.get(target, key)) });
  optimizer.apply(sly, [x]);
  assert.equal(looks, 1);
  const detached = Float32Array.of(1, 2);
  structuredClone(detached, { transfer: [detached.buffer] });
  assert.throws(() => optimizer.apply([detached], [x]), { name: 'RangeError', message: /must be 2 numbers/ });
  assert.equal(optimizer.iterations, 2);
});

test('the gradients of a pending step are its own, whatever another optimizer does with the variable', async () => {
  const w = variable([1, 1]);
  const a = new RMSprop({ aggregateGradients: async () => { await null; } });
  const b = new RMSprop();
  const pending = a.applyGradientsAsync([[[1, 1], w]]);
  b.apply([[5, 5]], [w]);
  await pending;
  const fresh = variable([1, 1]);
  const alone = new RMSprop();
  alone.apply([[1, 1]], [fresh]);
  assert.deepEqual(a.getSlot(w, 'velocity')?.data, alone.getSlot(fresh, 'velocity')?.data);
});

test('another optimizer may step the same variable while a callback runs, and its gradients are its own', () => {
  const w = variable([1, 1]);
  const other = new RMSprop();
  const optimizer = new RMSprop({ learningRate: () => {
    other.apply([[5, 5]], [w]);
    return 0.1;
  } });
  optimizer.apply([[1, 1]], [w]);
  assert.ok(Math.abs(Number(optimizer.getSlot(w, 'velocity')?.data[0]) - 0.1) < 1e-7);
  assert.equal(other.iterations, 1);
});

test('a loss function may read the optimizer and write gradients, and nothing else', () => {
  for (const make of [() => new RMSprop(), () => new LossScaleOptimizer(new RMSprop())]) {
    const w = variable([1]);
    const optimizer = /** @type {Any} */ (make());
    const refused = [() => optimizer.step(), () => optimizer.apply([[1]], [w]), () => optimizer.build([w]), () => optimizer.dispose(),
      () => optimizer.minimize(() => 1, [w]), () => optimizer.load(new Uint8Array())];
    optimizer.minimize(() => {
      for (const call of refused) assert.throws(call, /cannot be used: a loss function runs$/);
      assert.equal(optimizer.iterations, 0);
      w.gradient = [2];
      return 1;
    }, [w]);
    assert.equal(optimizer.iterations, 1);
    optimizer.step();
  }
});

test('a call is refused while it is busy before its arguments are looked at', () => {
  const w = variable([1]);
  /** @type {Any} */
  const optimizer = new RMSprop({ learningRate: () => {
    for (const call of ['apply', 'applyGradients', 'minimize', 'build', 'setWeights', 'load', 'withAverages']) {
      assert.throws(() => optimizer[call](7, 7), { name: 'Error', message: `${call} of optimizer "it" cannot be used: a callback runs` });
    }
    return 0.1;
  }, name: 'it' });
  optimizer.apply([[1]], [w]);
});

test('a console.warn that throws breaks no step', (t) => {
  t.mock.method(console, 'warn', () => { throw new Error('failed on console'); });
  const [a, b] = [variable([1]), variable([1])];
  const optimizer = new RMSprop();
  optimizer.apply([[1], null], [a, b]);
  assert.equal(optimizer.iterations, 1);
});

test('weights can be set from the optimizer\'s own tensors in another order', () => {
  const [a, b] = [variable([1]), variable([1])];
  const optimizer = new RMSprop();
  optimizer.apply([[5], [10]], [a, b]);
  const [i, r, first, second] = optimizer.variables;
  const [x, y] = [first.data[0], second.data[0]];
  optimizer.setWeights([i, r, second, first]);
  assert.deepEqual([first.data[0], second.data[0]], [y, x]);
  optimizer.setWeights([i.data, r.data, second.data, first.data]);
  assert.deepEqual([first.data[0], second.data[0]], [x, y]);
});

test('variables that are overwritten: memory that grows, a tensor that the step changes, and an empty window', () => {
  const memory = new Memory({ initialBytes: PAGE });
  const [x, scale] = [variable(new Float32Array(10000).fill(1), { memory }), variable(new Float32Array(10000), { memory })];
  scale.overwriteWithGradient = true;
  const optimizer = new RMSprop();
  optimizer.apply([new Float32Array(10000).fill(2), x], [x, scale]); // the memory grows, and x is overwritten
  assert.ok(scale.data.every((value) => value === 1));
  assert.ok(x.data[0] < 1);

  const [v, w] = [variable([1]), variable([0])];
  w.overwriteWithGradient = true;
  const steps = new RMSprop({ gradientAccumulationSteps: 2 });
  const accumulator = () => steps.getSlot(w, 'gradient_accumulator')?.data[0];
  steps.apply([[1], [5]], [v, w]);
  assert.equal(accumulator(), 5);
  steps.apply([[1], null], [v, w]);
  assert.deepEqual([accumulator(), w.data[0]], [0, 0]);
  steps.apply([[1], [2]], [v, w]);
  steps.apply([[1], [3]], [v, w]);
  assert.deepEqual([accumulator(), w.data[0]], [0, 3]);

  const [p, q, r] = [variable([1]), variable([0]), variable([0])];
  q.overwriteWithGradient = r.overwriteWithGradient = true;
  const disposing = new RMSprop({ learningRate: () => {
    r.dispose();
    return 0.1;
  } });
  assert.throws(() => disposing.apply([[1], [2], [3]], [p, q, r]), /is disposed$/);
  assert.deepEqual([p.data[0], q.data[0]], [1, 0]);
});

test('a failed call gives back the buffers that it has made, and a later one does its work', () => {
  const memory = new Memory();
  const [a, b] = [variable([1, 2], { memory }), variable([3], { memory })];
  let fails = true;
  const optimizer = new RMSprop({ learningRate: () => (fails ? NaN : 0.1) });
  optimizer.build([a, b]);
  const before = [memory.bytesInUse, memory.tensorCount];
  assert.throws(() => optimizer.apply([[1, 2], b], [a, b]), /learningRate at step 0/);
  assert.throws(() => optimizer.apply([b, [1, 2]], [a, b]), RangeError);
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], before);
  fails = false;
  optimizer.apply([[1, 2], b], [a, b]);
  optimizer.dispose();
  assert.equal(memory.tensorCount, 2);
});

test('many variables take their time in proportion: each gradient is looked at a fixed number of times', () => {
  let looks = 0;
  const counting = (/** @type {Any[]} */ list) => new Proxy(list, { get: (target, key) => {
    looks++;
    return Reflect.get(target, key);
  } });
  const per = [100, 400].map((count) => {
    const memory = new Memory();
    const variables = Array.from({ length: count }, () => variable([1], { memory }));
    const optimizer = new RMSprop();
    optimizer.build(variables);
    looks = 0;
    optimizer.apply(counting(variables.map(() => Float32Array.of(1))), counting([...variables].reverse()));
    return looks / count;
  });
  assert.ok(per[1] <= per[0], `${per}`);
});

test('torch: gradients are read once and are the call\'s own, across groups, types, growth and overlaps', () => {
  // Views of a memory that grows, for parameters of two groups: two engines.
  const memory = new Memory({ initialBytes: PAGE });
  const [x, y] = [1, 2].map((value) => variable(new Float32Array(4000).fill(value), { memory }));
  const [p, q] = [1, 2].map((value) => variable(new Float32Array(4000).fill(value)));
  const { byteLength } = memory.buffer;
  new torch.RMSprop([{ params: [x] }, { params: [y] }]).step(() => ({ loss: 0, gradients: [x.data, y.data] }));
  assert.notEqual(memory.buffer.byteLength, byteLength, 'the memory must grow for this test to test anything');
  new torch.RMSprop([{ params: [p] }, { params: [q] }])
    .step(() => ({ loss: 0, gradients: [p.data.slice(), q.data.slice()] }));
  assert.equal(bits([x, y]), bits([p, q]));

  // What another group of the same call overwrites.
  const run = (/** @type {(v: Any) => Any} */ hand) => {
    const [a, b] = [variable([1, 2]), variable([5, 6])];
    const optimizer = new torch.RMSprop([{ params: [a] }, { params: [b], momentum: 0.9 }], { lr: 0.1 });
    for (let i = 0; i < 5; i++) optimizer.step(() => ({ loss: 0, gradients: [hand(b), hand(a)] }));
    return bits([a, b]);
  };
  assert.equal(run((v) => v), run((v) => tensor(v)));
  assert.equal(run((v) => v.data), run((v) => tensor(v)));

  const w = variable([1, 2]);
  const optimizer = new torch.RMSprop([w]);
  let looks = 0;
  const sly = new Proxy([[1, 2]], { get: (target, key) => (key === '0' && looks++ ? [NaN, NaN] : Reflect.get(target, key)) });
  optimizer.step(() => ({ loss: 0, gradients: sly }));
  assert.equal(looks, 1);
  const before = [memory.bytesInUse, memory.tensorCount];
  const failing = new torch.RMSprop([{ params: [x] }, { params: [y] }]);
  assert.throws(() => failing.step(() => ({ loss: 0, gradients: [x.data, [1]] })), RangeError);
  assert.deepEqual([memory.bytesInUse, memory.tensorCount, failing.state.size], [...before, 0]);
});
