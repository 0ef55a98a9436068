/**
 * What the real TensorFlow 2.15.1 computed with its TensorFlow 1 optimizer, replayed: equal bits in every variable and slot.
 * Reference variables, resource variables, sessions and tf.function have the arithmetic of eager mode.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { indexedSlices, tensor, variable } from 'rmsprop-wasm';
import * as v1 from 'rmsprop-wasm/v1';
import { Tally, gradientOf, load, numbersOf } from '../replay.js';

const { RMSPropOptimizer } = v1;

const { cases, facts, errors } = load('tensorflow_2.15.1_tf1.json');

/** The types of tensors that this package has. */
const TYPES = ['float32', 'float64'];

const NUMBERS = ['learning_rate', 'decay', 'momentum', 'epsilon'];

/** @param {string} name */
const camelCase = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

/**
 * @param {Record<string, any>} hyper by Python's names; of those in `callable` the value at the time is asked for
 * @param {readonly string[]} [callable]
 */
function optimizerOf(hyper, callable = []) {
  const options = Object.entries(hyper).map(([name, value]) =>
    [camelCase(name), callable.includes(name) ? () => hyper[name] : value]);
  return new RMSPropOptimizer(Object.fromEntries(options));
}

/**
 * Compares one array by the gate of its case (semantics §13.4).
 *
 * @param {Tally} tally
 * @param {{ id: string, estimate?: boolean }} recorded
 * @param {string} kind 'variable' or the name of the slot
 * @param {ArrayLike<number>} actual
 * @param {readonly string[]} hex
 * @param {string} what
 */
function compare(tally, { id, estimate }, kind, actual, hex, what) {
  // Four cases took part of their reciprocal square roots from an AMD processor's estimate.
  if (estimate && (kind === 'variable' || kind === 'momentum')) tally.withinEpsilons(actual, hex, 4, what);
  // TensorFlow counts subnormal numbers as zero, the kernels do not.
  else if (id.startsWith('edge_') && kind !== 'variable') tally.near(actual, hex, 1e-36, what);
  else tally.equal(actual, hex, what);
}

test('the executed TensorFlow 1 optimizer is met to the bit in every variable, slot and global step', (t) => {
  assert.equal(cases.length, 64);
  const tally = new Tally();
  const skipped = cases.filter((/** @type {any} */ { dtype }) => !TYPES.includes(dtype));
  for (const recorded of cases) {
    const { id, dtype, shapes, init, steps, callable } = recorded;
    if (skipped.includes(recorded)) continue;
    tally.cases++;
    const hyper = { ...recorded.hyper };
    const optimizer = optimizerOf(hyper, callable);
    const globalStep = variable(0, { dtype: 'int32' });
    const variables = init.map((/** @type {string[]} */ hex, /** @type {number} */ i) =>
      variable(numbersOf(hex), { shape: shapes[i], dtype }));
    for (const [k, step] of steps.entries()) {
      Object.assign(hyper, step.hyper);
      const pairs = step.grads.map((/** @type {any} */ g, /** @type {number} */ i) => [gradientOf(g), variables[i]]);
      optimizer.applyGradients(pairs, { globalStep });
      assert.equal(globalStep.data[0], step.iterations ?? k + 1, id);
      if (!step.vars) continue;
      assert.deepEqual(optimizer.getSlotNames(), Object.keys(step.slots).sort(), id);
      for (const [i, v] of variables.entries()) {
        const what = `${id}, step ${k}, variable ${i}`;
        compare(tally, recorded, 'variable', v.data, step.vars[i], what);
        for (const [name, arrays] of Object.entries(step.slots)) {
          const slot = optimizer.getSlot(v, name);
          assert.equal(slot === null, arrays[i] === null, `${what}, ${name}: a variable gets its slots with its first gradient`);
          if (slot) compare(tally, recorded, name, slot.data, arrays[i], `${what}, ${name}`);
        }
      }
    }
    optimizer.dispose();
    for (const v of variables) v.dispose();
  }
  t.diagnostic(`TensorFlow 1: ${tally}`);
  t.diagnostic(`types that this package does not have: ${skipped.length} cases, ${skipped.map((/** @type {any} */ c) => c.id)}`);
  assert.deepEqual(skipped.map((/** @type {any} */ c) => c.id), [
    'float16_plain', 'float16_centered_momentum', 'float16_sparse_momentum', 'bfloat16_plain', 'bfloat16_centered_momentum',
  ]);
  assert.equal(tally.cases, 59);
  assert.equal(tally.largestUlp, 0);
});

