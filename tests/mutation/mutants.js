/**
 * Small breaks of source files: which there are, and a sample of them that stays the same while the files do, and nearly
 * the same when they change. universalmutator makes them: one program for C and JavaScript that changes operators,
 * numbers, conditions and statements line by line.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { transformSync } from 'esbuild';
import { python } from '../python/python.js';

/**
 * @typedef {object} Mutant
 * @property {string} file relative to the root
 * @property {number} line from 1
 * @property {string} from the line as it is
 * @property {string} to the line, or lines, that it becomes
 * @property {string} text the whole file then
 */

/**
 * @param {string} root
 * @param {string} file relative to it
 * @param {string} folder where to put them meanwhile
 * @returns {Mutant[]} all there are, also those that do not compile or do not differ
 */
export function mutantsOf(root, file, folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const isScript = extname(file) === '.js';
  const program = 'import sys; from universalmutator.genmutants import main; sys.exit(main())';
  const { status, stdout, stderr, error } = spawnSync(
    python,
    ['-c', program, join(root, file), isScript ? 'javascript' : 'c', '--noCheck', '--mutantDir', folder],
    { cwd: folder, encoding: 'utf8', maxBuffer: 2 ** 28 }, // it writes where it runs, too
  );
  if (error || status) throw error ?? new Error(`universalmutator failed: ${stdout}${stderr}`);

  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  const names = readdirSync(folder).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  const mutants = names.filter((name) => name.startsWith(basename(file, extname(file)))).map((name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    const changed = text.split('\n');
    const added = changed.length - lines.length;
    // A line that is added is named together with the one before.
    const at = lines.findIndex((line, i) => line !== changed[i]) - Math.max(added, 0);
    const to = changed.slice(at, at + 1 + Math.max(added, 0)).map((line) => line.trim()).join(' ').trim();
    return { file, line: at + 1, from: lines[at].trim(), to, text };
  });
  rmSync(folder, { recursive: true });
  return mutants;
}

/**
 * @param {Mutant[]} mutants
 * @param {number} seed
 * @returns {Mutant[]} in an order by chance that depends on each mutant alone: an edit elsewhere does not change who
 *   comes before whom
 */
export function shuffled(mutants, seed) {
  const counts = new Map();
  return mutants.map((mutant) => {
    const name = `${seed}\0${mutant.file}\0${mutant.from}\0${mutant.to}`;
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    return { mutant, key: createHash('sha256').update(`${name}\0${count}`).digest('hex') };
  }).sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ mutant }) => mutant);
}

/**
 * @param {string} source a JavaScript module
 * @returns {string | undefined} the program without comments and layout, undefined if it is none that says what it seems to
 */
export function programOf(source) {
  try {
    // Fields become assignments: among the members of a class, `break;` is one, and no statement.
    const { code } = transformSync(source, {
      minifySyntax: true, minifyWhitespace: true, format: 'esm', target: 'es2020', logLevel: 'silent',
    });
    return /__publicField\(this, ?"(break|continue)"/.test(code) ? undefined : code;
  } catch {
    return undefined;
  }
}
