/**
 * The files in which Keras 3 keeps models: `.weights.h5` of `model.save_weights` and `.keras` of `model.save`. A run
 * that Keras began goes on here, and then again in Keras.
 *
 *     import * as h5wasm from 'h5wasm';
 *     import { unzipSync, zipSync } from 'fflate';                       // for .keras alone
 *     import { readKerasFile, writeKerasFile } from 'rmsprop-wasm/keras-files';
 *
 *     const libraries = { h5wasm, unzipSync, zipSync };
 *     const { variables, optimizerWeights } = await readKerasFile(bytes, libraries);
 *     kernel.set(variables.get('layers/dense/vars/0').data);
 *     optimizer.setWeights(optimizerWeights);                            // built for the variables in Keras's order
 *     // … steps …
 *     const changed = new Map([['layers/dense/vars/0', kernel.data]]);
 *     const changes = { variables: changed, optimizerWeights: optimizer.getWeights() };
 *     const after = await writeKerasFile(bytes, changes, libraries);
 *
 * HDF5 and zip are read and written by libraries that are handed in: h5wasm (version 0.10) and fflate (version 0.8).
 * This package depends on neither. Whoever opens files of strangers relies on these libraries.
 */
import { array, knownOptions, ofType, rangeError, typeError } from './check.js';
import { bytesOf } from './core/bytes.js';
import { isMap } from './core/identity.js';
import { decodeUtf8 } from './core/utf8.js';
import { crc32, zipEntries } from './files/zip.js';

/** @typedef {Float32Array | Float64Array | Int32Array | Uint32Array} Numbers as in the file; int64 as int32 */
/**
 * @typedef {object} Libraries
 * @property {any} h5wasm the module h5wasm
 * @property {(bytes: Uint8Array) => Record<string, Uint8Array>} [unzipSync] of fflate, for `.keras`
 * @property {(files: Record<string, any>) => Uint8Array} [zipSync] of fflate, for writing `.keras`
 */
/**
 * @typedef {object} KerasFile
 * @property {Map<string, { shape: number[], data: Numbers }>} variables of the layers by their path in the file, such
 *   as `layers/dense/vars/0`
 * @property {Numbers[] | null} optimizerWeights in the order of `optimizer.variables` in Keras and of `getWeights` and
 *   `setWeights` here; null where the file has no optimizer
 * @property {Record<string, any> | null} config of the optimizer, as `RMSprop.fromConfig` takes it; null in
 *   `.weights.h5`, which has none, and for a model that is not compiled
 */

/** Where a `.keras` has its weights. */
const WEIGHTS = 'model.weights.h5';
const HDF5 = '\x89HDF\r\n\x1a\n';
const OPTIMIZER = /^optimizer\/vars\/(\d+)$/;
const VARIABLE = /(^|\/)vars\/\d+$/;
/** What the files of Keras 2 begin with. */
const KERAS_2 = ['model_weights', 'optimizer_weights', 'top_level_model_weights'];

/** By what h5wasm calls types. @type {Record<string, any>} */
const TYPES = { '<f': Float32Array, '<d': Float64Array, '<i': Int32Array, '<I': Uint32Array };

/** Files opened so far: each has a name of its own in h5wasm's file system. */
let count = 0;

/**
 * @param {Uint8Array | ArrayBuffer} bytes of a `.weights.h5` or `.keras`
 * @param {Libraries} libraries
 * @returns {Promise<KerasFile>} copies of what is in it
 * @throws {TypeError | RangeError} a rejection for another file, one that is damaged, of Keras 2 or claims more than
 *   it has, a library that is missing, or numbers that are neither
 *   float32, float64, int32, uint32 nor integers of 64 bits that fit int32
 */
export async function readKerasFile(bytes, libraries) {
  const { weights, files } = opened(bytes, libraries);
  const config = files && compiledOptimizer(files['config.json']);
  return withFile(weights, libraries, 'r', (file) => {
    /** @type {KerasFile['variables']} */
    const variables = new Map();
    /** @type {Map<string, Numbers>} */
    const slots = new Map();
    for (const { path, dataset } of datasets(file, weights.length)) {
      const data = numbersOf(path, dataset);
      if (OPTIMIZER.test(path)) slots.set(path, data);
      else variables.set(path, { shape: [...dataset.shape], data });
    }
    const optimizerWeights = Array.from(slots, (_, i) => {
      const data = slots.get(`optimizer/vars/${i}`);
      if (!data) throw rangeError('the file', `one with optimizer/vars/${i}`, [...slots.keys()].slice(0, 9).join());
      return data;
    });
    return { variables, optimizerWeights: optimizerWeights.length ? optimizerWeights : null, config };
  });
}

