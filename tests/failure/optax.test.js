/** What the transforms and schedules of optax refuse. */
import assert from 'node:assert/strict';
import { Memory, tensor, variable, zeros } from 'rmsprop-wasm';
import * as optax from 'rmsprop-wasm/optax';
import { common, stateFiles, unsaved } from './inputs.js';
import { Mine, bad, bitsOf, finite, flag, integer, kind, mine, options, outside, surfaceOf, testTable } from './table.js';

/** @typedef {any} Any */
/** @typedef {import('./table.js').ErrorType} ErrorType */
/** @typedef {import('./table.js').Rows} Rows */
/** @typedef {import('./table.js').Argument} Argument */

const tree = 'a tensor, a typed array, null, or an array or plain object of them';
const ofSchedule = (/** @type {string} */ name, rest = {}) =>
  finite(name, { expectation: 'a finite number or a function', also: ['callback'], required: true, ...rest });

/** What are no parameters to make a state for. */
const params = [
  ...kind('params', tree, ['null', 'object', 'bare', 'array'], { required: true }),
  bad('a number in it', { a: [1] }, TypeError, `params.a[0] must be ${tree}, got 1`),
  bad('a class in it', { a: new Map() }, TypeError, `params.a must be ${tree}, got Map`),
  bad('integers', { a: new Int32Array(1) }, TypeError, 'params.a must be of float32 or float64, got Int32Array of length 1'),
  bad('an int32 tensor', (w) => ({ a: w.whole }), TypeError, 'params.a must be of float32 or float64, got "int32"'),
  bad('a disposed tensor', (w) => ({ a: w.gone }), Error, 'tensor of shape [3] is disposed'),
  bad('two memories', (w) => ({ a: w.x, b: w.foreign }), RangeError, 'params.b must be in the memory of the other leaves, got Memory'),
];

/** What is no tree like { x: tensor of 3, y: Float32Array of 2 }. */
const like = (/** @type {string} */ name) => [
  ...kind(name, 'an object with the keys [x,y]', ['object', 'bare'], { also: ['undefined', ...name === 'params' ? ['null'] : []] }),
  bad('fewer keys', (w) => ({ x: w.g }), RangeError, `${name} must have the keys [x,y], got [x]`),
  bad('another key', (w) => ({ x: w.g, z: w.gy }), RangeError, `${name} must have the keys [x,y], got [x,z]`),
  bad('an array for a leaf', (w) => ({ x: w.g, y: [1, 2] }), TypeError,
    `${name}.y must be a tensor, a typed array or null, got Array of length 2`),
  bad('a short array', (w) => ({ x: w.g, y: new Float32Array(1) }), RangeError,
    `${name}.y must be of length 2, got Float32Array of length 1`),
  bad('a long tensor', (w) => ({ x: w.long, y: w.gy }), RangeError, `${name}.x must be of 3 elements, got 4`),
  bad('another dtype', (w) => ({ x: w.double, y: w.gy }), TypeError, `${name}.x must be float32, got "float64"`),
  bad('another memory', (w) => ({ x: w.foreign, y: w.gy }), RangeError,
    `${name}.x must be in the memory of the state, got "tensor of shape [3]"`),
  bad('a disposed tensor', (w) => ({ x: w.gone, y: w.gy }), Error, 'tensor of shape [3] is disposed'),
];
const grads = [...like('grads'), bad('nothing', undefined, TypeError, 'grads must be given, got undefined')];
const paramsOfStep = [
  ...like('params').filter(({ what }) => what !== 'another dtype').map((one) => (/^params: (?!array)|an array for a leaf/.test(one.what)
    ? { ...one, message: /^params(\.y\[0\])? must be a tensor, a typed array, null, or an array or plain object of them, got / } : one)),
  bad('nothing', undefined, TypeError, 'params must be given, got undefined'),
  bad('null', null, TypeError, 'params must be an object with the keys [x,y], got null'),
  bad('a leaf that is missing', (w) => ({ x: w.x, y: null }), TypeError, 'params.y must be a tensor or typed array, got null'),
  bad('doubles in the place of floats', (w) => ({ x: w.x, y: new Float64Array(2) }), TypeError,
    'params.y must be a tensor, or a float32 array outside of linear memory, got Float64Array of length 2'),
  bad('a view of linear memory', (w) => ({ x: w.x, y: new Float32Array(w.memory.buffer, 64, 2) }), TypeError,
    'params.y must be a tensor, or a float32 array outside of linear memory, got Float32Array of length 2'),
];
const states = [
  ...kind('state', 'what init of this transform returned', [], { required: true }),
  bad('a disposed state', (w) => w.goneState, Error, 'state is disposed'),
  bad('a state of other slots', (w) => w.plainState, RangeError, 'state must be one with nu, mu, trace, got RmspropState'),
  bad('the state of another transform', (w) => w.clipState, TypeError,
    'state must be what init of this transform returned, got TransformState'),
];

