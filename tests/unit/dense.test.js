/**
 * The dense layers as WebAssembly, against an oracle in Math.fround that follows the promises of web-demo/model/dense.h
 * and shares nothing with the C text.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { denseKernelsOf } from '../../web-demo/model/dense.js';
import { dense } from '../../web-demo/model/generated/dense.js';
import { Random } from '../../web-demo/data/random.js';

const f32 = Math.fround;
const SEED = 20240607;
const GUARD = 5;
const GUARD_VALUE = -12345.678;

const memory = new WebAssembly.Memory({ initial: 64 });
const kernels = denseKernelsOf(memory);
const floats = new Float32Array(memory.buffer);
const bytes = new Uint8Array(memory.buffer);
const random = new Random(SEED);

/** The first float of the memory that is not handed out. */
let top = 64;

/**
 * Random floats between guards, at an offset of 0 to 3 floats from a 16-byte boundary.
 *
 * @param {number} length
 * @param {number} [offset]
 */
function place(length, offset = 0) {
  const start = Math.ceil((top + GUARD) / 4) * 4 + offset;
  top = start + length + GUARD;
  floats.fill(GUARD_VALUE, start - GUARD, top);
  for (let i = 0; i < length; i++) floats[start + i] = random.symmetric();
  return {
    length,
    address: 4 * start,
    /** @returns {Float32Array} */
    get values() {
      return floats.subarray(start, start + length);
    },
    /** @param {string} message */
    checkGuards(message) {
      for (let i = 1; i <= GUARD; i++) {
        const untouched = floats[start - i] === f32(GUARD_VALUE) && floats[start + length + i - 1] === f32(GUARD_VALUE);
        assert.ok(untouched, `${message}: wrote outside of its array`);
      }
    },
  };
}

/**
 * @param {Float32Array} got
 * @param {ArrayLike<number>} expected
 * @param {string} message
 */
function assertSameBits(got, expected, message) {
  assert.equal(got.length, expected.length, message);
  const wanted = Float32Array.from(expected);
  for (let i = 0; i < wanted.length; i++) {
    if (!Object.is(got[i], wanted[i])) assert.fail(`${message}: element ${i} is ${got[i]} instead of ${wanted[i]}`);
  }
}

/**
 * @param {number} depth
 * @param {(step: number) => number} left
 * @param {(step: number) => number} right
 * @returns {number} the sum of the products, ascending from +0, each operation rounded
 */
function dot(depth, left, right) {
  let sum = 0;
  for (let step = 0; step < depth; step++) sum = f32(sum + f32(left(step) * right(step)));
  return sum;
}

/** @param {number} x */
const relu = (x) => (x <= 0 ? 0 : x);

const view = new DataView(new ArrayBuffer(4));

/** @param {number} bits */
function floatOf(bits) {
  view.setInt32(0, bits);
  return view.getFloat32(0);
}

/** @param {number[]} coefficients the highest power first @param {number} x */
const polynomial = (coefficients, x) => coefficients.reduce((sum, c) => f32(f32(sum * x) + f32(c)), 0);

const LOG2_HIGH = 0x162e4 / 0x20000;
const LOG2_LOW = f32(Math.LN2 - LOG2_HIGH);

/** @param {number} x @returns {number} 2^n · exp(x - n · log 2), the second factor as Taylor's series to r^7 */
function exp(x) {
  if (Number.isNaN(x)) return NaN;
  if (x > 89) return Infinity;
  if (x < -104) return 0;
  const scaled = f32(x * f32(Math.LOG2E));
  // Rounded to the nearest integer, halves to the even one.
  const down = Math.floor(scaled);
  const n = scaled - down === 0.5 ? down + (Math.abs(down) % 2) : Math.round(scaled);
  const r = f32(f32(x - f32(n * LOG2_HIGH)) - f32(n * LOG2_LOW));
  const tail = polynomial([1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2], r);
  const result = f32(1 + f32(r + f32(f32(r * r) * tail)));
  const half = Math.trunc(n / 2);
  return f32(f32(result * 2 ** half) * 2 ** (n - half));
}

