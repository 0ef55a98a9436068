/**
 * The rule of optax's rmsprop as operations of jax-js: on any of its backends, and inside of `jit`. A state is a tree
 * of arrays, `{ count, nu, mu?, trace? }`, which is consumed and made anew, as jax-js's own optimizers have it.
 *
 * The operations are those of core/rule.js. Equal bits are not promised: a backend may fuse or estimate.
 */
import { finite, rangeError, typeError } from './check.js';
import { isPlain } from './core/identity.js';
import { formOf, scalarsOf, step } from './core/rule.js';
import * as constants from './generated/constants.js';
import { ArrayForm, arrayFrom, checkReferences, isArray, isConcrete, named, numbersOf } from './jax-arrays.js';
import { readSaved } from './jax-saved.js';
import { MAX_COUNT, biasCorrectionOf, next, slotsOf } from './optax-options.js';

/** @typedef {import('./jax-arrays.js').Jax} Jax */
/** @typedef {import('./jax-arrays.js').JaxArray} JaxArray */
/** @typedef {import('./jax-arrays.js').JaxNumpy} JaxNumpy */
/** @typedef {import('./optax-options.js').CheckedOptions} CheckedOptions */
/** @typedef {Partial<Record<import('./engine.js').SlotField, any>>} Slots of one leaf by the kernels' names */
/** @typedef {import('./core/rule.js').StepOptions} StepOptions */
/**
 * @typedef {object} Scalars of a step, where they are no constants: arrays without dimensions
 * @property {any} [rate] minus the learning rate
 * @property {any} [correction] of the bias
 */

/** What the counters of eager steps are, so that they need not be read. @type {WeakMap<JaxArray, number>} */
const counts = new WeakMap();

/**
 * @param {JaxNumpy} numpy
 * @param {number} count
 * @returns {any} a new counter
 */
function counterOf(numpy, count) {
  const counter = numpy.array(count, { dtype: 'int32' });
  counts.set(counter, count);
  return counter;
}

/**
 * @param {JaxArray} counter it stays the caller's
 * @returns {number | undefined} what it counts; undefined while a function is traced
 */
function countOf(counter) {
  if (!isConcrete(counter)) return undefined;
  let count = counts.get(counter);
  if (count === undefined) counts.set(counter, count = Number(numbersOf(counter)[0]));
  return count;
}

/**
 * @param {JaxNumpy} numpy
 * @param {number} value
 * @param {string} dtype
 * @returns {any} what stands for it beside an array of that type: jax-js takes a number for a float32
 */
function constant(numpy, value, dtype) {
  return dtype === 'float64' ? numpy.full([], value, { dtype }) : value;
}

/**
 * @param {JaxNumpy} numpy
 * @param {any} x consumed
 * @param {any} factor a number, or an array without dimensions, which is not consumed
 * @returns {any} their product, of the type of x
 */
function times(numpy, x, factor) {
  return x.mul(typeof factor === 'number' ? constant(numpy, factor, x.dtype) : factor.ref.astype(x.dtype));
}

/** The longest table of corrections. */
const LONGEST = 2 ** 16;

/**
 * `biasCorrectionOf` of a counter that is traced: looked up, so that it has the same bits, which count where a centered
 * variance all but vanishes. A decay so near to 1 that the table is at its end before the correction is 1 goes on with
 * a power that is a product of decay^1, decay^2, decay^4 …, which are constants, right to a few roundings.
 *
 * @param {JaxNumpy} numpy
 * @param {number} decay
 * @param {any} counter at least 1; consumed
 * @param {'float32' | 'float64'} dtype
 * @returns {any} without dimensions
 */
function tracedCorrection(numpy, decay, counter, dtype) {
  const round = roundingOf(dtype);
  /** @type {number[]} */
  const table = [];
  while (table.length < LONGEST && table[table.length - 1] !== 1) {
    table.push(biasCorrectionOf(decay, table.length + 1, round));
  }
  const values = dtype === 'float64' ? Float64Array.from(table) : Float32Array.from(table);
  const place = numpy.minimum(counter.ref, table.length).sub(1);
  const correction = numpy.take(numpy.array(values, { shape: [table.length], dtype }), place);
  if (table[table.length - 1] === 1) {
    counter.dispose();
    return correction;
  }
  let power = numpy.full([], 1, { dtype });
  for (let bit = 1, factor = round(decay); bit < MAX_COUNT; bit *= 2, factor *= factor) {
    const isSet = numpy.notEqual(numpy.bitwiseAnd(counter.ref, bit), 0);
    power = numpy.where(isSet, times(numpy, power.ref, factor), power);
  }
  const beyond = numpy.reciprocal(numpy.full([], 1, { dtype }).sub(power));
  return numpy.where(numpy.lessEqual(counter, LONGEST), correction, beyond);
}

