/**
 * What replicas send each other: a buffer of floats cut into frames below the server's payload limit, each with a
 * checksum, and, where the group has a secret, a message authentication code.
 *
 * A frame is a header of 64 bytes, little-endian, and its part of the buffer. Reading checks the form of a frame alone;
 * whether it is the one that was waited for is the channel's affair.
 */
import { rangeError } from './check.js';
import { encodeUtf8 } from './core/utf8.js';

/** "RMS1", the first four bytes. */
const MAGIC = 0x31534d52;
const HEADER = 64;
/** Bytes of an HMAC with SHA-256. */
const CODE = 32;
/** What a signed message ends with: the sender, how many it has sent, both float64, and the code. */
const TAIL = 16 + CODE;
/** Parts are whole words, so that a checksum takes four bytes at a time. */
const ALIGNMENT = 4;

/**
 * @typedef {object} Frame
 * @property {number} attempt of the round: how many rounds of the channel were given up before
 * @property {number} step that the buffer belongs to
 * @property {number} weight of the sender's buffer in a mean
 * @property {number} rank of the sender
 * @property {number} size of the group, as the sender knows it
 * @property {number} chunk which of `chunks` parts this is
 * @property {number} chunks
 * @property {number} bytes of the whole buffer
 * @property {number} encoding 0: float32, 1: bfloat16
 * @property {number} flags
 * @property {number} run of the group, which no earlier run has
 * @property {Uint8Array} payload the part, aligned to 4 bytes, perhaps padded
 * @property {boolean} intact whether the checksum is right
 */

/**
 * @param {number} bytes of the buffer
 * @param {number} chunks
 * @returns {number} bytes of each part but the last
 */
export function chunkLength(bytes, chunks) {
  return Math.ceil(bytes / chunks / ALIGNMENT) * ALIGNMENT;
}

/**
 * @param {Omit<Frame, 'chunk' | 'chunks' | 'bytes' | 'payload' | 'intact'>} fields
 * @param {Uint8Array} buffer
 * @param {number} limit the longest message that the server takes, in bytes
 * @returns {Uint8Array[]} frames that together hold the buffer; copies
 * @throws {RangeError} if not even one word fits
 */
export function framesOf(fields, buffer, limit) {
  const room = Math.floor((limit - HEADER - TAIL) / ALIGNMENT) * ALIGNMENT;
  const least = HEADER + TAIL + ALIGNMENT;
  if (!(limit >= least)) throw rangeError('max_payload of the server', `at least ${least}`, limit);
  const chunks = Math.max(1, Math.ceil(buffer.length / room));
  const length = chunkLength(buffer.length, chunks);
  return Array.from({ length: chunks }, (_, chunk) => {
    const part = buffer.subarray(chunk * length, (chunk + 1) * length);
    const frame = new Uint8Array(HEADER + Math.ceil(part.length / ALIGNMENT) * ALIGNMENT);
    const view = new DataView(frame.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, fields.encoding, true);
    view.setUint32(8, fields.flags, true);
    view.setUint32(12, fields.attempt, true);
    view.setFloat64(16, fields.step, true);
    view.setFloat64(24, fields.weight, true);
    view.setUint32(32, fields.rank, true);
    view.setUint32(36, fields.size, true);
    view.setUint32(40, chunk, true);
    view.setUint32(44, chunks, true);
    view.setUint32(48, buffer.length, true);
    view.setFloat64(52, fields.run, true);
    frame.set(part, HEADER);
    view.setUint32(60, checksum(frame), true);
    return frame;
  });
}

/**
 * @param {Uint8Array} frame aligned to 4 bytes; becomes the frame's
 * @returns {Frame | undefined} undefined if it is no frame at all
 */
export function readFrame(frame) {
  if (frame.length < HEADER || frame.length % ALIGNMENT !== 0) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset);
  if (view.getUint32(0, true) !== MAGIC) return undefined;
  const expected = view.getUint32(60, true);
  view.setUint32(60, 0, true);
  return {
    encoding: view.getUint32(4, true),
    flags: view.getUint32(8, true),
    attempt: view.getUint32(12, true),
    step: view.getFloat64(16, true),
    weight: view.getFloat64(24, true),
    rank: view.getUint32(32, true),
    size: view.getUint32(36, true),
    chunk: view.getUint32(40, true),
    chunks: view.getUint32(44, true),
    bytes: view.getUint32(48, true),
    run: view.getFloat64(52, true),
    payload: frame.subarray(HEADER),
    intact: checksum(frame) === expected,
  };
}

