/**
 * A reporter of node:test that names the first failure and ends the process there.
 *
 * @param {AsyncIterable<{ type: string, data: any }>} source
 */
export default async function* firstFailure(source) {
  for await (const { type, data } of source) {
    if (type !== 'test:fail' || data.todo !== undefined || data.skip !== undefined) continue;
    process.stdout.write(`failed: ${data.file} ${data.name}\n`);
    process.exit(1);
  }
  yield '';
}