/** @type {(dtype: 'float32' | 'float64') => (x: number) => number} */
const roundingOf = (dtype) => (dtype === 'float64' ? (x) => x : Math.fround);

/**
 * @param {(count: any) => any} schedule
 * @param {JaxArray} counter that is traced, so that it has no number
 * @returns {any} what the schedule gives for it: an array or a finite number
 * @throws {TypeError} if it is one that computes with numbers
 */
function tracedRate(schedule, counter) {
  let rate;
  let cause;
  try {
    rate = schedule(counter);
  } catch (error) {
    cause = error;
  }
  if (isArray(rate) || Number.isFinite(rate)) return rate;
  throw new TypeError('learningRate must be a schedule of jax-js operations inside of jit, where counts are arrays: '
    + 'or pass the rate as an argument of the compiled function, and take it as learningRate: () => rate', { cause });
}

/**
 * @param {JaxNumpy} numpy
 * @param {'float32' | 'float64'} dtype
 * @returns {import('./core/rule.js').Algebra<any> & { release: () => void }} of arrays of that type, and beside them of
 *   numbers and of arrays without dimensions. Operations do not consume their operands; `release` gives up all that
 *   they have made.
 */
function algebraOf(numpy, dtype) {
  /** @type {JaxArray[]} */
  const made = [];
  /** @type {(array: any) => any} */
  const keep = (array) => {
    made.push(array);
    return array;
  };
  /** @type {(x: any) => any} what may be consumed */
  const operand = (x) => {
    if (typeof x === 'number') return constant(numpy, x, dtype);
    return x.dtype === dtype ? x.ref : x.ref.astype(dtype);
  };
  /** @type {(x: any) => any} the same, as what has methods */
  const left = (x) => (typeof x === 'number' ? numpy.full([], x, { dtype }) : operand(x));
  /** @type {(method: 'add' | 'sub' | 'mul') => (a: any, b: any) => any} */
  const operation = (method) => (a, b) => keep(left(a)[method](operand(b)));
  const product = operation('mul');
  /** @type {(a: any, b: any) => any} */
  const multiply = (a, b) => (typeof a === 'number' ? product(b, a) : product(a, b));
  /** @type {(a: any) => any} */
  const reciprocal = (a) => keep(numpy.reciprocal(left(a)));
  /** @type {(a: any) => any} */
  const negate = (a) => multiply(a, -1);
  /** @type {(a: any, limit: any) => any} */
  const minimum = (a, limit) => keep(numpy.minimum(left(a), operand(limit)));
  return {
    add: operation('add'),
    subtract: operation('sub'),
    multiply,
    divide: (a, b) => (a === 1 ? reciprocal(b) : multiply(a, reciprocal(b))), // as jax-js itself divides
    negate,
    squareRoot: (a) => keep(numpy.sqrt(left(a))),
    clamp: (a, limit) => negate(minimum(negate(minimum(a, limit)), limit)),
    positiveOr: (a, instead) => keep(numpy.where(numpy.lessEqual(left(a), 0), operand(instead), left(a))),
    zeros: ({ shape }) => keep(numpy.zeros(shape, { dtype })),
    zero: 0,
    one: 1,
    release() {
      for (const array of made) array.dispose();
    },
  };
}

/**
 * The step of one leaf. Consumes all arrays but the scalars.
 *
 * @param {JaxNumpy} numpy
 * @param {StepOptions} options
 * @param {import('./core/rule.js').Arrays<any> & { gradient: any }} arrays the slots by their names in the kernels;
 *   value: null where an update is asked for
 * @param {Scalars} given
 * @returns {[result: any, slots: Record<string, any>]} the update, or the new value
 */
function stepOf(numpy, options, arrays, { rate, correction }) {
  const { dtype } = arrays.gradient;
  const algebra = algebraOf(numpy, dtype);
  const round = roundingOf(dtype);
  const form = formOf(options, round, { leavesValue: arrays.value === null });
  const scalars = { .../** @type {any} */ (scalarsOf(options, form.row, round)) };
  if (rate !== undefined) scalars.learning_rate = rate;
  if (correction !== undefined) scalars.bias_correction = correction;
  const { update, value, ...slots } = step(algebra, form, scalars, arrays);
  const result = (update ?? value).ref;
  const after = Object.fromEntries(Object.entries(slots).map(([name, array]) => [name, array.ref]));
  algebra.release();
  for (const array of Object.values(arrays)) array?.dispose();
  return [result, after];
}

