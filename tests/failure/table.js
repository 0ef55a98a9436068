/**
 * The table of bad input: what each public function, method and option refuses, with which error, and that a refusal
 * leaves no trace. It is generated from the exports themselves and from the options that they name when they are given
 * one that does not exist, so that a new one without a row fails.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

/** @typedef {abstract new (...args: any[]) => any} ErrorType */
/**
 * @typedef {object} Bad one bad value of an argument or option
 * @property {string} what
 * @property {(world: any) => unknown} value
 * @property {ErrorType} type of the error, exactly
 * @property {string | RegExp} message the whole text, or its form
 */
/**
 * @typedef {Bad[] & { options?: readonly string[], probe?: (world: any) => unknown }} Argument options: all that it may have,
 *   if it is an object of options; probe: one with an option that does not exist
 */
/**
 * @typedef {object} World what a row works on
 * @property {() => string | Promise<string>} fingerprint all bits that a call could change
 * @property {() => void} [dispose]
 */
/**
 * @typedef {object} Row
 * @property {Argument[]} args what is refused in the place of each argument
 * @property {(world: any) => unknown[]} [good] arguments that are accepted; default none
 * @property {(world: any, ...args: any[]) => unknown} call
 * @property {(world: any) => [what: string, call: () => unknown, type: ErrorType, message: string | RegExp][]} [more]
 *   what is refused of several arguments together, or in the state that the world is in
 * @property {boolean} [reads] whether it changes nothing, so that it may be called at any time
 * @property {boolean} [fails] whether the good arguments, too, end in an error: there are none for this world
 */
/** @typedef {Record<string, Row>} Rows */

/** What a callback of the user throws: it must come out as it is. */
export class Mine extends Error {}

/** One of them. */
export const mine = new Mine('mine');

/** One value of each kind, and how messages show it. @type {Record<string, [value: unknown, shown: string]>} */
const VALUES = {
  undefined: [undefined, 'undefined'],
  null: [null, 'null'],
  number: [7, '7'],
  text: ['x', '"x"'],
  flag: [true, 'true'],
  bigint: [1n, '1n'],
  symbol: [Symbol('s'), 'Symbol(s)'],
  object: [{}, 'Object'],
  bare: [Object.create(null), 'Object'],
  array: [[], 'Array of length 0'],
  callback: [function probe() {}, 'function probe'],
};

/**
 * @typedef {object} KindOptions
 * @property {string} [expectation]
 * @property {boolean} [required] whether undefined is refused, too
 * @property {readonly string[]} [also] of VALUES, accepted as well
 * @property {ErrorType} [type]
 * @property {(name: string, expectation: string, shown: string) => string | RegExp} [say]
 */

/** @type {Required<KindOptions>['say']} */
const standard = (name, expectation, shown) => `${name} must be ${expectation}, got ${shown}`;

/**
 * @param {string} name
 * @param {string} expectation
 * @param {readonly string[]} accepted of VALUES
 * @param {KindOptions} [options]
 * @returns {Argument} every other kind of value, as a TypeError
 */
export function kind(name, expectation, accepted, { required = false, also = [], type = TypeError, say = standard } = {}) {
  return Object.entries(VALUES)
    .filter(([key]) => !accepted.includes(key) && !also.includes(key) && (required || key !== 'undefined'))
    .map(([key, [value, shown]]) => ({ what: `${name}: ${key}`, value: () => value, type, message: say(name, expectation, shown) }));
}

/**
 * @param {string} what
 * @param {((world: any) => unknown) | object | string | number | boolean | null | undefined} value a function is called
 *   with the world
 * @param {ErrorType} type
 * @param {string | RegExp} message
 * @returns {Bad}
 */
