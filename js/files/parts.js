/// <reference types="node" />
/**
 * Reading and writing files of any size, in Node: one call of the system takes less than 2 GiB.
 */
import { readSync, writeSync } from 'node:fs';

/** How many bytes one call reads or writes at most. */
const MAX_PART = 2 ** 30;

/** How many bytes more a file is asked for that does not say how many it has, such as a pipe. */
const MORE = 2 ** 16;

/**
 * Writes bytes from where a file is to be continued.
 *
 * @param {number} file open for writing
 * @param {Uint8Array} bytes
 * @param {number} [limit] bytes per call
 */
export function writeAll(file, bytes, limit = MAX_PART) {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, Math.min(limit, bytes.length - at));
}

/**
 * @param {number} file open for reading
 * @param {number} size how many bytes it says it has
 * @param {number} [limit] bytes per call
 * @returns {Uint8Array<ArrayBuffer>} all that it has, at the start of a buffer of its own
 */
export function readAll(file, size, limit = MAX_PART) {
  let bytes = new Uint8Array(size);
  let end = 0;
  for (;;) {
    const isFull = end === bytes.length;
    const part = isFull ? new Uint8Array(MORE) : bytes;
    const start = isFull ? 0 : end;
    const count = readSync(file, part, start, Math.min(limit, part.length - start), null);
    if (count === 0) break;
    if (isFull) {
      const longer = new Uint8Array(2 * end + MORE);
      longer.set(bytes);
      longer.set(part.subarray(0, count), end);
      bytes = longer;
    }
    end += count;
  }
  return end === bytes.length ? bytes : bytes.slice(0, end);
}
