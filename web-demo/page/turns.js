/** What all that measure by turns share: the benchmarks, and the page's speed panel. */

/**
 * @template T
 * @param {readonly T[]} rivals
 * @param {number} round from 0
 * @returns {T[]} them in the order of this round: in as many rounds as there are rivals, each has each place once
 */
export function inTurn(rivals, round) {
  const first = round % rivals.length;
  return [...rivals.slice(first), ...rivals.slice(0, first)];
}

/**
 * @param {readonly number[]} times
 * @returns {{ minimum: number, median: number }}
 */
export function summary(times) {
  const sorted = [...times].sort((a, b) => a - b);
  return { minimum: sorted[0], median: sorted[sorted.length >> 1] };
}
