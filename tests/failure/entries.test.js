/** What the entries beside the optimizers refuse: files, storage, threads and groups of replicas. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as kerasFiles from 'rmsprop-wasm/keras-files';
import { Memory } from 'rmsprop-wasm';
import * as nats from 'rmsprop-wasm/nats';
import * as node from 'rmsprop-wasm/node';
import * as storage from 'rmsprop-wasm/storage';
import * as tfjsFiles from 'rmsprop-wasm/tfjs-files';
import * as threads from 'rmsprop-wasm/threads';
import { common } from './inputs.js';
import { Mine, bad, callback, finite, flag, integer, kind, mine, object, options, outside, plus, surfaceOf, testTable,
  text } from './table.js';

/** @typedef {any} Any */

const bytes = kind('bytes', 'a Uint8Array or an ArrayBuffer', [], { required: true });
const content = kind('bytes', 'a Uint8Array, an ArrayBuffer or an optimizer', [], { required: true });

// ---- Files of Node ----

const path = [
  ...kind('path', 'a string or file: URL', ['text'], { required: true }),
  bad('no name', '', TypeError, 'path must be the name of a file, got ""'),
  bad('a zero byte', 'a\0b', TypeError, 'path must be the name of a file, got "a\\u0000b"'),
  bad('a URL of the net', () => new URL('http://localhost/'), TypeError, 'path must be a string or file: URL, got URL'),
  bad('a directory', (w) => w.folder, Error, /^".*" cannot be (saved|loaded): the path is a directory \(EISDIR\)$/),
  bad('no such directory', (w) => join(w.folder, 'none', 'x'), Error,
    /^".*" cannot be (saved|loaded): the directory or file does not exist \(ENOENT\)$/),
];

testTable('node', surfaceOf(node), {
  'saveFile': {
    args: [path, [...kind('content', 'a Uint8Array, an ArrayBuffer or an optimizer', [], { required: true }),
      bad('one that gives no bytes', { save: () => 3 }, TypeError, 'content must be a Uint8Array, an ArrayBuffer or an optimizer, got 3'),
      bad('one that throws', { save() { throw mine; } }, Mine, 'mine')]],
    call: (_, ...given) => /** @type {Any} */ (node.saveFile)(...given), good: (w) => [w.file, Uint8Array.of(2)],
  },
  'loadFile': { args: [path], call: (_, given) => node.loadFile(given), good: (w) => [w.file], reads: true },
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'rmsprop-failure-'));
  const file = join(folder, 'file');
  node.saveFile(file, Uint8Array.of(1));
  return {
    folder, file,
    fingerprint: () => JSON.stringify([readdirSync(folder), [...readFileSync(file)]]),
    dispose: () => rmSync(folder, { recursive: true }),
  };
});

// ---- Storage of browsers, which is not here: what is accepted fails all the same ----

const name = [...text('name', { required: true }), bad('no name', '', TypeError, 'name must be at least one character, got ""')];
const none = (/** @type {string} */ what, /** @type {(...args: Any[]) => unknown} */ call, /** @type {unknown[]} */ ...given) =>
  /** @type {Any} */ (() => [['no storage', () => call(...given), Error, `${what}: there is no IndexedDB here`]]);

testTable('storage', surfaceOf(storage), {
  'saveItem': { args: [name, content], call: (_, ...given) => /** @type {Any} */ (storage.saveItem)(...given),
    good: () => ['x', Uint8Array.of(1)], fails: true, more: none('"x" cannot be saved', storage.saveItem, 'x', Uint8Array.of(1)) },
  'loadItem': { args: [name], call: (_, given) => storage.loadItem(given), fails: true,
    more: none('"x" cannot be loaded', storage.loadItem, 'x') },
  'deleteItem': { args: [name], call: (_, given) => storage.deleteItem(given), fails: true,
    more: none('"x" cannot be deleted', storage.deleteItem, 'x') },
  'listItems': { args: [], call: () => storage.listItems(), fails: true, more: none('"items" cannot be listed', storage.listItems) },
  'toBlob': { args: [bytes], call: (_, given) => storage.toBlob(given), good: () => [Uint8Array.of(1)], reads: true },
}, () => ({ fingerprint: () => '' }));

// ---- Threads ----

const sharing = kind('memory', 'a Memory made with shared: true', [], { also: ['null'] });
const unshared = bad('memory of one thread', () => new Memory(), TypeError, 'memory must be a Memory made with shared: true, got Memory');
const count = [...integer('threads', 1, 256), bad('too many', 257, RangeError, 'threads must be an integer in [1, 256], got 257')];

