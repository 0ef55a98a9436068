/**
 * Files that a reader of safetensors may be given, well-formed ones and lies of every kind, as arbitraries of fast-check:
 * small, so that a failure shrinks to the lie itself.
 */
import fc from 'fast-check';
import { RMSprop, variable, writeSafetensors } from 'rmsprop-wasm';

/** @typedef {[key: string, json: string]} Member of a header, the value as it is written */

/** What a number in a file may be: right, near a boundary, or none at all. */
const number = fc.oneof(
  { weight: 8, arbitrary: fc.nat(24).map(String) },
  fc.constantFrom(
    '-0', '-1', '1.5', '1e1', '1E400', '4294967296', '4294967300', '9007199254740991', '9007199254740993', '18446744073709551616',
    '1e308', 'null', 'true', '"4"', '[]', '{}', '00', '+1', 'NaN', '',
  ),
);
const list = fc.array(number, { maxLength: 4 }).map((items) => `[${items}]`);
const shape = fc.oneof(
  { weight: 6, arbitrary: list },
  fc.constantFrom('[4294967296,4294967296]', '[0,9007199254740993]', '[9007199254740991,0,9007199254740991]', '[1,[1]]', '{}', '3', 'null'),
);
const dtype = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('"F32"', '"F64"', '"U8"', '"I64"', '"BF16"', '"BOOL"', '"I8"') },
  fc.constantFrom('"F8_E4M3"', '"f32"', '"constructor"', '"__proto__"', '"toString"', 'null', '32', '[]', '""'),
);
const key = fc.oneof(
  fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor', '__metadata__', '', '\\u0061', 'é', '\\ud800', '\\"', '#'),
  fc.string({ maxLength: 3 }).map((text) => JSON.stringify(text).slice(1, -1)),
);

/**
 * @template T, U
 * @param {T} usual
 * @param {fc.Arbitrary<U>} others
 * @returns {fc.Arbitrary<T | U>} a lie in one of six
 */
function mostly(usual, others) {
  return fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: others });
}

/** The value of a tensor in a header: its three fields, mostly. */
const entry = fc.record({ dtype, shape, offsets: list, extra: fc.option(fc.constantFrom('"x":1', '"dtype":"F32"', '"shape":[]')) })
  .map(({ dtype: type, shape: dimensions, offsets, extra }) =>
    `{"dtype":${type},"shape":${dimensions},"data_offsets":${offsets}${extra ? `,${extra}` : ''}}`);

/** A true tensor of one dimension behind those before it, so that lies are found among truths. */
const honest = fc.tuple(fc.constantFrom(['F32', 4], ['U8', 1], ['F64', 8], ['I64', 8]), fc.nat(3));

const metadata = fc.oneof(
  fc.constantFrom('{}', '{"a":"b"}', '{"a":1}', '{"a":null}', 'null', '[]', '"x"', '{"a":"b","a":"c"}', '{"a":{"b":"c"}}'),
  fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }).map((object) => JSON.stringify(object)),
);

/** Headers whose nesting, length or spaces are all there is to them. */
const bomb = fc.tuple(fc.constantFrom('[', '{"a":', '[{"a":'), fc.integer({ min: 1, max: 20_000 }), fc.boolean())
  .map(([open, depth, closes]) => {
    const close = [...open].reverse().map((c) => (c === '[' ? ']' : c === '{' ? '}' : '')).join('');
    return `{"a":${open.repeat(depth)}1${closes ? close.repeat(depth) : ''}}`;
  });

/**
 * @param {string | Uint8Array} header
 * @param {number} length of the data
 * @param {bigint} [claimed] length of the header
 * @returns {Uint8Array}
 */
export function fileOf(header, length, claimed) {
  const bytes = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + bytes.length + length).map((_, i) => i * 37);
  new DataView(file.buffer).setBigUint64(0, claimed ?? BigInt(bytes.length), true);
  file.set(bytes, 8);
  return file;
}

/** Headers of tensors that lie one behind the other, with some members that lie in the other sense. */
const structured = fc.record({
  truths: fc.array(fc.tuple(mostly('', key), honest), { maxLength: 4 }),
  lies: mostly([], fc.array(fc.tuple(key, entry), { maxLength: 2 })),
  meta: mostly(null, metadata),
  spare: mostly(0, fc.integer({ min: -3, max: 3 })),
  isShuffled: fc.boolean(),
  claimed: mostly(null, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })),
}).map(({ truths, lies, meta, spare, isShuffled, claimed }) => {
  let end = 0;
  /** @type {Member[]} */
  const members = truths.map(([name, [[type, size], count]], i) =>
    [name || `tensor_${i}`, `{"dtype":"${type}","shape":[${count}],"data_offsets":[${end},${end += Number(size) * count}]}`]);
  if (isShuffled) members.reverse();
  members.push(...lies);
  if (meta !== null) members.unshift(['__metadata__', meta]);
  return fileOf(`{${members.map(([name, json]) => `"${name}":${json}`)}}`, Math.max(0, end + spare), claimed ?? undefined);
});

/** The seed corpus: what this package writes. @type {Uint8Array[]} */
export const corpus = (() => {
  const [kernel, bias] = [variable([[1, 2], [3, 4]], { name: 'kernel' }), variable([5], { name: 'bias', dtype: 'float64' })];
  const optimizer = new RMSprop({ momentum: 0.5, centered: true, name: 'run' });
  optimizer.apply([[[1, 2], [3, 4]], [1]], [kernel, bias]);
  return [
    optimizer.save({ variables: true }),
    writeSafetensors({}),
    writeSafetensors({ a: { shape: [], data: Float32Array.of(1) }, b: { shape: [0, 3], data: new Int8Array() } }, { note: 'é' }),
    writeSafetensors({
      h: { dtype: 'F16', shape: [3], data: Uint16Array.of(1, 2, 3) }, q: { shape: [2], data: BigInt64Array.of(1n, 2n) },
    }),
  ];
})();

/** Files of the corpus, bytes of which are replaced, taken out and put in. */
const change = fc.tuple(
  fc.nat(2 ** 16), fc.nat(2), fc.oneof(fc.constantFrom(...Buffer.from('{}[]:,"\\0123459-.eF')), fc.nat(255)),
);
const mutated = fc.tuple(
  fc.constantFrom(...corpus),
  fc.array(change, { minLength: 1, maxLength: 4 }),
  fc.option(fc.nat(2 ** 16), { freq: 4 }),
).map(([file, changes, cut]) => {
  const bytes = [...file];
  for (const [at, kind, byte] of changes) bytes.splice(at % (bytes.length + 1), kind === 1 ? 0 : 1, ...(kind === 2 ? [] : [byte]));
  return Uint8Array.from(cut === null ? bytes : bytes.slice(0, cut % (bytes.length + 1)));
});

/** @type {fc.Arbitrary<Uint8Array>} */
export const hostileFile = fc.oneof(
  { weight: 6, arbitrary: structured },
  { weight: 6, arbitrary: mutated },
  { weight: 1, arbitrary: bomb.map((header) => fileOf(header, 0)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((header) => fileOf(header, 4)) },
);
