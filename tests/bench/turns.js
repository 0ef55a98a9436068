/** What the benchmarks share. */

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

/**
 * @param {import('./rivals.js').Run} run
 * @param {number} steps
 * @returns {Promise<number>} nanoseconds that they took
 */
export async function timed(run, steps) {
  if (run.time) return run.time(steps);
  const { step } = /** @type {Required<import('./rivals.js').Run>} */ (run);
  const start = performance.now();
  if (run.isAsync) for (let i = 0; i < steps; i++) await step();
  else for (let i = 0; i < steps; i++) step();
  return (performance.now() - start) * 1e6;
}