/** What its schedule must not say. */
function answers(/** @type {Any} */ world, /** @type {() => unknown} */ run) {
  /** @type {(source: () => unknown) => () => unknown} */
  const telling = (source) => () => {
    world.rate = source;
    try {
      return run();
    } finally {
      world.rate = () => 0.1;
    }
  };
  return /** @type {[string, () => unknown, ErrorType, string][]} */ ([
    ['a rate of NaN', telling(() => NaN), RangeError, 'learningRate at count 2 must be a finite number, got NaN'],
    ['an infinite rate', telling(() => -Infinity), RangeError, 'learningRate at count 2 must be a finite number, got -Infinity'],
    ['no rate', telling(() => undefined), TypeError, 'learningRate at count 2 must be a finite number, got undefined'],
    ['a rate that is never there', telling(() => { throw mine; }), Mine, 'mine'],
  ]);
}

const transforms = [
  bad('nothing', undefined, TypeError, 'transforms[0] must be of type object, got undefined'),
  bad('no transform', {}, TypeError, 'transforms[0].init must be of type function, got undefined'),
  bad('half of one', { init() {} }, TypeError, 'transforms[0].update must be of type function, got undefined'),
];

/** What `chain` and `multiSteps` make of what is wrong with the state or the gradients of a part. */
const chained = (/** @type {Any} */ w) => /** @type {[string, () => unknown, ErrorType, string][]} */ ([
  ['a chain: a state that is none', () => w.chain.update(w.grads, 7, w.params), TypeError, 'state must be an array, got 7'],
  ['a chain: too few states', () => w.chain.update(w.grads, [], w.params), RangeError,
    'state must be that of 3 transforms, got Array of length 0'],
  ['a chain: no parameters for the decay', () => w.chain.update(w.grads, w.chainState), TypeError, 'params must be given, got undefined'],
  ['a chain: a short gradient', () => w.chain.update({ x: w.g, y: new Float32Array(1) }, w.chainState, w.params), RangeError,
    'grads.y must be of length 2, got Float32Array of length 1'],
  ['several steps: half a count', () => optax.multiSteps(w.it, () => 0.5).update(w.grads, w.stepsState), RangeError,
    'every must be an integer in [1, 2147483647], got 0.5'],
  ['several steps: a schedule that throws', () => optax.multiSteps(w.it, () => { throw mine; }).update(w.grads, w.stepsState), Mine,
    'mine'],
  ['several steps: a short gradient', () => w.steps.update({ x: w.g, y: new Float32Array(1) }, w.stepsState), RangeError,
    'grads.y must be of length 2, got Float32Array of length 1'],
]);

