/**
 * The engine under every optimizer: the slots of its variables, the C structs that describe them, and the call into the
 * kernels. It knows nothing of hyperparameters, counters or names of frameworks.
 */
import { rangeError, typeError } from './check.js';
import { Overlap } from './core/overlap.js';
import { placedCalls } from './core/placed.js';
import { Staging } from './core/staging.js';
import { checkVariables } from './core/variables.js';
import * as constants from './generated/constants.js';
import { layout } from './generated/rmsprop.js';
import { kernelsOf } from './module.js';
import { Tensor, describe, zerosOf } from './tensor.js';

/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {import('./tensor.js').IndexedSlices} IndexedSlices */
/**
 * @typedef {'mean_square' | 'mean_gradient' | 'momentum' | 'average' | 'accumulator' | 'update'} SlotField of
 *   rms_tensor
 */
/**
 * @typedef {object} SlotSpec
 * @property {string} name what the framework calls the slot
 * @property {SlotField} field what the kernels call it
 * @property {number} [initial] what it is filled with; default 0
 */
/** @typedef {{ rows: Tensor, count: number, rowLength: number }} Rows of a sparse gradient */
/** @typedef {keyof typeof layout.options} OptionField fields of rms_step_options */
/** @typedef {import('./core/staging.js').DenseGradient} DenseGradient */
/** @typedef {import('./core/placed.js').Placed} Placed */
/**
 * @typedef {object} EngineOptions
 * @property {boolean} [isChecked] the caller has checked the variables; with `setValue` before each step anything will
 *   do that has the memory, dtype, shape and size of a variable
 * @property {typeof zerosOf} [makeZeros] makes the slots, where a host owns the memory and all that lies in it
 * @property {Pool} [pool] see `checkPool`
 * @property {Overlap} [overlap] of all engines that step in one call
 */
/**
 * @typedef {object} PoolKernels
 * @property {() => void} check throws if the pool cannot be used
 * @property {(family: import('./module.js').Embedded) => import('./module.js').Kernels} of run by all threads
 */
/**
 * @typedef {object} Pool threads that do the kernels' work together: `ThreadPool` of threads.js
 * @property {import('./memory.js').Memory} memory the only one that it works on
 * @property {PoolKernels} kernels
 */

const DTYPES = { float32: constants.RMS_FLOAT32, float64: constants.RMS_FLOAT64 };

/** Bytes of scratch for the norm clips, a variable: a sum of squares, of float64 at most. */
const SCRATCH = 8;

/**
 * All arrays of one optimizer. Variables can be added at any time. Addresses are read anew from the tensors before each
 * call, so a tensor that was disposed is noticed before the kernels run.
 */
export class Engine {
  #memory;
  #pool;
  #kernels;
  #specs;
  #makeZeros;
  /** @type {Variable[]} */
  #variables = [];
  /** @type {Map<Variable, number>} */
  #indices = new Map();
  /** One tensor a variable in each. @type {{ name: string, word: number, tensors: Tensor[], isUsed: boolean }[]} */
  #slots = [];
  /** The gradient of each variable in the step to come. @type {(Tensor | null)[]} */
  #gradients = [];
  #staging;
  #overlap;
  /** The version of the overlap for which the gradients that are placed have been looked up. */
  #overlapVersion = -1;
  /** The calls into the kernels. */
  #calls;
  /** Rows of sparse gradients in the step to come, merged, by variable. @type {Map<number, Rows>} */
  #rows = new Map();
  /** What the step to come works on instead of a variable. @type {(Tensor | undefined)[]} */
  #values = [];
  /** Where it writes an update instead of changing the value. @type {(Tensor | null | undefined)[]} */
  #updates = [];
  /** Byte offset of one block: the scratch of norm clips, the step options, the tensor list. */
  #block = 0;
  #optionsOffset = 0;
  #tensorsOffset = 0;
  /** What stood there before a tentative `add`. @type {{ block: number, count: number } | undefined} */
  #previous;
  // Views of that block, made anew when the memory has grown.
  /** @type {Float64Array} */
  #doubles = new Float64Array();
  /** @type {Uint32Array} */
  #words = new Uint32Array();
  /** Whether a gradient has ever been left out of clipping. */
  #hasClipped = false;
  #disposed = false;

