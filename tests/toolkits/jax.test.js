/**
 * optax's rmsprop on arrays of jax-js, whose wasm and cpu backends run here: both paths, references, errors, states.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as jax from '@jax-js/jax';
import * as optax from 'rmsprop-wasm/optax';
import {
  applyUpdates, cloneState, cosineDecaySchedule, disposeState, exponentialDecay, exportState, rmsprop, saveState,
  wrap,
} from 'rmsprop-wasm/jax';
import { largestUlp } from '../bits.js';

const { numpy: np, tree, jit, valueAndGrad } = jax;

before(async () => {
  await jax.init('wasm', 'cpu');
  jax.defaultDevice('wasm');
});

/** @typedef {import('../../js/jax.js').JaxRmspropOptions} Options */

const schedule = cosineDecaySchedule({ initValue: 0.05, decaySteps: 7 });

/** Every option, in combinations. @type {Record<string, Options>} */
const cases = {
  plain: { learningRate: 0.01 },
  outside: { learningRate: 0.01, epsInSqrt: false, initialScale: 0.5 },
  momentum: { learningRate: 0.01, momentum: 0.9 },
  'momentum 0': { learningRate: 0.01, momentum: 0 },
  nesterov: { learningRate: 0.01, momentum: 0.9, nesterov: true, decay: 0.99, eps: 1e-5 },
  centered: { learningRate: 0.01, centered: true },
  'bias corrected': { learningRate: 0.01, biasCorrection: true },
  scheduled: { learningRate: schedule, momentum: 0.5 },
  // A large eps: the first corrected variance is zero up to rounding.
  everything: {
    learningRate: exponentialDecay({ initValue: 0.1, transitionSteps: 3, decayRate: 0.5 }), decay: 0.8, eps: 0.1, initialScale: 0.1,
    centered: true, momentum: 0.9, nesterov: true, biasCorrection: true,
  },
  'everything outside': {
    learningRate: 0.01, eps: 0.1, epsInSqrt: false, centered: true, momentum: 0.9, nesterov: true, biasCorrection: true,
  },
};

/** What each path is given: { numpy } runs operations one by one. */
const paths = {
  kernel: { module: jax, path: /** @type {const} */ ('kernel') },
  'operations, compiled': { module: jax, path: /** @type {const} */ ('operations') },
  'operations, one by one': { module: { numpy: np, tree }, path: /** @type {const} */ ('operations') },
};

let seed = 1;
const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5;
const randoms = (/** @type {number} */ length) => Float32Array.from({ length }, random);

/** @param {(shape: number[]) => any} make @returns {any} a tree of three shapes */
const treeOf = (make) => ({ layers: [{ w: make([3, 7]), b: make([7]) }], scale: make([]) });
const size = (/** @type {number[]} */ shape) => shape.reduce((product, length) => product * length, 1);
const randomTree = () => treeOf((shape) => randoms(size(shape)));
/** @param {any} values a tree as `randomTree` makes it */
const arrays = (values) => {
  const flat = tree.leaves(values);
  return treeOf((shape) => np.array(/** @type {any} */ (flat.shift()), { shape }));
};
/** @param {any} arrays not consumed @returns {Float32Array[]} */
const read = (arrays) => tree.leaves(arrays).map((/** @type {any} */ array) => array.ref.dataSync());
/** @param {any} arrays consumed @returns {Float32Array[]} */
const drain = (arrays) => tree.leaves(arrays).map((/** @type {any} */ array) => array.dataSync());
/** @param {any} arrays @returns {number[]} */
const references = (arrays) => tree.leaves(arrays).map((/** @type {any} */ array) => array.refCount);

/**
 * @param {any} actual
 * @param {any} expected
 * @param {string} message
 * @param {number} [folded] ulps allowed in a leaf of one element
 */
function assertEqual(actual, expected, message, folded = 0) {
  tree.leaves(expected).forEach((/** @type {any} */ values, i) => {
    const distance = largestUlp(/** @type {any} */ (tree.leaves(actual)[i]), values);
    assert.ok(distance <= (values.length === 1 ? folded : 0), `${message}: leaf ${i} is ${distance} ulp off`);
  });
}

/**
 * @param {any} optimizer
 * @param {any} params consumed
 * @param {any} state
 * @param {Record<string, any>[]} grads numbers
 * @returns {[any, any]}
 */
function train(optimizer, params, state, grads) {
  for (const each of grads) [params, state] = optimizer.step(arrays(each), state, params);
  return [params, state];
}

/** `applyUpdates` in one go. */
const applyCompiled = jit(applyUpdates);

