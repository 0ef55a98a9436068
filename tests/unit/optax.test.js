/**
 * optax's interface: trees, what is mutated and what is not, errors, memory.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, tensor, variable, zeros } from 'rmsprop-wasm';
import {
  addDecayedWeights, applyUpdates, chain, clip, clipByGlobalNorm, cloneState, cosineDecaySchedule, disposeState, ema,
  exponentialDecay, linearSchedule, multiSteps, piecewiseConstantSchedule, piecewiseInterpolateSchedule, polynomialSchedule,
  rmsprop, warmupCosineDecaySchedule,
} from 'rmsprop-wasm/optax';

/** Every transform, in combinations of state and no state. */
const transforms = {
  plain: () => rmsprop({ learningRate: 0.01 }),
  everything: () => rmsprop({ learningRate: 0.01, centered: true, momentum: 0.9, nesterov: true, biasCorrection: true, epsInSqrt: false }),
  scheduled: () => rmsprop({ learningRate: cosineDecaySchedule({ initValue: 0.1, decaySteps: 7 }), momentum: 0.5 }),
  chained: () => chain(clipByGlobalNorm(0.5), clip(0.3), addDecayedWeights(0.01), rmsprop({ learningRate: 0.01, momentum: 0 })),
  averaged: () => chain(rmsprop({ learningRate: 0.01 }), ema(0.9), addDecayedWeights(-1e-4)),
  gathered: () => multiSteps(chain(clip(1), rmsprop({ learningRate: 0.01, momentum: 0.9 })), 3),
};

let seed = 1;
const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
const randoms = (/** @type {number} */ length) => Float32Array.from({ length }, random);

/** @param {any} tree @returns {any} the same with plain arrays of numbers */
function numbers(tree) {
  if (tree === null) return null;
  if (ArrayBuffer.isView(tree)) return Array.from(/** @type {any} */ (tree));
  if (tree.data) return Array.from(tree.data);
  if (Array.isArray(tree)) return tree.map(numbers);
  return Object.fromEntries(Object.entries(tree).map(([key, branch]) => [key, numbers(branch)]));
}

test('trees are arrays, objects and single leaves, of tensors and typed arrays, and keep their form', () => {
  const optimizer = rmsprop({ learningRate: 0.1, momentum: 0.9, centered: true });
  const params = { layers: [{ w: randoms(6), b: tensor([1, 2]) }, { w: new Float64Array(3), b: null }], scale: variable([1]) };
  const grads = { scale: Float32Array.of(1), layers: [{ b: tensor([3, 4]), w: randoms(6) }, { b: null, w: [1, 2, 3] }] };
  assert.throws(() => optimizer.update(grads, optimizer.init(params)), TypeError); // [1, 2, 3] is no leaf but a tree
  const state = optimizer.init(params);
  const [updates, same] = optimizer.update({ ...grads, layers: [grads.layers[0], { b: null, w: randoms(3) }] }, state, params);
  assert.equal(same, state);
  assert.deepEqual(Object.keys(updates), ['layers', 'scale']);
  assert.equal(updates.layers[1].b, null);
  assert.ok(updates.layers[0].w instanceof Float32Array, 'a typed array for a typed array');
  assert.ok(updates.layers[1].w instanceof Float64Array, 'of the type of the parameter');
  assert.deepEqual(updates.layers[0].b.shape, [2]);
  const next = applyUpdates(params, updates);
  assert.ok(next.layers[1].w instanceof Float64Array);
  assert.notEqual(next.scale, params.scale);
  for (const key of ['nu', 'mu', 'trace']) assert.deepEqual(Object.keys(state[key].layers[0]), ['w', 'b'], key);
  assert.equal(state.count, 1);

  const [leaf] = optimizer.update(Float32Array.of(2), optimizer.init(Float32Array.of(1)));
  assert.ok(leaf instanceof Float32Array && leaf[0] < 0);
  const empty = optimizer.init({});
  assert.deepEqual(optimizer.update({}, empty), [{}, empty]);
});

