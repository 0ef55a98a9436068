/** What the optimizers of TensorFlow 1 and of tf.keras refuse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, RMSprop, indexedSlices, tensor, variable, writeSafetensors, zeros } from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';
import * as v1 from 'rmsprop-wasm/v1';
import { common, gradientsOfA, things } from './inputs.js';
import { Mine, anything, bad, bitsOf, callback, finite, flag, integer, kind, list, mine, object, options, outside, surfaceOf, testTable,
  text } from './table.js';

/** @typedef {any} Any */
/** @typedef {import('./table.js').ErrorType} ErrorType */
/** @typedef {import('./table.js').Rows} Rows */

const hyperparameter = (/** @type {string} */ name, rest = {}) =>
  finite(name, { expectation: 'a finite number or callback', also: ['callback'], ...rest });

// ---- What both have in common ----

const isGradient = /: (undefined|text|flag|bigint|symbol|object|bare|callback)$/;
const notFloating = 'variable "whole" must be float32 or float64, got "int32"';
const pairs = [
  ...list('pairs', { required: true }).filter(({ what }) => !/array/.test(what)),
  bad('no pair', [7], TypeError, 'pairs[0] must be an array, got 7'),
  bad('a short pair', [[[1, 1, 1]]], RangeError, 'pairs[0] must be [gradient, variable], got Array of length 1'),
  ...gradientsOfA('gradient of variable "a"').map(({ what, value, type, message }) => ({
    what,
    type,
    message: isGradient.test(what) || what === 'bigints'
      ? `${message}`.replace('3 numbers, flat or in shape [3]', 'a Tensor, IndexedSlices, array of numbers or null') : message,
    value: (/** @type {Any} */ world) => [[[[1, 1]], world.b], [value(world), world.a]],
  })),
  bad('a variable twice', (w) => [[[1, 1, 1], w.a], [[1, 1, 1], w.a]], RangeError,
    'variable "a" must be in the list once, got Array of length 2'),
  bad('a tensor', (w) => [[[1, 1, 1], w.long]], Error,
    'Trying to update a Tensor: the variable of pairs[0] must be a variable, got tensor of shape [4]'),
  bad('no variable', (w) => [[[1, 1, 1], w]], TypeError, 'the variable of pairs[0] must be a variable, got Object'),
  bad('int32', (w) => [[[1, 1, 1], w.whole]], RangeError, notFloating),
  bad('a disposed variable', (w) => [[[1, 1, 1], w.gone]], Error, 'variable "gone" is disposed'),
  bad('another memory', (w) => [[[1, 1, 1], w.elsewhere]], RangeError,
    'variable "elsewhere" must be in the memory of the others, got Memory'),
  bad('two memories', (w) => [[[1, 1, 1], w.a], [[1, 1, 1], w.elsewhere]], RangeError,
    'variable "elsewhere" must be in the memory of variable "a", got Memory'),
  bad('no gradient', (w) => [[null, w.a]], RangeError, /^No gradients provided for any variable: .*a.*\.$/),
  bad('slices under a constraint', (w) => [[indexedSlices([1], [0]), w.bounded]], Error,
    'Cannot use a constraint function on a sparse variable: variable "bounded" has one.'),
];
const goodPairs = (/** @type {Any} */ w) => [[[[1, 1, 1], w.a], [[[1, 1]], w.b]]];

const losses = [
  bad('a loss that is no number', () => () => 'x', TypeError,
    'the result of lossAndGradients must be { loss, gradients } or a number, got "x"'),
  bad('no gradients', () => () => ({ loss: 1 }), TypeError,
    'the result of lossAndGradients must be { loss, gradients } or a number, got Object'),
  bad('a promise', () => async () => 1, TypeError, 'the result of lossAndGradients must be { loss, gradients } or a number, got Promise'),
  bad('too few', () => () => ({ loss: 1, gradients: [[1, 1, 1]] }), RangeError,
    'gradients must be as many as variables, 2, got Array of length 1'),
  bad('one that throws', () => () => { throw mine; }, Mine, 'mine'),
];
const ofLoss = [
  ...losses,
  bad('a short gradient', () => () => ({ loss: 1, gradients: [[1, 1], [[1, 1]]] }), RangeError,
    'gradient of variable "a" must be 3 numbers, flat or in shape [3], got Array of length 2'),
];