/**
 * @param {Uint8Array | ArrayBuffer} bytes of a `.weights.h5` or `.keras`, left alone: all else of the new
 *   file is as there
 * @param {object} changes
 * @param {ReadonlyMap<string, ArrayLike<number>>} [changes.variables] by path; those that are not named stay
 * @param {readonly ArrayLike<number>[]} [changes.optimizerWeights] all of them
 * @param {Libraries} libraries
 * @returns {Promise<Uint8Array>} the new file
 * @throws {TypeError | RangeError} a rejection for a path that is not in the file, an array of another length, and as
 *   `readKerasFile`
 */
export async function writeKerasFile(bytes, changes, libraries) {
  const { variables = new Map(), optimizerWeights = [] } = ofType('changes', changes, 'object');
  knownOptions('changes', changes, ['variables', 'optimizerWeights']);
  if (!isMap(variables)) throw typeError('changes.variables', 'a Map', variables);
  const { weights, files } = opened(bytes, libraries);
  if (files) ofType('libraries.zipSync', libraries.zipSync, 'function');
  const values = new Map(variables);
  array('changes.optimizerWeights', optimizerWeights).forEach((list, i) => values.set(`optimizer/vars/${i}`, list));
  const written = await withFile(weights, libraries, 'a', (file, read, module) => {
    const found = new Map(datasets(file, weights.length).map(({ path, dataset }) => [path, dataset]));
    const slots = [...found.keys()].filter((path) => OPTIMIZER.test(path)).length;
    if (optimizerWeights.length && optimizerWeights.length !== slots) {
      throw rangeError('changes.optimizerWeights', `of length ${slots}`, optimizerWeights);
    }
    for (const [path, list] of values) {
      const dataset = found.get(path);
      if (!dataset) throw rangeError('changes', 'of variables that are in the file', path);
      const { length } = numbersOf(path, dataset);
      if (list?.length !== length) throw rangeError(path, `of length ${length}`, list);
    }
    for (const [path, list] of values) write(module, found.get(path), list);
    return read();
  });
  if (!files) return written;
  // Keras stores without compression; the order is that of the file.
  const stored = Object.entries({ ...files, [WEIGHTS]: written }).map(([name, content]) =>
    [name, [content, { level: 0 }]]);
  return /** @type {any} */ (libraries).zipSync(Object.fromEntries(stored));
}

/**
 * @param {Uint8Array | ArrayBuffer} given
 * @param {Libraries} libraries
 * @returns {{ weights: Uint8Array, files: Record<string, Uint8Array> | null }} the HDF5 file, and all of a `.keras`
 */
function opened(given, libraries) {
  const bytes = bytesOf('bytes', given);
  ofType('libraries', libraries, 'object');
  const { h5wasm } = libraries;
  if (typeof h5wasm?.File !== 'function') throw typeError('libraries.h5wasm', 'the module h5wasm', h5wasm);
  if (startsWith(bytes, HDF5)) return { weights: bytes, files: null };
  if (!startsWith(bytes, 'PK')) throw rangeError('bytes', 'a .weights.h5 or .keras file', bytes);
  const files = unpacked(bytes, ofType('libraries.unzipSync', libraries.unzipSync, 'function'));
  const weights = files[WEIGHTS];
  if (!weights || !startsWith(weights, HDF5)) throw rangeError('the file', `one with ${WEIGHTS}`, undefined);
  return { weights, files };
}

/**
 * @param {Uint8Array} archive
 * @param {NonNullable<Libraries['unzipSync']>} unzipSync
 * @returns {Record<string, Uint8Array>} its files, whose checksums are right
 */
function unpacked(archive, unzipSync) {
  const entries = zipEntries(archive);
  const files = readable(() => unzipSync(archive));
  for (const { name, crc, size } of entries) {
    const file = Object.hasOwn(files, name) ? files[name] : undefined;
    const isWhole = file && (size === 0xffffffff || file.length === size) && crc32(file) === crc;
    if (!isWhole) throw rangeError('the file', `one whose checksums are right: ${name} in it is damaged`, archive);
  }
  return files;
}

/**
 * @template T
 * @param {() => T} read by a library, which says in its own way that a file is damaged
 * @returns {T}
 * @throws {RangeError} if it fails
 */
