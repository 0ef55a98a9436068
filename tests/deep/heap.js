/** Asserts how much a step allocates, for the unit tests in one case and for the deep ones in all. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** @param {string[]} names of the cases of heap-per-step.js; none for all */
export function assertNoGarbage(...names) {
  const output = execFileSync(process.execPath, [
    // A young generation so large that no collection runs between the two readings.
    '--expose-gc', '--min-semi-space-size=128', '--max-semi-space-size=128',
    fileURLToPath(new URL('heap-per-step.js', import.meta.url)), ...names,
  ], { encoding: 'utf8' });
  const results = JSON.parse(output);
  assert.ok(results.length > 0, `no such case: ${names}`);
  for (const { name, bytesPerStep, allowed } of results) {
    // The median of 21 readings: what the engine allocates when it has optimised a function, up to 170 kB at a time that
    // the load of the machine decides, is in one or two of them. A boxed number takes 16 bytes (12 with compressed
    // pointers); a reading itself 256, for 1000 steps at least.
    assert.ok(bytesPerStep < allowed + 1, `${name}: ${bytesPerStep} bytes a step`);
  }
}
