/**
 * `npm start`: trains a network on MNIST in the terminal. All that is shown is made here; the training is trainer.js.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import cliProgress from 'cli-progress';
import { Command, InvalidArgumentError, Option } from 'commander';
import { loadFile, saveFile } from '../../js/node.js';
import { integerIn } from './arguments.js';
import { checkpointOf, settingsOf } from './checkpoint.js';
import { loadMnist } from '../data/mnist-node.js';
import { Trainer, defaults, run } from './trainer.js';

/** What a shell reports for a program that Ctrl-C ended: 128 + SIGINT. */
const INTERRUPTED = 130;

/**
 * @param {string} expectation
 * @param {(value: number) => boolean} holds
 * @returns {(text: string) => number} for commander: the finite number that the text is
 */
function numberWhere(expectation, holds) {
  return (text) => {
    const value = text.trim() === '' ? NaN : Number(text);
    if (Number.isFinite(value) && holds(value)) return value;
    throw new InvalidArgumentError(`It must be a number ${expectation}.`);
  };
}

/**
 * @param {string} text sizes with commas between them
 * @returns {number[]}
 */
function layerSizes(text) {
  const size = integerIn(1, 8192);
  return text.split(',').map((part) => size(part.trim()));
}

/**
 * @param {string} text where a file is to be written
 * @returns {string} its absolute path; refused now if it can't be written, not after the training
 */
function writablePath(text) {
  const path = resolve(text);
  const there = statSync(path, { throwIfNoEntry: false });
  if (there?.isDirectory()) throw new InvalidArgumentError('It must not be a folder.');
  try {
    accessSync(there ? path : dirname(path), constants.W_OK);
  } catch {
    throw new InvalidArgumentError('It must be a file that can be written, in a folder that is there.');
  }
  return path;
}