/**
 * What a step must not be told by its callbacks.
 *
 * @param {Any} world
 * @param {string} step how messages call the moment
 * @param {() => unknown} run
 */
function answers(world, step, run) {
  /** @type {(key: string, source: () => unknown) => () => unknown} */
  const telling = (key, source) => () => {
    const before = world[key];
    world[key] = source;
    try {
      return run();
    } finally {
      world[key] = before;
    }
  };
  return /** @type {[string, () => unknown, ErrorType, string][]} */ ([
    ['a rate of NaN', telling('rate', () => NaN), RangeError, `learningRate${step} must be a finite number, got NaN`],
    ['an infinite rate', telling('rate', () => Infinity), RangeError, `learningRate${step} must be a finite number, got Infinity`],
    ['no rate', telling('rate', () => undefined), TypeError, `learningRate${step} must be a finite number, got undefined`],
    ['a momentum that is text', telling('momentum', () => '0'), TypeError, `momentum${step} must be a finite number, got "0"`],
    ['a momentum that is never there', telling('momentum', () => { throw mine; }), Mine, 'mine'],
  ]);
}

/** @param {Any} made @param {() => unknown[]} more of its state */
function worldOf(made, more) {
  const things_ = things();
  const world = {
    ...things_,
    bounded: variable([1], { name: 'bounded', memory: things_.memory, constraint: () => {} }),
    shared: variable([1, 2, 3], { name: 'shared', memory: new Memory({ initialBytes: 65536, maximumBytes: 65536, shared: true }) }),
    sharing: new v1.RMSPropOptimizer({ learningRate: 1 }),
    rate: () => 0.1, momentum: () => 0.9, it: /** @type {Any} */ (undefined),
    step: tensor(3, { dtype: 'int32', memory: things_.memory }),
    last: tensor(2 ** 31 - 1, { dtype: 'int32', memory: things_.memory }),
    half: tensor(0.5, { memory: things_.memory }),
    fingerprint: () => JSON.stringify([
      bitsOf([...things_.variables, world.step, world.last, world.half, world.shared]), world.shared.memory.bytesInUse, more.call(world),
      things_.memory.bytesInUse,
      things_.memory.tensorCount, ...common(),
    ]),
    dispose: () => world.it.dispose(),
  };
  world.it = made(world);
  world.sharing.share([world.shared]);
  for (let i = 0; i < 3; i++) world.it.applyGradients(goodPairs(world)[0]);
  return world;
}

