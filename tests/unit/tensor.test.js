import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, Tensor, Variable, ones, tensor, variable, zeros } from 'rmsprop-wasm';

test('numbers, nested arrays and typed arrays become tensors of their shape', () => {
  assert.deepEqual(tensor(3).shape, []);
  assert.deepEqual(tensor([[1, 2, 3], [4, 5, 6]]).shape, [2, 3]);
  assert.deepEqual(tensor(new Float32Array(4)).shape, [4]);
  assert.deepEqual(tensor(new Uint8Array([1, 2, 3, 4]), { shape: [2, 2] }).toArray(), [[1, 2], [3, 4]]);
  assert.deepEqual(tensor([1, 2, 3, 4], { shape: [4, 1] }).toArray(), [[1], [2], [3], [4]]);
  assert.equal(tensor(7).toArray(), 7);
  assert.deepEqual(tensor([]).shape, [0]);
  assert.deepEqual(zeros([2, 2]).toArray(), [[0, 0], [0, 0]]);
  assert.deepEqual(ones([3], { dtype: 'int32' }).data, Int32Array.of(1, 1, 1));
  assert.deepEqual(tensor([0.1], { dtype: 'float64' }).data, Float64Array.of(0.1));
  assert.deepEqual(tensor([0.1]).data, Float32Array.of(0.1));
});

test('a number fills a tensor of one element in any shape', () => {
  assert.deepEqual(tensor(3, { shape: [1] }).toArray(), [3]);
  assert.deepEqual(variable(3, { shape: [1, 1] }).toArray(), [[3]]);
  const v = variable([1]);
  v.gradient = 5;
  assert.deepEqual(/** @type {import('rmsprop-wasm').Tensor} */ (v.gradient).toArray(), [5]);
  assert.deepEqual(v.set(7).toArray(), [7]);
  const message = /must be 2 numbers, flat or in shape \[2\], got 5$/;
  assert.throws(() => tensor(5, { shape: [2] }), { name: 'RangeError', message });
  assert.throws(() => tensor(5, { shape: [0] }), RangeError);
  assert.throws(() => { variable([1, 2]).gradient = 5; }, { name: 'RangeError', message });
});

test('an option that is undefined is one that is not given', () => {
  const options = { dtype: undefined, shape: undefined, memory: undefined };
  const t64 = tensor([[1, 2]], { dtype: 'float64' });
  for (const made of [tensor(t64, options), variable(t64, { ...options, name: undefined, trainable: undefined, constraint: undefined })]) {
    assert.deepEqual([made.dtype, made.shape, made.memory], ['float64', [1, 2], Memory.default]);
  }
  assert.equal(variable([1], options).dtype, 'float32');
  assert.equal(zeros([1], { dtype: undefined, memory: undefined }).dtype, 'float32');
});

test('zeros and ones have a shape already, and refuse another', () => {
  for (const [name, make] of /** @type {const} */ ([['zeros', zeros], ['ones', ones]])) {
    assert.throws(() => make([2], /** @type {any} */ ({ shape: [5] })), {
      name: 'TypeError', message: new RegExp(`^${name} has no option "shape"`),
    });
  }
});

test('a tensor keeps its own copy', () => {
  const source = Float32Array.of(1, 2);
  const made = tensor(source);
  const copy = tensor(made);
  source[0] = 9;
  made.data[1] = 9;
  assert.deepEqual(made.toArray(), [1, 9]);
  assert.deepEqual(copy.toArray(), [1, 2]);
});

test('a view of the same memory can be copied from while the memory grows', () => {
  const memory = new Memory({ initialBytes: 65536 });
  const first = tensor(Float32Array.from({ length: 10000 }, (_, i) => i), { memory });
  const second = tensor(first.data, { memory });
  assert.deepEqual(second.data, first.data);
  const v = variable(first.data, { memory });
  v.gradient = first.data;
  assert.deepEqual(/** @type {import('rmsprop-wasm').Tensor} */ (v.gradient).data, first.data);
});

test('set copies in, in the tensor\'s shape or flat, and returns the tensor', () => {
  const t = zeros([2, 2]);
  assert.equal(t.set([[1, 2], [3, 4]]), t);
  assert.deepEqual(t.set(new Float64Array([5, 6, 7, 8])).toArray(), [[5, 6], [7, 8]]);
  assert.deepEqual(t.set(tensor([4, 3, 2, 1])).toArray(), [[4, 3], [2, 1]]);
  assert.throws(() => t.set([1, 2, 3]), {
    name: 'RangeError',
    message: 'tensor of shape [2,2] must be 4 numbers, flat or in shape [2,2], got Array of length 3',
  });
  assert.throws(() => t.set([[1], [2], [3], [4]]), { name: 'RangeError', message: /must be 4 numbers, flat or in shape \[2,2\], got Array of length 4/ });
  assert.throws(() => t.set(/** @type {any} */ ('1234')), TypeError);
  assert.deepEqual(t.toArray(), [[4, 3], [2, 1]]);
});