/** @type {Rows} */
const rows = {
  'rmsprop': {
    args: [options('rmsprop', {
      learningRate: ofSchedule('learningRate'),
      decay: finite('decay'), eps: finite('eps'), initialScale: finite('initialScale'),
      epsInSqrt: flag('epsInSqrt'), centered: flag('centered'),
      momentum: finite('momentum', { expectation: 'a finite number or null', also: ['null'] }),
      nesterov: flag('nesterov'), biasCorrection: flag('biasCorrection'),
      pool: kind('pool', 'a ThreadPool', []),
    }, { base: () => ({ learningRate: 1 }), required: true })],
    call: (_, given) => optax.rmsprop(given), good: () => [{ learningRate: 0.1 }],
  },
  'rmsprop().init': {
    args: [params], call: (w, given) => w.it.init(given).dispose(), good: (w) => [w.params],
    more: () => {
      const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
      const large = zeros([5000], { memory });
      return [['more than there is memory for', () => {
        const before = memory.bytesInUse;
        const init = () => optax.rmsprop({ learningRate: 1, momentum: 0, centered: true }).init([large]);
        assert.throws(init, /memory exhausted/);
        assert.equal(memory.bytesInUse, before);
        init();
      }, RangeError, /^memory exhausted: \d+ bytes requested, \d+ of at most 65536 in use$/]];
    },
  },
  'rmsprop().update': {
    args: [grads, states, like('params')], call: (w, ...given) => w.it.update(...given), good: (w) => [w.grads, w.state, w.params],
    more: (w) => [...answers(w, () => w.it.update(w.grads, w.state)), ...chained(w)],
  },
  'rmsprop().step': {
    args: [grads, states, paramsOfStep], call: (w, ...given) => w.it.step(...given), good: (w) => [w.grads, w.state, w.params],
    more: (w) => [...answers(w, () => w.it.step(w.grads, w.state, w.params)),
      ['a leaf that stands twice', () => {
        const twice = optax.rmsprop({ learningRate: 1 });
        const state = twice.init([w.x, w.x]);
        try {
          twice.step([w.g, w.g], state, [w.x, w.x]);
        } finally {
          state.dispose();
        }
      }, RangeError, 'params must be a tree with each leaf once, got Array of length 2']],
  },
  'applyUpdates': {
    args: [[...params.filter(({ what }) => !/memories|integers|int32/.test(what)),
      bad('another structure', (w) => [w.x], TypeError, 'updates must be an array of length 1, got Object')],
    [...like('updates').filter(({ message }) => !/memory of the state/.test(`${message}`)), bad('nothing', undefined, TypeError,
      'updates must be an object with the keys [x,y], got undefined')]],
    call: (_, ...given) => optax.disposeState(/** @type {Any} */ (optax.applyUpdates)(...given)), good: (w) => [w.params, w.grads],
  },
  'chain': {
    args: [transforms], call: (_, ...given) => /** @type {Any} */ (optax.chain)(...given), good: (w) => [w.it],
    more: (w) => [
      ['no transform', () => optax.chain(), RangeError, 'transforms must be at least one, got Array of length 0'],
      ['a later one that is none', () => optax.chain(w.it, 7), TypeError, 'transforms[1] must be of type object, got 7'],
    ],
  },
  'clip': { args: [finite('maxDelta', { required: true })], call: (_, given) => optax.clip(given), good: () => [1] },
  'clipByGlobalNorm': { args: [finite('maxNorm', { required: true })], call: (_, given) => optax.clipByGlobalNorm(given), good: () => [1] },
  'addDecayedWeights': { args: [ofSchedule('weightDecay')], call: (_, given) => optax.addDecayedWeights(given), good: () => [1] },
  'ema': { args: [finite('decay', { required: true }), options('ema', { debias: flag('debias', { also: ['null'] }) })],
    call: (_, ...given) => /** @type {Any} */ (optax.ema)(...given), good: () => [0.9] },
  'multiSteps': {
    args: [transforms.map((one) => ({ ...one, message: `${one.message}`.replace('transforms[0]', 'optimizer') })),
      integer('every', 1, 2 ** 31 - 1, { also: ['callback'], required: true })],
    call: (_, ...given) => /** @type {Any} */ (optax.multiSteps)(...given), good: (w) => [w.it, 2],
  },
  'cloneState': { args: [[bad('a disposed state', (w) => w.goneState, Error, 'state is disposed'),
    bad('a disposed tensor', (w) => [w.x, w.gone], Error, 'tensor of shape [3] is disposed')]],
  call: (_, given) => optax.disposeState(optax.cloneState(given)), good: (w) => [w.state] },
  'disposeState': { args: [], call: (w) => optax.disposeState(w.state) },
  'saveState': {
    args: [[bad('a disposed state', (w) => [w.goneState], Error, 'state is disposed'),
      bad('a disposed tensor', (w) => ({ x: w.gone }), Error, 'tensor of shape [3] is disposed'), ...unsaved]],
    call: (_, given) => optax.saveState(given), good: (w) => [{ params: w.params, states: [w.state, w.chainState, w.stepsState] }],
    reads: true,
  },
  'loadState': {
    args: [[bad('a disposed state', (w) => w.goneState, Error, 'state is disposed'),
      bad('another state', (w) => w.plainState, RangeError, /^state must be an object with the keys \[count,nu\], got "/),
      bad('no state', 7, TypeError, 'state must be of type number, got Object')],
    [...kind('bytes', 'a Uint8Array or an ArrayBuffer', [], { required: true }), ...stateFiles('optax'),
      bad('a file of another state', (w) => optax.saveState(w.plainState), RangeError,
        /^state must be an object with the keys \[count,nu,mu,trace\], got "count,nu"$/),
      bad('a file of other parameters', (w) => optax.saveState({ ...w.content(), nu: { x: w.long.data, y: w.gy } }), RangeError,
        'state.nu.x must be of length 3, got Float32Array of length 4'),
      bad('a file whose last array is of another type', (w) => optax.saveState({ ...w.content(), trace: { x: w.g, y: w.double.data } }),
        TypeError, 'state.trace.y must be a Float32Array, got Float64Array of length 3'),
      bad('a file with half a count', (w) => optax.saveState({ ...w.content(), count: 0.5 }), RangeError,
        'state.count must be an integer in [0, 2147483647], got 0.5')]],
    call: (_, ...given) => /** @type {Any} */ (optax.loadState)(...given), good: (w) => [w.state, optax.saveState(w.state)],
  },
};

// ---- Schedules ----

const whole = (/** @type {string} */ name) => integer(name, Number.MIN_SAFE_INTEGER, undefined, {})
  .filter(({ what }) => !/: -9007/.test(what)).concat(outside(name, 0.5,
    `an integer in [${Number.MIN_SAFE_INTEGER}, ${Number.MAX_SAFE_INTEGER}]`));
const orNull = (/** @type {string} */ name) => finite(name, { also: ['null'] });
const scales = [
  ...kind('boundariesAndScales', 'of type object', ['null', 'object', 'bare', 'array']),
  bad('half a boundary', { 0.5: 1 }, RangeError, /^the keys of boundariesAndScales must be an integer in .*, got 0.5$/),
  bad('no boundary', { x: 1 }, RangeError, /^the keys of boundariesAndScales must be an integer in .*, got NaN$/),
  bad('a negative scale', { 1: -1 }, RangeError, 'boundariesAndScales[1] must be at least 0, got -1'),
  bad('a scale of NaN', { 1: NaN }, RangeError, 'boundariesAndScales[1] must be a finite number, got NaN'),
  bad('a scale that is text', { 1: '1' }, TypeError, 'boundariesAndScales[1] must be a finite number, got "1"'),
];
const above0 = (/** @type {string} */ name) => [...whole(name), outside(name, 0, 'greater than 0'), outside(name, -1, 'greater than 0')];

/** @type {Record<string, [Record<string, Argument>, object]>} */
const schedules = {
  constantSchedule: [{ value: finite('value') }, { value: 1 }],
  polynomialSchedule: [{
    initValue: finite('initValue'), endValue: finite('endValue'), power: finite('power'), transitionSteps: whole('transitionSteps'),
    transitionBegin: whole('transitionBegin'),
  }, { initValue: 1, endValue: 0, power: 1, transitionSteps: 1 }],
  linearSchedule: [{
    initValue: finite('initValue'), endValue: finite('endValue'), transitionSteps: whole('transitionSteps'),
    transitionBegin: whole('transitionBegin'),
  }, { initValue: 1, endValue: 0, transitionSteps: 1 }],
  piecewiseConstantSchedule: [{ initValue: finite('initValue'), boundariesAndScales: scales }, { initValue: 1 }],
  exponentialDecay: [{
    initValue: finite('initValue'), transitionSteps: whole('transitionSteps'), decayRate: finite('decayRate'),
    transitionBegin: whole('transitionBegin'),
    staircase: flag('staircase'), endValue: orNull('endValue'),
  }, { initValue: 1, transitionSteps: 1, decayRate: 0.5 }],
  cosineDecaySchedule: [{
    initValue: finite('initValue'), decaySteps: above0('decaySteps'), alpha: finite('alpha'), exponent: finite('exponent'),
  }, { initValue: 1, decaySteps: 1 }],
  warmupCosineDecaySchedule: [{
    initValue: finite('initValue'), peakValue: finite('peakValue'), warmupSteps: whole('warmupSteps'),
    decaySteps: [...whole('decaySteps'), outside('decaySteps', 1, 'greater than warmupSteps, 1')],
    endValue: finite('endValue'), exponent: finite('exponent'),
  }, { initValue: 1, peakValue: 2, warmupSteps: 1, decaySteps: 2 }],
  warmupExponentialDecaySchedule: [{
    initValue: finite('initValue'), peakValue: finite('peakValue'), warmupSteps: whole('warmupSteps'),
    transitionSteps: whole('transitionSteps'),
    decayRate: finite('decayRate'), transitionBegin: whole('transitionBegin'), staircase: flag('staircase'), endValue: orNull('endValue'),
  }, { initValue: 1, peakValue: 2, warmupSteps: 1, transitionSteps: 1, decayRate: 0.5 }],
  piecewiseInterpolateSchedule: [{
    interpolateType: [...kind('interpolateType', "'linear' or 'cosine'", ['text']), bad('another', 'x', RangeError,
      "interpolateType must be 'linear' or 'cosine', got \"x\"")],
    initValue: finite('initValue'), boundariesAndScales: scales,
  }, { interpolateType: 'linear', initValue: 1 }],
  linearOnecycleSchedule: [{
    transitionSteps: above0('transitionSteps'), peakValue: finite('peakValue'), pctStart: finite('pctStart'), pctFinal: finite('pctFinal'),
    divFactor: finite('divFactor'), finalDivFactor: finite('finalDivFactor'),
  }, { transitionSteps: 10, peakValue: 1 }],
  cosineOnecycleSchedule: [{
    transitionSteps: above0('transitionSteps'), peakValue: finite('peakValue'), pctStart: finite('pctStart'),
    divFactor: finite('divFactor'),
    finalDivFactor: finite('finalDivFactor'),
  }, { transitionSteps: 10, peakValue: 1 }],
};

/** null stands for the default, where there is one. */
const nullable = (/** @type {Argument} */ argument,
  /** @type {boolean} */ isGiven) => (isGiven ? argument : argument.filter(({ what }) => !/: null$/.test(what)));

/** @type {Rows} */
const scheduleRows = Object.fromEntries(Object.entries(schedules).flatMap(([name, [table, base]]) => {
  const make = /** @type {Any} */ (optax)[name];
  const rest = Object.fromEntries(Object.entries(table).map(([option, argument]) => [option,
    nullable(argument, Object.hasOwn(base, option))]));
  return [
    [name, { args: [options(name, rest, { base: () => base, required: true })],
      call: (/** @type {Any} */ _, /** @type {Any} */ given) => make(given), good: () => [base] }],
    [`${name}()`, { args: [finite('count', { required: true })],
      call: (/** @type {Any} */ _, /** @type {Any} */ given) => make(base)(given), good: () => [1], reads: true }],
  ];
}));

/** A state of two leaves, two steps old, and what fits nowhere. */
function trained() {
  const memory = new Memory();
  const x = variable([1, 2, 3], { name: 'x', memory });
  const y = Float32Array.of(4, 5);
  const world = {
    memory, x, y, g: tensor([1, -1, 2], { memory }), gy: Float32Array.of(3, 4), params: { x, y }, grads: /** @type {Any} */ (undefined),
    rate: /** @type {Any} */ (() => 0.1),
    whole: zeros([3], { dtype: 'int32', memory }), double: zeros([3], { dtype: 'float64', memory }), long: zeros([4], { memory }),
    foreign: zeros([3]), gone: zeros([3], { memory }),
    it: /** @type {Any} */ (undefined), state: /** @type {Any} */ (undefined),
    plainState: /** @type {Any} */ (undefined), clipState: optax.clip(1).init({ x, y }), goneState: /** @type {Any} */ (undefined),
    chain: optax.chain(optax.clipByGlobalNorm(1), optax.addDecayedWeights(0.1), optax.rmsprop({ learningRate: 1 })),
    chainState: /** @type {Any} */ (undefined),
    content: () => ({ count: 2, nu: { x: world.g, y: world.gy }, mu: { x: world.g, y: world.gy }, trace: { x: world.g, y: world.gy } }),
    steps: /** @type {Any} */ (undefined), stepsState: /** @type {Any} */ (undefined),
    fingerprint: () => {
      /** @type {unknown[]} */
      const seen = [];
      const visit = (/** @type {Any} */ value) => {
        if (value === null || typeof value !== 'object') seen.push(`${value}`);
        else if (ArrayBuffer.isView(value)) seen.push(bitsOf([{ data: value }]));
        else if (value.data) seen.push(bitsOf([value]));
        else if (Array.isArray(value)) value.forEach(visit);
        else {for (const key of ['count', 'nu', 'mu', 'trace', 'miniStep', 'gradientStep', 'accGrads', 'innerOptState', 'x',
          'y']) if (key in value) visit(value[key]);}
      };
      visit([world.params, world.grads, world.state, world.chainState, world.stepsState]);
      return JSON.stringify([seen, memory.bytesInUse, memory.tensorCount, ...common()]);
    },
    dispose: () => optax.disposeState([world.state, world.chainState, world.stepsState, world.plainState, world.clipState]),
  };
  world.grads = { x: world.g, y: world.gy };
  world.gone.dispose();
  world.it = optax.rmsprop({ learningRate: (count) => world.rate(count), momentum: 0.9, centered: true });
  world.steps = optax.multiSteps(optax.rmsprop({ learningRate: 1 }), 2);
  [world.state, world.goneState] = [world.it.init(world.params), world.it.init(world.params)];
  world.goneState.dispose();
  world.plainState = optax.rmsprop({ learningRate: 1 }).init(world.params);
  [world.chainState, world.stepsState] = [world.chain.init(world.params), world.steps.init(world.params)];
  for (let i = 0; i < 2; i++) {
    world.it.update(world.grads, world.state);
    world.it.step(world.grads, world.state, world.params);
    world.state.count = i + 1;
    world.chain.update(world.grads, world.chainState, world.params);
    world.steps.update(world.grads, world.stepsState);
  }
  return world;
}

const isSchedule = /(Schedule|exponentialDecay)$/;
const exported = surfaceOf(optax);
const made = surfaceOf({ ...optax.rmsprop({ learningRate: 1 }) }).map((path) => `rmsprop().${path}`);
testTable('optax', [...exported.filter((path) => !isSchedule.test(path)), ...made], rows, trained);
testTable('optax schedules', exported.filter((path) => isSchedule.test(path)).flatMap((path) => [path, `${path}()`]), scheduleRows,
  trained);
