/**
 * The page: puts together fields, charts and views, and keeps them, the address and the worker in step.
 */
import { HistogramChart, StepChart, short } from './charts.js';
import { Client } from './client.js';
import {
  COMMON_FIELDS, LANES, PRESETS, differInRatesOnly, fromQuery, hasAverages, parse, racerOf, titleOf, toQuery, withData,
} from './configuration.js';
import { Controls, element } from './controls.js';
import { History, RunningMean } from './history.js';
import { Pad } from './pad.js';
import { ROW_HEAD, ROW_RACER } from './session.js';
import { Bars, bestOf, drawKernels, drawPlane, drawSeen } from './views.js';

/** @typedef {import('./configuration.js').Configuration} Configuration */

/**
 * @template {HTMLElement} [E=HTMLElement]
 * @param {string} id
 * @returns {E}
 */
const byId = (id) => /** @type {E} */ (document.getElementById(id));

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(2)} %`;
/** @param {number} count */
const grouped = (count) => Math.round(count).toLocaleString('en').replaceAll(',', '\u202f');

/** Between looks inside and answers about the drawing, while training goes on; in milliseconds. */
const LOOK_EVERY = 700;
const ANSWER_EVERY = 250;
/** Between readings aloud of how the race stands. */
const SPEAK_EVERY = 15000;
/** Batches that the bold line of the loss is a mean of. */
const SMOOTHED = 20;

const page = {
  run: byId('run'),
  single: byId('single'),
  reset: byId('reset'),
  save: byId('save'),
  data: /** @type {HTMLSelectElement} */ (byId('data')),
  seed: /** @type {HTMLInputElement} */ (byId('seed')),
  preset: /** @type {HTMLSelectElement} */ (byId('preset')),
  status: byId('status'),
  alert: byId('alert'),
  loading: /** @type {HTMLProgressElement} */ (byId('loading')),
  file: /** @type {HTMLInputElement} */ (byId('file')),
};

const { configuration: initial, problems: problemsOfAddress } = fromQuery(location.search);

const charts = {
  loss: chart('loss', { title: 'Training loss', logarithmic: true, format: short }),
  accuracy: chart('accuracy', {
    title: 'Test accuracy', isShare: true, format: (value) => `${(100 * value).toFixed(1)} %`,
  }),
  rate: chart('rate', { title: 'Learning rate', format: short }),
  norm: chart('norm', { title: 'Norm of the update', logarithmic: true, format: short }),
};
for (const one of Object.values(charts)) {
  one.onZoom = (zoom) => {
    for (const other of Object.values(charts)) other.setZoom(zoom);
  };
}
const histograms = {
  square: new HistogramChart(byId('square'), 'Mean squares of the gradients'),
  effective: new HistogramChart(byId('effective'), 'Effective steps'),
};
const bars = new Bars(byId('bars'));
const pad = new Pad(byId('pad'), (pixels) => {
  drawn = pixels;
  byId('sample-label').textContent = '';
  drawSeen(byId('seen'), pixels);
  answerSoon();
});
const controls = new Controls({
  racers: byId('racers'), common: byId('common'), configuration: initial, onChange: onControls,
});
const client = new Client(onNews);

/** What the worker last said about the race. @type {import('./session.js').Ready | undefined} */
let ready;
/** What the worker is to run; `controls.configuration` may differ while a field is wrong. @type {Configuration} */
let configuration = initial;
/** The number of the race that is shown; those that come later have greater ones. */
let race = 0;
let lastRace = 0;
let isRunning = false;
/** Whether training is to go on as soon as what is wrong has been mended. */
let isWaiting = false;
/** The optimizer that is looked into, and asked. */
let chosen = 0;
let step = 0;
/** What is on the pad, as a network sees it. @type {Uint8Array | null} */
let drawn = null;
let spoken = 0;

/** @type {History} */
let losses;
/** @type {History} */
let accuracies;
/** Which optimizers keep averages of their weights. @type {number[]} */
let averagedLanes = [];
/** @type {History} */
let rates;
/** @type {History} */
let norms;
/** @type {RunningMean[]} */
let smoothed;
/** @type {{ cells: Record<string, HTMLElement>, row: HTMLElement }[]} */
let standings = [];
/** Of the last seconds, one each. @type {{ step: number, time: number }[]} */
let pace = [];
/** Seconds that the pace is a mean of. */
const PACE_SECONDS = 5;

begin();

/**
 * @param {string} name
 * @param {import('./charts.js').ChartOptions} options
 */
function chart(name, options) {
  return new StepChart(/** @type {HTMLElement} */ (document.querySelector(`[data-chart=${name}] .plot`)), options);
}

function begin() {
  page.data.append(...Object.entries(COMMON_FIELDS.data.choices ?? {}).map(([value, label]) =>
    element('option', { value }, label)));
  page.preset.append(...PRESETS.map(({ label }, i) => element('option', { value: String(i) }, label)));
  if (problemsOfAddress.length > 0) warn(`In the address: ${problemsOfAddress.join('; ')}.`);

  page.run.addEventListener('click', () => (isRunning || isWaiting ? pause() : start()));
  page.single.addEventListener('click', () => client.send({ type: 'step' }));
  page.reset.addEventListener('click', () => configure(controls.configuration));
  page.save.addEventListener('click', () => void save());
  byId('load').addEventListener('click', () => page.file.click());
  page.file.addEventListener('change', () => void load());
  byId('link').addEventListener('click', () => void copyLink());
  page.data.addEventListener('change', () => show(withData(controls.configuration, page.data.value)));
  page.seed.addEventListener('change', () => readSeed());
  page.preset.addEventListener('change', () => {
    const preset = PRESETS[Number(page.preset.value)];
    if (page.preset.value !== '' && preset) show({ ...controls.configuration, racers: preset.racers.map(racerOf) });
  });
  byId('add').addEventListener('click', () => controls.add());
  byId('clear').addEventListener('click', () => pad.clear());
  byId('sample').addEventListener('click', () => void sample());
  byId('measure').addEventListener('click', () => measure());
  addEventListener('popstate', () => show(fromQuery(location.search).configuration, false));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => void look());
  drawSeen(byId('seen'), null);
  void explainMissing();
  configure(initial, false);
  setInterval(() => void look(), LOOK_EVERY);
  setInterval(() => isRunning && void answer(), ANSWER_EVERY);
  setInterval(showPace, 1000);
}

/** Takes the choices away that cannot be chosen, and says why. */
async function explainMissing() {
  try {
    const { missing } = await (await fetch(new URL('data/manifest.json', import.meta.url))).json();
    for (const option of page.data.options) {
      if (!Object.hasOwn(missing, option.value)) continue;
      option.disabled = true;
      option.textContent += ' (not here)';
      byId('network').after(element('p', { className: 'note' }, `${missing[option.value]}.`));
    }
  } catch {
    // the worker will say what is wrong with the files
  }
}

/**
 * Shows a configuration in all fields, and runs it.
 *
 * @param {Configuration} next
 * @param {boolean} [isNew] whether the address is to become its
 */
function show(next, isNew = true) {
  controls.show(next);
  configure(next, isNew);
}

/**
 * A race from the start.
 *
 * @param {Configuration} next
 * @param {boolean} [isNew] whether the address is to become its
 */
function configure(next, isNew = true) {
  isWaiting = false;
  if (isNew) writeAddress(next);
  page.data.value = next.data;
  page.seed.value = String(next.seed);
  if (controls.problems.length > 0) {
    wait();
    return;
  }
  configuration = next;
  isRunning = false;
  showRunning();
  warn('');
  setEnabled(false);
  say('Getting ready …');
  prepare(next, 0);
  race = ++lastRace;
  client.send({ type: 'configure', race, configuration: next });
}

/** @param {Configuration} next */
function writeAddress(next) {
  const query = toQuery(next);
  history.replaceState(null, '', query === '' ? location.pathname : `?${query}`);
}

/**
 * Empties everything that shows numbers of a race.
 *
 * @param {Configuration} next
 * @param {number} firstStep
 */
function prepare({ racers }, firstStep) {
  const lanes = racers.map((_, i) => LANES[i]);
  chosen = Math.min(chosen, racers.length - 1);
  step = firstStep;
  losses = new History(2 * racers.length);
  averagedLanes = racers.flatMap((racer, i) => (hasAverages(racer) ? [i] : []));
  accuracies = new History(racers.length + averagedLanes.length);
  rates = new History(racers.length);
  norms = new History(racers.length);
  smoothed = racers.map(() => new RunningMean(SMOOTHED));
  const upper = (/** @type {string} */ lane) => lane.toUpperCase();
  charts.loss.setLines([
    ...lanes.map((lane) => ({ label: `${upper(lane)} batch`, lane, faint: true })),
    ...lanes.map((lane) => ({ label: upper(lane), lane })),
  ]);
  charts.accuracy.setLines([
    ...lanes.map((lane) => ({ label: `${upper(lane)} raw`, lane, dashed: true })),
    ...averagedLanes.map((i) => ({ label: `${upper(lanes[i])} averaged`, lane: lanes[i] })),
  ]);
  charts.rate.setLines(lanes.map((lane) => ({ label: upper(lane), lane })));
  charts.norm.setLines(lanes.map((lane) => ({ label: upper(lane), lane })));
  for (const one of Object.values(charts)) one.setZoom(null);
  drawCharts();
  showStandings(racers);
  byId('step').textContent = grouped(firstStep);
  byId('step').dataset.value = String(firstStep);
  byId('epoch').textContent = '–';
  byId('fingerprint').textContent = '–';
  pace = [];
  byId('pace-now').textContent = '–';
  controls.setStep(firstStep);
}

/** @param {Configuration['racers']} racers */
function showStandings(racers) {
  standings = racers.map((racer, i) => {
    const lane = LANES[i];
    const choose = element('input', {
      type: 'radio', name: 'chosen', checked: i === chosen, 'aria-label': `Look inside optimizer ${lane.toUpperCase()}`,
      onchange: () => choice(i),
    });
    const labels = {
      loss: 'loss', raw: 'test accuracy', averaged: 'averaged weights', rate: 'rate',
    };
    const cells = Object.fromEntries(Object.entries(labels).map(([key, label]) =>
      [key, element('td', { 'data-label': label, id: `${lane}-${key}` }, '–')]));
    const title = element('th', { scope: 'row' }, element('span', { className: 'key', 'aria-hidden': 'true' }),
      element('span', {}, `${lane.toUpperCase()}: ${titleOf(racer)}`));
    const row = element('tr', { 'data-lane': lane }, title, ...Object.values(cells),
      element('td', { 'data-label': 'look inside' }, choose));
    return { cells: { ...cells, title }, row };
  });
  byId('standings').replaceChildren(...standings.map(({ row }) => row));
}

/** @param {number} i the optimizer to look into from now on */
function choice(i) {
  chosen = i;
  void look(true);
  void answer();
}

/** @param {import('./client.js').News} news */
function onNews(news) {
  // A race that has been replaced, or will be before anybody could look at it.
  if ('race' in news && (news.type === 'ready' ? news.race < race : news.race !== race)) return;
  switch (news.type) {
    case 'loading':
      page.loading.hidden = news.received >= news.total;
      page.loading.value = news.total > 0 ? news.received / news.total : 0;
      say(`Loading the data: ${(news.received / 1e6).toFixed(1)} of ${(news.total / 1e6).toFixed(1)} MB`, false);
      break;
    case 'ready':
      onReady(news);
      break;
    case 'steps':
      onSteps(news);
      break;
    case 'accuracies':
      onAccuracies(news);
      break;
    case 'running':
      isRunning = news.running;
      pace = [];
      showRunning();
      if (!isWaiting) say(isRunning ? 'Training …' : `Paused at step ${grouped(news.step)}.`);
      if (!isRunning) {
        void look();
        void answer();
      }
      break;
    case 'problem':
      isWaiting = true;
      controls.setRateProblem(news.racer, news.message);
      wait();
      break;
    case 'failed':
      page.loading.hidden = true;
      warn(`${news.message.charAt(0).toUpperCase()}${news.message.slice(1)}.`);
      say('Stopped.');
      setEnabled(ready?.race === race);
      page.reset.toggleAttribute('disabled', false);
      break;
  }
}

/** @param {import('./session.js').Ready} news */
function onReady(news) {
  const isOther = toQuery(news.configuration) !== toQuery(configuration);
  ready = news;
  race = news.race;
  if (isOther || news.steps > 0) {
    configuration = news.configuration;
    writeAddress(configuration);
    page.data.value = configuration.data;
    page.seed.value = String(configuration.seed);
    controls.show(configuration);
    prepare(configuration, news.steps);
  }
  page.loading.hidden = true;
  byId('weights').textContent = grouped(news.parameterCount);
  byId('fingerprint').textContent = news.steps > 0 ? news.fingerprint : '–';
  byId('epoch').textContent = news.steps > 0 ? String(Math.ceil(news.steps / news.stepsPerEpoch)) : '–';
  controls.setStepsPerEpoch(news.stepsPerEpoch);
  bars.setClasses(news.classes);
  byId('draw').hidden = news.points !== null;
  byId('plane').hidden = news.points === null;
  byId('kernels-figure').hidden = news.points !== null;
  byId('try-title').textContent = news.points ? 'What the network decides' : 'Ask the network';
  const isDigits = news.configuration.data === 'mnist';
  byId('pad-what').textContent = isDigits ? 'a digit' : 'a piece of clothing, in white on black';
  pad.box = isDigits ? 20 : 28;
  setEnabled(true);
  warn('');
  say(`Ready: ${grouped(news.trainCount)} examples to learn from, ${grouped(news.testCount)} to test with`
    + `${news.steps > 0 ? `; goes on from step ${grouped(news.steps)} of a file` : ''}.`);
  void look(true);
  void answer();
}

/** @param {Extract<import('./client.js').News, { type: 'steps' }>} news */
function onSteps({ rows, count, fingerprint }) {
  const racers = standings.length;
  const width = ROW_HEAD + ROW_RACER * racers;
  let epoch = 0;
  for (let r = 0; r < count; r++) {
    const row = rows.subarray(r * width, (r + 1) * width);
    [step, epoch] = row;
    const of = (/** @type {number} */ k) =>
      Array.from({ length: racers }, (_, i) => row[ROW_HEAD + ROW_RACER * i + k]);
    const loss = of(0);
    losses.push([step, ...loss, ...loss.map((value, i) => smoothed[i].push(value))]);
    rates.push([step, ...of(1)]);
    if (!Number.isNaN(row[ROW_HEAD + 2])) norms.push([step, ...of(2)]);
    if (r === count - 1) {
      standings.forEach(({ cells }, i) => {
        const last = losses.columns[1 + racers + i];
        cells.loss.textContent = Number.isFinite(loss[i]) ? short(last[last.length - 1]) : 'diverged';
        cells.loss.dataset.value = String(loss[i]);
        cells.rate.textContent = short(of(1)[i]);
      });
    }
  }
  byId('step').textContent = grouped(step);
  byId('step').dataset.value = String(step);
  byId('epoch').textContent = String(epoch);
  byId('fingerprint').textContent = fingerprint;
  page.save.toggleAttribute('disabled', false);
  controls.setStep(step);
  drawCharts();
}

/** @param {Extract<import('./client.js').News, { type: 'accuracies' }>} news */
function onAccuracies({ step: at, racers }) {
  accuracies.push([
    at, ...racers.map(({ raw }) => raw), ...averagedLanes.map((i) => racers[i].averaged ?? NaN),
  ]);
  const shown = racers.map(({ raw, averaged }) => Math.max(raw, averaged ?? 0));
  const best = Math.max(...shown);
  standings.forEach(({ cells, row }, i) => {
    const { raw, averaged } = racers[i];
    cells.raw.textContent = percent(raw);
    cells.averaged.textContent = averaged === null ? '–' : percent(averaged);
    cells.raw.classList.toggle('best', racers.length > 1 && raw === best);
    cells.averaged.classList.toggle('best', racers.length > 1 && averaged === best);
    row.dataset.step = String(at);
  });
  drawCharts();
  if (isRunning && performance.now() - spoken > SPEAK_EVERY) {
    spoken = performance.now();
    say(`Training; at step ${grouped(at)} the best has ${percent(best)} of the test right.`);
  }
}

/** Tells the charts what there is now. */
function drawCharts() {
  charts.loss.setData(losses.columns);
  charts.accuracy.setData(accuracies.columns);
  charts.rate.setData(rates.columns);
  charts.norm.setData(norms.columns);
}

function showPace() {
  if (!isRunning) return;
  pace = [...pace, { step, time: performance.now() }].slice(-1 - PACE_SECONDS);
  const [first, last] = [pace[0], pace[pace.length - 1]];
  if (last.time > first.time) {
    byId('pace-now').textContent = grouped((1000 * (last.step - first.step)) / (last.time - first.time));
  }
}

/** @param {Configuration} next */
function onControls(next) {
  if (controls.problems.length > 0) {
    wait();
    return;
  }
  page.preset.value = '';
  if (ready?.race === race && differInRatesOnly(configuration, next)) {
    const isOther = toQuery(configuration) !== toQuery(next);
    configuration = next;
    writeAddress(next);
    warn('');
    client.send({ type: 'rates', racers: next.racers });
    standings.forEach(({ cells }, i) => {
      const title = /** @type {HTMLElement} */ (cells.title.lastElementChild);
      title.textContent = `${LANES[i].toUpperCase()}: ${titleOf(next.racers[i])}`;
    });
    if (isWaiting) start();
    else if (isOther && step > 0) {
      say(`The new rate is in use from step ${grouped(step)} on; who opens the address has it from the start.`);
    }
  } else {
    configure(next);
  }
}

/** Training waits until what is wrong is mended. */
function wait() {
  if (isRunning) isWaiting = true;
  client.send({ type: 'pause' });
  warn(`${controls.problems.join('; ')}.`);
  say(isWaiting ? 'Training waits for this to be mended.' : 'This must be mended before training can go on.');
  showRunning();
}

function start() {
  if (controls.problems.length > 0) {
    isWaiting = true;
    wait();
    return;
  }
  isWaiting = false;
  client.send({ type: 'run' });
}

function pause() {
  isWaiting = false;
  client.send({ type: 'pause' });
  showRunning();
}

function showRunning() {
  const isOn = isRunning || isWaiting;
  page.run.setAttribute('aria-pressed', String(isOn));
  /** @type {HTMLElement} */ (page.run.querySelector('.text')).textContent = isOn ? 'Pause' : 'Start';
}

/** @param {boolean} isEnabled */
function setEnabled(isEnabled) {
  for (const button of [page.run, page.single, page.reset]) button.toggleAttribute('disabled', !isEnabled);
  page.save.toggleAttribute('disabled', !isEnabled || step === 0);
}

/**
 * @param {string} text to be shown
 * @param {boolean} [isSpoken] false for what comes often
 */
function say(text, isSpoken = true) {
  page.status.setAttribute('aria-live', isSpoken ? 'polite' : 'off');
  if (page.status.textContent !== text) page.status.textContent = text;
}

/** @param {string} text '' takes the last warning away */
function warn(text) {
  page.alert.hidden = text === '';
  page.alert.textContent = text;
}

function readSeed() {
  try {
    const seed = /** @type {number} */ (parse(COMMON_FIELDS.seed, page.seed.value));
    page.seed.removeAttribute('aria-invalid');
    show({ ...controls.configuration, seed });
  } catch (error) {
    page.seed.setAttribute('aria-invalid', 'true');
    warn(`The seed ${/** @type {Error} */ (error).message}.`);
  }
}

// ---- Looking inside, and asking ----

let isLooking = false;
let lookedAt = '';

/** @param {boolean} [isForced] also when nothing has changed */
async function look(isForced = false) {
  const place = `${chosen} ${step}`;
  if (!ready || isLooking || (!isForced && place === lookedAt) || document.hidden) return;
  isLooking = true;
  try {
    const lane = LANES[chosen];
    const inside = await client.ask({ type: 'inspect', racer: chosen });
    lookedAt = place;
    byId('inside-lane').textContent = `optimizer ${lane.toUpperCase()}`;
    const { points, classes } = ready;
    if (points && inside.decisions) {
      drawPlane(byId('plane-raw'), inside.decisions.raw, classes.length, points);
      byId('plane-averaged-figure').hidden = !inside.decisions.averaged;
      if (inside.decisions.averaged) {
        drawPlane(byId('plane-averaged'), inside.decisions.averaged, classes.length, points);
      }
    } else {
      drawKernels(byId('kernels'), inside);
    }
    for (const key of /** @type {const} */ (['square', 'effective'])) {
      const histogram = key === 'square' ? inside.meanSquare : inside.effective;
      const zeros = histogram.zeros > 0 ? `; ${grouped(histogram.zeros)} are 0 or not finite` : '';
      byId(`${key}-note`).textContent = histogram.counts.length > 0
        ? `median ${short(histogram.median)}${zeros}` : 'nothing yet';
      if (histogram.counts.length > 0) histograms[key].set(histogram, lane);
    }
  } catch {
    // the race has been replaced meanwhile, and the next look is at the new one; what has failed is told by onNews
  } finally {
    isLooking = false;
  }
}

let isAsking = false;
let isAskedAgain = false;

function answerSoon() {
  if (isAsking) isAskedAgain = true;
  else void answer();
}

async function answer() {
  if (!ready || ready.points || isAsking) return;
  const lane = LANES[chosen];
  if (!drawn) {
    bars.set(null, lane);
    byId('answer').textContent = 'The network answers here, while it learns.';
    return;
  }
  isAsking = true;
  try {
    const { raw, averaged } = await client.ask({ type: 'predict', racer: chosen, pixels: drawn });
    bars.set({ raw, averaged }, lane);
    const probabilities = averaged ?? raw;
    const best = bestOf(probabilities);
    const text = `Optimizer ${lane.toUpperCase()} says ${ready.classes[best]}, `
      + `${(100 * probabilities[best]).toFixed(0)} % sure.`;
    const said = byId('answer');
    said.dataset.value = ready.classes[best];
    if (said.textContent !== text) {
      // While training goes on it changes often: not to be read aloud then.
      said.setAttribute('aria-live', isRunning ? 'off' : 'polite');
      said.textContent = text;
    }
  } catch {
    // as in look
  } finally {
    isAsking = false;
    if (isAskedAgain) {
      isAskedAgain = false;
      void answer();
    }
  }
}

async function sample() {
  if (!ready) return;
  const { pixels, label, index } = await client.ask({ type: 'sample', chosen: Math.random() });
  pad.showImage(pixels);
  drawn = pixels;
  drawSeen(byId('seen'), pixels);
  byId('sample-label').textContent = `This is test image ${index}: ${ready.classes[label]}.`;
  answerSoon();
}

// ---- Files and links ----

async function save() {
  const { bytes } = await client.ask({ type: 'save' });
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/octet-stream' }));
  element('a', { href: url, download: `rmsprop-${configuration.data}-step-${step}.safetensors` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  say('Saved: weights and the state of every optimizer, and where in the data the race is.');
}

async function load() {
  const [file] = page.file.files ?? [];
  page.file.value = '';
  if (!file) return;
  warn('');
  client.send({ type: 'load', race: ++lastRace, bytes: new Uint8Array(await file.arrayBuffer()) });
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    say('The address is copied: whoever opens it has these settings from the first step on.');
  } catch {
    say('Copy the address of this page: whoever opens it has these settings from the first step on.');
  }
}

// ---- Speed ----

function measure() {
  if (!ready) return;
  const wasRunning = isRunning;
  if (wasRunning) pause();
  const button = byId('measure');
  const news = byId('measuring');
  button.toggleAttribute('disabled', true);
  news.textContent = 'Loading TensorFlow.js …';
  const worker = new Worker(new URL('./speed.js', import.meta.url), { type: 'module' });
  const end = (/** @type {string} */ text) => {
    worker.terminate();
    button.toggleAttribute('disabled', false);
    news.textContent = text;
    if (wasRunning) start();
  };
  worker.onerror = (event) => end(`This could not be measured: ${event.message || 'the worker could not start'}.`);
  worker.onmessage = ({ data: { done, speeds, failure } }) => {
    if (failure) end(`This could not be measured: ${failure}.`);
    else if (speeds) end(showSpeeds(speeds));
    else news.textContent = `Measuring: ${(100 * done).toFixed(0)} %`;
  };
  worker.postMessage(shapesOf(ready));
}

/** @param {import('./session.js').Ready} race */
function shapesOf({ configuration: { hidden }, points, classes }) {
  const sizes = [points ? 2 : 784, ...hidden, classes.length];
  return sizes.slice(1).flatMap((size, i) => [[sizes[i], size], [size]]);
}

/**
 * @param {import('./speed.js').Speed[]} speeds
 * @returns {string} in a sentence
 */
function showSpeeds(speeds) {
  const [ours, ...others] = speeds;
  const table = byId('speeds');
  table.hidden = false;
  /** @type {HTMLElement} */ (table.querySelector('tbody')).replaceChildren(...speeds.map((speed) => element('tr', {},
    element('th', { scope: 'row' }, speed.name),
    element('td', {}, speed.median.toPrecision(3)),
    element('td', {}, speed.minimum.toPrecision(3)),
    element('td', {}, `${(speed.median / ours.median).toFixed(1)} ×`))));
  const worst = Math.max(...others.map(({ distance }) => distance));
  return `Of ${grouped(ready?.parameterCount ?? 0)} weights. After 20 steps no weight of the others is further than `
    + `${short(worst)} from ours.`;
}

