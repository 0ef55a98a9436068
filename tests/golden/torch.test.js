/**
 * What the real PyTorch 2.15 computed on its scalar CPU kernels, replayed: equal bits in every parameter, buffer and
 * counter, the same errors, state dicts and schedules; and PyTorch's own test of a small network in double.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { indexedSlices, readSafetensors, tensor, variable } from 'rmsprop-wasm';
import { RMSprop, clipGradNorm, clipGradValue, lrScheduler, save, swaUtils } from 'rmsprop-wasm/torch';
import { ulpDistance } from '../bits.js';
import { Tally, load, numbersOf } from '../replay.js';
import { SLOTS, camel, distances, fromEachState, grouped, optimizerOf, runOracle, takeStep } from '../torch-replay.js';

const recorded = load('torch_2.15.0_cpu_default.json');

test('the executed PyTorch 2.15.0 is met to the bit in every parameter, buffer and counter', (t) => {
  assert.equal(recorded.cases.length, 36);
  const tally = new Tally();
  const others = [];
  for (const c of recorded.cases) {
    if (c.dtype === 'bfloat16') {
      others.push(c.id);
      continue;
    }
    const run = grouped(c);
    const { id, steps } = run;
    tally.cases++;
    const ours = optimizerOf(run);
    const { variables, optimizer } = ours;
    for (const [k, step] of steps.entries()) {
      takeStep(ours, step);
      for (const [i, v] of variables.entries()) {
        const what = `${id}, step ${k}, parameter ${i}`;
        tally.equal(v.data, step.params[i], what);
        const state = /** @type {any} */ (optimizer.state.get(v) ?? {});
        for (const name of SLOTS) {
          assert.equal(state[name] === undefined, step.state[i][name] === undefined, `${what}, ${name}`);
          if (state[name]) tally.equal(state[name].data, step.state[i][name], `${what}, ${name}`);
        }
        assert.equal(state.step, step.state[i].step, what);
        // PyTorch leaves gradients as they are, and so does this.
        if (step.grads[i]) tally.equal(v.gradient.data, step.grads[i], `${what}, gradient`);
      }
    }
    optimizer.dispose();
  }
  assert.deepEqual(others, ['bfloat16_default', 'bfloat16_momentum', 'bfloat16_all']);
  assert.equal(tally.cases, 33);
  t.diagnostic(`PyTorch 2.15.0: ${tally}`);
  t.diagnostic(`not replayed, for want of the type: ${others.join(', ')}`);
});

test('the executed PyTorch 1.13.1 is met to the bit too, but for the older form of the mean gradient', (t) => {
  const tally = new Tally();
  const older = new Tally();
  const { cases } = load('torch_1.13.1_cpu_default.json');
  assert.equal(cases.length, 5);
  for (const run of cases.map((/** @type {any} */ c) => grouped(c))) {
    const [{ hyper }] = run.groups;
    if (hyper.centered) {
      older.cases++;
      // Up to 2.0, mg <- alpha mg + (1 - alpha) g instead of a lerp.
      runOracle({ fused: [], hasLerp: false }, run, (...values) => older.equal(...values));
    } else {
      tally.cases++;
    }
    const ours = optimizerOf(run);
    const { variables: [v], optimizer } = ours;
    for (const [k, step] of run.steps.entries()) {
      takeStep(ours, step);
      const { square_avg: average, momentum_buffer: buffer } = /** @type {any} */ (optimizer.state.get(v));
      const what = `${run.id}, step ${k}`;
      // Without weight decay the mean square does not depend on what is different.
      if (!hyper.centered || !hyper.weight_decay) tally.equal(average.data, step.state[0].square_avg, `${what}, square_avg`);
      if (hyper.centered) continue;
      tally.equal(v.data, step.params[0], what);
      if (buffer) tally.equal(buffer.data, step.state[0].momentum_buffer, `${what}, momentum_buffer`);
    }
    optimizer.dispose();
  }
  t.diagnostic(`PyTorch 1.13.1: ${tally}`);
  t.diagnostic(`PyTorch 1.13.1, centered, by the older formula in the oracle: ${older}`);
});

test('from each state of the untouched PyTorch, whose square root may be 1 ulp off, the next differs by 4 ulp', (t) => {
  const tally = new Tally();
  let largest = 0;
  for (const c of recorded.cases) {
    if (c.multi || c.dtype !== 'float32' || c.id.startsWith('edge')) continue;
    tally.cases++;
    fromEachState(grouped(c, c.steps), (at) => {
      for (const name of ['square_avg', 'grad_avg']) {
        if (at.state[name]) tally.equal(at.state[name].data, at.step.state[0][name], `${at.what}, ${name}`);
      }
      const { momentum, parameter } = distances(at);
      largest = Math.max(largest, momentum, parameter);
      assert.ok(largest <= 4, `${at.what}: momentum ${momentum} ulp, parameter ${parameter} ulp of the largest term`);
    });
  }
  t.diagnostic(`averages: ${tally}; the others: largest distance ${largest} ulp of the largest term`);
});

