/**
 * Values of another realm (an iframe, a test runner's context) and of another copy of the package (CommonJS beside ESM) are
 * what they are, in every façade; what only says that it is something is not.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import vm from 'node:vm';
import * as main from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';
import { loadFile, saveFile } from 'rmsprop-wasm/node';
import * as optax from 'rmsprop-wasm/optax';
import { toBlob } from 'rmsprop-wasm/storage';
import { readTfjsFile, writeTfjsFile } from 'rmsprop-wasm/tfjs-files';
import * as torch from 'rmsprop-wasm/torch';
import * as v1 from 'rmsprop-wasm/v1';
import {
  arrayKind, hasBrand, isArrayBuffer, isBytes, isError, isMap, isPlain, isRegExp, isTypedArray, isUrl, isWasmMemory,
  isWasmModule,
} from '../../js/core/identity.js';

const { RMSprop, variable } = main;

/** @type {(code: string, names?: Record<string, unknown>) => any} */
const foreign = (code, names = {}) => vm.runInNewContext(code, names);
/** A tree like this one, all of another realm: its objects, arrays and typed arrays. @type {(tree: any) => any} */
const moved = (tree) => {
  const { plain, list, typed } = foreign(`({
    plain: (entries) => Object.fromEntries(entries), list: (items) => [...items], typed: (kind, items) => globalThis[kind].from(items),
  })`);
  /** @type {(node: any) => any} */
  const move = (node) => {
    if (ArrayBuffer.isView(node)) return typed(arrayKind(node), /** @type {any} */ (node));
    if (Array.isArray(node)) return list(node.map(move));
    return node?.constructor === Object ? plain(Object.entries(node).map(([key, value]) => [key, move(value)])) : node;
  };
  return move(tree);
};

test('built-ins are known by their slots', () => {
  const empty = '0, 97, 115, 109, 1, 0, 0, 0';
  /** @type {[(value: unknown) => unknown, string, unknown][]} */
  const kinds = [
    [arrayKind, 'new Float32Array(1)', 'Float32Array'],
    [arrayKind, 'new BigInt64Array(1)', 'BigInt64Array'],
    [arrayKind, 'new (class Mine extends Uint8Array {})(1)', 'Uint8Array'],
    [arrayKind, 'new DataView(new ArrayBuffer(1))', undefined],
    [arrayKind, 'new ArrayBuffer(1)', undefined],
    [arrayKind, 'null', undefined],
    [arrayKind, '({ [Symbol.toStringTag]: "Float32Array", length: 1 })', undefined],
    [isTypedArray, 'new Uint8ClampedArray(1)', true],
    [isTypedArray, 'new BigInt64Array(1)', false],
    [isTypedArray, '[1]', false],
    [isBytes, 'new Uint8Array(1)', true],
    [isBytes, 'Object.defineProperty(new Uint8Array(1), "constructor", { value: Map })', true],
    [isBytes, 'Object.setPrototypeOf({}, Uint8Array.prototype)', false],
    [isMap, 'new Map()', true],
    [isMap, 'Object.create(Map.prototype)', false],
    [isMap, '({ [Symbol.toStringTag]: "Map", size: 0 })', false],
    [isArrayBuffer, 'new ArrayBuffer(1)', true],
    [isArrayBuffer, 'new SharedArrayBuffer(1)', false],
    [isArrayBuffer, 'new Uint8Array(1)', false],
    [isRegExp, '/a/', true],
    [isRegExp, '"a"', false],
    [isWasmMemory, 'new WebAssembly.Memory({ initial: 1 })', true],
    [isWasmMemory, '({ buffer: new ArrayBuffer(65536) })', false],
    [isWasmModule, `new WebAssembly.Module(Uint8Array.of(${empty}))`, true],
    [isWasmModule, 'Object.create(WebAssembly.Module.prototype)', false],
    [(error) => isError(error, 'CompileError'), 'new WebAssembly.CompileError()', true],
    [(error) => isError(error, 'CompileError'), 'new Error()', false],
    [(error) => isError(error, 'CompileError'), '({ name: "CompileError" })', false],
    [isPlain, '({})', true],
    [isPlain, 'Object.create(null)', true],
    [isPlain, 'new (class Mine {})', false],
    [isPlain, 'Object.create({})', false],
    [isPlain, '[]', false],
    [isPlain, 'new Map()', false],
    [isPlain, '(() => {})', false],
    [isPlain, 'null', false],
    [isPlain, '1', false],
  ];
  for (const [ask, code, expected] of kinds) {
    assert.equal(ask(foreign(code)), expected, `${code} of another realm`);
    assert.equal(ask(vm.runInThisContext(code)), expected, code);
  }
  assert.ok(isUrl(new URL('file:///a')));
  assert.ok(!isUrl('file:///a'));
  const brand = Symbol.for('rmsprop-wasm.X');
  assert.ok(hasBrand({ [brand]: true }, brand));
  assert.ok(!hasBrand({ [brand]: 1 }, brand));
  assert.ok(!hasBrand(null, brand));
});

