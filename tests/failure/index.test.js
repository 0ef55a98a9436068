/** What the main entry refuses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as entry from 'rmsprop-wasm';
import { common, gradientsOfA, things } from './inputs.js';
import {
  Mine, anything, bad, bitsOf, callback, finite, flag, integer, kind, list, mine, object, options, outside, plus, surfaceOf, testTable,
  text,
} from './table.js';

const {
  IndexedSlices, LossScaleOptimizer, Memory, RMSprop, Tensor, Variable, configure, indexedSlices, ones, readSafetensors, schedules, tensor,
  tensorAt, variable, writeSafetensors, zeros,
} = entry;

/** @typedef {any} Any */
/** @typedef {import('./table.js').ErrorType} ErrorType */
/** @typedef {import('./table.js').Rows} Rows */

const PAGE = 65536;
const rate = (/** @type {string} */ name = 'learningRate') => [
  ...finite(name, { expectation: 'a finite number, schedule or callback', also: ['callback'] }),
  outside(name, 1e39, 'a float32'),
];
const hyperparameter = (/** @type {string} */ name) => finite(name, { expectation: 'a finite number or callback', also: ['callback'] });
const optional = (/** @type {string} */ name) => finite(name, { also: ['null'] });

/** A trained optimizer with every slot, under a rate that is a callback, and things that fit nowhere. */
function trained(/** @type {Any} */ given = {}) {
  const world = {
    ...things(),
    isDisposed: false,
    rate: /** @type {Any} */ (() => 0.1),
    it: /** @type {Any} */ (undefined),
    good: [[1, -1, 2], [[3, 4]]],
    fingerprint: () => JSON.stringify([
      bitsOf([...world.variables, ...(world.isDisposed ? [] : world.it.variables)]), world.isDisposed || world.it.iterations,
      world.memory.bytesInUse, world.memory.tensorCount,
      ...common(),
    ]),
    dispose: () => {
      world.it.dispose();
      world.foreign.dispose();
    },
  };
  world.it = new RMSprop({
    learningRate: (step) => world.rate(step), momentum: 0.9, centered: true, useEma: true, globalClipnorm: 1, weightDecay: 0.1, name: 'it',
    ...given,
  });
  for (let i = 0; i < 3; i++) world.it.apply(world.good, world.variables);
  for (const v of world.variables) v.gradientBuffer().data.fill(0.25);
  return world;
}

/** Gradients of the variables a and b. */
const gradients = [
  ...list('gradients', { required: true }).filter(({ what }) => !/array/.test(what)),
  bad('fewer gradients', [[1, 1, 1]], RangeError, 'gradients must be as many as variables, 2, got Array of length 1'),
  bad('more gradients', [[1, 1, 1], [[1, 1]], [1]], RangeError, 'gradients must be as many as variables, 2, got Array of length 3'),
  bad('none at all', [null, null], RangeError, 'No gradients provided for any variable.'),
  ...gradientsOfA('gradient of variable "a"').map(({ what, value, type, message }) =>
    ({ what, type, message, value: (/** @type {Any} */ world) => [value(world), [[1, 1]]] })),
  bad('the second too long', [[1, 1, 1], [[1, 1, 1]]], RangeError,
    'gradient of variable "b" must be 2 numbers, flat or in shape [1,2], got Array of length 1'),
];

/** Variables that no optimizer takes. */
const variables = [
  ...list('variables', { also: ['null'] }).filter(({ what }) => !/array/.test(what)),
  bad('no variable', [], RangeError, 'variables must be at least one, got Array of length 0'),
  bad('a tensor', (w) => [w.long, w.b], TypeError, 'variables[0] must be a variable, got Tensor'),
  bad('a hole', (w) => [w.a, , w.b], TypeError, 'variables[1] must be a variable, got undefined'), // eslint-disable-line no-sparse-arrays
  bad('a variable twice', (w) => [w.a, w.a], RangeError, 'variable "a" must be in the list once, got Array of length 2'),
  bad('another memory', (w) => [w.a, w.elsewhere], RangeError,
    'variable "elsewhere" must be in the memory of variable "a", got Memory'),
  bad('a disposed one', (w) => [w.a, w.gone], Error, 'variable "gone" is disposed'),
  bad('int32', (w) => [w.a, w.whole], TypeError, 'variable "whole" must be float32 or float64, got "int32"'),
];
const unknownVariables = [
  ...variables,
  bad('one that is not known', (w) => [w.a, w.stranger], RangeError,
    /^variables must be those the optimizer is built for, got (Array of length 2|variable "stranger"|"variable \\"stranger\\"")$/),
];

const pairs = [
  ...list('pairs', { required: true }).filter(({ what }) => !/array/.test(what)),
  bad('no pair', [7], TypeError, 'pairs[0] must be an array, got 7'),
  bad('a short pair', [[[1, 1, 1]]], RangeError, 'pairs[0] must be [gradient, variable], got Array of length 1'),
  ...gradientsOfA('gradient of variable "a"').map(({ what, value, type, message }) =>
    ({ what, type, message, value: (/** @type {Any} */ world) => [[value(world), world.a]] })),
  bad('a variable twice', (w) => [[[1, 1, 1], w.a], [[1, 1, 1], w.a]], RangeError,
    'variable "a" must be in the list once, got Array of length 2'),
  bad('a tensor', (w) => [[[1, 1, 1], w.long]], TypeError, 'variables[0] must be a variable, got Tensor'),
  bad('a stranger', (w) => [[[1, 1, 1], w.stranger]], RangeError, /^variables must be those the optimizer is built for/),
];
const goodPairs = (/** @type {Any} */ w) => [[[[1, 1, 1], w.a], [[[1, 1]], w.b]]];

/** Loss functions. */
const losses = [
  ...callback('lossAndGradients', { required: true }),
  bad('a loss that is no number', () => () => 'x', TypeError,
    'the result of lossAndGradients must be { loss, gradients } or a number, got "x"'),
  bad('nothing', () => () => undefined, TypeError, 'the result of lossAndGradients must be { loss, gradients } or a number, got undefined'),
  bad('no gradients', () => () => ({ loss: 1 }), TypeError,
    'the result of lossAndGradients must be { loss, gradients } or a number, got Object'),
  bad('a promise', () => async () => 1, TypeError, 'the result of lossAndGradients must be { loss, gradients } or a number, got Promise'),
  bad('too few', () => () => ({ loss: 1, gradients: [[1, 1, 1]] }), RangeError,
    'gradients must be as many as variables, 2, got Array of length 1'),
  bad('one that throws', () => () => { throw mine; }, Mine, 'mine'),
];

