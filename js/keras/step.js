/**
 * All that Keras 3 does around the rule: how the options become those of the kernels, when a call only accumulates, who
 * is asked, what the hook gets, what runs on averages. Where the variables are and what updates them is the ground's.
 */
import { array, checkCount, knownOptions, ofType, rangeError, show, typeError } from '../check.js';
import { isRegExp } from '../core/identity.js';
import { Step, warn } from '../core/step.js';
import * as constants from '../generated/constants.js';
import { HYPERPARAMETERS, checkHyperparameter, checkOptions, evaluate } from '../keras-options.js';

/** @typedef {import('../engine.js').OptionField} OptionField */
/**
 * @typedef {{ name: string, field: OptionField, source: import('../keras-options.js').Source }} Asked a hyperparameter
 *   to be asked in each update
 */
/**
 * @typedef {object} Target an engine, or what stands for one
 * @property {readonly { name: string, dtype: string }[]} variables
 * @property {(field: OptionField, value: number) => void} setNumber
 * @property {(field: OptionField, array: ArrayLike<number>, index: number) => void} copyNumber the same of an array
 * @property {(field: OptionField, value: number) => void} setWord
 * @property {(index: number, keeps: boolean) => void} setKeepsWeights whether a variable is left out of weight decay
 * @property {(index: number) => boolean} hasGradient
 */
/**
 * @typedef {object} Ground where variables and slots are: linear memory, a toolkit's memory, or operations
 * @property {number} calls of `apply` so far
 * @property {number | undefined} rate the rate, where it is a number that lies there
 * @property {Target | undefined} target of the options; undefined before it is built
 * @property {boolean} isScaled whether gradients are divided by a loss scale; written here
 * @property {number} version changes whenever the target must be told everything anew
 * @property {(options: Record<string, any>) => void} check refuses options that do not fit what it is built for
 * @property {(gradients: any, variables: any) => boolean} stage reads and checks the gradients of a call, and makes
 *   slots; false if it has none
 * @property {boolean} hasOthers whether the call does anything else than update by gradients
 * @property {() => boolean} allFinite whether all gradients of the call are
 * @property {(aggregate: import('../arena.js').AggregateGradients, step: number, signal?: AbortSignal) =>
 *   import('../core/step.js').Hook | undefined} aggregate calls the hook with all gradients
 * @property {boolean} isAggregated whether the gradients of the call are those that a hook left
 * @property {(holds: boolean) => void} place the last checks; holds: the call only accumulates
 * @property {(holds: boolean, clipsGlobally: boolean, weightDecayOf: (variable: any) => number | null) => void} run
 * @property {(constrain: (variable: any) => void) => void} constrain see `Parts` of core/step.js
 * @property {(isKept: boolean) => void} settle ends a call: what it has made stays or goes
 */
/**
 * @typedef {object} Scaling a loss scale that changes
 * @property {() => number} scale
 * @property {(wasFinite: boolean) => void} follow is told of each step, and of each that is left out
 */

/** Handed to `stage` of a ground instead of gradients: it takes those that the variables have. */
export const OWN = Symbol('own gradients');

/** On optimizers: gives their `KerasStep` to a wrapper. */
export const KERAS_STEP = Symbol.for('rmsprop-wasm.KerasStep');

/** The steps of one optimizer. */
export class KerasStep {
  #options;
  #generation;
  #aggregate;
  #ground;
  #step;
  /** The momentum of the first average, which Keras 3 makes a copy, and of all others. */
  #emaMomentum = new Float64Array(2);
  /** The divisor of every gradient, null without one. @type {number | null} */
  #lossScale = null;
  /** The flags of every step. */
  #flags = 0;
  /** The hyperparameters that are asked in each update. @type {Asked[]} */
  #asked = [];
  /** The version of the ground that has been told all this. */
  #told = -1;
  /** Whether a variable is left out of weight decay. @type {(variable: any) => boolean} */
  #isExcluded = () => false;
  /** Variables that a warning about a missing gradient has named. @type {WeakSet<object>} */
  #warned = new WeakSet();
  /** Whether the call only accumulates. */
  #holds = false;
  /** @type {Scaling | undefined} */
  #scaling;
  #weightDecayOf = (/** @type {any} */ variable) => (this.#isExcluded(variable) ? null : this.#options.weightDecay);