test('update leaves parameters and gradients alone, applyUpdates makes new leaves', () => {
  for (const [name, make] of Object.entries(transforms)) {
    const params = { w: randoms(7), b: tensor(randoms(3)) };
    const grads = { w: randoms(7), b: tensor(randoms(3)) };
    const before = numbers([params, grads]);
    const optimizer = make();
    const state = optimizer.init(params);
    for (let k = 0; k < 4; k++) applyUpdates(params, optimizer.update(grads, state, params)[0]);
    assert.deepEqual(numbers([params, grads]), before, name);
    disposeState([params, grads, state]);
  }
});

test('step has the bits of update and applyUpdates, on typed arrays and tensors', () => {
  for (const [name, make] of Object.entries(transforms)) {
    for (const leaf of [(/** @type {Float32Array} */ values) => values.slice(), tensor]) {
      const optimizer = make();
      const start = [randoms(19), randoms(1)];
      let functional = start.map((values) => leaf(values));
      const inPlace = start.map((values) => leaf(values));
      const [a, b] = [optimizer.init(functional), optimizer.init(inPlace)];
      for (let k = 0; k < 7; k++) {
        const grads = [randoms(19), k === 2 ? null : randoms(1)].map((values) => values && leaf(values));
        functional = applyUpdates(functional, optimizer.update(grads, a, functional)[0]);
        assert.equal(optimizer.step(grads, b, inPlace), b);
        assert.deepEqual(numbers(inPlace), numbers(functional), `${name}, step ${k}`);
      }
      disposeState([a, b]);
    }
  }
});

test('a cloned state and its original go separate ways', () => {
  for (const [name, make] of Object.entries(transforms)) {
    const optimizer = make();
    const params = [tensor(randoms(9))];
    const grads = Array.from({ length: 6 }, () => [randoms(9)]);
    const state = optimizer.init(params);
    optimizer.update(grads[0], state, params);
    const clone = cloneState(state);
    const first = grads.map((g) => numbers(optimizer.update(g, state, params)[0]));
    disposeState(state);
    const second = grads.map((g) => numbers(optimizer.update(g, clone, params)[0]));
    assert.deepEqual(second, first, name);
    disposeState(clone);
  }
});

test('nothing leaks: a thousand updates and steps take no memory, and disposing gives all back', () => {
  const memory = new Memory();
  for (const [name, make] of Object.entries(transforms)) {
    const optimizer = make();
    const params = { w: tensor(randoms(33), { memory }), b: randoms(5) };
    const [inTensors, inArrays] = [{ w: tensor(randoms(33), { memory }), b: randoms(5) }, { w: randoms(33), b: randoms(5) }];
    const idle = [memory.bytesInUse, memory.tensorCount];
    const state = optimizer.init(params);
    const run = (/** @type {number} */ count) => {
      for (let k = 0; k < count; k++) {
        const [updates] = optimizer.update(k % 2 ? inTensors : inArrays, state, params);
        if (k % 3 === 0) disposeState(applyUpdates(params, updates));
        optimizer.step(k % 2 ? inArrays : inTensors, state, params);
      }
    };
    run(12);
    const busy = [memory.bytesInUse, memory.tensorCount];
    run(1000);
    assert.deepEqual([memory.bytesInUse, memory.tensorCount], busy, name);
    disposeState(state);
    disposeState(state);
    assert.deepEqual([memory.bytesInUse, memory.tensorCount], idle, name);
    assert.throws(() => optimizer.update(inArrays, state, params), /disposed/, name);
    disposeState(params);
    disposeState(inTensors);
  }
});