/** What a callback must not say, as steps that ask it. */
const answers = (/** @type {Any} */ world, /** @type {() => unknown} */ step) => {
  const asked = (/** @type {unknown} */ value) => () => {
    world.rate = () => value;
    try {
      return step();
    } finally {
      world.rate = () => 0.1;
    }
  };
  const throwing = () => {
    world.rate = () => { throw mine; };
    try {
      return step();
    } finally {
      world.rate = () => 0.1;
    }
  };
  return [
    ['a rate of NaN', asked(NaN), RangeError, 'learningRate at step 3 must be a finite number, got NaN'],
    ['an infinite rate', asked(-Infinity), RangeError, 'learningRate at step 3 must be a finite number, got -Infinity'],
    ['a rate beyond float32', asked(1e39), RangeError, 'learningRate must be a float32, got 1e+39'],
    ['a rate that is text', asked('0.1'), TypeError, 'learningRate at step 3 must be a finite number, got "0.1"'],
    ['no rate', asked(undefined), TypeError, 'learningRate at step 3 must be a finite number, got undefined'],
    ['a promise of a rate', asked(Promise.resolve(0.1)), TypeError, 'learningRate at step 3 must be a finite number, got Promise'],
    ['a rate that is never there', throwing, Mine, 'mine'],
  ];
};

const signal = kind('signal', 'an AbortSignal', []);
const asyncOptions = (/** @type {string} */ name) => {
  const all = options(name, { signal });
  all.push(bad('a signal that was given before', () => ({ signal: AbortSignal.abort(mine) }), Mine, 'mine'));
  return all;
};

const weightsTail = [
  ...list('weights', { required: true }).filter(({ what }) => !/array/.test(what)),
  bad('a fractional iteration', [[0.5]], RangeError, `weights[0] must be an integer in [${-(2 ** 31)}, ${2 ** 31 - 1}], got 0.5`),
  bad('another length', [[0], [1, 2]], RangeError, /^weights\[1\] must be (1|3) numbers, flat or in shape \[3?\], got Array of length 2$/),
  bad('texts', [[0], ['x', 'y', 'z']], TypeError, /^weights\[1\] must be (1|3) numbers/),
  bad('too many', (w) => [...w.it.getWeights(), [1]], RangeError,
    /^weights must be at most \d+ arrays, got Array of length \d+$/),
  bad('a disposed tensor', (w) => [w.goneTensor], Error, 'tensor of shape [3] is disposed'),
];

const bytes = [
  ...kind('bytes', 'a Uint8Array or an ArrayBuffer', [], { required: true }),
  bad('no file', new Uint8Array(20), RangeError, /^safetensors: header must be JSON with unique keys and plain integers, got ""$/),
  bad('an empty file', new Uint8Array(0), RangeError, /^safetensors: file must be at least 8 bytes long, got 0$/),
  bad('a file of others', () => writeSafetensors({}), RangeError, 'format of the checkpoint must be "rmsprop-wasm", got undefined'),
  bad('a file of other slots', () => checkpointOf({ momentum: 0 }), RangeError,
    /^"a\/average" in the checkpoint must be F32 of shape \[3\], got undefined: the file has "a\/velocity", "b\/velocity", and /),
  bad('a file of other shapes', () => checkpointOf({ momentum: 0.9, centered: true, useEma: true }, [1]), RangeError,
    /^"a\/average" in the checkpoint must be F32 of shape \[3\], got "F32 of shape \[1\]"$/),
  bad('a file cut short', () => checkpointOf({}).slice(0, -1), RangeError, /^safetensors: /),
];

/** A checkpoint of another optimizer of a and b. */
function checkpointOf(/** @type {Any} */ given, /** @type {number[]} */ first = [1, 2, 3]) {
  const memory = new Memory();
  const other = new RMSprop(given);
  other.apply([first, [[1, 1]]], [variable(first, { name: 'a', memory }), variable([[1, 1]], { name: 'b', memory })]);
  const file = other.save();
  other.dispose();
  return file;
}

const withVariables = options('save', { variables: flag('variables', { also: ['null'] }) });
const exclusion = options('excludeFromWeightDecay', {
  variables: [...list('variables', { also: ['null'] }), bad('a tensor', (w) => [w.long], TypeError,
    'variables must be variables, got Tensor')]
    .filter(({ what }) => !/: array/.test(what)),
  names: [...text('names', { also: ['array', 'null'] }), bad('no regular expression', '(', RangeError,
    'names must be regular expressions, got "("')],
}, { required: true });

