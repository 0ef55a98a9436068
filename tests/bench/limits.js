/** The limits of the machine in the same engine, from limits.wat: moving bytes, and the divider. */
import { readFileSync } from 'node:fs';
import wabt from 'wabt';

const { parseWat } = await wabt();
const text = readFileSync(new URL('limits.wat', import.meta.url), 'utf8');
const module = new WebAssembly.Module(Uint8Array.from(parseWat('limits.wat', text, { simd: true }).toBinary({}).buffer));

const PAGE = 65536;

/** @typedef {import('./rivals.js').Rival} Rival */

/**
 * Three arrays of which two are written: 20 bytes for each float. It moves as many bytes as the step that it is
 * compared with.
 *
 * @type {Rival}
 */
export const triad = {
  name: 'triad',
  begin(kernel, { parameters }) {
    const bytes = Math.max(32, Math.round((parameters * kernel.bytes) / 20 / 8) * 32);
    const { exports, arrays } = instantiate(bytes, 3);
    const run = /** @type {(a: number, b: number, c: number, bytes: number) => void} */ (exports.triad);
    const [a, b, c] = arrays;
    return { step: () => run(a, b, c, bytes) };
  },
};

/**
 * One square root and one division for each parameter, and nothing else.
 *
 * @type {Rival}
 */
export const divider = {
  name: 'divider',
  begin(_, { parameters }) {
    const bytes = Math.max(32, Math.round(parameters / 8) * 32);
    const { exports, arrays: [a] } = instantiate(bytes, 1);
    const run = /** @type {(a: number, bytes: number) => number} */ (exports.divider);
    return { step: () => run(a, bytes) };
  },
};

/**
 * @param {number} bytes of an array
 * @param {number} count of arrays
 */
function instantiate(bytes, count) {
  const memory = new WebAssembly.Memory({ initial: Math.ceil((bytes * count) / PAGE) });
  new Float32Array(memory.buffer).fill(0.37);
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return { exports, arrays: Array.from({ length: count }, (_, i) => i * bytes) };
}