function readable(read) {
  try {
    return read();
  } catch (cause) {
    const { message } = /** @type {Error} */ (cause);
    throw new RangeError(`the file must be one that can be read: it is damaged (${message})`, { cause });
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {string} text Latin-1
 * @returns {boolean}
 */
function startsWith(bytes, text) {
  return [...text].every((character, i) => bytes[i] === character.charCodeAt(0));
}

/**
 * @param {Uint8Array | undefined} json config.json of a `.keras`
 * @returns {Record<string, any> | null}
 */
function compiledOptimizer(json) {
  if (json === undefined) return null;
  try {
    return JSON.parse(decodeUtf8(json)).compile_config?.optimizer?.config ?? null;
  } catch (cause) {
    throw new RangeError('config.json of the file must be JSON', { cause });
  }
}

/**
 * @template T
 * @param {Uint8Array} bytes
 * @param {Libraries} libraries
 * @param {'r' | 'a'} mode
 * @param {(file: any, read: () => Uint8Array, module: any) => T} action read: the file's bytes once all is written;
 *   module: Emscripten's of h5wasm
 * @returns {Promise<T>}
 */
async function withFile(bytes, { h5wasm }, mode, action) {
  const module = await h5wasm.ready;
  const { FS } = module;
  const name = `/rmsprop-wasm-${count++}.h5`;
  FS.writeFile(name, bytes);
  /** @type {any} */
  let file;
  const close = () => {
    file?.close();
    file = undefined;
  };
  try {
    file = readable(() => openedFile(h5wasm, name, mode));
    return action(file, () => {
      file.flush();
      close();
      return FS.readFile(name);
    }, module);
  } finally {
    try {
      readable(close);
    } finally {
      FS.unlink(name);
    }
  }
}

/**
 * @param {any} h5wasm
 * @param {string} name
 * @param {'r' | 'a'} mode
 * @returns {any} the file
 */
function openedFile(h5wasm, name, mode) {
  const file = new h5wasm.File(name, mode);
  if (file.file_id < 0) throw new Error('HDF5 cannot open it');
  return file;
}

/**
 * @param {any} file
 * @param {number} length of the file in bytes
 * @returns {{ path: string, dataset: any }[]} all that Keras calls variables
 * @throws {RangeError} if they cannot be in a file of that length, which nothing has been allocated for yet, or if it
 *   is of Keras 2
 */
function datasets(file, length) {
  const paths = readable(() => file.paths().map((/** @type {string} */ path) => path.replace(/^\//, '')));
  const found = readable(() => paths.filter((/** @type {string} */ path) => VARIABLE.test(path))
    .map((/** @type {string} */ path) => ({ path, dataset: file.get(path) }))
    .filter((/** @type {any} */ { dataset }) => dataset?.type === 'Dataset'));
  if (found.length === 0) checkIsKeras3(file, paths);
  let total = 0;
  for (const { path, dataset } of found) {
    if (/\/0\d+$/.test(path)) throw rangeError('the file', 'one whose variables are numbered without leading zeros', path);
    const { size, total_size: count } = readable(() => dataset.metadata);
    total += size * count;
    // Keras does not compress.
    if (!(total <= length)) {
      throw rangeError(path, `of data that is in the file, which has ${length} bytes`, `${size * count} bytes`);
    }
  }
  return found;
}

/**
 * @param {any} file without variables where Keras 3 has them
 * @param {readonly string[]} paths of all that is in it
 * @throws {RangeError} if it has something else
 */
function checkIsKeras3(file, paths) {
  const isOld = paths.some((path) => KERAS_2.includes(path.split('/')[0]))
    || readable(() => Object.keys(file.attrs).includes('layer_names'));
  if (isOld) {
    throw rangeError('the file', 'one of Keras 3 (.weights.h5 or .keras): load it in Keras and save it anew',
      'the layout of Keras 2');
  }
  const stray = paths.find((path) => readable(() => file.get(path))?.type === 'Dataset');
  if (stray === undefined) return;
  throw rangeError('the file', 'one of Keras, with variables such as layers/dense/vars/0', stray);
}

/**
 * @param {string} path
 * @param {any} dataset
 * @returns {Numbers} a copy
 */
function numbersOf(path, dataset) {
  const value = readable(() => dataset.value);
  const list = ArrayBuffer.isView(value) ? /** @type {any} */ (value) : [value];
  if (typeof list[0] === 'bigint') {
    const numbers = Array.from(list, Number);
    if (numbers.some((x) => x !== (x | 0))) throw rangeError(path, 'of integers that fit int32', numbers.join());
    return Int32Array.from(numbers);
  }
  const { dtype } = dataset;
  if (!Object.hasOwn(TYPES, dtype)) throw rangeError(path, 'of float32, float64, int32, uint32 or int64', dtype);
  return TYPES[dtype].from(list);
}

/**
 * @param {any} module
 * @param {any} dataset
 * @param {ArrayLike<number>} list
 */
function write(module, dataset, list) {
  const { dtype, shape, file_id: file, path } = dataset;
  const isBig = /^[<>][qQ]$/.test(dtype);
  const values = isBig ? BigInt64Array.from(Array.from(list, BigInt)) : TYPES[dtype].from(list);
  if (shape.length > 0) {
    dataset.write_slice(shape.map((/** @type {number} */ length) => [0, length]), values);
    return;
  }
  // A scalar has no slices, for which h5wasm would complain on the console.
  const address = module._malloc(values.byteLength);
  try {
    module.HEAPU8.set(new Uint8Array(values.buffer), address);
    module.set_dataset_data(file, path, null, null, null, BigInt(address));
  } finally {
    module._free(address);
  }
}
