/** Which files hold tests, and which of them have to be run on both kernels. */
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/**
 * @param {string[]} folders of tests/
 * @returns {string[]} the test files in them and in their folders, relative to the root
 */
export function testFiles(...folders) {
  return folders.flatMap((folder) => filesIn(`tests/${folder}`)).filter((file) => file.endsWith('.test.js')).sort();
}

/**
 * @param {string} folder relative to the root
 * @returns {string[]}
 */
function filesIn(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isFile()) return [path];
    return entry.isDirectory() && !['node_modules', 'build'].includes(entry.name) ? filesIn(path) : [];
  });
}

/**
 * A test can depend on which kernels there are if the module that chooses them is left when all that it imports is made
 * one file, without what it does not use; or if it starts processes or threads, which import for themselves.
 *
 * @param {string[]} files
 * @returns {Promise<string[]>} those
 */
export async function usersOfKernels(files) {
  const { build } = await import('esbuild');
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: files,
    outdir: 'build',
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'node',
    logLevel: 'error',
    plugins: [{
      name: 'other packages stay outside',
      setup({ onResolve }) {
        onResolve({ filter: /^[^./]/ }, ({ kind, path }) =>
          (kind === 'entry-point' || path.startsWith('rmsprop-wasm') ? undefined : { path, external: true }));
      },
    }],
  });
  const users = Object.values(metafile.outputs).filter(({ inputs, imports }) => (inputs['js/module.js']?.bytesInOutput ?? 0) > 0
    || imports.some(({ path }) => ['node:child_process', 'node:worker_threads'].includes(path)));
  const names = new Set(users.map(({ entryPoint }) => entryPoint && relative(root, join(root, entryPoint))));
  return files.filter((file) => names.has(file));
}
