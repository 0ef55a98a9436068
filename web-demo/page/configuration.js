/**
 * Everything that can be set in the page, as data: what there is, what it is called, which values it may have. The
 * controls are built from it, the address bar is read and written with it, and the race takes what it describes.
 *
 *     ?data=fashion&seed=7&a.dialect=keras&a.momentum=0.9&b.dialect=torch&b.rate=0.01
 *
 * Nothing here knows a page; values that equal their default are not written.
 */

/** @typedef {boolean | number | string | readonly number[]} Value */
/**
 * @typedef {object} Field
 * @property {string} label
 * @property {'number' | 'integer' | 'boolean' | 'numbers' | 'integers' | 'text' | 'choice'} kind
 * @property {Value} standard
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [most] how many numbers there may be, at most; how long a text may be
 * @property {Readonly<Record<string, string>>} [choices] what each choice is called
 * @property {string} [unit] a few words after the label
 * @property {string} [help] a sentence
 */
/**
 * @typedef {object} Dialect
 * @property {string} label
 * @property {Readonly<Record<string, Value>>} standards where they differ from the fields'
 * @property {Readonly<Record<string, string>>} names what its users call a field, where not by its label
 * @property {readonly string[]} options fields that it has
 */
/** @typedef {{ label: string, options: readonly string[] }} ScheduleKind */
/**
 * @typedef {object} Racer
 * @property {string} dialect
 * @property {string} schedule
 * @property {number} rate
 * @property {string} expression
 * @property {number} decaySteps
 * @property {number} decayRate
 * @property {boolean} staircase
 * @property {readonly number[]} boundaries
 * @property {readonly number[]} values
 * @property {number} endRate
 * @property {number} power
 * @property {boolean} cycle
 * @property {number} alpha
 * @property {number} warmupSteps
 * @property {number} tMul
 * @property {number} mMul
 * @property {number} rho
 * @property {number} momentum
 * @property {number} epsilon
 * @property {boolean} centered
 * @property {number} ema
 * @property {number} weightDecay
 * @property {number} clipNorm
 */
/**
 * @typedef {object} Configuration
 * @property {string} data
 * @property {number} examples
 * @property {readonly number[]} hidden
 * @property {number} batch
 * @property {number} seed
 * @property {number} evaluateEvery
 * @property {number} until
 * @property {number} pace
 * @property {readonly Racer[]} racers
 */

/** How racers are told apart, in the address and everywhere; so many there may be. */
export const LANES = Object.freeze(['a', 'b', 'c', 'd']);

/** Longer expressions are refused, so that no text can take long to parse or to evaluate. */
export const EXPRESSION_LENGTH = 200;

/**
 * How a rate may change from step to step.
 *
 * @type {Readonly<Record<string, ScheduleKind>>}
 */
export const SCHEDULES = Object.freeze({
  constant: { label: 'constant', options: ['rate'] },
  cosine: { label: 'cosine decay, with warm-up', options: ['rate', 'decaySteps', 'alpha', 'warmupSteps'] },
  restarts: { label: 'cosine decay with restarts', options: ['rate', 'decaySteps', 'tMul', 'mMul', 'alpha'] },
  exponential: { label: 'exponential decay', options: ['rate', 'decaySteps', 'decayRate', 'staircase'] },
  inverse: { label: 'inverse time decay', options: ['rate', 'decaySteps', 'decayRate', 'staircase'] },
  polynomial: { label: 'polynomial decay', options: ['rate', 'decaySteps', 'endRate', 'power', 'cycle'] },
  piecewise: { label: 'piecewise constant', options: ['boundaries', 'values'] },
  expression: { label: 'an expression in step', options: ['expression'] },
});

/**
 * Whose rule an optimizer follows.
 *
 * @type {Readonly<Record<string, Dialect>>}
 */
