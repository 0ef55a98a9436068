/**
 * Runs that Python began go on here: the state three steps later, and what Python would come to from it, are bit for bit
 * those of Python itself. fixtures/ is what `python keras_peer.py record fixtures` and `ATEN_CPU_CAPABILITY=default python
 * torch_peer.py record fixtures` wrote; `npm run interop` has Python end the runs.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readKerasFile, writeKerasFile } from 'rmsprop-wasm/keras-files';
import * as torch from 'rmsprop-wasm/torch';
import { kerasCases, kerasLeg, libraries, torchCases, torchLeg } from './legs.js';

/** @param {string} name */
const fixture = (name) => new Uint8Array(readFileSync(new URL(`fixtures/${name}`, import.meta.url)));
/** @param {string} name */
const recorded = (name) => JSON.parse(new TextDecoder().decode(fixture(`${name}.json`)));
const everything = fixture('keras_everything.keras');

const keras = recorded('keras');
for (const [name, suffix] of Object.entries(kerasCases)) {
  test(`what Keras ${keras.keras} saved as ${suffix} goes on as in Keras, and the file that is written is the next to read`, async () => {
    const leg = await kerasLeg(name, fixture(`keras_${name}${suffix}`));
    leg.train(5, 8);
    assert.deepEqual(leg.state(), keras.cases[name][8]);
    const next = await kerasLeg(name, await leg.save());
    assert.deepEqual(next.state(), keras.cases[name][8]);
    next.train(8, 12);
    assert.deepEqual(next.state(), keras.cases[name][12]);
  });
}

const pytorch = recorded('torch');
for (const name of torchCases) {
  test(`what PyTorch ${pytorch.torch} saved goes on as in PyTorch: ${name}`, async () => {
    const leg = await torchLeg(name, fixture(`torch_${name}.safetensors`));
    leg.train(5, 8);
    assert.deepEqual(leg.state(), pytorch.cases[name][8]);
    const next = await torchLeg(name, await leg.save());
    next.train(8, 12);
    assert.deepEqual(next.state(), pytorch.cases[name][12]);
  });
}

test('a state dict keeps its shapes for Python, and comes back', () => {
  const saved = torch.load(fixture('torch_everything.safetensors'));
  assert.deepEqual(torch.load(torch.save(saved)), saved);
});

