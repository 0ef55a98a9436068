/**
 * A run of tf.train.rmsprop goes through `model.save` into the package's own RMSprop and back, and ends with the bits of
 * never having left.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { RMSprop, variable } from 'rmsprop-wasm';
import { readTfjsFile, writeTfjsFile } from 'rmsprop-wasm/tfjs-files';

const [rate, decay, momentum] = [0.01, 0.9, 0.8];

/** @param {number} step @param {ArrayLike<number>} x */
const gradient = (step, x) => Float32Array.from(x, (w, i) => Math.fround(w * 0.3) + (((step * 7 + i * 3) % 5) - 2));

function makeModel() {
  const model = tfl.sequential({ layers: [
    tfl.layers.dense({ units: 4, inputShape: [3], name: 'hidden', kernelInitializer: 'ones' }), tfl.layers.dense({ units: 2, name: 'out' }),
  ] });
  model.compile({ optimizer: tf.train.rmsprop(rate, decay, momentum), loss: 'meanSquaredError' });
  return model;
}

/** @param {tfl.LayersModel} model @returns {tf.Variable[]} */
const variablesOf = (model) => model.trainableWeights.map((weight) => /** @type {any} */ (weight).val);

/** @param {tfl.LayersModel} model @param {number} first @param {number} last */
function train(model, first, last) {
  for (let step = first; step < last; step++) {
    tf.tidy(() => model.optimizer.applyGradients(variablesOf(model)
      .map((v) => ({ name: v.name, tensor: tf.tensor(gradient(step, v.dataSync()), v.shape) }))));
  }
}

/** @param {tfl.LayersModel} model @returns {Promise<any>} its artifacts */
async function save(model) {
  let saved;
  await model.save(tf.io.withSaveHandler(async (artifacts) => {
    saved = artifacts;
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
  }), { includeOptimizer: true });
  return saved;
}

/** @param {tfl.LayersModel} model */
async function state(model) {
  const slots = (await model.optimizer.getWeights()).map(({ tensor }) => [...tensor.dataSync()]);
  return [...variablesOf(model).map((v) => [...v.dataSync()]), ...slots];
}

test('tfjs begins, the package goes on, tfjs ends: the bits of never having left', async () => {
  await tf.setBackend('cpu');
  const straight = makeModel();
  const begun = makeModel();
  begun.setWeights(straight.getWeights());
  train(straight, 0, 12);
  train(begun, 0, 5);
  const artifacts = await save(begun);

  const file = readTfjsFile(artifacts);
  assert.equal(file.iterations, 5);
  assert.deepEqual([...file.slots.keys()], ['rms', 'momentum']);
  const variables = [...file.variables].map(([name, { shape, data }]) => variable(data, { shape, name }));
  const optimizer = new RMSprop({ learningRate: rate, rho: decay, momentum });
  optimizer.build(variables);
  const slotsOf = (/** @type {string} */ name) => [.../** @type {Map<string, any>} */ (file.slots.get(name)).values()];
  optimizer.setWeights([[5], [rate], ...slotsOf('rms'), ...slotsOf('momentum')]);
  for (let step = 5; step < 8; step++) optimizer.apply(variables.map((v) => gradient(step, v.data)), variables);

  const names = [.../** @type {Map<string, any>} */ (file.slots.get('rms')).keys()];
  const slot = (/** @type {string} */ name) => new Map(variables.map((v, i) =>
    /** @type {const} */ ([names[i], /** @type {any} */ (optimizer.getSlot(v, name)).data])));
  const changed = writeTfjsFile(artifacts, {
    iterations: optimizer.iterations,
    variables: new Map(variables.map((v) => [v.name, /** @type {Float32Array} */ (v.data)])),
    slots: new Map([['rms', slot('velocity')], ['momentum', slot('momentum')]]),
  });
  const ended = await tfl.loadLayersModel(tf.io.fromMemory(changed));
  train(ended, 8, 12);
  assert.deepEqual(await state(ended), await state(straight));
});

test('artifacts that are none, and changes that do not fit, are refused', () => {
  const weightSpecs = [{ name: 'w', shape: [2], dtype: 'float32' }];
  const good = { weightSpecs, weightData: new ArrayBuffer(8) };
  assert.equal(readTfjsFile({ weightSpecs, weightData: [new ArrayBuffer(4), new ArrayBuffer(4)] }).variables.get('w')?.data.length, 2);
  /** @type {[any, any, object][]} */
  const cases = [
    [null, {}, { name: 'TypeError', message: /^artifacts must be of type object/ }],
    [{ weightSpecs }, {}, { name: 'TypeError', message: /^artifacts.weightData must be an ArrayBuffer/ }],
    [{ weightData: good.weightData }, {}, { name: 'TypeError', message: /^artifacts.weightSpecs must be an array/ }],
    [{ ...good, weightData: new ArrayBuffer(9) }, {}, { name: 'RangeError', message: /^artifacts.weightData must be of 8 bytes/ }],
    [{ ...good, weightSpecs: [{ name: 'w', shape: [2 ** 60], dtype: 'float32' }] }, {}, { name: 'RangeError' }],
    [{ ...good, weightSpecs: [{ name: 'w', shape: [-2], dtype: 'float32' }] }, {}, { name: 'RangeError', message: /^shape of w must be an integer/ }],
    [{ ...good, weightSpecs: [{ name: 'w', shape: [2], dtype: 'constructor' }] }, {}, { name: 'RangeError', message: /^w must be of float32/ }],
    [good, { variables: new Map([['v', [1, 2]]]) }, { name: 'RangeError', message: /^changes must be of weights that are there, got "variable v"/ }],
    [good, { variables: new Map([['w', [1]]]) }, { name: 'RangeError', message: /^variable w must be of length 2/ }],
    [good, { iterations: 1 }, { name: 'RangeError', message: /^changes must be of weights that are there, got "iter"/ }],
  ];
  for (const [artifacts, changes, expected] of cases) assert.throws(() => writeTfjsFile(artifacts, changes), expected);
});
