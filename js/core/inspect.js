/**
 * Parts that all classes in users' hands share: how the console and JSON show them, the end of a `using`
 * block, and a clear error where a Proxy stands in for the object, which has no private fields.
 */

/** Asked by the consoles of Node, Deno and Bun. */
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/** How many values of an array the console shows. */
const FIRST_VALUES = 6;

/**
 * @param {string} name of the class
 * @returns {TypeError} to throw where private fields are not there
 */
export function proxyError(name) {
  return new TypeError(`${name} must be the object itself, got a Proxy of it, such as Vue's reactive makes: keep it `
    + 'out of that by markRaw');
}

/**
 * Lets consoles show what counts of an object.
 *
 * @param {{ prototype: any }} Class
 * @param {(object: any) => object} factsOf what is shown of it; if it throws, as for a disposed one, that is shown
 */
export function shows({ prototype }, factsOf) {
  Object.defineProperty(prototype, INSPECT, {
    value(
      /** @type {number} */ _depth,
      /** @type {object} */ options,
      /** @type {(...args: unknown[]) => string} */ inspect,
    ) {
      const { name } = this.constructor;
      try {
        return `${name} ${inspect(factsOf(this), { ...options, maxArrayLength: FIRST_VALUES })}`;
      } catch (error) {
        return `${name} <${/** @type {Error} */ (error).message}>`;
      }
    },
  });
}

/**
 * Lets `using` blocks end what they hold.
 *
 * @param {{ prototype: any }} Class gets `[Symbol.dispose]`
 * @param {string} [end] its method that does so
 */
export function disposes({ prototype }, end = 'dispose') {
  // Node 18 has no Symbol.dispose yet.
  if (!Symbol.dispose) return;
  Object.defineProperty(prototype, Symbol.dispose, {
    configurable: true,
    value() {
      this[end]();
    },
  });
}

/**
 * All of it, for optimizers.
 *
 * @param {{ prototype: any, name: string }} Class whose methods refuse a Proxy from now on
 * @param {(object: any) => boolean} isItself whether an object has the private fields of the class
 * @param {(object: any) => object} factsOf see `shows`; JSON gets the same
 */
export function equip(Class, isItself, factsOf) {
  const { prototype, name } = Class;
  shows(Class, factsOf);
  disposes(Class);
  Object.defineProperty(prototype, 'toJSON', {
    configurable: true,
    value() {
      return factsOf(this);
    },
  });
  for (const key of Reflect.ownKeys(prototype)) {
    if (key === 'constructor' || key === INSPECT) continue;
    const property = /** @type {any} */ (Object.getOwnPropertyDescriptor(prototype, key));
    for (const part of ['value', 'get', 'set']) {
      const method = property[part];
      if (!method) continue;
      property[part] = function guarded(/** @type {unknown[]} */ ...args) {
        if (!isItself(this)) throw proxyError(name);
        return method.apply(this, args);
      };
    }
    Object.defineProperty(prototype, key, property);
  }
}

/**
 * @param {any} optimizer with Keras's methods
 * @returns {object} what is shown of it
 */
export function configured(optimizer) {
  const { name, iterations } = optimizer;
  return { name, iterations, ...optimizer.getConfig() };
}