  /**
   * Allocates the slots and the structs; if that fails, all it took is given back.
   *
   * @param {import('./module.js').Embedded} family to which the rules of its steps belong
   * @param {readonly Variable[]} variables see `checkVariables`
   * @param {readonly SlotSpec[]} specs
   * @param {EngineOptions} [options]
   * @throws {RangeError} if the variables are not in the memory of the pool
   */
  constructor(family, variables, specs, options = {}) {
    const { isChecked = false, makeZeros = zerosOf, pool, overlap = new Overlap() } = options;
    if (!isChecked) checkVariables(variables);
    this.#memory = variables[0].memory;
    if (pool && pool.memory !== this.#memory) throw rangeError('variables', 'in pool.memory', this.#memory);
    this.#pool = pool;
    this.#kernels = pool ? pool.kernels.of(family) : kernelsOf(this.#memory, family);
    this.#calls = placedCalls(this.#kernels, this.#memory, this.#variables, this.#gradients);
    this.#specs = specs;
    this.#makeZeros = makeZeros;
    this.#staging = new Staging(this.#memory);
    this.#overlap = overlap;
    this.#slots = specs.map(({ name, field }) =>
      ({ name, word: layout.tensor[field] / 4, tensors: [], isUsed: true }));
    this.add(variables);
    overlap.add(this);
  }

