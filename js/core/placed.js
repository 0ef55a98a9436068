/**
 * The calls into the kernels that work on what an engine has placed: who has placed nothing does not have them.
 */
import { layout } from '../generated/rmsprop.js';

/**
 * @typedef {object} Placed what can be done when everything lies where the kernels look: until something is staged
 * @property {() => void} step one step of all variables, by the options and addresses written before: one call, or with
 *   both types one for each run of variables of a type, as the kernels take norms of one type only
 * @property {(sumSquares: number) => void} stepWithSum the same for a clip by the global norm over gradients in another
 *   order than that of the variables, or of which some are not staged: by the sum of squares of all
 * @property {(byteOffset: number) => void} prepare writes the gradients, unscaled and accumulated, one after the other,
 *   to a place for as many elements as all variables have
 * @property {() => number[]} sumSquares of each variable the sum of the squares of its gradient, clipped by value if
 *   the flags say so; 0 without gradient
 * @property {() => boolean} allFinite whether all gradients are finite
 */

/**
 * @param {import('../module.js').Kernels} kernels
 * @param {import('../memory.js').Memory} memory
 * @param {readonly { dtype: string }[]} variables of the engine, the list that it changes itself
 * @param {readonly unknown[]} gradients of them in the step to come; null: none
 * @returns {{ placed: Placed, move: (scratch: number, options: number, tensors: number) => void }} move: says where the
 *   structs of the kernels are now, and that the variables may be others
 */
export function placedCalls(kernels, memory, variables, gradients) {
  let [scratch, options, tensors] = [0, 0, 0];
  /** How many variables of one type come after each other. @type {number[]} */
  let runs = [];
  /** The scratch of the norm clips, one number for each gradient; the variables have one type. */
  const sumsInScratch = () => {
    const Sums = variables[0].dtype === 'float64' ? Float64Array : Float32Array;
    return new Sums(/** @type {ArrayBuffer} */ (memory.buffer), scratch, variables.length);
  };
  const placed = Object.freeze({
    step() {
      const bytes = layout.tensor.size;
      for (let first = 0, i = 0; i < runs.length; first += runs[i++]) {
        kernels.rms_step(options, tensors + first * bytes, runs[i]);
      }
    },
    stepWithSum(/** @type {number} */ sumSquares) {
      // Instead of a sum for each gradient: the whole for the first, and nothing for the others.
      const sums = sumsInScratch();
      sums.fill(0);
      sums[0] = sumSquares;
      kernels.rms_range(options, tensors, variables.length, 0, 2 ** 32 - 1);
    },
    prepare(/** @type {number} */ byteOffset) {
      kernels.rms_prepare(options, tensors, variables.length, byteOffset);
    },
    sumSquares() {
      kernels.rms_sum_squares(options, tensors, variables.length);
      const sums = sumsInScratch();
      let next = 0;
      return gradients.map((gradient) => (gradient === null ? 0 : sums[next++]));
    },
    allFinite: () => kernels.rms_all_finite(tensors, variables.length) !== 0,
  });
  /** @type {(...places: [scratch: number, options: number, tensors: number]) => void} */
  const move = (...places) => {
    [scratch, options, tensors] = places;
    runs = [];
    variables.forEach(({ dtype }, i) => {
      if (i > 0 && variables[i - 1].dtype === dtype) runs[runs.length - 1] += 1;
      else runs.push(1);
    });
  };
  return { placed, move };
}