/** Checkpoints of a new optimizer of variables of these names, and what is wrong with them for `it`. */
const files = (/** @type {string} */ dialect, /** @type {(options: object) => Any} */ make) => {
  const file = (/** @type {Any} */ values, options = {}) => {
    const memory = new Memory();
    const other = make({ centered: true, momentum: 0.9, ...options });
    other.applyGradients(Object.entries(values).map(([name, value]) => [value, variable(value, { name, memory })]));
    const bytes = other.save();
    other.dispose();
    return bytes;
  };
  const [a, b] = [[1, 2, 3], [[4, 5]]];
  return [
    ...kind('bytes', 'a Uint8Array or an ArrayBuffer', [], { required: true }),
    bad('an empty file', new Uint8Array(0), RangeError, 'safetensors: file must be at least 8 bytes long, got 0'),
    bad('a file cut short', () => file({ a, b }).slice(0, -1), RangeError, /^safetensors: /),
    bad('a file of others', () => writeSafetensors({}), RangeError, 'format of the checkpoint must be "rmsprop-wasm", got undefined'),
    bad('a file of another optimizer', () => {
      const keras = new RMSprop();
      keras.build([variable(a)]);
      return keras.save();
    }, RangeError, `dialect of the checkpoint must be "${dialect}", got "keras"`),
    bad('a file of nothing', () => make({}).save(), RangeError, /^the checkpoint must be one with slot "rms" of variable "a", got undefined$/),
    bad('a variable that is missing', () => file({ a }), RangeError,
      'the checkpoint must be one with slot "rms" of variable "b", got undefined'),
    bad('a variable of another name', () => file({ a, z: b }), RangeError,
      'variables must be with one named "z", as in the checkpoint, got "a,b"'),
    bad('a variable of another shape', () => file({ a, b: [[4], [5]] }), RangeError,
      '"b/rms" in the checkpoint must be F32 of shape [1,2], got "F32 of shape [2,1]"'),
    bad('other slots', () => file({ a, b }, { centered: false }), RangeError,
      'the checkpoint must be one with slot "mg" of variable "a", got undefined'),
    bad('no list of slots', () => writeSafetensors({}, { format: 'rmsprop-wasm', format_version: '1', dialect, counters: '{}' }), TypeError,
      'slots of the checkpoint must be an array, got undefined'),
    bad('slots of another kind', () => writeSafetensors({}, { format: 'rmsprop-wasm', format_version: '1', dialect,
      counters: '{"slots":[7]}' }), TypeError, 'slots of the checkpoint must be an array, got 7'),
  ];
};
const ofCheckpoint = [
  ...list('variables', { also: ['null'] }).filter(({ what }) => !/array/.test(what)),
  bad('a tensor', (w) => [w.long, w.b], TypeError, 'variables[0] must be a variable, got Tensor'),
  bad('a variable twice', (w) => [w.a, w.a], RangeError, 'variable "a" must be in the list once, got Array of length 2'),
  bad('too few', (w) => [w.b], RangeError, 'variables must be with one named "a", as in the checkpoint, got "b"'),
  bad('a disposed variable', (w) => [w.a, w.b, w.gone], Error, 'variable "gone" is disposed'),
  bad('another memory', (w) => [w.a, w.b, w.elsewhere], RangeError,
    'variable "elsewhere" must be in the memory of variable "a", got Memory'),
];
/** A new optimizer that is to take over a checkpoint of `it`, for variables in memory that is full. */
const full = (/** @type {Any} */ w, /** @type {() => Any} */ make) => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536 });
  const [a, b] = [w.a, w.b].map((v) => variable(v, { name: v.name, memory }));
  zeros([(65536 - memory.bytesInUse - 64 * 6) / 4], { memory });
  return /** @type {[string, () => unknown, ErrorType, RegExp]} */ (['more slots than there is memory for', () => {
    const [fresh, before] = [make(), memory.bytesInUse];
    try {
      fresh.load(w.it.save(), { variables: [a, b] });
    } finally {
      assert.deepEqual([memory.bytesInUse, fresh.getSlotNames()], [before, []]);
      fresh.dispose();
    }
  }, RangeError, /^memory exhausted: \d+ bytes requested, \d+ of at most 65536 in use$/]);
};

// ---- TensorFlow 1 ----