/** @param {number} x @returns {number} n · log 2 + log m, the second term as the series of the area tangent to s^9 */
function log(x) {
  if (Number.isNaN(x) || x < 0) return NaN;
  if (x === 0) return -Infinity;
  if (x === Infinity) return Infinity;
  let n = 0;
  let m = x;
  const low = floatOf(0x3f3504f3);
  for (; m >= 2 * low; m /= 2) n++;
  for (; m < low; m *= 2) n--;
  const f = m - 1;
  const s = f32(f / f32(2 + f));
  const z = f32(s * s);
  const tail = polynomial([2 / 9, 2 / 7, 2 / 5, 2 / 3], z);
  const square = f32(f32(0.5 * f) * f);
  const small = f32(f32(s * f32(square + f32(z * tail))) + f32(n * LOG2_LOW));
  return f32(f32(n * LOG2_HIGH) - f32(f32(square - small) - f));
}

/** Every size up to 67 stands in each of the three places, against sizes that leave different remainders. */
function layerSizes() {
  const sizes = [];
  for (let size = 1; size <= 67; size++) {
    const other = ((size * 13) % 19) + 1;
    const third = ((size * 7) % 11) + 1;
    sizes.push([size, other, third], [third, size, other], [other, third, size]);
  }
  return [...sizes, [1, 67, 67], [67, 67, 1], [64, 33, 10], [5, 300, 129]];
}

test(`forward has the bits of the oracle for all sizes and offsets (seed ${SEED})`, () => {
  for (const [batch, inputs, outputs] of layerSizes()) {
    for (const withRelu of [false, true]) {
      top = 64;
      const name = `batch ${batch}, ${inputs} to ${outputs}${withRelu ? ', ReLU' : ''}`;
      const offset = (batch + inputs + outputs) % 4;
      const input = place(batch * inputs, offset);
      const kernel = place(inputs * outputs, (offset + 1) % 4);
      const bias = place(outputs, (offset + 2) % 4);
      const output = place(batch * outputs, (offset + 3) % 4);
      const scratch = place(kernels.rms_dense_scratch_length(batch, inputs, outputs), offset);
      const before = [input, kernel, bias].map(({ values }) => values.slice());

      kernels.rms_dense_forward(output.address, scratch.address, input.address, kernel.address, bias.address,
        batch, inputs, outputs, withRelu ? 1 : 0);

      const [x, w, b] = before;
      const expected = Float32Array.from({ length: batch * outputs }, (_, i) => {
        const row = Math.floor(i / outputs);
        const column = i % outputs;
        const product = dot(inputs, (k) => x[row * inputs + k], (k) => w[k * outputs + column]);
        const sum = f32(product + b[column]);
        return withRelu ? relu(sum) : sum;
      });
      assertSameBits(output.values, expected, name);
      for (const array of [input, kernel, bias, output, scratch]) array.checkGuards(name);
      [input, kernel, bias].forEach(({ values }, i) => assertSameBits(values, before[i], `${name}, an input`));
    }
  }
});

