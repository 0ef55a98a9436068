/**
 * The checks that guard every public entry, and the one form of their messages:
 * name, expectation, received ("emaMomentum must be in [0, 1], got 1.5").
 * `TypeError` for the wrong kind of value, `RangeError` for a value out of range.
 */

/**
 * @param {unknown} value anything a caller may have passed
 * @returns {string} how an error message shows it
 */
export function show(value) {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return `a function${value.name ? ` (${value.name})` : ''}`;
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value)) return `an array of length ${value.length}`;
  if (ArrayBuffer.isView(value)) return `a ${value.constructor.name} of ${value.byteLength} bytes`;
  if (typeof value === 'object' && value !== null) return `an object (${value.constructor?.name ?? 'without prototype'})`;
  return String(value);
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
 * @returns {number} the value, a finite number
 */
export function finite(name, value) {
  if (typeof value !== 'number') throw typeError(name, 'a finite number', value);
  if (!Number.isFinite(value)) throw rangeError(name, 'a finite number', value);
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
  const expectation = maximum === Number.MAX_SAFE_INTEGER
    ? `an integer of at least ${minimum}`
    : `an integer in [${minimum}, ${maximum}]`;
  if (typeof value !== 'number') throw typeError(name, expectation, value);
  if (!Number.isInteger(value) || value < minimum || value > maximum) throw rangeError(name, expectation, value);
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {boolean} the value, a boolean
 */
export function boolean(name, value) {
  if (typeof value !== 'boolean') throw typeError(name, 'a boolean', value);
  return value;
}

/**
 * Refuses anything that is not a plain options object with known keys.
 *
 * @param {string} name what the options belong to, for the message
 * @param {unknown} value
 * @param {readonly string[]} known
 */
export function knownOptions(name, value, known) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw typeError(`${name} options`, 'an object', value);
  }
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) {
      throw new TypeError(`${name} has no option ${show(key)}; did you mean ${show(nearest(key, known))}?`);
    }
  }
}

/**
 * @param {string} word
 * @param {readonly string[]} candidates at least one
 * @returns {string} the candidate with the smallest edit distance, letter case aside
 */
function nearest(word, candidates) {
  const distances = candidates.map((candidate) => editDistance(word.toLowerCase(), candidate.toLowerCase()));
  return candidates[distances.indexOf(Math.min(...distances))];
}

/**
 * @param {string} a
 * @param {string} b
 * @returns {number} Levenshtein's distance: insertions, deletions and substitutions that turn a into b
 */
function editDistance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
