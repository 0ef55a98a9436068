/**
 * aggregateGradients: one buffer a step, in build order, between accumulation and clipping.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, RMSprop, indexedSlices, tensor, variable } from 'rmsprop-wasm';

/** @typedef {import('../../js/arena.js').AggregateInfo} AggregateInfo */

const OPTIONS = { momentum: 0.9, globalClipnorm: 1, weightDecay: 0.1, useEma: true };
const make = () => [variable([[1, 2], [3, 4]], { name: 'kernel' }), variable([5], { name: 'bias' })];
const bits = (/** @type {any[]} */ tensors) => tensors.map((t) => Buffer.from(t.data.slice().buffer).toString('hex'));

test('the hook sees all gradients as one buffer in build order, and what it writes is applied', () => {
  /** @type {{ flat: number[], info: AggregateInfo }[]} */
  const seen = [];
  const [a, b] = [make(), make()];
  const hooked = new RMSprop({
    ...OPTIONS,
    aggregateGradients(flat, info) {
      seen.push({ flat: [...flat], info });
      for (let i = 0; i < flat.length; i++) flat[i] *= 0.5;
    },
  });
  const plain = new RMSprop(OPTIONS);
  for (let step = 0; step < 3; step++) {
    const gradients = [[[1, -2], [3, 4 + step]], [6]];
    hooked.apply(gradients, a);
    plain.apply(/** @type {any} */ ([gradients[0].map((row) => /** @type {number[]} */ (row).map((x) => x / 2)), [3]]), b);
  }
  assert.deepEqual(seen[2], {
    flat: [1, -2, 3, 6, 6],
    info: { step: 2, tensors: [{ name: 'kernel', offset: 0, length: 4 }, { name: 'bias', offset: 4, length: 1 }] },
  });
  assert.deepEqual(bits([...a, ...hooked.variables]), bits([...b, ...plain.variables]));
});

test('a hook that changes nothing has the bits of no hook: accumulation, loss scale, clips, sparse rows, buffers in place', () => {
  for (const options of [
    { gradientAccumulationSteps: 3, lossScaleFactor: 3, clipnorm: 0.5, useEma: true }, { clipvalue: 0.25 }, { globalClipnorm: 1 },
  ]) {
    let calls = 0;
    const [a, b] = [make(), make()];
    const hooked = new RMSprop({ ...options, aggregateGradients() { calls++; } });
    const plain = new RMSprop(options);
    hooked.build(a);
    plain.build(b);
    for (let step = 0; step < 6; step++) {
      for (const vs of [a, b]) {
        vs[0].gradientBuffer().set([[step, 1], [2, -3]]);
        vs[1].gradient = step % 2 ? tensor([step]) : [0.5];
      }
      hooked.step();
      plain.step();
    }
    assert.equal(calls, options.gradientAccumulationSteps ? 2 : 6);
    assert.deepEqual(bits([...a, ...hooked.variables]), bits([...b, ...plain.variables]));
  }
  const [a, b] = [make(), make()];
  const hooked = new RMSprop({ aggregateGradients() {} });
  hooked.apply([indexedSlices([[1, 2], [3, 4]], [1, 1]), [1]], a);
  new RMSprop().apply([[[0, 0], [4, 6]], [1]], b);
  assert.deepEqual(bits(a), bits(b));
});

test('every gradient buffer lies in one arena, and a missing gradient counts as zeros', (t) => {
  t.mock.method(console, 'warn', () => {});
  const variables = make();
  const optimizer = new RMSprop({ aggregateGradients(flat) { assert.deepEqual([...flat], [0, 0, 0, 0, 2]); flat.fill(1); } });
  optimizer.build(variables);
  assert.equal(variables[1].gradientBuffer().byteOffset, variables[0].gradientBuffer().byteOffset + 16);
  variables[0].gradient = null;
  variables[1].gradientBuffer().data[0] = 2;
  optimizer.step();
  assert.ok(variables[0].data[0] < 1);
});

test('an asynchronous hook needs the asynchronous calls; the others throw before anything changes', async () => {
  const [a, b] = [make(), make()];
  const optimizer = new RMSprop({ async aggregateGradients(flat) { await null; flat.fill(1); } });
  const gradients = /** @type {any[]} */ ([[[1, 1], [1, 1]], [1]]);
  optimizer.build(a);
  const before = bits([...a, ...optimizer.variables]);
  assert.throws(() => optimizer.apply(gradients, a), /aggregateGradients must be synchronous here, got a promise: use stepAsync/);
  assert.deepEqual(bits([...a, ...optimizer.variables]), before);
  const pending = optimizer.applyGradientsAsync([[gradients[0], a[0]], [gradients[1], a[1]]]);
  for (const call of [() => optimizer.step(), () => optimizer.save(), () => optimizer.dispose(), () => optimizer.apply(gradients, a)]) {
    assert.throws(call, /cannot be used: aggregateGradients has not settled/);
  }
  await assert.rejects(optimizer.stepAsync(), /has not settled/);
  assert.equal(await pending, 1);
  for (const v of a) v.gradientBuffer().data.fill(7);
  await optimizer.stepAsync();
  const plain = new RMSprop();
  for (let i = 0; i < 2; i++) plain.apply(gradients, b);
  assert.deepEqual(bits(a), bits(b));
});

test('a hook that throws or rejects leaves weights, slots and counters, and the next step works', async () => {
  const variables = make();
  let broken = true;
  const hook = () => { if (broken) throw new Error('mine'); };
  const optimizers = [new RMSprop({ aggregateGradients: hook }), new RMSprop({ aggregateGradients: async () => hook() })];
  for (const optimizer of optimizers) {
    optimizer.build(variables);
    for (const v of variables) v.gradientBuffer().data.fill(1);
    const before = bits([...variables, ...optimizer.variables]);
    broken = true;
    await assert.rejects(optimizer.stepAsync(), /mine/);
    assert.deepEqual(bits([...variables, ...optimizer.variables]), before);
    broken = false;
    await optimizer.stepAsync();
    assert.equal(optimizer.iterations, 1);
    optimizer.dispose();
  }
});

