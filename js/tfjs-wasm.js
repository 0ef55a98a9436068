/**
 * Steps inside the memory of TensorFlow.js's wasm backend, shared by its threads or not: the kernels work on the
 * variables' own bytes, and the slots are tensors of TensorFlow.js. The only file that knows private parts of that
 * backend.
 */
import { isWasmMemory } from './core/identity.js';
import { Memory } from './memory.js';
import { KernelPath } from './tfjs-kernels.js';

/** @typedef {import('./tfjs.js').TF} TF */
/** @typedef {import('./tfjs.js').TFTensor} TFTensor */
/** @typedef {import('./tfjs.js').TFVariable} TFVariable */
/** @typedef {{ id: number, memoryOffset: number, refCount: number }} DataRecord what the backend knows of a buffer */

/** @type {WeakMap<object, Host>} */
const hosts = new WeakMap();

/**
 * @param {TF} tf with the wasm backend in use
 * @returns {Host | string} the backend's memory, or why it cannot be worked in
 */
export function hostOf(tf) {
  const backend = tf.backend();
  const { wasm, dataIdMap } = backend;
  const memory = wasm?.wasmMemory ?? wasm?.asm?.memory;
  const has = typeof dataIdMap?.get === 'function' && typeof wasm?.tfjs?.registerTensor === 'function'
    && typeof wasm.tfjs.disposeData === 'function' && isWasmMemory(memory);
  if (!has) return 'this version of its wasm backend has none of the private parts that this needs';
  let host = hosts.get(backend);
  if (host === undefined) hosts.set(backend, (host = new Host(tf, backend, memory)));
  return host;
}

/**
 * One wasm backend. Its memory is never grown from here: every block is a tensor that TensorFlow.js allocates, so that
 * `tf.memory()` counts it.
 */
class Host {
  #tf;
  #backend;
  /** The tensors that blocks are, by address. @type {Map<number, HostTensor>} */
  #blocks = new Map();

  /**
   * @param {TF} tf
   * @param {any} backend
   * @param {WebAssembly.Memory} wasmMemory
   */
  constructor(tf, backend, wasmMemory) {
    this.#tf = tf;
    this.#backend = backend;
    this.memory = new Memory({
      memory: wasmMemory,
      allocate: (bytes) => {
        const block = this.zeros([Math.ceil(bytes / 4)]);
        const { byteOffset } = block;
        this.#blocks.set(byteOffset, block);
        return byteOffset;
      },
      free: (byteOffset) => {
        this.#blocks.get(byteOffset)?.dispose();
        this.#blocks.delete(byteOffset);
      },
    });
  }

  /**
   * @param {readonly number[]} shape
   * @returns {HostTensor} zeros, which outlive every `tf.tidy`
   * @throws {RangeError} if the memory is exhausted
   */
  zeros(shape) {
    const made = new HostTensor(this, this.#tf.keep(this.#tf.zeros(shape)));
    if (made.size > 0 && made.byteOffset === 0) {
      made.dispose();
      throw new RangeError(`memory of TensorFlow.js exhausted: a tensor of shape [${shape}] requested`);
    }
    return made;
  }

  /**
   * @param {TFTensor} tensor brought here if another backend has it
   * @returns {DataRecord}
   */
  record(tensor) {
    return this.#backend.dataIdMap.get(tensor.dataId);
  }

  /**
   * Makes a variable the only owner of its buffer: what shares it keeps the bytes it has now.
   *
   * @param {TFVariable} variable
   */
  own(variable) {
    if (this.record(variable).refCount === 1) return;
    const copy = this.#tf.tensor(variable.dataSync(), variable.shape, variable.dtype);
    variable.assign(copy);
    copy.dispose();
  }

  /**
   * Makes operations forget what they have derived from the bytes of a tensor: XNNPACK packs the weights of a matMul or
   * conv2d once for each tensor, and would go on with those. The bytes stay where they are.
   *
   * @param {TFTensor} tensor
   */
  invalidate(tensor) {
    const { id, memoryOffset } = this.record(tensor);
    const { tfjs } = this.#backend.wasm;
    tfjs.disposeData(id);
    tfjs.registerTensor(id, tensor.size, memoryOffset);
  }
}

/** A tensor of TensorFlow.js as the engine sees it. Its address is asked anew each time. */
class HostTensor {
  #host;

