/**
 * Whether it is a schedule, also one of another copy of this package, which has classes of its own and which
 * `instanceof` would miss.
 *
 * @param {any} value anything a caller may have passed
 * @returns {value is import('./schedules.js').LearningRateSchedule}
 */
export function isSchedule(value) {
  return value?.isLearningRateSchedule === true;
}
