/**
 * js/core/rule.js against the kernels: over plain numbers it has their bits, for every row of src/rules.h and every option,
 * on elements of every kind. The texts for GPUs that are printed of it compute the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory } from 'rmsprop-wasm';
import * as constants from '../../js/generated/constants.js';
import { keras } from '../../js/generated/keras.js';
import { optax } from '../../js/generated/optax.js';
import { layout, rules } from '../../js/generated/rmsprop.js';
import { tensorflow } from '../../js/generated/tensorflow.js';
import { torch } from '../../js/generated/torch.js';
import { kernelsOf } from '../../js/module.js';
import { clippedByValue, formOf, globalFactorOf, normOf, numbers, prepared, scalarsOf, step } from '../../js/core/rule.js';
import { functions, normText, preparedText, stepText } from '../../js/core/rule-text.js';

const FAMILIES = { keras, tensorflow, torch, optax };
const {
  RMS_UNSCALE, RMS_HOLD, RMS_DECAY_WEIGHTS, RMS_DECAY_GRADIENTS, RMS_OVERWRITE, RMS_CLIP_BY_VALUE, RMS_CLIP_BY_NORM,
  RMS_CLIP_BY_GLOBAL_NORM, RMS_MAXIMIZE, RMS_NESTEROV, RMS_CORRECT_BIAS, RMS_PREPARED, RMS_KEEP_WEIGHTS, RMS_KEEP_GRADIENT,
} = constants;

/** @typedef {'float32' | 'float64'} DType */
/** @typedef {'value' | 'gradient' | 'mean_square' | 'mean_gradient' | 'momentum' | 'average' | 'accumulator'} ArrayName */
/**
 * @typedef {object} Case of one step
 * @property {number} row of the table
 * @property {number} flags
 * @property {number} tensorFlags
 * @property {ArrayName[]} arrays
 * @property {boolean} leavesValue
 */

const TYPES = {
  float32: { array: Float32Array, round: Math.fround, bytes: 4 },
  float64: { array: Float64Array, round: (/** @type {number} */ x) => x, bytes: 8 },
};

/** Every field of rms_step_options that is a number, none of them a float32. */
const OPTIONS = {
  learning_rate: 0.013, rho: 0.9, momentum: 0.7, epsilon: 1e-7, weight_decay: 0.1, loss_scale: 3, accumulation_steps: 7,
  clip_value: 0.4, clip_norm: 0.6, bias_correction: 1.7, ema_momentum: 0.95,
};

let seed = 11;
const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647 - 0.5;

/**
 * Elements of each kind, in every array: what is random, zeros of both signs, what vanishes, what overflows when squared, and
 * a variance that vanishes. As many as a vector takes, and a tail.
 */
const SIZE = 13;
const HUGE = { float32: 1e30, float64: 1e200 };
const TINY = { float32: 1e-40, float64: 1e-310 };

/** @type {(name: ArrayName, dtype: DType) => number[]} */
function elementsOf(name, dtype) {
  const elements = Array.from({ length: SIZE }, () => (name === 'mean_square' ? Math.abs(random()) : random()));
  const special = { 2: 0, 4: -0, 5: TINY[dtype], 11: name === 'gradient' ? 1e3 : 0.5 };
  for (const [i, x] of Object.entries(special)) elements[Number(i)] = x;
  // A variance of zero up to rounding, and one below.
  if (name === 'mean_square') [elements[6], elements[7]] = [0.25, 0.0025];
  if (name === 'mean_gradient' || name === 'gradient') [elements[6], elements[7]] = [0.5, 0.5];
  return elements.map(TYPES[dtype].round);
}
const NAMES = /** @type {ArrayName[]} */ (
  ['value', 'gradient', 'mean_square', 'mean_gradient', 'momentum', 'average', 'accumulator']);
/** Without what makes a norm useless, and with it. @type {Record<DType, Record<ArrayName, number[]>[]>} */
const ELEMENTS = /** @type {any} */ (Object.fromEntries(/** @type {DType[]} */ (['float32', 'float64']).map((dtype) => {
  const tame = Object.fromEntries(NAMES.map((name) => [name, elementsOf(name, dtype)]));
  const wild = structuredClone(tame);
  Object.assign(wild.gradient, { 0: NaN, 3: Infinity, 8: -Infinity, 9: TYPES[dtype].round(HUGE[dtype]), 12: NaN });
  wild.value[10] = wild.mean_square[10] = Infinity;
  wild.accumulator[1] = -Infinity;
  return [dtype, [tame, wild]];
})));