// ---- Another realm ----

/** @type {(move: (tree: any) => any) => Record<string, () => unknown>} what each façade makes of values that `move` has moved */
const uses = (move) => ({
  'values, options and gradients of the main entry'() {
    const w = variable(move([[1, 2], [3, 4]]), move({ name: 'w' }));
    const b = variable(move(Float32Array.of(1, 2)), { name: 'bias' });
    const optimizer = new RMSprop(move({ learningRate: 0.1, weightDecay: 0.1, momentum: 0.9 }));
    optimizer.excludeFromWeightDecay(move({ names: move === moved ? foreign('/bias/') : /bias/ }));
    optimizer.apply(move([[1, 2, 3, 4], Float32Array.of(1, 2)]), move([w, b]));
    optimizer.apply(move([Float64Array.of(1, 2, 3, 4), null]), [w, b]);
    w.set(move(Int8Array.of(4, 3, 2, 1)));
    optimizer.importParameters(move(optimizer.exportParameters()));
    optimizer.setWeights(move(optimizer.getWeights()));
    optimizer.load(move(optimizer.save()));
    optimizer.apply(move([[1, 2, 3, 4], Float32Array.of(1, 2)]), move([w, b]));
    return [...w.data, ...b.data];
  },
  'sparse gradients'() {
    const w = variable([[1, 2], [3, 4]]);
    new RMSprop().apply([main.indexedSlices(move(Float32Array.of(1, 2)), move(Int32Array.of(1)), move([2, 2]))], [w]);
    new RMSprop().apply([main.indexedSlices(move([[1, 2]]), move([1]))], [w]);
    return [...w.data];
  },
  'schedules and configs'() {
    const schedule = new main.schedules.PiecewiseConstantDecay(move({ boundaries: [2, 4], values: [1, 0.5, 0.1] }));
    const config = move(new RMSprop({ learningRate: schedule, name: 'a' }).getConfig());
    return RMSprop.fromConfig(config).getConfig();
  },
  'safetensors'() {
    const tensors = move === moved ? foreign('new Map([["w", { shape: [2], data: Float32Array.of(1, 2) }]])')
      : new Map([['w', { shape: [2], data: Float32Array.of(1, 2) }]]);
    const { tensors: read } = main.readSafetensors(move(main.writeSafetensors(tensors, move({ format: 'pt' }))));
    return [...(read.get('w')?.data ?? [])];
  },
  'memory of another program'() {
    const memory = move === moved ? foreign('new WebAssembly.Memory({ initial: 4 })') : new WebAssembly.Memory({ initial: 4 });
    let next = 1024;
    const owner = new main.Memory({ memory, allocate: (bytes) => (next += 1024) - 1024 + 0 * bytes, free: () => {} });
    const w = variable([1, 2], { memory: owner });
    new RMSprop().apply([move([1, 1])], [w]);
    return [...w.data];
  },
  'torch'() {
    const w = variable([1, 2]);
    const optimizer = new torch.RMSprop(move([{ params: [w], lr: 0.1 }]), move({ momentum: 0.9 }));
    w.gradient = move(Float32Array.of(1, 2));
    optimizer.step();
    const bytes = torch.save(move({ model: { w: Float32Array.from(w.data) }, optimizer: optimizer.stateDict() }));
    const loaded = torch.load(move(bytes));
    optimizer.loadStateDict(move(loaded.optimizer));
    w.gradient = move([1, 2]);
    optimizer.step();
    return [...w.data, ...loaded.model.w];
  },
  'legacy'() {
    const w = variable([1, 2]);
    const optimizer = new legacy.RMSprop(move({ learningRate: 0.1, momentum: 0.9 }));
    optimizer.applyGradients(move([[Float32Array.of(1, 2), w]]));
    optimizer.setWeights(move(optimizer.getWeights()));
    optimizer.applyGradients(move([[[1, 2], w]]));
    return [...w.data];
  },
  'v1'() {
    const w = variable([1, 2]);
    const optimizer = new v1.RMSPropOptimizer(move({ learningRate: 0.1, momentum: 0.9 }));
    optimizer.applyGradients(move([[Float32Array.of(1, 2), w]]));
    optimizer.applyGradients(move([[[1, 2], w]]));
    return [...w.data];
  },
  'optax'() {
    const optimizer = optax.chain(optax.clip(1), optax.multiSteps(optax.rmsprop(move({ learningRate: 0.1, momentum: 0.9 })), 2));
    let params = move({ w: Float32Array.of(1, 2), deep: [Float64Array.of(3)] });
    let state = optimizer.init(params);
    const gradients = move({ w: Float32Array.of(1, 2), deep: [Float64Array.of(3)] });
    for (let i = 0; i < 4; i++) optimizer.step(gradients, state, params);
    state = optax.loadState(optax.cloneState(move(state)), move(optax.saveState(state)));
    for (let i = 0; i < 4; i++) params = optax.applyUpdates(params, move(optimizer.update(gradients, state)[0]));
    return [...params.w, ...params.deep[0]];
  },
  'files'() {
    const folder = mkdtempSync(join(tmpdir(), 'identity-'));
    try {
      const path = join(folder, 'a file');
      const url = pathToFileURL(path);
      // As jsdom's: of a class of its own.
      const given = move === moved ? { href: url.href, protocol: 'file:', [Symbol.toStringTag]: 'URL' } : url;
      saveFile(/** @type {any} */ (given), move(Uint8Array.of(1, 2)));
      return [...loadFile(/** @type {any} */ (given)), toBlob(move(Uint8Array.of(3))).size];
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  'files of TensorFlow.js'() {
    const [data, values] = move === moved ? foreign('[new ArrayBuffer(8), new Map([["w", new Float32Array([1, 2])]])]')
      : [new ArrayBuffer(8), new Map([['w', new Float32Array([1, 2])]])];
    const artifacts = move({ weightSpecs: [{ name: 'w', shape: [2], dtype: 'float32' }] });
    const { variables } = readTfjsFile(writeTfjsFile({ ...artifacts, weightData: data }, { variables: values }));
    return [...(variables.get('w')?.data ?? [])];
  },
});

for (const name of Object.keys(uses((tree) => tree))) {
  test(`values of another realm: ${name}`, () => {
    const [here, there] = [uses((tree) => tree)[name](), uses(moved)[name]()];
    assert.ok(JSON.stringify(here).length > 4);
    assert.equal(JSON.stringify(there), JSON.stringify(here));
  });
}

// ---- Another copy of the package ----

/** @type {string} */
let folder;
/** Its entries. @type {any} */
const copy = {};
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'copy-'));
  cpSync(fileURLToPath(new URL('../../js', import.meta.url)), join(folder, 'js'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  for (const entry of ['index', 'torch', 'legacy', 'v1', 'optax']) {
    copy[entry] = await import(pathToFileURL(join(folder, 'js', `${entry}.js`)).href);
  }
});
after(() => rmSync(folder, { recursive: true }));