export const DIALECTS = Object.freeze({
  keras: {
    label: 'Keras 3',
    standards: {},
    names: {},
    options: ['rho', 'momentum', 'epsilon', 'centered', 'ema', 'weightDecay', 'clipNorm'],
  },
  keras2: {
    label: 'tf.keras 2.11',
    standards: {},
    names: {},
    options: ['rho', 'momentum', 'epsilon', 'centered', 'ema', 'weightDecay', 'clipNorm'],
  },
  legacy: {
    label: 'tf.keras legacy',
    standards: {},
    names: {},
    options: ['rho', 'momentum', 'epsilon', 'centered', 'clipNorm'],
  },
  tf1: {
    label: 'TensorFlow 1',
    standards: { epsilon: 1e-10 },
    names: { rho: 'decay' },
    options: ['rho', 'momentum', 'epsilon', 'centered'],
  },
  torch: {
    label: 'PyTorch',
    standards: { rho: 0.99, epsilon: 1e-8 },
    names: { rho: 'alpha', rate: 'lr', epsilon: 'eps', weightDecay: 'weight decay (L2)' },
    options: ['rho', 'momentum', 'epsilon', 'centered', 'weightDecay'],
  },
});

/** @param {Readonly<Record<string, { label: string }>>} table */
const labelsOf = (table) => Object.freeze(Object.fromEntries(
  Object.entries(table).map(([key, { label }]) => [key, label]),
));

/**
 * What each optimizer has for itself.
 *
 * @type {Readonly<Record<string, Field>>}
 */
export const RACER_FIELDS = Object.freeze({
  dialect: { label: 'rule', kind: 'choice', choices: labelsOf(DIALECTS), standard: 'keras' },
  schedule: { label: 'schedule', kind: 'choice', choices: labelsOf(SCHEDULES), standard: 'constant' },
  rate: { label: 'learning rate', kind: 'number', minimum: 0, maximum: 10, standard: 0.001 },
  expression: {
    label: 'rate =', kind: 'text', most: EXPRESSION_LENGTH, standard: '0.001 * exp(-step / 2000)',
    help: 'Of step, stepsPerEpoch, pi, e; + - * / ^ %, comparisons, ? :, and sqrt, exp, log, cos, sin, pow, abs, '
      + 'floor, ceil, round, min, max.',
  },
  decaySteps: { label: 'decay steps', kind: 'integer', minimum: 1, maximum: 1e7, standard: 2000 },
  decayRate: { label: 'decay rate', kind: 'number', minimum: 0, maximum: 1000, standard: 0.5 },
  staircase: { label: 'in stairs', kind: 'boolean', standard: false },
  boundaries: { label: 'boundaries', kind: 'integers', minimum: 0, maximum: 1e7, most: 16, standard: [500, 1500] },
  values: { label: 'values', kind: 'numbers', minimum: 0, maximum: 10, most: 17, standard: [0.002, 0.0005, 0.0001] },
  endRate: { label: 'end rate', kind: 'number', minimum: 0, maximum: 10, standard: 0.0001 },
  power: { label: 'power', kind: 'number', minimum: 0, maximum: 100, standard: 1 },
  cycle: { label: 'cycle', kind: 'boolean', standard: false },
  alpha: { label: 'alpha', unit: '(end)', kind: 'number', minimum: 0, maximum: 1, standard: 0 },
  warmupSteps: { label: 'warm-up steps', kind: 'integer', minimum: 0, maximum: 1e7, standard: 200 },
  tMul: { label: 't mul', kind: 'number', minimum: 1, maximum: 100, standard: 2 },
  mMul: { label: 'm mul', kind: 'number', minimum: 0, maximum: 1, standard: 0.8 },
  rho: { label: 'rho', kind: 'number', minimum: 0, maximum: 1, standard: 0.9 },
  momentum: { label: 'momentum', kind: 'number', minimum: 0, maximum: 1, standard: 0 },
  epsilon: { label: 'epsilon', kind: 'number', minimum: 0, maximum: 10, standard: 1e-7 },
  centered: { label: 'centered', kind: 'boolean', standard: false },
  ema: { label: 'EMA momentum', kind: 'number', minimum: 0, maximum: 1, standard: 0 },
  weightDecay: { label: 'weight decay', kind: 'number', minimum: 0, maximum: 10, standard: 0 },
  clipNorm: { label: 'global clipnorm', kind: 'number', minimum: 0, maximum: 1e6, standard: 0 },
});

/**
 * What all optimizers share.
 *
 * @type {Readonly<Record<string, Field>>}
 */