/** @type {Rows} */
const optimizer = {
  'RMSprop': {
    args: [
      options('RMSprop', {
        name: text('name', { also: ['null'] }),
        learningRate: rate(),
        weightDecay: optional('weightDecay'),
        clipnorm: optional('clipnorm'),
        globalClipnorm: optional('globalClipnorm'),
        clipvalue: optional('clipvalue'),
        useEma: flag('useEma'),
        emaMomentum: finite('emaMomentum'),
        emaOverwriteFrequency: optional('emaOverwriteFrequency'),
        lossScaleFactor: optional('lossScaleFactor'),
        gradientAccumulationSteps: finite('gradientAccumulationSteps', {
          also: ['null'], out: [[1, 'an integer >= 2'], [-2, 'an integer >= 2']],
        }),
        rho: hyperparameter('rho'),
        momentum: hyperparameter('momentum'),
        epsilon: hyperparameter('epsilon'),
        centered: flag('centered'),
        aggregateGradients: callback('aggregateGradients'),
        pool: kind('pool', 'a ThreadPool', []),
        rule: [
          ...text('rule'),
          bad('another rule', 'tf1', RangeError, 'rule must be "keras" or "keras-2.11", got "tf1"'),
        ],
      }),
    ],
    call: (_, given) => new RMSprop(given).dispose(),
    good: () => [{ rho: 0.5 }],
    more: () => [
      ['an average beyond 1', () => new RMSprop({ useEma: true, emaMomentum: 1.5 }), RangeError, 'emaMomentum must be in [0, 1], got 1.5'],
      ['half an iteration', () => new RMSprop({ useEma: true, emaOverwriteFrequency: 2.5 }), RangeError,
        'emaOverwriteFrequency must be an integer in [1, 9007199254740991], got 2.5'],
      ['two clips', () => new RMSprop({ clipnorm: 1, clipvalue: 1 }), RangeError,
        'only one of clipnorm, clipvalue, globalClipnorm can be set, got clipnorm and clipvalue'],
      ['an option of the other generation', () => new RMSprop(/** @type {Any} */ ({ rule: 'keras-2.11', lossScaleFactor: 2 })), TypeError,
        /^RMSprop has no option "lossScaleFactor"/],
    ],
  },
  'RMSprop.fromConfig': {
    args: [
      [...object('config', { required: true }),
        bad('an unknown entry', { foo: 1 }, TypeError, /^RMSprop has no option "foo"/),
        bad('a bad value', { weight_decay: 'x' }, TypeError, 'weightDecay must be a finite number, got "x"'),
        bad('an unknown schedule', { learning_rate: { class_name: 'Foo', config: {} } }, RangeError,
          /^class_name must be one of Expon.*, got "Foo"$/),
        bad('a callback that is not there', { rho: { class_name: 'function', config: 'mine' } }, TypeError,
          'customObjects.mine must be of type function, got undefined'),
      ],
      options('fromConfig', { customObjects: object('customObjects') }),
    ],
    call: (_, ...given) => /** @type {Any} */ (RMSprop.fromConfig)(...given).dispose(),
    good: () => [{ rho: 0.5 }],
    more: () => [],
  },
  'RMSprop#learningRate=': {
    args: [rate().map((one) => (one.what.endsWith(': undefined') ? one : one))],
    call: ({ it }, value) => { it.learningRate = value; },
    good: () => [() => 0.2],
    more: ({ it }) => [
      ['nothing', () => { it.learningRate = undefined; }, TypeError,
        'learningRate must be a finite number, schedule or callback, got undefined'],
      ['a number for a callback', () => { it.learningRate = 0.1; }, TypeError,
        'learningRate must be a callback or schedule as before, got 0.1'],
    ],
  },
  ...Object.fromEntries(['rho', 'momentum', 'epsilon', 'emaMomentum', 'clipvalue', 'clipnorm', 'globalClipnorm', 'weightDecay',
    'emaOverwriteFrequency', 'lossScaleFactor'].map((name) => [`RMSprop#${name}=`, {
    args: [(/rho|omentum|epsilon/.test(name) ? (name === 'emaMomentum' ? finite : hyperparameter)(name) : optional(name))
      .filter(({ what }) => !what.endsWith(': undefined'))],
    call: ({ it }, value) => { it[name] = value; },
    good: ({ it }) => [it[name]],
    more: ({ it }) => [
      ['nothing', () => { it[name] = undefined; }, TypeError, `${name} must be a value, got undefined`],
    ],
  }])),
  'RMSprop#getSlot': { args: [anything, anything], call: ({ it }, ...given) => it.getSlot(...given), reads: true,
    more: ({ it, a, stranger }) => [
      ['slots that are not there', () => {
        assert.deepEqual([it.getSlot(stranger, 'velocity'), it.getSlot(a, 'rms'), it.getSlot()], [null, null, null]);
        throw mine;
      }, Mine, 'mine'],
    ] },
  'RMSprop#build': {
    args: [unknownVariables.concat(list('variables', { required: true }).filter(({ what }) => /undefined|null/.test(what)))],
    call: ({ it }, given) => it.build(given),
    good: ({ variables: all }) => [all],
  },
  'RMSprop#apply': {
    args: [gradients, unknownVariables],
    call: ({ it }, ...given) => it.apply(...given),
    good: (w) => [w.good, w.variables],
    more: (w) => /** @type {Any} */ (answers(w, () => w.it.apply(w.good))),
  },
  'RMSprop#applyGradients': {
    args: [pairs], call: ({ it }, given) => it.applyGradients(given), good: goodPairs,
    more: (w) => /** @type {Any} */ (answers(w, () => w.it.applyGradients(goodPairs(w)[0]))),
  },
  'RMSprop#applyGradientsAsync': {
    args: [pairs, asyncOptions('applyGradientsAsync')], call: ({ it }, ...given) => it.applyGradientsAsync(...given), good: goodPairs,
  },
  'RMSprop#stepAsync': { args: [asyncOptions('stepAsync')], call: ({ it }, ...given) => it.stepAsync(...given) },
  'RMSprop#step': { args: [], call: ({ it }) => it.step(), more: (w) => /** @type {Any} */ (answers(w, () => w.it.step())) },
  'RMSprop#minimize': {
    args: [losses, unknownVariables], call: ({ it }, ...given) => it.minimize(...given), good: (w) => [() => 1, w.variables],
    more: (w) => /** @type {Any} */ (answers(w, () => w.it.minimize(() => 1, w.variables))),
  },
  'RMSprop#scaleLoss': { args: [finite('loss', { required: true })], call: ({ it }, loss) => it.scaleLoss(loss), good: () => [1],
    reads: true },
  'RMSprop#finalizeVariableValues': {
    args: [[...variables, bad('too few', (w) => [w.a], RangeError,
      'variables must be the 2 that the optimizer is built for, got Array of length 1'),
    bad('of another size', (w) => [w.b, w.a], RangeError, 'average[0] must be 2 numbers, flat or in shape [1,2], got Tensor')]],
    call: ({ it }, ...given) => it.finalizeVariableValues(...given), good: () => [undefined],
  },
  'RMSprop#withAverages': {
    args: [[
      ...callback('fn', { required: true }),
      bad('one that throws', () => () => { throw mine; }, Mine, 'mine'),
      bad('one that is rejected', () => async () => { throw mine; }, Mine, 'mine'),
    ], asyncOptions('withAverages')],
    call: ({ it }, ...given) => it.withAverages(...given), good: () => [() => 0],
  },
  'RMSprop#excludeFromWeightDecay': { args: [exclusion], call: ({ it }, given) => it.excludeFromWeightDecay(given),
    good: () => [{ names: 'a' }] },
  'RMSprop#toJSON': { args: [], call: ({ it }) => it.toJSON(), reads: true },
  'RMSprop#getConfig': { args: [], call: ({ it }) => it.getConfig(), reads: true },
  'RMSprop#getWeights': { args: [], call: ({ it }) => it.getWeights(), reads: true },
  'RMSprop#setWeights': { args: [weightsTail], call: ({ it }, given) => it.setWeights(given), good: ({ it }) => [it.getWeights()] },
  'RMSprop#exportParameters': { args: [], call: ({ it }) => it.exportParameters(), reads: true },
  'RMSprop#importParameters': {
    args: [[
      ...kind('flat', 'a Float32Array', [], { required: true }),
      bad('doubles', new Float64Array(5), TypeError, 'flat must be a Float32Array, got Float64Array of length 5'),
      bad('a short array', new Float32Array(4), RangeError, 'flat must be of length 5, got Float32Array of length 4'),
    ]],
    call: ({ it }, given) => it.importParameters(given), good: () => [new Float32Array(5)],
  },
  'RMSprop#save': { args: [withVariables], call: ({ it }, given) => it.save(given), reads: true },
  'RMSprop#load': { args: [bytes], call: ({ it }, given) => it.load(given), good: ({ it }) => [it.save()] },
  'RMSprop#dispose': { args: [], call: ({ it }) => it.dispose() },
};

