/** PyTorch's façade: groups, state, state dicts, closures, clips and schedulers; what is refused changes nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, indexedSlices, tensor, variable } from 'rmsprop-wasm';
import * as torch from 'rmsprop-wasm/torch';

const { RMSprop, clipGradNorm, clipGradValue, lrScheduler } = torch;

/** @typedef {import('../../js/tensor.js').Variable} Variable */

/**
 * @param {readonly (number[] | null)[]} gradients
 * @param {object} [options] of the variables
 * @returns {Variable[]} at 1, 2, 3 …, with those gradients
 */
function parameters(gradients, options) {
  return gradients.map((gradient, i) => {
    const v = variable((gradient ?? [0, 0]).map((_, k) => i + k + 1), options);
    v.gradient = gradient;
    return v;
  });
}

/** @param {Variable} v */
function dense(v) {
  return /** @type {import('../../js/tensor.js').Tensor} */ (v.gradient).data;
}

/** @param {Variable} v */
function setDisposedGradient(v) {
  const gradient = tensor([1, 1]);
  v.gradient = gradient;
  gradient.dispose();
}

/** A generator of numbers in (-1, 1) with a seed. @param {number} seed */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state * 16807) % 2147483647;
    return state / 1073741823.5 - 1;
  };
}

/**
 * Runs what must fail, and compares all that could have changed.
 *
 * @param {torch.RMSprop} optimizer
 * @param {readonly Variable[]} variables
 * @param {() => unknown} call
 * @param {object | (new (...args: any[]) => Error)} error
 */
function failsWithoutTrace(optimizer, variables, call, error) {
  const look = () => ({
    weights: variables.map((v) => v.isDisposed ? null : v.toArray()),
    gradients: variables.map(({ gradient }) => gradient),
    dict: optimizer.stateDict(),
    groups: optimizer.paramGroups.length,
    memory: variables.map(({ memory }) => [memory.bytesInUse, memory.tensorCount]),
  });
  const before = look();
  assert.throws(call, error);
  assert.deepEqual(look(), before);
}

test('the entry exports what the interface names', () => {
  assert.deepEqual(Object.keys(torch).sort(), [
    'RMSprop', 'clipGradNorm', 'clipGradValue', 'load', 'lrScheduler', 'save', 'swaUtils',
  ]);
  assert.deepEqual(Object.keys(lrScheduler).sort(), [
    'ChainedScheduler', 'ConstantLR', 'CosineAnnealingLR', 'CosineAnnealingWarmRestarts', 'CyclicLR', 'ExponentialLR', 'LRScheduler',
    'LambdaLR', 'LinearLR', 'MultiStepLR', 'MultiplicativeLR', 'OneCycleLR', 'PolynomialLR', 'ReduceLROnPlateau', 'SequentialLR',
    'StepLR',
  ], 'as torch.optim.lr_scheduler.__all__ of 2.15');
  assert.deepEqual(Object.keys(torch.swaUtils).sort(), [
    'AveragedModel', 'SWALR', 'getEmaAvgFn', 'getEmaMultiAvgFn', 'getSwaAvgFn', 'getSwaMultiAvgFn',
  ]);
});

test('the rule is PyTorch\'s for every size, float32, every operation rounded', () => {
  const f = Math.fround;
  const random = randomNumbers(7);
  const [lr, alpha, eps, mu, decay] = [0.02, 0.9, 1e-5, 0.8, 0.1];
  for (let size = 0; size <= 67; size++) {
    const v = variable(Float32Array.from({ length: size }, random));
    const expected = Array.from(v.data, (x) => ({ x, v: 0, mg: 0, b: 0 }));
    const optimizer = new RMSprop([v], { lr, alpha, eps, momentum: mu, weightDecay: decay, centered: true, maximize: true });
    for (let step = 0; step < 3; step++) {
      v.gradient = Float32Array.from({ length: size }, random);
      const gradient = dense(v).slice();
      optimizer.step();
      expected.forEach((e, i) => {
        const g = f(-gradient[i] + f(f(decay) * e.x));
        e.v = f(f(e.v * f(alpha)) + f(f(f(1 - alpha) * g) * g));
        e.mg = f(e.mg + f(f(1 - alpha) * f(g - e.mg)));
        const root = f(f(Math.sqrt(Math.max(f(e.v - f(e.mg * e.mg)), 0))) + f(eps));
        e.b = f(f(e.b * f(mu)) + f(g / root));
        e.x = f(e.x + f(f(-lr) * e.b));
      });
      assert.deepEqual(Array.from(v.data), expected.map(({ x }) => x), `size ${size}`);
    }
    optimizer.dispose();
    v.dispose();
  }
});

test('the defaults are PyTorch\'s, and a group overrides the optimizer\'s', () => {
  const [a, b, c] = parameters([[1], [1], [1]]);
  const optimizer = new RMSprop([{ params: [a] }, { params: b, lr: 1, centered: true }], { alpha: 0.5 });
  optimizer.addParamGroup({ params: new Set([c]), weightDecay: 0.1, maximize: true });
  const defaults = {
    lr: 0.01, momentum: 0, alpha: 0.5, eps: 1e-8, centered: false, weightDecay: 0, capturable: false, foreach: null,
    maximize: false, differentiable: false,
  };
  assert.deepEqual(optimizer.paramGroups, [
    { ...defaults, params: [a] },
    { ...defaults, params: [b], lr: 1, centered: true },
    { ...defaults, params: [c], weightDecay: 0.1, maximize: true },
  ]);
  const alone = new RMSprop([variable([1])]);
  assert.equal(alone.paramGroups[0].alpha, 0.99);
});

test('what is written into a group takes effect at the next step, and is checked there', () => {
  const [v, twin] = parameters([[0.5, 0.25], [0.5, 0.25]]);
  twin.set(v);
  const optimizer = new RMSprop([v], { lr: 0.1 });
  const other = new RMSprop([twin], { lr: 0.2, weightDecay: 0.5, maximize: true });
  Object.assign(optimizer.paramGroups[0], { lr: 0.2, weightDecay: 0.5, maximize: true });
  optimizer.step();
  other.step();
  assert.deepEqual(v.toArray(), twin.toArray());

  const [group] = optimizer.paramGroups;
  for (const [name, value, kind] of /** @type {const} */ ([
    ['lr', '1', TypeError], ['lr', NaN, RangeError], ['eps', Infinity, RangeError], ['alpha', null, TypeError],
    ['momentum', undefined, TypeError], ['weightDecay', -Infinity, RangeError], ['centered', 1, TypeError],
    ['maximize', 'no', TypeError],
  ])) {
    const before = v.toArray();
    const old = group[name];
    Object.assign(group, { [name]: value });
    assert.throws(() => optimizer.step(), (/** @type {any} */ e) => e.constructor === kind && e.message.startsWith(name));
    assert.deepEqual(v.toArray(), before);
    assert.equal(optimizer.state.get(v)?.step, 1);
    Object.assign(group, { [name]: old });
  }
  optimizer.step();
  assert.throws(() => Object.assign(group, { params: [] }), TypeError);
  assert.throws(() => /** @type {any} */ (optimizer.paramGroups).push({}), TypeError);
});

test('a key of the user\'s own stays in its group and in state dicts, and is loaded', () => {
  const [v, w] = parameters([[1, 1], [1, 1]]);
  const own = { name: 'head', lr_scale: 0.5, layers: [1, 2], meta: { frozen: false, 'note_1': null }, mask: new Float32Array([1, 0]) };
  const optimizer = new RMSprop([{ params: [v], ...own }, { params: [w] }]);
  optimizer.addParamGroup({ params: [variable([1])], stage: 3, scale: tensor([2, 3]) });
  optimizer.paramGroups[1].label = 'tail';
  optimizer.step();
  const dict = optimizer.stateDict();
  const [first, second, third] = dict.param_groups;
  assert.deepEqual({ ...first, ...own }, first);
  assert.deepEqual([second.label, third.stage, [...third.scale]], ['tail', 3, [2, 3]]);
  assert.notEqual(first.mask, own.mask, 'it is a copy');
  const other = new RMSprop([{ params: [v] }, { params: [w], gone: 1 }, { params: [variable([1])] }]);
  other.loadStateDict(torch.load(torch.save(dict)));
  assert.deepEqual({ ...other.paramGroups[0], ...own }, { ...other.paramGroups[0] });
  assert.equal(other.paramGroups[1].label, 'tail');
  assert.equal('gone' in other.paramGroups[1], false, 'options are replaced');
  optimizer.paramGroups[1].label = () => 1;
  assert.throws(() => optimizer.stateDict(), /^TypeError: paramGroups\[1\]\.label must be numbers, text, arrays or plain objects, got function/);
});

