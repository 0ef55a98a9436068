/**
 * What happens behind the demo's page: the race, its checkpoints, the session that drives it, its data and drawings.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Memory, RMSprop, readSafetensors, writeSafetensors } from '../../js/index.js';
import { Batches } from '../../web-demo/data/batches.js';
import { firstExamples } from '../../web-demo/data/mnist.js';
import { Model } from '../../web-demo/model/model.js';
import { DIALECTS, configurationOf, fromQuery, racerOf } from '../../web-demo/page/configuration.js';
import { loadDataSet } from '../../web-demo/page/data.js';
import { normalised } from '../../web-demo/page/digit.js';
import { logHistogram } from '../../web-demo/page/histogram.js';
import { History, RunningMean } from '../../web-demo/page/history.js';
import { NORM_EVERY, Race, RateError, configurationIn } from '../../web-demo/page/race.js';
import { ROW_HEAD, ROW_RACER, Session } from '../../web-demo/page/session.js';
import { serve } from '../../web-demo/page/serve.js';
import { makeToySet, toySets } from '../../web-demo/data/toy.js';

/** @typedef {import('../../web-demo/page/configuration.js').Configuration} Configuration */
/** @typedef {import('../../web-demo/page/configuration.js').Racer} Racer */

const data = { ...makeToySet('spirals'), classes: toySets.spirals.classes };

/** What every machine computes. */
const RECORDED = {
  losses: [0.4897078275680542, 0.0007434059516526759, 0.005922893527895212, 0.4976876378059387],
  fingerprint: 'd923282c',
  accuracies: { raw: 0.748, averaged: 0.748 },
  points: [-0.26587367057800293, 0.46064767241477966, -0.7352170944213867, -0.13019847869873047],
};

/** One of each dialect's forms that has all slots. */
const everyDialect = [
  { dialect: 'keras', momentum: 0.5, centered: true, ema: 0.9, weightDecay: 0.01, clipNorm: 1 },
  { dialect: 'keras2', momentum: 0.5, centered: true, ema: 0.9 },
  { dialect: 'legacy', momentum: 0.5, centered: true, clipNorm: 1 },
  { dialect: 'legacy', centered: true },
  { dialect: 'tf1', momentum: 0.5, centered: true },
  { dialect: 'torch', momentum: 0.5, centered: true, weightDecay: 0.01 },
  { dialect: 'torch' },
];

/**
 * @param {Partial<Racer>[]} racers
 * @param {Partial<Configuration>} [common]
 */
function small(racers, common) {
  return configurationOf({ data: 'spirals', hidden: [9, 5], batch: 30, ...common, racers: racers.map(racerOf) });
}

/** @param {Race} race @param {number} count */
function run(race, count) {
  return Array.from({ length: count }, () => race.step());
}

test('a racer computes what its optimizer computes by itself', () => {
  const race = new Race(data, small([{ dialect: 'torch' }, { rate: 0.01, momentum: 0.9 }], { seed: 3 }));
  const model = new Model({ layers: [2, 9, 5, 3], batch: 30, seed: 3 });
  const optimizer = new RMSprop({ learningRate: 0.01, momentum: 0.9 });
  optimizer.build(model.variables);
  const batches = new Batches(data.train, 30, 3);
  for (let i = 0; i < 150; i++) {
    const { inputs, labels } = batches.current();
    batches.advance();
    const loss = model.lossAndGradients(inputs, labels);
    const before = optimizer.exportParameters();
    optimizer.step();
    const moved = optimizer.exportParameters().map((x, k) => x - before[k]);
    const { racers: [, own], step, epoch } = race.step();
    assert.equal(own.loss, loss);
    assert.deepEqual([step, epoch, own.rate], [i + 1, 1 + Math.floor(i / 67), 0.01]);
    if (i % NORM_EVERY === 0) assert.ok(Math.abs(own.norm - Math.hypot(...moved)) <= 1e-6 * own.norm, `${own.norm}`);
    else assert.ok(Number.isNaN(own.norm));
  }
  optimizer.dispose();
  model.dispose();
  race.dispose();
});