/** @type {Rows} */
const scaled = {
  'LossScaleOptimizer': {
    args: [
      [...kind('innerOptimizer', 'an RMSprop', [], { required: true }),
        bad('one with a hook', () => new RMSprop({ learningRate: () => 1, aggregateGradients: () => {} }), TypeError,
          'innerOptimizer must be without aggregateGradients, got RMSprop')],
      plus(options('LossScaleOptimizer', {
        initialScale: finite('initialScale'),
        dynamicGrowthSteps: integer('dynamicGrowthSteps', 0),
        name: text('name', { also: ['null'] }),
      }), ...['weightDecay', 'learningRate', 'useEma', 'clipnorm', 'lossScaleFactor'].map((option) =>
        bad(`${option} of the inner one`, { [option]: 1 }, TypeError,
          `LossScaleOptimizer does not support "${option}": set it on the innerOptimizer`)),
      bad('a scale that does not move', { dynamic: false }, TypeError,
        'LossScaleOptimizer does not support "dynamic": set lossScaleFactor on the innerOptimizer')),
    ],
    call: (_, ...given) => new (/** @type {Any} */ (LossScaleOptimizer))(...given).dispose(),
    good: () => [new RMSprop({ learningRate: () => 1 })],
  },
  'LossScaleOptimizer.fromConfig': {
    args: [[...object('config', { required: true }),
      bad('no inner optimizer', {}, TypeError, 'innerOptimizer must be of type object, got undefined'),
      bad('one without a config', { inner_optimizer: {} }, TypeError, 'innerOptimizer.config must be of type object, got undefined'),
      bad('an unknown entry', { inner_optimizer: { config: {} }, foo: 1 }, TypeError, /^LossScaleOptimizer has no option "foo"/),
    ].filter(({ what }) => !/: (object|bare|array)/.test(what)), options('fromConfig', { customObjects: object('customObjects') })],
    call: (_, ...given) => /** @type {Any} */ (LossScaleOptimizer.fromConfig)(...given).dispose(),
    good: () => [{ inner_optimizer: { config: {} } }],
  },
  ...Object.fromEntries(['learningRate=', 'getSlot', 'build', 'apply', 'applyGradients', 'step', 'minimize', 'finalizeVariableValues',
    'getConfig', 'toJSON',
    'getWeights', 'save', 'dispose'].map((name) => [`LossScaleOptimizer#${name}`, optimizer[`RMSprop#${name}`]])),
  'LossScaleOptimizer#scaleLoss': { args: [finite('loss', { required: true })], call: ({ it }, loss) => it.scaleLoss(loss), good: () => [1],
    reads: true },
  'LossScaleOptimizer#setWeights': { args: [weightsTail], call: ({ it }, given) => it.setWeights(given),
    good: ({ it }) => [it.getWeights()] },
  'LossScaleOptimizer#load': {
    args: [[...bytes, bad('a file without a scale', (w) => w.it.innerOptimizer.save(), TypeError,
      'step_counter of the checkpoint must be an integer in [0, 2147483647], got undefined')]],
    call: ({ it }, given) => it.load(given), good: ({ it }) => [it.save()],
  },
};

const shape = [
  ...list('shape', { required: true }).filter(({ what }) => !/array/.test(what)),
  ...integer('shape', 0, undefined, { required: true }).map(({ value, ...rest }) => ({ ...rest, value: () => [2, value(undefined)] })),
];
const dtype = [
  ...kind('dtype', 'one of float32,float64,int32', ['text'], {}),
  bad('another dtype', 'float16', TypeError, 'dtype must be one of float32,float64,int32, got "float16"'),
];
const memory = kind('memory', 'a Memory', [], {});
const place = { dtype, memory };
const values = [
  ...kind('values', '1 numbers, flat or in shape []', ['number', 'array'], { required: true }),
  bad('a ragged array', [[1, 2], [3]], RangeError, 'values must be 4 numbers, flat or in shape [2,2], got Array of length 2'),
  bad('texts', ['1', '2'], TypeError, 'values must be 2 numbers, flat or in shape [2], got Array of length 2'),
  // eslint-disable-next-line no-sparse-arrays
  bad('a hole', [1, , 2], RangeError,
    'values must be 3 numbers, flat or in shape [3], got Array of length 3'),
  bad('a buffer', new ArrayBuffer(8), TypeError, 'values must be 1 numbers, flat or in shape [], got ArrayBuffer'),
  bad('bigints', new BigInt64Array(2), TypeError, /^values must be . numbers, flat or in shape \[.?\], got BigInt64Array of length 2$/),
  bad('a disposed tensor', (w) => w.gone, Error, 'tensor of shape [3] is disposed'),
];
const ofShape = (/** @type {string} */ name, /** @type {Any} */ rest = {}) => options(name, {
  shape: [...shape.filter(({ what }) => !/undefined$/.test(what)), bad('another shape', [4], RangeError,
    'values must be 4 numbers, flat or in shape [4], got Array of length 3')],
  ...place,
  ...rest,
});
/** @type {[string, (make: Any) => unknown, ErrorType, string][]} */
const whole = [
  ['fractions of int32', (make) => make([0.5, 1], { dtype: 'int32' }), RangeError,
    'values must be an integer in [-2147483648, 2147483647], got 0.5'],
  ['NaN of int32', (make) => make([NaN], { dtype: 'int32' }), RangeError,
    'values must be an integer in [-2147483648, 2147483647], got NaN'],
  ['too large an int32', (make) => make([2 ** 31], { dtype: 'int32' }), RangeError,
    'values must be an integer in [-2147483648, 2147483647], got 2147483648'],
];
const tooLarge = bad('more than any memory', [2 ** 40], RangeError,
  /^memory exhausted: 4398046511104 bytes requested, \d+ of at most (4294967296|1048576) in use$/);

