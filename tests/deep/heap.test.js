import { test } from 'node:test';
import { assertNoGarbage } from './heap.js';

test('a step allocates nothing on the JavaScript heap, beyond the number that a callback returns', () => assertNoGarbage());
