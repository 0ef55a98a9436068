/**
 * The engine under every optimizer: the slots of a list of variables, the C structs that describe them, and the call
 * into the kernels. It knows nothing of hyperparameters, counters or names of frameworks.
 */
import { layout } from './generated/rmsprop.js';
import { array, rangeError, typeError } from './check.js';
import { kernelsOf } from './module.js';
import { describe, disposedError, isVariable, zerosOf } from './tensor.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').Variable} Variable */
/** @typedef {'mean_square' | 'mean_gradient' | 'momentum' | 'average' | 'accumulator'} SlotField of rms_tensor */
/**
 * @typedef {object} SlotSpec
 * @property {string} name what the framework calls the slot
 * @property {SlotField} field what the kernels call it
 */
/** @typedef {keyof typeof layout.options} OptionField fields of rms_step_options */

export const { constants } = layout;

/**
 * All arrays of one model's optimizer. Addresses are read anew from the tensors before each call, so a tensor that was
 * disposed is noticed before the kernels run.
 */
export class Engine {
  #memory;
  #kernels;
  /** @type {readonly Variable[]} */
  #variables;
  /** @type {Map<Variable, number>} */
  #indices;
  /** One tensor a variable in each. @type {{ name: string, word: number, tensors: Tensor[] }[]} */
  #slots = [];
  /** The gradient of each variable in the step to come. @type {(Tensor | null)[]} */
  #gradients;
  /** Byte offset of the scratch of norm clips, the step options and the tensor list, one block. */
  #block;
  #optionsOffset;
  #tensorsOffset;
  // Views of that block, made anew when the memory has grown.
  /** @type {Float64Array} */
  #doubles = new Float64Array();
  /** @type {Uint32Array} */
  #words = new Uint32Array();
  #disposed = false;

  /**
   * Allocates the slots, filled with zeros, and the structs; if that fails, all it took is given back.
   *
   * @param {readonly Variable[]} variables see `checkVariables`
   * @param {readonly SlotSpec[]} slots
   */
  constructor(variables, slots) {
    checkVariables(variables);
    this.#memory = variables[0].memory;
    this.#kernels = kernelsOf(this.#memory);
    this.#variables = [...variables];
    this.#indices = new Map(variables.map((variable, index) => [variable, index]));
    this.#gradients = variables.map(() => null);
    try {
      for (const { name, field } of slots) {
        /** @type {Tensor[]} */
        const tensors = [];
        this.#slots.push({ name, word: layout.tensor[field] / 4, tensors });
        for (const variable of variables) tensors.push(zerosOf(this.#memory, variable.dtype, variable.shape));
      }
      const scratchBytes = Math.ceil((variables.length * 4) / 8) * 8;
      this.#block = this.#memory.allocate(
        scratchBytes + layout.options.size + variables.length * layout.tensor.size,
      );
      this.#optionsOffset = this.#block + scratchBytes;
      this.#tensorsOffset = this.#optionsOffset + layout.options.size;
    } catch (error) {
      this.#disposeSlots();
      throw error;
    }
    this.#writeConstants();
  }

  /** @returns {readonly Variable[]} */
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
   * Stages a gradient.
   *
   * @param {number} index
   * @param {Tensor | null} gradient checked by the caller; null: the variable has none in the step to come
   */
  setGradient(index, gradient) {
    this.#gradients[index] = gradient;
  }

  /**
   * @param {number} index
   * @returns {boolean} whether the variable has a gradient in the step to come
   */
  hasGradient(index) {
    return this.#gradients[index] !== null;
  }

  /**
   * Includes a variable in weight decay or excludes it.
   *
   * @param {number} index
   * @param {boolean} keeps whether the variable is excluded from weight decay
   */
  setKeepsWeights(index, keeps) {
    this.#refreshViews();
    this.#words[this.#tensorWord(index) + layout.tensor.flags / 4] = keeps ? constants.RMS_KEEP_WEIGHTS : 0;
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
   * Writes all addresses into the tensor list. Call it when the last check has passed: `step` uses what it wrote.
   *
   * @throws {Error} if a variable, its slot or its gradient is disposed
   */
  place() {
    this.#refreshViews();
    const words = this.#words;
    for (let i = 0; i < this.#variables.length; i++) {
      const base = this.#tensorWord(i);
      const gradient = this.#gradients[i];
      words[base + layout.tensor.value / 4] = this.#variables[i].byteOffset;
      words[base + layout.tensor.gradient / 4] = gradient === null ? 0 : gradient.byteOffset;
      for (let k = 0; k < this.#slots.length; k++) {
        const slot = this.#slots[k];
        words[base + slot.word] = slot.tensors[i].byteOffset;
      }
    }
  }

  /** One step of all variables, by the options and addresses written before. */
  step() {
    this.#kernels.rms_step(this.#optionsOffset, this.#tensorsOffset, this.#variables.length);
  }

  /** @returns {boolean} whether all gradients of the step to come are finite; `place` must have been called */
  allFinite() {
    return this.#kernels.rms_all_finite(this.#tensorsOffset, this.#variables.length) !== 0;
  }

  /** Gives all memory back; the variables stay. */
  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#disposeSlots();
    this.#memory.free(this.#block);
  }

  #disposeSlots() {
    for (const { tensors } of this.#slots) {
      for (const tensor of tensors) tensor.dispose();
    }
  }

  /** @param {number} index */
  #tensorWord(index) {
    return (this.#tensorsOffset - this.#block + index * layout.tensor.size) / 4;
  }

  #refreshViews() {
    const buffer = this.#memory.buffer;
    if (this.#words.buffer === buffer) return;
    const bytes = this.#tensorsOffset - this.#block + this.#variables.length * layout.tensor.size;
    this.#words = new Uint32Array(buffer, this.#block, bytes / 4);
    this.#doubles = new Float64Array(buffer, this.#block, (this.#tensorsOffset - this.#block) / 8);
  }

  #writeConstants() {
    this.#refreshViews();
    this.#words.fill(0);
    this.setWord('sum_squares', this.#block);
    for (let i = 0; i < this.#variables.length; i++) {
      const base = this.#tensorWord(i);
      this.#words[base + layout.tensor.length / 4] = this.#variables[i].size;
      this.#words[base + layout.tensor.dtype / 4] = constants.RMS_FLOAT32;
    }
  }
}

/**
 * @param {unknown} variables
 * @returns {asserts variables is readonly Variable[]} what one engine can work on: at least one variable, float32, of
 *   one memory, each once
 * @throws {TypeError | RangeError | Error} naming the first that is not
 */
export function checkVariables(variables) {
  const list = array('variables', variables);
  if (list.length === 0) throw rangeError('variables', 'at least one', list);
  list.forEach((variable, i) => {
    if (!isVariable(variable)) throw typeError(`variables[${i}]`, 'a variable', variable);
    if (variable.isDisposed) throw disposedError(variable);
    const name = describe(variable);
    if (variable.dtype !== 'float32') throw typeError(name, 'float32', variable.dtype);
    if (variable.memory !== list[0].memory) {
      throw rangeError(name, `in the memory of ${describe(list[0])}`, variable.memory);
    }
    if (list.indexOf(variable) !== i) throw rangeError(name, 'in the list once', list);
  });
}