test('known options misspelled, in Python\'s spelling or as other frameworks call them are refused, with the right name', () => {
  for (const [wrong, right] of Object.entries({
    weight_decay: 'weightDecay', weightdecay: 'weightDecay', WeightDecay: 'weightDecay', weigthDecay: 'weightDecay',
    momentun: 'momentum', LR: 'lr', learning_rate: 'lr', learningRate: 'lr', rho: 'alpha', epsilon: 'eps', initial_lr: 'initialLr',
    max_momentum: 'maxMomentum', centred: 'centered', maximise: 'maximize', param_names: 'paramNames', swa_lr: 'swaLr',
  })) {
    const message = new RegExp(`^TypeError: group has no option "${wrong}"; did you mean "${right}"\\?$`);
    const [v, w] = parameters([[1], [1]]);
    assert.throws(() => new RMSprop([{ params: [v], [wrong]: 1 }]), message);
    const optimizer = new RMSprop([v]);
    failsWithoutTrace(optimizer, [v, w], () => optimizer.addParamGroup({ params: [w], [wrong]: 1 }), message);
    Object.assign(optimizer.paramGroups[0], { [wrong]: 1 });
    assert.throws(() => optimizer.step(), message);
  }
});

test('the groups of one optimizer make another', () => {
  const [v, w] = parameters([[1, 1], [1, 1]]);
  const one = new RMSprop([{ params: [['v', v]], name: 'body' }, { params: [['w', w]], lr: 0.5, centered: true }], { alpha: 0.5 });
  new lrScheduler.OneCycleLR(one, { maxLr: 1, totalSteps: 10 });
  const other = new RMSprop(one.paramGroups);
  assert.deepEqual(other.paramGroups, one.paramGroups);
  assert.notEqual(other.paramGroups[0], one.paramGroups[0]);
  other.step();
  assert.equal(one.state.size, 0);
});

test('parameters may come with names, which groups and state dicts keep', () => {
  const [v, w] = parameters([[1, 1], [1, 1]]);
  const optimizer = new RMSprop(/** @type {[string, Variable][]} */ ([['body', v], ['head', w]]));
  assert.deepEqual(optimizer.paramGroups[0].params, [v, w]);
  assert.deepEqual(optimizer.stateDict().param_groups[0].param_names, ['body', 'head']);
  const { param_names: _names, ...nameless } = optimizer.stateDict().param_groups[0];
  optimizer.loadStateDict({ state: {}, param_groups: [nameless] });
  assert.deepEqual(optimizer.paramGroups[0].paramNames, ['body', 'head'], 'as PyTorch keeps them');
  assert.throws(() => new RMSprop(/** @type {any} */ ([['body', v], w])), /^RangeError: all optimizer params should be with\/without names/);
  assert.throws(() => new RMSprop(/** @type {any} */ ([[3, v]])), /^TypeError: params\[0\]\[0\] must be of type string, got 3/);
  assert.throws(() => new RMSprop([{ params: [v], paramNames: ['a', 'b'] }]), /^RangeError: paramNames must be as many as params, 1/);
});

test('options without effect here are kept, as PyTorch keeps them', () => {
  const [v] = parameters([[1]]);
  const optimizer = new RMSprop([v], { foreach: true, capturable: true, differentiable: false });
  const [group] = optimizer.stateDict().param_groups;
  assert.deepEqual([group.foreach, group.capturable, group.differentiable], [true, true, false]);
  assert.throws(() => new RMSprop([v], /** @type {any} */ ({ foreach: 1 })), /^TypeError: foreach must be of type boolean, got 1/);
});

test('a misspelled key of a group is refused by the step and by the state dict', () => {
  const [v, w] = parameters([[1, 1], [1, 1]]);
  const optimizer = new RMSprop([{ params: [v] }, { params: [w] }]);
  const group = /** @type {any} */ (optimizer.paramGroups[1]);
  group.weight_decay = 1;
  for (const call of [() => optimizer.step(), () => optimizer.stateDict()]) {
    assert.throws(call, /^TypeError: group has no option "weight_decay"; did you mean "weightDecay"\?$/);
  }
  assert.deepEqual([v.toArray(), w.toArray(), optimizer.state.size], [[1, 2], [2, 3], 0]);
  delete group.weight_decay;
  Object.assign(group, { initialLr: 1, maxLr: 1, minLr: 0, maxMomentum: 0.9, baseMomentum: 0.8, capturable: false });
  optimizer.step();
  assert.equal(optimizer.stateDict().param_groups[1].initial_lr, 1);
});

test('a group may have numbers that the constructor refuses, as in PyTorch', () => {
  const [v] = parameters([[1]]);
  const optimizer = new RMSprop([{ params: [v], lr: -0.1 }]);
  optimizer.step();
  assert.ok(v.data[0] > 1);
  assert.throws(() => new RMSprop([v], { lr: -0.1 }), RangeError);
});

test('a rate may be a tensor of one element, which is read at each step', () => {
  const [v, twin] = parameters([[0.5], [0.5]]);
  twin.set(v);
  const lr = tensor(0.1);
  const optimizer = new RMSprop([v], { lr });
  const other = new RMSprop([twin], { lr: 0.1 });
  for (const rate of [0.1, 0.01]) {
    lr.set(rate);
    other.paramGroups[0].lr = rate;
    optimizer.step();
    other.step();
  }
  assert.deepEqual(v.toArray(), twin.toArray());
  assert.equal(optimizer.stateDict().param_groups[0].lr, Math.fround(0.01));
  new lrScheduler.ExponentialLR(optimizer, { gamma: 0.5 }).step();
  assert.equal(lr.data[0], Math.fround(0.005));
  lr.dispose();
  assert.throws(() => optimizer.step(), /disposed/);
});

test('wrong arguments of the constructor are refused by name', () => {
  const [v] = parameters([[1]]);
  const make = (/** @type {any} */ params, /** @type {any} */ options = undefined) => () => new RMSprop(params, options);
  assert.throws(make([v], { learningRate: 1 }), /^TypeError: RMSprop has no option "learningRate"/);
  assert.throws(make([v], { fused: true }), /^TypeError: RMSprop has no option "fused"/);
  assert.throws(make([{ params: [v], lR: 1 }]), /^TypeError: group has no option "lR"; did you mean "lr"/);
  assert.throws(make([v], null), TypeError);
  assert.throws(make([v], { lr: '0.1' }), /^TypeError: lr must be a finite number >= 0, got "0.1"/);
  assert.throws(make([v], { alpha: Infinity }), /^RangeError: Invalid alpha value: Infinity/);
  assert.throws(make([v], { centered: 1 }), /^TypeError: centered must be of type boolean/);
  assert.throws(make([{ params: [v], eps: NaN }]), /^RangeError: eps/);
  assert.throws(make([{ params: [v], momentum: '0' }]), /^TypeError: momentum/);
  assert.throws(make([{ lr: 1 }]), /^TypeError: params argument given to the optimizer should be an iterable/);
  assert.throws(make([{ params: [v] }, v]), /^TypeError: param_group must be an object/);
  assert.throws(make([tensor([1])]), /^TypeError: optimizer can only optimize variables, but one of the params is Tensor/);
  assert.throws(make([v, null]), /^TypeError: optimizer can only optimize variables, but one of the params is null/);
  assert.throws(make([variable([1], { dtype: 'int32' })]), /^TypeError: .* must be float32 or float64, got "int32"/);
  const disposed = variable([1]);
  disposed.dispose();
  assert.throws(make([disposed]), /^Error: .* is disposed/);
  assert.throws(make([]), /^RangeError: optimizer got an empty parameter list/);
});

test('a group that is refused is not added', () => {
  const [v, w] = parameters([[1], [1]]);
  const optimizer = new RMSprop([v]);
  for (const [group, error] of /** @type {[any, any][]} */ ([
    [{ params: [w, v] }, RangeError], [{ params: [w], lr: NaN }, RangeError], [{ params: [w], weight_decay: 1 }, TypeError],
    [{ params: [1] }, TypeError], [w, TypeError], [undefined, TypeError],
  ])) failsWithoutTrace(optimizer, [v, w], () => optimizer.addParamGroup(group), error);
  optimizer.addParamGroup({ params: [w] });
  optimizer.step();
  assert.equal(optimizer.state.size, 2);
});

test('parameters without a gradient are passed over, and have no state', () => {
  const [v, w] = parameters([null, [1, 1]]);
  const optimizer = new RMSprop([v, w], { momentum: 0.5 });
  optimizer.step();
  optimizer.step();
  assert.deepEqual([...optimizer.state.keys()], [w]);
  assert.deepEqual(v.toArray(), [1, 2]);
  v.gradient = [1, 1];
  w.gradient = null;
  const kept = w.toArray();
  optimizer.step();
  assert.deepEqual(w.toArray(), kept);
  assert.deepEqual([...optimizer.state.values()].map(({ step }) => step), [2, 1]);
  assert.deepEqual(Object.keys(optimizer.state.get(v) ?? {}), ['step', 'square_avg', 'momentum_buffer']);
  optimizer.zeroGrad();
  assert.equal(optimizer.step(), undefined);
  assert.deepEqual(w.toArray(), kept);
});

test('a disposed parameter is passed over while it has no gradient, with a state or without', () => {
  for (const isKnown of [false, true]) {
    const [gone, v, twin] = parameters([[1, 1], [1, 1], [1, 1]]);
    twin.set(v);
    const [optimizer, other] = [new RMSprop([gone, v]), new RMSprop([twin])];
    if (isKnown) for (const each of [optimizer, other]) each.step();
    gone.dispose();
    assert.throws(() => optimizer.step(), /disposed/);
    gone.gradient = null;
    for (const each of [optimizer, other]) each.step();
    assert.deepEqual(v.toArray(), twin.toArray());
  }
});

