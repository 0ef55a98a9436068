/**
 * Files on disk: killed at any moment, the old or the new one is there, whole; every failure says why, leaves the old
 * one as it was and no temporary file.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync, chownSync, closeSync, lstatSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync,
  statSync, symlinkSync, utimesSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { LossScaleOptimizer, RMSprop, readSafetensors, variable } from 'rmsprop-wasm';
import * as legacyFacade from 'rmsprop-wasm/legacy';
import { loadFile, saveFile } from 'rmsprop-wasm/node';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';
import { readAll, writeAll } from '../../js/files/parts.js';

/**
 * @param {import('node:test').TestContext} t
 * @returns {string} a folder that is removed after the test
 */
function folderFor(t) {
  const folder = mkdtempSync(join(tmpdir(), 'rmsprop-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('an optimizer goes to disk and comes back with its variables; bytes are taken as they are', (t) => {
  const path = join(folderFor(t), 'run.safetensors');
  const v = variable([1, 2, 3], { name: 'w' });
  const optimizer = new RMSprop({ momentum: 0.5 });
  optimizer.apply([[1, 2, 3]], [v]);
  saveFile(path, optimizer);
  const bytes = loadFile(pathToFileURL(path));
  assert.deepEqual(bytes, optimizer.save({ variables: true }));
  assert.equal(bytes.byteOffset, 0);
  optimizer.load(bytes);
  saveFile(pathToFileURL(path), Uint8Array.of(1, 2));
  assert.deepEqual([...loadFile(path)], [1, 2]);
  assert.deepEqual(readdirSync(join(path, '..')), ['run.safetensors']);
});

test('every optimizer is saved in parts, the bytes of its save', (t) => {
  const path = join(folderFor(t), 'run.safetensors');
  const w = () => variable([1, 2, 3], { name: 'w' });
  const [keras, scaled] = [new RMSprop({ momentum: 0.5 }), new LossScaleOptimizer(new RMSprop({ centered: true }))];
  for (const optimizer of [keras, scaled]) optimizer.apply([[1, 2, 3]], [w()]);
  const [legacy, v1] = [new legacyFacade.RMSprop({ momentum: 0.5 }), new RMSPropOptimizer({ learningRate: 1 })];
  for (const optimizer of [legacy, v1]) optimizer.applyGradients([[[1, 2, 3], w()]]);
  for (const optimizer of [keras, scaled, legacy, v1]) {
    const bytes = optimizer.save({ variables: true });
    const save = t.mock.method(/** @type {any} */ (optimizer), 'save');
    saveFile(path, optimizer);
    assert.equal(save.mock.callCount(), 0, 'the state was copied');
    assert.deepEqual(loadFile(path), bytes);
    optimizer.load(/** @type {any} */ (bytes.buffer));
  }
});

test('permissions and symbolic links stay', { skip: process.platform === 'win32' && 'Windows has neither' }, (t) => {
  const folder = folderFor(t);
  const [path, link] = [join(folder, 'file'), join(folder, 'link')];
  writeFileSync(path, 'old');
  chmodSync(path, 0o640);
  symlinkSync('file', link);
  saveFile(link, Buffer.from('new'));
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.equal(readFileSync(path, 'latin1'), 'new');
  assert.equal(statSync(path).mode & 0o777, 0o640);
});

test('files are written and read in parts of any size, also where a file does not say how long it is', (t) => {
  const path = join(folderFor(t), 'file');
  const bytes = Uint8Array.from({ length: 200_000 }, (_, i) => (i * i) % 251);
  for (const limit of [1000, 4096, 65_536, 199_999, 200_000, 200_001]) {
    const written = openSync(path, 'w');
    writeAll(written, bytes, limit);
    closeSync(written);
    assert.deepEqual(new Uint8Array(readFileSync(path)), bytes);
    for (const size of [200_000, 0, 1, 150_000, 300_000]) {
      const read = openSync(path, 'r');
      const all = readAll(read, size, limit);
      closeSync(read);
      assert.deepEqual([all.length, all.buffer.byteLength], [200_000, 200_000]);
      assert.deepEqual(all, bytes, `${size} ${limit}`);
    }
  }
});

test('an ArrayBuffer is taken; bytes whose buffer is detached are refused, and the old file stays', (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'file');
  saveFile(path, Uint8Array.of(1, 2).buffer);
  assert.deepEqual([...loadFile(path)], [1, 2]);
  const bytes = Uint8Array.of(3);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  for (const detached of [bytes, bytes.buffer, { save: () => bytes }]) {
    assertRefused(folder, path, detached, { name: 'TypeError', message: /^content must be .* that is not detached/ });
  }
});

