/** The interface of TensorFlow 1's optimizer: what it takes, gives and refuses. Its arithmetic is tests/golden/tf1.test.js. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, indexedSlices, tensor, variable } from 'rmsprop-wasm';
import { GATE_GRAPH, GATE_NONE, GATE_OP, RMSPropOptimizer } from 'rmsprop-wasm/v1';

/** @typedef {import('rmsprop-wasm').Variable} Variable */

/**
 * @param {() => unknown} call
 * @param {ErrorConstructor} type exactly
 * @param {RegExp} message
 */
function refuses(call, type, message) {
  assert.throws(call, (error) => {
    assert.equal(/** @type {Error} */ (error).constructor, type, `${error}`);
    assert.match(/** @type {Error} */ (error).message, message);
    return true;
  });
}

/** @param {Record<string, any>} [options] */
const made = (options) => new RMSPropOptimizer({ learningRate: 0.1, ...options });

/** The gradient of the half sum of squares. @type {(...variables: Variable[]) => { loss: number, gradients: any[] }} */
const bowl = (...variables) => ({ loss: 0, gradients: variables.map(({ data }) => data.slice()) });

test('the constructor takes the options of TensorFlow, and no others', () => {
  refuses(() => new RMSPropOptimizer(/** @type {any} */ ({})), TypeError,
    /^learningRate must be a finite number or callback, got undefined$/);
  refuses(() => new RMSPropOptimizer(/** @type {any} */ (undefined)), TypeError, /^RMSPropOptimizer options must be of type object/);
  refuses(() => new RMSPropOptimizer(/** @type {any} */ (0.1)), TypeError, /^RMSPropOptimizer options must be of type object, got 0\.1$/);
  refuses(() => made({ rho: 0.9 }), TypeError, /^RMSPropOptimizer has no option "rho"; it has learningRate, decay, /);
  refuses(() => made({ uselocking: true }), TypeError, /no option "uselocking"; did you mean "useLocking"\?$/);
  for (const name of ['learningRate', 'decay', 'momentum', 'epsilon']) {
    for (const value of [NaN, Infinity, -Infinity]) {
      refuses(() => made({ [name]: value }), RangeError, new RegExp(`^${name} must be a finite number or callback, got ${value}$`));
    }
    for (const value of [null, '0.1', true, [0.1]]) {
      refuses(() => made({ [name]: value }), TypeError, new RegExp(`^${name} must be a finite number or callback`));
    }
  }
  for (const name of ['useLocking', 'centered']) {
    refuses(() => made({ [name]: 1 }), TypeError, new RegExp(`^${name} must be of type boolean, got 1$`));
  }
  refuses(() => made({ name: 3 }), TypeError, /^name must be of type string, got 3$/);
  refuses(() => made({ name: '' }), RangeError, /^Must specify the optimizer name, got ""$/);
  assert.equal(made().getName(), 'RMSProp');
  assert.equal(made({ name: 'mine' }).getName(), 'mine');
});

test('the defaults are decay 0.9, momentum 0, epsilon 1e-10, not centered', () => {
  const [a, b] = [{}, { decay: 0.9, momentum: 0, epsilon: 1e-10, useLocking: false, centered: false, name: 'RMSProp' }].map((options) => {
    const v = variable([1, -2, 1e-7]);
    const optimizer = made(options);
    for (let k = 0; k < 3; k++) optimizer.minimize(bowl, { varList: [v] });
    return [v, ...optimizer.variables()].map(({ data }) => data.slice());
  });
  assert.equal(a.length, 3);
  assert.deepEqual(a, b);
});

