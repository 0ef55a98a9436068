/**
 * Learning-rate schedules: the six of Keras 3 with its arithmetic, and plain functions to build one's own.
 *
 *     const cosine = new CosineDecay({ initialLearningRate: 0.01, decaySteps: 4500 });
 *     const learningRate = warmup({ steps: 500, schedule: cosine });
 *
 * A schedule maps a step, the number of updates before this one, to a rate. Wherever a schedule is expected, a number,
 * a function `(step) => number` and a LearningRateSchedule will do.
 *
 * The classes compute in float32: the step and every option are rounded to float32, and so is the result of each
 * operation in the order of Keras's learning_rate_schedule.py; cos, log and pow come from math.js in float64, rounded
 * once. So the rates have the same bits on every engine, and those of Keras wherever its backend rounds these three
 * correctly: of 350 points recorded with TensorFlow one differs, by 1 ulp (`node --test tests/unit/schedules.test.js`
 * prints the largest difference of each class). TensorFlow flushes rates below 2^-126 to zero, these classes don't. The
 * function helpers compute in float64 with + - * / alone.
 *
 * As in Keras, `at` takes any finite number: a step may lie before 0 or between two whole numbers. Beyond 2^24 float32
 * no longer tells neighbouring steps apart, here as there. Rates are always floats: what Keras does with an integer
 * initial rate (it computes the whole schedule in integers) does not exist here. JSON can't tell 1.0 from 1, though, so
 * a config with a whole-numbered rate becomes such an integer schedule when Python reads it.
 */
import { array, finite, integer, knownOptions, ofType, rangeError, typeError } from './check.js';
import { cos, log, pow } from './math.js';
import { SCHEDULE, isSchedule } from './schedule-marker.js';

/** @typedef {(step: number) => number} ScheduleFunction */
/** @typedef {number | ScheduleFunction | LearningRateSchedule} Schedule */

const f32 = Math.fround;

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {number} the value, greater than 0
 */