test('the mean gradient is PyTorch\'s for any alpha, also beyond 1', (t) => {
  const tally = new Tally();
  for (const { alpha, dtype, gradients, grad_avg: expected } of load('torch_centered.json').cases) {
    tally.cases++;
    const v = variable([1], { dtype });
    const optimizer = new RMSprop([v], { alpha, centered: true });
    for (const [k, gradient] of gradients.entries()) {
      v.gradient = [gradient];
      optimizer.step();
      tally.equal(/** @type {any} */ (optimizer.state.get(v)).grad_avg.data, [expected[k]], `alpha ${alpha}, ${dtype}, step ${k}`);
    }
  }
  assert.equal(tally.cases, 26);
  t.diagnostic(`${tally}`);
});

test('clip_grad_norm_ and clip_grad_value_ are met to the bit, the norm too', (t) => {
  assert.equal(recorded.clip.length, 5);
  const tally = new Tally();
  for (const c of recorded.clip) {
    tally.cases++;
    const variables = c.before.map((/** @type {string[]} */ bits) => variable(new Float32Array(bits.length)));
    c.before.forEach((/** @type {string[]} */ bits, /** @type {number} */ i) => {
      variables[i].gradient = numbersOf(bits);
    });
    if (c.id === 'clip_grad_norm_') {
      const normType = c.norm_type === 'inf' ? Infinity : c.norm_type;
      tally.equal([clipGradNorm(variables, c.max_norm, { normType })], c.total_norm, `norm of order ${normType}`);
    } else {
      assert.equal(c.id, 'clip_grad_value_');
      clipGradValue(variables, c.clip_value);
    }
    c.after.forEach((/** @type {string[]} */ bits, /** @type {number} */ i) =>
      tally.equal(variables[i].gradient.data, bits, `${c.id}, tensor ${i}`));
  }
  t.diagnostic(`clips: ${tally}`);
});

test('averages of weights are met to the bit, in each form', (t) => {
  const tally = new Tally();
  const { cases } = load('torch_averages.json');
  for (const { function: name, decay, dtype, steps, state_dict: shapes, n_averaged: count } of cases) {
    tally.cases++;
    const make = name === null ? null : /** @type {any} */ (swaUtils)[Object.keys(camel({ [name]: 0 }))[0]];
    const fn = make && (decay === null ? make() : make(decay));
    const weight = variable(new Float32Array(6), { shape: [2, 3], dtype });
    const bias = variable([0, 0], { dtype });
    const model = new swaUtils.AveragedModel([['weight', weight], ['bias', bias]],
      fn ? { [/multi/.test(name) ? 'multiAvgFn' : 'avgFn']: fn } : {});
    for (const [k, [parameters, averages]] of steps.entries()) {
      weight.set(numbersOf(parameters[0]));
      bias.set(numbersOf(parameters[1]));
      model.updateParameters();
      model.parameters().forEach((average, i) => tally.equal(average.data, averages[i], `${name} ${decay}, ${dtype}, step ${k}`));
    }
    const state = model.stateDict();
    assert.equal(state.n_averaged, count);
    assert.deepEqual(Object.keys(state), Object.keys(shapes));
    const { tensors } = readSafetensors(save(state));
    for (const [key, { shape }] of tensors) assert.deepEqual(shape, shapes[key], key);
    assert.equal(tensors.size, 2);
  }
  assert.equal(tally.cases, 30);
  for (const { id, decay, steps } of recorded.ema) {
    tally.cases++;
    const make = /** @type {any} */ (swaUtils)[Object.keys(camel({ [id]: 0 }))[0]];
    const key = /multi/.test(id) ? 'multiAvgFn' : 'avgFn';
    const v = variable(numbersOf(steps[0].param));
    const model = new swaUtils.AveragedModel([v], make ? { [key]: make(decay) } : {});
    for (const { param, average, n_averaged: n } of steps) {
      v.set(numbersOf(param));
      model.updateParameters();
      tally.equal(model.parameters()[0].data, average, `${id} ${decay}`);
      assert.equal(model.nAveraged, n);
    }
  }
  t.diagnostic(`averages: ${tally}`);
});

