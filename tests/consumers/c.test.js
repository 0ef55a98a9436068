/**
 * C programs that use the library as it is installed: by find_package and by pkg-config, natively and compiled by
 * Emscripten, by either compiler and in either language. The library is built from what the npm package holds and nothing
 * else, by the guide's own commands.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { record } from './results.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const example = join(root, 'tests/consumers/c');
const guide = readFileSync(join(root, 'docs/c.md'), 'utf8');
const STRICT = '-Wall -Wextra -Wpedantic -Wconversion -Werror';
const WARNINGS = `-std=c11 ${STRICT}`;

/**
 * @param {string} language
 * @returns {string[]} the blocks of the guide
 */
const blocks = (language) => [...guide.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code);
const [code] = blocks('c');
const promised = [...code.matchAll(/\/\/ prints (.*)$/gm)].map(([, line]) => `${line}\n`).join('');

const work = mkdtempSync(join(tmpdir(), 'consumers-'));
after(() => rmSync(work, { recursive: true, force: true }));
writeFileSync(join(work, 'package.json'), '{ "type": "commonjs" }\n'); // as the loaders are that Emscripten makes

const packed = join(work, 'package');
mkdirSync(packed);
for (const entry of JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).files) {
  if (existsSync(join(root, entry)) && entry !== 'dist') cpSync(join(root, entry), join(packed, entry), { recursive: true });
}
writeFileSync(join(packed, 'main.c'), code);

/**
 * @param {string[]} command
 * @param {{ cwd?: string, env?: Record<string, string> }} [options]
 * @returns {string} what it printed
 */
function run([program, ...args], { cwd = work, env } = {}) {
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, CFLAGS: '', CXXFLAGS: '', LDFLAGS: '', EMCC_CFLAGS: '', CMAKE_GENERATOR: 'Ninja', ...env },
  });
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${error?.message ?? ''}\n${stdout}${stderr}`);
  return stdout;
}

/**
 * How each way of building begins: what CMake and the compiler are called, how the result is run, and where the guide's
 * commands install.
 */
const ways = [
  { name: 'native', wrapper: [], compiler: 'cc', start: [], suffix: '', commands: blocks('sh')[0], prefix: '$HOME/.local' },
  {
    name: 'Emscripten', wrapper: ['emcmake'], compiler: 'emcc', start: [process.execPath], suffix: '.js', commands: blocks('sh')[1],
    prefix: '$HOME/.local/wasm',
  },
];

/** What the example printed, by the way it was built. @type {Map<string, string>} */
const printed = new Map();

for (const { name, wrapper, compiler, start, suffix, commands, prefix: documented } of ways) {
  const home = join(work, name);
  // Moved after installation: nothing that is installed may know where it was.
  const prefix = join(work, `${name}-moved`);
  const library = join(prefix, 'lib');
  const find = `-Drmsprop_DIR=${join(library, 'cmake/rmsprop')}`;
  const CFLAGS = `${WARNINGS} -ffp-contract=off`;

  test(`${name}: the guide's commands install the library, and build and run its C block`, () => {
    const output = run(['sh', '-euc', commands.replaceAll('$HOME', home)], { cwd: packed });
    assert.ok(output.endsWith(promised), output);
    renameSync(documented.replace('$HOME', home), prefix);
  });

  test(`${name}: the guide's CMake lines build its C block`, () => {
    const source = join(work, `${name}-guide`);
    mkdirSync(source);
    writeFileSync(join(source, 'main.c'), code);
    writeFileSync(join(source, 'CMakeLists.txt'),
      `cmake_minimum_required(VERSION 3.18)\nproject(guide C)\nadd_executable(main main.c)\n${blocks('cmake')[0]}`
        + 'set_target_properties(main PROPERTIES LINK_FLAGS "$ENV{GUIDE_LINK}")\n');
    const env = { CFLAGS: WARNINGS, GUIDE_LINK: suffix && '-sWASM_ASYNC_COMPILATION=0' };
    // Natively as the guide says: rmsprop_ROOT.
    run([...wrapper, 'cmake', '-S', source, '-B', join(source, 'build'), suffix ? find : `-Drmsprop_ROOT=${prefix}`], { env });
    run(['cmake', '--build', join(source, 'build')], { env });
    assert.equal(run([...start, join(source, `build/main${suffix}`)]), promised);
  });

  test(`${name}: the example trains, found by find_package`, () => {
    const build = join(work, `${name}-example`);
    run([...wrapper, 'cmake', '-S', example, '-B', build, find], { env: { CFLAGS: WARNINGS } });
    run(['cmake', '--build', build]);
    printed.set(`${name}, find_package`, run([...start, join(build, `linear_regression${suffix}`)]));
  });

  test(`${name}: the example trains, found by pkg-config`, () => {
    const env = { PKG_CONFIG_PATH: join(library, 'pkgconfig') };
    const flags = run(['pkg-config', '--cflags', '--libs', 'rmsprop'], { env }).trim().split(/\s+/);
    const program = join(work, `${name}-pkg-config${suffix}`);
    const extra = suffix ? ['-sWASM_ASYNC_COMPILATION=0', '-sEXIT_RUNTIME=1'] : [];
    run([compiler, ...CFLAGS.split(' '), join(example, 'linear_regression.c'), ...flags, ...extra, '-o', program]);
    printed.set(`${name}, pkg-config`, run([...start, program]));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    assert.equal(run(['pkg-config', '--modversion', 'rmsprop'], { env }), `${version}\n`);
  });

  test(`${name}: an older or newer version than the installed one is not it`, () => {
    const source = join(work, `${name}-version`);
    mkdirSync(source);
    writeFileSync(join(source, 'CMakeLists.txt'), 'cmake_minimum_required(VERSION 3.18)\nproject(version C)\n'
      + `set(where PATHS ${join(library, 'cmake/rmsprop')} NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)\n`
      + 'foreach(version 0.0 0.2 1.0)\n  find_package(rmsprop ${version} QUIET ${where})\n  if(rmsprop_FOUND)\n'
      + '    message(FATAL_ERROR "${rmsprop_VERSION} taken for ${version}")\n  endif()\nendforeach()\n'
      + 'find_package(rmsprop 0.1 REQUIRED ${where})\n');
    run([...wrapper, 'cmake', '-S', source, '-B', join(source, 'build')]);
  });
}