test('a parameter that is in its group twice is stepped twice, with a warning, as in PyTorch', (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  const [v, w, twin] = parameters([[0.5, -1], [0.5, -1], [0.5, -1]]);
  for (const p of [w, twin]) p.set(v);
  const optimizer = new RMSprop([v, w, v], { momentum: 0.9, centered: true });
  assert.equal(warn.mock.callCount(), 1);
  const other = new RMSprop([twin], { momentum: 0.9, centered: true });
  optimizer.step();
  other.step();
  assert.deepEqual(w.toArray(), twin.toArray());
  other.step();
  assert.deepEqual(v.toArray(), twin.toArray());
  const dict = optimizer.stateDict();
  assert.deepEqual(dict.param_groups[0].params, [0, 1, 0]);
  assert.deepEqual([dict.state[0].step, dict.state[1].step], [2, 1]);
  assert.deepEqual(dict.state[0].square_avg, other.stateDict().state[0].square_avg);
});

test('parameters of several types and memories train in one group', () => {
  const memory = new Memory();
  const optionsOf = /** @type {const} */ ([{}, { dtype: 'float64' }, { memory }, { memory, dtype: 'float64' }]);
  const mixed = optionsOf.flatMap((options) => parameters([[0.5, -0.1]], options));
  const alone = optionsOf.flatMap((options) => parameters([[0.5, -0.1]], options));
  new RMSprop(mixed, { momentum: 0.9 }).step();
  for (const v of alone) new RMSprop([v], { momentum: 0.9 }).step();
  assert.deepEqual(mixed.map((v) => v.toArray()), alone.map((v) => v.toArray()));
});

test('a closure is called with the parameters, and its loss returned', () => {
  const [v, w, a, b] = parameters([null, null, [0.1, 0.2], null]);
  a.set(v);
  b.set(w);
  const optimizer = new RMSprop([{ params: [v] }, { params: [w] }]);
  const loss = optimizer.step((...args) => {
    assert.deepEqual(args, [v, w]);
    return { loss: 3.5, gradients: [[0.1, 0.2], null] };
  });
  assert.equal(loss, 3.5);
  new RMSprop([a, b]).step();
  assert.deepEqual([v, w].map((p) => p.toArray()), [a, b].map((p) => p.toArray()));
  assert.equal(v.gradient, null);
  assert.equal(optimizer.step((first) => {
    first.gradient = [0.1, 0.2];
    return 7;
  }), 7);
  assert.equal(optimizer.state.get(v)?.step, 2);
});

test('a closure that throws, or returns something else, changes nothing', () => {
  const [v, w] = parameters([[1, 1], [1, 1]]);
  const optimizer = new RMSprop([v, w]);
  optimizer.step();
  const refuse = (/** @type {any} */ closure, /** @type {any} */ error) =>
    failsWithoutTrace(optimizer, [v, w], () => optimizer.step(closure), error);
  refuse(() => { throw new SyntaxError('mine'); }, SyntaxError);
  refuse(() => undefined, TypeError);
  refuse(() => ({ loss: 1 }), TypeError);
  refuse(() => ({ loss: 1, gradients: [[1, 1]] }), RangeError);
  refuse(() => ({ loss: 1, gradients: [[1, 1], [1]] }), RangeError);
  refuse(() => ({ loss: 1, gradients: [[1, 1], 'x'] }), TypeError);
  refuse(() => ({ loss: 1, gradients: [[1, 1], indexedSlices([1], [0])] }), /^Error: RMSprop does not support sparse gradients/);
  refuse(3, TypeError);
  refuse(null, TypeError);
});

test('a step that is refused changes nothing in any group', () => {
  const [v, w, x] = parameters([[1, 1], [1, 1], [1, 1]]);
  const optimizer = new RMSprop([{ params: [v] }, { params: [w, x], centered: true }]);
  const refuse = (/** @type {any} */ error) => failsWithoutTrace(optimizer, [v, w, x], () => optimizer.step(), error);
  w.gradient = indexedSlices([1], [0]);
  refuse(/^Error: RMSprop does not support sparse gradients/);
  setDisposedGradient(w);
  refuse(/disposed/);
  w.gradient = [1, 1];
  optimizer.step();
  w.gradient = indexedSlices([1], [0]);
  refuse(/^Error: RMSprop does not support sparse gradients/);
  w.gradient = [1, 1];
  optimizer.paramGroups[0].momentum = 0.9;
  refuse(/^RangeError: state of variable .* has no momentum_buffer/);
  optimizer.paramGroups[0].momentum = 0;
  optimizer.paramGroups[0].centered = true;
  refuse(/^RangeError: state of variable .* has no grad_avg/);
  optimizer.paramGroups[0].centered = false;
  x.dispose();
  assert.throws(() => optimizer.step(), /disposed/);
  assert.equal(optimizer.state.get(v)?.step, 1);
});

test('when memory is exhausted at the first step nothing has changed', () => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
  const v = variable(new Float32Array(4000).fill(1), { memory });
  const w = variable(new Float32Array(4000).fill(1), { memory });
  v.gradientBuffer().data.fill(1);
  const optimizer = new RMSprop([{ params: [v] }, { params: [w] }]);
  w.gradient = v.gradient;
  failsWithoutTrace(optimizer, [v, w], () => optimizer.step(), /memory exhausted/);
  w.gradient = null;
  optimizer.step();
  assert.equal(optimizer.state.size, 1);
});

test('when there is no room for a closure\'s gradients nothing has changed', () => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
  const v = variable(new Float32Array(6000), { memory });
  const optimizer = new RMSprop([v]);
  const closure = () => ({ loss: 0, gradients: [new Float32Array(6000)] });
  failsWithoutTrace(optimizer, [v], () => optimizer.step(closure), /memory exhausted/);
  assert.equal(optimizer.state.size, 0);
});

test('a parameter whose first step failed has its first step later, by the options of then', () => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
  const [a, b, twin] = parameters([[1, 1], [1, 1], [1, 1]], { memory });
  const large = variable(new Float32Array(9000), { memory });
  const optimizer = new RMSprop([{ params: [a, b] }, { params: [large] }]);
  optimizer.step(() => ({ loss: 0, gradients: [[1, 1], null, null] }));
  large.gradient = large;
  assert.throws(() => optimizer.step(), /memory exhausted/);
  assert.deepEqual([...optimizer.state.keys()], [a]);
  large.gradient = null;
  a.gradient = null;
  optimizer.paramGroups[0].momentum = 0.5;
  twin.set(b);
  new RMSprop([twin], { momentum: 0.5 }).step();
  optimizer.step();
  assert.deepEqual(b.toArray(), twin.toArray());
  assert.equal(optimizer.state.get(b)?.step, 1);
});

test('a momentum that is switched off leaves its buffer, and the quotient takes the rate first', () => {
  const [v, twin] = parameters([[0.3, 0.7], [0.3, 0.7]]);
  twin.set(v);
  const optimizer = new RMSprop([v], { momentum: 0.9, centered: true });
  optimizer.step();
  const buffer = optimizer.state.get(v)?.momentum_buffer?.toArray();
  const mean = optimizer.state.get(v)?.grad_avg?.toArray();
  Object.assign(optimizer.paramGroups[0], { momentum: 0, centered: false });
  const other = new RMSprop([twin]);
  other.loadStateDict({ ...other.stateDict(), state: { 0: { step: 1, square_avg: optimizer.state.get(v)?.square_avg } } });
  twin.set(v);
  optimizer.step();
  other.step();
  assert.deepEqual(v.toArray(), twin.toArray());
  assert.deepEqual(optimizer.state.get(v)?.momentum_buffer?.toArray(), buffer);
  assert.deepEqual(optimizer.state.get(v)?.grad_avg?.toArray(), mean);
  Object.assign(optimizer.paramGroups[0], { momentum: 0.9, centered: true });
  optimizer.step();
  assert.notDeepEqual(optimizer.state.get(v)?.momentum_buffer?.toArray(), buffer);
});

test('a momentum that is set before the first gradient has its buffer', () => {
  const [v, w] = parameters([[1, 1], null]);
  const optimizer = new RMSprop([v, w]);
  optimizer.step();
  optimizer.paramGroups[0].momentum = 0.9;
  v.gradient = null;
  w.gradient = [1, 1];
  optimizer.step();
  assert.deepEqual([...optimizer.state.values()].map((state) => 'momentum_buffer' in state), [false, true]);
});

