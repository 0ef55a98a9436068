/**
 * A reporter of node:test, beside the one for people: a line of JSON for each test that failed, and at the end one with
 * the number of tests that were executed.
 */

/**
 * @typedef {object} Failure
 * @property {string} file
 * @property {string[]} path the names of the test and of those around it; none, if the file itself failed
 * @property {string} alone what `--test-name-pattern` has to match to run it, '' for the whole file
 */

/**
 * @param {AsyncIterable<{ type: string, data: any }>} source
 */
export default async function* failures(source) {
  let executed = 0;
  /** Failures whose surrounding test has not ended yet, by their nesting. @type {Failure[][]} */
  const open = [];
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const { name, nesting, file, skip, todo, details } = data;
    // Node 20 counts a file among the tests.
    const isFile = name === file;
    const isSuite = details.type === 'suite';
    if (!isFile && !isSuite && skip === undefined && todo === undefined) executed++;
    const failed = (open[nesting + 1] ?? []).map((inner) => ({
      ...inner,
      path: [name, ...inner.path],
      // A pattern finds a test in any suite, but not in a test that it does not match.
      alone: isSuite ? inner.alone : name,
    }));
    open[nesting + 1] = [];
    if (type === 'test:fail' && todo === undefined && failed.length === 0) {
      failed.push(isFile ? { file, path: [], alone: '' } : { file, path: [name], alone: isSuite ? '' : name });
    }
    if (nesting > 0) (open[nesting] ??= []).push(...failed);
    else for (const failure of failed) yield `${JSON.stringify(failure)}\n`;
  }
  yield `${JSON.stringify({ executed })}\n`;
}