const varList = [
  bad('a tensor', (w) => [w.long], Error, 'Trying to update a Tensor: varList[0] must be a variable, got tensor of shape [4]'),
  bad('no variable', 7, TypeError, 'varList[0] must be a variable, got 7'),
  bad('no variables', [], RangeError, 'No variables to optimize: varList is empty.'),
];
const gradientTable = {
  varList,
  gateGradients: [kind('gateGradients', 'one of GATE_NONE (0), GATE_OP (1), GATE_GRAPH (2)', ['number'], { type: RangeError }),
    ...[3, 0.5, NaN].map((value) => outside('gateGradients', value, 'one of GATE_NONE (0), GATE_OP (1), GATE_GRAPH (2)'))].flat(),
  aggregationMethod: [kind('aggregationMethod', 'one of 0,1,2', ['number', 'null'], { type: RangeError }),
    ...[3, -1, NaN].map((value) => outside('aggregationMethod', value, 'one of 0,1,2'))].flat(),
  colocateGradientsWithOps: flag('colocateGradientsWithOps', { also: ['null'] }),
  gradLoss: [
    ...kind('gradLoss', 'a Tensor, array of numbers or null', ['number', 'array', 'null']),
    bad('slices', () => indexedSlices([1], [0]), TypeError, 'gradLoss must be a Tensor, array of numbers or null, got IndexedSlices'),
    bad('an int32', (w) => w.whole, RangeError, 'Invalid type int32 for gradLoss, expected: [float32, float64].'),
    bad('a disposed tensor', (w) => w.goneTensor, Error, 'tensor of shape [3] is disposed')],
};
const globalStep = [
  ...kind('globalStep', 'a variable of one integer', ['null']),
  bad('a tensor of more', (w) => w.long, RangeError, 'globalStep.size must be 1, got 4'),
  bad('half a step', (w) => w.half, RangeError, 'globalStep must be a variable of one integer, got 0.5'),
  bad('a disposed one', (w) => w.goneTensor, Error, 'tensor of shape [3] is disposed'),
];
/** To count one more; it can be saved and loaded all the same. */
const atItsEnd = bad('the last int32', (w) => w.last, RangeError, 'globalStep must be below 2147483647, the last int32, got 2147483647');
const applyTable = { globalStep: [...globalStep, atItsEnd], name: text('name', { also: ['null'] }) };
const withVariables = (/** @type {Any} */ w) => ({ varList: w.variables });
const noFunction = (/** @type {string} */ _, /** @type {string} */ __,
  /** @type {string} */ shown) => `\`loss\` passed to computeGradients must be a function, got ${shown}`;
const lossOf1 = [...kind('loss', 'a function', ['callback'], { required: true, type: Error, say: noFunction }), ...losses];
const nothing = /^No gradients provided for any variable: variable "a", variable "b", between these variables and loss function.*\.$/;

