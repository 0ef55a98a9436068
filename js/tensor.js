/**
 * Tensors and variables: arrays that lie in linear memory. What an optimizer does with them is not here.
 */
import { finite, knownOptions, ofType, rangeError, show, typeError } from './check.js';
import { IndexedSlices, checkSlices, isIndexedSlices } from './core/indexed-slices.js';
import { disposes, proxyError, shows } from './core/inspect.js';
import {
  ARRAYS, TENSOR, VARIABLE, describe, disposedError, isTensor, isVariable, itself,
} from './core/tensor-kinds.js';
import { bufferOf, checkShape, copyOf, flatValues, shapeOf, sizeOf } from './core/values.js';
import { Memory, countTensor, isMemory } from './memory.js';
import { autoName } from './naming.js';
import { checkTensorName } from './safetensors.js';

export { denseOf, indexedSlices, takeSlices, typedCopy } from './core/indexed-slices.js';
export { IndexedSlices, checkSlices, describe, disposedError, isIndexedSlices, isTensor, isVariable };

/** @typedef {'float32' | 'float64' | 'int32'} DType */
/** @typedef {Float32Array | Float64Array | Int32Array} TensorData */
/** @typedef {import('./core/values.js').TypedArray} TypedArray */
/** @typedef {number | NestedNumbers[]} NestedNumbers numbers in arrays of equal lengths, nested to any depth */
/** @typedef {NestedNumbers | TypedArray} Values what tensors are made of */

const PLACE_OPTIONS = ['dtype', 'memory'];

/**
 * An array of numbers in linear memory, row-major. Made by `tensor`, `zeros`, `ones`, `tensorAt` and `variable`.
 */
export class Tensor {
  #memory;
  #dtype;
  #shape;
  #size;
  #byteOffset;
  /** @type {TensorData | undefined} */
  #view;
  #isOwner;
  #disposed = false;

