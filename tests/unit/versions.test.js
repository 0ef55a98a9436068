/**
 * The version stands in several files, and is one.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const read = (/** @type {string} */ file) => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
const { version } = JSON.parse(read('package.json'));

/**
 * @param {string} file
 * @param {RegExp} place with a group for the version
 */
function versionIn(file, place) {
  const found = place.exec(read(file));
  assert.ok(found, `${file} names no version`);
  return found.slice(1).join('.');
}

test('package, lock, header, CMake and citation have one version', () => {
  assert.match(version, /^\d+\.\d+\.\d+$/);
  assert.equal(JSON.parse(read('package-lock.json')).version, version);
  assert.equal(JSON.parse(read('package-lock.json')).packages[''].version, version);
  assert.equal(versionIn('CMakeLists.txt', /project\(rmsprop VERSION (\S+)/), version);
  assert.equal(versionIn('include/rmsprop.h', /#define RMSPROP_VERSION "(.*)"/), version);
  const parts = ['MAJOR', 'MINOR', 'PATCH'].map((part) => `#define RMSPROP_VERSION_${part} (\\d+)\\n`);
  assert.equal(versionIn('include/rmsprop.h', new RegExp(parts.join(''))), version);
  assert.equal(versionIn('CITATION.cff', /^version: (.*)$/m), version);
});

test("the guide's find_package asks for it", () => {
  assert.equal(versionIn('docs/c.md', /find_package\(rmsprop (\S+) REQUIRED\)/), version.split('.').slice(0, 2).join('.'));
});

test('the changelog keeps its form: unreleased changes first, then versions with dates, newest first', () => {
  const headings = [...read('CHANGELOG.md').matchAll(/^## (.*)$/gm)].map(([, heading]) => heading);
  assert.equal(headings.shift(), '[Unreleased]');
  for (const heading of headings) assert.match(heading, /^\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d$/);
  assert.deepEqual(headings, [...headings].sort((a, b) => b.localeCompare(a, 'en', { numeric: true })));
  for (const [, heading] of read('CHANGELOG.md').matchAll(/^### (.*)$/gm)) {
    assert.ok(['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'].includes(heading), heading);
  }
});
