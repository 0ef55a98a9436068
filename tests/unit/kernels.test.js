/**
 * The generated modules themselves: what they import, export and hold, how large they are, and that both compute the
 * oracle's bits at any alignment without touching what lies beside the arrays.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { all } from '../../js/generated/all.js';
import * as constants from '../../js/generated/constants.js';
import { keras } from '../../js/generated/keras.js';
import { optax } from '../../js/generated/optax.js';
import { layout, stamp } from '../../js/generated/rmsprop.js';
import { scalar } from '../../js/generated/scalar.js';
import { tensorflow } from '../../js/generated/tensorflow.js';
import { torch } from '../../js/generated/torch.js';
import { bytesOf, sharing } from '../../js/module.js';
import { dense } from '../../web-demo/model/generated/dense.js';
import { largestUlp } from '../bits.js';
import { oracleApply } from '../oracle.js';

const root = new URL('../../', import.meta.url);
const modules = [keras, tensorflow, torch, optax, all, scalar];
/** Those that know Keras's rule. */
const withKeras = [keras, all, scalar];

/**
 * @param {Uint8Array} bytes a module
 * @returns {Map<number, { start: number, length: number }>} its sections by id, the custom ones left out
 */
function sectionsOf(bytes) {
  const sections = new Map();
  let at = 8;
  while (at < bytes.length) {
    const id = bytes[at++];
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if (id !== 0) sections.set(id, { start: at, length });
    at += length;
  }
  return sections;
}

const SECTIONS = { type: 1, import: 2, function: 3, table: 4, memory: 5, global: 6, export: 7, start: 8, element: 9, code: 10, data: 11 };
/** What a leaf module has: functions, their types, an import and exports. No table, memory, global, element or data. */
const LEAF = [SECTIONS.type, SECTIONS.import, SECTIONS.function, SECTIONS.export, SECTIONS.code];

/**
 * @param {string} file one symbol a line, with C's underscore
 */
const symbolsIn = (file) =>
  readFileSync(new URL(file, root), 'utf8').split('\n').filter(Boolean).map((line) => line.slice(1));

const shapes = [
  ...modules.flatMap((module) => [
    { name: module.name, bytes: bytesOf(module), exports: 'src/exports.txt', shared: false },
    { name: `${module.name} (shared)`, bytes: sharing(bytesOf(module)), exports: 'src/exports.txt', shared: true },
  ]),
  { name: 'dense', bytes: bytesOf(dense), exports: 'web-demo/model/exports.txt', shared: false },
];

/**
 * @param {{ name: string, bytes: Uint8Array<ArrayBuffer>, exports: string, shared: boolean }} shape
 */
function checkShape({ bytes, exports, shared }) {
  const module = new WebAssembly.Module(bytes);
  assert.deepEqual(
    WebAssembly.Module.imports(module).map(({ module: from, name, kind }) => `${from}.${name}: ${kind}`),
    ['env.memory: memory'],
  );
  const names = WebAssembly.Module.exports(module).map(({ name, kind }) => `${name}: ${kind}`).sort();
  // The linker adds an empty constructor call to every side module; it insists on no global.
  assert.deepEqual(names, [...symbolsIn(exports), '__wasm_call_ctors'].map((name) => `${name}: function`).sort());
  assert.deepEqual([...sectionsOf(bytes).keys()], LEAF);
  for (const { initial, maximum } of [{ initial: 0, maximum: 65536 }, { initial: 1, maximum: 1 }, { initial: 1, maximum: 32768 }]) {
    const memory = new WebAssembly.Memory({ initial, maximum, shared });
    assert.ok(new WebAssembly.Instance(module, { env: { memory } }));
  }
  if (!shared) assert.ok(new WebAssembly.Instance(module, { env: { memory: new WebAssembly.Memory({ initial: 0 }) } }));
  assert.throws(() => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: !shared });
    return new WebAssembly.Instance(module, { env: { memory } });
  }, WebAssembly.LinkError);
}

for (const shape of shapes) {
  test(`${shape.name} imports env.memory only, exports its list, holds no data, table or global, links to any memory`, () => {
    checkShape(shape);
  });
}

