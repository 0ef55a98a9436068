/**
 * Groups of replicas over a network in this process, whose links can be cut and whose messages can be sent again: what
 * a real server does not do when asked. tests/distributed has the real one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GroupError, allReduce, join } from 'rmsprop-wasm/nats';

const TIMEOUT = 300;

/** A server for connections of this process. */
class Network {
  /** All that was published. @type {{ subject: string, data: Uint8Array }[]} */
  sent = [];
  /** @type {{ subject: string, owner: number, callback: (error: any, message: any) => void }[]} */
  #subscriptions = [];
  /** Whether messages of one reach the other. */
  isConnected = (/** @type {number} */ _from, /** @type {number} */ _to) => true;

  /** @param {number} owner */
  connect(owner) {
    let reactions = 0;
    return {
      get reactions() { return reactions; },
      publish: (/** @type {string} */ subject, /** @type {Uint8Array} */ payload = new Uint8Array()) => {
        const data = payload.slice();
        this.sent.push({ subject, data });
        this.deliver(subject, data, owner);
      },
      subscribe: (/** @type {string} */ subject, /** @type {{ callback: any }} */ { callback }) => {
        const subscription = { subject, owner, callback };
        this.#subscriptions.push(subscription);
        return {
          unsubscribe: () => {
            this.#subscriptions = this.#subscriptions.filter((other) => other !== subscription);
          },
        };
      },
      closed: () => ({ then() { reactions++; } }),
      isClosed: () => false,
    };
  }

  /**
   * @param {string} subject
   * @param {Uint8Array} data
   * @param {number} from
   */
  deliver(subject, data, from) {
    for (const { subject: own, owner, callback } of this.#subscriptions) {
      if (own === subject && this.isConnected(from, owner)) setImmediate(callback, null, { data: data.slice() });
    }
  }

  get subscriptionCount() {
    return this.#subscriptions.length;
  }
}

const anyOf = (/** @type {any} */ value) => value;
const optimizerAt = (/** @type {number} */ iterations) => ({ iterations, save: () => new Uint8Array(), load() {} });

/**
 * @param {Network} network
 * @param {number} size
 * @param {object} [options]
 */
async function founded(network, size, options = {}) {
  const groups = await Promise.all(Array.from({ length: size }, (_, i) =>
    join(anyOf({ connection: network.connect(i), group: 'g', size, timeout: TIMEOUT, ...options }))));
  const owners = groups.map((group, i) => ({ group, owner: i })).sort((a, b) => a.group.rank - b.group.rank);
  assert.deepEqual(owners.map(({ group }) => group.rank), Array.from({ length: size }, (_, i) => i));
  return owners;
}

test('of two halves of a group none goes on by default; with allowSplit both do', async () => {
  const network = new Network();
  const members = await founded(network, 4);
  const half = new Map(members.map(({ owner }, rank) => [owner, rank < 2]));
  network.isConnected = (from, to) => half.get(from) === half.get(to);
  const regrouped = (/** @type {object} */ options) =>
    Promise.allSettled(members.map(({ group }) => group.regroup(optimizerAt(3), options)));
  for (const outcome of await regrouped({})) {
    assert.ok(outcome.status === 'rejected' && outcome.reason instanceof GroupError, JSON.stringify(outcome));
    assert.match(outcome.reason.message, /^only 2 of 4 replicas are left, 3 must be there, a majority \(fewer need allowSplit: true\)$/);
  }
  for (const outcome of await regrouped({ minimum: 2 })) {
    assert.ok(outcome.status === 'rejected');
    assert.match(`${outcome.reason}`, /^RangeError: minimum must be at least 3, a majority of 4 replicas, without allowSplit: true, got 2$/);
  }
  for (const outcome of await regrouped({ minimum: 2, allowSplit: true })) assert.equal(outcome.status, 'fulfilled');
  assert.deepEqual(members.map(({ group }) => group.size), [2, 2, 2, 2]);
  for (const { group } of members) group.close();
});

test('a majority goes on, and a group of two has none', async () => {
  for (const [size, left] of [[3, 2], [2, 1]]) {
    const network = new Network();
    const members = await founded(network, size);
    for (const { group } of members.splice(left)) group.close();
    const outcomes = await Promise.allSettled(members.map(({ group }) => group.regroup(optimizerAt(1))));
    for (const { status } of outcomes) assert.equal(status, size === 3 ? 'fulfilled' : 'rejected');
    await assert.rejects(members[0].group.regroup(optimizerAt(1), anyOf({ allowSplit: 1 })), /^TypeError: allowSplit must be of type boolean/);
    for (const { group } of members) group.close();
  }
});

