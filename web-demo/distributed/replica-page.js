/**
 * A replica in a page: it takes the same options as one in Node from its address, and the data from the server of the
 * page.
 */
import { wsconnect } from '@nats-io/nats-core';
import { Objm } from '@nats-io/obj';
import { firstExamples, parseExamples } from '../mnist.js';
import { runReplica } from './replica.js';

const { server, images, data, ...options } = JSON.parse(decodeURIComponent(location.hash.slice(1)));

/** @param {string} name */
const fetchBytes = async (name) => new Uint8Array(await (await fetch(`${data}${name}-ubyte`)).arrayBuffer());

/** @param {'train' | 't10k'} name */
const load = async (name) =>
  parseExamples(await fetchBytes(`${name}-images-idx3`), await fetchBytes(`${name}-labels-idx1`));

const connection = await wsconnect({ servers: server });
const say = (/** @type {object} */ report) => connection.publish(`demo.${options.group}`, JSON.stringify(report));
try {
  const [train, test] = await Promise.all([load('train'), load('t10k')]);
  const store = await new Objm(connection).create(options.group);
  await runReplica({
    ...options, connection, store, data: { train: firstExamples(train, images), test }, onReport: say,
  });
} catch (error) {
  say({ name: options.name, event: 'failed', step: 0, rank: -1, size: 0, text: String(error) });
}
await connection.drain();
