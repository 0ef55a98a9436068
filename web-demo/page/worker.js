/**
 * The session in a worker of its own, so that the page never waits for a step.
 */
import { loadDataSet } from './data.js';
import { Session } from './session.js';

/** The part of a worker's global object that is used here, which the page's types don't know. */
const port = /** @type {Pick<Worker, 'postMessage' | 'onmessage'>} */ (/** @type {unknown} */ (globalThis));

const session = new Session({
  send: (reply) => port.postMessage(reply),
  loadData: (name, onProgress) => loadDataSet(name, new URL('data/manifest.json', import.meta.url), { onProgress }),
});

port.onmessage = ({ data }) => void session.handle(data);
