/**
 * Charts by uPlot: what all of them share, and what makes them usable without a mouse.
 */
import './language.js';
import uPlot from 'uplot';

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {string} lane whose colour it has
 * @property {boolean} [dashed]
 * @property {boolean} [faint] thin and pale, and not in the legend
 */
/**
 * @typedef {object} ChartOptions
 * @property {string} title for those who do not see it
 * @property {boolean} [logarithmic]
 * @property {(value: number) => string} format of hovered values
 * @property {boolean} [isShare] values are in [0, 1], and those near 1 matter
 */

/** Milliseconds at least between two drawings of the same chart. */
const REDRAW_EVERY = 120;

/** Charts of steps zoom together. */
const SYNC = 'steps';

/** @param {string} name of a custom property */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * @param {string} lane
 * @param {number} [alpha]
 */
function laneColour(lane, alpha = 1) {
  const hex = colour(`--lane-${lane}`);
  return alpha === 1 ? hex : hex + Math.round(alpha * 255).toString(16).padStart(2, '0');
}

/**
 * @param {number} value
 * @returns {string} three digits, or a power of ten
 */
export function short(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return value.toExponential(2).replace(/\.?0*e/, 'e').replace('e+', 'e');
  return String(Number(value.toPrecision(3)));
}

/**
 * @param {boolean} [logarithmic]
 * @returns {any} an axis in the colours of the page; a logarithmic one has a line for each power of ten
 */
function axis(logarithmic = false) {
  const powers = (/** @type {uPlot} */ _, /** @type {number[]} */ splits) =>
    splits.map((value) => (Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9 ? value : null));
  return {
    stroke: () => colour('--quiet'),
    grid: { stroke: () => colour('--grid'), width: 1, ...(logarithmic && { filter: powers }) },
    ticks: { stroke: () => colour('--grid'), width: 1 },
    font: '12px system-ui, sans-serif',
  };
}

/** Lower ends of an axis of shares. */
const FLOORS = [0.95, 0.9, 0.8, 0.6, 0.4, 0.2];

/**
 * @param {readonly (readonly number[])[]} columns
 * @returns {[number, number]} an axis of shares that shows at least three quarters of the numbers
 */
function shareRange(columns) {
  const values = columns.flat().filter((value) => !Number.isNaN(value) && value !== null);
  const enough = 0.75 * values.length;
  const floor = FLOORS.find((least) => values.filter((value) => value >= least).length >= enough && enough > 0) ?? 0;
  return [floor, 1];
}

/** A chart over the steps, that zooms with the others and redraws now and then however often data come. */
export class StepChart {
  #element;
  #options;
  /** @type {readonly Line[]} */
  #lines = [];
  /** @type {uPlot | undefined} */
  #plot;
  /** @type {readonly (readonly number[])[]} */
  #data = [[]];
  #isDue = false;
  /** The steps that are shown; null: all. @type {[number, number] | null} */
  #zoom = null;
  /** Told of a zoom by hand. @type {(zoom: [number, number] | null) => void} */
  onZoom = () => {};

