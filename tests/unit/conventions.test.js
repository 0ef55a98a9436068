/**
 * The table of docs/dialects.md of conventions, measured: every cell is what the dialect does here, not what it is said to do.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { RMSprop, indexedSlices, variable } from 'rmsprop-wasm';
import * as legacy from 'rmsprop-wasm/legacy';
import * as optax from 'rmsprop-wasm/optax';
import * as torch from 'rmsprop-wasm/torch';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';

/** @typedef {import('rmsprop-wasm').Variable} Variable */
/**
 * @typedef {object} Options in one vocabulary; what is undefined is left to the dialect's default
 * @property {() => number} [rate]
 * @property {number} [decay]
 * @property {number} [momentum]
 * @property {number} [epsilon]
 * @property {boolean} [centered]
 * @property {number} [weightDecay]
 * @property {Record<string, unknown>} [raw] under the dialect's own names
 */
/**
 * @typedef {object} Run one variable under one optimizer
 * @property {(gradient: any) => void} step
 * @property {() => Record<string, any>} slots arrays by the dialect's names
 */

/** Leaves out what is undefined. @param {Record<string, any>} options */
const given = (options) => Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/**
 * @param {'keras' | 'keras-2.11'} rule
 * @returns {(v: Variable, options: Options) => Run}
 */
const keras = (rule) => (v, { rate, decay, raw, ...rest }) => {
  const optimizer = new RMSprop(given({ learningRate: rate, rho: decay, ...rest, ...raw, rule }));
  return {
    step: (gradient) => optimizer.apply([gradient], [v]),
    slots: () => Object.fromEntries(optimizer.slotNames.map((name) => [name, optimizer.getSlot(v, name)?.data])),
  };
};

/** @type {Record<string, (v: Variable, options: Options) => Run>} by the guide's column */
const dialects = {
  'Keras 3': keras('keras'),
  'tf.keras 2.11–2.15': keras('keras-2.11'),
  'legacy tf.keras': (v, { rate, decay, raw, ...rest }) => {
    const optimizer = new legacy.RMSprop(/** @type {any} */ (given({ learningRate: rate, rho: decay, ...rest, ...raw })));
    return {
      step: (gradient) => optimizer.applyGradients([[gradient, v]]),
      slots: () => Object.fromEntries(optimizer.getSlotNames().map((name) => [name, optimizer.getSlot(v, name).data])),
    };
  },
  'TensorFlow 1': (v, { rate = () => 0.001, raw, ...rest }) => {
    const optimizer = new RMSPropOptimizer(/** @type {any} */ (given({ learningRate: rate, ...rest, ...raw })));
    return {
      step: (gradient) => { optimizer.applyGradients([[gradient, v]]); },
      slots: () => Object.fromEntries(optimizer.getSlotNames().map((name) => [name, optimizer.getSlot(v, name)?.data])),
    };
  },
  PyTorch: (v, { rate, decay, epsilon, raw, ...rest }) => {
    const optimizer = new torch.RMSprop([v], /** @type {any} */ (given({ alpha: decay, eps: epsilon, ...rest, ...raw })));
    return {
      step(gradient) {
        if (rate) optimizer.paramGroups[0].lr = rate();
        v.gradient = gradient;
        optimizer.step();
      },
      slots: () => /** @type {any} */ (optimizer.stateDict().state[0] ?? {}),
    };
  },
  optax: (v, { rate = () => 0.001, epsilon, raw, ...rest }) => {
    const optimizer = optax.rmsprop(/** @type {any} */ (given({ learningRate: rate, eps: epsilon, ...rest, ...raw })));
    const state = optimizer.init([v]);
    return {
      step(gradient) { optimizer.step([Array.isArray(gradient) ? Float32Array.from(gradient) : gradient], state, [v]); },
      slots: () => ({}),
    };
  },
  // As docs/coming-from.md spells it: the momentum is always there.
  'TensorFlow.js': (v, { momentum = 0, ...rest }) =>
    dialects['Keras 3'](v, /** @type {any} */ ({ ...rest, momentum: () => momentum })),
};