export const COMMON_FIELDS = Object.freeze({
  data: {
    label: 'data set',
    kind: 'choice',
    choices: Object.freeze({
      mnist: 'MNIST: digits',
      fashion: 'Fashion-MNIST: clothes',
      spirals: 'points: spirals',
      rings: 'points: rings',
      checkers: 'points: checkers',
    }),
    standard: 'mnist',
  },
  hidden: { label: 'hidden layers', kind: 'integers', minimum: 1, maximum: 1024, most: 4, standard: [128] },
  batch: { label: 'batch', kind: 'integer', minimum: 1, maximum: 2048, standard: 128 },
  examples: {
    label: 'training examples', kind: 'integer', minimum: 1, maximum: 60000, standard: 60000,
    unit: '(at most)',
  },
  seed: { label: 'seed', kind: 'integer', minimum: 0, maximum: 2 ** 32 - 1, standard: 1 },
  evaluateEvery: {
    label: 'test every', kind: 'integer', minimum: 1, maximum: 100000, standard: 100, unit: 'steps',
  },
  until: { label: 'pause at step', kind: 'integer', minimum: 0, maximum: 1e7, standard: 0, unit: '(0: never)' },
  pace: {
    label: 'steps per second', kind: 'integer', minimum: 0, maximum: 100000, standard: 0, unit: '(0: all)',
  },
});

/** What suits points in a plane: a small network, slow enough to watch. */
const SUITS_POINTS = { hidden: [16, 16], batch: 32, evaluateEvery: 25, pace: 150 };

/**
 * @param {Configuration} configuration
 * @param {string} data a data set
 * @returns {Configuration} with this data set and a network that suits it; the seed and the racers stay
 */
export function withData(configuration, data) {
  const { seed, racers } = configuration;
  const isPoints = COMMON_FIELDS.data.choices?.[data].startsWith('points');
  return configurationOf({ ...(isPoints && SUITS_POINTS), data, seed, racers });
}

/** What runs when the address says nothing. */
const STANDARD_RACERS = [
  { dialect: 'keras', rate: 0.001, ema: 0.99 },
  { dialect: 'keras', rate: 0.0005, momentum: 0.9, ema: 0.99 },
];

/** What is worth comparing: racers by what differs from what their dialect starts with. */
export const PRESETS = Object.freeze([
  { label: 'plain and momentum', racers: STANDARD_RACERS },
  {
    label: 'the four forms',
    racers: [
      { rate: 0.001 },
      { rate: 0.0003, momentum: 0.9 },
      { rate: 0.0003, centered: true },
      { rate: 0.001, ema: 0.99 },
    ],
  },
  {
    label: 'four dialects, one rate',
    racers: [
      { dialect: 'keras', rate: 0.001 },
      { dialect: 'tf1', rate: 0.001 },
      { dialect: 'torch', rate: 0.001, rho: 0.9 },
      { dialect: 'legacy', rate: 0.001, epsilon: 0.001 },
    ],
  },
  { label: 'learning rates', racers: [{ rate: 0.0001 }, { rate: 0.001 }, { rate: 0.01 }] },
  { label: 'what epsilon does', racers: [{ epsilon: 1e-7 }, { epsilon: 1e-4 }, { epsilon: 0.01 }] },
  {
    label: 'schedules',
    racers: [
      { rate: 0.001 },
      { schedule: 'cosine', rate: 0.002 },
      { schedule: 'exponential', rate: 0.002, decaySteps: 500 },
      { schedule: 'expression', expression: '0.002 / sqrt(1 + step / 100)' },
    ],
  },
]);

/**
 * @param {Partial<Racer>} [given] what differs from what its dialect starts with
 * @returns {Racer}
 */
export function racerOf(given = {}) {
  const standards = Object.entries(RACER_FIELDS).map(([key, { standard }]) => [key, standard]);
  const { dialect = RACER_FIELDS.dialect.standard } = given;
  return /** @type {Racer} */ ({
    ...Object.fromEntries(standards), ...DIALECTS[String(dialect)].standards, ...given,
  });
}

/**
 * @param {Partial<Configuration>} [given]
 * @returns {Configuration}
 */
export function configurationOf(given = {}) {
  const standards = Object.entries(COMMON_FIELDS).map(([key, { standard }]) => [key, standard]);
  return /** @type {Configuration} */ ({
    ...Object.fromEntries(standards), racers: STANDARD_RACERS.map(racerOf), ...given,
  });
}

