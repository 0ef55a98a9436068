/**
 * What an optimizer keeps for variables of TensorFlow.js, by variable and never by position: where its slots lie, which
 * depends on the backend in use, and how they come and go by name.
 */
import { rangeError, show } from './check.js';
import { Copies } from './tfjs-copies.js';
import { Operations } from './tfjs-operations.js';
import { InPlace, hostOf } from './tfjs-wasm.js';

/** @typedef {import('./tfjs.js').TF} TF */
/** @typedef {import('./tfjs.js').TFTensor} TFTensor */
/** @typedef {import('./tfjs.js').TFVariable} TFVariable */
/** @typedef {InPlace | Copies | Operations} Path how a backend's variables are updated */
/** @typedef {{ name: string, shape: readonly number[], slots: Record<string, Float32Array> }} Entry of one variable */

/** Whether the fallback has been reported. */
let hasWarned = false;

/**
 * @param {TF} tf
 * @param {readonly import('./engine.js').SlotSpec[]} specs
 * @returns {Path} the fastest for the backend in use
 */
function pathFor(tf, specs) {
  const name = tf.getBackend();
  if (name === 'cpu') return new Copies(tf, specs);
  if (name !== 'wasm') return new Operations(tf, specs);
  const host = hostOf(tf);
  if (typeof host !== 'string') return new InPlace(tf, host, specs);
  if (!hasWarned) console.warn(`rmsprop-wasm copies variables in every step of TensorFlow.js: ${host}.`);
  hasWarned = true;
  return new Copies(tf, specs);
}

/**
 * The slots of all variables that an optimizer has met.
 */
export class State {
  #tf;
  #specs;
  /** The backend that the path is for. @type {object | undefined} */
  #backend;
  /** @type {Path | undefined} */
  #path;
  /** @type {Set<TFVariable>} */
  #variables = new Set();
  /** Whether the path has not been told yet what belongs to its variables. */
  #isStale = false;
  /** What was loaded before its variables were known. @type {Entry[]} */
  #pending = [];
  /** Whether some of it has gone to variables of its names, so that the rest waits for its own. */
  #isNamed = false;

  /**
   * @param {TF} tf
   * @param {readonly import('./engine.js').SlotSpec[]} specs
   */
  constructor(tf, specs) {
    this.#tf = tf;
    this.#specs = specs;
  }