test('the mean square starts at one, and slots come with the first gradient', () => {
  const optimizer = made({ centered: true, decay: 1 });
  const [a, b] = [variable([1, 2], { dtype: 'float64' }), variable([[3]])];
  assert.equal(optimizer.getSlot(a, 'rms'), null);
  optimizer.applyGradients([[[1, 1], a], [null, b]]);
  // With a decay of one it stays.
  assert.deepEqual(optimizer.getSlot(a, 'rms')?.data, Float64Array.of(1, 1));
  assert.deepEqual(optimizer.getSlot(a, 'mg')?.data, Float64Array.of(0, 0));
  assert.deepEqual(optimizer.getSlot(a, 'momentum')?.shape, [2]);
  for (const name of optimizer.getSlotNames()) assert.equal(optimizer.getSlot(b, name), null);
  assert.equal(optimizer.variables().length, 3);
  const kept = optimizer.getSlot(a, 'momentum');
  optimizer.applyGradients([[[5], b]]);
  assert.equal(optimizer.getSlot(a, 'momentum'), kept);
  assert.deepEqual(optimizer.getSlot(b, 'rms')?.data, Float32Array.of(1));
  assert.deepEqual(optimizer.getSlot(b, 'rms')?.shape, [1, 1]);
  assert.equal(optimizer.getSlot(variable([1]), 'rms'), null);
});

test('variables() sorts by names, which count on for a second variable of a name', () => {
  const optimizer = made({ name: 'Opt' });
  const names = ['b', 'a', 'b', 'B', 'a1'];
  optimizer.applyGradients(names.map((name) => [[1], variable([1], { name })]));
  assert.deepEqual(optimizer.variables().map(({ name }) => name), [
    'B/Opt', 'B/Opt_1', 'a/Opt', 'a/Opt_1', 'a1/Opt', 'a1/Opt_1', 'b/Opt', 'b/Opt_1', 'b/Opt_2', 'b/Opt_3',
  ]);
});

test('a variable without gradient stays, one whose gradient is zero moves by its momentum', () => {
  const optimizer = made({ momentum: 0.5 });
  const [a, b] = [variable([1]), variable([1])];
  optimizer.applyGradients([[[1], a], [[1], b]]);
  const [before, step] = [a.data[0], optimizer.getSlot(a, 'momentum')?.data[0] ?? NaN];
  optimizer.applyGradients([[[0], a], [null, b]]);
  assert.equal(a.data[0], Math.fround(before - Math.fround(step / 2)));
  assert.equal(b.data[0], before);
});

test('a sparse gradient moves the rows that it names, once for all its duplicates', () => {
  const [sparse, dense] = [1, 2].map(() => variable([[1, 2], [3, 4], [5, 6]]));
  const optimizer = made({ momentum: 0.9 });
  optimizer.applyGradients([[indexedSlices([[1, 1], [2, 3], [1, 0]], [2, 0, 2]), sparse]]);
  assert.deepEqual(Array.from(sparse.data.subarray(2, 4)), [3, 4]);
  assert.deepEqual(optimizer.getSlot(sparse, 'rms')?.data.subarray(2, 4), Float32Array.of(1, 1));
  made({ momentum: 0.9 }).applyGradients([[indexedSlices([[2, 3], [2, 1]], [0, 2]), dense]]);
  assert.deepEqual(sparse.data, dense.data);
  // The rows may lie in a tensor too, and there may be none.
  optimizer.applyGradients([[indexedSlices(tensor([[0, 0]]), [1]), sparse]]);
  const rms = optimizer.getSlot(sparse, 'rms')?.data.slice();
  optimizer.applyGradients([[indexedSlices([], []), sparse]]);
  assert.deepEqual(optimizer.getSlot(sparse, 'rms')?.data, rms);
  optimizer.applyGradients([[indexedSlices([], []), variable([], { shape: [0, 3] })]]);
});

test('numbers are rounded to float32 for float64 variables too', () => {
  const [a, b] = [1, 2].map(() => variable([1, -3], { dtype: 'float64' }));
  const numbers = { learningRate: 0.1, decay: 0.95, momentum: 0.7, epsilon: 1e-3 };
  made(numbers).minimize(bowl, { varList: [a] });
  made(Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, Math.fround(value)]))).minimize(bowl, { varList: [b] });
  assert.deepEqual(a.data, b.data);
  const decay = Math.fround(0.95);
  const rms = 1 + (1 - 1) * (1 - decay);
  assert.equal(a.data[0], 1 - Math.fround(0.1) / Math.sqrt(rms + Math.fround(1e-3)));
});

