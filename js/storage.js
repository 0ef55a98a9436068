/**
 * Checkpoints in a browser, or in one of its workers: in its storage, and as a Blob for the user to download.
 *
 *     import { loadItem, saveItem } from 'rmsprop-wasm/storage';
 *
 *     await saveItem('run', optimizer);         // or bytes: optimizer.save({ variables: true })
 *     const bytes = await loadItem('run');      // null where there is none
 *     if (bytes) optimizer.load(bytes);
 *
 * The items lie in IndexedDB, which every browser has in pages and workers: a transaction is kept whole or not at all,
 * so that a tab that is closed in the middle leaves the item as it was. They belong to the page's origin, and the
 * browser may clear them when space runs out, unless `navigator.storage.persist()` was granted.
 */
import { ofType, show, typeError } from './check.js';
import { bytesOf } from './core/bytes.js';

const DATABASE = 'rmsprop-wasm';
const STORE = 'checkpoints';

/**
 * @param {string} name an item of this name is replaced
 * @param {Uint8Array | ArrayBuffer | { save: (options: { variables: true }) => Uint8Array }} bytes which are copied; or
 *   an optimizer, which is then saved with its variables
 * @returns {Promise<void>} when the item is stored for good
 * @throws {TypeError} for other arguments, as a rejection
 * @throws {Error} a rejection where the browser's quota does not suffice (`name` is 'QuotaExceededError', and the text
 *   says how much is used of it) or it offers no storage; the old item is as it was
 */
export async function saveItem(name, bytes) {
  checkName(name);
  const given = typeof (/** @type {any} */ (bytes)?.save) === 'function'
    ? /** @type {any} */ (bytes).save({ variables: true }) : bytes;
  // A view would be stored with all of its buffer: the whole linear memory.
  const copy = bytesOf('bytes', given, 'a Uint8Array, an ArrayBuffer or an optimizer').slice();
  await run('saved', name, 'readwrite', (store) => store.put(copy, name));
}

/**
 * @param {string} name
 * @returns {Promise<Uint8Array | null>} what was saved, null where there is no such item
 * @throws {TypeError | Error} a rejection for another argument, or where the browser offers no storage
 */
export async function loadItem(name) {
  checkName(name);
  return (await run('loaded', name, 'readonly', (store) => store.get(name))) ?? null;
}

/**
 * Deletes an item, if there is one.
 *
 * @param {string} name
 * @returns {Promise<void>} when it is gone
 * @throws {TypeError | Error} a rejection for another argument, or where the browser offers no storage
 */
export async function deleteItem(name) {
  checkName(name);
  await run('deleted', name, 'readwrite', (store) => store.delete(name));
}

/**
 * @returns {Promise<string[]>} the names of all items, sorted
 * @throws {Error} a rejection where the browser offers no storage
 */
export async function listItems() {
  return (await run('listed', 'items', 'readonly', (store) => store.getAllKeys())).sort();
}

/**
 * @param {Uint8Array | ArrayBuffer} bytes copied
 * @returns {Blob} for a link to download: `link.href = URL.createObjectURL(blob)`; back by
 *   `new Uint8Array(await blob.arrayBuffer())`
 * @throws {TypeError} for another argument
 */
export function toBlob(bytes) {
  return new Blob([bytesOf('bytes', bytes).slice()], { type: 'application/octet-stream' });
}

/** @param {unknown} name */
function checkName(name) {
  if (ofType('name', name, 'string') === '') throw typeError('name', 'at least one character', name);
}

/**
 * @param {string} what is to be done
 * @param {string} name
 * @param {'readonly' | 'readwrite'} mode
 * @param {(store: IDBObjectStore) => IDBRequest} ask
 * @returns {Promise<any>} the answer, once the transaction is complete
 */
async function run(what, name, mode, ask) {
  try {
    return await runOnce(mode, ask).catch((error) => {
      // The browser was closing the connection, for want of memory or since the user clears data: nothing has begun.
      if (error?.name !== 'InvalidStateError') throw error;
      return runOnce(mode, ask);
    });
  } catch (error) {
    throw await explained(what, name, error);
  }
}

/**
 * @param {'readonly' | 'readwrite'} mode
 * @param {(store: IDBObjectStore) => IDBRequest} ask
 * @returns {Promise<any>} the answer, once the transaction is complete
 */
async function runOnce(mode, ask) {
  const database = await open();
  try {
    return await answer(database, mode, ask);
  } finally {
    database.close();
  }
}

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const { indexedDB } = globalThis;
    if (indexedDB === undefined) throw new Error('there is no IndexedDB here');
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error('another tab keeps an older version of the storage open'));
  });
}

/**
 * @param {IDBDatabase} database
 * @param {'readonly' | 'readwrite'} mode
 * @param {(store: IDBObjectStore) => IDBRequest} ask
 * @returns {Promise<any>}
 */
function answer(database, mode, ask) {
  return new Promise((resolve, reject) => {
    // Strict: complete means on the disk. Quotas are often reported at the end of a transaction only.
    const transaction = database.transaction(STORE, mode, { durability: 'strict' });
    const request = ask(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error ?? request.error ?? new Error('the browser gave up'));
  });
}

/**
 * @param {string} what
 * @param {string} name
 * @param {any} error
 * @returns {Promise<Error>} to throw
 */
async function explained(what, name, error) {
  let reason = `${error?.message || error?.name || error}`;
  if (error?.name === 'QuotaExceededError') {
    const { usage, quota } = await globalThis.navigator?.storage?.estimate?.().catch(() => undefined) ?? {};
    reason = 'the storage quota of this origin is exceeded';
    if (quota !== undefined) reason += ` (${usage} of ${quota} bytes are in use)`;
  }
  const failure = new Error(`${show(name)} cannot be ${what}: ${reason}`, { cause: error });
  if (typeof error?.name === 'string') failure.name = error.name;
  return failure;
}
