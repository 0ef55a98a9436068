/**
 * @param {number} number of a thread
 * @param {number} k
 * @param {number} size
 * @returns {Float32Array} the k-th gradient of that thread
 */
export function gradientOf(number, k, size) {
  return Float32Array.from({ length: size }, (_, i) => Math.fround(((i * 31 + k * 17 + number * 101) % 97) / 97 - 0.4));
}
