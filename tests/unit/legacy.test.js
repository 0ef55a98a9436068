/**
 * The legacy RMSprop's interface: what users of tf.keras's OptimizerV2 rely on beside the recorded vectors.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, indexedSlices, schedules, tensor, variable } from 'rmsprop-wasm';
import { RMSprop } from 'rmsprop-wasm/legacy';
import { LegacyOracle } from '../legacy-oracle.js';

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

/** @param {number} seed */
function randomOf(seed) {
  let state = seed;
  return () => (state = (state * 16807) % 2147483647) / 2147483647;
}

/**
 * @param {ArrayLike<number>} actual
 * @param {readonly number[]} expected
 * @param {string} what
 */
function assertBits(actual, expected, what) {
  expected.forEach((x, i) => {
    assert.ok(Object.is(actual[i], x) || (actual[i] === 0 && x === 0), `${what}[${i}] must be ${x}, got ${actual[i]}`);
  });
}

// ---- The numbers ----

const CLIPS = [
  {}, { clipvalue: 0.3 }, { clipnorm: 0.5 }, { globalClipnorm: 0.7 }, { clipvalue: 0.4, clipnorm: 0.5 },
  { clipvalue: 0.4, globalClipnorm: 0.6 }, { clipnorm: 41 }, { globalClipnorm: 41 }, { clipnorm: 0 },
];

test('sparse and dense gradients in one list have the bits of the oracle, with every clip and both rules', (t) => {
  let updates = 0;
  for (const dtype of /** @type {const} */ (['float32', 'float64'])) {
    for (const momentum of [0, 0.9]) {
      for (const centered of [false, true]) {
        for (const clips of CLIPS) {
          const random = randomOf(7 + updates);
          const draw = (/** @type {number} */ n) => Array.from({ length: n }, () => Math.fround(random() * 4 - 2));
          const settings = { learningRate: 0.05, rho: 0.9, momentum, epsilon: 1e-2, centered, decay: 0.1, ...clips };
          const shapes = [[4, 3], [5], [3, 11], []];
          const start = shapes.map((shape) => draw(shape.reduce((a, b) => a * b, 1)));
          const variables = start.map((values, i) => variable(values, { shape: shapes[i], dtype, name: `${i}` }));
          const oracle = new LegacyOracle(settings, start, [3, 1, 11, 1], dtype);
          const optimizer = new RMSprop(settings);
          for (let k = 0; k < 4; k++) {
            const slices = [[1, 3, 1, 1], [2, 0, 2]].map((indices, j) => ({ indices, values: draw(indices.length * [3, 11][j]) }));
            // In another order than that of the first update, which the sum of a global norm follows.
            const sequence = k % 2 ? [2, 0, 3, 1] : [0, 1, 2, 3];
            const gradients = [slices[0], draw(5), slices[1], draw(1)];
            oracle.apply(gradients, sequence);
            optimizer.applyGradients(sequence.map((i) => {
              const g = gradients[i];
              return [Array.isArray(g) ? g : indexedSlices(g.values, g.indices), variables[i]];
            }));
            for (const [i, v] of variables.entries()) {
              const what = `${dtype} ${JSON.stringify(settings)}, update ${k}, variable ${i}`;
              assertBits(v.data, oracle.variables[i], what);
              assertBits(optimizer.getSlot(v, 'rms').data, oracle.rms[i], `${what}, rms`);
              if (momentum) assertBits(optimizer.getSlot(v, 'momentum').data, oracle.momentum[i], `${what}, momentum`);
              if (centered) assertBits(optimizer.getSlot(v, 'mg').data, oracle.mg[i], `${what}, mg`);
            }
            updates++;
          }
          optimizer.dispose();
        }
      }
    }
  }
  t.diagnostic(`${updates} updates of 4 variables`);
});

test('norms of slices and of many tensors are summed in TensorFlow\'s order', () => {
  for (const dtype of /** @type {const} */ (['float32', 'float64'])) {
    const random = randomOf(5);
    const draw = (/** @type {number} */ n) => Array.from({ length: n }, () => Math.fround(random() - 0.5));
    const settings = { learningRate: 0.05, rho: 0.9, momentum: 0.5, epsilon: 1e-3, globalClipnorm: 1.5 };
    // 45 tensors pass four packets of either type; 300 rows of 41 numbers are above a leaf.
    const sizes = [300 * 41, ...Array.from({ length: 44 }, (_, i) => 1 + (i * 7) % 40)];
    const start = sizes.map(draw);
    const shapes = sizes.map((size, i) => (i === 0 ? [300, 41] : [size]));
    const variables = start.map((values, i) => variable(values, { dtype, shape: shapes[i] }));
    const oracle = new LegacyOracle(settings, start, sizes.map((_, i) => (i === 0 ? 41 : 1)), dtype);
    const optimizer = new RMSprop(settings);
    for (let k = 0; k < 2; k++) {
      const indices = Array.from({ length: 300 }, () => Math.floor(random() * 300));
      const gradients = sizes.map((size, i) => (i === 0 ? { indices, values: draw(size) } : draw(size)));
      oracle.apply(gradients);
      optimizer.applyGradients(gradients.map((g, i) => [Array.isArray(g) ? g : indexedSlices(g.values, g.indices), variables[i]]));
      variables.forEach((v, i) => assertBits(v.data, oracle.variables[i], `${dtype}, update ${k}, variable ${i}`));
    }
  }
});

