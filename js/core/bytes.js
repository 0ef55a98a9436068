/**
 * Bytes as callers hand them over: a Uint8Array or an ArrayBuffer, of any realm.
 */
import { typeError } from '../check.js';
import { isArrayBuffer, isBytes } from './identity.js';

const TypedArray = Object.getPrototypeOf(Uint8Array);

/** Read by the prototype's own getters, which tell the truth about a subclass too. */
const [bufferOf, offsetOf, lengthOf] = ['buffer', 'byteOffset', 'byteLength'].map((field) =>
  /** @type {any} */ (Object.getOwnPropertyDescriptor(TypedArray.prototype, field)).get);

/**
 * @param {string} name
 * @param {unknown} value
 * @param {string} [expectation] for the message
 * @returns {Uint8Array<ArrayBuffer>} the same bytes
 * @throws {TypeError} if it is anything else, or its buffer is detached
 */
export function bytesOf(name, value, expectation = 'a Uint8Array or an ArrayBuffer') {
  if (!isBytes(value) && !isArrayBuffer(value)) throw typeError(name, expectation, value);
  try {
    if (isArrayBuffer(value)) return new Uint8Array(value);
    TypedArray.prototype.at.call(value, 0); // throws where the buffer is detached, or has become too short
    return new Uint8Array(bufferOf.call(value), offsetOf.call(value), lengthOf.call(value));
  } catch {
    throw typeError(name, `${expectation} that is not detached`, value);
  }
}
