/**
 * Training on more than one machine, over NATS: gradients averaged in each step, or weights every few steps.
 *
 *     import { connect } from '@nats-io/transport-node';   // in a page: wsconnect of @nats-io/nats-core
 *     const connection = await connect({ servers: 'nats.example.org' });
 *     const aggregateGradients = allReduce({ connection, group: 'mnist', rank, size: 3 });
 *     const optimizer = new RMSprop({ aggregateGradients });
 *     … await optimizer.stepAsync();
 *
 * The connection is the caller's: servers, credentials, TLS and reconnects are NATS's. Here is which bytes replicas
 * send each other, and what happens when one of them fails: all others get a GroupError, and weights, slots and
 * counters are as after the last whole step.
 */
import { finite, integer, knownOptions, ofType, rangeError, typeError } from './check.js';
import { compress, decompress } from './bfloat16.js';
import { BUS_OPTIONS } from './nats-bus.js';
import { BFLOAT16, FLOAT32 } from './nats-channel.js';
import { channelOf } from './nats-group.js';

export { GroupError } from './nats-bus.js';
export { join } from './nats-group.js';

/** @typedef {import('./arena.js').AggregateInfo} AggregateInfo */
/** @typedef {import('./nats-bus.js').BusOptions} BusOptions */
/** @typedef {import('./nats-bus.js').Connection} Connection */
/** @typedef {import('./nats-channel.js').Contribution} Contribution */
/** @typedef {import('./nats-channel.js').Codec} Codec */
/** @typedef {import('./nats-group.js').Group} Group */
/** @typedef {import('./nats-group.js').ObjectStore} ObjectStore */
/**
 * @typedef {object} Traffic
 * @property {number} sent bytes of messages, without NATS's own
 * @property {number} received
 * @property {number} refused messages that were not from the group
 */
/**
 * @typedef {{ group: Group } | (BusOptions & { rank: number, size: number })} Place the `Group` that `join` returned;
 *   or a connection and a group by name, with a rank in [0, size - 1] that no other replica has
 */
/**
 * @template F
 * @typedef {F & { close: () => void, traffic: Traffic }} Counted `close` ends its subscriptions, not the connection
 */
/**
 * @typedef {object} Averaged what weights are read from and written to: an RMSprop, or the same for a toolkit's model
 * @property {() => Float32Array} exportParameters
 * @property {(flat: Float32Array) => void} importParameters
 * @property {number} [iterations]
 * @property {import('./tensor.js').Tensor[]} [variables] its state, for `slots`
 */

const PLACE = [...BUS_OPTIONS, 'rank', 'size'];

/**
 * Makes a hook that adds or averages the gradients of all replicas, in the order of ranks: all get the same bits.
 *
 * @param {Place & {
 *   reduction?: 'mean' | 'sum',
 *   weight?: () => number,
 *   compression?: 'bfloat16' | null,
 * }} options `reduction`: default 'mean'. `weight`: of this replica's gradients in the mean, asked in each step, such
 * as
 *   the examples of its batch; default 1. `compression`: gradients and their mean travel as bfloat16, and what rounding
 *   takes away is added in the next step; default null
 * @returns {Counted<(flat: Float32Array, info: AggregateInfo) => Promise<void>>} for `aggregateGradients`
 * @throws {TypeError | RangeError} for a bad option
 */
export function allReduce(options) {
  knownOptions('allReduce', options, [...PLACE, 'reduction', 'weight', 'compression']);
  const { reduction = 'mean', weight, compression = null } = options;
  if (reduction !== 'mean' && reduction !== 'sum') throw rangeError('reduction', "'mean' or 'sum'", reduction);
  if (weight !== undefined) {
    ofType('weight', weight, 'function');
    if (reduction === 'sum') throw rangeError('reduction', "'mean' where weight is given", reduction);
  }
  if (compression !== null && compression !== 'bfloat16') {
    throw rangeError('compression', "'bfloat16' or null", compression);
  }
  const place = channelOf(options, 'gradients');
  const codec = compression === null ? plain : feedback();
  const combine = weight ? weightedMean : (/** @type {Contribution[]} */ all) => reduce(all, reduction);

  const hook = async (/** @type {Float32Array} */ flat, /** @type {AggregateInfo} */ { step }) => {
    const values = flat.slice(); // linear memory, which may move while peers are waited for
    const ownWeight = weight ? checkWeight('weight', weight()) : 1;
    const result = await place.channel().reduce({ step, values, weight: ownWeight, combine, codec });
    if (flat.length) flat.set(result); // a buffer that memory has left behind is the optimizer's to report
  };
  return withTraffic(hook, place);
}

/**
 * Averages weights every few steps instead of gradients in each: for small models and slow links ("local SGD", Stich,
 * ICLR 2019). Replicas differ in between.
 *
 * @param {Place & { every: number, slots?: boolean }} options `every`: steps, at least 1. `slots`: average the state of
 *   the optimizer too, default false
 * @returns {Counted<(source: Averaged) => Promise<boolean>>} to be called after each step, by all replicas alike;
 *   whether it has averaged. Steps are the source's `iterations`, else the calls
 * @throws {TypeError | RangeError} for a bad option
 */