test('all dialects start from the same weights and see the same batches', () => {
  const race = new Race(data, small([{}, { dialect: 'tf1' }, { dialect: 'torch' }, { dialect: 'legacy' }]));
  const [first, second] = run(race, 2);
  assert.equal(new Set(first.racers.map(({ loss }) => loss)).size, 1);
  assert.equal(new Set(second.racers.map(({ loss }) => loss)).size, 4);
  race.dispose();
});

test('a configuration gives the recorded losses, to the bit, on every machine', () => {
  const { configuration, problems } = fromQuery('data=spirals&hidden=16,16&batch=32&seed=5&a.ema=0.95&b.dialect=tf1&b.momentum=0.9'
    + '&c.dialect=torch&c.schedule=expression&c.expression=0.01*exp(-step/300)*cos(step/500)&d.dialect=legacy&d.schedule=restarts');
  assert.deepEqual(problems, []);
  const race = new Race(data, configuration);
  const steps = run(race, 400);
  assert.deepEqual(steps[399].racers.map(({ loss }) => loss), RECORDED.losses);
  assert.equal(race.fingerprint, RECORDED.fingerprint);
  assert.deepEqual(race.evaluate(0), RECORDED.accuracies);
  race.dispose();
});

test('every dialect goes on from a checkpoint to the bit', () => {
  for (const racer of everyDialect) {
    const configuration = small([{ ...racer, rate: 0.002, schedule: 'cosine', decaySteps: 150, warmupSteps: 20 }, {}], { seed: 9 });
    const race = new Race(data, configuration);
    run(race, 100);
    const bytes = race.save();
    assert.deepEqual(configurationIn(bytes), configuration);
    const again = new Race(data, configurationIn(bytes));
    again.load(bytes);
    assert.deepEqual([again.steps, again.fingerprint], [100, race.fingerprint]);
    assert.deepEqual(again.evaluate(0), race.evaluate(0));
    assert.deepEqual(again.inspect(0), race.inspect(0));
    assert.deepEqual(run(again, 60), run(race, 60), racer.dialect);
    assert.equal(again.fingerprint, race.fingerprint);
    assert.deepEqual(again.save(), race.save());
    race.dispose();
    again.dispose();
  }
  assert.deepEqual(new Set(everyDialect.map(({ dialect }) => dialect)), new Set(Object.keys(DIALECTS)));
});

test("a checkpoint holds the optimizer's own file, and is one that anyone can read", () => {
  const race = new Race(data, small([{ ema: 0.9 }]));
  assert.throws(() => race.save(), /there must be a step before/);
  run(race, 3);
  const { tensors, metadata } = readSafetensors(race.save());
  const names = [...tensors.keys()];
  for (const name of ['a/dense/kernel', 'a/dense/kernel/velocity', 'a/dense_2/bias/average']) assert.ok(names.includes(name), `${names}`);
  assert.equal(JSON.parse(metadata.a).dialect, 'keras');
  assert.equal(JSON.parse(JSON.parse(metadata.a).counters).iteration, 3);
  race.dispose();
});

test('a file that is no checkpoint, or of another race, is refused', () => {
  const race = new Race(data, small([{ momentum: 0.5 }]));
  run(race, 3);
  const bytes = race.save();
  const { tensors, metadata } = readSafetensors(bytes);
  const other = (/** @type {object} */ change) => writeSafetensors(tensors, {
    ...metadata, race: JSON.stringify({ ...JSON.parse(metadata.race), ...change }),
  });
  for (const [wrong, message] of /** @type {[Uint8Array, RegExp][]} */ ([
    [Uint8Array.of(1, 2, 3), /./],
    [writeSafetensors(tensors, {}), /format of the checkpoint must be "rmsprop-wasm race 1", got undefined/],
    [other({ steps: 0 }), /must say its settings, steps and fingerprint/],
    [other({ steps: 1e300 }), /must say its settings, steps and fingerprint/],
    [other({ fingerprint: 'x' }), /must say its settings, steps and fingerprint/],
    [other({ query: 'seed=x' }), /settings that are none: seed must be an integer/],
  ])) assert.throws(() => configurationIn(wrong), message);
  const without = new Map([...tensors].filter(([name]) => name !== 'a/dense/bias'));
  for (const [wrong, into] of /** @type {[Uint8Array, Partial<Racer>][]} */ ([
    [writeSafetensors(without, metadata), { momentum: 0.5 }],
    [bytes, {}],
    [bytes, { dialect: 'torch', momentum: 0.5 }],
  ])) {
    const target = new Race(data, small([into]));
    assert.throws(() => target.load(wrong), RangeError);
    target.dispose();
  }
  race.dispose();
});