test('a name may be as long as the system allows, and no longer', (t) => {
  const folder = folderFor(t);
  for (const name of ['a'.repeat(255), `${'é'.repeat(127)}a`, `a${'é'.repeat(127)}`, '😀'.repeat(63)]) {
    saveFile(join(folder, name), Uint8Array.of(4));
    assert.deepEqual(readdirSync(folder), [name]);
    assert.deepEqual([...loadFile(join(folder, name))], [4]);
    rmSync(join(folder, name));
  }
  assertRefused(folder, join(folder, 'a'.repeat(256)), Uint8Array.of(4), { code: 'ENAMETOOLONG' });
});

test('a link to a file that is not there yet makes it; one that leads to itself is refused', {
  skip: process.platform === 'win32' && 'Windows lets not everybody make links',
}, (t) => {
  const folder = folderFor(t);
  mkdirSync(join(folder, 'sub'));
  symlinkSync('sub/second', join(folder, 'first'));
  symlinkSync('../file', join(folder, 'sub/second'));
  saveFile(join(folder, 'first'), Uint8Array.of(5));
  assert.deepEqual([...loadFile(join(folder, 'file'))], [5]);
  assert.ok(lstatSync(join(folder, 'first')).isSymbolicLink() && lstatSync(join(folder, 'sub/second')).isSymbolicLink());
  assert.deepEqual(readdirSync(folder).sort(), ['file', 'first', 'sub']);
  symlinkSync('loop', join(folder, 'loop'));
  assert.throws(() => saveFile(join(folder, 'loop'), Uint8Array.of(1)), { code: 'ELOOP', message: /leads to itself/ });
  symlinkSync('none/file', join(folder, 'nowhere'));
  assert.throws(() => saveFile(join(folder, 'nowhere'), Uint8Array.of(1)), { code: 'ENOENT' });
});

test('the owner of a file stays where the system permits it', {
  skip: process.getuid?.() !== 0 && 'only root may give files away',
}, (t) => {
  const path = join(folderFor(t), 'file');
  writeFileSync(path, 'old');
  chownSync(path, 65534, 65533);
  chmodSync(path, 0o4750);
  saveFile(path, Uint8Array.of(6));
  const { uid, gid, mode } = statSync(path);
  assert.deepEqual([uid, gid, mode & 0o7777, ...loadFile(path)], [65534, 65533, 0o4750, 6]);
});

test('a save removes what killed processes have left of the same file, once it is old', (t) => {
  const folder = folderFor(t);
  const old = new Date(Date.now() - 3_600_000);
  const [left, young, ofAnother, ofTheUser] = ['file.0123456789abcdef.tmp', 'file.fedcba9876543210.tmp',
    'file2.0123456789abcdef.tmp', 'file.notes.tmp'];
  for (const name of [left, young, ofAnother, ofTheUser]) {
    writeFileSync(join(folder, name), 'cut');
    if (name !== young) utimesSync(join(folder, name), old, old);
  }
  saveFile(join(folder, 'file'), Uint8Array.of(7));
  assert.deepEqual(readdirSync(folder).sort(), ['file', young, ofAnother, ofTheUser].sort());
});