/** @type {Rows} */
const rows1 = {
  'RMSPropOptimizer': {
    args: [options('RMSPropOptimizer', {
      learningRate: hyperparameter('learningRate', { required: true }),
      decay: hyperparameter('decay'),
      momentum: hyperparameter('momentum'),
      epsilon: hyperparameter('epsilon'),
      useLocking: flag('useLocking'),
      centered: flag('centered'),
      pool: kind('pool', 'a ThreadPool', []),
      name: [...text('name'), bad('no name', '', RangeError, 'Must specify the optimizer name, got ""')],
    }, { base: () => ({ learningRate: 1 }), required: true })],
    call: (_, given) => new v1.RMSPropOptimizer(given).dispose(), good: () => [{ learningRate: 0.1 }],
  },
  'RMSPropOptimizer#toJSON': { args: [], call: ({ it }) => it.toJSON(), reads: true },
  'RMSPropOptimizer#getName': { args: [], call: ({ it }) => it.getName(), reads: true },
  'RMSPropOptimizer#getSlotNames': { args: [], call: ({ it }) => it.getSlotNames(), reads: true },
  'RMSPropOptimizer#getSlot': { args: [anything, anything], call: ({ it }, ...given) => it.getSlot(...given), reads: true,
    good: (w) => [w.a, 'rms'] },
  'RMSPropOptimizer#variables': { args: [], call: ({ it }) => it.variables(), reads: true },
  'RMSPropOptimizer#computeGradients': {
    args: [lossOf1, options('computeGradients', gradientTable,
      { base: withVariables, own: kind('computeGradients options', 'of type object', ['object', 'bare', 'array', 'null']) })],
    call: ({ it }, ...given) => it.computeGradients(...given), good: (w) => [() => 1, withVariables(w)],
  },
  'RMSPropOptimizer#applyGradients': {
    args: [[...pairs, bad('nothing', [], RangeError, 'No variables provided.')], options('applyGradients', applyTable)],
    call: ({ it }, ...given) => it.applyGradients(...given), good: goodPairs,
    more: (w) => answers(w, '()', () => w.it.applyGradients(goodPairs(w)[0])),
  },
  'RMSPropOptimizer#minimize': {
    args: [[...lossOf1, ...ofLoss, bad('no gradients at all', () => () => ({ loss: 1, gradients: [null, null] }), RangeError, nothing)],
      options('minimize', { ...gradientTable, ...applyTable },
        { base: withVariables, own: kind('minimize options', 'of type object', ['object', 'bare', 'array', 'null']) })],
    call: ({ it }, ...given) => it.minimize(...given),
    good: (w) => [() => ({ loss: 1, gradients: [[1, 1, 1], [[1, 1]]] }), withVariables(w)],
    more: (w) => answers(w, '()', () => w.it.minimize(() => ({ loss: 1, gradients: [[1, 1, 1], [[1, 1]]] }), withVariables(w))),
  },
  'RMSPropOptimizer#share': {
    args: [[...varList.filter(({ what }) => what !== 'no variables'),
      bad('no variables', [], RangeError, 'variables must be at least one, got Array of length 0'),
      bad('a variable twice', (w) => [w.shared, w.shared], RangeError, 'variable "shared" must be in the list once, got Array of length 2'),
      bad('memory of its own', (w) => [w.a], RangeError, 'variable "a" must be in shared memory, got Memory'),
      bad('a disposed variable', (w) => [w.gone], Error, 'variable "gone" is disposed'),
    ]],
    call: (w, given) => w.sharing.share(given), good: (w) => [[w.shared]],
  },
  'RMSPropOptimizer#join': {
    args: [kind('memory', 'a Memory', [], { required: true }), [
      ...list('shared', { required: true }).filter(({ what }) => !/array/.test(what)),
      bad('no slots', [{ name: 'x' }], RangeError, 'slots of shared variable "x" must be with rms, got undefined'),
      bad('another place', (w) => w.sharing.share([w.shared]).map((/** @type {Any} */ one) => ({ ...one, byteOffset: 2 })), RangeError,
        /^byteOffset must be a multiple of 4 in \[4, \d+\], got 2$/),
      bad('another shape', (w) => w.sharing.share([w.shared]).map((/** @type {Any} */ one) => ({ ...one, shape: [-1] })), RangeError,
        /^shape must be an integer in \[0, \d+\], got -1$/),
    ]],
    call: (_, ...given) => {
      const other = new v1.RMSPropOptimizer({ learningRate: 1 });
      try {
        other.join(.../** @type {[Any, Any]} */ (given));
      } finally {
        other.dispose();
      }
    },
    good: (w) => [w.shared.memory, w.sharing.share([w.shared])],
  },
  'RMSPropOptimizer#save': {
    args: [options('save', { variables: flag('variables', { also: ['null'] }), globalStep })],
    call: ({ it }, given) => it.save(given), good: ({ step }) => [{ variables: true, globalStep: step }], reads: true,
  },
  'RMSPropOptimizer#load': {
    args: [files('tf1', (given) => new v1.RMSPropOptimizer({ learningRate: 1, ...given })),
      options('load', { variables: ofCheckpoint, globalStep })],
    call: ({ it }, ...given) => it.load(...given), good: ({ it, step }) => [it.save({ globalStep: step }), { globalStep: step }],
    more: (w) => [
      ['a counter that is not in the file', () => w.it.load(w.it.save(), { globalStep: w.step }), TypeError,
        'global_step of the checkpoint must be an integer in [-2147483648, 2147483647], got undefined'],
      full(w, () => new v1.RMSPropOptimizer({ learningRate: 1, centered: true })),
    ],
  },
  'RMSPropOptimizer#dispose': { args: [], call: ({ it }) => it.dispose() },
};