test('computeGradients calls the loss with the elements of varList and pairs what it gives', () => {
  const optimizer = made();
  const [a, b] = [variable([1]), variable([2, 3])];
  /** @type {unknown[][]} */
  const calls = [];
  /** @type {(...given: any[]) => { loss: number, gradients: any[] }} */
  const loss = (...given) => {
    calls.push(given);
    return { loss: 0, gradients: [null, [4, 5]] };
  };
  const ignored = { gateGradients: GATE_GRAPH, aggregationMethod: 2, colocateGradientsWithOps: true };
  const pairs = optimizer.computeGradients(loss, { varList: [a, b], gradLoss: 3, ...ignored });
  assert.deepEqual(pairs, [[null, a], [[4, 5], b]]);
  optimizer.computeGradients(loss, { varList: [a, b], gateGradients: GATE_NONE, aggregationMethod: null });
  assert.deepEqual(calls, [[a, b, 3], [a, b]]);
  assert.deepEqual(optimizer.getSlotNames(), []);

  // A number says that the gradients are in place; one variable need not be in an array.
  const [[gradient, v]] = optimizer.computeGradients((x) => {
    x.gradientBuffer().data[0] = 7;
    return 0;
  }, { varList: a, gateGradients: GATE_OP });
  assert.equal(v, a);
  assert.equal(gradient, a.gradient);
  optimizer.applyGradients([[gradient, v]]);
  assert.ok(a.data[0] < 1);
});

test('computeGradients refuses what TensorFlow refuses', () => {
  const optimizer = made();
  const varList = [variable([1], { name: 'v' })];
  /** @type {(options: any, loss?: any) => () => unknown} */
  const computing = (options, loss = bowl) => () => optimizer.computeGradients(loss, options);
  refuses(computing({ varList }, 3), Error, /^`loss` passed to computeGradients must be a function, got 3$/);
  refuses(computing({ varList }, null), Error, /^`loss` passed to computeGradients must be a function, got null$/);
  for (const options of [undefined, {}, { varList: [] }, { varList: undefined }]) {
    refuses(computing(options), RangeError, /^No variables to optimize/);
  }
  for (const gateGradients of [7, -1, '1', true, null]) {
    refuses(computing({ varList, gateGradients }), RangeError, /^gateGradients must be one of GATE_NONE \(0\), GATE_OP \(1\), GATE_GRAPH \(2\)/);
  }
  refuses(computing({ varList, aggregationMethod: 3 }), RangeError, /^aggregationMethod must be one of 0,1,2, got 3$/);
  refuses(computing({ varList, colocateGradientsWithOps: 1 }), TypeError, /^colocateGradientsWithOps must be of type boolean, got 1$/);
  refuses(computing({ varList, globalStep: 1 }), TypeError, /^computeGradients has no option "globalStep"/);
  refuses(computing({ varList: [{}] }), TypeError, /^varList\[0\] must be a variable, got Object$/);
  refuses(computing({ varList: [tensor([1])] }), Error, /^Trying to update a Tensor: varList\[0\] must be a variable/);
  refuses(computing({ varList, gradLoss: tensor([1], { dtype: 'int32' }) }), RangeError, /^Invalid type int32 for gradLoss/);
  for (const gradLoss of ['1', indexedSlices([1], [0], [1])]) {
    refuses(computing({ varList, gradLoss }), TypeError, /^gradLoss must be a Tensor, array of numbers or null, got/);
  }
  refuses(computing({ varList }, () => {}), TypeError, /^the result of lossAndGradients must be \{ loss, gradients \} or a number, got undefined$/);
  refuses(computing({ varList }, () => ({ loss: 1, gradients: [] })), RangeError, /^gradients must be as many as variables, 1, got Array of length 0$/);
});