/**
 * @param {string} name of the folder
 * @param {{ wrapper?: string[], options?: string[], env?: Record<string, string> }} [how]
 * @returns {string} the prefix that a library of its own was installed in
 */
function install(name, { wrapper = [], options = [], env } = {}) {
  const [build, prefix] = [join(work, name), join(work, `${name}-installed`)];
  run([...wrapper, 'cmake', '-S', packed, '-B', build, '-DBUILD_TESTING=OFF', ...options], { env });
  run(['cmake', '--build', build, '--target', 'rmsprop_static'], { env });
  run(['cmake', '--install', build, '--prefix', prefix]);
  return prefix;
}

test('Emscripten without SIMD: the example trains', () => {
  const program = join(work, 'scalar-example');
  const prefix = install('scalar', { wrapper: ['emcmake'], options: ['-DRMSPROP_SIMD=OFF'] });
  run(['emcmake', 'cmake', '-S', example, '-B', program, `-Drmsprop_DIR=${join(prefix, 'lib/cmake/rmsprop')}`]);
  run(['cmake', '--build', program]);
  printed.set('Emscripten without SIMD', run([process.execPath, join(program, 'linear_regression.js')]));
});

/** Without these flags the x87 unit would round to 80 bits in the example, too. */
const NARROW = ['-m32', '-msse2', '-mfpmath=sse'];
const compilers = [
  { name: 'gcc', c: 'gcc', cxx: 'g++', library: 'native', flags: [] },
  { name: 'clang', c: 'clang', cxx: 'clang++', library: 'native', flags: [] },
  { name: 'gcc for 32 bits', c: 'gcc', cxx: 'g++', library: 'narrow', flags: NARROW },
  { name: 'Emscripten', c: 'emcc', cxx: 'em++', library: 'Emscripten', flags: [] },
];
const languages = [
  { language: 'C99', flags: ['-std=c99'], isCxx: false },
  { language: 'C++17', flags: ['-std=c++17'], isCxx: true },
];

/** What each library's prefix is, once it is installed. @type {Map<string, string>} */
const prefixes = new Map(['native', 'Emscripten'].map((name) => [name, join(work, `${name}-moved`)]));

