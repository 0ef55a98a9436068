/**
 * A web server for a folder's files on this machine, for the page (`npm run demo`) and for the tests in browsers.
 */
import { createServer } from 'node:http';
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import sirv from 'sirv';
import { typeError } from '../../js/check.js';

/** With them a page is cross-origin isolated: only then it has shared memory, and only what agrees can be embedded. */
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/**
 * Serves the files as they are at the moment of a request, each with its MIME type; a `.gz` file is not unpacked.
 * Listens on 127.0.0.1 alone.
 *
 * @param {string} folder
 * @param {object} [options]
 * @param {number} [options.port] 0, the default: one that is free
 * @param {boolean} [options.isolated] whether pages are cross-origin isolated, and so have shared memory; default false
 * @param {Record<string, string>} [options.headers] further ones, for every answer
 * @returns {Promise<{ url: string, close: () => Promise<void> }>} the address of the folder, which ends in a slash;
 *   `close` ends open connections too
 * @throws {TypeError} if `folder` is none
 * @throws {Error} if the port is taken
 */
export async function serve(folder, { port = 0, isolated = false, headers = {} } = {}) {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw typeError('folder', 'an existing one', folder);
  const all = { 'Cache-Control': 'no-store', ...(isolated ? isolation : {}), ...headers };
  const files = sirv(resolve(folder), { dev: true, etag: false });
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(all)) response.setHeader(name, value);
    files(request, response, () => {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found');
    });
  });
  await new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(port, '127.0.0.1', () => done(undefined));
  });
  const { port: taken } = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    url: `http://localhost:${taken}/`,
    close: () => new Promise((done) => {
      server.close(() => done());
      server.closeAllConnections();
    }),
  };
}
