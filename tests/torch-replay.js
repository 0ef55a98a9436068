/** What the replays of PyTorch's recorded runs share: its names and cases, our optimizer for them, and its formulas. */
import assert from 'node:assert/strict';
import { tensor, variable } from 'rmsprop-wasm';
import { RMSprop } from 'rmsprop-wasm/torch';
import { spacing } from './bits.js';
import { fma32, fma64 } from './fma.js';
import { numbersOf } from './replay.js';

export const SLOTS = /** @type {const} */ (['square_avg', 'momentum_buffer', 'grad_avg']);

/** @typedef {{ grads: (string[] | null)[], params: string[][], state: Record<string, any>[], lr?: number }} Step */
/**
 * @typedef {object} Case several parameters in groups
 * @property {string} id
 * @property {'float32' | 'float64'} dtype
 * @property {{ hyper: Record<string, any>, params: number[] }[]} groups
 * @property {number[][]} shapes
 * @property {string[][]} init
 * @property {boolean} isTensorRate
 * @property {Step[]} steps
 */

/**
 * @param {Record<string, any>} options with Python's names
 * @returns {any} with ours, which are PyTorch's own in camelCase: weight_decay, step_size, but also T_max and T_0
 */
export function camel(options) {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => {
    const [first, ...rest] = name.split('_').map((word) => word.toLowerCase());
    return [first + rest.map((word) => word[0].toUpperCase() + word.slice(1)).join(''), value];
  }));
}

/**
 * The case as one of several parameters in groups, which it is or is written as.
 *
 * @param {any} c
 * @param {any[]} [steps] "steps_exact_sqrt" is PyTorch with a correctly rounded square root, left out where it makes no difference
 * @returns {Case}
 */
export function grouped(c, steps = c.steps_exact_sqrt ?? c.steps) {
  const common = { id: c.id, dtype: c.dtype ?? 'float32', isTensorRate: Boolean(c.lr_is_tensor) };
  if (c.multi) return { ...common, groups: c.groups, shapes: c.shapes, init: c.init, steps };
  return {
    ...common,
    groups: [{ hyper: c.hyper, params: [0] }],
    shapes: [[c.init.length]],
    init: [c.init],
    steps: steps.map((/** @type {any} */ step) => ({ grads: [step.grad], params: [step.param], state: [step], lr: step.lr })),
  };
}

// ---- Ours ----

/**
 * @typedef {object} At one parameter after a step of ours
 * @property {string} what
 * @property {number} i
 * @property {any} data of the parameter
 * @property {any} state
 * @property {Step} before
 * @property {Step} step the recorded one
 * @property {Record<string, any>} hyper of its group, with the rate of this step
 */

/**
 * @param {Case} c
 * @param {string[][]} [values] of its parameters
 * @returns {{ variables: any[], optimizer: RMSprop }}
 */
export function optimizerOf({ dtype, groups, shapes, init, isTensorRate }, values = init) {
  const variables = values.map((bits, i) => variable(numbersOf(bits), { shape: shapes[i], dtype }));
  const optimizer = new RMSprop(groups.map(({ hyper, params }) => ({
    ...camel(hyper),
    ...(isTensorRate ? { lr: tensor(hyper.lr) } : {}),
    params: params.map((i) => variables[i]),
  })));
  return { variables, optimizer };
}

/**
 * @param {{ variables: any[], optimizer: RMSprop }} ours
 * @param {Step} step whose learning rate and gradients are used
 */
export function takeStep({ variables, optimizer }, { lr, grads }) {
  if (lr !== undefined) optimizer.paramGroups[0].lr = lr;
  grads.forEach((bits, i) => {
    variables[i].gradient = bits && numbersOf(bits);
  });
  optimizer.step();
}

/**
 * One step of ours from each recorded state.
 *
 * @param {Case} c
 * @param {(at: At) => void} check each parameter that has a gradient
 */
export function fromEachState(c, check) {
  /** @type {Step} */
  let before = { grads: [], params: c.init, state: c.init.map(() => ({})) };
  for (const [k, step] of c.steps.entries()) {
    const ours = optimizerOf(c, before.params);
    const { variables, optimizer } = ours;
    const states = before.state.map((state, i) => [i, state.step === undefined ? undefined : {
      step: state.step, ...Object.fromEntries(SLOTS.map((name) => [name, state[name] && numbersOf(state[name])])),
    }]);
    optimizer.loadStateDict({ ...optimizer.stateDict(), state: Object.fromEntries(states.filter(([, state]) => state)) });
    takeStep(ours, step);
    for (const { hyper, params } of c.groups) {
      for (const i of params.filter((index) => step.grads[index])) {
        const what = `${c.id}, step ${k}, parameter ${i}`;
        const state = optimizer.state.get(variables[i]);
        check({ what, i, data: variables[i].data, state, before, step, hyper: { ...hyper, lr: step.lr ?? hyper.lr ?? 0.01 } });
      }
    }
    optimizer.dispose();
    before = step;
  }
}

/**
 * How far one step of ours and a recorded one are apart, in ulp of the largest term that went in, which cancellation
 * cannot inflate.
 *
 * @param {At} at
 * @param {ArrayLike<number>} [quotients] more terms: what the gradient divided by the root may have come from
 * @returns {{ momentum: number, parameter: number }}
 */
