/**
 * `npm run bench:distributed`: what it takes to bring the gradients of several replicas together.
 *
 * Each replica is a process of this machine with a network of 0.1 or 1 million weights. In turns, over NATS, by MPI and
 * through shared memory, which is the floor: nothing is sent. All rounds of all ways are of one run, so read ratios. The
 * efficiency is what it would be if every replica had a machine like this one to itself: the time of forward, backward and
 * step of one process alone, over that plus the all-reduce. Where it pays off with more replicas and slower links is
 * computed, from distributed-model.js.
 */
import { fork, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { RMSprop } from '../../js/index.js';
import { noServer, startServer } from '../../web-demo/distributed/server.js';
import { Model } from '../../web-demo/model/model.js';
import { printModel } from './distributed-model.js';
import { inTurn, summary } from '../../web-demo/page/turns.js';

/** Outputs of the hidden layer, for 784 inputs and 10 classes: 100 180 and 1 000 915 weights. */
const HIDDEN = [126, 1259];
const REPLICAS = [2, 3, 4];
const BATCH = 64;
/** All-reduces in one turn, the first of which warms up, and turns. */
const ROUNDS = 12;
const TURNS = 3;

const root = fileURLToPath(new URL('../..', import.meta.url));
const build = join(root, 'build/bench-mpi');

/**
 * @typedef {object} Way
 * @property {string} name
 * @property {(floats: number, replicas: number) => Promise<number[]>} measure milliseconds of each all-reduce
 * @property {(floats: number, replicas: number) => string} traffic bytes that a replica sends and receives in each
 */

/** @param {number} bytes */
const megabytes = (bytes) => (bytes / 1e6).toFixed(2);

/** @returns {Promise<{ way: Way, stop: () => Promise<void> }>} */
async function nats() {
  const server = await startServer();
  let group = 0;
  /** The bytes of rank 0 and of rank 1, by floats and replicas. @type {Map<string, { sent: number, received: number }[]>} */
  const traffic = new Map();
  return {
    stop: server.stop,
    way: {
      name: 'NATS',
      async measure(floats, replicas) {
        group++;
        const results = await Promise.all(Array.from({ length: replicas }, (_, rank) => new Promise((resolve, reject) => {
          const args = [server.url, `bench-${group}`, rank, replicas, floats, ROUNDS].map(String);
          const child = fork(join(root, 'tests/bench/distributed-replica.js'), args);
          child.once('message', resolve);
          child.once('exit', (code) => reject(new Error(`a replica ended with exit code ${code}`)));
        })));
        traffic.set(`${floats} ${replicas}`, results.map(({ sent, received }) => ({ sent, received })));
        return slowest(results.map(({ times }) => times));
      },
      traffic(floats, replicas) {
        const [first, other] = traffic.get(`${floats} ${replicas}`) ?? [];
        return `${megabytes(other.sent)} + ${megabytes(other.received)}, rank 0 ${megabytes(first.sent)} + ${megabytes(first.received)}`;
      },
    },
  };
}

/** @returns {Way | string} or why it is not there */
function mpi() {
  const env = {
    ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1', OMPI_MCA_rmaps_base_oversubscribe: '1',
  };
  const program = join(build, 'tests/mpi/mpi_all_reduce');
  for (const args of [['-S', root, '-B', build], ['--build', build, '--target', 'mpi_all_reduce']]) {
    const { status } = spawnSync('cmake', args, { encoding: 'utf8' });
    if (status !== 0) return 'no MPI was found: apt-get install openmpi-bin libopenmpi-dev';
  }
  return {
    name: 'MPI (C)',
    async measure(floats, replicas) {
      const { status, stdout, stderr } = spawnSync('mpirun', ['-np', `${replicas}`, program, `${floats}`, `${ROUNDS}`],
        { env, encoding: 'utf8' });
      if (status !== 0) throw new Error(stderr);
      return JSON.parse(stdout).rounds.map((/** @type {[number, number]} */ [reduce]) => reduce);
    },
    traffic: (floats, replicas) => {
      const bytes = megabytes((2 * (replicas - 1) * 4 * floats) / replicas);
      return `${bytes} + ${bytes} (as a ring; here memory is shared)`;
    },
  };
}

/** @type {Way} */
const sharedMemory = {
  name: 'shared memory',
  async measure(floats, replicas) {
    // A replica's gradient each, their mean, and two words for the barrier.
    const shared = new SharedArrayBuffer((replicas + 1) * floats * 4 + 8);
    const results = await Promise.all(Array.from({ length: replicas }, (_, rank) => new Promise((resolve, reject) => {
      const worker = new Worker(new URL('distributed-thread.js', import.meta.url),
        { workerData: { shared, rank, replicas, floats, rounds: ROUNDS } });
      worker.once('message', resolve);
      worker.once('error', reject);
    })));
    return slowest(results);
  },
  traffic: () => '0',
};

/**
 * @param {number[][]} times of each replica, by round
 * @returns {number[]} the longest of each round
 */
function slowest(times) {
  return times[0].map((_, round) => Math.max(...times.map((all) => all[round])));
}

/**
 * @param {number} hidden
 * @returns {{ floats: number, milliseconds: number }} the weights, and the median of a step of one process alone
 */
function alone(hidden) {
  const model = new Model({ layers: [784, hidden, 10], batch: BATCH });
  const optimizer = new RMSprop();
  optimizer.build(model.variables);
  const inputs = Float32Array.from({ length: 784 * BATCH }, (_, i) => ((i * 7) % 13) / 13);
  const labels = Uint8Array.from({ length: BATCH }, (_, i) => i % 10);
  const times = Array.from({ length: 30 }, () => {
    const start = performance.now();
    model.lossAndGradients(inputs, labels);
    optimizer.step();
    return performance.now() - start;
  });
  const floats = model.parameterCount;
  optimizer.dispose();
  model.dispose();
  return { floats, milliseconds: summary(times.slice(5)).median };
}

/** @type {Way[]} */
const ways = [];
const broker = noServer ? undefined : await nats();
try {
  if (broker) ways.push(broker.way);
  else console.log(`NATS is skipped: ${noServer}`);
  const processes = mpi();
  if (typeof processes === 'string') console.log(`MPI is skipped: ${processes}`);
  else ways.push(processes);
  ways.push(sharedMemory);

  console.log(`All-reduce on one machine, batch ${BATCH} on each replica; minimum / median of ${TURNS * (ROUNDS - 1)} rounds\n`);
  console.log('| weights | replicas | way | ms | MB sent + received by a replica | one process alone, ms | efficiency |');
  console.log('|---|---|---|---|---|---|---|');
  for (const hidden of HIDDEN) {
    const { floats, milliseconds } = alone(hidden);
    for (const replicas of REPLICAS) {
      /** @type {Map<Way, number[]>} */
      const times = new Map(ways.map((way) => [way, []]));
      for (let turn = 0; turn < TURNS; turn++) {
        for (const way of inTurn(ways, turn)) times.get(way)?.push(...(await way.measure(floats, replicas)).slice(1));
      }
      for (const [way, all] of times) {
        const { minimum, median } = summary(all);
        console.log(`| ${floats} | ${replicas} | ${way.name} | ${minimum.toFixed(2)} / ${median.toFixed(2)} | ${
          way.traffic(floats, replicas)} | ${milliseconds.toFixed(2)} | ${(milliseconds / (milliseconds + median)).toFixed(2)} |`);
      }
    }
  }
} finally {
  await broker?.stop();
}
printModel();
