/**
 * Hosts of their own for processes on one machine: Linux network namespaces, each with a link to this one, and what
 * `tc` makes of the links. Where the machine does not allow it, says why.
 */
import { spawnSync } from 'node:child_process';

/** What is added to each link, in either direction, by what the kernel has. */
const SHAPES = [
  { text: 'a delay of 2 ms and a loss of 0.1 %', qdisc: ['netem', 'delay', '2ms', 'loss', '0.1%'] },
  {
    text: 'at most 100 Mbit/s, for this kernel has no netem: neither delay nor loss',
    qdisc: ['tbf', 'rate', '100mbit', 'burst', '64kb', 'latency', '400ms'],
  },
];

/**
 * @typedef {object} Host
 * @property {string[]} prefix of a command that is to run there
 * @property {string} address of this machine, as it is seen from there
 */
/**
 * @typedef {object} Network
 * @property {Host[]} hosts
 * @property {string} text what it is, for people
 * @property {() => void} remove
 */

/**
 * @param {number} count at most 200
 * @returns {Network} of so many hosts; without namespaces all of them are this one
 */
export function makeNetwork(count) {
  const name = (/** @type {number} */ i) => `rms${process.pid % 100000}n${i}`;
  const subnet = (/** @type {number} */ i) => `10.213.${(process.pid + i) % 250}`;
  /** @type {string[]} */
  const made = [];
  const remove = () => {
    for (const one of made.splice(0)) spawnSync('ip', ['netns', 'delete', one]); // its link goes with it
  };
  try {
    const hosts = Array.from({ length: count }, (_, i) => {
      const host = name(i);
      ip('netns', 'add', host);
      made.push(host);
      ip('link', 'add', `${host}v`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host);
      ip('address', 'add', `${subnet(i)}.1/30`, 'dev', `${host}v`);
      ip('link', 'set', `${host}v`, 'up');
      ip('-n', host, 'address', 'add', `${subnet(i)}.2/30`, 'dev', 'eth0');
      ip('-n', host, 'link', 'set', 'eth0', 'up');
      ip('-n', host, 'link', 'set', 'lo', 'up');
      return { prefix: ['ip', 'netns', 'exec', host], address: `${subnet(i)}.1` };
    });
    const shape = SHAPES.find(({ qdisc }) => made.every((host) =>
      tc('qdisc', 'replace', 'dev', `${host}v`, 'root', ...qdisc)
      && tc('-n', host, 'qdisc', 'replace', 'dev', 'eth0', 'root', ...qdisc)));
    const speed = shape?.text ?? 'as fast as they are: tc is missing or refused';
    return { hosts, remove, text: `network namespaces, ${speed}` };
  } catch (error) {
    remove();
    const reason = /** @type {Error} */ (error).message;
    const hosts = Array.from({ length: count }, () => ({ prefix: [], address: '127.0.0.1' }));
    return { hosts, remove, text: `this machine's loopback, for network namespaces are not to be had: ${reason}` };
  }
}

/** @param {string[]} args */
function ip(...args) {
  const { status, error, stderr } = spawnSync('ip', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(error?.message ?? stderr.trim());
}

/** @param {string[]} args @returns {boolean} whether it was done */
function tc(...args) {
  return spawnSync('tc', args, { stdio: 'ignore' }).status === 0;
}
