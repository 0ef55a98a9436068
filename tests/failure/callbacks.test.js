/**
 * Callbacks that throw, come back into the optimizer, dispose what it works on or let memory grow under it; hooks that are
 * rejected, never settle, or settle when nobody waits any more.
 */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { LossScaleOptimizer, Memory, RMSprop, indexedSlices, tensor, variable, zeros } from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';
import * as optax from 'rmsprop-wasm/optax';
import * as torch from 'rmsprop-wasm/torch';
import * as v1 from 'rmsprop-wasm/v1';
import { bitsOf, mine } from './table.js';

/** @typedef {any} Any */
/** @typedef {{ step: () => unknown, state: () => Any[], again: () => unknown, dispose: () => void }} Made */

const PAGE = 65536;
const gradients = [[1, -1, 2], [[3, 4]]];

/**
 * Each optimizer with a callback that it asks in a step; `again` steps it from inside.
 *
 * @type {Record<string, (variables: Any[], ask: () => number) => Made>}
 */
const optimizers = {
  'RMSprop': (variables, ask) => keras(new RMSprop({ learningRate: ask, momentum: 0.9, centered: true, useEma: true }), variables),
  'RMSprop, global norm': (variables, ask) => keras(new RMSprop({ rho: ask, globalClipnorm: 1, weightDecay: 0.1 }), variables),
  'RMSprop, keras-2.11': (variables, ask) => keras(new RMSprop({ momentum: ask, rule: 'keras-2.11' }), variables),
  'RMSprop, aggregated': (variables, ask) => keras(new RMSprop({ learningRate: ask, aggregateGradients: () => {} }), variables),
  'LossScaleOptimizer': (variables, ask) => keras(new LossScaleOptimizer(new RMSprop({ learningRate: ask })), variables),
  'legacy': (variables, ask) => {
    const it = new legacy.RMSprop({ learningRate: ask, momentum: 0.9, clipnorm: 1 });
    const step = () => it.applyGradients(pairsOf(variables));
    return { step, again: step, state: () => it.weights, dispose: () => it.dispose() };
  },
  'v1': (variables, ask) => {
    const it = new v1.RMSPropOptimizer({ learningRate: ask, momentum: 0.9 });
    const step = () => it.applyGradients(pairsOf(variables));
    return { step, again: step, state: () => it.variables(), dispose: () => it.dispose() };
  },
};

/** @param {Any} it @param {Any[]} variables @returns {Made} */
function keras(it, variables) {
  const step = () => it.apply(gradients, variables);
  return { step, again: step, state: () => it.variables, dispose: () => it.dispose() };
}

/** @param {Any[]} variables @returns {Any} */
const pairsOf = (variables) => variables.map((each, i) => [gradients[i], each]);

/** @param {Memory} memory */
const pair = (memory) => [variable([1, 2, 3], { memory, name: 'a' }), variable([[4, 5]], { memory, name: 'b' })];

for (const [name, make] of Object.entries(optimizers)) {
  test(`${name}: a first step whose callback throws, or gives NaN, builds nothing; a later one changes nothing`, () => {
    const memory = new Memory();
    const variables = pair(memory);
    let rate = () => 0.1;
    const made = make(variables, () => rate());
    const trace = () => [bitsOf([...variables, ...made.state()]), memory.bytesInUse, memory.tensorCount,
      Memory.default.bytesInUse, Memory.default.tensorCount];
    for (let round = 0; round < 2; round++) {
      const before = trace();
      for (const bad of [() => { throw mine; }, () => NaN, () => Infinity, () => /** @type {Any} */ ('0.1'), () => made.again()]) {
        rate = /** @type {Any} */ (bad);
        assert.throws(made.step);
        assert.deepEqual(trace(), before, `round ${round}: ${bad}`);
      }
      rate = () => 0.1;
      made.step();
      assert.notDeepEqual(trace(), before);
    }
    made.dispose();
  });

  test(`${name}: memory that grows under a callback, a constraint or outside changes no bit`, () => {
    const run = (/** @type {boolean} */ grows) => {
      const memory = new Memory({ initialBytes: PAGE });
      const variables = pair(memory);
      /** @type {Any[]} */
      const taken = [];
      const grow = () => {
        if (grows) taken.push(zeros([PAGE / 4], { memory }));
      };
      variables[1].constraint = grow;
      const made = make(variables, () => {
        grow();
        return 0.1;
      });
      for (let i = 0; i < 3; i++) {
        if (grows) memory.wasmMemory.grow(1);
        made.step();
      }
      const bits = bitsOf([...variables, ...made.state()]);
      made.dispose();
      for (const each of taken) each.dispose();
      return bits;
    };
    assert.equal(run(true), run(false));
  });

  test(`${name}: a callback that disposes a variable or a slot is noticed before a byte is written`, () => {
    for (const victim of ['variable', 'slot']) {
      const memory = new Memory();
      const [a, b] = pair(memory);
      let strikes = false;
      const made = make([a, b], () => {
        if (strikes && victim === 'variable') b.dispose();
        else if (strikes) made.state().at(-1).dispose();
        return 0.1;
      });
      made.step();
      const before = bitsOf([a, ...made.state().slice(0, 2)]);
      strikes = true;
      assert.throws(made.step, { name: 'Error', message: /(variable "b"|tensor of shape \[(1,2)?\]) is disposed$/ }, victim);
      strikes = false;
      assert.equal(bitsOf([a, ...made.state().slice(0, 2)]), before, victim);
    }
  });
}

