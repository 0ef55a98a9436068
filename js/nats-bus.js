/**
 * A NATS connection as the replicas of one group use it: messages in order, counted, and sealed where the group has a
 * secret. The connection is the caller's, any of `@nats-io/nats-core` 3: never opened or closed here.
 */
import { finite, ofType, rangeError, typeError } from './check.js';
import { decodeUtf8, encodeUtf8 } from './core/utf8.js';
import { Seal } from './nats-frames.js';

/**
 * @typedef {object} Message
 * @property {Uint8Array} data
 */
/**
 * @typedef {object} Connection what is used of a NatsConnection of `@nats-io/nats-core`
 * @property {{ max_payload: number }} [info] what the server said of itself
 * @property {(subject: string, payload?: Uint8Array) => void} publish
 * @property {(subject: string, options: { callback: (error: any, message: any) => void }) => { unsubscribe(): void }
 * } subscribe
 * @property {() => Promise<void | Error>} closed settles when the connection has ended for good
 * @property {() => boolean} isClosed
 */
/**
 * @typedef {object} BusOptions
 * @property {Connection} connection
 * @property {string} group letters, digits, `_` and `-`: a part of every subject
 * @property {number} [timeout] how long a peer is waited for, in milliseconds, default 10 000, at most 2³⁰: 12 days
 * @property {string} [secret] shared by the group; messages without its code are refused. Needs Web Crypto
 * @property {(subject: string) => void} [onRefused] called for each message that is not from the group
 */

/** The names of BusOptions. */
export const BUS_OPTIONS = ['connection', 'group', 'timeout', 'secret', 'onRefused'];

/** The longest time-out, in milliseconds. */
const MAX_TIMEOUT = 2 ** 30;

/** The longest delay of a timer, in milliseconds: a longer one would end at once. */
const MAX_DELAY = 2 ** 31 - 1;

/** What is to be told when a connection ends. @type {WeakMap<Connection, Set<(error: GroupError) => void>>} */
const listenersOf = new WeakMap();

/** What a replica is told when its peers and it cannot make the step together; its own state is as before. */
export class GroupError extends Error {
  /**
   * @param {string} message
   * @param {{ rank?: number, cause?: unknown }} [options] whose fault it is, where that is known
   */
  constructor(message, { rank, cause } = {}) {
    super(message, { cause });
    this.name = 'GroupError';
    this.rank = rank;
  }
}

/** One group's messages. */
export class Bus {
  #connection;
  #seal;
  #onRefused;
  /** What is being signed and sent, in order. */
  #outgoing = Promise.resolve();
  /** What is being verified and received: in one order for all topics, so that no farewell overtakes a result. */
  #incoming = Promise.resolve();
  bytesSent = 0;
  bytesReceived = 0;
  messagesRefused = 0;

  /**
   * @param {BusOptions} options
   * @throws {TypeError | RangeError} for a bad option
   */
  constructor({ connection, group, timeout = 10000, secret, onRefused = () => {} }) {
    if (typeof connection?.publish !== 'function' || typeof connection.subscribe !== 'function') {
      throw typeError('connection', 'a NatsConnection, as `connect` of @nats-io/transport-node returns', connection);
    }
    if (!/^[\w-]+$/.test(ofType('group', group, 'string'))) {
      throw rangeError('group', 'of letters, digits, _ and -', group);
    }
    if (finite('timeout', timeout) <= 0) throw rangeError('timeout', 'greater than 0', timeout);
    if (timeout > MAX_TIMEOUT) throw rangeError('timeout', `at most ${MAX_TIMEOUT} ms`, timeout);
    if (secret !== undefined && ofType('secret', secret, 'string') === '') {
      throw rangeError('secret', 'not empty', secret);
    }
    this.group = group;
    this.timeout = timeout;
    this.#connection = connection;
    this.#seal = new Seal(secret);
    this.#onRefused = ofType('onRefused', onRefused, 'function');
  }

