/** What the tables of several optimizers take as input, good and bad. */
import { Memory, indexedSlices, variable, writeSafetensors, zeros } from 'rmsprop-wasm';
import * as optax from 'rmsprop-wasm/optax';
import * as torch from 'rmsprop-wasm/torch';
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

/** What no file of trees keeps, whoever writes it. */
export const unsaved = [
  ...kind('tree', 'a tensor, typed array, number, string, boolean, null, array or plain object',
    ['null', 'number', 'text', 'flag', 'object', 'bare', 'array'], { required: true }),
  bad('a class in it', { a: [new Map()] }, TypeError,
    'a.0 must be a tensor, typed array, number, string, boolean, null, array or plain object, got Map'),
  bad('a key with $', { a: { $b: 1 } }, RangeError, 'a: key must be without $ at its start, got "$b"'),
  bad('two arrays of one name', { 'a.b': new Float32Array(1), 'a': { b: new Float32Array(1) } }, RangeError,
    'keys must be such that files can tell tensors apart, got "a.b"'),
  bad('a tree without end', () => {
    const tree = { branch: {} };
    tree.branch = tree;
    return tree;
  }, RangeError, /must be nested at most 100 deep, got 101$/),
];

/**
 * What is no file of a tree.
 *
 * @param {'optax' | 'torch'} dialect
 */
export function stateFiles(dialect) {
  const [own, other] = dialect === 'optax' ? [optax.saveState, torch.save] : [torch.save, optax.saveState];
  const file = (/** @type {string} */ tree, tensors = {}) =>
    writeSafetensors(tensors, { format: 'rmsprop-wasm', format_version: '1', dialect, tree });
  return [
    bad('an empty file', new Uint8Array(0), RangeError, 'safetensors: file must be at least 8 bytes long, got 0'),
    bad('a file cut short', () => own({ x: new Float32Array(3) }).slice(0, -1), RangeError, /^safetensors: /),
    bad('a file of others', () => writeSafetensors({}), RangeError, 'format of the file must be "rmsprop-wasm", got undefined'),
    bad('a file of another dialect', () => other({}), RangeError,
      `dialect of the file must be "${dialect}", got "${dialect === 'optax' ? 'torch' : 'optax'}"`),
    bad('no JSON', () => file('{'), RangeError, 'tree of the file must be JSON, got "{"'),
    bad('an array that is not there', () => file('{ "$tensor": "x" }'), RangeError,
      'tree of the file must be one with each tensor once, got "x"'),
    bad('an array that nobody asks for', () => file('{}', { x: { shape: [1], data: new Float32Array(1) } }), RangeError,
      'tree of the file must be one with each tensor once, got "x"'),
    bad('a tree too deep', () => file(`${'['.repeat(102)}${']'.repeat(102)}`), RangeError,
      'tree of the file must be nested at most 100 deep, got 101'),
  ];
}
