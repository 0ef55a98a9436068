/**
 * Who is to be able to use the package: a table, of which each row says what a project holds and how it is run.
 * The tests of consumers.test.js run it; the table of docs/tests.md is made of it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { blocks } from '../documents.js';
import { program } from './program.js';
import { node, root, tool } from './projects.js';

/**
 * @typedef {object} Row
 * @property {string} group
 * @property {string} name
 * @property {string[]} of the packages whose versions count
 * @property {boolean} [quick] whether `npm test` runs it too
 * @property {Record<string, string>} files of the project
 * @property {boolean} [alone] whether the project needs the tools in its own node_modules
 * @property {string[][]} commands to run in it, one after the other
 * @property {string[]} [server] to be started after them, of which `page` is asked
 * @property {boolean} [silent] whether the tool warns of nothing
 * @property {'printed' | 'checked' | 'none'} bits where the bits are: the last line that is printed; in the project, which
 *   has compared them itself; or nothing runs
 * @property {string} [prints] that line, where it is not the bits
 * @property {string} [page] in the project or at the server, from which the bits come instead: the text of #bits, in browsers
 * @property {boolean} [isolated] whether the page is to be cross-origin isolated, as shared memory needs it
 * @property {string} [bundle] the folder of scripts to weigh
 * @property {number} [budget] bytes of them, gzipped
 */

const NAMES = 'RMSprop, indexedSlices, variable';
const FUNCTION = `${program}\n`;
const BITS = `program({ ${NAMES} })`;
const IMPORT = `import { ${NAMES} } from 'rmsprop-wasm';\n`;
const SHOW = "document.querySelector('#bits').textContent = ";
const html = (/** @type {string} */ scripts) =>
  '<!doctype html><html lang="en"><meta charset="utf-8"><title>Consumer</title><link rel="icon" href="data:,">'
    + `<output id="bits"></output>${scripts}</html>\n`;

/** What else the package has to import. */
const { name: packageName, exports: entries } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const facades = Object.keys(entries).filter((entry) => entries[entry].import && entry !== '.')
  .map((entry) => `${packageName}${entry.slice(1)}`);
const IMPORT_ALL = `${facades.map((entry) => `import '${entry}';\n`).join('')}${IMPORT}`;

const esm = `${IMPORT_ALL}${FUNCTION}console.log(${BITS});\n`;
const cjs = `const { ${NAMES} } = require('rmsprop-wasm');\n${facades.map((entry) => `require('${entry}');\n`).join('')}`
  + `${FUNCTION}console.log(${BITS});\n`;
/** What ESM made, CommonJS trains, in one memory: the tensors of either are the other's too. */
const both = `import { createRequire } from 'node:module';
import { indexedSlices, variable } from 'rmsprop-wasm';
const { RMSprop } = createRequire(import.meta.url)('rmsprop-wasm');
${FUNCTION}console.log(${BITS});
`;
/** The same by two threads, on variables in their memory. */
const threaded = `const pool = await ThreadPool.create({ threads: 2 });
class Threaded extends RMSprop {
  constructor(options) {
    super({ ...options, pool });
  }
}
const inPool = (values, options) => variable(values, { ...options, memory: pool.memory });
${FUNCTION}const bits = program({ RMSprop: Threaded, indexedSlices, variable: inPool });
await pool.close();
`;
const threadedEsm = `${IMPORT}import { ThreadPool } from 'rmsprop-wasm/threads';\n${threaded}`;
const threadedCjs = `const { ${NAMES} } = require('rmsprop-wasm');\nconst { ThreadPool } = require('rmsprop-wasm/threads');\n`
  + `(async () => {\n${threaded}console.log(bits);\n})();\n`;
const inPage = `${IMPORT}${FUNCTION}${SHOW}${BITS};\n`;

/** The workers that the guide shows. */
const guide = blocks('js worker', readFileSync(join(root, 'docs/edge-workers.md'), 'utf8'));

