/** One of the workers of parallel.js. */
import { parentPort, workerData } from 'node:worker_threads';
import { configure } from '../../js/index.js';
import '../../js/scalar.js';
import { Exchange } from './exchange.js';
import { Trainer } from './trainer.js';

const { train, test, settings, index, of, buffer, length, simd } = workerData;
configure({ simd });
const exchange = new Exchange(buffer, index, of, length);
const part = { index, of, average: exchange.average.bind(exchange) };
const trainer = new Trainer({ train, test, settings, part: of > 1 ? part : undefined });
const losses = [];
const times = [];
while (!trainer.done) {
  const before = trainer.seconds;
  losses.push(trainer.step().loss);
  times.push(trainer.seconds - before);
}
parentPort?.postMessage({
  losses,
  times,
  seconds: trainer.seconds,
  state: trainer.save(),
  accuracies: index === 0 ? trainer.evaluate() : null,
});
