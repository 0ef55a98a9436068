/**
 * The tests that a mutant has to get past, in copies of the project. They are those of npm test that are fast and have to
 * do with what is mutated.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HANG_MS } from '../browsers/programs.js';
import { programOf } from './mutants.js';

/** @typedef {import('./mutants.js').Mutant} Mutant */
/**
 * @typedef {'noticed' | 'timed out' | 'survived' | 'invalid' | 'same program'} Outcome a mutant that does not compile, or
 *   compiles to the same code, is none
 */

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * A command may use as many times the seconds that all tests take without any mutant, and at least as many. They are
 * seconds of its processor: on a busy machine a mutant must not count as noticed by chance.
 */
const PATIENCE = { times: 3, seconds: 20 };

/** The exit code of a shell whose command used them up. */
const USED_UP = 128 + constants.signals.SIGXCPU;

/** The slots, the call, the options: what everything in JavaScript rests on. */
const steps = ['step', 'taken', 'attributes', 'aggregate', 'rmsprop', 'failure', 'memory', 'own-memory', 'loss-scale'];
const others = ['tensor', 'torch', 'v1', 'legacy', 'optax', 'check', 'model', 'resume', 'state-dict', 'versions'];
/** Of tests/failure. */
const failures = ['callbacks', 'properties'];
/**
 * They count what a process does for the first time, so each has one of its own. Of the first not the test that measures
 * the heap: on a busy machine the engine's own allocations vary, and a mutant must not count as noticed by chance.
 */
const alone = [['fast-path', 'a step is one call'], ['kernels-in-use', '.']];

/**
 * What is mutated, wherever it lies in js/ and src/, and the unit tests that see it first.
 *
 * @type {{ name: string, files: string[], first: string[] }[]}
 */
export const areas = [
  { name: 'kernels', files: ['kernel.h', 'typed_step.h', 'step.c', 'vector.h', 'rules.h', 'contract.h'], first: [] },
  {
    name: 'engine',
    files: [
      'engine.js', 'updates.js', 'clip.js', 'rmsprop.js', 'gradients.js', 'overlap.js', 'placed.js', 'staging.js', 'linear-memory.js',
      'slices.js', 'state.js', 'core/step.js', 'keras/step.js',
    ],
    first: steps,
  },
  { name: 'schedules', files: ['schedules.js', 'math.js'], first: ['schedules', 'math'] },
  { name: 'reader', files: ['safetensors.js', 'checkpoint.js'], first: ['safetensors', 'checkpoint'] },
].map((area) => ({ ...area, files: area.files.map(sourceFile) }));

for (const file of [
  ...[...steps, ...others, ...alone.map(([name]) => name), ...areas.flatMap(({ first }) => first)]
    .map((name) => `tests/unit/${name}.test.js`),
  ...failures.map((name) => `tests/failure/${name}.test.js`),
]) {
  if (!existsSync(join(root, file))) throw new Error(`tests/mutation/suites.js names ${file}, which is not there`);
}

/** The C files of the core, and the programs of tests/native that test it. */
const core = ['step', 'f32x1', 'f64x1'];
const programs = [
  { parts: ['fuzz_kernels', 'fuzz_random', 'reference'], args: '--runs 3000' },
  { parts: ['contract_test'], args: '' },
  { parts: ['step_test_float'], args: '' },
  { parts: ['step_test_double'], args: '' },
];

/**
 * @param {string} name of a file that nothing generates, with as many of its folders as it takes to tell it from others
 * @returns {string} its path, relative to the root
 */
function sourceFile(name) {
  const found = ['js', 'src'].flatMap((folder) => readdirSync(join(root, folder), { recursive: true })
    .map((file) => `${folder}/${String(file).replaceAll('\\', '/')}`)
    .filter((file) => file.endsWith(`/${name}`) && !file.startsWith('js/generated/')));
  if (found.length !== 1) {
    throw new Error(`tests/mutation/suites.js must name one file in js/ or src/ by ${name}, got ${found.join(', ') || 'none'}`);
  }
  return found[0];
}

/** @param {string} kind 'plain', or 'sane' for one with sanitizers */
function cc(kind) {
  const sanitizers = kind === 'sane' ? '-fsanitize=address,undefined -fno-sanitize-recover=all' : '';
  return `cc -std=c11 -O1 -w -UNDEBUG -ffp-contract=off -fno-math-errno -Iinclude -D_POSIX_C_SOURCE=200809L ${sanitizers}`;
}