test('a gradient tensor that a callback disposes is noticed before a byte is written', () => {
  const memory = new Memory();
  const [a, b] = pair(memory);
  let gradient = tensor([[3, 4]], { memory });
  let strikes = false;
  const optimizer = new RMSprop({ learningRate: () => {
    if (strikes) gradient.dispose();
    return 0.1;
  } });
  optimizer.apply([[1, 1, 1], gradient], [a, b]);
  const before = bitsOf([a, b, ...optimizer.variables]);
  strikes = true;
  assert.throws(() => optimizer.apply([[1, 1, 1], gradient], [a, b]), /^Error: tensor of shape \[1,2\] is disposed$/);
  assert.equal(bitsOf([a, b, ...optimizer.variables]), before);
  strikes = false;
  gradient = tensor([[3, 4]], { memory });
  optimizer.apply([[1, 1, 1], gradient], [a, b]);
  assert.equal(optimizer.iterations, 2);
});

test('a loss function that comes back into the optimizer is refused, but for zeroGrad; so is one that disposes what is trained', () => {
  const memory = new Memory();
  const [a, b] = pair(memory);
  /** @type {Any} */
  const it = new torch.RMSprop([a, b], { momentum: 0.9 });
  const before = bitsOf([a, b]);
  for (const call of ['step', 'loadStateDict', 'addParamGroup', 'dispose']) {
    assert.throws(() => it.step(() => {
      it[call](7);
      return { loss: 1, gradients };
    }), { name: 'Error', message: `${call} of the optimizer cannot be used: a loss function runs` });
    assert.equal(bitsOf([a, b]), before, call);
    assert.equal(it.state.size, 0);
  }
  assert.throws(() => it.step(() => {
    b.dispose();
    return { loss: 1, gradients };
  }), /^Error: variable "b" is disposed$/);
  assert.equal(bitsOf([a]), before.slice(0, bitsOf([a]).length));
  a.gradient = [9, 9, 9];
  it.step(() => {
    it.zeroGrad();
    return { loss: 1, gradients: [gradients[0], null] };
  });
  assert.equal(a.gradient, null);
  assert.equal(it.state.get(a).step, 1);
});

test('torch: a constraint may read, and is refused by name whatever writes; the step stands and the next one runs', () => {
  const memory = new Memory();
  const [a, b] = pair(memory);
  /** @type {Any} */
  const it = new torch.RMSprop([a, b], { momentum: 0.9 });
  let call = '';
  a.constraint = () => {
    assert.equal(it.paramGroups.length, 1);
    it[call](7);
  };
  for (const [i, name] of ['step', 'loadStateDict', 'addParamGroup', 'zeroGrad', 'dispose'].entries()) {
    call = name;
    assert.throws(() => it.step(() => ({ loss: 1, gradients })),
      { name: 'Error', message: `${name} of the optimizer cannot be used: a constraint runs` });
    assert.equal(it.state.get(a).step, i + 1, name);
    assert.equal(it.state.get(b).step, i + 1, name);
  }
});

test('optax: a schedule that disposes the state, or what memory it leaves to others, changes no byte', () => {
  const memory = new Memory();
  const x = variable([1, 2, 3], { memory });
  const grads = tensor([1, 1, 1], { memory });
  let strikes = false;
  /** @type {Any[]} */
  const others = [];
  const it = optax.rmsprop({ learningRate: () => {
    if (strikes) {
      optax.disposeState(state);
      while (others.length < 20) others.push(tensor(new Float32Array(40).fill(7), { memory }));
    }
    return 0.1;
  }, momentum: 0.9 });
  const state = it.init(x);
  it.step(grads, state, x);
  const before = bitsOf([x]);
  strikes = true;
  for (const call of [() => it.step(grads, state, x), () => it.update(grads, state)]) assert.throws(call, /disposed$/);
  assert.equal(bitsOf([x]), before);
  for (const other of others) assert.ok(other.data.every((/** @type {number} */ value) => value === 7));
});