/** The kernels on one tensor. */
class Kernels {
  /** @param {DType} dtype */
  constructor(dtype) {
    this.memory = new Memory();
    this.dtype = dtype;
    this.block = this.memory.allocate(4096);
    this.buffer = /** @type {ArrayBuffer} */ (this.memory.buffer);
    this.view = new DataView(this.buffer, this.block);
  }

  /**
   * @param {Case} of
   * @param {Record<string, number[]>} elements
   * @returns {Record<string, number[]>} all arrays after the step
   */
  step({ row, flags, tensorFlags, arrays, leavesValue }, elements) {
    const { view, block } = this;
    const { array: TypedArray, bytes } = TYPES[this.dtype];
    const [tensor, options, sums, index, data] = [0, 256, 512, 528, 1024];
    const namesRows = row === constants.TF1_ROWS;
    new Uint8Array(this.buffer, block, 1024).fill(0);
    const places = new Map([...arrays, ...(leavesValue ? ['update'] : [])].map((name, k) => {
      const place = new TypedArray(this.buffer, block + data + k * SIZE * bytes, SIZE);
      if (name !== 'update') place.set(elements[name]);
      view.setUint32(layout.tensor[/** @type {'value'} */ (name)] + tensor, place.byteOffset, true);
      return [name, place];
    }));
    const { length, dtype, flags: flagsOffset, indices, index_count, row_length } = layout.tensor;
    view.setUint32(length, SIZE, true);
    view.setUint32(dtype, this.dtype === 'float64' ? constants.RMS_FLOAT64 : constants.RMS_FLOAT32, true);
    view.setUint32(flagsOffset, tensorFlags, true);
    if (namesRows) {
      view.setUint32(indices, block + index, true);
      view.setUint32(index_count, 1, true);
      view.setUint32(row_length, SIZE, true);
    }
    for (const [field, value] of Object.entries(OPTIONS)) {
      view.setFloat64(options + layout.options[/** @type {'rho'} */ (field)], value, true);
    }
    view.setUint32(options + layout.options.sum_squares, block + sums, true);
    view.setUint32(options + layout.options.rule, namesRows ? constants.RMS_RULE_TF1 : row, true);
    view.setUint32(options + layout.options.flags, flags, true);
    const family = FAMILIES[/** @type {keyof typeof FAMILIES} */ (rules[row].family)];
    kernelsOf(this.memory, family).rms_step(block + options, block + tensor, 1);
    const after = Object.fromEntries([...places].map(([name, place]) => [name, [...place]]));
    return { ...after, sum: [new TypedArray(this.buffer, block + sums, 1)[0]] };
  }
}

/**
 * The same by the rule over numbers.
 *
 * @param {Case} of
 * @param {DType} dtype
 * @param {Record<string, number[]>} elements
 * @param {number} sum of the squares, which the kernels add up
 * @returns {Record<string, number[]>}
 */
function computed({ row, flags, tensorFlags, arrays, leavesValue }, dtype, elements, sum) {
  const { round } = TYPES[dtype];
  const algebra = numbers(round);
  const namesRows = row === constants.TF1_ROWS;
  const options = { ...OPTIONS, rule: namesRows ? constants.RMS_RULE_TF1 : row, flags };
  const form = formOf(options, round, { flags: tensorFlags, namesRows, leavesValue });
  const scalars = scalarsOf(options, form.row, round);
  const norm = flags & RMS_CLIP_BY_NORM ? normOf(algebra, scalars, sum) : globalFactorOf(algebra, scalars, sum);
  /** @type {Record<string, number[]>} */
  const after = Object.fromEntries(arrays.map((name) => [name, [...elements[name]]]));
  if (leavesValue) after.update = new Array(SIZE).fill(0);
  for (let i = 0; i < SIZE; i++) {
    const one = /** @type {any} */ (Object.fromEntries(arrays.map((name) => [name, elements[name][i]])));
    const changes = step(algebra, form, scalars, one, norm);
    for (const [name, value] of Object.entries(changes)) after[name][i] = value;
  }
  return after;
}

/** @type {(bits: readonly number[]) => number[]} */
const sets = (bits) => bits.reduce((all, bit) => [...all, ...all.map((set) => set | bit)], [0]);

