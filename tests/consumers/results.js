/** What a run tried, one line of JSON each, in the file that CONSUMERS_RESULTS names; without it nothing is written. */
import { appendFileSync } from 'node:fs';

/**
 * @typedef {object} Result
 * @property {string} group
 * @property {string} name
 * @property {string[]} versions
 * @property {string} [note] such as a size
 * @property {string} [browser] in which it ran, with its version
 */

/**
 * @param {Result} result of a consumer that passed
 */
export function record(result) {
  const file = process.env.CONSUMERS_RESULTS;
  if (file) appendFileSync(file, `${JSON.stringify(result)}\n`);
}