test('what is no array of numbers is refused, with its name', () => {
  /** @type {[any, any, typeof Error, RegExp][]} */
  const cases = [
    ['x', {}, TypeError, /values must be 1 numbers, flat or in shape \[\], got "x"/],
    [null, {}, TypeError, /got null/],
    [[1, '2'], {}, TypeError, /values must be 2 numbers, flat or in shape \[2\], got Array of length 2/],
    [[[1, 2], [3]], {}, RangeError, /values must be 4 numbers, flat or in shape \[2,2\], got Array of length 2/],
    [[[1], 2], {}, RangeError, /values must be 2 numbers, flat or in shape \[2,1\]/],
    [new BigInt64Array(1), {}, TypeError, /got BigInt64Array of length 1/],
    [[1, 2], { shape: [3] }, RangeError, /values must be 3 numbers, flat or in shape \[3\], got Array of length 2/],
    [[1, 2], { shape: [-2] }, RangeError, /shape must be an integer in \[0, \d+\], got -2/],
    [[1, 2], { shape: 2 }, TypeError, /shape must be an array, got 2/],
    [[1, 2], { dtype: 'float16' }, TypeError, /dtype must be one of float32,float64,int32, got "float16"/],
    [[1.5], { dtype: 'int32' }, RangeError, /values must be an integer in \[-2147483648, 2147483647\], got 1.5/],
    [[1, 2], { memory: {} }, TypeError, /memory must be a Memory/],
    [[1, 2], { shap: [2] }, TypeError, /tensor has no option "shap"; did you mean "shape"\?/],
  ];
  const before = [Memory.default.bytesInUse, Memory.default.tensorCount];
  for (const [values, options, type, message] of cases) {
    assert.throws(() => tensor(values, options), (error) => {
      assert.ok(error instanceof type, `${error}`);
      assert.match(error.message, message);
      return true;
    });
  }
  assert.deepEqual([Memory.default.bytesInUse, Memory.default.tensorCount], before);
});

test('dispose is idempotent, and a disposed tensor says who it is', () => {
  const count = Memory.default.tensorCount;
  const t = zeros([2, 3]);
  const v = variable([1], { name: 'kernel' });
  v.gradientBuffer();
  for (const each of [t, t, v, v]) each.dispose();
  assert.equal(Memory.default.tensorCount, count);
  assert.throws(() => t.data, { name: 'Error', message: 'tensor of shape [2,3] is disposed' });
  assert.throws(() => v.byteOffset, { message: 'variable "kernel" is disposed' });
  assert.throws(() => v.set([1]), /variable "kernel" is disposed/);
  assert.throws(() => v.gradientBuffer(), /variable "kernel" is disposed/);
  if (Symbol.dispose) {
    const third = zeros([1]);
    /** @type {any} */ (third)[Symbol.dispose]();
    assert.ok(third.isDisposed);
  }
});

test('variables are named as Keras names them', () => {
  const [a, b] = [variable(1), variable(2)];
  assert.match(a.name, /^variable(_\d+)?$/);
  const number = (/** @type {string} */ name) => Number(name.split('_')[1] ?? 0);
  assert.equal(number(b.name), number(a.name) + 1);
  assert.equal(variable(1, { name: 'w' }).name, 'w');
  assert.ok(a instanceof Variable && a instanceof Tensor);
  assert.equal(a.trainable, true);
  assert.throws(() => variable(1, { trainable: /** @type {any} */ (1) }), /trainable must be of type boolean, got 1/);
  assert.throws(() => variable(1, { constraint: /** @type {any} */ (1) }), /constraint must be of type function, got 1/);
  assert.throws(() => variable(1, { name: /** @type {any} */ (1) }), /name must be of type string, got 1/);
});

test('a gradient that is a tensor is referred to, an array is copied, null clears', () => {
  const v = variable([1, 2]);
  assert.equal(v.gradient, null);
  const own = v.gradientBuffer();
  assert.deepEqual(own.toArray(), [0, 0]);
  assert.equal(v.gradient, own);
  v.gradient = [3, 4];
  assert.equal(v.gradient, own);
  assert.deepEqual(own.toArray(), [3, 4]);
  const other = tensor([5, 6]);
  v.gradient = other;
  assert.equal(v.gradient, other);
  assert.deepEqual(own.toArray(), [3, 4]);
  v.gradient = null;
  assert.equal(v.gradient, null);
});

test('a gradient that does not fit is refused and the old one stays', () => {
  const v = variable([1, 2], { name: 'w' });
  v.gradient = [3, 4];
  const old = v.gradient;
  const disposed = zeros([2]);
  disposed.dispose();
  /** @type {[any, typeof Error, RegExp][]} */
  const cases = [
    [[1], RangeError, /gradient of variable "w" must be 2 numbers, flat or in shape \[2\], got Array of length 1/],
    [zeros([3]), RangeError, /gradient of variable "w" must be of 2 elements, got 3/],
    [zeros([2], { memory: new Memory() }), RangeError, /must be in the memory of the variable/],
    [zeros([2], { dtype: 'float64' }), TypeError, /must be float32, got "float64"/],
    [disposed, Error, /tensor of shape \[2\] is disposed/],
    ['12', TypeError, /gradient of variable "w" must be 2 numbers, flat or in shape \[2\], got "12"/],
    [undefined, TypeError, /got undefined/],
  ];
  for (const [gradient, type, message] of cases) {
    assert.throws(() => { v.gradient = gradient; }, (error) => {
      assert.ok(error instanceof type, `${error}`);
      assert.match(error.message, message);
      return true;
    });
    assert.equal(v.gradient, old);
    assert.deepEqual(/** @type {import('rmsprop-wasm').Tensor} */ (old).toArray(), [3, 4]);
  }
});
