/**
 * The fields of the page, built from configuration.js: reading what is typed, and saying what is wrong with it.
 */
import { curveOf } from './rates.js';
import {
  COMMON_FIELDS, LANES, RACER_FIELDS, fieldsOf, format, nameOf, parse, problemOf, racerOf,
} from './configuration.js';

/** @typedef {import('./configuration.js').Configuration} Configuration */
/** @typedef {import('./configuration.js').Field} Field */
/** @typedef {import('./configuration.js').Racer} Racer */
/** @typedef {import('./configuration.js').Value} Value */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [properties] of the element; those with a dash, and `role`, are attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-') || name === 'role') made.setAttribute(name, value);
    else /** @type {any} */ (made)[name] = value;
  }
  made.append(...children);
  return made;
}

/** What is typed counts when so many milliseconds have passed without a key, or by Enter, or in leaving the field. */
const TYPING = 400;

/** One field: a label, what is typed or chosen, and a line for what is wrong with it. */
class Control {
  #field;
  #input;
  #problem;
  /** Until what is being typed counts. @type {ReturnType<typeof setTimeout> | undefined} */
  #pause;

  /**
   * @param {object} options
   * @param {string} options.id
   * @param {string} options.label
   * @param {Field} options.field
   * @param {Value} options.value
   * @param {(value: Value, isTyping: boolean) => void} options.onChange
   * @param {(problem: string) => void} options.onProblem
   */
  constructor({ id, label, field, value, onChange, onProblem }) {
    this.#field = field;
    const { kind, choices = {}, help, unit } = field;
    const text = format(value);
    this.#problem = element('span', { className: 'problem', id: `${id}-problem`, hidden: true });
    const described = { 'aria-describedby': `${id}-problem${help ? ` ${id}-help` : ''}`, id, name: id };
    if (kind === 'choice') {
      this.#input = element('select', described, ...Object.entries(choices).map(([key, name]) =>
        element('option', { value: key, selected: key === text }, name)));
    } else if (kind === 'boolean') {
      this.#input = element('input', { ...described, type: 'checkbox', checked: value === true });
    } else {
      this.#input = element('input', {
        ...described, type: 'text', value: text, autocomplete: 'off', spellcheck: false,
        inputMode: ['text', 'numbers', 'integers'].includes(kind) ? 'text' : kind === 'integer' ? 'numeric' : 'decimal',
      });
    }
    const helpLine = help ? [element('span', { className: 'help', id: `${id}-help` }, help)] : [];
    const name = element('span', {}, label, ...(unit ? [element('small', {}, ` ${unit}`)] : []));
    this.element = kind === 'boolean'
      ? element('label', { className: 'field check' }, this.#input, name, this.#problem)
      : element('label', { className: `field ${kind === 'text' || kind === 'choice' ? 'wide' : ''}` },
        name, this.#input, ...helpLine, this.#problem);
    const isTyped = kind !== 'choice' && kind !== 'boolean';
    const read = (/** @type {boolean} */ isTyping) => {
      clearTimeout(this.#pause);
      let read;
      try {
        read = parse(field, this.#text());
      } catch (error) {
        this.setProblem(/** @type {Error} */ (error).message);
        onProblem(/** @type {Error} */ (error).message);
        return;
      }
      this.setProblem(undefined);
      onChange(read, isTyping);
    };
    if (isTyped) {
      this.#input.addEventListener('input', () => {
        clearTimeout(this.#pause);
        // Of 5e-4 nobody wants the 5 to be used.
        this.#pause = setTimeout(() => this.#input.isConnected && read(true), TYPING);
      });
    }
    this.#input.addEventListener('change', () => read(false));
  }

  #text() {
    if (this.#field.kind === 'boolean') return /** @type {HTMLInputElement} */ (this.#input).checked ? '1' : '0';
    return this.#input.value;
  }

  /**
   * Shows what is wrong.
   *
   * @param {string | undefined} problem undefined: nothing
   */
  setProblem(problem) {
    this.#input.toggleAttribute('aria-invalid', false);
    if (problem !== undefined) this.#input.setAttribute('aria-invalid', 'true');
    this.#problem.hidden = problem === undefined;
    this.#problem.textContent = problem ?? '';
  }
}

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 */
function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** @param {number} value */
const rateText = (value) => (value === 0 ? '0' : String(Number(value.toPrecision(3))));

/** The fields of one racer, with the curve of its schedule. */
class RacerCard {
  /** @type {Map<string, Control>} */
  #controls = new Map();
  #curve;
  #range;
  #now;

  /**
   * @param {Racer} racer
   * @param {number} index
   * @param {(key: string, value: Value) => void} onChange
   * @param {(key: string, problem: string) => void} onProblem
   * @param {(() => void) | undefined} onRemove
   */
  constructor(racer, index, onChange, onProblem, onRemove) {
    this.racer = racer;
    const lane = LANES[index];
    const legend = element('legend', {}, `Optimizer ${lane.toUpperCase()}`);
    if (onRemove) {
      legend.append(element('button', {
        type: 'button', className: 'remove', onclick: onRemove, 'aria-label': `Remove optimizer ${lane.toUpperCase()}`,
      }, 'Remove'));
    }
    const fields = element('div', { className: 'fields' });
    for (const key of fieldsOf(racer)) {
      const control = new Control({
        id: `${lane}.${key}`,
        label: nameOf(racer, key),
        field: RACER_FIELDS[key],
        value: /** @type {any} */ (racer)[key],
        onChange: (value) => onChange(key, value),
        onProblem: (problem) => onProblem(key, problem),
      });
      this.#controls.set(key, control);
      fields.append(control.element);
    }
    this.#curve = svg('svg', {
      class: 'curve', viewBox: '0 0 100 40', preserveAspectRatio: 'none', role: 'img',
      'aria-label': 'The learning rate over the steps',
    });
    this.#now = svg('line', { class: 'now', y1: 0, y2: 40, x1: 0, x2: 0 });
    this.#range = element('div', { className: 'curve-range' });
    fields.append(this.#curve, this.#range);
    this.element = element('fieldset', { className: 'racer', 'data-lane': lane }, legend, fields);
  }

  /**
   * Shows what is wrong with a field.
   *
   * @param {string} key
   * @param {string | undefined} problem undefined: nothing
   */
  setProblem(key, problem) {
    this.#controls.get(key)?.setProblem(problem);
  }

  /**
   * Draws the schedule. What is wrong with it is shown by the field that can mend it.
   *
   * @param {number} stepsPerEpoch
   * @param {number} last step to show
   * @param {number} now the current step
   * @returns {{ key: string, message: string } | undefined} what is wrong
   */
  draw(stepsPerEpoch, last, now) {
    const { racer } = this;
    /** @type {{ key: string, message: string } | undefined} */
    let problem = problemOf(racer);
    try {
      if (!problem) this.#plot(curveOf(racer, stepsPerEpoch, last), last, now);
    } catch (error) {
      problem = { key: this.rateKey, message: /** @type {Error} */ (error).message };
    }
    if (problem) this.#curve.replaceChildren();
    for (const key of ['boundaries', 'values', 'expression', 'rate']) {
      this.setProblem(key, key === problem?.key ? problem.message : undefined);
    }
    return problem;
  }

  /** @returns {string} the field that says most about the rate */
  get rateKey() {
    return this.#controls.has('expression') ? 'expression' : this.#controls.has('rate') ? 'rate' : 'values';
  }

  /**
   * @param {{ steps: number[], rates: number[] }} curve
   * @param {number} last
   * @param {number} now
   */
  #plot({ steps, rates }, last, now) {
    const most = Math.max(...rates);
    const y = (/** @type {number} */ rate) => (most > 0 ? 37 - (34 * rate) / most : 37);
    const x = (/** @type {number} */ step) => (last > 0 ? (100 * step) / last : 0);
    const points = steps.map((step, i) => `${x(step).toFixed(2)},${y(rates[i]).toFixed(2)}`);
    this.#curve.replaceChildren(
      svg('line', { class: 'ground', x1: 0, x2: 100, y1: 37, y2: 37 }), this.#now,
      svg('polyline', { class: 'line', points: points.join(' ') }),
    );
    this.moveTo(now, last);
    const least = Math.min(...rates);
    this.#range.replaceChildren(
      element('span', {}, `${rateText(least)}${least === most ? '' : ` … ${rateText(most)}`}`),
      element('span', {}, `steps 0 … ${last}`),
    );
  }

  /**
   * Marks the current step.
   *
   * @param {number} now
   * @param {number} last step that is shown
   */
  moveTo(now, last) {
    const x = Math.min(100, (100 * now) / Math.max(1, last));
    this.#now.setAttribute('x1', String(x));
    this.#now.setAttribute('x2', String(x));
  }
}

