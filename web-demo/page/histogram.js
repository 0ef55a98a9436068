/**
 * How numbers of many magnitudes are spread.
 */

/**
 * @typedef {object} Histogram of numbers of at least 0, over their decimal logarithm
 * @property {number} low logarithm where the first bin begins
 * @property {number} high logarithm where the last bin ends
 * @property {number[]} counts
 * @property {number} zeros numbers that have no logarithm because they are 0, or are not finite
 * @property {number} median of all
 */

/** At most, of all together; there are 1, 2, 4, 8 or 16 a power of ten. */
const BINS = 48;

/**
 * @param {Float32Array} values
 * @returns {Histogram}
 */
export function logHistogram(values) {
  let smallest = Infinity;
  let largest = 0;
  let zeros = 0;
  for (const value of values) {
    if (!(value > 0 && value < Infinity)) {
      zeros++;
    } else {
      if (value < smallest) smallest = value;
      if (value > largest) largest = value;
    }
  }
  if (zeros === values.length) return { low: 0, high: 0, counts: [], zeros, median: 0 };
  const low = Math.floor(Math.log10(smallest));
  const high = Math.floor(Math.log10(largest)) + 1;
  const each = [16, 8, 4, 2].find((bins) => bins * (high - low) <= BINS) ?? 1;
  const counts = new Array((high - low) * each).fill(0);
  for (const value of values) {
    if (!(value > 0 && value < Infinity)) continue;
    const bin = Math.floor((Math.log10(value) - low) * each);
    counts[Math.min(counts.length - 1, Math.max(0, bin))]++;
  }
  const median = values.slice().sort()[values.length >> 1];
  return { low, high, counts, zeros, median };
}
