/**
 * `npm run bench -- --calls`: what a call costs beside its arithmetic. A model of 40 tensors of 16 elements, whose
 * gradients are typed arrays of the right length, is updated through every façade; then `apply` of growing models, for
 * the cost of a variable has to stay the same. All take turns in one process.
 */
import { RMSprop, variable } from 'rmsprop-wasm';
import { RMSprop as LegacyRMSprop } from 'rmsprop-wasm/legacy';
import { rmsprop } from 'rmsprop-wasm/optax';
import { RMSprop as TorchRMSprop } from 'rmsprop-wasm/torch';
import { RMSPropOptimizer } from 'rmsprop-wasm/v1';
import { inTurn, summary } from '../../web-demo/page/turns.js';

const ROUNDS = 25;
/** How long a block of calls lasts at least, in milliseconds. */
const BLOCK_MS = 4;
const SIZE = 16;

/** @typedef {import('rmsprop-wasm').Variable} Variable */
/** @typedef {{ name: string, call: () => unknown }} Contender */

/**
 * @param {number} count
 * @returns {Variable[]}
 */
const variables = (count) => Array.from({ length: count }, (_, i) => variable(new Float32Array(SIZE).fill(1), { name: `w${i}` }));

/**
 * @param {number} count
 * @returns {Float32Array[]}
 */
const gradients = (count) => Array.from({ length: count }, (_, i) => new Float32Array(SIZE).fill(0.1 + i));

/**
 * @param {number} count of tensors
 * @returns {Contender[]} the fast path first
 */
function facades(count) {
  const grads = gradients(count);
  const pairs = (/** @type {Variable[]} */ list) => /** @type {[Float32Array, Variable][]} */ (list.map((v, i) => [grads[i], v]));

  const staged = new RMSprop();
  const own = variables(count);
  staged.build(own);
  own.forEach((v, i) => v.gradientBuffer().set(grads[i]));

  const keras = new RMSprop();
  const kerasVariables = variables(count);

  const legacy = new LegacyRMSprop();
  const legacyPairs = pairs(variables(count));

  const v1 = new RMSPropOptimizer({ learningRate: 0.001 });
  const v1Pairs = pairs(variables(count));

  const torchVariables = variables(count);
  const torch = new TorchRMSprop(torchVariables);

  const optax = rmsprop({ learningRate: 0.001 });
  const params = variables(count);
  const state = optax.init(params);
  return [
    { name: 'step', call: () => staged.step() },
    { name: 'apply (Keras)', call: () => keras.apply(grads, kerasVariables) },
    { name: 'applyGradients (legacy)', call: () => legacy.applyGradients(legacyPairs) },
    { name: 'applyGradients (v1)', call: () => v1.applyGradients(v1Pairs) },
    {
      name: 'step (torch)',
      call() {
        for (let i = 0; i < count; i++) torchVariables[i].gradient = grads[i];
        torch.step();
      },
    },
    { name: 'step (optax)', call: () => optax.step(grads, state, params) },
  ];
}

/**
 * @param {readonly Contender[]} contenders
 * @returns {number[]} microseconds a call, the medians
 */
function compare(contenders) {
  const entries = contenders.map(({ call }) => ({ call, calls: callsOfBlock(call), times: /** @type {number[]} */ ([]) }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { call, calls, times } of inTurn(entries, round)) times.push(time(call, calls) / calls);
  }
  return entries.map(({ times }) => summary(times).median * 1000);
}

/**
 * @param {() => unknown} call
 * @returns {number} how many calls last as long as a block, when its code is compiled
 */
function callsOfBlock(call) {
  for (const end = performance.now() + 200; performance.now() < end;) time(call, 10);
  for (let calls = 1; ; calls *= 2) {
    const milliseconds = time(call, calls);
    if (milliseconds >= BLOCK_MS) return Math.max(1, Math.ceil((calls * BLOCK_MS) / milliseconds));
  }
}

/**
 * @param {() => unknown} call
 * @param {number} calls
 * @returns {number} milliseconds
 */
function time(call, calls) {
  const start = performance.now();
  for (let i = 0; i < calls; i++) call();
  return performance.now() - start;
}

/** Prints both tables. */
export function benchCalls() {
  const contenders = facades(40);
  const [fast, ...others] = compare(contenders);
  console.log(`40 tensors of ${SIZE}, ${ROUNDS} rounds, medians\n`);
  console.log('| call | µs | times `step` |\n| --- | --- | --- |');
  [fast, ...others].forEach((µs, i) => console.log(`| ${contenders[i].name} | ${µs.toFixed(2)} | ${(µs / fast).toFixed(2)} |`));

  const counts = [10, 100, 1000, 10_000];
  const models = counts.map((count) => facades(count).slice(1));
  const times = counts.map((_, k) => compare(models[k]));
  console.log('\nNanoseconds a variable, by the number of variables\n');
  console.log(`| call | ${counts.join(' | ')} |\n| --- |${' --- |'.repeat(counts.length)}`);
  models[0].forEach(({ name }, i) => {
    console.log(`| ${name} | ${counts.map((count, k) => ((times[k][i] * 1000) / count).toFixed(0)).join(' | ')} |`);
  });
}
