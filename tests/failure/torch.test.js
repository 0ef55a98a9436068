/** What the optimizer, clips and schedulers of PyTorch refuse. */
import { Variable, indexedSlices, tensor, variable } from 'rmsprop-wasm';
import * as torch from 'rmsprop-wasm/torch';
import { common, gradientsOfA, stateFiles, things, unsaved } from './inputs.js';
import { Mine, anything, bad, bitsOf, callback, finite, flag, integer, kind, list, mine, options, outside, surfaceOf,
  testTable } from './table.js';

/** @typedef {any} Any */
/** @typedef {import('./table.js').ErrorType} ErrorType */
/** @typedef {import('./table.js').Rows} Rows */
/** @typedef {import('./table.js').Argument} Argument */

const { RMSprop, clipGradNorm, clipGradValue, lrScheduler, swaUtils } = torch;

/** Numbers of the constructor, in PyTorch's words. */
const labels = /** @type {Record<string, string>} */ ({
  lr: 'learning rate', alpha: 'alpha value', eps: 'epsilon value', weightDecay: 'weight_decay value', momentum: 'momentum value',
});
const notNegative = (/** @type {string} */ name) => [
  ...kind(name, 'a finite number >= 0', ['number']),
  ...[NaN, Infinity, -1].map((value) => bad(`${name}: ${value}`, value, RangeError,
    `Invalid ${labels[name]}: ${value}; ${name} must be a finite number >= 0`)),
];
const lrTensors = [
  bad('a rate of several', (w) => w.long, RangeError, 'Tensor lr must be 1-element, got 4 elements'),
  bad('a disposed rate', (w) => w.goneRate, Error, 'tensor of shape [] is disposed'),
];
const constructed = {
  lr: [...notNegative('lr'), ...lrTensors],
  alpha: notNegative('alpha'),
  eps: notNegative('eps'),
  weightDecay: notNegative('weightDecay'),
  momentum: notNegative('momentum'),
  centered: flag('centered'),
  maximize: flag('maximize'),
  capturable: flag('capturable'),
  foreach: flag('foreach', { also: ['null'] }),
  differentiable: flag('differentiable'),
};
const limits = ['initialLr', 'maxLr', 'minLr', 'maxMomentum', 'baseMomentum', 'swaLr'];
/** Of a group, where PyTorch asks for no range. */
const grouped = {
  ...Object.fromEntries(['lr', 'alpha', 'eps', 'weightDecay', 'momentum', ...limits].map((name) => [name, finite(name)])),
  ...Object.fromEntries(['centered', 'maximize', 'capturable', 'differentiable'].map((name) => [name, flag(name)])),
  foreach: flag('foreach', { also: ['null'] }),
};
/** A group has keys of the user's own too: any that is not a misspelled option is accepted. */
const groupOptions = (/** @type {Parameters<typeof options>} */ ...given) =>
  options(...given).filter(({ what }) => !/unknown option$/.test(what));

const notIterable = (/** @type {string} */ _, /** @type {string} */ __, /** @type {string} */ shown) =>
  `params argument given to the optimizer should be an iterable of variables or groups, but got ${shown}`;
const onlyVariables = (/** @type {string} */ shown) => `optimizer can only optimize variables, but one of the params is ${shown}`;
const params = [
  ...kind('params', '', ['array', 'text'], { required: true, say: notIterable }),
  bad('text', 'x', TypeError, onlyVariables('"x"')),
  bad('no variable', [7], TypeError, onlyVariables('7')),
  bad('a tensor', (w) => [w.long], TypeError, onlyVariables('Tensor')),
  bad('int32', (w) => [w.whole], TypeError, 'variable "whole" must be float32 or float64, got "int32"'),
  bad('a disposed variable', (w) => [w.gone], Error, 'variable "gone" is disposed'),
];

const closures = [
  ...callback('closure'),
  bad('a loss that is no number', () => () => 'x', TypeError,
    'the result of lossAndGradients must be { loss, gradients } or a number, got "x"'),
  bad('a promise', () => async () => 1, TypeError, 'the result of lossAndGradients must be { loss, gradients } or a number, got Promise'),
  bad('too few', () => () => ({ loss: 1, gradients: [[1, 1, 1]] }), RangeError,
    'gradients must be as many as parameters, 2, got Array of length 1'),
  bad('one that throws', () => () => { throw mine; }, Mine, 'mine'),
  ...gradientsOfA('gradient of variable "a"').filter(({ what }) => !/slices|an index/.test(what)).map(({ what, value, type, message }) => ({
    what, type, message, value: (/** @type {Any} */ w) => () => ({ loss: 1, gradients: [value(w), [[1, 1]]] }),
  })),
  bad('slices', () => () => ({ loss: 1, gradients: [indexedSlices([1], [0]), null] }), Error, 'RMSprop does not support sparse gradients'),
];

/** What a step notices of what was written into a group: each value, and then what was there before. */
function written(/** @type {Any} */ world) {
  const [group] = world.it.paramGroups;
  const table = { ...grouped, lr: [...finite('lr', { required: true }), ...lrTensors] };
  return Object.entries(table).flatMap(([name,
    bads]) => bads.map(({ what, value, type, message }) => /** @type {Any} */ ([`${what} in a group`, () => {
    const had = Object.hasOwn(group, name);
    const before = group[name];
    group[name] = value(world);
    try {
      return world.it.step();
    } finally {
      if (had) group[name] = before;
      else delete group[name];
    }
  }, type, message])));
}

