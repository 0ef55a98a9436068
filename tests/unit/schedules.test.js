import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isSchedule } from '../../js/schedule-marker.js';
import * as schedules from '../../js/schedules.js';
import {
  CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, LearningRateSchedule, PiecewiseConstantDecay,
  PolynomialDecay, chain, deserialize, linear, serialize, warmup,
} from '../../js/schedules.js';

/**
 * @typedef {object} Recorded
 * @property {string} class_name
 * @property {Record<string, any>} config
 * @property {number[]} steps
 * @property {any[]} values numbers in closed_forms, elsewhere the bits of a float32 as 8 hexadecimal digits
 */

/**
 * What each list is, and how it was made, says golden/generate_schedules.py.
 *
 * @type {{ closed_forms: Recorded[], tensorflow: Recorded[], numpy: Recorded[], order_steps: number[], order:
 *   Recorded[], serialized: Record<string, any>[] }}
 */
const golden = JSON.parse(readFileSync(new URL('../golden/keras_schedules.json', import.meta.url), 'utf8'));

/** ½ (1 + cos π/2) in float32, where the float32 next to π/2 lies beyond it. */
const half = Math.fround(0.5 * Math.fround(1 + -4.371139e-8));

const view = new DataView(new ArrayBuffer(4));

/**
 * @param {string} hex
 * @returns {number}
 */
function float32(hex) {
  view.setUint32(0, parseInt(hex, 16));
  return view.getFloat32(0);
}

/**
 * @param {number} value
 * @returns {number} float32 numbers counted from zero, negative ones down
 */
function ordinal(value) {
  view.setFloat32(0, value);
  const bits = view.getUint32(0);
  return bits < 0x80000000 ? bits : 0x80000000 - bits;
}

/**
 * @param {number} actual
 * @param {number} expected
 * @returns {number} how many float32 lie between the two; 0 for NaN and NaN
 */
function ulps(actual, expected) {
  if (Number.isNaN(actual) || Number.isNaN(expected)) return Object.is(actual, expected) ? 0 : Infinity;
  assert.equal(actual, Math.fround(actual), 'a rate is a float32');
  return Math.abs(ordinal(actual) - ordinal(expected));
}

/**
 * @param {Recorded} recorded
 * @returns {boolean} whether + - * / alone make the rates, so that every backend has the same bits
 */
function isExact({ class_name: name, config }) {
  return name === 'PiecewiseConstantDecay' || name === 'InverseTimeDecay'
    || (name === 'PolynomialDecay' && Number.isInteger(config.power) && config.power >= 0);
}

/**
 * Holds every recorded point to a number of ulp and reports the largest of each class.
 *
 * @param {import('node:test').TestContext} t
 * @param {Recorded[]} list
 * @param {(recorded: Recorded) => number} allowed
 * @param {(rate: number) => number} [prepare]
 */
function compare(t, list, allowed, prepare = (rate) => rate) {
  /** @type {Record<string, number>} */
  const largest = {};
  let points = 0;
  for (const recorded of list) {
    const { class_name: name, config, steps, values } = recorded;
    const schedule = deserialize({ class_name: name, config });
    steps.forEach((step, i) => {
      const expected = float32(values[i]);
      const actual = prepare(schedule.at(step));
      const distance = ulps(actual, expected);
      largest[name] = Math.max(largest[name] ?? 0, distance);
      points++;
      const at = `${name} ${JSON.stringify(config)} at ${step}`;
      assert.ok(distance <= allowed(recorded), `${at}: ${actual} is ${distance} ulp from ${expected}`);
    });
  }
  t.diagnostic(`${points} points, largest ulp ${JSON.stringify(largest)}`);
}

/**
 * @param {() => unknown} call
 * @param {string} expected how the error that it throws begins: its class, the name of the culprit, what it must be
 */
function refuses(call, expected) {
  assert.throws(call, (error) => {
    assert.equal(String(error).slice(0, expected.length), expected);
    return true;
  });
}