  /** Makes sure that the connection is there. @throws {GroupError} if it is closed */
  check() {
    if (this.#connection.isClosed()) throw closedError();
  }

  /** @returns {number} the longest message that the server takes, in bytes */
  get limit() {
    return this.#connection.info?.max_payload ?? 2 ** 20;
  }

  /**
   * @param {string} topic
   * @param {Uint8Array} message not to be changed afterwards
   * @returns {Promise<void>} settles when it is the connection's
   * @throws {GroupError} as a rejection, if the connection is closed
   */
  publish(topic, message) {
    const subject = this.#subject(topic);
    const sent = this.#outgoing.then(async () => {
      const closed = await this.#seal.close(subject, message);
      this.check();
      this.#connection.publish(subject, closed);
      this.bytesSent += closed.length;
    });
    this.#outgoing = sent.catch(() => {});
    return sent;
  }

  /**
   * For what reaches the others on another way than by `publish`.
   *
   * @param {string} topic unlike that of any message
   * @param {Uint8Array} bytes
   * @returns {Promise<Uint8Array>} with the group's code, where it has a secret
   */
  seal(topic, bytes) {
    return this.#seal.close(this.#subject(topic), bytes);
  }

  /**
   * @param {string} topic
   * @param {Uint8Array} sealed
   * @returns {Promise<Uint8Array | undefined>} what was sealed; undefined if that was not by the group
   */
  unseal(topic, sealed) {
    return this.#seal.open(this.#subject(topic), sealed);
  }

  /**
   * @param {string} topic
   * @param {object} message of JSON
   * @returns {Promise<void>}
   */
  publishJson(topic, message) {
    return this.publish(topic, encodeUtf8(JSON.stringify(message)));
  }

  /**
   * @param {string} topic
   * @param {(message: Uint8Array) => boolean} receive gets what is signed, in order; returns false for what is not the
   *   group's
   * @returns {() => void} ends it
   */
  subscribe(topic, receive) {
    const subject = this.#subject(topic);
    const handle = async (/** @type {Uint8Array} */ data) => {
      const message = await this.#seal.open(subject, data);
      if (message && receive(message)) {
        this.bytesReceived += data.length;
      } else {
        this.messagesRefused++;
        this.#onRefused(subject);
      }
    };
    const subscription = this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) return; // the server's refusal also reaches the connection's status
        const data = new Uint8Array(message.data); // a copy: the client uses its buffer again
        this.#incoming = this.#incoming.then(() => handle(data)).catch(() => {});
      },
    });
    return () => {
      if (!this.#connection.isClosed()) subscription.unsubscribe();
    };
  }

  /**
   * @param {string} topic
   * @param {(message: any) => boolean} receive as for `subscribe`; gets objects
   * @returns {() => void} ends it
   */
  subscribeJson(topic, receive) {
    return this.subscribe(topic, (bytes) => {
      let message;
      try {
        message = JSON.parse(decodeUtf8(bytes));
      } catch {
        return false;
      }
      return typeof message === 'object' && message !== null && receive(message);
    });
  }

  /**
   * @param {(error: GroupError) => void} listener called when the connection ends
   * @returns {() => void} ends it
   */
  onClosed(listener) {
    const connection = this.#connection;
    let listeners = listenersOf.get(connection);
    if (!listeners) {
      // One for all that use the connection, which keeps nothing of those that have ended.
      const all = listeners = new Set();
      listenersOf.set(connection, all);
      connection.closed().then((cause) => {
        for (const tell of all) tell(closedError(cause));
      }, () => {});
    }
    const added = listeners.add(listener);
    return () => added.delete(listener);
  }

  /** @param {string} topic */
  #subject(topic) {
    return `rmsprop.${this.group}.${topic}`;
  }
}

/** @param {unknown} [cause] */
function closedError(cause) {
  return new GroupError('the NATS connection is closed', { cause });
}

/**
 * Something that is waited for, but not for ever.
 *
 * @template T
 */
export class Pending {
  /** @type {(value: T) => void} */
  resolve = () => {};
  /** @type {(error: unknown) => void} */
  reject = () => {};

  /**
   * @param {number} milliseconds
   * @param {() => unknown} late gives the error when they are over
   */
  constructor(milliseconds, late) {
    /** @type {Promise<T>} */
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    const timer = setTimeout(() => this.reject(late()), Math.min(milliseconds, MAX_DELAY));
    const clear = () => clearTimeout(timer);
    this.promise.then(clear, clear);
  }
}
