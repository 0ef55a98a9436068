/**
 * bfloat16: the upper half of a float32. Gradients travel in it at half the bytes, and what rounding takes from one
 * step is given back in the next ("error feedback", Seide et al., 1-bit stochastic gradient descent, Interspeech 2014).
 */

const WORD = new Float32Array(1);
const BITS = new Uint32Array(WORD.buffer);

/**
 * @param {number} value
 * @returns {number} the 16 bits of the nearest bfloat16; ties to even, a NaN stays one
 */
export function toBfloat16(value) {
  WORD[0] = value;
  const bits = BITS[0];
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/**
 * Rounds values, each with what was left over from it the last time.
 *
 * @param {Float32Array} values [n]
 * @param {Float32Array | undefined} leftOver [n] what earlier roundings took away; undefined counts as zeros
 * @returns {{ halves: Uint16Array, leftOver: Float32Array }} [n] the bits of bfloat16(value + leftOver), and what these
 *   took away, 0 where that is not finite. Nothing is changed: a step that fails keeps the old remainder.
 */
export function compress(values, leftOver) {
  const halves = new Uint16Array(values.length);
  const rest = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = leftOver ? Math.fround(values[i] + leftOver[i]) : values[i];
    halves[i] = toBfloat16(value);
    BITS[0] = halves[i] << 16;
    const lost = value - WORD[0];
    rest[i] = Number.isFinite(lost) ? lost : 0;
  }
  return { halves, leftOver: rest };
}

/**
 * @param {Uint16Array} halves [n] bits of bfloat16 numbers
 * @returns {Float32Array} [n] the same numbers
 */
export function decompress(halves) {
  const values = new Float32Array(halves.length);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  return values;
}
