/**
 * Who is in a group of replicas, and with which rank. Members change between steps only, and all members change their
 * view of the group together: it is proposed by one, accepted by all whom it names, and then committed.
 *
 * A member accepts one proposal at a time. So two views that share a member cannot both come about, and the order of
 * ranks is the same for all.
 */
import { integer, knownOptions, ofType, rangeError, typeError } from './check.js';
import { hasBrand, isError } from './core/identity.js';
import { disposes } from './core/inspect.js';
import { BUS_OPTIONS, Bus, GroupError, Pending } from './nats-bus.js';
import { Channel } from './nats-channel.js';
import { nonce } from './nats-frames.js';

/** @typedef {import('./nats-bus.js').BusOptions} BusOptions */
/**
 * @typedef {object} ObjectStore what is used of an ObjectStore of `@nats-io/obj`
 * @property {(meta: { name: string }, data: Uint8Array) => Promise<unknown>} putBlob
 * @property {(name: string) => Promise<Uint8Array | null>} getBlob
 */
/**
 * @typedef {object} State what is used of an optimizer when a replica takes over the state of another
 * @property {(options: { variables: boolean }) => Uint8Array} save
 * @property {(bytes: Uint8Array) => void} load
 * @property {number} iterations
 */
/**
 * @typedef {object} View
 * @property {string} id
 * @property {string[]} members in the order of ranks
 */

/** How often what is not answered is said again, in milliseconds. */
const AGAIN = 100;
/** How long a proposal waits to be accepted, and how long who accepted one accepts no other, in milliseconds. */
const ACCEPTING = 1500;
const PROMISED = 3 * ACCEPTING;

/** A flag of rank 0's results: someone waits to be let in. */
const SOMEONE_WAITS = 1;

/** What calls say once the group is closed. */
const LEFT = 'the replica has left the group';

/** How many hellos are remembered at most, by their senders. */
const MAX_HEARD = 2 ** 17;

/** @returns {string} unlike all others */
const makeId = () => `${nonce().toString(36)}${nonce().toString(36)}`;

/**
 * Enters a group, or founds it together with others.
 *
 * @param {BusOptions & { size: number, store?: ObjectStore }} options `size`: how many found the group, at least 1.
 *   `store`: where state goes for those who come late, of `new Objm(connection).create(…)` of `@nats-io/obj`
 * @returns {Promise<Group>} once all are there; at once where the group exists: then `isLate` is true
 * @throws {TypeError | RangeError} for a bad option
 * @throws {GroupError} as a rejection, if too few others come within the time-out
 */
export async function join(options) {
  knownOptions('join', options, [...BUS_OPTIONS, 'size', 'store']);
  const { size, store } = options;
  integer('size', size, 1, 2 ** 16);
  if (store !== undefined && typeof store?.putBlob !== 'function') {
    throw typeError('store', 'an ObjectStore of @nats-io/obj', store);
  }
  const group = new Group(new Bus(options), store);
  try {
    await group.enter(size);
  } catch (error) {
    group.close();
    throw error;
  }
  return group;
}

const GROUP = Symbol.for('rmsprop-wasm.Group');

/** One replica's place in its group. Made by `join`. */
export class Group {
  #bus;
  #store;
  #id = makeId();
  /** @type {View | undefined} */
  #view;
  /** Where it belongs to, but waits to be let in. @type {View | undefined} */
  #host;
  /** Those who want to found or regroup, by id. @type {Map<string, { rank: number, step: number }>} */
  #seen = new Map();
  /** All whose hello has come, be it from an earlier run. @type {Set<string>} */
  #heard = new Set();
  /** Those who wait to be let in: rank 0 knows. @type {Set<string>} */
  #waiting = new Set();
  /** Whether rank 0 has told that it lets someone in, and has not yet done so or given it up. */
  #isDue = false;
  /** The one proposal that is accepted. @type {{ id: string, until: number } | undefined} */
  #promise;
  /** What it proposes. @type {{ view: View, accepted: Set<string>, pending: Pending<void> } | undefined} */
  #proposal;
  /** Called after every message. @type {(() => void) | undefined} */
  #wake;
  /** Called when this replica leaves. @type {((error: GroupError) => void) | undefined} */
  #stop;
  /** The messages about state, by id of their view. @type {Map<string, { name: string }>} */
  #states = new Map();
  /** What is exchanged. @type {Set<string>} */
  #purposes = new Set();
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  #end;