  /**
   * @param {HTMLElement} element
   * @param {ChartOptions} options
   */
  constructor(element, options) {
    this.#element = element;
    this.#options = options;
    element.tabIndex = 0;
    element.setAttribute('role', 'group');
    element.addEventListener('keydown', (event) => this.#onKey(event));
    // Not at once: a new size within the observer's own turn would be told as an error.
    new ResizeObserver(() => requestAnimationFrame(() => this.#resize())).observe(element);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.setLines(this.#lines));
  }

  /**
   * Begins anew, with other lines.
   *
   * @param {readonly Line[]} lines in the order of the columns to come
   */
  setLines(lines) {
    this.#lines = lines;
    this.#plot?.destroy();
    this.#plot = undefined;
    const { logarithmic, format, isShare } = this.#options;
    this.#plot = new uPlot({
      ...this.#size(),
      cursor: {
        sync: { key: SYNC },
        drag: { x: true, y: false, setScale: false },
        points: { size: 7 },
        bind: {
          dblclick: () => () => {
            this.onZoom(null);
            return null;
          },
        },
      },
      legend: { live: true, markers: { width: 0, fill: (_, i) => laneColour(lines[i - 1]?.lane ?? 'a') } },
      scales: {
        x: { time: false, range: (_, low, high) => this.#zoom ?? [low ?? 0, Math.max((low ?? 0) + 1, high ?? 1)] },
        y: logarithmic
          ? { distr: 3, range: (_, low, high) => (low > 0 ? uPlot.rangeLog(low, high, 10, false) : [1e-4, 1]) }
          : {
            range: (_, low, high) => {
              if (isShare) return shareRange(this.#data.slice(1));
              return low === null || low === undefined ? [0, 1] : [0, high > 0 ? high * 1.06 : 1];
            },
          },
      },
      series: [
        { label: 'step', value: (_, step) => (step === null || step === undefined ? '–' : String(step)) },
        ...lines.map(({ label, lane, dashed, faint }) => ({
          label,
          stroke: () => laneColour(lane, faint ? 0.28 : 1),
          width: faint ? 1 : 2,
          ...(dashed && { dash: [6, 4] }),
          spanGaps: true,
          points: { show: false },
          value: (/** @type {any} */ _, /** @type {number} */ value) =>
            (value === null || value === undefined || Number.isNaN(value) ? '–' : format(value)),
          ...(faint && { class: 'faint' }),
        })),
      ],
      axes: [{ ...axis(), size: 34 }, {
        ...axis(logarithmic),
        size: 58,
        values: (_, splits) => splits.map((value) => {
          if (value === null) return '';
          return isShare ? `${Number((100 * value).toFixed(1))} %` : short(value);
        }),
      }],
      hooks: {
        setSelect: [(plot) => {
          const { left, width } = plot.select;
          if (width < 4) return;
          this.onZoom([plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')]);
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
      },
    }, /** @type {any} */ (this.#data.length === lines.length + 1 ? this.#data : [[], ...lines.map(() => [])]),
    this.#element);
    this.#element.setAttribute('aria-label', this.#options.title);
  }

  /**
   * Shows numbers, soon.
   *
   * @param {readonly (readonly number[])[]} data steps, then a column for each line
   */
  setData(data) {
    this.#data = data;
    if (this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
      this.#describe();
    }), REDRAW_EVERY);
  }

  #draw() {
    const plot = this.#plot;
    if (!plot || this.#data.length !== this.#lines.length + 1) return;
    plot.setData(/** @type {any} */ (this.#data));
    // Where nobody hovers, the legend says the latest.
    if (plot.cursor.idx == null && this.#data[0].length > 0) plot.setLegend({ idx: this.#data[0].length - 1 }, false);
  }

  /**
   * Shows a part, at once.
   *
   * @param {[number, number] | null} zoom steps to show; null: all
   */
  setZoom(zoom) {
    this.#zoom = zoom;
    this.#draw();
  }

  /** Says the latest numbers to those who do not see the lines. */
  #describe() {
    const last = this.#data[0].length - 1;
    const numbers = this.#lines.flatMap(({ label, faint }, i) => {
      const value = this.#data[i + 1]?.[last];
      return faint || value === undefined || Number.isNaN(value) ? [] : [`${label}: ${this.#options.format(value)}`];
    });
    const now = last < 0 ? 'nothing yet' : `at step ${this.#data[0][last]}: ${numbers.join(', ')}`;
    this.#element.setAttribute('aria-label', `${this.#options.title}; ${now}`);
  }

  #size() {
    return { width: Math.max(200, this.#element.clientWidth), height: innerWidth < 720 ? 190 : 225 };
  }

  #resize() {
    const size = this.#size();
    if (this.#plot && (size.width !== this.#plot.width || size.height !== this.#plot.height)) this.#plot.setSize(size);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const plot = this.#plot;
    const steps = this.#data[0];
    if (!plot || steps.length === 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const [low, high] = this.#zoom ?? [steps[0], steps[steps.length - 1]];
    const middle = (low + high) / 2;
    const quarter = (high - low) / 4;
    switch (event.key) {
      case 'ArrowLeft':
      case 'ArrowRight': {
        const by = (event.key === 'ArrowLeft' ? -1 : 1) * (event.shiftKey ? 20 : 1);
        const from = plot.cursor.idx ?? (by < 0 ? steps.length : -1);
        const to = Math.min(steps.length - 1, Math.max(0, from + by));
        plot.setCursor({ left: plot.valToPos(steps[to], 'x'), top: plot.over.clientHeight / 2 });
        break;
      }
      case '+':
        this.onZoom([middle - quarter, middle + quarter]);
        break;
      case '-':
        this.onZoom([
          Math.max(steps[0], middle - 4 * quarter), Math.min(steps[steps.length - 1], middle + 4 * quarter),
        ]);
        break;
      case '0':
        this.onZoom(null);
        break;
      default:
        return;
    }
    event.preventDefault();
  }
}

/** @param {number} power of ten */
const powerOfTen = (power) => `10${[...String(power)].map((c) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(c)] ?? '⁻').join('')}`;

/** A histogram over powers of ten. */
export class HistogramChart {
  #element;
  #title;
  #lane = 'a';
  /** @type {uPlot | undefined} */
  #plot;

  /**
   * @param {HTMLElement} element
   * @param {string} title
   */
  constructor(element, title) {
    this.#element = element;
    this.#title = title;
    element.setAttribute('role', 'img');
    element.setAttribute('aria-label', title);
    new ResizeObserver(() => requestAnimationFrame(() => this.#plot?.setSize(this.#size()))).observe(element);
  }

  #size() {
    return { width: Math.max(200, this.#element.clientWidth), height: 140 };
  }

  /**
   * Shows a histogram, at once.
   *
   * @param {import('./histogram.js').Histogram} histogram
   * @param {string} lane
   */
  set({ low, high, counts, median }, lane) {
    this.#lane = lane;
    // One number a bin, in its middle.
    const data = [counts.map((_, i) => low + ((i + 0.5) * (high - low)) / counts.length), counts];
    this.#plot ??= new uPlot({
      ...this.#size(),
      cursor: { show: false },
      legend: { show: false },
      scales: {
        x: {
          time: false,
          range: (_, from, to) => [Math.floor(from ?? 0), Math.max(Math.floor(from ?? 0) + 1, Math.ceil(to ?? 1))],
        },
        y: { range: (_, __, most) => [0, Math.max(1, most ?? 1)] },
      },
      series: [{}, {
        fill: () => laneColour(this.#lane, 0.75),
        width: 0,
        paths: /** @type {any} */ (uPlot.paths.bars)({ size: [0.92, 100] }),
        points: { show: false },
      }],
      axes: [
        { ...axis(), size: 34, values: (_, splits) => splits.map((x) => (Number.isInteger(x) ? powerOfTen(x) : '')) },
        { ...axis(), size: 58, values: (_, splits) => splits.map((count) => short(count)) },
      ],
    }, /** @type {any} */ (data), this.#element);
    this.#plot.setData(/** @type {any} */ (data));
    this.#element.setAttribute('aria-label',
      `${this.#title}: from ${powerOfTen(low)} to ${powerOfTen(high)}, median ${short(median)}`);
  }
}
