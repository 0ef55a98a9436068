/** What grows over many steps. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('100 000 steps of any kind leave linear memory as it was, and the JavaScript heap flat', (t) => {
  const output = execFileSync(process.execPath, ['--expose-gc', fileURLToPath(new URL('soak.js', import.meta.url))],
    { encoding: 'utf8' });
  for (const { name, before, after, heapBytes } of JSON.parse(output)) {
    t.diagnostic(`${name}: ${heapBytes} bytes of the heap`);
    assert.deepEqual(after, before, name);
    // One number kept a step would be 800 000 bytes; what the engine compiles meanwhile is a few thousand.
    assert.ok(heapBytes < 200_000, `${name}: ${heapBytes} bytes`);
  }
});