testTable('v1', surfaceOf(v1), rows1, () => worldOf(
  (/** @type {Any} */ w) => new v1.RMSPropOptimizer({ learningRate: () => w.rate(), momentum: () => w.momentum(), centered: true }),
  /** @this {Any} */ function state() {
    return [bitsOf(this.it.variables()), this.it.getSlotNames()];
  },
));

// ---- tf.keras ----

const rate = [...finite('learningRate', { expectation: 'a finite number, schedule or callback', also: ['callback'] }),
  outside('learningRate', 1e39, 'a float32')];
const limit = (/** @type {string} */ name) => finite(name, { also: ['null'], out: [[-1, '>= 0']] });
const setLimit = (/** @type {string} */ name) =>
  finite(name, { expectation: 'a finite number or null', also: ['null'], required: true });

/** @type {(field: string, args: import('./table.js').Argument, value: unknown) => [string, import('./table.js').Row]} */
const setter = (field, args, value) => [`RMSprop#${field}=`, {
  args: [args], call: ({ it }, given) => { it[field] = given; }, good: () => [value],
}];
const required = (/** @type {string} */ field, /** @type {string} */ expectation) =>
  bad(`${field}: undefined`, undefined, TypeError, `${field} must be ${expectation}, got undefined`);

const varListOf = [
  bad('a tensor', (w) => [[w.long]], Error, 'Trying to update a Tensor: variables[0] must be a variable, got tensor of shape [4]'),
  bad('no variable', 7, TypeError, 'variables[0] must be a variable, got 7'),
  bad('nothing', undefined, TypeError, 'variables[0] must be a variable, got undefined'),
];
const lossOf2 = [
  ...callback('lossAndGradients', { required: true }).map((one) => (/: number$/.test(one.what)
    ? { ...one, type: RangeError,
      message: 'a tape is required when a loss is passed: pass a function that gives gradients, got 7' } : one)),
  bad('a tensor', (w) => w.half, RangeError, /^a tape is required when a loss is passed: .*, got tensor of shape \[\]$/),
  ...ofLoss,
];
const goodLoss = (/** @type {Any} */ w) => [() => ({ loss: 1, gradients: [[1, 1, 1], [[1, 1]]] }), w.variables];

const clipped = { clipnorm: limit('clipnorm'), clipvalue: limit('clipvalue'), globalClipnorm: limit('globalClipnorm') };