test('a rate that is none stops the race before anything has changed, and says whose it is', () => {
  const race = new Race(data, small([{}, { schedule: 'expression', expression: '1 / (5 - step)' }]));
  run(race, 5);
  const before = race.save();
  assert.throws(() => race.step(), (error) => {
    assert.ok(error instanceof RateError);
    assert.deepEqual([error.racer, error.message], [1, 'must be finite, but is Infinity at step 5']);
    return true;
  });
  assert.deepEqual(race.save(), before);
  assert.throws(() => race.setRates([racerOf(), racerOf({ schedule: 'expression', expression: 'step +' })]), RateError);
  assert.deepEqual(race.save(), before);
  race.setRates([racerOf({ rate: 0.5 }), racerOf({ rate: 0.25 })]);
  assert.deepEqual(race.step().racers.map(({ rate }) => rate), [0.5, 0.25]);
  assert.equal(race.configuration.racers[0].rate, 0.5);
  race.dispose();
  assert.throws(() => new Race(data, small([{}, { schedule: 'expression', expression: 'x' }])), RateError);
});

test('looking, asking and testing change nothing in a race, and it frees what it took', () => {
  const { tensorCount, bytesInUse } = Memory.default;
  const configuration = small([{ ema: 0.9, centered: true }, { dialect: 'tf1' }]);
  const [race, undisturbed] = [new Race(data, configuration), new Race(data, configuration)];
  for (let i = 0; i < 20; i++) {
    race.step();
    undisturbed.step();
    race.evaluate(0);
    race.predict(1, data.test.pixels);
    race.inspect(0);
    race.save();
  }
  assert.equal(race.fingerprint, undisturbed.fingerprint);
  assert.deepEqual(race.save(), undisturbed.save());
  assert.equal(race.predict(1, Float32Array.of(0, 0)).averaged, null);
  const { raw, averaged } = race.predict(0, Float32Array.of(0.5, 0));
  assert.equal(raw.length, 3);
  assert.notDeepEqual(raw, averaged);
  for (const one of [race, undisturbed]) {
    one.dispose();
    one.dispose();
  }
  assert.deepEqual([Memory.default.tensorCount, Memory.default.bytesInUse], [tensorCount, bytesInUse]);
});

test('the effective step is the rate that a gradient of 1 is multiplied by', () => {
  const race = new Race(data, small([{ rate: 0.01, epsilon: 1e-4 }, { dialect: 'torch', rate: 0.01, epsilon: 1e-4 }]));
  race.step();
  const { tensors } = readSafetensors(race.save());
  const squares = (/** @type {string} */ lane, /** @type {string} */ slot) => [...tensors]
    .filter(([name]) => name.startsWith(lane) && name.endsWith(slot))
    .flatMap(([, tensor]) => [.../** @type {Float32Array} */ (tensor.data)]);
  const median = (/** @type {number[]} */ values) => Float32Array.from(values).sort()[values.length >> 1];
  assert.equal(race.inspect(0).effective.median, median(squares('a/', 'velocity').map((v) => 0.01 / Math.sqrt(v + 1e-4))));
  assert.equal(race.inspect(1).effective.median, median(squares('b/', 'square_avg').map((v) => 0.01 / (Math.sqrt(v) + 1e-4))));
  race.dispose();
});