/** @returns {Generator<Case>} every combination of options that says something else */
function* matrix() {
  const optional = /** @type {const} */ (['mean_gradient', 'momentum', 'average', 'accumulator']);
  const clips = [0, RMS_CLIP_BY_VALUE, RMS_CLIP_BY_NORM, RMS_CLIP_BY_GLOBAL_NORM, RMS_CLIP_BY_VALUE | RMS_CLIP_BY_NORM,
    RMS_CLIP_BY_VALUE | RMS_CLIP_BY_GLOBAL_NORM];
  const decays = [0, RMS_DECAY_WEIGHTS, RMS_DECAY_GRADIENTS];
  for (let row = 0; row < rules.length; row++) {
    for (const set of sets([1, 2, 4, 8])) {
      const slots = optional.filter((_, k) => set & (1 << k));
      const has = (/** @type {ArrayName} */ name) => slots.includes(/** @type {any} */ (name));
      // With rows there is neither, and Keras 2.11 accumulates nothing.
      if (row === constants.TF1_ROWS && (has('average') || has('accumulator'))) continue;
      if (row === constants.RMS_RULE_KERAS_2_11 && has('accumulator')) continue;
      const rest = sets([RMS_UNSCALE, RMS_MAXIMIZE, RMS_CORRECT_BIAS, ...(has('momentum') ? [RMS_NESTEROV] : []),
        ...(has('average') ? [RMS_OVERWRITE] : []), ...(has('accumulator') ? [RMS_PREPARED] : [])]);
      /** @type {ArrayName[]} */
      const withGradient = ['value', 'gradient', 'mean_square', ...slots];
      for (const flags of rest) {
        for (const clip of clips) {
          for (const decay of decays) {
            yield { row, flags: flags | clip | decay, tensorFlags: 0, arrays: withGradient, leavesValue: false };
          }
          // An update of its own leaves the weights and their average alone.
          if (!has('average')) yield { row, flags: flags | clip, tensorFlags: 0, arrays: withGradient, leavesValue: true };
          if (clip) yield { row, flags: flags | clip, tensorFlags: RMS_KEEP_GRADIENT, arrays: withGradient, leavesValue: false };
        }
        for (const decay of decays.slice(1)) {
          yield { row, flags: flags | decay, tensorFlags: RMS_KEEP_WEIGHTS, arrays: withGradient, leavesValue: false };
        }
        // Steps that update nothing.
        if (row === constants.TF1_ROWS) continue;
        yield { row, flags, tensorFlags: 0, arrays: withGradient.filter((name) => name !== 'gradient'), leavesValue: false };
        if (has('accumulator') && !(flags & RMS_PREPARED)) {
          for (const arrays of [withGradient, withGradient.filter((name) => name !== 'gradient')]) {
            yield { row, flags: flags | RMS_HOLD, tensorFlags: 0, arrays, leavesValue: false };
          }
        }
      }
    }
  }
}

/** @type {(scalars: Record<string, number>) => Record<string, number>} */
const declared = (scalars) => Object.fromEntries(Object.entries(scalars).map(([name, value]) => [`step_${name}`, value]));

/** @type {(of: Case) => string} */
const describe = ({ row, flags, tensorFlags, arrays, leavesValue }) => {
  const set = Object.entries(constants).filter(([name, bit]) => /^RMS_(?!RULE|FLOAT|KEEP)/.test(name) && flags & bit);
  return `row ${row}, ${set.map(([name]) => name).join(' ')}, ${arrays.join(' ')}, tensor flags ${tensorFlags}, update ${leavesValue}`;
};

/** @type {(actual: Record<string, number[]>, expected: Record<string, number[]>, what: () => string) => void} */
function assertBits(actual, expected, what) {
  for (const name of Object.keys(actual)) {
    for (let i = 0; i < SIZE; i++) {
      if (Object.is(actual[name][i], expected[name][i])) continue;
      assert.fail(`${name}[${i}] is ${actual[name][i]}, the kernels have ${expected[name][i]}: ${what()}`);
    }
  }
}