test('legacy: an initializer that comes back, or disposes the variable, makes nothing', () => {
  const memory = new Memory();
  const [a] = pair(memory);
  const it = new legacy.RMSprop();
  const before = [memory.bytesInUse, memory.tensorCount];
  assert.throws(() => it.addSlot(a, 'mine', () => {
    it.addSlot(a, 'mine');
    return [1, 2, 3];
  }), /^Error: addSlot of optimizer "RMSprop" cannot be used: a callback runs$/);
  assert.deepEqual([memory.bytesInUse, memory.tensorCount], before);
  assert.throws(() => it.addSlot(a, 'rms', () => {
    a.dispose();
    return [1, 2, 3];
  }), /^Error: variable "a" is disposed$/);
  assert.deepEqual(it.weights, []);
});

test('a constraint that throws or disposes leaves the update of all others, and the call counts', () => {
  const run = (/** @type {(v: Any) => void} */ constraint) => {
    const memory = new Memory();
    const [a, b, c] = [...pair(memory), variable([6], { memory })];
    const optimizer = new RMSprop({ momentum: 0.9 });
    optimizer.build([a, b, c]);
    a.constraint = constraint;
    let error;
    try {
      optimizer.apply([...gradients, [1]], [a, b, c]);
    } catch (thrown) {
      error = thrown;
    }
    return { error, bits: bitsOf([b, c, ...optimizer.variables]), iterations: optimizer.iterations };
  };
  const expected = run(() => {});
  assert.deepEqual(run(() => { throw mine; }), { ...expected, error: mine });
  assert.deepEqual(run((v) => v.dispose()), expected);
});

// ---- Hooks ----

/** An optimizer under a hook, and all that a step changes. @param {Any} hook @param {object} [given] */
function aggregated(hook, given = {}) {
  const memory = new Memory();
  const variables = pair(memory);
  const it = new RMSprop({ aggregateGradients: hook, momentum: 0.9, ...given });
  it.build(variables);
  variables.forEach((each, i) => each.gradientBuffer().set(/** @type {Any} */ (gradients[i])));
  const trace = () => [bitsOf([...variables, ...it.variables]), it.iterations, memory.bytesInUse, memory.tensorCount];
  return { memory, variables, it, trace };
}

test('a hook that throws or is rejected changes nothing, and the next step works', async () => {
  /** @type {Any} */
  let act = async () => { throw mine; };
  const { it, trace } = aggregated((/** @type {Any} */ flat) => act(flat));
  const before = trace();
  await assert.rejects(it.stepAsync(), mine);
  await assert.rejects(it.stepAsync({ signal: new AbortController().signal }), mine);
  act = () => { throw mine; };
  await assert.rejects(it.stepAsync(), mine);
  assert.throws(() => it.step(), mine);
  act = async () => {};
  assert.throws(() => it.step(), /^TypeError: aggregateGradients must be synchronous here, got a promise/);
  act = () => Promise.reject(mine);
  assert.throws(() => it.step(), /^TypeError: aggregateGradients must be synchronous here, got a promise/);
  assert.deepEqual(trace(), before);
  act = async () => {};
  await it.stepAsync();
  assert.equal(it.iterations, 1);
});

test('a first call that is rejected or given up builds nothing', async () => {
  for (const giveUp of [false, true]) {
    const memory = new Memory();
    const variables = pair(memory);
    const controller = new AbortController();
    const it = new RMSprop({ aggregateGradients: giveUp ? () => new Promise(() => {}) : async () => { throw mine; } });
    const before = [memory.bytesInUse, memory.tensorCount];
    const call = it.applyGradientsAsync(pairsOf(variables), { signal: controller.signal });
    controller.abort(mine);
    await assert.rejects(call, mine);
    assert.deepEqual([memory.bytesInUse, memory.tensorCount], before);
    assert.equal(it.getSlot(variables[0], 'velocity'), null);
  }
});

test('a hook that never settles is given up by a signal: nothing has changed, and the optimizer can be used at once', async () => {
  for (const given of [{}, { lossScaleFactor: 2 }, { globalClipnorm: 1 }]) {
    /** @type {Float32Array[]} */
    const handed = [];
    let settle = () => {};
    /** @type {Any} */
    let act = (/** @type {Float32Array} */ flat, /** @type {Any} */ info) => {
      handed.push(flat);
      assert.ok(info.signal instanceof AbortSignal);
      return new Promise((resolve) => { settle = () => resolve(undefined); });
    };
    const { it, trace } = aggregated((/** @type {Any} */ flat, /** @type {Any} */ info) => act(flat, info), given);
    const before = trace();
    const controller = new AbortController();
    const step = it.stepAsync({ signal: controller.signal });
    assert.throws(() => it.step(), /aggregateGradients has not settled$/);
    controller.abort(mine);
    await assert.rejects(step, mine);
    assert.deepEqual(trace(), before);

    // The hook goes on, and writes to what it was handed, while others use the optimizer.
    act = () => {};
    it.step();
    handed[0].fill(NaN);
    it.step();
    settle();
    await null;
    it.step();
    assert.equal(it.iterations, 3);
    const alone = aggregated(() => {}, given);
    for (let i = 0; i < 3; i++) alone.it.step();
    assert.deepEqual(trace()[0], alone.trace()[0]);
  }
});

