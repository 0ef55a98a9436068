/**
 * Rounds in which every replica of a fixed group gives a buffer and gets back what became of all of them.
 *
 * Rank 0 combines, in the order of ranks, and sends one result. So all replicas take the same bits, each of the others
 * sends and receives one buffer, and a round has one moment of decision: rank 0 publishes the result of a whole round
 * or of none. Whoever can't go on publishes why before that, and the round is given up by all. A later round of the
 * same step may succeed: rounds are told apart by the number of attempts that were given up before.
 */
import { GroupError, Pending } from './nats-bus.js';
import { chunkLength, framesOf, nonce, readFrame } from './nats-frames.js';

/** @typedef {import('./nats-bus.js').Bus} Bus */
/** @typedef {import('./nats-frames.js').Frame} Frame */
/**
 * @typedef {object} Contribution
 * @property {Float32Array} values [n]
 * @property {number} weight
 */
/**
 * @typedef {object} Encoded
 * @property {Uint8Array} bytes
 * @property {() => void} keep is called when the round has succeeded
 */
/**
 * @typedef {object} Codec
 * @property {number} encoding how bytes stand for floats: FLOAT32 or BFLOAT16
 * @property {(values: Float32Array, part: 'own' | 'result') => Encoded} encode
 * @property {(bytes: Uint8Array) => Float32Array} decode
 */
/**
 * @typedef {object} Round
 * @property {number} step the same for all
 * @property {Float32Array} values [n] this replica's; left alone
 * @property {number} weight
 * @property {(contributions: Contribution[]) => Float32Array} combine by rank 0, in the order of ranks
 * @property {Codec} codec
 */

export const FLOAT32 = 0;
export const BFLOAT16 = 1;

/** How often a replica asks whether rank 0 is there, in milliseconds. */
const ASKING = 50;

/** What of a buffer has arrived. */
class Assembly {
  /** @type {(Uint8Array | undefined)[]} */
  #parts;
  #missing;

  /** @param {Frame} first */
  constructor(first) {
    this.frame = first;
    this.#parts = new Array(first.chunks);
    this.#missing = first.chunks;
    /** What is wrong with it. @type {string | undefined} */
    this.fault = undefined;
  }

  /** @returns {boolean} */
  get isWhole() {
    return this.#missing === 0;
  }

  /** @returns {string} */
  get progress() {
    return `${this.frame.chunks - this.#missing} of ${this.frame.chunks} parts`;
  }

  /**
   * Takes in a part.
   *
   * @param {Frame} frame
   */
  add(frame) {
    const { step, bytes, chunks, encoding, weight, flags } = this.frame;
    const length = chunkLength(bytes, chunks);
    const expected = Math.min(length, bytes - frame.chunk * length);
    if (!frame.intact) {
      this.fault ??= `a part that is corrupt (its checksum is wrong) in step ${step}`;
    } else if (frame.step !== step || frame.bytes !== bytes || frame.chunks !== chunks || frame.encoding !== encoding
      || !Object.is(frame.weight, weight) || frame.flags !== flags || frame.chunk >= chunks
      || frame.payload.length - expected < 0 || frame.payload.length - expected > 3) {
      this.fault ??= `parts that do not belong together (steps ${step} and ${frame.step})`;
    } else if (this.#parts[frame.chunk]) {
      this.fault ??= `part ${frame.chunk} of step ${step} twice: does another replica use its rank?`;
    } else {
      this.#parts[frame.chunk] = frame.payload.subarray(0, expected);
      this.#missing--;
    }
  }

  /** @returns {Uint8Array} the buffer, aligned */
  join() {
    const { bytes, chunks } = this.frame;
    const joined = new Uint8Array(bytes);
    const length = chunkLength(bytes, chunks);
    this.#parts.forEach((part, chunk) => joined.set(/** @type {Uint8Array} */ (part), chunk * length));
    return joined;
  }
}