/** The numbers of Keras's documentation, as a new user types them. */
const makers = {
  ExponentialDecay: () => new ExponentialDecay({ initialLearningRate: 0.1, decaySteps: 100, decayRate: 0.96 }),
  PiecewiseConstantDecay: () => new PiecewiseConstantDecay({ boundaries: [10, 20], values: [0.1, 0.05, 0.01] }),
  PolynomialDecay: () => new PolynomialDecay({ initialLearningRate: 0.1, decaySteps: 100 }),
  InverseTimeDecay: () => new InverseTimeDecay({ initialLearningRate: 0.1, decaySteps: 10, decayRate: 0.5 }),
  CosineDecay: () => new CosineDecay({ initialLearningRate: 0.1, decaySteps: 100 }),
  CosineDecayRestarts: () => new CosineDecayRestarts({ initialLearningRate: 0.1, firstDecaySteps: 100 }),
};

test('rates are those of Keras on TensorFlow: the same bits without pow, log and cos, else within 1 ulp', (t) => {
  // TensorFlow flushes subnormal numbers to zero.
  const flush = (/** @type {number} */ rate) => (Math.abs(rate) < 2 ** -126 ? 0 : rate);
  compare(t, golden.tensorflow, (recorded) => (isExact(recorded) ? 0 : 1), flush);
});

test('rates are those of Keras on numpy: the same bits without pow, log and cos, else within 3 ulp', (t) => {
  // numpy's float32 cosine is not correctly rounded: semantics.md 13.4 grants 3 ulp.
  compare(t, golden.numpy, (recorded) => (isExact(recorded) ? 0 : 3));
});

test('operations are rounded in the order of Keras: the same bits where its pow, log and cos are rounded once', (t) => {
  compare(t, golden.order.map((recorded) => ({ ...recorded, steps: golden.order_steps })), () => 0);
});

test('the 102 points of Keras\'s own tests are met to their tolerance of 1e-6', () => {
  let points = 0;
  for (const { class_name, config, steps, values } of golden.closed_forms) {
    const schedule = deserialize({ class_name, config });
    steps.forEach((step, i) => {
      const actual = schedule.at(step);
      const at = `${class_name} ${JSON.stringify(config)} at ${step}`;
      const tolerance = 1e-6 + 1e-6 * Math.abs(values[i]);
      assert.ok(Math.abs(actual - values[i]) <= tolerance, `${at}: ${actual}, not ${values[i]}`);
      points++;
    });
  }
  assert.equal(points, 102);
});

test('a piecewise constant rate changes one step after the boundary', () => {
  const schedule = makers.PiecewiseConstantDecay();
  const rates = [-1, 0, 10, 11, 20, 21].map((step) => schedule.at(step));
  assert.deepEqual(rates, [0.1, 0.1, 0.1, 0.05, 0.05, 0.01].map(Math.fround));
  // At a whole step boundaries are whole numbers, beyond 2^24 too.
  assert.equal(new PiecewiseConstantDecay({ boundaries: [-0.5], values: [1, 2] }).at(0), 1);
  assert.equal(new PiecewiseConstantDecay({ boundaries: [2 ** 24], values: [1, 2] }).at(2 ** 24 + 1), 2);
  const boundaries = Int32Array.of(10, 20);
  const values = Float64Array.of(0.1, 0.05, 0.01);
  assert.deepEqual(new PiecewiseConstantDecay({ boundaries, values }).getConfig(), schedule.getConfig());
});

test('a staircase rounds the exponent down', () => {
  const smooth = { initialLearningRate: 0.1, decaySteps: 100, decayRate: 0.5 };
  assert.equal(new ExponentialDecay({ ...smooth, staircase: true }).at(199), Math.fround(Math.fround(0.1) * 0.5));
  assert.ok(new ExponentialDecay(smooth).at(199) < 0.03);
  assert.equal(new InverseTimeDecay({ ...smooth, staircase: true }).at(199), Math.fround(Math.fround(0.1) / 1.5));
});

