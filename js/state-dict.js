/**
 * Trees of arrays and numbers as safetensors files: what `torch.save` is to state dicts and flax's `to_bytes` to states
 * of optax.
 *
 * Tensors are named by where they are in the tree, with dots between: `optimizer.state.0.square_avg`. The rest stands
 * in the metadata as JSON, `tree`: there `{"$tensor": name}` is in the place of a tensor, and `{"$number": text}` in
 * that of a number that JSON does not have (NaN, Infinity, -Infinity, -0). tests/python/state_dict.py reads and writes
 * the same in Python.
 */
import { ofType, rangeError, show, typeError } from './check.js';
import { FORMAT, numberFromJson, numberToJson } from './checkpoint.js';
import { bytesOf } from './core/bytes.js';
import { arrayKind, isPlain } from './core/identity.js';
import { shapeOfArray, shaped } from './core/shaped.js';
import { checkTensorName, readSafetensors, writeSafetensors } from './safetensors.js';
import { isTensor } from './tensor.js';

/** How deep a tree may be nested: far below where recursion ends. */
export const MAX_DEPTH = 100;

/**
 * The types of arrays from files whose class does not tell them: F16, BF16 and BOOL.
 *
 * @type {WeakMap<object, import('./safetensors.js').SafetensorDtype>}
 */
const dtypes = new WeakMap();

/**
 * @param {string} dialect
 * @param {unknown} tree plain objects, arrays, numbers, strings, booleans, null, and as leaves tensors and typed arrays
 * @returns {Uint8Array} the file
 * @throws {TypeError | RangeError} for anything else, naming where it is
 */
export function writeStateDict(dialect, tree) {
  /** @type {Map<string, import('./safetensors.js').SafetensorInput>} */
  const tensors = new Map();
  const json = encode(tree, [], tensors);
  return writeSafetensors(tensors, { ...FORMAT, dialect, tree: JSON.stringify(json) });
}

/**
 * @param {string} dialect
 * @param {Uint8Array | ArrayBuffer} bytes of `writeStateDict`
 * @returns {any} the tree, whose tensors are typed arrays of their own with a `shape`
 * @throws {TypeError | RangeError} if it is anything else
 */
export function readStateDict(dialect, bytes) {
  const { tensors, metadata } = readSafetensors(bytesOf('bytes', bytes));
  for (const [key, expected] of Object.entries({ ...FORMAT, dialect })) {
    if (metadata[key] !== expected) throw rangeError(`${key} of the file`, show(expected), metadata[key]);
  }
  let json;
  try {
    json = JSON.parse(ofType('tree of the file', metadata.tree, 'string'));
  } catch {
    throw rangeError('tree of the file', 'JSON', metadata.tree);
  }
  const used = new Set();
  const tree = decode(json, 0, (name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined || used.has(name)) throw rangeError('tree of the file', 'one with each tensor once', name);
    used.add(name);
    const data = shaped(tensor.data.slice(), tensor.shape);
    dtypes.set(data, tensor.dtype);
    return data;
  });
  if (used.size !== tensors.size) {
    const unused = [...tensors.keys()].find((name) => !used.has(name));
    throw rangeError('tree of the file', 'one with each tensor once', unused);
  }
  return tree;
}

/**
 * @param {any} node
 * @param {readonly string[]} path
 * @param {Map<string, import('./safetensors.js').SafetensorInput>} tensors to which those of the node are added
 * @returns {unknown} JSON-safe
 */
function encode(node, path, tensors) {
  const where = path.join('.') || 'tree';
  if (path.length > MAX_DEPTH) throw rangeError(where, `nested at most ${MAX_DEPTH} deep`, path.length);
  if (isTensor(node) || arrayKind(node) !== undefined) {
    const { data, shape } = isTensor(node) ? node : { data: node, shape: shapeOfArray(node) };
    if (tensors.has(where)) throw rangeError('keys', 'such that files can tell tensors apart', where);
    const dtype = dtypes.get(node);
    tensors.set(checkTensorName('key', where), { shape, data: /** @type {any} */ (data), ...(dtype && { dtype }) });
    return { $tensor: where };
  }
  if (typeof node === 'number') return numberToJson(node);
  if (node === null || typeof node === 'string' || typeof node === 'boolean') return node;
  if (Array.isArray(node)) return node.map((child, i) => encode(child, [...path, `${i}`], tensors));
  if (!isPlain(node)) {
    throw typeError(where, 'a tensor, typed array, number, string, boolean, null, array or plain object', node);
  }
  return Object.fromEntries(Object.entries(node).filter(([, child]) => child !== undefined).map(([key, child]) => {
    if (key.startsWith('$')) throw rangeError(`${where}: key`, 'without $ at its start', key);
    return [key, encode(child, [...path, key], tensors)];
  }));
}

/**
 * @param {any} node of JSON
 * @param {number} depth
 * @param {(name: string) => unknown} tensorOf
 * @returns {unknown}
 */
function decode(node, depth, tensorOf) {
  if (depth > MAX_DEPTH) throw rangeError('tree of the file', `nested at most ${MAX_DEPTH} deep`, depth);
  if (typeof node !== 'object' || node === null) return node;
  if (Array.isArray(node)) return node.map((child) => decode(child, depth + 1, tensorOf));
  const keys = Object.keys(node);
  if (keys.length === 1 && keys[0] === '$tensor') return tensorOf(node.$tensor);
  if (keys.length === 1 && keys[0] === '$number') return numberFromJson(node);
  return Object.fromEntries(keys.map((key) => [key, decode(node[key], depth + 1, tensorOf)]));
}
