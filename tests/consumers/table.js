/** The table of docs/tests.md of where the package is tested, made of what a run recorded. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './projects.js';

const GROUPS = ['Runtimes', 'Bundlers', 'Pages and workers', 'TypeScript', 'Test runners', 'Linters of packages', 'C and C++'];
const PLACE = /(<!-- consumers: .*? -->\n)[\s\S]*?(<!-- end of consumers -->)/;

/**
 * Writes the table into docs/tests.md.
 *
 * @param {string} results the file that a run recorded
 */
export function writeTable(results) {
  const file = join(root, 'docs/tests.md');
  const text = readFileSync(file, 'utf8');
  if (!PLACE.test(text)) throw new Error('docs/tests.md has no place for the table');
  /** @type {import('./results.js').Result[]} */
  const list = readFileSync(results, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  writeFileSync(file, text.replace(PLACE, (_, start, end) => `${start}${tableOf(list)}${end}`));
}

/**
 * A name is a subject and, after a comma, a way of using it: subjects are rows.
 *
 * @param {import('./results.js').Result[]} results
 * @returns {string} Markdown
 */
function tableOf(results) {
  /** @type {Map<string, { group: string, subject: string, versions: Set<string>, ways: Map<string, string[]> }>} */
  const rows = new Map();
  for (const { group, name, versions, note, browser } of results) {
    const [, subject, way = ''] = /** @type {RegExpExecArray} */ (/^(.*?)(?:, (.*))?$/.exec(name));
    const key = `${group}, ${subject}`;
    const row = rows.get(key) ?? { group, subject, versions: new Set(), ways: new Map() };
    rows.set(key, row);
    for (const version of versions) row.versions.add(version.replace(/^v/, ''));
    const details = row.ways.get(way) ?? (note ? [note] : []);
    row.ways.set(way, details);
    if (browser) details.push(browser.split(' ')[0]);
  }
  const browsers = [...new Set(results.map(({ browser }) => browser).filter(Boolean))].sort();
  const sorted = [...rows.values()].sort((a, b) => GROUPS.indexOf(a.group) - GROUPS.indexOf(b.group)
    || a.subject.localeCompare(b.subject, 'en', { numeric: true }));
  let last = '';
  const lines = sorted.map(({ group, subject, versions, ways }) => {
    const shown = group === last ? '' : group;
    last = group;
    const told = [...ways].sort(([a], [b]) => a.localeCompare(b, 'en'))
      .map(([way, details]) => (way && details.length > 0 ? `${way} (${details.join(', ')})` : way || details.join(', ')));
    return `| ${shown} | ${subject} | ${[...versions].join(', ')} | ${told.join('; ')} |\n`;
  });
  return `| | | version | |\n|---|---|---|---|\n${lines.join('')}| Browsers | ${browsers.join(', ')} | | |\n`;
}
