/**
 * The engine against the oracle, which shares nothing with it, over random sequences of what users do: both must have the
 * same bits all the way. What fails is shrunk to the shortest sequence, and its seed printed: hand it over in
 * RMSPROP_SEED to see it again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Memory, RMSprop, indexedSlices, tensor, variable, zeros } from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';
import { LegacyOracle } from '../legacy-oracle.js';
import { oracleApply } from '../oracle.js';

/** @typedef {any} Any */
/** @typedef {import('../oracle.js').OracleState} OracleState */
/** @typedef {import('../oracle.js').OracleOptions} OracleOptions */
/**
 * What the oracle knows of it all.
 *
 * @typedef {object} Model
 * @property {OracleState[]} states
 * @property {number} calls
 * @property {boolean} isBuilt
 * @property {number} learningRate as it is now
 */
/**
 * @typedef {object} Real
 * @property {Memory} memory
 * @property {Any[]} variables
 * @property {RMSprop} optimizer
 * @property {() => RMSprop} make another optimizer with the same options
 * @property {Any[]} others tensors that take room
 */

const PAGE = 65536;
const SLOTS = /** @type {const} */ ([
  ['average', 'average'], ['gradient_accumulator', 'accumulator'], ['velocity', 'meanSquare'], ['momentum', 'momentum'],
  ['average_gradient', 'meanGradient'],
]);

// ---- What can be drawn ----