  /**
   * @param {Bus} bus
   * @param {ObjectStore | undefined} store
   */
  constructor(bus, store) {
    this.#bus = bus;
    this.#store = store;
    this.#end = bus.subscribeJson('members', (message) => this.#receive(message));
  }

  /** @returns {true} */
  get [GROUP]() {
    return true;
  }

  /** @returns {number} this replica's, from 0; -1 until it is let in */
  get rank() {
    return this.#view?.members.indexOf(this.#id) ?? -1;
  }

  /** @returns {number} how many members the group has */
  get size() {
    return (this.#view ?? this.#host)?.members.length ?? 0;
  }

  /** @returns {string} this replica's, for as long as it lives */
  get id() {
    return this.#id;
  }

  /** @returns {readonly string[]} all ids, in the order of ranks */
  get members() {
    return [...((this.#view ?? this.#host)?.members ?? [])];
  }

  /** @returns {boolean} whether the group was there before and `synchronize` has not yet let this replica in */
  get isLate() {
    return this.#host !== undefined;
  }

  /** @returns {{ sent: number, received: number, refused: number }} bytes sent and received, messages refused */
  get traffic() {
    const { bytesSent: sent, bytesReceived: received, messagesRefused: refused } = this.#bus;
    return { sent, received, refused };
  }

  /**
   * For allReduce, localSgd and federated.
   *
   * @param {string} purpose
   * @returns {Channel} of the group as it is now
   * @throws {GroupError} until it is let in, or after it has left
   */
  channel(purpose) {
    const channel = this.#channels.get(purpose);
    if (channel) return channel;
    throw new GroupError(this.#host ? 'the replica must be let in first: call synchronize(optimizer)'
      : 'the replica is in no group: it has left it, or must regroup');
  }

  /**
   * Makes a channel in this view of the group and in all that follow it.
   *
   * @param {string} purpose
   * @throws {RangeError} if there is one
   */
  open(purpose) {
    if (this.#purposes.has(purpose)) {
      throw new RangeError(`${purpose} must be exchanged by one hook a group: join another group for a second model`);
    }
    this.#purposes.add(purpose);
    if (this.#view) this.#openChannel(this.#view, purpose);
  }

  /**
   * @param {View} view
   * @param {string} purpose
   */
  #openChannel(view, purpose) {
    this.#channels.set(purpose, new Channel(this.#bus, {
      topic: `${view.id}.${purpose}`,
      rank: this.rank,
      size: this.size,
      flags: () => (this.#waiting.size && this.#store ? SOMEONE_WAITS : 0),
      onFlags: (flags) => {
        this.#isDue ||= (flags & SOMEONE_WAITS) !== 0;
      },
    }));
  }

  /**
   * Lets in those who wait. All members call it at the same places between steps; without anyone waiting it sends
   * nothing. A replica that came late calls it once before its first step: it returns when the replica has been let in
   * and its optimizer and weights are as those of rank 0 are.
   *
   * @param {State} optimizer built; with the names of variables and the options of all others
   * @returns {Promise<boolean>} whether the group has changed
   * @throws {GroupError} as a rejection, if no answer comes in time
   */
  async synchronize(optimizer) {
    if (this.#host) {
      await this.#beLetIn(optimizer);
      return true;
    }
    if (!this.#view) throw new GroupError(LEFT);
    if (!this.#isDue) return false;
    const old = this.#view;
    try {
      if (this.rank === 0) {
        await this.#letIn(old, optimizer);
      } else {
        await this.#until(2 * this.#bus.timeout, () => !this.#isDue, 'rank 0 neither let anybody in nor gave it up');
      }
    } finally {
      this.#isDue = false;
    }
    return this.#view !== old;
  }

  /**
   * @param {View} old
   * @param {State} optimizer
   */
  async #letIn(old, optimizer) {
    const view = { id: makeId(), members: [...old.members, ...this.#waiting] };
    try {
      await this.#putState(view, optimizer);
      await this.#propose(view);
    } catch (error) {
      // Whoever did not answer asks again, or is gone; the group goes on as it is.
      if (!isError(error, 'GroupError')) throw error;
    } finally {
      if (this.#view === old) this.#say({ type: 'cancel', view });
    }
  }

  /** @param {State} optimizer */
  async #beLetIn(optimizer) {
    // The others may be regrouping, which takes up to four time-outs.
    await this.#until(6 * this.#bus.timeout, () => this.#view !== undefined,
      'the group did not let this replica in (do its members call synchronize, and have they a store?)', () => {
        this.#say({ type: 'wait', group: this.#host?.id });
      });
    this.#host = undefined;
    const { id } = /** @type {View} */ (this.#view);
    await this.#takeState(id, optimizer);
  }

  /**
   * Goes on with those who are still there, after a step has failed. All who want to go on call it; those whose step
   * is behind take over the state of one who is ahead. Ranks keep their order.
   *
   * @param {State} optimizer
   * @param {object} [options]
   * @param {number} [options.minimum] how many must be there, default a majority of the group: where a network is cut
   *   in two, one part at most goes on. A group of two has none when one is lost
   * @param {boolean} [options.allowSplit] whether fewer than a majority may go on, default false: two parts of a group
   *   may then train on apart from each other, with other weights and without an error
   * @returns {Promise<void>}
   * @throws {TypeError | RangeError} as a rejection, for a bad option, and a minimum below a majority without
   *   `allowSplit`
   * @throws {GroupError} as a rejection, if too few come within the time-out
   */
  async regroup(optimizer, options = {}) {
    knownOptions('regroup', options, ['minimum', 'allowSplit']);
    const allowSplit = ofType('allowSplit', options.allowSplit ?? false, 'boolean');
    if (options.minimum !== undefined) integer('minimum', options.minimum, 1);
    const old = this.#view;
    if (!old) throw new GroupError('the replica is in no group');
    const majority = Math.floor(old.members.length / 2) + 1;
    const { minimum = majority } = options;
    if (minimum < majority && !allowSplit) {
      const needed = `at least ${majority}, a majority of ${old.members.length} replicas, without allowSplit: true`;
      throw rangeError('minimum', needed, minimum);
    }
    const { rank } = this;
    const { timeout } = this.#bus;
    const step = optimizer.iterations;
    this.#closeChannels();
    this.#seen.clear();
    // Errors reach replicas at different times: after rank 0 has waited, or after the others have.
    const settled = Date.now() + 2 * timeout;
    /** @type {Map<string, { rank: number, step: number }>} */
    let present = new Map();
    while (this.#view === old) {
      this.#say({ type: 'regroup', view: old.id, rank, step });
      await this.#pause(AGAIN);
      if (this.#view !== old) break;
      present = new Map([...this.#seen, [this.#id, { rank, step }]]);
      const all = present.size === old.members.length;
      if (!all && Date.now() < settled) continue;
      if (present.size < minimum) {
        const count = `${present.size} of ${old.members.length}`;
        const hint = minimum === majority ? ', a majority (fewer need allowSplit: true)' : '';
        throw new GroupError(`only ${count} replicas are left, ${minimum} must be there${hint}`);
      }
      const members = old.members.filter((id) => present.has(id));
      if (members[0] === this.#id) {
        const steps = Object.fromEntries(members.map((id) => [id, present.get(id)?.step ?? 0]));
        await this.#propose({ id: makeId(), members }, steps).catch(() => this.#pause(AGAIN * Math.random()));
      }
      if (this.#view === old && Date.now() > settled + 2 * timeout) {
        const missing = members[0] === this.#id ? 'the others' : `rank ${old.members.indexOf(members[0])}`;
        throw new GroupError(`${missing} did not regroup within ${4 * timeout} ms`);
      }
    }
    if (!this.#view) throw new GroupError(LEFT);
    const view = /** @type {View & { steps: Record<string, number> }} */ (this.#view);
    const newest = Math.max(...Object.values(view.steps));
    if (Object.values(view.steps).every((one) => one === newest)) return;
    const source = view.members.find((id) => view.steps[id] === newest);
    if (source === this.#id) {
      await this.#putState(view, optimizer);
    } else if (step < newest) {
      await this.#takeState(view.id, optimizer);
    }
  }

  /**
   * Leaves: the next step of the others fails, and they may regroup.
   *
   * @returns {Promise<void>}
   */
  async leave() {
    const text = `rank ${this.rank} has left the group`;
    for (const channel of this.#channels.values()) await channel.leave(text);
    this.close();
  }

  /** Ends it without a word. The connection stays open. */
  close() {
    this.#closeChannels();
    this.#end();
    this.#view = undefined;
    this.#host = undefined;
    this.#stop?.(new GroupError(LEFT));
  }

  static {
    disposes(this, 'close');
  }

  /**
   * For `join`.
   *
   * @param {number} size
   * @returns {Promise<void>}
   */
  async enter(size) {
    const until = Date.now() + this.#bus.timeout;
    while (!this.#view && !this.#host) {
      if (Date.now() > until) {
        const count = this.#seen.size + 1;
        throw new GroupError(`${count} of ${size} replicas have come to group ${this.#bus.group} within ${
          this.#bus.timeout} ms`);
      }
      this.#hello();
      await this.#pause(AGAIN);
      if (this.#view || this.#host) return;
      const members = [...this.#seen.keys(), this.#id].sort().slice(0, size);
      if (members.length === size && members[0] === this.#id) {
        // Others may have promised themselves to another proposal.
        await this.#propose({ id: makeId(), members }).catch(() => this.#pause(AGAIN * Math.random()));
      }
    }
  }

  /**
   * @param {View} view
   * @param {Record<string, number>} [steps] of its members
   * @throws {GroupError} as a rejection, if not all have accepted it
   */
  async #propose(view, steps) {
    const now = Date.now();
    if (this.#promise && this.#promise.until > now) throw new GroupError('another view of the group is proposed');
    this.#promise = { id: view.id, until: now + PROMISED };
    /** @type {Pending<void>} */
    const pending = new Pending(ACCEPTING, () => {
      const missing = view.members.filter((id) => !this.#proposal?.accepted.has(id));
      for (const id of missing) {
        this.#seen.delete(id); // whoever is still there says so again
        this.#waiting.delete(id);
      }
      return new GroupError(`${missing.length} of ${view.members.length} replicas did not accept the group`);
    });
    this.#proposal = { view, accepted: new Set([this.#id]), pending };
    try {
      if (view.members.length === 1) pending.resolve();
      this.#say({ type: 'propose', view, steps });
      await pending.promise;
      await this.#bus.publishJson('members', { type: 'commit', from: this.#id, view, steps });
      this.#adopt(view, steps);
    } catch (error) {
      this.#promise = undefined;
      this.#say({ type: 'cancel', view });
      throw error;
    } finally {
      this.#proposal = undefined;
    }
  }

  /**
   * @param {View} view
   * @param {Record<string, number>} [steps]
   */
  #adopt(view, steps) {
    this.#closeChannels();
    this.#view = Object.assign({ steps }, view);
    this.#promise = undefined;
    this.#isDue = false;
    this.#seen.clear();
    for (const id of view.members) this.#waiting.delete(id);
    for (const purpose of this.#purposes) this.#openChannel(view, purpose);
  }

  /**
   * @param {any} message
   * @returns {boolean} whether it is the group's
   */
  #receive(message) {
    const { type, from, view } = message;
    if (typeof from !== 'string') return false;
    if (from === this.#id) return true;
    if (view !== undefined && !Array.isArray(view?.members) && typeof view !== 'string') return false;
    switch (type) {
      case 'hello':
        if (this.#view) {
          if (this.rank === 0) this.#say({ type: 'formed', to: from, view: this.#view });
          break;
        }
        if (this.#host) break;
        if (!this.#heard.has(from) && this.#heard.size < MAX_HEARD) {
          this.#heard.add(from);
          this.#hello();
        }
        // Who has heard of this replica is of this run: no earlier one had its id.
        if (!Array.isArray(message.heard) || !message.heard.includes(this.#id)) break;
        this.#seen.set(from, { rank: -1, step: 0 });
        break;
      case 'formed':
        if (message.to !== this.#id || this.#view) break;
        // One whom it names has missed the commit.
        if (view.members.includes(this.#id)) this.#adopt(view);
        else this.#host = view;
        break;
      case 'wait':
        if (this.rank !== 0 || this.#view?.members.includes(from)) break;
        if (message.group === this.#view?.id) this.#waiting.add(from);
        else this.#say({ type: 'formed', to: from, view: this.#view });
        break;
      case 'regroup':
        if (this.#view?.id === view) this.#seen.set(from, { rank: message.rank, step: message.step });
        break;
      case 'propose':
        this.#answer(from, view);
        break;
      case 'accept':
        this.#accepted(from, view, true);
        break;
      case 'refuse':
        this.#accepted(from, view, false);
        break;
      case 'cancel':
        if (this.#promise?.id === view.id) this.#promise = undefined;
        if (from === this.#view?.members[0]) this.#isDue = false;
        break;
      case 'commit':
        if (this.#promise?.id === view.id && view.members.includes(this.#id)) this.#adopt(view, message.steps);
        break;
      case 'state':
        if (view.members.includes(this.#id)) this.#states.set(view.id, { name: message.name });
        break;
      default:
        return false;
    }
    this.#wake?.();
    return true;
  }

  /**
   * @param {string} proposer
   * @param {View} view
   */
  #answer(proposer, view) {
    if (!view.members.includes(this.#id)) return;
    // A member follows only what its own group proposes.
    const isOurs = !this.#view || this.#view.members.includes(proposer);
    const isFree = !this.#promise || this.#promise.id === view.id || this.#promise.until < Date.now();
    if (!isOurs || !isFree) {
      this.#say({ type: 'refuse', view: view.id });
      return;
    }
    this.#promise = { id: view.id, until: Date.now() + PROMISED };
    this.#say({ type: 'accept', view: view.id });
  }

  /**
   * @param {string} from
   * @param {string} id of the view
   * @param {boolean} accepts
   */
  #accepted(from, id, accepts) {
    const proposal = this.#proposal;
    if (proposal?.view.id !== id || !proposal.view.members.includes(from)) return;
    if (!accepts) proposal.pending.reject(new GroupError('another view of the group is proposed'));
    proposal.accepted.add(from);
    if (proposal.accepted.size === proposal.view.members.length) proposal.pending.resolve();
  }

  /**
   * @param {View} view
   * @param {State} optimizer
   */
  async #putState(view, optimizer) {
    if (!this.#store) throw new GroupError('join needs a store to hand state to another replica');
    // One a replica: what it puts later takes the place of what all have taken.
    const name = `${this.#bus.group}-${this.#id}`;
    await this.#store.putBlob({ name }, await this.#bus.seal(name, optimizer.save({ variables: true })));
    this.#states.set(view.id, { name });
    this.#say({ type: 'state', view: { id: view.id, members: view.members }, name });
  }

  /**
   * @param {string} id of the view
   * @param {State} optimizer
   */
  async #takeState(id, optimizer) {
    if (!this.#store) throw new GroupError('join needs a store to take over the state of another replica');
    await this.#until(2 * this.#bus.timeout, () => this.#states.has(id), 'no state came from the replica that has it');
    const { name } = /** @type {{ name: string }} */ (this.#states.get(id));
    const stored = await this.#store.getBlob(name);
    if (!stored) throw new GroupError(`the store has no ${name}`);
    const bytes = await this.#bus.unseal(name, stored);
    if (!bytes) throw new GroupError('the state in the store is not from the group');
    optimizer.load(bytes);
  }

  #hello() {
    this.#say({ type: 'hello', heard: [...this.#heard] });
  }

  /** @param {object} message */
  #say(message) {
    this.#bus.publishJson('members', { ...message, from: this.#id }).catch(() => {}); // time will tell
  }

  /** @param {number} milliseconds */
  #pause(milliseconds) {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  /**
   * @param {number} timeout
   * @param {() => boolean} isSo is asked after every message
   * @param {string} failure
   * @param {() => void} [again] done at once, and again until it is so
   */
  async #until(timeout, isSo, failure, again) {
    /** @type {Pending<void>} */
    const pending = new Pending(timeout, () => new GroupError(`${failure} within ${timeout} ms`));
    const timer = again && setInterval(again, AGAIN);
    const ended = this.#bus.onClosed(pending.reject);
    this.#stop = pending.reject;
    this.#wake = () => {
      if (isSo()) pending.resolve();
    };
    try {
      again?.();
      this.#wake();
      await pending.promise;
    } finally {
      this.#wake = undefined;
      this.#stop = undefined;
      ended();
      clearInterval(timer);
    }
  }

  #closeChannels() {
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
  }
}

/**
 * @param {unknown} group
 * @returns {group is Group}
 */
export function isGroup(group) {
  return hasBrand(group, GROUP);
}

/**
 * @param {any} options of allReduce, localSgd or federated: `group` is a Group, or its name, with rank and size
 * @param {string} purpose
 * @returns {{ channel: () => Channel, close: () => void, traffic: () => Group['traffic'] }}
 */
export function channelOf(options, purpose) {
  const { group, rank, size } = options;
  if (isGroup(group)) {
    const given = ['rank', 'size', ...BUS_OPTIONS].find((name) => name !== 'group' && options[name] !== undefined);
    if (given) throw new TypeError(`${given} must not be given with a group of join, which has one`);
    group.open(purpose);
    return { channel: () => group.channel(purpose), close: () => group.close(), traffic: () => group.traffic };
  }
  ofType('group', group, 'string');
  integer('size', size, 1, 2 ** 16);
  integer('rank', rank, 0, size - 1);
  const bus = new Bus(options);
  const channel = new Channel(bus, { topic: `fixed.${purpose}`, rank, size, isFixed: true });
  return {
    channel: () => channel,
    close: () => channel.close(),
    traffic: () => ({ sent: bus.bytesSent, received: bus.bytesReceived, refused: bus.messagesRefused }),
  };
}
