/** Automatic names, as Keras gives them: `prefix`, `prefix_1`, `prefix_2` … counted over the whole program. */

/** @type {Map<string, number>} */
const given = new Map();

/**
 * @param {string} prefix
 * @returns {string} the next free name with that prefix
 */
export function autoName(prefix) {
  const count = given.get(prefix) ?? 0;
  given.set(prefix, count + 1);
  return count === 0 ? prefix : `${prefix}_${count}`;
}
