/**
 * The model over the optimizer's memory: its gradients against finite differences in float64 and against PyTorch, and
 * what it promises about seeds, batches, memory and errors.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Memory, RMSprop } from '../../js/index.js';
import { Model } from '../../web-demo/model/model.js';
import { Random } from '../../web-demo/data/random.js';

const SEED = 7;

/**
 * @param {Random} random
 * @param {number} count
 * @param {number} inputs
 * @param {number} classes
 */
function examples(random, count, inputs, classes) {
  return {
    inputs: Float32Array.from({ length: count * inputs }, () => random.symmetric()),
    labels: Uint8Array.from({ length: count }, () => random.below(classes)),
  };
}

/**
 * The mean loss, written from the formulas in float64.
 *
 * @param {readonly number[]} layers
 * @param {readonly ArrayLike<number>[]} variables kernel and bias of each layer
 * @param {ArrayLike<number>} inputs
 * @param {ArrayLike<number>} labels
 */
function lossInFloat64(layers, variables, inputs, labels) {
  let loss = 0;
  for (let example = 0; example < labels.length; example++) {
    let row = Array.from({ length: layers[0] }, (_, i) => inputs[example * layers[0] + i]);
    for (let layer = 0; layer + 1 < layers.length; layer++) {
      const [kernel, bias] = [variables[2 * layer], variables[2 * layer + 1]];
      const outputs = layers[layer + 1];
      const before = layer === 0 ? row : row.map((value) => Math.max(value, 0));
      row = Array.from({ length: outputs }, (_, o) => (
        before.reduce((sum, value, i) => sum + value * kernel[i * outputs + o], bias[o])
      ));
    }
    loss += Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)) - row[labels[example]];
  }
  return loss / labels.length;
}

/**
 * @param {Model} model
 * @returns {Float32Array[]} copies of all gradients
 */
function gradientsOf(model) {
  return model.variables.map(({ gradient }) => {
    assert.ok(gradient);
    return Float32Array.from(/** @type {import('rmsprop-wasm').Tensor} */ (gradient).data);
  });
}

test(`gradients equal the finite differences of the loss in float64 (seed ${SEED})`, () => {
  for (const layers of [[6, 5, 4], [3, 9, 8, 5, 2], [7, 3]]) {
    const random = new Random(SEED, layers.length);
    const model = new Model({ layers, batch: 8, seed: SEED });
    const { inputs, labels } = examples(random, 5, layers[0], layers[layers.length - 1]);
    // Biases that are not zero, so that they take part.
    for (const { data } of model.variables) data.forEach((_, i) => { data[i] = random.symmetric(); });
    const loss = model.lossAndGradients(inputs, labels);
    const gradients = gradientsOf(model);
    const variables = model.variables.map(({ data }) => Float64Array.from(data));
    assert.ok(Math.abs(loss - lossInFloat64(layers, variables, inputs, labels)) < 1e-6);
    // The central difference is off by h²/6 times a third derivative of some 10 (1e-11) and by the rounding of the loss
    // over h (1e-10); the float32 gradient by some ten roundings, 2^-24 each, of terms of the size of 1 (6e-7).
    const h = 1e-6;
    variables.forEach((variable, v) => variable.forEach((middle, i) => {
      variable[i] = middle + h;
      const above = lossInFloat64(layers, variables, inputs, labels);
      variable[i] = middle - h;
      const below = lossInFloat64(layers, variables, inputs, labels);
      variable[i] = middle;
      const expected = (above - below) / (2 * h);
      const name = `${model.variables[v].name}[${i}] of ${layers}`;
      assert.ok(Math.abs(gradients[v][i] - expected) < 2e-6, `${name}: ${gradients[v][i]} instead of ${expected}`);
    }));
    model.dispose();
  }
});