/**
 * @param {string} dialect
 * @param {Options} options
 * @param {number[]} gradients
 * @param {number} [start]
 * @returns {number} where a variable of one element ends
 */
function run(dialect, options, gradients, start = 0) {
  const v = variable([start]);
  const optimizer = dialects[dialect](v, options);
  for (const gradient of gradients) optimizer.step([gradient]);
  return v.data[0];
}

/** @param {number} a @param {number} b */
const near = (a, b) => Math.abs(a - b) < 1e-5 * Math.max(1, Math.abs(b));

/**
 * @param {string} dialect
 * @returns {number} what the mean square starts at: with decay 1 nothing else ever enters it
 */
function startOf(dialect) {
  const moved = -run(dialect, { rate: () => 1, decay: 1, epsilon: 1e-3 }, [1]);
  // 1 / sqrt(0 + 1e-3) or 1 / (0 + 1e-3) against 1 / sqrt(1 + 1e-3)
  return moved < 2 ? 1 : 0;
}

/** What each row of the table says, measured. @type {Record<string, (dialect: string) => string>} */
const rows = {
  'mean square starts at'(dialect) {
    return String(startOf(dialect));
  },
  'decay of the mean square is called'(dialect) {
    const options = { rate: () => 1, epsilon: 1 };
    const expected = run(dialect, { ...options, decay: 0.5 }, [2, 1]);
    const names = ['rho', 'decay', 'alpha'].filter((name) => {
      try {
        return run(dialect, { ...options, raw: { [name]: 0.5 } }, [2, 1]) === expected;
      } catch (error) {
        assert.match(String(error), /TypeError: .* has no option/);
        return false;
      }
    });
    return names.map((name) => `\`${name}\``).join();
  },
  'default decay of the mean square'(dialect) {
    // With a huge epsilon inside or outside the root, the second moment's share shows in the third digit: search the decay.
    const moved = run(dialect, { rate: () => 1, epsilon: 1 }, [3, 0.5, 2]);
    const found = [0.9, 0.95, 0.99].filter((decay) => run(dialect, { rate: () => 1, epsilon: 1, decay }, [3, 0.5, 2]) === moved);
    assert.equal(found.length, 1);
    return String(found[0]);
  },
  'default epsilon'(dialect) {
    // Gradients so small that epsilon counts, and nothing of the start value left.
    const [tiny, options] = [[1e-6, 3e-6, 1e-5], { rate: () => 1, decay: 0 }];
    const moved = run(dialect, options, tiny);
    const found = [1e-7, 1e-8, 1e-10].filter((epsilon) => run(dialect, { ...options, epsilon }, tiny) === moved);
    assert.equal(found.length, 1);
    return found[0].toExponential();
  },
  'epsilon without momentum'(dialect) {
    return epsilonPlace(dialect, {});
  },
  'epsilon with momentum'(dialect) {
    return epsilonPlace(dialect, { momentum: 0.5 });
  },
  'epsilon, centered'(dialect) {
    return epsilonPlace(dialect, { centered: true });
  },
  'rate and momentum'(dialect) {
    let rate = 1;
    const v = variable([0]);
    const optimizer = dialects[dialect](v, { rate: () => rate, momentum: 0.5, epsilon: 1 });
    optimizer.step([1]);
    const before = v.data[0];
    rate = 0;
    optimizer.step([0]);
    return v.data[0] === before ? 'outside the buffer' : 'inside the buffer';
  },
  'weight decay'(dialect) {
    try {
      const x = run(dialect, { rate: () => 0.5, weightDecay: 0.1, epsilon: 1 }, [0], 2);
      if (near(x, 1.9)) return 'decoupled';
      return x < 2 ? 'L2, in the gradient' : 'ignored';
    } catch (error) {
      assert.match(String(error), /TypeError: .* has no option/);
      return 'none';
    }
  },
  'centered, where the variance rounds below 0'(dialect) {
    // A constant gradient: the variance decays to nothing, and rounding makes it negative.
    const x = run(dialect, { rate: () => 1e-3, centered: true, epsilon: 1e-12 }, Array(200).fill(1 / 3));
    return Number.isFinite(x) ? 'counts as 0' : 'NaN';
  },
  'sparse: mean square of other rows'(dialect) {
    return sparse(dialect, {})?.meanSquare ?? 'refused';
  },
  'sparse: other rows with momentum'(dialect) {
    return sparse(dialect, { momentum: 0.9 })?.weights ?? 'refused';
  },
  'sparse: slices of one row'(dialect) {
    try {
      const [together, apart] = [variable([1, 1]), variable([1, 1])];
      dialects[dialect](together, { epsilon: 1 }).step(indexedSlices([4], [0]));
      dialects[dialect](apart, { epsilon: 1 }).step(indexedSlices([1, 3], [0, 0]));
      return together.data[0] === apart.data[0] ? 'add up' : 'apart';
    } catch {
      return 'refused';
    }
  },
};

