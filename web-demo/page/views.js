/**
 * What is looked at beside the charts: answers as bars, weights as images, decisions in a plane.
 */
import { element } from './controls.js';
import { GRID, GRID_EDGE } from './session.js';

/** @param {string} name of a custom property with a colour */
function rgb(name) {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/**
 * @param {readonly number[]} from
 * @param {readonly number[]} to
 * @param {number} share
 */
const mixed = (from, to, share) => from.map((value, i) => value + (to[i] - value) * share);

/** The probability of each class by raw and by averaged weights, side by side. */
export class Bars {
  #body;
  /** @type {{ row: HTMLElement, bars: HTMLElement[], texts: HTMLElement[] }[]} */
  #rows = [];

  /** @param {HTMLElement} body of the table */
  constructor(body) {
    this.#body = body;
  }

  /**
   * Makes a row for each class.
   *
   * @param {readonly string[]} classes
   */
  setClasses(classes) {
    this.#rows = classes.map((name) => {
      const bars = [element('i'), element('i')];
      const texts = [element('span'), element('span')];
      const cells = bars.map((bar, k) => element('td', {}, element('div', {
        className: k === 1 ? 'bar averaged' : 'bar',
      }, element('span', { className: 'bar-track', 'aria-hidden': 'true' }, bar), texts[k])));
      return { row: element('tr', {}, element('th', { scope: 'row' }, name), ...cells), bars, texts };
    });
    this.#body.replaceChildren(...this.#rows.map(({ row }) => row));
  }

  /**
   * Shows an answer.
   *
   * @param {{ raw: Float32Array, averaged: Float32Array | null } | null} answer null: nothing was asked
   * @param {string} lane whose answer it is
   */
  set(answer, lane) {
    this.#body.dataset.lane = lane;
    const best = answer ? bestOf(answer.averaged ?? answer.raw) : -1;
    this.#rows.forEach(({ row, bars, texts }, i) => {
      row.classList.toggle('top-class', i === best);
      [answer?.raw, answer?.averaged].forEach((probabilities, k) => {
        const share = probabilities?.[i] ?? 0;
        bars[k].style.width = `${100 * share}%`;
        texts[k].textContent = probabilities ? `${(100 * share).toFixed(1)} %` : '';
      });
    });
  }
}

/**
 * @param {Float32Array} probabilities
 * @returns {number} the most probable class
 */
export function bestOf(probabilities) {
  return probabilities.indexOf(Math.max(...probabilities));
}

/** Units that are shown, at most. */
const UNITS = 64;

/**
 * Shows what the first layer looks for: an image for each unit, each in shades of its own strength.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {{ kernel: Float32Array, inputs: number, outputs: number }} layer
 */
export function drawKernels(canvas, { kernel, inputs, outputs }) {
  const side = Math.sqrt(inputs);
  const shown = Math.min(UNITS, outputs);
  const columns = Math.min(shown, canvas.clientWidth < 560 ? 8 : 16);
  const tile = side + 2;
  canvas.width = columns * tile - 2;
  canvas.height = Math.ceil(shown / columns) * tile - 2;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const [paper, minus, plus] = [rgb('--paper'), rgb('--minus'), rgb('--plus')];
  for (let unit = 0; unit < shown; unit++) {
    let most = 0;
    for (let i = 0; i < inputs; i++) most = Math.max(most, Math.abs(kernel[i * outputs + unit]));
    const image = context.createImageData(side, side);
    for (let i = 0; i < inputs; i++) {
      const weight = kernel[i * outputs + unit] / (most || 1);
      image.data.set([...mixed(paper, weight < 0 ? minus : plus, Math.abs(weight)), 255], 4 * i);
    }
    context.putImageData(image, (unit % columns) * tile, Math.floor(unit / columns) * tile);
  }
}

/**
 * Shows a drawing as the network sees it.
 *
 * @param {HTMLCanvasElement} canvas 28 × 28
 * @param {Uint8Array | null} pixels
 */
export function drawSeen(canvas, pixels) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const image = context.createImageData(28, 28);
  for (let i = 0; i < 784; i++) {
    const value = pixels?.[i] ?? 0;
    image.data.set([value, value, value, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

/**
 * Shows which class the network sees at each place, the surer the stronger, and points that it learns from.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} probabilities a row of classes for each point of the grid
 * @param {number} classes
 * @param {{ x: Float32Array, labels: Uint8Array }} points
 */
export function drawPlane(canvas, probabilities, classes, points) {
  const colours = ['--lane-a', '--lane-b', '--lane-c'].map(rgb);
  const paper = rgb('--paper');
  const image = new ImageData(GRID, GRID);
  for (let i = 0; i < GRID * GRID; i++) {
    const row = probabilities.subarray(i * classes, (i + 1) * classes);
    const best = bestOf(row);
    // From no more than chance to certain.
    const surety = Math.max(0, (row[best] - 1 / classes) / (1 - 1 / classes));
    image.data.set([...mixed(paper, colours[best] ?? paper, 0.62 * surety), 255], 4 * i);
  }
  const small = document.createElement('canvas');
  small.width = small.height = GRID;
  small.getContext('2d')?.putImageData(image, 0, 0);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  const { width, height } = canvas;
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, width, height);
  context.strokeStyle = `rgb(${paper.join(' ')})`;
  context.lineWidth = 1.5;
  points.labels.forEach((label, i) => {
    const x = ((points.x[2 * i] / GRID_EDGE + 1) / 2) * width;
    const y = ((1 - points.x[2 * i + 1] / GRID_EDGE) / 2) * height;
    context.beginPath();
    context.arc(x, y, 4, 0, 2 * Math.PI);
    context.fillStyle = `rgb(${colours[label].join(' ')})`;
    context.fill();
    context.stroke();
  });
}
