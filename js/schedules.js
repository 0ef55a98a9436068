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
import { camelCase, snakeCase } from './naming.js';
import { isSchedule } from './schedule-marker.js';

/** @typedef {(step: number) => number} ScheduleFunction */
/** @typedef {number | ScheduleFunction | LearningRateSchedule} Schedule */

/**
 * Options by their camelCase names, each with the check of its value and its default. One without a default must be
 * given, for no check lets undefined pass.
 *
 * @typedef {Record<string, [check: (name: string, value: unknown) => any, standard?: unknown]>} OptionTable
 */

const f32 = Math.fround;

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {number} the value, greater than 0
 */
function positive(name, value) {
  const number = finite(name, value);
  if (number <= 0) throw rangeError(name, 'greater than 0', number);
  return number;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {number | null} the value, a finite number or null
 */
function finiteOrNull(name, value) {
  return value === null ? value : finite(name, value);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {number} the value, a whole number of at least 0
 */
function count(name, value) {
  return integer(name, value, 0);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {boolean} the value
 */
function boolean(name, value) {
  return ofType(name, value, 'boolean');
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {string | null} the value, a string or null
 */
function text(name, value) {
  return value === null ? value : ofType(name, value, 'string');
}

/**
 * @param {string} name
 * @param {any} value
 * @returns {number[]} a copy of the value, an array or typed array of finite numbers
 */
function numbers(name, value) {
  if (typeof value !== 'object' || !(value?.length >= 0)) throw typeError(name, 'an array', value);
  return Array.from(value, (element, i) => finite(`${name}[${i}]`, element));
}

/**
 * @template {OptionTable} Table
 * @param {string} name what the options belong to, for the message
 * @param {Table} table
 * @param {any} options
 * @param {string} [prefix] of the options' names in messages
 * @returns {{ [Name in keyof Table]: ReturnType<Table[Name][0]> }} the options, checked, in the order of the table
 */
function checked(name, table, options, prefix = '') {
  knownOptions(name, options, Object.keys(table));
  return /** @type {any} */ (Object.fromEntries(Object.entries(table).map(([key, [check, standard]]) => {
    const { [key]: value = standard } = options;
    return [key, check(prefix + key, value)];
  })));
}

/**
 * The base class: extend it and override `at`, and `getConfig` for optimizers that are to be saved. The constructor of
 * a subclass takes one object of options, so that `fromConfig` can call it.
 */
export class LearningRateSchedule {
  /** @returns {true} what isSchedule looks for, in the classes of another copy of the package too */
  get isLearningRateSchedule() {
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
    throw new Error(`${this.constructor.name} must override getConfig()`);
  }

  /** @returns {boolean} whether it has a config; also asked by another copy of the package */
  get hasConfig() {
    return this.getConfig !== LearningRateSchedule.prototype.getConfig;
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

/**
 * The class name in Keras's configs, as minifiers rename constructors, and the options in the order of its config.
 *
 * @typedef {[className: string, options: OptionTable]} KerasClass
 */

/** What the six schedules of Keras share: constructor, fields and config, all of them made from `static keras`. */
class KerasSchedule extends LearningRateSchedule {
  /** @param {any} options */
  constructor(options) {
    super();
    const [className, table] = /** @type {any} */ (this.constructor).keras;
    Object.assign(this, checked(className, table, options));
  }

  /** @override */
  getConfig() {
    const [, table] = /** @type {any} */ (this.constructor).keras;
    return Object.fromEntries(Object.keys(table).map((key) => {
      const value = /** @type {Record<string, any>} */ (this)[key];
      return [snakeCase(key), Array.isArray(value) ? [...value] : value]; // its own: a config may be changed
    }));
  }
}

/**
 * KerasSchedule as the base of a class with these options: it takes them, and has each as a field.
 *
 * @template Options
 * @template [Fields=Required<Options>]
 * @typedef {(new (options: Options) => KerasSchedule & Fields)
 *   & Pick<typeof KerasSchedule, 'fromConfig'>} KerasScheduleOf
 */

/**
 * @typedef {object} ExponentialDecayOptions
 * @property {number} initialLearningRate
 * @property {number} decaySteps greater than 0
 * @property {number} decayRate
 * @property {boolean} [staircase] false
 * @property {string | null} [name] 'ExponentialDecay'
 */

/**
 * A rate that is multiplied by decayRate every decaySteps steps, t = step:
 *
 *     p = t / decaySteps, rounded down with staircase
 *     rate = initialLearningRate pow(decayRate, p)
 */
export class ExponentialDecay extends /** @type {KerasScheduleOf<ExponentialDecayOptions>} */ (KerasSchedule) {
  /** @type {KerasClass} */
  static keras = ['ExponentialDecay', {
    initialLearningRate: [finite],
    decaySteps: [positive],
    decayRate: [finite],
    staircase: [boolean, false],
    name: [text, 'ExponentialDecay'],
  }];

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
}

/**
 * @typedef {object} PiecewiseConstantDecayOptions
 * @property {ArrayLike<number>} boundaries at least one
 * @property {ArrayLike<number>} values one more than boundaries
 * @property {string | null} [name] 'PiecewiseConstant'
 */

/** @typedef {{ boundaries: number[], values: number[], name: string | null }} PiecewiseConstantDecayFields */

/**
 * values[0] up to and including step boundaries[0], then values[1] up to and including boundaries[1], and so on; the
 * last value ever after. At a whole step the boundaries are rounded towards zero to whole numbers, as Keras does.
 *
 * Boundaries should increase. As in Keras, others are no error: where intervals overlap, their values add up.
 */
export class PiecewiseConstantDecay extends
  /** @type {KerasScheduleOf<PiecewiseConstantDecayOptions, PiecewiseConstantDecayFields>} */ (KerasSchedule) {
  /** @type {KerasClass} */
  static keras = ['PiecewiseConstantDecay', {
    boundaries: [numbers],
    values: [numbers],
    name: [text, 'PiecewiseConstant'],
  }];

  /** @param {PiecewiseConstantDecayOptions} options */
  constructor(options) {
    super(options);
    const { boundaries, values } = this;
    const { length } = boundaries;
    if (length === 0) throw rangeError('boundaries', 'of length >= 1', boundaries);
    if (values.length !== length + 1) throw rangeError('values', `of length ${length + 1}`, values);
  }

  /**
   * @override
   * @param {number} step
   * @returns {number} a float32
   */
  at(step) {
    const cast = finite('step', step) % 1 ? f32 : Math.trunc;
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
}

/**
 * @typedef {object} PolynomialDecayOptions
 * @property {number} initialLearningRate
 * @property {number} decaySteps greater than 0
 * @property {number} [endLearningRate] 0.0001
 * @property {number} [power] 1, a straight line
 * @property {boolean} [cycle] false; true starts anew, from where the power brings it, instead of staying at the end
 * @property {string | null} [name] 'PolynomialDecay'
 */

/**
 * From initialLearningRate to endLearningRate along a power of the fraction that is left, t = step:
 *
 *     t = min(t, decaySteps), T = decaySteps
 *     with cycle: T = decaySteps ceil(t / decaySteps), or decaySteps at t = 0
 *     rate = (initialLearningRate - endLearningRate) pow(1 - t / T, power) + endLearningRate
 */
export class PolynomialDecay extends /** @type {KerasScheduleOf<PolynomialDecayOptions>} */ (KerasSchedule) {
  /** @type {KerasClass} */
  static keras = ['PolynomialDecay', {
    initialLearningRate: [finite],
    decaySteps: [positive],
    endLearningRate: [finite, 0.0001],
    power: [finite, 1],
    cycle: [boolean, false],
    name: [text, 'PolynomialDecay'],
  }];

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
}

/**
 * @typedef {object} InverseTimeDecayOptions
 * @property {number} initialLearningRate
 * @property {number} decaySteps greater than 0
 * @property {number} decayRate
 * @property {boolean} [staircase] false
 * @property {string | null} [name] 'InverseTimeDecay'
 */

/**
 * A rate that falls as one over a straight line, t = step:
 *
 *     p = t / decaySteps, rounded down with staircase
 *     rate = initialLearningRate / (1 + decayRate p)
 */
export class InverseTimeDecay extends /** @type {KerasScheduleOf<InverseTimeDecayOptions>} */ (KerasSchedule) {
  /** @type {KerasClass} */
  static keras = ['InverseTimeDecay', {
    initialLearningRate: [finite],
    decaySteps: [positive],
    decayRate: [finite],
    staircase: [boolean, false],
    name: [text, 'InverseTimeDecay'],
  }];

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
}

/**
 * peak ((1 - alpha) ½ height (1 + cos(π fraction)) + alpha), as float32 operations.
 *
 * @param {number} peak
 * @param {number} alpha
 * @param {number} height
 * @param {number} fraction
 * @returns {number}
 */
function cosineWave(peak, alpha, height, fraction) {
  const wave = f32(f32(0.5 * height) * f32(1 + f32(cos(f32(f32(Math.PI) * fraction)))));
  return f32(f32(peak) * f32(f32(f32(1 - alpha) * wave) + f32(alpha)));
}

/**
 * @typedef {object} CosineDecayOptions
 * @property {number} initialLearningRate
 * @property {number} decaySteps greater than 0; the warm-up comes on top
 * @property {number} [alpha] 0, the end as a fraction of the peak
 * @property {string | null} [name] 'CosineDecay'
 * @property {number | null} [warmupTarget] null: no warm-up
 * @property {number} [warmupSteps] 0; no effect without warmupTarget
 */

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
 *
 * @example
 * ```js
 * import { schedules } from 'rmsprop-wasm';
 *
 * const rate = new schedules.CosineDecay({ initialLearningRate: 1, decaySteps: 100, alpha: 0.1 });
 * console.log([0, 50, 100, 200].map((step) => rate.at(step).toFixed(2)).join(' ')); // prints 1.00 0.55 0.10 0.10
 * ```
 */
export class CosineDecay extends /** @type {KerasScheduleOf<CosineDecayOptions>} */ (KerasSchedule) {
  /** @type {KerasClass} */
  static keras = ['CosineDecay', {
    initialLearningRate: [finite],
    decaySteps: [positive],
    alpha: [finite, 0],
    name: [text, 'CosineDecay'],
    warmupTarget: [finiteOrNull, null],
    warmupSteps: [finite, 0],
  }];

  /**
   * @override
   * @param {number} step
   * @returns {number} a float32
   */
  at(step) {
    const { alpha, warmupTarget } = this;
    const start = f32(this.initialLearningRate);
    const peak = f32(warmupTarget ?? start);
    const steps = f32(this.decaySteps);
    const warmupSteps = warmupTarget === null ? 0 : f32(this.warmupSteps);
    const t = Math.min(f32(finite('step', step)), f32(steps + warmupSteps));
    if (warmupTarget !== null && t < warmupSteps) {
      return f32(f32(f32(peak - start) * f32(t / warmupSteps)) + start);
    }
    return cosineWave(peak, alpha, 1, f32(f32(t - warmupSteps) / steps));
  }
}

/**
 * @typedef {object} CosineDecayRestartsOptions
 * @property {number} initialLearningRate
 * @property {number} firstDecaySteps greater than 0, the length of the first wave
 * @property {number} [tMul] 2
 * @property {number} [mMul] 1
 * @property {number} [alpha] 0, the end of a wave as a fraction of initialLearningRate
 * @property {string | null} [name] 'SGDRDecay'
 */

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
export class CosineDecayRestarts extends /** @type {KerasScheduleOf<CosineDecayRestartsOptions>} */ (KerasSchedule) {
  /** @type {KerasClass} */
  static keras = ['CosineDecayRestarts', {
    initialLearningRate: [finite],
    firstDecaySteps: [positive],
    tMul: [finite, 2],
    mMul: [finite, 1],
    alpha: [finite, 0],
    name: [text, 'SGDRDecay'],
  }];

  /**
   * @override
   * @param {number} step
   * @returns {number} a float32, NaN where the logarithms have no value (a negative tMul, or a tMul below 1 after the
   *   end of its last wave)
   */
  at(step) {
    const tMul = f32(this.tMul);
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
    return cosineWave(this.initialLearningRate, f32(this.alpha), f32(pow(f32(this.mMul), i)), q);
  }
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
  const Class = /** @type {any} */ (schedule.constructor);
  // A user's subclass inherits `keras` and is no class of Keras.
  return Object.hasOwn(Class, 'keras')
    ? { module: 'keras.optimizers.schedules', class_name: Class.keras[0], config, registered_name: null }
    : { module: null, class_name: Class.name, config, registered_name: Class.name };
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
  /** @type {Record<string, any>} */
  const classes = {
    __proto__: null,
    ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay, InverseTimeDecay, CosineDecay, CosineDecayRestarts,
    ...ofType('customObjects', customObjects, 'object'),
  };
  const Class = classes[registeredName] ?? classes[className];
  if (Class === undefined) throw rangeError('class_name', `one of ${Object.keys(classes).join(', ')}`, className);
  if (!isSchedule(Class.prototype)) {
    throw typeError(`customObjects.${className}`, 'a LearningRateSchedule class', Class);
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
  const rate = finite(name, schedule, 'a finite number, schedule or callback');
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
  const { from, to, steps } = checked('linear', { from: [finite], to: [finite], steps: [count] }, options);
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
  const { steps, schedule } = checked('warmup', { steps: [count], schedule: [asFunction] }, options);
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
  const last = array('pieces', pieces).length - 1;
  if (last < 0) throw rangeError('pieces', 'of length >= 1', pieces);
  const parts = pieces.map((piece, i) => checked(
    `pieces[${i}]`, { steps: [count, i === last ? 0 : undefined], schedule: [asFunction] }, piece, `pieces[${i}].`,
  ));
  return (step) => {
    let i = 0;
    for (; i < last && step >= parts[i].steps; i++) step -= parts[i].steps;
    return parts[i].schedule(step);
  };
}