test('the other copy has classes of its own', () => {
  assert.notEqual(copy.index.RMSprop, RMSprop);
  assert.notEqual(copy.index.Tensor, main.Tensor);
});

test('variables, gradients and memories of one copy work in optimizers of the other', () => {
  /** @type {((w: main.Variable, g: any) => void)[]} */
  const steps = [
    (w, g) => new copy.index.RMSprop({ learningRate: 0.1 }).apply([g], [w]),
    (w, g) => new copy.legacy.RMSprop({ learningRate: 0.1 }).applyGradients([[g, w]]),
    (w, g) => new copy.v1.RMSPropOptimizer({ learningRate: 0.1 }).applyGradients([[g, w]]),
    (w, g) => {
      w.gradient = g;
      new copy.torch.RMSprop([w], { lr: 0.1 }).step();
    },
    (w, g) => {
      const optimizer = copy.optax.rmsprop({ learningRate: 0.1 });
      optimizer.step({ w: g }, optimizer.init({ w }), { w });
    },
  ];
  for (const step of steps) {
    for (const memory of [main.Memory.default, new main.Memory()]) {
      const [w, dense] = [variable([1, 2], { memory }), variable([1, 2], { memory })];
      step(w, main.tensor([1, 2], { memory }));
      step(dense, Float32Array.of(1, 2));
      assert.deepEqual([...w.data], [...dense.data]);
      assert.notEqual(w.data[0], 1);
    }
  }
  const rows = variable([[1], [2]]);
  new copy.index.RMSprop().apply([main.indexedSlices([[1]], [1])], [rows]);
  assert.equal(rows.data[0], 1);
  assert.notEqual(rows.data[1], 2);
});

