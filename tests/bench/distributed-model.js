/**
 * Where training on several machines pays off, computed: bytes over the slowest link, and the time of a step.
 *
 *     node tests/bench/distributed-model.js
 *
 * The model: all replicas step together, and each computes on a batch of its own for `compute` seconds. Then, every `every`
 * steps, B bytes per replica go to rank 0 and B come back. Links have a bandwidth in either direction and a latency; the
 * server has enough of both. Rank 0 must receive (n - 1) B over its own link, which is the bottleneck: so the time is that,
 * a B to send, and two hops to the server and back. The speed-up is n × compute / (compute + time / every).
 *
 * MPI is a ring: 2 (n - 1) / n B over each link, and 2 (n - 1) hops. What the model leaves out: the time to add up, stragglers,
 * losses; and that averaging weights every k steps needs more steps than averaging gradients in each.
 */
import { pathToFileURL } from 'node:url';

/**
 * @typedef {object} Setting
 * @property {string} name
 * @property {number} bandwidth of a replica's link, bits a second
 * @property {number} rootBandwidth of rank 0's
 * @property {number} latency of one hop, seconds
 * @property {boolean} isRing
 */

/** @type {Setting[]} */
const SETTINGS = [
  { name: 'browsers on 20 Mbit/s, rank 0 too', bandwidth: 20e6, rootBandwidth: 20e6, latency: 0.02, isRing: false },
  {
    name: 'browsers on 20 Mbit/s, rank 0 beside the server on 10 Gbit/s',
    bandwidth: 20e6,
    rootBandwidth: 10e9,
    latency: 0.02,
    isRing: false,
  },
  { name: 'Node on 1 Gbit/s', bandwidth: 1e9, rootBandwidth: 1e9, latency: 0.0005, isRing: false },
  { name: 'MPI on 10 Gbit/s', bandwidth: 10e9, rootBandwidth: 10e9, latency: 0.00005, isRing: true },
];

/**
 * @param {Setting} setting
 * @param {number} bytes of the buffer
 * @param {number} replicas
 * @returns {number} seconds of one all-reduce
 */
export function allReduceSeconds({ bandwidth, rootBandwidth, latency, isRing }, bytes, replicas) {
  if (replicas === 1) return 0;
  const bits = 8 * bytes;
  if (isRing) return 2 * (replicas - 1) * (bits / replicas / bandwidth + latency);
  const gather = Math.max(bits / bandwidth, ((replicas - 1) * bits) / rootBandwidth);
  const spread = Math.max(bits / bandwidth, bits / rootBandwidth);
  return gather + spread + 4 * latency;
}

/**
 * @param {number} compute seconds
 * @param {number} communicate seconds
 * @param {number} efficiency in (0, 1)
 * @returns {number} the fewest steps between averagings for that efficiency
 */
export function fewestSteps(compute, communicate, efficiency) {
  return Math.max(1, Math.ceil((communicate * efficiency) / (compute * (1 - efficiency))));
}

/** Prints the tables. */
export function printModel() {
  const sizes = /** @type {const} */ ([[0.1, 0.003], [0.1, 0.3], [1, 0.03], [1, 3]]);
  for (const setting of SETTINGS) {
    console.log(`\nComputed: ${setting.name}. Seconds of an all-reduce, float32 / bfloat16; speed-up with gradients averaged in `
      + 'each step;\nand steps between averagings of weights so that half of the time is computing\n');
    console.log('| million weights | s computing a step | 2 | 10 | 100 | 1 000 replicas |');
    console.log('|---|---|---|---|---|---|');
    for (const [millions, compute] of sizes) {
      const cells = [2, 10, 100, 1000].map((replicas) => {
        const [full, half] = [4, 2].map((bytes) => allReduceSeconds(setting, bytes * millions * 1e6, replicas));
        const speedUp = (replicas * compute) / (compute + full);
        return `${digits(full)} / ${digits(half)} s, ×${digits(speedUp)}, every ${fewestSteps(compute, full, 0.5)}`;
      });
      console.log(`| ${millions} | ${compute} | ${cells.join(' | ')} |`);
    }
  }
}

/** @param {number} value */
function digits(value) {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(2);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) printModel();
