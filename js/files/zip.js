/**
 * What the directory of a zip archive says of its files, to hold against what a library has unpacked: fflate checks no
 * checksums, and takes sizes as they stand there.
 */
import { decodeUtf8 } from '../core/utf8.js';

/** How many bytes deflate makes of one at most. */
const MAX_RATIO = 1032;

const ENTRY = 0x02014b50;
const END = 0x06054b50;
const END_64 = 0x06064b50;
/** Bytes of the end record without its comment, and of an entry without its name. */
const END_LENGTH = 22;
const ENTRY_LENGTH = 46;

/**
 * @typedef {object} Entry
 * @property {string} name
 * @property {number} crc of the file's bytes, CRC-32
 * @property {number} size of the file
 */

/**
 * @param {Uint8Array} archive
 * @returns {Entry[]} all files
 * @throws {RangeError} if the directory is damaged, or claims sizes that cannot be
 */
export function zipEntries(archive) {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  try {
    return [...entriesOf(view, archive)];
  } catch (cause) {
    throw new RangeError('the zip archive must have a directory that is whole: it is damaged or cut short', { cause });
  }
}

/**
 * @param {DataView} view
 * @param {Uint8Array} archive
 * @returns {Generator<Entry>}
 */
function* entriesOf(view, archive) {
  let end = archive.length - END_LENGTH;
  while (view.getUint32(end, true) !== END) end--; // behind it is a comment; a negative offset throws
  let count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  if (at === 0xffffffff) { // a 64-bit end, to which the record before the end points
    const far = Number(view.getBigUint64(end - 12, true));
    if (view.getUint32(far, true) !== END_64) throw new Error('no end');
    count = Number(view.getBigUint64(far + 32, true));
    at = Number(view.getBigUint64(far + 48, true));
  }
  for (let i = 0; i < count; i++) {
    if (view.getUint32(at, true) !== ENTRY) throw new Error('no entry');
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const packed = view.getUint32(at + 20, true);
    const size = view.getUint32(at + 24, true);
    const isPossible = packed <= archive.length && size <= MAX_RATIO * packed;
    if (packed !== 0xffffffff && !isPossible) throw new Error('no such size');
    const bytes = archive.subarray(at + ENTRY_LENGTH, at + ENTRY_LENGTH + nameLength);
    const isUtf8 = (view.getUint16(at + 8, true) & 0x800) !== 0;
    const name = isUtf8 ? decodeUtf8(bytes) : String.fromCharCode(...bytes);
    yield { name, crc: view.getUint32(at + 16, true), size };
    at += ENTRY_LENGTH + nameLength + extraLength + commentLength;
  }
}

/** The remainders of single bytes. */
const TABLE = /* @__PURE__ */ Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

/**
 * @param {Uint8Array} bytes
 * @returns {number} their CRC-32, as zip archives have it
 */
export function crc32(bytes) {
  let rest = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) rest = TABLE[(rest ^ bytes[i]) & 0xff] ^ (rest >>> 8);
  return ~rest >>> 0;
}