test('a limit of the global norm is rounded before it divides', () => {
  const f = Math.fround;
  // A limit whose own reciprocal would scale by another number.
  const limit = Array.from({ length: 99 }, (_, i) => 2.01 + i / 100).find((c) => f(f(c) * f(1 / c)) !== f(f(c) * f(1 / f(c))));
  assert.ok(limit);
  const settings = { learningRate: 1, rho: 0.5, momentum: 0.5, epsilon: 1, globalClipnorm: limit };
  const v = variable([0.5, -0.25, 0.125]);
  const optimizer = new RMSprop(settings);
  const oracle = new LegacyOracle(settings, [[0.5, -0.25, 0.125]], [1], 'float32');
  for (let k = 1; k < 20; k++) {
    const g = [1 / k, 1 / (k + 1), 1 / (k + 2)];
    oracle.apply([g]);
    optimizer.applyGradients([[g, v]]);
    assertBits(v.data, oracle.variables[0], `update ${k}`);
    assertBits(optimizer.getSlot(v, 'rms').data, oracle.rms[0], `update ${k}, rms`);
  }
});

test('a global norm that is not finite makes every gradient NaN, slices and dense', () => {
  for (const bad of [Infinity, NaN, 1e30]) {
    const [v, w] = [variable([1, 2]), variable([[1], [2], [3]])];
    new RMSprop({ globalClipnorm: 1 }).applyGradients([[[1, 1], v], [indexedSlices([1, bad], [2, 0]), w]]);
    assert.deepEqual([v.toArray(), w.toArray()], [[NaN, NaN], [[NaN], [2], [NaN]]]);
  }
});

test('each type of variable has the rate of its own arithmetic, and models may mix them', () => {
  const settings = { learningRate: 0.05, rho: 0.9, momentum: 0, epsilon: 1e-7, decay: 0.3, clipvalue: 0.3, clipnorm: 0.7 };
  const variables = [variable([1, 2]), variable([1, 2], { dtype: 'float64' }), variable([3])];
  const optimizer = new RMSprop(settings);
  const narrow = new LegacyOracle(settings, [[1, 2], [3]], [1, 1], 'float32');
  const wide = new LegacyOracle(settings, [[1, 2]], [1], 'float64');
  for (let k = 0; k < 5; k++) {
    const g = [[0.1 * k, 1], [0.1 * k, 1], [-2]];
    optimizer.applyGradients(g.map((gradient, i) => [gradient, variables[i]]));
    narrow.apply([g[0], g[2]]);
    wide.apply([g[1]]);
  }
  assertBits(variables[0].data, narrow.variables[0], 'float32');
  assertBits(variables[2].data, narrow.variables[1], 'float32');
  assertBits(variables[1].data, wide.variables[0], 'float64');
  assert.deepEqual(optimizer.weights.map(({ dtype }) => dtype), ['int32', 'float32', 'float64', 'float32']);
  const [a, b] = [variable([1]), variable([1], { dtype: 'float64', name: 'b' })];
  refuses(() => new RMSprop({ globalClipnorm: 1 }).applyGradients([[[1], a], [[1], b]]), TypeError,
    /^variable "b" must be float32 as the others under globalClipnorm, got "float64"$/);
});

test('with momentum 0 a sparse gradient lets all rows of rms decay, with momentum only those that it names', () => {
  const decayed = (/** @type {number} */ momentum) => {
    const v = variable([[1], [1]]);
    const optimizer = new RMSprop({ momentum, rho: 0.5 });
    optimizer.applyGradients([[[[2], [2]], v]]);
    const before = v.data[1];
    optimizer.applyGradients([[indexedSlices([2], [0]), v]]);
    assert.equal(v.data[1], before);
    return [...optimizer.getSlot(v, 'rms').data];
  };
  assert.deepEqual(decayed(0), [3, 1]);
  assert.deepEqual(decayed(0.5), [3, 2]);
});

test('momentum moves epsilon under the root', () => {
  const moved = (/** @type {number | (() => number)} */ momentum) => {
    const v = variable([0]);
    new RMSprop({ learningRate: 1, rho: 0.75, epsilon: 0.25, momentum }).applyGradients([[[1], v]]);
    return v.data[0];
  };
  assert.equal(moved(0), Math.fround(-1 / 0.75));
  assert.equal(moved(() => 0), Math.fround(-1 / Math.fround(Math.sqrt(0.5))));
  assert.equal(moved(1e-9), moved(() => 0));
});