test('a hook that settles after its call was given up and the optimizer disposed touches nothing', async () => {
  let settle = () => {};
  /** @type {Any} */
  let flat;
  const { it, memory } = aggregated((/** @type {Any} */ given) => {
    flat = given;
    return new Promise((resolve) => { settle = () => resolve(undefined); });
  });
  const controller = new AbortController();
  const step = it.stepAsync({ signal: controller.signal });
  assert.throws(() => it.dispose(), /aggregateGradients has not settled$/);
  controller.abort();
  await assert.rejects(step, { name: 'AbortError' });
  it.dispose();
  const others = Array.from({ length: 20 }, () => tensor(new Float32Array(20).fill(7), { memory }));
  const before = memory.bytesInUse;
  flat.fill(NaN);
  settle();
  await new Promise((resolve) => { setImmediate(resolve); });
  assert.ok(others.every(({ data }) => data.every((value) => value === 7)));
  assert.equal(memory.bytesInUse, before);
});

test('with a signal that is never given a call is the same to the bit, and leaves no listener', async () => {
  const hook = async (/** @type {Float32Array} */ flat) => {
    await null;
    flat.forEach((value, i) => { flat[i] = value / 2; });
  };
  const [plain, watched] = [aggregated(hook), aggregated(hook)];
  const { signal } = new AbortController();
  for (let i = 0; i < 3; i++) {
    await plain.it.stepAsync();
    plain.variables.forEach((each, k) => each.gradientBuffer().set(/** @type {Any} */ (gradients[k])));
    await watched.it.stepAsync({ signal });
    watched.variables.forEach((each, k) => each.gradientBuffer().set(/** @type {Any} */ (gradients[k])));
  }
  assert.deepEqual(watched.trace(), plain.trace());
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('memory that grows while a hook runs is an error where the hook works in place, and none where it has a copy', async () => {
  const { it, memory, trace } = aggregated(async () => {
    await null;
    zeros([memory.buffer.byteLength / 4], { memory }).dispose();
  });
  const before = trace();
  await assert.rejects(it.stepAsync(), /^Error: the buffer of aggregateGradients must stay attached/);
  assert.deepEqual(trace(), before);
  await it.stepAsync({ signal: new AbortController().signal });
  assert.equal(it.iterations, 1);
});

test('withAverages that never settles is given up by a signal: the weights are back, bit for bit', async () => {
  const memory = new Memory();
  const variables = pair(memory);
  const it = new RMSprop({ useEma: true, emaMomentum: 0.5 });
  for (let i = 0; i < 3; i++) it.apply(gradients, variables);
  const before = bitsOf([...variables, ...it.variables]);
  const controller = new AbortController();
  const waiting = it.withAverages(() => new Promise(() => {}), { signal: controller.signal });
  assert.notEqual(bitsOf([...variables, ...it.variables]), before);
  controller.abort(mine);
  await assert.rejects(waiting, mine);
  assert.equal(bitsOf([...variables, ...it.variables]), before);
  assert.equal(await it.withAverages(async () => 7, { signal: new AbortController().signal }), 7);
  assert.equal(bitsOf([...variables, ...it.variables]), before);
});

test('withAverages whose function disposes a variable puts the others back', () => {
  const memory = new Memory();
  const [a, b] = pair(memory);
  const it = new RMSprop({ useEma: true, emaMomentum: 0.5 });
  for (let i = 0; i < 3; i++) it.apply(gradients, [a, b]);
  const before = bitsOf([b]);
  it.withAverages(() => a.dispose());
  assert.equal(bitsOf([b]), before);
});

test('slices whose tensor is disposed before the step are noticed', () => {
  const memory = new Memory();
  const [a] = pair(memory);
  const rows = tensor([1], { memory });
  const slices = indexedSlices(rows, [2]);
  const it = new RMSprop();
  it.build([a]);
  a.gradient = slices;
  rows.dispose();
  const before = bitsOf([a, ...it.variables]);
  assert.throws(() => it.step(), /^Error: tensor of shape \[1\] is disposed$/);
  assert.equal(bitsOf([a, ...it.variables]), before);
});
