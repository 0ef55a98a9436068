/** `npm run demo:distributed`, with few images: a real server, three processes, a page that joins, one process killed. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { noServer } from '../../web-demo/distributed/server.js';

test('the demo ends with equal bits on all replicas', { skip: noServer }, (t) => {
  const demo = fileURLToPath(new URL('../../web-demo/distributed/demo.js', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [demo, '--epochs', '4', '--images', '4000'], { encoding: 'utf8' });
  for (const line of stdout.split('\n')) {
    if (/over|joined|killed|goes on|no browser|All/.test(line)) t.diagnostic(line.trim());
  }
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(stdout, /epoch 4\/4/);
  assert.match(stdout, /node-2 is killed/);
  assert.match(stdout, /All 3 replicas end with the same bits/);
});