/** @type {Row[]} */
const runtimes = [
  ...[18, 20, 22, 24, 26].flatMap((major) => [
    { name: `Node ${major}, ESM`, file: 'main.mjs', text: esm },
    { name: `Node ${major}, CommonJS`, file: 'main.cjs', text: cjs },
    { name: `Node ${major}, both in one program`, file: 'main.mjs', text: both },
  ].map(({ name, file, text }) => ({
    name, of: [`node-${major}`], files: { [file]: text }, commands: [[node(major), file]],
  }))),
  ...[['main.mjs', esm, 'ESM'], ['main.cjs', cjs, 'CommonJS']].flatMap(([file, text, format]) => [
    {
      name: `Bun, ${format}`, of: ['@oven/bun-linux-x64'], files: { [file]: text },
      commands: [[tool('@oven/bun-linux-x64/bin/bun'), file]],
    },
    {
      name: `Deno, ${format}`, of: ['@deno/linux-x64-glibc'], files: { [file]: text },
      commands: [[tool('@deno/linux-x64-glibc/deno'), 'run', '--no-remote', '--node-modules-dir=manual', file]],
    },
  ]),
  ...[18, 26].flatMap((major) => [
    { name: `Node ${major}, threads, ESM`, file: 'main.mjs', text: `${threadedEsm}console.log(bits);\n` },
    { name: `Node ${major}, threads, CommonJS`, file: 'main.cjs', text: threadedCjs },
  ].map(({ name, file, text }) => ({
    name, of: [`node-${major}`], files: { [file]: text }, commands: [[node(major), file]],
  }))),
  {
    name: 'Bun, threads', of: ['@oven/bun-linux-x64'], files: { 'main.mjs': `${threadedEsm}console.log(bits);\n` },
    commands: [[tool('@oven/bun-linux-x64/bin/bun'), 'main.mjs']],
  },
  {
    name: 'Deno, threads', of: ['@deno/linux-x64-glibc'], files: { 'main.mjs': `${threadedEsm}console.log(bits);\n` },
    commands: [[tool('@deno/linux-x64-glibc/deno'), 'run', '--allow-read', '--no-remote', '--node-modules-dir=manual', 'main.mjs']],
  },
  // Without the one that keeps files.
  worker('workerd, plain import', 'workerd,worker,browser', IMPORT_ALL.replace("import 'rmsprop-wasm/node';\n", '')),
  worker('workerd, configure({ module })', 'worker,browser', [
    `import { configure, ${NAMES} } from 'rmsprop-wasm';\n`,
    "import module from 'rmsprop-wasm/rmsprop.wasm';\n",
    'configure({ module });\n',
  ].join('')),
  ...['workerd,worker,browser', 'worker,browser'].map((conditions, i) => ({
    ...worker(`workerd, worker ${i + 1} of the guide`, conditions, '', [
      "import worker from './guide.js';\n",
      'export default { async test() { console.log(await worker.fetch().text()); } };\n',
    ].join(''), { 'guide.js': guide[i] }),
    prints: '9.683772',
  })),
].map((row) => ({ ...row, group: 'Runtimes', quick: true, bits: 'printed' }));

/**
 * As Wrangler bundles a worker: by esbuild, with modules beside it.
 *
 * @param {string} name
 * @param {string} conditions by which the package is resolved
 * @param {string} imports
 * @param {string} [main]
 * @param {Record<string, string>} [more] files
 * @returns {Pick<Row, 'name' | 'of' | 'files' | 'commands'>}
 */
function worker(name, conditions, imports, main = `${FUNCTION}export default { test() { console.log(${BITS}); } };\n`, more = {}) {
  return {
    name,
    of: ['@cloudflare/workerd-linux-64'],
    files: {
      ...more,
      'worker.js': `${imports}${main}`,
      'worker.capnp': [
        'using Workerd = import "/workerd/workerd.capnp";',
        'const config :Workerd.Config = (services = [(name = "main", worker = (',
        '  modules = [(name = "worker.js", esModule = embed "out/worker.js"),',
        '    (name = "./rmsprop.wasm", wasm = embed "out/rmsprop.wasm")],',
        '  compatibilityDate = "2025-01-01"))]);',
        '',
      ].join('\n'),
    },
    commands: [
      [
        tool('.bin/esbuild'), 'worker.js', '--bundle', '--format=esm', `--conditions=${conditions}`, '--log-level=warning',
        '--loader:.wasm=copy', '--asset-names=[name]', '--outdir=out',
      ],
      // Its own messages go to stderr, which comes first in what `run` gives.
      ['sh', '-c', `"${tool('@cloudflare/workerd-linux-64/bin/workerd')}" test worker.capnp 2> log || { cat log >&2; exit 1; }`],
    ],
  };
}

/** Bytes of a bundle of RMSprop, variables and slices, gzipped: 25 000 are the modules. */
const BUDGET = 48_000;

