/**
 * What the packed tarball holds: these files and no others; what its package.json promises; and the modules as the sources
 * give them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { all } from '../../js/generated/all.js';
import { bytesOf, sharing } from '../../js/module.js';
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

/** The entries: what can be imported, in the order of package.json. */
const entries = Object.values(manifest.exports).flatMap((target) => target.import?.default ?? []).map((file) => basename(file, '.js'));

/**
 * @param {string} folder
 * @returns {string[]} the files that the repository holds in it, or is about to: a leftover of a build is none
 */
function tracked(folder) {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', folder];
  const { stdout, status } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  assert.equal(status, 0, `git ls-files ${folder}`);
  return stdout.trimEnd().split('\n').filter((file) => existsSync(join(root, file)));
}

/** Tools of a clone alone, and what they read. */
const tools = ['src/install.js', 'src/pack.js', 'js/generated/all.js'];
const scripts = tracked('js').filter((file) => !tools.includes(file));
const expected = [
  'CMakeLists.txt', 'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json',
  ...['include', 'src', 'js'].flatMap(tracked).filter((file) => !tools.includes(file)),
  ...scripts.flatMap((file) => [file, file.replace(/\.js$/, '.d.ts')]).map((file) => file.replace(/^js/, 'dist/cjs')),
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
  assert.ok(unpacked('dist/rmsprop.wasm').equals(bytesOf(all)));
  assert.ok(unpacked('dist/rmsprop.shared.wasm').equals(sharing(bytesOf(all))));
});

test('it is no larger than the budget', (t) => {
  t.diagnostic(`${report.size} bytes packed, ${report.unpackedSize} unpacked, ${report.files.length} files`);
  // The sources with their documentation, which `import` takes as they are; CommonJS and declarations; the modules, as text
  // in both and as files. Before a release it has to come down to 400 kB.
  assert.ok(report.size <= 560_000, `${report.size} bytes`);
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