  /**
   * @param {() => string} subject what messages call the optimizer
   * @param {Record<string, any>} options checked; changed by setters
   * @param {typeof import('../keras-options.js').GENERATIONS[string]} generation
   * @param {Ground} ground
   * @param {import('../arena.js').AggregateGradients} [aggregate]
   */
  constructor(subject, options, generation, ground, aggregate) {
    this.#options = options;
    this.#generation = generation;
    this.#aggregate = aggregate;
    this.#ground = ground;
    this.#take(options.lossScaleFactor ?? null);
    this.#step = new Step(subject, {
      stage: (gradients, variables, scaling) => this.#stage(gradients, variables, scaling),
      hook: aggregate && ((signal) => this.#hook(signal)),
      ask: () => this.#ask(),
      place: () => this.#place(),
      run: () => ground.run(this.#holds, (this.#flags & constants.RMS_CLIP_BY_GLOBAL_NORM) !== 0, this.#weightDecayOf),
      constrain: (constrain) => ground.constrain(constrain),
      count: () => this.#count(),
      undo: () => ground.settle(false),
    });
  }

  /** @returns {Step} the lock of the optimizer */
  get step() {
    return this.#step;
  }

  /** @returns {boolean} */
  get hasHook() {
    return this.#aggregate !== undefined;
  }