/** @type {Rows} */
const rows2 = {
  'RMSprop': {
    args: [options('RMSprop', {
      name: text('name'),
      ...clipped,
      learningRate: rate,
      decay: limit('decay'),
      rho: hyperparameter('rho'),
      momentum: hyperparameter('momentum', { out: [[1.5, 'in [0, 1]'], [-0.5, 'in [0, 1]']] }),
      epsilon: finite('epsilon'),
      centered: flag('centered'),
      pool: kind('pool', 'a ThreadPool', []),
      lr: limit('lr'),
    })],
    call: (_, given) => new legacy.RMSprop(given).dispose(), good: () => [{ rho: 0.5 }],
    more: () => [['two norms', () => new legacy.RMSprop({ clipnorm: 1, globalClipnorm: 2 }), RangeError,
      'Cannot accept both clipnorm and globalClipnorm, got clipnorm 1 and globalClipnorm 2']],
  },
  'RMSprop.fromConfig': {
    args: [[...object('config', { required: true }),
      bad('an unknown entry', { foo: 1 }, TypeError, /^RMSprop has no option "foo"/),
      bad('a bad value', { learning_rate: 'x' }, TypeError, 'learningRate must be a finite number, schedule or callback, got "x"'),
      bad('an unknown schedule', { learning_rate: { class_name: 'Foo', config: {} } }, RangeError,
        /^class_name must be one of Expon.*, got "Foo"$/),
    ], options('fromConfig', { customObjects: object('customObjects') })],
    call: (_, ...given) => /** @type {Any} */ (legacy.RMSprop.fromConfig)(...given).dispose(), good: () => [{ rho: 0.5 }],
  },
  ...Object.fromEntries([
    setter('learningRate', [...rate, required('learningRate', 'a finite number, schedule or callback')], 0.2),
    setter('lr', [...rate, required('learningRate', 'a finite number, schedule or callback')], 0.2),
    setter('rho', [...hyperparameter('rho'), required('rho', 'a finite number or callback')], 0.2),
    setter('momentum', [...hyperparameter('momentum'), required('momentum', 'a finite number or callback')], 0.2),
    setter('decay', finite('decay', { required: true }), 0.2),
    setter('epsilon', finite('epsilon', { required: true }), 0.2),
    setter('clipnorm', setLimit('clipnorm'), 1),
    setter('clipvalue', setLimit('clipvalue'), 1),
    setter('globalClipnorm', [bad('beside clipnorm', 1, RangeError,
      'Cannot accept both clipnorm and globalClipnorm, got clipnorm 2 and globalClipnorm 1'),
    ...setLimit('globalClipnorm')], null),
  ]),
  'RMSprop#iterations=': {
    args: [[bad('after the first update', 7, Error, 'Cannot set iterations of optimizer "it" after its weights have been created, got 7')]],
    call: ({ it }, given) => { it.iterations = given; }, fails: true,
    more: () => integer('iterations', 0, 2 ** 31 - 1, { required: true }).map(({ what, value, type, message }) => [what, () => {
      const fresh = new legacy.RMSprop();
      try {
        fresh.iterations = /** @type {Any} */ (value(undefined));
      } finally {
        fresh.dispose();
      }
    }, type, message]),
  },
  'RMSprop#getWeights': { args: [], call: ({ it }) => it.getWeights(), reads: true },
  'RMSprop#setWeights': {
    args: [[
      ...list('weights', { required: true }).filter(({ what }) => !/array/.test(what)),
      bad('too few', [[1]], RangeError,
        'setWeights of optimizer "it" got a weight list of length 1, but the optimizer was expecting 7 weights'),
      bad('another length', (w) => w.it.getWeights().with?.(1, [1]) ?? [[1], [1], [1], [1], [1], [1], [1]], RangeError,
        'weights[1] must be 3 numbers, flat or in shape [3], got Array of length 1'),
      bad('half an iteration', (w) => [[0.5], ...w.it.getWeights().slice(1)], RangeError,
        /^weights\[0\] must be an integer in \[.*\], got 0.5$/),
    ]],
    call: ({ it }, given) => it.setWeights(given), good: ({ it }) => [it.getWeights()],
  },
  'RMSprop#getSlotNames': { args: [], call: ({ it }) => it.getSlotNames(), reads: true },
  'RMSprop#getSlot': {
    args: [[
      bad('a stranger', (w) => w.stranger, RangeError, 'optimizer "it" has no slot "rms" for variable "stranger"'),
      bad('no variable', 7, RangeError, 'optimizer "it" has no slot "rms" for 7'),
    ], [bad('another slot', 'velocity', RangeError, 'optimizer "it" has no slot "velocity" for variable "a"')]],
    call: ({ it }, ...given) => it.getSlot(...given), good: (w) => [w.a, 'rms'], reads: true,
  },
  'RMSprop#addSlot': {
    args: [[
      bad('a tensor', (w) => w.long, Error, 'Trying to update a Tensor: variable must be a variable, got tensor of shape [4]'),
      bad('no variable', undefined, TypeError, 'variable must be a variable, got undefined'),
      bad('int32', (w) => w.whole, RangeError, notFloating),
      bad('a disposed variable', (w) => w.gone, Error, 'variable "gone" is disposed'),
    ], text('name', { required: true }), [
      ...kind('initializer', 'of type string', ['text', 'callback']),
      bad('another', 'random', RangeError, "initializer must be 'zeros', 'ones' or a function, got \"random\""),
      bad('one that gives less', () => () => [1], RangeError,
        'the initial value of slot "mine" must be 3 numbers, flat or in shape [3], got Array of length 1'),
      bad('one that throws', () => () => { throw mine; }, Mine, 'mine'),
    ]],
    call: ({ it }, ...given) => it.addSlot(...given), good: (w) => [w.a, 'mine', 'ones'],
    more: (w) => [['another memory', () => w.it.addSlot(w.elsewhere, 'rms'), RangeError,
      'variable "elsewhere" must be in the memory of the others, got Memory']],
  },
  'RMSprop#getGradients': {
    args: [[...lossOf2, bad('a gradient that is missing', () => () => ({ loss: 1, gradients: [null, [[1, 1]]] }), RangeError,
      'variable "a" has null for gradient: all operations must have one defined')], varListOf],
    call: ({ it }, ...given) => it.getGradients(...given), good: goodLoss,
  },
  'RMSprop#minimize': {
    args: [lossOf2, [...varListOf, bad('a function that throws', () => () => { throw mine; }, Mine, 'mine')],
      options('minimize', { gradLoss: gradientTable.gradLoss, name: text('name', { also: ['null'] }) })],
    call: ({ it }, ...given) => it.minimize(...given), good: goodLoss,
    more: (w) => answers(w, ' at step 3', () => w.it.minimize(...goodLoss(w))),
  },
  'RMSprop#applyGradients': {
    args: [pairs, options('applyGradients', {
      name: text('name', { also: ['null'] }), experimentalAggregateGradients: flag('experimentalAggregateGradients', { also: ['null'] }),
    })],
    call: ({ it }, ...given) => it.applyGradients(...given), good: goodPairs,
    more: (w) => {
      const full = new legacy.RMSprop();
      full.iterations = 2 ** 31 - 1;
      return [
        ...answers(w, ' at step 3', () => w.it.applyGradients(goodPairs(w)[0])),
        ['one update more than an int32 counts', () => full.applyGradients(/** @type {Any} */ (goodPairs(w)[0])), RangeError,
          'iterations must be below 2147483647, the last int32, got 2147483647'],
      ];
    },
  },
  'RMSprop#toJSON': { args: [], call: ({ it }) => it.toJSON(), reads: true },
  'RMSprop#getConfig': { args: [], call: ({ it }) => it.getConfig(), reads: true },
  'RMSprop#save': {
    args: [options('save', { variables: flag('variables', { also: ['null'] }) })],
    call: ({ it }, given) => it.save(given), good: () => [{ variables: true }], reads: true,
  },
  'RMSprop#load': {
    args: [files('keras-legacy', (given) => new legacy.RMSprop(given)), options('load', { variables: ofCheckpoint })],
    call: ({ it }, ...given) => it.load(...given), good: ({ it }) => [it.save()],
    more: (w) => [full(w, () => new legacy.RMSprop({ momentum: 0.9, centered: true }))],
  },
  'RMSprop#dispose': { args: [], call: ({ it }) => it.dispose() },
};

testTable('legacy', surfaceOf(legacy), rows2, () => worldOf(
  (/** @type {Any} */ w) => new legacy.RMSprop({ learningRate: () => w.rate(), momentum: () => w.momentum(), centered: true, clipnorm: 2,
    decay: 0.1, name: 'it' }),
  /** @this {Any} */ function state() {
    const { clipnorm, clipvalue, globalClipnorm, epsilon, decay, iterations } = this.it;
    return [bitsOf(this.it.weights), this.it.getSlotNames(), clipnorm, clipvalue, globalClipnorm, epsilon, decay, iterations];
  },
));


test('an update that an int32 can count is made, and counted', () => {
  const optimizer = new legacy.RMSprop();
  optimizer.iterations = 2 ** 31 - 2;
  assert.equal(optimizer.applyGradients([[[1], variable([1])]]), 2 ** 31 - 1);
  optimizer.dispose();
});
