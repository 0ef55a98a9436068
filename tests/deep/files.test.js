/**
 * Files that no unit test has thought of: random numbers in the counters of checkpoints, and one of more than 2 GiB.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LossScaleOptimizer, Memory, RMSprop, readSafetensors, variable, writeSafetensors, zeros } from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';
import { loadFile, saveFile } from 'rmsprop-wasm/node';
import { Random } from '../../web-demo/data/random.js';

const GIB = 2 ** 30;

const NUMBERS = [0, -0, 1, -1, -5, 0.5, 1e-320, 1e-46, 2 ** -149, 1e-3, 1e39, 3.4e38, 3.5e38, 1e308, 2 ** 31 - 1, 2 ** 31, 2 ** 53,
  { $number: 'NaN' }, { $number: 'Infinity' }, { $number: '-Infinity' }, { $number: '-0' }, { $number: '' }, null, true, '1', [], {}];

test('whatever a checkpoint says, it is refused and nothing changes, or it is taken and what is saved then can be loaded', (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 2 ** 32);
  t.diagnostic(`seed ${seed}: SEED=${seed} node --test tests/deep/files.test.js`);
  const random = new Random(seed);
  const pick = (/** @type {readonly any[]} */ list) => list[random.below(list.length)];
  const w = () => variable([1, 2], { name: 'w' });
  const makers = [
    () => {
      const optimizer = new RMSprop({ momentum: 0.5 });
      optimizer.apply([[1, 1]], [w()]);
      return optimizer;
    },
    () => {
      const optimizer = new LossScaleOptimizer(new RMSprop(), { dynamicGrowthSteps: 1 });
      optimizer.apply([[1, 1]], [w()]);
      return optimizer;
    },
    () => {
      const optimizer = new legacy.RMSprop({ momentum: 0.5 });
      optimizer.applyGradients([[[1, 1], w()]]);
      return optimizer;
    },
  ];
  let [taken, refused] = [0, 0];
  for (let round = 0; round < 2000; round++) {
    const optimizer = /** @type {any} */ (pick(makers)());
    const before = optimizer.save({ variables: true });
    const { tensors, metadata } = readSafetensors(before);
    const counters = JSON.parse(metadata.counters);
    for (let i = 0; i <= random.below(2); i++) counters[pick(Object.keys(counters))] = pick(NUMBERS);
    const forged = writeSafetensors(tensors, { ...metadata, counters: JSON.stringify(counters) });
    try {
      optimizer.load(forged);
    } catch (error) {
      assert.ok(error instanceof TypeError || error instanceof RangeError, `${metadata.counters} -> ${JSON.stringify(counters)}: ${error}`);
      assert.deepEqual(optimizer.save({ variables: true }), before, JSON.stringify(counters));
      refused++;
      optimizer.dispose();
      continue;
    }
    const after = optimizer.save({ variables: true });
    optimizer.load(after);
    assert.deepEqual(optimizer.save({ variables: true }), after, JSON.stringify(counters));
    taken++;
    optimizer.dispose();
  }
  t.diagnostic(`${taken} were taken, ${refused} refused`);
  assert.ok(taken > 100 && refused > 100);
});

test('a state of more than 2 GiB is saved and loaded without a second copy of it', {
  skip: freemem() < 10 * GIB && 'it takes 10 GiB of memory', timeout: 600_000,
}, (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'rmsprop-large-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'large.safetensors');
  const memory = new Memory({ maximumBytes: 4 * GIB - 65536 });
  const length = Math.floor(1.1 * GIB / 4);
  const large = new RMSprop();
  const value = zeros([1], { memory }); // what lies before makes offsets other than 0
  const weights = variable(new Float32Array(length), { memory, name: 'large' });
  large.build([weights]);
  weights.data.set([1, 2, 3], length - 3);
  large.getSlot(weights, 'velocity')?.data.set([4, 5], length - 2);
  const before = process.memoryUsage().arrayBuffers;
  saveFile(path, large);
  assert.ok(process.memoryUsage().arrayBuffers - before < GIB / 4, 'the state was copied');
  assert.ok(statSync(path).size > 2 * GIB);
  weights.data.fill(9);
  large.getSlot(weights, 'velocity')?.data.fill(9);
  large.load(loadFile(path));
  assert.deepEqual([...weights.data.subarray(length - 4)], [0, 1, 2, 3]);
  assert.deepEqual([...large.getSlot(weights, 'velocity')?.data.subarray(length - 3) ?? []], [0, 4, 5]);
  value.dispose();
});
