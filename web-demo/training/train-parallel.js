/**
 * `npm run demo:threads`: trains on MNIST with one worker and with several, checks that all copies of the model are
 * equal to the bit, and prints how many times as fast several are.
 *
 *     npm run demo:threads -- [--workers n] [--epochs n] [--batch n] [--examples n]
 */
import assert from 'node:assert/strict';
import { availableParallelism, cpus } from 'node:os';
import { Command } from 'commander';
import { integerIn } from './arguments.js';
import { firstExamples } from '../data/mnist.js';
import { loadMnist } from '../data/mnist-node.js';
import { trainInParallel } from './parallel.js';
import { defaults } from './trainer.js';

const cores = availableParallelism?.() ?? cpus().length;
const options = new Command('npm run demo:threads --')
  .description('Trains on MNIST with one worker and with several, each on its share of every batch')
  .option('--workers <n>', 'how many share a batch', integerIn(1, 256), cores)
  .option('--epochs <n>', 'how often each example is seen', integerIn(1, 1000), 1)
  .option('--batch <n>', 'examples per step, of all workers together', integerIn(1, 60000), defaults.batch)
  .option('--examples <n>', 'how many to train on', integerIn(1, 60000), 60000)
  .parse().opts();

const { train: all, test } = await loadMnist();
const train = firstExamples(all, options.examples);
const settings = { epochs: options.epochs, batch: options.batch };
/** Of each run: all seconds, those of the median step, and of the fastest. @type {[number, number, number][]} */
const runs = [];
for (const workers of [1, options.workers]) {
  const { seconds, states, losses, times, accuracies } = await trainInParallel({ train, test, workers, settings });
  for (const state of states) assert.deepEqual(state, states[0], 'a copy of the model differs');
  const { raw, averaged } = accuracies;
  const last = losses.slice(-50);
  const loss = last.reduce((sum, one) => sum + one) / last.length;
  const [percent, averagedPercent] = [raw, averaged ?? raw].map((share) => (share * 100).toFixed(2));
  console.log(`${workers} worker${workers > 1 ? 's' : ''}: ${seconds.toFixed(2)} s, final loss ${loss.toFixed(4)}, `
    + `test accuracy ${percent} %, with averaged weights ${averagedPercent} %`);
  // The last batch of an epoch may be smaller.
  const stepsPerEpoch = Math.ceil(train.count / settings.batch);
  const sorted = times.filter((_, i) => (i + 1) % stepsPerEpoch !== 0).sort((a, b) => a - b);
  runs.push([seconds, sorted[sorted.length >> 1], sorted[0]]);
}
const [whole, median, fastest] = runs[0].map((seconds, i) => (seconds / runs[1][i]).toFixed(2));
console.log(`All copies are equal to the bit; ${whole} times as fast, by the median step ${median}, by the fastest `
  + `${fastest}`);