/** @param {Any} w @param {(saved: Any) => void} change */
const savedBut = (w, change) => {
  const saved = w.it.stateDict();
  change(saved);
  return saved;
};
/** @type {(what: string, change: (saved: Any) => void, type: ErrorType, message: string | RegExp) => import('./table.js').Bad} */
const badState = (what, change, type, message) => bad(what, (w) => savedBut(w, change), type, message);

/** @type {Rows} */
const rows = {
  'RMSprop': {
    args: [[...params, bad('none', [], RangeError, 'optimizer got an empty parameter list'),
      bad('a variable in two groups', (w) => [{ params: [w.a] }, { params: [w.a] }], RangeError,
        'some parameters appear in more than one parameter group'),
      bad('a group without params', [{}], TypeError, notIterable('', '', 'undefined')),
      bad('a group and a variable', (w) => [{ params: [w.a] }, w.b], TypeError,
        'param_group must be an object with params, but got Variable'),
      bad('an iterable that throws', () => ({ [Symbol.iterator]() { throw mine; } }), Mine, 'mine'),
    ], options('RMSprop', { ...constructed, pool: kind('pool', 'a ThreadPool', []) })],
    call: (_, ...given) => new (/** @type {Any} */ (RMSprop))(...given).dispose(), good: (w) => [w.variables],
  },
  'RMSprop#addParamGroup': {
    args: [[
      ...groupOptions('group', {
        params, ...grouped, lr: [...finite('lr'), ...lrTensors],
        paramNames: [...list('paramNames').filter(({ what }) => !/array/.test(what)),
          bad('too many names', ['a', 'b'], RangeError, 'paramNames must be as many as params, 1, got Array of length 2'),
          bad('a name that is none', [1], TypeError, 'paramNames[0] must be of type string, got 1')],
      }, {
        base: (w) => ({ params: [w.stranger] }),
        own: kind('group', '', ['object', 'bare', 'array'], {
          required: true, say: (_, __, shown) => `param_group must be an object with params, but got ${shown}`,
        }),
      }),
      bad('a parameter of another group', (w) => ({ params: [w.a] }), RangeError,
        'some parameters appear in more than one parameter group'),
      bad('a tensor', (w) => w.long, TypeError, 'param_group must be an object with params, but got Tensor'),
      bad('a name for one of two', (w) => ({ params: [['x', w.stranger], w.late] }), RangeError,
        'all optimizer params should be with/without names. Some param names are missing'),
      bad('Python\'s spelling', (w) => ({ params: [w.stranger], weight_decay: 1 }), TypeError,
        'group has no option "weight_decay"; did you mean "weightDecay"?'),
    ]],
    call: ({ it }, given) => it.addParamGroup(given), good: (w) => [{ params: [w.stranger] }],
  },
  'RMSprop#step': {
    args: [closures], call: ({ it }, ...given) => it.step(...given), good: () => [],
    more: (w) => [
      ...written(w),
      ['a momentum that comes late', () => {
        const late = new RMSprop([w.late]);
        w.late.gradient = [1];
        late.step();
        late.paramGroups[0].momentum = 0.9;
        try {
          late.step();
        } finally {
          late.dispose();
          w.late.gradient = null;
          w.late.freeGradientBuffer();
        }
      }, RangeError, 'state of variable "late" has no momentum_buffer'],
    ],
  },
  'RMSprop#zeroGrad': {
    args: [options('zeroGrad', { setToNone: flag('setToNone', { also: ['null'] }) })], call: ({ it }, ...given) => it.zeroGrad(...given),
    more: (w) => [['a disposed gradient', () => {
      const before = w.b.gradient;
      const short = tensor([[1, 1]], { memory: w.memory });
      w.b.gradient = short;
      short.dispose();
      try {
        w.it.zeroGrad({ setToNone: false });
      } finally {
        w.b.gradient = before;
      }
    }, Error, 'tensor of shape [1,2] is disposed']],
  },
  'save': { args: [[...unsaved, bad('a disposed tensor', (w) => ({ x: w.goneTensor }), Error, 'tensor of shape [3] is disposed')]],
    call: (_, given) => torch.save(given), good: (w) => [w.it.stateDict()], reads: true },
  'load': { args: [[...kind('bytes', 'a Uint8Array or an ArrayBuffer', [], { required: true }), ...stateFiles('torch')]],
    call: (_, given) => torch.load(given), good: (w) => [torch.save(w.it.stateDict())], reads: true },
  'RMSprop#toJSON': { args: [], call: ({ it }) => it.toJSON(), reads: true },
  'RMSprop#stateDict': {
    args: [], call: ({ it }) => it.stateDict(), reads: true,
    more: (w) => /** @type {[string, Any, ErrorType, string][]} */ ([
      ['weight_decay', 1, TypeError, 'group has no option "weight_decay"; did you mean "weightDecay"?'],
      ['own', () => 1, TypeError, 'paramGroups[0].own must be numbers, text, arrays or plain objects, got function '],
      ['own', new Map(), TypeError, 'paramGroups[0].own must be numbers, text, arrays or plain objects, got Map'],
    ]).map(([key, value, type, message]) => [`${key} in a group`, () => {
      w.it.paramGroups[0][key] = value;
      try {
        w.it.stateDict();
      } finally {
        delete w.it.paramGroups[0][key];
      }
    }, type, message]),
  },
  'RMSprop#loadStateDict': {
    args: [[
      ...kind('stateDict', 'of type object', ['object', 'bare', 'array'], { required: true }),
      bad('nothing in it', {}, TypeError, 'param_groups must be an array, got undefined'),
      badState('no state', (saved) => delete saved.state, TypeError, 'state must be of type object, got undefined'),
      badState('fewer groups', (saved) => saved.param_groups.pop(), RangeError,
        'loaded state dict has a different number of parameter groups: 0, the optimizer has 1'),
      badState('fewer parameters', (saved) => saved.param_groups[0].params.pop(), RangeError,
        /^loaded state dict contains a parameter group that doesn't match the size of optimizer's group: group 0 has 1 parameters, not 2$/),
      badState('a group that is none', (saved) => { saved.param_groups[0] = 7; }, TypeError,
        'param_groups[0] must be of type object, got 7'),
      badState('a group without params', (saved) => delete saved.param_groups[0].params, TypeError,
        'param_groups[0].params must be an array, got undefined'),
      badState('a misspelled entry', (saved) => { saved.param_groups[0].weightDecay = 1; }, TypeError,
        'param_groups[0] has no option "weightDecay"; did you mean "weight_decay"?'),
      badState('a function', (saved) => { saved.param_groups[0].own = class {}; }, TypeError,
        'param_groups[0].own must be numbers, text, arrays or plain objects, got function '),
      badState('a rate of NaN', (saved) => { saved.param_groups[0].lr = NaN; }, RangeError,
        'param_groups[0].lr must be a finite number, got NaN'),
      badState('a momentum that is text', (saved) => { saved.param_groups[0].momentum = '1'; }, TypeError,
        'momentum must be a finite number, got "1"'),
      badState('a state that is none', (saved) => { saved.state[0] = 7; }, TypeError, 'state[0] must be of type object, got 7'),
      badState('no step', (saved) => delete saved.state[0].step, TypeError, 'state[0].step must be a finite number, got undefined'),
      badState('half a step', (saved) => { saved.state[0].step = 0.5; }, RangeError,
        'state[0].step must be an integer in [0, 9007199254740991], got 0.5'),
      badState('a negative step', (saved) => { saved.state[0].step = -1; }, RangeError,
        'state[0].step must be an integer in [0, 9007199254740991], got -1'),
      badState('no mean square', (saved) => delete saved.state[0].square_avg, TypeError,
        'state[0].square_avg must be 3 numbers, flat or in shape [3], got undefined'),
      badState('a short buffer', (saved) => { saved.state[1].momentum_buffer = [1]; }, RangeError,
        'state[1].momentum_buffer must be 2 numbers, flat or in shape [1,2], got Array of length 1'),
    ]],
    call: ({ it }, given) => it.loadStateDict(given), good: ({ it }) => [it.stateDict()],
  },
  'RMSprop#dispose': { args: [], call: ({ it }) => it.dispose() },
  'clipGradNorm': {
    args: [[
      ...kind('params', 'a variable or an iterable of them', ['array', 'text'], { required: true }),
      bad('no variable', [7], TypeError, 'params must be variables, got 7'),
      bad('slices', (w) => [w.sparse], Error, 'clipGradNorm does not support sparse gradients, variable "sparse" has one'),
      bad('a disposed gradient', (w) => [w.a, w.orphan], Error, 'tensor of shape [1] is disposed'),
    ], finite('maxNorm', { required: true }), options('clipGradNorm', {
      normType: [...kind('normType', 'a number', ['number']), bad('NaN', NaN, RangeError, 'normType must be a number, got NaN')],
      errorIfNonfinite: flag('errorIfNonfinite'),
    })],
    call: (_, ...given) => /** @type {Any} */ (clipGradNorm)(...given), good: (w) => [w.variables, 1],
    more: (w) => [['a norm that is not finite', () => clipGradNorm([w.a, w.infinite], 1, { errorIfNonfinite: true }), Error,
      /^The total norm of order 2 for gradients from `params` is non-finite, so it cannot be clipped\./]],
  },
  'clipGradValue': {
    args: [[
      ...kind('params', 'a variable or an iterable of them', ['array', 'text'], { required: true }),
      bad('no variable', [7], TypeError, 'params must be variables, got 7'),
      bad('slices', (w) => [w.sparse], Error, 'clipGradValue does not support sparse gradients, variable "sparse" has one'),
      bad('a disposed gradient', (w) => [w.a, w.orphan], Error, 'tensor of shape [1] is disposed'),
    ], finite('value', { required: true })],
    call: (_, ...given) => /** @type {Any} */ (clipGradValue)(...given), good: (w) => [w.variables, 1],
  },
};