const value = fc.oneof(
  { weight: 8, arbitrary: fc.float({ min: -10, max: 10, noNaN: true, noDefaultInfinity: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1e-45, -1e-40, 1e30, -1e30, 2 ** -126) },
);
const rate = fc.float({ min: 2 ** -17, max: 0.5, noNaN: true });
const shapes = fc.array(fc.constantFrom(/** @type {number[]} */ ([1]), [3], [2, 4], [7], [5, 3], [33]), { minLength: 1, maxLength: 4 });

const optionsOf = fc.record({
  learningRate: rate,
  rho: fc.constantFrom(0, 0.5, 0.9, 0.99, 1),
  momentum: fc.constantFrom(0, 0.5, 0.9),
  epsilon: fc.constantFrom(1e-7, 1e-3, 1),
  centered: fc.boolean(),
  weightDecay: fc.constantFrom(null, 0, 0.1),
  useEma: fc.boolean(),
  emaMomentum: fc.constantFrom(0, 0.5, 0.99, 1),
  emaOverwriteFrequency: fc.constantFrom(null, 1, 3),
  lossScaleFactor: fc.constantFrom(null, 8, 3.5),
  gradientAccumulationSteps: fc.constantFrom(null, 2, 3),
  clip: fc.constantFrom({}, { clipnorm: 0.7 }, { clipvalue: 0.5 }, { globalClipnorm: 0.9 }),
});

/** @param {readonly number[]} shape */
const sizeOf = (shape) => shape.reduce((product, length) => product * length, 1);

/** @param {Any} drawn @returns {OracleOptions} */
function oracleOptions({ clip, useEma, emaOverwriteFrequency, ...options }) {
  return { ...options, ...clip, emaOverwriteFrequency: useEma ? emaOverwriteFrequency : null };
}

// ---- What users do ----

/** @param {Model} model @param {Real} real */
function compare(model, real) {
  const { optimizer, variables, memory } = real;
  model.states.forEach((state, k) => {
    assertBits(variables[k].data, state.value, `value ${k}`);
    if (!model.isBuilt) return;
    for (const [slot, field] of SLOTS) {
      const expected = state[field];
      const found = optimizer.getSlot(variables[k], slot);
      if (expected === null) assert.equal(found, null, `${slot} ${k}`);
      else assertBits(/** @type {Any} */ (found).data, expected, `${slot} ${k}`);
    }
  });
  if (model.isBuilt) assert.equal(optimizer.getWeights()[0][0], model.calls);
  assert.ok(memory.bytesInUse <= memory.buffer.byteLength);
}

/** @param {ArrayLike<number>} found @param {ArrayLike<number>} expected @param {string} what */
function assertBits(found, expected, what) {
  // Object.is: the payload of a NaN is not defined, the sign of a zero is.
  const at = Array.from(expected).findIndex((x, i) => !Object.is(x, found[i]));
  if (at >= 0) assert.fail(`${what}[${at}] is ${found[at]}, the oracle has ${expected[at]}`);
}

/**
 * @param {Any} optimizer drawn
 * @returns {(state: OracleState) => OracleState}
 */
const built = ({ momentum, centered, useEma, gradientAccumulationSteps }) => (state) => {
  const empty = () => new Float32Array(state.value.length);
  return {
    value: state.value,
    meanSquare: empty(),
    meanGradient: centered ? empty() : null,
    momentum: momentum > 0 ? empty() : null,
    average: useEma ? empty() : null,
    accumulator: gradientAccumulationSteps ? empty() : null,
  };
};

/** A step by gradients of some variables, handed over in any way. */
class Step {
  /** @param {{ values: number[], kinds: string[], how: string }} drawn @param {Any} drawnOptions */
  constructor(drawn, drawnOptions) {
    this.drawn = drawn;
    this.options = drawnOptions;
  }

  check() {
    return true;
  }

  /** @param {Model} model @param {Real} real */
  run(model, real) {
    const { values, kinds, how } = this.drawn;
    const { variables, memory, optimizer } = real;
    let next = 0;
    const take = () => Math.fround(values[next++ % values.length]);
    /** @type {(Float32Array | null)[]} */
    const dense = [];
    /** @type {Any[]} */
    const tensors = [];
    const given = variables.map((each, k) => {
      const all = Float32Array.from({ length: each.size }, take);
      const kind = kinds[k % kinds.length];
      if (kind === 'none') return dense.push(null) && null;
      if (kind === 'sparse' && this.options.lossScaleFactor === null) {
        // One row, or each once: rows of one index are Keras's own affair, and not the oracle's.
        const row = Math.abs(Math.trunc(take() * 100)) % each.shape[0];
        const rowLength = each.size / each.shape[0];
        const rows = all.slice(0, rowLength);
        const gradient = new Float32Array(each.size);
        rows.forEach((x, i) => { gradient[row * rowLength + i] = x + 0; }); // summed from +0
        dense.push(gradient);
        return indexedSlices(rows, [row]);
      }
      dense.push(all);
      if (kind !== 'tensor') return kind === 'list' ? [...all] : all;
      const made = tensor(all, { shape: [...each.shape], memory });
      tensors.push(made);
      return made;
    });
    const isEmpty = dense.every((gradient) => gradient === null);
    const before = model.isBuilt ? optimizer.getWeights() : undefined;
    const act = () => {
      if (how === 'step' && model.isBuilt) {
        variables.forEach((each, k) => { each.gradient = given[k]; });
        optimizer.step();
      } else if (how === 'pairs') {
        optimizer.applyGradients(given.map((gradient, k) => [gradient, variables[k]]));
      } else if (how === 'minimize') {
        optimizer.minimize(() => ({ loss: 1, gradients: given }), variables);
      } else {
        optimizer.apply(given, variables);
      }
    };
    if (isEmpty) {
      assert.throws(act, /^RangeError: No gradients provided for any variable\.$/);
      if (before) assert.deepEqual(optimizer.getWeights(), before);
    } else {
      act();
      if (!model.isBuilt) model.states = model.states.map(built(this.options));
      model.isBuilt = true;
      oracleApply(model.states, dense, { ...oracleOptions(this.options), learningRate: model.learningRate }, model.calls);
      model.calls++;
    }
    for (const each of variables) each.gradient = null;
    for (const made of tensors) made.dispose();
    compare(model, real);
  }

  toString() {
    return `step(${JSON.stringify(this.drawn)})`;
  }
}

/**
 * Something else that is done; what it says of the model must hold of the real thing afterwards.
 *
 * @param {string} name
 * @param {(model: Model, real: Real, options: Any) => void} run
 * @param {(model: Readonly<Model>) => boolean} [check] whether it can be done now
 */
const deed = (name, run, check = () => true) => (/** @type {Any} */ options) => ({
  check,
  run: (/** @type {Model} */ model, /** @type {Real} */ real) => {
    run(model, real, options);
    compare(model, real);
  },
  toString: () => name,
});

const isBuilt = (/** @type {Readonly<Model>} */ model) => model.isBuilt;

const deeds = [
  deed('build', (model, { optimizer, variables }, options) => {
    optimizer.build(variables);
    if (!model.isBuilt) model.states = model.states.map(built(options));
    model.isBuilt = true;
  }),
  deed('save, load into another', (_, real) => {
    const file = real.optimizer.save();
    const reload = () => {
      real.optimizer.dispose();
      real.optimizer = real.make();
      real.optimizer.build(real.variables);
      real.optimizer.load(file);
      return real.memory.bytesInUse;
    };
    const bytesInUse = reload(); // without the buffers that gradients were copied to
    assert.equal(reload(), bytesInUse);
  }, isBuilt),
  deed('save with variables, go astray, load', (_, { optimizer, variables }) => {
    const file = optimizer.save({ variables: true });
    optimizer.learningRate = 7;
    optimizer.apply(variables.map(({ size }) => new Float32Array(size).fill(3)), variables);
    optimizer.load(file);
  }, isBuilt),
  deed('another rate', (model, { optimizer }) => {
    model.learningRate = Math.fround(model.learningRate * 0.7);
    optimizer.learningRate = model.learningRate;
  }),
  deed('a variable more, which Keras refuses', (_, { optimizer, variables, memory }) => {
    const more = variable([1], { memory, name: 'more' });
    assert.throws(() => optimizer.build([...variables, more]), /^RangeError: variables must be those the optimizer is built for, got /);
    more.dispose();
  }, isBuilt),
  deed('getWeights, setWeights', (_, { optimizer }) => optimizer.setWeights(optimizer.getWeights()), isBuilt),
  deed('look at the averages', (model, { optimizer, variables }, { useEma }) => {
    if (!useEma) {
      assert.throws(() => optimizer.withAverages(() => {}), /^RangeError: useEma must be true for withAverages, got false$/);
      return;
    }
    optimizer.withAverages(() => variables.forEach((each, k) => {
      assertBits(each.data, model.calls ? model.states[k].average ?? [] : model.states[k].value, `average of ${k}`);
    }));
  }, isBuilt),
  deed('keep the averages', (model, { optimizer }, { useEma }) => {
    optimizer.finalizeVariableValues();
    if (useEma && model.calls) for (const state of model.states) state.value.set(state.average ?? []);
  }, isBuilt),
  deed('grow the memory', (_, { memory, others }) => { others.push(zeros([memory.buffer.byteLength / 8], { memory })); }),
  deed('grow it from outside', (_, { memory }) => { memory.wasmMemory.grow(1); }),
  deed('free what has grown', (_, { others }) => others.splice(0).forEach((each) => each.dispose())),
  deed('toggle trainable', (_, { variables }) => { variables[0].trainable = !variables[0].trainable; }), // for models alone
  deed('export and import', (_, { optimizer }) => optimizer.importParameters(optimizer.exportParameters()), isBuilt),
  deed('dispose, begin anew', (model, real, options) => {
    real.optimizer.dispose();
    real.optimizer = real.make();
    Object.assign(model, { calls: 0, isBuilt: false, learningRate: options.learningRate });
  }),
  deed('a call that is refused', (_, { optimizer, variables }) => {
    assert.throws(() => optimizer.apply(variables.map(() => new Float32Array(1000)), variables), RangeError);
  }),
];

/** @param {Any} options drawn */
const commands = (options) => fc.commands([
  ...Array.from({ length: 4 }, () => fc.record({
    values: fc.array(value, { minLength: 1, maxLength: 40 }),
    kinds: fc.array(fc.constantFrom('array', 'array', 'list', 'tensor', 'sparse', 'none'), { minLength: 1, maxLength: 4 }),
    how: fc.constantFrom('apply', 'pairs', 'step', 'minimize'),
  }).map((drawn) => new Step(drawn, options))),
  ...deeds.map((make) => fc.constant(/** @type {fc.Command<Model, Real>} */ (make(options)))),
], { maxCommands: 30 });

/** @param {Any} drawn @param {number[][]} drawnShapes @returns {{ model: Model, real: Real }} */
function start({ clip, ...options }, drawnShapes) {
  const memory = new Memory({ initialBytes: PAGE });
  const variables = drawnShapes.map((shape, k) =>
    variable(Float32Array.from({ length: sizeOf(shape) }, (_, i) => (i % 5) - 2 + k / 3), { shape, memory, name: `v${k}` }));
  const make = () => new RMSprop({ ...options, ...clip });
  const states = variables.map((each) => ({
    value: /** @type {Float32Array} */ (each.data.slice()), meanSquare: new Float32Array(), meanGradient: null, momentum: null,
    average: null, accumulator: null,
  }));
  return { model: { states, calls: 0, isBuilt: false, learningRate: options.learningRate },
    real: { memory, variables, optimizer: make(), make, others: [] } };
}

const { warn } = console;

test('random sequences of build, steps, checkpoints, averages, growth and disposal have the bits of the oracle', (t) => {
  const seed = Number(process.env.RMSPROP_SEED ?? Date.now() % 2 ** 31);
  t.diagnostic(`RMSPROP_SEED=${seed}`);
  console.warn = () => {}; // of variables without a gradient
  try {
    fc.assert(fc.property(
      fc.tuple(optionsOf, shapes).chain(([options, drawnShapes]) => fc.tuple(fc.constant(options), fc.constant(drawnShapes),
        commands(options))),
      ([options, drawnShapes, sequence]) => {
        /** @type {Real | undefined} */
        let real;
        fc.modelRun(() => {
          const started = start(options, drawnShapes);
          ({ real } = started);
          return started;
        }, sequence);
        // Whatever was done: nothing is left when all is disposed.
        if (!real) return;
        real.optimizer.dispose();
        for (const each of [...real.variables, ...real.others]) each.dispose();
        assert.deepEqual([real.memory.bytesInUse, real.memory.tensorCount], [0, 0]);
      },
    ), { seed, numRuns: Number(process.env.RMSPROP_RUNS ?? 400) });
  } finally {
    console.warn = warn;
  }
});

test('a fault in the engine is found, and shrunk to a few steps', () => {
  const drawn = { learningRate: 0.1, rho: 0.9, momentum: 0.9, epsilon: 1e-7, centered: false, weightDecay: null, useEma: false,
    emaMomentum: 0.99,
    emaOverwriteFrequency: null, lossScaleFactor: null, gradientAccumulationSteps: null, clip: {} };
  console.warn = () => {};
  try {
    const { failed, counterexample } = fc.check(fc.property(commands(drawn), (sequence) => fc.modelRun(() => {
      const { model, real } = start(drawn, [[3]]);
      const { make } = real;
      real.make = () => {
        const made = make();
        made.load = () => {}; // a checkpoint that is not read
        return made;
      };
      return { model, real };
    }, sequence)), { seed: 1, numRuns: 400 });
    assert.ok(failed);
    assert.ok(`${counterexample}`.split('step(').length <= 3, `${counterexample}`);
  } finally {
    console.warn = warn;
  }
});

// ---- tf.keras, whose optimizers take in variables at any time ----

const legacyOptions = fc.record({
  learningRate: rate,
  // Not 0: where a mean square has overflowed, 0 times infinity is NaN, and a sparse gradient without momentum, for which the
  // kernels step all rows, then makes the weights of rows that it does not name NaN. TensorFlow leaves them alone.
  rho: fc.constantFrom(0.5, 0.9, 1),
  momentum: fc.constantFrom(0, 0.9),
  epsilon: fc.constantFrom(1e-7, 1e-3),
  decay: fc.constantFrom(0, 0.1),
  clip: fc.constantFrom({}, { clipnorm: 0.7 }, { clipvalue: 0.5 }, { globalClipnorm: 0.9 }),
});
/** Gradients by variable: null, all numbers, or rows of which several may be one. */
const legacyStep = fc.array(fc.oneof(
  fc.constant(null),
  fc.record({ values: fc.array(value, { minLength: 1, maxLength: 9 }) }),
  fc.record({ rows: fc.array(fc.nat(), { minLength: 1, maxLength: 5 }), values: fc.array(value, { minLength: 1, maxLength: 9 }) }),
), { minLength: 1, maxLength: 4 });
const legacyDeeds = fc.array(fc.oneof({ weight: 4, arbitrary: legacyStep }, fc.constantFrom('weights', 'grow', 'refused')),
  { maxLength: 20 });

test('random updates of tf.keras, dense and sparse, of variables that come at any time, have the bits of its oracle', (t) => {
  const seed = Number(process.env.RMSPROP_SEED ?? Date.now() % 2 ** 31);
  t.diagnostic(`RMSPROP_SEED=${seed}`);
  console.warn = () => {};
  try {
    fc.assert(fc.property(legacyOptions, shapes, legacyDeeds, ({ clip, ...options }, drawnShapes, sequence) => {
      const memory = new Memory({ initialBytes: PAGE });
      const starts = drawnShapes.map((shape, k) => Array.from({ length: sizeOf(shape) }, (_, i) => (i % 5) - 2 + k / 3));
      const variables = starts.map((start_, k) => variable(start_, { shape: drawnShapes[k], memory, name: `v${k}` }));
      const rowLengths = drawnShapes.map(([, ...rest]) => sizeOf(rest));
      const optimizer = new legacy.RMSprop({ ...options, ...clip });
      const oracle = new LegacyOracle({ ...options, ...clip }, starts, rowLengths, 'float32');
      const seen = new Set();
      for (const deed_ of sequence) {
        if (deed_ === 'weights') optimizer.setWeights(optimizer.getWeights());
        if (deed_ === 'grow') zeros([memory.buffer.byteLength / 8], { memory });
        if (deed_ === 'refused') assert.throws(() => optimizer.applyGradients([[[NaN, 1], variables[0]], [[1], variables[0]]]), Error);
        if (typeof deed_ === 'string') continue;
        const gradients = variables.map((each, k) => {
          const drawn = deed_[k % deed_.length];
          if (drawn === null) return null;
          const take = (/** @type {number} */ length) => Array.from({ length },
            (_, i) => Math.fround(drawn.values[i % drawn.values.length]));
          if (!('rows' in drawn)) return take(each.size);
          const indices = drawn.rows.map((row) => row % each.shape[0]);
          return { indices, values: take(indices.length * rowLengths[k]) };
        });
        const pairs = gradients.flatMap((gradient, k) => (gradient === null ? [] : [/** @type {[Any, Any]} */ ([
          Array.isArray(gradient) ? Float32Array.from(gradient) : indexedSlices(Float32Array.from(gradient.values), gradient.indices),
          variables[k],
        ])]));
        if (pairs.length === 0) continue;
        optimizer.applyGradients(pairs);
        oracle.apply(gradients);
        gradients.forEach((gradient, k) => gradient && seen.add(k));
        variables.forEach((each, k) => {
          assertBits(each.data, oracle.variables[k], `value ${k}`);
          if (!seen.has(k)) return;
          assertBits(optimizer.getSlot(each, 'rms').data, oracle.rms[k], `rms ${k}`);
          if (options.momentum > 0) assertBits(optimizer.getSlot(each, 'momentum').data, oracle.momentum[k], `momentum ${k}`);
        });
        assert.equal(optimizer.iterations, oracle.iterations);
      }
      optimizer.dispose();
    }), { seed, numRuns: Number(process.env.RMSPROP_RUNS ?? 300) });
  } finally {
    console.warn = warn;
  }
});
