/** Two replicas over a real nats-server: nats.test.js has what can go wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allReduce } from 'rmsprop-wasm/nats';
import { noServer, startServer } from '../../web-demo/distributed/server.js';
import { Learner, connections } from './replicas.js';

test('20 steps on two replicas give the bits of one process that accumulates over the parts', { skip: noServer }, async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const both = await connections(server, 2);
  t.after(() => Promise.all(both.map((connection) => connection.close())));
  const replicas = both.map((connection, rank) =>
    new Learner({ aggregateGradients: allReduce({ connection, group: 'smoke', rank, size: 2 }) }));
  const alone = new Learner({ gradientAccumulationSteps: 2 });
  for (let step = 0; step < 20; step++) {
    replicas.forEach((replica, rank) => replica.differentiate(step, rank, 2));
    await Promise.all(replicas.map(({ optimizer }) => optimizer.stepAsync()));
    for (let part = 0; part < 2; part++) {
      alone.differentiate(step, part, 2);
      alone.optimizer.step();
    }
  }
  const weights = [...replicas, alone].map(({ optimizer }) => Array.from(optimizer.exportParameters()));
  assert.deepEqual(weights[0], weights[2]);
  assert.deepEqual(weights[1], weights[2]);
});