function parseArguments() {
  const fraction = numberWhere('in [0, 1)', (value) => value >= 0 && value < 1);
  const positive = numberWhere('greater than 0', (value) => value > 0);
  const notNegative = numberWhere('of at least 0', (value) => value >= 0);
  const { hidden, ema } = defaults;
  const program = new Command('npm start --')
    .description('Trains a network on MNIST: RMSprop with momentum, warm-up and cosine schedule, averaged weights.')
    .option('--epochs <count>', 'how often each image is seen', integerIn(1, 1000), defaults.epochs)
    .option('--batch <count>', 'images per step', integerIn(1, 60000), defaults.batch)
    .addOption(new Option('--hidden <sizes>', 'sizes of the hidden layers, as in 256,128')
      .argParser(layerSizes).default(hidden, hidden.join(',')))
    .option('--learning-rate <rate>', 'peak of the schedule', positive, defaults.learningRate)
    .option('--rho <factor>', 'decay of the mean square of the gradients', fraction, defaults.rho)
    .option('--momentum <factor>', 'decay of the momentum; 0: none', fraction, defaults.momentum)
    .option('--centered', 'divide by the standard deviation of the gradients', defaults.centered)
    .option('--ema <factor>', 'decay of the averaged weights', fraction, ema)
    .option('--no-ema', 'no averaged weights')
    .option('--weight-decay <factor>', 'how much the weights shrink; 0: not', notNegative, defaults.weightDecay)
    .option('--seed <number>', 'of the first weights and the order of images', integerIn(0, 2 ** 32 - 1), defaults.seed)
    .option('--save <file>', 'write weights and optimizer state at the end or at Ctrl-C, as safetensors', writablePath)
    .option('--load <file>', 'go on from such a file, with its settings where none are given', (text) => resolve(text))
    .helpOption('-h, --help', 'show this help')
    .allowExcessArguments(false)
    .showHelpAfterError('(npm start -- --help shows all options)')
    .parse();
  const { save, load, ...options } = program.opts();
  const settings = { ...options, ema: options.ema === false ? null : options.ema };
  const bytes = load === undefined ? undefined : loadFile(load);
  if (bytes === undefined) return { save, settings };
  const given = Object.entries(settings).filter(([name]) => program.getOptionValueSource(name) === 'cli');
  return { save, load, bytes, settings: { ...settingsOf(bytes), ...Object.fromEntries(given) } };
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(2)} %`;

/** @param {number} value */
const grouped = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ' ');

/** @param {string} line */
const print = (line) => process.stdout.write(`${line}\n`);

/** @param {Trainer} trainer */
const speed = (trainer) => `${grouped(trainer.examples / trainer.seconds)} images/s`;

/** @param {import('./trainer.js').Accuracies} accuracies */
function accuracyText({ raw, averaged }) {
  return `${averaged === null ? '' : `${percent(averaged)} with averaged weights, `}${percent(raw)} with raw weights`;
}

/**
 * Trains and shows it: a bar for each epoch on a terminal, and a line for each epoch everywhere.
 *
 * @param {Trainer} trainer
 * @param {AbortSignal} signal
 * @returns {Promise<import('./trainer.js').Accuracies | undefined>} at the end; nothing if it was interrupted
 */
async function train(trainer, signal) {
  const { epochs } = trainer.settings;
  /** Shows itself on a terminal only. @type {import('cli-progress').SingleBar | undefined} */
  let bar;
  /** @type {import('./trainer.js').Accuracies | undefined} */
  let accuracies;
  const stopBar = () => {
    bar?.stop();
    bar = undefined;
  };
  try {
    const finished = await run(trainer, {
      signal,
      onProgress({ epoch, step, meanLoss, rate }) {
        const shown = { loss: meanLoss.toFixed(4), rate: rate.toFixed(6), speed: speed(trainer) };
        if (bar === undefined) {
          bar = new cliProgress.SingleBar({
            format: `epoch ${epoch}/${epochs} {bar} {percentage} % | loss {loss} | rate {rate} | {speed}`,
            stream: process.stdout,
            barsize: 20,
            hideCursor: true,
          }, cliProgress.Presets.shades_classic);
          bar.start(trainer.stepsPerEpoch, step, shown);
        }
        bar.update(step, shown);
      },
      onEpoch({ epoch, meanLoss, rate }, latest) {
        stopBar();
        accuracies = latest;
        const numbers = `loss ${meanLoss.toFixed(4)}, rate ${rate.toFixed(6)}`;
        print(`epoch ${epoch}/${epochs}: ${numbers}, test accuracy ${accuracyText(latest)}`);
      },
    });
    return finished ? accuracies : undefined;
  } finally {
    stopBar();
  }
}

/**
 * @param {Trainer} trainer
 * @param {string} path of the file that is written
 * @returns {string} the command that goes on from it
 */
function save(trainer, path) {
  const bytes = checkpointOf(trainer);
  saveFile(path, bytes);
  print(`Saved          ${path}, ${grouped(bytes.length)} bytes`);
  const epochs = trainer.done ? ` --epochs ${trainer.settings.epochs + 5}` : '';
  return `npm start -- --load ${path}${epochs} goes on`;
}

async function main() {
  const { save: target, load, bytes, settings } = parseArguments();
  const interrupt = new AbortController();
  // Once: a second Ctrl-C ends the process at once.
  process.once('SIGINT', () => interrupt.abort());
  const started = performance.now();
  const data = await loadMnist();
  const trainer = new Trainer({ ...data, settings });
  try {
    if (bytes) trainer.load(bytes);
    if (trainer.done) {
      throw new RangeError(`all ${trainer.settings.epochs} epochs of ${load} are over: give more by --epochs`);
    }
    const { batch, epochs, seed } = trainer.settings;
    print(`Training a ${trainer.model.layers.join('-')} network on MNIST: ${grouped(data.train.count)} images, `
      + `batch ${batch}, ${epochs} ${epochs === 1 ? 'epoch' : 'epochs'}, seed ${seed}`);
    if (load !== undefined) print(`Going on from ${load}, after ${grouped(trainer.steps)} steps`);
    const accuracies = await train(trainer, interrupt.signal);
    if (accuracies === undefined) {
      print(`Interrupted after ${trainer.steps} steps.`);
      if (target !== undefined) print(`Next           ${save(trainer, target)}`);
      process.exitCode = INTERRUPTED;
      return;
    }
    print(`\nTest accuracy  ${accuracyText(accuracies)}`);
    print(`Time           ${((performance.now() - started) / 1000).toFixed(1)} s, `
      + `of which ${trainer.seconds.toFixed(1)} s training: ${speed(trainer)}`);
    print(`Optimizer      ${percent(trainer.optimizerSeconds / trainer.seconds)} of the training time: `
      + `${trainer.steps} steps of ${grouped(trainer.model.parameterCount)} parameters`);
    const next = target === undefined ? '' : `${save(trainer, target)}; `;
    print(`Next           ${next}npm start -- --help shows what can be changed; README.md, how to use the optimizer `
      + 'yourself');
  } finally {
    trainer.dispose();
  }
}

/**
 * @param {unknown} error
 * @returns {boolean} whether it comes from the machine (no memory, no file), so that its message says it all
 */
function isExpected(error) {
  return error instanceof RangeError || (error instanceof Error && 'code' in error);
}

// Whoever reads the output may leave early, as `head` does.
process.stdout.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});
try {
  await main();
} catch (error) {
  if (!isExpected(error)) throw error;
  process.stderr.write(`error: ${/** @type {Error} */ (error).message}\n`);
  process.exitCode = 1;
}
