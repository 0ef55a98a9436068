/**
 * A checkpoint goes to Python, takes a step there, and comes back: the same bits as the step taken here.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RMSprop, variable } from 'rmsprop-wasm';
import { python, skipWithoutPython } from './python.js';

test('Python reads what save wrote, and load takes what Python wrote, bit for bit', { skip: skipWithoutPython }, () => {
  const make = () => ({
    variables: [variable([[1, -2, 3], [0.5, 1e-20, -0]], { name: 'kernel' }), variable([0.1], { name: 'bias' })],
    optimizer: new RMSprop({ learningRate: 0.01, momentum: 0.9, epsilon: 1e-3 }),
  });
  const here = make();
  const step = () => here.optimizer.apply(here.variables.map((v) => v.data.slice()), here.variables);
  for (let i = 0; i < 3; i++) step();

  const folder = mkdtempSync(join(tmpdir(), 'checkpoint-'));
  const [sent, returned] = ['sent', 'returned'].map((name) => join(folder, `${name}.safetensors`));
  const there = make();
  try {
    writeFileSync(sent, here.optimizer.save({ variables: true }));
    execFileSync(python, [fileURLToPath(new URL('checkpoint_peer.py', import.meta.url)), sent, returned]);
    there.optimizer.build(there.variables);
    there.optimizer.load(readFileSync(returned));
  } finally {
    rmSync(folder, { recursive: true });
  }
  step();

  const bits = (/** @type {typeof here} */ { variables, optimizer }) =>
    [...variables, ...optimizer.variables].map((t) => Buffer.from(t.data.slice().buffer).toString('hex'));
  assert.deepEqual(bits(there), bits(here));
  assert.equal(there.optimizer.iterations, 4);
});
