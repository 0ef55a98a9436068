/**
 * What can be set in the demo's page: reading and writing the address, and typed expressions, also hostile ones.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import {
  COMMON_FIELDS, DIALECTS, LANES, PRESETS, RACER_FIELDS, SCHEDULES, configurationOf, differInRatesOnly, fieldsOf, format, fromQuery,
  parse, problemOf, racerOf, toQuery, withData,
} from '../../web-demo/page/configuration.js';
import { compileExpression } from '../../web-demo/page/expression.js';
import { curveOf } from '../../web-demo/page/rates.js';
import { Random } from '../../web-demo/data/random.js';

/**
 * @param {Random} random
 * @param {import('../../web-demo/page/configuration.js').Field} field
 */
function anyValue(random, { kind, minimum = 0, maximum = 1, choices = {}, most = 3, standard }) {
  const whole = () => Math.min(maximum, minimum + random.below(1000));
  switch (kind) {
    case 'choice': return Object.keys(choices)[random.below(Object.keys(choices).length)];
    case 'boolean': return random.below(2) === 1;
    case 'text': return ['step', 'e^(-step/100) & more=1?#%', 'ünï + 1', standard][random.below(4)];
    case 'numbers': case 'integers': return Array.from({ length: 1 + random.below(Math.min(most, 4)) }, whole);
    case 'integer': return whole();
    default: return Math.min(maximum, minimum + random.below(1e6) / 2 ** random.below(40));
  }
}

test('every configuration comes back from its address', () => {
  const random = new Random(7);
  for (let round = 0; round < 300; round++) {
    const draw = (/** @type {Record<string, any>} */ fields) =>
      Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, anyValue(random, field)]));
    const racers = Array.from({ length: 1 + random.below(LANES.length) }, () => {
      const racer = racerOf(draw(RACER_FIELDS));
      // What a racer does not use is not in the address.
      const start = racerOf({ dialect: racer.dialect });
      const used = fieldsOf(racer);
      const kept = racerOf({ ...start, ...Object.fromEntries(Object.entries(racer).filter(([key]) => used.includes(key))) });
      return problemOf(kept) ? { ...kept, boundaries: [1, 2], values: [0.3, 0.2, 0.1] } : kept;
    });
    const configuration = configurationOf({ ...draw(COMMON_FIELDS), racers });
    const { configuration: read, problems } = fromQuery(`?${toQuery(configuration)}`);
    assert.deepEqual(problems, []);
    assert.deepEqual(read, configuration, toQuery(configuration));
  }
});

test('the address says only what is not as the page starts', () => {
  assert.equal(toQuery(configurationOf()), '');
  assert.equal(toQuery(configurationOf({ seed: 7 })), 'seed=7');
  const racers = [racerOf({ dialect: 'torch', rate: 0.01, momentum: 0.9 })];
  assert.equal(toQuery(configurationOf({ racers })), 'a.dialect=torch&a.momentum=0.9&a.rate=0.01');
});

test('other rates are taken while training goes on; whatever else differs is another race', () => {
  const racer = racerOf({ rate: 0.01, momentum: 0.9 });
  const configuration = configurationOf({ seed: 7, racers: [racer, racerOf({ dialect: 'torch' })] });
  const withFirst = (/** @type {any} */ change) =>
    ({ ...configuration, racers: [{ ...racer, ...change }, ...configuration.racers.slice(1)] });
  for (const change of [
    {}, { rate: 1 }, { schedule: 'expression', expression: 'step' }, { schedule: 'piecewise', boundaries: [3], values: [1, 2] },
    { schedule: 'cosine', decaySteps: 9, alpha: 0.5, warmupSteps: 0 },
  ]) assert.ok(differInRatesOnly(configuration, withFirst(change)), JSON.stringify(change));
  for (const change of [{ momentum: 0 }, { dialect: 'tf1' }, { centered: true, rate: 1 }, { ema: 0.5 }, { rho: 0.5 }]) {
    assert.ok(!differInRatesOnly(configuration, withFirst(change)), JSON.stringify(change));
  }
  assert.ok(!differInRatesOnly(configuration, { ...configuration, batch: 64 }));
  assert.ok(!differInRatesOnly(configuration, { ...configuration, racers: [racer] }));
  assert.ok(!differInRatesOnly(configuration, { ...configuration, racers: [...configuration.racers, racer] }));
});

