/** What the command lines of this folder have in common: reading the values of options, for commander. */
import { InvalidArgumentError } from 'commander';

/**
 * @param {number} minimum
 * @param {number} maximum
 * @returns {(text: string) => number} for commander: the integer that the text is
 */
export function integerIn(minimum, maximum) {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`It must be an integer in [${minimum}, ${maximum}].`);
  };
}