/** @type {Pick<Row, 'name' | 'of' | 'files' | 'commands' | 'page' | 'isolated' | 'quick' | 'alone' | 'server' | 'bundle' | 'budget'>[]} */
const bundled = [
  {
    name: 'Vite, build', of: ['vite'], quick: true,
    files: { 'index.html': html('<script type="module" src="./main.js"></script>'), 'main.js': inPage },
    commands: [[node(24), tool('vite/bin/vite.js'), 'build']],
    page: 'dist/index.html', bundle: 'dist', budget: BUDGET,
  },
  {
    name: 'Vite, build, threads', of: ['vite'], quick: true,
    files: {
      'index.html': html('<script type="module" src="./main.js"></script>'),
      'main.js': `${threadedEsm}${SHOW}bits;\n`,
    },
    commands: [[node(24), tool('vite/bin/vite.js'), 'build']],
    page: 'dist/index.html', isolated: true,
  },
  {
    name: 'webpack, threads', of: ['webpack'],
    files: {
      'dist/index.html': html('<script src="main.js"></script>'),
      'src/index.js': `${threadedEsm}${SHOW}bits;\n`,
    },
    commands: [[node(24), tool('webpack-cli/bin/cli.js'), '--mode', 'production']],
    page: 'dist/index.html', isolated: true,
  },
  {
    name: 'Vite, dev', of: ['vite'],
    files: { 'index.html': html('<script type="module" src="./main.js"></script>'), 'main.js': inPage },
    commands: [],
    server: [node(24), tool('vite/bin/vite.js'), 'dev', '--host', '127.0.0.1', '--port', '0'],
    page: '',
  },
  {
    name: 'webpack', of: ['webpack'], quick: true,
    files: { 'dist/index.html': html('<script src="main.js"></script>'), 'src/index.js': inPage },
    commands: [[node(24), tool('webpack-cli/bin/cli.js'), '--mode', 'production']],
    page: 'dist/index.html', bundle: 'dist', budget: BUDGET,
  },
  {
    name: 'Rollup', of: ['rollup'], quick: true, // node-resolve is what lets Rollup see packages at all; it takes no other plugin
    files: { 'dist/index.html': html('<script type="module" src="main.js"></script>'), 'main.js': inPage },
    commands: [
      [
        node(24), tool('rollup/dist/bin/rollup'), 'main.js', '--plugin', 'node-resolve', '--dir', 'dist', '--format', 'es',
        '--failAfterWarnings',
      ],
    ],
    page: 'dist/index.html', bundle: 'dist', budget: 80_000, // nothing is minified
  },
  {
    name: 'esbuild', of: ['esbuild'], quick: true,
    files: { 'dist/index.html': html('<script type="module" src="main.js"></script>'), 'main.js': inPage },
    commands: [[tool('.bin/esbuild'), 'main.js', '--bundle', '--minify', '--format=esm', '--outdir=dist']],
    page: 'dist/index.html', bundle: 'dist', budget: BUDGET,
  },
  {
    name: 'Parcel', of: ['parcel'],
    files: { 'index.html': html('<script type="module" src="./main.js"></script>'), 'main.js': inPage },
    commands: [[node(24), tool('parcel/lib/bin.js'), 'build', 'index.html', '--no-cache', '--no-source-maps', '--public-url', './']],
    page: 'dist/index.html', bundle: 'dist', budget: BUDGET,
  },
  {
    name: 'Next.js, server component and client component', of: ['next'], alone: true,
    files: {
      'package.json': JSON.stringify({ name: 'consumer', private: true }),
      'next.config.mjs': "export default { output: 'export' };\n",
      'app/layout.js': "export const metadata = { icons: 'data:,' };\n"
        + 'export default function Layout({ children }) {\n  return <html lang="en"><body>{children}</body></html>;\n}\n',
      'app/page.js': `import Client from './client.js';\n${IMPORT}${FUNCTION}`
        + `export default function Page() {\n  return <Client server={${BITS}} />;\n}\n`,
      // What the server computed comes along, so that one text holds both.
      'app/client.js': `'use client';\nimport { useEffect, useState } from 'react';\n${IMPORT}${FUNCTION}`
        + 'export default function Client({ server }) {\n  const [bits, setBits] = useState("");\n'
        + `  useEffect(() => {\n    const client = ${BITS};\n`
        + '    setBits(client === server ? client : `client ${client} server ${server}`);\n  }, [server]);\n'
        + '  return <output id="bits">{bits}</output>;\n}\n',
    },
    commands: [[node(24), 'node_modules/next/dist/bin/next', 'build']],
    page: 'out/index.html',
  },
];

/** @type {Row[]} */
const bundlers = bundled.map((row) => ({ ...row, group: 'Bundlers', silent: true, bits: 'none' }));

const modulesAt = './node_modules/rmsprop-wasm';