function positive(name, value) {
  const number = finite(name, value);
  if (number <= 0) throw rangeError(name, 'greater than 0', value);
  return number;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {string | null}
 */
function text(name, value) {
  if (typeof value !== 'string' && value !== null) throw typeError(name, 'a string or null', value);
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {number[]} a copy of the value, an array or typed array of finite numbers
 */
function numbers(name, value) {
  if (!Array.isArray(value) && !(ArrayBuffer.isView(value) && 'length' in value)) {
    throw typeError(name, 'an array of numbers', value);
  }
  return Array.from(/** @type {ArrayLike<unknown>} */ (value), (element, i) => finite(`${name}[${i}]`, element));
}

/**
 * @param {string} key decaySteps
 * @returns {string} decay_steps
 */
function snakeCase(key) {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * @param {string} key decay_steps
 * @returns {string} decaySteps
 */
function camelCase(key) {
  return key.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
}

/**
 * @param {Record<string, any>} schedule
 * @param {readonly string[]} options its options in Keras's order
 * @returns {Record<string, any>} Keras's config dictionary of it
 */
function configOf(schedule, options) {
  return Object.fromEntries(options.map((key) => {
    const value = schedule[key];
    return [snakeCase(key), Array.isArray(value) ? [...value] : value];
  }));
}

/**
 * ½ (1 + cos(π fraction)) times `height`, as float32 operations.
 *
 * @param {number} height
 * @param {number} fraction
 * @returns {number}
 */
function halfCosine(height, fraction) {
  return f32(f32(0.5 * height) * f32(1 + f32(cos(f32(f32(Math.PI) * fraction)))));
}

/**
 * The base class: extend it and override `at`, and `getConfig` for optimizers that are to be saved. The constructor of
 * a subclass takes one object of options, so that `fromConfig` can call it.
 */
export class LearningRateSchedule {
  /** @returns {true} what isSchedule looks for, in the classes of another copy of the package too */
  get [SCHEDULE]() {
    return true;
  }

  /**
   * @param {number} _step the number of updates before this one
   * @returns {number} the rate of this update
   */
  at(_step) {
    throw new Error(`${this.constructor.name} must override at(step)`);
  }

  /**
   * @returns {Record<string, any>} what Keras's get_config returns: Python's option names and JSON values
   */
  getConfig() {
    throw new Error(`${this.constructor.name} must override getConfig() to be serializable`);
  }

  /**
   * @template {LearningRateSchedule} T
   * @this {new (options: any) => T}
   * @param {Record<string, any>} config what getConfig or Keras's get_config returned, or the constructor's options:
   *   keys in snake_case become camelCase, and what Keras makes of numpy numbers and arrays (`__tensor__`) becomes
   *   plain values
   * @returns {T}
   */
  static fromConfig(config) {
    return new this(Object.fromEntries(Object.entries(ofType('config', config, 'object')).map(
      ([key, value]) => [camelCase(key), value?.class_name === '__tensor__' ? value.config.value : value],
    )));
  }
}

const exponentialOptions = ['initialLearningRate', 'decaySteps', 'decayRate', 'staircase', 'name'];

/**
 * A rate that is multiplied by decayRate every decaySteps steps, t = step:
 *
 *     p = t / decaySteps, rounded down with staircase
 *     rate = initialLearningRate pow(decayRate, p)
 */
export class ExponentialDecay extends LearningRateSchedule {
  /** @returns {string} the class name in Keras's configs; minifiers rename constructors */
  get kerasClass() {
    return 'ExponentialDecay';
  }

  /**
   * @param {object} options
   * @param {number} options.initialLearningRate
   * @param {number} options.decaySteps greater than 0
   * @param {number} options.decayRate
   * @param {boolean} [options.staircase] false
   * @param {string | null} [options.name] 'ExponentialDecay'
   */
  constructor(options) {
    super();
    knownOptions('ExponentialDecay', options, exponentialOptions);
    const { initialLearningRate, decaySteps, decayRate, staircase = false, name = 'ExponentialDecay' } = options;
    this.initialLearningRate = finite('initialLearningRate', initialLearningRate);
    this.decaySteps = positive('decaySteps', decaySteps);
    this.decayRate = finite('decayRate', decayRate);
    /** @type {boolean} */
    this.staircase = ofType('staircase', staircase, 'boolean');
    this.name = text('name', name);
  }

  /**
   * @override
   * @param {number} step
   * @returns {number} a float32
   */
  at(step) {
    const p = f32(f32(finite('step', step)) / f32(this.decaySteps));
    const power = f32(pow(f32(this.decayRate), this.staircase ? Math.floor(p) : p));
    return f32(f32(this.initialLearningRate) * power);
  }

  /** @override */
  getConfig() {
    return configOf(this, exponentialOptions);
  }
}

const piecewiseConstantOptions = ['boundaries', 'values', 'name'];

/**
 * values[0] up to and including step boundaries[0], then values[1] up to and including boundaries[1], and so on; the
 * last value ever after. At a whole step the boundaries are rounded towards zero to whole numbers, as Keras does.
 *
 * Boundaries should increase. As in Keras, others are no error: where intervals overlap, their values add up.
 */
export class PiecewiseConstantDecay extends LearningRateSchedule {
  /** @returns {string} the class name in Keras's configs; minifiers rename constructors */
  get kerasClass() {
    return 'PiecewiseConstantDecay';
  }

  /**
   * @param {object} options
   * @param {ArrayLike<number>} options.boundaries at least one
   * @param {ArrayLike<number>} options.values one more than boundaries
   * @param {string | null} [options.name] 'PiecewiseConstant'
   */
  constructor(options) {
    super();
    knownOptions('PiecewiseConstantDecay', options, piecewiseConstantOptions);
    const { boundaries, values, name = 'PiecewiseConstant' } = options;
    this.boundaries = numbers('boundaries', boundaries);
    if (this.boundaries.length === 0) throw rangeError('boundaries', 'an array of at least one number', boundaries);
    this.values = numbers('values', values);
    if (this.values.length !== this.boundaries.length + 1) {
      throw rangeError('values', `one longer than boundaries (${this.boundaries.length})`, values);
    }
    this.name = text('name', name);
  }

  /**
   * @override
   * @param {number} step
   * @returns {number} a float32
   */
  at(step) {
    const cast = Number.isInteger(finite('step', step)) ? Math.trunc : f32;
    const t = cast(step);
    const { boundaries, values } = this;
    const last = boundaries.length;
    let rate = 0;
    if (t <= cast(boundaries[0])) rate += f32(values[0]);
    if (t > cast(boundaries[last - 1])) rate = f32(rate + f32(values[last]));
    for (let i = 1; i < last; i++) {
      if (t > cast(boundaries[i - 1]) && t <= cast(boundaries[i])) rate = f32(rate + f32(values[i]));
    }
    return rate;
  }

  /** @override */
  getConfig() {
    return configOf(this, piecewiseConstantOptions);
  }
}

const polynomialOptions = ['initialLearningRate', 'decaySteps', 'endLearningRate', 'power', 'cycle', 'name'];

/**
 * From initialLearningRate to endLearningRate along a power of the fraction that is left, t = step:
 *
 *     t = min(t, decaySteps), T = decaySteps
 *     with cycle: T = decaySteps ceil(t / decaySteps), or decaySteps at t = 0
 *     rate = (initialLearningRate - endLearningRate) pow(1 - t / T, power) + endLearningRate
 */
export class PolynomialDecay extends LearningRateSchedule {
  /** @returns {string} the class name in Keras's configs; minifiers rename constructors */
  get kerasClass() {
    return 'PolynomialDecay';
  }

  /**
   * @param {object} options
   * @param {number} options.initialLearningRate
   * @param {number} options.decaySteps greater than 0
   * @param {number} [options.endLearningRate] 0.0001
   * @param {number} [options.power] 1, a straight line
   * @param {boolean} [options.cycle] false; true starts anew, from where the power brings it, instead of staying at the
   *   end
   * @param {string | null} [options.name] 'PolynomialDecay'
   */
  constructor(options) {
    super();
    knownOptions('PolynomialDecay', options, polynomialOptions);
    const { initialLearningRate, decaySteps, endLearningRate = 0.0001, power = 1, cycle = false } = options;
    this.initialLearningRate = finite('initialLearningRate', initialLearningRate);
    this.decaySteps = positive('decaySteps', decaySteps);
    this.endLearningRate = finite('endLearningRate', endLearningRate);
    this.power = finite('power', power);
    /** @type {boolean} */
    this.cycle = ofType('cycle', cycle, 'boolean');
    this.name = text('name', options.name === undefined ? 'PolynomialDecay' : options.name);
  }

  /**
   * @override
   * @param {number} step
   * @returns {number} a float32
   */
  at(step) {
    let t = f32(finite('step', step));
    let steps = f32(this.decaySteps);
    if (!this.cycle) t = Math.min(t, steps);
    else if (t !== 0) steps = f32(steps * Math.ceil(f32(t / steps)));
    const end = f32(this.endLearningRate);
    const left = f32(pow(f32(1 - f32(t / steps)), f32(this.power)));
    return f32(f32(f32(f32(this.initialLearningRate) - end) * left) + end);
  }

  /** @override */
  getConfig() {
    return configOf(this, polynomialOptions);
  }
}

/**
 * A rate that falls as one over a straight line, t = step:
 *
 *     p = t / decaySteps, rounded down with staircase
 *     rate = initialLearningRate / (1 + decayRate p)
 */
export class InverseTimeDecay extends LearningRateSchedule {
  /** @returns {string} the class name in Keras's configs; minifiers rename constructors */
  get kerasClass() {
    return 'InverseTimeDecay';
  }

  /**
   * @param {object} options
   * @param {number} options.initialLearningRate
   * @param {number} options.decaySteps greater than 0
   * @param {number} options.decayRate
   * @param {boolean} [options.staircase] false
   * @param {string | null} [options.name] 'InverseTimeDecay'
   */
  constructor(options) {
    super();
    knownOptions('InverseTimeDecay', options, exponentialOptions);
    const { initialLearningRate, decaySteps, decayRate, staircase = false, name = 'InverseTimeDecay' } = options;
    this.initialLearningRate = finite('initialLearningRate', initialLearningRate);
    this.decaySteps = positive('decaySteps', decaySteps);
    this.decayRate = finite('decayRate', decayRate);
    /** @type {boolean} */
    this.staircase = ofType('staircase', staircase, 'boolean');
    this.name = text('name', name);
  }

  /**
   * @override
   * @param {number} step
   * @returns {number} a float32
   */
  at(step) {
    const p = f32(f32(finite('step', step)) / f32(this.decaySteps));
    const slope = f32(f32(this.decayRate) * (this.staircase ? Math.floor(p) : p));
    return f32(f32(this.initialLearningRate) / f32(1 + slope));
  }

  /** @override */
  getConfig() {
    return configOf(this, exponentialOptions);
  }
}

const cosineOptions = ['initialLearningRate', 'decaySteps', 'alpha', 'name', 'warmupTarget', 'warmupSteps'];

/**
 * Half a cosine wave from the peak to alpha times the peak, after a straight warm-up if warmupTarget is given, t =
 * step:
 *
 *     warm-up, t < warmupSteps:  rate = (warmupTarget - initialLearningRate) (t / warmupSteps) + initialLearningRate
 *     then, with q = min(t - warmupSteps, decaySteps) / decaySteps and peak = warmupTarget:
 *         rate = peak ((1 - alpha) ½ (1 + cos(π q)) + alpha)
 *
 * Without warmupTarget the peak is initialLearningRate and warmupSteps counts as 0. The warm-up starts at
 * initialLearningRate: with 0 the first update changes nothing (`warmup` below starts one step up).
 */
export class CosineDecay extends LearningRateSchedule {
  /** @returns {string} the class name in Keras's configs; minifiers rename constructors */
  get kerasClass() {
    return 'CosineDecay';
  }

  /**
   * @param {object} options
   * @param {number} options.initialLearningRate
   * @param {number} options.decaySteps greater than 0; the warm-up comes on top
   * @param {number} [options.alpha] 0, the end as a fraction of the peak
   * @param {string | null} [options.name] 'CosineDecay'
   * @param {number | null} [options.warmupTarget] null: no warm-up
   * @param {number} [options.warmupSteps] 0; no effect without warmupTarget
   */
  constructor(options) {
    super();
    knownOptions('CosineDecay', options, cosineOptions);
    const { initialLearningRate, decaySteps, alpha = 0, warmupTarget = null, warmupSteps = 0 } = options;
    this.initialLearningRate = finite('initialLearningRate', initialLearningRate);
    this.decaySteps = positive('decaySteps', decaySteps);
    this.alpha = finite('alpha', alpha);
    this.name = text('name', options.name === undefined ? 'CosineDecay' : options.name);
    this.warmupTarget = warmupTarget === null ? null : finite('warmupTarget', warmupTarget);
    this.warmupSteps = finite('warmupSteps', warmupSteps);
  }

  /**
   * @override
   * @param {number} step
   * @returns {number} a float32
   */
  at(step) {
    let t = f32(finite('step', step));
    let peak = f32(this.initialLearningRate);
    const steps = f32(this.decaySteps);
    if (this.warmupTarget === null) {
      t = Math.min(t, steps);
    } else {
      const start = peak;
      const warmupSteps = f32(this.warmupSteps);
      peak = f32(this.warmupTarget);
      t = Math.min(t, f32(steps + warmupSteps));
      if (t < warmupSteps) return f32(f32(f32(peak - start) * f32(t / warmupSteps)) + start);
      t = f32(t - warmupSteps);
    }
    const { alpha } = this;
    return f32(peak * f32(f32(f32(1 - alpha) * halfCosine(1, f32(t / steps))) + f32(alpha)));
  }

  /** @override */
  getConfig() {
    return configOf(this, cosineOptions);
  }
}

const restartsOptions = ['initialLearningRate', 'firstDecaySteps', 'tMul', 'mMul', 'alpha', 'name'];

/**
 * Half cosine waves one after the other, each tMul times as long and mMul times as high as the one before, t = step:
 *
 *     q = t / firstDecaySteps
 *     tMul = 1:  i = floor(q),  q = q - i
 *     else:      i = floor(log(1 - q (1 - tMul)) / log(tMul)),  q = (q - (1 - tMul^i) / (1 - tMul)) / tMul^i
 *     rate = initialLearningRate ((1 - alpha) ½ mMul^i (1 + cos(π q)) + alpha)
 *
 * Where a restart falls is decided by rounded float32 logarithms: one step early or late is possible, here as in Keras.
 */
export class CosineDecayRestarts extends LearningRateSchedule {
  /** @returns {string} the class name in Keras's configs; minifiers rename constructors */
  get kerasClass() {
    return 'CosineDecayRestarts';
  }

  /**
   * @param {object} options
   * @param {number} options.initialLearningRate
   * @param {number} options.firstDecaySteps greater than 0, the length of the first wave
   * @param {number} [options.tMul] 2
   * @param {number} [options.mMul] 1
   * @param {number} [options.alpha] 0, the end of a wave as a fraction of initialLearningRate
   * @param {string | null} [options.name] 'SGDRDecay'
   */
  constructor(options) {
    super();
    knownOptions('CosineDecayRestarts', options, restartsOptions);
    const { initialLearningRate, firstDecaySteps, tMul = 2, mMul = 1, alpha = 0, name = 'SGDRDecay' } = options;
    this.initialLearningRate = finite('initialLearningRate', initialLearningRate);
    this.firstDecaySteps = positive('firstDecaySteps', firstDecaySteps);
    this.tMul = finite('tMul', tMul);
    this.mMul = finite('mMul', mMul);
    this.alpha = finite('alpha', alpha);
    this.name = text('name', name);
  }

  /**
   * @override
   * @param {number} step
   * @returns {number} a float32, NaN where the logarithms have no value (a negative tMul, or a tMul below 1 after the
   *   end of its last wave)
   */
  at(step) {
    const tMul = f32(this.tMul);
    const alpha = f32(this.alpha);
    let q = f32(f32(finite('step', step)) / f32(this.firstDecaySteps));
    let i;
    if (tMul === 1) {
      i = Math.floor(q);
      q = f32(q - i);
    } else {
      const shrink = f32(1 - tMul);
      i = Math.floor(f32(f32(log(f32(1 - f32(q * shrink)))) / f32(log(tMul))));
      const length = f32(pow(tMul, i));
      q = f32(f32(q - f32(f32(1 - length) / shrink)) / length);
    }
    const wave = halfCosine(f32(pow(f32(this.mMul), i)), q);
    return f32(f32(this.initialLearningRate) * f32(f32(f32(1 - alpha) * wave) + alpha));
  }

  /** @override */
  getConfig() {
    return configOf(this, restartsOptions);
  }
}

/**
 * @param {Record<string, any>} object
 * @param {unknown} key
 * @returns {any} the object's own property of that name; undefined without one
 */
function own(object, key) {
  return typeof key === 'string' && Object.hasOwn(object, key) ? object[key] : undefined;
}

/**
 * What keras.optimizers.schedules.serialize gives, and what stands for the schedule in an optimizer's config.
 *
 * A class of the user's own goes by the name of its constructor. `module` is then null, as Keras writes it for a class
 * of the main program; where names are minified, give the class a `static name`.
 *
 * @param {LearningRateSchedule} schedule
 * @returns {{ module: string | null, class_name: string, config: Record<string, any>, registered_name: string | null }}
 */
export function serialize(schedule) {
  if (!isSchedule(schedule)) throw typeError('schedule', 'a LearningRateSchedule', schedule);
  const config = schedule.getConfig();
  // A user's subclass inherits kerasClass and is no class of Keras.
  const kerasClass = own(Object.getPrototypeOf(schedule), 'kerasClass');
  const { name } = schedule.constructor;
  return kerasClass
    ? { module: 'keras.optimizers.schedules', class_name: kerasClass, config, registered_name: null }
    : { module: null, class_name: name, config, registered_name: name };
}

/**
 * @param {Record<string, any>} config what `serialize` or Keras gave, or the older form { class_name, config }
 * @param {object} [options]
 * @param {Record<string, any>} [options.customObjects] the user's classes by `registered_name` or `class_name`; they go
 *   before Keras's. Each extends LearningRateSchedule.
 * @returns {LearningRateSchedule}
 */
export function deserialize(config, options = {}) {
  const { class_name: className, registered_name: registeredName } = ofType('config', config, 'object');
  ofType('class_name', className, 'string');
  knownOptions('deserialize', options, ['customObjects']);
  const { customObjects = {} } = options;
  ofType('customObjects', customObjects, 'object');
  const keras = {
    ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay, InverseTimeDecay, CosineDecay, CosineDecayRestarts,
  };
  const Class = own(customObjects, registeredName) ?? own(customObjects, className) ?? own(keras, className);
  if (Class === undefined) {
    throw rangeError('class_name', `one of ${Object.keys({ ...keras, ...customObjects }).join(', ')}`, className);
  }
  if (typeof Class !== 'function' || !isSchedule(Class.prototype)) {
    throw typeError(`customObjects.${className}`, 'a class that extends LearningRateSchedule', Class);
  }
  return Class.fromConfig(config.config);
}

/**
 * @param {string} name
 * @param {unknown} schedule
 * @returns {ScheduleFunction}
 */
function asFunction(name, schedule) {
  if (typeof schedule === 'function') return /** @type {ScheduleFunction} */ (schedule);
  if (isSchedule(schedule)) return (step) => schedule.at(step);
  if (typeof schedule !== 'number') {
    throw typeError(name, 'a number, a function (step) => number or a LearningRateSchedule', schedule);
  }
  const rate = finite(name, schedule);
  return () => rate;
}

/**
 * A straight line: `from` at step 0 (and before), `to` at step `steps` and ever after.
 *
 *     rate = from + (to - from) (step / steps)
 *
 * @param {object} options
 * @param {number} options.from
 * @param {number} options.to
 * @param {number} options.steps an integer of at least 0; with 0 the rate is always `to`
 * @returns {ScheduleFunction}
 */
export function linear(options) {
  knownOptions('linear', options, ['from', 'to', 'steps']);
  const from = finite('from', options.from);
  const to = finite('to', options.to);
  const steps = integer('steps', options.steps, 0);
  return (step) => (step >= steps ? to : from + (to - from) * (Math.max(step, 0) / steps));
}

/**
 * A straight warm-up in front of another schedule. The first update already moves, and the peak is reached with the
 * last of the `steps` updates; then the schedule starts, at its own step 0.
 *
 *     step < steps:  rate = schedule(0) ((step + 1) / steps)        from schedule(0) / steps up to schedule(0)
 *     else:          rate = schedule(step - steps)
 *
 * @param {object} options
 * @param {number} options.steps an integer of at least 0
 * @param {Schedule} options.schedule what follows; a number for a constant rate. A function is called once for each
 *   step, in the warm-up with 0.
 * @returns {ScheduleFunction}
 */
export function warmup(options) {
  knownOptions('warmup', options, ['steps', 'schedule']);
  const steps = integer('steps', options.steps, 0);
  const schedule = asFunction('schedule', options.schedule);
  return (step) => (step < steps ? schedule(0) * ((step + 1) / steps) : schedule(step - steps));
}

/**
 * Schedules one after the other. Each is given steps counted from its own start, and the last one runs on for ever.
 *
 *     chain([{ steps: 500, schedule: 0.001 }, { steps: 1000, schedule: linear({ from: 0.01, to: 0, steps: 1000 }) }])
 *
 * @param {readonly { steps?: number, schedule: Schedule }[]} pieces `steps` is an integer of at least 0, the number of
 *   updates of this piece; the last piece may do without
 * @returns {ScheduleFunction}
 */
export function chain(pieces) {
  const expectation = 'an array of at least one { steps, schedule }';
  if (array('pieces', pieces, expectation).length === 0) throw rangeError('pieces', expectation, pieces);
  const last = pieces.length - 1;
  const checked = pieces.map((piece, i) => {
    knownOptions(`pieces[${i}]`, piece, ['steps', 'schedule']);
    return {
      steps: i === last && piece.steps === undefined ? Infinity : integer(`pieces[${i}].steps`, piece.steps, 0),
      schedule: asFunction(`pieces[${i}].schedule`, piece.schedule),
    };
  });
  return (step) => {
    let i = 0;
    while (i < last && step >= checked[i].steps) step -= checked[i++].steps;
    return checked[i].schedule(step);
  };
}
