/**
 * One way to drive the optimizers of all dialects: each takes the variables' gradients where they are, asks for its
 * rate once a step, and saves and loads its state as a safetensors file.
 */
import { readState, saveState } from '../../js/checkpoint.js';
import { RMSprop } from '../../js/index.js';
import { RMSprop as LegacyRMSprop } from '../../js/legacy.js';
import { RMSprop as TorchRMSprop } from '../../js/torch.js';
import { RMSPropOptimizer } from '../../js/v1.js';

/** @typedef {import('../../js/index.js').Variable} Variable */
/** @typedef {import('../../js/index.js').Tensor} Tensor */
/** @typedef {import('./configuration.js').Racer} Racer */
/**
 * @typedef {object} Driven
 * @property {() => void} step
 * @property {() => { meanSquare: (Tensor | null)[], meanGradient: (Tensor | null)[] }} slots by variable
 * @property {boolean} epsilonInside whether epsilon stands under the root
 * @property {(<T>(fn: () => T) => T) | null} withAverages null without averages
 * @property {() => Uint8Array} save state and weights
 * @property {(bytes: Uint8Array) => void} load
 * @property {() => void} dispose
 */

/** Equal runs are to save equal files, so that names are not numbered. */
const NAME = 'rmsprop';

/**
 * @param {Racer} racer
 * @param {readonly Variable[]} variables
 * @param {() => number} rate is asked once a step
 * @returns {Driven}
 * @throws {RangeError} for what the dialect refuses, or if the memory is exhausted
 */
export function drive(racer, variables, rate) {
  switch (racer.dialect) {
    case 'legacy': return driveLegacy(racer, variables, rate);
    case 'tf1': return driveTensorFlow(racer, variables, rate);
    case 'torch': return driveTorch(racer, variables, rate);
    default: return driveKeras(racer, variables, rate);
  }
}

/** @type {typeof drive} */
function driveKeras(racer, variables, rate) {
  const { rho, momentum, epsilon, centered, ema, weightDecay, clipNorm } = racer;
  const optimizer = new RMSprop({
    learningRate: rate,
    rho,
    momentum,
    epsilon,
    centered,
    ...(ema > 0 && { useEma: true, emaMomentum: ema }),
    ...(weightDecay > 0 && { weightDecay }),
    ...(clipNorm > 0 && { globalClipnorm: clipNorm }),
    ...(racer.dialect === 'keras2' && { rule: 'keras-2.11' }),
    name: NAME,
  });
  optimizer.build(variables);
  const slot = (/** @type {string} */ name) => variables.map((variable) => optimizer.getSlot(variable, name));
  return {
    step: () => optimizer.step(),
    slots: () => ({ meanSquare: slot('velocity'), meanGradient: slot('average_gradient') }),
    epsilonInside: true,
    withAverages: ema > 0 ? (fn) => optimizer.withAverages(fn) : null,
    save: () => optimizer.save({ variables: true }),
    load: (bytes) => optimizer.load(bytes),
    dispose: () => optimizer.dispose(),
  };
}

/** @type {typeof drive} */
function driveLegacy({ rho, momentum, epsilon, centered, clipNorm }, variables, rate) {
  const optimizer = new LegacyRMSprop({
    learningRate: rate, rho, momentum, epsilon, centered, ...(clipNorm > 0 && { globalClipnorm: clipNorm }), name: NAME,
  });
  return driveWithSlots(variables, {
    dialect: 'legacy',
    names: ['rms', 'momentum', 'mg'],
    step: () => optimizer.applyGradients(variables.map((variable) => [variable.gradient, variable])),
    slot: (variable, name) => (optimizer.getSlotNames().includes(name) ? optimizer.getSlot(variable, name) : null),
    epsilonInside: momentum > 0,
    getCount: () => optimizer.iterations,
    setCount: (count) => optimizer.weights[0].set([count]),
    dispose: () => optimizer.dispose(),
  });
}

/** @type {typeof drive} */
function driveTensorFlow({ rho, momentum, epsilon, centered }, variables, rate) {
  const optimizer = new RMSPropOptimizer({ learningRate: rate, decay: rho, momentum, epsilon, centered });
  return driveWithSlots(variables, {
    dialect: 'tf1',
    names: ['rms', 'momentum', 'mg'],
    step: () => optimizer.applyGradients(variables.map((variable) => [variable.gradient, variable])),
    slot: (variable, name) => optimizer.getSlot(variable, name),
    epsilonInside: true,
    dispose: () => optimizer.dispose(),
  });
}

/** @type {typeof drive} */
function driveTorch({ rho, momentum, epsilon, centered, weightDecay }, variables, rate) {
  const optimizer = new TorchRMSprop([...variables], { alpha: rho, momentum, eps: epsilon, centered, weightDecay });
  const [group] = optimizer.paramGroups;
  return driveWithSlots(variables, {
    dialect: 'torch',
    names: ['square_avg', 'momentum_buffer', 'grad_avg'],
    step() {
      group.lr = rate();
      optimizer.step();
    },
    slot: (variable, name) => /** @type {any} */ (optimizer.state.get(variable))?.[name] ?? null,
    epsilonInside: false,
    getCount: () => optimizer.state.get(variables[0])?.step ?? 0,
    setCount(count) {
      const saved = optimizer.stateDict();
      for (const state of Object.values(saved.state)) state.step = count;
      optimizer.loadStateDict(saved);
    },
    dispose: () => optimizer.dispose(),
  });
}

/**
 * @typedef {object} WithSlots an optimizer that makes its slots in its first step
 * @property {string} dialect
 * @property {readonly string[]} names of its slots: of the mean square, the momentum, the mean gradient
 * @property {() => void} step
 * @property {(variable: Variable, name: string) => Tensor | null} slot null where there is none
 * @property {boolean} epsilonInside
 * @property {() => number} [getCount] of steps, where it counts them
 * @property {(count: number) => void} [setCount]
 * @property {() => void} dispose
 */

/**
 * @param {readonly Variable[]} variables
 * @param {WithSlots} optimizer
 * @returns {Driven}
 */
function driveWithSlots(variables, optimizer) {
  const { dialect, names, slot, epsilonInside, step, dispose, getCount = () => 0, setCount = () => {} } = optimizer;
  const allOf = (/** @type {string} */ name) => variables.map((variable) => slot(variable, name));
  const state = () => ({
    variables,
    slots: names.map((name) => ({ name, tensors: allOf(name) })).filter(({ tensors }) => tensors[0] !== null),
  });
  return {
    step,
    epsilonInside,
    dispose,
    slots: () => ({ meanSquare: allOf(names[0]), meanGradient: allOf(names[2]) }),
    withAverages: null,
    save: () => saveState(dialect, state(), { config: {}, counters: { count: getCount() }, variables: true }),
    load(bytes) {
      if (state().slots.length === 0) {
        // All that a step without gradients does is overwritten below.
        for (const variable of variables) variable.gradientBuffer().data.fill(0);
        step();
      }
      const { counters, targets, values } = readState(dialect, state(), bytes);
      targets.forEach((target, i) => target.set(values[i]));
      setCount(counters.count);
    },
  };
}