testTable('threads', surfaceOf(threads), {
  'ThreadPool': {
    args: [[...kind('memory', 'a Memory made with shared: true', [], { required: true }), unshared],
      [...count, bad('nothing', undefined, TypeError, 'threads must be an integer in [1, 256], got undefined')]],
    call: (_, ...given) => new (/** @type {Any} */ (threads.ThreadPool))(...given).close(), good: (w) => [w.memory, 1],
  },
  'ThreadPool.create': {
    args: [options('ThreadPool', {
      threads: count,
      memory: [...sharing, unshared],
      maximumBytes: [bad('with a memory', 65536, TypeError, 'maximumBytes cannot be chosen together with memory, got 65536')],
    }, { base: (w) => ({ memory: w.memory, threads: 1 }) })],
    call: async (_, given) => (await threads.ThreadPool.create(given)).close(), good: (w) => [{ memory: w.memory, threads: 1 }],
  },
  'ThreadPool#close': { args: [], call: (w) => w.pool.close() },
}, async () => {
  const memory = new Memory({ initialBytes: 65536, maximumBytes: 65536, shared: true });
  const pool = await threads.ThreadPool.create({ memory, threads: 1 });
  const fingerprint = () => JSON.stringify([memory.bytesInUse, memory.tensorCount, ...common()]);
  return { memory, pool, fingerprint, dispose: () => pool.close() };
});

// ---- Files of TensorFlow.js and Keras ----

const artifacts = (/** @type {object} */ more = {}, /** @type {object} */ spec = {}) => ({
  weightSpecs: [{ name: 'w', shape: [2], dtype: 'float32', ...spec }], weightData: new Float32Array(2).buffer, ...more,
});
const anyArtifacts = [
  ...object('artifacts', { required: true }).filter(({ what }) => !/: (object|bare|array)/.test(what)),
  bad('no specs', artifacts({ weightSpecs: undefined }), TypeError, 'artifacts.weightSpecs must be an array, got undefined'),
  bad('a spec that is none', artifacts({ weightSpecs: [7] }), TypeError, 'artifacts.weightSpecs[0] must be of type object, got 7'),
  bad('no name', artifacts({}, { name: undefined }), TypeError, 'artifacts.weightSpecs[0].name must be of type string, got undefined'),
  bad('no shape', artifacts({}, { shape: 7 }), TypeError, 'shape of w must be an array, got 7'),
  bad('half a shape', artifacts({}, { shape: [0.5] }), RangeError, /^shape of w must be an integer in \[0, \d+\], got 0.5$/),
  bad('another dtype', artifacts({}, { dtype: 'bool' }), RangeError, 'w must be of float32 or int32, not quantized, got "bool"'),
  bad('quantized weights', artifacts({}, { quantization: {} }), RangeError, 'w must be of float32 or int32, not quantized, got "float32"'),
  bad('no data', artifacts({ weightData: undefined }), TypeError, 'artifacts.weightData must be an ArrayBuffer, or several, got undefined'),
  bad('a short buffer', artifacts({ weightData: new ArrayBuffer(4) }), RangeError,
    'artifacts.weightData must be of 8 bytes, got Uint8Array of length 4'),
];
const map = (/** @type {string} */ of) => kind(`changes.${of}`, 'a Map', []);

testTable('tfjs-files', surfaceOf(tfjsFiles), {
  'readTfjsFile': { args: [anyArtifacts], call: (_, given) => tfjsFiles.readTfjsFile(given), good: () => [artifacts()], reads: true },
  'writeTfjsFile': {
    args: [anyArtifacts, [
      ...object('changes', { required: true }),
      ...['variables', 'slots'].flatMap((of) =>
        map(of).map(({ value, ...rest }) => ({ ...rest, value: () => ({ [of]: value(undefined) }) }))),
      bad('an unknown change', { variable: new Map() }, TypeError, 'changes has no option "variable"; did you mean "variables"?'),
      bad('slots of no variables', { slots: new Map([['rms', 7]]) }, TypeError, 'changes.slots.rms must be a Map, got 7'),
      bad('a variable that is not there', { variables: new Map([['x', [1]]]) }, RangeError,
        'changes must be of weights that are there, got "variable x"'),
      bad('a slot that is not there', { slots: new Map([['rms', new Map([['w', [1, 2]]])]]) }, RangeError,
        'changes must be of weights that are there, got "slot rms of w"'),
      bad('another length', { variables: new Map([['w', [1]]]) }, RangeError, 'variable w must be of length 2, got Array of length 1'),
      ...integer('changes.iterations', 0, 2 ** 31 - 1).map(({ value, ...rest }) =>
        ({ ...rest, value: () => ({ iterations: value(undefined) }) })),
    ]],
    call: (_, ...given) => /** @type {Any} */ (tfjsFiles.writeTfjsFile)(...given),
    good: () => [artifacts(), { variables: new Map([['w', [1, 2]]]) }], reads: true,
  },
}, () => ({ fingerprint: () => '' }));

// With real libraries and files: toolkits/interop/interop.test.js.
const notKeras = [...bytes, bad('no file of Keras', new Uint8Array(20), RangeError,
  'bytes must be a .weights.h5 or .keras file, got Uint8Array of length 20')];