test("TensorFlow's own tests hold, at their own tolerances", (t) => {
  const golden = load('tf1_golden.json').cases;
  assert.equal(golden.length, 18);
  let values = 0;
  let replayed = 0;
  /** @type {string[]} */
  const skipped = [];
  for (const { id, hyper, dtype, init, steps, tolerance } of golden) {
    for (const type of dtype) {
      if (!TYPES.includes(type)) {
        skipped.push(`${id} in ${type}`);
        continue;
      }
      const optimizer = optimizerOf(hyper, id.endsWith('CallableParams') ? NUMBERS : []);
      const [first] = steps[0].grads;
      const variables = init.map((/** @type {number[]} */ start) =>
        variable(start, { dtype: type, shape: first.dense_shape ?? [start.length] }));
      for (const { grads, expect } of steps) {
        optimizer.applyGradients(grads.map((/** @type {any} */ g, /** @type {number} */ i) =>
          [Array.isArray(g) ? g : indexedSlices(g.values, g.indices, g.dense_shape), variables[i]]));
        if (!expect) continue;
        for (const [name, arrays] of Object.entries({ variable: expect.vars, ...expect.slots })) {
          for (const [i, expected] of arrays.entries()) {
            const actual = name === 'variable' ? variables[i].data : optimizer.getSlot(variables[i], name)?.data ?? [];
            assert.equal(actual.length, expected.length);
            values += expected.length;
            expected.forEach((/** @type {number} */ x, /** @type {number} */ k) => {
              const isClose = Math.abs(actual[k] - x) <= tolerance.atol + tolerance.rtol * Math.abs(x);
              assert.ok(isClose, `${id} ${type}: ${name} ${i}[${k}] must be near ${x}, got ${actual[k]}`);
            });
          }
        }
      }
      replayed++;
      optimizer.dispose();
    }
  }
  t.diagnostic(`TensorFlow 1, golden: ${golden.length} cases, ${replayed} replays by type, ${values} values`);
  t.diagnostic(`types that this package does not have: ${skipped.length} replays, ${skipped.join(', ')}`);
  assert.equal(skipped.length, 16);
});

test('slots, names and constants are those that TensorFlow showed', () => {
  /** @param {string} id */
  const factsOf = (id) => {
    const found = facts.filter((/** @type {any} */ fact) => fact.id === id);
    assert.ok(found.length > 0, id);
    return found;
  };
  for (const fact of factsOf('graph')) {
    const optimizer = new RMSPropOptimizer({ learningRate: 0.1, centered: fact.centered });
    const [first, second] = fact.created.map((/** @type {string} */ name) => variable([1, 2], { name }));
    optimizer.applyGradients([[[1, 1], first], [[1, 1], second]]);
    assert.deepEqual(optimizer.getSlotNames(), fact.slot_names);
    assert.deepEqual(optimizer.variables().map(({ name }) => `${name}:0`), fact.variables);
    for (const [slot, name] of Object.entries(fact.slots_of_b_second)) {
      const named = optimizer.variables().find((candidate) => `${candidate.name}:0` === name);
      assert.ok(named);
      assert.equal(optimizer.getSlot(first, slot), named);
    }
  }
  for (const fact of factsOf('eager')) {
    const optimizer = new RMSPropOptimizer({ learningRate: 0.1, centered: fact.centered });
    const [a, b] = [variable([1, 2]), variable([3])];
    assert.deepEqual(optimizer.getSlotNames(), fact.slot_names_before);
    assert.deepEqual(optimizer.variables(), fact.variables_before);
    optimizer.applyGradients([[[1, 1], a], [[1], b]]);
    assert.deepEqual(optimizer.getSlotNames(), fact.slot_names);
    assert.equal(optimizer.variables().length, fact.variables.length);
    assert.equal(fact.unknown_slot, 'None');
    assert.equal(optimizer.getSlot(a, 'nothing'), null);
    assert.equal(optimizer.getName(), fact.name);
  }
  const [{ id: _, ...constants }] = factsOf('constants');
  for (const [name, value] of Object.entries(constants)) {
    assert.equal(/** @type {any} */ (v1)[name], value);
    assert.equal(/** @type {any} */ (RMSPropOptimizer)[name], value);
  }
});