/** @type {Pick<Row, 'name' | 'files'>[]} */
const scripted = [
  {
    name: 'page, with an import map',
    files: {
      'index.html': html(`<script type="importmap">{ "imports": { "rmsprop-wasm": "${modulesAt}/js/index.js" } }</script>`
        + '<script type="module" src="main.js"></script>'),
      'main.js': inPage,
    },
  },
  {
    name: 'page, by a classic script',
    files: {
      'index.html': html(`<script src="${modulesAt}/dist/rmsprop.global.js"></script>`
        + `<script>${FUNCTION}${SHOW}program(rmspropWasm);</script>`),
    },
  },
  {
    name: 'Web Worker',
    files: {
      'index.html': html("<script type=\"module\">const worker = new Worker('worker.js', { type: 'module' });"
        + `worker.onmessage = ({ data }) => { ${SHOW}data; };</script>`),
      'worker.js': `${IMPORT.replace('rmsprop-wasm', `${modulesAt}/js/index.js`)}${FUNCTION}postMessage(${BITS});\n`,
    },
  },
  {
    name: 'SharedWorker',
    files: {
      'index.html': html("<script type=\"module\">const { port } = new SharedWorker('worker.js', { type: 'module' });"
        + `port.onmessage = ({ data }) => { ${SHOW}data; };</script>`),
      'worker.js': `${IMPORT.replace('rmsprop-wasm', `${modulesAt}/js/index.js`)}${FUNCTION}`
        + `onconnect = ({ ports: [port] }) => port.postMessage(${BITS});\n`,
    },
  },
  {
    name: 'Service Worker', // a classic one: browsers differ in modules there
    files: {
      'index.html': html(`<script type="module">
await navigator.serviceWorker.register('worker.js');
const { active } = await navigator.serviceWorker.ready;
navigator.serviceWorker.onmessage = ({ data }) => { ${SHOW}data; };
active.postMessage('train');
</script>`),
      'worker.js': `importScripts('${modulesAt}/dist/rmsprop.global.js');\n${FUNCTION}`
        + 'self.onmessage = ({ source }) => source.postMessage(program(rmspropWasm));\n',
    },
  },
];

/** @type {Row[]} */
const pages = scripted.map((row) => ({
  ...row, group: 'Pages and workers', of: [], commands: [], quick: true, page: 'index.html', bits: 'none',
}));

/** What must compile, and what must not. */
const typed = `import {
  LossScaleOptimizer, Memory, RMSprop, type Variable, indexedSlices, readSafetensors, schedules, variable,
} from 'rmsprop-wasm';
import { RMSprop as Legacy } from 'rmsprop-wasm/legacy';
import { applyUpdates, chain, clip, rmsprop } from 'rmsprop-wasm/optax';
import { RMSprop as Torch, lrScheduler } from 'rmsprop-wasm/torch';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';

${program.toString().replace(' })', " }: Pick<typeof import('rmsprop-wasm'), 'RMSprop' | 'indexedSlices' | 'variable'>)")}
console.log(program({ RMSprop, indexedSlices, variable }));

const w: Variable = variable([1, 2], { name: 'w', constraint: (v) => { v.data.fill(1); } });
const learningRate = new schedules.CosineDecay({ initialLearningRate: 0.1, decaySteps: 10 });
const optimizer = new RMSprop({ learningRate, rho: () => 0.9, clipnorm: 1, useEma: true });
const iterations: number = optimizer.applyGradients([[[1, 2], w]]);
const bytes: Uint8Array = optimizer.save({ variables: true });
const names: string[] = [...readSafetensors(bytes).tensors.keys()];
const averaged: number = optimizer.withAverages(() => w.data[0]);
const scaled = new LossScaleOptimizer(new RMSprop(), { initialScale: 2 });
const torch = new Torch([w], { lr: 0.1 });
const scheduler = new lrScheduler.StepLR(torch, { stepSize: 1 });
const legacy = new Legacy({ learningRate: 0.1 });
const v1 = new RMSPropOptimizer({ learningRate: 0.1, decay: 0.9 });
const transform = chain(clip(1), rmsprop({ learningRate: 0.1 }));
export const all = [iterations, names, averaged, scaled, scheduler, legacy, v1, transform, applyUpdates, new Memory()];

/** Is compiled, not run. */
export function refused() {
  // @ts-expect-error a rate is no string
  new RMSprop({ learningRate: 'fast' });
  // @ts-expect-error there is no such option
  new RMSprop({ lerningRate: 0.1 });
  // @ts-expect-error gradients are a list
  optimizer.apply(1, [w]);
  // @ts-expect-error pairs, not gradients
  optimizer.applyGradients([[1, 2]]);
  // @ts-expect-error iterations are counted, not set
  optimizer.iterations = 3;
  // @ts-expect-error a variable is of numbers
  variable('ten');
  // @ts-expect-error float16 is not there
  variable(1, { dtype: 'float16' });
  // @ts-expect-error PyTorch says lr
  new Torch([w], { learningRate: 0.1 });
  // @ts-expect-error TensorFlow 1 needs a rate
  new RMSPropOptimizer({});
  // @ts-expect-error a schedule has to know its length
  new schedules.CosineDecay({ initialLearningRate: 0.1 });
}
`;

