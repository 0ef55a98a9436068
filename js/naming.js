/** Names as Keras gives and spells them. */

/** @type {Map<string, number>} */
const given = new Map();

/**
 * @param {string} prefix
 * @returns {string} the next of `prefix`, `prefix_1`, `prefix_2` … counted over the whole program
 */
export function autoName(prefix) {
  const count = given.get(prefix) ?? 0;
  given.set(prefix, count + 1);
  return count ? `${prefix}_${count}` : prefix;
}

/**
 * @param {string} name emaMomentum
 * @returns {string} ema_momentum
 */
export function snakeCase(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * @param {string} name ema_momentum
 * @returns {string} emaMomentum
 */
export function camelCase(name) {
  return name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
}
