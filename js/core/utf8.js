/**
 * UTF-8, for engines whose programs run without TextEncoder and TextDecoder, as in jsdom.
 */

/** How many bytes become text at a time, so that no text is long that is thrown away. */
const CHUNK = 4096;

/**
 * @param {string} text half a surrogate pair becomes U+FFFD
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeUtf8(text) {
  const bytes = new Uint8Array(3 * text.length); // a code point takes three bytes a code unit at most
  let length = 0;
  for (const character of text) {
    let code = /** @type {number} */ (character.codePointAt(0));
    if (code < 0x80) {
      bytes[length++] = code;
      continue;
    }
    if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
    const more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    bytes[length++] = ((0xff00 >> (more + 1)) & 0xff) | (code >> (6 * more));
    for (let k = more - 1; k >= 0; k--) bytes[length++] = 0x80 | ((code >> (6 * k)) & 0x3f);
  }
  return bytes.slice(0, length);
}

/**
 * @param {Uint8Array} bytes
 * @returns {string} a byte order mark stays in it
 * @throws {URIError} if they are no UTF-8
 */
export function decodeUtf8(bytes) {
  let text = '';
  for (let start = 0, end; start < bytes.length; start = end) {
    end = start + CHUNK;
    // Not within a character, whose bytes behind the first are 10xxxxxx: three at most.
    for (let k = 0; k < 3 && (bytes[end] & 0xc0) === 0x80; k++) end++;
    const part = Array.from(bytes.subarray(start, end));
    text += part.every((byte) => byte < 0x80) ? String.fromCharCode(...part)
      : decodeURIComponent(part.map((byte) => `%${(byte | 256).toString(16).slice(1)}`).join(''));
  }
  return text;
}