test('a warm-up of a cosine goes from the initial rate to the target, and is left out without a target', () => {
  const options = { initialLearningRate: 0.25, decaySteps: 100, warmupTarget: 1, warmupSteps: 4 };
  const schedule = new CosineDecay(options);
  const rates = [0, 1, 2, 3, 4, 54, 104, 1000].map((step) => schedule.at(step));
  assert.deepEqual(rates, [0.25, 0.4375, 0.625, 0.8125, 1, half, 0, 0]);
  assert.equal(new CosineDecay({ ...options, warmupTarget: null }).at(0), 0.25);
  assert.equal(new CosineDecay({ ...options, warmupTarget: null }).at(50), half / 4);
  assert.equal(new CosineDecay({ ...options, warmupSteps: 0 }).at(0), 1);
});

test('restarts come where Keras has them, with the waves growing by tMul', () => {
  const schedule = makers.CosineDecayRestarts();
  for (const start of [0, 100, 300, 700]) assert.equal(schedule.at(start), Math.fround(0.1));
  for (const end of [99, 299, 699]) assert.ok(schedule.at(end) < 3e-5);
  assert.equal(schedule.at(200), Math.fround(Math.fround(0.1) * half));
});

test('serialize gives the dictionary of Keras, key by key in its order', () => {
  for (const expected of golden.serialized.filter(({ module }) => module !== null)) {
    const actual = serialize(deserialize(expected));
    // What Keras made of a numpy number or array comes back as the plain number or list.
    const plain = (/** @type {any} */ value) => (value?.class_name === '__tensor__' ? value.config.value : value);
    assert.equal(JSON.stringify(actual), JSON.stringify(expected, (_, value) => plain(value)));
  }
});

test('defaults are those of Keras', () => {
  /** @type {Set<string>} */
  const seen = new Set();
  for (const expected of golden.serialized) {
    // The first of each class was made with the required arguments alone.
    if (expected.module === null || seen.has(expected.class_name)) continue;
    seen.add(expected.class_name);
    const schedule = makers[/** @type {keyof typeof makers} */ (expected.class_name)]();
    assert.equal(JSON.stringify(serialize(schedule)), JSON.stringify(expected));
  }
  assert.equal(seen.size, 6);
});

test('fromConfig takes the dictionary and the options', () => {
  const schedule = makers.CosineDecay();
  assert.ok(CosineDecay.fromConfig(schedule.getConfig()) instanceof CosineDecay);
  assert.deepEqual(CosineDecay.fromConfig(schedule.getConfig()), schedule);
  assert.deepEqual(CosineDecay.fromConfig({ initialLearningRate: 0.1, decaySteps: 100 }), schedule);
  refuses(
    () => CosineDecay.fromConfig({ initial_learning_rate: 0.1, decay_stepz: 100 }),
    'TypeError: CosineDecay has no option "decayStepz"; did you mean "decaySteps"?',
  );
  refuses(() => CosineDecay.fromConfig(/** @type {any} */ (null)), 'TypeError: config must be of type object, got ');
});

test('the options are fields, undefined is a default, and a subclass has its own fields beside them', () => {
  class Extended extends CosineDecay {
    /** @param {import('../../js/schedules.js').CosineDecayOptions} options */
    constructor(options) {
      super(options);
      this.label = 'own';
    }
  }
  const schedule = new Extended({ initialLearningRate: 0.1, decaySteps: 100, alpha: undefined, name: null });
  const fields = { initialLearningRate: 0.1, decaySteps: 100, alpha: 0, name: null, warmupTarget: null, warmupSteps: 0 };
  assert.deepEqual({ ...schedule }, { ...fields, label: 'own' });
  assert.deepEqual(schedule.getConfig(), {
    initial_learning_rate: 0.1, decay_steps: 100, alpha: 0, name: null, warmup_target: null, warmup_steps: 0,
  });
  assert.equal(serialize(schedule).class_name, 'Extended');
});

test('a config is a copy', () => {
  const boundaries = [10, 20];
  const schedule = new PiecewiseConstantDecay({ boundaries, values: [0.1, 0.05, 0.01] });
  boundaries[0] = 0;
  schedule.getConfig().boundaries[0] = 0;
  assert.equal(schedule.at(5), Math.fround(0.1));
});

/** A schedule as a user writes it. */
class Halving extends LearningRateSchedule {
  /** @param {{ startRate: number, period: number }} options */
  constructor({ startRate, period }) {
    super();
    this.startRate = startRate;
    this.period = period;
  }