test('a variance that rounds below zero counts as zero, where Keras has NaN', () => {
  // With these the running variance of a constant gradient falls below zero before it settles.
  const v = variable([1]);
  const optimizer = new RMSprop({ centered: true, rho: 0.9, learningRate: 1e-9 });
  let negative = 0;
  for (let k = 0; k < 500; k++) {
    optimizer.applyGradients([[[0.1], v]]);
    const [rms, mg] = [optimizer.getSlot(v, 'rms').data[0], optimizer.getSlot(v, 'mg').data[0]];
    if (Math.fround(rms - Math.fround(mg * mg)) < 0) negative++;
    assert.ok(Number.isFinite(v.data[0]));
  }
  assert.ok(negative > 0);
});

// ---- Hyperparameters ----

test('callbacks are asked once an update, in Keras\'s order, with the number of updates before', () => {
  /** @type {string[]} */
  const asked = [];
  const spy = (/** @type {string} */ name, /** @type {number} */ value) => (/** @type {number} */ step) => {
    asked.push(`${name} ${step}`);
    return value;
  };
  const optimizer = new RMSprop({ learningRate: spy('rate', 0.1), rho: spy('rho', 0.9), momentum: spy('momentum', 0.5) });
  const variables = [variable([1]), variable([1], { dtype: 'float64' })];
  for (let k = 0; k < 2; k++) optimizer.applyGradients([[[1], variables[0]], [[1], variables[1]]]);
  assert.deepEqual(asked, ['rate 0', 'rho 0', 'momentum 0', 'rate 1', 'rho 1', 'momentum 1']);
});

test('schedules get the iterations, and decay comes on top', () => {
  const learningRate = new schedules.PiecewiseConstantDecay({ boundaries: [0, 1], values: [4, 2, 1] });
  const optimizer = new RMSprop({ learningRate, decay: 1, rho: 0, epsilon: 1e-30 });
  assert.equal(optimizer.learningRate, learningRate);
  const v = variable([0]);
  const path = [4, 2 / 2, 1 / 3].map((rate) => {
    const before = v.data[0];
    optimizer.applyGradients([[[1], v]]);
    return [Math.fround(before - Math.fround(rate)), v.data[0]];
  });
  for (const [expected, actual] of path) assert.equal(actual, expected);
});

test('attributes are read as float32 and can be assigned; the choice of the rule and decay stay', () => {
  const optimizer = new RMSprop({ learningRate: 0.1, rho: 0.8, momentum: 0.7, epsilon: 1e-3, clipnorm: 1, clipvalue: 2, decay: 0.3 });
  const values = () => [optimizer.learningRate, optimizer.lr, optimizer.rho, optimizer.momentum, optimizer.epsilon, optimizer.clipnorm,
    optimizer.clipvalue, optimizer.globalClipnorm, optimizer.decay, optimizer.centered, optimizer.name];
  const f = Math.fround;
  assert.deepEqual(values(), [f(0.1), f(0.1), f(0.8), f(0.7), 1e-3, 1, 2, null, f(0.3), false, 'RMSprop']);
  Object.assign(optimizer, { lr: 0.2, rho: () => 0.6, momentum: 0.5, epsilon: 0 });
  Object.assign(optimizer, { clipnorm: null, clipvalue: 5, globalClipnorm: 4, decay: 0.25 });
  assert.deepEqual(values(), [f(0.2), f(0.2), f(0.6), 0.5, 0, null, 5, 4, 0.25, false, 'RMSprop']);
  assert.equal(optimizer.getConfig().decay, 0.3);
  refuses(() => { optimizer.clipnorm = 1; }, RangeError, /^Cannot accept both clipnorm and globalClipnorm/);
  for (const name of ['lr', 'learningRate', 'rho', 'momentum', 'epsilon', 'clipnorm', 'clipvalue', 'globalClipnorm', 'decay']) {
    refuses(() => Object.assign(optimizer, { [name]: NaN }), RangeError, /must be a finite number/);
    refuses(() => Object.assign(optimizer, { [name]: '1' }), TypeError, /must be a finite number/);
  }
  assert.deepEqual(values(), [f(0.2), f(0.2), f(0.6), 0.5, 0, null, 5, 4, 0.25, false, 'RMSprop']);
  // Unlike Keras, whose variables take no function, a rate can become a callback or schedule at any time.
  const v = variable([1]);
  optimizer.applyGradients([[[1], v]]);
  optimizer.learningRate = () => 0.5;
  assert.equal(optimizer.learningRate, 0.5);
});