/** @param {string[]} lines @returns {string[]} a command that runs them until one fails */
function shell(lines) {
  return ['sh', '-ec', lines.join('\n')];
}

/** The programs without the core. */
const compileTests = shell(['mkdir -p build', ...['plain', 'sane'].flatMap((kind) => programs.flatMap(({ parts }) =>
  parts.map((part) => {
    const [, name, real] = /** @type {RegExpExecArray} */ (/^(\w+?)(?:_(float|double))?$/.exec(part));
    return `${cc(kind)} ${real ? `-DREAL=${real}` : ''} -c tests/native/${name}.c -o build/${kind}_${part}.o`;
  })))]);

/**
 * @param {string} tests
 * @param {Outcome} outcome of the project as it is
 */
function requirePass(tests, outcome) {
  if (outcome !== 'survived') throw new Error(`without any mutant ${tests} ended with: ${outcome}`);
}

/** One copy of the project, in which one mutant at a time lives. */
export class Copy {
  #root;
  #folder;
  /** Seconds of the processor that each process of a command may use. */
  #limit = 600;
  /** What a native compiler made of the kernels. @type {Map<string, Buffer>} */
  #objects = new Map();

  /**
   * @param {string} root of the project, which stays as it is
   * @param {string} folder for the copy
   */
  constructor(root, folder) {
    this.#root = root;
    this.#folder = folder;
    rmSync(folder, { recursive: true, force: true });
    const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
    for (const file of list.toString().split('\0').filter((name) => name && existsSync(join(root, name)))) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      cpSync(join(root, file), join(folder, file));
    }
    for (const modules of ['node_modules', 'web-demo/node_modules', 'tests/.venv']) {
      if (existsSync(join(root, modules))) symlinkSync(join(root, modules), join(folder, modules));
    }
  }

  /**
   * Runs the tests on the project as it is, which have to pass, and keeps what C mutants are compared with.
   *
   * @param {boolean} withC
   * @param {boolean} withScripts
   */
  async prepare(withC, withScripts) {
    const start = performance.now();
    if (withC) {
      await this.#must(compileTests);
      this.#objects = await this.#compiled() ?? new Map();
      requirePass('the native tests', await this.#native());
    }
    if (withScripts) requirePass('the tests', await this.#scripts([]));
    this.#limit = Math.max(PATIENCE.seconds, PATIENCE.times * (performance.now() - start) / 1000);
  }

  /**
   * @param {string} folder
   * @returns {Copy} another copy, as prepared as this one
   */
  twin(folder) {
    const twin = new Copy(this.#root, folder);
    const build = join(this.#folder, 'build');
    if (existsSync(build)) cpSync(build, join(folder, 'build'), { recursive: true });
    twin.#objects = this.#objects;
    twin.#limit = this.#limit;
    return twin;
  }

  /**
   * @param {Mutant} mutant
   * @param {string[]} first which unit tests to run before the others
   * @returns {Promise<Outcome>}
   */
  async outcomeOf({ file, text }, first) {
    const isScript = file.endsWith('.js');
    const path = join(this.#folder, file);
    const original = readFileSync(path, 'utf8');
    if (isScript) {
      const program = programOf(text);
      if (program === undefined) return 'invalid';
      if (program === programOf(original)) return 'same program';
    }
    writeFileSync(path, text);
    try {
      return isScript ? await this.#scripts(first) : await this.#ofC();
    } finally {
      writeFileSync(path, original);
    }
  }

  /** @returns {Promise<Outcome>} */
  async #ofC() {
    const objects = await this.#compiled();
    if (objects === undefined) return 'invalid';
    const isSame = [...objects].every(([name, bytes]) => this.#objects.get(name)?.equals(bytes));
    const native = isSame ? 'survived' : await this.#native();
    if (native !== 'survived') return native;
    // What the native programs do not see may be seen where there are several lanes.
    const folder = join(this.#folder, 'js/generated');
    const files = readdirSync(folder).map((name) => join(folder, name));
    const read = () => files.map((file) => readFileSync(file, 'utf8'));
    const originals = read();
    const built = (/** @type {string[]} */ texts) => texts.join('').replace(/sources: '.*'/, ''); // no hash of sources
    try {
      if (await this.#run([process.execPath, 'src/build.js']) !== 0) return 'invalid';
      if (built(originals) === built(read())) return isSame ? 'same program' : 'survived';
      const simd = await this.#scripts(['kernels']);
      return simd === 'survived' ? await this.#scripts([], 'scalar') : simd;
    } finally {
      files.forEach((file, i) => writeFileSync(file, originals[i]));
    }
  }

  /** Plain, which is quick and notices most, and then with sanitizers. @returns {Promise<Outcome>} */
  async #native() {
    for (const kind of ['plain', 'sane']) {
      await this.#must(shell(core.map((name) => `${cc(kind)} -c src/${name}.c -o build/${name}.o`)));
      const objects = core.map((name) => `build/${name}.o`).join(' ');
      const outcome = await this.#outcome(shell(programs.map(({ parts, args }) =>
        `${cc(kind)} ${parts.map((part) => `build/${kind}_${part}.o`).join(' ')} ${objects} -lm -o build/program\n`
        + `build/program ${args}`)));
      if (outcome !== 'survived') return outcome;
    }
    return 'survived';
  }

  /**
   * @returns {Promise<Map<string, Buffer> | undefined>} what a native compiler makes of the kernels and of their
   *   assertions; nothing if they are not C
   */
  async #compiled() {
    const quiet = 'build/quiet'; // with assertions that do not say what failed
    mkdirSync(join(this.#folder, quiet), { recursive: true });
    writeFileSync(join(this.#folder, quiet, 'assert.h'), '#define assert(x) ((x) ? (void)0 : __builtin_trap())\n');
    const commands = core.map((name) => `${cc('plain')} -I${quiet} -c src/${name}.c -o build/${name}.o`);
    if (await this.#run(shell(commands)) !== 0) return undefined;
    return new Map(core.map((name) => [name, readFileSync(join(this.#folder, `build/${name}.o`))]));
  }

  /**
   * @param {string[]} first
   * @param {'simd' | 'scalar'} [kernels]
   * @returns {Promise<Outcome>}
   */
  async #scripts(first, kernels = 'simd') {
    const unit = [...new Set([...first, ...steps, ...areas.flatMap(({ first }) => first), ...others])];
    const golden = readdirSync(join(this.#folder, 'tests/golden')).filter((name) => name.endsWith('.test.js'));
    const groups = [
      {
        pattern: '.',
        files: [
          ...unit.map((name) => `tests/unit/${name}.test.js`),
          ...failures.map((name) => `tests/failure/${name}.test.js`),
          ...golden.map((name) => `tests/golden/${name}`),
        ],
      },
      ...alone.map(([name, pattern]) => ({ pattern, files: [`tests/unit/${name}.test.js`] })),
    ];
    const reporter = `--test-reporter=${join(this.#folder, 'tests/mutation/first-failure.js')}`;
    const forced = kernels === 'scalar' ? [`--import=${join(this.#folder, 'tests/force-scalar.js')}`] : [];
    for (const { pattern, files } of groups) {
      const command = [
        process.execPath, reporter, `--test-name-pattern=${pattern}`, ...forced, 'tests/mutation/run-tests.js', ...files,
      ];
      const outcome = await this.#outcome(command, { RMSPROP_KERNELS: kernels });
      if (outcome !== 'survived') return outcome;
    }
    return 'survived';
  }

  /**
   * @param {string[]} command that tests
   * @param {Record<string, string>} [env]
   * @returns {Promise<Outcome>}
   */
  async #outcome(command, env) {
    const code = await this.#run(command, env);
    if (code === undefined) return 'timed out';
    return code === 0 ? 'survived' : 'noticed';
  }

  /** @param {string[]} command */
  async #must(command) {
    if (await this.#run(command, {}, 'inherit') !== 0) throw new Error(`${command.join(' ')} failed`);
  }

  /**
   * @param {string[]} command
   * @param {Record<string, string>} [env]
   * @param {'ignore' | 'inherit'} [output]
   * @returns {Promise<number | undefined>} its exit code, undefined if its time was up
   */
  #run(command, env, output = 'ignore') {
    return new Promise((resolve, reject) => {
      const child = spawn('sh', ['-c', 'ulimit -St "$0" && exec "$@"', `${Math.ceil(this.#limit)}`, ...command], {
        cwd: this.#folder,
        env: { ...process.env, ...env },
        stdio: ['ignore', 'ignore', output],
        detached: true, // a group of its own, so that what it started ends with it
      });
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        try {
          process.kill(-(/** @type {number} */ (child.pid)), 'SIGKILL');
        } catch {
          // it has just ended
        }
      }, HANG_MS);
      child.on('error', reject);
      child.on('close', (code, signal) => {
        clearTimeout(timer);
        resolve(isLate || signal === 'SIGXCPU' || code === USED_UP ? undefined : code ?? 1);
      });
    });
  }
}
