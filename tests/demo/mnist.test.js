import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fillBatch, firstExamples, inputsOf, parseExamples } from '../../web-demo/data/mnist.js';

/**
 * @param {number} magic
 * @param {number[]} sizes
 * @param {number[]} data
 * @returns {Uint8Array} an IDX file, in the middle of a larger buffer as Node's readFile may give it
 */
function idx(magic, sizes, data) {
  const header = new DataView(new ArrayBuffer(4 + 4 * sizes.length));
  [magic, ...sizes].forEach((word, i) => header.setUint32(4 * i, word));
  return Uint8Array.of(9, 9, 9, ...new Uint8Array(header.buffer), ...data).subarray(3);
}

const images = idx(0x803, [3, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7, 252, 253, 254, 255]);
const labels = idx(0x801, [3], [7, 0, 9]);

test('two IDX files become examples', () => {
  const examples = parseExamples(images, labels);
  assert.deepEqual({ ...examples, pixels: [...examples.pixels], labels: [...examples.labels] }, {
    count: 3, rows: 2, columns: 2, pixels: [0, 1, 2, 3, 4, 5, 6, 7, 252, 253, 254, 255], labels: [7, 0, 9],
  });
});

test('what is no IDX file, or not the right one, is refused with what was expected and what came', () => {
  /** @type {[Uint8Array, Uint8Array, RegExp][]} */
  const refused = [
    [labels, labels, /^image file must begin with a header of 16 bytes, got 11 bytes$/],
    [images, images, /^label file must begin with the magic number 0x00000801, got 0x00000803$/],
    [images, images.subarray(0, 7), /^label file must begin with a header of 8 bytes, got 7 bytes$/],
    [images.subarray(0, -1), labels, /^image file of 3 × 2 × 2 must have 28 bytes, got 27$/],
    [Uint8Array.of(...images, 0), labels, /^image file of 3 × 2 × 2 must have 28 bytes, got 29$/],
    [images, labels.subarray(0, -1), /^label file of 3 must have 11 bytes, got 10$/],
    [images, idx(0x801, [2], [1, 2]), /^label file must have 3 labels, one for each image, got 2$/],
    [images, idx(0x801, [3], [1, 10, 2]), /^label 1 must be a digit, got 10$/],
    [idx(0x1f8b0800, [3, 2, 2], []), labels, /got 0x1f8b0800 \(this is a gzip file: unpack it first\)$/],
    [idx(0xd03, [3, 2, 2], []), labels, /magic number 0x00000803, got 0x00000d03$/],
    // A product of sizes that wraps around in 32 bits must not pass as a small one.
    [idx(0x803, [65536, 65536, 1], []), labels, /^image file of 65536 × 65536 × 1 must have 4294967312 bytes, got 16$/],
  ];
  for (const [imageFile, labelFile, message] of refused) {
    assert.throws(() => parseExamples(imageFile, labelFile), { name: 'RangeError', message });
  }
  const path = /** @type {any} */ ('train-images-idx3-ubyte');
  const message = 'image file must be a Uint8Array, got string';
  assert.throws(() => parseExamples(path, labels), { name: 'TypeError', message });
});

test('a batch takes examples in the given order, pixels divided by 255 and centred, in float32', () => {
  const examples = parseExamples(images, labels);
  const inputs = new Float32Array(9).fill(-1);
  const digits = new Uint8Array(3).fill(99);
  fillBatch(inputs, digits, examples, Uint32Array.of(1, 2, 0), 1, 2);
  const expected = [252, 253, 254, 255, 0, 1, 2, 3].map((pixel) => Math.fround(pixel / 255 - 0.1307));
  assert.deepEqual([...inputs], [...expected, -1]);
  assert.deepEqual([...digits], [9, 7, 99]);
  assert.deepEqual([...inputsOf(examples.pixels).subarray(8)], [...inputs.subarray(0, 4)]);
});

test('the first examples are a view of all, and never more than there are', () => {
  const examples = parseExamples(images, labels);
  const two = firstExamples(examples, 2);
  assert.deepEqual([two.count, [...two.pixels], [...two.labels]], [2, [0, 1, 2, 3, 4, 5, 6, 7], [7, 0]]);
  assert.equal(two.pixels.buffer, examples.pixels.buffer);
  assert.equal(firstExamples(examples, 9).count, 3);
});