for (const dtype of /** @type {DType[]} */ (['float32', 'float64'])) {
  test(`over plain numbers the rule has the kernels' bits: ${dtype}, every row and option`, (t) => {
    const kernels = new Kernels(dtype);
    let cases = 0;
    for (const of of matrix()) {
      cases++;
      for (const elements of ELEMENTS[dtype]) {
        const { sum, ...expected } = kernels.step(of, elements);
        assertBits(computed(of, dtype, elements, sum[0]), expected, () => describe(of));
      }
    }
    t.diagnostic(`${cases} cases`);
  });

  test(`what is summed for a norm is the gradient as the rule prepares it: ${dtype}`, () => {
    const { round, array: TypedArray } = TYPES[dtype];
    const algebra = numbers(round);
    const kernels = new Kernels(dtype);
    for (const flags of sets([RMS_UNSCALE, RMS_CLIP_BY_VALUE, RMS_PREPARED])) {
      for (const [gradient, accumulator] of [[0.3, -5.2], [0.3, undefined], [-7, 0.1], [NaN, 1]]) {
        /** @type {ArrayName[]} */
        const arrays = ['value', 'gradient', 'mean_square', ...(accumulator === undefined ? [] : [/** @type {const} */ ('accumulator')])];
        const elements = Object.fromEntries(arrays.map((name) => [name, new Array(SIZE).fill(0)]));
        elements.gradient[4] = round(Number(gradient));
        if (accumulator !== undefined) elements.accumulator[4] = round(accumulator);
        const options = { ...OPTIONS, flags: flags | RMS_CLIP_BY_NORM };
        const { sum } = kernels.step({ row: 0, flags: options.flags, tensorFlags: 0, arrays, leavesValue: false }, elements);
        const form = formOf(options, round);
        const g = clippedByValue(algebra, form, scalarsOf(options, form.row, round), elements.gradient[4], elements.accumulator?.[4]);
        assert.equal(sum[0], new TypedArray([g * g])[0], `${flags} ${gradient} ${accumulator}`);
      }
    }
  });
}

/**
 * @param {Case} of
 * @param {Partial<typeof OPTIONS>} changed
 * @param {Record<string, number[]>} elements
 */
function assertWith(of, changed, elements) {
  const before = { ...OPTIONS };
  Object.assign(OPTIONS, changed);
  try {
    const { sum, ...expected } = new Kernels('float32').step(of, elements);
    assertBits(computed(of, 'float32', elements, sum[0]), expected, () => `${describe(of)}, ${JSON.stringify(changed)}`);
  } finally {
    Object.assign(OPTIONS, before);
  }
}
const centered = /** @type {ArrayName[]} */ (['value', 'gradient', 'mean_square', 'mean_gradient']);

test('a weight of the mean gradient of one half or more is computed from the gradient, as by the kernels', () => {
  const of = { row: constants.RMS_RULE_TORCH, flags: 0, tensorFlags: 0, leavesValue: false, arrays: centered };
  for (const rho of [0.4, 0.5, 0.6, 0, 1.4, 1.5, 1.6]) assertWith(of, { rho }, ELEMENTS.float32[0]);
});

test('a variance that is zero together with epsilon counts as zero, as by the kernels', () => {
  // With rho 0 and a bias correction of 2 the variance is 2 g² - (2 g)² = -2 g².
  const elements = Object.fromEntries(centered.map((name) => [name, new Array(SIZE).fill(0.5)]));
  for (let row = 0; row < rules.length; row++) {
    const of = { row, flags: RMS_CORRECT_BIAS, tensorFlags: 0, leavesValue: false, arrays: centered };
    for (const epsilon of [0.5, 0.25, 1]) assertWith(of, { rho: 0, bias_correction: 2, epsilon }, elements);
  }
});

// ---- Text ----

/**
 * Runs a text as JavaScript: each statement is one operation of float32, so rounding each result gives the rule's bits.
 *
 * @param {string} text of one lane
 * @param {Record<string, number>} variables
 * @param {string} type
 * @returns {Record<string, number>} them after it
 */
function run(text, variables, type) {
  const script = text
    .replaceAll(new RegExp(`\\b${type}\\(`, 'g'), '(')
    .replaceAll('sqrt(', 'Math.sqrt(')
    .replace(/^(?:let|float|f32) (t\d+) = (.*);$/gm, 'const $1 = Math.fround($2);');
  const names = Object.keys(variables);
  const library = `
    const positive_or = (a, b) => (a <= 0 ? b : a);
    const smaller_of = (a, b) => (a < b ? a : b);
    const larger_of = (a, b) => (b > a ? b : a);`;
  const fn = new Function('variables', `${library} let { ${names.join(', ')} } = variables; ${script} return { ${names.join(', ')} };`);
  return fn(variables);
}

