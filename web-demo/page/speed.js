/**
 * Measures, in a worker of its own and only when asked: an update with momentum of all weights of a network by three
 * optimizers, in turns on the same gradients. TensorFlow.js is loaded from the page's own files when this starts.
 *
 * A turn is as many steps as take 20 ms or more, for browsers round their clocks to a millisecond.
 */
import { inTurn, summary } from './turns.js';
import { RMSprop, variable } from '../../js/index.js';
import { Random } from '../data/random.js';

/** @typedef {{ name: string, step: () => void, weights: () => Float32Array, dispose: () => void }} Rival */
/**
 * @typedef {object} Speed
 * @property {string} name
 * @property {number} median milliseconds a step
 * @property {number} minimum milliseconds a step
 * @property {number} distance the largest from one of our weights, after equally many steps
 */

const RATE = 0.001;
const RHO = 0.9;
const MOMENTUM = 0.9;
const EPSILON = 1e-7;
const TURN_MILLISECONDS = 20;
const ROUNDS = 15;
/** After so many steps the weights are compared. */
const COMPARED = 20;

/**
 * @param {readonly (readonly number[])[]} shapes of the weights
 * @param {URL} tfjsFolder where the files of its wasm backend are
 * @param {(done: number) => void} onProgress a share
 * @returns {Promise<Speed[]>} ours first
 */
async function measure(shapes, tfjsFolder, onProgress) {
  const random = new Random(1);
  const lengths = shapes.map((shape) => shape.reduce((product, size) => product * size, 1));
  const values = lengths.map((length) => Float32Array.from({ length }, () => random.symmetric()));
  const gradients = lengths.map((length) => Float32Array.from({ length }, () => random.symmetric()));
  const rivals = [
    ours(shapes, values, gradients), await tensorFlow(shapes, values, gradients, tfjsFolder), loop(values, gradients),
  ];
  try {
    for (let i = 0; i < COMPARED; i++) for (const rival of rivals) rival.step();
    const [expected, ...others] = rivals.map((rival) => rival.weights());
    const distances = [0, ...others.map((weights) => weights.reduce(
      (most, weight, k) => Math.max(most, Math.abs(weight - expected[k])), 0,
    ))];
    for (const rival of rivals) turn(rival);
    const times = new Map(rivals.map((rival) => [rival, /** @type {number[]} */ ([])]));
    for (let round = 0; round < ROUNDS; round++) {
      for (const rival of inTurn(rivals, round)) times.get(rival)?.push(turn(rival));
      onProgress((round + 1) / ROUNDS);
    }
    return rivals.map((rival, i) => ({
      name: rival.name, ...summary(times.get(rival) ?? []), distance: distances[i],
    }));
  } finally {
    for (const rival of rivals) rival.dispose();
  }
}

/**
 * @param {Rival} rival
 * @returns {number} milliseconds a step
 */
function turn(rival) {
  const start = performance.now();
  let steps = 0;
  for (let more = 1; ; more *= 2) {
    for (let i = 0; i < more; i++) rival.step();
    steps += more;
    const passed = performance.now() - start;
    if (passed >= TURN_MILLISECONDS) return passed / steps;
  }
}

/**
 * @param {readonly (readonly number[])[]} shapes
 * @param {readonly Float32Array[]} values
 * @param {readonly Float32Array[]} gradients
 * @returns {Rival}
 */
function ours(shapes, values, gradients) {
  const variables = values.map((value, i) => variable(value, { shape: [...shapes[i]] }));
  const optimizer = new RMSprop({ learningRate: RATE, rho: RHO, momentum: MOMENTUM, epsilon: EPSILON });
  optimizer.build(variables);
  variables.forEach((each, i) => each.gradientBuffer().set(gradients[i]));
  return {
    name: 'rmsprop-wasm',
    step: () => optimizer.step(),
    weights: () => optimizer.exportParameters(),
    dispose() {
      optimizer.dispose();
      for (const each of variables) each.dispose();
    },
  };
}

/**
 * @param {readonly (readonly number[])[]} shapes
 * @param {readonly Float32Array[]} values
 * @param {readonly Float32Array[]} gradients
 * @param {URL} folder
 * @returns {Promise<Rival>}
 */
async function tensorFlow(shapes, values, gradients, folder) {
  const [tf, wasm] = await Promise.all([
    import('@tensorflow/tfjs-core'), import('@tensorflow/tfjs-backend-wasm'),
  ]);
  // One thread, as ours; its threads would need a page with special headers.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  wasm.setWasmPaths(folder.href);
  if (!(await tf.setBackend('wasm'))) throw new Error('TensorFlow.js could not start its wasm backend');
  const variables = values.map((value, i) => tf.variable(tf.tensor(value, [...shapes[i]])));
  const tensors = gradients.map((gradient, i) => tf.tensor(gradient, [...shapes[i]]));
  const pairs = variables.map(({ name }, i) => ({ name, tensor: tensors[i] }));
  const optimizer = tf.train.rmsprop(RATE, RHO, MOMENTUM, EPSILON);
  return {
    name: `tf.train.rmsprop (TensorFlow.js ${tf.version_core}, wasm)`,
    step: () => optimizer.applyGradients(pairs),
    weights: () => Float32Array.from(variables.flatMap((each) => [...each.dataSync()])),
    dispose() {
      optimizer.dispose();
      tf.dispose([...variables, ...tensors]);
    },
  };
}

/**
 * @param {readonly Float32Array[]} values
 * @param {readonly Float32Array[]} gradients
 * @returns {Rival}
 */
function loop(values, gradients) {
  const parts = values.map((value, i) => ({
    x: value.slice(), g: gradients[i], v: new Float32Array(value.length), m: new Float32Array(value.length),
  }));
  return {
    name: 'a loop in JavaScript',
    step() {
      for (const { x, g, v, m } of parts) {
        for (let i = 0; i < x.length; i++) {
          v[i] = RHO * v[i] + (1 - RHO) * g[i] * g[i];
          m[i] = MOMENTUM * m[i] + (RATE * g[i]) / Math.sqrt(v[i] + EPSILON);
          x[i] -= m[i];
        }
      }
    },
    weights: () => Float32Array.from(parts.flatMap(({ x }) => [...x])),
    dispose() {},
  };
}

/** The part of a worker's global object that is used here, which the page's types don't know. */
const port = /** @type {Pick<Worker, 'postMessage' | 'onmessage'>} */ (/** @type {unknown} */ (globalThis));

port.onmessage = async ({ data: shapes }) => {
  try {
    const speeds = await measure(shapes, new URL('tfjs/', import.meta.url), (done) => port.postMessage({ done }));
    port.postMessage({ speeds });
  } catch (error) {
    port.postMessage({ failure: error instanceof Error ? error.message : String(error) });
  }
};
