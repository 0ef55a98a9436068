/** This package as a rival, with the kernels that the process is configured for. */
import { Memory, RMSprop, variable } from 'rmsprop-wasm';
import { EPSILON, MOMENTUM, RATE, RHO, arrays } from './cases.js';

export const ours = rivalIn('rmsprop-wasm', () => new Memory());

/**
 * `opt.step()`, gradients being where it reads them.
 *
 * @param {string} name
 * @param {() => Memory} memoryOf where the arrays of a case go
 * @param {import('rmsprop-wasm/threads').ThreadPool} [pool] of that memory
 * @returns {import('./rivals.js').Rival}
 */
export function rivalIn(name, memoryOf, pool) {
  return { name, begin };

  /** @type {import('./rivals.js').Rival['begin']} */
  function begin(kernel, { shapes }) {
    const memory = memoryOf();
    const variables = shapes.map((shape, i) => {
      const { weights, gradient } = arrays(shape, i);
      const made = variable(weights, { shape, memory });
      made.gradientBuffer().set(gradient);
      return made;
    });
    const optimizer = new RMSprop({
      learningRate: RATE,
      rho: RHO,
      epsilon: EPSILON,
      momentum: kernel.momentum ? MOMENTUM : 0,
      centered: kernel.centered,
      ...(kernel.everything && { globalClipnorm: 1, weightDecay: 0.004, useEma: true }),
      pool,
    });
    optimizer.build(variables);
    return {
      step: () => optimizer.step(),
      weight: () => variables[0].data[0],
      end() {
        optimizer.dispose();
        for (const made of variables) made.dispose();
      },
    };
  }
}