  /**
   * Takes in more variables.
   *
   * @param {readonly Variable[]} variables of the engine's memory; those it has already are passed over
   * @param {boolean} [isTentative] whether `settle` decides if they stay
   * @throws {RangeError} if the memory is exhausted or another; nothing has changed then
   */
  add(variables, isTentative = false) {
    const added = variables.filter((variable) => !this.#indices.has(variable));
    for (const variable of added) {
      if (variable.memory !== this.#memory) {
        throw rangeError(describe(variable), 'in the memory of the others', variable.memory);
      }
    }
    if (added.length === 0) return;
    const count = this.#variables.length + added.length;
    const scratchBytes = count * SCRATCH;
    /** @type {Tensor[][]} */
    const slots = this.#specs.map(() => []);
    let block;
    try {
      this.#specs.forEach(({ initial }, k) => {
        for (const { dtype, shape } of added) slots[k].push(this.#makeZeros(this.#memory, dtype, shape, initial));
      });
      block = this.#memory.allocate(scratchBytes + layout.options.size + count * layout.tensor.size);
    } catch (error) {
      for (const tensor of slots.flat()) tensor.dispose();
      throw error;
    }
    const bytes = new Uint8Array(this.#memory.buffer);
    const [options, tensors] = [this.#optionsOffset, this.#tensorsOffset];
    const oldTensorBytes = this.#variables.length * layout.tensor.size;
    bytes.fill(0, block, block + scratchBytes + layout.options.size + count * layout.tensor.size);
    if (this.#block) {
      bytes.copyWithin(block + scratchBytes, options, options + layout.options.size);
      bytes.copyWithin(block + scratchBytes + layout.options.size, tensors, tensors + oldTensorBytes);
      if (isTentative) this.#previous = { block: this.#block, count: this.#variables.length };
      else this.#memory.free(this.#block);
    }
    this.#useBlock(block, count);
    for (const variable of added) {
      this.#indices.set(variable, this.#variables.length);
      this.#variables.push(variable);
      this.#gradients.push(null);
    }
    this.#slots.forEach((slot, k) => slot.tensors.push(...slots[k]));
    this.#variablesChanged();
    this.setWord('sum_squares', block);
    for (const variable of added) {
      const base = this.#tensorWord(this.indexOf(variable));
      this.#words[base + layout.tensor.length / 4] = variable.size;
      this.#words[base + layout.tensor.dtype / 4] = DTYPES[/** @type {'float32' | 'float64'} */ (variable.dtype)];
    }
  }

  /**
   * Ends a call: a tentative `add`, and what its gradients took.
   *
   * @param {boolean} isKept whether the variables stay; else all is as it was before, also what was written since
   */
  settle(isKept) {
    this.#staging.settle(isKept);
    const previous = this.#previous;
    if (!previous) return;
    this.#previous = undefined;
    if (isKept) {
      this.#memory.free(previous.block);
      return;
    }
    const { block, count } = previous;
    for (const { tensors } of this.#slots) for (const tensor of tensors.splice(count)) tensor.dispose();
    for (const variable of this.#variables.splice(count)) this.#indices.delete(variable);
    this.#gradients.length = count;
    this.#memory.free(this.#block);
    this.#useBlock(block, count);
    this.#variablesChanged();
  }

  /**
   * @param {number} block
   * @param {number} count of variables that it has room for
   */
  #useBlock(block, count) {
    this.#block = block;
    this.#optionsOffset = block + count * SCRATCH;
    this.#tensorsOffset = this.#optionsOffset + layout.options.size;
    this.#words = new Uint32Array();
  }

  /**
   * Forgets a variable and frees its slots; gradients staged for the step to come are dropped.
   *
   * @param {Variable} variable
   */
  remove(variable) {
    const index = this.indexOf(variable);
    if (index < 0) return;
    this.clearGradients();
    for (const { tensors } of this.#slots) tensors.splice(index, 1)[0].dispose();
    for (const list of [this.#variables, this.#gradients, this.#values, this.#updates]) list.splice(index, 1);
    this.#indices = new Map(this.#variables.map((other, i) => [other, i]));
    const { size } = layout.tensor;
    const start = this.#tensorsOffset + index * size;
    const end = this.#tensorsOffset + (this.#variables.length + 1) * size;
    new Uint8Array(this.#memory.buffer).copyWithin(start, start + size, end);
    this.#staging.remove(index);
    this.#variablesChanged();
  }

  #variablesChanged() {
    this.#overlap.forget();
    this.#calls.move(this.#block, this.#optionsOffset, this.#tensorsOffset);
  }

  /** @returns {import('./memory.js').Memory} where everything lies */
  get memory() {
    return this.#memory;
  }

  /** @returns {readonly Variable[]} in the order in which they came */
  get variables() {
    return this.#variables;
  }

  /**
   * @param {Variable} variable
   * @returns {number} its index, -1 if it is unknown
   */
  indexOf(variable) {
    return this.#indices.get(variable) ?? -1;
  }

  /** @returns {readonly { name: string, tensors: readonly Tensor[] }[]} in the order of the specs */
  get slots() {
    return this.#slots;
  }

  /**
   * @param {string} name
   * @returns {readonly Tensor[]} that slot of each variable, none if there is no such slot
   */
  slot(name) {
    return this.#slots.find((slot) => slot.name === name)?.tensors ?? [];
  }

  /**
   * Leaves a slot out of the steps to come, as if it were not there, or takes it in again; what it holds stays.
   *
   * @param {string} name
   * @param {boolean} isUsed
   */
  useSlot(name, isUsed) {
    for (const slot of this.#slots) {
      if (slot.name !== name || slot.isUsed === isUsed) continue;
      slot.isUsed = isUsed;
      this.#overlap.forget();
    }
  }

  /**
   * Stages the gradients of a call. Arrays are copied, so that nobody can change them any more.
   *
   * @param {DenseGradient[]} gradients one for each variable; null: it has none in the step to come
   * @throws {RangeError} if the memory is exhausted; `settle` gives back what was taken
   */
  setGradients(gradients) {
    if (this.#rows.size || this.#hasClipped) this.clearGradients();
    this.#staging.bring(this.#variables, gradients, this.#gradients);
  }

  /** Drops all gradients. */
  clearGradients() {
    for (let i = 0; i < this.#variables.length; i++) this.setGradient(i, null);
  }

  /**
   * Leaves the staged gradient of a variable out of clipping: it is clipped already.
   *
   * @param {number} index
   */
  setClipped(index) {
    this.#hasClipped = true;
    this.#setKeeps(index, constants.RMS_KEEP_GRADIENT, true);
  }

  /**
   * Stages a gradient.
   *
   * @param {number} index
   * @param {Tensor | null} gradient checked by the caller; null: the variable has none in the step to come
   * @param {boolean} [isClipped] whether it is left out of clipping
   */
  setGradient(index, gradient, isClipped = false) {
    if (this.#rows.size) this.#dropRows(index);
    this.#gradients[index] = gradient;
    if (isClipped || this.#hasClipped) this.#setKeeps(index, constants.RMS_KEEP_GRADIENT, isClipped);
    this.#hasClipped ||= isClipped;
  }

  /**
   * Stages a sparse gradient whose rows alone are to be updated. Rows of one index are summed; the slices stay as they
   * are.
   *
   * @param {number} index
   * @param {IndexedSlices} slices checked by the caller
   * @param {boolean} [isClipped] whether it is left out of clipping
   * @throws {RangeError} if the memory is exhausted
   */
  setRows(index, slices, isClipped = false) {
    this.setGradient(index, null, isClipped);
    const variable = this.#variables[index];
    const { indices } = slices;
    const [rowCount, ...rest] = variable.shape;
    const rowLength = rest.reduce((product, length) => product * length, 1);
    /** @type {Tensor[]} */
    const made = [];
    try {
      made.push(new Tensor(this.#memory, variable.dtype, [indices.length * rowLength]));
      made.push(new Tensor(this.#memory, 'int32', [indices.length]));
      made.push(new Tensor(this.#memory, 'int32', [rowCount]));
    } catch (error) {
      for (const tensor of made) tensor.dispose();
      throw error;
    }
    const [values, rows, places] = made;
    values.set(slices.values);
    rows.set(indices);
    const dtype = DTYPES[/** @type {'float32' | 'float64'} */ (variable.dtype)];
    const count = this.#kernels.rms_merge_rows(
      dtype, values.byteOffset, rows.byteOffset, places.byteOffset, indices.length, rowLength,
    );
    places.dispose();
    this.#rows.set(index, { rows, count, rowLength });
    this.#gradients[index] = values;
  }

  /** @param {number} index */
  #dropRows(index) {
    const rows = this.#rows.get(index);
    if (rows === undefined) return;
    this.#rows.delete(index);
    rows.rows.dispose();
    this.#gradients[index]?.dispose();
    this.#gradients[index] = null;
  }

  /**
   * @param {number} index
   * @returns {Tensor | null} the gradient of the variable in the step to come
   */
  gradient(index) {
    return this.#gradients[index];
  }

  /**
   * @param {number} index
   * @returns {boolean} whether the variable has a gradient in the step to come
   */
  hasGradient(index) {
    return this.#gradients[index] !== null;
  }

  /**
   * Lets the steps to come work on another tensor.
   *
   * @param {number} index
   * @param {Tensor} value of the variable's dtype, size and memory
   * @param {Tensor | null} update where what would be added to the value is written, which then stays as it is; null:
   *   the value is changed
   */
  setValue(index, value, update) {
    if (this.#values[index] !== value || this.#updates[index] !== update) this.#overlap.forget();
    this.#values[index] = value;
    this.#updates[index] = update;
  }

  /** @returns {boolean} whether any variable has a gradient in the step to come */
  get hasGradients() {
    return this.#gradients.some((gradient) => gradient !== null);
  }

  /**
   * Includes a variable in weight decay or excludes it.
   *
   * @param {number} index
   * @param {boolean} keeps whether the variable is excluded from weight decay
   */
  setKeepsWeights(index, keeps) {
    this.#setKeeps(index, constants.RMS_KEEP_WEIGHTS, keeps);
  }

  /**
   * @param {number} index
   * @param {number} flag of enum rms_tensor_flags
   * @param {boolean} keeps
   */
  #setKeeps(index, flag, keeps) {
    this.#refreshViews();
    const word = this.#tensorWord(index) + layout.tensor.flags / 4;
    if (keeps) this.#words[word] |= flag;
    else this.#words[word] &= ~flag;
  }

  /**
   * @param {OptionField} field of type double
   * @returns {number} what was written there last
   */
  number(field) {
    this.#refreshViews();
    return this.#doubles[(this.#optionsOffset - this.#block + layout.options[field]) / 8];
  }

  /**
   * Writes a number of the step to come, and of those after it.
   *
   * @param {OptionField} field of type double
   * @param {number} value
   */
  setNumber(field, value) {
    this.#refreshViews();
    this.#doubles[(this.#optionsOffset - this.#block + layout.options[field]) / 8] = value;
  }

  /**
   * Copies a number out of an array: handed over as an argument, it might be boxed on the heap, in every step.
   *
   * @param {OptionField} field of type double
   * @param {ArrayLike<number>} array
   * @param {number} index
   */
  copyNumber(field, array, index) {
    this.#refreshViews();
    this.#doubles[(this.#optionsOffset - this.#block + layout.options[field]) / 8] = array[index];
  }

  /**
   * Writes a word of the step to come, and of those after it.
   *
   * @param {OptionField} field of type uint32_t
   * @param {number} value
   */
  setWord(field, value) {
    this.#refreshViews();
    this.#words[(this.#optionsOffset - this.#block + layout.options[field]) / 4] = value;
  }

  /**
   * Writes all addresses into the tensor list, when the last check has passed. A gradient that the step overwrites is
   * copied before.
   *
   * @returns {Placed} what can be done now
   * @throws {Error | RangeError} if a variable, its slot or its gradient is disposed; a variable without gradient may
   *   be; if the pool cannot be used; or if the memory is exhausted
   */
  place() {
    this.#pool?.kernels.check();
    this.#refreshViews();
    for (let i = 0; i < this.#variables.length; i++) this.#placeSlots(i);
    const { version } = this.#overlap;
    for (let i = 0; i < this.#variables.length; i++) this.#placeGradient(i, version !== this.#overlapVersion);
    this.#overlapVersion = version;
    return this.#calls.placed;
  }

  /** @param {number} index */
  #placeSlots(index) {
    const base = this.#tensorWord(index);
    const value = this.#values[index] ?? this.#variables[index];
    const update = this.#updates[index];
    if (this.#gradients[index] === null && value.isDisposed) {
      // The kernels pass over a tensor without addresses.
      this.#words.fill(0, base, base + layout.tensor.length / 4);
      return;
    }
    this.#setAddress(base + layout.tensor.value / 4, value.byteOffset);
    this.#setAddress(base + layout.tensor.update / 4, update ? update.byteOffset : 0);
    for (let k = 0; k < this.#slots.length; k++) {
      const slot = this.#slots[k];
      this.#setAddress(base + slot.word, slot.isUsed ? slot.tensors[index].byteOffset : 0);
    }
    const rows = this.#rows.size ? this.#rows.get(index) : undefined;
    this.#words[base + layout.tensor.indices / 4] = rows ? rows.rows.byteOffset : 0;
    this.#words[base + layout.tensor.index_count / 4] = rows ? rows.count : 0;
    this.#words[base + layout.tensor.row_length / 4] = rows ? rows.rowLength : 0;
  }

  /**
   * @param {number} word of something that the step writes
   * @param {number} byteOffset
   */
  #setAddress(word, byteOffset) {
    if (this.#words[word] === byteOffset) return;
    this.#words[word] = byteOffset;
    this.#overlap.forget();
  }

  /**
   * @param {number} index
   * @param {boolean} isNew whether what the step writes has changed since the last time
   */
  #placeGradient(index, isNew) {
    let gradient = this.#gradients[index];
    const word = this.#tensorWord(index) + layout.tensor.gradient / 4;
    const isKnown = !isNew && this.#words[word] === gradient?.byteOffset;
    if (gradient !== null && !isKnown && this.#isOverwritten(index, gradient)) {
      const buffer = this.#staging.buffer(index, this.#variables[index]);
      buffer.data.set(gradient.data);
      this.#gradients[index] = gradient = buffer;
      this.#refreshViews();
    }
    this.#words[word] = gradient === null ? 0 : gradient.byteOffset;
  }

  /**
   * @param {number} index
   * @param {Tensor} gradient
   * @returns {boolean} whether the step writes to it, except that the kernels read it before they write its own value
   */
  #isOverwritten(index, gradient) {
    if (this.#rows.has(index) || this.#staging.has(index, gradient)) return false;
    const { byteOffset, size } = gradient;
    const value = this.#values[index] ?? this.#variables[index];
    const isOwnValue = byteOffset === value.byteOffset && !this.#updates[index];
    const bytes = size * (this.#variables[index].dtype === 'float64' ? 8 : 4);
    return !isOwnValue && this.#overlap.has(this.#memory, byteOffset, byteOffset + bytes);
  }

  /** @returns {[start: number, end: number][]} what a step writes, in bytes */
  written() {
    return this.#variables.flatMap((variable, i) => {
      const slots = this.#slots.filter(({ isUsed }) => isUsed).map(({ tensors }) => tensors[i]);
      const bytes = variable.size * (variable.dtype === 'float64' ? 8 : 4);
      const tensors = [this.#updates[i] ?? this.#values[i] ?? variable, ...slots];
      return tensors.filter(({ isDisposed }) => !isDisposed)
        .map(({ byteOffset }) => /** @type {[number, number]} */ ([byteOffset, byteOffset + bytes]));
    });
  }

  /** Gives all memory back; the variables stay. */
  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const index of [...this.#rows.keys()]) this.#dropRows(index);
    for (const { tensors } of this.#slots) for (const tensor of tensors) tensor.dispose();
    this.#staging.dispose();
    this.#memory.free(this.#block);
    this.#overlap.remove(this);
  }

  /** @param {number} index */
  #tensorWord(index) {
    return (this.#tensorsOffset - this.#block + index * layout.tensor.size) / 4;
  }

  #refreshViews() {
    // Its memory may be somebody else's by now.
    if (this.#disposed) throw new Error('the state of the optimizer is disposed');
    const buffer = this.#memory.buffer;
    if (this.#words.buffer === buffer) return;
    const bytes = this.#tensorsOffset - this.#block + this.#variables.length * layout.tensor.size;
    this.#words = new Uint32Array(buffer, this.#block, bytes / 4);
    this.#doubles = new Float64Array(buffer, this.#block, (this.#tensorsOffset - this.#block) / 8);
  }
}

/**
 * @param {any} pool the option of an optimizer
 * @returns {Pool | undefined} the same
 * @throws {TypeError} if it is something else
 */
export function checkPool(pool) {
  if (pool !== undefined && typeof pool?.kernels?.of !== 'function') throw typeError('pool', 'a ThreadPool', pool);
  return pool;
}
