/**
 * The JavaScript of the README, of the guides and of the examples in the sources runs, and prints what they say. The C of
 * docs/c.md runs in tests/consumers/c.test.js, the worker of docs/edge-workers.md in the consumers.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blocks, documents } from '../documents.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
// The toolkits are found from here.
const cwd = fileURLToPath(new URL('.', import.meta.url));

/**
 * @param {string} code
 * @returns {string[]} the lines it says it prints: what follows "// prints", in their order
 */
const promised = (code) => [...code.matchAll(/\/\/ prints (.*)$/gm)].map(([, line]) => line);

for (const { name, text } of documents) {
  for (const [i, code] of blocks('js', text).entries()) {
    test(`JavaScript block ${i + 1} of ${name} runs and prints what it says`, () => {
      const output = execFileSync(process.execPath, ['--input-type=module', '--eval', code], { cwd, encoding: 'utf8' });
      const expected = promised(code);
      assert.ok(expected.length > 0, 'a block prints something');
      assert.deepEqual(output.trimEnd().split('\n'), expected);
    });
  }
}

test('the README has the seed example', () => {
  assert.ok(blocks('js').some((code) => promised(code).join() === '9.683772'));
});

test('every command of the documents exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const texts = [...documents.map(({ text }) => text), readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8')];
  const commands = [...texts.join('\n').matchAll(/npm (start|test|run ([\w:]+))/g)].map(([, name, script]) => script ?? name);
  assert.ok(commands.length > 0);
  for (const name of commands) assert.ok(name in scripts, `npm run ${name}`);
});

test('what the documents link to in the repository is there', () => {
  for (const { name, text } of documents.filter(({ name: file }) => file.endsWith('.md'))) {
    for (const [, target] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      assert.ok(existsSync(join(root, dirname(name), target)), `${name} links to ${target}`);
    }
  }
});
