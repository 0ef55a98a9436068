/** js/core/utf8.js against the engine's own TextEncoder and TextDecoder. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeUtf8, encodeUtf8 } from '../../js/core/utf8.js';

test('texts are encoded as by TextEncoder, and come back', () => {
  const texts = ['', 'a', 'µ', '€', '𝛻', 'w.🙂.ß', '\0\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\u{10000}\u{10ffff}', 'ab€'.repeat(5000)];
  for (const text of texts) {
    const bytes = encodeUtf8(text);
    assert.deepEqual(bytes, new TextEncoder().encode(text));
    assert.equal(decodeUtf8(bytes), text);
  }
  for (const half of ['\ud800', 'a\udfffb', '\udc00\ud800']) assert.deepEqual(encodeUtf8(half), new TextEncoder().encode(half));
});

test('what TextDecoder refuses is refused, and no more', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let [taken, refused] = [0, 0];
  const check = (/** @type {number[]} */ ...bytes) => {
    let expected;
    try {
      expected = decoder.decode(Uint8Array.from(bytes));
    } catch {
      refused++;
      assert.throws(() => decodeUtf8(Uint8Array.from(bytes)), URIError, bytes.join());
      return;
    }
    taken++;
    assert.equal(decodeUtf8(Uint8Array.from(bytes)), expected, bytes.join());
  };
  const edges = [0, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xee, 0xef, 0xf0, 0xf1,
    0xf4, 0xf5, 0xf7, 0xf8, 0xff];
  for (let a = 0; a < 256; a++) {
    check(a);
    for (const b of edges) {
      check(a, b);
      for (const c of edges) {
        check(a, b, c);
        for (const d of [0x41, 0x80, 0xbf, 0xc2]) check(a, b, c, d);
      }
    }
  }
  assert.ok(taken > 10_000 && refused > 100_000, `${taken} ${refused}`);
});
