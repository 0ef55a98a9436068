/**
 * The C manual that `npm run docs` makes of the header leaves nothing out.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { manualOf } from '../../docs/site/manual.js';

const header = readFileSync(new URL('../../include/rmsprop.h', import.meta.url), 'utf8');
const manual = manualOf(header);
const words = (/** @type {string} */ text) => text.match(/\w+/g) ?? [];

test('every function, struct and enumeration has a heading of its own', () => {
  const functions = [...header.matchAll(/^(?:void|int|size_t) (rms_\w+)\(/gm)].map(([, name]) => name);
  const types = [...header.matchAll(/^(?:typedef struct|enum) (rms_\w+)/gm)].map(([, name]) => name);
  assert.ok(functions.length >= 6 && types.length >= 5);
  const headings = [...manual.matchAll(/^##? (\S+)$/gm)].map(([, heading]) => heading);
  for (const name of [...functions, ...types]) assert.ok(headings.includes(name), name);
});

test('no word of the header is lost', () => {
  const found = new Set(words(manual.replaceAll('\\', ''))); // Markdown's escapes
  for (const word of words(header)) assert.ok(found.has(word), word);
});
