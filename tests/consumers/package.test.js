/**
 * What the packed tarball holds: these files and no others; what its package.json promises; and the modules as the sources
 * give them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { modules } from '../../js/generated/rmsprop.js';
import { sharing } from '../../js/module.js';
import { readDocument } from '../documents.js';
import { root, tarball } from './projects.js';
import { rows } from './rows.js';

/** @type {{ size: number, unpackedSize: number, files: { path: string }[] }} */
const report = JSON.parse(readFileSync(join(dirname(tarball), 'report.json'), 'utf8'));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/**
 * @param {string} path in the tarball
 * @returns {Buffer} the file
 */
function unpacked(path) {
  const { stdout, status } = spawnSync('tar', ['-xzOf', tarball, `package/${path}`], { maxBuffer: 2 ** 24 });
  assert.equal(status, 0, path);
  return stdout;
}

/** The entries: what can be imported. */
const entries = [
  'index', 'jax', 'keras-files', 'legacy', 'nats', 'node', 'optax', 'storage', 'tfjs', 'tfjs-files', 'threads', 'torch', 'v1',
];
/** The rest of js/, one file a concept. */
const parts = [
  'abort', 'arena', 'bfloat16', 'check', 'checkpoint', 'clip', 'core/rule', 'core/rule-text', 'engine', 'generated/rmsprop', 'gradients',
  'growing-checkpoint',
  'hosts', 'jax-arrays', 'jax-kernel', 'jax-operations', 'jax-saved', 'keras-options', 'keras-rows', 'keras-step', 'lock', 'loss-scale',
  'math', 'memory', 'module', 'naming', 'nats-bus', 'nats-channel', 'nats-frames', 'nats-group', 'optax-options', 'optax-schedules',
  'optax-state', 'rmsprop', 'safetensors', 'schedule-marker', 'schedules', 'state-dict', 'tensor', 'tfjs-copies', 'tfjs-kernels',
  'tfjs-operations', 'tfjs-state', 'tfjs-wasm', 'torch-clip', 'torch-schedulers', 'tree', 'updates', 'wait', 'work', 'worker',
];
const expected = [
  'CMakeLists.txt', 'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json',
  'include/rmsprop.h',
  ...[
    'build.js', 'contract.h', 'element.h', 'exports.txt', 'f32x1.c', 'f32x8.c', 'f64x1.c', 'f64x2.c', 'kernel.h', 'kernels.h', 'layout.c',
    'library.cmake', 'native.cmake', 'rmsprop.pc.in', 'rules.h', 'step.c', 'typed_step.h', 'vector.h', 'wasm.cmake',
  ].map((name) => `src/${name}`),
  ...[...entries, ...parts].flatMap((name) => [`js/${name}.js`, `dist/cjs/${name}.js`, `dist/cjs/${name}.d.ts`]),
  ...entries.map((name) => `dist/types/${name}.d.ts`),
  'dist/cjs/package.json',
  'dist/rmsprop.wasm', 'dist/rmsprop.shared.wasm', 'dist/rmsprop.global.js',
  ...[...entries, 'module'].map((name) => `dist/workerd/${name}.js`),
];

test('the tarball holds exactly these files', () => {
  assert.deepEqual(report.files.map(({ path }) => path).sort(), expected.sort());
});

test('each entry can be imported, required and typed, and is a file of the tarball', () => {
  const names = entries.map((name) => (name === 'index' ? '.' : `./${name}`));
  const files = ['./rmsprop.wasm', './rmsprop.shared.wasm', './rmsprop.h', './package.json'];
  assert.deepEqual(Object.keys(manifest.exports).sort(), [...names, ...files].sort());
  const targets = JSON.stringify([manifest.exports, manifest.main, manifest.module, manifest.types, manifest.unpkg, manifest.jsdelivr]);
  for (const [, path] of targets.matchAll(/"\.\/([^"]*\.\w+)"/g)) {
    if (path in manifest.exports || `./${path}` in manifest.exports) continue;
    assert.ok(expected.includes(path), path);
  }
  for (const [i, name] of names.entries()) {
    assert.deepEqual(Object.keys(manifest.exports[name]), ['workerd', 'import', 'require']);
    assert.equal(manifest.exports[name].import.default, `./js/${entries[i]}.js`);
  }
});

test('nothing is installed along, and no script runs at installation', () => {
  const { dependencies = {}, peerDependencies = {}, optionalDependencies = {}, bundledDependencies = [], scripts } = manifest;
  assert.deepEqual([dependencies, peerDependencies, optionalDependencies, bundledDependencies], [{}, {}, {}, []]);
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish']) assert.ok(!(name in scripts), name);
});

test('the modules in it are the embedded ones, whose sources `node src/build.js --check` compares', () => {
  const simd = Buffer.from(modules.simd, 'base64');
  assert.ok(unpacked('dist/rmsprop.wasm').equals(simd));
  assert.ok(unpacked('dist/rmsprop.shared.wasm').equals(sharing(Uint8Array.from(simd))));
});

test('it is no larger than the budget', (t) => {
  t.diagnostic(`${report.size} bytes packed, ${report.unpackedSize} unpacked, ${report.files.length} files`);
  // In kB: 175 are the sources with their documentation, which `import` takes as they are, 35 what CommonJS differs from
  // them; 75 the modules, as base64 in both and as files; 60 the declarations; 48 the build for classic scripts; 25 the
  // kernels in C; 20 the README.
  assert.ok(report.size <= 480_000, `${report.size} bytes`);
});

test('`npm publish --dry-run` says nothing but notices', () => {
  const args = ['publish', '--dry-run', '--json', tarball];
  const { status, stderr } = spawnSync('npm', args, { cwd: root, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const told = stderr.split('\n').filter((line) => !line.includes('requires you to be logged in')); // nobody is, in a test
  assert.doesNotMatch(told.join('\n'), /npm (warn|error)/i);
});

test('the table of docs/tests.md names every consumer', () => {
  const [, table] = /** @type {RegExpExecArray} */ (/<!-- consumers.*?-->\n(.*?)<!-- end of consumers -->/s.exec(readDocument('docs/tests.md')));
  for (const { name } of rows({ bits: '', tarball })) {
    const [subject, ...ways] = name.split(', ');
    assert.ok(table.split('\n').some((line) => line.includes(`| ${subject} |`) && line.includes(ways.join(', '))), name);
  }
});