test('zeroGrad clears gradients, or fills them with 0', () => {
  const [v, w, x] = parameters([[1, 1], [1, 1], null]);
  w.gradient = indexedSlices([1], [0]);
  const optimizer = new RMSprop([v, w, x]);
  optimizer.zeroGrad({ setToNone: false });
  assert.deepEqual([...dense(v)], [0, 0]);
  assert.equal(/** @type {any} */ (w.gradient).indices.length, 0);
  assert.equal(x.gradient, null);
  optimizer.zeroGrad();
  assert.deepEqual([v, w, x].map((p) => p.gradient), [null, null, null]);
  for (const wrong of [{ setToNone: 1 }, { set: true }]) assert.throws(() => optimizer.zeroGrad(/** @type {any} */ (wrong)), TypeError);
  v.gradient = [1, 1];
  setDisposedGradient(w);
  assert.throws(() => optimizer.zeroGrad({ setToNone: false }), /disposed/);
  assert.deepEqual([...dense(v)], [1, 1]);
});

test('constraints run after the step, of the parameters that were updated', () => {
  const constraint = (/** @type {Variable} */ v) => v.data.fill(9);
  const [v, w] = parameters([[1, 1], null], { constraint });
  const optimizer = new RMSprop([v, w]);
  optimizer.step();
  assert.deepEqual([v.toArray(), w.toArray()], [[9, 9], [2, 3]]);
  v.constraint = () => { throw new SyntaxError('mine'); };
  assert.throws(() => optimizer.step(), SyntaxError);
  assert.equal(optimizer.state.get(v)?.step, 2);
});

test('a disposed optimizer gives its memory back, and refuses', () => {
  const memory = new Memory();
  const [v] = parameters([[1, 1]], { memory });
  const before = memory.bytesInUse;
  const optimizer = new RMSprop([v], { momentum: 0.9 });
  optimizer.step();
  optimizer.dispose();
  optimizer.dispose();
  assert.equal(memory.bytesInUse, before);
  assert.equal(v.isDisposed, false);
  for (const call of /** @type {(() => unknown)[]} */ ([
    () => optimizer.step(), () => optimizer.zeroGrad(), () => optimizer.addParamGroup({ params: [] }),
    () => optimizer.loadStateDict(optimizer.stateDict()),
  ])) assert.throws(call, /^Error: \w+ of the optimizer cannot be used: it is disposed$/);
});

// ---- State dicts ----

/** A state dict as Python writes it into JSON: `tolist()` of every tensor, in its shape. */
function asJson(/** @type {torch.RMSprop} */ optimizer) {
  const { state, param_groups: groups } = optimizer.stateDict();
  const tensors = [...optimizer.state.values()];
  const nested = Object.entries(state).map(([id], i) => [id, Object.fromEntries(Object.entries(tensors[i]).map(([name, value]) =>
    [name, typeof value === 'number' ? value : value.toArray()]))]);
  return JSON.parse(JSON.stringify({ state: Object.fromEntries(nested), param_groups: groups }));
}

for (const dtype of /** @type {const} */ (['float32', 'float64'])) {
  test(`a run that is loaded goes on with equal bits, ${dtype}`, () => {
    const random = randomNumbers(3);
    const shapes = [[2, 3], [5], []];
    const make = () => {
      const list = shapes.map((shape, i) => variable(new Float64Array(shape.reduce((n, k) => n * k, 1)).fill(i + 1), { shape, dtype }));
      const optimizer = new RMSprop([
        { params: [list[0]] }, { params: [list[1], list[2]], lr: 0.1, weightDecay: 0.1, centered: true, momentum: 0.5 },
      ], { momentum: 0.9 });
      return { list, optimizer };
    };
    const one = make();
    const gradients = Array.from({ length: 8 }, (_, k) => one.list.map(({ size }, i) =>
      // The last parameter has its first gradient after the save.
      i === 2 && k < 5 ? null : Float64Array.from({ length: size }, random)));
    const step = (/** @type {ReturnType<typeof make>} */ { optimizer }, /** @type {number} */ k) =>
      optimizer.step(() => ({ loss: 0, gradients: gradients[k] }));
    const scheduler = new lrScheduler.ExponentialLR(one.optimizer, { gamma: 0.9 });
    for (let k = 0; k < 4; k++) step(one, k);
    scheduler.step();
    const saved = [one.optimizer.stateDict(), asJson(one.optimizer)];
    const weights = one.list.map(({ data }) => data.slice());
    for (let k = 4; k < 8; k++) step(one, k);
    for (const dict of saved) {
      const other = make();
      // Something to be forgotten.
      other.optimizer.step(() => ({ loss: 0, gradients: gradients[7] }));
      other.list.forEach((v, i) => v.set(weights[i]));
      other.optimizer.loadStateDict(dict);
      assert.deepEqual(other.optimizer.stateDict(), saved[0]);
      assert.equal(other.optimizer.paramGroups[0].lr, 0.01 * 0.9);
      assert.equal(other.optimizer.paramGroups[0].initialLr, 0.01);
      for (let k = 4; k < 8; k++) step(other, k);
      assert.deepEqual(other.list.map((v) => v.toArray()), one.list.map((v) => v.toArray()));
      assert.deepEqual(other.optimizer.stateDict(), one.optimizer.stateDict());
    }
  });
}

test('a state dict is a copy, and loading one copies', () => {
  const [v] = parameters([[1, 1]]);
  const optimizer = new RMSprop([v]);
  optimizer.step();
  const dict = optimizer.stateDict();
  const before = structuredClone(dict);
  optimizer.step();
  assert.deepEqual(dict, before);
  optimizer.loadStateDict(dict);
  optimizer.step();
  assert.deepEqual(dict, before);
});

test('loading keeps the group objects, replaces their options, and gives the old state\'s memory back', () => {
  const memory = new Memory();
  const [v] = parameters([[1, 1]], { memory });
  const optimizer = new RMSprop([v], { lr: 0.5 });
  optimizer.step();
  const [group] = optimizer.paramGroups;
  group.initialLr = 3;
  const { memory: { bytesInUse } } = v;
  const { state, param_groups: [saved] } = optimizer.stateDict();
  const { momentum: _momentum, centered: _centered, foreach: _foreach, initial_lr: _lr, ...old } = saved;
  optimizer.loadStateDict({ state, param_groups: [{ ...old, lr: [0.25], eps: 1e-3, foreach: true, name: 'head', params: ['p'] }] });
  assert.equal(optimizer.paramGroups[0], group);
  assert.deepEqual([group.lr, group.eps, group.momentum, group.centered, group.initialLr], [0.25, 1e-3, 0, false, undefined]);
  assert.equal(optimizer.stateDict().param_groups[0].name, 'head');
  assert.equal(optimizer.stateDict().param_groups[0].foreach, true);
  assert.equal(optimizer.state.size, 0, 'the state belongs to a parameter of another name');
  assert.ok(memory.bytesInUse < bytesInUse);
  optimizer.step();
  assert.equal(memory.bytesInUse, bytesInUse);
});

test('views of the memory that grows while they are loaded are loaded nevertheless', () => {
  const memory = new Memory({ initialBytes: 65536 });
  const v = variable(new Float32Array(5000), { memory });
  v.gradientBuffer().data.fill(1);
  const optimizer = new RMSprop([v]);
  optimizer.step();
  const { square_avg: average } = /** @type {any} */ (optimizer.state.get(v));
  const { buffer } = memory;
  optimizer.loadStateDict({ ...optimizer.stateDict(), state: { 0: { step: 1, square_avg: average.data } } });
  assert.notEqual(memory.buffer, buffer, 'it has grown');
  assert.equal(optimizer.state.get(v)?.square_avg.data[4999], Math.fround(Math.fround(1 - 0.99) * 1));
});

test('the names that PyTorch gives parameters come and go with state dicts', () => {
  const [v] = parameters([[1, 1]]);
  const optimizer = new RMSprop([v]);
  const dict = optimizer.stateDict();
  dict.param_groups[0].param_names = ['weight'];
  optimizer.loadStateDict(dict);
  optimizer.step();
  assert.deepEqual(optimizer.stateDict().param_groups[0].param_names, ['weight']);
});

