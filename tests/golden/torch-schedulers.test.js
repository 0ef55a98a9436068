/**
 * The schedulers of the real PyTorch 2.15, alone and composed: the same rates and momentums in float64, the same state
 * dicts, and the same course after a save in the middle.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { variable } from 'rmsprop-wasm';
import { RMSprop, load as loadFile, lrScheduler, save, swaUtils } from 'rmsprop-wasm/torch';
import { load } from '../replay.js';
import { camel } from '../torch-replay.js';

/** @typedef {{ name: string, args: Record<string, any>, schedulers?: Spec[] }} Spec */

/** The functions of generate_torch_schedulers.py. @type {Record<string, (x: number) => number>} */
const functions = {
  inverse: (epoch) => 1 / (1 + epoch),
  ramp: (epoch) => Math.min(1, (epoch + 1) / 8),
  nearly: () => 0.95,
  growing: (epoch) => 1 + 0.01 * epoch,
  reciprocal: (x) => 1 / x,
  fading: (x) => 0.99 / (1 + x / 100),
};

/** @param {readonly number[]} rates */
const optimizerOf = (rates) =>
  new RMSprop(rates.map((lr) => ({ params: [variable([1])], lr })), { momentum: 0.9 });

/**
 * @param {RMSprop} optimizer
 * @param {Spec} spec
 * @returns {any}
 */
function made(optimizer, { name, args, schedulers }) {
  const named = Object.fromEntries(Object.entries(args).map(([key, value]) => {
    if (key !== 'lr_lambda' && key !== 'scale_fn') return [key, value];
    return [key, Array.isArray(value) ? value.map((one) => functions[one]) : functions[value]];
  }));
  const Scheduler = /** @type {any} */ ({ ...lrScheduler, ...swaUtils })[name];
  const parts = schedulers?.map((spec) => made(optimizer, spec));
  if (name === 'ChainedScheduler') return new Scheduler(parts, { optimizer });
  return new Scheduler(optimizer, { ...camel(named), ...(parts ? { schedulers: parts } : {}) });
}

/** @param {RMSprop} optimizer */
const seenOf = (optimizer) => optimizer.paramGroups.map(({ lr, momentum }) => [lr, momentum]);

const numbers = /** @type {Record<string, number>} */ ({ Infinity, '-Infinity': -Infinity });
/** @param {any} value of JSON @returns {any} with infinities */
function revived(value) {
  if (Array.isArray(value)) return value.map(revived);
  if (typeof value !== 'object' || value === null) return numbers[value] ?? value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, revived(one)]));
}

const { cases, errors, middle } = load('torch_schedulers.json');

for (const { rates, spec, metrics, seen, middle: dict } of cases) {
  test(`${JSON.stringify(spec)} does what PyTorch's does, in float64, and goes on after a save`, () => {
    const whole = optimizerOf(rates);
    const scheduler = made(whole, spec);
    let resumed = whole;
    let other = scheduler;
    for (const [step, expected] of seen.entries()) {
      assert.deepEqual(seenOf(whole), expected, `step ${step}`);
      assert.deepEqual(seenOf(resumed), expected, `step ${step}, resumed`);
      assert.deepEqual(other.getLastLr(), expected.map((/** @type {number[]} */ [lr]) => lr));
      if (step === middle) {
        assert.deepEqual(scheduler.stateDict(), revived(dict));
        const file = loadFile(save([whole.stateDict(), scheduler.stateDict()]));
        resumed = optimizerOf(rates);
        other = made(resumed, spec);
        resumed.loadStateDict(file[0]);
        other.loadStateDict(file[1]);
        assert.deepEqual(other.stateDict(), scheduler.stateDict());
      }
      if (step === seen.length - 1) break;
      for (const one of new Set([scheduler, other])) one.step(...(metrics ? [metrics[step]] : []));
    }
  });
}

test('PyTorch\'s state dict of each scheduler is taken as it is', () => {
  for (const { rates, spec, metrics, seen, middle: dict } of cases) {
    const optimizer = optimizerOf(rates);
    const scheduler = made(optimizer, spec);
    seen[middle].forEach((/** @type {number[]} */ [lr, momentum], /** @type {number} */ i) =>
      Object.assign(optimizer.paramGroups[i], { lr, momentum }));
    scheduler.loadStateDict(revived(dict));
    for (let step = middle; step < seen.length - 1; step++) {
      scheduler.step(...(metrics ? [metrics[step]] : []));
      assert.deepEqual(seenOf(optimizer), seen[step + 1], `${JSON.stringify(spec)}, step ${step + 1}`);
    }
  }
});

test('what PyTorch refuses is refused when the scheduler is made, and changes nothing', () => {
  for (const { spec, error, message } of errors) {
    const optimizer = optimizerOf([0.1, 0.02]);
    const before = optimizer.stateDict();
    const say = `${JSON.stringify(spec)}: ${error}: ${message}`;
    assert.throws(() => made(optimizer, spec), RangeError, say);
    if (!spec.schedulers) assert.deepEqual(optimizer.stateDict(), before, say);
  }
});