const offset = finite('byteOffset', {
  expectation: 'a multiple of 4 in [4, 65524]',
  out: [0, -4, 2, 65526, 65528, 2 ** 33].map((at) => [at, 'a multiple of 4 in [4, 65524]']),
});

/** @type {Rows} */
const tensors = {
  'tensor': {
    args: [values, ofShape('tensor')], call: (_, ...given) => /** @type {Any} */ (tensor)(...given).dispose(), good: () => [[1, 2, 3]],
    more: () => whole.map(([what, run, type, message]) => [what, () => run(tensor), type, message]),
  },
  'zeros': { args: [[...shape, tooLarge], options('zeros', place)], call: (_, ...given) => /** @type {Any} */ (zeros)(...given).dispose(),
    good: () => [[2]] },
  'ones': { args: [[...shape, tooLarge], options('ones', place)], call: (_, ...given) => /** @type {Any} */ (ones)(...given).dispose(),
    good: () => [[2]] },
  'variable': {
    args: [values, ofShape('variable', { name: text('name'), trainable: flag('trainable'), constraint: callback('constraint') })],
    call: (_, ...given) => /** @type {Any} */ (variable)(...given).dispose(), good: () => [[1, 2, 3]],
    more: () => whole.map(([what, run, type, message]) => [what, () => run(variable), type, message]),
  },
  'tensorAt': {
    args: [kind('memory', 'a Memory', [], { required: true }),
      [...offset, bad('no place', undefined, TypeError, 'byteOffset must be a number, got undefined')],
      [...shape, bad('beyond the memory', [PAGE], RangeError, 'shape must be of an array within 65536 bytes, got "[65536]"')],
      options('tensorAt', { dtype, name: text('name') })],
    call: (_, ...given) => /** @type {Any} */ (tensorAt)(...given), good: (w) => [w.memory, 64, [3]],
  },
  'indexedSlices': {
    args: [[
      ...kind('values', '1 numbers, flat or in shape []', ['number', 'array'], { required: true }),
      bad('ragged rows', [[1, 2], [3]], RangeError, 'values must be 4 numbers, flat or in shape [2,2], got Array of length 2'),
      bad('a disposed tensor', (w) => w.gone, Error, 'tensor of shape [3] is disposed'),
    ], [
      ...list('indices', { required: true }).filter(({ what }) => !/array/.test(what)),
      ...integer('indices[0]', 0, 2 ** 31 - 1,
        { required: true }).map(({ value, ...rest }) => ({ ...rest, value: () => [value(undefined)] })),
      bad('doubles', Float64Array.of(0.5), RangeError, 'indices[0] must be an integer in [0, 2147483647], got 0.5'),
    ], shape.filter(({ what }) => !/shape: undefined$/.test(what) || what.length > 20)],
    call: (_, ...given) => /** @type {Any} */ (indexedSlices)(...given), good: () => [[1], [0]],
  },
  'IndexedSlices': {
    args: [], call: () => new (/** @type {Any} */ (IndexedSlices))([1], [0]),
    more: () => [['nothing', () => new (/** @type {Any} */ (IndexedSlices))(), TypeError, /^(values|indices) must be /]],
  },
  'Tensor': {
    args: [kind('memory', 'a Memory', [], {}), dtype, [...shape, tooLarge], offset],
    call: (_, ...given) => new (/** @type {Any} */ (Tensor))(...given).dispose(), good: (w) => [w.memory, 'float32', [3]],
    more: () => [],
  },
  'Variable': {
    args: [kind('memory', 'a Memory', [], {}), dtype, [...shape, tooLarge], text('name', { required: true }),
      flag('trainable'), callback('constraint'), offset],
    call: (_, ...given) => new (/** @type {Any} */ (Variable))(...given).dispose(), good: (w) => [w.memory, 'float32', [3], 'v', true],
  },
  'Tensor#set': {
    args: [[
      ...kind('tensor of shape [3]', '3 numbers, flat or in shape [3]', ['number', 'array'], { required: true }),
      bad('a number', 7, RangeError, 'tensor of shape [3] must be 3 numbers, flat or in shape [3], got 7'),
      bad('a short array', [1], RangeError, 'tensor of shape [3] must be 3 numbers, flat or in shape [3], got Array of length 1'),
      bad('a disposed tensor', (w) => w.gone, Error, 'tensor of shape [3] is disposed'),
    ]],
    call: ({ t }, given) => t.set(given), good: () => [[1, 2, 3]],
  },
  'Tensor#checked': {
    args: [anything, [bad('a short array', [1], RangeError, 'it must be 3 numbers, flat or in shape [3], got Array of length 1')]],
    call: ({ t }, ...given) => t.checked(...given), good: () => ['it', [1, 2, 3]], reads: true,
  },
  'Tensor#toJSON': { args: [], call: ({ t }) => t.toJSON(), reads: true },
  'Tensor#toArray': { args: [], call: ({ t }) => t.toArray(), reads: true },
  'Tensor#dispose': { args: [], call: ({ t }) => t.dispose() },
  'Variable#gradient=': {
    args: [gradientsOfA('gradient of variable "a"')], call: ({ a }, given) => { a.gradient = given; }, good: () => [null],
  },
  'Variable#placeGradient': { args: [gradientsOfA('gradient of variable "a"').filter(({ what }) => !/slices|index/.test(what))],
    call: ({ a }, given) => a.placeGradient(given), good: () => [[1, 2, 3]] },
  'Variable#moveGradientBuffer': {
    args: [[...kind('buffer', 'a Tensor', [], { required: true }),
      bad('a long tensor', (w) => w.long, RangeError, 'gradient of variable "a" must be of 3 elements, got 4')]],
    call: ({ a }, given) => a.moveGradientBuffer(given), good: (w) => [w.buffer],
  },
  'Variable#gradientBuffer': {
    args: [], call: ({ a }) => a.gradientBuffer(),
    more: (w) => [['of a disposed variable', () => w.goneVariable.gradientBuffer(), Error, 'variable "gone" is disposed']],
  },
  'Variable#freeGradientBuffer': { args: [], call: ({ a }) => a.freeGradientBuffer() },
  'Variable#dispose': { args: [], call: ({ a }) => a.dispose() },
  'Memory': {
    args: [options('Memory', {
      initialBytes: integer('initialBytes', 0, 65536 * PAGE),
      maximumBytes: integer('maximumBytes', PAGE, 65536 * PAGE),
      shared: flag('shared'),
      memory: kind('memory', 'a WebAssembly.Memory', [], {}),
      allocate: [],
      free: [],
    })],
    call: (_, given) => new Memory(given), good: () => [{ initialBytes: PAGE }],
    more: () => {
      const wasm = new WebAssembly.Memory({ initial: 1 });
      const both = { allocate: () => 8, free: () => {} };
      const make = (/** @type {Any} */ given) => () => new Memory(given);
      return [
        ['less at most than at first', make({ initialBytes: 2 * PAGE, maximumBytes: PAGE }), RangeError,
          'initialBytes must be an integer in [0, 65536], got 131072'],
        ['functions without a memory', make(both), TypeError, 'memory must be a WebAssembly.Memory, got undefined'],
        ['no allocate', make({ memory: wasm, free: both.free }), TypeError, 'allocate must be of type function, got undefined'],
        ['no free', make({ memory: wasm, allocate: both.allocate }), TypeError, 'free must be of type function, got undefined'],
        ['a size of it', make({ memory: wasm, ...both, initialBytes: PAGE }), TypeError,
          'initialBytes cannot be chosen together with memory, got 65536'],
      ];
    },
  },
  'Memory.from': {
    args: [[...kind('wasmMemory', 'a shared WebAssembly.Memory', [], { required: true }),
      bad('one that is not shared', () => new WebAssembly.Memory({ initial: 1 }), TypeError,
        'wasmMemory must be a shared WebAssembly.Memory, got Memory')]],
    call: (_, given) => Memory.from(given), good: () => [new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })],
  },
  'Memory#allocate': {
    args: [[...integer('bytes', 0, undefined, { required: true }),
      bad('more than there can be', 2 ** 40, RangeError,
        /^memory exhausted: 1099511627776 bytes requested, \d+ of at most 1048576 in use$/)]],
    call: (w, given) => w.memory.free(w.memory.allocate(given)), good: () => [8],
  },
  'Memory#free': {
    args: [[...finite('byteOffset', { required: true }),
      ...[0, -64, 1, 128.5, 2 ** 40].map((at) => outside('byteOffset', at, 'the start of a block in use'))]],
    call: (w, given) => w.memory.free(given), good: (w) => [w.memory.allocate(1)],
  },
  'configure': {
    args: [plus(options('configure', {
      module: kind('module', 'a WebAssembly.Module', [], {}),
      sharedModule: kind('sharedModule', 'a WebAssembly.Module', [], {}),
      simd: kind('simd', "'auto', true or false", ['flag'], {}),
    }, { required: true }),
    bad('both', () => ({ module: new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)), simd: true }), TypeError,
      'simd cannot be chosen together with module'),
    bad('too late', {}, Error, 'configure must be called before the first use of the kernels'))],
    call: (_, given) => configure(given), good: () => [{}], fails: true,
  },
  'readSafetensors': {
    args: [[
      ...kind('safetensors: file', 'Uint8Array or ArrayBuffer', [],
        { required: true, say: (name, expectation) => new RegExp(`^${name} must be ${expectation}, got "`) }),
      bad('an empty file', new Uint8Array(), RangeError, 'safetensors: file must be at least 8 bytes long, got 0'),
    ]],
    call: (_, given) => readSafetensors(given), good: () => [writeSafetensors({})],
  },
  'writeSafetensors': {
    args: [[
      ...kind('safetensors: tensors', 'Map or Object', ['object', 'bare'],
        { required: true, say: (name, expectation) => new RegExp(`^${name} must be ${expectation}, got "`) }),
      bad('no array', { a: { shape: [1], data: [1] } }, TypeError, /^safetensors: tensor "a" must be /),
      bad('no tensor', { a: null }, TypeError, /^safetensors: tensor "a" must be /),
      bad('another length', { a: { shape: [2], data: new Float32Array(1) } }, RangeError,
        /^safetensors: tensor "a" must be at data_offsets 0,8, got \[0,4\]$/),
      bad('a negative length', { a: { shape: [-1], data: new Float32Array(1) } }, RangeError, /^safetensors: tensor "a" must be /),
      bad('another dtype', { a: { shape: [1], data: new Float32Array(1), dtype: 'F64' } }, TypeError,
        /^safetensors: tensor "a" must be Float64Array, got "Float32Array"$/),
    ], [
      ...kind('safetensors: metadata', 'strings', ['object', 'bare', 'array'],
        { say: (name, expectation) => new RegExp(`^${name} must be ${expectation}, got `) }),
      bad('a number', { a: 1 }, TypeError, 'safetensors: metadata must be strings, got {"a":1}'),
    ]],
    call: (_, ...given) => /** @type {Any} */ (writeSafetensors)(...given), good: () => [{}, {}],
  },
};

