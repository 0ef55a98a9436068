/**
 * A multi-layer perceptron that classifies: dense layers, ReLU between them, softmax cross-entropy at the end.
 *
 *     const model = new Model({ layers: [784, 256, 10] });
 *     const loss = model.lossAndGradients(images, labels);   // writes every variable's gradientBuffer()
 *     optimizer.step();
 *
 * It lives in the optimizer's memory, and its gradients are written where the optimizer reads them; the arithmetic is
 * model/dense.c. Runs in Node and in a browser. Where examples come from, how they are shuffled and what becomes of the
 * gradients is not here.
 */
import { integer, knownOptions, rangeError, typeError } from '../../js/check.js';
import { Memory, variable } from '../../js/index.js';
import { denseKernelsOf } from './dense.js';
import { Random } from '../data/random.js';

/** @typedef {import('../../js/index.js').Variable} Variable */
/**
 * @typedef {object} Layer
 * @property {number} inputs
 * @property {number} outputs
 * @property {Variable} kernel [inputs][outputs], as in Keras
 * @property {Variable} bias [outputs]
 * @property {boolean} relu
 * @property {number} output byte offset of [batch][outputs] floats: what the layer makes of a batch
 * @property {number} gradient byte offset of as many floats: the gradient of the loss with respect to it
 */

/** Blocks within the workspace start at multiples of a cache line. */
const ALIGNMENT = 64;
/** Labels are bytes. */
const MAXIMUM_CLASSES = 256;

/**
 * A network and the memory it works in.
 */
export class Model {
  #memory;
  #kernels;
  #sizes;
  #batch;
  /** @type {Layer[]} */
  #layers = [];
  /** Byte offset of the one block that holds everything but the variables. @type {number | undefined} */
  #workspace;
  #input = 0;
  #labels = 0;
  #scratch = 0;