test('what an address has that is none is told, and left as the page starts', () => {
  const { configuration, problems } = fromQuery('?seed=-1&batch=1e3&hidden=64.5&data=cifar&evil=1&a.rho=2&e.rho=1&a.b.c=1'
    + '&a.__proto__=1&__proto__=2&constructor=3&b.schedule=piecewise&b.boundaries=5,3&c.expression=&c.rate=NaN&d.centered=yes'
    + '&a.dialect=constructor&a.schedule=toString');
  assert.deepEqual(problems, [
    'seed must be an integer in [0, 4294967295], got "-1"',
    'hidden must be an integer in [1, 1024], got "64.5"',
    'data must be one of mnist, fashion, spirals, rings, checkers, got "cifar"',
    'evil is not known',
    'a.rho must be a number in [0, 1], got "2"',
    'e.rho is not known',
    'a.b.c is not known',
    'a.__proto__ is not known',
    '__proto__ is not known',
    'constructor is not known',
    'c.expression must have 1 to 200 characters, got ""',
    'c.rate must be a number in [0, 10], got "NaN"',
    'd.centered must be 0 or 1, got "yes"',
    'a.dialect must be one of keras, keras2, legacy, tf1, torch, got "constructor"',
    'a.schedule must be one of constant, cosine, restarts, exponential, inverse, polynomial, piecewise, expression, got "toString"',
    'b.boundaries must grow',
  ]);
  assert.equal(configuration.batch, 1000);
  assert.deepEqual(configuration, configurationOf({ batch: 1000, racers: [racerOf({ boundaries: [5, 3] })] }));
  assert.equal(/** @type {any} */ ({}).polluted, undefined);
});

test('a long address is told shortly, and names are taken as text', () => {
  const { problems } = fromQuery(`?seed=${'9'.repeat(100000)}&${'<b>'.repeat(1000)}=1`);
  assert.equal(problems.length, 2);
  for (const problem of problems) assert.ok(problem.length < 150, problem);
});

test('every field takes what it starts with, and every dialect and preset has fields that there are', () => {
  for (const field of [...Object.values(COMMON_FIELDS), ...Object.values(RACER_FIELDS)]) {
    assert.deepEqual(parse(field, format(field.standard)), field.standard);
  }
  for (const { options, standards } of Object.values(DIALECTS)) {
    for (const key of [...options, ...Object.keys(standards)]) assert.ok(RACER_FIELDS[key], key);
  }
  for (const { racers } of PRESETS) {
    const configuration = configurationOf({ racers: racers.map((racer) => racerOf(/** @type {any} */ (racer))) });
    assert.deepEqual(fromQuery(toQuery(configuration)), { configuration, problems: [] });
  }
  assert.deepEqual(withData(configurationOf({ seed: 5 }), 'rings').hidden, [16, 16]);
  assert.equal(withData(configurationOf({ seed: 5 }), 'rings').seed, 5);
});

test('every schedule has a curve: rates that are finite and at least 0', () => {
  for (const schedule of Object.keys(SCHEDULES)) {
    const { steps, rates } = curveOf(racerOf({ schedule }), 469, 3000);
    assert.deepEqual([steps[0], steps[steps.length - 1]], [0, 3000]);
    assert.ok(rates.every((rate) => rate >= 0 && rate < 1), `${schedule}: ${rates}`);
    assert.equal(new Set(rates).size > 1, schedule !== 'constant', schedule);
  }
  assert.throws(() => curveOf(racerOf({ schedule: 'expression', expression: '1 - step' }), 1, 5),
    { name: 'RangeError', message: 'must be finite and at least 0, but is -1 at step 2' });
});

test('an expression computes what arithmetic says', () => {
  /** @type {[string, number, number][]} */
  const cases = [
    ['0.001', 9, 0.001],
    ['2 * step + 1', 3, 7],
    ['2^-step', 3, 0.125],
    ['-2^2', 0, -4],
    ['7 % 4 + step % 2', 3, 4],
    ['step < 10 ? 1 : 0.5', 10, 0.5],
    ['0 < step < 5 ? 1 : 2', 3, 1],
    ['(step == 3 or step > 8) and not (step == 9) ? 1 : 0', 9, 0],
    ['min(1, 2, step) + max(step, 4) + abs(-1) + floor(1.7) + ceil(1.2) + round(1.4)', 0, 9],
    ['sqrt(16) + pow(2, 3) + log(e) + exp(0) + cos(0) + sin(0)', 0, 15],
    ['step / stepsPerEpoch', 938, 2],
    ['1e-3 * (1 + cos(pi * step / 100)) / 2', 50, 0.0005],
  ];
  for (const [text, step, expected] of cases) {
    const value = compileExpression(text)(step, 469);
    assert.ok(Math.abs(value - expected) <= 1e-12 * Math.abs(expected) + 1e-16, `${text} is ${value}`);
  }
});

