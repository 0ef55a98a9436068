/** What the optimizer for TensorFlow.js refuses, on its wasm backend (in place), its cpu backend (copies) and by operations. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as entry from 'rmsprop-wasm/tfjs';
import { common } from '../failure/inputs.js';
import { Mine, bad, bitsOf, callback, finite, flag, kind, list, membersOf, mine, object, options, outside, plus, surfaceOf, testTable,
  text } from '../failure/table.js';

/** @typedef {any} Any */
/** @typedef {import('../failure/table.js').ErrorType} ErrorType */
/** @typedef {import('../failure/table.js').Rows} Rows */

const { register, rmsprop } = entry;

tf.registerBackend('operations', () => new MathBackendCPU());
tf.copyRegisteredKernels('cpu', 'operations');

const hyperparameter = (/** @type {string} */ name) => finite(name, { expectation: 'a finite number or callback', also: ['callback'] });
const optional = (/** @type {string} */ name) => finite(name, { also: ['null'] });
const rate = [
  ...finite('learningRate', { expectation: 'a finite number, schedule or callback', also: ['callback', 'null'] }),
  outside('learningRate', 1e39, 'a float32'),
];
const undefinedRate = 'learningRate for RMSPropOptimizer must be defined.';

const gradients = [
  ...kind('variableGradients', 'of type object', ['object', 'bare', 'array'], { required: true }),
  ...kind('gradient of variable "a"', 'a tensor',
    ['null']).map(({ value, ...rest }) => ({ ...rest, value: (/** @type {Any} */ w) => ({ b: w.gb, a: value(w) }) })),
  bad('an unknown variable', (w) => ({ zzz: w.ga }), Error, 'there is no variable "zzz"'),
  bad('a disposed gradient', (w) => ({ b: w.gb, a: w.gone }), Error, 'gradient of variable "a" is disposed'),
  bad('a short gradient', (w) => ({ b: w.gb, a: w.gb }), RangeError, 'gradient of variable "a" must be of 3 elements, got 2'),
  bad('an int32 gradient', (w) => ({ b: w.gb, a: w.whole }), TypeError, 'gradient of variable "a" must be float32, got "int32"'),
  bad('an int32 variable', (w) => ({ i: w.ga }), TypeError, 'variable "i" must be float32, got "int32"'),
  bad('a variable twice', (w) => [{ name: 'a', tensor: w.ga }, { name: 'a', tensor: w.ga }], RangeError,
    'variableGradients must be each variable once, got "a"'),
  bad('an entry that is none', () => [7], TypeError, 'variableGradients[0] must be { name, tensor }, got 7'),
  bad('an entry that is null', () => [null], TypeError, 'variableGradients[0] must be { name, tensor }, got null'),
];

/** What its callbacks must not say. */
function answers(/** @type {Any} */ world, /** @type {() => unknown} */ run) {
  /** @type {(source: () => unknown) => () => unknown} */
  const telling = (source) => () => {
    world.rate = source;
    try {
      return run();
    } finally {
      world.rate = () => 0.1;
    }
  };
  return /** @type {[string, () => unknown, ErrorType, string][]} */ ([
    ['a rate of NaN', telling(() => NaN), RangeError, 'learningRate at step 3 must be a finite number, got NaN'],
    ['an infinite rate', telling(() => -Infinity), RangeError, 'learningRate at step 3 must be a finite number, got -Infinity'],
    ['no rate', telling(() => undefined), TypeError, 'learningRate at step 3 must be a finite number, got undefined'],
    ['a rate that is never there', telling(() => { throw mine; }), Mine, 'mine'],
    ['a step within a step', telling(() => world.it.applyGradients(world.grads)), Error,
      'applyGradients of the optimizer cannot be used: a callback runs'],
  ]);
}

const changed = (/** @type {(weights: Any[]) => void} */ change) => (/** @type {Any} */ w) => {
  const weights = [...w.weights];
  change(weights);
  return weights;
};

