/**
 * Files on disk: killed at any moment, the old or the new one is there, whole; every failure says why, leaves the old
 * one as it was and no temporary file.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { RMSprop, readSafetensors, variable } from 'rmsprop-wasm';
import { loadFile, saveFile } from 'rmsprop-wasm/node';

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
  assertRefused(folder, path, 'text', { name: 'TypeError', message: 'content must be a Uint8Array, an ArrayBuffer or an optimizer, got "text"' });
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