test('hyperparameters that are no finite numbers are refused by name', (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  for (const name of ['learningRate', 'rho', 'momentum', 'epsilon', 'clipnorm', 'clipvalue', 'globalClipnorm', 'lr', 'decay']) {
    for (const value of [NaN, Infinity, -Infinity]) {
      refuses(() => new RMSprop({ [name]: value }), RangeError, new RegExp(`^${name} must be a finite number.*, got -?(NaN|Infinity)$`));
    }
    for (const value of ['0.1', true, [1], {}]) refuses(() => new RMSprop({ [name]: value }), TypeError, new RegExp(`^${name} must be a`));
  }
  const schedule = new schedules.ExponentialDecay({ initialLearningRate: 1, decaySteps: 1, decayRate: 0.5 });
  for (const name of ['rho', 'momentum', 'lr']) {
    refuses(() => new RMSprop({ [name]: schedule }), TypeError, new RegExp(`^${name} must be a`));
  }
  refuses(() => new RMSprop({ lr: /** @type {any} */ (() => 1) }), TypeError, /^lr must be a finite number/);
  refuses(() => new RMSprop({ centered: /** @type {any} */ (1) }), TypeError, /^centered must be of type boolean, got 1$/);
  refuses(() => new RMSprop({ name: /** @type {any} */ (null) }), TypeError, /^name must be of type string, got null$/);
  refuses(() => new RMSprop(/** @type {any} */ ({ weightDecay: 1 })), TypeError, /^RMSprop has no option "weightDecay"; did you mean/);
  refuses(() => new RMSprop(/** @type {any} */ ({ learning_rate: 1 })), TypeError, /did you mean "learningRate"\?$/);
  refuses(() => new RMSprop(/** @type {any} */ (0.1)), TypeError, /^RMSprop options must be of type object, got 0\.1$/);
  assert.equal(warn.mock.callCount(), 0);
  new RMSprop({ clipnorm: null, clipvalue: null, globalClipnorm: null, lr: null, decay: null, rho: undefined });
  new RMSprop({ lr: 0 });
  assert.equal(warn.mock.callCount(), 1);
});

test('a callback that answers no finite number is refused', () => {
  const v = variable([1]);
  for (const name of ['learningRate', 'rho', 'momentum']) {
    refuses(() => new RMSprop({ [name]: () => NaN }).applyGradients([[[1], v]]), RangeError,
      new RegExp(`^${name} at step 0 must be a finite number, got NaN$`));
    refuses(() => new RMSprop({ [name]: () => '1' }).applyGradients([[[1], v]]), TypeError, /must be a finite number, got "1"$/);
  }
});

// ---- State ----

test('weights come in Keras\'s order, those of later variables at the end', () => {
  const [a, b, c] = [variable([1]), variable([1, 2]), variable([1, 2, 3])];
  const optimizer = new RMSprop({ momentum: 0.9, centered: true });
  assert.deepEqual([optimizer.weights, optimizer.getWeights(), optimizer.getSlotNames()], [[], [], []]);
  optimizer.applyGradients([[[1], a], [[1, 1], b]]);
  optimizer.applyGradients([[[1], a], [[1, 1, 1], c]]);
  assert.deepEqual(optimizer.getSlotNames(), ['rms', 'momentum', 'mg']);
  assert.deepEqual(optimizer.weights.map(({ size }) => size), [1, 1, 2, 1, 2, 1, 2, 3, 3, 3]);
  assert.equal(optimizer.weights[0].dtype, 'int32');
  assert.equal(optimizer.weights[0].data[0], 2);
  assert.equal(optimizer.weights[9], optimizer.getSlot(c, 'mg'));
});

test('n steps are as good as getWeights, setWeights and the rest of the steps', () => {
  const run = (/** @type {boolean} */ stops) => {
    const v = variable([[1, 2], [3, 4]]);
    let optimizer = new RMSprop({ momentum: 0.9, centered: true, decay: 0.1 });
    for (let k = 0; k < 6; k++) {
      if (stops && k === 3) {
        const weights = optimizer.getWeights();
        optimizer.dispose();
        optimizer = RMSprop.fromConfig({ momentum: 0.9, centered: true, decay: 0.1 });
        const before = v.data.slice();
        optimizer.applyGradients([[[9, 9, 9, 9], v]]);
        v.set(before);
        optimizer.setWeights(weights);
      }
      optimizer.applyGradients([[[0.1 * k, -1, 2, 0.5], v]]);
    }
    return [v.data, ...optimizer.getWeights()];
  };
  assert.deepEqual(run(true), run(false));
});