test('the module for shared memory that is derived is the one that the linker makes', (t) => {
  const built = (/** @type {string} */ name) => Uint8Array.from(readFileSync(new URL(`build/wasm/${name}`, root)));
  const simd = bytesOf(all);
  // A build of other sources says nothing of these.
  if (!existsSync(new URL('build/wasm/rmsprop.shared.wasm', root)) || Buffer.compare(built('rmsprop.wasm'), simd) !== 0) {
    t.skip('build/wasm does not hold the embedded modules: npm run build makes them');
    return;
  }
  assert.deepEqual(sharing(simd), built('rmsprop.shared.wasm'));
});

test('each module takes at most 48 KB', (t) => {
  const lengths = modules.map(({ hex }) => hex.length / 2);
  t.diagnostic(`${modules.map(({ name }, i) => `${name} ${lengths[i]} bytes`).join(', ')}, made by ${stamp.compiler}`);
  assert.ok(Math.max(...lengths) <= 48 * 1024);
});

test('the scalar module needs no SIMD', () => {
  // Every SIMD instruction starts with 0xfd: code without that byte has none. (With it, it may still be a constant.)
  const bytes = bytesOf(scalar);
  const { start, length } = /** @type {{ start: number, length: number }} */ (sectionsOf(bytes).get(SECTIONS.code));
  assert.ok(!bytes.subarray(start, start + length).includes(0xfd));
});

// ---- The kernels at any alignment ----

