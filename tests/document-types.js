/**
 * Compiles the JavaScript of the README, the guides and the examples as strict TypeScript against the declarations in
 * dist/types, which must have been built: what they show has to work for those who write TypeScript too.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { blocks, documents } from './documents.js';

const root = fileURLToPath(new URL('..', import.meta.url));
// Where the package and the toolkits are found by their names.
const folder = join(root, 'tests/toolkits/build/documents');

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const files = documents.flatMap(({ name, text }) => blocks('js', text).map((code, i) => {
  const file = join(folder, `${name.replaceAll(/\W/g, '-')}-${i + 1}.mts`);
  writeFileSync(file, code);
  return file;
}));
const tsc = join(root, 'node_modules/typescript/bin/tsc');
const options = [
  '--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022',
  '--types', 'node', // an example is for Node alone
  '--lib', 'es2022,dom,esnext.float16', // Float16Array is in the types of jax-js
  '--skipLibCheck', // the declarations of TensorFlow.js 4.22 do not pass
];
const { status } = spawnSync(process.execPath, [tsc, ...options, ...files], { cwd: root, stdio: 'inherit' });
process.exitCode = status ?? 1;
