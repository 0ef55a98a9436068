/**
 * The storage of browsers, on a fake of IndexedDB; tests/browsers has the real ones.
 */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { IDBFactory } from 'fake-indexeddb';
import { RMSprop, variable } from 'rmsprop-wasm';
import { deleteItem, listItems, loadItem, saveItem, toBlob } from 'rmsprop-wasm/storage';

const world = /** @type {any} */ (globalThis);
beforeEach(() => { world.indexedDB = new IDBFactory(); });

test('what is saved comes back, and is replaced, listed and deleted', async () => {
  const buffer = Uint8Array.of(9, 1, 2, 3, 9);
  await saveItem('b', buffer.subarray(1, 4));
  await saveItem('a', Uint8Array.of(4));
  buffer.fill(0);
  const loaded = await loadItem('b');
  assert.deepEqual([...loaded ?? []], [1, 2, 3]);
  assert.equal(loaded?.buffer.byteLength, 3, 'no more than the item is stored');
  assert.deepEqual(await listItems(), ['a', 'b']);
  await saveItem('b', Uint8Array.of(5));
  assert.deepEqual([...await loadItem('b') ?? []], [5]);
  await deleteItem('b');
  await deleteItem('b');
  assert.equal(await loadItem('b'), null);
});

test('an optimizer is saved with its variables, and an ArrayBuffer is taken', async () => {
  const w = variable([1, 2], { name: 'w' });
  const optimizer = new RMSprop({ momentum: 0.5 });
  optimizer.apply([[1, 1]], [w]);
  await saveItem('run', optimizer);
  const bytes = /** @type {any} */ (await loadItem('run'));
  assert.deepEqual(new Uint8Array(bytes), optimizer.save({ variables: true }));
  optimizer.load(bytes.slice().buffer);
  await saveItem('run', Uint8Array.of(1, 2).buffer);
  assert.deepEqual([...await loadItem('run') ?? []], [1, 2]);
  assert.deepEqual([...new Uint8Array(await toBlob(Uint8Array.of(3).buffer).arrayBuffer())], [3]);
});

test('a connection that is closing is opened again, once', async (t) => {
  await saveItem('run', Uint8Array.of(0)); // makes the database
  const closing = new DOMException('The database connection is closing.', 'InvalidStateError');
  const database = /** @type {any} */ (await import('fake-indexeddb')).IDBDatabase.prototype;
  const { transaction } = database;
  let failures = 1;
  const mock = t.mock.method(database, 'transaction', /** @this {any} */ function closed(/** @type {any[]} */ ...args) {
    if (failures-- > 0) throw closing;
    return transaction.apply(this, args);
  });
  await saveItem('run', Uint8Array.of(1));
  assert.equal(mock.mock.callCount(), 2);
  failures = 1;
  assert.deepEqual([...await loadItem('run') ?? []], [1]);
  failures = 2;
  await assert.rejects(saveItem('run', Uint8Array.of(2)), { name: 'InvalidStateError', message: /"run" cannot be saved: The database/ });
  assert.deepEqual([...await loadItem('run') ?? []], [1]);
});

test('an exceeded quota is reported with its numbers, and the old item stays', async (t) => {
  await saveItem('run', Uint8Array.of(1));
  const quota = new DOMException('too much', 'QuotaExceededError');
  const store = /** @type {any} */ (await import('fake-indexeddb')).IDBObjectStore.prototype;
  t.mock.method(store, 'put', /** @this {any} */ function put() {
    this.transaction._abort('QuotaExceededError');
    throw quota;
  });
  const before = Object.getOwnPropertyDescriptor(world, 'navigator');
  const fake = { storage: { estimate: async () => ({ usage: 90, quota: 100 }) } };
  Object.defineProperty(world, 'navigator', { value: fake, configurable: true });
  t.after(() => (before ? Object.defineProperty(world, 'navigator', before) : delete world.navigator));
  await assert.rejects(saveItem('run', Uint8Array.of(2)), {
    name: 'QuotaExceededError',
    message: '"run" cannot be saved: the storage quota of this origin is exceeded (90 of 100 bytes are in use)',
    cause: quota,
  });
  assert.deepEqual([...await loadItem('run') ?? []], [1]);
});

test('a transaction that fails when it is to be completed is reported', async (t) => {
  await saveItem('run', Uint8Array.of(1));
  const store = /** @type {any} */ (await import('fake-indexeddb')).IDBObjectStore.prototype;
  const { put } = store;
  t.mock.method(store, 'put', /** @this {any} */ function later(/** @type {any[]} */ ...args) {
    const request = put.apply(this, args);
    request.addEventListener('success', () => this.transaction.abort());
    return request;
  });
  await assert.rejects(saveItem('run', Uint8Array.of(2)), /"run" cannot be saved/);
  assert.deepEqual([...await loadItem('run') ?? []], [1]);
});

test('where there is no storage, and where it is refused, the error says so', async () => {
  world.indexedDB = { open() { throw new DOMException('The operation is insecure.', 'SecurityError'); } };
  await assert.rejects(loadItem('run'), { name: 'SecurityError', message: '"run" cannot be loaded: The operation is insecure.' });
  delete world.indexedDB;
  await assert.rejects(loadItem('run'), { message: '"run" cannot be loaded: there is no IndexedDB here' });
});

test('other arguments are refused', async () => {
  await assert.rejects(saveItem(/** @type {any} */ (3), Uint8Array.of(1)), {
    name: 'TypeError', message: 'name must be of type string, got 3',
  });
  await assert.rejects(loadItem(''), { name: 'TypeError', message: 'name must be at least one character, got ""' });
  await assert.rejects(saveItem('a', /** @type {any} */ ([1])), { name: 'TypeError', message: /^bytes must be a Uint8Array/ });
  assert.throws(() => toBlob(/** @type {any} */ ('a')), { name: 'TypeError', message: /^bytes must be a Uint8Array/ });
  assert.deepEqual(await listItems(), []);
});

test('a Blob has the bytes', async () => {
  const blob = toBlob(Uint8Array.of(9, 1, 2, 9).subarray(1, 3));
  assert.deepEqual([...new Uint8Array(await blob.arrayBuffer())], [1, 2]);
  assert.equal(blob.type, 'application/octet-stream');
});