const SLOTS = /** @type {const} */ (['mean_gradient', 'momentum', 'average', 'accumulator']);
const GUARD = 12345.5;

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
function kernelsOf(bytes) {
  const memory = new WebAssembly.Memory({ initial: 4 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  return { memory, step: /** @type {(options: number, tensors: number, count: number) => void} */ (exports.rms_step) };
}

for (const module of withKeras) {
  test(`the ${module.name} kernels work at any offset of whole floats, for every combination of NULL, and write their arrays only`, () => {
    const { memory, step } = kernelsOf(bytesOf(module));
    const view = new DataView(memory.buffer);
    const floatsOf = new Float32Array(memory.buffer);
    let seed = 7;
    const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647 - 0.5;
    for (let slots = 0; slots < 1 << SLOTS.length; slots++) {
      for (let size = 0; size <= 67; size++) {
        const offset = (size + slots) % 4;
        floatsOf.fill(GUARD, 1024, 8192);
        const at = (/** @type {number} */ k) => 1024 + k * 128 + 8 + offset;
        const fields = ['value', 'gradient', 'mean_square', ...SLOTS.filter((_, k) => slots & (1 << k))];
        const arrays = fields.map((field, k) => {
          const values = Float32Array.from({ length: size }, () => (field === 'mean_square' ? Math.abs(random()) : random()));
          floatsOf.set(values, at(k));
          return values;
        });
        const tensor = 64;
        new Uint8Array(memory.buffer, 0, 512).fill(0);
        fields.forEach((field, k) => view.setUint32(tensor + layout.tensor[/** @type {'value'} */ (field)], at(k) * 4, true));
        view.setUint32(tensor + layout.tensor.length, size, true);
        const options = 256;
        const numbers = { learning_rate: 0.01, rho: 0.9, momentum: 0.7, epsilon: 1e-7, weight_decay: 0.1, accumulation_steps: 2,
          ema_momentum: 0.9, clip_norm: 0.2 };
        for (const [field, value] of Object.entries(numbers)) {
          view.setFloat64(options + layout.options[/** @type {'rho'} */ (field)], value, true);
        }
        view.setUint32(options + layout.options.sum_squares, 128, true);
        const extended = slots >= 4;
        const { RMS_CLIP_BY_NORM, RMS_DECAY_WEIGHTS } = constants;
        view.setUint32(options + layout.options.flags, extended ? RMS_CLIP_BY_NORM | RMS_DECAY_WEIGHTS : 0, true);
        step(options, tensor, 1);

        const get = (/** @type {string} */ field) => arrays[fields.indexOf(field)] ?? null;
        const gradient = get('gradient');
        oracleApply(
          [{ value: get('value'), meanSquare: get('mean_square'), meanGradient: get('mean_gradient'),
            momentum: get('momentum'), average: get('average'), accumulator: get('accumulator') }],
          [gradient],
          { learningRate: 0.01, rho: 0.9, momentum: 0.7, epsilon: 1e-7, emaMomentum: 0.9,
            weightDecay: extended ? 0.1 : null, clipnorm: extended ? 0.2 : null,
            gradientAccumulationSteps: get('accumulator') ? 2 : null },
          3, // an update, with averages before it
        );
        fields.forEach((field, k) => {
          const actual = floatsOf.subarray(at(k), at(k) + size);
          assert.equal(largestUlp(actual, arrays[k]), 0, `${field}, slots ${slots}, size ${size}, offset ${offset}`);
        });
        const touched = new Set(fields.flatMap((_, k) => Array.from({ length: size }, (_unused, i) => at(k) + i)));
        for (let i = 1024; i < 1024 + 8 * 128; i++) {
          if (!touched.has(i)) assert.equal(floatsOf[i], GUARD, `float ${i}, slots ${slots}, size ${size}`);
        }
      }
    }
  });
}

for (const module of withKeras) {
  test(`the ${module.name} kernels average without a step, and sum squares by leaves as they do at once`, () => {
    const memory = new WebAssembly.Memory({ initial: 8 });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytesOf(module)), { env: { memory } });
    const kernels = /** @type {Record<string, (...args: number[]) => number>} */ (/** @type {unknown} */ (instance.exports));
    const [view, floatsOf] = [new DataView(memory.buffer), new Float32Array(memory.buffer)];
    const [options, tensor, sums, leaves] = [64, 256, 512, 576];
    const [value, gradient, average] = [1024, 1024 + 30011, 1024 + 2 * 30011];
    const size = 30001; // four leaves
    for (let i = 0; i < size; i++) {
      for (const at of [value, gradient, average]) floatsOf[at + i] = ((i * 7919 + at) % 1009) / 1009 - 0.5;
    }
    const before = floatsOf.slice(0, average + size);
    for (const [field, at] of /** @type {const} */ ([['value', value], ['gradient', gradient], ['average', average]])) {
      view.setUint32(tensor + layout.tensor[field], at * 4, true);
    }
    view.setUint32(tensor + layout.tensor.length, size, true);
    view.setUint32(options + layout.options.sum_squares, sums, true);

    kernels.rms_sum_squares(options, tensor, 1);
    const whole = floatsOf[sums / 4];
    floatsOf[sums / 4] = 0;
    assert.equal(kernels.rms_sum_squares_range(options, tensor, 1, 0, 0, 0), 4);
    kernels.rms_sum_squares_range(options, tensor, 1, 3, 4, leaves);
    assert.deepEqual([...floatsOf.subarray(leaves / 4, leaves / 4 + 3)], [0, 0, 0], 'its own leaves only');
    kernels.rms_sum_squares_range(options, tensor, 1, 0, 3, leaves);
    kernels.rms_join_sum_squares(options, tensor, 1, leaves);
    assert.equal(floatsOf[sums / 4], whole);
    assert.ok(whole > 1000);

    view.setFloat64(options + layout.options.ema_momentum, 0.9, true);
    kernels.rms_average(options, tensor, 1);
    const [kept, added] = [Math.fround(0.9), Math.fround(1 - Math.fround(0.9))];
    const expected = before.slice(average).map((a, i) => Math.fround(kept * a) + Math.fround(added * before[value + i]));
    assert.deepEqual(floatsOf.slice(average, average + size), expected);
    assert.deepEqual(floatsOf.slice(value, average), before.slice(value, average), 'weights and gradients stay');
    view.setUint32(options + layout.options.flags, constants.RMS_OVERWRITE, true);
    kernels.rms_average(options, tensor, 1);
    assert.deepEqual(floatsOf.slice(value, value + size), floatsOf.slice(average, average + size));
  });
}