export function bad(what, value, type, message) {
  return { what, value: typeof value === 'function' ? /** @type {any} */ (value) : () => value, type, message };
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {string} expectation
 * @returns {Bad} out of range
 */
export const outside = (name, value, expectation) =>
  bad(`${name}: ${value}`, () => value, RangeError, `${name} must be ${expectation}, got ${value}`);

/**
 * @param {string} name
 * @param {KindOptions & { out?: [unknown, string][] }} [options] out: what is out of range, and what is expected then
 * @returns {Argument}
 */
export function finite(name, options = {}) {
  const { expectation = 'a finite number', out = [], say = standard } = options;
  return [
    ...kind(name, expectation, ['number'], options),
    ...[NaN, Infinity, -Infinity].map((value) =>
      bad(`${name}: ${value}`, value, RangeError, say(name, expectation, `${value}`))),
    ...out.map(([value, expected]) => outside(name, value, expected)),
  ];
}

/**
 * @param {string} name
 * @param {number} minimum
 * @param {number} [maximum]
 * @param {KindOptions & { out?: [unknown, string][] }} [options]
 * @returns {Argument}
 */
export function integer(name, minimum, maximum = Number.MAX_SAFE_INTEGER, options = {}) {
  const expectation = `an integer in [${minimum}, ${maximum}]`;
  const values = [minimum + 0.5, ...(minimum > Number.MIN_SAFE_INTEGER ? [minimum - 1] : []), 1e300];
  return finite(name, { expectation, ...options, out: [...values.map((value) => /** @type {[unknown, string]} */ ([value, expectation])),
    ...options.out ?? []] });
}

/** @param {string} name @param {KindOptions} [options] */
export const flag = (name, options) => kind(name, 'of type boolean', ['flag'], options);
/** @param {string} name @param {KindOptions} [options] */
export const text = (name, options) => kind(name, 'of type string', ['text'], options);
/** @param {string} name @param {KindOptions} [options] */
export const callback = (name, options) => kind(name, 'of type function', ['callback'], options);
/** @param {string} name @param {KindOptions} [options] */
export const object = (name, options) => kind(name, 'of type object', ['object', 'bare', 'array'], options);
/** @param {string} name @param {KindOptions} [options] */
export const list = (name, options) => kind(name, 'an array', ['array'], options);

/**
 * @param {string} owner what the options belong to
 * @param {Record<string, Argument>} table what is refused for each
 * @param {KindOptions & { base?: (world: any) => object, label?: string, own?: Argument }} [options] base: those that
 *   must be given
 * @returns {Argument}
 */
export function options(owner, table, { base = () => ({}), label = `${owner} options`, own, ...rest } = {}) {
  const known = Object.keys(table);
  return Object.assign([
    ...own ?? object(label, rest),
    bad(`${owner}: unknown option`, (/** @type {any} */ world) => ({ ...base(world), '??': 1 }), TypeError,
      /has no option "\?\?"; it has /),
    bad(`${owner}: misspelt option`, (/** @type {any} */ world) => ({ ...base(world), [`${known[0]}S`]: 1 }), TypeError,
      `${owner} has no option "${known[0]}S"; did you mean "${known[0]}"?`),
    ...Object.entries(table).flatMap(([option, bads]) => bads.map(({ what, value, type, message }) => ({
      what, type, message, value: (/** @type {any} */ world) => ({ ...base(world), [option]: value(world) }),
    }))),
  ], { options: known, probe: (/** @type {any} */ world) => ({ ...base(world), '??': 1 }) });
}

/**
 * @param {Argument} argument
 * @param {...Bad} more
 * @returns {Argument} the same, with more that is refused
 */
export function plus(argument, ...more) {
  return Object.assign([...argument, ...more], { options: argument.options, probe: argument.probe });
}

/** For options that nothing in particular is wrong with. @type {Argument} */
export const anything = [];

// ---- The surface ----

/**
 * @param {Record<string, any>} module
 * @param {string} [prefix]
 * @returns {string[]} `f`, `Class` (its constructor), `Class.static`, `Class#method`, `Class#field=` (its setter)
 */
export function surfaceOf(module, prefix = '') {
  const exported = new Set(Object.values(module));
  return Object.entries(module).flatMap(([name, value]) => {
    const path = prefix + name;
    if (typeof value !== 'function') return isNamespace(value) ? surfaceOf(value, `${path}.`) : [];
    if (!isClass(value)) return [path];
    const members = [path];
    for (let Class = value; Class !== Function.prototype; Class = Object.getPrototypeOf(Class)) {
      if (Class !== value && exported.has(Class)) break;
      members.push(...membersOf(Class.prototype).map((member) => `${path}#${member}`));
      members.push(...membersOf(Class).map((member) => `${path}.${member}`));
    }
    return [...new Set(members)];
  });
}

/** @param {any} value */
const isNamespace = (value) => value !== null && typeof value === 'object' && value[Symbol.toStringTag] === 'Module';

/** @param {ErrorType} value */
const isClass = (value) => /^class\b/.test(Function.prototype.toString.call(value));

/**
 * @param {object} owner
 * @returns {string[]} methods, and setters with =
 */
export function membersOf(owner) {
  return Object.entries(Object.getOwnPropertyDescriptors(owner)).flatMap(([name, { value, get, set }]) => {
    if (set && !get) return []; // it refuses a name of another framework: tests/unit/attributes.test.js
    if (set) return [`${name}=`];
    return typeof value === 'function' && name !== 'constructor' ? [name] : [];
  });
}

// ---- The checks ----

/**
 * @param {unknown} error
 * @param {ErrorType} type
 * @param {string | RegExp} message
 * @param {string} what
 */
function assertError(error, type, message, what) {
  const { constructor, message: found } = /** @type {Error} */ (error);
  const isRight = typeof message === 'string' ? found === message : message.test(found);
  assert.ok(constructor === type && isRight, `${what}: ${error} instead of ${type.name}: ${message}`);
}

/**
 * @param {World} world
 * @param {string} what
 * @param {() => unknown} call
 * @param {ErrorType} type
 * @param {string | RegExp} message
 */
export async function refuses(world, what, call, type, message) {
  const before = await world.fingerprint();
  let error;
  let result;
  try {
    result = await call();
  } catch (thrown) {
    error = { thrown };
  }
  assert.ok(error, `${what} is accepted, and gives ${typeof result}`);
  assertError(error.thrown, type, message, what);
  assert.equal(await world.fingerprint(), before, `${what} left a trace`);
}

/**
 * @param {string} title
 * @param {readonly string[]} surface
 * @param {Rows} rows
 * @param {() => World | Promise<World>} makeWorld
 */
export function testTable(title, surface, rows, makeWorld) {
  test(`${title}: every function, constructor, method and setter has a row, and no other has`, () => {
    assert.deepEqual(Object.keys(rows).sort(), [...surface].sort());
  });

  for (const [name, row] of Object.entries(rows)) {
    const { args, call, good = () => [], more = () => [], fails = false } = row;
    test(`${title}: ${name} refuses what is wrong by name, expectation and value, and leaves no trace`, async () => {
      const world = await makeWorld();
      for (const [place, bads] of args.entries()) {
        const { options: known, probe } = bads;
        if (!known || !probe) {
          assert.ok(!bads.some(({ what }) => /unknown option$/.test(what)), 'more is added to options by `plus`');
          continue;
        }
        const given = good(world);
        given[place] = probe(world);
        let message = '';
        try {
          await call(world, ...given);
        } catch (error) {
          ({ message } = /** @type {Error} */ (error));
        }
        const [, names = ''] = /has no option "\?\?"; it has (.*)$/.exec(message) ?? [];
        assert.deepEqual(names.split(', ').sort(), [...known].sort(), `the options of argument ${place}: ${message}`);
      }
      const rest = more(world);
      for (const [place, bads] of args.entries()) {
        for (const { what, value, type, message } of bads) {
          const given = good(world);
          given[place] = value(world);
          rest.push([what, () => call(world, ...given), type, message]);
        }
      }
      /** @type {string[]} */
      const failures = [];
      for (const [what, refused, type, message] of rest) {
        await refuses(world, what, refused, type, message).catch((error) => failures.push(error.message));
      }
      try {
        assert.deepEqual(failures, []);
        if (!fails) await call(world, ...good(world));
      } finally {
        world.dispose?.();
      }
    });
  }
}

/**
 * @param {Iterable<{ data: ArrayBufferView }>} tensors
 * @returns {string} their bits
 */
export function bitsOf(tensors) {
  return Array.from(tensors, ({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')).join();
}
