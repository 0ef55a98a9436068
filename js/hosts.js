/**
 * What Node and browsers do differently with threads. Node's own modules are asked for so that no bundler for browsers
 * looks for them.
 */
/* global Worker */

/**
 * @typedef {object} Thread
 * @property {(message: unknown) => void} post
 * @property {(keeps: boolean) => void} keepAlive whether the process is kept alive by it, where there is a process
 * @property {() => unknown} terminate settles when it has ended, as far as the host tells
 */
/**
 * @typedef {object} Listeners
 * @property {(message: any) => void} onMessage
 * @property {(reason: string) => void} onEnd it has failed or ended
 */

/**
 * @param {string} name
 * @returns {Promise<any>} a module of Node's, undefined elsewhere
 */
async function nodeModule(name) {
  const { process } = /** @type {any} */ (globalThis);
  if (!process?.versions?.node) return undefined;
  return process.getBuiltinModule?.(name) ?? import(/* webpackIgnore: true */ /* @vite-ignore */ name);
}

/** @returns {Promise<number>} how many threads run at a time; 1 where nobody says */
export async function availableCores() {
  const os = await nodeModule('node:os');
  const { navigator } = /** @type {any} */ (globalThis);
  return os?.availableParallelism?.() ?? os?.cpus().length ?? navigator?.hardwareConcurrency ?? 1;
}

/**
 * Starts worker.js.
 *
 * @param {Listeners} listeners
 * @returns {Promise<Thread>}
 */
export async function startThread({ onMessage, onEnd }) {
  if (typeof Worker === 'function') {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'rmsprop-wasm' });
    worker.onmessage = ({ data }) => onMessage(data);
    worker.onmessageerror = () => onEnd('a message to it could not be read');
    worker.onerror = (event) => {
      event.preventDefault(); // it is reported to whoever uses the pool
      onEnd(event.message || 'its script could not be loaded');
    };
    return {
      post: (message) => worker.postMessage(message),
      keepAlive: () => {},
      terminate: () => worker.terminate(),
    };
  }
  const threads = await nodeModule('node:worker_threads');
  if (!threads) throw new Error('a ThreadPool needs Worker or node:worker_threads, and there is neither');
  // Not as above: a bundler would take it for a second worker.
  const here = import.meta.url;
  // Node would tie the output of each to the process's, and warn when there are more than ten; a worker writes nothing.
  const options = { execArgv: [], stdout: true, stderr: true };
  const worker = new threads.Worker(new URL('./worker.js', here), options);
  worker.on('message', onMessage);
  worker.on('error', (/** @type {Error} */ error) => onEnd(error.message));
  worker.on('exit', (/** @type {number} */ code) => onEnd(`exit code ${code}`));
  return {
    post: (message) => worker.postMessage(message),
    keepAlive: (keeps) => (keeps ? worker.ref() : worker.unref()),
    terminate: () => worker.terminate(),
  };
}

/**
 * In a worker: listens to the thread that started it.
 *
 * @param {(message: any, answer: (message: unknown) => void) => void} onMessage
 */
export async function listen(onMessage) {
  const port = (await nodeModule('node:worker_threads'))?.parentPort;
  const scope = /** @type {any} */ (globalThis);
  if (port) port.on('message', (/** @type {unknown} */ data) => onMessage(data, (answer) => port.postMessage(answer)));
  else scope.onmessage = (/** @type {any} */ { data }) => onMessage(data, (answer) => scope.postMessage(answer));
}
