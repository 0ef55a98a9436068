/**
 * `step()` on built variables: one call into the kernels, no garbage.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNoGarbage } from '../deep/heap.js';

test('a step is one call into the kernels, whatever the options and however many variables', async () => {
  /** @type {string[]} */
  const calls = [];
  const { Instance } = WebAssembly;
  // The kernels are instantiated at first use: from here on through this.
  WebAssembly.Instance = /** @type {any} */ (function CountingInstance(/** @type {any} */ module, /** @type {any} */ imports) {
    const real = /** @type {Record<string, (...args: number[]) => unknown>} */ (
      /** @type {unknown} */ (new Instance(module, imports).exports));
    const exports = Object.fromEntries(Object.entries(real).map(([name, kernel]) => [name, (/** @type {number[]} */ ...args) => {
      calls.push(name);
      return kernel(...args);
    }]));
    return { exports };
  });
  const { RMSprop, variable } = await import('rmsprop-wasm');
  for (const options of [
    {}, { momentum: 0.9, centered: true, weightDecay: 0.1, globalClipnorm: 1, useEma: true, emaOverwriteFrequency: 2 },
    { gradientAccumulationSteps: 2, clipnorm: 1, lossScaleFactor: 8 },
  ]) {
    const variables = Array.from({ length: 40 }, () => variable(new Float32Array(5)));
    for (const v of variables) v.gradientBuffer();
    const optimizer = new RMSprop(options);
    optimizer.build(variables);
    calls.length = 0;
    for (let i = 0; i < 10; i++) optimizer.step();
    assert.deepEqual(calls, Array(10).fill('rms_step'));
  }
  WebAssembly.Instance = Instance;
});

// The other cases take half a minute: deep/heap.test.js.
test('a step with every option allocates nothing on the JavaScript heap', () => assertNoGarbage('every option'));