// ---- Schedulers ----

const lastEpoch = integer('lastEpoch', -1);
/**
 * What PyTorch refuses in words of its own.
 *
 * @type {(say: (shown: string) => string, accepted: readonly string[], values: readonly (number | string)[], type?: ErrorType,
 *   also?: readonly string[]) => Argument}
 */
const worded = (say, accepted, values, type = RangeError, also = []) => [
  ...kind('', '', accepted, { type, also, say: (_, __, shown) => say(shown) }),
  ...values.map((value) => bad(`${value}`, value, RangeError, say(typeof value === 'string' ? JSON.stringify(value) : `${value}`))),
];
const bounded = (/** @type {string} */ name, /** @type {string} */ text, /** @type {number[]} */ values) => [
  ...finite(name), ...values.map((value) => bad(`${name}: ${value}`, value, RangeError, `${text}, got ${value}`)),
];
const each = (/** @type {string} */ name) => [
  ...finite(name, { expectation: 'a finite number, or one for each group',
    also: ['array'] }).filter(({ what }) => !/: -?(NaN|Infinity)$/.test(what)),
  bad('NaN', NaN, RangeError, `${name} must be a finite number, or one for each group, got NaN`),
  bad('too many', [1, 1], RangeError,
    `${name} must have the same length as optimizer.paramGroups. ${name} has 2 values, paramGroups has 1.`),
  bad('NaN in a list', [NaN], RangeError, `${name}[0] must be a finite number, got NaN`),
  bad('text in a list', ['1'], TypeError, `${name}[0] must be a finite number, got "1"`),
];
const needed = (/** @type {Argument} */ argument, /** @type {string} */ message, type = TypeError) => [...argument,
  bad('undefined', undefined, type, message)];
