/**
 * n steps equal some steps, save, load in a fresh process, and the rest: equal bits, in every dialect.
 *
 * This file is also that process: called with a scenario, the steps to make and what was saved, it prints what it has
 * then as JSON.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LossScaleOptimizer, RMSprop, schedules, variable } from 'rmsprop-wasm';
import { RMSprop as LegacyRMSprop } from 'rmsprop-wasm/legacy';
import * as optax from 'rmsprop-wasm/optax';
import * as torch from 'rmsprop-wasm/torch';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';

/** @typedef {import('rmsprop-wasm').Variable} Variable */
/**
 * @typedef {object} Run
 * @property {(step: number) => void} step
 * @property {() => Uint8Array} save
 * @property {(bytes: Uint8Array) => void} load
 * @property {() => unknown} [look] at what else there is
 */

const makeVariables = () => [
  variable([[1, 2, -3], [3, 4, 0.25]], { name: 'kernel' }), variable([5, 6], { name: 'bias' }),
  variable([7], { name: 'kernel', dtype: 'float64' }),
];

/**
 * A gradient that depends on the step and the weights, so that a lost bit grows.
 *
 * @param {number} step
 * @param {ArrayLike<number>} x
 * @param {number} [scale]
 */
const gradient = (step, x, scale = 1) => Array.from(x, (value, i) => scale * (value * 0.3 + Math.fround(((step * 7 + i * 3) % 5) - 2)));

/**
 * @param {ConstructorParameters<typeof RMSprop>[0]} options
 * @returns {Run}
 */
function keras(options) {
  const variables = makeVariables().slice(0, options?.globalClipnorm ? 2 : 3);
  const optimizer = new RMSprop({ name: 'run', ...options });
  optimizer.build(variables);
  return {
    step: (step) => optimizer.apply(variables.map((v) => gradient(step, v.data)), variables),
    save: () => optimizer.save({ variables: true }),
    load: (bytes) => optimizer.load(bytes),
  };
}

/**
 * @param {ConstructorParameters<typeof LegacyRMSprop>[0]} options
 * @returns {Run}
 */
function legacy(options) {
  const variables = makeVariables();
  const optimizer = new LegacyRMSprop(options);
  return {
    // The second variable comes late, which decides the order of the weights; one has a slot of the user's.
    step(step) {
      if (step === 1) optimizer.addSlot(variables[0], 'mine', 'ones').set(gradient(step, variables[0].data));
      const updated = step < 3 ? [variables[2], variables[0]] : variables;
      optimizer.applyGradients(updated.map((v) => [gradient(step, v.data), v]));
    },
    save: () => optimizer.save({ variables: true }),
    load: (bytes) => optimizer.load(bytes, { variables: [variables[2], variables[0], variables[1]] }),
    look: () => [optimizer.getWeights().map((values) => [...values]), optimizer.getSlotNames(), optimizer.iterations],
  };
}

/**
 * @param {Omit<ConstructorParameters<typeof RMSPropOptimizer>[0], 'learningRate'>} options
 * @returns {Run}
 */
function v1(options) {
  const variables = makeVariables();
  const globalStep = variable(0, { dtype: 'int32' });
  const optimizer = new RMSPropOptimizer({ learningRate: () => 0.1 / (1 + globalStep.data[0]), ...options });
  return {
    step: (step) => optimizer.applyGradients(
      (step < 3 ? [variables[2], variables[0]] : variables).map((v) => [gradient(step, v.data), v]), { globalStep },
    ),
    save: () => optimizer.save({ variables: true, globalStep }),
    load: (bytes) => optimizer.load(bytes, { variables: [variables[2], variables[0], variables[1]], globalStep }),
    look: () => [optimizer.variables().map(({ name, data }) => [name, ...data]), optimizer.getSlotNames(), globalStep.data[0]],
  };
}

/**
 * @param {ConstructorParameters<typeof torch.RMSprop>[1]} options
 * @returns {Run}
 */
function pytorch(options) {
  const variables = makeVariables();
  const optimizer = new torch.RMSprop([{ params: variables.slice(0, 2) }, { params: [variables[2]], lr: 0.05 }], options);
  const scheduler = new torch.lrScheduler.CosineAnnealingLR(optimizer, { tMax: 9 });
  const plateau = new torch.lrScheduler.ReduceLROnPlateau(optimizer, { patience: 1 });
  return {
    step(step) {
      variables.forEach((v, i) => { v.gradient = step < 3 && i === 1 ? null : gradient(step, v.data); });
      optimizer.step();
      scheduler.step();
      if (step > 6) plateau.step(step); // until then its best is infinite
    },
    save: () => torch.save({
      model: Object.fromEntries(variables.map((v, i) => [`layer.${i}`, v])),
      optimizer: optimizer.stateDict(), scheduler: scheduler.stateDict(), plateau: plateau.stateDict(),
    }),
    load(bytes) {
      const saved = torch.load(bytes);
      variables.forEach((v, i) => v.set(saved.model[`layer.${i}`]));
      optimizer.loadStateDict(saved.optimizer);
      scheduler.loadStateDict(saved.scheduler);
      plateau.loadStateDict(saved.plateau);
    },
  };
}

/**
 * @param {optax.Transform} transform
 * @returns {Run}
 */
