/** What optax's interface over jax-js refuses: no array is consumed by a call that throws. */
import * as jax from '@jax-js/jax';
import * as entry from 'rmsprop-wasm/jax';
import * as optax from 'rmsprop-wasm/optax';
import { common, stateFiles } from '../failure/inputs.js';
import { Mine, bad, finite, flag, kind, mine, options, surfaceOf, testTable } from '../failure/table.js';

/** @typedef {any} Any */
/** @typedef {import('../failure/table.js').ErrorType} ErrorType */
/** @typedef {import('../failure/table.js').Rows} Rows */

const { numpy: np } = jax;

await jax.init('wasm', 'cpu');
jax.defaultDevice('wasm');

const leaf = 'a jax-js array';
const tree = `${leaf}, null, or an array or plain object of them`;
const module = 'the module @jax-js/jax, or { numpy } of it';

const modules = [
  ...kind('jax', module, [], { required: true }),
  bad('half a module', { numpy: { array() {} } }, TypeError, `jax must be ${module}, got Object`),
  bad('a jit that is none', { numpy: np, jit: 7 }, TypeError, 'jax.jit must be a function, got 7'),
];
const params = [
  ...kind('params', tree, ['null', 'object', 'bare', 'array'], { required: true }),
  bad('a typed array', new Float32Array(2), TypeError, `params must be ${tree}, got Float32Array of length 2`),
  bad('a number in it', { x: [1] }, TypeError, `params.x[0] must be ${tree}, got 1`),
  bad('integers', (w) => ({ x: w.whole }), TypeError, 'params.x must be an array of float32 or float64, got "int32"'),
  bad('a freed array', (w) => ({ x: w.freed }), RangeError, /^params\.x must be an array that is not freed \(\.ref keeps one\), got /),
  bad('one reference for two places', (w) => ({ x: w.single, y: w.single }), RangeError,
    'params.y must be a reference of its own, .ref, for each of 2 places, got 1'),
];
const like = (/** @type {string} */ name, /** @type {readonly string[]} */ also) => [
  ...kind(name, 'an object with the keys [x,y]', ['object', 'bare'], { also, required: true }),
  bad('fewer keys', (w) => ({ x: w.g }), RangeError, `${name} must have the keys [x,y], got [x]`),
  bad('a typed array for a leaf', (w) => ({ x: w.g, y: new Float32Array(2) }), TypeError,
    `${name}.y must be ${leaf} or null, got Float32Array of length 2`),
  bad('another shape', (w) => ({ x: w.long, y: w.gy }), RangeError, `${name}.x must be of shape [3], got [4]`),
  bad('another dtype', (w) => ({ x: w.whole, y: w.gy }), TypeError, `${name}.x must be float32, got "int32"`),
  bad('a freed array', (w) => ({ x: w.freed, y: w.gy }), RangeError, new RegExp(`^${name}\\.x must be an array that is not freed`)),
];
/** Of both paths: the one asks for its class, the other for its form. */
const gone = (/** @type {'kernel' | 'operations'} */ path) => (path === 'kernel'
  ? bad('a disposed state', (w) => w.goneState, Error, 'state is disposed')
  : bad('a freed state', (w) => w.goneState, RangeError, /^state\S* must be an array that is not freed \(\.ref keeps one\), got /));
const statesOf = (/** @type {'kernel' | 'operations'} */ path) => [
  ...kind('state', 'what init of this optimizer returned', [], { required: true }),
  gone(path),
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
    ['no rate', telling(() => undefined), TypeError, 'learningRate at count 2 must be a finite number, got undefined'],
    ['a rate that is never there', telling(() => { throw mine; }), Mine, 'mine'],
  ]);
}

const saved = [
  ...kind('saved', 'of type object', ['object', 'bare', 'array'], { required: true }),
  bad('half a count', (w) => ({ ...entry.exportState(w.state), count: 0.5 }), RangeError, /count must be an integer in .*, got 0.5$/),
  bad('a slot that is missing', (w) => ({ ...entry.exportState(w.state), mu: undefined }), RangeError,
    'saved must be a state with count, nu, mu, trace, got "count, nu, trace"'),
  bad('a short slot', (w) => ({ ...entry.exportState(w.state), nu: { x: new Float32Array(1), y: new Float32Array(2) } }), RangeError,
    /nu\.x must be .*, got Float32Array of length 1$/),
];

