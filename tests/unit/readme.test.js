/**
 * The README's JavaScript runs, and prints what the README says. Its C is the affair of tests/consumers/c.test.js.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blocks, readme } from '../readme.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
// The toolkits are found from here.
const cwd = fileURLToPath(new URL('../', import.meta.url));

/**
 * @param {string} code
 * @returns {string[]} the lines it says it prints: what follows "// prints", in their order
 */
const promised = (code) => [...code.matchAll(/\/\/ prints (.*)$/gm)].map(([, line]) => line);

for (const [i, code] of blocks('js').entries()) {
  test(`JavaScript block ${i + 1} of the README runs and prints what it says`, () => {
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', code], { cwd, encoding: 'utf8' });
    const expected = promised(code);
    assert.ok(expected.length > 0, 'a block prints something');
    assert.deepEqual(output.trimEnd().split('\n'), expected);
  });
}

test('the first block of the README is the documented example', () => {
  assert.deepEqual(promised(blocks('js')[0]), ['9.683772']);
});

test('every command of the README exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const commands = [...readme.matchAll(/npm (start|test|run ([\w:]+))/g)].map(([, name, script]) => script ?? name);
  assert.ok(commands.length > 0);
  for (const name of commands) assert.ok(name in scripts, `npm run ${name}`);
});