test('a state dict that is refused changes nothing', () => {
  const [v, w] = parameters([[1, 1], [1, 1]]);
  const optimizer = new RMSprop([{ params: [v] }, { params: [w] }]);
  optimizer.step();
  const dict = optimizer.stateDict();
  const [first, second] = dict.param_groups;
  const entry = dict.state[1];
  const withGroup = (/** @type {object} */ change) => ({ ...dict, param_groups: [first, { ...second, ...change }] });
  const withEntry = (/** @type {object} */ change) => ({ ...dict, state: { ...dict.state, 1: { ...entry, ...change } } });
  for (const [wrong, error] of /** @type {[any, any][]} */ ([
    [undefined, TypeError], [{}, TypeError], [{ param_groups: dict.param_groups }, TypeError],
    [{ ...dict, param_groups: [first] }, /^RangeError: loaded state dict has a different number of parameter groups: 1, .* 2/],
    [withGroup({ params: [1, 2] }), /^RangeError: loaded state dict contains a parameter group that doesn't match the size/],
    [withGroup({ params: 1 }), TypeError], [{ ...dict, param_groups: [first, null] }, TypeError],
    [withGroup({ lr: undefined }), TypeError], [withGroup({ lr: NaN }), RangeError], [withGroup({ alpha: '1' }), TypeError],
    [withGroup({ centered: 0 }), TypeError], [withGroup({ initial_lr: 'x' }), TypeError],
    [withGroup({ weigth_decay: 1 }), /^TypeError: param_groups\[1\] has no option "weigth_decay"; did you mean "weight_decay"/],
    [withGroup({ weightDecay: 1 }), /^TypeError: param_groups\[1\] has no option "weightDecay"; did you mean "weight_decay"/],
    [withGroup({ param_names: [1, 2] }), TypeError], [withGroup({ param_names: 'w' }), TypeError],
    [withEntry({ step: undefined }), TypeError], [withEntry({ step: [1, 2] }), TypeError],
    [withEntry({ step: -1 }), /^RangeError: state\[1\]\.step must be an integer in \[0, /], [withEntry({ step: 0.5 }), RangeError],
    [withEntry({ square_avg: undefined }), TypeError], [withEntry({ square_avg: [1] }), RangeError],
    [withEntry({ momentum_buffer: ['a', 'b'] }), TypeError], [{ ...dict, state: { 1: 5 } }, TypeError],
  ])) failsWithoutTrace(optimizer, [v, w], () => optimizer.loadStateDict(wrong), error);
});

test('when memory is exhausted in loading, the old state stays', () => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
  const v = variable(new Float32Array(5000), { memory });
  v.gradientBuffer().data.fill(1);
  const optimizer = new RMSprop([v]);
  optimizer.step();
  const dict = optimizer.stateDict();
  failsWithoutTrace(optimizer, [v], () => optimizer.loadStateDict(dict), /memory exhausted/);
  optimizer.step();
});

test('when memory is exhausted for the second of two groups, the first gives its own back', () => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
  const small = variable([1, 1], { memory });
  const large = variable(new Float32Array(5000), { memory });
  small.gradient = [1, 1];
  large.gradientBuffer().data.fill(1);
  const optimizer = new RMSprop([{ params: [small] }, { params: [large] }]);
  optimizer.step();
  const dict = optimizer.stateDict();
  failsWithoutTrace(optimizer, [small, large], () => optimizer.loadStateDict(dict), /memory exhausted/);
});

// ---- Clips ----

test('clipGradNorm returns the norm before, of any order, and scales by a reciprocal', () => {
  const f = Math.fround;
  const clip = (/** @type {number[][]} */ gradients, /** @type {number} */ maxNorm, /** @type {any} */ options = undefined) => {
    const list = parameters([...gradients, null]);
    return [clipGradNorm(list, maxNorm, options), ...list.slice(0, -1).map((v) => [...dense(v)])];
  };
  const factor = f(f(1 / f(5 + f(1e-6))) * 1);
  assert.deepEqual(clip([[3], [4]], 1), [5, [f(3 * factor)], [f(4 * factor)]]);
  assert.deepEqual(clip([[3, -1], [4]], 1e9, { normType: 1 }), [8, [3, -1], [4]]);
  assert.equal(clip([[3, -5], [4]], 1, { normType: Infinity })[0], 5);
  assert.equal(clip([[3, -5], [4]], 1, { normType: -Infinity })[0], 3);
  assert.equal(clip([[3, 0], [0]], 1, { normType: 0 })[0], 1);
  assert.ok(Math.abs(Number(clip([[1, 2], [2]], 1, { normType: 3 })[0]) - Math.cbrt(17)) < 1e-6);
  assert.equal(clipGradNorm(parameters([null]), 1), 0);
  assert.equal(clipGradNorm([], 1), 0);
  const [v] = parameters([[3, 4]], { dtype: 'float64' });
  assert.equal(clipGradNorm(v, 1), 5);
  assert.deepEqual([...dense(v)], [3 * (1 / (5 + 1e-6)), 4 * (1 / (5 + 1e-6))]);
  const mixed = [...parameters([[0.1]]), ...parameters([[0.1]], { dtype: 'float64' })];
  assert.equal(clipGradNorm(mixed, 10), Math.sqrt(f(0.1) * f(0.1) + 0.1 * 0.1));
  assert.deepEqual(clip([[NaN, 1]], 1), [NaN, [NaN, NaN]]);
});

test('every operation of clipGradNorm is rounded: the norms, the total, the reciprocal, the factor', () => {
  const f = Math.fround;
  const random = randomNumbers(11);
  const norm = (/** @type {ArrayLike<number>} */ values) => f(Math.sqrt(Array.from(values).reduce((sum, x) => f(sum + f(x * x)), 0)));
  for (let round = 0; round < 200; round++) {
    const gradients = [3, 5].map((size) => Float32Array.from({ length: size }, random));
    const list = gradients.map((gradient) => {
      const v = variable(gradient);
      v.gradient = gradient;
      return v;
    });
    const total = norm(gradients.map(norm));
    const factor = f(f(1 / f(total + f(1e-6))) * f(0.7));
    assert.equal(clipGradNorm(list, 0.7), total);
    list.forEach((v, i) => {
      assert.deepEqual([...dense(v)], Array.from(gradients[i], (g) => f(g * Math.min(factor, 1))));
      v.dispose();
    });
  }
});

test('clips refuse what is no number or variable before they change anything', () => {
  const [v, w] = parameters([[3, 4], [3, 4]]);
  const calls = /** @type {[() => unknown, any][]} */ ([
    [() => clipGradNorm([v], NaN), RangeError], [() => clipGradNorm([v], Infinity), RangeError],
    [() => clipGradNorm([v], /** @type {any} */ ('1')), TypeError], [() => clipGradNorm([v], 1, { normType: NaN }), RangeError],
    [() => clipGradNorm([v], 1, { normType: /** @type {any} */ ('2') }), TypeError],
    [() => clipGradNorm([v], 1, /** @type {any} */ ({ norm: 2 })), TypeError],
    [() => clipGradNorm(/** @type {any} */ ([v, 3]), 1), TypeError], [() => clipGradNorm(/** @type {any} */ (3), 1), TypeError],
    [() => clipGradValue([v], NaN), RangeError], [() => clipGradValue(/** @type {any} */ ([v, null]), 1), TypeError],
    [() => clipGradNorm([v, w], 1, { errorIfNonfinite: true }), /^Error: The total norm of order 2 .* is non-finite/],
  ]);
  w.gradient = [Infinity, 1];
  for (const [call, error] of calls) assert.throws(call, error);
  w.gradient = indexedSlices([1], [0]);
  assert.throws(() => clipGradNorm([v, w], 1), /^Error: clipGradNorm does not support sparse gradients/);
  assert.throws(() => clipGradValue([v, w], 1), /^Error: clipGradValue does not support sparse gradients/);
  setDisposedGradient(w);
  assert.throws(() => clipGradNorm([v, w], 1), /disposed/);
  assert.deepEqual([...dense(v)], [3, 4]);
  clipGradValue(v, 3.5);
  assert.deepEqual([...dense(v)], [3, 3.5]);
});

// ---- Schedulers ----

/** An optimizer of two groups, with rates 0.1 and 0.2. */
function scheduled(/** @type {object} */ options = {}) {
  return new RMSprop([{ params: parameters([[1]]) }, { params: parameters([[1]]), lr: 0.2 }], { lr: 0.1, momentum: 0.9, ...options });
}

/** Every scheduler with some options, and what its `step` is called with. @type {[string, object, (k: number) => number[]][]} */
const everyScheduler = [
  ['StepLR', { stepSize: 2, gamma: 0.5 }, () => []],
  ['MultiStepLR', { milestones: [2, 2, 5], gamma: 0.5 }, () => []],
  ['ConstantLR', { totalIters: 3 }, () => []],
  ['LinearLR', { totalIters: 6 }, () => []],
  ['ExponentialLR', { gamma: 0.9 }, () => []],
  ['PolynomialLR', { totalIters: 8, power: 1.5 }, () => []],
  ['CosineAnnealingLR', { tMax: 3, etaMin: 0.01 }, () => []],
  ['CosineAnnealingWarmRestarts', { t0: 2, tMult: 2, etaMin: 0.01 }, () => []],
  ['OneCycleLR', { maxLr: [1, 2], totalSteps: 20 }, () => []],
  ['OneCycleLR', { maxLr: 1, epochs: 2, stepsPerEpoch: 10, threePhase: true, annealStrategy: 'linear' }, () => []],
  ['CyclicLR', { baseLr: 0.01, maxLr: [0.1, 0.2], stepSizeUp: 2, stepSizeDown: 3, mode: 'exp_range', gamma: 0.99 }, () => []],
  ['CyclicLR', { baseLr: 0.01, maxLr: 0.1, stepSizeUp: 3, scaleFn: (/** @type {number} */ x) => 1 / x, cycleMomentum: false }, () => []],
  ['LambdaLR', { lrLambda: [(/** @type {number} */ k) => 1 / (1 + k), () => 2] }, () => []],
  ['MultiplicativeLR', { lrLambda: () => 0.9 }, () => []],
  ['ReduceLROnPlateau', { patience: 1, cooldown: 1, minLr: [0.01, 0.02] }, (k) => [[1, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99][k % 7]]],
];

/** @param {torch.RMSprop} optimizer */
const ratesOf = (optimizer) => optimizer.paramGroups.map(({ lr, momentum }) => [lr, momentum]);

