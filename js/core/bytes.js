/**
 * Bytes as callers hand them over: a Uint8Array or an ArrayBuffer, of any realm.
 */
import { typeError } from '../check.js';
import { isArrayBuffer, isBytes, typedArrayGetter } from './identity.js';

const bufferOf = /* @__PURE__ */ typedArrayGetter('buffer');
const offsetOf = /* @__PURE__ */ typedArrayGetter('byteOffset');
const lengthOf = /* @__PURE__ */ typedArrayGetter('byteLength');

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
    Uint8Array.prototype.at.call(value, 0); // throws where the buffer is detached, or has become too short
    return new Uint8Array(bufferOf(value), offsetOf(value), lengthOf(value));
  } catch {
    throw typeError(name, `${expectation} that is not detached`, value);
  }
}