test('clip_grad_norm_ is met to the bit in every order, where sums are long or overflow too', (t) => {
  const { cases } = load('torch_clip.json');
  const tally = new Tally();
  for (const c of cases) {
    tally.cases++;
    const variables = c.before.map((/** @type {string[]} */ bits) => {
      const gradient = numbersOf(bits);
      const v = variable(gradient, { dtype: gradient instanceof Float64Array ? 'float64' : 'float32' });
      v.gradient = gradient;
      return v;
    });
    const total = clipGradNorm(variables, c.max_norm, { normType: Number(c.norm_type === 'inf' ? Infinity
      : c.norm_type === '-inf' ? -Infinity : c.norm_type) });
    const what = `norm of order ${c.norm_type} of ${c.before.map((/** @type {string[]} */ { length }) => length)} elements`;
    tally.equal([total], c.total, what);
    c.after.forEach((/** @type {string[]} */ bits, /** @type {number} */ i) =>
      tally.equal(variables[i].gradient.data, bits, `${what}, tensor ${i}`));
  }
  assert.ok(tally.cases >= 30);
  t.diagnostic(`clips: ${tally}`);
});

test('what PyTorch refuses is refused, with the same kind of error and the same information', (t) => {
  const parameter = () => variable([1, 1]);
  const withGradient = (/** @type {any} */ gradient) => Object.assign(parameter(), { gradient });
  const shared = parameter();
  t.mock.method(console, 'warn', () => {});
  /** @type {Record<string, () => unknown>} */
  const calls = {
    'empty list': () => new RMSprop([]),
    'a tensor instead of a list': () => new RMSprop(/** @type {any} */ (parameter())),
    'not a tensor': () => new RMSprop(/** @type {any} */ ([3])),
    'two-element lr': () => new RMSprop([parameter()], { lr: tensor([0.1, 0.2]) }),
    'duplicate in one group': () => new RMSprop([shared, shared]),
    'duplicate in two groups': () => new RMSprop([{ params: [shared] }, { params: [shared] }]),
    'sparse gradient': () => new RMSprop([withGradient(indexedSlices([2], [1]))]).step(),
    'all gradients None': () => new RMSprop([parameter()]).step(),
    'load_state_dict, other group size': () =>
      new RMSprop([parameter()]).loadStateDict(new RMSprop([parameter(), parameter()]).stateDict()),
    'load_state_dict, other group count': () =>
      new RMSprop([parameter()]).loadStateDict(new RMSprop([{ params: [parameter()] }, { params: [parameter()] }]).stateDict()),
    'clip_grad_norm_ error_if_nonfinite': () => clipGradNorm([withGradient([NaN, 1])], 1, { errorIfNonfinite: true }),
  };
  for (const { id } of recorded.errors) {
    const [, name, value] = /^(\w+)=(.+)$/.exec(id) ?? [];
    if (name) calls[id] = () => new RMSprop([parameter()], camel({ [name]: value === 'nan' ? NaN : Number(value) }));
  }
  /** Python's kinds, and what they are in JavaScript. @type {Record<string, Function>} */
  const kinds = { ValueError: RangeError, TypeError, RuntimeError: Error };
  /** Where Python's words have others here. @type {[string, string][]} */
  const words = [
    ['nan', 'NaN'], ['iterable of Tensors or dicts', 'iterable of variables or groups'], ['torch.FloatTensor', 'Variable'],
    ['optimize Tensors', 'optimize variables'], ['is float', 'is 3'], ['`parameters`', '`params`'], ['order 2.0', 'order 2'],
    ['error_if_nonfinite=False', 'errorIfNonfinite: false'],
  ];
  const others = [];
  let count = 0;
  for (const { id, error, message } of recorded.errors) {
    // A variable is always a leaf.
    if (id === 'non-leaf') {
      others.push(id);
      continue;
    }
    assert.ok(id in calls, id);
    count++;
    if (error === null) {
      assert.doesNotThrow(calls[id], id);
      continue;
    }
    let expected = message;
    for (const [python, ours] of words) expected = expected.replace(python, ours);
    assert.throws(calls[id], (/** @type {any} */ thrown) => {
      assert.equal(thrown.constructor, kinds[error], `${id}: ${thrown}`);
      assert.ok(thrown.message.startsWith(expected), `${id}: ${thrown.message}`);
      return true;
    });
  }
  t.diagnostic(`${count} of ${recorded.errors.length} conditions; no counterpart: ${others.join(', ')}`);
  assert.equal(count, 24);
});

