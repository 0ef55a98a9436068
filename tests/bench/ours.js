/** This package as a rival, with the kernels that the process is configured for. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as own from 'rmsprop-wasm';
import { EPSILON, MOMENTUM, RATE, RHO, arrays } from './cases.js';

export const ours = rivalIn('rmsprop-wasm', () => new own.Memory());

/**
 * @param {string} folder another checkout
 * @returns {Promise<{ rivals: import('./rivals.js').Rival[], close: () => void }>} this tree's package and that one's
 */
export async function twoTrees(folder) {
  const other = await import(pathToFileURL(resolve(folder, 'js/index.js')).href);
  return { rivals: [ours, rivalIn(folder, () => new other.Memory(), undefined, other)], close() {} };
}

/**
 * `opt.step()`, gradients being where it reads them.
 *
 * @param {string} name
 * @param {() => own.Memory} memoryOf where the arrays of a case go
 * @param {import('rmsprop-wasm/threads').ThreadPool} [pool] of that memory
 * @param {Pick<typeof own, 'RMSprop' | 'variable'>} [of] the package
 * @returns {import('./rivals.js').Rival}
 */
export function rivalIn(name, memoryOf, pool, { RMSprop, variable } = own) {
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
