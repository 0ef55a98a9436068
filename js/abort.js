/**
 * Calls that can be given up by an `AbortSignal` while they wait for a promise of the user's.
 */
import { knownOptions, typeError } from './check.js';

/** @typedef {{ signal?: AbortSignal }} AbortOptions signal: gives the call up; default none */

/**
 * @param {string} name of the call
 * @param {AbortOptions} options
 * @returns {AbortSignal | undefined}
 * @throws {TypeError} for other options; the signal's reason if it has been given already
 */
export function signalOf(name, options) {
  knownOptions(name, options, ['signal']);
  const { signal } = options;
  if (signal === undefined) return undefined;
  if (typeof signal?.throwIfAborted !== 'function') throw typeError('signal', 'an AbortSignal', signal);
  signal.throwIfAborted();
  return signal;
}

/**
 * @template T
 * @param {T | PromiseLike<T>} value
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>} the value, unless the signal is given first: then it is rejected with the signal's reason
 */
export function unlessAborted(value, signal) {
  if (!signal) return Promise.resolve(value);
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort);
    Promise.resolve(value).then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
