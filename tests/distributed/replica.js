/**
 * A replica in a process of its own, for tests that kill it:
 *
 *     node tests/distributed/replica.js <server> <group> <size> <steps>
 */
import { connect } from '@nats-io/transport-node';
import { allReduce, join } from 'rmsprop-wasm/nats';
import { Learner } from './replicas.js';

const [servers, name, size, steps] = process.argv.slice(2);
const connection = await connect({ servers });
const group = await join({ connection, group: name, size: Number(size), timeout: 2000 });
const learner = new Learner({ aggregateGradients: allReduce({ group }) });
while (learner.optimizer.iterations < Number(steps)) {
  learner.differentiate(learner.optimizer.iterations, group.rank, group.size);
  await learner.optimizer.stepAsync();
}
await connection.close();
