/** Who takes turns in `npm run bench`, in this process: each makes a step function of a case. */
import * as jax from '@jax-js/jax';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { ThreadPool } from 'rmsprop-wasm/threads';
import { EPSILON, MOMENTUM, RATE, RHO, arrays } from './cases.js';
import { divider, triad } from './limits.js';
import { ours, rivalIn } from './ours.js';
import { remote, startWorker } from './remote.js';

/** @typedef {import('./cases.js').Kernel} Kernel */
/** @typedef {import('./cases.js').Model} Model */
/**
 * @typedef {object} Run
 * @property {() => unknown} [step] one step; a promise where `isAsync`
 * @property {boolean} [isAsync]
 * @property {(steps: number) => Promise<number>} [time] instead of `step`, where steps are not made here: nanoseconds
 * @property {() => unknown} [enter] awaited before its turns
 * @property {() => number | Promise<number>} [weight] the first one, as it is now: what was computed is looked at
 * @property {() => void} [end]
 */
/**
 * @typedef {object} Rival
 * @property {string} name
 * @property {(kernel: Kernel, model: Model) => string | undefined} [refuses] why it does not take part, if so
 * @property {(kernel: Kernel, model: Model) => Run | Promise<Run>} begin
 */

const hasNotEverything = (/** @type {Kernel} */ { everything }) => (everything ? 'has no such options' : undefined);

/** @type {Rival} */
const loop = {
  name: 'JavaScript loop',
  refuses: hasNotEverything,
  begin(kernel, model) {
    const tensors = model.shapes.map((shape, i) => {
      const { weights, gradient } = arrays(shape, i);
      const slot = () => new Float32Array(weights.length);
      return { weights, gradient, meanSquare: slot(), meanGradient: slot(), momentum: slot() };
    });
    const update = kernel.centered ? updateCentered : kernel.momentum ? updateMomentum : updatePlain;
    return {
      step: () => tensors.forEach(update),
      weight: () => tensors[0].weights[0],
    };
  },
};

/**
 * @typedef {Record<'weights' | 'gradient' | 'meanSquare' | 'meanGradient' | 'momentum', Float32Array>} Arrays
 */

/** @param {Arrays} arrays */
function updatePlain({ weights, gradient, meanSquare }) {
  for (let i = 0; i < weights.length; i++) {
    const g = gradient[i];
    meanSquare[i] = RHO * meanSquare[i] + (1 - RHO) * g * g;
    weights[i] -= RATE * g / Math.sqrt(meanSquare[i] + EPSILON);
  }
}

/** @param {Arrays} arrays */
function updateMomentum({ weights, gradient, meanSquare, momentum }) {
  for (let i = 0; i < weights.length; i++) {
    const g = gradient[i];
    meanSquare[i] = RHO * meanSquare[i] + (1 - RHO) * g * g;
    momentum[i] = MOMENTUM * momentum[i] + RATE * g / Math.sqrt(meanSquare[i] + EPSILON);
    weights[i] -= momentum[i];
  }
}

/** @param {Arrays} arrays */
function updateCentered({ weights, gradient, meanSquare, meanGradient, momentum }) {
  for (let i = 0; i < weights.length; i++) {
    const g = gradient[i];
    meanSquare[i] = RHO * meanSquare[i] + (1 - RHO) * g * g;
    meanGradient[i] = RHO * meanGradient[i] + (1 - RHO) * g;
    const d = meanSquare[i] - meanGradient[i] * meanGradient[i] + EPSILON;
    momentum[i] = MOMENTUM * momentum[i] + RATE * g / Math.sqrt(d);
    weights[i] -= momentum[i];
  }
}

/**
 * @param {'wasm' | 'cpu'} backend
 * @returns {Rival} `tf.train.rmsprop`, whose centered form subtracts epsilon: NaN for gradients that stay the same
 */
function tfjs(backend) {
  return {
    name: `tfjs ${backend}`,
    refuses(kernel, { parameters }) {
      if (backend === 'cpu' && parameters > 2 ** 20) return 'takes seconds a step';
      return hasNotEverything(kernel);
    },
    async begin(kernel, { shapes }) {
      await tf.setBackend(backend);
      const given = shapes.map((shape, i) => ({ shape, ...arrays(shape, i) }));
      const gradients = given.map(({ gradient, shape }) => tf.tensor(gradient, shape));
      const variables = given.map(({ weights, shape }) => tf.tidy(() => tf.variable(tf.tensor(weights, shape))));
      const optimizer = tf.train.rmsprop(RATE, RHO, kernel.momentum ? MOMENTUM : 0, EPSILON, kernel.centered);
      const pairs = variables.map(({ name }, i) => ({ name, tensor: gradients[i] }));
      return {
        enter: () => tf.setBackend(backend),
        step: () => optimizer.applyGradients(pairs),
        weight: () => variables[0].dataSync()[0],
        end() {
          optimizer.dispose();
          tf.dispose([...variables, ...gradients]);
        },
      };
    },
  };
}

/** The rule as one compiled function of all tensors. @type {Rival} */
const jaxJs = {
  name: 'jax-js jit',
  refuses: hasNotEverything,
  async begin({ momentum, centered }, { shapes }) {
    const { numpy: np, jit, tree } = jax;
    const update = jit((/** @type {any[]} */ tensors, /** @type {any[]} */ gradients) => tensors.map(({ x, v, mg, m }, i) => {
      const g = gradients[i];
      /** @type {Record<string, any>} */
      const next = { v: v.mul(RHO).add(g.ref.mul(g.ref).mul(1 - RHO)) };
      let d = next.v.ref.add(EPSILON);
      if (centered) {
        next.mg = mg.mul(RHO).add(g.ref.mul(1 - RHO));
        d = d.sub(next.mg.ref.mul(next.mg.ref));
      }
      let u = g.mul(RATE).div(np.sqrt(d));
      if (momentum) {
        next.m = m.mul(MOMENTUM).add(u);
        u = next.m.ref;
      }
      return { ...next, x: x.sub(u) };
    }));
    const given = shapes.map((shape, i) => ({ shape, ...arrays(shape, i) }));
    const gradients = given.map(({ gradient, shape }) => np.array(gradient, { shape }));
    let tensors = given.map(({ weights, shape }) => ({
      x: np.array(weights, { shape }),
      v: np.zeros(shape),
      ...(centered && { mg: np.zeros(shape) }),
      ...(momentum && { m: np.zeros(shape) }),
    }));
    return {
      isAsync: true,
      async step() {
        tensors = /** @type {any} */ (update(tensors, tree.ref(gradients)));
        await jax.blockUntilReady(tensors);
      },
      weight: async () => (await tensors[0].x.ref.data())[0],
      end() {
        tree.dispose(tensors);
        tree.dispose(gradients);
      },
    };
  },
};

/**
 * @returns {Promise<{ rivals: Rival[], close: () => unknown }>} the first is what the others are compared with
 */
export async function inThisEngine() {
  await jax.init('wasm');
  jax.defaultDevice('wasm');
  const worker = startWorker(new URL('scalar-worker.js', import.meta.url));
  const scalar = remote('without SIMD', worker.ask);
  const pool = await ThreadPool.create({ threads: 2 });
  const pooled = rivalIn('two threads', () => pool.memory, pool);
  return {
    rivals: [ours, triad, divider, pooled, scalar, loop, tfjs('wasm'), tfjs('cpu'), jaxJs],
    close() {
      worker.close();
      return pool.close();
    },
  };
}