/*
 * Equal bits, on the operations' path too: its order of operations is the kernels', and the wasm backend rounds each one. There
 * is one exception. jax-js makes constants of arrays with equal elements, and outside of jit computes with these in double. One
 * by one, leaves of one element are such constants, and lack a rounding in each operation of nine steps; and a centered variance
 * that its correction makes zero up to rounding is another one.
 */
for (const [name, options] of Object.entries(cases)) {
  for (const [way, { module, path }] of Object.entries(paths)) {
    if (path === 'operations' && !('jit' in module) && options.centered && options.biasCorrection) continue;
    test(`${name}, ${way}: update, applyUpdates and step have the bits of optax.js`, () => {
      const folded = way === 'operations, one by one' ? 64 : 0;
      const start = randomTree();
      const theirs = optax.rmsprop(/** @type {any} */ (options));
      const theirState = theirs.init(start);
      let expected = start;

      const optimizer = rmsprop(module, { ...options, path });
      let params = arrays(start);
      let stepped = arrays(start);
      let state = optimizer.init(tree.ref(params));
      let other = optimizer.init(tree.ref(stepped));
      for (let k = 0; k < 9; k++) {
        const grads = randomTree();
        const [theirUpdates] = theirs.update(grads, theirState);
        expected = optax.applyUpdates(expected, theirUpdates);
        const handed = arrays(grads);
        let updates;
        [updates, state] = optimizer.update(tree.ref(handed), state);
        assertEqual(read(updates), theirUpdates, `update ${k}`, folded);
        params = applyCompiled(params, updates);
        [stepped, other] = optimizer.step(handed, other, stepped);
        assertEqual(read(params), expected, `applyUpdates ${k}`, folded);
        assertEqual(read(stepped), expected, `step ${k}`, folded);
        assert.deepEqual(references(handed), [0, 0, 0], 'gradients are consumed');
      }
      tree.leaves(stepped).forEach((/** @type {any} */ array, i) => assert.deepEqual(array.shape, [[3, 7], [7], []][i]));
      optax.disposeState(theirState);
      tree.dispose([params, stepped]);
      for (const each of [state, other]) disposeState(each);
    });
  }
}