test('loss, probabilities and gradients are those of PyTorch', () => {
  const { cases } = JSON.parse(readFileSync(new URL('../golden/dense_torch.json', import.meta.url), 'utf8'));
  for (const { layers, inputs, labels, variables, logits, loss, gradients } of cases) {
    const model = new Model({ layers, batch: labels.length });
    model.variables.forEach((variable, i) => variable.set(Float32Array.from(variables[i])));
    // PyTorch computed in float64, so all that differs is our rounding. No number here comes from a chain of more than
    // 100 operations, none of their terms exceeds 8, and each operation is off by at most 2^-24 of it.
    const tolerance = 100 * 8 * 2 ** -24;
    /**
     * @param {string} name
     * @param {ArrayLike<number>} got
     * @param {number[]} expected
     */
    const close = (name, got, expected) => expected.forEach((value, i) => {
      assert.ok(Math.abs(got[i] - value) <= tolerance, `${layers}, ${name}[${i}]: ${got[i]} instead of ${value}`);
    });
    const classes = layers.at(-1);
    const probabilities = labels.flatMap((/** @type {number} */ _, /** @type {number} */ row) => {
      const powers = logits.slice(row * classes, (row + 1) * classes).map(Math.exp);
      const sum = powers.reduce((/** @type {number} */ total, /** @type {number} */ power) => total + power, 0);
      return powers.map((/** @type {number} */ power) => power / sum);
    });
    close('probability', model.predict(inputs), probabilities);
    close('loss', [model.lossAndGradients(inputs, labels)], [loss]);
    const names = model.variables.map(({ name }) => `gradient of ${name}`);
    gradientsOf(model).forEach((gradient, i) => close(names[i], gradient, gradients[i]));
    close('evaluated loss', [model.evaluate(inputs, labels).loss], [loss]);
    model.dispose();
  }
});

test('variables have the names and shapes that Keras gives them', () => {
  const model = new Model({ layers: [4, 3, 5, 2] });
  assert.deepEqual(model.variables.map(({ name, shape }) => [name, ...shape]), [
    ['dense/kernel', 4, 3], ['dense/bias', 3],
    ['dense_1/kernel', 3, 5], ['dense_1/bias', 5],
    ['dense_2/kernel', 5, 2], ['dense_2/bias', 2],
  ]);
  assert.equal(model.parameterCount, 12 + 3 + 15 + 5 + 10 + 2);
  model.dispose();
});

test('the same seed gives the same weights on every machine, another seed others', () => {
  const first = (/** @type {number} */ seed) => {
    const model = new Model({ layers: [6, 2], seed });
    const values = [...model.variables[0].data.slice(0, 4)];
    assert.ok(model.variables[1].data.every((value) => value === 0));
    model.dispose();
    return values;
  };
  // From a Python program that follows the papers of xoshiro128** and splitmix32; the limit here is sqrt(6 / 6) = 1.
  const from1 = [-0.8168610334396362, 0.012395501136779785, 0.7763855457305908, -0.0254896879196167];
  const from4294967295 = [0.9111659526824951, -0.14976942539215088, -0.4634608030319214, 0.13041019439697266];
  assert.deepEqual(first(1), from1);
  assert.deepEqual(first(4294967295), from4294967295);
  const model = new Model({ layers: [1000, 50, 2], seed: 3 });
  const kernel = Float32Array.from(model.variables[0].data);
  const limit = Math.sqrt(6 / 1000);
  assert.ok(kernel.every((value) => Math.abs(value) <= limit));
  const variance = kernel.reduce((sum, value) => sum + value * value, 0) / kernel.length;
  // 50 000 uniform numbers: the standard deviation of their mean square is 0.4 % of it.
  assert.ok(Math.abs(variance / (limit * limit / 3) - 1) < 0.02, `variance ${variance}`);
  model.dispose();
});

test('an example means the same alone, in a batch, and in a batch that is not full', () => {
  const model = new Model({ layers: [5, 9, 3], batch: 4 });
  const { inputs, labels } = examples(new Random(SEED), 11, 5, 3);
  const together = model.predict(inputs);
  for (let i = 0; i < 11; i++) {
    assert.deepEqual(model.predict(inputs.subarray(5 * i, 5 * i + 5)), together.slice(3 * i, 3 * i + 3));
  }
  const { loss, accuracy } = model.evaluate(inputs, labels);
  const expectedLoss = lossInFloat64([5, 9, 3], model.variables.map(({ data }) => data), inputs, labels);
  assert.ok(Math.abs(loss - expectedLoss) < 1e-6, `${loss} instead of ${expectedLoss}`);
  const correct = labels.filter((label, i) => {
    const row = together.subarray(3 * i, 3 * i + 3);
    return row.indexOf(Math.max(...row)) === label;
  });
  assert.equal(accuracy, correct.length / 11);
  assert.equal(model.predict(new Float32Array(0)).length, 0);
  const all = model.lossAndGradients(inputs.subarray(0, 15), labels.subarray(0, 3));
  assert.equal(model.lossAndGradients(Array.from(inputs.subarray(0, 15)), Array.from(labels.subarray(0, 3))), all);
  model.dispose();
});