export function localSgd(options) {
  knownOptions('localSgd', options, [...PLACE, 'every', 'slots']);
  const { every, slots = false } = options;
  integer('every', every, 1);
  ofType('slots', slots, 'boolean');
  const place = channelOf(options, 'parameters');
  let calls = 0;
  const average = async (/** @type {Averaged} */ source) => {
    const step = source.iterations ?? ++calls;
    if (step === 0 || step % every !== 0) return false;
    await averageAll(place, source, slots, step, 1);
    return true;
  };
  return withTraffic(average, place);
}

/**
 * Averages weights by the number of examples that each replica has trained on ("federated averaging", McMahan et al.,
 * AISTATS 2017).
 *
 * @param {Place & { slots?: boolean }} options `slots`: average the optimizer's state too, default false
 * @returns {Counted<(source: Averaged, examples: number) => Promise<void>>} to be called by all replicas alike, at the
 *   end of a round. `examples`: at least 0, not 0 for all
 * @throws {TypeError | RangeError} for a bad option
 */
export function federated(options) {
  knownOptions('federated', options, [...PLACE, 'slots']);
  const { slots = false } = options;
  ofType('slots', slots, 'boolean');
  const place = channelOf(options, 'parameters');
  const round = async (/** @type {Averaged} */ source, /** @type {number} */ examples) => {
    checkWeight('examples', examples);
    await averageAll(place, source, slots, place.channel().rounds, examples);
  };
  return withTraffic(round, place);
}

/**
 * @param {ReturnType<typeof channelOf>} place
 * @param {Averaged} source
 * @param {boolean} slots
 * @param {number} step
 * @param {number} weight
 */
async function averageAll(place, source, slots, step, weight) {
  if (typeof source?.exportParameters !== 'function' || typeof source.importParameters !== 'function') {
    throw typeError('source', 'an optimizer with exportParameters and importParameters', source);
  }
  if (slots && !source.variables) throw typeError('source', 'an optimizer with variables for slots', source);
  // The rate is among them: it is the same for all, and the mean of equal numbers is that number.
  const state = slots ? (source.variables ?? []).filter(({ dtype }) => dtype === 'float32') : [];
  const parameters = source.exportParameters();
  const values = new Float32Array(state.reduce((sum, { size }) => sum + size, parameters.length));
  values.set(parameters);
  let end = parameters.length;
  for (const { data, size } of state) values.set(data, (end += size) - size);

  const result = await place.channel().reduce({ step, values, weight, combine: weightedMean, codec: plain });
  source.importParameters(result.slice(0, parameters.length));
  end = parameters.length;
  for (const tensor of state) tensor.set(result.subarray(end, (end += tensor.size)));
}

/**
 * @param {string} name
 * @param {unknown} weight
 */
function checkWeight(name, weight) {
  if (finite(name, weight) < 0) throw rangeError(name, 'at least 0', weight);
  return /** @type {number} */ (weight);
}

/**
 * @template {(...args: any[]) => unknown} F
 * @param {F} call
 * @param {ReturnType<typeof channelOf>} place
 * @returns {Counted<F>}
 */
function withTraffic(call, { close, traffic }) {
  return /** @type {any} */ (Object.defineProperties(call, {
    close: { value: close },
    traffic: { get: traffic },
  }));
}

/**
 * ((g0 + g1) + g2) …, each sum rounded to float32; then divided by their number for the mean.
 *
 * @param {Contribution[]} contributions
 * @param {'mean' | 'sum'} reduction
 */
function reduce([first, ...others], reduction) {
  const sum = first.values.slice();
  for (const { values } of others) {
    for (let i = 0; i < sum.length; i++) sum[i] += values[i];
  }
  const count = others.length + 1;
  if (reduction === 'mean' && count > 1) {
    for (let i = 0; i < sum.length; i++) sum[i] /= count;
  }
  return sum;
}

/**
 * The sum of weight × value over the sum of weights, in float64 and then rounded: the mean of equal numbers is that
 * number.
 *
 * @param {Contribution[]} contributions
 * @throws {RangeError} if all weights are 0
 */
function weightedMean(contributions) {
  const total = contributions.reduce((sum, { weight }) => sum + weight, 0);
  if (!(total > 0)) throw rangeError('sum of all weights', 'greater than 0', total);
  const sum = new Float64Array(contributions[0].values.length);
  for (const { values, weight } of contributions) {
    if (weight === 0) continue; // whoever has seen no example may have anything
    for (let i = 0; i < sum.length; i++) sum[i] += weight * values[i];
  }
  return Float32Array.from(sum, (value) => value / total);
}

/** @param {ArrayBufferView} view */
const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);

/** @type {Codec} */
const plain = {
  encoding: FLOAT32,
  encode: (values) => ({ bytes: bytesOf(values), keep() {} }),
  decode: ({ buffer, byteOffset, byteLength }) => new Float32Array(buffer, byteOffset, byteLength / 4),
};

/** @returns {Codec} that keeps, apart for what is sent to rank 0 and what rank 0 sends, what rounding took away */
function feedback() {
  /** @type {Record<string, Float32Array | undefined>} */
  const kept = {};
  return {
    encoding: BFLOAT16,
    encode(values, part) {
      const { halves, leftOver } = compress(values, kept[part]?.length === values.length ? kept[part] : undefined);
      const keep = () => {
        kept[part] = leftOver;
      };
      return { bytes: bytesOf(halves), keep };
    },
    decode: ({ buffer, byteOffset, byteLength }) => decompress(new Uint16Array(buffer, byteOffset, byteLength / 2)),
  };
}