test('schedules of one copy, and of a class of its user, work in the other and in its config', () => {
  class Mine extends main.schedules.LearningRateSchedule {
    at() {
      return 0.25;
    }
  }
  const decay = new main.schedules.ExponentialDecay({ initialLearningRate: 0.5, decaySteps: 1, decayRate: 0.5 });
  const { config } = new copy.index.RMSprop({ learningRate: decay }).getConfig().learning_rate;
  assert.equal(config.initial_learning_rate, 0.5);
  const w = variable([1], { name: 'w' });
  const optimizer = new copy.index.RMSprop({ learningRate: new Mine(), name: 'mine' });
  optimizer.apply([[1]], [w]);
  assert.equal(optimizer.learningRate, 0.25);
  const fresh = variable([1], { name: 'w' });
  const loaded = new copy.index.RMSprop({ learningRate: new Mine(), name: 'mine' });
  loaded.build([fresh]);
  loaded.load(optimizer.save()); // whose config names a class without a config
});

test('LossScaleOptimizer of one copy scales an optimizer of the other', () => {
  const results = [RMSprop, copy.index.RMSprop].map((Class) => {
    const w = variable([1, 2]);
    const optimizer = new main.LossScaleOptimizer(new Class({ learningRate: 0.1 }), { initialScale: 8 });
    optimizer.apply([Float32Array.of(8, 16)], [w]);
    optimizer.apply([Float32Array.of(Infinity, 16)], [w]);
    optimizer.load(optimizer.save());
    return [...w.data, optimizer.dynamicScale];
  });
  assert.deepEqual(results[1], results[0]);
  assert.equal(results[0][2], 4);
});

test('transforms and states of optax work in the other copy, and are cloned, saved and freed there', () => {
  const results = [optax, copy.optax].map((other) => {
    const optimizer = other.multiSteps(other.chain(optax.clip(1), optax.rmsprop({ learningRate: 0.1 })), 4);
    const params = { w: Float32Array.of(1, 2) };
    let state = optimizer.init(params);
    for (let i = 0; i < 8; i++) optimizer.step({ w: Float32Array.of(1, i) }, state, params);
    assert.equal(state.innerOptState[1].count, 2);
    const before = main.Memory.default.bytesInUse;
    const twin = optax.cloneState(state);
    assert.ok(main.Memory.default.bytesInUse > before || other !== optax);
    const [updates] = optimizer.update({ w: Float32Array.of(1, 1) }, twin);
    assert.deepEqual([...updates.w].map(Math.abs), [0, 0]);
    assert.equal(state.miniStep, 0);
    assert.equal(twin.miniStep, 1);
    state = optax.loadState(twin, other.saveState(state));
    assert.equal(state.miniStep, 0);
    optax.disposeState(state);
    assert.throws(() => optimizer.update({ w: Float32Array.of(1, 1) }, state), /state is disposed/);
    return [...params.w];
  });
  assert.deepEqual(results[1], results[0]);
});

test("a state of the other copy's transform goes on in this one's of the same kind, and in no other", () => {
  const params = { w: Float32Array.of(1, 2) };
  const state = copy.optax.rmsprop({ learningRate: 0.1 }).init(params);
  optax.rmsprop({ learningRate: 0.1 }).step({ w: Float32Array.of(1, 2) }, state, params);
  assert.equal(state.count, 1);
  assert.throws(() => optax.ema(0.9).update(params, state), /state must be what init of this transform returned/);
  assert.throws(() => optax.clip(1).update(params, state), /state must be what init of this transform returned/);
});