const positive = (/** @type {string} */ name) =>
  worded((shown) => `Expected positive integer ${name}, but got ${shown}`, ['number'], [0, -1, 0.5, NaN, Infinity], RangeError,
    ['null', 'undefined']);
const divisor = (/** @type {string} */ name) => finite(name, { out: [[0, 'a finite number other than 0']] });
const lambdas = [
  ...kind('lrLambda', 'a function, or one for each group', ['callback', 'array'], { required: true }),
  bad('too many functions', () => [() => 1, () => 1], RangeError, 'Expected 1 lrLambdas, but got 2'),
  bad('a function that is none', [1], TypeError, 'lrLambda[0] must be of type function, got 1'),
  bad('a result of NaN', () => () => NaN, RangeError, 'the result of lrLambda(0) must be a finite number, got NaN'),
  bad('one that throws', () => () => { throw mine; }, Mine, 'mine'),
];
const total = 'You must define either totalSteps OR (epochs AND stepsPerEpoch)';

/** The options of each, and those that must be given. @type {Record<string, [Record<string, Argument>, object]>} */
const schedulers = {
  StepLR: [{ stepSize: needed(integer('stepSize', 1), 'stepSize must be an integer in [1, 9007199254740991], got undefined'),
    gamma: finite('gamma'), lastEpoch }, { stepSize: 1 }],
  MultiStepLR: [{
    milestones: [...list('milestones', { required: true }).filter(({ what }) => !/array/.test(what)),
      ...integer('milestones', 0).map(({ value, ...rest }) => ({ ...rest, value: () => [1, value(undefined)] }))],
    gamma: finite('gamma'), lastEpoch,
  }, { milestones: [1] }],
  ConstantLR: [{
    factor: [...bounded('factor', 'Constant multiplicative factor expected to be between 0 and 1', [-0.5, 1.5]),
      outside('factor', 0, 'above 0')],
    totalIters: integer('totalIters', 0), lastEpoch,
  }, {}],
  LinearLR: [{
    startFactor: bounded('startFactor', 'Starting multiplicative factor expected to be greater than 0 and less or equal to 1', [0, 1.5]),
    endFactor: bounded('endFactor', 'Ending multiplicative factor expected to be between 0 and 1', [-0.5, 1.5]),
    totalIters: integer('totalIters', 0), lastEpoch,
  }, {}],
  ExponentialLR: [{ gamma: needed(finite('gamma'), 'gamma must be a finite number, got undefined'), lastEpoch }, { gamma: 0.5 }],
  PolynomialLR: [{
    totalIters: integer('totalIters', 0), power: finite('power', { out: [[-1, 'at least 0']] }), lastEpoch,
  }, {}],
  LambdaLR: [{ lrLambda: lambdas, lastEpoch }, { lrLambda: () => 1 }],
  MultiplicativeLR: [{ lrLambda: lambdas.filter(({ what }) => !/result|throws/.test(what)), lastEpoch }, { lrLambda: () => 1 }],
  CosineAnnealingLR: [{
    tMax: needed(integer('tMax', 1), 'tMax must be an integer in [1, 9007199254740991], got undefined'), etaMin: finite('etaMin'),
    lastEpoch,
  }, { tMax: 1 }],
  CosineAnnealingWarmRestarts: [{
    t0: worded((shown) => `Expected positive integer t0, but got ${shown}`, ['number'], [0, -1, 0.5, NaN]),
    tMult: worded((shown) => `Expected integer tMult >= 1, but got ${shown}`, ['number'], [0, -1, 0.5, NaN], RangeError, ['undefined']),
    etaMin: finite('etaMin'), lastEpoch,
  }, { t0: 1 }],
  OneCycleLR: [{
    maxLr: each('maxLr'),
    totalSteps: [...positive('totalSteps'), bad('nothing', undefined, RangeError, total), bad('null', null, RangeError, total)],
    epochs: anything, stepsPerEpoch: anything,
    pctStart: [...worded((shown) => `Expected float between 0 and 1 pctStart, but got ${shown}`, ['number'], [-0.5, 1.5, NaN], RangeError,
      ['undefined']),
    bad('an empty first phase', 0.1, RangeError, 'pctStart must leave no phase of 10 steps empty, phase 1 is with 0.1'),
    bad('an empty last phase', 1, RangeError, 'pctStart must leave no phase of 10 steps empty, phase 2 is with 1')],
    annealStrategy: worded((shown) => `annealStrategy must be one of 'cos' or 'linear', instead got ${shown}`, ['text'], ['x'], RangeError,
      ['undefined']),
    cycleMomentum: flag('cycleMomentum'),
    baseMomentum: each('baseMomentum'), maxMomentum: each('maxMomentum'),
    divFactor: divisor('divFactor'), finalDivFactor: divisor('finalDivFactor'),
    threePhase: flag('threePhase'), lastEpoch,
  }, { maxLr: 1, totalSteps: 10 }],
  CyclicLR: [{
    baseLr: each('baseLr'), maxLr: each('maxLr'),
    stepSizeUp: integer('stepSizeUp', 1), stepSizeDown: integer('stepSizeDown', 1, undefined, { also: ['null'] }),
    mode: worded((shown) => `mode is invalid and scaleFn is null: got ${shown}`, ['text'], ['x'], RangeError, ['undefined']),
    gamma: finite('gamma'),
    scaleFn: [...callback('scaleFn', { also: ['null'] }),
      bad('one that gives NaN', () => () => NaN, RangeError, 'the result of scaleFn must be a finite number, got NaN'),
      bad('one that throws', () => () => { throw mine; }, Mine, 'mine')],
    scaleMode: worded((shown) => `scaleMode must be 'cycle' or 'iterations', got ${shown}`, ['text'], ['x'], RangeError, ['undefined']),
    cycleMomentum: flag('cycleMomentum'),
    baseMomentum: each('baseMomentum'), maxMomentum: each('maxMomentum'), lastEpoch,
  }, { baseLr: 0.1, maxLr: 1 }],
  ReduceLROnPlateau: [{
    mode: worded((shown) => `mode ${shown} is unknown!`, ['text'], ['x'], RangeError, ['undefined']),
    factor: [...finite('factor'), bad('1', 1, RangeError, 'Factor should be < 1.0, got 1')],
    patience: integer('patience', 0), threshold: finite('threshold'),
    thresholdMode: worded((shown) => `threshold mode ${shown} is unknown!`, ['text'], ['x'], RangeError, ['undefined']),
    cooldown: integer('cooldown', 0), minLr: each('minLr'), eps: finite('eps'),
  }, {}],
};

