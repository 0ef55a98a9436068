/**
 * `step()` on built variables: one call into the kernels, no garbage.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

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

test('a step allocates nothing on the JavaScript heap, beyond the number that a callback returns', (t) => {
  const output = execFileSync(process.execPath, [
    // A young generation so large that no collection runs between the two readings.
    '--expose-gc', '--min-semi-space-size=128', '--max-semi-space-size=128', fileURLToPath(new URL('../heap-per-step.js', import.meta.url)),
  ], { encoding: 'utf8' });
  for (const { name, bytesPerStep, allowed } of JSON.parse(output)) {
    t.diagnostic(`${name}: ${bytesPerStep.toFixed(2)} bytes a step`);
    // The median of 21 readings: what the engine allocates when it has optimised a function, up to 170 kB at a time that
    // the load of the machine decides, is in one or two of them. A boxed number takes 16 bytes (12 with compressed
    // pointers); a reading itself 256, for 1000 steps at least.
    assert.ok(bytesPerStep < allowed + 1, `${name}: ${bytesPerStep} bytes a step`);
  }
});