test(`backward has the bits of the oracle for all sizes and offsets (seed ${SEED})`, () => {
  for (const [batch, inputs, outputs] of layerSizes()) {
    for (const [withRelu, withInput] of [[false, true], [true, true], [true, false]]) {
      top = 64;
      const variant = `${withRelu ? ', ReLU' : ''}${withInput ? '' : ', first layer'}`;
      const name = `batch ${batch}, ${inputs} to ${outputs}${variant}`;
      const offset = (batch + inputs + outputs) % 4;
      const input = place(batch * inputs, offset);
      const kernel = place(inputs * outputs, (offset + 1) % 4);
      const output = place(batch * outputs, (offset + 2) % 4);
      const outputGradient = place(batch * outputs, (offset + 3) % 4);
      const scratch = place(kernels.rms_dense_scratch_length(batch, inputs, outputs), offset);
      const kernelGradient = place(inputs * outputs, (offset + 1) % 4);
      const biasGradient = place(outputs, (offset + 2) % 4);
      const inputGradient = place(batch * inputs, (offset + 3) % 4);
      for (let i = 0; i < output.length; i += 3) output.values[i] = 0;
      const [x, w, y, g] = [input, kernel, output, outputGradient].map(({ values }) => values.slice());
      const unused = inputGradient.values.slice();

      kernels.rms_dense_backward(kernelGradient.address, biasGradient.address, withInput ? inputGradient.address : 0,
        outputGradient.address, scratch.address, input.address, kernel.address, withRelu ? output.address : 0,
        batch, inputs, outputs);

      const masked = withRelu ? g.map((value, i) => (y[i] > 0 ? value : 0)) : g;
      assertSameBits(outputGradient.values, masked, `${name}, output gradient`);
      assertSameBits(kernelGradient.values, Float32Array.from({ length: inputs * outputs }, (_, i) => {
        const row = Math.floor(i / outputs);
        return dot(batch, (k) => x[k * inputs + row], (k) => masked[k * outputs + (i % outputs)]);
      }), `${name}, kernel gradient`);
      assertSameBits(biasGradient.values, Float32Array.from({ length: outputs }, (_, i) => (
        dot(batch, () => 1, (k) => masked[k * outputs + i])
      )), `${name}, bias gradient`);
      assertSameBits(inputGradient.values, withInput ? Float32Array.from({ length: batch * inputs }, (_, i) => {
        const row = Math.floor(i / inputs);
        return dot(outputs, (k) => masked[row * outputs + k], (k) => w[(i % inputs) * outputs + k]);
      }) : unused, `${name}, input gradient`);
      const all = [input, kernel, output, outputGradient, scratch, kernelGradient, biasGradient, inputGradient];
      for (const array of all) array.checkGuards(name);
    }
  }
});

test('special values pass through a layer as IEEE 754 says', () => {
  const special = [0, -0, 2 ** -149, -(2 ** -140), 2 ** 127, -Infinity, Infinity, NaN, 1];
  for (const outputs of [1, 4, 8, 11]) {
    for (const weight of special) {
      top = 64;
      const input = place(special.length);
      const [kernel, bias] = [place(outputs), place(outputs)];
      const output = place(special.length * outputs);
      const scratch = place(kernels.rms_dense_scratch_length(special.length, 1, outputs));
      input.values.set(special);
      kernel.values.fill(weight);
      bias.values.fill(-0);
      kernels.rms_dense_forward(output.address, scratch.address, input.address, kernel.address, bias.address,
        special.length, 1, outputs, 1);
      const expected = special.flatMap((x) => Array(outputs).fill(relu(f32(f32(0 + f32(x * weight)) + -0))));
      assertSameBits(output.values, expected, `weight ${weight}, ${outputs} outputs`);
    }
  }
});

test('exp and log have the bits of the oracle', () => {
  const check = (/** @type {number} */ x, /** @type {number} */ y) => {
    const got = Float32Array.of(kernels.rms_exp(x), kernels.rms_log(y));
    assertSameBits(got, [exp(x), log(y)], `exp of ${x}, log of ${y}`);
  };
  for (let bits = 0; bits < 2 ** 32; bits += 65521) {
    const x = floatOf(bits | 0);
    check(x, x);
  }
  for (let i = 0; i < 20000; i++) {
    const x = f32(-i / 180);
    const y = floatOf(0x3f800000 + (i - 10000) * 1009);
    check(x, y);
  }
  for (const x of [88.72284, 88.722835, -87.33655, -103.97208, -103.97209, 1, 2 ** -126, 2 ** -127, 3.4028235e38]) {
    check(f32(x), f32(x));
  }
});