/** What ESM made is, to the compiler too, what CommonJS knows. */
const typedBoth = `import { variable } from 'rmsprop-wasm';
import commonJs = require('rmsprop-wasm');

export const w: commonJs.Variable = variable([1, 2]);
`;

/**
 * @param {object} options of tsconfig.json
 * @param {string[]} files
 */
const tsconfig = (options, ...files) => JSON.stringify({
  files,
  compilerOptions: {
    target: 'es2022', lib: ['es2022', 'dom'], types: [], strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false, rootDir: '.',
    outDir: 'out', ...options,
  },
});

/** @type {Row[]} */
const compilers = ['5.0', '5.9', '6', '7'].map((version) => {
  const tsc = [node(24), tool(`typescript-${version}/${version === '7' ? 'bin/tsc' : 'lib/tsc.js'}`)];
  return {
    group: 'TypeScript',
    name: `TypeScript ${version}, nodenext, bundler, and node16 from CommonJS`,
    of: [`typescript-${version}`],
    quick: version === '5.0' || version === '7',
    files: {
      'esm.mts': typed,
      'both.mts': typedBoth,
      'cjs.cts': typed,
      'bundled.ts': typed,
      'nodenext.json': tsconfig({ module: 'nodenext', moduleResolution: 'nodenext' }, 'esm.mts', 'both.mts'),
      'node16.json': tsconfig({ module: 'node16', moduleResolution: 'node16' }, 'cjs.cts'),
      'bundler.json': tsconfig({ module: 'esnext', moduleResolution: 'bundler', noEmit: true }, 'bundled.ts'),
    },
    commands: [
      ...['bundler', 'nodenext', 'node16'].map((config) => [...tsc, '--project', `${config}.json`]),
      [node(20), 'out/esm.mjs'],
      [node(20), 'out/cjs.cjs'],
    ],
    bits: 'printed',
  };
});

const linted = ['rmsprop.wasm', 'rmsprop.shared.wasm', 'rmsprop.h']; // are no JavaScript: there is nothing to resolve

/**
 * @param {string} tarball
 * @returns {Row[]} the linters, which look into it
 */
const linters = (tarball) => [
  { name: 'publint', of: ['publint'], command: [tool('publint/src/cli.js'), '--strict', tarball] },
  {
    name: 'Are the types wrong?', of: ['@arethetypeswrong/cli'],
    command: [tool('@arethetypeswrong/cli/dist/index.js'), tarball, '--no-emoji', '--exclude-entrypoints', ...linted],
  },
].map(({ name, of, command }) => ({
  group: 'Linters of packages', name, of, quick: true, files: {}, commands: [[node(24), ...command]], bits: 'none',
}));

/**
 * @param {string} bits that are right
 * @returns {Row[]} the test runners of users, who compare for themselves
 */
const runners = (bits) => /** @type {Pick<Row, 'name' | 'of' | 'files' | 'commands'>[]} */ ([
  {
    name: 'Jest', of: ['jest'],
    files: {
      'package.json': JSON.stringify({ name: 'consumer', private: true, jest: { testEnvironment: 'node' } }),
      'bits.test.js': `const { ${NAMES} } = require('rmsprop-wasm');\n${FUNCTION}`
        + `test('the package trains', () => {\n  expect(${BITS}).toBe('${bits}');\n});\n`,
    },
    commands: [[node(24), tool('jest/bin/jest.js'), '--ci', '--rootDir=.']],
  },
  {
    name: 'Vitest', of: ['vitest'],
    files: {
      'bits.test.js': `import { expect, test } from 'vitest';\n${IMPORT}${FUNCTION}`
        + `test('the package trains', () => {\n  expect(${BITS}).toBe('${bits}');\n});\n`,
    },
    commands: [[node(24), tool('vitest/vitest.mjs'), 'run']],
  },
]).map((row) => ({ ...row, group: 'Test runners', bits: 'checked' }));

/**
 * @param {object} given
 * @param {string} given.bits that are right
 * @param {string} given.tarball
 * @returns {Row[]} all of them
 */
export const rows = ({ bits, tarball }) =>
  [...runtimes, ...bundlers, ...pages, ...compilers, ...linters(tarball), ...runners(bits)];