test('killed at a random moment, the old or the new file is there, whole', async (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'run.safetensors');
  // Every generation is a well-formed file that says which it is, in every element.
  const script = `
    import { writeSafetensors } from ${JSON.stringify(new URL('../../js/safetensors.js', import.meta.url).href)};
    import { saveFile } from ${JSON.stringify(new URL('../../js/node.js', import.meta.url).href)};
    for (let i = 0; ; i++) {
      const w = { shape: [100000], data: new Float32Array(100000).fill(i) };
      saveFile(${JSON.stringify(path)}, writeSafetensors({ w }, { i: String(i) }));
      if (i === 0) process.stdout.write('started');
    }`;
  const seed = 20261124;
  t.diagnostic(`seed ${seed}`);
  let state = seed;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const seen = new Set();
  let cut = 0;
  for (let round = 0; round < 30; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await new Promise((resolve) => setTimeout(resolve, random() * 30));
    child.kill('SIGKILL');
    await ended;
    const { tensors, metadata } = readSafetensors(loadFile(path));
    const data = /** @type {Float32Array} */ (tensors.get('w')?.data);
    assert.ok(data.length === 100000 && data.every((x) => x === Number(metadata.i)), `round ${round}`);
    seen.add(metadata.i);
    for (const name of readdirSync(folder)) {
      if (name === 'run.safetensors') continue;
      assert.match(name, /^run\.safetensors\..*\.tmp$/);
      cut++;
      rmSync(join(folder, name));
    }
  }
  t.diagnostic(`${cut} of 30 were killed while they wrote; generations ${[...seen]}`);
  assert.ok(cut > 0, 'no kill hit a write: the test has shown nothing');
});

/**
 * Asserts that saving fails and that nothing has changed.
 *
 * @param {string} folder
 * @param {string} path
 * @param {unknown} content
 * @param {object} expected of the error
 */
function assertRefused(folder, path, content, expected) {
  const listing = () => readdirSync(folder).map((name) => {
    const stats = statSync(join(folder, name));
    return [name, stats.isFile() ? readFileSync(join(folder, name), 'latin1').slice(0, 100) : stats.mode];
  });
  const before = listing();
  assert.throws(() => saveFile(path, /** @type {any} */ (content)), expected);
  assert.deepEqual(listing(), before);
}

test('what a killed process left is in the way of no other, not even of one with its process id', (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'file');
  for (let count = 0; count < 100; count++) writeFileSync(`${path}.${process.pid}.${count}.tmp`, 'cut');
  saveFile(path, Uint8Array.of(7));
  assert.deepEqual([...loadFile(path)], [7]);
});

test('a missing directory, a directory in the place of the file and a file in that of a directory are refused', (t) => {
  const folder = folderFor(t);
  mkdirSync(join(folder, 'sub'));
  writeFileSync(join(folder, 'file'), 'old');
  const bytes = Uint8Array.of(1);
  assertRefused(folder, join(folder, 'none/x'), bytes, { code: 'ENOENT', message: /none\/x" cannot be saved: the directory or file does not exist \(ENOENT\)$/ });
  assertRefused(folder, join(folder, 'sub'), bytes, { code: 'EISDIR', message: /the path is a directory/ });
  assertRefused(folder, join(folder, 'file/x'), bytes, { code: 'ENOTDIR', message: /a part of the path is no directory/ });
  assert.throws(() => loadFile(join(folder, 'none')), { code: 'ENOENT', message: /cannot be loaded: the directory or file does not exist/ });
});

test('other arguments are refused', (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'file');
  writeFileSync(path, 'old');
  assertRefused(folder, path, 'text', {
    name: 'TypeError', message: 'content must be a Uint8Array, an ArrayBuffer or an optimizer, got "text"',
  });
  assertRefused(folder, path, null, { name: 'TypeError', message: /content must be/ });
  assertRefused(folder, path, { save: () => 3 }, { name: 'TypeError', message: /content must be/ });
  assertRefused(folder, path, { save() { throw new Error('not now'); } }, { message: 'not now' });
  for (const name of [undefined, 3, '', 'a\0b', new URL('http://a/b')]) {
    assert.throws(() => saveFile(/** @type {any} */ (name), Uint8Array.of(1)), { name: 'TypeError', message: /^path must be/ });
  }
});

const isRoot = process.getuid?.() === 0;

test('without permission the old file stays', { skip: !process.getuid && 'there are no users here' }, (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'file');
  writeFileSync(path, 'old');
  chmodSync(folder, 0o555);
  if (!isRoot) {
    try {
      assertRefused(folder, path, Uint8Array.of(1), { code: 'EACCES', message: /there is no permission \(EACCES\)/ });
    } finally {
      chmodSync(folder, 0o755);
    }
    return;
  }
  // Root may do anything: as nobody, in a process of its own.
  const entry = new URL('../../js/node.js', import.meta.url).href;
  const script = `const { saveFile } = await import(${JSON.stringify(entry)});
    process.setgid(65534); process.setuid(65534);
    try { saveFile(${JSON.stringify(path)}, Uint8Array.of(1)); } catch (error) { console.log(error.code, error.message); }`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
  assert.match(stdout, /^EACCES .*there is no permission \(EACCES\)/, stderr);
  assert.deepEqual(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'latin1')]), [['file', 'old']]);
});