test('nothing leaks: the memories of jax-js and of the kernels stay as large as they are', () => {
  const script = `
    const memories = [];
    const { Memory: Original } = WebAssembly;
    WebAssembly.Memory = class extends Original { constructor(...args) { super(...args); memories.push(this); } };
    const jax = await import('@jax-js/jax');
    await jax.init('wasm');
    jax.defaultDevice('wasm');
    const [theirs] = memories;
    const { Memory } = await import('rmsprop-wasm');
    const { applyUpdates, disposeState, rmsprop } = await import('rmsprop-wasm/jax');
    const { numpy: np, tree } = jax;
    const options = { learningRate: (n) => 0.1 / (1 + n), centered: true, momentum: 0.9, nesterov: true, biasCorrection: true };
    const big = () => ({ w: np.array(Float32Array.from({ length: 2 ** 16 }, (_, i) => Math.sin(i)), { shape: [256, 256] }) });
    const ways = [['kernel', jax, 'kernel'], ['compiled', jax, 'operations'], ['one by one', { numpy: np }, 'operations']];
    const runs = ways.flatMap((way) => [[...way, options], [...way, { learningRate: 0.1, momentum: 0.9 }]]);
    for (const [name, module, path, more] of runs) {
      const optimizer = rmsprop(module, { ...more, path });
      const before = Memory.default.bytesInUse;
      let [params, state, updates] = [big(), undefined, undefined];
      const grads = big();
      state = optimizer.init(tree.ref(params));
      const cycle = (times) => {
        for (let k = 0; k < times; k++) {
          [updates, state] = optimizer.update(tree.ref(grads), state, tree.ref(params));
          params = applyUpdates(params, updates);
          [params, state] = optimizer.step(tree.ref(grads), state, params);
          params.w.ref.dataSync();
          if (grads.w.refCount !== 1 || params.w.refCount !== 1) throw new Error(name + ': references');
        }
        return [theirs.buffer.byteLength, Memory.default.bytesInUse];
      };
      const early = cycle(5);
      const late = cycle(200);
      if (String(early) !== String(late)) throw new Error(name + ': ' + early + ' bytes, ' + late + ' after 200 steps');
      disposeState(state);
      tree.dispose([params, grads]);
      if (Memory.default.bytesInUse !== before) throw new Error(name + ': the state is not freed');
      const start = theirs.buffer.byteLength;
      for (let k = 0; k < 100; k++) disposeState(optimizer.init(big()));
      if (theirs.buffer.byteLength !== start || Memory.default.bytesInUse !== before) throw new Error(name + ': init leaks');
    }
    console.log('flat');
  `;
  const cwd = fileURLToPath(new URL('.', import.meta.url));
  const args = [...process.execArgv.filter((arg) => arg.startsWith('--import')), '--input-type=module', '--eval', script];
  assert.equal(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' }).trim(), 'flat');
});

for (const [way, { module, path }] of Object.entries(paths)) {
  test(`${way}: what is handed over is consumed, and references that are kept stay`, () => {
    const optimizer = rmsprop(module, { learningRate: 0.1, momentum: 0.9, path });
    const [params, grads] = [arrays(randomTree()), arrays(randomTree())];
    const start = optimizer.init(tree.ref(params));
    assert.deepEqual(references(params), [1, 1, 1]);
    const [updates, state] = optimizer.update(tree.ref(grads), start, tree.ref(params));
    assert.deepEqual(references([params, grads]), [1, 1, 1, 1, 1, 1]);
    const held = references(updates); // one by one, an update can be the trace itself
    const next = applyUpdates(tree.ref(params), tree.ref(updates));
    assert.deepEqual(references([params, next]), [1, 1, 1, 1, 1, 1]);
    assert.deepEqual(references(updates), held);
    const [last] = optimizer.step(grads, state, next);
    assert.deepEqual(references([grads, next, last]), [0, 0, 0, 0, 0, 0, 1, 1, 1]);
  });

  test(`${way}: a call that throws has consumed and changed nothing`, () => {
    let answer = /** @type {any} */ (0.1);
    const optimizer = rmsprop(module, { learningRate: () => answer, momentum: 0.9, path });
    const [start, g] = [randomTree(), randomTree()];
    const [params, grads] = [arrays(start), arrays(g)];
    const state = optimizer.init(tree.ref(params));
    const before = exportState(state);
    const freed = np.array(randoms(7));
    freed.dispose();
    const w = grads.layers[0].w;
    const withB = (/** @type {any} */ b) => ({ ...grads, layers: [{ w, b }] });
    const double = np.zeros([7], { dtype: np.float64 });
    /** @type {[any, any, any, any, RegExp][]} */
    const wrong = [
      [undefined, state, params, TypeError, /^grads must be an object with the keys \[layers,scale\], got undefined$/],
      [withB(freed), state, params, RangeError, /^grads\.layers\[0\]\.b must be an array that is not freed .*, got "Array:float32\[7\]"$/],
      [withB(w), state, params, RangeError, /^grads\.layers\[0\]\.b must be of shape \[7\], got \[3,7\]$/],
      [withB(double), state, params, TypeError, /^grads\.layers\[0\]\.b must be float32, got "float64"$/],
      [withB(randoms(7)), state, params, TypeError, /^grads\.layers\[0\]\.b must be a jax-js array or null, got Float32Array of/],
      [grads, {}, params, TypeError, /^state must be what init of this optimizer returned, got Object$/],
      [grads, undefined, params, TypeError, /^state must be what init of this optimizer returned, got undefined$/],
      [grads, state, grads, RangeError, /^params\..* must be a reference of its own, \.ref, for each of 2 places, got 1$/],
      [grads, state, { ...params, scale: null }, TypeError, /^params\.scale must be a jax-js array, got null$/],
      [grads, state, [], TypeError, /^params must be an object with the keys/],
    ];
    const unchanged = (/** @type {string} */ message) => {
      assert.deepEqual(references([params, grads]), [1, 1, 1, 1, 1, 1], message);
      assert.deepEqual(exportState(state), before, message);
      assert.deepEqual(read([params, grads]), tree.leaves([start, g]), message);
    };
    for (const [badGrads, badState, badParams, type, message] of wrong) {
      for (const method of /** @type {const} */ (['update', 'step'])) {
        assert.throws(() => optimizer[method](badGrads, badState, badParams), (/** @type {any} */ error) => {
          assert.ok(error instanceof type, String(error));
          assert.match(error.message, message);
          return true;
        });
        unchanged(`${method}: ${message}`);
      }
    }
    assert.throws(() => optimizer.step(grads, state, undefined), { name: 'TypeError', message: /^params must be / });
    for (const [rate, type] of /** @type {const} */ ([[NaN, RangeError], ['1', TypeError], [undefined, TypeError]])) {
      answer = rate;
      const expected = { name: type.name, message: /^learningRate at count 0 must be a finite number, got / };
      assert.throws(() => optimizer.update(grads, state), expected);
      assert.throws(() => optimizer.step(grads, state, params), expected);
      unchanged(`rate ${rate}`);
    }
    answer = 0.1;
    assert.throws(() => optimizer.init([params.scale, 3]), { name: 'TypeError', message: /^params\[1\] must be a jax-js array, null, or/ });
    assert.throws(() => optimizer.init([np.array(1, { dtype: np.int32 })]), { message: /^params\[0\] must be an array of float32 or/ });
    assert.throws(() => optimizer.init([freed]), { name: 'RangeError', message: /^params\[0\] must be an array that is not freed/ });
    assert.throws(() => applyUpdates(params, withB(freed)), { name: 'RangeError', message: /^updates\.layers\[0\]\.b must be an array / });
    assert.throws(() => applyUpdates(params, [grads]), { name: 'TypeError', message: /^updates must be an object/ });
    unchanged('init and applyUpdates');

    const theirs = optax.rmsprop({ learningRate: 0.1, momentum: 0.9 });
    const [expected] = theirs.update(g, theirs.init(start));
    assertEqual(drain(optimizer.update(grads, state)[0]), expected, 'the call after', 64);
  });

  test(`${way}: a null in the place of a gradient passes through`, () => {
    const optimizer = rmsprop(module, { learningRate: 0.1, momentum: 0.9, path });
    const params = arrays(randomTree());
    const start = optimizer.init(tree.ref(params));
    const grads = () => ({ layers: [{ w: arrays(randomTree()).layers[0].w, b: null }], scale: null });
    const [updates, state] = optimizer.update(grads(), start);
    assert.deepEqual([updates.layers[0].b, updates.scale], [null, null]);
    const added = applyUpdates(tree.ref(params), updates);
    assert.equal(added.scale, params.scale);
    const [stepped, after] = optimizer.step(grads(), state, tree.ref(params));
    assert.equal(stepped.layers[0].b, params.layers[0].b);
    assert.notEqual(stepped.layers[0].w, params.layers[0].w);
    assert.deepEqual([params.scale.refCount, params.layers[0].w.refCount], [3, 1], 'params, added and stepped; params');
    const saved = exportState(after);
    assert.equal(saved.count, 2);
    assert.deepEqual([saved.nu.scale, saved.nu.layers[0].b], [new Float32Array(1), new Float32Array(7)]);
    assert.ok(saved.nu.layers[0].w.every((/** @type {number} */ x) => x > 0));
  });

  test(`${way}: clones and saved states go on with equal bits, on either path`, () => {
    const options = { ...cases.everything, centered: false };
    const optimizer = rmsprop(module, { ...options, path });
    const start = randomTree();
    const [first, second] = [0, 0].map(() => Array.from({ length: 3 }, randomTree));
    const [params, state] = train(optimizer, arrays(start), optimizer.init(arrays(start)), first);
    const copy = cloneState(state);
    const saved = structuredClone(exportState(state));
    assert.deepEqual(Object.keys(saved), ['count', 'nu', 'trace']);
    assert.equal(saved.count, 3);
    const others = Object.values(paths).map((other) => rmsprop(other.module, { ...options, path: other.path }));
    const restored = others.map((other) => other.restore(tree.ref(params), saved));
    restored.forEach((other) => assert.deepEqual(exportState(other), saved));
    const fromFile = others.map((other) => other.restore(tree.ref(params), saveState(state)));
    fromFile.forEach((other) => {
      assert.deepEqual(exportState(other), saved);
      disposeState(other);
    });

    const [expected, end] = train(optimizer, tree.ref(params), state, second);
    const numbers = read(expected);
    const [cloned, cloneEnd] = train(optimizer, tree.ref(params), copy, second);
    assertEqual(read(cloned), numbers, 'clone');
    restored.forEach((other, i) => {
      const [actual, otherEnd] = train(others[i], tree.ref(params), other, second);
      assertEqual(read(actual), numbers, `restored ${i}`, 64);
      assertEqual(exportState(otherEnd), exportState(end), `restored ${i}`, 64);
      disposeState(otherEnd);
    });
    assert.deepEqual(exportState(cloneEnd), exportState(end));
    for (const each of [end, cloneEnd]) disposeState(each);
    if (path === 'kernel') {
      disposeState(end);
      assert.throws(() => optimizer.update(arrays(start), end), /^Error: state is disposed$/);
      assert.throws(() => exportState(end), /^Error: state is disposed$/);
    }

    const p = arrays(start);
    for (const [wrong, message] of /** @type {[any, RegExp][]} */ ([
      [null, /^saved must be of type object, got null$/],
      [{ ...saved, count: -1 }, /^saved\.count must be an integer in \[0, 2147483647\], got -1$/],
      [{ count: 1, nu: saved.nu }, /^saved must be a state with count, nu, trace, got "count, nu"$/],
      [{ ...saved, mu: saved.nu }, /^saved must be a state with count, nu, trace, got "count, nu, trace, mu"$/],
      [{ ...saved, nu: [] }, /^saved\.nu must be an object/],
      [{ ...saved, nu: { ...saved.nu, scale: new Float32Array(2) } }, /^saved\.nu\.scale must be of length 1, got Float32Array of length 2$/],
      [{ ...saved, trace: { ...saved.nu, scale: new Float64Array(1) } }, /^saved\.trace\.scale must be a Float32Array, got Float64Array/],
    ])) assert.throws(() => optimizer.restore(p, wrong), { message });
    assert.deepEqual(references(p), [1, 1, 1]);
  });

  test(`${way}: on the cpu backend, too, and results stay on the device of the gradients`, () => {
    const optimizer = rmsprop(module, { learningRate: 0.1, momentum: 0.5, path });
    const on = (/** @type {number[]} */ values) => np.array(Float32Array.from(values), { device: 'cpu' });
    const [updates, state] = optimizer.update([on([3, -4, 0])], optimizer.init([on([1, 2, 3])]));
    assert.equal(updates[0].device, 'cpu');
    const [params] = optimizer.step([on([1, 1, 1])], state, applyUpdates([on([1, 2, 3])], updates));
    assert.equal(params[0].device, 'cpu');
    const theirs = optax.rmsprop({ learningRate: 0.1, momentum: 0.5 });
    const theirState = theirs.init([new Float32Array(3)]);
    const expected = optax.applyUpdates([Float32Array.of(1, 2, 3)], theirs.update([Float32Array.of(3, -4, 0)], theirState)[0]);
    theirs.step([Float32Array.of(1, 1, 1)], theirState, expected);
    // That backend computes a whole kernel in double and rounds its result.
    drain(params)[0].forEach((x, i) => assert.ok(Math.abs(x - expected[0][i]) <= 4e-7, `${x} ${expected[0][i]}`));
  });
}

test('operations work inside of jit: a whole step, the count an array', () => {
  const fixed = randomTree();
  const flat = tree.leaves(fixed);
  const nearFixed = (/** @type {number} */ k) => treeOf(() => {
    const values = /** @type {Float32Array} */ (flat.shift());
    flat.push(values);
    return values.map((x, i) => x * (1 + 1e-3 * Math.sin(7 * k + i)));
  });
  const all = cases['everything outside'];
  for (const options of [cases.nesterov, cases['bias corrected'], all, { ...all, decay: 0.9999, centered: false }]) {
    const optimizer = rmsprop(jax, { ...options, path: 'operations' });
    const start = randomTree();
    const compiled = jit((/** @type {any} */ grads, /** @type {any} */ state, /** @type {any} */ params) => {
      const [updates, next] = optimizer.update(grads, state, tree.ref(params));
      return [applyUpdates(params, updates), next];
    });
    let [params, expected] = [arrays(start), arrays(start)];
    let [state, other] = [optimizer.init(tree.ref(params)), optimizer.init(tree.ref(params))];
    for (let k = 0; k < 20; k++) {
      // Nearly the same in each step: a centered variance is what is left of a difference.
      const grads = nearFixed(k);
      [params, state] = compiled(arrays(grads), state, params);
      [expected, other] = optimizer.step(arrays(grads), other, expected);
      const actual = read(params);
      read(expected).forEach((values, i) => values.forEach((x, j) => {
        const distance = Math.abs(actual[i][j] - x);
        assert.equal(distance, 0, `step ${k}: leaf ${i} is off by ${distance}`);
      }));
    }
    assert.equal(exportState(state).count, 20);
    // From a compiled step back to an eager one: the count is read from the array.
    [params, state] = optimizer.step(arrays(start), state, params);
    assert.equal(exportState(state).count, 21);
    tree.dispose([params, state, expected, other]);
  }
});

test('inside of jit the bias is corrected at any count, as outside', () => {
  for (const decay of [0.9, 0.9999, 0.999999]) {
    const optimizer = rmsprop(jax, { learningRate: 1, decay, biasCorrection: true, path: 'operations' });
    const compiled = jit((/** @type {any} */ g, /** @type {any} */ state) => optimizer.update(g, state));
    for (const count of [0, 1, 100, 2 ** 16 - 2, 2 ** 16 - 1, 2 ** 16, 2 ** 20, 2 ** 31 - 2, 2 ** 31 - 1]) {
      const saved = { count, nu: [Float32Array.of(0.25, 1e-4)] };
      const [one, other] = [optimizer.restore([np.zeros([2])], saved), optimizer.restore([np.zeros([2])], saved)];
      const [[actual], next] = compiled([np.array(Float32Array.of(1, -1))], one);
      const [[expected], after] = optimizer.update([np.array(Float32Array.of(1, -1))], other);
      const [a, b] = [actual.dataSync(), expected.dataSync()];
      // Beyond the table the power is a product of up to 31 roundings: of 1 - decay^65536, 0.06, they are 3e-5.
      a.forEach((/** @type {number} */ x, /** @type {number} */ i) =>
        assert.ok(Math.abs(x / b[i] - 1) <= (count < 2 ** 16 || decay === 0.9 ? 0 : 3e-5), `decay ${decay}, count ${count}: ${x} ${b[i]}`));
      disposeState(next);
      disposeState(after);
    }
  }
});

test('inside of jit init works, and a rate is an argument or computed from the count', () => {
  const grads = randomTree();
  const constant = rmsprop(jax, { learningRate: 0.25 });
  const numbers = drain(constant.update(arrays(grads), constant.init(arrays(grads)))[0]);
  const once = (/** @type {any} */ learningRate) => (/** @type {any} */ g) => {
    const optimizer = rmsprop(jax, { learningRate });
    return optimizer.update(g, optimizer.init(tree.ref(g)))[0];
  };
  const byArgument = jit((/** @type {any} */ g, /** @type {any} */ rate) => once(() => rate)(g));
  assertEqual(drain(byArgument(arrays(grads), np.array(Float32Array.of(0.25), { shape: [] }))), numbers, 'argument');
  const rates = (/** @type {any} */ count) => (typeof count === 'number' ? NaN : count.ref.astype(np.float32).add(1).mul(0.25));
  const byCount = rmsprop(jax, { learningRate: rates, path: 'operations' });
  const computed = jit((/** @type {any} */ g, /** @type {any} */ state) => byCount.update(g, state));
  assertEqual(drain(computed(arrays(grads), byCount.init(arrays(grads)))[0]), numbers, 'computed');

  const scheduled = rmsprop(jax, { learningRate: schedule, path: 'operations' });
  const ours = jit((/** @type {any} */ g, /** @type {any} */ state) => scheduled.update(g, state));
  assert.throws(() => ours(arrays(grads), scheduled.init(arrays(grads))), {
    name: 'TypeError',
    message: /^learningRate must be a schedule of jax-js operations inside of jit, .* pass the rate as an argument .* \(\) => rate$/,
  });
  const numeric = rmsprop(jax, { learningRate: (count) => 0.1 / (1 + count), path: 'operations' });
  const compiled = jit((/** @type {any} */ g, /** @type {any} */ state) => numeric.update(g, state));
  assert.throws(() => compiled(arrays(grads), numeric.init(arrays(grads))), /pass the rate as an argument/);
  const vector = jit(once(() => np.zeros([2])));
  assert.throws(() => vector(arrays(grads)), { name: 'RangeError', message: /^learningRate must be an array without dimensions, got "\[2\]"$/ });
  const kernel = jit((/** @type {any} */ g) => rmsprop(jax, { learningRate: 1, path: 'kernel' }).init(g));
  assert.throws(() => kernel(arrays(grads)), { name: 'TypeError', message: /must be an array with numbers, unless path is 'operations', got / });
});

test('step keeps the weights, and reads those that come from elsewhere', () => {
  const optimizer = rmsprop(jax, { learningRate: 0.1, path: 'kernel' });
  const operations = rmsprop(jax, { learningRate: 0.1, path: 'operations' });
  let [params, state] = [arrays(randomTree()), optimizer.init(arrays(randomTree()))];
  let [others, other] = [tree.ref(params), operations.init(arrays(randomTree()))];
  let [reads, depth] = [0, 0];
  const { dataSync } = jax.Array.prototype;
  jax.Array.prototype.dataSync = function () {
    if (depth++ === 0) reads++; // that of a constant calls itself
    const data = dataSync.call(this);
    depth--;
    return data;
  };
  try {
    for (let k = 0; k < 6; k++) {
      const grads = randomTree();
      if (k === 3) {
        tree.dispose([params.scale, others.scale]);
        params = { ...params, scale: np.array(Float32Array.of(7), { shape: [] }) };
        others = { ...others, scale: params.scale.ref };
      }
      reads = 0;
      [params, state] = optimizer.step(arrays(grads), state, params);
      assert.equal(reads, 3 + [3, 0, 0, 1, 0, 0][k], `step ${k}`);
      [others, other] = operations.step(arrays(grads), other, others);
      assert.deepEqual(read(params), read(others), `step ${k}`);
    }
  } finally {
    jax.Array.prototype.dataSync = dataSync;
  }
});

test('gradients may be views, leaves empty, and one array stand in several places', () => {
  for (const { module, path } of Object.values(paths)) {
    const optimizer = rmsprop(module, { learningRate: 0.1, path });
    const values = randoms(6);
    let state = optimizer.init([np.array(values, { shape: [3, 2] }), np.zeros([0, 3])]);
    const view = np.array(values, { shape: [2, 3] }).transpose();
    const [updates] = optimizer.update([view, np.zeros([0, 3])], state);
    assert.deepEqual([updates[0].shape, updates[1].shape], [[3, 2], [0, 3]]);
    const expected = optax.rmsprop({ learningRate: 0.1 });
    const order = [0, 3, 1, 4, 2, 5].map((i) => values[i]);
    assert.deepEqual(drain([updates[0]])[0], expected.update(Float32Array.from(order), expected.init(values))[0]);

    const tied = np.array(randoms(3));
    state = optimizer.init([tied.ref, tied.ref]);
    const g = np.array(randoms(3));
    const [[a, b]] = optimizer.step([g.ref, g], state, [tied.ref, tied]);
    assert.deepEqual(a.dataSync(), b.dataSync());
    assert.deepEqual([g.refCount, tied.refCount], [0, 0]);
    assert.deepEqual(optimizer.update({}, optimizer.init({}))[0], {});
  }
});

test('float64 on both paths; where there is no Float16Array jax-js cannot make float64 arrays, and the kernel path says so', () => {
  const scope = /** @type {any} */ (globalThis);
  const had = scope.Float16Array;
  const make = () => np.array(Float32Array.of(1, 2, 3)).astype(np.float64);
  const options = { learningRate: 0.1, momentum: 0.9, centered: true };
  const kernel = rmsprop(jax, { ...options, path: 'kernel' });
  const params = [make()];
  delete scope.Float16Array;
  const message = 'params[0] must be float32 where there is no Float16Array, got "float64"';
  assert.throws(() => kernel.init(params), { name: 'TypeError', message });
  scope.Float16Array = had ?? class {};
  try {
    const values = [Float64Array.of(1, 2, 3)];
    const theirs = optax.rmsprop(options);
    const theirState = theirs.init(values);
    for (let k = 0; k < 3; k++) theirs.step([Float64Array.of(1, 2, 3)], theirState, values);
    for (const optimizer of [kernel, rmsprop(jax, { ...options, path: 'operations' })]) {
      let [x, state] = [[make()], optimizer.init([make()])];
      for (let k = 0; k < 3; k++) [x, state] = optimizer.step([make()], state, x);
      drain(x)[0].forEach((actual, i) => assert.ok(Math.abs(actual - values[0][i]) < 1e-14, `${actual} ${values[0][i]}`));
      disposeState(state);
    }
  } finally {
    if (!had) delete scope.Float16Array;
  }
  tree.dispose(params);
});

test('auto takes the kernels, and operations where memory is shared or the numbers are on a GPU', () => {
  const make = (/** @type {any} */ options = {}) => [np.array(Float32Array.of(1, 2), options)];
  const kindOf = (/** @type {any} */ module, /** @type {any} */ params) =>
    (rmsprop(module, { learningRate: 0.1 }).init(params).count === undefined ? 'kernel' : 'operations');
  assert.equal(kindOf(jax, make()), 'kernel');
  assert.equal(kindOf(jax, make({ device: 'cpu' })), 'kernel');
  const [gpu] = make();
  Object.defineProperty(gpu, 'device', { value: 'webgpu' });
  assert.equal(kindOf(jax, [gpu]), 'operations');
  const scope = /** @type {any} */ (globalThis);
  scope.crossOriginIsolated = true;
  try {
    assert.equal(kindOf(jax, make()), 'operations');
    assert.equal(kindOf({ numpy: np }, make()), 'kernel', 'one by one they are slower');
    assert.equal(kindOf(jax, make({ device: 'cpu' })), 'kernel');
  } finally {
    delete scope.crossOriginIsolated;
  }
});

test('options and the module are checked', () => {
  for (const [module, options, message] of /** @type {[any, any, string][]} */ ([
    [jax, { learningRate: 0.1, path: 'fast' }, "path must be 'auto', 'kernel' or 'operations', got \"fast\""],
    [jax, { learningRate: 0.1, pth: 'auto' }, 'rmsprop has no option "pth"; did you mean "path"?'],
    [jax, { learningRate: '0.1' }, 'learningRate must be a finite number or a function, got "0.1"'],
    [jax, undefined, 'rmsprop options must be of type object, got undefined'],
    [jax, { learningRate: 0.1, decay: NaN }, 'decay must be a finite number, got NaN'],
    [{}, { learningRate: 0.1 }, 'jax must be the module @jax-js/jax, or { numpy } of it, got Object'],
    [undefined, { learningRate: 0.1 }, 'jax must be the module @jax-js/jax, or { numpy } of it, got undefined'],
    [{ numpy: np, jit: true }, { learningRate: 0.1 }, 'jax.jit must be a function, got true'],
  ])) assert.throws(() => rmsprop(module, options), { message });
  const half = /** @type {any} */ ({ init() {}, update() {} });
  assert.throws(() => wrap(jax, half), { message: 'transform.step must be of type function, got undefined' });
  const [plain, centered] = [{}, { centered: true }].map((more) => rmsprop(jax, { learningRate: 0.1, path: 'operations', ...more }));
  const kernels = rmsprop(jax, { learningRate: 0.1, path: 'kernel' });
  const zeros = () => [np.zeros([2])];
  const state = plain.init(zeros());
  assert.throws(() => centered.update(zeros(), state), { message: 'state must be one with nu, mu, got "nu"' });
  for (const [optimizer, other, name] of /** @type {const} */ ([[kernels, plain, 'Object'], [plain, kernels, 'KernelState']])) {
    const message = `state must be what init of this optimizer returned, got ${name}`;
    assert.throws(() => optimizer.update(zeros(), other.init(zeros())), { message });
  }
});

test('wrap runs any transform of optax.js: clipping, weight decay, averages, accumulation', () => {
  const { addDecayedWeights, chain, clipByGlobalNorm, ema, multiSteps } = optax;
  for (const make of [
    () => chain(clipByGlobalNorm(0.5), addDecayedWeights(0.01), optax.rmsprop({ learningRate: 0.01, momentum: 0.9 })),
    () => chain(optax.rmsprop({ learningRate: schedule }), ema(0.9), addDecayedWeights(-1e-4)),
    () => multiSteps(optax.rmsprop({ learningRate: 0.01, centered: true }), 3),
  ]) {
    const [optimizer, theirs, start] = [wrap(jax, make()), make(), randomTree()];
    let expected = start;
    let [params, state] = [arrays(start), optimizer.init(arrays(start))];
    const theirState = theirs.init(start);
    for (let k = 0; k < 7; k++) {
      const grads = randomTree();
      const [changes] = theirs.update(grads, theirState, expected);
      expected = optax.applyUpdates(expected, changes);
      if (k % 2) {
        const [updates, next] = optimizer.update(arrays(grads), state, tree.ref(params));
        assertEqual(read(updates), changes, `update ${k}`);
        [params, state] = [applyCompiled(params, updates), next];
      } else {
        [params, state] = optimizer.step(arrays(grads), state, params);
      }
      assertEqual(read(params), expected, `step ${k}`);
    }
    const copy = cloneState(state);
    disposeState(state);
    optimizer.step(arrays(start), copy, params);
    disposeState(copy);
  }
  const clipped = wrap(jax, optax.chain(optax.clip(1)));
  assert.throws(() => exportState(clipped.init([np.zeros([2])])), { message: /^state must be one of rmsprop: / });
});

test('both paths train, with equal losses', () => {
  const [xs, ys] = [randoms(40), randoms(20)];
  const loss = (/** @type {any} */ { w, b }) => np.square(np.matmul(np.array(xs, { shape: [20, 2] }), w).add(b).sub(np.array(ys))).mean();
  const gradient = jit(valueAndGrad(loss));
  const runs = Object.values(paths).map(({ module, path }) => {
    const optimizer = rmsprop(module, { learningRate: 0.05, momentum: 0.5, path });
    let params = { w: np.array(Float32Array.of(1, -1)), b: np.array(Float32Array.of(1, 1.5)).sum() };
    let state = optimizer.init(tree.ref(params));
    const losses = [];
    for (let k = 0; k < 50; k++) {
      const [value, grads] = gradient(tree.ref(params));
      losses.push(value.item());
      [params, state] = optimizer.step(grads, state, params);
    }
    return losses;
  });
  assert.ok(runs[0][49] < runs[0][0] / 4, `${runs[0][0]} ${runs[0][49]}`);
  assert.deepEqual(runs[1], runs[0]);
  runs[2].forEach((value, k) => assert.ok(Math.abs(value - runs[0][k]) < 1e-5));
});