/**
 * @param {string} dialect
 * @param {Options} options
 * @returns {string}
 */
function epsilonPlace(dialect, options) {
  const moved = -run(dialect, { rate: () => 1, decay: 0.5, epsilon: 3, ...options }, [2]);
  const v = 0.5 * startOf(dialect) + 0.5 * 4 - (options.centered ? 1 : 0); // the mean gradient is 1 then
  if (near(moved, 2 / Math.sqrt(v + 3))) return 'inside the root';
  assert.ok(near(moved, 2 / (Math.sqrt(v) + 3)), `${dialect} moves by ${moved}`);
  return 'outside';
}

/**
 * Row 1 in a first step, row 0 in a second: what becomes of row 1 in the second.
 *
 * @param {string} dialect
 * @param {Options} options
 * @returns {{ meanSquare: string, weights: string } | undefined} undefined where slices are refused
 */
function sparse(dialect, options) {
  const v = variable([1, 1]);
  const optimizer = dialects[dialect](v, { rate: () => 0.1, decay: 0.9, epsilon: 1, ...options });
  try {
    optimizer.step(indexedSlices([1], [1]));
  } catch {
    return undefined;
  }
  const meanSquare = () => (optimizer.slots().velocity ?? optimizer.slots().rms)[1];
  const before = { meanSquare: meanSquare(), weight: v.data[1] };
  optimizer.step(indexedSlices([1], [0]));
  return {
    meanSquare: meanSquare() === before.meanSquare ? 'stays' : 'decays',
    weights: v.data[1] === before.weight ? 'stay' : 'move',
  };
}

/** @returns {string[][]} the cells of the guide's table of conventions, its header first */
function tableOfGuide() {
  const guide = readFileSync(new URL('../../docs/dialects.md', import.meta.url), 'utf8');
  const [, table] = /\n(\| +\| Keras 3 \|[^]*?)\n\n/.exec(guide) ?? [];
  assert.ok(table, 'the guide has the table');
  return table.split('\n').filter((line) => !/^\|[-| ]+\|$/.test(line)).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
}

test('the guide\'s table of conventions has the dialects\' columns and the measured rows', () => {
  const [header, ...body] = tableOfGuide();
  assert.deepEqual(header.slice(1), Object.keys(dialects));
  assert.deepEqual(body.map(([name]) => name), Object.keys(rows));
});

for (const [name, measure] of Object.entries(rows)) {
  test(`conventions: ${name}`, () => {
    const [header, ...body] = tableOfGuide();
    const cells = body.find(([row]) => row === name) ?? [];
    assert.deepEqual(Object.fromEntries(header.slice(1).map((dialect, i) => [dialect, cells[i + 1]])),
      Object.fromEntries(header.slice(1).map((dialect) => [dialect, measure(dialect)])));
  });
}