export function distances({ what, i, data, state, before, step, hyper: { lr, momentum } }, quotients = []) {
  const x = numbersOf(before.params[i]);
  const next = numbersOf(step.params[i]);
  const terms = [x.map(Math.abs), next.map((y, j) => Math.max(Math.abs(y - x[j]), lr * (quotients[j] ?? 0)))];
  let ofBuffer = 0;
  if (momentum) {
    const buffer = numbersOf(step.state[i].momentum_buffer);
    const old = before.state[i].momentum_buffer ? numbersOf(before.state[i].momentum_buffer) : buffer.map(() => 0);
    const kept = old.map((b) => b * momentum);
    const biggest = buffer.map((b, j) => Math.max(Math.abs(kept[j]), Math.abs(b - kept[j]), quotients[j] ?? 0));
    ofBuffer = distance(state.momentum_buffer.data, buffer, [biggest], `${what}, momentum_buffer`);
    terms.push(biggest.map((b) => b * lr));
  }
  return { momentum: ofBuffer, parameter: distance(data, next, terms, what) };
}

/**
 * @param {any} actual
 * @param {Float32Array | Float64Array} expected
 * @param {ArrayLike<number>[]} terms
 * @param {string} what
 * @returns {number} the largest of the elements, in ulp of the largest of their terms
 */
export function distance(actual, expected, terms, what) {
  return Math.max(...Array.from(expected, (y, j) => {
    if (Object.is(actual[j], y)) return 0;
    const precision = expected instanceof Float32Array ? 24 : 53;
    const largest = Math.max(...terms.map((term) => term[j]));
    const ulp = Math.abs(actual[j] - y) / spacing(largest, precision);
    assert.ok(Number.isFinite(largest) && Number.isFinite(ulp), `${what}[${j}] is ${actual[j]}, not ${y}`);
    return ulp;
  }));
}

// ---- Theirs ----

/** The multiply-adds of a step, of which a dispatch may fuse any. */
export const PLACES = /** @type {const} */ (['decay', 'square', 'mean', 'variance', 'momentum', 'step', 'plainStep']);

/**
 * @typedef {object} Arithmetic
 * @property {'float32' | 'float64'} dtype
 * @property {readonly (typeof PLACES[number])[]} fused the places where a b + c is rounded once
 * @property {boolean} hasLerp from PyTorch 2.1 the mean moves by a lerp; before, it is weighted as the mean square
 */
/** @typedef {Record<'param' | typeof SLOTS[number], number>} Element */

/**
 * The step of one element as PyTorch's source has it (semantics.md §6).
 *
 * @param {Arithmetic} arithmetic
 * @param {Element} e changed
 * @param {number} gradient
 * @param {Record<string, any>} hyper with Python's names
 */
export function stepElement({ dtype, fused, hasLerp }, e, gradient, hyper) {
  const { lr = 0.01, alpha = 0.99, eps = 1e-8, weight_decay: decay = 0, momentum = 0, centered = false, maximize = false } = hyper;
  const [f, fma] = dtype === 'float32' ? [Math.fround, fma32] : [Number, fma64];
  const mad = (/** @type {typeof PLACES[number]} */ place, /** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ c) =>
    fused.includes(place) ? fma(a, b, c) : f(f(a * b) + c);
  const [keep, take] = [f(alpha), f(1 - alpha)];
  let g = maximize ? -gradient : gradient;
  if (decay) g = mad('decay', e.param, f(decay), g);
  e.square_avg = mad('square', f(take * g), g, f(e.square_avg * keep));
  let variance = e.square_avg;
  if (centered) {
    const way = f(g - e.grad_avg);
    if (!hasLerp) e.grad_avg = mad('mean', g, take, f(e.grad_avg * keep));
    else if (Math.abs(take) < 0.5) e.grad_avg = mad('mean', take, way, e.grad_avg);
    else e.grad_avg = mad('mean', -way, f(1 - take), g);
    variance = mad('variance', -e.grad_avg, e.grad_avg, variance);
  }
  const denominator = f(f(Math.sqrt(variance)) + f(eps));
  if (momentum) {
    e.momentum_buffer = mad('momentum', e.momentum_buffer, f(momentum), f(g / denominator));
    e.param = mad('step', e.momentum_buffer, f(-lr), e.param);
  } else if (fused.includes('plainStep')) {
    e.param = fma(f(-lr), f(g / denominator), e.param);
  } else {
    e.param = f(e.param + f(f(f(-lr) * g) / denominator));
  }
}

/**
 * @param {Step} from its parameters and state
 * @param {number} i
 * @returns {Element[]} of that parameter, slots that it has not zero
 */
export function elementsOf({ params, state }, i) {
  const slots = SLOTS.map((name) => state[i][name] && numbersOf(state[i][name]));
  return Array.from(numbersOf(params[i]), (param, j) => {
    const [square, buffer, mean] = slots.map((values) => values?.[j] ?? 0);
    return { param, square_avg: square, momentum_buffer: buffer, grad_avg: mean };
  });
}

/**
 * A whole run by PyTorch's formulas.
 *
 * @param {Omit<Arithmetic, 'dtype'>} arithmetic
 * @param {Case} c
 * @param {(values: number[], bits: string[], what: string) => void} check everything that was recorded
 */
export function runOracle(arithmetic, { id, dtype, groups, init, steps }, check) {
  const start = { grads: [], params: init, state: init.map(() => ({})) };
  for (const { hyper, params } of groups) {
    for (const i of params) {
      const elements = elementsOf(start, i);
      for (const [k, { grads, params: expected, state, lr = hyper.lr }] of steps.entries()) {
        const bits = grads[i];
        if (bits) numbersOf(bits).forEach((g, j) => stepElement({ ...arithmetic, dtype }, elements[j], g, { ...hyper, lr }));
        const what = `${id}, step ${k}, parameter ${i}`;
        check(elements.map((e) => e.param), expected[i], what);
        for (const name of SLOTS.filter((slot) => state[i][slot])) {
          check(elements.map((e) => e[name]), state[i][name], `${what}, ${name}`);
        }
      }
    }
  }
}