/** A memory of at most 16 pages, a tensor and a variable in it. */
function small() {
  const at = new Memory({ initialBytes: PAGE, maximumBytes: 16 * PAGE });
  const world = {
    memory: at,
    t: tensor([1, 2, 3], { memory: at }),
    a: variable([1, 2, 3], { name: 'a', memory: at }),
    long: zeros([4], { memory: at }),
    buffer: zeros([3], { memory: at }),
    double: zeros([3], { dtype: 'float64', memory: at }),
    foreign: zeros([3], { memory: new Memory() }),
    gone: zeros([3], { memory: at }),
    goneTensor: zeros([3], { memory: at }),
    goneVariable: variable([1], { name: 'gone', memory: at }),
    fingerprint: () => JSON.stringify([bitsOf([world.t, world.a]), world.a.gradient && bitsOf([/** @type {Any} */ (world.a.gradient)]),
      at.bytesInUse, at.tensorCount, at.buffer.byteLength, ...common()]),
  };
  for (const each of [world.gone, world.goneTensor, world.goneVariable]) each.dispose();
  world.a.gradient = [1, 1, 1];
  return world;
}

// ---- Schedules ----

const positive = (/** @type {string} */ name) => finite(name, { required: false, out: [[0, 'greater than 0'], [-1, 'greater than 0']] });
const name = text('name', { also: ['null'] });
const initialLearningRate = finite('initialLearningRate');