test('setWeights writes all or nothing', () => {
  const v = variable([1, 2]);
  const optimizer = new RMSprop();
  optimizer.setWeights([]);
  refuses(() => optimizer.setWeights([[0], [1, 2]]), RangeError, /list of length 2, but the optimizer was expecting 0 weights$/);
  optimizer.applyGradients([[[1, 1], v]]);
  const before = optimizer.getWeights();
  refuses(() => optimizer.setWeights([[1.5], [7, 7]]), RangeError, /^weights\[0\] must be an integer/);
  refuses(() => optimizer.setWeights([[1], [7]]), RangeError, /^weights\[1\] must be 2 numbers/);
  refuses(() => optimizer.setWeights([]), RangeError, /list of length 0, but the optimizer was expecting 2 weights$/);
  refuses(() => optimizer.setWeights(/** @type {any} */ (3)), TypeError, /^weights must be an array, got 3$/);
  assert.deepEqual(optimizer.getWeights(), before);
  optimizer.setWeights([4, [7, 8]]);
  assert.equal(optimizer.iterations, 4);
  optimizer.setWeights([[5, 6]]);
  assert.equal(optimizer.iterations, 0);
  assert.deepEqual(optimizer.getSlot(v, 'rms').toArray(), [5, 6]);
});

test('iterations can be set before weights exist', () => {
  const optimizer = new RMSprop({ decay: 1, rho: 0, epsilon: 1e-30, learningRate: 1 });
  optimizer.iterations = 3;
  assert.equal(optimizer.iterations, 3);
  refuses(() => { optimizer.iterations = -1; }, RangeError, /^iterations must be an integer/);
  refuses(() => { optimizer.iterations = /** @type {any} */ ('3'); }, TypeError, /^iterations must be an integer/);
  const v = variable([0]);
  assert.equal(optimizer.applyGradients([[[1], v]]), 4);
  assert.equal(v.data[0], -0.25);
  refuses(() => { optimizer.iterations = 0; }, Error, /^Cannot set iterations of optimizer "RMSprop" after its weights have been created, got 0$/);
});

test('slots can be added: of the user\'s own, and the optimizer\'s before it makes them', () => {
  const [v, w] = [variable([[1, 2]], { dtype: 'float64', name: 'v' }), variable([1])];
  const optimizer = new RMSprop({ rho: 0.5 });
  const extra = optimizer.addSlot(v, 'extra', (shape) => [shape.map((n) => n)]);
  assert.deepEqual([extra.dtype, extra.shape, extra.toArray()], ['float64', [1, 2], [[1, 2]]]);
  assert.equal(optimizer.addSlot(v, 'extra', 'ones'), extra);
  const rms = optimizer.addSlot(v, 'rms', 'ones');
  assert.deepEqual(optimizer.getSlotNames(), ['extra', 'rms']);
  optimizer.applyGradients([[[[2, 2]], v], [[2], w]]);
  assert.equal(optimizer.getSlot(v, 'rms'), rms);
  assert.deepEqual(rms.toArray(), [[2.5, 2.5]]);
  assert.deepEqual(optimizer.getSlot(w, 'rms').toArray(), [2]);
  assert.deepEqual(optimizer.weights.slice(1), [extra, rms, optimizer.getSlot(w, 'rms')]);
  assert.deepEqual(extra.toArray(), [[1, 2]]);

  const before = [v.memory.bytesInUse, v.memory.tensorCount];
  refuses(() => optimizer.addSlot(v, 'other', /** @type {any} */ ('random')), RangeError, /^initializer must be 'zeros', 'ones' or a function, got "random"$/);
  refuses(() => optimizer.addSlot(v, 'other', /** @type {any} */ (1)), TypeError, /^initializer must be of type string, got 1$/);
  refuses(() => optimizer.addSlot(v, 'other', () => [1, 2, 3]), RangeError, /^the initial value of slot "other" must be 2 numbers/);
  refuses(() => optimizer.addSlot(v, /** @type {any} */ (1)), TypeError, /^name must be of type string, got 1$/);
  refuses(() => optimizer.addSlot(/** @type {any} */ ([1]), 'other'), TypeError, /^variable must be a variable/);
  assert.deepEqual([v.memory.bytesInUse, v.memory.tensorCount], before);
  refuses(() => optimizer.getSlot(w, 'extra'), RangeError, /no slot "extra"/);
  refuses(() => optimizer.getSlot(v, 'momentum'), RangeError, /^optimizer "RMSprop" has no slot "momentum" for variable "v"$/);
  refuses(() => optimizer.getSlot(/** @type {any} */ (3), 'rms'), RangeError, /for 3$/);
});

