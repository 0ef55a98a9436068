/**
 * Runs test files in this process, one after the other, and ends it with 1 at the first failure: what a mutant needs.
 *
 *     node --test-reporter=./tests/mutation/first-failure.js tests/mutation/run-tests.js <file> ...
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

for (const file of process.argv.slice(2)) await import(pathToFileURL(resolve(file)).href);