test('a state that memory has no room for leaves nothing behind', () => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
  const params = [tensor(randoms(6000), { memory })];
  const idle = memory.bytesInUse;
  const optimizers = [
    rmsprop({ learningRate: 0.1, centered: true }), chain(rmsprop({ learningRate: 0.1 }), ema(0.9)),
    multiSteps(rmsprop({ learningRate: 0.1 }), 2),
  ];
  for (const optimizer of optimizers) {
    assert.throws(() => optimizer.init(params), /memory exhausted/);
    assert.equal(memory.bytesInUse, idle);
  }
});

test('memory that grows in the middle of an update spoils nothing', () => {
  const memory = new Memory({ initialBytes: 65536 });
  const params = { a: tensor(randoms(4000), { memory }), b: tensor(randoms(4000), { memory }) };
  const grads = { a: tensor(randoms(4000), { memory }), b: randoms(4000) };
  const optimizer = chain(clip(0.1), rmsprop({ learningRate: 0.1, momentum: 0.9 }), ema(0.5));
  const state = optimizer.init(params);
  // A view of linear memory as a gradient is detached when the tensor of another update is made.
  const [updates] = optimizer.update({ a: grads.a, b: grads.a.data }, state, params);
  assert.deepEqual(numbers(updates.b), numbers(updates.a));
  assert.throws(() => optimizer.step(grads, state, { a: params.a, b: params.b.data }), /params\.b must be .*outside of linear memory/);
});

test('a schedule is asked once an update, with the count before it', () => {
  /** @type {number[]} */
  const counts = [];
  const optimizer = rmsprop({ learningRate: (count) => counts.push(count) / 100 });
  const params = [Float32Array.of(1)];
  const state = optimizer.init(params);
  for (let k = 0; k < 2; k++) optimizer.update([Float32Array.of(1)], state);
  for (let k = 0; k < 2; k++) optimizer.step([Float32Array.of(1)], state, params);
  assert.deepEqual(counts, [0, 1, 2, 3]);
});

test('null gradients pass through: no update, and the state of the leaf stays', () => {
  for (const [name, make] of Object.entries(transforms)) {
    const optimizer = make();
    const params = { a: randoms(4), b: randoms(4) };
    const state = optimizer.init(params);
    const [updates] = optimizer.update({ a: null, b: randoms(4) }, state, params);
    assert.equal(updates.a, null, name);
    assert.deepEqual(numbers(applyUpdates(params, updates)).a, numbers(params.a), name);
    assert.deepEqual(optimizer.update({ a: null, b: null }, state, params)[0], { a: null, b: null }, name);
    if (name === 'plain') assert.deepEqual(numbers(state.nu.a), [0, 0, 0, 0]);
  }
});

test('float64 leaves are computed in float64, by every transform', () => {
  const decay = 0.9;
  const optimizer = chain(
    clip(0.7), addDecayedWeights(0.1),
    rmsprop({ learningRate: 0.1, decay, biasCorrection: true, momentum: 0.5 }), ema(0.8),
  );
  const params = Float64Array.of(0.1, -0.2, 3);
  const expected = [...params];
  const state = optimizer.init(params);
  const [nu, trace, average] = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
  for (let k = 1; k <= 5; k++) {
    const grads = Float64Array.of(0.3 / k, -0.5, 2);
    optimizer.step(grads, state, params);
    expected.forEach((x, i) => {
      const g = Math.max(Math.min(grads[i], 0.7), -0.7) + 0.1 * x;
      nu[i] = (1 - decay) * (g * g) + decay * nu[i];
      trace[i] = -0.1 * (g / Math.sqrt(nu[i] / (1 - decay ** k) + 1e-8)) + 0.5 * trace[i];
      average[i] = (1 - 0.8) * trace[i] + 0.8 * average[i];
      expected[i] += average[i] / (1 - 0.8 ** k);
      assert.ok(Math.abs(params[i] - expected[i]) < 1e-14, `step ${k}, element ${i}: ${params[i]}, ${expected[i]}`);
    });
  }
});

