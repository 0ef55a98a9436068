/**
 * One replica of the training of trainer.js: it enters a group, lets others in, goes on when one is lost, and reports.
 * Runs in Node and in a page; the connection, the store and the data are given to it.
 */
import { allReduce, join } from '../../js/nats.js';
import { Trainer } from '../training/trainer.js';

/**
 * @typedef {object} Report
 * @property {string} name of the replica
 * @property {'ready' | 'joined' | 'step' | 'epoch' | 'failed' | 'regrouped' | 'done'} event
 * @property {number} step made so far
 * @property {number} rank
 * @property {number} size of the group
 * @property {string} [text] of a failure
 * @property {number} [epoch] that is over
 * @property {number} [loss] mean of the epoch, of this replica's shares
 * @property {string} [hash] SHA-256 of weights, slots and counters
 * @property {number} [accuracy] on the test set, at the end
 * @property {number} [sent] bytes
 * @property {number} [received] bytes
 */

/** How many failures in a row are too many. */
const PATIENCE = 3;

/**
 * @param {object} options
 * @param {string} options.name
 * @param {import('../../js/nats.js').Connection} options.connection
 * @param {import('../../js/nats.js').ObjectStore} options.store
 * @param {string} options.group
 * @param {number} options.size how many found the group
 * @param {number} options.timeout milliseconds
 * @param {{ train: import('../data/mnist.js').Examples, test: import('../data/mnist.js').Examples }} options.data
 * @param {Partial<import('../training/trainer.js').Settings>} options.settings
 * @param {(report: Report) => void} options.onReport
 * @returns {Promise<void>} when all epochs are over
 */
export async function runReplica({ name, data, settings, onReport, ...place }) {
  const group = await join(place);
  let own = 0;
  const hook = allReduce({ group, weight: () => own });
  const trainer = new Trainer({
    ...data,
    settings,
    part: {
      get index() { return group.rank; },
      get of() { return group.size; },
      async average(gradients, weight, loss, step) {
        own = weight;
        await hook(gradients, { step, tensors: [] });
        return loss; // of this replica's share alone
      },
    },
  });
  const report = (/** @type {Partial<Report> & { event: Report['event'] }} */ what) => {
    const { sent, received } = hook.traffic;
    onReport({ name, step: trainer.steps, rank: group.rank, size: group.size, sent, received, ...what });
  };
  try {
    let failures = 0;
    if (!group.isLate) report({ event: 'joined' });
    while (!trainer.done) {
      try {
        if (await group.synchronize(trainer.optimizer)) {
          trainer.resume();
          report({ event: 'joined' });
        }
        const { epoch, step, meanLoss } = await trainer.stepAsync();
        failures = 0;
        if (step === trainer.stepsPerEpoch) {
          report({ event: 'epoch', epoch, loss: meanLoss, hash: await hashOf(trainer.save()) });
        } else if (step % 10 === 0) {
          report({ event: 'step', epoch });
        }
      } catch (error) {
        if (/** @type {Error} */ (error).name !== 'GroupError' || ++failures === PATIENCE) throw error;
        report({ event: 'failed', text: /** @type {Error} */ (error).message });
        await group.regroup(trainer.optimizer);
        trainer.resume();
        report({ event: 'regrouped' });
      }
    }
    report({ event: 'done', hash: await hashOf(trainer.save()), accuracy: trainer.evaluate().raw });
  } finally {
    group.close();
    trainer.dispose();
  }
}

/** @param {Uint8Array} bytes */
async function hashOf(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', /** @type {Uint8Array<ArrayBuffer>} */ (bytes)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
