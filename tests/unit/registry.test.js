/**
 * Where the kernels come from: each dialect brings its own, those with one lane are there where they are imported, and
 * copies of the package in one realm, as the one for `import` and the one for `require`, have all that in common.
 * `configure` must come before the first use, so each program is a process of its own.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'rmsprop-wasm-copy-'));
after(() => rmSync(folder, { recursive: true }));
cpSync(join(root, 'js'), join(folder, 'js'), { recursive: true });
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
const copy = pathToFileURL(join(folder, 'js/')).href;

/** An optimizer of each dialect, whose step it returns; what a step of each makes of 10; how many modules were compiled. */
const PROGRAM = `
  import { Memory, RMSprop, configure, variable } from 'rmsprop-wasm';
  import { RMSprop as Legacy } from 'rmsprop-wasm/legacy';
  import { rmsprop } from 'rmsprop-wasm/optax';
  import { RMSprop as Torch } from 'rmsprop-wasm/torch';
  import { RMSPropOptimizer } from 'rmsprop-wasm/v1';
  const { Module } = WebAssembly;
  let compiled = 0;
  WebAssembly.Module = class extends Module { constructor(bytes) { super(bytes); compiled++; } };
  const dialects = {
    keras: (v) => { const o = new RMSprop({ learningRate: 0.1 }); return () => o.apply([[10]], [v]); },
    legacy: (v) => { const o = new Legacy({ learningRate: 0.1 }); return () => o.applyGradients([[[10], v]]); },
    v1: (v) => { const o = new RMSPropOptimizer({ learningRate: 0.1 }); return () => o.applyGradients([[[10], v]]); },
    torch: (v) => { const o = new Torch([v], { lr: 0.1 }); return () => { v.gradient = [10]; o.step(); }; },
    optax: (v) => {
      const t = rmsprop({ learningRate: 0.1 });
      return () => t.step([Float32Array.of(10)], t.init([v]), [v]);
    },
  };
  const all = () => Object.values(dialects).map((make) => { const v = variable([10]); make(v)(); return v.data[0]; });
`;

/**
 * @param {string} program which prints JSON
 * @returns {any} that
 */
function outcomeOf(program) {
  const env = { ...process.env, NODE_OPTIONS: '' }; // which may have the kernels chosen already
  const args = ['--input-type=module', '--eval', `${PROGRAM}${program}`];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: root, env, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

const expected = outcomeOf('console.log(JSON.stringify(all()))');

test('each family of dialects is a module of its own, compiled at its first use', () => {
  const { before, counts } = outcomeOf(`
    const before = compiled;
    const counts = Object.values(dialects).map((make) => { make(variable([10]))(); return compiled; });
    console.log(JSON.stringify({ before, counts }));
  `);
  assert.equal(before, 0, 'importing compiles nothing');
  assert.deepEqual(counts, [1, 2, 2, 3, 4], 'legacy and v1 are of one family');
});

for (const [what, choose, reason] of [
  ['configure({ simd: false })', 'configure({ simd: false });', 'simd is configured as false'],
  ['an engine without SIMD', 'WebAssembly.validate = () => false;', 'this engine has no WebAssembly SIMD'],
]) {
  test(`${what} needs the kernels with one lane: an error names the import, and with it the bits are the same`, () => {
    const { errors, bytesInUse, values, modules } = outcomeOf(`
      ${choose}
      const v = variable([10]);
      const steps = Object.values(dialects).map((make) => make(v));
      v.gradientBuffer();
      const before = Memory.default.bytesInUse;
      const errors = steps.map((step) => { try { step(); } catch (error) { return String(error); } });
      const bytesInUse = Memory.default.bytesInUse - before;
      await import('rmsprop-wasm/scalar');
      const values = all();
      console.log(JSON.stringify({ errors, bytesInUse, values, modules: compiled }));
    `);
    const message = `Error: the kernels with one lane are missing, and ${reason}: import 'rmsprop-wasm/scalar'`;
    assert.deepEqual(errors, Array(5).fill(message));
    assert.equal(bytesInUse, 0, 'nothing was allocated');
    assert.deepEqual(values, expected);
    assert.equal(modules, 1, 'one module for all dialects');
  });
}

test('a module that configure is given serves every dialect', () => {
  const { values, modules } = outcomeOf(`
    const { all: embedded } = await import('${pathToFileURL(join(root, 'js/generated/all.js'))}');
    configure({ module: new Module(Buffer.from(embedded.hex, 'hex')) });
    console.log(JSON.stringify({ values: all(), modules: compiled }));
  `);
  assert.deepEqual(values, expected);
  assert.equal(modules, 0, 'nothing was compiled');
});

test('copies of the package have one registry: scalar, configure and what is in use count for all', () => {
  const { value, modules, late, isShared } = outcomeOf(`
    const other = await import('${copy}index.js');
    await import('${copy}scalar.js');
    other.configure({ simd: false });
    const v = variable([10]);
    dialects.keras(v)();
    const w = other.variable([10]);
    new other.RMSprop({ learningRate: 0.1 }).apply([[10]], [w]);
    let late;
    try { other.configure({ simd: true }); } catch (error) { late = String(error); }
    const isShared = v.data[0] === w.data[0] && Symbol.for('rmsprop-wasm.kernels') in globalThis;
    console.log(JSON.stringify({ value: v.data[0], modules: compiled, late, isShared }));
  `);
  assert.equal(value, expected[0]);
  assert.equal(modules, 1, 'compiled once for both');
  assert.equal(late, 'Error: configure must be called before the first use of the kernels');
  assert.ok(isShared);
});

test('a copy whose kernels were built from other sources has a registry of its own', () => {
  const { error, value } = outcomeOf(`
    const { stamp } = await import('${copy}generated/rmsprop.js');
    const { scalar } = await import('${copy}generated/scalar.js');
    globalThis[Symbol.for('rmsprop-wasm.kernels')] = { other: { configuration: { simd: 'auto' }, scalar, modules: new Map() } };
    configure({ simd: false });
    let error;
    try { all(); } catch (thrown) { error = String(thrown); }
    console.log(JSON.stringify({ error, value: stamp.sources.length }));
  `);
  assert.match(error, /: import 'rmsprop-wasm\/scalar'$/);
  assert.equal(value, 64);
});