/** The options of each, and good ones. @type {Record<string, [Record<string, import('./table.js').Argument>, object]>} */
const kerasSchedules = {
  ExponentialDecay: [{
    initialLearningRate, decaySteps: positive('decaySteps'), decayRate: finite('decayRate'), staircase: flag('staircase'), name,
  }, { initialLearningRate: 1, decaySteps: 1, decayRate: 0.5 }],
  PiecewiseConstantDecay: [{
    boundaries: [...kind('boundaries', 'an array', ['array']),
      ...finite('boundaries[0]').map(({ value, ...rest }) => ({ ...rest, value: () => [value(undefined)] })),
      bad('none', [], RangeError, 'boundaries must be of length >= 1, got Array of length 0')],
    values: [...kind('values', 'an array', ['array']),
      bad('as many', [1], RangeError, 'values must be of length 2, got Array of length 1')],
    name,
  }, { boundaries: [1], values: [1, 2] }],
  PolynomialDecay: [{
    initialLearningRate, decaySteps: positive('decaySteps'), endLearningRate: finite('endLearningRate'), power: finite('power'),
    cycle: flag('cycle'), name,
  }, { initialLearningRate: 1, decaySteps: 1 }],
  InverseTimeDecay: [{
    initialLearningRate, decaySteps: positive('decaySteps'), decayRate: finite('decayRate'), staircase: flag('staircase'), name,
  }, { initialLearningRate: 1, decaySteps: 1, decayRate: 0.5 }],
  CosineDecay: [{
    initialLearningRate, decaySteps: positive('decaySteps'), alpha: finite('alpha'), name,
    warmupTarget: finite('warmupTarget', { also: ['null'] }),
    warmupSteps: finite('warmupSteps'),
  }, { initialLearningRate: 1, decaySteps: 1 }],
  CosineDecayRestarts: [{
    initialLearningRate, firstDecaySteps: positive('firstDecaySteps'), tMul: finite('tMul'), mMul: finite('mMul'), alpha: finite('alpha'),
    name,
  }, { initialLearningRate: 1, firstDecaySteps: 1 }],
};

/** @type {(argument: import('./table.js').Argument) => import('./table.js').Argument} */
const inArray = (argument) => Object.assign(
  argument.map(({ value, ...rest }) => ({ ...rest, value: (/** @type {Any} */ w) => [value(w)] })),
  { options: argument.options, probe: (/** @type {Any} */ w) => [argument.probe?.(w)] },
);
const schedule = (/** @type {string} */ path) => finite(path,
  { expectation: 'a finite number, schedule or callback', also: ['callback'], required: true });
const steps = (/** @type {string} */ path) => integer(path, 0, undefined, {});

/** @type {Rows} */
const scheduleRows = {
  ...Object.fromEntries(Object.entries(kerasSchedules).flatMap(([className, [table, base]]) => {
    const Class = /** @type {Any} */ (schedules)[className];
    return [
      [className, { args: [options(className, table, { base: () => base, required: true })], call: (_, given) => new Class(given),
        good: () => [base] }],
      [`${className}#at`, { args: [finite('step', { required: true })], call: (_, step) => new Class(base).at(step), good: () => [1],
        reads: true }],
      [`${className}#getConfig`, { args: [], call: () => new Class(base).getConfig(), reads: true }],
    ];
  })),
  'LearningRateSchedule': { args: [], call: () => new schedules.LearningRateSchedule() },
  'LearningRateSchedule.fromConfig': {
    args: [[...object('config', { required: true })]],
    call: (_, given) => schedules.LearningRateSchedule.fromConfig(given), good: () => [{}],
  },
  'LearningRateSchedule#at': {
    args: [], call: () => new schedules.LearningRateSchedule().at(0), fails: true,
    more: () => [['the base class', () => new schedules.LearningRateSchedule().at(0), Error,
      'LearningRateSchedule must override at(step)']],
  },
  'LearningRateSchedule#getConfig': {
    args: [], call: () => new schedules.LearningRateSchedule().getConfig(), fails: true,
    more: () => [['the base class', () => new schedules.LearningRateSchedule().getConfig(), Error,
      'LearningRateSchedule must override getConfig()']],
  },
  'serialize': { args: [kind('schedule', 'a LearningRateSchedule', [], { required: true })], call: (_, given) => schedules.serialize(given),
    good: () => [new schedules.CosineDecay({ initialLearningRate: 1, decaySteps: 1 })], reads: true },
  'deserialize': {
    args: [[
      ...object('config', { required: true }).filter(({ what }) => !/: (object|bare|array)/.test(what)),
      ...text('class_name', { required: true }).map(({ value, ...rest }) => ({ ...rest,
        value: () => ({ class_name: value(undefined), config: {} }) })),
      bad('an unknown class', { class_name: 'Foo', config: {} }, RangeError, /^class_name must be one of ExponentialDecay, .*, got "Foo"$/),
      bad('no config', { class_name: 'CosineDecay' }, TypeError, 'config must be of type object, got undefined'),
      bad('a bad config', { class_name: 'CosineDecay', config: { initial_learning_rate: NaN, decay_steps: 1 } }, RangeError,
        'initialLearningRate must be a finite number, got NaN'),
    ], options('deserialize', { customObjects: [
      ...object('customObjects'),
      bad('no class', { CosineDecay: 7 }, TypeError, 'customObjects.CosineDecay must be a LearningRateSchedule class, got 7'),
      bad('another class', { CosineDecay: class Foo {} }, TypeError,
        'customObjects.CosineDecay must be a LearningRateSchedule class, got function Foo'),
    ] })],
    call: (_, ...given) => /** @type {Any} */ (schedules.deserialize)(...given),
    good: () => [{ class_name: 'CosineDecay', config: { initial_learning_rate: 1, decay_steps: 1 } }],
  },
  'linear': {
    args: [options('linear', { from: finite('from'), to: finite('to'), steps: steps('steps') },
      { base: () => ({ from: 0, to: 1, steps: 1 }), required: true })],
    call: (_, given) => schedules.linear(given), good: () => [{ from: 0, to: 1, steps: 1 }],
  },
  'warmup': {
    args: [options('warmup', { steps: steps('steps'), schedule: schedule('schedule') },
      { base: () => ({ steps: 1, schedule: 1 }), required: true })],
    call: (_, given) => schedules.warmup(given), good: () => [{ steps: 1, schedule: 1 }],
  },
  'chain': {
    args: [plus(
      inArray(options('pieces[0]', { steps: steps('pieces[0].steps'), schedule: schedule('pieces[0].schedule') },
        { base: () => ({ schedule: 1 }), required: true })),
      ...list('pieces', { required: true }).filter(({ what }) => !/array/.test(what)),
      bad('no piece', [], RangeError, 'pieces must be of length >= 1, got Array of length 0'),
      bad('no steps in between', [{ schedule: 1 }, { schedule: 1 }], TypeError,
        'pieces[0].steps must be an integer in [0, 9007199254740991], got undefined'),
    )],
    call: (_, given) => schedules.chain(given), good: () => [[{ schedule: 1 }]],
  },
};