test('the arena is freed with the optimizer, and the variables make buffers of their own again', () => {
  const memory = new Memory();
  const v = variable([1, 2], { memory });
  v.gradientBuffer();
  const before = memory.bytesInUse;
  const optimizer = new RMSprop({ aggregateGradients() {} });
  optimizer.apply([[1, 1]], [v]);
  optimizer.dispose();
  v.gradient = [3, 4];
  assert.deepEqual(/** @type {import('rmsprop-wasm').Tensor} */ (v.gradient).toArray(), [3, 4]);
  assert.equal(memory.bytesInUse, before + 64);
  v.dispose();
  assert.equal(memory.bytesInUse, 0);
  assert.throws(() => new RMSprop({ aggregateGradients: /** @type {any} */ (1) }), /aggregateGradients must be of type function/);
});

for (const options of [{ lossScaleFactor: 8 }, { gradientAccumulationSteps: 2 }, { lossScaleFactor: 8, gradientAccumulationSteps: 2 }]) {
  test(`the hook gets gradients unscaled and accumulated once, however often it fails: ${JSON.stringify(options)}`, () => {
    const [v, w] = [variable([1, 2]), variable([1, 2])];
    /** @type {number[][]} */
    const seen = [];
    let fails = true;
    const hooked = new RMSprop({
      ...options,
      aggregateGradients(flat) {
        seen.push([...flat]);
        if (fails) throw new Error('mine');
      },
    });
    const plain = new RMSprop(options);
    hooked.build([v]);
    plain.build([w]);
    const calls = options.gradientAccumulationSteps ?? 1;
    for (let call = 0; call < 2 * calls; call++) {
      for (const { data } of [v.gradientBuffer(), w.gradientBuffer()]) data.set([8 + call, 16]);
      fails = (call + 1) % calls === 0;
      if (fails) {
        assert.throws(() => hooked.step(), /mine/);
        fails = false;
      }
      hooked.step();
      plain.step();
      assert.deepEqual([...v.gradientBuffer().data], [8 + call, 16]);
    }
    assert.deepEqual(bits([v, ...hooked.variables]), bits([w, ...plain.variables]));
    assert.equal(seen.length, 4);
    assert.deepEqual(seen[0], seen[1]);
  });
}

test('a run resumed within an accumulation window gives its hook the same', () => {
  const options = { gradientAccumulationSteps: 3, lossScaleFactor: 4, aggregateGradients() {} };
  const [v, w] = [variable([1], { name: 'v' }), variable([1], { name: 'v' })];
  const [first, second] = [new RMSprop(options), new RMSprop(options)];
  first.apply([[4]], [v]);
  first.apply([[8]], [v]);
  second.build([w]);
  second.load(first.save({ variables: true }));
  first.apply([[2]], [v]);
  second.apply([[2]], [w]);
  assert.deepEqual(bits([w, ...second.variables]), bits([v, ...first.variables]));
});

test('a buffer that the memory has left behind is noticed, and nothing is written', async () => {
  const memory = new Memory({ initialBytes: 65536 });
  const v = variable([1], { memory });
  let grows = true;
  const grow = () => { if (grows) variable(new Float32Array(1e5), { memory }); };
  const hooks = [grow, async () => { await null; grow(); }];
  for (const aggregateGradients of hooks) {
    const optimizer = new RMSprop({ aggregateGradients });
    optimizer.build([v]);
    const before = bits([v, ...optimizer.variables]);
    grows = true;
    await assert.rejects(optimizer.applyGradientsAsync([[[1], v]]), /buffer of aggregateGradients must stay attached/);
    assert.deepEqual(bits([v, ...optimizer.variables]), before);
    grows = false;
    await optimizer.applyGradientsAsync([[[1], v]]);
    assert.equal(optimizer.iterations, 1);
    optimizer.dispose();
  }
});

test('a gradient that is the buffer of another variable is refused where both are one memory, and taken where not', () => {
  const [a, b] = [variable([1]), variable([1])];
  const plain = new RMSprop({ aggregateGradients() {} });
  plain.build([a, b]);
  a.gradientBuffer().data[0] = 2;
  b.gradient = a.gradient;
  assert.throws(() => plain.step(), /gradient of variable ".*" must be its own buffer where gradients are aggregated/);
  plain.dispose();
  assert.equal(a.gradient, null);
  const scaled = new RMSprop({ lossScaleFactor: 2, aggregateGradients(flat) { assert.deepEqual([...flat], [1, 1]); } });
  scaled.build([a, b]);
  a.gradientBuffer().data[0] = 2;
  b.gradient = a.gradient;
  scaled.step();
  assert.equal(a.data[0], b.data[0]);
});

test('a hook wants float32 variables, and memory for its buffer: else build throws and gives all back', () => {
  const options = { aggregateGradients() {} };
  assert.throws(() => new RMSprop(options).build([variable([1], { dtype: 'float64' })]), /must be float32 where gradients are aggregated/);
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
  const v = variable(new Float32Array(6000), { memory });
  const hooked = new RMSprop(options);
  const plain = new RMSprop();
  const before = memory.bytesInUse;
  assert.throws(() => hooked.build([v]), { name: 'RangeError' });
  assert.equal(memory.bytesInUse, before);
  plain.build([v]);
  assert.ok(memory.bytesInUse > before);
});
