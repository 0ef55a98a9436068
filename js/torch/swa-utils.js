/** Averages of weights, as `torch.optim.swa_utils` has them. */
import { integer } from '../check.js';
import { cos } from '../math.js';
import { checkStrategy } from './cycles.js';
import { CHECK, LRScheduler, checked, perGroup } from './scheduler.js';

/** @typedef {import('./scheduler.js').Optimizer} Optimizer */

/** Takes the rates to `swaLr`, and leaves them there while weights are averaged. */
export class SWALR extends LRScheduler {
  /**
   * @param {Optimizer} optimizer
   * @param {object} options
   * @param {number | readonly number[]} options.swaLr of all groups, or of each
   * @param {number} [options.annealEpochs] steps on the way, default 10
   * @param {'cos' | 'linear'} [options.annealStrategy] default 'cos'
   * @param {number} [options.lastEpoch] see `Resume`
   */
  constructor(optimizer, options) {
    super(optimizer);
    const { swaLr, annealEpochs = 10, annealStrategy = 'cos', lastEpoch } =
      checked(this, options, ['swaLr', 'annealEpochs', 'annealStrategy']);
    const rates = perGroup('swaLr', optimizer, swaLr);
    this._annealStrategy = annealStrategy;
    this.annealEpochs = annealEpochs;
    this.begin(lastEpoch, () => optimizer.paramGroups.forEach((group, i) => {
      group.swaLr = rates[i];
    }));
  }

  /** @inheritDoc */
  [CHECK]() {
    checkStrategy(this._annealStrategy);
    integer('annealEpochs', this.annealEpochs, 0);
  }

  /** @inheritDoc */
  getLr() {
    const epochs = this.annealEpochs;
    const step = epochs === 0 ? Math.max(1, this.stepCount - 1) : this.stepCount - 1;
    const before = this.#part((step - 1) / Math.max(1, epochs));
    const part = this.#part(step / Math.max(1, epochs));
    return this.optimizer.paramGroups.map(({ swaLr }, i) => {
      if (swaLr === undefined) throw new RangeError(`swaLr must be in paramGroups[${i}], which was added later`);
      const lr = this.currentLrs()[i];
      const initial = before === 1 ? swaLr : (lr - before * swaLr) / (1 - before);
      return swaLr * part + initial * (1 - part);
    });
  }

  /**
   * @param {number} time steps made, of those on the way
   * @returns {number} how much of the way they are, from 0 to 1
   */
  #part(time) {
    const within = Math.max(0, Math.min(1, time));
    return this._annealStrategy === 'linear' ? within : (1 - cos(Math.PI * within)) / 2;
  }
}
