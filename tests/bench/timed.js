/** How a benchmark of steps takes the time of some. */

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
