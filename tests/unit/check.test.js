/** What an unknown option is answered with. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Memory, RMSprop } from 'rmsprop-wasm';
import { knownOptions } from '../../js/check.js';

/** @param {string} key @param {readonly string[]} known @returns {string} what the message ends in */
function hintFor(key, known) {
  try {
    knownOptions('it', { [key]: 1 }, known);
  } catch (error) {
    assert.ok(error instanceof TypeError);
    const [, hint] = /^it has no option "[^"]*"; (.*)$/.exec(error.message) ?? [];
    assert.ok(hint, error.message);
    return hint;
  }
  return assert.fail(`${key} is accepted`);
}

test('a misspelt or abbreviated option is answered with the one that was meant', () => {
  const known = ['learningRate', 'rho', 'momentum', 'epsilon', 'weightDecay'];
  for (const [key, meant] of [
    ['learning_rate', 'learningRate'], ['lr', 'learningRate'], ['eps', 'epsilon'], ['weight_decay', 'weightDecay'],
    ['momentun', 'momentum'], ['roh', 'rho'], // two of three letters: half, rounded up
  ]) assert.equal(hintFor(key, known), `did you mean "${meant}"?`);
});

test('an option that resembles none is answered with those that there are', () => {
  assert.equal(hintFor('decay', ['learningRate', 'rho', 'name']), 'it has learningRate, rho, name');
  assert.equal(hintFor('abc', ['rho']), 'it has rho');
  assert.throws(() => new RMSprop(/** @type {any} */ ({ decay: 0.9 })),
    /^TypeError: RMSprop has no option "decay"; it has name, learningRate, .*rho, momentum, epsilon, centered/);
  assert.throws(() => new Memory(/** @type {any} */ ({ grows: true })),
    /^TypeError: Memory has no option "grows"; it has initialBytes, maximumBytes, shared, memory, allocate, free$/);
});
