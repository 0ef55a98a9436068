/**
 * The file that `npm start` writes and goes on from: what `trainer.save()` gives, and the settings of the run in its
 * metadata, so that nobody has to give them again.
 */
import { rangeError } from '../../js/check.js';
import { readSafetensors, writeSafetensors } from '../../js/safetensors.js';

/** @typedef {import('./trainer.js').Trainer} Trainer */
/** @typedef {import('./trainer.js').Settings} Settings */

/**
 * @param {Trainer} trainer
 * @returns {Uint8Array} the file
 */
export function checkpointOf(trainer) {
  const { tensors, metadata } = readSafetensors(trainer.save());
  return writeSafetensors(tensors, { ...metadata, settings: JSON.stringify(trainer.settings) });
}

/**
 * @param {Uint8Array} bytes of `checkpointOf`
 * @returns {Settings} not checked: a trainer does that
 * @throws {RangeError} if it is another file
 */
export function settingsOf(bytes) {
  const { metadata } = readSafetensors(bytes);
  try {
    const settings = JSON.parse(metadata.settings);
    if (typeof settings === 'object' && settings !== null) return settings;
  } catch {
    // refused below
  }
  throw rangeError('the file', 'one that npm start -- --save has written', metadata.settings);
}