/** @type {Rows} */
const rows = {
  'rmsprop': {
    args: [[bad('no module', undefined, TypeError, 'tf must be @tensorflow/tfjs or @tensorflow/tfjs-core, got undefined'),
      bad('another module', {}, TypeError, 'tf must be @tensorflow/tfjs or @tensorflow/tfjs-core, got Object'),
      bad('text', 'tf', TypeError, 'tf must be @tensorflow/tfjs or @tensorflow/tfjs-core, got "tf"')],
    plus(options('rmsprop', {
      name: text('name', { also: ['null'] }),
      learningRate: rate,
      weightDecay: optional('weightDecay'), clipnorm: optional('clipnorm'), globalClipnorm: optional('globalClipnorm'),
      clipvalue: optional('clipvalue'),
      useEma: flag('useEma'), emaMomentum: finite('emaMomentum'), emaOverwriteFrequency: optional('emaOverwriteFrequency'),
      lossScaleFactor: optional('lossScaleFactor'), gradientAccumulationSteps: optional('gradientAccumulationSteps'),
      rho: hyperparameter('rho'), momentum: hyperparameter('momentum'), epsilon: hyperparameter('epsilon'), centered: flag('centered'),
      decay: hyperparameter('decay'),
      aggregateGradients: callback('aggregateGradients'),
      rule: [...text('rule'), bad('another rule', 'tf1', RangeError, 'rule must be "keras" or "keras-2.11", got "tf1"')],
    }, { base: () => ({ learningRate: 1 }), own: [] }),
    bad('no rate', {}, Error, undefinedRate), bad('a null rate', { learningRate: null }, Error, undefinedRate),
    bad('nothing', undefined, Error, undefinedRate),
    bad('text for a rate', 'x', TypeError, 'learningRate must be a finite number, schedule or callback, got "x"'),
    bad('both names of one', { learningRate: 1, rho: 0.9, decay: 0.9 }, TypeError, 'decay and rho are one option, got both'))],
    call: (_, ...given) => /** @type {Any} */ (rmsprop)(...given).dispose(), good: () => [tf, { learningRate: 0.1 }],
    more: () => [
      ['options and positions', () => rmsprop(tf, { learningRate: 0.1 }, 0.9), TypeError,
        'rmsprop must be given options or positional arguments, got both'],
      ['a decay of NaN', () => rmsprop(tf, 0.1, NaN), RangeError, 'decay must be a finite number or callback, got NaN'],
      ['a momentum that is text', () => rmsprop(tf, 0.1, 0.9, /** @type {Any} */ ('0')), TypeError,
        'momentum must be a finite number or callback, got "0"'],
    ],
  },
  'register': {
    args: [[bad('no module', undefined, TypeError, 'tf must be @tensorflow/tfjs or @tensorflow/tfjs-core, got undefined')]],
    call: (_, given) => register(given), good: () => [tf],
  },
  'RMSpropWasm#learningRate=': {
    args: [[...rate, bad('nothing', undefined, TypeError, 'learningRate must be a finite number, schedule or callback, got undefined'),
      bad('a number for a callback', 0.1, TypeError, 'learningRate must be a callback or schedule as before, got 0.1')]],
    call: ({ it }, given) => { it.learningRate = given; }, good: () => [() => 0.1],
  },
  'RMSpropWasm#computeGradients': {
    args: [[bad('one that throws', () => () => { throw mine; }, Mine, 'mine'),
      bad('no function', 7, Error, /function/i)]],
    call: ({ it }, ...given) => tf.dispose(it.computeGradients(...given)), good: (w) => [() => lossOf(w), [w.a]],
  },
  'RMSpropWasm#applyGradients': {
    args: [gradients], call: ({ it }, given) => it.applyGradients(given), good: (w) => [w.grads],
    more: (w) => answers(w, () => w.it.applyGradients(w.grads)),
  },
  'RMSpropWasm#applyGradientsAsync': {
    args: [gradients, plus(options('applyGradientsAsync', { signal: kind('signal', 'an AbortSignal', []) }),
      bad('a signal that was given before', () => ({ signal: AbortSignal.abort(mine) }), Mine, 'mine'))],
    call: ({ it }, ...given) => it.applyGradientsAsync(...given), good: (w) => [w.grads],
  },
  'RMSpropWasm#minimize': {
    args: [[bad('one that throws', () => () => { throw mine; }, Mine, 'mine')]],
    call: ({ it }, ...given) => it.minimize(...given), good: (w) => [() => lossOf(w), false, [w.a]],
    more: (w) => answers(w, () => w.it.minimize(() => lossOf(w), false, [w.a])),
  },
  'RMSpropWasm#incrementIterations': { args: [], call: ({ it }) => it.incrementIterations() },
  'RMSpropWasm#getWeights': { args: [], call: ({ it }) => it.getWeights() },
  'RMSpropWasm#setWeights': {
    args: [[
      ...list('weightValues', { required: true }).filter(({ what }) => !/array/.test(what)),
      bad('no weights', [], RangeError, 'weightValues must be at least the counter, got Array of length 0'),
      bad('weights that are none', [7], TypeError, 'weightValues[0] must be { name, tensor }, got 7'),
      bad('half an iteration', changed((weights) => { weights[0] = named('iter', [0.5]); }), RangeError,
        'iter must be an integer in [0, 2147483647], got 0.5'),
      bad('several iterations', changed((weights) => { weights[0] = named('iter', [1, 2]); }), RangeError,
        'iter must be one number, got Float32Array of length 2'),
      bad('a slot that is missing', changed((weights) => { weights.pop(); }), RangeError,
        /^weightValues must be with b\/average, got Array of length \d+$/),
      bad('another slot', changed((weights) => { weights[1] = named('a/velocity', [1, 2, 3]); }), RangeError,
        /^weightValues must be of the slots .*, got "a\/velocity"$/),
      bad('a weight twice', changed((weights) => { weights.push(weights[1]); }), RangeError,
        'weightValues must be each weight once, got "a/rms"'),
      bad('no name', changed((weights) => { weights[1] = { tensor: weights[1].tensor }; }), TypeError,
        'weightValues[1] must be { name, tensor }, got Object'),
    ]],
    call: ({ it }, given) => it.setWeights(given), good: (w) => [w.weights],
  },
  'RMSpropWasm#toJSON': { args: [], call: ({ it }) => it.toJSON(), reads: true },
  'RMSpropWasm#getConfig': { args: [], call: ({ it }) => it.getConfig(), reads: true },
  'RMSpropWasm.fromConfig': {
    args: [[], [...object('config', { required: true }),
      bad('an unknown entry', { learningRate: 1, foo: 1 }, TypeError, /^rmsprop has no option "foo"/),
      bad('no rate', {}, Error, undefinedRate),
      bad('a bad value', { learningRate: 1, rho: NaN }, RangeError, 'rho must be a finite number or callback, got NaN'),
    ].filter(({ what }) => !/config: (object|bare|array)/.test(what))],
    call: (_, ...given) => /** @type {Any} */ (register(tf)).fromConfig(...given).dispose(),
    good: () => [register(tf), { learningRate: 0.1 }],
  },
  'RMSpropWasm#excludeFromWeightDecay': {
    args: [options('excludeFromWeightDecay', {
      variables: [...list('variables', { also: ['null'] }).filter(({ what }) => !/array/.test(what)),
        bad('a tensor', (w) => [w.ga], TypeError, 'variables must be variables, got Tensor')],
      names: [...text('names', { also: ['array', 'null'] }), bad('no regular expression', '(', RangeError,
        'names must be regular expressions, got "("')],
    }, { required: true })],
    call: ({ it }, given) => it.excludeFromWeightDecay(given), good: () => [{ names: 'a' }],
  },
  'RMSpropWasm#finalizeVariableValues': { args: [], call: ({ it }) => it.finalizeVariableValues() },
  'RMSpropWasm#withAverages': {
    args: [[
      ...callback('fn', { required: true }),
      bad('one that throws', () => () => { throw mine; }, Mine, 'mine'),
      bad('one that is rejected', () => async () => { throw mine; }, Mine, 'mine'),
    ], plus(options('withAverages', { signal: kind('signal', 'an AbortSignal', []) }),
      bad('a signal that was given before', () => ({ signal: AbortSignal.abort(mine) }), Mine, 'mine'))],
    call: ({ it }, ...given) => it.withAverages(...given), good: () => [() => 0],
  },
  'RMSpropWasm#dispose': { args: [], call: ({ it }) => it.dispose() },
};