test('an expression that is none is refused with what is wrong', () => {
  /** @type {[string, RegExp][]} */
  const refused = [
    ['', /^type a number/], ['   ', /^type a number/], ['0.1 *', /^Unexpected end of expression/], ['(1', /^Parenthesis \) expected/],
    ['rate', /^rate is unknown$/], ['exp', /^exp is a function: add arguments in parentheses$/], ['exp()', /^exp takes 1 argument, got 0$/],
    ['min(1,2,3,4,5,6,7,8,9)', /^min takes 1 to 8 arguments, got 9$/], ['random()', /^random is not an available function$/],
  ];
  for (const [text, message] of refused) assert.throws(() => compileExpression(text), { name: 'RangeError', message }, text);
  const late = { 'log(-1 - step)': /NaN at step 3/, '1 / (step - 3)': /Infinity at step 3/, 'step > 2': /must be a number, but is true/ };
  for (const [text, message] of Object.entries(late)) {
    assert.throws(() => compileExpression(text)(3, 1), { name: 'RangeError', message }, text);
  }
});

test('no expression runs code, defines anything, or takes long', () => {
  const hostile = [
    'import("fs")', 'eval("1")', 'evaluate("1")', 'parse("1")', 'simplify("1")', 'createUnit("a")', 'Function("return 1")()',
    'constructor', 'step.constructor',
    'step.constructor.constructor("return process")()', '"a".constructor', 'cos.constructor("x")',
    'cos["constructor"]("return 1")()', 'f(x) = f(x)', 'f(x) = x; f(1)',
    'a = 1', 'step = 5', '1; 2', '1\n2', '[1, 2]', '1:1e9', '{a: 1}', '"text"',
    'true', 'null', 'undefined', 'this', 'process', 'globalThis', 'window', '__proto__', 'toString()', 'hasOwnProperty("a")', 'valueOf()',
    '1000000!', 'step!', "step'", 'step | 1', '1 << 31', '5 to cm', '5 cm', 'bignumber(1)', 'range(1, 1e9)', 'factorial(170)',
    'x => x', '`a`', 'exp(a = 1)', 'min(1, (f(x) = x))', '(step = 2) + 1', 'cos.name', 'pi.e', 'pi = 3', 'ans', 'end', 'i', 'Infinity',
    'max(...[1])', 'step; process.exit()', '#{1}', 'σ', '\u0000', '1 + ', '?.', 'sum(1:1e9)',
    `${'('.repeat(100)}1${')'.repeat(100)}1`, '9'.repeat(201), '-'.repeat(199),
  ];
  for (const text of hostile) {
    assert.throws(() => compileExpression(text)(1, 1), { name: 'RangeError' }, text);
  }
  // The longest that pass: as deep, and as large, as 200 characters allow.
  const large = [`${'('.repeat(99)}1${')'.repeat(99)}`, `${'2^'.repeat(99)}0`, `${'-'.repeat(198)}1`, `1${'?1:1'.repeat(49)}`,
    `${'exp('.repeat(39)}0${')'.repeat(39)}`];
  for (const text of large) {
    assert.ok(text.length <= 200);
    try {
      const value = compileExpression(text)(1, 1);
      assert.equal(typeof value, 'number');
    } catch (error) {
      assert.equal(/** @type {Error} */ (error).name, 'RangeError', `${text}: ${error}`);
    }
  }
  // Nothing that was evaluated has left anything behind.
  assert.throws(() => compileExpression('f(1)'), /not an available function/);
  assert.equal(compileExpression('pi')(1, 1), Math.PI);
});

test('an expression works where text cannot be made into code', () => {
  const page = new URL('../../web-demo/page/', import.meta.url);
  const code = `
    import { compileExpression } from ${JSON.stringify(new URL('expression.js', page).href)};
    let refused = false;
    try { new Function('return 1'); } catch { refused = true; }
    console.log(refused, compileExpression('2 * exp(step - 4) + (step > 3 ? 1 : 0)')(4, 1));`;
  const { stdout, stderr } = spawnSync(process.execPath,
    ['--disallow-code-generation-from-strings', '--input-type=module', '--eval', code], { encoding: 'utf8' });
  assert.equal(stdout, 'true 3\n', stderr);
});
