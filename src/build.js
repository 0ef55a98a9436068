/**
 * `npm run build`: compiles the WebAssembly modules from the C sources and writes them, as hexadecimal text, into the
 * generated files, which are committed: so using the package needs no compiler. Hexadecimal, since gzip finds the bytes
 * that repeat in it, which base64 hides: half as many letters more, and a fifth less to download.
 *
 *     node src/build.js           builds and writes
 *     node src/build.js --check   builds, writes nothing, and fails when a generated file is not what the sources give
 *
 * The same sources and compiler give the same bytes on every machine: no date, no path, no flags of the environment.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = fileURLToPath(new URL('..', import.meta.url));
const buildFolder = 'build/wasm';

/** Sources: folder → names. @typedef {Record<string, RegExp>} Sources */
/** @type {Sources} */
const kernelSources = { '.': /^CMakeLists\.txt$/, 'include': /\.h$/, 'src': /^wasm\.cmake$|\.(c|h|txt)$/ };
/** @type {Sources} */
const denseSources = {
  '.': /^CMakeLists\.txt$/, 'src': /^(wasm\.cmake|(vector|element)\.h)$/, 'web-demo/model': /\.(c|h|txt)$/,
};

/**
 * The modules: the name of each, by which its file exports it, what is embedded there, and the sources where the file
 * is to say of which it was made. The kernels' say it once, in the file of their constants.
 *
 * @type {{ folder: string, name: string, wasm: string, sources?: Sources }[]}
 */
const modules = [
  ...['keras', 'tensorflow', 'torch', 'optax', 'scalar'].map((name) =>
    ({ folder: 'js/generated', name, wasm: `rmsprop.${name}.wasm` })),
  { folder: 'js/generated', name: 'all', wasm: 'rmsprop.wasm' },
  { folder: 'web-demo/model/generated', name: 'dense', wasm: 'dense.wasm', sources: denseSources },
];

const unknown = process.argv.slice(2).filter((argument) => argument !== '--check');
if (unknown.length > 0) fail(`unknown argument ${unknown[0]}; usage: node src/build.js [--check]`);
const check = process.argv.includes('--check');

const generator = requireTools();
const compiler = `emcc ${run('emcc', ['-dumpversion']).trim()}`;
compile();

const { constants, ...structs } = printedConstants();
/** What is generated: file → text. @type {Record<string, string>} */
const generated = {
  // One export each, of which bundlers keep the numbers that are used.
  'js/generated/constants.js': render(constants),
  'js/generated/rmsprop.js': render({ stamp: stampOf(kernelSources), ...structs }),
  ...Object.fromEntries(modules.map(({ folder, name, wasm, sources }) => [
    `${folder}/${name}.js`,
    render({ ...(sources && { stamp: stampOf(sources) }), [name]: { name, hex: hexOf(wasm) } }),
  ])),
};
let stale = 0;
for (const [file, text] of Object.entries(generated)) {
  if (!check) write(file, text);
  else if (!isCurrent(file, text)) stale++;
}
if (stale > 0) fail('run `npm run build` and commit what it writes');

/** @returns {string} the generator that cmake is to use; the process ends when anything is missing */
function requireTools() {
  const has = (/** @type {string} */ command) => start(command, ['--version']).status === 0;
  const makers = [['ninja', 'Ninja'], ['make', 'Unix Makefiles']];
  const maker = makers.find(([command]) => has(command));
  const missing = [['emcc', 'emscripten'], ['cmake', 'cmake']].filter(([command]) => !has(command));
  if (!maker) missing.push(['ninja', 'ninja-build']);
  if (missing.length > 0 || !maker) {
    fail([
      `not found: ${missing.map(([command]) => command).join(', ')}`,
      `On Debian or Ubuntu: apt-get install ${missing.map(([, name]) => name).join(' ')}`,
      'Elsewhere: Emscripten comes by its own installer, emsdk; CMake and Ninja by the package manager.',
      'Only building needs them: the built modules are in the repository.',
    ].join('\n'));
  }
  return maker[1];
}

