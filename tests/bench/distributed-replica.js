/**
 * A replica of `npm run bench:distributed`: all-reduces of so many floats over NATS, timed. Started by it.
 */
import { connect } from '@nats-io/transport-node';
import { allReduce } from '../../js/nats.js';

const [servers, group, ...numbers] = process.argv.slice(2);
const [rank, size, floats, rounds] = numbers.map(Number);
const connection = await connect({ servers });
const hook = allReduce({ connection, group, rank, size, timeout: 60_000 });
const values = Float32Array.from({ length: floats }, (_, i) => ((i * 7 + rank) % 13) - 6);
/** @type {number[]} */
const times = [];
let before = { sent: 0, received: 0 };
for (let step = 0; step < rounds; step++) {
  const flat = values.slice();
  const start = performance.now();
  await hook(flat, { step, tensors: [] });
  times.push(performance.now() - start);
  if (step === rounds - 2) before = hook.traffic;
}
const { sent, received } = hook.traffic;
await connection.flush(); // what the others wait for is with the server
process.send?.({ times, sent: sent - before.sent, received: received - before.received });
// The others may still be reading; the server keeps what it has for them.
await connection.close();
