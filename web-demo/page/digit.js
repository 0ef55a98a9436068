/**
 * From a drawing to what a network was trained on: as the digits of MNIST were made, which are scaled to fit a box of
 * 20 × 20 pixels, their proportions kept, and placed with their centre of mass in the middle of 28 × 28.
 */

/** Pixels on each side of what a network sees. */
export const SIDE = 28;

/**
 * @param {Uint8Array} ink side × side, 0 (paper) to 255
 * @param {number} side of the drawing
 * @param {number} box pixels that the drawing fills at most, on its longer side
 * @returns {Uint8Array | null} SIDE × SIDE; null where nothing is drawn
 */
export function normalised(ink, side, box) {
  let [left, right, top, bottom] = [side, -1, side, -1];
  for (let i = 0; i < ink.length; i++) {
    if (ink[i] === 0) continue;
    const [x, y] = [i % side, Math.floor(i / side)];
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  }
  if (right < 0) return null;
  const scale = Math.max(right - left + 1, bottom - top + 1) / box;
  // The centre of mass, in the drawing's pixels.
  let [sum, sumX, sumY] = [0, 0, 0];
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const value = ink[y * side + x];
      sum += value;
      sumX += value * (x + 0.5);
      sumY += value * (y + 0.5);
    }
  }
  const [centreX, centreY] = [sumX / sum, sumY / sum];
  const at = (/** @type {number} */ i, /** @type {number} */ centre) => centre + (i - SIDE / 2) * scale;
  return Uint8Array.from({ length: SIDE * SIDE }, (_, i) => {
    const [column, row] = [i % SIDE, Math.floor(i / SIDE)];
    return mean(ink, side, at(column, centreX), at(column + 1, centreX), at(row, centreY), at(row + 1, centreY));
  });
}

/**
 * @param {Uint8Array} ink
 * @param {number} side
 * @param {number} left
 * @param {number} right
 * @param {number} top
 * @param {number} bottom
 * @returns {number} the mean of a rectangle, whose edges may lie within pixels; beyond the drawing is paper
 */
function mean(ink, side, left, right, top, bottom) {
  let sum = 0;
  for (let y = Math.max(0, Math.floor(top)); y < Math.min(side, bottom); y++) {
    const height = Math.min(y + 1, bottom) - Math.max(y, top);
    for (let x = Math.max(0, Math.floor(left)); x < Math.min(side, right); x++) {
      sum += ink[y * side + x] * height * (Math.min(x + 1, right) - Math.max(x, left));
    }
  }
  return Math.round(sum / ((right - left) * (bottom - top)));
}
