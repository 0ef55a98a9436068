/**
 * Small breaks of source files. universalmutator makes them: one program for C and JavaScript that changes operators,
 * numbers, conditions and statements line by line.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { transformSync } from 'esbuild';
import { python } from '../python/python.js';
import { functionAt } from './names.js';

/**
 * @typedef {object} Mutant
 * @property {string} file relative to the root
 * @property {number} line from 1
 * @property {string} within the function
 * @property {string} from the line as it is
 * @property {string} to the line, or lines, that it becomes
 * @property {string} text the whole file then
 */

/**
 * @param {string} root
 * @param {string} file relative to it
 * @param {string} folder where to put them meanwhile
 * @returns {Mutant[]} all there are in declarations, also those that do not compile or do not differ; imports compute nothing
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
    return { file, line: at + 1, within: functionAt(lines, at), from: lines[at].trim(), to, text };
  });
  rmSync(folder, { recursive: true });
  return mutants.filter(({ within }) => within !== '');
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