/**
 * @param {string} compiler
 * @param {string[]} flags
 * @returns {string | false} why what it would compile is skipped
 */
function lacks(compiler, flags) {
  const input = '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n';
  const { status } = spawnSync(compiler, [...flags, '-x', 'c', '-', '-o', join(work, 'tried')], { input });
  return status !== 0 && `${[compiler, ...flags].join(' ')} compiles nothing here: node tests/setup.js installs what it needs on Debian`;
}

for (const { name, c, cxx, library, flags } of compilers) {
  const isEmscripten = c === 'emcc';
  const skip = isEmscripten ? false : lacks(c, flags);

  if (library === 'narrow') {
    test(`${name}: the library is built and installed`, { skip }, () => {
      const options = ['-DCMAKE_C_COMPILER=gcc'];
      prefixes.set(library, install(library, { options, env: { CFLAGS: '-m32' } }));
    });
  }
  for (const { language, flags: standard, isCxx } of languages) {
    const compiler = isCxx ? cxx : c;
    const all = [...standard, ...STRICT.split(' '), '-ffp-contract=off', ...flags];

    test(`${name}, ${language}: the example trains, found by find_package and by pkg-config`, { skip }, () => {
      const prefix = /** @type {string} */ (prefixes.get(library));
      const build = join(work, `${name}-${language}`);
      const wrapper = isEmscripten ? ['emcmake'] : [];
      const env = { ...(!isEmscripten && { CC: c, CXX: cxx }), CFLAGS: all.join(' '), CXXFLAGS: all.join(' ') };
      if (isCxx) env.CFLAGS = flags.join(' ');
      const options = [`-Drmsprop_DIR=${join(prefix, 'lib/cmake/rmsprop')}`, `-DAS_CXX=${isCxx ? 'ON' : 'OFF'}`];
      run([...wrapper, 'cmake', '-S', example, '-B', build, ...options], { env });
      run(['cmake', '--build', build], { env });
      const start = isEmscripten ? [process.execPath] : [];
      const suffix = isEmscripten ? '.js' : '';
      printed.set(`${name}, ${language}, find_package`, run([...start, join(build, `linear_regression${suffix}`)]));

      const found = run(['pkg-config', '--cflags', '--libs', 'rmsprop'], { env: { PKG_CONFIG_PATH: join(prefix, 'lib/pkgconfig') } });
      const program = join(build, `by-pkg-config${suffix}`);
      run([
        compiler, ...all, isCxx ? join(build, 'linear_regression.cpp') : join(example, 'linear_regression.c'), ...found.trim().split(/\s+/),
        ...(isEmscripten ? ['-sWASM_ASYNC_COMPILATION=0', '-sEXIT_RUNTIME=1'] : []), '-o', program,
      ]);
      printed.set(`${name}, ${language}, pkg-config`, run([...start, program]));
      const version = run([compiler, ...(c === 'gcc' ? ['-dumpfullversion'] : []), '-dumpversion']).trim();
      record({ group: 'C and C++', name: `${name}, ${language} by find_package and by pkg-config`, versions: [version] });
    });
  }
}

test('all of them print the same bits', (t) => {
  const outputs = [...printed.values()];
  t.diagnostic(outputs[0]?.trim() ?? 'nothing');
  assert.ok(outputs.length >= 5 + 4, 'each way of the guide, Emscripten without SIMD, and two languages by two compilers at least');
  for (const [way, output] of printed) assert.equal(output, outputs[0], way);
});

test('the exit status of the example tells whether it trained', () => {
  const broken = join(work, 'broken.c');
  const source = readFileSync(join(example, 'linear_regression.c'), 'utf8');
  writeFileSync(broken, source.replace(/STEPS \d+/, 'STEPS 5'));
  assert.notEqual(readFileSync(broken, 'utf8'), source);
  const files = ['step.c', 'f32x1.c', 'f64x1.c'].map((file) => join(packed, 'src', file));
  const program = join(work, 'broken');
  run(['cc', '-std=c11', '-ffp-contract=off', `-I${join(packed, 'include')}`, broken, ...files, '-lm', '-o', program]);
  assert.equal(spawnSync(program).status, 1);
});