/** The options of SWALR, and those that must be given. @type {[Record<string, Argument>, object]} */
const swaLr = [{
  swaLr: each('swaLr'), annealEpochs: integer('annealEpochs', 0),
  annealStrategy: worded((shown) => `annealStrategy must be one of 'cos' or 'linear', instead got ${shown}`, ['text'], ['x'], RangeError,
    ['undefined']),
  lastEpoch,
}, { swaLr: 0.1 }];

const notAnOptimizer = kind('optimizer', '', [], { required: true, say: (_, __, shown) => `${shown} is not an Optimizer` });
const stateDicts = [
  ...kind('stateDict', 'of type object', ['object', 'bare', 'array'], { required: true }),
  bad('half a step', { _step_count: 0.5 }, RangeError, '_step_count must be an integer in [0, 9007199254740991], got 0.5'),
  bad('a rate that is none', { _last_lr: ['1'] }, TypeError, '_last_lr[0] must be a finite number, got "1"'),
  bad('no rates', { _last_lr: 1 }, TypeError, '_last_lr must be an array, got 1'),
  bad('an epoch that is none', { last_epoch: '1' }, TypeError, 'last_epoch must be a number, got "1"'),
  bad('one that is wrong after one that is right', { step_size: 5, last_epoch: '1' }, TypeError, 'last_epoch must be a number, got "1"'),
];

/** @param {Any} w */
const sequence = (w) => ({ schedulers: [w.scheduler, w.throwing], milestones: [1] });
/** What composed schedulers refuse of others. @param {string} name */
const composed = (name) => [
  ...list('schedulers', { required: true }).filter(({ what }) => !/array/.test(what)),
  bad('none', [], RangeError, `${name} expects at least one scheduler, but got no scheduler`),
  bad('a scheduler that is none', (w) => [w.scheduler, 7], TypeError, `${name} expects schedulers, but got 7 at index 1`),
  bad('a plateau', (w) => [w.scheduler, w.plateau], RangeError,
    `${name} does not support ReduceLROnPlateau, whose step needs a metric, but got one at index 1`),
  bad('one of another optimizer', (w) => [w.scheduler, w.cycle], RangeError,
    `${name} expects all schedulers to belong to the same optimizer, but that at index 1 has another`),
];