/**
 * FNV-1a over words instead of bytes: each round is a one-to-one map, so that one changed word is always seen.
 *
 * @param {Uint8Array} frame its checksum being 0; a multiple of 4 bytes, aligned
 */
function checksum(frame) {
  const words = new Uint32Array(frame.buffer, frame.byteOffset, frame.length / ALIGNMENT);
  let hash = 0x811c9dc5;
  for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ words[i], 0x01000193);
  return hash >>> 0;
}

/** @returns {number} a positive integer that nobody has had or can foresee, where there is Web Crypto */
export function nonce() {
  const random = () => Math.floor(Math.random() * 2 ** 32);
  const [high, low] = globalThis.crypto?.getRandomValues(new Uint32Array(2)) ?? [random(), random()];
  return (high % 2 ** 20) * 2 ** 32 + low + 1;
}

/** Signs messages and tells signed ones from others, where a group has a secret; else lets all pass. */
export class Seal {
  #secret;
  /** @type {Promise<CryptoKey> | undefined} */
  #key;
  #sender = nonce();
  #count = 0;
  /**
   * The last count by subject and sender: a message that comes again is somebody else's.
   *
   * @type {Map<string, number>}
   */
  #last = new Map();

  /** @param {string | undefined} secret */
  constructor(secret) {
    this.#secret = secret;
    if (secret !== undefined && !globalThis.crypto?.subtle) {
      throw new Error('secret needs Web Crypto: Node 20 or newer, or a page from https or localhost');
    }
  }

  /** @returns {Promise<CryptoKey>} */
  #imported() {
    const bytes = encodeUtf8(/** @type {string} */ (this.#secret));
    return (this.#key ??= crypto.subtle.importKey(
      'raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify'],
    ));
  }

  /**
   * @param {string} subject under which it goes: it is signed too, so that no message counts elsewhere
   * @param {Uint8Array} message
   * @returns {Promise<Uint8Array>} what is to be sent
   */
  async close(subject, message) {
    if (this.#secret === undefined) return message;
    const closed = new Uint8Array(message.length + TAIL);
    closed.set(message);
    const view = new DataView(closed.buffer, message.length);
    view.setFloat64(0, this.#sender);
    view.setFloat64(8, ++this.#count);
    const signed = bound(subject, closed.subarray(0, -CODE));
    closed.set(new Uint8Array(await crypto.subtle.sign('HMAC', await this.#imported(), signed)), message.length + 16);
    return closed;
  }

  /**
   * @param {string} subject
   * @param {Uint8Array} closed
   * @returns {Promise<Uint8Array | undefined>} the message; undefined if it is not from this group
   */
  async open(subject, closed) {
    if (this.#secret === undefined) return closed;
    if (closed.length < TAIL) return undefined;
    const code = /** @type {Uint8Array<ArrayBuffer>} */ (closed.subarray(-CODE));
    const signed = bound(subject, closed.subarray(0, -CODE));
    if (!await crypto.subtle.verify('HMAC', await this.#imported(), code, signed)) return undefined;
    const tail = new DataView(closed.buffer, closed.byteOffset + closed.length - TAIL);
    const from = `${subject} ${tail.getFloat64(0)}`;
    const count = tail.getFloat64(8);
    if (count <= (this.#last.get(from) ?? 0)) return undefined;
    this.#last.set(from, count);
    return closed.subarray(0, -TAIL);
  }
}

/**
 * @param {string} subject
 * @param {Uint8Array} message
 * @returns {Uint8Array<ArrayBuffer>} both; a subject has no byte 0, so that no two pairs look alike
 */
function bound(subject, message) {
  const head = encodeUtf8(`${subject}\0`);
  const both = new Uint8Array(head.length + message.length);
  both.set(head);
  both.set(message, head.length);
  return both;
}
