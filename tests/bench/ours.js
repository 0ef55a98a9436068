/** This package as a rival, with the kernels that the process is configured for. */
import { Memory, RMSprop, variable } from 'rmsprop-wasm';
import { EPSILON, MOMENTUM, RATE, RHO, arrays } from './cases.js';

/** `opt.step()`, gradients being where it reads them. @type {import('./rivals.js').Rival} */
export const ours = {
  name: 'rmsprop-wasm',
  begin(kernel, { shapes }) {
    const memory = new Memory();
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
    });
    optimizer.build(variables);
    return {
      step: () => optimizer.step(),
      weight: () => variables[0].data[0],
    };
  },
};
