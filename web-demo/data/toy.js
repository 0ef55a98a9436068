/**
 * Small sets of points in a plane, for a network whose decisions can be drawn. Made from a seed, the same on every
 * machine: sines come from the package's own cosine.
 */
import { cos } from '../../js/math.js';
import { Random } from './random.js';

/** @typedef {import('./mnist.js').Examples} Examples */
/** @typedef {(random: Random) => { x: number, y: number, label: number }} Draw a point in about [-1, 1]² */

/** @param {number} x */
const sin = (x) => cos(x - Math.PI / 2);

/** @param {Random} random */
const noise = (random) => (random.symmetric() + random.symmetric() + random.symmetric()) / 3;

/**
 * Each with its classes and how a point is drawn.
 *
 * @type {Readonly<Record<string, { classes: readonly string[], draw: Draw }>>}
 */
export const toySets = Object.freeze({
  spirals: {
    classes: ['first arm', 'second arm', 'third arm'],
    draw(random) {
      const label = random.below(3);
      const along = random.below(1024) / 1024;
      const angle = 4.2 * along + (2 * Math.PI * label) / 3;
      const radius = 0.08 + 0.88 * along;
      return { x: radius * cos(angle) + 0.05 * noise(random), y: radius * sin(angle) + 0.05 * noise(random), label };
    },
  },
  rings: {
    classes: ['inside', 'ring'],
    draw(random) {
      const label = random.below(2);
      const angle = (2 * Math.PI * random.below(4096)) / 4096;
      const radius = (label ? 0.75 : 0.3) + 0.25 * noise(random);
      return { x: radius * cos(angle), y: radius * sin(angle), label };
    },
  },
  checkers: {
    classes: ['even', 'odd'],
    draw(random) {
      const [x, y] = [random.symmetric(), random.symmetric()];
      return { x, y, label: (Math.floor(2 * x) + Math.floor(2 * y)) & 1 };
    },
  },
});

const TRAIN = 2000;
const TEST = 1000;
/** Of the points, which don't change with the seed of a training. */
const SEED = 1;

/**
 * @param {string} name one of `toySets`
 * @returns {{ train: Examples, test: Examples }} as images of one row and two columns, x and y
 */
export function makeToySet(name) {
  const random = new Random(SEED);
  const make = (/** @type {number} */ count) => {
    const pixels = new Float32Array(2 * count);
    const labels = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const { x, y, label } = toySets[name].draw(random);
      pixels.set([x, y], 2 * i);
      labels[i] = label;
    }
    return { count, rows: 1, columns: 2, pixels, labels };
  };
  return { train: make(TRAIN), test: make(TEST) };
}