test('minimize takes all options of the two, and says which variables have no gradient', () => {
  const optimizer = made();
  const [a, b] = [variable([1], { name: 'a' }), variable([1], { name: 'b' })];
  const globalStep = variable(0, { dtype: 'int32' });
  const options = { varList: [a, b], globalStep, name: 'train', gateGradients: GATE_NONE, colocateGradientsWithOps: false };
  assert.equal(optimizer.minimize(bowl, options), undefined);
  assert.equal(globalStep.data[0], 1);
  const flat = () => ({ loss: 0, gradients: [null, null] });
  refuses(() => optimizer.minimize(flat, options), RangeError,
    /^No gradients provided for any variable: variable "a", variable "b", between these variables and loss function flat\.$/);
  refuses(() => optimizer.minimize(bowl, /** @type {any} */ ({ variables: [a] })), TypeError, /^minimize has no option "variables"/);
  refuses(() => optimizer.minimize(bowl, /** @type {any} */ (undefined)), RangeError, /^No variables to optimize/);
  assert.equal(globalStep.data[0], 1);
});

test('the global step is one integer of any type, counted after everything else', () => {
  const optimizer = made();
  const v = variable([1]);
  for (const globalStep of [
    variable(41, { dtype: 'int32' }), variable([41]), variable([[41]], { dtype: 'float64' }), tensor(41, { dtype: 'int32' }),
  ]) {
    optimizer.applyGradients([[[1], v]], { globalStep });
    assert.equal(globalStep.data[0], 42);
  }
  optimizer.applyGradients([[[1], v]], { globalStep: null, name: null });

  const globalStep = variable(0, { dtype: 'int32' });
  /** @type {number[]} */
  const seen = [];
  const watched = variable([1], { constraint: () => void seen.push(globalStep.data[0]) });
  made({ learningRate: () => seen.push(globalStep.data[0]) }).applyGradients([[[1], watched]], { globalStep });
  assert.deepEqual([...seen, globalStep.data[0]], [0, 0, 1]);
});

test('callbacks are asked once an update, without arguments, and see the weights before it', () => {
  let rate = 0.5;
  /** @type {unknown[][]} */
  const calls = [];
  const v = variable([1]);
  /** @type {(...given: unknown[]) => number} */
  const learningRate = (...given) => {
    calls.push([...given, v.data[0]]);
    return rate;
  };
  const optimizer = made({ learningRate, decay: () => 1, epsilon: () => 0 });
  optimizer.applyGradients([[[1], v]]);
  rate = 0.25;
  optimizer.applyGradients([[[1], v]]);
  assert.deepEqual(calls, [[1], [0.5]]);
  assert.equal(v.data[0], 0.25);
});

test('constraints run after a dense update, all of them, and one that throws is heard afterwards', () => {
  const order = /** @type {string[]} */ ([]);
  /** @type {(name: string, fails?: boolean) => Variable} */
  const constrained = (name, fails = false) => variable([1], {
    name,
    constraint: (v) => {
      order.push(v.name);
      if (fails) throw new Error(`constraint of ${name}`);
      v.data[0] = 9;
    },
  });
  const [a, b, c] = [constrained('a'), constrained('b', true), constrained('c')];
  const globalStep = variable(0, { dtype: 'int32' });
  const optimizer = made();
  refuses(() => optimizer.applyGradients([[[1], a], [[1], b], [[1], c]], { globalStep }), Error, /^constraint of b$/);
  assert.deepEqual(order, ['a', 'b', 'c']);
  assert.deepEqual([a.data[0], c.data[0], globalStep.data[0]], [9, 9, 1]);
  assert.ok(b.data[0] < 1);
  optimizer.applyGradients([[null, b], [[1], a]]);
  assert.deepEqual(order, ['a', 'b', 'c', 'a']);
});