  /**
   * @override
   * @param {number} step
   */
  at(step) {
    return this.startRate / 2 ** Math.floor(step / this.period);
  }

  /** @override */
  getConfig() {
    return { start_rate: this.startRate, period: this.period };
  }
}

/** A class of Keras, extended. */
class OwnCosine extends CosineDecay {}

test('a class of the user is serialized as Keras does it, and found among customObjects', () => {
  const customObjects = { Halving, OwnCosine };
  for (const expected of golden.serialized.filter(({ module }) => module === null)) {
    const schedule = deserialize(expected, { customObjects });
    assert.equal(schedule.constructor, customObjects[/** @type {keyof typeof customObjects} */ (expected.class_name)]);
    assert.deepEqual(serialize(schedule), expected);
    assert.throws(() => deserialize(expected), RangeError);
  }
  const registered = { class_name: 'Other', config: { period: 3 }, registered_name: 'package>Halving' };
  assert.equal(deserialize(registered, { customObjects: { 'package>Halving': Halving } }).constructor, Halving);
  const renamed = { class_name: 'CosineDecay', config: {}, registered_name: 'package>Halving' };
  assert.equal(deserialize(renamed, { customObjects: { 'package>Halving': Halving } }).constructor, Halving);
  const builtIn = { class_name: 'CosineDecay', config: {} };
  assert.equal(deserialize(builtIn, { customObjects: { CosineDecay: Halving } }).constructor, Halving);
});

test('deserialize refuses what it does not know', () => {
  const config = { class_name: 'ExpDecay', config: {} };
  const known = Object.keys(makers).join(', ');
  refuses(() => deserialize(config), `RangeError: class_name must be one of ${known}, got "ExpDecay"`);
  refuses(
    () => deserialize(config, { customObjects: { Halving } }),
    `RangeError: class_name must be one of ${known}, Halving, got "ExpDecay"`,
  );
  for (const inherited of ['constructor', '__proto__', 'toString']) {
    assert.throws(() => deserialize({ class_name: inherited, config: {} }), RangeError);
  }
  refuses(() => deserialize({ config: {} }), 'TypeError: class_name must be of type string, got undefined');
  refuses(() => deserialize({ class_name: 'CosineDecay' }), 'TypeError: config must be of type object, got ');
  refuses(
    () => deserialize(config, { customObjects: { ExpDecay: 0.1 } }),
    'TypeError: customObjects.ExpDecay must be a LearningRateSchedule class, got 0.1',
  );
  assert.throws(() => deserialize(config, { customObjects: { ExpDecay: () => 0.1 } }), TypeError);
  assert.throws(() => deserialize(config, /** @type {any} */ ({ custom: {} })), /did you mean "customObjects"/);
  assert.throws(() => deserialize(config, /** @type {any} */ ({ customObjects: null })), TypeError);
  for (const wrong of /** @type {any[]} */ ([null, undefined, 'CosineDecay', 0.1])) {
    assert.throws(() => deserialize(wrong), TypeError);
  }
  refuses(() => serialize(/** @type {any} */ (0.1)), 'TypeError: schedule must be a LearningRateSchedule, got 0.1');
  assert.throws(() => serialize(/** @type {any} */ ({ at() {} })), TypeError);
});

test('a schedule without at or getConfig says what to override', () => {
  class Empty extends LearningRateSchedule {}
  refuses(() => new Empty().at(0), 'Error: Empty must override at(step)');
  refuses(() => new Empty().getConfig(), 'Error: Empty must override getConfig()');
  assert.throws(() => serialize(new Empty()), /getConfig/);
});

test('schedules of another copy of the package are recognised', async () => {
  const path = '../../js/schedules.js?copy';
  /** @type {typeof schedules} */
  const other = await import(path);
  const schedule = new other.CosineDecay({ initialLearningRate: 0.1, decaySteps: 100 });
  assert.notEqual(other.LearningRateSchedule, LearningRateSchedule);
  assert.ok(isSchedule(schedule));
  assert.deepEqual(serialize(schedule), serialize(makers.CosineDecay()));
  assert.equal(warmup({ steps: 2, schedule })(52), schedule.at(50));
  for (const no of [null, undefined, 0.1, () => 0.1, {}, CosineDecay, { at() {} }]) assert.ok(!isSchedule(no));
});

