/** Replicas in one process, each with a connection of its own: a small network, its data, and hashes of its state. */
import { createHash } from 'node:crypto';
import { Objm } from '@nats-io/obj';
import { connect } from '@nats-io/transport-node';
import { RMSprop } from 'rmsprop-wasm';
import { Model } from '../../web-demo/model/model.js';
import { Random } from '../../web-demo/data/random.js';

/** @typedef {import('rmsprop-wasm').RMSprop} Optimizer */

export const LAYERS = [16, 12, 4];
export const BATCH = 24;
/** Options with state of every kind that a step carries on. */
export const OPTIONS = Object.freeze({
  learningRate: 0.003, momentum: 0.9, centered: true, globalClipnorm: 1, weightDecay: 0.004, useEma: true, name: 'rmsprop',
});

/**
 * The batch of a step: points whose class is where a fixed direction is largest.
 *
 * @param {number} step
 * @returns {{ inputs: Float32Array, labels: Uint8Array }}
 */
export function batchOf(step) {
  const random = new Random(step, 7);
  const inputs = Float32Array.from({ length: BATCH * LAYERS[0] }, () => random.symmetric());
  const labels = new Uint8Array(BATCH);
  for (let i = 0; i < BATCH; i++) {
    const scores = Array.from({ length: LAYERS[2] }, (_, c) =>
      inputs[i * LAYERS[0] + c] + 0.5 * inputs[i * LAYERS[0] + c + 4] - 0.5 * inputs[i * LAYERS[0] + c + 8]);
    labels[i] = scores.indexOf(Math.max(...scores));
  }
  return { inputs, labels };
}

/** One replica's model and optimizer. */
export class Learner {
  /** @param {object} [options] more than OPTIONS */
  constructor(options = {}) {
    this.model = new Model({ layers: LAYERS, batch: BATCH });
    this.optimizer = new RMSprop(/** @type {any} */ ({ ...OPTIONS, ...options }));
    this.optimizer.build(this.model.variables);
  }

  /**
   * Leaves the gradients of a part of a step's batch where the optimizer reads them.
   *
   * @param {number} step
   * @param {number} [rank]
   * @param {number} [size]
   * @returns {{ loss: number, count: number }}
   */
  differentiate(step, rank = 0, size = 1) {
    const { inputs, labels } = batchOf(step);
    const [first, end] = [rank, rank + 1].map((r) => Math.floor((BATCH * r) / size));
    const part = inputs.subarray(first * LAYERS[0], end * LAYERS[0]);
    return { loss: this.model.lossAndGradients(part, labels.subarray(first, end)), count: end - first };
  }

  /** @returns {string} of weights, slots and counters */
  hash() {
    return createHash('sha256').update(this.optimizer.save({ variables: true })).digest('hex');
  }
}

/**
 * @param {import('../../web-demo/distributed/server.js').Server} server
 * @param {number} count
 * @returns {Promise<import('@nats-io/nats-core').NatsConnection[]>}
 */
export function connections(server, count) {
  return Promise.all(Array.from({ length: count }, () => connect({ servers: server.url })));
}

/**
 * @param {import('@nats-io/nats-core').NatsConnection} connection
 * @param {string} [name]
 */
export const openStore = (connection, name = 'rmsprop') =>
  new Objm(connection).create(name, { storage: /** @type {any} */ ('memory') });
