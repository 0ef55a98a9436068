/**
 * Handwritten digits in the IDX format of the MNIST files: parsing, checking, and making batches. Pure: where the bytes
 * come from is not here (mnist-node.js reads them from the disk).
 *
 * Pixels stay bytes, 0 (paper) to 255 (ink), until a batch is made: only there do they become a network's inputs,
 * pixel / 255 - MEAN in float32. Examples that are no images (toy.js) come as floats, which are inputs as they are.
 */

/**
 * @typedef {object} Examples
 * @property {number} count
 * @property {number} rows of an image
 * @property {number} columns of an image
 * @property {Uint8Array | Float32Array} pixels count × rows × columns, row by row: the file's bytes; or inputs
 * @property {Uint8Array} labels count classes; digits, 0 to 9, are a view of the file's bytes
 */
/** @typedef {Examples & { pixels: Uint8Array }} Images */

/** Third byte of the magic number: unsigned bytes; fourth: number of dimensions. */
const IMAGES_MAGIC = 0x00000803;
const LABELS_MAGIC = 0x00000801;

/** @param {number} magic */
const hexadecimal = (magic) => `0x${magic.toString(16).padStart(8, '0')}`;

/**
 * @param {Uint8Array} bytes
 * @param {number} magic
 * @param {number} dimensions
 * @param {string} what for messages
 * @returns {{ sizes: number[], data: Uint8Array }}
 */
function parse(bytes, magic, dimensions, what) {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`${what} must be a Uint8Array, got ${typeof bytes}`);
  const header = 4 * (1 + dimensions);
  if (bytes.length < header) {
    throw new RangeError(`${what} must begin with a header of ${header} bytes, got ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== magic) {
    const compressed = bytes[0] === 0x1f && bytes[1] === 0x8b ? ' (this is a gzip file: unpack it first)' : '';
    const received = `${hexadecimal(view.getUint32(0))}${compressed}`;
    throw new RangeError(`${what} must begin with the magic number ${hexadecimal(magic)}, got ${received}`);
  }
  const sizes = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 * (i + 1)));
  const length = sizes.reduce((product, size) => product * size, 1);
  if (bytes.length !== header + length) {
    throw new RangeError(`${what} of ${sizes.join(' × ')} must have ${header + length} bytes, got ${bytes.length}`);
  }
  return { sizes, data: bytes.subarray(header) };
}

/**
 * @param {Uint8Array} imageFile the bytes of an IDX file of images
 * @param {Uint8Array} labelFile the bytes of an IDX file of as many labels
 * @returns {Images} views of both
 * @throws {TypeError | RangeError} for what are not two such files
 */
export function parseExamples(imageFile, labelFile) {
  const images = parse(imageFile, IMAGES_MAGIC, 3, 'image file');
  const labels = parse(labelFile, LABELS_MAGIC, 1, 'label file');
  const [count, rows, columns] = images.sizes;
  if (labels.sizes[0] !== count) {
    throw new RangeError(`label file must have ${count} labels, one for each image, got ${labels.sizes[0]}`);
  }
  const wrong = labels.data.findIndex((label) => label > 9);
  if (wrong >= 0) throw new RangeError(`label ${wrong} must be a digit, got ${labels.data[wrong]}`);
  return { count, rows, columns, pixels: images.data, labels: labels.data };
}

/**
 * @param {Examples} examples
 * @param {number} count
 * @returns {Examples} the first `count` of them, or all if there are fewer
 */
export function firstExamples(examples, count) {
  const { rows, columns, pixels, labels } = examples;
  const kept = Math.min(count, examples.count);
  return {
    count: kept,
    rows,
    columns,
    pixels: pixels.subarray(0, kept * rows * columns),
    labels: labels.subarray(0, kept),
  };
}

/**
 * The mean of pixel / 255 over the 60 000 training images, rounded (tests/demo/train.test.js computes it). Inputs are
 * centred because paper would otherwise be exactly 0: the weights of a pixel that is paper in most images would get no
 * gradient for hundreds of steps, and an optimizer's averages of nothing but zeros decay into subnormal numbers, on
 * which processors compute many times slower.
 */
const MEAN = 0.1307;

/** What becomes of each pixel. */
const INPUTS = Float32Array.from({ length: 256 }, (_, pixel) => pixel / 255 - MEAN);

/**
 * @param {Uint8Array | Float32Array} pixels
 * @returns {Float32Array} a network's input for each; floats are inputs already
 */
export function inputsOf(pixels) {
  if (pixels instanceof Float32Array) return pixels;
  const inputs = new Float32Array(pixels.length);
  for (let i = 0; i < inputs.length; i++) inputs[i] = INPUTS[pixels[i]];
  return inputs;
}

/**
 * Makes a batch of the examples whose numbers stand in order[first … first + count - 1].
 *
 * @param {Float32Array} inputs out: count × rows × columns inputs, at the beginning of the array
 * @param {Uint8Array} labels out: count digits, at the beginning of the array
 * @param {Examples} examples
 * @param {Uint32Array} order
 * @param {number} first
 * @param {number} count
 */
export function fillBatch(inputs, labels, examples, order, first, count) {
  const { pixels } = examples;
  const size = examples.rows * examples.columns;
  for (let i = 0; i < count; i++) {
    const example = order[first + i];
    const from = example * size;
    const to = i * size;
    if (pixels instanceof Float32Array) inputs.set(pixels.subarray(from, from + size), to);
    else for (let p = 0; p < size; p++) inputs[to + p] = INPUTS[pixels[from + p]];
    labels[i] = examples.labels[example];
  }
}