test('a momentum of 0 has a trace and the same steps as none', () => {
  const [without, with0] = [null, 0].map((momentum) => rmsprop({ learningRate: 0.1, momentum }));
  const [a, b] = [Float32Array.of(1, 2, 3), Float32Array.of(1, 2, 3)];
  const [stateA, stateB] = [without.init(a), with0.init(b)];
  assert.equal(stateA.trace, undefined);
  assert.ok(stateB.trace);
  for (let k = 0; k < 5; k++) {
    const grads = randoms(3);
    without.step(grads, stateA, a);
    with0.step(grads, stateB, b);
  }
  assert.deepEqual(a, b);
});

test('the norm is limited over all leaves together, and left alone below the limit', () => {
  const optimizer = clipByGlobalNorm(5);
  const grads = { a: Float32Array.of(6), b: Float32Array.of(0, 8) };
  const state = optimizer.init(grads);
  const [clipped] = optimizer.update(grads, state);
  assert.deepEqual(numbers(clipped), { a: [3], b: [0, 4] });
  const small = { a: Float32Array.of(3), b: Float32Array.of(0, 3.9) };
  assert.deepEqual(numbers(optimizer.update(small, state)[0]), numbers(small));

  // g <- (g (1 / norm)) maxNorm, rounded at each step; norms of short sums of small whole numbers are exact up to the root
  const f = Math.fround;
  for (let a = 6; a < 40; a++) {
    const norm = f(Math.sqrt(a * a + 25 + 9));
    const expected = { a: [f(f(a * f(1 / norm)) * 5)], b: [f(f(5 * f(1 / norm)) * 5), f(f(3 * f(1 / norm)) * 5)] };
    assert.deepEqual(numbers(optimizer.update({ a: Float32Array.of(a), b: Float32Array.of(5, 3) }, state)[0]), expected);
  }
});

test('multiSteps steps by the mean of its gradients and returns zeros in between', () => {
  const inner = rmsprop({ learningRate: 0.1 });
  const optimizer = multiSteps(inner, (gradientStep) => gradientStep + 1);
  const params = Float32Array.of(1, 2);
  const state = optimizer.init(params);
  const mean = inner.init(params);
  for (let round = 1; round <= 4; round++) {
    const grads = Array.from({ length: round }, () => Float32Array.of(round, -round));
    for (const [k, g] of grads.entries()) {
      const [updates] = optimizer.update(g, state, params);
      const expected = k === round - 1 ? numbers(inner.update(g, mean)[0]) : [-0, 0];
      assert.deepEqual(numbers(updates), expected, `round ${round}, gradient ${k}`);
    }
    assert.equal(state.gradientStep, round);
    assert.equal(state.miniStep, 0);
  }
});

test('transforms of the user take part in a chain', () => {
  const double = {
    init: () => ({ calls: 0 }),
    update: (/** @type {Float32Array} */ updates, /** @type {any} */ state) => [updates.map((x) => 2 * x), { calls: state.calls + 1 }],
  };
  const optimizer = chain(rmsprop({ learningRate: 0.1 }), double);
  const alone = rmsprop({ learningRate: 0.2 });
  const params = Float32Array.of(1, 2, 3);
  const [state, other] = [optimizer.init(params), alone.init(params)];
  const [updates, next] = optimizer.update(Float32Array.of(1, 2, 3), state);
  assert.deepEqual(updates, alone.update(Float32Array.of(1, 2, 3), other)[0]);
  assert.equal(next[1].calls, 1);
  optimizer.step(Float32Array.of(1, 2, 3), next, params);
  assert.equal(next[1].calls, 2);
  assert.deepEqual(cloneState(next)[1], { calls: 2 });
});

// ---- Errors ----

/** @typedef {[() => unknown, ErrorConstructor, RegExp]} Failure what is called, and its error */

const bad = /** @type {any} */ ({ string: 'x', nan: NaN, infinite: -Infinity });