test('an optimizer that steps on its gradients lowers the loss, also when the memory has grown in between', () => {
  const memory = new Memory({ initialBytes: 65536 });
  const model = new Model({ layers: [8, 16, 3], batch: 16, seed: SEED, memory });
  const optimizer = new RMSprop({ learningRate: 0.01 });
  optimizer.build(model.variables);
  const { inputs, labels } = examples(new Random(SEED), 16, 8, 3);
  const start = model.lossAndGradients(inputs, labels);
  for (let i = 0; i < 50; i++) {
    if (i === 25) {
      const { buffer } = memory;
      memory.free(memory.allocate(10 * buffer.byteLength));
      assert.notEqual(memory.buffer, buffer);
    }
    model.lossAndGradients(inputs, labels);
    optimizer.step();
  }
  const end = model.lossAndGradients(inputs, labels);
  assert.ok(end < start / 4, `${start} became ${end}`);
  optimizer.dispose();
  model.dispose();
});

test('all memory is given back, also when it does not suffice', () => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 4 * 65536 });
  const before = [memory.bytesInUse, memory.tensorCount];
  const model = new Model({ layers: [50, 60, 10], batch: 32, memory });
  model.dispose();
  model.dispose();
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], before);
  assert.throws(() => model.predict(new Float32Array(50)), /disposed/);
  // What does not fit any more: the first gradient, the second kernel, the workspace.
  for (const layers of [[100, 400, 10], [100, 300, 10], [10, 10]]) {
    assert.throws(() => new Model({ layers, batch: layers[0] === 10 ? 10000 : 1, memory }), /memory exhausted/);
    assert.deepEqual([memory.bytesInUse, memory.tensorCount], before);
  }
});

test('bad arguments are refused with what was expected and what came, and nothing changes', () => {
  /** @type {[any, string, RegExp][]} */
  const refused = [
    [{ layers: [4, 2], batches: 3 }, 'TypeError', /no option "batches"; did you mean "batch"\?/],
    [{}, 'TypeError', /^layers must be an array of sizes, got undefined$/],
    [{ layers: [4] }, 'RangeError', /^layers must be the number of inputs and at least one layer/],
    [{ layers: [4, 0, 2] }, 'RangeError', /^layers\[1\] must be an integer in \[1, 16777216\], got 0$/],
    [{ layers: [4, 257] }, 'RangeError', /^number of classes must be an integer in \[1, 256\], got 257$/],
    [{ layers: [4, 2], batch: 0 }, 'RangeError', /^batch must be/],
    [{ layers: [4, 2], seed: 0.5 }, 'RangeError', /^seed must be/],
    [{ layers: [4, 2], memory: {} }, 'TypeError', /^memory must be a Memory/],
  ];
  for (const [options, name, message] of refused) assert.throws(() => new Model(options), { name, message });

  const model = new Model({ layers: [4, 2], batch: 3 });
  const inputs = new Float32Array(12).fill(0.5);
  model.lossAndGradients(inputs, [0, 1, 1]);
  const before = gradientsOf(model);
  assert.throws(() => model.lossAndGradients(inputs, [0, 1]), /^RangeError: number of inputs must be 8 \(2 × 4\), got 12$/);
  assert.throws(() => model.lossAndGradients(inputs, [0, 1, 2]), /^RangeError: labels\[2\] must be an integer in \[0, 1\], got 2$/);
  assert.throws(() => model.lossAndGradients(inputs, [0, 1, -1]), /^RangeError: labels\[2\]/);
  assert.throws(() => model.lossAndGradients([], []), /^RangeError: number of labels must be an integer in \[1, 3\], got 0$/);
  assert.throws(() => model.lossAndGradients(new Float32Array(16), [0, 0, 0, 0]), /^RangeError: number of labels/);
  assert.throws(() => model.predict(new Float32Array(5)), /^RangeError: number of inputs must be a multiple of 4, got 5$/);
  assert.throws(() => model.evaluate(inputs, [0, 1, 9]), /^RangeError: labels\[2\]/);
  assert.deepEqual(gradientsOf(model), before);
  model.dispose();
});
