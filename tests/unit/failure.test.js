/**
 * Bad input: the right kind of error, naming argument, expectation and value, and nothing changed: not a weight, a
 * slot, a counter or a byte of memory.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, RMSprop, configure, variable, zeros } from 'rmsprop-wasm';

/**
 * @param {() => unknown} call
 * @param {typeof Error} type exactly
 * @param {RegExp} message
 */
function refuses(call, type, message) {
  assert.throws(call, (error) => {
    assert.equal(/** @type {Error} */ (error).constructor, type, `${error}`);
    assert.match(/** @type {Error} */ (error).message, message);
    return true;
  });
}

const NUMBERS = ['rho', 'momentum', 'epsilon', 'weightDecay', 'clipnorm', 'clipvalue', 'globalClipnorm', 'emaMomentum',
  'emaOverwriteFrequency', 'lossScaleFactor', 'gradientAccumulationSteps', 'learningRate'];

test('a hyperparameter that is no finite number is refused by name', () => {
  for (const name of NUMBERS) {
    for (const value of [NaN, Infinity, -Infinity]) {
      refuses(() => new RMSprop({ [name]: value }), RangeError, new RegExp(`^${name} must be a finite number.*, got -?(NaN|Infinity)$`));
    }
    for (const value of ['0.1', [0.1], true, {}]) {
      refuses(() => new RMSprop({ [name]: value }), TypeError, new RegExp(`^${name} must be a`));
    }
  }
  for (const name of ['centered', 'useEma']) {
    refuses(() => new RMSprop({ [name]: 1 }), TypeError, new RegExp(`^${name} must be of type boolean, got 1$`));
  }
  refuses(() => new RMSprop({ name: /** @type {any} */ (3) }), TypeError, /^name must be of type string, got 3$/);
});

test('what Keras refuses is refused, and what Keras lets pass passes', () => {
  refuses(() => new RMSprop({ useEma: true, emaMomentum: 1.5 }), RangeError, /^emaMomentum must be in \[0, 1\], got 1\.5$/);
  refuses(() => new RMSprop({ useEma: true, emaMomentum: -0.1 }), RangeError, /^emaMomentum must be in \[0, 1\], got -0\.1$/);
  refuses(() => new RMSprop({ useEma: true, emaOverwriteFrequency: 2.5 }), RangeError, /^emaOverwriteFrequency must be an integer in \[1, \d+\], got 2\.5$/);
  refuses(() => new RMSprop({ useEma: true, emaOverwriteFrequency: -1 }), RangeError, /^emaOverwriteFrequency must be an integer in \[1, \d+\], got -1$/);
  refuses(() => new RMSprop({ clipnorm: 1, clipvalue: 2 }), RangeError,
    /^only one of clipnorm, clipvalue, globalClipnorm can be set, got clipnorm and clipvalue$/);
  refuses(() => new RMSprop({ gradientAccumulationSteps: 1 }), RangeError, /^gradientAccumulationSteps must be an integer >= 2, got 1$/);
  refuses(() => new RMSprop({ gradientAccumulationSteps: -2 }), RangeError, /^gradientAccumulationSteps must be an integer >= 2/);
  for (const passes of [
    { emaMomentum: 1.5 }, { emaOverwriteFrequency: 2.5 }, { useEma: true, emaOverwriteFrequency: 0 }, { clipnorm: -1 },
    { gradientAccumulationSteps: 0 }, { learningRate: -1 }, { rho: 1.5 }, { momentum: -1 },
    { epsilon: 0 }, { weightDecay: null, clipnorm: null, name: null, lossScaleFactor: null },
  ]) new RMSprop(/** @type {any} */ (passes)).dispose();
});

test('an unknown option is refused with the nearest known one', () => {
  refuses(() => new RMSprop(/** @type {any} */ ({ learningrate: 1 })), TypeError, /^RMSprop has no option "learningrate"; did you mean "learningRate"\?$/);
  refuses(() => new RMSprop(/** @type {any} */ ({ clipNorm: 1 })), TypeError, /did you mean "clipnorm"\?$/);
  refuses(() => new RMSprop(/** @type {any} */ ({ decay: 0.9 })), TypeError, /^RMSprop has no option "decay"/);
  refuses(() => new RMSprop(/** @type {any} */ (0.1)), TypeError, /^RMSprop options must be of type object, got 0\.1$/);
});

test('a refused constructor takes no memory', () => {
  const before = [Memory.default.bytesInUse, Memory.default.tensorCount];
  assert.throws(() => new RMSprop({ rho: NaN }));
  assert.throws(() => new RMSprop({ learningRate: NaN }));
  assert.deepEqual([Memory.default.bytesInUse, Memory.default.tensorCount], before);
});