/** @type {(path: 'kernel' | 'operations') => Rows} */
const rowsOf = (path) => ({
  'rmsprop': {
    args: [modules, options('rmsprop', {
      learningRate: finite('learningRate', { expectation: 'a finite number or a function', also: ['callback'], required: true }),
      decay: finite('decay'), eps: finite('eps'), initialScale: finite('initialScale'),
      epsInSqrt: flag('epsInSqrt'), centered: flag('centered'),
      momentum: finite('momentum', { expectation: 'a finite number or null', also: ['null'] }),
      nesterov: flag('nesterov'), biasCorrection: flag('biasCorrection'),
      path: [...kind('path', "'auto', 'kernel' or 'operations'", ['text']), bad('another', 'gpu', RangeError,
        "path must be 'auto', 'kernel' or 'operations', got \"gpu\"")],
    }, { base: () => ({ learningRate: 1 }), required: true })],
    call: (_, ...given) => /** @type {Any} */ (entry.rmsprop)(...given), good: () => [jax, { learningRate: 0.1 }],
  },
  'rmsprop().init': { args: [params], call: (w, given) => entry.disposeState(w.it.init(given)), good: (w) => [{ x: w.x.ref, y: w.y.ref }] },
  'rmsprop().update': {
    args: [like('grads', []), statesOf(path), like('params', ['undefined', 'null'])],
    call: (w, ...given) => w.advance(w.it.update(...given)), good: (w) => [w.grads(), w.state],
    more: (w) => answers(w, () => w.it.update(w.grads(), w.state)),
  },
  'rmsprop().step': {
    args: [like('grads', []), statesOf(path), [...like('params', ['undefined', 'null']), bad('nothing', undefined, TypeError,
      /^params must be (given|an object with the keys \[x,y\]), got undefined$/)]],
    call: (w, ...given) => w.advance(w.it.step(...given)), good: (w) => [w.grads(), w.state, w.params()],
    more: (w) => answers(w, () => w.it.step(w.grads(), w.state, w.params())),
  },
  'rmsprop().restore': {
    args: [params, [...saved, ...stateFiles('optax'),
      bad('a file of another state', () => optax.saveState({ x: 1 }), TypeError, /^saved\.count must be an integer in .*, got undefined$/)]],
    call: (w, ...given) => entry.disposeState(w.it.restore(...given)),
    good: (w) => [w.params(), entry.exportState(w.state)],
  },
  'wrap': {
    args: [modules, [...kind('transform', 'of type object', ['object', 'bare', 'array'], { required: true }),
      bad('no transform', {}, TypeError, 'transform.init must be of type function, got undefined'),
      bad('half of one', { init() {}, update() {} }, TypeError, 'transform.step must be of type function, got undefined')]],
    call: (_, ...given) => /** @type {Any} */ (entry.wrap)(...given), good: () => [jax, optax.clip(1)],
  },
  'applyUpdates': {
    args: [[...params.filter(({ what }) => !/integers|freed|two places/.test(what)),
      bad('a freed array', (w) => ({ x: w.freed, y: w.y }), RangeError, /^params\.x must be an array that is not freed/)],
    like('updates', [])],
    call: (_, ...given) => jax.tree.dispose(/** @type {Any} */ (entry.applyUpdates)(...given)), good: (w) => [w.params(), w.grads()],
  },
  'cloneState': { args: [[...kind('state', '', ['null', 'object', 'bare', 'array'],
    { required: true, say: (_, __, shown) => new RegExp(`^state must be .*, got ${shown.replace(/[()]/g, '\\$&')}$`) }),
  gone(path)]],
  call: (_, given) => entry.disposeState(entry.cloneState(given)), good: (w) => [w.state] },
  'disposeState': { args: [kind('state', '', ['null', 'object', 'bare', 'array'],
    { required: true, say: (_, __, shown) => new RegExp(`^state must be .*, got ${shown.replace(/[()]/g, '\\$&')}$`) })],
  call: (_, given) => entry.disposeState(given), good: (w) => [entry.cloneState(w.state)] },
  ...Object.fromEntries(/** @type {const} */ (['exportState', 'saveState']).map((name) => [name, {
    args: [[...kind('state', 'what init or an update returned', [], { required: true }), gone(path)]],
    call: (/** @type {Any} */ _, /** @type {Any} */ given) => entry[name](given), good: (/** @type {Any} */ w) => [w.state], reads: true,
  }])),
});

/** @param {'kernel' | 'operations'} path */
async function trained(path) {
  const array = (/** @type {number[]} */ values) => np.array(Float32Array.from(values));
  const world = {
    x: array([1, 2, 3]), y: array([4, 5]), g: array([1, -1, 2]), gy: array([3, 4]), long: array([1, 2, 3, 4]), freed: array([1, 2, 3]),
    single: array([1, 2, 3]),
    whole: np.array([1, 2, 3], { dtype: /** @type {Any} */ ('int32') }),
    rate: /** @type {Any} */ (() => 0.1), it: /** @type {Any} */ (undefined), state: /** @type {Any} */ (undefined),
    goneState: /** @type {Any} */ (undefined),
    grads: () => ({ x: world.g.ref, y: world.gy.ref }),
    params: () => ({ x: world.x.ref, y: world.y.ref }),
    advance: (/** @type {[Any, Any]} */ [values, state]) => {
      jax.tree.dispose(values);
      world.state = state;
    },
    fingerprint: () => JSON.stringify([
      entry.exportState(world.state), ...common(),
      ['x', 'y', 'g', 'gy', 'long', 'whole', 'single'].map((name) => [.../** @type {Any} */ (world)[name].ref.dataSync()]),
    ]),
  };
  world.freed.dispose();
  world.it = entry.rmsprop(/** @type {Any} */ (jax),
    { learningRate: (/** @type {Any} */ count) => world.rate(count), momentum: 0.9, centered: true, path });
  [world.state, world.goneState] = [world.it.init(world.params()), world.it.init(world.params())];
  entry.disposeState(world.goneState);
  for (let i = 0; i < 2; i++) world.advance(world.it.update(world.grads(), world.state));
  return world;
}

const isSchedule = /(Schedule|exponentialDecay)$/; // those of optax: failure/optax.test.js
const surface = [
  ...surfaceOf(entry).filter((path) => !isSchedule.test(path)),
  ...surfaceOf({ ...entry.rmsprop(/** @type {Any} */ (jax), { learningRate: 1 }) }).map((path) => `rmsprop().${path}`),
];
for (const path of /** @type {const} */ (['kernel', 'operations'])) testTable(`jax, ${path}`, surface, rowsOf(path), () => trained(path));