test('the config evaluates callbacks, and shows float32 once the numbers are in use', () => {
  const v = variable([1]);
  const optimizer = new RMSprop({ learningRate: 0.1, rho: () => 0.9, name: 'mine', globalClipnorm: 3 });
  assert.deepEqual(optimizer.getConfig(), {
    name: 'mine', global_clipnorm: 3, learning_rate: 0.1, decay: 0, rho: 0.9, momentum: 0, epsilon: 1e-7, centered: false,
  });
  optimizer.applyGradients([[[1], v]]);
  assert.equal(optimizer.getConfig().learning_rate, Math.fround(0.1));
  assert.equal(optimizer.getConfig().rho, 0.9, 'as the callback gives it');
  const copy = RMSprop.fromConfig(optimizer.getConfig());
  assert.deepEqual(copy.getConfig(), optimizer.getConfig());
  assert.equal(RMSprop.fromConfig({ learningRate: 0.25, globalClipnorm: 2 }).globalClipnorm, 2);
  class Mine extends schedules.LearningRateSchedule {
    /** @override */
    at() {
      return 0.5;
    }

    /** @override */
    getConfig() {
      return {};
    }
  }
  const custom = new RMSprop({ learningRate: new Mine() });
  const revived = RMSprop.fromConfig(JSON.parse(JSON.stringify(custom.getConfig())), { customObjects: { Mine } });
  assert.ok(revived.learningRate instanceof Mine);
  refuses(() => RMSprop.fromConfig(custom.getConfig()), RangeError, /^class_name must be one of/);
  refuses(() => RMSprop.fromConfig(/** @type {any} */ (null)), TypeError, /^config must be of type object, got null$/);
  refuses(() => RMSprop.fromConfig({}, /** @type {any} */ ({ custom: 1 })), TypeError, /^fromConfig has no option "custom"/);
});

// ---- Updates ----

test('minimize calls the loss with the variables, and then gradLoss', () => {
  const [a, b] = [variable([1]), variable([2])];
  const optimizer = new RMSprop({ momentum: 0.5 });
  /** @type {unknown[][]} */
  const seen = [];
  const loss = (/** @type {any[]} */ ...args) => {
    seen.push(args);
    return { loss: 0, gradients: [[1], [1]] };
  };
  assert.equal(optimizer.minimize(loss, [a, b]), 1);
  assert.equal(optimizer.minimize(loss, () => [a, [b]], { gradLoss: [3], name: 'step' }), 2);
  assert.deepEqual(seen, [[a, b], [a, b, [3]]]);
  assert.equal(optimizer.minimize((v) => { v.gradient = [2]; return 1; }, a), 3);
  assert.equal(optimizer.minimize(() => 0, []), null);
  assert.equal(optimizer.iterations, 3);
  refuses(() => optimizer.minimize(loss, [a]), RangeError, /^gradients must be as many as variables, 1, got Array of length 2$/);
  refuses(() => optimizer.minimize(/** @type {any} */ (1), [a]), RangeError, /^a tape is required when a loss is passed/);
  refuses(() => optimizer.minimize(/** @type {any} */ ('loss'), [a]), TypeError, /^lossAndGradients must be of type function/);
  refuses(() => optimizer.minimize(loss, /** @type {any} */ ([a, 3])), TypeError, /^variables\[1\] must be a variable, got 3$/);
  refuses(() => optimizer.minimize(loss, [a], /** @type {any} */ ({ tape: 1 })), TypeError, /^minimize has no option "tape"/);
});

test('getGradients gives the gradients as they are, not clipped, and changes nothing', () => {
  const [a, b] = [variable([1, 2]), variable([2, 3], { name: 'b' })];
  const optimizer = new RMSprop({ clipvalue: 0.1 });
  const slices = indexedSlices([5], [1]);
  assert.deepEqual(optimizer.getGradients(() => ({ loss: 0, gradients: [[3, 4], slices] }), [a, b]), [[3, 4], slices]);
  assert.deepEqual([a.toArray(), b.toArray(), optimizer.iterations, optimizer.weights], [[1, 2], [2, 3], 0, []]);
  refuses(() => optimizer.getGradients(() => ({ loss: 0, gradients: [[3, 4], null] }), [a, b]), RangeError, /^variable "b" has null for gradient/);
  refuses(() => optimizer.getGradients(() => ({ loss: 0, gradients: [[3], [1, 2]] }), [a, b]), RangeError, /must be 2 numbers/);
});

test('variables without gradient are left out with a warning in each update', (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  const [a, b] = [variable([1], { name: 'a' }), variable([1], { name: 'b' })];
  const optimizer = new RMSprop();
  for (let k = 0; k < 2; k++) optimizer.applyGradients([[[1], a], [null, b]], { name: 'x', experimentalAggregateGradients: false });
  assert.equal(warn.mock.callCount(), 2);
  assert.equal(warn.mock.calls[0].arguments[0], 'Gradients do not exist for variables ["b"] when minimizing the loss.');
  assert.deepEqual(b.toArray(), [1]);
  refuses(() => optimizer.getSlot(b, 'rms'), RangeError, /no slot "rms" for variable "b"/);
});