test(`loss, its gradient and softmax have the bits of the oracle (seed ${SEED})`, () => {
  for (let size = 1; size <= 67; size++) {
    for (const [batch, classes] of [[size, 10], [(size % 5) + 1, size]]) {
      top = 64;
      const name = `batch ${batch}, ${classes} classes`;
      const values = place(batch * classes, size % 4);
      const probabilities = place(batch * classes, (size + 1) % 4);
      const labels = place(Math.ceil(batch / 4));
      const scale = [1, 8, 1e4, 1e38][size % 4];
      const logits = values.values.map((value) => value * scale);
      values.values.set(logits);
      probabilities.values.set(logits);
      const classOf = Array.from({ length: batch }, () => random.below(classes));
      bytes.set(classOf, labels.address);

      const loss = kernels.rms_softmax_cross_entropy(values.address, labels.address, batch, classes);
      kernels.rms_softmax(probabilities.address, batch, classes);

      let expectedLoss = 0;
      const expected = Array.from({ length: batch }, (_, row) => {
        const own = logits.subarray(row * classes, (row + 1) * classes);
        const maximum = Math.max(...own);
        const powers = Array.from(own, (value) => exp(f32(value - maximum)));
        const sum = powers.reduce((total, power) => f32(total + power), 0);
        expectedLoss = f32(expectedLoss + f32(log(sum) + f32(maximum - own[classOf[row]])));
        return powers.map((power) => f32(power / sum));
      });
      assertSameBits(Float32Array.of(loss), [f32(expectedLoss / batch)], `${name}, loss`);
      assertSameBits(probabilities.values, expected.flat(), `${name}, softmax`);
      assertSameBits(values.values, expected.flatMap((row, example) => row.map((probability, label) => (
        f32(f32(probability - (label === classOf[example] ? 1 : 0)) / batch)
      ))), `${name}, gradient`);
      for (const array of [values, probabilities, labels]) array.checkGuards(name);
    }
  }
});

test('an example counts as correct when the first of its largest values is at its label, and never with a NaN', () => {
  top = 64;
  const rows = [[1, 2, 3], [3, 3, 1], [3, 3, 1], [0, NaN, 1], [0, NaN, 1], [-1, -3, -2]];
  const values = place(rows.length * 3);
  const labels = place(rows.length);
  values.values.set(rows.flat());
  bytes.set([2, 0, 1, 2, 1, 0], labels.address);
  assert.equal(kernels.rms_count_correct(values.address, labels.address, rows.length, 3), 3);
});

test('the module is a leaf: a memory is all it imports, and it has no data, table or globals', () => {
  const binary = Buffer.from(dense.hex, 'hex');
  const module = new WebAssembly.Module(binary);
  assert.deepEqual(WebAssembly.Module.imports(module), [{ module: 'env', name: 'memory', kind: 'memory' }]);
  const names = readFileSync(new URL('../../web-demo/model/exports.txt', import.meta.url), 'utf8').trim().split('\n');
  const exported = WebAssembly.Module.exports(module).map(({ name }) => `_${name}`);
  // The linker adds the empty __wasm_call_ctors.
  assert.deepEqual(exported.sort(), ['___wasm_call_ctors', ...names].sort());
  // Sections by number: custom 0, type 1, import 2, function 3, export 7, code 10; table would be 4, global 6, data 11.
  const sections = sectionsOf(binary);
  assert.deepEqual(sections.filter((section) => section !== 0), [1, 2, 3, 7, 10]);
});

/**
 * @param {Uint8Array} binary
 * @returns {number[]} the number of each section
 */
function sectionsOf(binary) {
  const sections = [];
  let at = 8;
  while (at < binary.length) {
    sections.push(binary[at++]);
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = binary[at++];
      size |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    at += size;
  }
  return sections;
}