  /**
   * @param {Memory | undefined} memory default `Memory.default`
   * @param {DType | undefined} dtype default float32
   * @param {readonly number[]} shape
   * @param {number} [byteOffset] where it lies in a block that somebody else owns; default a block of its own, whose
   *   content is undefined
   * @throws {TypeError | RangeError} for what is no such place
   */
  constructor(memory, dtype, shape, byteOffset) {
    const place = placeOf({ memory, dtype });
    this.#memory = place.memory;
    this.#dtype = place.dtype;
    this.#shape = checkShape(shape);
    this.#size = sizeOf(this.#shape);
    const { BYTES_PER_ELEMENT: unit } = ARRAYS[place.dtype];
    this.#isOwner = byteOffset === undefined;
    this.#byteOffset = byteOffset === undefined
      ? place.memory.allocate(this.#size * unit)
      : checkPlace(place.memory, byteOffset, this.#shape, unit);
    if (this.#isOwner) countTensor(place.memory, 1);
  }

  /** @returns {true} */
  get [TENSOR]() {
    if (#memory in this) return true;
    throw proxyError('tensor');
  }

  /** @returns {readonly number[]} the length of each dimension; [] for a scalar */
  get shape() {
    return itself(this).#shape;
  }

  /** @returns {number} how many elements it has */
  get size() {
    return itself(this).#size;
  }

  /** @returns {DType} */
  get dtype() {
    return itself(this).#dtype;
  }

  /** @returns {Memory} where it lives */
  get memory() {
    return itself(this).#memory;
  }

  /** @returns {boolean} */
  get isDisposed() {
    return itself(this).#disposed;
  }

  /**
   * @returns {number} where it lies in linear memory, in bytes
   * @throws {Error} if it is disposed
   */
  get byteOffset() {
    if (this.isDisposed) throw disposedError(this);
    return this.#byteOffset;
  }

  /**
   * @returns {TensorData} its elements, as a view that is right at the moment it is read: memory that grows detaches
   *   older ones, so read it again instead of keeping it
   * @throws {Error} if it is disposed
   */
  get data() {
    if (this.isDisposed) throw disposedError(this);
    const buffer = /** @type {ArrayBuffer} */ (this.#memory.buffer);
    if (this.#view?.buffer !== buffer) this.#view = new ARRAYS[this.#dtype](buffer, this.#byteOffset, this.#size);
    return /** @type {TensorData} */ (this.#view);
  }

  /**
   * Copies values in.
   *
   * @param {Values | Tensor} values as many numbers as the tensor has, flat or nested in its shape; a number for one
   *   element
   * @returns {this}
   * @throws {TypeError | RangeError} for what is no array of numbers, or another length; nothing is written then
   */
  set(values) {
    this.data.set(this.checked(describe(this), values));
    return this;
  }

  /**
   * Checks values without copying them, for callers that write all or nothing.
   *
   * @param {string} name what messages call the values
   * @param {unknown} values
   * @returns {TypedArray} as many numbers in a row as the tensor has
   * @throws {TypeError | RangeError} see `set`
   */
  checked(name, values) {
    if (!isTensor(values)) return flatValues(name, values, this);
    const { data } = values;
    if (data.length === this.#size) return flatValues(name, data, this);
    throw rangeError(name, `${this.#size} numbers, flat or in shape [${this.#shape}]`, values);
  }

  /**
   * @returns {NestedNumbers} its elements as nested arrays, a number for a scalar
   */
  toArray() {
    const data = this.data;
    let next = 0;
    /** @type {(dimension: number) => NestedNumbers} */
    const level = (dimension) => {
      if (dimension === this.#shape.length) return data[next++];
      return Array.from({ length: this.#shape[dimension] }, () => level(dimension + 1));
    };
    return level(0);
  }

  /** @returns {NestedNumbers} what JSON shows of it */
  toJSON() {
    return this.toArray();
  }

  /** Frees its memory, unless it came by `tensorAt`; calling it again does nothing. */
  dispose() {
    if (this.isDisposed) return;
    this.#disposed = true;
    this.#view = undefined;
    if (!this.#isOwner) return;
    countTensor(this.#memory, -1);
    this.#memory.free(this.#byteOffset);
  }
}

/**
 * A tensor that an optimizer trains. Made by `variable`.
 */
export class Variable extends Tensor {
  /** @type {Tensor | IndexedSlices | null} */
  #gradient = null;
  /** The buffer that `gradientBuffer` hands out and arrays are copied into. @type {Tensor | undefined} */
  #buffer;
  /** Buffers that were replaced, but that somebody may still write to. @type {Tensor[]} */
  #replaced = [];

  /**
   * @param {Memory | undefined} memory default `Memory.default`
   * @param {DType | undefined} dtype default float32
   * @param {readonly number[]} shape
   * @param {string} name
   * @param {boolean} [trainable]
   * @param {(variable: Variable) => void} [constraint]
   * @param {number} [byteOffset] see `Tensor`
   * @throws {TypeError | RangeError} for one of the wrong kind
   */
  constructor(memory, dtype, shape, name, trainable = true, constraint, byteOffset) {
    checkTensorName('name', ofType('name', name, 'string'));
    ofType('trainable', trainable, 'boolean');
    if (constraint !== undefined) ofType('constraint', constraint, 'function');
    super(memory, dtype, shape, byteOffset);
    /** Its name, in checkpoints, messages and `excludeFromWeightDecay`. */
    this.name = name;
    /** Whether a model should hand it to an optimizer. */
    this.trainable = trainable;
    /**
     * Whether a step replaces the variable by its gradient instead of updating it, as Keras's
     * `overwrite_with_gradient`: for scales and histories that a loss function computes as gradients. To be set before
     * an optimizer is built.
     */
    this.overwriteWithGradient = false;
    /** Called with the variable after each step that gave it a gradient, to change it in place; after the average. */
    this.constraint = constraint;
  }

  /** @returns {true} */
  get [VARIABLE]() {
    if (#gradient in this) return true;
    throw proxyError('variable');
  }

  /** @returns {Tensor | IndexedSlices | null} of the next step; null: there is none, and the step skips the variable */
  get gradient() {
    return itself(this).#gradient;
  }

  /**
   * A tensor and slices are referred to, not copied; an array is copied into the variable's own buffer; null clears.
   *
   * @param {Tensor | IndexedSlices | Values | null} gradient as many elements as the variable has, or rows of it
   * @throws {TypeError | RangeError} for what is no gradient of this variable; nothing has changed then
   */
  set gradient(gradient) {
    if (isIndexedSlices(gradient)) this.#gradient = checkSlices(this, gradient);
    else itself(this).#gradient = gradient === null ? null : this.placeGradient(gradient);
  }

  /**
   * @returns {Tensor} the variable's own gradient buffer, zeros when first made and now its `.gradient`: whoever writes
   *   gradients here saves a copy
   */
  gradientBuffer() {
    const buffer = itself(this).#ownBuffer();
    this.#gradient = buffer;
    return buffer;
  }

  /**
   * Brings a gradient into linear memory without making it the variable's `.gradient`: a tensor stays where it is, an
   * array is copied into the own buffer.
   *
   * @param {Tensor | Values} gradient
   * @returns {Tensor} where it lies now
   * @throws {TypeError | RangeError} see `checkGradient`
   */
  placeGradient(gradient) {
    const checked = checkGradient(this, gradient);
    if (isTensor(checked)) return checked;
    const values = outlastingGrowth(checked, this.memory);
    const buffer = itself(this).#ownBuffer();
    buffer.data.set(values);
    return buffer;
  }

  /** @returns {boolean} whether it has a gradient buffer of its own */
  get hasGradientBuffer() {
    return itself(this).#buffer?.isDisposed === false;
  }

  /** Gives the memory of the gradient buffer back, unless it is the variable's `.gradient`. */
  freeGradientBuffer() {
    if (itself(this).#buffer !== this.#gradient) this.#buffer?.dispose();
  }

  /**
   * Lets the gradient buffer lie somewhere else from now on; for optimizers that keep all gradients together.
   *
   * @param {Tensor} buffer of the variable's memory, dtype and size; a gradient that is the old buffer stays where it
   *   is
   */
  moveGradientBuffer(buffer) {
    if (!isTensor(buffer)) throw typeError('buffer', 'a Tensor', buffer);
    checkGradient(this, buffer);
    if (this.#buffer) this.#replaced.push(this.#buffer);
    this.#buffer = buffer;
  }

  #ownBuffer() {
    if (this.isDisposed) throw disposedError(this);
    if (this.#buffer === undefined || this.#buffer.isDisposed) {
      this.#buffer = zerosOf(this.memory, this.dtype, this.shape);
    }
    return this.#buffer;
  }

  /** Frees its memory and its gradient buffer; calling it again does nothing. */
  dispose() {
    itself(this).#buffer?.dispose();
    for (const buffer of this.#replaced) buffer.dispose();
    super.dispose();
  }
}

shows(Tensor, (tensor) => {
  const { shape, dtype, data } = tensor;
  return { ...(isVariable(tensor) && { name: tensor.name }), shape, dtype, data };
});
disposes(Tensor);

/**
 * @param {Values | Tensor} values a number makes a scalar, nested arrays give the shape, a typed array one dimension
 * @param {object} [options]
 * @param {readonly number[]} [options.shape] instead; its product must be the number of values
 * @param {DType} [options.dtype] default float32; numbers are rounded to it
 * @param {Memory} [options.memory] default `Memory.default`
 * @returns {Tensor} a copy of the values in linear memory
 * @throws {TypeError | RangeError} for what is no such array
 */
export function tensor(values, options = {}) {
  knownOptions('tensor', options, ['shape', ...PLACE_OPTIONS]);
  return fill(values, options, (memory, dtype, shape) => new Tensor(memory, dtype, shape));
}

/**
 * @param {readonly number[]} shape
 * @param {object} [options]
 * @param {DType} [options.dtype] default float32
 * @param {Memory} [options.memory] default `Memory.default`
 * @returns {Tensor} filled with 0
 */
export function zeros(shape, options = {}) {
  return filled('zeros', shape, options, 0);
}

/**
 * @param {readonly number[]} shape
 * @param {object} [options]
 * @param {DType} [options.dtype] default float32
 * @param {Memory} [options.memory] default `Memory.default`
 * @returns {Tensor} filled with 1
 */
export function ones(shape, options = {}) {
  return filled('ones', shape, options, 1);
}

/**
 * @param {Values | Tensor} values as for `tensor`; a tensor is copied, with its shape and dtype
 * @param {object} [options]
 * @param {string} [options.name] default `variable`, `variable_1` …
 * @param {boolean} [options.trainable] default true
 * @param {(variable: Variable) => void} [options.constraint] called after each step to change the variable in place
 * @param {readonly number[]} [options.shape]
 * @param {DType} [options.dtype] default float32
 * @param {Memory} [options.memory] default `Memory.default`
 * @returns {Variable} the start values in linear memory, to be trained
 * @throws {TypeError | RangeError} for what is no such array
 *
 * @example
 * ```js
 * import { variable } from 'rmsprop-wasm';
 *
 * const kernel = variable([[1, 2, 3], [4, 5, 6]], { name: 'dense/kernel', dtype: 'float64' });
 * console.log(kernel.shape.join(), kernel.size, kernel.toArray()); // prints 2,3 6 [ [ 1, 2, 3 ], [ 4, 5, 6 ] ]
 * ```
 */
export function variable(values, options = {}) {
  knownOptions('variable', options, ['shape', ...PLACE_OPTIONS, 'name', 'trainable', 'constraint']);
  const { name, trainable = true, constraint } = options;
  return fill(values, options, (memory, dtype, shape) =>
    new Variable(memory, dtype, shape, name === undefined ? autoName('variable') : name, trainable, constraint));
}

/**
 * Wraps numbers that lie in linear memory already: another program's weights or gradients, or a tensor of another
 * worker. They are neither copied nor changed, and `dispose` frees nothing: they must stay there as long as the tensor
 * is used. Optimizers can train them where they are.
 *
 * @param {Memory} memory
 * @param {number} byteOffset where they begin, a multiple of their size. A pointer of C above 2 GiB comes out of
 *   WebAssembly as a negative number: pass `pointer >>> 0`.
 * @param {readonly number[]} shape
 * @param {object} [options]
 * @param {DType} [options.dtype] default float32
 * @param {string} [options.name] default `tensor_` and the byte offset
 * @returns {Variable} that array, row-major
 * @throws {TypeError | RangeError} for what is no such place, or one that does not end within the memory as it is now
 *
 * @example
 * ```js
 * import { Memory, tensorAt } from 'rmsprop-wasm';
 *
 * const memory = new Memory();
 * const address = memory.allocate(8);
 * new Float32Array(memory.buffer, address, 2).set([3, 4]);
 * console.log(tensorAt(memory, address, [2]).data.join()); // prints 3,4
 * ```
 */
export function tensorAt(memory, byteOffset, shape, options = {}) {
  knownOptions('tensorAt', options, ['dtype', 'name']);
  const { name = `tensor_${show(byteOffset)}` } = options;
  ofType('name', name, 'string');
  if (memory === undefined) throw typeError('memory', 'a Memory', memory);
  if (byteOffset === undefined) throw typeError('byteOffset', 'a number', byteOffset);
  return new Variable(memory, options.dtype, shape, name, true, undefined, byteOffset);
}

/**
 * @param {Variable} of
 * @param {unknown} gradient a tensor of the variable's memory, or an array
 * @returns {Tensor | TensorData | TypedArray} the tensor, or the array made flat; nothing is written
 * @throws {TypeError | RangeError} if it is neither, of another dtype, memory or length
 * @throws {Error} if it is a disposed tensor
 */
export function checkGradient(of, gradient) {
  const name = `gradient of ${describe(of)}`;
  if (!isTensor(gradient)) return of.checked(name, gradient);
  if (gradient.isDisposed) throw disposedError(gradient);
  if (gradient.memory !== of.memory) throw rangeError(name, 'in the memory of the variable', gradient);
  if (gradient.dtype !== of.dtype) throw typeError(name, of.dtype, gradient.dtype);
  if (gradient.size !== of.size) throw rangeError(name, `of ${of.size} elements`, gradient.size);
  return gradient;
}

/**
 * A tensor of zeros, or another number, for code that has checked its arguments.
 *
 * @param {Memory | undefined} memory
 * @param {DType | undefined} dtype
 * @param {readonly number[]} shape
 * @param {number} [value]
 * @returns {Tensor}
 */
export function zerosOf(memory, dtype, shape, value = 0) {
  const made = new Tensor(memory, dtype, shape);
  made.data.fill(value);
  return made;
}

/**
 * A tensor of one number in the default memory: a counter, a rate.
 *
 * @param {DType} dtype
 * @param {number} value
 * @returns {Tensor}
 */
export function scalar(dtype, value) {
  const made = new Tensor(Memory.default, dtype, []);
  made.data[0] = value;
  return made;
}

/**
 * Several of them, all or none.
 *
 * @param {...readonly [DType, number]} specs
 * @returns {Tensor[]}
 */
export function scalars(...specs) {
  /** @type {Tensor[]} */
  const made = [];
  try {
    for (const [dtype, value] of specs) made.push(scalar(dtype, value));
  } catch (error) {
    for (const tensor of made) tensor.dispose();
    throw error;
  }
  return made;
}

/**
 * @param {string} name of the function that was called
 * @param {readonly number[]} shape
 * @param {{ dtype?: DType, memory?: Memory }} options
 * @param {number} value
 * @returns {Tensor}
 */
function filled(name, shape, options, value) {
  knownOptions(name, options, PLACE_OPTIONS);
  return zerosOf(options.memory, options.dtype, shape, value);
}

/**
 * Checks everything about a tensor to be made, makes it and copies the values in.
 *
 * @template {Tensor} T
 * @param {Values | Tensor} values
 * @param {{ shape?: readonly number[], dtype?: DType, memory?: Memory }} options
 * @param {(memory: Memory, dtype: DType, shape: readonly number[]) => T} make
 * @returns {T}
 */
function fill(values, options, make) {
  const { dtype: type = isTensor(values) ? values.dtype : undefined } = options;
  const { dtype, memory } = placeOf({ ...options, dtype: type });
  const given = isTensor(values) ? values.data : values;
  const own = isTensor(values) ? values.shape : shapeOf(given);
  const shape = options.shape === undefined ? own : checkShape(options.shape);
  const flat = outlastingGrowth(flatValues('values', given, { size: sizeOf(shape), shape, dtype }), memory);
  const made = make(memory, dtype, shape);
  made.data.set(flat);
  return made;
}

/**
 * @param {{ dtype?: DType, memory?: Memory }} options
 * @returns {{ dtype: DType, memory: Memory }} checked
 */
function placeOf({ dtype = 'float32', memory = Memory.default }) {
  if (typeof dtype !== 'string' || !Object.hasOwn(ARRAYS, dtype)) {
    throw typeError('dtype', `one of ${Object.keys(ARRAYS)}`, dtype);
  }
  if (!isMemory(memory)) throw typeError('memory', 'a Memory', memory);
  return { dtype, memory };
}

/**
 * @param {TypedArray} values
 * @param {Memory} memory that may grow before the values are copied, which would detach a view of it
 * @returns {TypedArray} the values, or a copy of them if they lie in that memory
 */
function outlastingGrowth(values, memory) {
  return bufferOf(values) === memory.buffer ? copyOf(values) : values;
}

/**
 * @param {Memory} memory
 * @param {number} byteOffset
 * @param {readonly number[]} shape
 * @param {number} unit bytes of an element
 * @returns {number} the offset, at which an array of this shape may lie
 * @throws {TypeError | RangeError} if it may not
 */
function checkPlace(memory, byteOffset, shape, unit) {
  const { byteLength } = memory.buffer;
  const end = byteLength - sizeOf(shape) * unit;
  // Not 0: the kernels take it for none.
  const expectation = `a multiple of ${unit} in [${unit}, ${end}]`;
  finite('byteOffset', byteOffset, expectation);
  if (!(end >= unit)) throw rangeError('shape', `of an array within ${byteLength} bytes`, `[${shape}]`);
  if (byteOffset < unit || byteOffset > end || byteOffset % unit !== 0) {
    throw rangeError('byteOffset', expectation, byteOffset);
  }
  return byteOffset;
}
