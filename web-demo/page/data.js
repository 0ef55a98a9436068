/**
 * Data sets from the page's own files: compressed IDX files, unpacked by the browser. What there is, and why something
 * is not, says data/manifest.json, which build.js writes.
 */
import { parseExamples } from '../data/mnist.js';
import { makeToySet, toySets } from '../data/toy.js';

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
 * @param {object} [options]
 * @param {(received: number, total: number) => void} [options.onProgress] bytes
 * @param {typeof request} [options.get] how files are got
 * @returns {Promise<DataSet>}
 * @throws {Error} if there is no such set, with the reason, or its files cannot be had or are not what they should be
 */
export async function loadDataSet(name, manifestUrl, { onProgress = () => {}, get = request } = {}) {
  if (Object.hasOwn(toySets, name)) return { ...makeToySet(name), classes: toySets[name].classes };
  /** @type {Manifest} */
  const manifest = JSON.parse(new TextDecoder().decode(await get(manifestUrl, () => {})));
  if (!Object.hasOwn(manifest.sets, name)) throw new Error(manifest.missing[name] ?? `there is no data set ${name}`);
  const { files, classes } = manifest.sets[name];
  const list = [files.trainImages, files.trainLabels, files.testImages, files.testLabels];
  const total = list.reduce((sum, { bytes }) => sum + bytes, 0);
  const received = list.map(() => 0);
  onProgress(0, total);
  const [trainImages, trainLabels, testImages, testLabels] = await Promise.all(list.map(async ({ path }, i) => {
    const bytes = await get(new URL(path, manifestUrl), (count) => {
      received[i] = count;
      onProgress(received.reduce((sum, each) => sum + each), total);
    });
    return unpacked(bytes);
  }));
  return {
    train: parseExamples(trainImages, trainLabels),
    test: parseExamples(testImages, testLabels),
    classes,
  };
}

/**
 * Gets a file as fetch does not: with news of how much is there, and without Chromium telling of a request that was
 * aborted whenever a stream is read to its end.
 *
 * @param {URL} url
 * @param {(received: number) => void} onProgress bytes so far
 * @returns {Promise<ArrayBuffer>}
 */
function request(url, onProgress) {
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest();
    asked.open('GET', url);
    asked.responseType = 'arraybuffer';
    asked.onprogress = ({ loaded }) => onProgress(loaded);
    asked.onload = () => {
      if (asked.status === 200) resolve(asked.response);
      else reject(new Error(`${url.pathname} cannot be loaded: ${asked.status} ${asked.statusText}`));
    };
    asked.onerror = () => reject(new Error(`${url.pathname} cannot be loaded`));
    asked.send();
  });
}

/**
 * @param {ArrayBuffer} buffer of a gzip file
 * @returns {Promise<Uint8Array>} what is in it
 */
async function unpacked(buffer) {
  const bytes = new Uint8Array(buffer);
  // A server that declares it as an encoding has the browser unpack it.
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