test('an option that is unknown, of the wrong kind or out of range is refused by name', () => {
  const rate = 'initialLearningRate';
  /** @type {[new (options: any) => LearningRateSchedule, any, string][]} */
  const refused = [
    [CosineDecay, undefined, 'TypeError: CosineDecay options must be of type object, got '],
    [CosineDecay, { [rate]: 0.1, decaySteps: 1, warmUpSteps: 3 },
      'TypeError: CosineDecay has no option "warmUpSteps"; did you mean "warmupSteps"?'],
    [ExponentialDecay, { [rate]: 0.1, decaySteps: 1, decayRate: 1, power: 3 },
      'TypeError: ExponentialDecay has no option "power"; it has initialLearningRate, decaySteps, decayRate, staircase, name'],
    [PolynomialDecay, { decaySteps: 1 }, `TypeError: ${rate} must be a finite number, got undefined`],
    [PolynomialDecay, { [rate]: '0.1', decaySteps: 1 }, `TypeError: ${rate} must be a finite number, got "0.1"`],
    [PolynomialDecay, { [rate]: 0.1, decaySteps: 1, cycle: 1 }, 'TypeError: cycle must be of type boolean, got '],
    [PolynomialDecay, { [rate]: 0.1, decaySteps: 1, power: NaN }, 'RangeError: power must be a finite number, got NaN'],
    [PolynomialDecay, { [rate]: 0.1, decaySteps: 1, endLearningRate: -Infinity },
      'RangeError: endLearningRate must be a finite number, got -Infinity'],
    [PolynomialDecay, { [rate]: 0.1, decaySteps: 1, name: 7 }, 'TypeError: name must be of type string, got 7'],
    [InverseTimeDecay, { [rate]: 0.1, decaySteps: 1 }, 'TypeError: decayRate must be a finite number, got undefined'],
    [InverseTimeDecay, { [rate]: 0.1, decaySteps: 1, decayRate: 1, staircase: null },
      'TypeError: staircase must be of type boolean, got '],
    [CosineDecay, { [rate]: 0.1, decaySteps: 1, alpha: Infinity },
      'RangeError: alpha must be a finite number, got Infinity'],
    [CosineDecay, { [rate]: 0.1, decaySteps: 1, warmupTarget: NaN },
      'RangeError: warmupTarget must be a finite number, got NaN'],
    [CosineDecay, { [rate]: 0.1, decaySteps: 1, warmupSteps: '5' },
      'TypeError: warmupSteps must be a finite number, got "5"'],
    [CosineDecayRestarts, { [rate]: 0.1, decaySteps: 1 },
      'TypeError: CosineDecayRestarts has no option "decaySteps"; did you mean "firstDecaySteps"?'],
    [CosineDecayRestarts, { [rate]: 0.1, firstDecaySteps: -1 },
      'RangeError: firstDecaySteps must be greater than 0, got -1'],
    [CosineDecayRestarts, { [rate]: 0.1, firstDecaySteps: 1, tMul: NaN },
      'RangeError: tMul must be a finite number, got NaN'],
    [CosineDecayRestarts, { [rate]: 0.1, firstDecaySteps: 1, mMul: null },
      'TypeError: mMul must be a finite number, got null'],
    [PiecewiseConstantDecay, { boundaries: 10, values: [1, 2] },
      'TypeError: boundaries must be an array, got 10'],
    [PiecewiseConstantDecay, { boundaries: [10] }, 'TypeError: values must be an array, got undefined'],
    [PiecewiseConstantDecay, { boundaries: '10', values: [1, 2] },
      'TypeError: boundaries must be an array, got "10"'],
    [PiecewiseConstantDecay, { boundaries: [10], values: new DataView(new ArrayBuffer(16)) },
      'TypeError: values must be an array, got '],
    [PiecewiseConstantDecay, { boundaries: [10, '20'], values: [1, 2, 3] },
      'TypeError: boundaries[1] must be a finite number, got "20"'],
    // eslint-disable-next-line no-sparse-arrays
    [PiecewiseConstantDecay, { boundaries: [10, 20], values: [1, , 3] },
      'TypeError: values[1] must be a finite number, got undefined'],
    [PiecewiseConstantDecay, { boundaries: [10, 20], values: [1, NaN, 3] },
      'RangeError: values[1] must be a finite number, got NaN'],
    [PiecewiseConstantDecay, { boundaries: [10, 20], values: [1, 2] },
      'RangeError: values must be of length 3, got '],
    [PiecewiseConstantDecay, { boundaries: [10, 20], values: [1, 2, 3, 4] },
      'RangeError: values must be of length 3, got '],
    [PiecewiseConstantDecay, { boundaries: [], values: [1] },
      'RangeError: boundaries must be of length >= 1, got '],
  ];
  for (const [Class, options, error] of refused) refuses(() => new Class(options), error);
  for (const Class of [ExponentialDecay, PolynomialDecay, InverseTimeDecay, CosineDecay]) {
    for (const decaySteps of [0, -0, -1, -0.5]) {
      const options = { [rate]: 0.1, decaySteps };
      const error = `RangeError: decaySteps must be greater than 0, got ${decaySteps}`;
      refuses(() => new Class(/** @type {any} */ (options)), error);
    }
  }
});