for (const [name, options, metrics] of everyScheduler) {
  const make = (/** @type {torch.RMSprop} */ optimizer) => new (/** @type {any} */ (lrScheduler)[name])(optimizer, options);
  test(`${name} ${JSON.stringify(options)} goes on after a save as if there had been none`, () => {
    const optimizer = scheduled();
    const scheduler = make(optimizer);
    for (let k = 0; k < 4; k++) scheduler.step(...metrics(k));
    const saved = JSON.parse(JSON.stringify([scheduler.stateDict(), optimizer.stateDict()]));
    const other = scheduled();
    const resumed = make(other);
    other.loadStateDict(saved[1]);
    // JSON has no infinity.
    resumed.loadStateDict(name === 'ReduceLROnPlateau' ? scheduler.stateDict() : saved[0]);
    assert.deepEqual(resumed.stateDict(), scheduler.stateDict());
    for (let k = 4; k < 12; k++) {
      scheduler.step(...metrics(k));
      resumed.step(...metrics(k));
      assert.deepEqual(ratesOf(other), ratesOf(optimizer));
      assert.deepEqual(resumed.getLastLr(), scheduler.getLastLr());
    }
  });

  test(`${name} ${JSON.stringify(options)} refuses unknown options, other optimizers and wrong state dicts`, () => {
    const optimizer = scheduled();
    const Scheduler = /** @type {any} */ (lrScheduler)[name];
    const before = ratesOf(optimizer);
    assert.throws(() => new Scheduler(optimizer, { ...options, gama: 1 }), TypeError);
    assert.throws(() => new Scheduler([], options), /^TypeError: .* is not an Optimizer/);
    assert.throws(() => new Scheduler(undefined, options), TypeError);
    assert.deepEqual(ratesOf(optimizer), before);
    assert.equal('initialLr' in optimizer.paramGroups[0], false);
    const scheduler = make(optimizer);
    const dict = scheduler.stateDict();
    for (const wrong of [null, { ...dict, last_epoch: '1' }, { ...dict, _last_lr: 3 }, { ...dict, _last_lr: [NaN] }]) {
      assert.throws(() => scheduler.loadStateDict(wrong), Error);
      assert.deepEqual(scheduler.stateDict(), dict);
    }
  });
}

test('options of schedulers that PyTorch refuses are refused, with its words', () => {
  /** @type {[string, any, RegExp][]} */
  const wrong = [
    ['StepLR', {}, /^TypeError: stepSize must be/], ['StepLR', { stepSize: 0 }, /^RangeError: stepSize/],
    ['StepLR', { stepSize: 2, gamma: NaN }, /^RangeError: gamma/], ['MultiStepLR', { milestones: 3 }, /^TypeError: milestones/],
    ['MultiStepLR', { milestones: [1.5] }, /^RangeError: milestones/], ['ExponentialLR', {}, /^TypeError: gamma/],
    ['ConstantLR', { factor: 0 }, /^RangeError: factor must be above 0, got 0/],
    ['PolynomialLR', { power: -1 }, /^RangeError: power must be at least 0, got -1/],
    ['LambdaLR', {}, /^TypeError: lrLambda must be a function, or one for each group, got undefined/],
    ['LambdaLR', { lrLambda: [() => 1] }, /^RangeError: Expected 2 lrLambdas, but got 1/],
    ['LambdaLR', { lrLambda: () => NaN }, /^RangeError: the result of lrLambda\(0\) must be a finite number, got NaN/],
    ['MultiplicativeLR', { lrLambda: [() => 1, 3] }, /^TypeError: lrLambda\[1\] must be of type function, got 3/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 9, divFactor: 0 }, /^RangeError: divFactor must be a finite number other than 0, got 0/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 9, finalDivFactor: 0 }, /^RangeError: finalDivFactor must be a finite number other than 0/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 10, pctStart: 0.1 }, /^RangeError: pctStart must leave no phase of 10 steps empty, phase 1 is/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 2, pctStart: 0.5 }, /^RangeError: pctStart must leave no phase of 2 steps empty, phase 1 is/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 9, pctStart: 1 }, /^RangeError: pctStart must leave no phase of 9 steps empty, phase 2 is/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 3, pctStart: 2 / 3, threePhase: true }, /^RangeError: pctStart must .* phase 3 is/],
    ['ConstantLR', { factor: 1.5 }, /^RangeError: Constant multiplicative factor expected to be between 0 and 1/],
    ['LinearLR', { startFactor: 0 }, /^RangeError: Starting multiplicative factor expected to be greater than 0/],
    ['LinearLR', { endFactor: 2 }, /^RangeError: Ending multiplicative factor expected to be between 0 and 1/],
    ['PolynomialLR', { power: '1' }, /^TypeError: power/], ['CosineAnnealingLR', { tMax: 0 }, /^RangeError: tMax/],
    ['CosineAnnealingWarmRestarts', { t0: 0 }, /^RangeError: Expected positive integer t0, but got 0/],
    ['CosineAnnealingWarmRestarts', { t0: 1, tMult: 0.5 }, /^RangeError: Expected integer tMult >= 1, but got 0.5/],
    ['OneCycleLR', { maxLr: 1 }, /^RangeError: You must define either totalSteps OR \(epochs AND stepsPerEpoch\)/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 0 }, /^RangeError: Expected positive integer totalSteps, but got 0/],
    ['OneCycleLR', { maxLr: 1, epochs: 1, stepsPerEpoch: 0.5 }, /^RangeError: Expected positive integer stepsPerEpoch, but got 0.5/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 9, pctStart: 2 }, /^RangeError: Expected float between 0 and 1 pctStart, but got 2/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 9, annealStrategy: 'x' }, /^RangeError: annealStrategy must be one of/],
    ['OneCycleLR', { maxLr: [1], totalSteps: 9 }, /^RangeError: maxLr must have the same length as optimizer.paramGroups/],
    ['CyclicLR', { baseLr: 1, maxLr: 2, mode: 'x' }, /^RangeError: mode is invalid and scaleFn is null/],
    ['CyclicLR', { baseLr: 1, maxLr: 2, scaleFn: 3 }, /^TypeError: scaleFn/], ['CyclicLR', { baseLr: 1 }, /^TypeError: maxLr/],
    ['ReduceLROnPlateau', { factor: 1 }, /^RangeError: Factor should be < 1.0/],
    ['ReduceLROnPlateau', { mode: 'x' }, /^RangeError: mode "x" is unknown!/],
    ['ReduceLROnPlateau', { thresholdMode: 'x' }, /^RangeError: threshold mode "x" is unknown!/],
    ['ReduceLROnPlateau', { minLr: [1] }, /^RangeError: minLr must have the same length/],
    ['StepLR', { stepSize: 2, lastEpoch: 3 }, /^RangeError: param 'initialLr' is not specified in paramGroups\[0\]/],
  ];
  for (const [name, options, message] of wrong) {
    const optimizer = scheduled();
    const before = optimizer.stateDict();
    assert.throws(() => new (/** @type {any} */ (lrScheduler)[name])(optimizer, options), message);
    assert.deepEqual(optimizer.stateDict(), before, `${name} ${message}`);
  }
});

test('a scheduler resumes by lastEpoch from the initial rates of the groups', () => {
  const whole = scheduled();
  const first = new lrScheduler.StepLR(whole, { stepSize: 3, gamma: 0.5 });
  for (let k = 0; k < 4; k++) first.step();
  const rest = new RMSprop([
    { params: parameters([[1]]), lr: 0.05, initialLr: 0.1 }, { params: parameters([[1]]), lr: 0.1, initialLr: 0.2 },
  ]);
  const second = new lrScheduler.StepLR(rest, { stepSize: 3, gamma: 0.5, lastEpoch: 3 });
  for (let k = 0; k < 5; k++) {
    assert.deepEqual(second.getLastLr(), first.getLastLr());
    first.step();
    second.step();
  }
});

test('warm restarts go to any epoch, in fractions too', () => {
  const one = scheduled();
  const other = scheduled();
  const options = { t0: 3, tMult: 2, etaMin: 0.001 };
  const steady = new lrScheduler.CosineAnnealingWarmRestarts(one, options);
  const jumping = new lrScheduler.CosineAnnealingWarmRestarts(other, options);
  for (let epoch = 1; epoch < 20; epoch++) {
    steady.step();
    jumping.step(epoch);
    assert.deepEqual(jumping.getLastLr(), steady.getLastLr(), `epoch ${epoch}`);
  }
  jumping.step(0.5);
  assert.ok(Math.abs(jumping.getLastLr()[0] - (0.001 + 0.099 * (1 + Math.cos(Math.PI / 6)) / 2)) < 1e-15);
  const before = jumping.stateDict();
  assert.throws(() => jumping.step(-1), /^RangeError: Expected non-negative epoch, but got -1/);
  assert.deepEqual(jumping.stateDict(), before);
});