test('files that are none of Keras, and changes that do not fit, are refused', async () => {
  const { unzipSync, zipSync } = libraries;
  const without = (/** @type {string} */ name) => {
    const { [name]: _, ...files } = unzipSync(everything);
    return zipSync(files);
  };
  const broken = zipSync({ ...unzipSync(everything), 'config.json': Uint8Array.of(0x7b) });
  /** @type {[() => Promise<unknown>, object][]} */
  const cases = [
    [() => readKerasFile(/** @type {any} */ ('x'), libraries), { name: 'TypeError', message: /^bytes must be a Uint8Array/ }],
    [() => readKerasFile(Uint8Array.of(1, 2, 3), libraries), { name: 'RangeError', message: /^bytes must be a .weights.h5 or .keras file/ }],
    [() => readKerasFile(without('model.weights.h5'), libraries), { name: 'RangeError', message: /one with model.weights.h5/ }],
    [() => readKerasFile(broken, libraries), { name: 'RangeError', message: /config.json of the file must be JSON/ }],
    [() => readKerasFile(everything, /** @type {any} */ ({})), { name: 'TypeError', message: /^libraries.h5wasm must be the module h5wasm/ }],
    [() => readKerasFile(everything, { ...libraries, unzipSync: undefined }), { name: 'TypeError', message: /^libraries.unzipSync must be/ }],
    [() => writeKerasFile(everything, {}, { ...libraries, zipSync: undefined }), { name: 'TypeError', message: /^libraries.zipSync must be/ }],
    [() => writeKerasFile(everything, { variables: /** @type {any} */ ({}) }, libraries), { name: 'TypeError', message: /^changes.variables must be a Map/ }],
    [() => writeKerasFile(everything, { variables: new Map([['layers/none/vars/0', [1]]]) }, libraries), { name: 'RangeError', message: /variables that are in the file, got "layers\/none/ }],
    [() => writeKerasFile(everything, { variables: new Map([['layers/dense/vars/0', [1]]]) }, libraries), { name: 'RangeError', message: /^layers\/dense\/vars\/0 must be of length 12/ }],
    [() => writeKerasFile(everything, { optimizerWeights: [[1]] }, libraries), { name: 'RangeError', message: /^changes.optimizerWeights must be of length 22/ }],
  ];
  for (const [call, expected] of cases) await assert.rejects(call, expected);
});

/**
 * @param {(file: any) => void} fill
 * @returns {Promise<Uint8Array>} an HDF5 file
 */
async function hdf5(fill) {
  const { FS } = await libraries.h5wasm.ready;
  const made = new libraries.h5wasm.File('/made.h5', 'w');
  fill(made);
  made.flush();
  made.close();
  const bytes = FS.readFile('/made.h5');
  FS.unlink('/made.h5');
  return bytes;
}

test('files of Keras 2, and of none, are refused by name, and so are numbers with leading zeros', async () => {
  const one = { name: 'kernel:0', data: Float32Array.of(1, 2), shape: [2, 1], dtype: '<f' };
  /** @type {[(file: any) => void, RegExp][]} */
  const cases = [
    [(file) => file.create_group('model_weights').create_group('dense').create_dataset(one), /one of Keras 3 .*the layout of Keras 2/],
    [(file) => file.create_group('optimizer_weights').create_dataset({ ...one, name: 'iter:0' }), /the layout of Keras 2/],
    [(file) => {
      file.create_attribute('layer_names', ['dense']);
      file.create_group('dense').create_dataset(one);
    }, /the layout of Keras 2/],
    [(file) => file.create_group('data').create_dataset({ ...one, name: 'x' }), /one of Keras, with variables such as .*, got "data\/x"/],
    [(file) => {
      const group = file.create_group('optimizer').create_group('vars');
      for (const name of ['0', '00']) group.create_dataset({ ...one, name });
    }, /numbered without leading zeros, got "optimizer\/vars\/00"/],
    [(file) => file.create_group('optimizer').create_group('vars').create_dataset({ ...one, name: '4294967294' }), /one with optimizer\/vars\/0, got/],
  ];
  for (const [fill, message] of cases) {
    const bytes = await hdf5(fill);
    await assert.rejects(readKerasFile(bytes, libraries), { name: 'RangeError', message });
  }
});

test('a small file that claims much is refused before anything is allocated for it', async (t) => {
  const bytes = await hdf5((file) => {
    const group = file.create_group('layers').create_group('dense').create_group('vars');
    group.create_dataset({ name: '0', data: new Float32Array(1e6), shape: [1e6], dtype: '<f', chunks: [1e6], compression: 9 });
  });
  assert.ok(bytes.length < 20_000, `${bytes.length}`);
  const read = t.mock.method(await libraries.h5wasm.ready, 'get_dataset_data');
  await assert.rejects(readKerasFile(bytes, libraries), { name: 'RangeError', message: /^layers\/dense\/vars\/0 must be of data that is in the file, which has \d+ bytes, got "4000000 bytes"/ });
  assert.equal(read.mock.callCount(), 0);
  await readKerasFile(everything, libraries);
  assert.ok(read.mock.callCount() > 0);
});

test('no bit of a .keras can change without an error of a promised kind', { timeout: 120_000 }, async (t) => {
  const seed = Number(process.env.SEED ?? 20261201);
  const count = Number(process.env.FLIPS ?? 400);
  t.diagnostic(`seed ${seed}, ${count} flips`);
  let state = seed;
  const random = (/** @type {number} */ end) => Math.floor((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 * end);
  const read = async (/** @type {Uint8Array} */ bytes) => {
    const { variables, optimizerWeights } = await readKerasFile(bytes, libraries);
    return [[...variables].map(([path, { shape, data }]) => [path, shape, [...data]]), optimizerWeights?.map((list) => [...list])];
  };
  const expected = await read(everything);
  let refused = 0;
  for (let i = 0; i < count; i++) {
    const changed = everything.slice();
    const place = random(changed.length);
    changed[place] ^= 1 << random(8);
    try {
      assert.deepEqual(await read(changed), expected, `bit in byte ${place}`);
    } catch (error) {
      assert.ok(error instanceof RangeError || error instanceof TypeError, `byte ${place}: ${error}`);
      refused++;
    }
  }
  assert.ok(refused > count / 2, `${refused} of ${count} were refused`);
  for (const length of [0, 1, 21, 22, 100, everything.length >> 1, everything.length - 1]) {
    await assert.rejects(readKerasFile(everything.slice(0, length), libraries), RangeError);
  }
});

test('a damaged .weights.h5 gives an error of a promised kind, or numbers', { timeout: 120_000 }, async (t) => {
  const seed = Number(process.env.SEED ?? 20261202);
  const count = Number(process.env.FLIPS ?? 400);
  t.diagnostic(`seed ${seed}, ${count} files`);
  let state = seed;
  const random = (/** @type {number} */ end) => Math.floor((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32 * end);
  const whole = libraries.unzipSync(everything)['model.weights.h5'];
  let refused = 0;
  for (let i = 0; i < count; i++) {
    const changed = whole.slice(0, random(4) ? undefined : random(whole.length));
    for (let k = random(4); k >= 0 && changed.length; k--) changed[random(changed.length)] = random(256);
    try {
      await readKerasFile(changed, libraries);
    } catch (error) {
      assert.ok(error instanceof RangeError || error instanceof TypeError, `file ${i}: ${error}`);
      refused++;
    }
  }
  t.diagnostic(`${refused} were refused`);
  assert.ok(refused > 0);
});

test('an ArrayBuffer is taken', async () => {
  const { variables } = await readKerasFile(everything.slice().buffer, libraries);
  assert.deepEqual([...variables.keys()], [...(await readKerasFile(everything, libraries)).variables.keys()]);
});

test('the seeds of Dropout are read and written, be they uint32 as of JAX and NumPy or int64 as of TensorFlow', async () => {
  const { FS } = await libraries.h5wasm.ready;
  for (const seeds of [Uint32Array.of(4e9, 3), BigInt64Array.of(-7n, 3n)]) {
    const other = Array.from(seeds, Number).reverse();
    const made = new libraries.h5wasm.File('/seeds.h5', 'w');
    const parts = ['layers', 'layers/dropout', 'layers/dropout/seed_generator', 'layers/dropout/seed_generator/vars'];
    for (const part of parts) made.create_group(part);
    made.create_dataset({ name: `${parts[3]}/0`, data: seeds });
    made.close();
    const bytes = FS.readFile('/seeds.h5');
    FS.unlink('/seeds.h5');
    const path = 'layers/dropout/seed_generator/vars/0';
    const read = async (/** @type {Uint8Array} */ file) =>
      Array.from((await readKerasFile(file, libraries)).variables.get(path)?.data ?? []);
    assert.deepEqual(await read(bytes), Array.from(seeds, Number));
    const changes = { variables: new Map([[path, other]]) };
    assert.deepEqual(await read(await writeKerasFile(bytes, changes, libraries)), other);
  }
});

test('a model that is not compiled has no optimizer', async () => {
  const { unzipSync, zipSync } = libraries;
  const files = unzipSync(everything);
  const { compile_config: _, ...config } = JSON.parse(new TextDecoder().decode(files['config.json']));
  const file = await readKerasFile(zipSync({ ...files, 'config.json': new TextEncoder().encode(JSON.stringify(config)) }), libraries);
  assert.equal(file.config, null);
});
