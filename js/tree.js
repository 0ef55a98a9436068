/**
 * Trees of arrays, as JAX has them: arrays and plain objects, nested to any depth, with tensors and typed arrays as
 * leaves. null is a place without a leaf. A single leaf is a tree, too. Whoever has other leaves says of which kind.
 */
import { show, typeError } from './check.js';
import { isPlain, isTypedArray } from './core/identity.js';
import { isTensor } from './tensor.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').TypedArray} TypedArray */
/** @typedef {Tensor | TypedArray} Leaf */
/**
 * @typedef {Leaf | null | readonly Tree[] | { readonly [key: string]: Tree }} Tree
 */
/**
 * @typedef {number | null | Structure[] | { [key: string]: Structure }} Structure a tree with the number of each leaf
 *   in its place
 */

/**
 * @param {unknown} value
 * @returns {value is Leaf}
 */
export function isLeaf(value) {
  return isTensor(value) || isTypedArray(value);
}

/**
 * @template T
 * @typedef {object} LeafKind what the leaves of a tree are
 * @property {(value: unknown) => value is T} isLeaf
 * @property {string} leaf what messages call one
 */

/** @type {LeafKind<Leaf>} */
const ARRAYS = { isLeaf, leaf: 'a tensor, a typed array' };

/**
 * Numbers the leaves of a tree.
 *
 * @template [T=Leaf]
 * @param {string} name what messages call the tree
 * @param {unknown} tree
 * @param {LeafKind<T>} [kind] default tensors and typed arrays
 * @returns {{ structure: Structure, leaves: T[], paths: string[] }} paths: where each leaf is, to follow the name
 * @throws {TypeError} naming what is no tree
 */
export function flatten(name, tree, kind = /** @type {any} */ (ARRAYS)) {
  /** @type {T[]} */
  const leaves = [];
  /** @type {string[]} */
  const paths = [];
  /** @type {(branch: any, path: string) => Structure} */
  const visit = (branch, path) => {
    if (branch === null) return null;
    if (kind.isLeaf(branch)) {
      paths.push(path);
      return leaves.push(branch) - 1;
    }
    if (Array.isArray(branch)) return Array.from(branch, (child, i) => visit(child, `${path}[${i}]`));
    if (!isPlain(branch)) {
      throw typeError(name + path, `${kind.leaf}, null, or an array or plain object of them`, branch);
    }
    return Object.fromEntries(Object.keys(branch).map((key) => [key, visit(branch[key], `${path}.${key}`)]));
  };
  return { structure: visit(tree, ''), leaves, paths };
}

/**
 * Reads the leaves of a tree whose structure is known.
 *
 * @template [T=Leaf]
 * @param {string} name what messages call the tree
 * @param {any} tree
 * @param {Structure} structure
 * @param {LeafKind<T>} [kind] default tensors and typed arrays
 * @param {(T | null)[]} [leaves] to write into
 * @returns {(T | null)[]} by number; null where null stands in the place of a leaf
 * @throws {TypeError | RangeError} naming where it has another structure
 */
export function leavesOf(name, tree, structure, kind = /** @type {any} */ (ARRAYS), leaves = []) {
  if (typeof structure === 'number') {
    if (tree !== null && !kind.isLeaf(tree)) throw typeError(name, `${kind.leaf} or null`, tree);
    leaves[structure] = tree;
  } else if (structure === null) {
    if (tree !== null) throw typeError(name, 'null', tree);
  } else if (Array.isArray(structure)) {
    if (!Array.isArray(tree)) throw typeError(name, `an array of length ${structure.length}`, tree);
    if (tree.length !== structure.length) {
      throw new RangeError(`${name} must be an array of length ${structure.length}, got ${show(tree)}`);
    }
    structure.forEach((branch, i) => leavesOf(`${name}[${i}]`, tree[i], branch, kind, leaves));
  } else {
    if (!isPlain(tree)) throw typeError(name, `an object with the keys [${Object.keys(structure)}]`, tree);
    const keys = Object.keys(structure);
    if (Object.keys(tree).length !== keys.length || !keys.every((key) => Object.hasOwn(tree, key))) {
      throw new RangeError(`${name} must have the keys [${keys}], got [${Object.keys(tree)}]`);
    }
    for (const key of keys) leavesOf(`${name}.${key}`, tree[key], structure[key], kind, leaves);
  }
  return leaves;
}

/**
 * @template T
 * @param {Structure} structure
 * @param {readonly T[]} leaves by number
 * @returns {any} a new tree with these leaves
 */
export function unflatten(structure, leaves) {
  if (structure === null) return null;
  if (typeof structure === 'number') return leaves[structure];
  if (Array.isArray(structure)) return structure.map((branch) => unflatten(branch, leaves));
  return Object.fromEntries(Object.entries(structure).map(([key, branch]) => [key, unflatten(branch, leaves)]));
}