/** Compiles everything from nothing, so that no object of another compiler or flag is taken over. */
function compile() {
  rmSync(join(root, buildFolder), { recursive: true, force: true });
  mkdirSync(join(root, buildFolder), { recursive: true });
  // The layout program's loader is CommonJS, and the package above it says that .js files are not.
  writeFileSync(join(root, buildFolder, 'package.json'), '{ "type": "commonjs" }\n');
  run('emcmake', ['cmake', '-S', '.', '-B', buildFolder, '-G', generator, '-DCMAKE_BUILD_TYPE=Release']);
  run('cmake', ['--build', buildFolder, '--parallel']);
}

/**
 * @returns {{ constants: Record<string, number>, layout: object, rules: object }} what src/layout.c prints; the table
 *   of rules is a constant of its own, so that bundlers leave it out where nobody reads it
 */
function printedConstants() {
  const { constants: numbers, rules, ...layout } = JSON.parse(run(process.execPath, [join(buildFolder, 'layout.js')]));
  return { constants: numbers, layout, rules };
}

/**
 * @param {string} wasm file of a module
 * @returns {string} its bytes as hexadecimal text
 */
function hexOf(wasm) {
  const bytes = readFileSync(join(root, buildFolder, wasm));
  console.log(`${wasm}: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`);
  return bytes.toString('hex');
}

/**
 * @param {Sources} sources
 * @returns {{ compiler: string, sources: string }} by which compiler, and the SHA-256 of the files' names and bytes,
 *   sorted by name
 */
function stampOf(sources) {
  const files = Object.entries(sources).flatMap(([folder, names]) => readdirSync(join(root, folder))
    .filter((name) => names.test(name))
    .map((name) => (folder === '.' ? name : `${folder}/${name}`)));
  const sum = createHash('sha256');
  for (const file of files.sort()) {
    const bytes = readFileSync(join(root, file));
    sum.update(`${file}\0${bytes.length}\0`).update(bytes);
  }
  return { compiler, sources: sum.digest('hex') };
}

/**
 * @param {Record<string, object | number>} constants
 * @returns {string} a module that exports them
 */
function render(constants) {
  const lines = Object.entries(constants).map(([name, value]) => `export const ${name} = ${literal(value, '')};\n`);
  return ['// Generated by `npm run build`, do not edit.\n', ...lines].join('');
}

/**
 * @param {unknown} value of JSON
 * @param {string} indent
 * @returns {string} the same in JavaScript
 */
function literal(value, indent) {
  if (typeof value === 'string') return `'${value}'`; // hexadecimal, names, versions: nothing to escape
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) return `[\n${value.map((item) => `${inner}${literal(item, inner)},\n`).join('')}${indent}]`;
  const members = Object.entries(value).map(([name, member]) => `${inner}${name}: ${literal(member, inner)},\n`);
  return `{\n${members.join('')}${indent}}`;
}

/**
 * @param {string} file
 * @param {string} text
 */
function write(file, text) {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
  console.log(`wrote ${file}`);
}

/**
 * @param {string} file
 * @param {string} text what it should be
 * @returns {boolean} whether it is that; if not, where not has been printed
 */
function isCurrent(file, text) {
  const committed = existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8') : '';
  if (committed === text) {
    console.log(`${file} is what the sources give`);
    return true;
  }
  const [before, now] = [committed.split('\n'), text.split('\n')];
  const differing = now.filter((line, i) => line !== before[i]).map((line) => line.trim().split(/\W/, 1)[0]);
  console.error(committed === '' ? `${file} is missing` : `${file} differs: ${differing.join(', ')}`);
  const builtBy = /compiler: '(.*)'/.exec(committed)?.[1];
  if (builtBy !== undefined && builtBy !== compiler) {
    console.error(`(it was built by ${builtBy}, and this is ${compiler}: another compiler gives other bytes)`);
  }
  return false;
}

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {string} what it printed; when it fails, all that it said is printed and the process ends
 */
function run(command, args) {
  const { status, error, stdout, stderr } = start(command, args);
  if (status !== 0) {
    process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
    fail(`${command} ${args.join(' ')} failed: ${error?.message ?? `exit code ${status}`}`);
  }
  return stdout;
}

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {import('node:child_process').SpawnSyncReturns<string>}
 */
function start(command, args) {
  const env = { ...process.env };
  for (const name of ['CFLAGS', 'CPPFLAGS', 'LDFLAGS', 'EMCC_CFLAGS']) delete env[name];
  const shell = process.platform === 'win32'; // there emcc is a .bat
  return spawnSync(command, args, { cwd: root, env, shell, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(`build: ${message}`);
  process.exit(1);
}