/** @type {Rows} */
const schedulerRows = {
  ...Object.fromEntries(Object.entries(schedulers).flatMap(([name, [table, base]]) => {
    const Class = /** @type {Any} */ (lrScheduler)[name];
    const isPlateau = name === 'ReduceLROnPlateau';
    const own = [...kind(`${name} options`, 'of type object', ['object', 'bare', 'array'], { required: Object.keys(base).length > 0 })];
    return /** @type {[string, import('./table.js').Row][]} */ ([
      [name, {
        args: [notAnOptimizer, options(name, table, { base: () => base, own })],
        call: (_, optimizer, given) => new Class(optimizer, given), good: (w) => [w.it, base],
      }],
      ...(isPlateau ? [[`${name}#stateDict`, { args: [], call: (/** @type {Any} */ w) => new Class(w.other).stateDict(), reads: true }]] : [
        [`${name}#getLr`, { args: [], call: (/** @type {Any} */ w) => new Class(w.other, base).getLr(), reads: true }],
      ]),
    ]);
  })),
  ...Object.fromEntries(['OneCycleLR', 'CyclicLR'].map((name) => [`${name}#stateDict`, {
    args: [], reads: true,
    call: (/** @type {Any} */ w) => new (/** @type {Any} */ (lrScheduler)[name])(w.other, schedulers[name][1]).stateDict(),
  }])),
  'SequentialLR': {
    args: [notAnOptimizer.filter(({ what }) => !/undefined/.test(what)), options('SequentialLR', {
      schedulers: composed('SequentialLR'),
      milestones: [...list('milestones', { required: true }).filter(({ what }) => !/array/.test(what)),
        bad('too many', [1, 2], RangeError, 'Sequential Schedulers expects number of schedulers provided to be one more than the number '
          + 'of milestone points, but got number of schedulers 2 and the number of milestones to be equal to 2'),
        ...integer('milestones[0]', 0).map(({ value, ...rest }) => ({ ...rest, value: (/** @type {Any} */ w) => [value(w)] }))],
      lastEpoch,
    }, { base: sequence, own: kind('SequentialLR options', 'of type object', ['object', 'bare', 'array'], { required: true }) })],
    call: (_, optimizer, given) => new lrScheduler.SequentialLR(optimizer, given), good: (w) => [w.scheduler.optimizer, sequence(w)],
  },
  'SequentialLR#step': { args: [], call: (w) => w.sequence.step(), more: (w) => [
    ['a scheduler that is over', () => w.sequence.step(), RangeError, 'Tried to step 3 times. The specified number of total steps is 2'],
  ], fails: true },
  'ChainedScheduler': {
    args: [composed('ChainedScheduler'), options('ChainedScheduler', {
      optimizer: [...kind('optimizer', '', [], { also: ['null'], say: (_, __, shown) => `${shown} is not an Optimizer` }),
        bad('another', (w) => w.it, RangeError,
          'ChainedScheduler expects all schedulers to belong to the same optimizer, but that at index 0 has another')],
    })],
    call: (_, given, more) => new lrScheduler.ChainedScheduler(given, more), good: (w) => [[w.scheduler]],
  },
  ...Object.fromEntries(['SequentialLR', 'ChainedScheduler'].flatMap((name) => {
    const make = (/** @type {Any} */ w) => (name === 'SequentialLR' ? w.sequence : w.chain);
    return /** @type {[string, import('./table.js').Row][]} */ ([
      [`${name}#stateDict`, { args: [], call: (w) => make(w).stateDict(), reads: true }],
      [`${name}#loadStateDict`, {
        args: [[
          ...kind('stateDict', 'of type object', ['object', 'bare', 'array'], { required: true }),
          bad('no schedulers', {}, TypeError, '_schedulers must be an array, got undefined'),
          bad('too few', { _schedulers: [] }, RangeError,
            `_schedulers must be the state dicts of ${name === 'SequentialLR' ? 2 : 1} schedulers, got Array of length 0`),
          bad('one that is none', (w) => ({ _schedulers: make(w).schedulers.map(() => 7) }), TypeError,
            'stateDict must be of type object, got 7'),
          bad('one that is wrong after one that is right', (w) => ({
            _schedulers: make(w).schedulers.map(() => ({ last_epoch: 5 })), _last_lr: 1,
          }), TypeError, '_last_lr must be an array, got 1'),
        ]],
        call: (w, given) => make(w).loadStateDict(given), good: (w) => [make(w).stateDict()],
      }],
      [`${name}#attempt`, {
        args: [[...callback('change', { required: true }), bad('one that throws when parts have stepped', (w) => () => {
          make(w).schedulers[0].step();
          throw mine;
        }, Mine, 'mine')]],
        call: (w, given) => make(w).attempt(given), good: () => [() => {}],
      }],
    ]);
  })),
  'ChainedScheduler#step': { args: [], call: (w) => w.chain.step(), more: (w) => [
    ['a scheduler that throws', () => new lrScheduler.ChainedScheduler([w.scheduler, w.throwing]).step(), Mine, 'mine'],
  ] },
  'ReduceLROnPlateau#loadStateDict': { args: [kind('stateDict', 'of type object', ['object', 'bare', 'array'], { required: true })],
    call: (w, given) => w.plateau.loadStateDict(given), good: (w) => [w.plateau.stateDict()] },
  'ReduceLROnPlateau#step': {
    args: [kind('metrics', 'a number', ['number'], { required: true })], call: (w, given) => w.plateau.step(given), good: () => [1],
  },
  'CosineAnnealingWarmRestarts#step': {
    args: [[...finite('epoch'), bad('a negative epoch', -1, RangeError,
      'Expected non-negative epoch, but got -1')].filter(({ what }) => !/: null/.test(what))],
    call: (w, ...given) => w.restarts.step(...given),
  },
  'LRScheduler': { args: [notAnOptimizer], call: (_, given) => new lrScheduler.LRScheduler(given), good: (w) => [w.it] },
  'LRScheduler#getLastLr': { args: [], call: (w) => w.scheduler.getLastLr(), reads: true },
  'LRScheduler#getLr': {
    args: [], call: (w) => new lrScheduler.LRScheduler(w.it).getLr(), fails: true,
    more: (w) => [['the base class', () => new lrScheduler.LRScheduler(w.it).getLr(), Error, 'LRScheduler must override getLr']],
  },
  'LRScheduler#step': { args: [], call: (w) => w.scheduler.step(), more: (w) => [
    ['a cycle that is over', () => w.cycle.step(), RangeError, 'Tried to step 3 times. The specified number of total steps is 2'],
  ] },
  'LRScheduler#stateDict': { args: [], call: (w) => w.scheduler.stateDict(), reads: true },
  'LRScheduler#loadStateDict': { args: [stateDicts], call: (w, given) => w.scheduler.loadStateDict(given),
    good: (w) => [w.scheduler.stateDict()] },
  'LRScheduler#begin': {
    args: [integer('lastEpoch', -1), callback('prepare')], call: (w, ...given) => w.scheduler.begin(...given), good: () => [-1],
    more: (w) => [['a group without initialLr', () => new lrScheduler.StepLR(w.other, { stepSize: 1, lastEpoch: 3 }), RangeError,
      "param 'initialLr' is not specified in paramGroups[0] when resuming an optimizer"]],
  },
  'LRScheduler#attempt': {
    args: [[...callback('change', { required: true }), bad('one that throws when it has written', (w) => () => {
      Object.assign(w.scheduler, { lastEpoch: 7, more: 1 });
      Object.assign(w.scheduler.optimizer.paramGroups[0], { lr: 7, maxLr: 1 });
      throw mine;
    }, Mine, 'mine')]],
    call: (w, given) => w.scheduler.attempt(given), good: () => [() => {}],
  },
  'LRScheduler#moveTo': { args: [finite('epoch', { required: true }), flag('isStart')],
    call: (w, ...given) => w.scheduler.moveTo(...given), good: () => [5] },
  'LRScheduler#write': {
    args: [[...list('rates', { required: true }).filter(({ what }) => !/array/.test(what)),
      bad('NaN', [NaN], RangeError, 'rates[0] must be a finite number, got NaN'),
      bad('too many', [1, 1], RangeError, 'rates must be 1, one for each group, got Array of length 2')]],
    call: (w, given) => w.scheduler.write(given), good: () => [[0.1]],
  },
  'LRScheduler#currentLrs': { args: [], call: (w) => w.scheduler.currentLrs(), reads: true },
};