/**
 * @param {Racer} racer
 * @returns {string[]} the fields that mean something to it, in the order in which they are shown
 */
export function fieldsOf(racer) {
  return ['dialect', ...DIALECTS[racer.dialect].options, 'schedule', ...SCHEDULES[racer.schedule].options];
}

/** The fields of a rate, whose changes take effect while training goes on. */
const LIVE_FIELDS = Object.freeze(['schedule', ...Object.values(SCHEDULES).flatMap(({ options }) => options)]);

/**
 * @param {Racer} racer
 * @returns {boolean} whether it keeps averages of the weights
 */
export function hasAverages(racer) {
  return DIALECTS[racer.dialect].options.includes('ema') && racer.ema > 0;
}

/**
 * @param {Racer} racer
 * @param {string} key
 * @returns {string} what its users call the field
 */
export function nameOf(racer, key) {
  return DIALECTS[racer.dialect].names[key] ?? RACER_FIELDS[key].label;
}

/**
 * @param {Racer} racer
 * @returns {string} what tells it from others: its rule, and what is not as it starts with
 */
export function titleOf(racer) {
  const start = racerOf({ dialect: racer.dialect });
  const words = [DIALECTS[racer.dialect].label];
  if (racer.momentum > 0) words.push(`momentum ${racer.momentum}`);
  if (racer.centered) words.push('centered');
  if (hasAverages(racer)) words.push(`EMA ${racer.ema}`);
  if (racer.rho !== start.rho) words.push(`${nameOf(racer, 'rho')} ${racer.rho}`);
  if (racer.epsilon !== start.epsilon) words.push(`${nameOf(racer, 'epsilon')} ${racer.epsilon}`);
  const { label, options } = SCHEDULES[racer.schedule];
  words.push(options.includes('rate') ? `${racer.schedule === 'constant' ? 'rate' : label} ${racer.rate}` : label);
  return words.join(' · ');
}

/**
 * @param {Value} value
 * @returns {string} as `parse` reads it
 */
export function format(value) {
  if (typeof value === 'boolean') return value ? '1' : '0';
  return Array.isArray(value) ? value.join(',') : String(value);
}

/**
 * @param {Field} field
 * @param {string} text
 * @returns {Value}
 * @throws {RangeError} whose message ends a sentence that begins with the field's label: "must be …"
 */
export function parse({ kind, minimum = -Infinity, maximum = Infinity, most = Infinity, choices }, text) {
  const trimmed = text.trim();
  switch (kind) {
    case 'choice':
      if (!Object.hasOwn(/** @type {object} */ (choices), trimmed)) {
        throw new RangeError(`must be one of ${Object.keys(choices ?? {}).join(', ')}`);
      }
      return trimmed;
    case 'boolean':
      if (trimmed !== '0' && trimmed !== '1') throw new RangeError('must be 0 or 1');
      return trimmed === '1';
    case 'text':
      if (trimmed === '' || trimmed.length > most) throw new RangeError(`must have 1 to ${most} characters`);
      return trimmed;
    case 'numbers':
    case 'integers': {
      const parts = trimmed === '' ? [] : trimmed.split(',');
      if (parts.length === 0 || parts.length > most) throw new RangeError(`must be 1 to ${most} numbers, as in 64,32`);
      return parts.map((part) => number(part, minimum, maximum, kind === 'integers'));
    }
    default:
      return number(trimmed, minimum, maximum, kind === 'integer');
  }
}

/**
 * @param {string} text
 * @param {number} minimum
 * @param {number} maximum
 * @param {boolean} isWhole
 */
function number(text, minimum, maximum, isWhole) {
  const trimmed = text.trim();
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : NaN;
  if (!(value >= minimum && value <= maximum) || (isWhole && !Number.isInteger(value))) {
    throw new RangeError(`must be ${isWhole ? 'an integer' : 'a number'} in [${minimum}, ${maximum}]`);
  }
  return value;
}

/**
 * What only several values together can get wrong.
 *
 * @param {Racer} racer
 * @returns {{ key: string, message: string } | undefined} of the field to change
 */
