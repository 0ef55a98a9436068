/**
 * Assigning a hyperparameter by the name that another framework has for it would change nothing: it is refused, and the
 * right name is told.
 */
import { show } from '../check.js';
import { snakeCase } from '../naming.js';

/** The names of one thing in all frameworks. */
const SPELLINGS = [
  ['learningRate', 'lr', 'paramGroups'], ['rho', 'decay', 'alpha'], ['epsilon', 'eps'], ['weightDecay', 'wd'],
  ['globalClipnorm'], ['emaMomentum'], ['emaOverwriteFrequency'], ['lossScaleFactor'],
];

/**
 * Makes objects of a class refuse the other names of what they have.
 *
 * @param {{ name: string, prototype: object }} Class of optimizers
 */
export function refuseSpellings({ name: owner, prototype }) {
  for (const names of SPELLINGS) {
    const right = names.find((name) => name in prototype);
    if (!right) continue;
    for (const name of [...names, ...names.map(snakeCase)]) {
      if (name in prototype) continue;
      Object.defineProperty(prototype, name, {
        configurable: true,
        set() {
          throw new TypeError(`${owner} has no attribute ${show(name)}; did you mean ${show(right)}?`);
        },
      });
    }
  }
}