  /**
   * Kernels start He-uniform (in ±sqrt(6 / inputs), which keeps the variance through ReLUs), biases at zero; the same
   * seed gives the same weights on every machine.
   *
   * @param {object} options
   * @param {readonly number[]} options.layers how many numbers an example has, then the outputs of each layer; the last
   *   is the number of classes, at most 256
   * @param {number} [options.batch] how many examples are worked on at a time, at most; default 128
   * @param {number} [options.seed] an integer in [0, 2^32 - 1]; default 1
   * @param {Memory} [options.memory] the optimizer's; default `Memory.default`
   * @throws {TypeError | RangeError} for an unknown option or a bad value, or if the memory is exhausted
   */
  constructor(options) {
    knownOptions('Model', options, ['layers', 'batch', 'seed', 'memory']);
    const { layers, batch = 128, seed = 1, memory = Memory.default } = options;
    if (!Array.isArray(layers)) throw typeError('layers', 'an array of sizes', layers);
    if (layers.length < 2) throw rangeError('layers', 'the number of inputs and at least one layer', layers);
    layers.forEach((size, i) => integer(`layers[${i}]`, size, 1, 2 ** 24));
    integer('number of classes', layers[layers.length - 1], 1, MAXIMUM_CLASSES);
    this.#batch = integer('batch', batch, 1, 2 ** 24);
    const random = new Random(integer('seed', seed, 0, 2 ** 32 - 1));
    if (!(memory instanceof Memory)) throw typeError('memory', 'a Memory', memory);
    this.#sizes = Object.freeze([...layers]);
    this.#memory = memory;
    this.#kernels = denseKernelsOf(memory.wasmMemory);
    try {
      for (let i = 0; i + 1 < layers.length; i++) this.#addLayer(i, layers[i], layers[i + 1], random);
      this.#reserveWorkspace();
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /**
   * @param {number} index
   * @param {number} inputs
   * @param {number} outputs
   * @param {Random} random
   */
  #addLayer(index, inputs, outputs, random) {
    const name = index === 0 ? 'dense' : `dense_${index}`;
    const limit = Math.fround(Math.sqrt(6 / inputs));
    const values = Float32Array.from({ length: inputs * outputs }, () => random.symmetric() * limit);
    const kernel = variable(values, { shape: [inputs, outputs], name: `${name}/kernel`, memory: this.#memory });
    const relu = index + 2 < this.#sizes.length;
    /** @type {Layer} */
    const layer = { inputs, outputs, kernel, bias: kernel, relu, output: 0, gradient: 0 };
    // In the list before anything else can fail, so that dispose finds what is there.
    this.#layers.push(layer);
    layer.bias = variable(new Float32Array(outputs), { name: `${name}/bias`, memory: this.#memory });
    layer.kernel.gradientBuffer();
    layer.bias.gradientBuffer();
  }

  #reserveWorkspace() {
    let bytes = 0;
    /** @param {number} needed */
    const place = (needed) => {
      const at = bytes;
      bytes += Math.ceil(needed / ALIGNMENT) * ALIGNMENT;
      return at;
    };
    let scratch = 0;
    this.#input = place(this.#batch * this.#sizes[0] * 4);
    this.#labels = place(this.#batch);
    for (const layer of this.#layers) {
      layer.output = place(this.#batch * layer.outputs * 4);
      // The loss turns the last layer's output into its gradient in place.
      layer.gradient = layer.relu ? place(this.#batch * layer.outputs * 4) : layer.output;
      const length = this.#kernels.rms_dense_scratch_length(this.#batch, layer.inputs, layer.outputs);
      scratch = Math.max(scratch, length >>> 0);
    }
    this.#scratch = place(scratch * 4);
    const start = this.#memory.allocate(bytes);
    this.#workspace = start;
    this.#input += start;
    this.#labels += start;
    this.#scratch += start;
    for (const layer of this.#layers) {
      layer.output += start;
      layer.gradient += start;
    }
  }

  /** @returns {readonly number[]} the inputs, then the outputs of each layer */
  get layers() {
    return this.#sizes;
  }

  /** @returns {number} how many examples are worked on at a time, at most */
  get batch() {
    return this.#batch;
  }

  /** @returns {Variable[]} kernel and bias of each layer: `dense/kernel`, `dense/bias`, `dense_1/kernel` … */
  get variables() {
    return this.#layers.flatMap(({ kernel, bias }) => [kernel, bias]);
  }

  /** @returns {number} how many numbers are trained */
  get parameterCount() {
    return this.variables.reduce((count, { size }) => count + size, 0);
  }

  /**
   * Computes the mean loss of a batch and its gradients, and writes these into every variable's `gradientBuffer()`.
   *
   * @param {ArrayLike<number>} inputs a row of `layers[0]` numbers for each label; copied, rounded to float32
   * @param {ArrayLike<number>} labels 1 to `batch` classes
   * @returns {number} the loss, a float32
   * @throws {TypeError | RangeError} for arrays of other lengths or labels that are no classes; no gradient has changed
   */
  lossAndGradients(inputs, labels) {
    const count = integer('number of labels', labels.length, 1, this.#batch);
    this.#check(inputs, labels, count);
    // May allocate and thereby detach views, so it comes before the first of them.
    const gradients = this.#layers.map(({ kernel, bias }) => ({
      kernel: kernel.gradientBuffer().byteOffset,
      bias: bias.gradientBuffer().byteOffset,
    }));
    this.#writeLabels(labels, 0, count);
    this.#forward(inputs, 0, count);
    const last = this.#layers.length - 1;
    const { output, outputs } = this.#layers[last];
    const loss = this.#kernels.rms_softmax_cross_entropy(output, this.#labels, count, outputs);
    for (let i = last; i >= 0; i--) {
      const layer = this.#layers[i];
      const before = i > 0 ? this.#layers[i - 1] : undefined;
      this.#kernels.rms_dense_backward(
        gradients[i].kernel, gradients[i].bias, before?.gradient ?? 0, layer.gradient, this.#scratch,
        before?.output ?? this.#input, layer.kernel.byteOffset, layer.relu ? layer.output : 0,
        count, layer.inputs, layer.outputs,
      );
    }
    return loss;
  }

  /**
   * @param {ArrayLike<number>} inputs any number of rows of `layers[0]` numbers
   * @returns {Float32Array} a row for each with the probability of each class
   * @throws {RangeError} for an array of another length
   */
  predict(inputs) {
    const count = inputs.length / this.#sizes[0];
    if (!Number.isInteger(count)) {
      throw rangeError('number of inputs', `a multiple of ${this.#sizes[0]}`, inputs.length);
    }
    const { output, outputs } = this.#layers[this.#layers.length - 1];
    const probabilities = new Float32Array(count * outputs);
    this.#inBatches(count, (first, size) => {
      this.#forward(inputs, first, size);
      this.#kernels.rms_softmax(output, size, outputs);
      probabilities.set(new Float32Array(this.#memory.buffer, output, size * outputs), first * outputs);
    });
    return probabilities;
  }

  /**
   * @param {ArrayLike<number>} inputs a row of `layers[0]` numbers for each label
   * @param {ArrayLike<number>} labels at least one class
   * @returns {{ loss: number, accuracy: number }} the mean loss, and the share of examples whose label is the most
   *   probable class
   * @throws {TypeError | RangeError} for arrays of other lengths or labels that are no classes
   */
  evaluate(inputs, labels) {
    const count = integer('number of labels', labels.length, 1);
    this.#check(inputs, labels, count);
    const { output, outputs } = this.#layers[this.#layers.length - 1];
    let loss = 0;
    let correct = 0;
    this.#inBatches(count, (first, size) => {
      this.#writeLabels(labels, first, size);
      this.#forward(inputs, first, size);
      correct += this.#kernels.rms_count_correct(output, this.#labels, size, outputs);
      loss += this.#kernels.rms_softmax_cross_entropy(output, this.#labels, size, outputs) * size;
    });
    return { loss: loss / count, accuracy: correct / count };
  }

  /** Frees its memory, the variables too; calling it again does nothing. Their optimizer must be disposed before. */
  dispose() {
    for (const { kernel, bias } of this.#layers) {
      kernel.dispose();
      bias.dispose();
    }
    if (this.#workspace !== undefined) this.#memory.free(this.#workspace);
    this.#workspace = undefined;
  }

  /**
   * @param {ArrayLike<number>} inputs
   * @param {ArrayLike<number>} labels
   * @param {number} count
   */
  #check(inputs, labels, count) {
    if (inputs.length !== count * this.#sizes[0]) {
      throw rangeError('number of inputs', `${count * this.#sizes[0]} (${count} × ${this.#sizes[0]})`, inputs.length);
    }
    // A label out of range would make the kernels read beyond a row.
    const classes = this.#sizes[this.#sizes.length - 1];
    for (let i = 0; i < count; i++) integer(`labels[${i}]`, labels[i], 0, classes - 1);
  }

  /**
   * @param {number} count
   * @param {(first: number, size: number) => void} work called for consecutive ranges of at most `batch` examples
   */
  #inBatches(count, work) {
    for (let first = 0; first < count; first += this.#batch) work(first, Math.min(this.#batch, count - first));
  }

  /**
   * @param {ArrayLike<number>} labels
   * @param {number} first
   * @param {number} count
   */
  #writeLabels(labels, first, count) {
    const view = new Uint8Array(this.#memory.buffer, this.#labels, count);
    for (let i = 0; i < count; i++) view[i] = labels[first + i];
  }

  /**
   * Leaves each layer's output of examples first … first + count - 1 in its place.
   *
   * @param {ArrayLike<number>} inputs
   * @param {number} first
   * @param {number} count
   */
  #forward(inputs, first, count) {
    if (this.#workspace === undefined) throw new Error('the model is disposed');
    const length = this.#sizes[0];
    const view = new Float32Array(this.#memory.buffer, this.#input, count * length);
    if (inputs instanceof Float32Array) view.set(inputs.subarray(first * length, (first + count) * length));
    else for (let i = 0; i < view.length; i++) view[i] = inputs[first * length + i];
    let input = this.#input;
    for (const { inputs: width, outputs, kernel, bias, relu, output } of this.#layers) {
      this.#kernels.rms_dense_forward(
        output, this.#scratch, input, kernel.byteOffset, bias.byteOffset, count, width, outputs, relu ? 1 : 0,
      );
      input = output;
    }
  }
}
