/** The packed tarball, installed in a fresh project, by the Node that runs the tests: consumers.test.js has all the others. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as sources from '../../js/index.js';
import { program } from './program.js';
import { tarball } from './projects.js';

const folder = mkdtempSync(join(tmpdir(), 'rmsprop-installed-'));
const run = (/** @type {string} */ command, /** @type {string[]} */ ...args) =>
  execFileSync(command, args, { cwd: folder, encoding: 'utf8' });

test('the packed tarball, installed, gives the bits of the sources, imported and required', (t) => {
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'package.json'), '{ "name": "installed", "private": true }\n');
  run('npm', 'install', '--offline', '--no-audit', '--no-fund', '--no-package-lock', tarball);
  const main = `${program}\nconsole.log(program(rmsprop));\n`;
  writeFileSync(join(folder, 'main.mjs'), `import * as rmsprop from 'rmsprop-wasm';\n${main}`);
  writeFileSync(join(folder, 'main.cjs'), `const rmsprop = require('rmsprop-wasm');\n${main}`);
  const bits = program(sources);
  for (const file of ['main.mjs', 'main.cjs']) assert.equal(run(process.execPath, file).trimEnd(), bits, file);
});
