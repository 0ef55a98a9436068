/**
 * The kind of a value, from wherever: another realm (an iframe, a test runner's context) or another copy of this
 * package (CommonJS beside ESM), whose classes are others than ours, so that `instanceof` and prototypes miss them.
 *
 * Built-ins are known by their internal slots, which only methods that are borrowed can ask for and nothing can forge;
 * objects of this package by brands: properties `true` under `Symbol.for('rmsprop-wasm.…')`, which all copies share.
 */

/**
 * @param {unknown} value
 * @param {symbol} brand
 * @returns {boolean}
 */
export function hasBrand(value, brand) {
  return /** @type {any} */ (value)?.[brand] === true;
}

/**
 * @param {(value: any) => unknown} ask for a slot, which throws where it is not there
 * @returns {(value: unknown) => value is any} whether a value has it
 */
function slotted(ask) {
  return /** @type {any} */ ((/** @type {unknown} */ value) => {
    try {
      ask(value);
      return true;
    } catch {
      return false;
    }
  });
}

/** @type {(prototype: object, name: string | symbol) => (value: unknown) => any} */
const getterOf = (prototype, name) => {
  const { get } = /** @type {any} */ (Object.getOwnPropertyDescriptor(prototype, name));
  return (value) => get.call(value);
};

/**
 * What all typed arrays inherit, asked past whatever a subclass, a realm or a Proxy would answer.
 *
 * @param {string | symbol} name of a property
 * @returns {(array: unknown) => any}
 */
export function typedArrayGetter(name) {
  return getterOf(Object.getPrototypeOf(Uint8Array.prototype), name);
}

/**
 * The kind of a typed array: 'Float32Array', 'BigInt64Array' …, also of a subclass such as Node's Buffer;
 * undefined if it is none.
 *
 * @type {(value: unknown) => string | undefined}
 */
export const arrayKind = /* @__PURE__ */ typedArrayGetter(Symbol.toStringTag);

/**
 * @param {unknown} value
 * @returns {value is import('../tensor.js').TypedArray} whether it is a typed array of numbers
 */
export function isTypedArray(value) {
  const kind = arrayKind(value);
  return kind !== undefined && !kind.startsWith('Big');
}

/**
 * @param {unknown} value
 * @returns {value is Uint8Array<ArrayBuffer>}
 */
export function isBytes(value) {
  return arrayKind(value) === 'Uint8Array';
}

/** Whether it is a Map. @type {(value: unknown) => value is ReadonlyMap<any, any>} */
export const isMap = /* @__PURE__ */ slotted((value) => getterOf(Map.prototype, 'size')(value));

/** Whether it is an ArrayBuffer, not a shared one. @type {(value: unknown) => value is ArrayBuffer} */
export const isArrayBuffer = /* @__PURE__ */ slotted((value) => getterOf(ArrayBuffer.prototype, 'byteLength')(value));

/** Whether it is a memory. @type {(value: unknown) => value is WebAssembly.Memory} */
export const isWasmMemory = /* @__PURE__ */ slotted((value) => getterOf(WebAssembly.Memory.prototype, 'buffer')(value));

/** Whether it is a module. @type {(value: unknown) => value is WebAssembly.Module} */
export const isWasmModule = /* @__PURE__ */ slotted((value) => WebAssembly.Module.exports(value));

/**
 * @param {unknown} value
 * @returns {boolean} asked by its tag, for not every page has the class
 */
export function isSharedArrayBuffer(value) {
  return tagOf(value) === 'SharedArrayBuffer';
}

/**
 * @param {unknown} value
 * @returns {value is RegExp} by its tag: its slots are open to those of its own realm alone
 */
export function isRegExp(value) {
  return tagOf(value) === 'RegExp';
}

/**
 * @param {unknown} value
 * @returns {value is URL} by its tag, for jsdom has a class of its own in JavaScript
 */
export function isUrl(value) {
  return tagOf(value) === 'URL';
}

/**
 * @param {any} error
 * @param {string} name of its class
 * @returns {boolean}
 */
export function isError(error, name) {
  return tagOf(error) === 'Error' && error.name === name;
}

/**
 * @param {any} value
 * @returns {value is Record<string, any>} whether it is an object without a class: `{}` of any realm, or without a
 *   prototype
 */
export function isPlain(value) {
  if (typeof value !== 'object' || value === null || tagOf(value) !== 'Object') return false;
  const prototype = Object.getPrototypeOf(value);
  // Each realm has one object that inherits nothing and gives all others `isPrototypeOf`.
  return prototype === null
    || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf'));
}

/**
 * @param {unknown} value
 * @returns {string} 'Object', 'Array', 'String' …: what it says of itself, where nothing better is to be had
 */
export function tagOf(value) {
  return Object.prototype.toString.call(value).slice(8, -1);
}
