/**
 * The README's code runs, and prints what the README says.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blocks, readme } from '../readme.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * @param {string} code
 * @returns {string[]} the lines it says it prints: what follows "// prints", in their order
 */
const promised = (code) => [...code.matchAll(/\/\/ prints (.*)$/gm)].map(([, line]) => line);

for (const [i, code] of blocks('js').entries()) {
  test(`JavaScript block ${i + 1} of the README runs and prints what it says`, () => {
    const output = execFileSync(process.execPath, ['--input-type=module', '--eval', code], { cwd: root, encoding: 'utf8' });
    const expected = promised(code);
    assert.ok(expected.length > 0, 'a block prints something');
    assert.deepEqual(output.trimEnd().split('\n'), expected);
  });
}

test('the first block of the README is the documented example', () => {
  assert.deepEqual(promised(blocks('js')[0]), ['9.683772']);
});

test('the C block of the README compiles with all warnings and prints what it says', (t) => {
  if (spawnSync('cc', ['--version']).error) {
    t.skip('there is no C compiler: cc');
    return;
  }
  const [code, ...others] = blocks('c');
  assert.equal(others.length, 0);
  const folder = mkdtempSync(join(tmpdir(), 'readme-'));
  try {
    writeFileSync(join(folder, 'main.c'), code);
    const sources = ['step.c', 'f32x1.c', 'f64x1.c'].map((name) => join(root, 'src', name));
    execFileSync('cc', ['-std=c11', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-ffp-contract=off', `-I${join(root, 'include')}`,
      join(folder, 'main.c'), ...sources, '-o', join(folder, 'main'), '-lm']);
    const output = execFileSync(join(folder, 'main'), { encoding: 'utf8' });
    assert.deepEqual(output.trimEnd().split('\n'), promised(code));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('every command of the README exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const commands = [...readme.matchAll(/npm (start|test|run ([\w:]+))/g)].map(([, name, script]) => script ?? name);
  assert.ok(commands.length > 0);
  for (const name of commands) assert.ok(name in scripts, `npm run ${name}`);
});