/** @type {Rows} */
const swaRows = {
  'SWALR': {
    args: [notAnOptimizer, options('SWALR', swaLr[0], {
      base: () => swaLr[1], own: kind('SWALR options', 'of type object', ['object', 'bare', 'array'], { required: true }),
    })],
    call: (_, optimizer, given) => new swaUtils.SWALR(optimizer, given), good: (w) => [w.it, swaLr[1]],
  },
  'AveragedModel': {
    args: [
      [...kind('params', '', ['array', 'text'], { required: true, say: notIterable }),
        bad('no variable', [7], TypeError, onlyVariables('7'))],
      options('AveragedModel', {
        multiAvgFn: callback('multiAvgFn', { also: ['null'] }), avgFn: callback('avgFn', { also: ['null'] }),
      }),
    ],
    call: (_, ...given) => new (/** @type {Any} */ (swaUtils.AveragedModel))(...given).dispose(), good: (w) => [w.variables],
    more: (w) => [['both functions', () => new swaUtils.AveragedModel(w.variables, { avgFn: () => [], multiAvgFn: () => {} }), TypeError,
      'Only one of avgFn and multiAvgFn should be provided']],
  },
  'AveragedModel#parameters': { args: [], call: (w) => w.average.parameters(), reads: true },
  'AveragedModel#updateParameters': {
    args: [[...kind('params', '', ['array', 'text'], { say: notIterable }),
      bad('too few', (w) => [w.a], RangeError, 'params must be 2 variables, got Array of length 1'),
      bad('another length', (w) => [w.b, w.a], RangeError, 'params[0] must be 3 of float32, got Variable')]],
    call: (w, ...given) => w.average.updateParameters(...given),
  },
  'AveragedModel#stateDict': { args: [], call: (w) => w.average.stateDict(), reads: true },
  'AveragedModel#loadStateDict': {
    args: [[...kind('stateDict', 'of type object', ['object', 'bare', 'array'], { required: true }),
      bad('no count', {}, TypeError, 'n_averaged must be an integer in [0, 9007199254740991], got undefined'),
      bad('half an update', { n_averaged: 0.5 }, RangeError, 'n_averaged must be an integer in [0, 9007199254740991], got 0.5'),
      bad('no average', { n_averaged: 1 }, TypeError, 'module.0 must be 3 numbers, flat or in shape [3], got undefined'),
      bad('one that is wrong after one that is right', { n_averaged: 1, 'module.0': [1, 2, 3], 'module.1': [1] }, RangeError,
        'module.1 must be 2 numbers, flat or in shape [1,2], got Array of length 1')]],
    call: (w, given) => w.average.loadStateDict(given), good: (w) => [w.average.stateDict()],
  },
  'AveragedModel#dispose': { args: [], call: (w) => w.average.dispose() },
  ...Object.fromEntries(['getEmaAvgFn', 'getEmaMultiAvgFn'].map((name) => [name, {
    args: [[...finite('decay'), ...[-0.5, 1.5].map((decay) => bad(`${decay}`, decay, RangeError,
      `Invalid decay value ${decay} provided. Please provide a value in [0,1] range`))]],
    call: (_, ...given) => /** @type {Any} */ (swaUtils)[name](...given),
  }])),
  'getSwaAvgFn': { args: [], call: () => swaUtils.getSwaAvgFn(), reads: true },
  'getSwaMultiAvgFn': { args: [], call: () => swaUtils.getSwaMultiAvgFn(), reads: true },
  'SWALR#getLr': { args: [], call: (w) => new swaUtils.SWALR(w.other, { swaLr: 1 }).getLr(), reads: true },
};

