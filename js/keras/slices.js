/**
 * What Keras does with the sparse gradients of a call before the kernels get them as dense ones, and what it does
 * instead of the kernels where slices share rows.
 */
import { clipByGlobalNorm, clipByNorm, clipByValue, sumOfSquares, totalSquares } from '../clip.js';
import { sumOfSquaresByRow, updateRows } from '../keras-rows.js';
import { denseOf } from '../tensor.js';

/** @typedef {import('../engine.js').Engine} Engine */
/** @typedef {import('../engine.js').Placed} Placed */
/** @typedef {import('../tensor.js').IndexedSlices} IndexedSlices */
/** @typedef {import('../tensor.js').TensorData} TensorData */
/** @typedef {import('../tensor.js').Variable} Variable */
/** @typedef {Float32Array | Float64Array} Floats */

/** The sparse gradients of one call, by the indices of their variables. */
export class Slices {
  #options;
  #isOld;
  /** Those that share rows, and so are updated here. @type {Map<number, IndexedSlices>} */
  #rows = new Map();
  /** The dense gradients of those. @type {Map<number, import('../tensor.js').Tensor | null>} */
  #dense = new Map();
  /** What the global norm takes for the sum of their squares. @type {Map<number, number>} */
  #sums = new Map();
  /** Those to be clipped by the global norm before those of a row are summed. @type {Map<number, IndexedSlices>} */
  #unclipped = new Map();
  /** Those that are clipped already. @type {number[]} */
  #clipped = [];
  /** The order of the gradients in the global norm, if not that of the variables. @type {readonly number[] | null} */
  #order = null;

  /**
   * @param {Record<string, any>} options checked
   * @param {boolean} isOld the generation of Keras
   */
  constructor(options, isOld) {
    this.#options = options;
    this.#isOld = isOld;
  }

  /** Whether the kernels do it all: then nothing of this is to be called. */
  isEmpty = true;

  /** Forgets those of the call before. */
  clear() {
    if (this.isEmpty) return;
    this.isEmpty = true;
    this.#order = null;
    this.#clipped.length = 0;
    for (const map of [this.#rows, this.#dense, this.#sums, this.#unclipped]) map.clear();
  }

  /**
   * Says in which order the gradients came.
   *
   * @param {readonly number[]} order if it is not that of the variables
   */
  setOrder(order) {
    this.isEmpty = false;
    this.#order = order;
  }

  /**
   * @param {number} index
   * @param {Variable} variable
   * @param {IndexedSlices} slices taken, of the variable's type: changed in place
   * @param {boolean} isMerged whether accumulators or a hook take them, which get the rows merged
   * @returns {TensorData} the dense gradient
   */
  take(index, variable, slices, isMerged) {
    this.isEmpty = false;
    const { clipnorm, clipvalue, globalClipnorm } = this.#options;
    const isGlobal = !(clipnorm > 0) && globalClipnorm > 0;
    const isClipped = !isMerged && (this.#isOld || !isGlobal);
    const values = /** @type {Floats} */ (slices.values);
    if (isClipped) {
      if (clipnorm > 0) clipByNorm(values, clipnorm);
      else if (!isGlobal && clipvalue > 0) clipByValue(values, clipvalue);
      if (isGlobal) {
        this.#sums.set(index, sumOfSquares(values));
        this.#unclipped.set(index, slices);
      }
      this.#clipped.push(index);
    }
    const sharesRows = new Set(slices.indices).size < slices.indices.length;
    if (sharesRows && !this.#isOld && !isMerged) {
      if (isClipped) this.#rows.set(index, slices);
      else this.#sums.set(index, sumOfSquaresByRow(variable, slices));
    }
    return denseOf(variable, slices);
  }

  /** @returns {boolean} whether any share rows */
  get hasRows() {
    return this.#rows.size > 0;
  }

  /**
   * Leaves what is clipped already out of clipping.
   *
   * @param {Engine} engine in which the dense gradients are staged
   */
  stage(engine) {
    for (const index of this.#clipped) engine.setClipped(index);
  }

  /**
   * Lets the engine pass over the variables whose slices share rows: it only averages them.
   *
   * @param {Engine} engine
   * @param {Placed} placed
   * @returns {Placed}
   */
  place(engine, placed) {
    if (this.#rows.size === 0) return placed;
    for (const index of this.#rows.keys()) {
      this.#dense.set(index, engine.gradient(index));
      engine.setGradient(index, null);
    }
    return engine.place();
  }

  /**
   * The step.
   *
   * @param {Engine} engine
   * @param {Placed} placed
   * @param {boolean} clipsGlobally
   * @param {(variable: Variable) => number | null} weightDecayOf
   */
  run(engine, placed, clipsGlobally, weightDecayOf) {
    for (const [index, slices] of this.#rows) {
      const variable = engine.variables[index];
      const slot = (/** @type {string} */ name) => engine.slot(name)[index]?.data;
      updateRows(variable, slot, slices, (field) => engine.number(field), weightDecayOf(variable));
    }
    if (clipsGlobally && (this.#sums.size || this.#order)) this.#stepByGlobalNorm(engine, placed);
    else placed.step();
    // The variables that the engine passed over have a gradient.
    for (const [index, gradient] of this.#dense) engine.setGradient(index, gradient, true);
  }

  /**
   * The global norm is not that of the gradients as they lie in the engine.
   *
   * @param {Engine} engine
   * @param {Placed} placed
   */
  #stepByGlobalNorm(engine, placed) {
    const order = (this.#order ?? engine.variables.map((_, i) => i)).filter((index) => engine.hasGradient(index));
    const total = totalSquares(placed, engine.variables[0].dtype, order, this.#sums);
    for (const [index, slices] of this.#unclipped) {
      clipByGlobalNorm(/** @type {Floats} */ (slices.values), this.#options.globalClipnorm, total);
      engine.gradient(index)?.data.set(denseOf(engine.variables[index], slices));
    }
    placed.stepWithSum(total);
  }
}