test('a cosine that is loaded before its first step starts by the closed form, as PyTorch\'s', () => {
  const scheduler = new lrScheduler.CosineAnnealingLR(scheduled(), { tMax: 8, etaMin: 0.01 });
  scheduler.loadStateDict({ ...scheduler.stateDict(), _step_count: 0, last_epoch: 4 });
  scheduler.step();
  scheduler.getLastLr().forEach((lr, i) => {
    const expected = 0.01 + ((i + 1) / 10 - 0.01) * (1 + Math.cos(5 * Math.PI / 8)) / 2;
    assert.ok(Math.abs(lr - expected) < 1e-16, `${lr} is not ${expected}`);
  });
});

test('a cycle that is over refuses another step, and changes nothing', () => {
  const optimizer = scheduled();
  const scheduler = new lrScheduler.OneCycleLR(optimizer, { maxLr: 1, totalSteps: 5 });
  for (let k = 0; k < 5; k++) scheduler.step();
  const before = [scheduler.stateDict(), ratesOf(optimizer)];
  assert.throws(() => scheduler.step(), /^RangeError: Tried to step 6 times. The specified number of total steps is 5/);
  assert.deepEqual([scheduler.stateDict(), ratesOf(optimizer)], before);
});

test('a plateau refuses what is no metric, and more groups than its list of limits', () => {
  const optimizer = scheduled();
  const scheduler = new lrScheduler.ReduceLROnPlateau(optimizer, { patience: 0, minLr: [0, 0] });
  const simple = new lrScheduler.ReduceLROnPlateau(optimizer, { patience: 0 });
  assert.throws(() => scheduler.step(), /^TypeError: metrics must be a number/);
  scheduler.step(1);
  optimizer.addParamGroup({ params: parameters([[1]]), lr: 1 });
  const before = [scheduler.stateDict(), ratesOf(optimizer)];
  assert.throws(() => scheduler.step(NaN), /^Error: The number of param groups in the optimizer \(3\) differs/);
  assert.deepEqual([scheduler.stateDict(), ratesOf(optimizer)], before);
  simple.step(1);
  simple.step(NaN);
  assert.deepEqual(simple.getLastLr(), [0.1 * 0.1, 0.2 * 0.1, 1 * 0.1]);
});

test('a plateau takes over limits of another kind: one for each group instead of one for all', () => {
  const listed = new lrScheduler.ReduceLROnPlateau(scheduled(), { minLr: [0.01, 0.02] });
  const common = new lrScheduler.ReduceLROnPlateau(scheduled(), { minLr: 0.5 });
  const before = common.stateDict();
  common.loadStateDict(listed.stateDict());
  assert.deepEqual(common.stateDict(), listed.stateDict());
  common.loadStateDict(before);
  assert.deepEqual(common.stateDict(), before);
});

test('a scheduler that is made after loadStateDict says once that it changes the loaded rates', (t) => {
  const warn = t.mock.method(console, 'warn', () => {});
  const make = (/** @type {torch.RMSprop} */ optimizer) => new lrScheduler.LinearLR(optimizer, { startFactor: 0.25, totalIters: 4 });
  const first = scheduled();
  const scheduler = make(first);
  for (let k = 0; k < 6; k++) scheduler.step();
  const saved = first.stateDict();

  const right = scheduled();
  const resumed = make(right);
  right.loadStateDict(saved);
  resumed.loadStateDict(scheduler.stateDict());
  assert.deepEqual(resumed.getLastLr(), scheduler.getLastLr());
  assert.equal(warn.mock.callCount(), 0);

  const wrong = scheduled();
  wrong.loadStateDict(saved);
  new lrScheduler.StepLR(wrong, { stepSize: 2 });
  assert.equal(warn.mock.callCount(), 0, 'whose initial step changes nothing');
  wrong.loadStateDict(saved);
  make(wrong);
  make(wrong);
  assert.deepEqual(warn.mock.calls.map(({ arguments: [text] }) => text), [
    "LinearLR was made after the optimizer's loadStateDict: its initial step has changed paramGroups[0].lr from the loaded "
      + '0.10000000000000002 to 0.025000000000000005. Make schedulers first, then load the state dicts of the optimizer and of the '
      + 'schedulers.',
  ]);

  const sequence = scheduled();
  sequence.loadStateDict({ ...saved, param_groups: saved.param_groups.map((group) => ({ ...group, lr: 0.01 })) });
  const parts = [2, 3].map((tMax) => new lrScheduler.CosineAnnealingLR(sequence, { tMax }));
  assert.equal(warn.mock.callCount(), 1);
  new lrScheduler.SequentialLR(sequence, { schedulers: parts, milestones: [4] });
  assert.equal(warn.mock.callCount(), 2);

  const later = scheduled();
  later.loadStateDict(saved);
  for (const group of later.paramGroups) group.lr = 0.5;
  make(later);
  assert.equal(warn.mock.callCount(), 2, 'nothing that was loaded is changed');
});

test('a cosine goes on after 2^20 periods', () => {
  const scheduler = new lrScheduler.CosineAnnealingLR(scheduled(), { tMax: 10 });
  scheduler.loadStateDict({ ...scheduler.stateDict(), last_epoch: 2 ** 20 * 10 });
  scheduler.step();
  const expected = 0.1 * (1 + Math.cos(Math.PI / 10)) / 2;
  assert.ok(Math.abs(scheduler.getLastLr()[0] - expected) < 1e-9, `${scheduler.getLastLr()[0]} is not ${expected}`);
});

test('a schedule without milestones is saved and loaded', () => {
  const scheduler = new lrScheduler.MultiStepLR(scheduled(), { milestones: [] });
  scheduler.step();
  const file = torch.load(torch.save(scheduler.stateDict()));
  assert.deepEqual(file, scheduler.stateDict());
  const other = new lrScheduler.MultiStepLR(scheduled(), { milestones: [] });
  other.loadStateDict(file);
  other.step();
  assert.deepEqual(other.getLastLr(), [0.1, 0.2]);
});

test('a state dict with numbers that the constructor refuses is refused, and changes nothing', () => {
  /** @type {[string, any, any, RegExp][]} */
  const wrong = [
    ['StepLR', { stepSize: 2 }, { step_size: 0 }, /^RangeError: stepSize must be/],
    ['StepLR', { stepSize: 2 }, { gamma: NaN }, /^RangeError: gamma/],
    ['MultiStepLR', { milestones: [2] }, { milestones: { 3: 0.5 } }, /^RangeError: milestones\[3\] must be/],
    ['ConstantLR', {}, { factor: 0 }, /^RangeError: factor must be above 0/],
    ['CosineAnnealingLR', { tMax: 3 }, { T_max: 0 }, /^RangeError: tMax/],
    ['CosineAnnealingWarmRestarts', { t0: 3 }, { T_i: 0 }, /^RangeError: tI/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 9 }, { _schedule_phases: [{ end_step: 0 }] }, /^RangeError: _schedule_phases\[0\]\.start_lr/],
    ['OneCycleLR', { maxLr: 1, totalSteps: 9 }, { _anneal_func_type: 'x' }, /^RangeError: annealStrategy/],
    ['CyclicLR', { baseLr: 1, maxLr: 2 }, { total_size: 0 }, /^RangeError: total_size/],
    ['CyclicLR', { baseLr: 1, maxLr: 2 }, { max_lrs: [1] }, /^RangeError: max_lrs must have the same length/],
    ['ReduceLROnPlateau', {}, { mode: 'x' }, /^RangeError: mode "x" is unknown!/],
    ['LambdaLR', { lrLambda: () => 1 }, { lr_lambdas: [null] }, /^RangeError: lr_lambdas must be 2 times null/],
    ['LambdaLR', { lrLambda: () => 1 }, { lr_lambdas: [null, { k: 1 }] }, /^TypeError: lr_lambdas\[1\] must be null: functions are not saved/],
  ];
  for (const [name, options, change, message] of wrong) {
    const scheduler = new (/** @type {any} */ (lrScheduler)[name])(scheduled(), options);
    const before = scheduler.stateDict();
    assert.throws(() => scheduler.loadStateDict({ ...before, ...change }), message);
    assert.deepEqual(scheduler.stateDict(), before);
  }
});