test('what Keras accepts is accepted: negative rates, alpha above 1, fractions of a step, a negative warm-up', () => {
  assert.equal(new CosineDecay({ initialLearningRate: -1, decaySteps: 0.5, alpha: 1.5 }).at(10), -1.5);
  const options = { initialLearningRate: 1, decaySteps: 10 };
  assert.equal(new CosineDecay({ ...options, warmupTarget: 2, warmupSteps: -5 }).at(0), 2 * half);
  assert.equal(new PolynomialDecay({ ...options, power: -1, endLearningRate: 0 }).at(10), Infinity);
});

test('a step is any finite number', () => {
  for (const make of Object.values(makers)) {
    const schedule = make();
    for (const step of [-999, -0.5, 0, 2.5, 2 ** 40]) assert.equal(typeof schedule.at(step), 'number');
    for (const step of [NaN, Infinity, -Infinity]) {
      refuses(() => schedule.at(step), `RangeError: step must be a finite number, got ${step}`);
    }
    for (const step of /** @type {any[]} */ ([undefined, null, '3', 3n])) {
      assert.throws(() => schedule.at(step), TypeError);
    }
  }
});

test('linear goes straight from one rate to the other and stays there', () => {
  const rate = linear({ from: 1, to: 0, steps: 4 });
  assert.deepEqual([-2, 0, 1, 2, 3, 4, 5, 1e9].map(rate), [1, 1, 0.75, 0.5, 0.25, 0, 0, 0]);
  // from + (to - from) is not `to` here; the end is exact all the same.
  assert.notEqual(1 + (0.1 - 1), 0.1);
  assert.equal(linear({ from: 1, to: 0.1, steps: 7 })(7), 0.1);
  assert.equal(linear({ from: 1, to: 2, steps: 0 })(0), 2);
});

test('warmup moves with the first update, reaches the peak with its last and hands over at step 0', () => {
  const cosine = new CosineDecay({ initialLearningRate: 0.5, decaySteps: 100 });
  const rate = warmup({ steps: 4, schedule: cosine });
  assert.deepEqual([0, 1, 2, 3, 4, 5].map(rate), [0.125, 0.25, 0.375, 0.5, 0.5, cosine.at(1)]);
  assert.deepEqual([54, 104, 200].map(rate), [half / 2, 0, 0]);
  assert.deepEqual([0, 1, 2].map(warmup({ steps: 2, schedule: 0.1 })), [0.05, 0.1, 0.1]);
  assert.deepEqual([0, 1].map(warmup({ steps: 0, schedule: (step) => step + 1 })), [1, 2]);
  /** @type {number[]} */
  const steps = [];
  const spied = warmup({ steps: 2, schedule: (step) => steps.push(step) });
  for (let step = 0; step < 4; step++) spied(step);
  assert.deepEqual(steps, [0, 0, 0, 1]);
});

