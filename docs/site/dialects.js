/**
 * Draws dialects.svg, the plot of the guide about dialects, from runs of the package: one weight under a gradient that
 * stays 0.001, by each framework's rule and defaults.
 *
 *     npm run docs:plot               writes it
 *     npm run docs:plot -- --check    writes nothing, and fails when the file is not what the package gives
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as echarts from 'echarts';
import { RMSprop, variable } from '../../js/index.js';
import { RMSprop as Legacy } from '../../js/legacy.js';
import { applyUpdates, rmsprop } from '../../js/optax.js';
import { RMSprop as Torch } from '../../js/torch.js';
import { RMSPropOptimizer } from '../../js/v1.js';

const GRADIENT = 0.001;
const RATE = 0.01;
const STEPS = 200;

/**
 * What does a step, by framework; each changes a weight, which is read before and after.
 *
 * @type {Record<string, () => { read: () => number, step: () => void }>}
 */
const dialects = {
  'Keras 3': () => {
    const [w, optimizer] = [variable(0, { dtype: 'float64' }), new RMSprop({ learningRate: RATE })];
    return { read: () => w.data[0], step: () => optimizer.apply([[GRADIENT]], [w]) };
  },
  'legacy tf.keras': () => {
    const [w, optimizer] = [variable(0, { dtype: 'float64' }), new Legacy({ learningRate: RATE })];
    return { read: () => w.data[0], step: () => optimizer.applyGradients([[[GRADIENT], w]]) };
  },
  'TensorFlow 1': () => {
    const [w, optimizer] = [variable(0, { dtype: 'float64' }), new RMSPropOptimizer({ learningRate: RATE })];
    return { read: () => w.data[0], step: () => optimizer.applyGradients([[[GRADIENT], w]]) };
  },
  'PyTorch': () => {
    const w = variable(0, { dtype: 'float64' });
    const optimizer = new Torch([w], { lr: RATE });
    return {
      read: () => w.data[0],
      step: () => {
        w.gradient = [GRADIENT];
        optimizer.step();
      },
    };
  },
  'optax': () => {
    const optimizer = rmsprop({ learningRate: RATE });
    let params = Float64Array.of(0);
    let state = optimizer.init(params);
    return {
      read: () => params[0],
      step: () => {
        const [updates, next] = optimizer.update(Float64Array.of(GRADIENT), state, params);
        [params, state] = [applyUpdates(params, updates), next];
      },
    };
  },
};

/**
 * @returns {{ name: string, lengths: number[] }[]} how long each step was, in learning rates
 */
function run() {
  return Object.entries(dialects).map(([name, make]) => {
    const { read, step } = make();
    const lengths = Array.from({ length: STEPS }, () => {
      const before = read();
      step();
      return Math.abs(read() - before) / RATE;
    });
    return { name, lengths };
  });
}

/**
 * @param {ReturnType<typeof run>} runs
 * @returns {string} SVG
 */
function draw(runs) {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 760, height: 380 });
  const dashes = ['solid', 'dotted', 'solid', 'solid', 'dashed'];
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    color: ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#000000'], // told apart by the colour-blind, too
    legend: { top: 8, itemGap: 24 },
    grid: { left: 64, right: 24, top: 48, bottom: 48 },
    xAxis: { type: 'value', name: 'step', nameLocation: 'middle', nameGap: 28, min: 0, max: STEPS },
    yAxis: {
      type: 'log', name: 'length of a step, in learning rates', nameLocation: 'middle', nameGap: 46,
      min: 0.001, max: 10,
    },
    series: runs.map(({ name, lengths }, i) => ({
      type: 'line',
      name,
      showSymbol: false,
      lineStyle: { width: 2, type: dashes[i] },
      data: lengths.map((length, k) => [k + 1, Number(length.toPrecision(4))]),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}

const { values: { check } } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const file = fileURLToPath(new URL('../dialects.svg', import.meta.url));
const svg = draw(run());
if (!check) {
  writeFileSync(file, svg);
} else if (readFileSync(file, 'utf8') !== svg) {
  console.error('dialects.svg is not what the package gives: npm run docs:plot draws it');
  process.exitCode = 1;
}
