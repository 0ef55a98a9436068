/**
 * The checks that guard every public entry, and the one form of their messages: name, expectation, received
 * ("emaMomentum must be in [0, 1], got 1.5"). TypeError for the wrong kind of value, RangeError for one out of range.
 */

/**
 * @param {unknown} value anything a caller may have passed
 * @returns {string} how an error message shows it
 */
export function show(value) {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value !== 'object' || value === null) return String(value);
  const length = /** @type {{ length?: unknown }} */ (value).length;
  return `${value.constructor?.name ?? 'Object'}${length === undefined ? '' : ` of length ${length}`}`;
}

/**
 * @param {string} name
 * @param {string} expectation
 * @param {unknown} value
 * @returns {TypeError} to throw: the value is of the wrong kind
 */
export function typeError(name, expectation, value) {
  return new TypeError(`${name} must be ${expectation}, got ${show(value)}`);
}

/**
 * @param {string} name
 * @param {string} expectation
 * @param {unknown} value
 * @returns {RangeError} to throw: the value is of the right kind and out of range
 */
export function rangeError(name, expectation, value) {
  return new RangeError(`${name} must be ${expectation}, got ${show(value)}`);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {'boolean' | 'function' | 'object' | 'string'} type null is no object
 * @returns {any} the value, of that type
 */
export function ofType(name, value, type) {
  if (typeof value !== type || value === null) throw typeError(name, `of type ${type}`, value);
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {any[]} the value, an array
 */
export function array(name, value) {
  if (!Array.isArray(value)) throw typeError(name, 'an array', value);
  return value;
}

/**
 * Checks that one more can be counted.
 *
 * @param {string} name of what is counted
 * @param {number} count so far
 * @throws {RangeError} if an int32 can hold no more
 */
export function checkCount(name, count) {
  if (count === 2 ** 31 - 1) throw rangeError(name, `below ${2 ** 31 - 1}, the last int32`, count);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {string} [expectation] for the message
 * @returns {number} the value, a finite number
 */
export function finite(name, value, expectation = 'a finite number') {
  if (typeof value !== 'number') throw typeError(name, expectation, value);
  if (!Number.isFinite(value)) throw rangeError(name, expectation, value);
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {number} minimum
 * @param {number} [maximum]
 * @returns {number} the value, an integer in [minimum, maximum]
 */
export function integer(name, value, minimum, maximum = Number.MAX_SAFE_INTEGER) {
  const expectation = `an integer in [${minimum}, ${maximum}]`;
  finite(name, value, expectation);
  const number = /** @type {number} */ (value);
  if (!Number.isInteger(number) || number < minimum || number > maximum) throw rangeError(name, expectation, value);
  return number;
}

/**
 * Refuses an option that does not exist, and names the one that was meant: what it abbreviates, or the nearest if at
 * most half of its letters differ; or all that there are.
 *
 * @param {string} name what the options belong to, for the message
 * @param {unknown} options must be an object without other keys
 * @param {readonly string[]} known
 */
export function knownOptions(name, options, known) {
  for (const key of Object.keys(ofType(`${name} options`, options, 'object'))) {
    if (!known.includes(key)) {
      const near = known.filter((option) => editDistance(key, option) <= Math.ceil(key.length / 2));
      const [nearest] = near.sort((a, b) => editDistance(key, a) - editDistance(key, b));
      const meant = known.find((option) => abbreviates(key, option)) ?? nearest;
      const hint = meant === undefined ? `it has ${known.join(', ')}` : `did you mean ${show(meant)}?`;
      throw new TypeError(`${name} has no option ${show(key)}; ${hint}`);
    }
  }
}

/**
 * @param {string} key
 * @param {string} option
 * @returns {boolean} whether the key is how the option begins (eps), or the first letters of its words (lr)
 */
function abbreviates(key, option) {
  const initials = option.replace(/(?<!^)[a-z]/g, '');
  return option.startsWith(key) || (key.length > 1 && initials.toLowerCase() === key.toLowerCase());
}

/**
 * @param {string} a
 * @param {string} b
 * @returns {number} Levenshtein's distance, letter case aside: insertions, deletions and substitutions from a to b
 */
export function editDistance(a, b) {
  /** Row i: the distances from the first i letters of a to the first 0, 1, 2 … of b. */
  let row = [...b, ''].map((_, j) => j);
  for (const letter of a.toLowerCase()) {
    const above = row;
    row = [above[0] + 1];
    for (let j = 0; j < b.length; j++) {
      row.push(Math.min(row[j] + 1, above[j + 1] + 1, above[j] + (letter === b[j].toLowerCase() ? 0 : 1)));
    }
  }
  return row[b.length];
}