test('constraints, callbacks, the lock and gradLoss act as TensorFlow showed', () => {
  /** @param {string} id */
  const factOf = (id) => {
    const fact = facts.find((/** @type {any} */ candidate) => candidate.id === id);
    assert.ok(fact, id);
    return fact;
  };
  const constraint = factOf('constraint max(x,0) after a dense update');
  const clamped = variable(numbersOf(constraint.init), { constraint: (v) => v.set(v.data.map((x) => Math.max(x, 0))) });
  new RMSPropOptimizer({ learningRate: constraint.lr }).applyGradients([[constraint.grad, clamped]]);
  assert.deepEqual(clamped.data, numbersOf(constraint.result));

  assert.equal(factOf('use_locking').same_bits, true);
  const [free, locked] = [false, true].map((useLocking) => {
    const v = variable([0, 1, 2]);
    const optimizer = new RMSPropOptimizer({ learningRate: 0.1, momentum: 0.9, useLocking });
    for (let k = 0; k < 3; k++) optimizer.applyGradients([[[-1, 0.25, 1], v]]);
    return v.data.slice();
  });
  assert.deepEqual(locked, free);

  // Two calls of apply_gradients and one of minimize, which TensorFlow's list has too.
  /** @type {string[]} */
  const calls = [];
  /** @type {(name: string, value: number) => () => number} */
  const noting = (name, value) => () => {
    calls.push(name);
    return value;
  };
  const asking = new RMSPropOptimizer({
    epsilon: noting('epsilon', 1e-10), momentum: noting('momentum', 0), decay: noting('decay', 0.9),
    learningRate: noting('learning_rate', 0.1),
  });
  const x = variable([1]);
  for (let k = 0; k < 2; k++) asking.applyGradients([[[1], x]]);
  const globalStep = variable(4, { dtype: 'int32' });
  const returned = asking.minimize((v) => ({ loss: v.data[0] ** 2, gradients: [[2 * v.data[0]]] }), { varList: [x], globalStep });
  assert.deepEqual(calls, factOf('callables, two eager calls').order);
  assert.equal(factOf('minimize returns in eager mode').value, null);
  assert.equal(returned, undefined);
  assert.equal(globalStep.data[0], 5);

  const { gradient } = factOf('compute_gradients of x*x at [1,2], grad_loss [3,5]');
  const [[computed]] = new RMSPropOptimizer({ learningRate: 0.1 }).computeGradients(
    (v, gradLoss) => ({ loss: 0, gradients: [v.data.map((/** @type {number} */ q, /** @type {number} */ i) => 2 * q * gradLoss[i])] }),
    { varList: [variable([1, 2])], gradLoss: [3, 5] },
  );
  assert.deepEqual(computed, numbersOf(gradient));
});

/** The kinds of Python's errors; null: no error. */
const KINDS = /** @type {Record<string, ErrorConstructor>} */ ({
  ValueError: RangeError,
  InvalidArgumentError: RangeError,
  TypeError,
  RuntimeError: Error,
  NotImplementedError: Error,
  // What a disposed tensor is here.
  FailedPreconditionError: Error,
  InternalError: Error,
});