/** A scalar whose gradients need no more than the core of TensorFlow.js. @param {Any} w */
const lossOf = (w) => tf.customGrad((/** @type {Any} */ x) => ({ value: tf.tidy(() => tf.scalar(1)),
  gradFunc: () => tf.onesLike(x) }))(w.a);

/** @param {string} name @param {number[]} values */
const named = (name, values) => ({ name, tensor: { shape: [values.length], data: async () => Float32Array.from(values) } });

const surface = [
  ...surfaceOf(entry),
  ...membersOf(register(/** @type {Any} */ (tf)).prototype).map((member) => `RMSpropWasm#${member}`),
  ...membersOf(register(/** @type {Any} */ (tf))).map((member) => `RMSpropWasm.${member}`),
];

for (const backend of ['wasm', 'cpu', 'operations']) {
  testTable(`tfjs on ${backend}`, surface, rows, async () => {
    await tf.setBackend(backend);
    await tf.ready();
    const own = (/** @type {Any} */ values, /** @type {string} */ name,
      /** @type {Any} */ dtype) => tf.tidy(() => tf.variable(tf.tensor(values, undefined, dtype), true, name));
    const world = {
      a: own([1, 2, 3], 'a', 'float32'), b: own([[4, 5]], 'b', 'float32'), i: own([1, 2, 3], 'i', 'int32'),
      ga: tf.tensor([1, -1, 2]), gb: tf.tensor([[3, 4]]), whole: tf.tensor([1, 2, 3], undefined, 'int32'), gone: tf.tensor([1, 2, 3]),
      grads: /** @type {Any} */ (undefined), rate: /** @type {Any} */ (() => 0.1), weights: /** @type {Any[]} */ ([]),
      it: /** @type {Any} */ (undefined),
      fingerprint: async () => {
        const { numTensors, numBytes } = tf.memory();
        const weights = await world.it.getWeights();
        return JSON.stringify([
          bitsOf([world.a, world.b].map((v) => ({ data: v.dataSync() }))), world.it.iterations, numTensors, numBytes, ...common(),
          weights.map((/** @type {Any} */ { name, tensor }) => [name, bitsOf([{ data: tensor.dataSync() }])]),
        ]);
      },
      dispose: () => {
        world.it.dispose();
        tf.dispose([world.a, world.b, world.i, world.ga, world.gb, world.whole]);
      },
    };
    world.grads = { a: world.ga, b: world.gb };
    world.gone.dispose();
    world.it = rmsprop(/** @type {Any} */ (tf), {
      learningRate: (step) => world.rate(step), momentum: 0.9, centered: true, useEma: true, globalClipnorm: 1, weightDecay: 0.1,
    });
    for (let step = 0; step < 3; step++) world.it.applyGradients(world.grads);
    for (const { name, tensor } of await world.it.getWeights()) {
      const { shape } = tensor;
      const values = tensor.dataSync().slice();
      world.weights.push({ name, tensor: { shape, data: async () => values } });
    }
    return world;
  });
}