  /** @returns {number} updates made: calls of `apply`, divided by `gradientAccumulationSteps` if there are such */
  get iterations() {
    return updatesIn(this.#options, this.#ground.calls);
  }

  /** @returns {number} the current rate */
  get learningRate() {
    const { rate, calls } = this.#ground;
    const { learningRate } = this.#options;
    return rate ?? (typeof learningRate === 'number' ? learningRate : evaluate('learningRate', learningRate, calls));
  }

  /** @param {import('../keras-options.js').Rate} rate a number replaces a number; a callback or schedule anything */
  set learningRate(rate) {
    this.#step.check('learningRate');
    checkHyperparameter('learningRate', rate);
    if (typeof rate === 'number' && typeof this.#options.learningRate !== 'number') {
      throw typeError('learningRate', 'a callback or schedule as before', rate);
    }
    this.#ground.rate = typeof rate === 'number' ? rate : undefined;
    this.#options.learningRate = rate;
    this.#tell();
  }

  /**
   * @param {string} name of an option
   * @returns {any}
   */
  get(name) {
    this.#step.checkAlive(name);
    return this.#options[name];
  }

  /**
   * Assigns an option, from the next step on.
   *
   * @param {string} name
   * @param {unknown} value checked as in the constructor
   * @throws {TypeError | RangeError} for one that the constructor refuses, or that does not fit what has been built
   */
  set(name, value) {
    this.#step.check(name);
    if (value === undefined) throw typeError(name, 'a value', value);
    const options = checkOptions({ ...this.#options, [name]: value }, this.#generation);
    if (name === 'lossScaleFactor' && this.#lossScale !== (this.#options[name] ?? null)) {
      throw rangeError(name, 'left to the LossScaleOptimizer', value);
    }
    this.#ground.check(options);
    this.#options[name] = value;
    this.#take(name === 'lossScaleFactor' ? this.#options[name] : this.#lossScale);
    this.#tell();
  }

  /**
   * Takes over what has a form of its own here.
   *
   * @param {number | null} lossScale
   */
  #take(lossScale) {
    const { emaMomentum } = this.#options;
    this.#emaMomentum.set([this.#generation.isOld ? emaMomentum : 0, emaMomentum]);
    this.#lossScale = lossScale;
    this.#ground.isScaled = lossScale !== null;
  }

  /**
   * Divides every gradient by another number from now on, and forgets the option.
   *
   * @param {number} scale
   */
  scaleBy(scale) {
    if (this.#lossScale === scale) return;
    this.#options.lossScaleFactor = null;
    this.#take(scale);
    this.#tell();
  }

  /**
   * Leaves variables out of weight decay.
   *
   * @param {(variable: any) => boolean} isExcluded whether a variable is left out
   */
  exclude(isExcluded) {
    this.#isExcluded = isExcluded;
    this.#tell();
  }

  /** Tells the ground what does not change from step to step, if it has not been told. */
  tell() {
    if (this.#told !== this.#ground.version) this.#tell();
  }

  #tell() {
    this.#told = this.#ground.version;
    const { target } = this.#ground;
    if (!target) return;
    ({ flags: this.#flags, asked: this.#asked } = writeConstants(
      target, this.#options, this.#lossScale, this.#generation,
    ));
    target.variables.forEach((variable, i) => target.setKeepsWeights(i, this.#isExcluded(variable)));
  }

  // ---- The parts of a step ----

  /**
   * @param {any} gradients or OWN
   * @param {any} variables
   * @param {Scaling} [scaling] leaves a step out where a gradient is not finite
   * @returns {boolean}
   */
  #stage(gradients, variables, scaling) {
    const ground = this.#ground;
    this.#scaling = scaling;
    if (scaling) this.scaleBy(scaling.scale());
    if (!ground.stage(gradients, variables)) return false;
    this.#holds = onlyAccumulates(this.#options, ground.calls);
    this.tell();
    checkCount('iterations', ground.calls);
    this.#checkGradientsExist();
    if (!scaling || ground.allFinite()) return true;
    ground.settle(true);
    scaling.follow(false);
    return false;
  }

  /** @throws {RangeError} if no variable has a gradient */
  #checkGradientsExist() {
    const target = /** @type {Target} */ (this.#ground.target);
    const { variables } = target;
    let missing = 0;
    let isNew = false;
    for (let i = 0; i < variables.length; i++) {
      if (target.hasGradient(i)) continue;
      missing++;
      if (!this.#warned.has(variables[i])) isNew = true;
    }
    if (missing === variables.length && !this.#ground.hasOthers) throw noGradients();
    if (!isNew) return;
    const without = variables.filter((_, i) => !target.hasGradient(i));
    for (const variable of without) this.#warned.add(variable);
    const names = without.map(({ name }) => show(name)).join(', ');
    warn(`Gradients do not exist for variables [${names}] when minimizing the loss.`);
  }

  /**
   * @param {AbortSignal} [signal]
   * @returns {import('../core/step.js').Hook | undefined}
   */
  #hook(signal) {
    if (!this.#aggregate || this.#holds) return undefined;
    this.#ground.target?.setWord('flags', this.#flags);
    return this.#ground.aggregate(this.#aggregate, this.#ground.calls, signal);
  }

  /** The numbers written here come into use when all callbacks have answered. */
  #ask() {
    if (this.#holds) return;
    for (let i = 0; i < this.#asked.length; i++) {
      const { name, field, source } = this.#asked[i];
      this.#ground.target?.setNumber(field, evaluate(name, source, this.#ground.calls));
    }
  }

  #place() {
    const target = /** @type {Target} */ (this.#ground.target);
    const { emaOverwriteFrequency } = this.#options;
    const updates = updatesIn(this.#options, this.#ground.calls);
    let flags = this.#flags;
    if (this.#holds) flags |= constants.RMS_HOLD;
    else if (this.#ground.isAggregated) flags |= constants.RMS_PREPARED;
    if (emaOverwriteFrequency && (updates + 1) % emaOverwriteFrequency === 0) flags |= constants.RMS_OVERWRITE;
    target.copyNumber('ema_momentum', this.#emaMomentum, updates ? 1 : 0);
    target.setWord('flags', flags);
    this.#ground.place(this.#holds);
  }

  #count() {
    this.#ground.calls += 1;
    this.#ground.settle(true);
    this.#scaling?.follow(true);
  }
}

/** @returns {RangeError} to throw */
export function noGradients() {
  return new RangeError('No gradients provided for any variable.');
}

/**
 * Writes what does not change from step to step.
 *
 * @param {Pick<Target, 'variables' | 'setNumber' | 'setWord'>} engine
 * @param {Record<string, any>} options checked
 * @param {number | null} lossScale what every gradient is divided by, null if by nothing
 * @param {{ rule: number, isOld: boolean }} generation of Keras
 * @returns {{ flags: number, asked: Asked[] }} the flags of every step, and the hyperparameters that are asked anew
 */
export function writeConstants(engine, options, lossScale, { rule, isOld }) {
  const { clipnorm, globalClipnorm, clipvalue, weightDecay } = options;
  let flags = 0;
  if (weightDecay !== null) flags |= constants.RMS_DECAY_WEIGHTS;
  if (lossScale !== null) flags |= constants.RMS_UNSCALE;
  // A limit of 0 or below is none, as in Keras.
  if (clipnorm > 0) flags |= constants.RMS_CLIP_BY_NORM;
  else if (globalClipnorm > 0) flags |= constants.RMS_CLIP_BY_GLOBAL_NORM;
  else if (clipvalue > 0) flags |= constants.RMS_CLIP_BY_VALUE;
  /** @type {Asked[]} */
  const asked = [];
  engine.setWord('rule', rule);
  for (const [name, field] of HYPERPARAMETERS) {
    const source = options[name];
    if (typeof source === 'number') engine.setNumber(field, source);
    else asked.push({ name, field, source });
  }
  engine.setNumber('weight_decay', Math.fround(weightDecay ?? 0)); // as TensorFlow takes it, for float64 too
  engine.setNumber('loss_scale', lossScale ?? 1);
  engine.setNumber('accumulation_steps', options.gradientAccumulationSteps ?? 1);
  engine.setNumber('clip_value', clipvalue ?? 0);
  const limit = clipnorm ?? globalClipnorm ?? 0;
  // For the global norm the kernels round 1 / limit, as Keras 3; tf.keras rounds the limit before it divides.
  const isRounded = isOld && !(clipnorm > 0) && engine.variables[0]?.dtype === 'float32';
  engine.setNumber('clip_norm', isRounded ? Math.fround(limit) : limit);
  return { flags, asked };
}

/**
 * @param {{ gradientAccumulationSteps?: number | null }} options
 * @param {number} calls of the optimizer
 * @returns {number} how many updates they were
 */
export function updatesIn({ gradientAccumulationSteps }, calls) {
  return Math.floor(calls / (gradientAccumulationSteps || 1));
}

/**
 * @param {{ gradientAccumulationSteps?: number | null }} options
 * @param {number} calls before this one
 * @returns {boolean} whether this one only accumulates
 */
export function onlyAccumulates(options, calls) {
  return updatesIn(options, calls + 1) === updatesIn(options, calls);
}

/**
 * @template {{ name: string }} V
 * @param {object} options
 * @param {readonly V[]} [options.variables]
 * @param {RegExp | string | readonly (RegExp | string)[]} [options.names] searched for in the variables' names; a
 *   string is a regular expression too, as in Python's `re.search`, and may begin with flags: `(?i)`
 * @param {(value: unknown) => boolean} isVariable
 * @returns {(variable: V) => boolean} whether a variable is among them
 * @throws {TypeError | RangeError} for others
 */
export function exclusionOf(options, isVariable) {
  knownOptions('excludeFromWeightDecay', options, ['variables', 'names']);
  const variables = array('variables', options.variables ?? []);
  const names = [options.names ?? []].flat();
  for (const variable of variables) if (!isVariable(variable)) throw typeError('variables', 'variables', variable);
  for (const name of names) if (!isRegExp(name)) ofType('names', name, 'string');
  const patterns = names.map((name) => (isRegExp(name) ? name : patternOf(name)));
  return (variable) =>
    variables.includes(variable) || patterns.some((pattern) => variable.name.search(pattern) >= 0);
}

/**
 * @param {string} text a regular expression of Python's; it may begin with flags
 * @returns {RegExp}
 * @throws {RangeError} if it is none of JavaScript's, which has no such forms as `(?P<name>…)`
 */
function patternOf(text) {
  const [, flags, pattern] = /** @type {RegExpExecArray} */ (/^(?:\(\?([ims]+)\))?(.*)$/s.exec(text));
  try {
    return new RegExp(pattern, flags);
  } catch {
    throw rangeError('names', 'regular expressions', text);
  }
}
