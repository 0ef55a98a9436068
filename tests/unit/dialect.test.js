/**
 * "Adding a dialect" of CONTRIBUTING.md, as far as the kernels go, followed with a made-up rule in a copy of the sources.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { whereIs } from '../browsers/programs.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const skip = whereIs(['cc']) ? false : 'no cc on this machine';

/** What the list asks for in C: each file, the line before which something is added, and what. @type {Record<string, string[]>} */
const steps = {
  'include/rmsprop.h': ['  RMS_RULE_COUNT ', '  RMS_RULE_MADE_UP,\n'],
  'src/rules.h': ['  ROW(RMS_RULE_LEGACY,', '  ROW(RMS_RULE_MADE_UP, 1, 0, GROUPED, NUDGED, INSIDE_FIRST, SCALED, 0, 0) \\\n'],
};

const STEPS = 3;
const SIZE = 19; // whole vectors and a tail, where there are vectors
const [RATE, RHO, EPSILON] = [0.1, 0.9, 0.3];

const program = `#include <stdio.h>
#include <string.h>
#include "rmsprop.h"
int main(void) {
  float x[${SIZE}], g[${SIZE}], v[${SIZE}], mg[${SIZE}];
  for (int i = 0; i < ${SIZE}; i++) x[i] = i / 7.0f, g[i] = (i * 37 % 101 - 50) / 97.0f, v[i] = mg[i] = 0;
  rms_tensor tensor = {.value = x, .gradient = g, .mean_square = v, .mean_gradient = mg, .length = ${SIZE}, .dtype = RMS_FLOAT32};
  rms_step_options options = {.learning_rate = ${RATE}, .rho = ${RHO}, .epsilon = ${EPSILON}, .rule = RMS_RULE_MADE_UP};
  for (int step = 0; step < ${STEPS}; step++) rms_step(&options, &tensor, 1);
  for (int i = 0; i < ${SIZE}; i++) {
    unsigned bits[3];
    memcpy(&bits[0], &x[i], 4), memcpy(&bits[1], &v[i], 4), memcpy(&bits[2], &mg[i], 4);
    printf("%u %u %u ", bits[0], bits[1], bits[2]);
  }
  return 0;
}
`;

/** The rule that the row says, in plain arithmetic. @returns {number[]} the bits of weights and slots */
function expected() {
  const f = Math.fround;
  const [rate, rho, epsilon] = [RATE, RHO, EPSILON].map(f);
  const rest = f(1 - rho);
  const values = Array.from({ length: SIZE }, (_, i) => {
    const g = f(((i * 37) % 101 - 50) / 97);
    let [x, v, mg] = [f(i / 7), 0, 0];
    for (let step = 0; step < STEPS; step++) {
      v = f(f(rho * v) + f(f(rest * g) * g));
      mg = f(mg + f(f(g - mg) * rest));
      const root = f(Math.sqrt(f(f(v + epsilon) - f(mg * mg))));
      x = f(x - f(rate * f(f(1 / root) * g)));
    }
    return [x, v, mg];
  });
  return [...new Uint32Array(Float32Array.from(values.flat()).buffer)];
}

/** @type {string} */
let folder;
before(() => { folder = mkdtempSync(join(tmpdir(), 'rmsprop-dialect-')); });
after(() => rmSync(folder, { recursive: true }));

/**
 * @param {string[]} files whose steps are followed
 * @returns {{ compile: (...args: string[]) => import('node:child_process').SpawnSyncReturns<string>, output: string }} of the copy
 */
function follow(files) {
  for (const part of ['include', 'src']) {
    rmSync(join(folder, part), { recursive: true, force: true });
    cpSync(join(root, part), join(folder, part), { recursive: true });
  }
  for (const file of files) {
    const text = readFileSync(join(folder, file), 'utf8');
    const [before, added] = steps[file];
    assert.equal(text.split(before).length, 2, `${file} has "${before}" once`);
    writeFileSync(join(folder, file), text.replace(before, added + before));
  }
  writeFileSync(join(folder, 'main.c'), program);
  const output = join(folder, 'program');
  const options = ['-std=c11', '-O1', '-Wall', '-Wextra', '-Werror', '-ffp-contract=off', '-fno-math-errno', '-Iinclude', '-Isrc'];
  return {
    output,
    compile: (...sources) => spawnSync('cc', [...options, ...sources, '-lm', '-o', output], { cwd: folder, encoding: 'utf8' }),
  };
}

test('a name and a row make a rule, which runs, and whose constant the build hands on', { skip }, () => {
  const { compile, output } = follow(Object.keys(steps));
  const made = compile('main.c', 'src/step.c', 'src/f32x1.c', 'src/f64x1.c');
  assert.equal(made.status, 0, made.stderr);
  const { stdout } = spawnSync(output, { encoding: 'utf8' });
  assert.deepEqual(stdout.trim().split(' ').map(Number), expected());

  // The build runs layout.c with pointers of 32 bits, which may not be here.
  const layout = spawnSync('cc', ['-E', '-Iinclude', 'src/layout.c'], { cwd: folder, encoding: 'utf8' });
  assert.match(layout.stdout, /printf\([^;]*"RMS_RULE_MADE_UP"[^;]*, RMS_RULE_MADE_UP\);/);
});

test('a forgotten name, and a forgotten row, are errors that say so', { skip }, () => {
  const nameless = follow(['src/rules.h']).compile('-fsyntax-only', 'src/f32x1.c');
  assert.notEqual(nameless.status, 0);
  assert.match(nameless.stderr, /RMS_RULE_MADE_UP/);
  const rowless = follow(['include/rmsprop.h']).compile('-fsyntax-only', 'src/f32x1.c');
  assert.notEqual(rowless.status, 0);
  assert.match(rowless.stderr, /every rule of enum rms_rule has a line in ROWS_all/);
});

test('the list in CONTRIBUTING.md names files that are there, first those of the kernels', () => {
  const guide = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8');
  const list = /\n## Adding a dialect\n([^]*?)\n## /.exec(guide)?.[1] ?? '';
  const named = [...list.matchAll(/^\d+\. (.*)/gm)]
    .flatMap(([, line]) => [...line.matchAll(/`([\w./-]+(?:\.(?:c|h|js|json|md)|\/))`/g)].map(([, name]) => name));
  assert.ok(named.length >= 8, `${named}`);
  assert.deepEqual(named.slice(0, 2), Object.keys(steps));
  for (const name of named) assert.ok(existsSync(join(root, name)), name);
});