for (const type of /** @type {const} */ (['float', 'f32'])) {
  test(`the text printed for ${type} computes what the rule does, for one case in 97`, (t) => {
    let cases = 0;
    for (const of of matrix()) {
      if (cases++ % 97) continue; // each text is compiled anew
      const { row, flags, tensorFlags, arrays, leavesValue } = of;
      const namesRows = row === constants.TF1_ROWS;
      const options = { ...OPTIONS, rule: namesRows ? constants.RMS_RULE_TF1 : row, flags };
      const form = formOf(options, Math.fround, { flags: tensorFlags, namesRows, leavesValue });
      const scalars = scalarsOf(options, form.row, Math.fround);
      const text = stepText(form, arrays, { type });
      for (const line of text.trim().split('\n')) {
        if (line !== '') assert.match(line, /^((float|let) t\d+|[a-z_]+) = [\w., ()*/+-]+;$/);
      }
      for (let i = 0; i < SIZE; i += 5) {
        const one = /** @type {any} */ (Object.fromEntries(arrays.map((name) => [name, ELEMENTS.float32[0][name][i]])));
        const after = run(text, { update: 0, ...declared({ ...scalars, norm: 0.5 }), ...one }, type);
        const changes = step(numbers(Math.fround), form, scalars, one, 0.5);
        for (const [name, value] of Object.entries({ ...one, ...changes })) {
          assert.ok(Object.is(after[name], value), `${name} ${after[name]} ${value}: ${describe(of)}\n${text}`);
        }
      }
    }
    t.diagnostic(`${Math.ceil(cases / 97)} cases`);
  });
}

test('a text for one result holds what that needs and no more', () => {
  const options = { ...OPTIONS, rule: constants.RMS_RULE_KERAS, flags: 0 };
  const form = formOf(options, Math.fround);
  const arrays = /** @type {const} */ (['value', 'gradient', 'mean_square', 'mean_gradient', 'momentum']);
  const text = stepText(form, arrays, { type: 'vec4', results: ['mean_square'] });
  assert.equal(text, [
    'vec4 t0 = step_rho * mean_square;',
    'vec4 t1 = gradient * gradient;',
    'vec4 t2 = step_complement * t1;',
    'vec4 t3 = t0 + t2;',
    'mean_square = t3;',
    '',
  ].join('\n'));
});

test('scalars bear the names that the program gives them', () => {
  const form = formOf({ ...OPTIONS, flags: RMS_CLIP_BY_NORM | RMS_CLIP_BY_VALUE }, Math.fround);
  const text = stepText(form, ['value', 'gradient', 'mean_square'], { type: 'vec4f', scalar: (name) => `step.${name}` });
  for (const name of ['learning_rate', 'rho', 'complement', 'epsilon', 'clip_value', 'clip_norm', 'norm']) {
    assert.ok(text.includes(`step.${name}`), name);
  }
  assert.doesNotMatch(text, /(?<!\.)\b(rho|norm|epsilon)\b/);
});

test('the texts of a prepared gradient and of norms compute what the rule does', () => {
  const options = { ...OPTIONS, flags: RMS_UNSCALE };
  const form = formOf(options, Math.fround);
  const scalars = scalarsOf(options, form.row, Math.fround);
  const algebra = numbers(Math.fround);
  for (const type of /** @type {const} */ (['float', 'f32'])) {
    const text = preparedText(form, true, { type });
    const { gradient } = run(text, { gradient: 0.5, accumulator: 0.25, ...declared(scalars) }, type);
    assert.equal(gradient, prepared(algebra, form, scalars, 0.5, 0.25));
    for (const sum of [0.01, 0.5, 7, Infinity, NaN]) {
      assert.equal(run(normText(false, { type }), { norm: sum, ...declared(scalars) }, type).norm, normOf(algebra, scalars, sum));
      assert.equal(run(normText(true, { type }), { norm: sum, ...declared(scalars) }, type).norm, globalFactorOf(algebra, scalars, sum));
    }
  }
});

test('the functions beside a text are of its language and type', () => {
  assert.match(functions('float'), /^float positive_or\(float a, float b\) \{ return a <= 0\.0 \? b : a; \}$/m);
  assert.match(functions('vec4'), /^vec4 smaller_of\(vec4 a, vec4 b\) \{ return vec4\(a\.x < b\.x \? a\.x : b\.x, a\.y/m);
  assert.match(functions('f32'), /^fn larger_of\(a: f32, b: f32\) -> f32 \{ return select\(a, b, b > a\); \}$/m);
  assert.match(functions('vec4f'), /^fn positive_or\(a: vec4f, b: vec4f\) -> vec4f \{ return select\(a, b, a <= vec4f\(0\.0\)\); \}$/m);
});