test('a place in the data is found again by counting', () => {
  for (const made of [0, 1, 3, 4, 5, 8, 9]) {
    const [walked, skipped] = [new Batches(firstExamples(data.train, 10), 3, 1), new Batches(firstExamples(data.train, 10), 3, 1)];
    for (let i = 0; i < made; i++) {
      walked.current();
      walked.advance();
    }
    skipped.advance(made);
    assert.equal(skipped.made, made);
    for (let i = 0; i < 6; i++) {
      assert.deepEqual(skipped.current(), walked.current());
      assert.deepEqual(skipped.current(), walked.current(), 'asked again');
      for (const batches of [skipped, walked]) batches.advance();
    }
    assert.equal(skipped.examples, walked.examples);
    const fresh = new Batches(firstExamples(data.train, 10), 3, 1);
    for (const batches of [skipped, fresh]) batches.advance(made);
    assert.deepEqual(skipped.current(), fresh.current(), 'gone back to');
  }
});

// ---- The session ----

/** @typedef {import('../../web-demo/page/session.js').Reply} Reply */

/** Lets a session that runs go on several times: it waits for no longer than each of these timers. */
async function turns() {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** @param {(name: string) => Promise<import('../../web-demo/page/race.js').DataSet>} [loadData] */
function newSession(loadData = async () => data) {
  /** @type {Reply[]} */
  const replies = [];
  /** @type {{ test: () => boolean, resolve: (value: unknown) => void }[]} */
  let waiting = [];
  const session = new Session({
    loadData,
    send(reply) {
      replies.push(structuredClone(reply));
      waiting = waiting.filter(({ test: holds, resolve }) => !holds() || resolve(undefined));
    },
  });
  return {
    session,
    replies,
    /** @template {Reply['type']} T @param {T} type @returns {Extract<Reply, { type: T }>[]} */
    of: (type) => /** @type {any[]} */ (replies.filter((reply) => reply.type === type)),
    /** @param {() => boolean} holds */
    until: (holds) => new Promise((resolve) => (holds() ? resolve(undefined) : waiting.push({ test: holds, resolve }))),
  };
}

/** @param {Extract<Reply, { type: 'steps' }>[]} replies @param {number} racers */
function lossesIn(replies, racers) {
  const width = ROW_HEAD + ROW_RACER * racers;
  return replies.flatMap(({ rows, count }) => Array.from({ length: count }, (_, r) =>
    Array.from({ length: racers }, (__, i) => rows[r * width + ROW_HEAD + ROW_RACER * i])));
}

test('a session trains up to the step to pause at, tests on the way, and gives the losses of the race', async () => {
  const configuration = small([{ ema: 0.9 }, { dialect: 'torch' }], { until: 130, evaluateEvery: 50 });
  const { session, of, until } = newSession();
  await session.handle({ type: 'configure', race: 7, configuration });
  assert.equal(of('ready')[0].parameterCount, 27 + 50 + 18);
  await session.handle({ type: 'run' });
  await until(() => of('accuracies').length === 4);
  assert.deepEqual(of('accuracies').map(({ step }) => step), [0, 50, 100, 130]);
  assert.deepEqual(of('running').map(({ running, step }) => [running, step]), [[true, 0], [false, 130]]);
  const race = new Race(data, configuration);
  assert.deepEqual(lossesIn(of('steps'), 2), run(race, 130).map(({ racers }) => racers.map(({ loss }) => loss)));
  assert.deepEqual(of('accuracies')[3].racers, [race.evaluate(0), race.evaluate(1)]);
  assert.equal(of('steps').at(-1)?.fingerprint, race.fingerprint);
  race.dispose();
});

test('a session pauses, steps, takes other rates, saves, and goes on from the file', async () => {
  const { session, of, until } = newSession();
  await session.handle({ type: 'configure', race: 7, configuration: small([{}]) });
  await session.handle({ type: 'step' });
  await session.handle({ type: 'rates', racers: [racerOf({ rate: 0.5 })] });
  await session.handle({ type: 'step' });
  assert.deepEqual(of('steps').map(({ rows }) => rows[ROW_HEAD + 1]), [0.001, 0.5]);
  await session.handle({ type: 'save', id: 4 });
  const { bytes } = of('answer')[0].value;
  await session.handle({ type: 'run' });
  await until(() => of('steps').length > 3);
  await session.handle({ type: 'pause' });
  await turns();
  const { length } = of('steps');
  await turns();
  assert.equal(of('steps').length, length);

  const first = lossesIn(of('steps'), 1).flat();
  await session.handle({ type: 'load', race: 8, bytes });
  const { steps, configuration } = /** @type {import('../../web-demo/page/session.js').Ready} */ (of('ready').at(-1));
  assert.deepEqual([steps, configuration.racers[0].rate], [2, 0.5]);
  // What is told of the old race can be told from what is of the new one.
  assert.deepEqual(new Set(of('steps').map(({ race }) => race)), new Set([7]));
  await session.handle({ type: 'step' });
  assert.equal(lossesIn(of('steps'), 1).at(-1)?.[0], first[2]);
  assert.deepEqual([of('ready').at(-1)?.race, of('steps').at(-1)?.race], [8, 8]);
});

test('a test of all racers is of one step, also where another step comes in between', async () => {
  const { session, of } = newSession();
  const configuration = small([{}, { dialect: 'torch' }, { ema: 0.5 }]);
  await session.handle({ type: 'configure', race: 7, configuration });
  await Promise.all([session.handle({ type: 'step' }), session.handle({ type: 'step' })]);
  const race = new Race(data, configuration);
  run(race, 2);
  assert.deepEqual(of('accuracies').slice(1).map(({ step, racers }) => ({ step, racers })),
    [{ step: 2, racers: [0, 1, 2].map((i) => race.evaluate(i)) }]);
  race.dispose();
});

test('a race that is told to run while another loads gives way to that, which runs when it is told to', async () => {
  /** @type {(set: any) => void} */
  let arrive = () => {};
  const { session, of, until } = newSession((name) =>
    (name === 'rings' ? new Promise((resolve) => { arrive = resolve; }) : Promise.resolve(data)));
  await session.handle({ type: 'configure', race: 7, configuration: small([{}]) });
  const other = session.handle({ type: 'configure', race: 8, configuration: small([{}], { data: 'rings' }) });
  await session.handle({ type: 'run' });
  await until(() => of('steps').length > 0);
  arrive(data);
  await other;
  assert.deepEqual(of('running').map(({ race, running }) => [race, running]), [[7, true], [7, false]]);
  await session.handle({ type: 'run' });
  assert.deepEqual([of('running').at(-1)?.race, of('running').at(-1)?.running], [8, true]);
  await until(() => of('steps').at(-1)?.race === 8);
  await session.handle({ type: 'pause' });
});

test('a session says whose rate is none and waits; a file that is none leaves the race as it was', async () => {
  const { session, of, until } = newSession();
  const expression = '0.1 / (3 - step)';
  await session.handle({ type: 'configure', race: 7, configuration: small([{}, { schedule: 'expression', expression }]) });
  await session.handle({ type: 'run' });
  await until(() => of('problem').length > 0);
  assert.deepEqual(of('problem'), [{ type: 'problem', race: 7, racer: 1, message: 'must be finite, but is Infinity at step 3' }]);
  assert.deepEqual(of('running').map(({ running }) => running), [true, false]);
  await session.handle({ type: 'load', race: 8, bytes: Uint8Array.of(1) });
  assert.equal(of('failed').length, 1);
  await session.handle({ type: 'rates', racers: [racerOf(), racerOf()] });
  await session.handle({ type: 'step' });
  assert.equal(of('steps').at(-1)?.rows[0], 4);
});

test('a session looks inside, predicts on a grid of the plane, and shows examples of the test set', async () => {
  const { session, of } = newSession();
  await session.handle({ type: 'inspect', id: 1, racer: 0 });
  assert.equal(of('failed').length, 1);
  await session.handle({ type: 'configure', race: 7, configuration: small([{ ema: 0.5 }]) });
  await session.handle({ type: 'step' });
  await session.handle({ type: 'inspect', id: 2, racer: 0 });
  await session.handle({ type: 'sample', id: 3, chosen: 0.9999 });
  const [inside, sample] = of('answer').map(({ value }) => value);
  assert.equal(inside.decisions.raw.length, 48 * 48 * 3);
  assert.equal(inside.kernel.length, 2 * 9);
  assert.deepEqual([sample.index, sample.label], [999, data.test.labels[999]]);
  assert.deepEqual(sample.pixels, data.test.pixels.slice(1998));
});

test('a session that is told something else while it loads forgets the first, and tries again what failed', async () => {
  /** @type {Map<string, { resolve: (set: any) => void, reject: (error: Error) => void }>} */
  const loads = new Map();
  const { session, of } = newSession((name) => new Promise((resolve, reject) => loads.set(name, { resolve, reject })));
  const first = session.handle({ type: 'configure', race: 7, configuration: small([{}], { data: 'mnist' }) });
  const second = session.handle({ type: 'configure', race: 7, configuration: small([{}], { data: 'rings' }) });
  loads.get('rings')?.resolve(data);
  await second;
  loads.get('mnist')?.resolve(data);
  await first;
  assert.deepEqual(of('ready').map(({ configuration }) => configuration.data), ['rings']);
  const third = session.handle({ type: 'configure', race: 7, configuration: small([{}], { data: 'fashion' }) });
  loads.get('fashion')?.reject(new Error('no net'));
  await third;
  assert.deepEqual(of('failed').map(({ message }) => message), ['no net']);
  const fourth = session.handle({ type: 'configure', race: 7, configuration: small([{}], { data: 'fashion' }) });
  loads.get('fashion')?.resolve(data);
  await fourth;
  assert.equal(of('ready').length, 2);
});

// ---- Data and drawings ----

test('data come from compressed files, also where a server has unpacked them, with progress', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'rmsprop-demo-'));
  const server = await serve(folder);
  t.after(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });
  const idx = (/** @type {number[]} */ sizes, /** @type {number[]} */ values) => Uint8Array.from(
    [0, 0, 8, sizes.length, ...sizes.flatMap((size) => [0, 0, 0, size]), ...values],
  );
  const files = {
    trainImages: gzipSync(idx([2, 1, 2], [1, 2, 3, 4])), trainLabels: idx([2], [7, 8]),
    testImages: gzipSync(idx([1, 1, 2], [5, 6])), testLabels: gzipSync(idx([1], [9])),
  };
  const entries = Object.entries(files).map(([key, bytes]) => {
    writeFileSync(join(folder, key), bytes);
    return [key, { path: key, bytes: bytes.length }];
  });
  const manifest = { sets: { mnist: { classes: ['a'], files: Object.fromEntries(entries) } }, missing: { fashion: 'not here' } };
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  const url = new URL('manifest.json', server.url);
  /** @param {URL} file @param {(received: number) => void} onProgress */
  const get = async (file, onProgress) => {
    const bytes = await (await fetch(file)).arrayBuffer();
    onProgress(bytes.byteLength);
    return bytes;
  };
  /** @type {[number, number][]} */
  const progress = [];
  const set = await loadDataSet('mnist', url, { get, onProgress: (...numbers) => progress.push(numbers) });
  assert.deepEqual([[...set.train.pixels], [...set.train.labels], [...set.test.pixels], [...set.test.labels], set.classes],
    [[1, 2, 3, 4], [7, 8], [5, 6], [9], ['a']]);
  const total = Object.values(files).reduce((sum, { length }) => sum + length, 0);
  assert.deepEqual([progress[0], progress.at(-1)], [[0, total], [total, total]]);
  await assert.rejects(loadDataSet('fashion', url, { get }), /^Error: not here$/);
  await assert.rejects(loadDataSet('other', url, { get }), /there is no data set other/);
  assert.equal((await loadDataSet('rings', new URL('none.json', url))).train.count, 2000);
});

