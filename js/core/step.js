/**
 * The life of one call of an optimizer, whatever its dialect: it is refused while another one runs; everything that can
 * fail happens before the first byte is written, and if it fails all that the call has made is undone; then the kernels
 * run, the constraints, and at last the call counts.
 */
import { unlessAborted } from '../abort.js';

/** @typedef {import('../tensor.js').Variable} Variable */
/**
 * @typedef {object} Hook user's code that works on the gradients before the step
 * @property {void | PromiseLike<void>} settled what it returned
 * @property {() => void} finish brings in what it wrote; called when it has settled
 */
/**
 * @typedef {object} Parts what a dialect does at each moment of a call
 * @property {(first: any, second: any, third: any) => boolean} stage reads and checks every gradient once, makes slots
 *   and buffers, and warns; false: there is nothing to do
 * @property {(signal?: AbortSignal) => Hook | undefined} [hook] calls what aggregates gradients, if this call has to
 * @property {() => void} ask asks the schedules and callbacks
 * @property {() => void} place the last checks, and addresses
 * @property {() => void} run the kernels; cannot fail
 * @property {(constrain: (variable: Variable) => void) => void} constrain calls its argument with each variable that
 *   was updated
 * @property {() => void} count counts the call, and keeps what it has made
 * @property {() => void} undo gives back what a call has made that failed before `run`
 */

/** The calls of one optimizer, or of one state: one at a time. */
export class Step {
  #subject;
  #parts;
  /** The call that runs. */
  #call = '';
  /** The code of the user that the call waits for. */
  #phase = '';
  #isDisposed = false;
  /** The error of the first constraint that failed. @type {{ error: unknown } | undefined} */
  #failure;

  /**
   * @param {() => string} subject what messages call the optimizer
   * @param {Parts} parts
   */
  constructor(subject, parts) {
    this.#subject = subject;
    this.#parts = parts;
  }

  /** @returns {boolean} */
  get isDisposed() {
    return this.#isDisposed;
  }

  /**
   * Refuses a call while another one runs.
   *
   * @param {string} call that writes
   * @param {string} [allowed] what may run meanwhile
   * @throws {Error} if another call runs, or the optimizer is disposed
   */
  check(call, allowed) {
    const runs = this.#isDisposed ? 'it is disposed' : this.#phase || (this.#call && `${this.#call} runs`);
    if (runs && runs !== allowed) throw new Error(`${call} of ${this.#subject()} cannot be used: ${runs}`);
  }

  /**
   * Refuses a call of an optimizer that is disposed.
   *
   * @param {string} call that only reads
   * @throws {Error} if the optimizer is disposed
   */
  checkAlive(call) {
    if (this.#isDisposed) this.check(call);
  }

  /**
   * Runs code of the user outside of a step: a loss function, or what works on averages.
   *
   * @template R
   * @param {string} call
   * @param {string} phase what messages say of it
   * @param {() => R} fn sync or async
   * @param {() => void} [restore] what puts things back, also when it fails
   * @param {AbortSignal} [signal] puts things back at once where a promise is waited for
   * @returns {R} what it returns
   */
  during(call, phase, fn, restore = () => {}, signal = undefined) {
    this.check(call);
    this.#phase = phase;
    return restoring(fn, () => {
      this.#phase = '';
      restore();
    }, signal);
  }

  /**
   * One call, from its first check to its count.
   *
   * @param {string} call its name
   * @param {unknown} [first] what `stage` gets; one by one, for a list of them would be garbage in each step
   * @param {unknown} [second]
   * @param {unknown} [third]
   * @returns {boolean} whether there was anything to do
   */
  run(call, first, second, third) {
    this.check(call);
    this.#call = call;
    try {
      if (!this.#parts.stage(first, second, third)) return this.#end();
      const hook = this.#startHook();
      if (typeof hook?.settled?.then === 'function') {
        hook.settled.then(undefined, () => {}); // it is not waited for, and this is what is reported
        throw new TypeError('aggregateGradients must be synchronous here, got a promise: use stepAsync or '
          + 'applyGradientsAsync');
      }
      hook?.finish();
      this.#decide();
    } catch (error) {
      this.#undo();
      throw error;
    }
    return this.#commit();
  }

  /**
   * `run` with a hook that may be asynchronous.
   *
   * @param {string} call
   * @param {AbortSignal | undefined} signal by which the hook can be given up
   * @param {unknown} [first]
   * @param {unknown} [second]
   * @param {unknown} [third]
   * @returns {Promise<boolean>} see `run`
   */
  async runAsync(call, signal, first, second, third) {
    this.check(call);
    this.#call = call;
    try {
      if (!this.#parts.stage(first, second, third)) return this.#end();
      const hook = this.#startHook(signal);
      this.#phase = 'aggregateGradients has not settled';
      await unlessAborted(hook?.settled, signal);
      this.#phase = '';
      hook?.finish();
      this.#decide();
    } catch (error) {
      this.#undo();
      throw error;
    }
    return this.#commit();
  }

  /**
   * Frees everything. Calling it again does nothing.
   *
   * @param {() => void} free what belongs to the optimizer
   * @throws {Error} if a call runs
   */
  dispose(free) {
    if (this.#isDisposed) return;
    this.check('dispose');
    this.#isDisposed = true;
    free();
  }

  /**
   * @param {AbortSignal} [signal]
   * @returns {Hook | undefined}
   */
  #startHook(signal) {
    if (!this.#parts.hook) return undefined;
    this.#phase = 'aggregateGradients runs';
    const hook = this.#parts.hook(signal);
    this.#phase = '';
    return hook;
  }

  #decide() {
    this.#phase = 'a callback runs';
    this.#parts.ask();
    this.#phase = '';
    this.#parts.place();
  }

  #undo() {
    this.#phase = '';
    try {
      this.#parts.undo();
    } finally {
      this.#end();
    }
  }

  /** @returns {boolean} that there was nothing to do */
  #end() {
    this.#call = this.#phase = '';
    return false;
  }

  /** The update stands, whatever a constraint does: the others run, the call counts, and only then it is reported. */
  #commit() {
    try {
      this.#parts.run();
      this.#phase = 'a constraint runs';
      this.#parts.constrain(this.#constrain);
      this.#phase = '';
      this.#parts.count();
    } finally {
      this.#end();
    }
    const failure = this.#failure;
    if (failure === undefined) return true;
    this.#failure = undefined;
    throw failure.error;
  }

  /** @param {Variable} variable */
  #constrain = (variable) => {
    if (!variable.constraint) return;
    try {
      variable.constraint(variable);
    } catch (error) {
      this.#failure ??= { error };
    }
  };
}

/**
 * Runs a function and then what puts things back, also when the function throws or its promise is rejected.
 *
 * @template R
 * @param {() => R} fn sync or async
 * @param {() => void} restore
 * @param {AbortSignal} [signal] puts things back at once where a promise is waited for
 * @returns {R} what `fn` returns
 */
export function restoring(fn, restore, signal) {
  let result;
  try {
    result = /** @type {any} */ (fn());
  } catch (error) {
    restore();
    throw error;
  }
  if (typeof result?.then === 'function') return /** @type {any} */ (unlessAborted(result, signal).finally(restore));
  restore();
  return result;
}

/**
 * Warns on the console. A warning never breaks a step, also where a test runner makes it throw.
 *
 * @param {string} text
 */
export function warn(text) {
  try {
    console.warn(text);
  } catch {
    // what the console is replaced by is nothing of ours
  }
}
