/**
 * Data sets from the page's own files: compressed IDX files, unpacked by the browser. What there is, and why something
 * is not, says data/manifest.json, which build.js writes.
 */
import { parseExamples } from '../mnist.js';
import { makeToySet, toySets } from '../toy.js';

/** @typedef {import('./race.js').DataSet} DataSet */
/** @typedef {'trainImages' | 'trainLabels' | 'testImages' | 'testLabels'} FileKey */
/**
 * @typedef {object} ImageSet
 * @property {readonly string[]} classes
 * @property {Readonly<Record<FileKey, { path: string, bytes: number }>>} files paths relative to the manifest; bytes as
 *   compressed
 */
/**
 * @typedef {object} Manifest
 * @property {Readonly<Record<string, ImageSet>>} sets
 * @property {Readonly<Record<string, string>>} missing why a set is not there
 */

/**
 * @param {string} name
 * @param {URL} manifestUrl
 * @param {(received: number, total: number) => void} [onProgress] bytes
 * @returns {Promise<DataSet>}
 * @throws {Error} if there is no such set, with the reason, or its files cannot be had or are not what they should be
 */
export async function loadDataSet(name, manifestUrl, onProgress = () => {}) {
  if (Object.hasOwn(toySets, name)) return { ...makeToySet(name), classes: toySets[name].classes };
  /** @type {Manifest} */
  const manifest = await (await get(manifestUrl)).json();
  if (!Object.hasOwn(manifest.sets, name)) throw new Error(manifest.missing[name] ?? `there is no data set ${name}`);
  const { files, classes } = manifest.sets[name];
  const total = Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);
  let received = 0;
  onProgress(0, total);
  const [trainImages, trainLabels, testImages, testLabels] = await Promise.all(
    [files.trainImages, files.trainLabels, files.testImages, files.testLabels].map(({ path }) =>
      unpacked(new URL(path, manifestUrl), (count) => onProgress(received += count, total))),
  );
  return {
    train: parseExamples(trainImages, trainLabels),
    test: parseExamples(testImages, testLabels),
    classes,
  };
}

/** @param {URL} url */
async function get(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} cannot be loaded: ${response.status} ${response.statusText}`);
  return response;
}

/**
 * @param {URL} url of a gzip file
 * @param {(count: number) => void} onBytes for each piece that comes
 * @returns {Promise<Uint8Array>}
 */
async function unpacked(url, onBytes) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ ((await get(url)).body).getReader();
  /** @type {Uint8Array[]} */
  const pieces = [];
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    onBytes(next.value.byteLength);
    pieces.push(next.value);
  }
  const bytes = new Uint8Array(await new Blob(/** @type {BlobPart[]} */ (pieces)).arrayBuffer());
  // Some servers declare a .gz file as an encoding, which the browser has undone by then.
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