test('chain gives every piece its own steps, and the last runs on', () => {
  const steps = (/** @type {number} */ step) => step;
  const rate = chain([
    { steps: 2, schedule: 7 },
    { steps: 0, schedule: 9 },
    { steps: 3, schedule: steps },
    { schedule: makers.CosineDecay() },
  ]);
  assert.deepEqual([0, 1, 2, 3, 4].map(rate), [7, 7, 0, 1, 2]);
  assert.equal(rate(5), Math.fround(0.1));
  assert.equal(rate(55), makers.CosineDecay().at(50));
  assert.equal(rate(1e6), 0);
  assert.deepEqual([0, 2, 3].map(chain([{ steps: 2, schedule: 7 }, { steps: 1, schedule: steps }])), [7, 0, 1]);
  // warmup is a chain whose first piece is a line.
  const cosine = makers.CosineDecay();
  const peak = cosine.at(0);
  const line = linear({ from: peak / 4, to: peak + peak / 4, steps: 4 });
  const chained = chain([{ steps: 4, schedule: line }, { schedule: cosine }]);
  const warmed = warmup({ steps: 4, schedule: cosine });
  // Two roundings on the one side and four on the other, of numbers below 0.125: 6 * 2^-57.
  for (const step of [0, 1, 2, 3, 4, 50]) assert.ok(Math.abs(chained(step) - warmed(step)) < 6 * 2 ** -57);
});

test('the helpers refuse what they cannot use', () => {
  /** @type {[() => unknown, string][]} */
  const refused = [
    [() => linear(/** @type {any} */ ({ from: 1, to: 0, step: 4 })),
      'TypeError: linear has no option "step"; did you mean "steps"?'],
    [() => linear({ from: NaN, to: 0, steps: 4 }), 'RangeError: from must be a finite number, got NaN'],
    [() => linear(/** @type {any} */ ({ from: 1, steps: 4 })), 'TypeError: to must be a finite number, got undefined'],
    [() => linear({ from: 1, to: 0, steps: 2.5 }), 'RangeError: steps must be an integer in [0, '],
    [() => warmup({ steps: -1, schedule: 1 }), 'RangeError: steps must be an integer in [0, '],
    [() => warmup(/** @type {any} */ ({ steps: 1 })),
      'TypeError: schedule must be a finite number, schedule or callback, got undefined'],
    [() => warmup({ steps: 1, schedule: NaN }), 'RangeError: schedule must be a finite number, schedule or callback, got NaN'],
    [() => warmup(/** @type {any} */ (5)), 'TypeError: warmup options must be of type object, got '],
    [() => chain(/** @type {any} */ ({})),
      'TypeError: pieces must be an array, got Object'],
    [() => chain([]),
      'RangeError: pieces must be of length >= 1, got '],
    [() => chain([{ schedule: 1 }, { schedule: 2 }]),
      'TypeError: pieces[0].steps must be an integer in [0, '],
    [() => chain([{ steps: 3, schedule: 1 }, { steps: -3, schedule: 2 }]),
      'RangeError: pieces[1].steps must be an integer in [0, '],
    [() => chain([{ steps: 3, schedule: /** @type {any} */ ('1') }]),
      'TypeError: pieces[0].schedule must be a finite number, schedule or callback, got "1"'],
    [() => chain([/** @type {any} */ ({ steps: 3, rate: 1 })]),
      'TypeError: pieces[0] has no option "rate"; it has steps, schedule'],
  ];
  for (const [call, error] of refused) refuses(call, error);
});

test('the exports are the public names', () => {
  assert.deepEqual(Object.keys(schedules).sort(), [
    'CosineDecay', 'CosineDecayRestarts', 'ExponentialDecay', 'InverseTimeDecay', 'LearningRateSchedule',
    'PiecewiseConstantDecay', 'PolynomialDecay', 'chain', 'deserialize', 'linear', 'serialize', 'warmup',
  ]);
});