/** The rounds of one purpose of one group, whose members and ranks do not change. */
export class Channel {
  #bus;
  #topic;
  #rank;
  #size;
  #flagsToSend;
  #onFlags;
  #attempt = 0;
  /** What has arrived, by rank of the sender. @type {Map<number, Assembly>} */
  #inbox = new Map();
  /**
   * The round that runs, until all that it waits for is there: then it is given that and is no longer this channel's,
   * so that nothing that comes on its heels, such as that a peer leaves, counts against it.
   *
   * @type {{ pending: Pending<Map<number, Assembly>>, step: number, length: number, encoding: number } | undefined}
   */
  #round;
  /** Resolved when rank 0 has answered what this replica has asked. @type {Pending<void> | undefined} */
  #welcome;
  /** What it has asked with: an answer to somebody else, or in an earlier run, does not have it. */
  #question = 0;
  /** Which run of the group it is: rank 0 says so, so that messages of earlier runs count for nothing. */
  #run;
  #isOpen = false;
  #isRunning = false;
  /** @type {(() => void)[]} */
  #ends;
  /** Why others gave up a round, since the last call. @type {GroupError | undefined} */
  #failure;
  /** Errors that others have told. @type {WeakSet<object>} */
  #known = new WeakSet();
  /** Rounds that have succeeded. */
  rounds = 0;

  /**
   * @param {Bus} bus
   * @param {object} options
   * @param {string} options.topic unlike that of any other channel of the group
   * @param {number} options.rank in [0, size - 1]
   * @param {number} options.size
   * @param {boolean} [options.isFixed] whether earlier runs may have had the topic, default false
   * @param {() => number} [options.flags] what rank 0 tells all with each result: an integer in [0, 2^32 - 1]
   * @param {(flags: number) => void} [options.onFlags] is told it, once the round has succeeded
   */
  constructor(bus, { topic, rank, size, isFixed = false, flags = () => 0, onFlags = () => {} }) {
    this.#bus = bus;
    this.#topic = topic;
    this.#rank = rank;
    this.#size = size;
    this.#flagsToSend = flags;
    this.#onFlags = onFlags;
    // A topic of one run alone tells it.
    this.#run = !isFixed ? 0 : rank === 0 ? nonce() : undefined;
    this.#ends = [
      bus.subscribe(`${topic}.${rank === 0 ? 'gather' : 'result'}`, (message) => this.#receive(message)),
      bus.subscribeJson(`${topic}.control`, (message) => this.#control(message)),
      bus.onClosed((error) => this.#giveUp(error)),
    ];
  }

  /** Ends it; a round that runs fails. */
  close() {
    for (const end of this.#ends.splice(0)) end();
    this.#giveUp(new GroupError('the replica has left the group'));
  }

  /**
   * Tells the others that this replica goes, and ends it.
   *
   * @param {string} reason
   * @returns {Promise<void>}
   */
  async leave(reason) {
    await this.#publish({
      type: 'abort', rank: this.#rank, attempt: this.#attempt, step: this.#round?.step, reason, culprit: this.#rank,
    });
    this.close();
  }

  /**
   * One round.
   *
   * @param {Round} round
   * @returns {Promise<Float32Array>} [n] the same bits for all
   * @throws {GroupError} as a rejection, on all replicas of the group; another attempt may follow
   */
  async reduce(round) {
    if (this.#ends.length === 0) throw new GroupError('the replica has left the group');
    if (this.#isRunning) throw new Error(`step ${round.step} cannot begin: the one before has not settled`);
    this.#throwFailure();
    this.#bus.check();
    this.#isRunning = true;
    try {
      const result = this.#rank === 0 ? await this.#lead(round) : await this.#follow(round);
      this.rounds++;
      return result;
    } catch (error) {
      this.#tell(error, round.step);
      this.#isOpen = false; // rank 0 may be another in the next attempt
      throw error;
    } finally {
      this.#isRunning = false;
      this.#round = undefined;
    }
  }

  /** Reports what others have told since the last call. */
  #throwFailure() {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
  }

  /** @param {Round} round */
  async #lead({ step, values, weight, combine, codec }) {
    const { timeout } = this.#bus;
    /** @type {Pending<Map<number, Assembly>>} */
    const pending = new Pending(timeout, () => this.#lateError(step, this.#others(), timeout));
    this.#round = { pending, step, length: values.length, encoding: codec.encoding };
    this.#check();
    const arrived = await pending.promise;
    this.#throwFailure(); // nothing is published yet
    const contributions = this.#others().map((rank) => {
      const assembly = /** @type {Assembly} */ (arrived.get(rank));
      return { values: codec.decode(assembly.join()), weight: assembly.frame.weight };
    });
    const result = codec.encode(combine([{ values, weight }, ...contributions]), 'result');
    const flags = this.#flagsToSend();
    await this.#send('result', { step, weight: 0, flags, encoding: codec.encoding }, result.bytes);
    result.keep();
    this.#onFlags(flags);
    return codec.decode(result.bytes);
  }