test('composed schedulers refuse what cannot be composed, by name, and nothing has changed', () => {
  const { ChainedScheduler, ExponentialLR, LinearLR, ReduceLROnPlateau, SequentialLR } = lrScheduler;
  const optimizer = scheduled();
  const one = new ExponentialLR(optimizer, { gamma: 0.5 });
  const other = new ExponentialLR(scheduled(), { gamma: 0.5 });
  const plateau = new ReduceLROnPlateau(optimizer);
  const chain = new ChainedScheduler([one]);
  one.step();
  const look = () => [ratesOf(optimizer), one.stateDict(), chain.stateDict()];
  const before = look();
  const sequence = (/** @type {any} */ options) => () => new SequentialLR(optimizer, options);
  /** @type {[() => unknown, RegExp][]} */
  const wrong = [
    [sequence({ schedulers: [], milestones: [] }), /^RangeError: SequentialLR expects at least one scheduler, but got no scheduler/],
    [sequence({ schedulers: one, milestones: [] }), /^TypeError: schedulers must be an array, got ExponentialLR/],
    [sequence({ schedulers: [one, 3], milestones: [1] }), /^TypeError: SequentialLR expects schedulers, but got 3 at index 1/],
    [sequence({ schedulers: [one, plateau], milestones: [1] }), /^RangeError: SequentialLR does not support ReduceLROnPlateau/],
    [sequence({ schedulers: [one, other], milestones: [1] }), /^RangeError: SequentialLR expects all schedulers to belong to the same/],
    [sequence({ schedulers: [one, one] }), /^TypeError: milestones must be an array, got undefined/],
    [sequence({ schedulers: [one, one], milestones: [1, 2] }), /^RangeError: Sequential Schedulers expects number of schedulers/],
    [sequence({ schedulers: [one, one], milestones: [1.5] }), /^RangeError: milestones\[0\] must be an integer/],
    [sequence({ schedulers: [one, one, one], milestones: [5, 4] }), /^RangeError: milestones\[1\] must be an integer in \[5, /],
    [sequence({ schedulers: [one, chain], milestones: [1] }), /^RangeError: schedulers\[1\] must be a scheduler of its own/],
    [sequence({ schedulers: [one], milestone: [] }), /^TypeError: SequentialLR has no option "milestone"; did you mean "milestones"/],
    [() => new ChainedScheduler([]), /^RangeError: ChainedScheduler expects at least one scheduler/],
    [() => new ChainedScheduler([one, plateau]), /^RangeError: ChainedScheduler does not support ReduceLROnPlateau/],
    [() => new ChainedScheduler([one], { optimizer: other.optimizer }), /^RangeError: ChainedScheduler expects all schedulers to belong/],
    [() => chain.loadStateDict({}), /^TypeError: _schedulers must be an array/],
    [() => chain.loadStateDict({ _schedulers: [] }), /^RangeError: _schedulers must be the state dicts of 1 schedulers/],
    [() => chain.loadStateDict({ _schedulers: [{ last_epoch: 7 }], _last_lr: 3 }), /^TypeError: _last_lr must be an array/],
  ];
  for (const [call, message] of wrong) {
    assert.throws(call, message);
    assert.deepEqual(look(), before, `${message}`);
  }
  const empty = new LinearLR(scheduled(), { totalIters: 0 });
  const late = new ExponentialLR(/** @type {torch.RMSprop} */ (empty.optimizer), { gamma: 0.5 });
  assert.throws(() => new SequentialLR(empty.optimizer, { schedulers: [late, empty], milestones: [3] }),
    /^RangeError: totalIters of schedulers\[1\] must be above 0 in a SequentialLR, got 0/);
});

test('chained schedulers come first, as in Python, or behind the optimizer, as the options of every other scheduler', () => {
  const rates = [0, 1].map((form) => {
    const optimizer = scheduled();
    const schedulers = [0.5, 0.9].map((gamma) => new lrScheduler.ExponentialLR(optimizer, { gamma }));
    const chain = form === 0 ? new lrScheduler.ChainedScheduler(schedulers) : new lrScheduler.ChainedScheduler(optimizer, { schedulers });
    chain.step();
    return chain.getLastLr();
  });
  assert.deepEqual(rates[0], [0.1 * 0.5 * 0.9, 0.2 * 0.5 * 0.9]);
  assert.deepEqual(rates[1], rates[0]);
});

test('a warning that throws leaves no half of a scheduler', (t) => {
  const first = scheduled();
  new lrScheduler.LinearLR(first);
  const optimizer = scheduled();
  optimizer.loadStateDict(first.stateDict());
  const before = optimizer.stateDict();
  t.mock.method(console, 'warn', () => {
    throw new SyntaxError('mine');
  });
  assert.throws(() => new lrScheduler.LinearLR(optimizer), SyntaxError);
  assert.deepEqual(optimizer.stateDict(), before);
});

test('when one of chained schedulers fails, none has stepped', () => {
  const optimizer = scheduled();
  const fails = new lrScheduler.LambdaLR(optimizer, { lrLambda: (k) => (k > 2 ? NaN : 1) });
  const steady = new lrScheduler.ExponentialLR(optimizer, { gamma: 0.5 });
  const chain = new lrScheduler.ChainedScheduler([steady, fails]);
  chain.step();
  chain.step();
  const look = () => [ratesOf(optimizer), chain.stateDict()];
  const before = look();
  assert.throws(() => chain.step(), /^RangeError: the result of lrLambda\(3\) must be a finite number, got NaN/);
  assert.deepEqual(look(), before);
});

test('cycles move the momentum against the rate', () => {
  const optimizer = scheduled();
  const scheduler = new lrScheduler.CyclicLR(optimizer, { baseLr: 0.1, maxLr: 1, stepSizeUp: 2, baseMomentum: 0.5 });
  const seen = Array.from({ length: 5 }, () => {
    const [rates] = ratesOf(optimizer);
    scheduler.step();
    return rates;
  });
  assert.deepEqual(seen, [[0.1, 0.9], [0.55, 0.7], [1, 0.5], [0.55, 0.7], [0.1, 0.9]]);
});

test('one\'s own scheduler overrides getLr', () => {
  class Halving extends lrScheduler.LRScheduler {
    /** @param {torch.RMSprop} optimizer */
    constructor(optimizer) {
      super(optimizer);
      this.begin();
    }

    getLr() {
      if (this.lastEpoch > 2) throw new SyntaxError('mine');
      return this.baseLrs.map((lr) => lr / 2 ** this.lastEpoch);
    }
  }
  const optimizer = scheduled();
  const scheduler = new Halving(optimizer);
  scheduler.step();
  scheduler.step();
  assert.deepEqual(scheduler.getLastLr(), [0.025, 0.05]);
  assert.throws(() => scheduler.step(), SyntaxError);
  assert.equal(scheduler.lastEpoch, 2);
  assert.equal(scheduler.stepCount, 3);
  assert.throws(() => new lrScheduler.LRScheduler(optimizer).begin(), /must override getLr/);
});

test('the state dict of a scheduler has PyTorch\'s names', () => {
  const keys = (/** @type {any} */ scheduler) => Object.keys(scheduler.stateDict()).sort();
  const common = ['_get_lr_called_within_step', '_is_initial', '_last_lr', '_step_count', 'base_lrs', 'last_epoch'];
  assert.deepEqual(keys(new lrScheduler.StepLR(scheduled(), { stepSize: 2 })), [...common, 'gamma', 'step_size'].sort());
  assert.deepEqual(keys(new lrScheduler.CosineAnnealingLR(scheduled(), { tMax: 2 })), [...common, 'T_max', 'eta_min'].sort());
  assert.deepEqual(keys(new lrScheduler.CosineAnnealingWarmRestarts(scheduled(), { t0: 2 })),
    [...common, 'T_0', 'T_cur', 'T_i', 'T_mult', 'eta_min'].sort());
  assert.deepEqual(new lrScheduler.MultiStepLR(scheduled(), { milestones: [5, 2, 5] }).stateDict().milestones, { 2: 1, 5: 2 });
  assert.deepEqual(keys(new lrScheduler.ReduceLROnPlateau(scheduled())), [
    '_last_lr', 'best', 'cooldown', 'cooldown_counter', 'default_min_lr', 'eps', 'factor', 'last_epoch', 'min_lrs', 'mode',
    'mode_worse', 'num_bad_epochs', 'patience', 'threshold', 'threshold_mode',
  ]);
});

// ---- Averages ----

test('an average goes on after a save as if there had been none', () => {
  const random = randomNumbers(3);
  const next = () => Float32Array.from({ length: 5 }, random);
  const v = variable(next(), { name: 'v' });
  for (const options of [{}, { multiAvgFn: torch.swaUtils.getEmaMultiAvgFn(0.9) }, { avgFn: torch.swaUtils.getEmaAvgFn(0.9) }]) {
    const model = new torch.swaUtils.AveragedModel([['v', v]], options);
    for (let k = 0; k < 3; k++) {
      v.set(next());
      model.updateParameters();
    }
    const other = new torch.swaUtils.AveragedModel([['v', variable(new Float32Array(5))]], options);
    other.loadStateDict(torch.load(torch.save(model.stateDict())));
    for (let k = 0; k < 3; k++) {
      v.set(next());
      model.updateParameters();
      other.updateParameters([v]);
      assert.deepEqual(other.stateDict(), model.stateDict());
    }
  }
});

test('an average whose function fails is as it was, and gives its memory back', () => {
  const { AveragedModel } = torch.swaUtils;
  const memory = new Memory();
  const v = variable([1, 2], { memory });
  const before = [memory.bytesInUse, memory.tensorCount];
  const model = new AveragedModel([v], { multiAvgFn: (averaged, _current, n) => {
    averaged[0].set([n, n]);
    throw new SyntaxError('mine');
  } });
  model.updateParameters();
  assert.throws(() => model.updateParameters(), SyntaxError);
  assert.deepEqual([model.nAveraged, model.parameters()[0].toArray()], [1, [1, 2]]);
  const short = new AveragedModel([v], { avgFn: () => [1] });
  short.updateParameters();
  assert.throws(() => short.updateParameters(), RangeError);
  assert.equal(short.nAveraged, 1);
  model.dispose();
  short.dispose();
  short.dispose();
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], before);
  assert.throws(() => model.updateParameters(), /^Error: .* is disposed/);
});