/** A trained optimizer with every slot, and the bits of everything it has. */
function trained() {
  const memory = new Memory();
  const variables = [variable([1, 2, 3], { name: 'a', memory }), variable([[4, 5]], { name: 'b', memory })];
  let rate = /** @type {unknown} */ (0.1);
  const optimizer = new RMSprop({
    learningRate: () => /** @type {number} */ (rate), momentum: 0.9, centered: true, useEma: true, globalClipnorm: 1, weightDecay: 0.1,
  });
  for (let i = 0; i < 3; i++) optimizer.apply([[1, -1, 2], [[3, 4]]], variables);
  for (const v of variables) v.gradientBuffer().data.fill(0.25);
  const fingerprint = () => JSON.stringify([
    [...variables, ...optimizer.variables].map((t) => Buffer.from(t.data.slice().buffer).toString('hex')),
    optimizer.iterations, memory.bytesInUse, memory.tensorCount, Memory.default.bytesInUse, Memory.default.tensorCount,
  ]);
  return { memory, variables, optimizer, fingerprint, setRate: (/** @type {unknown} */ value) => { rate = value; } };
}

test('a refused call changes nothing', () => {
  const { memory, variables, optimizer, fingerprint, setRate } = trained();
  const [a, b] = variables;
  const gone = variable([1], { memory, name: 'gone' });
  gone.dispose();
  const goneGradient = zeros([3], { memory });
  goneGradient.dispose();
  const elsewhere = variable([1, 2, 3], { name: 'elsewhere' });
  const stranger = variable([1, 2, 3], { name: 'stranger', memory });
  const whole = variable([1, 2, 3], { name: 'whole', dtype: 'int32', memory });
  const foreign = zeros([3]);
  const long = zeros([4], { memory });
  const call = /** @type {any} */ (optimizer);
  const good = [[1, 1, 1], [[1, 1]]];
  /** @type {[string, () => unknown, typeof Error, RegExp][]} */
  const cases = [
    ['gradients of another kind', () => call.apply('x', variables), TypeError, /^gradients must be an array, got "x"$/],
    ['fewer gradients', () => call.apply([[1, 1, 1]], variables), RangeError, /^gradients must be as many as variables, 2, got Array of length 1$/],
    ['more gradients', () => call.apply([...good, [1]]), RangeError, /^gradients must be as many as variables, 2, got Array of length 3$/],
    ['a short gradient', () => call.apply([[1, 1], [[1, 1]]], variables), RangeError, /^gradient of variable "a" must be 3 numbers, flat or in shape \[3\], got Array of length 2$/],
    ['the second too long', () => call.apply([[1, 1, 1], [[1, 1, 1]]], variables), RangeError, /^gradient of variable "b" must be 2 numbers, flat or in shape \[1,2\], got Array of length 1$/],
    ['a gradient in another shape', () => call.apply([[1, 1, 1], [[1], [1]]], variables), RangeError, /^gradient of variable "b" must be 2 numbers, flat or in shape \[1,2\], got Array of length 2$/],
    ['a long tensor', () => call.apply([long, [[1, 1]]], variables), RangeError, /^gradient of variable "a" must be of 3 elements, got 4$/],
    ['a tensor of another memory', () => call.apply([foreign, [[1, 1]]], variables), RangeError, /^gradient of variable "a" must be in the memory of the variable, got Tensor/],
    ['a disposed tensor', () => call.apply([goneGradient, [[1, 1]]], variables), Error, /^tensor of shape \[3\] is disposed$/],
    ['undefined', () => call.apply([undefined, [[1, 1]]], variables), TypeError, /^gradient of variable "a" must be 3 numbers, .* got undefined$/],
    ['no gradient at all', () => call.apply([null, null], variables), RangeError, /^No gradients provided for any variable\.$/],
    ['no array of variables', () => call.apply(good, 'ab'), TypeError, /^variables must be an array, got "ab"$/],
    ['a tensor for a variable', () => call.apply(good, [long, b]), TypeError, /^variables\[0\] must be a variable/],
    ['a variable twice', () => call.apply([good[0], good[0]], [a, a]), RangeError, /^variable "a" must be in the list once, got Array of length 2$/],
    ['an unknown variable', () => call.apply([good[0]], [stranger]), RangeError, /^variables must be those the optimizer is built for, got "variable \\"stranger\\""$/],
    ['a variable of another memory', () => call.apply([good[0], good[0]], [a, elsewhere]), RangeError, /^variable "elsewhere" must be in the memory of variable "a", got Memory$/],
    ['a disposed variable', () => call.apply([[1]], [gone]), Error, /^variable "gone" is disposed$/],
    ['a variable of int32', () => call.apply([good[0]], [whole]), TypeError, /^variable "whole" must be float32 or float64, got "int32"$/],
    ['pairs that are none', () => call.applyGradients([[[1, 1, 1]]]), RangeError, /^pairs\[0\] must be \[gradient, variable\], got Array of length 1$/],
    ['no pairs', () => call.applyGradients(7), TypeError, /^pairs must be an array, got 7$/],
    ['a loss that is no function', () => call.minimize(1, variables), TypeError, /^lossAndGradients must be of type function, got 1$/],
    ['a loss function without gradients', () => call.minimize(() => ({ loss: 1 }), variables), TypeError, /^the result of lossAndGradients must be \{ loss, gradients \} or a number, got Object$/],
    ['a loss function that throws', () => call.minimize(() => { throw new SyntaxError('mine'); }, variables), SyntaxError, /^mine$/],
    ['a short list of exported weights', () => call.importParameters(new Float32Array(4)), RangeError, /^flat must be of length 5, got Float32Array of length 4$/],
    ['weights of another length', () => call.setWeights([[0], [1, 2]]), RangeError, /^weights\[1\] must be 3 numbers/],
    ['a fractional iteration', () => call.setWeights([[0.5]]), RangeError, /^weights\[0\] must be an integer in/],
    ['a rate of another kind', () => { call.learningRate = '0.1'; }, TypeError, /^learningRate must be a finite number, schedule or callback, got "0.1"$/],
    ['an unknown option of save', () => call.save({ variable: true }), TypeError, /^save has no option "variable"; did you mean "variables"\?$/],
    ['bytes of another kind', () => call.load('x'), TypeError, /^bytes must be a Uint8Array or an ArrayBuffer, got "x"$/],
    ['bytes that are no checkpoint', () => call.load(new Uint8Array(20)), RangeError, /./],
    ['no function for withAverages', () => call.withAverages(1), TypeError, /^fn must be of type function, got 1$/],
  ];
  for (const [rate, type, message] of /** @type {[unknown, typeof Error, RegExp][]} */ ([
    [NaN, RangeError, /^learningRate at step 3 must be a finite number, got NaN$/],
    [-Infinity, RangeError, /^learningRate at step 3 must be a finite number, got -Infinity$/],
    ['0.1', TypeError, /^learningRate at step 3 must be a finite number, got "0.1"$/],
    [undefined, TypeError, /^learningRate at step 3 must be a finite number, got undefined$/],
  ])) {
    cases.push([`a callback that returns ${rate}`, () => {
      setRate(rate);
      try {
        optimizer.step();
      } finally {
        setRate(0.1);
      }
    }, type, message]);
  }
  const before = fingerprint();
  for (const [what, run, type, message] of cases) {
    refuses(run, type, message);
    assert.equal(fingerprint(), before, `${what} left a trace`);
  }
  optimizer.step();
  assert.notEqual(fingerprint(), before);
});

