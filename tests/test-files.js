/** Which files hold tests: those in folders of tests/ whose names end with .test.js. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));

/**
 * @param {string[]} folders of tests/
 * @returns {string[]} the test files in them and in their folders, relative to the root
 */
export function testFiles(...folders) {
  return folders.flatMap((folder) => filesIn(folder)).filter((file) => file.endsWith('.test.js')).sort();
}

/**
 * @param {string} folder of tests/
 * @returns {string[]}
 */
function filesIn(folder) {
  return readdirSync(here + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isFile()) return [`tests/${path}`];
    return entry.isDirectory() && !['node_modules', 'build'].includes(entry.name) ? filesIn(path) : [];
  });
}