/** @param {string} _ @param {any} value @returns {unknown} what JSON can say, and tells everything apart */
function shown(_, value) {
  if (value instanceof Variable) return value.name;
  return value === undefined || typeof value === 'number' ? `${value}` : value;
}

/** A trained optimizer with every slot, one that nobody has touched, and schedulers on others. */
function trained() {
  const made = things();
  const { memory } = made;
  const numbered = (/** @type {string} */ name) => variable([1], { name, memory });
  const world = {
    ...made,
    it: /** @type {Any} */ (new RMSprop(made.variables, { momentum: 0.9, centered: true, weightDecay: 0.1 })),
    other: new RMSprop([made.stranger]),
    late: numbered('late'), sparse: numbered('sparse'), orphan: numbered('orphan'), infinite: numbered('infinite'),
    goneRate: tensor(1, { memory }),
    fingerprint: () => JSON.stringify([
      bitsOf(made.variables), bitsOf(made.variables.flatMap(({ gradient }) => /** @type {Any} */ (gradient ?? []))),
      world.it.paramGroups, world.other.paramGroups, world.average.nAveraged, bitsOf(world.average.parameters()),
      [.../** @type {Any} */ (world.it.state).values()].map(({ step, ...slots }) => [step, bitsOf(Object.values(slots))]),
      memory.bytesInUse, memory.tensorCount, ...common(),
      [world.scheduler, world.cycle, world.plateau, world.restarts, world.chain,
        world.sequence].map((each_) => [each_.stateDict(), each_.getLastLr(), each_.optimizer.paramGroups]),
    ], shown),
    dispose: () => world.it.dispose(),
    scheduler: /** @type {Any} */ (undefined), cycle: /** @type {Any} */ (undefined), plateau: /** @type {Any} */ (undefined),
    restarts: /** @type {Any} */ (undefined), chain: /** @type {Any} */ (undefined), sequence: /** @type {Any} */ (undefined),
    throwing: /** @type {Any} */ (undefined),
    average: new swaUtils.AveragedModel(made.variables),
  };
  const own = () => new RMSprop([numbered('own')], { lr: 0.5 });
  world.scheduler = new lrScheduler.StepLR(own(), { stepSize: 2 });
  world.cycle = new lrScheduler.OneCycleLR(own(), { maxLr: 1, totalSteps: 2 });
  world.cycle.step();
  world.cycle.step();
  world.plateau = new lrScheduler.ReduceLROnPlateau(own());
  world.restarts = new lrScheduler.CosineAnnealingWarmRestarts(own(), { t0: 2 });
  world.throwing = new lrScheduler.LambdaLR(world.scheduler.optimizer, { lrLambda: (epoch) => {
    if (epoch > 0) throw mine;
    return 1;
  } });
  world.chain = new lrScheduler.ChainedScheduler([new lrScheduler.ExponentialLR(own(), { gamma: 0.5 })]);
  const parts = own();
  world.sequence = new lrScheduler.SequentialLR(parts, { milestones: [1], schedulers: [
    new lrScheduler.ExponentialLR(parts, { gamma: 0.5 }), new lrScheduler.OneCycleLR(parts, { maxLr: 1, totalSteps: 2 }),
  ] });
  for (let i = 0; i < 3; i++) world.sequence.step();
  world.goneRate.dispose();
  for (let i = 0; i < 3; i++) {
    made.a.gradient = [1, -1, 2];
    made.b.gradient = [[3, 4]];
    world.it.step();
  }
  world.sparse.gradient = indexedSlices([1], [0]);
  world.infinite.gradient = [Infinity];
  const short = tensor([1], { memory });
  world.orphan.gradient = short;
  short.dispose();
  return world;
}

const surface = surfaceOf(torch);
testTable('torch', surface.filter((path) => !/^(lrScheduler|swaUtils)/.test(path)), rows, trained);
/** What SWALR has from LRScheduler has its rows there. */
const inherited = new Set(Object.keys(schedulerRows).map((path) => path.replace('LRScheduler', 'SWALR')));
testTable('torch.swaUtils', surface.flatMap((path) => {
  const own = path.replace('swaUtils.', '');
  return own === path || (own.startsWith('SWALR#') && own !== 'SWALR#getLr' && inherited.has(own)) ? [] : [own];
}), swaRows, trained);
testTable('torch.lrScheduler', surface.flatMap((path) => (/^lrScheduler/.test(path) ? path.replace('lrScheduler.', '') : [])),
  schedulerRows, trained);
