/**
 * A replica in a page: it takes the same options as one in Node from the page, and the data from the server of the
 * page.
 */
import { wsconnect } from '@nats-io/nats-core';
import { Objm } from '@nats-io/obj';
import { firstExamples, parseExamples } from '../data/mnist.js';
import { runReplica } from './replica.js';

/**
 * Loads, waits to be told to go, trains to the end, and reports over the connection.
 *
 * @param {any} options for the replica; `data` is the address of the folder of MNIST's files
 * @returns {Promise<void>}
 */
export async function run({ server, images, data, ...options }) {
  const fetchBytes = async (/** @type {string} */ name) =>
    new Uint8Array(await (await fetch(`${data}${name}-ubyte`)).arrayBuffer());
  const load = async (/** @type {'train' | 't10k'} */ name) =>
    parseExamples(await fetchBytes(`${name}-images-idx3`), await fetchBytes(`${name}-labels-idx1`));

  const connection = await wsconnect({ servers: server });
  const onReport = (/** @type {object} */ report) =>
    connection.publish(`demo.${options.group}`, JSON.stringify(report));
  try {
    const [train, test] = await Promise.all([load('train'), load('t10k')]);
    const store = await new Objm(connection).create(options.group);
    const go = new Promise((resolve) => {
      connection.subscribe(`demo.${options.group}.go`, { callback: resolve, max: 1 });
    });
    await connection.flush();
    onReport({ name: options.name, event: 'ready', step: 0, rank: -1, size: 0 });
    await go;
    const examples = { train: firstExamples(train, images), test };
    await runReplica({ ...options, connection, store, data: examples, onReport });
  } catch (error) {
    onReport({ name: options.name, event: 'failed', step: 0, rank: -1, size: 0, text: String(error) });
  }
  await connection.drain();
}
