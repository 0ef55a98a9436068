/** What the tables of several optimizers take as input, good and bad. */
import { Memory, indexedSlices, variable, zeros } from 'rmsprop-wasm';
import { bad, kind } from './table.js';

/** @typedef {any} Any */

/** Bytes and tensors of the memory that everybody shares. */
export const common = () => [Memory.default.bytesInUse, Memory.default.tensorCount];

/** Two variables, a and b, and things that fit nowhere. */
export function things() {
  const memory = new Memory();
  const a = variable([1, 2, 3], { name: 'a', memory });
  const b = variable([[4, 5]], { name: 'b', memory });
  const made = {
    memory, a, b, variables: [a, b],
    gone: variable([1, 2, 3], { name: 'gone', memory }),
    elsewhere: variable([1, 2, 3], { name: 'elsewhere', memory: new Memory() }),
    stranger: variable([1, 2, 3], { name: 'stranger', memory }),
    whole: variable([1, 2, 3], { name: 'whole', dtype: 'int32', memory }),
    double: zeros([3], { dtype: 'float64', memory }),
    foreign: zeros([3]),
    long: zeros([4], { memory }),
    goneTensor: zeros([3], { memory }),
  };
  made.gone.dispose();
  made.goneTensor.dispose();
  return made;
}

/**
 * What is no gradient of the variable a, of shape [3].
 *
 * @param {string} name what messages call it
 */
export function gradientsOfA(name) {
  /** @type {(values: Any, indices: number[], shape?: number[]) => () => unknown} */
  const sliced = (values, indices, shape) => () => indexedSlices(values, indices, shape);
  return [
    ...kind(name, '3 numbers, flat or in shape [3]', ['number', 'null', 'array'], { required: true }),
    bad('a number', 7, RangeError, `${name} must be 3 numbers, flat or in shape [3], got 7`),
    bad('a short array', [1, 1], RangeError, `${name} must be 3 numbers, flat or in shape [3], got Array of length 2`),
    bad('a long typed array', new Float32Array(4), RangeError,
      `${name} must be 3 numbers, flat or in shape [3], got Float32Array of length 4`),
    bad('another shape', [[1], [1], [1]], RangeError, `${name} must be 3 numbers, flat or in shape [3], got Array of length 3`),
    bad('texts', ['1', '2', '3'], TypeError, `${name} must be 3 numbers, flat or in shape [3], got Array of length 3`),
    bad('bigints', new BigInt64Array(3), TypeError, `${name} must be 3 numbers, flat or in shape [3], got BigInt64Array of length 3`),
    bad('a long tensor', (w) => w.long, RangeError, `${name} must be of 3 elements, got 4`),
    bad('another dtype', (w) => w.double, TypeError, `${name} must be float32, got "float64"`),
    bad('another memory', (w) => w.foreign, RangeError, `${name} must be in the memory of the variable, got Tensor`),
    bad('a disposed tensor', (w) => w.goneTensor, Error, 'tensor of shape [3] is disposed'),
    bad('slices of another shape', sliced([1, 2], [0, 1], [4]), RangeError, `${name} must be slices of shape [3], got "[4]"`),
    bad('slices of too few values', sliced([1, 2], [0, 1, 2]), RangeError,
      `${name} must be 3 rows of 1 numbers, got Float64Array of length 2`),
    bad('an index out of range', sliced([1], [3]), RangeError, `${name}: index 3 at offset 0 in indices is out of range [0, 3)`),
  ];
}