test('a call that fails changes nothing', () => {
  const memory = new Memory({ maximumBytes: 1 << 20 });
  const options = { memory };
  const a = variable([1, 2], { ...options, name: 'a' });
  const b = variable([[3, 4], [5, 6]], { ...options, name: 'b' });
  const late = variable([7], { ...options, name: 'late' });
  const clamped = variable([8], { ...options, name: 'clamped', constraint: () => assert.fail('a constraint ran') });
  const integers = variable([1], { ...options, dtype: 'int32', name: 'integers' });
  const gone = variable([1], { ...options, name: 'gone' });
  gone.dispose();
  const goneGradient = tensor([1, 2], options);
  goneGradient.dispose();
  const elsewhere = variable([1], { name: 'elsewhere' });
  const globalStep = variable(3, { dtype: 'int32', name: 'step' });
  const goneStep = variable(3, { dtype: 'int32', name: 'gone step' });
  goneStep.dispose();

  let epsilon = 1e-3;
  const optimizer = made({ centered: true, momentum: 0.9, epsilon: () => epsilon });
  optimizer.applyGradients([[[1, 1], a], [indexedSlices([[1, 2]], [1]), b]], { globalStep });

  const state = () => [a, b, late, clamped, elsewhere, globalStep, ...optimizer.variables()].map(({ data }) => data.slice());
  const before = state();
  const { bytesInUse, tensorCount } = memory;
  /** @type {(pairs: any, type: ErrorConstructor, message: RegExp, options?: any) => void} */
  const failing = (pairs, type, message, given = { globalStep }) => {
    refuses(() => optimizer.applyGradients(pairs, given), type, message);
    assert.deepEqual(state(), before, `${message}`);
    assert.equal(optimizer.getSlot(late, 'rms'), null);
  };
  const good = [[1, 1], a];
  const also = [[1], late];
  failing(null, TypeError, /^pairs must be an array, got null$/);
  failing([a], TypeError, /^pairs\[0\] must be an array, got Variable$/);
  failing([[a]], RangeError, /^pairs\[0\] must be \[gradient, variable\], got Array of length 1$/);
  failing([], RangeError, /^No variables provided\.$/);
  failing([[null, a], [null, late]], RangeError, /^No gradients provided for any variable: variable "a", variable "late"\.$/);
  failing([also, good, [[1], null]], TypeError, /^the variable of pairs\[2\] must be a variable, got null$/);
  failing([also, good, [null, {}]], TypeError, /^the variable of pairs\[2\] must be a variable, got Object$/);
  const constant = tensor([1], options);
  failing([also, [[1], constant]], Error, /^Trying to update a Tensor: the variable of pairs\[1\] must be a variable, got tensor/);
  failing([also, good, good], RangeError, /^variable "a" must be in the list once/);
  failing([also, good, [[1], gone]], Error, /^variable "gone" is disposed$/);
  failing([also, good, [[1], integers]], RangeError, /^variable "integers" must be float32 or float64, got "?int32"?$/);
  failing([also, good, [[1], elsewhere]], RangeError, /^variable "elsewhere" must be in the memory of variable "late"/);
  failing([[[1], elsewhere]], RangeError, /^variable "elsewhere" must be in the memory of the others/);
  failing([also, [undefined, a]], TypeError, /^gradient of variable "a" must be a Tensor, IndexedSlices, array of numbers or null, got undefined$/);
  failing([also, [new BigInt64Array(2), a]], TypeError, /^gradient of variable "a" must be a Tensor/);
  failing([also, [['1', 2], a]], TypeError, /^gradient of variable "a" must be 2 numbers/);
  failing([also, [[1, 2, 3], a]], RangeError, /^gradient of variable "a" must be 2 numbers.*got Array of length 3$/);
  failing([also, [[[1], [2]], a]], RangeError, /^gradient of variable "a" must be 2 numbers, flat or in shape \[2\]/);
  failing([also, [1, a]], RangeError, /^gradient of variable "a" must be 2 numbers.*got 1$/);
  failing([also, [tensor([1, 2]), a]], RangeError, /^gradient of variable "a" must be in the memory of the variable/);
  constant.dispose();
  const wide = tensor([1, 2], { ...options, dtype: 'float64' });
  failing([also, [wide, a]], TypeError, /^gradient of variable "a" must be float32, got "?float64"?$/);
  wide.dispose();
  failing([also, [goneGradient, a]], Error, /^tensor of shape \[2\] is disposed$/);
  failing([also, [indexedSlices([[1, 1]], [2]), b]], RangeError, /^gradient of variable "b": index 2 at offset 0 in indices is out of range \[0, 2\)$/);
  const moved = indexedSlices([[1, 1]], [1]);
  moved.indices[0] = -1;
  failing([also, [moved, b]], RangeError, /^gradient of variable "b": index -1 at offset 0 in indices is out of range \[0, 2\)$/);
  failing([also, [indexedSlices([1], [1]), b]], RangeError, /^gradient of variable "b" must be 1 rows of 2 numbers/);
  failing([also, [indexedSlices([[1, 1]], [1], [3, 2]), b]], RangeError, /^gradient of variable "b" must be slices of shape \[2,2\]/);
  failing([also, [indexedSlices([1], [0]), clamped]], Error, /^Cannot use a constraint function on a sparse variable: variable "clamped" has one\.$/);

  failing([also], TypeError, /^applyGradients has no option "globalstep"; did you mean "globalStep"\?$/, { globalstep: globalStep });
  failing([also], TypeError, /^name must be of type string, got 1$/, { name: 1 });
  failing([also], TypeError, /^globalStep must be a variable of one integer, got 3$/, { globalStep: 3 });
  failing([also], RangeError, /^globalStep\.size must be 1, got 2$/, { globalStep: a });
  failing([also], RangeError, /^globalStep must be a variable of one integer, got 0\.5$/, { globalStep: variable(0.5) });
  failing([also], Error, /^variable "gone step" is disposed$/, { globalStep: goneStep });
  failing([also], RangeError, /^globalStep must be below 2147483647, the last int32, got 2147483647$/,
    { globalStep: variable(2 ** 31 - 1, { dtype: 'int32' }) });

  for (const wrong of /** @type {any[]} */ ([NaN, Infinity])) {
    epsilon = wrong;
    failing([also, good], RangeError, new RegExp(`^epsilon\\(\\) must be a finite number, got ${wrong}$`));
  }
  epsilon = /** @type {any} */ ('0.1');
  failing([also, good], TypeError, /^epsilon\(\) must be a finite number, got "0\.1"$/);
  epsilon = 1e-3;
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], [bytesInUse, tensorCount]);

  // A step after all that is the step that would have been made without it.
  const twin = variable(a.data, { name: 'twin' });
  const fresh = made({ centered: true, momentum: 0.9, epsilon });
  fresh.applyGradients([[[0, 0], twin]]);
  for (const name of fresh.getSlotNames()) fresh.getSlot(twin, name)?.set(/** @type {any} */ (optimizer.getSlot(a, name)));
  twin.set(a);
  optimizer.applyGradients([[[3, -4], a]], { globalStep });
  fresh.applyGradients([[[3, -4], twin]]);
  assert.deepEqual(a.data, twin.data);
  assert.equal(globalStep.data[0], 5);
});