  /**
   * @param {Host} host
   * @param {TFTensor} tensor
   */
  constructor(host, tensor) {
    this.#host = host;
    this.tensor = tensor;
  }

  /** @returns {Memory} */
  get memory() {
    return this.#host.memory;
  }

  /** @returns {readonly number[]} */
  get shape() {
    return this.tensor.shape;
  }

  /** @returns {number} */
  get size() {
    return this.tensor.size;
  }

  /** @returns {'float32'} */
  get dtype() {
    return 'float32';
  }

  /** @returns {boolean} */
  get isDisposed() {
    return this.tensor.isDisposed;
  }

  /** @returns {number} */
  get byteOffset() {
    return this.#host.record(this.tensor).memoryOffset;
  }

  /** @returns {Float32Array} a view that is right until the memory grows */
  get data() {
    return new Float32Array(/** @type {ArrayBuffer} */ (this.memory.buffer), this.byteOffset, this.size);
  }

  /** Frees it. */
  dispose() {
    this.tensor.dispose();
  }
}

/**
 * Updates variables where they lie.
 *
 * @augments {KernelPath<any>}
 */
export class InPlace extends KernelPath {
  #tf;
  #host;
  /** Copies of gradients that are variables themselves. @type {TFTensor[]} */
  #copies = [];

  /**
   * @param {TF} tf
   * @param {Host} host
   * @param {readonly import('./engine.js').SlotSpec[]} specs
   */
  constructor(tf, host, specs) {
    super(tf, specs, (_, __, shape) => /** @type {any} */ (host.zeros(shape)));
    this.#tf = tf;
    this.#host = host;
  }

  /**
   * Makes slots.
   *
   * @param {readonly TFVariable[]} variables that are new
   */
  add(variables) {
    this.take(variables, variables.map((variable) => new HostTensor(this.#host, variable)));
  }

  /**
   * Says what the step to come takes for gradients.
   *
   * @param {ReadonlyMap<TFVariable, TFTensor>} gradients of the size of their variables
   */
  stage(gradients) {
    for (const [variable, gradient] of gradients) {
      let read = gradient;
      if (this.#isVariable(gradient)) {
        read = this.#tf.keep(this.#tf.tensor(gradient.dataSync(), gradient.shape));
        this.#copies.push(read);
      }
      this.#host.record(read);
      this.engine.setGradient(this.indexOf(variable), /** @type {any} */ (new HostTensor(this.#host, read)));
    }
  }

  /**
   * @param {TFTensor} gradient
   * @returns {boolean} whether it lies where a variable lies
   */
  #isVariable({ dataId }) {
    for (const variable of this.adapters.keys()) if (variable.dataId === dataId) return true;
    return false;
  }

  /** @returns {import('./tfjs-kernels.js').Readable} see KernelPath */
  gather() {
    this.#bring();
    return super.gather();
  }

  /** Brings all variables here: from another backend they come when they are asked for, and the memory may grow. */
  #bring() {
    for (const adapter of this.adapters.values()) if (!adapter.isDisposed) this.#host.record(adapter.tensor);
  }

  /**
   * One step, of all variables.
   *
   * @param {readonly TFVariable[]} written the variables that it changes
   */
  step(written) {
    for (const variable of written) this.#host.own(variable);
    this.#bring();
    this.engine.place().step();
    for (const variable of written) this.#host.invalidate(variable);
  }

  /** Drops the gradients of the step. */
  unstage() {
    super.unstage();
    for (const copy of this.#copies.splice(0)) copy.dispose();
  }
}