  /** @param {Round} round */
  async #follow({ step, values, weight, codec }) {
    await this.#open();
    this.#throwFailure();
    const own = codec.encode(values, 'own');
    // Rank 0 may have begun up to one time-out later, and then waits for one itself.
    const timeout = 2 * this.#bus.timeout;
    /** @type {Pending<Map<number, Assembly>>} */
    const pending = new Pending(timeout, () => this.#lateError(step, [0], timeout));
    this.#round = { pending, step, length: values.length, encoding: codec.encoding };
    const sent = this.#send('gather', { step, weight, flags: 0, encoding: codec.encoding }, own.bytes);
    const [, arrived] = await Promise.all([sent, pending.promise]);
    own.keep();
    return codec.decode(/** @type {Assembly} */ (arrived.get(0)).join());
  }

  /** Waits until rank 0 listens: what is published before is lost. */
  async #open() {
    if (this.#isOpen) return;
    const { timeout } = this.#bus;
    const late = () => new GroupError(`rank 0 did not answer within ${2 * timeout} ms`, { rank: 0 });
    /** @type {Pending<void>} */
    const welcome = new Pending(2 * timeout, late);
    this.#welcome = welcome;
    const question = this.#question = nonce();
    const ask = () => {
      this.#publish({ type: 'hello', rank: this.#rank, size: this.#size, question }).catch(welcome.reject);
    };
    ask();
    const timer = setInterval(ask, ASKING);
    try {
      await welcome.promise;
      this.#isOpen = true;
    } finally {
      clearInterval(timer);
      this.#welcome = undefined;
    }
  }