export function problemOf(racer) {
  if (racer.schedule !== 'piecewise') return undefined;
  const { boundaries, values } = racer;
  if (boundaries.some((boundary, i) => boundary <= (boundaries[i - 1] ?? -1))) {
    return { key: 'boundaries', message: 'must grow' };
  }
  if (values.length !== boundaries.length + 1) {
    return { key: 'values', message: `must be ${boundaries.length + 1}, one more than boundaries` };
  }
  return undefined;
}

/**
 * @param {Configuration} configuration
 * @returns {string} for the address, without the question mark; '' for what runs when the address says nothing
 */
export function toQuery(configuration) {
  const query = new URLSearchParams();
  const standard = configurationOf();
  for (const [key, { standard: value }] of Object.entries(COMMON_FIELDS)) {
    const text = format(/** @type {any} */ (configuration)[key]);
    if (text !== format(value)) query.set(key, text);
  }
  const isStandard = JSON.stringify(configuration.racers) === JSON.stringify(standard.racers);
  if (!isStandard) configuration.racers.forEach((racer, i) => write(query, LANES[i], racer));
  return query.toString();
}

/**
 * @param {Configuration} a
 * @param {Configuration} b
 * @returns {boolean} whether a race of one can become one of the other while training goes on, by other rates
 */
export function differInRatesOnly(a, b) {
  const fixed = (/** @type {Configuration} */ { racers, ...common }) => toQuery({
    ...common,
    racers: racers.map((racer) => {
      const { dialect, ...options } = racer;
      const kept = Object.entries(options).filter(([key]) => !LIVE_FIELDS.includes(key));
      return racerOf({ dialect, ...Object.fromEntries(kept) });
    }),
  });
  return fixed(a) === fixed(b);
}

/**
 * @param {URLSearchParams} query
 * @param {string} lane
 * @param {Racer} racer
 */
function write(query, lane, racer) {
  const start = /** @type {Record<string, any>} */ (racerOf({ dialect: racer.dialect }));
  query.set(`${lane}.dialect`, racer.dialect);
  for (const key of fieldsOf(racer).slice(1)) {
    const text = format(/** @type {any} */ (racer)[key]);
    if (text !== format(start[key])) query.set(`${lane}.${key}`, text);
  }
}

/**
 * Reads an address. Whoever wrote it may have been wrong, or hostile: what is not understood is left as it starts with,
 * and told.
 *
 * @param {string} query with or without the question mark
 * @returns {{ configuration: Configuration, problems: string[] }}
 */
export function fromQuery(query) {
  const given = new URLSearchParams(query);
  /** @type {string[]} */
  const problems = [];
  /**
   * @param {string} name
   * @param {Field | undefined} field
   * @param {string} text
   * @returns {Value | undefined}
   */
  const read = (name, field, text) => {
    const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
    if (!field) return void problems.push(`${name} is not known`);
    try {
      return parse(field, text);
    } catch (error) {
      return void problems.push(`${name} ${/** @type {Error} */ (error).message}, got ${JSON.stringify(shown)}`);
    }
  };
  /** @type {Record<string, Value>} */
  const common = {};
  /** @type {Map<string, Record<string, Value>>} */
  const racers = new Map();
  for (const [name, text] of given) {
    const [lane, key] = name.split('.');
    const fields = key === undefined ? COMMON_FIELDS : RACER_FIELDS;
    const own = key ?? name;
    const isLane = key === undefined || LANES.includes(lane);
    const value = read(name.slice(0, 40), isLane && Object.hasOwn(fields, own) ? fields[own] : undefined, text);
    if (value === undefined) continue;
    if (key === undefined) common[own] = value;
    else racers.set(lane, { ...racers.get(lane), [own]: value });
  }
  const lanes = [...racers.keys()].sort();
  const list = lanes.map((lane) => {
    const racer = racerOf(/** @type {Partial<Racer>} */ (racers.get(lane)));
    const problem = problemOf(racer);
    if (!problem) return racer;
    problems.push(`${lane}.${problem.key} ${problem.message}`);
    return { ...racer, schedule: 'constant' };
  });
  const configuration = configurationOf(/** @type {Partial<Configuration>} */ (common));
  return { configuration: list.length > 0 ? { ...configuration, racers: list } : configuration, problems };
}