test('points of a plane are the same on every machine, and each class has its share', () => {
  for (const [name, { classes }] of Object.entries(toySets)) {
    const { train, test: held } = makeToySet(name);
    assert.deepEqual([train.count, held.count, train.pixels.length], [2000, 1000, 4000]);
    classes.forEach((_, label) => {
      const count = train.labels.filter((other) => other === label).length;
      assert.ok(Math.abs(count / train.count - 1 / classes.length) < 0.05, `${name}: ${count} of class ${label}`);
    });
    assert.ok(train.pixels.every((x) => Math.abs(x) <= 1.1));
  }
  assert.deepEqual([...makeToySet('spirals').train.pixels.slice(0, 4)], RECORDED.points);
});

test('a drawing becomes what MNIST has: 20 pixels on its longer side, its centre of mass in the middle', () => {
  const side = 280;
  const ink = new Uint8Array(side * side);
  assert.equal(normalised(ink, side, 20), null);
  // A bar of 10 × 100, far from the middle.
  for (let y = 20; y < 120; y++) for (let x = 200; x < 210; x++) ink[y * side + x] = 255;
  const pixels = /** @type {Uint8Array} */ (normalised(ink, side, 20));
  const rows = Array.from({ length: 28 }, (_, y) => pixels.subarray(28 * y, 28 * (y + 1)).reduce((sum, value) => sum + value, 0));
  assert.deepEqual(rows.map((sum) => sum > 0), Array.from({ length: 28 }, (_, y) => y >= 4 && y < 24));
  assert.deepEqual([pixels[28 * 14 + 12], pixels[28 * 14 + 13], pixels[28 * 14 + 14], pixels[28 * 14 + 15]], [0, 255, 255, 0]);
  // The same drawing elsewhere, and twice as large, is the same to the network.
  const other = new Uint8Array(side * side);
  for (let y = 60; y < 260; y++) for (let x = 30; x < 50; x++) other[y * side + x] = 255;
  assert.deepEqual(normalised(other, side, 20), pixels);
});