  /**
   * @param {'gather' | 'result'} way
   * @param {{ step: number, weight: number, flags: number, encoding: number }} fields
   * @param {Uint8Array} bytes
   */
  async #send(way, fields, bytes) {
    const all = { ...fields, run: this.#run ?? 0, attempt: this.#attempt, rank: this.#rank, size: this.#size };
    const frames = framesOf(all, bytes, this.#bus.limit);
    await Promise.all(frames.map((frame) => this.#bus.publish(`${this.#topic}.${way}`, frame)));
  }

  /** @param {object} message */
  #publish(message) {
    return this.#bus.publishJson(`${this.#topic}.control`, { ...message, run: this.#run });
  }

  #others() {
    return Array.from({ length: this.#size - 1 }, (_, i) => i + 1);
  }

  /**
   * @param {Uint8Array} message
   * @returns {boolean} whether it is the group's
   */
  #receive(message) {
    const frame = readFrame(message);
    if (!frame || frame.chunks === 0 || !(frame.rank < this.#size)) return false;
    if ((frame.rank === 0) === (this.#rank === 0)) return false; // results come from rank 0, all else goes to it
    if (frame.intact && frame.run !== this.#run) return false; // of an earlier run
    if (frame.attempt < this.#attempt) return true; // of a round that was given up
    if (frame.intact && frame.attempt > this.#attempt) {
      this.#advance(frame.attempt, new GroupError(`rank ${frame.rank} has given up step ${this.#round?.step}`,
        { rank: frame.rank }));
    }
    let assembly = this.#inbox.get(frame.rank);
    if (!assembly) this.#inbox.set(frame.rank, (assembly = new Assembly(frame)));
    if (frame.intact && frame.size !== this.#size) {
      assembly.fault ??= `as one of ${frame.size} replicas where there are ${this.#size}`;
    }
    assembly.add(frame);
    this.#check();
    return true;
  }

  /** Decides the round that runs if all is there, or if something is wrong. */
  #check() {
    if (!this.#round) return;
    const { pending, step, length, encoding } = this.#round;
    const due = described(length * bytesEach(encoding), encoding);
    for (const [rank, { frame, fault }] of this.#inbox) {
      const got = described(frame.bytes, frame.encoding);
      let wrong = fault;
      if (frame.step !== step) wrong ??= `step ${frame.step} where step ${step} is due`;
      if (got !== due) wrong ??= `${got} in step ${step} where ${due} are due`;
      if (wrong) return pending.reject(new GroupError(`rank ${rank} sent ${wrong}`, { rank }));
    }
    const senders = this.#rank === 0 ? this.#others() : [0];
    if (!senders.every((rank) => this.#inbox.get(rank)?.isWhole)) return;
    pending.resolve(this.#inbox);
    if (this.#rank !== 0) this.#onFlags(/** @type {Assembly} */ (this.#inbox.get(0)).frame.flags);
    this.#inbox = new Map();
    this.#round = undefined;
  }

  /**
   * @param {any} message
   * @returns {boolean} whether it is the group's
   */
  #control({ type, run, rank, size, to, question, attempt, reason, culprit, step }) {
    const isPeer = Number.isInteger(rank) && rank >= 0 && rank < this.#size;
    if (rank === this.#rank) return true; // NATS returns what one publishes oneself
    if (type === 'hello' && isPeer) {
      if (this.#rank !== 0) return true;
      const refusal = size === this.#size ? undefined : `rank 0 is one of ${this.#size} replicas, not of ${size}`;
      const answer = { type: 'welcome', rank: 0, to: rank, question, attempt: this.#attempt, reason: refusal };
      this.#publish(answer).catch(() => {});
    } else if (type === 'welcome' && rank === 0) {
      if (to !== this.#rank || !this.#welcome) return true;
      if (question !== this.#question || typeof run !== 'number') return false;
      if (reason) {
        this.#welcome.reject(new GroupError(reason, { rank: 0 }));
      } else {
        const isOther = run !== this.#run;
        this.#run = run;
        if (Number.isInteger(attempt) && (isOther || attempt > this.#attempt)) this.#advance(attempt);
        this.#welcome.resolve();
      }
    } else if (type === 'abort' && isPeer && Number.isInteger(attempt) && run === this.#run) {
      const text = step === undefined ? reason : `step ${step} was given up by rank ${rank}: ${reason}`;
      if (attempt >= this.#attempt) this.#advance(attempt + 1, new GroupError(text, { rank: culprit }));
    } else {
      return false;
    }
    return true;
  }

  /**
   * @param {number} attempt the one that is next
   * @param {GroupError} [error] for the round that runs
   */
  #advance(attempt, error) {
    this.#attempt = attempt;
    this.#inbox.clear();
    if (!error) return;
    this.#known.add(error);
    if (this.#round) this.#round.pending.reject(error);
    else this.#failure = error;
  }

  /** @param {GroupError} error that this replica alone has met */
  #giveUp(error) {
    this.#round?.pending.reject(error);
    this.#welcome?.reject(error);
  }

  /**
   * Tells the others why a round of this replica failed, and begins the next attempt.
   *
   * @param {any} error
   * @param {number} step
   */
  #tell(error, step) {
    if (this.#known.has(error)) return;
    const attempt = this.#attempt;
    this.#advance(attempt + 1);
    this.#publish({ type: 'abort', rank: this.#rank, attempt, step, reason: error.message, culprit: error.rank })
      .catch(() => {}); // without a connection they find out by time
  }

  /**
   * @param {number} step
   * @param {number[]} senders
   * @param {number} timeout
   */
  #lateError(step, senders, timeout) {
    const late = senders.filter((rank) => !this.#inbox.get(rank)?.isWhole);
    const [rank] = late;
    const texts = late.map((one) => `rank ${one} sent ${this.#inbox.get(one)?.progress ?? 'nothing'}`);
    const refused = this.#bus.messagesRefused;
    const hint = refused ? ` (${refused} messages were refused, as not from the group)` : '';
    return new GroupError(`${texts.join(', ')} of step ${step} within ${timeout} ms${hint}`, { rank });
  }
}

/** @param {number} encoding */
const bytesEach = (encoding) => (encoding === BFLOAT16 ? 2 : 4);

/**
 * @param {number} bytes
 * @param {number} encoding
 */
function described(bytes, encoding) {
  const count = bytes / bytesEach(encoding);
  return encoding <= BFLOAT16 ? `${count} ${encoding === BFLOAT16 ? 'bfloat16' : 'float32'} numbers`
    : `${bytes} bytes of encoding ${encoding}`;
}
