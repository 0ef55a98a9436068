/** JavaScript's legs, steps 5 to 8, of runs that Python begins and ends: see keras_peer.py and torch_peer.py. */
import { unzipSync, zipSync } from 'fflate';
import * as h5wasm from 'h5wasm/node';
import { RMSprop, schedules, variable } from 'rmsprop-wasm';
import { readKerasFile, writeKerasFile } from 'rmsprop-wasm/keras-files';
import * as torch from 'rmsprop-wasm/torch';

export const libraries = { h5wasm, unzipSync, zipSync };

/** @typedef {import('rmsprop-wasm').Variable} Variable */
/** @typedef {{ train: (first: number, last: number) => void, state: () => string[], save: () => Promise<Uint8Array> }} Leg */

/** The suffix of each case's file. @type {Record<string, string>} */
export const kerasCases = { everything: '.keras', schedule: '.weights.h5' };
const decay = { initialLearningRate: 0.1, decaySteps: 10, endLearningRate: 0.01 };
export const torchCases = ['plain', 'everything'];

/**
 * @param {number} step
 * @param {Variable} v
 * @returns {Float32Array} 0.3 w + c, as in Python
 */
function gradient(step, v) {
  return Float32Array.from(v.data, (w, i) => Math.fround(Math.fround(0.3) * w) + (((step * 7 + i * 3) % 5) - 2));
}

/** @param {ArrayBufferView} array */
const base64 = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength).toString('base64');

/**
 * @param {string} name of the case
 * @param {Uint8Array} bytes what Python saved
 * @returns {Promise<Leg>}
 */
export async function kerasLeg(name, bytes) {
  const file = await readKerasFile(bytes, libraries);
  const variables = new Map([...file.variables].sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, { shape, data }]) => [path, variable(data, { shape, name: path })]));
  const list = [...variables.values()];
  // A .weights.h5 has no config: whoever has one says what the optimizer was.
  const optimizer = name === 'schedule'
    ? new RMSprop({ learningRate: new schedules.PolynomialDecay(decay), rho: 0.95 })
    : RMSprop.fromConfig(file.config ?? {});
  optimizer.build(list);
  optimizer.setWeights(file.optimizerWeights ?? []);
  return {
    train(first, last) {
      for (let step = first; step < last; step++) optimizer.apply(list.map((v) => gradient(step, v)), list);
    },
    state: () => [...list, ...optimizer.variables].map(({ data }) => base64(data)),
    save: () => writeKerasFile(bytes, {
      variables: new Map([...variables].map(([path, { data }]) => [path, data])), optimizerWeights: optimizer.getWeights(),
    }, libraries),
  };
}

/**
 * @param {string} _name of the case: all is in the file
 * @param {Uint8Array} bytes what Python saved
 * @returns {Promise<Leg>}
 */
export async function torchLeg(_name, bytes) {
  const saved = torch.load(bytes);
  const shapes = [[3, 4], [4], [4, 2], [2]];
  const variables = shapes.map((shape, i) => variable(saved.model[`layer.${i}`], { shape, name: `layer.${i}` }));
  const optimizer = new torch.RMSprop([{ params: variables.slice(0, 2) }, { params: variables.slice(2) }]);
  const scheduler = new torch.lrScheduler.StepLR(optimizer, { stepSize: 3, gamma: 0.5 });
  optimizer.loadStateDict(saved.optimizer);
  scheduler.loadStateDict(saved.scheduler);
  return {
    train(first, last) {
      for (let step = first; step < last; step++) {
        for (const v of variables) v.gradient = gradient(step, v);
        optimizer.step();
        scheduler.step();
      }
    },
    state() {
      const buffers = Object.values(optimizer.stateDict().state).flatMap(({ step: _, ...slots }) => Object.values(slots));
      return [...variables.map(({ data }) => data), ...buffers].map(base64);
    },
    save: async () => torch.save({
      model: Object.fromEntries(variables.map((v) => [v.name, v])), optimizer: optimizer.stateDict(), scheduler: scheduler.stateDict(),
    }),
  };
}