for (const backend of ['wasm', 'cpu', 'operations']) {
  test(`tfjs on ${backend}: a hook that never settles is given up by a signal, and what it writes later goes nowhere`, async () => {
    await tf.setBackend(backend);
    const start = tf.memory();
    const a = tf.tidy(() => tf.variable(tf.tensor([1, 2, 3]), true, 'a'));
    const gradient = tf.tensor([1, -1, 2]);
    /** @type {Any} */
    let flat;
    /** @type {Any} */
    let act = (/** @type {Any} */ given, /** @type {Any} */ info) => {
      flat = given;
      assert.ok(info.signal instanceof AbortSignal);
      return new Promise(() => {});
    };
    const it = rmsprop(/** @type {Any} */ (tf), { learningRate: 0.1, aggregateGradients: (given, info) => act(given, info) });
    const controller = new AbortController();
    const call = it.applyGradientsAsync({ a: gradient }, { signal: controller.signal });
    setTimeout(() => controller.abort(mine), 5);
    await assert.rejects(call, mine);
    assert.deepEqual([[...a.dataSync()], it.iterations], [[1, 2, 3], 0]);
    act = () => {};
    it.applyGradients({ a: gradient });
    const bits = bitsOf([{ data: a.dataSync() }]);
    flat.fill(NaN);
    assert.deepEqual([bitsOf([{ data: a.dataSync() }]), it.iterations], [bits, 1]);
    it.dispose();
    tf.dispose([a, gradient]);
    assert.equal(tf.memory().numTensors, start.numTensors);
  });
}