test('constraints run after the update of dense gradients', () => {
  const order = /** @type {string[]} */ ([]);
  const note = (/** @type {any} */ v) => {
    order.push(v.name);
    v.data.fill(5);
    refuses(() => optimizer.applyGradients([[[1], v]]), Error, /^applyGradients of optimizer "RMSprop" cannot be used: a constraint runs$/);
    if (v.name === 'a') throw new Error('from a');
  };
  const [a, b, c] = ['a', 'b', 'c'].map((name) => variable([1], { name, constraint: note }));
  const optimizer = new RMSprop();
  refuses(() => optimizer.applyGradients([[[1], a], [[1], b], [[1], a === c ? a : c]]), Error, /^from a$/);
  assert.deepEqual(order, ['a', 'b', 'c']);
  assert.equal(optimizer.iterations, 1);
  assert.deepEqual(b.toArray(), [5]);
});

/** A trained optimizer with every slot, and the bits of everything it has. */
function trained() {
  const memory = new Memory();
  const variables = [variable([1, 2, 3], { name: 'a', memory }), variable([[4, 5]], { name: 'b', memory })];
  let rate = /** @type {unknown} */ (0.1);
  const learningRate = () => /** @type {number} */ (rate);
  const optimizer = new RMSprop({ learningRate, momentum: 0.9, centered: true, clipvalue: 2, clipnorm: 1 });
  for (let k = 0; k < 3; k++) optimizer.applyGradients([[[1, -1, 2], variables[0]], [indexedSlices([3, 4], [0]), variables[1]]]);
  const fingerprint = () => JSON.stringify([
    variables.map((v) => [...v.data]), optimizer.getWeights().map((w) => [...w]), optimizer.iterations, optimizer.getSlotNames(),
    memory.bytesInUse, memory.tensorCount, optimizer.clipnorm, optimizer.epsilon,
  ]);
  return { memory, variables, optimizer, fingerprint, setRate: (/** @type {unknown} */ value) => { rate = value; } };
}

test('a call that fails changes no weight, slot, counter or byte', () => {
  const { memory, variables: [a, b], optimizer, fingerprint, setRate } = trained();
  const before = fingerprint();
  const other = variable([1], { name: 'other' });
  const later = variable([1, 1], { name: 'later', memory });
  const disposed = variable([1], { name: 'disposed', memory });
  disposed.dispose();
  const withLater = fingerprint();
  const g = [1, 1, 1];
  const apply = (/** @type {any} */ pairs, /** @type {any} */ options = {}) => () => optimizer.applyGradients(pairs, options);
  /** @type {[() => unknown, typeof Error, RegExp][]} */
  const failures = [
    [apply([[g, a], [[1], b]]), RangeError, /^gradient of variable "b" must be 2 numbers/],
    [apply([[g, a], ['1', b]]), TypeError, /^gradient of variable "b" must be a Tensor, IndexedSlices, array of numbers or null, got "1"$/],
    [apply([[g, a], [undefined, b]]), TypeError, /^gradient of variable "b" must be .*, got undefined$/],
    [apply([[g, a], [['1', 2], b]]), TypeError, /^gradient of variable "b"/],
    [apply([[g, a], [indexedSlices([1, 2], [1]), b]]), RangeError, /index 1 at offset 0 in indices is out of range \[0, 1\)/],
    [apply([[g, a], [indexedSlices([1], [0]), b]]), RangeError, /^gradient of variable "b" must be 1 rows of 2 numbers/],
    [apply([[g, a], [tensor([1, 2]), b]]), RangeError, /^gradient of variable "b" must be in the memory of the variable/],
    [apply([[g, a], [g, a]]), RangeError, /^variable "a" must be in the list once/],
    [apply([[g, a], [[1], other]]), RangeError, /^variable "other" must be in the memory of variable "a"/],
    [apply([[[1], other]]), RangeError, /^variable "other" must be in the memory of the others/],
    [apply([[[1], disposed]]), Error, /^variable "disposed" is disposed$/],
    [apply([[g, a], [[1], tensor(1)]]), Error, /^Trying to update a Tensor: the variable of pairs\[1\] must be a variable/],
    [apply([[g, a], [[1], 3]]), TypeError, /^the variable of pairs\[1\] must be a variable, got 3$/],
    [apply([[[1], variable([1], { dtype: 'int32', name: 'count' })]]), RangeError, /^variable "count" must be float32 or float64, got "int32"$/],
    [apply([[null, a], [null, b]]), RangeError, /^No gradients provided for any variable: \["a", "b"\]\.$/],
    [apply([[g]]), RangeError, /^pairs\[0\] must be \[gradient, variable\]/],
    [apply(3), TypeError, /^pairs must be an array, got 3$/],
    [apply([[g, a]], { aggregate: true }), TypeError, /^applyGradients has no option "aggregate"/],
    [apply([[g, a]], { experimentalAggregateGradients: 1 }), TypeError, /^experimentalAggregateGradients must be of type boolean, got 1$/],
    [apply([[g, a]], { name: 1 }), TypeError, /^name must be of type string, got 1$/],
    [() => { setRate(NaN); apply([[g, a], [[1, 1], later]])(); }, RangeError, /^learningRate at step 3 must be a finite number, got NaN$/],
    [() => { optimizer.clipnorm = NaN; }, RangeError, /^clipnorm must be a finite number/],
    [() => { optimizer.globalClipnorm = 1; }, RangeError, /^Cannot accept both/],
    [() => { optimizer.iterations = 1; }, Error, /^Cannot set iterations/],
  ];
  for (const [call, type, message] of failures) {
    setRate(0.1);
    refuses(call, type, message);
    assert.equal(fingerprint(), withLater, `${message}`);
  }
  later.dispose();
  assert.equal(fingerprint(), before);
  setRate(0.1);
  optimizer.applyGradients([[g, a], [[1, 1], b]]);
  assert.equal(optimizer.iterations, 4);
});