test('options are checked', () => {
  /** @type {Failure[]} */
  const failures = [
    [() => rmsprop(/** @type {any} */ ({})), TypeError, /learningRate must be a finite number or a function, got undefined/],
    [() => rmsprop(/** @type {any} */ (0.1)), TypeError, /rmsprop options must be of type object, got 0.1/],
    [() => rmsprop({ learningRate: bad.string }), TypeError, /learningRate .* got "x"/],
    [() => rmsprop({ learningRate: NaN }), RangeError, /learningRate .* got NaN/],
    ...['decay', 'eps', 'initialScale', 'momentum'].flatMap((name) => /** @type {Failure[]} */ ([
      [() => rmsprop({ learningRate: 1, [name]: bad.nan }), RangeError, new RegExp(`${name} must be a finite number.* got NaN`)],
      [() => rmsprop({ learningRate: 1, [name]: bad.infinite }), RangeError, new RegExp(`${name} .* got -Infinity`)],
      [() => rmsprop({ learningRate: 1, [name]: bad.string }), TypeError, new RegExp(`${name} .* got "x"`)],
    ])),
    ...['epsInSqrt', 'centered', 'nesterov', 'biasCorrection'].map((name) => /** @type {Failure} */ (
      [() => rmsprop({ learningRate: 1, [name]: 1 }), TypeError, new RegExp(`${name} must be of type boolean, got 1`)])),
    [() => rmsprop(/** @type {any} */ ({ learningRate: 1, epsInSqr: true })), TypeError, /no option "epsInSqr"; did you mean "epsInSqrt"/],
    [() => clip(bad.nan), RangeError, /maxDelta/],
    [() => clipByGlobalNorm(bad.string), TypeError, /maxNorm/],
    [() => addDecayedWeights(bad.infinite), RangeError, /weightDecay/],
    [() => ema(bad.nan), RangeError, /decay/],
    [() => ema(0.9, /** @type {any} */ ({ debiass: true })), TypeError, /no option "debiass"; did you mean "debias"/],
    [() => ema(0.9, { debias: bad.string }), TypeError, /debias/],
    [() => multiSteps(rmsprop({ learningRate: 1 }), 0), RangeError, /every must be an integer in \[1, .* got 0/],
    [() => multiSteps(rmsprop({ learningRate: 1 }), 1.5), RangeError, /every/],
    [() => multiSteps(/** @type {any} */ ({ init() {} }), 2), TypeError, /optimizer\.update must be of type function/],
    [() => chain(), RangeError, /transforms must be at least one/],
    [() => chain(rmsprop({ learningRate: 1 }), bad.string), TypeError, /transforms\[1\] must be of type object, got "x"/],
    [() => cosineDecaySchedule({ initValue: 1, decaySteps: 0 }), RangeError, /decaySteps must be greater than 0, got 0/],
    [() => cosineDecaySchedule({ initValue: 1, decaySteps: 1.5 }), RangeError, /decaySteps must be an integer/],
    [() => cosineDecaySchedule(/** @type {any} */ ({ decaySteps: 3 })), TypeError, /initValue must be a finite number, got undefined/],
    [() => cosineDecaySchedule(/** @type {any} */ ({ initValue: 1, decaySteps: 3, alfa: 1 })), TypeError, /did you mean "alpha"/],
    [() => cosineDecaySchedule({ initValue: 1, decaySteps: 3 })(bad.string), TypeError, /count must be a finite number, got "x"/],
    [() => warmupCosineDecaySchedule({ initValue: 0, peakValue: 1, warmupSteps: 5, decaySteps: 5 }), RangeError, /decaySteps .* warmupSteps, 5/],
    [() => piecewiseConstantSchedule({ initValue: 1, boundariesAndScales: { 5: -1 } }), RangeError, /at least 0, got -1/],
    [() => piecewiseConstantSchedule({ initValue: 1, boundariesAndScales: { 1.5: 1 } }), RangeError, /boundariesAndScales/],
    [() => piecewiseInterpolateSchedule({ interpolateType: bad.string, initValue: 1 }), RangeError, /'linear' or 'cosine', got "x"/],
  ];
  for (const [call, type, message] of failures) {
    assert.throws(call, (/** @type {any} */ error) => error.constructor === type && message.test(error.message), `${call}`);
  }
});

test('trees that differ are refused by the name of the place, and nothing has changed then', () => {
  const memory = new Memory();
  for (const [name, make] of Object.entries(transforms)) {
    const optimizer = make();
    const params = { w: tensor([1, 2, 3]), b: [Float32Array.of(1)] };
    const good = { w: tensor([1, 2, 3]), b: [Float32Array.of(1)] };
    const state = optimizer.init(params);
    optimizer.update(good, state, params);
    const disposed = zeros([3]);
    disposed.dispose();
    const w = good.w;
    /** @type {[any, ErrorConstructor, RegExp][]} */
    const failures = [
      [undefined, TypeError, /grads must be given/],
      [w, TypeError, /grads must be an object with the keys \[w,b\], got Tensor/],
      [{ w }, RangeError, /grads must have the keys \[w,b\], got \[w\]/],
      [{ w, c: [] }, RangeError, /grads must have the keys \[w,b\], got \[w,c\]/],
      [{ ...good, b: Float32Array.of(1) }, TypeError, /grads\.b must be an array of length 1, got Float32Array of length 1/],
      [{ ...good, b: [] }, RangeError, /grads\.b must be an array of length 1, got Array of length 0/],
      [{ ...good, b: [1] }, TypeError, /grads\.b\[0\] must be a tensor, a typed array or null, got 1/],
      [{ ...good, w: null, b: null }, TypeError, /grads\.b must be an array of length 1, got null/],
      [{ ...good, b: [new Float32Array(2)] }, RangeError, /grads\.b\[0\] must be of length 1, got Float32Array of length 2/],
      [{ ...good, w: zeros([2]) }, RangeError, /grads\.w must be of 3 elements, got 2/],
      [{ ...good, w: zeros([3], { dtype: 'float64' }) }, TypeError, /grads\.w must be float32, got "float64"/],
      [{ ...good, w: zeros([3], { memory }) }, RangeError, /grads\.w must be in the memory of the state/],
      [{ ...good, w: disposed }, Error, /is disposed/],
      [{ ...good, w: new Map() }, TypeError, /grads\.w must be a tensor, a typed array or null, got Map/],
      [{ ...good, w: new BigInt64Array(3) }, TypeError, /grads\.w/],
    ];
    const before = numbers(params);
    const twin = cloneState(state);
    for (const [grads, type, message] of failures) {
      const isExpected = (/** @type {any} */ error) => error.constructor === type && message.test(error.message);
      assert.throws(() => optimizer.update(grads, state, params), isExpected, `${name}: ${message}`);
      assert.throws(() => optimizer.step(grads, state, params), isExpected, `${name}: ${message}`);
    }
    assert.throws(() => optimizer.step(good, state, undefined), /params must be given/, name);
    assert.throws(() => optimizer.step(good, state, { w: null, b: params.b }), /params\.w must/, name);
    assert.throws(() => optimizer.update(good, state, { w: params.w }), /params must have the keys/, name);
    assert.throws(() => optimizer.update(good, /** @type {any} */ ({}), params), TypeError, name);
    const after = numbers(optimizer.update(good, state, params)[0]);
    assert.deepEqual(after, numbers(optimizer.update(good, twin, params)[0]), name);
    assert.deepEqual(numbers(params), before, name);
    disposeState([state, twin]);
  }
});

test('a callback that fails has changed nothing, also at the end of a chain', () => {
  let isBroken = false;
  const learningRate = () => {
    if (isBroken) throw new Error('broken');
    return 0.1;
  };
  const broken = () => (isBroken ? NaN : 0.1);
  for (const optimizer of [
    chain(ema(0.9), rmsprop({ learningRate })),
    multiSteps(rmsprop({ learningRate }), 2),
    chain(rmsprop({ learningRate: 0.1 }), addDecayedWeights(broken)),
  ]) {
    const params = Float32Array.of(1, 2);
    const state = optimizer.init(params);
    optimizer.step(randoms(2), state, params);
    const twin = cloneState(state);
    const before = [...params];
    const grads = randoms(2);
    isBroken = true;
    assert.throws(() => optimizer.update(grads, state, params), /broken|at count 1 must be a finite number, got NaN/);
    assert.throws(() => optimizer.step(grads, state, params), /broken|NaN/);
    isBroken = false;
    assert.deepEqual([...params], before);
    assert.deepEqual(optimizer.update(grads, state, params)[0], optimizer.update(grads, twin, params)[0]);
  }
});

test('what cannot be trained is refused by name', () => {
  const optimizer = rmsprop({ learningRate: 0.1 });
  assert.throws(() => optimizer.init(undefined), /params must be a tensor, a typed array, null, or an array .* got undefined/);
  assert.throws(() => optimizer.init({ a: [1] }), /params\.a\[0\] must be .* got 1/);
  assert.throws(() => optimizer.init({ a: new Int32Array(2) }), /params\.a must be of float32 or float64, got Int32Array/);
  assert.throws(() => optimizer.init([tensor([1], { dtype: 'int32' })]), /params\[0\] must be of float32 or float64, got "int32"/);
  assert.throws(() => optimizer.init([zeros([1]), zeros([1], { memory: new Memory() })]), /params\[1\] must be in the memory/);
  const twice = tensor([1]);
  const state = optimizer.init([twice, twice]);
  assert.throws(() => optimizer.step([tensor([1]), tensor([1])], state, [twice, twice]), /params must be a tree with each leaf once/);
});

test('a state of other options is refused where its slots differ, and taken where they do not', () => {
  const params = Float32Array.of(1);
  const state = rmsprop({ learningRate: 0.1 }).init(params);
  assert.throws(() => rmsprop({ learningRate: 0.1, momentum: 0.9 }).update(params, state), /state must be one with nu, trace/);
  const [faster] = rmsprop({ learningRate: 0.2 }).update(params, cloneState(state));
  const [slower] = rmsprop({ learningRate: 0.1 }).update(params, state);
  assert.ok(Math.abs(faster[0] / slower[0] - 2) < 1e-6);
  assert.throws(() => ema(0.9).update(params, state), /state must be what init of this transform returned, got RmspropState/);
});

// ---- Schedules ----

test('schedules stay at their start or end where optax says so', () => {
  const constant = [
    polynomialSchedule({ initValue: 3, endValue: 1, power: 2, transitionSteps: 0 }),
    linearSchedule({ initValue: 3, endValue: 1, transitionSteps: -1 }),
    exponentialDecay({ initValue: 3, transitionSteps: 0, decayRate: 0.5 }),
    exponentialDecay({ initValue: 3, transitionSteps: 5, decayRate: 0 }),
    piecewiseConstantSchedule({ initValue: 3 }),
    piecewiseInterpolateSchedule({ interpolateType: 'linear', initValue: 3 }),
  ];
  for (const schedule of constant) assert.deepEqual([0, 1, 1000].map(schedule), [3, 3, 3]);
  const line = linearSchedule({ initValue: 1, endValue: 0, transitionSteps: 4, transitionBegin: 2 });
  assert.deepEqual([0, 2, 3, 6, 100].map(line), [1, 1, 0.75, 0, 0]);
  const growing = exponentialDecay({ initValue: 1, transitionSteps: 1, decayRate: 2, endValue: 6, transitionBegin: -3 });
  assert.deepEqual([0, 1, 2, 3].map(growing), [1, 2, 4, 6]);
  assert.equal(cosineDecaySchedule({ initValue: 2, decaySteps: 10, alpha: 0.25 })(50), 0.5);
});