/** An archive without files. */
const zipped = Uint8Array.of(0x50, 0x4b, 5, 6, ...new Uint8Array(18));
const libraries = [
  ...object('libraries', { required: true }).filter(({ what }) => !/: (object|bare|array)/.test(what)),
  bad('none', {}, TypeError, 'libraries.h5wasm must be the module h5wasm, got undefined'),
  bad('half a module', { h5wasm: { File: 7 } }, TypeError, 'libraries.h5wasm must be the module h5wasm, got Object'),
];
const fakes = { h5wasm: { File() {} } };
const unzip = /** @type {Any} */ (() => [['no unzipSync', () => kerasFiles.readKerasFile(zipped, fakes), TypeError,
  'libraries.unzipSync must be of type function, got undefined'],
['a .keras without weights', () => kerasFiles.readKerasFile(zipped, { ...fakes, unzipSync: () => ({}) }), RangeError,
  'the file must be one with model.weights.h5, got undefined']]);

testTable('keras-files', surfaceOf(kerasFiles), {
  'readKerasFile': { args: [notKeras, libraries], call: (_, ...given) => /** @type {Any} */ (kerasFiles.readKerasFile)(...given),
    good: () => [zipped, fakes], fails: true, more: unzip },
  'writeKerasFile': {
    args: [notKeras, [
      ...object('changes', { required: true }).filter(({ what }) => !/: (object|bare|array)/.test(what)),
      bad('an unknown change', { optimizer: [] }, TypeError, 'changes has no option "optimizer"; did you mean "optimizerWeights"?'),
      ...map('variables').map(({ value, ...rest }) => ({ ...rest, value: () => ({ variables: value(undefined) }) })),
    ], libraries],
    call: (_, ...given) => /** @type {Any} */ (kerasFiles.writeKerasFile)(...given), good: () => [zipped, {}, fakes], fails: true,
  },
}, () => ({ fingerprint: () => '' }));

// ---- Groups of replicas: what is refused before anything is subscribed ----

const busTable = {
  connection: kind('connection', 'a NatsConnection, as `connect` of @nats-io/transport-node returns', [], { required: true }),
  group: [...text('group', { required: true }), bad('a dot', 'a.b', RangeError, 'group must be of letters, digits, _ and -, got "a.b"')],
  timeout: finite('timeout', { out: [[0, 'greater than 0'], [-1, 'greater than 0']] }),
  secret: [...text('secret'), bad('an empty secret', '', RangeError, 'secret must be not empty, got ""')],
  onRefused: callback('onRefused'),
};
const place = {
  ...busTable,
  rank: [...integer('rank', 0, 1, { required: true }), bad('a rank too high', 2, RangeError, 'rank must be an integer in [0, 1], got 2')],
  size: integer('size', 1, 2 ** 16, { required: true }),
};
const at = (/** @type {Any} */ w) => ({ connection: w.connection, group: 'g', rank: 0, size: 2 });
const founding = (/** @type {Any} */ w) => ({ connection: w.connection, group: 'g', size: 1 });

// Of GroupError only its constructor is its own: the rest is Error's.
testTable('nats', surfaceOf(nats).filter((path) => !/^GroupError[#.]/.test(path)), {
  'GroupError': { args: [], call: () => new nats.GroupError('x') },
  'join': {
    args: [options('join', { ...busTable, size: integer('size', 1, 2 ** 16, { required: true }),
      store: kind('store', 'an ObjectStore of @nats-io/obj', []) }, { base: founding, required: true })],
    call: (_, given) => nats.join(given), good: (w) => [founding(w)], fails: true,
  },
  'allReduce': {
    args: [plus(options('allReduce', {
      ...place,
      reduction: kind('reduction', "'mean' or 'sum'", [], { type: RangeError }),
      weight: callback('weight'),
      compression: kind('compression', "'bfloat16' or null", ['null'], { type: RangeError }),
    }, { base: at, required: true }), bad('a weight of a sum', (w) => ({ ...at(w), weight: () => 1, reduction: 'sum' }), RangeError,
      'reduction must be \'mean\' where weight is given, got "sum"'))],
    call: (_, given) => nats.allReduce(given).close(), good: (w) => [at(w)],
  },
  'localSgd': {
    args: [options('localSgd', { ...place, every: [...integer('every', 1, undefined, { required: true }),
      outside('every', 0, 'an integer in [1, 9007199254740991]')], slots: flag('slots') },
    { base: (w) => ({ ...at(w), every: 1 }), required: true })],
    call: (_, given) => nats.localSgd(given).close(), good: (w) => [{ ...at(w), every: 1 }],
  },
  'federated': {
    args: [options('federated', { ...place, slots: flag('slots') }, { base: at, required: true })],
    call: (_, given) => nats.federated(given).close(), good: (w) => [at(w)],
  },
}, () => {
  let subscribed = 0;
  const connection = {
    publish() {},
    subscribe() {
      subscribed++;
      return { unsubscribe: () => subscribed-- };
    },
    closed: () => new Promise(() => {}),
    isClosed: () => false,
  };
  return { connection, fingerprint: () => `${subscribed}` };
});