const surface = surfaceOf(entry);
const within = (/** @type {RegExp} */ pattern) => surface.filter((path) => pattern.test(path));

testTable('RMSprop', within(/^RMSprop\b/), optimizer, trained);
testTable('LossScaleOptimizer', within(/^LossScaleOptimizer\b/), scaled, () => {
  const world = trained();
  world.it = new LossScaleOptimizer(world.it);
  return world;
});
testTable('schedules', within(/^schedules\./).map((path) => path.replace('schedules.', '')), scheduleRows, small);
testTable('tensors and memory', within(/^(?!RMSprop|LossScale|schedules)/), tensors, small);

test('the table notices an export, a method and an option without a row', async () => {
  class Extra extends RMSprop {
    more() {}
  }
  assert.deepEqual(surfaceOf({ RMSprop, Extra, extra: () => {} }).filter((path) => !surface.includes(path)),
    ['Extra', 'Extra#more', 'extra']);
});

// ---- Calls at the wrong time ----

/**
 * The moments at which an optimizer cannot be used, and how to be there.
 *
 * @type {Record<string, { given?: object, enter: (world: Any, act: () => unknown) => unknown }>}
 */
const moments = {
  'a callback runs': { enter: (world, act) => {
    world.rate = act;
    return world.it.step();
  } },
  'a constraint runs': { enter: (world, act) => {
    world.a.constraint = act;
    return world.it.step();
  } },
  'aggregateGradients runs': {
    given: { aggregateGradients: (/** @type {Any} */ flat) => act_(flat) },
    enter: (world, act) => {
      act_ = act;
      return world.it.step();
    },
  },
  'aggregateGradients has not settled': {
    given: { aggregateGradients: (/** @type {Any} */ flat) => act_(flat) },
    enter: async (world, act) => {
      let settle = () => {};
      act_ = () => new Promise((resolve) => { settle = () => resolve(undefined); });
      const step = world.it.stepAsync();
      try {
        return await act();
      } finally {
        settle();
        await step;
      }
    },
  },
  'withAverages runs': { enter: (world, act) => world.it.withAverages(act) },
  'it is disposed': { enter: (world, act) => {
    world.it.dispose();
    world.isDisposed = true;
    return act();
  } },
};
/** What the hook does now. @type {(flat: Float32Array) => Any} */
let act_ = () => {};

/** @param {Any} made */
const isScaled = (made) => made instanceof LossScaleOptimizer;

for (const [title, rows, wrap] of /** @type {[string, Rows, (it: Any) => Any][]} */ ([
  ['RMSprop', optimizer, (it) => it], ['LossScaleOptimizer', scaled, (it) => new LossScaleOptimizer(it)],
])) {
  for (const [moment, { given, enter }] of Object.entries(moments)) {
    if (title === 'LossScaleOptimizer' && (given || moment === 'withAverages runs')) continue; // it has none of these
    test(`${title}: while ${moment}, every call that changes anything is refused, and leaves no trace`, async () => {
      for (const [path, { call, good = () => [], reads }] of Object.entries(rows)) {
        if (!path.includes('#') || reads || (path.endsWith('#dispose') && moment === 'it is disposed')) continue;
        act_ = () => {};
        const world = trained(given);
        world.it = wrap(world.it);
        const arguments_ = good(world);
        /** @type {Any} */
        let error;
        let [before, after] = ['', ''];
        const act = async () => {
          before = world.fingerprint();
          try {
            await call(world, ...arguments_);
          } catch (thrown) {
            error = thrown;
          }
          after = world.fingerprint();
          return 0.1;
        };
        // Callbacks, constraints and hooks cannot wait: what they call fails at once, or gives a promise that does.
        let pending;
        await enter(world, moment === 'aggregateGradients has not settled' || moment === 'it is disposed' ? act : () => {
          pending = act();
          return 0.1;
        });
        await pending;
        const refusal = new RegExp(`^[\\w]+ of optimizer "it" cannot be used: ${moment}$`);
        assert.ok(error instanceof Error && refusal.test(error.message), `${path}: ${error}`);
        if (!/Async/.test(path)) assert.equal(after, before, `${path} left a trace`);
        if (moment !== 'it is disposed') world.dispose();
      }
    });
  }
}

test('what only reads can be asked at any of these times', async () => {
  for (const [moment, { given, enter }] of Object.entries(moments)) {
    if (moment === 'it is disposed') continue;
    act_ = () => {};
    const world = trained(given);
    /** @type {unknown[]} */
    let seen = [];
    await enter(world, () => {
      const { it, a } = world;
      seen = [it.name, it.iterations, it.variables.length, it.slotNames.length, it.getSlot(a, 'velocity').size, it.getWeights().length,
        it.exportParameters().length, it.getConfig().momentum, it.scaleLoss(2)];
      return 0.1;
    });
    assert.deepEqual(seen.slice(3), [4, 3, 9, 5, 0.9, 2], moment);
    world.dispose();
  }
});

test('a disposed optimizer says so, whatever is read', () => {
  for (const wrap of [(/** @type {Any} */ it) => it, (/** @type {Any} */ it) => new LossScaleOptimizer(it)]) {
    const world = trained();
    world.it = wrap(world.it);
    world.it.dispose();
    for (const read of isScaled(world.it) ? ['dynamicScale', 'stepCounter', 'iterations'] : ['iterations']) {
      assert.throws(() => world.it[read],
        { name: 'Error', message: new RegExp(`^${read} of optimizer "\\w+" cannot be used: it is disposed$`) });
    }
    for (const read of ['getWeights', 'save']) {assert.throws(() => world.it[read](), /of optimizer "\w+" cannot be used: it is disposed$/,
      read);}
  }
});