test('a callback cannot step the optimizer it belongs to, and its error leaves all as it was', () => {
  const { variables: [a], optimizer, fingerprint } = trained();
  const before = fingerprint();
  optimizer.learningRate = () => {
    optimizer.applyGradients([[[1, 1, 1], a]]);
    return 1;
  };
  refuses(() => optimizer.applyGradients([[[1, 1, 1], a]]), Error, /^applyGradients .* cannot be used: a callback runs$/);
  assert.equal(fingerprint(), before);
  optimizer.learningRate = () => { throw new Error('mine'); };
  refuses(() => optimizer.applyGradients([[[1, 1, 1], a]]), Error, /^mine$/);
  optimizer.learningRate = 0.1;
  optimizer.applyGradients([[[1, 1, 1], a]]);
});

test('exhausted memory fails a call before it changes weights, slots or the counter', () => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
  const v = variable(new Float32Array(6000).fill(1), { memory, shape: [6000, 1] });
  const optimizer = new RMSprop({ momentum: 0.5 });
  const before = [memory.bytesInUse, memory.tensorCount];
  refuses(() => optimizer.applyGradients([[new Float32Array(6000), v]]), RangeError, /^memory exhausted/);
  assert.deepEqual([optimizer.weights, optimizer.iterations, v.data[0]], [[], 0, 1]);
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], before);
  optimizer.iterations = 2;
  const small = variable([[1], [1]], { memory });
  optimizer.applyGradients([[indexedSlices([1], [0]), small]]);
  const state = JSON.stringify([optimizer.getWeights(), small.toArray(), memory.bytesInUse]);
  const many = indexedSlices(new Float32Array(20000), new Int32Array(20000));
  refuses(() => optimizer.applyGradients([[many, small]]), RangeError, /^memory exhausted/);
  assert.equal(JSON.stringify([optimizer.getWeights(), small.toArray(), memory.bytesInUse]), state);
});

test('gradients are left as they are, and slices take memory during the update only', () => {
  const memory = new Memory();
  const [v, w] = [variable([[1], [1]], { memory }), variable([1, 1], { memory })];
  const optimizer = new RMSprop({ momentum: 0.5, clipvalue: 0.1, globalClipnorm: 0.1 });
  const values = Float32Array.of(3, 4);
  const slices = indexedSlices(values, [0, 0]);
  const dense = w.gradientBuffer();
  dense.set([5, 6]);
  optimizer.applyGradients([[slices, v], [dense, w]]);
  const before = [memory.bytesInUse, memory.tensorCount];
  optimizer.applyGradients([[slices, v], [dense, w]]);
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], before);
  assert.deepEqual([[...slices.values], [...slices.indices], dense.toArray(), [...values]], [[3, 4], [0, 0], [5, 6], [3, 4]]);
});

test('dispose gives all memory back but the variables\', and ends the optimizer', () => {
  const memory = new Memory();
  const [v, w] = [variable([1, 2], { memory }), variable([1], { memory, dtype: 'float64' })];
  v.gradientBuffer();
  w.gradientBuffer();
  const counts = () => [memory.bytesInUse, memory.tensorCount, Memory.default.bytesInUse, Memory.default.tensorCount];
  const before = counts();
  const optimizer = new RMSprop({ momentum: 0.9, centered: true });
  optimizer.applyGradients([[[1, 1], v], [[1], w]]);
  optimizer.addSlot(v, 'extra');
  optimizer.dispose();
  optimizer.dispose();
  assert.deepEqual(counts(), before);
  refuses(() => optimizer.applyGradients([[[1, 1], v]]), Error, /^applyGradients of optimizer "RMSprop" cannot be used: it is disposed$/);
  refuses(() => optimizer.addSlot(v, 'rms'), Error, /cannot be used: it is disposed$/);
  refuses(() => { optimizer.rho = 1; }, Error, /cannot be used: it is disposed$/);
});