test('a histogram counts every number once, in the bin of its magnitude', () => {
  const { low, high, counts, zeros, median } = logHistogram(Float32Array.of(0, 1e-3, 2e-3, 5, 50, NaN, Infinity));
  assert.deepEqual([low, high, zeros, counts.reduce((sum, count) => sum + count)], [-3, 2, 3, 4]);
  const each = counts.length / 5;
  assert.deepEqual([counts[0], counts[Math.floor((3 + Math.log10(5)) * each)], counts[Math.floor((3 + Math.log10(50)) * each)]], [1, 1, 1]);
  assert.equal(median, 5);
  assert.deepEqual(logHistogram(new Float32Array(3)), { low: 0, high: 0, counts: [], zeros: 3, median: 0 });
});

test('however long training goes on, the charts have at most 4 096 rows, from the first step to the last', () => {
  const history = new History(2);
  for (let step = 1; step <= 100_000; step++) history.push([step, step, step % 2 ? NaN : 1]);
  const [steps, values, gaps] = history.columns;
  assert.ok(steps.length <= 4096 && steps.length > 2048, `${steps.length}`);
  // 100 000 / 4 096 steps become a row, rounded up to a power of 2.
  assert.deepEqual(steps, Array.from({ length: 3125 }, (_, i) => 32 * (i + 1)));
  assert.deepEqual(values, steps.map((step) => step - 15.5));
  assert.ok(gaps.every((value) => value === 1));
});

test('a running mean begins with the first number, and forgets', () => {
  const mean = new RunningMean(20);
  assert.equal(mean.push(3), 3);
  for (let i = 0; i < 2000; i++) mean.push(5);
  assert.ok(Math.abs(mean.push(5) - 5) < 1e-12);
});