/**
 * @param {Jax} jax
 * @param {CheckedOptions} options
 * @returns {import('./jax-kernel.js').Path} the rule by operations
 */
export function operationsPath(jax, options) {
  const { numpy } = jax;
  const { learningRate, biasCorrection } = options;
  const specs = slotsOf(options);
  const stepOptions = {
    rule: options.epsInSqrt ? constants.RMS_RULE_OPTAX : constants.RMS_RULE_OPTAX_OUTSIDE,
    flags: (options.nesterov ? constants.RMS_NESTEROV : 0) | (biasCorrection ? constants.RMS_CORRECT_BIAS : 0),
    learning_rate: typeof learningRate === 'number' ? -learningRate : undefined,
    rho: options.decay,
    momentum: options.momentum ?? 0,
    epsilon: options.eps,
  };

  /** @type {(gs: any[], slots: Slots[], scalars: Scalars, xs?: any[]) => [any[], Slots[]]} */
  const values = (gs, slots, scalars, xs) => {
    const results = gs.map((gradient, i) =>
      stepOf(numpy, stepOptions, { ...slots[i], gradient, value: xs ? xs[i] : null }, scalars));
    scalars.rate?.dispose();
    scalars.correction?.dispose();
    return [results.map(([result]) => result), results.map(([, after]) => after)];
  };
  /** @type {(gs: any[], slots: Slots[], scalars: Scalars) => [any[], Slots[]]} */
  const updates = (gs, slots, scalars) => values(gs, slots, scalars);
  const compiled = jax.jit && { updates: jax.jit(updates), values: jax.jit(values) };

  /**
   * Reads all that one call is given; nothing is consumed.
   *
   * @param {any} grads
   * @param {any} state
   * @param {any} params
   */
  const read = (grads, state, params) => {
    if (!isPlain(state) || !isArray(state.count) || state.count.shape.length > 0 || state.count.dtype !== 'int32') {
      throw typeError('state', 'what init of this optimizer returned', state);
    }
    const keys = Object.keys(state).filter((key) => key !== 'count');
    if (keys.length !== specs.length || !specs.every(({ name }) => keys.includes(name))) {
      throw rangeError('state', `one with ${specs.map(({ name }) => name).join(', ')}`, keys.join(', '));
    }
    const form = new ArrayForm('state.nu', state.nu);
    const slots = specs.map(({ name }) => form.readAll(`state.${name}`, state[name]));
    const gs = form.read('grads', grads);
    const xs = params == null ? [] : form.readAll('params', params);
    const places = [...named('grads', form, gs), ...named('params', form, xs)];
    slots.forEach((leaves, k) => places.push(...named(`state.${specs[k].name}`, form, leaves)));
    places.push(['state.count', state.count]);
    checkReferences(places);
    return { form, slots, gs, xs, isEager: places.every(([, leaf]) => leaf === null || isConcrete(leaf)) };
  };

  // jit makes the smaller of count and limit, plus 1, into the smaller of count + 1, which overflows, and limit + 1.
  /** @type {(counter: any) => any} consumes it; one more, short of an overflow */
  const incremented = (counter) => counter.ref.add(numpy.notEqual(counter, MAX_COUNT).astype(counter.dtype));

  /**
   * @param {JaxArray} counter not consumed
   * @param {'float32' | 'float64'} dtype
   * @returns {Scalars} of the step to come; asks the schedule
   */
  const scalarsOf = (counter, dtype) => {
    /** @type {Scalars} */
    const scalars = {};
    if (typeof learningRate === 'function') {
      const count = countOf(counter);
      const rate = count === undefined ? tracedRate(learningRate, counter) : learningRate(count);
      if (isArray(rate)) {
        if (rate.shape.length > 0) throw rangeError('learningRate', 'an array without dimensions', `[${rate.shape}]`);
        scalars.rate = rate.mul(-1);
      } else {
        scalars.rate = numpy.full([], -finite(`learningRate at count ${count}`, rate), { dtype });
      }
    }
    if (!biasCorrection) return scalars;
    const count = countOf(counter);
    if (count === undefined) {
      scalars.correction = tracedCorrection(numpy, options.decay, incremented(counter.ref), dtype);
    } else {
      scalars.correction = numpy.full([], biasCorrectionOf(options.decay, next(count), roundingOf(dtype)), { dtype });
    }
    return scalars;
  };

  /**
   * @param {JaxArray} counter consumed
   * @returns {any} one more, short of an overflow
   */
  const counted = (counter) => {
    const count = isConcrete(counter) ? counts.get(counter) : undefined;
    if (count === undefined) return incremented(counter);
    counter.dispose();
    return counterOf(numpy, next(count));
  };

  /**
   * @param {ReturnType<typeof read>} all
   * @param {any} state
   * @param {boolean} changesValues
   * @returns {[(JaxArray | null)[], any]} updates, or new values; null where there is no gradient; and the state
   */
  const run = ({ form, slots, gs, xs, isEager }, state, changesValues) => {
    const isDouble = form.leaves.some(({ dtype }) => dtype === 'float64');
    const scalars = scalarsOf(state.count, isDouble ? 'float64' : 'float32');
    const places = gs.flatMap((g, i) => (g === null ? [] : [i]));
    const inputs = places.map((i) => Object.fromEntries(specs.map(({ field }, k) => [field, slots[k][i]])));
    const gradients = places.map((i) => gs[i]);
    const { updates: update, values: value } = (isEager && compiled) || { updates, values };
    const [changes, after] = changesValues
      ? value(gradients, inputs, scalars, places.map((i) => xs[i])) : update(gradients, inputs, scalars);
    /** @type {(JaxArray | null)[]} */
    const results = gs.map(() => null);
    places.forEach((i, j) => {
      results[i] = changes[j];
      specs.forEach(({ field }, k) => (slots[k][i] = after[j][field]));
    });
    const trees = specs.map(({ name }, k) => [name, form.tree(slots[k])]);
    return [results, { count: counted(state.count), ...Object.fromEntries(trees) }];
  };

  return {
    init(params) {
      const form = new ArrayForm('params', params);
      const leaves = form.readAll('params', params);
      checkReferences(named('params', form, leaves));
      const trees = specs.map(({ name, initial = 0 }) => [
        name,
        form.tree(form.leaves.map(({ shape, dtype }) => numpy.full([...shape], initial, { dtype }))),
      ]);
      for (const leaf of leaves) leaf.dispose();
      return { count: counterOf(numpy, 0), ...Object.fromEntries(trees) };
    },

    update(grads, state, params) {
      const all = read(grads, state, params);
      const [updates, after] = run(all, state, false);
      for (const x of all.xs) x.dispose();
      return [all.form.tree(updates), after];
    },

    step(grads, state, params) {
      const all = read(grads, state, params);
      if (params == null) throw typeError('params', 'given', params);
      const [results, after] = run(all, state, true);
      return [all.form.tree(results.map((result, i) => result ?? all.xs[i])), after];
    },

    restore(params, saved) {
      const form = new ArrayForm('params', params);
      const leaves = form.readAll('params', params);
      checkReferences(named('params', form, leaves));
      const { count, slots } = readSaved(saved, form, specs.map(({ name }) => name));
      const trees = specs.map(({ name }) => [name, form.tree(form.leaves.map((spec, i) =>
        arrayFrom(jax, slots[name][i], spec, leaves[i])))]);
      for (const leaf of leaves) leaf.dispose();
      return { count: counterOf(numpy, count), ...Object.fromEntries(trees) };
    },
  };
}

/**
 * @param {any} state as `init` made it, or an update; not consumed
 * @returns {import('./jax-saved.js').SavedState}
 */
export function saveOperationsState(state) {
  if (!isPlain(state) || !isArray(state.count)) throw typeError('state', 'what init or an update returned', state);
  const { count, ...trees } = state;
  const form = new ArrayForm('state.nu', trees.nu);
  const entries = Object.entries(trees).map(([name, tree]) => {
    const leaves = form.readAll(`state.${name}`, tree);
    checkReferences(named(`state.${name}`, form, leaves));
    return /** @type {const} */ ([name, leaves]);
  });
  const number = countOf(count);
  if (number === undefined) throw typeError('state', 'one with numbers: save it outside of jit', count);
  return /** @type {any} */ ({
    count: number,
    ...Object.fromEntries(entries.map(([name, leaves]) => [name, form.tree(leaves.map(numbersOf))])),
  });
}
