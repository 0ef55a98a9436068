/**
 * What a mutant is called: the function that it breaks, and what it makes of which words there. Neither the line's number
 * nor the rest of its text nor the file's place is part of it, so that a name holds while those change.
 */
import { createHash } from 'node:crypto';

/** How many words on each side of a change belong to its name: with fewer, many have the same. */
const CONTEXT = 2;

/** Words and numbers, operators, and single signs. */
const TOKENS = /[\w$#.]+|[!<>=&|*+\-/%^?~]+|\S/g;

/**
 * @param {string[]} lines of C or of JavaScript, indented as the linter wants it
 * @param {number} at index of one of them
 * @returns {string} the function, the method with its class, or what else is declared there at the top; '' for none
 */
export function functionAt(lines, at) {
  let top = at;
  while (top >= 0 && !/^(\w|#define)/.test(lines[top])) top--;
  if (top < 0) return '';
  const text = lines[top];
  const script = /^(?:export )?(?:default )?(?:async )?(function\*?|class|const|let) ([\w$]+)/.exec(text);
  if (script?.[1] === 'class') {
    const members = lines.slice(top + 1, at + 1)
      .map((line) => /^ {2}(?:(?:static|async|get|set) )*(#?[\w$]+)(?:\(| =|;)/.exec(line)?.[1]).filter((name) => name !== undefined);
    return [script[2], ...members.slice(-1)].join('.');
  }
  // In C by its first form that fits: a macro, a function whose name a macro makes, a function, a table, a type.
  const names = script?.slice(2) ?? [/^#define (\w+)/, /^\w[^(]*\((\w+)\)\(/, /^\w[^(]* \**(\w+)\(/, /(\w+)(?:\[\w*\])? = /, /(\w+) \{$/]
    .map((form) => form.exec(text)?.[1]).filter((name) => name !== undefined);
  return names[0] ?? '';
}

/**
 * @param {string} from a line
 * @param {string} to what it becomes
 * @returns {string} the words that change, with CONTEXT more on each side
 */
export function changeOf(from, to) {
  const [a, b] = [from, to].map((text) => text.match(TOKENS) ?? []);
  const most = Math.min(a.length, b.length);
  let start = 0;
  while (start < most && a[start] === b[start]) start++;
  let end = 0;
  while (end < most - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const words = (/** @type {string[]} */ tokens) =>
    tokens.slice(Math.max(start - CONTEXT, 0), tokens.length - Math.max(end - CONTEXT, 0)).join(' ');
  return `${words(a)} → ${words(b)}`;
}

/**
 * @template {{ within: string, from: string, to: string }} T
 * @param {T[]} mutants `within`: the function
 * @returns {(T & { name: string })[]} the same with their names, of which those of equal changes in one function count
 */
export function named(mutants) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  return mutants.map((mutant) => {
    const name = `${mutant.within}: ${changeOf(mutant.from, mutant.to)}`;
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    return { ...mutant, name: count === 1 ? name : `${name} (${count})` };
  });
}

/**
 * @template {{ name: string }} T
 * @param {T[]} mutants
 * @param {number} seed
 * @returns {T[]} in an order by chance that depends on each one's name alone: no other edit changes who comes before whom
 */
export function shuffled(mutants, seed) {
  const key = (/** @type {string} */ name) => createHash('sha256').update(`${seed}\0${name}`).digest('hex');
  return mutants.map((mutant) => ({ mutant, key: key(mutant.name) })).sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ mutant }) => mutant);
}