test('an exhausted memory leaves weights and slots as they were', () => {
  const memory = new Memory({ initialBytes: 1 << 16, maximumBytes: 1 << 16 });
  const optimizer = made();
  const small = variable([1], { memory });
  const large = variable(new Float32Array(6000), { memory });
  optimizer.applyGradients([[[1], small]]);
  const before = [small, ...optimizer.variables()].map(({ data }) => data.slice());
  const { bytesInUse, tensorCount } = memory;
  refuses(() => optimizer.applyGradients([[[1], small], [indexedSlices([1], [0]), large]]), RangeError, /^memory exhausted/);
  assert.deepEqual([small, ...optimizer.variables()].map(({ data }) => data.slice()), before);
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], [bytesInUse, tensorCount]);
  const rows = new Array(7000).fill(0);
  refuses(() => optimizer.applyGradients([[indexedSlices(rows, rows), small]]), RangeError, /^memory exhausted/);
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], [bytesInUse, tensorCount]);
  // Slots that were made before the memory ran out are not to be seen, until a call gets through.
  const late = variable([1], { memory });
  refuses(() => optimizer.applyGradients([[indexedSlices(rows, rows), late]]), RangeError, /^memory exhausted/);
  assert.equal(optimizer.getSlot(late, 'rms'), null);
  assert.equal(optimizer.variables().length, 2);
  optimizer.applyGradients([[[0], late], [[1], small]]);
  assert.equal(optimizer.getSlot(late, 'rms')?.data[0], Math.fround(1 - Math.fround(1 - Math.fround(0.9))));
});