test('a folder that may be written to but not be read, or is on a file system that flushes no folders, takes a file', {
  skip: !process.getuid && 'there are no users here',
}, (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'file');
  chmodSync(folder, 0o333);
  const entry = new URL('../../js/node.js', import.meta.url).href;
  const user = isRoot ? 'process.setgid(65534); process.setuid(65534);' : '';
  const noFlush = `const { fsyncSync, fstatSync } = fs;
    fs.fsyncSync = (file) => {
      if (fstatSync(file).isDirectory()) throw Object.assign(new Error('no'), { code: 'EINVAL' });
      fsyncSync(file);
    };
    syncBuiltinESMExports();`;
  for (const [i, before] of [user, noFlush].entries()) {
    const script = `import { createRequire, syncBuiltinESMExports } from 'node:module';
      const fs = createRequire(${JSON.stringify(fileURLToPath(import.meta.url))})('node:fs');
      const { saveFile } = await import(${JSON.stringify(entry)});
      ${before}
      saveFile(${JSON.stringify(path)}, Uint8Array.of(${i}));`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    chmodSync(folder, 0o755);
    assert.deepEqual(readdirSync(folder), ['file']);
    assert.deepEqual([...loadFile(path)], [i]);
  }
});

test('on a full disk the old file stays and no temporary one is left', (t) => {
  const folder = folderFor(t);
  const mounted = process.platform === 'linux' && isRoot
    && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder], { stdio: 'ignore' }).status === 0;
  if (!mounted) {
    t.skip('a small file system can only be mounted by root on Linux');
    return;
  }
  try {
    const path = join(folder, 'file');
    saveFile(path, new Uint8Array(100_000).fill(65));
    assertRefused(folder, path, new Uint8Array(200_000), { code: 'ENOSPC', message: /cannot be saved: the disk is full \(ENOSPC\)/ });
    assert.equal(readFileSync(path).length, 100_000);
    saveFile(path, Uint8Array.of(66));
    assert.deepEqual([...loadFile(path)], [66]);
  } finally {
    assert.equal(spawnSync('umount', [folder]).status, 0);
  }
});

test('where the last write, the flush or the renaming fails, the old file stays', (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'file');
  writeFileSync(path, 'old');
  const entry = new URL('../../js/node.js', import.meta.url).href;
  for (const name of ['writeSync', 'fsyncSync', 'renameSync']) {
    const script = `import { createRequire, syncBuiltinESMExports } from 'node:module';
      const fs = createRequire(${JSON.stringify(fileURLToPath(import.meta.url))})('node:fs');
      fs.${name} = () => { throw Object.assign(new Error('no'), { code: 'EIO' }); };
      syncBuiltinESMExports();
      const { saveFile } = await import(${JSON.stringify(entry)});
      try { saveFile(${JSON.stringify(path)}, Uint8Array.of(1)); } catch (error) { console.log(error.message); }`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
    assert.match(stdout, /cannot be saved: the device failed \(EIO\)/, stderr);
    assert.deepEqual(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), 'latin1')]), [['file', 'old']], name);
  }
});
