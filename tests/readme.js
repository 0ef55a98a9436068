/** The README's code, for the tests that run it and those that check its types. */
import { readFileSync } from 'node:fs';

/** The whole text. */
export const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

/**
 * @param {string} language
 * @returns {string[]} the code blocks in it
 */
export function blocks(language) {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code);
}
