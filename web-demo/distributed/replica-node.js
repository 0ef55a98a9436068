/**
 * A replica as a process of Node: `node web-demo/distributed/replica-node.js '<options as JSON>'`.
 */
import { Objm } from '@nats-io/obj';
import { connect } from '@nats-io/transport-node';
import { loadMnist } from '../data/mnist-node.js';
import { firstExamples } from '../data/mnist.js';
import { runReplica } from './replica.js';

const { server, images, ...options } = JSON.parse(process.argv[2]);
const { train, test } = await loadMnist();
const connection = await connect({ servers: server });
const store = await new Objm(connection).create(options.group);
await runReplica({
  ...options,
  connection,
  store,
  data: { train: firstExamples(train, images), test },
  onReport: (report) => connection.publish(`demo.${options.group}`, JSON.stringify(report)),
});
await connection.drain();
