/**
 * How a learning-rate schedule is recognised. The ESM and the CommonJS copy of this package have classes of their own,
 * so `instanceof` would miss a schedule of the other copy; the registered symbol on the prototype is the same in both.
 */
export const SCHEDULE = /* @__PURE__ */ Symbol.for('rmsprop-wasm.LearningRateSchedule');

/**
 * @param {unknown} value anything a caller may have passed
 * @returns {value is import('./schedules.js').LearningRateSchedule}
 */
export function isSchedule(value) {
  return typeof value === 'object' && value !== null && SCHEDULE in value;
}