// ---- States that nobody knows ----

class Counter {
  n = 0;
}
/** @type {(make: () => any) => any} */
const counting = (make) => ({
  init: make,
  /** @type {(grads: any, state: any) => [any, any]} */
  update(grads, state) {
    state.n++;
    return [grads, state];
  },
});

test('a state that cannot be copied is refused by name, and never shared', () => {
  const state = { a: [new Counter()] };
  assert.throws(() => optax.cloneState(state), /state\.a\[0\] must be plain data, or an object with the methods .*, got Counter/);
  assert.throws(() => optax.disposeState(state), /state\.a\[0\] must be plain data/);
  const optimizer = optax.multiSteps(optax.chain(counting(() => new Counter()), optax.rmsprop({ learningRate: 0.1 })), 4);
  const before = main.Memory.default.bytesInUse;
  assert.throws(() => optimizer.init({ w: Float32Array.of(1) }), /the state of optimizer\[0\] must be plain data.*got Counter/);
  assert.equal(main.Memory.default.bytesInUse, before, 'and nothing is left');
  for (const made of ['new Map()', 'new Date()', 'new (class { })']) {
    assert.throws(() => optax.cloneState(foreign(made)), /state must be plain data/, made);
  }
});

test('a clone that fails gives back what it had taken', () => {
  const params = Float32Array.of(1);
  const state = [optax.rmsprop({ learningRate: 0.1 }).init(params), new Counter()];
  const before = main.Memory.default.bytesInUse;
  assert.throws(() => optax.cloneState(state), /state\[1\]/);
  assert.throws(() => optax.disposeState(state), /state\[1\]/);
  assert.equal(main.Memory.default.bytesInUse, before);
});

for (const [name, make] of /** @type {[string, () => any][]} */ ([
  ['plain data', () => ({ n: 0, list: [1, Float32Array.of(1)], nothing: null, text: 'a', of: undefined })],
  ['plain data of another realm', () => moved({ n: 0 })],
  ['an object that clones itself', () => {
    class Cloned extends Counter {
      clone() {
        return Object.assign(new Cloned(), this);
      }
    }
    return new Cloned();
  }],
])) {
  test(`a state of one's own that can be copied counts updates alone under multiSteps: ${name}`, () => {
    const optimizer = optax.multiSteps(optax.chain(counting(make), optax.rmsprop({ learningRate: 0.1 })), 4);
    const params = { w: Float32Array.of(1) };
    const state = optimizer.init(params);
    for (let i = 0; i < 8; i++) optimizer.step({ w: Float32Array.of(1) }, state, params);
    assert.equal(state.gradientStep, 2);
    assert.equal(state.innerOptState[0].n, 2);
    const twin = optax.cloneState(state);
    optimizer.step({ w: Float32Array.of(1) }, state, params);
    assert.equal(twin.miniStep, 0);
    optax.disposeState(twin);
    optax.disposeState(state);
  });
}

test('what runs without TextEncoder, TextDecoder and structuredClone, as in jsdom', () => {
  const names = /** @type {const} */ (['TextEncoder', 'TextDecoder', 'structuredClone']);
  const kept = names.map((name) => globalThis[name]);
  for (const name of names) Reflect.deleteProperty(globalThis, name);
  try {
    const w = variable([1, 2], { name: 'gewicht ü' });
    const optimizer = new RMSprop({ learningRate: new main.schedules.PiecewiseConstantDecay({ boundaries: [2], values: [1, 0.5] }) });
    optimizer.apply([[1, 2]], [w]);
    optimizer.load(optimizer.save({ variables: true }));
    const other = new torch.RMSprop([w]);
    const scheduler = new torch.lrScheduler.MultiStepLR(other, { milestones: [1, 2] });
    scheduler.loadStateDict(scheduler.stateDict());
    const { optimizer: saved } = torch.load(torch.save({ optimizer: other.stateDict() }));
    other.loadStateDict(saved);
    assert.equal(typeof globalThis.TextEncoder, 'undefined');
  } finally {
    names.forEach((name, i) => Object.defineProperty(globalThis, name, { value: kept[i], configurable: true, writable: true }));
  }
});