test('the global step counts up to the last int32, and a callback that sets it there stops the update', () => {
  const [v, globalStep] = [variable([1]), variable(2 ** 31 - 2, { dtype: 'int32' })];
  made().applyGradients([[[0], v]], { globalStep });
  assert.equal(globalStep.data[0], 2 ** 31 - 1);
  globalStep.set(0);
  const optimizer = made({ learningRate: () => (globalStep.set(2 ** 31 - 1), 1) });
  refuses(() => optimizer.applyGradients([[[1], v]], { globalStep }), RangeError, /^globalStep must be below/);
  assert.deepEqual([v.data[0], globalStep.data[0], optimizer.getSlotNames()], [1, 2 ** 31 - 1, []]);
});

test('a callback that disposes what the update needs stops it', () => {
  const v = variable([1]);
  const globalStep = variable(0, { dtype: 'int32', name: 'step' });
  const optimizer = made({ learningRate: () => (globalStep.dispose(), 1) });
  refuses(() => optimizer.applyGradients([[[1], v]], { globalStep }), Error, /^variable "step" is disposed$/);
  const gradient = tensor([1]);
  const other = made({ learningRate: () => (gradient.dispose(), 1) });
  refuses(() => other.applyGradients([[gradient, v]]), Error, /^tensor of shape \[1\] is disposed$/);
  assert.equal(v.data[0], 1);
  assert.deepEqual([...optimizer.getSlotNames(), ...other.getSlotNames()], []);
});

test('nothing can be called from inside an update, nor after dispose, which gives all memory back', () => {
  const memory = new Memory();
  const v = variable([1], { memory });
  const { bytesInUse } = memory;
  /** @type {RMSPropOptimizer} */
  const optimizer = new RMSPropOptimizer({ learningRate: () => (optimizer.applyGradients([[[1], v]]), 1) });
  refuses(() => optimizer.applyGradients([[[1], v]]), Error, /^applyGradients of optimizer "RMSProp" cannot be used: a callback runs$/);
  v.constraint = () => other.dispose();
  const other = made();
  refuses(() => other.applyGradients([[tensor([1], { memory }), v]]), Error, /^dispose of optimizer "RMSProp" cannot be used: a constraint runs$/);
  v.constraint = undefined;
  const gradient = tensor([1], { memory });
  other.applyGradients([[gradient, v]]);
  other.dispose();
  other.dispose();
  assert.equal(memory.bytesInUse, bytesInUse + 2 * 64);
  refuses(() => other.applyGradients([[gradient, v]]), Error, /^applyGradients of optimizer "RMSProp" cannot be used: it is disposed$/);
  refuses(() => other.minimize(bowl, { varList: [v] }), Error, /^minimize of optimizer/);
  refuses(() => other.computeGradients(bowl, { varList: [v] }), Error, /^computeGradients of optimizer/);
});

test('a global step that steps have brought to its end can be saved and loaded', () => {
  const make = (/** @type {number} */ value) => variable(value, { dtype: 'int32' });
  const [globalStep, other, w] = [make(2 ** 31 - 2), make(0), variable([1], { name: 'w' })];
  const optimizer = new RMSPropOptimizer({ learningRate: 0.1 });
  optimizer.applyGradients([[[1], w]], { globalStep });
  assert.equal(globalStep.data[0], 2 ** 31 - 1);
  optimizer.load(optimizer.save({ globalStep }), { globalStep: other });
  assert.equal(other.data[0], 2 ** 31 - 1);
  optimizer.load(optimizer.save({ globalStep: other }), { globalStep: other });
  assert.throws(() => optimizer.applyGradients([[[1], w]], { globalStep }), /^RangeError: globalStep must be below 2147483647/);
});
