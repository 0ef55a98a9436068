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
