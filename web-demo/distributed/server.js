/**
 * A NATS server of one's own, for the demo, tests and benchmarks: a process, its ports, and its end.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why there is none, or false: as Node's test runner takes it for `skip`. @type {string | false} */
export const noServer = spawnSync('nats-server', ['--version']).status === 0
  ? false : 'nats-server is not installed: apt-get install nats-server';

/**
 * @typedef {object} Server
 * @property {string} url for `connect`
 * @property {string} websocketUrl for `wsconnect`
 * @property {() => Promise<void>} stop
 */

/**
 * Starts a server, with JetStream and a WebSocket listener, on ports that are free.
 *
 * @param {object} [options]
 * @param {number} [options.maxPayload] of a message in bytes; default 1 MiB, as the server's own
 * @param {string} [options.host] to listen on; default this machine alone
 * @param {string} [options.more] lines of its configuration
 * @returns {Promise<Server>} when it listens
 */
export async function startServer({ maxPayload = 2 ** 20, host = '127.0.0.1', more = '' } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'nats-'));
  const configuration = join(folder, 'server.conf');
  writeFileSync(configuration, `
    listen: "${host}:-1"
    max_payload: ${maxPayload}
    jetstream { store_dir: "${folder}/jetstream" }
    websocket { listen: "${host}:-1", no_tls: true }
    ${more}
  `);
  const child = spawn('nats-server', ['-c', configuration], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (data) => { log += data; });
  const ended = new Promise((resolve) => { child.once('exit', resolve); });
  const stop = async () => {
    child.kill('SIGKILL'); // all it has is a temporary folder
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const isReady = new Promise((resolve) => {
    child.stderr.on('data', () => { if (log.includes('Server is ready')) resolve(true); });
  });
  if (await Promise.race([isReady, ended.then(() => false)])) {
    const [, address] = /Listening for client connections on (\S+)/.exec(log) ?? [];
    const [, websocketUrl] = /Listening for websocket clients on (\S+)/.exec(log) ?? [];
    if (address && websocketUrl) return { url: `nats://${address}`, websocketUrl, stop };
  }
  await stop();
  throw new Error(`nats-server did not start:\n${log}`);
}
