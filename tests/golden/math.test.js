/** The package's own functions against correctly rounded values of mpmath, at the arguments that schedules have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cos, exp, log, pow } from '../../js/math.js';
import { load, numbersOf } from '../replay.js';

const functions = /** @type {Record<string, (...x: number[]) => number>} */ ({ cos, exp, log, pow });
const { rows } = load('math.json');
for (const name of Object.keys(functions)) {
  test(`${name} is correctly rounded at every recorded argument of a schedule`, (t) => {
    const own = rows.filter((/** @type {string[]} */ [of]) => of === name);
    assert.ok(own.length >= 60);
    for (const [, ...hex] of own) {
      const numbers = [...numbersOf(hex)];
      const expected = numbers.pop();
      assert.equal(functions[name](...numbers), expected, `${name}(${numbers})`);
    }
    t.diagnostic(`${own.length} points`);
  });
}