test('a refused first call does not build', () => {
  const memory = new Memory();
  const v = variable([1], { memory });
  const optimizer = new RMSprop();
  const before = memory.bytesInUse;
  refuses(() => optimizer.apply([[1, 2]], [v]), RangeError, /must be 1 numbers/);
  refuses(() => optimizer.apply([null], [v]), RangeError, /^No gradients/);
  assert.equal(optimizer.getSlot(v, 'velocity'), null);
  assert.equal(memory.bytesInUse, before);
});

test('what needs a built optimizer says so', () => {
  const optimizer = new RMSprop({ name: 'mine', useEma: true });
  for (const call of [
    () => optimizer.step(), () => optimizer.apply([[1]]), () => optimizer.exportParameters(), () => optimizer.save(),
    () => optimizer.load(new Uint8Array()), () => optimizer.setWeights([]), () => optimizer.withAverages(() => 0),
    () => optimizer.finalizeVariableValues(), () => optimizer.importParameters(new Float32Array(1)),
  ]) refuses(call, RangeError, /^optimizer "mine" must be built first: call build\(variables\)$/);
  refuses(() => optimizer.build([]), RangeError, /^variables must be at least one, got Array of length 0$/);
});

test('a variable or slot that somebody disposed is noticed before a byte is written', () => {
  const { variables: [a, b], optimizer } = trained();
  const value = a.data.slice();
  optimizer.getSlot(b, 'velocity')?.dispose();
  refuses(() => optimizer.step(), Error, /^tensor of shape \[1,2\] is disposed$/);
  assert.deepEqual(a.data, value);
  const second = trained();
  second.variables[1].dispose();
  refuses(() => second.optimizer.step(), Error, /^variable "b" is disposed$/);
});

test('a callback that throws leaves everything as it was, and the next step works', () => {
  const v = variable([1]);
  let broken = true;
  const optimizer = new RMSprop({ epsilon: () => { if (broken) throw new Error('mine'); return 1e-7; } });
  refuses(() => optimizer.apply([[1]], [v]), Error, /^mine$/);
  assert.equal(optimizer.iterations, 0);
  assert.deepEqual(v.toArray(), [1]);
  broken = false;
  optimizer.apply([[1]], [v]);
  assert.equal(optimizer.iterations, 1);
});

test('configure is refused once the kernels are in use, and checks what it is given before', () => {
  variable([1]);
  new RMSprop().apply([[1]], [variable([1])]);
  refuses(() => configure({ simd: false }), Error, /^configure must be called before the first use of the kernels$/);
  refuses(() => configure(/** @type {any} */ ({ simd: 1 })), TypeError, /^simd must be 'auto', true or false, got 1$/);
  refuses(() => configure(/** @type {any} */ ({ module: {} })), TypeError, /^module must be a WebAssembly\.Module/);
  refuses(() => configure(/** @type {any} */ ({ sharedModule: {} })), TypeError, /^sharedModule must be a WebAssembly\.Module/);
  refuses(() => configure(/** @type {any} */ ({ smid: true })), TypeError, /did you mean "simd"\?$/);
});