function jax(transform) {
  /** @type {{ params: any, state: any }} */
  let all = { params: { w: Float32Array.of(1, -2, 3), list: [variable([[0.5, 1e-20]]), Float64Array.of(4)] }, state: null };
  all.state = transform.init(all.params);
  return {
    step(step) {
      const { w, list: [a, b] } = all.params;
      const grads = { w: Float32Array.from(gradient(step, w)), list: [Float32Array.from(gradient(step, a.data)), null] };
      if (step % 2) grads.list[1] = /** @type {any} */ (Float64Array.from(gradient(step, b)));
      all.state = transform.step(grads, all.state, all.params);
    },
    save: () => optax.saveState(all),
    load: (bytes) => { all = optax.loadState(all, bytes); },
  };
}

const everything = {
  learningRate: 0.05, momentum: 0.9, centered: true, weightDecay: 0.1, globalClipnorm: 1, useEma: true, emaOverwriteFrequency: 3,
};
const decay = () => new schedules.ExponentialDecay({ initialLearningRate: 0.1, decaySteps: 2, decayRate: 0.5 });

/** @type {Record<string, () => Run>} */
const scenarios = {
  'Keras 3': () => keras({}),
  'Keras 3, everything': () => keras(everything),
  'Keras 3, accumulation': () => keras({ gradientAccumulationSteps: 4, momentum: 0.5, useEma: true, lossScaleFactor: 3 }),
  'Keras 3, schedule': () => keras({ learningRate: decay(), clipvalue: 0.5 }),
  'Keras 3, dynamic loss scale'() {
    const [v] = makeVariables();
    const inner = new RMSprop({ ...everything, name: 'run', gradientAccumulationSteps: 3 });
    const optimizer = new LossScaleOptimizer(inner, { dynamicGrowthSteps: 3, name: 'scale' });
    optimizer.build([v]);
    return {
      step: (step) => optimizer.apply([step === 4 ? [[1, 2, NaN], [0, 0, 0]] : gradient(step, v.data, optimizer.dynamicScale)], [v]),
      save: () => optimizer.save({ variables: true }),
      load: (bytes) => optimizer.load(bytes),
    };
  },
  'keras-2.11': () => keras({ ...everything, rule: 'keras-2.11' }),
  'keras-2.11, schedule': () => keras({ rule: 'keras-2.11', learningRate: decay(), momentum: 0.5 }),
  'OptimizerV2': () => legacy({ learningRate: 0.05, decay: 0.1 }),
  'OptimizerV2, momentum, centered, schedule': () => legacy({ learningRate: decay(), momentum: 0.9, centered: true, clipnorm: 1 }),
  'TensorFlow 1': () => v1({}),
  'TensorFlow 1, momentum, centered': () => v1({ momentum: 0.9, centered: true }),
  'PyTorch': () => pytorch({}),
  'PyTorch, momentum, centered, decay': () => pytorch({ momentum: 0.9, centered: true, weightDecay: 0.1, maximize: true }),
  'optax': () => jax(optax.rmsprop({ learningRate: 0.1 })),
  'optax, everything': () => jax(optax.chain(
    optax.clipByGlobalNorm(1), optax.addDecayedWeights(0.01),
    optax.rmsprop({
      learningRate: optax.cosineDecaySchedule({ initValue: 0.1, decaySteps: 9 }), momentum: 0.9, nesterov: true, centered: true,
      biasCorrection: true,
    }),
    optax.ema(0.9),
  )),
  'optax, multiSteps': () => jax(optax.multiSteps(optax.rmsprop({ learningRate: 0.1, momentum: 0.5 }), 4)),
};

/**
 * @param {string} scenario
 * @param {number} from
 * @param {number} to
 * @param {Buffer | null} saved
 * @returns {{ bytes: Buffer, look: string }} the state as a file, and what else there is
 */
function run(scenario, from, to, saved) {
  const made = scenarios[scenario]();
  if (saved) made.load(saved);
  for (let step = from; step < to; step++) made.step(step);
  return { bytes: Buffer.from(made.save()), look: JSON.stringify(made.look?.() ?? null) };
}

const [, file, scenario, from, to, saved] = process.argv;
if (file === fileURLToPath(import.meta.url) && scenario !== undefined) {
  const { bytes, look } = run(scenario, Number(from), Number(to), saved ? Buffer.from(saved, 'base64') : null);
  process.stdout.write(JSON.stringify({ bytes: bytes.toString('base64'), look }));
} else {
  for (const name of Object.keys(scenarios)) {
    test(`n steps equal some, save, load in a fresh process, and the rest: ${name}`, () => {
      const straight = run(name, 0, 13, null);
      const half = run(name, 0, 6, null); // in the middle of each window of accumulation
      assert.notDeepEqual(half.bytes, straight.bytes);
      const { stdout, stderr } = spawnSync(
        process.execPath,
        [...process.execArgv.filter((arg) => arg.startsWith('--import')), fileURLToPath(import.meta.url), name, '6', '13',
          half.bytes.toString('base64')],
        { encoding: 'utf8', env: { ...process.env, NODE_TEST_CONTEXT: undefined } },
      );
      assert.ok(stdout, stderr);
      const resumed = JSON.parse(stdout);
      assert.equal(resumed.look, straight.look);
      assert.equal(resumed.bytes, straight.bytes.toString('base64'));
    });
  }
}