/** Recorded errors that nothing here can cause, and why. */
const CANNOT_HAPPEN = /** @type {Record<string, string>} */ ({
  'complex variable': 'no such type',
  'sparse gradient of type bfloat16': 'no such type',
  'dense gradient of type bfloat16': 'no such type',
  'sparse gradient of type complex64': 'no such type',
  'dense gradient of type complex64': 'no such type',
  'kernel: ms of another shape': 'slots are the optimizer\'s own',
  'kernel: mom of another shape': 'slots are the optimizer\'s own',
  'dense kernel: ms of another shape': 'slots are the optimizer\'s own',
  'cross-replica context': 'no strategies',
});

/**
 * Each recorded error: how to cause it, what its message must say, and its kind where that is not the one of Python's.
 *
 * @type {Record<string, [cause: () => unknown, says?: RegExp, kind?: ErrorConstructor]>}
 */
const CAUSES = (() => {
  /** @param {Record<string, any>} [options] */
  const made = (options) => new RMSPropOptimizer({ learningRate: 0.1, ...options });
  /** @type {(gradient: any, v?: any) => () => void} */
  const applying = (gradient, v = variable([1, 2], { name: 'v' })) => () => made().applyGradients([[gradient, v]]);
  const three = () => variable([1, 2, 3], { name: 'v' });
  const one = variable([1, 2], { name: 'v' });
  const integers = variable([1, 2], { name: 'v', dtype: 'int32' });
  const disposed = variable([1, 2], { name: 'v' });
  disposed.dispose();
  const none = () => ({ loss: 1, gradients: [null] });
  /** @param {string} name */
  const vector = (name) => /** @type {[() => unknown, RegExp, ErrorConstructor]} */ (
    // In JavaScript what is no number is a TypeError.
    [() => made({ [name]: [0.1, 0.2] }), new RegExp(`^${name} must be a finite number or callback, got Array of length 2$`), TypeError]);
  const noGradients = /^No gradients provided for any variable: variable "v", between these variables and loss function none\.$/;
  return {
    'empty name': [() => made({ name: '' }), /^Must specify the optimizer name/],
    'negative learning rate and decay 7': [() => {
      made({ learningRate: -1, decay: 7, momentum: -3, epsilon: -1 }).applyGradients([[[1, 1], variable([1, 2])]]);
    }],
    'minimize, loss independent of the variable (graph)': [() => made().minimize(none, { varList: [one] }), noGradients],
    'minimize, loss independent of the variable (eager)': [() => made().minimize(none, { varList: one }), noGradients],
    'gate_gradients=7': [() => made().computeGradients(none, { varList: [one], gateGradients: /** @type {any} */ (7) }),
      /^gateGradients must be one of GATE_NONE \(0\), GATE_OP \(1\), GATE_GRAPH \(2\), got 7$/],
    'eager mode, loss not callable': [() => made().computeGradients(/** @type {any} */ (1), { varList: [one] }),
      /^`loss` passed to computeGradients must be a function, got 1$/],
    'no variables to optimize (graph)': [() => made().computeGradients(none, { varList: [] }), /^No variables to optimize/],
    'integer variable': [() => assert.deepEqual(made().computeGradients(none, { varList: [integers] }), [[null, integers]])],
    'integer variable, apply_gradients': [applying([1, 1], integers), /^variable "v" must be float32 or float64, got "int32"$/],
    // A loss is a number here, but the gradient of the loss may be of any type.
    'integer loss (graph)': [() => made().computeGradients(none, { varList: [one], gradLoss: tensor([1], { dtype: 'int32' }) }),
      /^Invalid type int32 for gradLoss, expected: \[float32, float64\]\.$/],
    'apply_gradients of an empty list': [() => made().applyGradients([]), /^No variables provided\.$/],
    'all gradients None': [() => made().applyGradients([[null, one], [null, one]]),
      /^No gradients provided for any variable: variable "v", variable "v"\.$/],
    // TensorFlow's source says TypeError, the converter of 2.15 comes before it.
    'gradient not convertible': [applying({}), /^gradient of variable "v" must be a Tensor, IndexedSlices, array .*, got Object$/, TypeError],
    'gradient a SparseTensor': [applying({ indices: [[0]], values: [1], denseShape: [2] }),
      /^gradient of variable "v" must be a Tensor, IndexedSlices, array of numbers or null, got Object$/],
    // UnimplementedError: of no kind that JavaScript has.
    'gradient a string': [applying('abc'), /^gradient of variable "v" must be .*, got "abc"$/, TypeError],
    'gradient of another shape': [applying([1, 1, 1]), /^gradient of variable "v" must be 2 numbers.*\[2\], got Array of length 3$/],
    'variable is a plain Tensor (graph)': [applying([1], tensor([2])), /^Trying to update a Tensor: .*tensor of shape \[1\]$/],
    // AttributeError, for the want of a check.
    'variable is a plain Tensor (eager)': [applying([1], tensor([2])), /^Trying to update a Tensor: .*tensor of shape \[1\]$/, Error],
    'sparse gradient with a constraint': [applying(indexedSlices([1], [0]), variable([1, 2], { name: 'v', constraint: () => {} })),
      /^Cannot use a constraint function on a sparse variable: variable "v" has one\.$/],
    'sparse index out of range': [applying(indexedSlices([1, 1], [0, 3]), three()),
      /^gradient of variable "v": index 3 at offset 1 in indices is out of range \[0, 3\)$/],
    'sparse index negative': [() => indexedSlices([1], [-1]), /^indices\[0\] must be an integer in \[0, \d+\], got -1$/],
    'kernel: indices of rank 2': [() => indexedSlices([1], /** @type {any} */ ([[0]])),
      /^indices\[0\] must be an integer .* got Array of length 1$/, TypeError],
    'kernel: grad rows and indices differ': [applying(indexedSlices([1, 2], [0]), three()),
      /^gradient of variable "v" must be 1 rows of 1 numbers, got \w+ of length 2$/],
    'kernel: lr is a vector': vector('learningRate'),
    'kernel: rho is a vector': vector('decay'),
    'kernel: momentum is a vector': vector('momentum'),
    'kernel: epsilon is a vector': vector('epsilon'),
    'kernel: index out of range': [applying(indexedSlices([1], [5]), three()), /index 5 at offset 0 in indices is out of range/],
    'dense kernel: grad of another shape': [applying(tensor([1, 1, 1])), /^gradient of variable "v" must be of 2 elements, got 3$/],
    'dense kernel: lr is a vector': vector('learningRate'),
    'uninitialised resource variable (graph)': [applying([1, 1], disposed), /^variable "v" is disposed$/],
    'uninitialised reference variable (graph)': [applying([1, 1], disposed), /^variable "v" is disposed$/],
  };
})();

test('every error that TensorFlow raised is raised, of the same kind and with the same information', (t) => {
  for (const { id, error } of errors) {
    if (id in CANNOT_HAPPEN) continue;
    assert.ok(id in CAUSES, `no cause for ${JSON.stringify(id)}`);
    const [cause, says = /^$/, kind = KINDS[error]] = CAUSES[id];
    if (error === null) {
      cause();
      continue;
    }
    assert.throws(cause, (thrown) => {
      assert.equal(/** @type {Error} */ (thrown).constructor, kind, `${id}: ${thrown}`);
      assert.match(/** @type {Error} */ (thrown).message, says, id);
      return true;
    }, id);
  }
  const impossible = errors.filter((/** @type {any} */ { id }) => id in CANNOT_HAPPEN);
  assert.equal(impossible.length, Object.keys(CANNOT_HAPPEN).length);
  assert.equal(errors.length - impossible.length, Object.keys(CAUSES).length);
  const reasons = impossible.map((/** @type {any} */ { id }) => `${id} (${CANNOT_HAPPEN[id]})`).join(', ');
  t.diagnostic(`TensorFlow 1, errors: ${errors.length - impossible.length} caused; cannot happen here: ${reasons}`);
});
