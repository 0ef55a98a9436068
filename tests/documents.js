/** The code that documents show, for the tests that run it and those that check its types. */
import { readFileSync, readdirSync } from 'node:fs';

const root = new URL('../', import.meta.url);

/**
 * @param {string} file of the repository
 * @returns {string} its text
 */
export const readDocument = (file) => readFileSync(new URL(file, root), 'utf8');

const readme = readDocument('README.md');

/** @type {{ name: string, text: string }[]} the README, the guides, and the examples in the documentation of the sources */
export const documents = [
  { name: 'README.md', text: readme },
  ...readdirSync(new URL('docs/', root)).filter((file) => file.endsWith('.md')).sort()
    .map((file) => ({ name: `docs/${file}`, text: readDocument(`docs/${file}`) })),
  ...readdirSync(new URL('js/', root)).filter((file) => file.endsWith('.js')).sort()
    .map((file) => ({ name: `js/${file}`, text: examplesIn(readDocument(`js/${file}`)) }))
    .filter(({ text }) => text !== ''),
];

/**
 * @param {string} language
 * @param {string} [text] default the README
 * @returns {string[]} the code blocks in it
 */
export function blocks(language, text = readme) {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code);
}

/**
 * @param {string} source
 * @returns {string} what follows `@example` in its comments, without their stars
 */
function examplesIn(source) {
  const comments = [...source.matchAll(/^ *\/\*\*.*?\*\//gms)].map(([comment]) => comment.replaceAll(/^ *\* ?/gm, ''));
  return comments.flatMap((comment) => comment.split('@example\n').slice(1)).join('\n');
}