  /** @returns {readonly TFVariable[]} those that are known and not disposed, in the order in which they came */
  get variables() {
    return [...this.#variables].filter(({ isDisposed }) => !isDisposed);
  }

  /** @returns {Path | undefined} the path in use */
  get path() {
    return this.#path;
  }

  /**
   * Makes slots for variables that are new, frees those of disposed ones, and moves everything where the backend has
   * changed.
   *
   * @param {readonly TFVariable[]} variables
   * @returns {{ path: Path, isChanged: boolean, fresh: readonly TFVariable[] }} the path that has them; changed: what
   *   it was told is to be told again; fresh: those whose slots are zeros
   * @throws {RangeError} if loaded slots do not fit, or the memory is exhausted
   */
  meet(variables) {
    const added = variables.filter((variable) => !this.#variables.has(variable));
    const loaded = this.#match(added);
    const gone = [...this.#variables].filter(({ isDisposed }) => isDisposed);
    for (const variable of gone) {
      this.#path?.remove(variable);
      this.#variables.delete(variable);
    }
    let path = this.#path;
    const hasMoved = path === undefined || this.#backend !== this.#tf.backend();
    if (hasMoved || added.length > 0 || gone.length > 0) this.#isStale = true;
    if (path === undefined || hasMoved) path = this.#move();
    if (added.length > 0) path.add(added);
    for (const variable of added) this.#variables.add(variable);
    for (const [variable, entry] of loaded) this.#write(path, variable, entry);
    if (loaded.size > 0) {
      const used = new Set(loaded.values());
      this.#pending = this.#pending.filter((entry) => !used.has(entry));
      this.#isNamed = true;
    }
    const isChanged = this.#isStale;
    this.#isStale = false;
    return { path, isChanged, fresh: added.filter((variable) => !loaded.has(variable)) };
  }

  /** @returns {Path} for the backend in use, with all that is known */
  #move() {
    const path = pathFor(this.#tf, this.#specs);
    const known = [...this.#variables];
    try {
      if (known.length > 0) path.add(known);
      for (const variable of known) {
        for (const { name } of this.#specs) {
          path.write(name, variable, /** @type {Path} */ (this.#path).read(name, variable));
        }
      }
    } catch (error) {
      path.dispose();
      throw error;
    }
    this.#path?.dispose();
    this.#path = path;
    this.#backend = this.#tf.backend();
    return path;
  }

  /**
   * @param {string} name of a slot
   * @param {TFVariable} variable that is known
   * @returns {TFTensor} a copy of what it holds
   */
  tensorOf(name, variable) {
    return /** @type {Path} */ (this.#path).tensorOf(name, variable);
  }

  /**
   * @returns {{ name: string, tensor: TFTensor }[]} copies of all slots, and of those whose variables have not come
   *   yet, in the order of tfjs
   */
  save() {
    const { variables } = this;
    return this.#specs.flatMap(({ name: slot }) => [
      ...variables.map((variable) => ({ name: `${variable.name}/${slot}`, tensor: this.tensorOf(slot, variable) })),
      ...this.#pending.map(({ name, shape, slots }) =>
        ({ name: `${name}/${slot}`, tensor: this.#tf.tensor(slots[slot].slice(), shape) })),
    ]);
  }

  /**
   * Takes over slots: those of known variables now, or else of the first that come.
   *
   * @param {Entry[]} entries none at all: all slots start anew
   * @throws {RangeError} if variables are known and the entries are not theirs; nothing is written then
   */
  load(entries) {
    const { variables } = this;
    const before = this.#pending;
    this.#pending = entries;
    this.#isNamed = false;
    if (entries.length === 0) this.#forget();
    if (variables.length === 0 || entries.length === 0) return;
    try {
      if (entries.length !== variables.length) {
        throw rangeError('weights', `those of ${variables.length} variables`, entries.length);
      }
      for (const [variable, entry] of this.#match(variables)) {
        this.#write(/** @type {Path} */ (this.#path), variable, entry);
      }
    } catch (error) {
      this.#pending = before;
      throw error;
    }
    this.#pending = [];
  }

  /** Forgets all variables: when they come again, their slots are zeros. */
  #forget() {
    for (const variable of this.#variables) this.#path?.remove(variable);
    this.#variables.clear();
  }

  /**
   * Finds what was loaded for variables: by name, where all have one there; else, since a model that was loaded names
   * its variables anew, in order.
   *
   * @param {readonly TFVariable[]} variables
   * @returns {Map<TFVariable, Entry>}
   * @throws {RangeError} if neither fits
   */
  #match(variables) {
    if (this.#pending.length === 0 || variables.length === 0) return new Map();
    const named = new Map(this.#pending.map((entry) => [entry.name, entry]));
    const byName = variables.map(({ name }) => named.get(name));
    const fitting = variables.flatMap((variable, i) => {
      const entry = byName[i];
      return entry && `${entry.shape}` === `${variable.shape}` ? [/** @type {const} */ ([variable, entry])] : [];
    });
    if (this.#isNamed || fitting.length === variables.length) return new Map(fitting);
    const entries = this.#pending;
    const fits = entries.length === variables.length
      && variables.every(({ shape }, i) => `${entries[i].shape}` === `${shape}`);
    if (fits) return new Map(variables.map((variable, i) => [variable, entries[i]]));
    const names = variables.map(({ name }) => show(name)).join(', ');
    throw new RangeError(`the weights that were set are not those of the variables ${names}: the first step after they `
      + 'were set must have all variables they belong to, or variables of the same names');
  }

  /**
   * @param {Path} path
   * @param {TFVariable} variable
   * @param {Entry} entry
   */
  #write(path, variable, { slots }) {
    for (const { name } of this.#specs) path.write(name, variable, slots[name]);
  }

  /** Frees everything. */
  dispose() {
    this.#path?.dispose();
    this.#path = undefined;
    this.#variables.clear();
    this.#pending = [];
  }
}