test('the state dict has the layout, the names and the order of the recorded one', () => {
  const layout = recorded.state_dict;
  const parameters = [2, 3, 1].map((length) => variable(new Float32Array(length).fill(1)));
  const optimizer = new RMSprop(parameters, { momentum: 0.9, centered: true });
  for (const i of [0, 2]) parameters[i].gradient = new Float32Array(parameters[i].size).fill(1);
  optimizer.step();
  const dict = optimizer.stateDict();
  assert.deepEqual(Object.keys(dict), layout.top_level);
  assert.deepEqual(Object.keys(dict.state), layout.state_keys.map(String));
  assert.deepEqual(Object.keys(dict.state[0]), layout.state_entry);
  assert.equal(dict.state[0].step, 1);
  assert.deepEqual(dict.param_groups, layout.param_groups);
  assert.deepEqual(Object.keys(dict.param_groups[0]), Object.keys(layout.param_groups[0]));
});

for (const c of load('schedules_torch_optax.json').cases) {
  if (c.framework !== 'torch') continue;
  test(`${c.name} ${JSON.stringify(c.args)} gives the recorded rates of 30 steps to the float32`, (t) => {
    const optimizer = new RMSprop([variable([0])], { lr: c.base_lr, momentum: 0.9 });
    const scheduler = new (/** @type {any} */ (lrScheduler)[c.name])(optimizer, camel(c.args));
    const [group] = optimizer.paramGroups;
    let equal = 0;
    assert.equal(c.lr.length, 30);
    for (const [k, lr] of c.lr.entries()) {
      assert.equal(ulpDistance(Number(group.lr), lr), 0, `step ${k} gives ${group.lr}, not ${lr}`);
      if (c.momentum) assert.equal(ulpDistance(group.momentum, c.momentum[k]), 0, `step ${k}, momentum`);
      assert.deepEqual(scheduler.getLastLr(), [group.lr]);
      equal += Number(group.lr === lr);
      scheduler.step(...(c.metrics ? [c.metrics[k]] : []));
    }
    t.diagnostic(`30 float32 equal, ${equal} of them in float64 too`);
  });
}

/**
 * PyTorch's own network: Linear(2, 3), sigmoid, Linear(3, 1), sigmoid; the loss is the sum of the outputs.
 *
 * @param {number[][]} inputs
 * @param {readonly import('../../js/tensor.js').Variable[]} parameters
 * @returns {{ loss: number, gradients: number[][] }}
 */
function network(inputs, parameters) {
  const [w1, b1, w2, b2] = parameters.map(({ data }) => data);
  const sigmoid = (/** @type {number} */ x) => 1 / (1 + Math.exp(-x));
  const gradients = parameters.map(({ size }) => new Array(size).fill(0));
  let loss = 0;
  for (const x of inputs) {
    const hidden = Array.from(b1, (b, j) => sigmoid(w1[2 * j] * x[0] + w1[2 * j + 1] * x[1] + b));
    const output = sigmoid(hidden.reduce((sum, h, j) => sum + w2[j] * h, b2[0]));
    loss += output;
    const outputDelta = output * (1 - output);
    gradients[3][0] += outputDelta;
    hidden.forEach((h, j) => {
      gradients[2][j] += outputDelta * h;
      const delta = outputDelta * w2[j] * h * (1 - h);
      gradients[1][j] += delta;
      gradients[0][2 * j] += delta * x[0];
      gradients[0][2 * j + 1] += delta * x[1];
    });
  }
  return { loss, gradients };
}

for (const golden of load('torch_golden.json').cases) {
  test(`golden case ${golden.id}: ${golden.what}`, (t) => {
    const shapes = [[3, 2], [3], [1, 3], [1]];
    const parameters = golden.init.map((/** @type {number[]} */ values, /** @type {number} */ i) =>
      variable(values, { dtype: 'float64', shape: shapes[i] }));
    const optimizer = new RMSprop(parameters, camel(golden.hyper));
    const { rtol, atol } = golden.tolerance;
    let compared = 0;
    for (let i = 0; i <= 1000; i++) {
      const loss = optimizer.step((...variables) => network(golden.X, variables));
      assert.equal(typeof loss, 'number');
      golden.expect_at[i]?.forEach((/** @type {number[]} */ values, /** @type {number} */ k) => values.forEach((x, j) => {
        const actual = parameters[k].data[j];
        compared++;
        assert.ok(Math.abs(actual - x) <= atol + rtol * Math.abs(x), `step ${i}, ${golden.param_names[k]}[${j}] is ${actual}, not ${x}`);
      }));
    }
    assert.equal(compared, 11 * 13);
    t.diagnostic(`${compared} values within the project's own tolerance`);
  });
}