/** All fields, and what they say. */
export class Controls {
  #racersElement;
  #commonElement;
  /** @type {RacerCard[]} */
  #cards = [];
  /** What is wrong, by field: `a.rate`, `batch`. @type {Map<string, string>} */
  #problems = new Map();
  /** @type {Configuration} */
  #configuration;
  #onChange;
  #stepsPerEpoch = 469;
  #step = 0;
  /** The last step that the curves show. */
  #shown = 0;

  /**
   * @param {object} options
   * @param {HTMLElement} options.racers
   * @param {HTMLElement} options.common
   * @param {Configuration} options.configuration
   * @param {(configuration: Configuration) => void} options.onChange is told of the whole configuration, also when
   *   it is not valid: ask `problems` then
   */
  constructor({ racers, common, configuration, onChange }) {
    this.#racersElement = racers;
    this.#commonElement = common;
    this.#configuration = configuration;
    this.#onChange = onChange;
    this.show(configuration);
  }

  /** @returns {Configuration} what the fields say, where they say something that is valid */
  get configuration() {
    return this.#configuration;
  }

  /** @returns {string[]} what keeps training from going on, each beginning with the optimizer or field */
  get problems() {
    return [...this.#problems].map(([key, message]) => {
      const [lane, field] = key.split('.');
      if (field === undefined) return `${COMMON_FIELDS[key].label} ${message}`;
      const racer = this.#configuration.racers[LANES.indexOf(lane)];
      return `Optimizer ${lane.toUpperCase()}: ${nameOf(racer, field).replace(/ =$/, '')} ${message}`;
    });
  }

  /**
   * Makes all fields anew.
   *
   * @param {Configuration} configuration
   */
  show(configuration) {
    this.#configuration = configuration;
    this.#problems.clear();
    this.#showRacers();
    const keys = Object.keys(COMMON_FIELDS).filter((key) => key !== 'data' && key !== 'seed');
    this.#commonElement.replaceChildren(...keys.map((key) => new Control({
      id: key,
      label: COMMON_FIELDS[key].label,
      field: COMMON_FIELDS[key],
      value: /** @type {any} */ (configuration)[key],
      onChange: (value, isTyping) => {
        const isMended = this.#problems.delete(key);
        this.#configuration = { ...this.#configuration, [key]: value };
        if (!isTyping || isMended) this.#onChange(this.#configuration);
      },
      onProblem: (problem) => this.#setProblem(key, problem),
    }).element));
  }

  #showRacers() {
    const { racers } = this.#configuration;
    this.#cards = racers.map((racer, i) => new RacerCard(
      racer, i,
      (key, value) => this.#changeRacer(i, key, value),
      (key, problem) => this.#setProblem(`${LANES[i]}.${key}`, problem),
      racers.length > 1 ? () => this.#setRacers(racers.filter((_, k) => k !== i)) : undefined,
    ));
    this.#racersElement.replaceChildren(...this.#cards.map((card) => card.element));
    this.#drawAll();
  }

  /** Adds one more like the last. */
  add() {
    const { racers } = this.#configuration;
    this.#setRacers([...racers, { ...racers[racers.length - 1] }]);
    this.#cards[this.#cards.length - 1].element.querySelector('select')?.focus();
  }

  /** @param {readonly Racer[]} racers */
  #setRacers(racers) {
    this.#configuration = { ...this.#configuration, racers };
    this.#problems.clear();
    this.#showRacers();
    this.#onChange(this.#configuration);
  }

  /**
   * @param {number} i
   * @param {string} key
   * @param {Value} value
   */
  #changeRacer(i, key, value) {
    const old = this.#configuration.racers[i];
    // Another dialect has other defaults, and its learning rate means another thing.
    const racer = key === 'dialect'
      ? { ...racerOf({ ...pick(old), dialect: String(value) }) }
      : { ...old, [key]: value };
    this.#problems.delete(`${LANES[i]}.${key}`);
    const racers = this.#configuration.racers.map((other, k) => (k === i ? racer : other));
    this.#configuration = { ...this.#configuration, racers };
    if (key === 'dialect' || key === 'schedule') {
      const { id } = /** @type {HTMLElement} */ (document.activeElement ?? document.body);
      for (const name of [...this.#problems.keys()]) if (name.startsWith(`${LANES[i]}.`)) this.#problems.delete(name);
      this.#showRacers();
      document.getElementById(id)?.focus();
    } else {
      this.#cards[i].racer = racer;
      this.#draw(i);
    }
    this.#onChange(this.#configuration);
  }

  /**
   * @param {string} key
   * @param {string} problem
   */
  #setProblem(key, problem) {
    this.#problems.set(key, problem);
    this.#onChange(this.#configuration);
  }

  #drawAll() {
    this.#shown = this.#horizon;
    this.#cards.forEach((_, i) => this.#draw(i));
  }

  /** @param {number} i */
  #draw(i) {
    const lane = `${LANES[i]}.`;
    for (const key of ['boundaries', 'values', 'expression', 'rate']) this.#problems.delete(lane + key);
    const problem = this.#cards[i].draw(this.#stepsPerEpoch, this.#shown, this.#step);
    if (problem) this.#problems.set(lane + problem.key, problem.message);
  }

  /** The last step of the curves: where training is to pause, or some epochs on. */
  get #horizon() {
    const { until } = this.#configuration;
    if (until > 0) return until;
    let last = 5 * this.#stepsPerEpoch;
    while (last < this.#step) last *= 2;
    return last;
  }

  /**
   * Draws the curves for other data.
   *
   * @param {number} stepsPerEpoch
   */
  setStepsPerEpoch(stepsPerEpoch) {
    this.#stepsPerEpoch = stepsPerEpoch;
    if (this.#problems.size === 0) this.#drawAll();
  }

  /**
   * Marks the current step in all curves.
   *
   * @param {number} step
   */
  setStep(step) {
    this.#step = step;
    if (this.#horizon !== this.#shown && this.#problems.size === 0) this.#drawAll();
    else for (const card of this.#cards) card.moveTo(step, this.#shown);
  }

  /**
   * Shows what the race found wrong with a rate.
   *
   * @param {number} racer
   * @param {string} message
   */
  setRateProblem(racer, message) {
    const card = this.#cards[racer];
    card.setProblem(card.rateKey, message);
    this.#problems.set(`${LANES[racer]}.${card.rateKey}`, message);
  }
}

/**
 * @param {Racer} racer
 * @returns {Partial<Racer>} what it keeps when its dialect changes
 */
function pick({ rho: _rho, epsilon: _epsilon, dialect: _dialect, ...kept }) {
  return kept;
}
