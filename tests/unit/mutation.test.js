/** Which mutants are drawn, and what they are called, holds while what does not concern them changes. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { changeOf, functionAt, named, shuffled } from '../mutation/names.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

const script = `import { b } from './b.js';
export const LIMITS = { low: 1 };
/** A class. */
export class Engine {
  #count = 0;
  static make(size) {
    if (size > 0) return new Engine();
  }
  get count() {
    return this.#count + 1;
  }
  async #grow(
    by,
  ) {
    this.#count += by;
  }
}
export async function run(x) {
  const inner = () => x - 1;
  return inner();
}
`.split('\n');

const kernels = `#define ONE(x) ((x) * 1)
typedef struct {
  int a;
} pair;
static const rule_row rules[] = {
  { 1, 2 },
};
RMS_INLINE vector next(vector a,
                       vector b) {
  return a + b;
}
void KERNEL(rms_prepare)(size_t first) {
  first += 1;
}
static element *rows_of(int a) {
  return a ? 0 : 1;
}
`.split('\n');

/** @param {string[]} lines @param {string} text of one of them, in part */
const at = (lines, text) => functionAt(lines, lines.findIndex((line) => line.includes(text)));

/**
 * @param {string[]} lines
 * @param {readonly (readonly [string, string])[]} changes
 */
const mutants = (lines, changes) => named(lines.flatMap((from, i) => changes.filter(([old]) => from.includes(old))
  .map(([old, fresh]) => ({ within: functionAt(lines, i), from, to: from.replace(old, fresh) }))));

test('a mutant lies in a function, a method, or what is declared at the top', () => {
  const inScript = [
    ['import {', ''], ['low: 1', 'LIMITS'], ['#count = 0', 'Engine.#count'], ['if (size', 'Engine.make'],
    ['this.#count + 1', 'Engine.count'], ['this.#count += by', 'Engine.#grow'], ['=> x - 1', 'run'], ['return inner', 'run'],
  ];
  assert.deepEqual(inScript.map(([text]) => at(script, text)), inScript.map(([, name]) => name));
  const inC = [
    ['#define', 'ONE'], ['int a;', 'struct'], ['{ 1, 2 }', 'rules'], ['a + b', 'next'], ['first += 1', 'rms_prepare'], ['a ? 0', 'rows_of'],
  ];
  assert.deepEqual(inC.map(([text]) => at(kernels, text)), inC.map(([, name]) => name));
});

test('its change is the words that change and two more on each side', () => {
  assert.equal(changeOf('return (base > 1) === (y > 0) ? a : b;', 'return (base > 1) === (y >= 0) ? a : b;'), '( y > 0 ) → ( y >= 0 )');
  assert.equal(changeOf('if (!extended) {', 'if (1==1) {'), 'if ( ! extended ) { → if ( 1 == 1 ) {');
  assert.equal(changeOf('break;', ''), 'break ; → ');
  assert.equal(changeOf('a();', 'a(); break;'), ') ; → ) ; break ;');
});

test('an edit elsewhere, in the line too, changes neither names nor the order of those that are drawn', () => {
  const changes = /** @type {const} */ ([['> 0', '>= 0'], ['+ 1', '- 1'], ['- 1', '* 1'], ['+= by', '-= by'], ['low: 1', 'low: 2']]);
  const edited = script.map((line) => line.replace('return new Engine()', 'throw Error').replace("'./b.js'", "'../core/b.js'"));
  edited.splice(3, 0, 'export const MORE = 4;', 'export function more(y) {', '  return y > 0;', '}');
  const [before, after] = [script, edited].map((lines) => shuffled(mutants(lines, changes), 7).map(({ name }) => name));
  assert.ok(before.includes('Engine.make: ( size > 0 ) → ( size >= 0 )'));
  assert.equal(before.length, 5);
  assert.deepEqual(after.filter((name) => !name.startsWith('more:')), before);
  assert.equal(after.length, 6);
  assert.notDeepEqual(shuffled(mutants(script, changes), 8).map(({ name }) => name), before, 'the seed counts');
});

test('equal changes in one function have names of their own', () => {
  const names = mutants(['function f(a) {', '  a(x > 0);', '  b(x > 0);', '}'], [['> 0', '>= 0']]).map(({ name }) => name);
  assert.deepEqual(names, ['f: ( x > 0 ) → ( x >= 0 )', 'f: ( x > 0 ) → ( x >= 0 ) (2)']);
});

test('every file that is mutated, and every test that is to notice it, is there', async () => {
  const { areas } = await import('../mutation/suites.js'); // throws where one is not
  for (const { name, files } of areas) assert.ok(files.every((file) => existsSync(join(root, file))), name);
});
