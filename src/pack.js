/**
 * `npm run build:package`, which `npm pack` and `npm publish` do first: writes into dist/ what the package holds
 * besides the sources. No compiler of C is needed: the modules come from js/generated.
 *
 *     dist/cjs       js/ as CommonJS, file by file, and the declarations, emitted from the JSDoc of js/
 *     dist/types     the same declarations as those of ES modules: a line an entry that refers to dist/cjs
 *     dist/workerd   the entries of js/ for runtimes that compile no bytes: they hand over rmsprop.wasm first
 *     dist/*.wasm    the modules as files, with the rules of all families
 *     dist/rmsprop.global.js    the main entry for a classic script, which finds it in the variable rmspropWasm
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, transform } from 'esbuild';
import { all } from '../js/generated/all.js';
import { bytesOf, sharing } from '../js/module.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
/** The oldest that the package runs in: Node 18 and the browsers of its time. */
const TARGET = 'es2022';

const { exports: entries } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

rmSync(dist, { recursive: true, force: true });
writeTypes();
await writeCommonJs();
writeModules();
writeWorkerd();
await writeGlobal();

/**
 * A module of ES may import one of CommonJS, and its types with it, and not the other way round: so these stand there.
 * Before TypeScript 5.7 typed arrays had no type argument; later, one that is left out is the most general.
 */
function writeTypes() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const command = [tsc, '--project', 'tsconfig.types.json'];
  const { status } = spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  for (const file of filesIn('dist/cjs')) {
    const text = readFileSync(join(dist, 'cjs', file), 'utf8');
    write(join('cjs', file), text.replaceAll(/\b((?:Uint|Int|Float)\d+(?:Clamped)?Array)<\w+>/g, '$1'));
  }
  for (const { import: sources } of Object.values(entries)) {
    if (sources === undefined) continue;
    const { types, default: file } = sources;
    write(types.replace('./dist/', ''), `export * from '${file.replace('./js/', '../cjs/')}';\n`);
  }
}

/**
 * Not minified, to be read and debugged. It costs nothing: npm packs each file next to the source of its name, of which
 * gzip finds most again, while minified text would share nothing with it.
 */
async function writeCommonJs() {
  for (const file of filesIn('js')) {
    if (file === 'generated/all.js') continue;
    const source = readFileSync(join(root, 'js', file), 'utf8');
    const hasUrl = source.includes('import.meta.url');
    const { code } = await transform(source, {
      format: 'cjs',
      target: 'node18',
      ...(hasUrl && {
        define: { 'import.meta.url': 'importMetaUrl' },
        banner: 'const importMetaUrl=require("node:url").pathToFileURL(__filename).href;',
      }),
    });
    write(join('cjs', file), code);
  }
  write('cjs/package.json', '{ "type": "commonjs" }\n');
}

function writeModules() {
  const bytes = bytesOf(all);
  write('rmsprop.wasm', bytes);
  write('rmsprop.shared.wasm', sharing(bytes));
}

/** One file an entry, which says to have an effect, or bundlers would pass it over. */
function writeWorkerd() {
  write('workerd/module.js', [
    "import module from '../rmsprop.wasm';",
    "import { configure } from '../../js/module.js';",
    '',
    'configure({ module });',
    '',
  ].join('\n'));
  for (const { workerd, import: sources } of Object.values(entries)) {
    if (workerd === undefined) continue;
    const file = workerd.default.replace('./dist/', '');
    write(file, `import './module.js';\nexport * from '../.${sources.default}';\n`);
  }
}

async function writeGlobal() {
  await build({
    entryPoints: [join(root, 'js/index.js')],
    bundle: true,
    minify: true,
    format: 'iife',
    globalName: 'rmspropWasm',
    target: TARGET,
    outfile: join(dist, 'rmsprop.global.js'),
  });
}

/**
 * @param {string} folder
 * @returns {string[]} the files in it and in its folders, by their paths from there
 */
function filesIn(folder) {
  const names = readdirSync(join(root, folder), { recursive: true }).map(String).sort();
  return names.filter((name) => /\.(js|d\.ts)$/.test(name));
}

/**
 * @param {string} file in dist
 * @param {string | Uint8Array} content
 */
function write(file, content) {
  mkdirSync(dirname(join(dist, file)), { recursive: true });
  writeFileSync(join(dist, file), content);
}