for (const secret of [undefined, 'of the group']) {
  test(`messages of an earlier run do nothing in a later one, ${secret ? 'with' : 'without'} a secret`, async () => {
    const network = new Network();
    for (const { group } of await founded(network, 3, { secret })) await group.leave();
    const earlier = network.sent.splice(0);
    const again = () => {
      for (const { subject, data } of earlier) network.deliver(subject, data, -1);
    };
    const timer = setInterval(again, 20);
    try {
      const members = await founded(network, 3, { secret });
      assert.deepEqual(members.map(({ group }) => [group.size, group.isLate]), [[3, false], [3, false], [3, false]]);
      assert.equal(new Set(members.map(({ group }) => group.members.join())).size, 1);
      for (const { group } of members) group.close();
      // Nor does one who is alone take them for others.
      await assert.rejects(join(anyOf({ connection: network.connect(9), group: 'g', size: 3, timeout: TIMEOUT, secret })), {
        name: 'GroupError', message: /^1 of 3 replicas have come/,
      });
    } finally {
      clearInterval(timer);
    }
  });

  test(`of fixed ranks, too, an earlier run counts for nothing, ${secret ? 'with' : 'without'} a secret`, async () => {
    const network = new Network();
    const hooks = () => [0, 1, 2].map((rank) => allReduce(anyOf({
      connection: network.connect(rank), group: 'f', rank, size: 3, timeout: TIMEOUT, secret, reduction: 'sum',
    })));
    const step = async (/** @type {ReturnType<typeof hooks>} */ all, /** @type {number} */ scale) => {
      const flats = all.map((_, rank) => Float32Array.of(scale * (rank + 1)));
      await Promise.all(all.map((hook, rank) => hook(flats[rank], anyOf({ step: 0 }))));
      return flats.map(([sum]) => sum);
    };
    const first = hooks();
    assert.deepEqual(await step(first, 1), [6, 6, 6]);
    await assert.rejects(first[1](Float32Array.of(1), anyOf({ step: 1 })), GroupError); // an abort is among them
    for (const hook of first) hook.close();
    const earlier = network.sent.splice(0);
    assert.ok(earlier.length > 5);
    const second = hooks();
    const timer = setInterval(() => {
      for (const { subject, data } of earlier) network.deliver(subject, data, -1);
    }, 5);
    try {
      for (let round = 0; round < 20; round++) {
        for (const { subject, data } of earlier) network.deliver(subject, data, -1);
        assert.deepEqual(await step(second, 10 + round), Array(3).fill(60 + 6 * round));
      }
    } finally {
      clearInterval(timer);
      for (const hook of second) hook.close();
    }
  });
}

test('a closed hook leaves nothing on its connection', () => {
  const network = new Network();
  const connection = network.connect(0);
  for (let i = 0; i < 100; i++) {
    allReduce(anyOf({ connection, group: `h${i}`, rank: 0, size: 2 })).close();
  }
  assert.equal(network.subscriptionCount, 0);
  assert.equal(connection.reactions, 1, 'of 100 hooks, one waits for the end of the connection');
});

test('a time-out that a timer does not have is refused', () => {
  const connection = new Network().connect(0);
  for (const timeout of [2 ** 30 + 1, 2 ** 31, 1e12]) {
    assert.throws(() => allReduce(anyOf({ connection, group: 't', rank: 0, size: 2, timeout })), {
      name: 'RangeError', message: `timeout must be at most 1073741824 ms, got ${timeout}`,
    });
  }
});

test('the longest time-out is waited for', async () => {
  const network = new Network();
  const late = [0, 1].map((rank) => allReduce(anyOf({ connection: network.connect(rank), group: 'l', rank, size: 2, timeout: 2 ** 30 })));
  const flat = Float32Array.of(1);
  const follower = late[1](flat, anyOf({ step: 0 }));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await Promise.all([follower, late[0](Float32Array.of(3), anyOf({ step: 0 }))]);
  assert.deepEqual([...flat], [2]);
  for (const hook of late) hook.close();
});
