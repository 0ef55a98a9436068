/**
 * The update as text of a shading language: js/core/rule.js over an algebra whose numbers are names and whose
 * operations are statements. One operation stands on a line; what a result does not need is left out.
 *
 * The text computes in float32, or four of them at once, on one element each. The caller declares, before it,
 *   - `functions(…)`, once a program;
 *   - every array as a variable that holds its element and can be assigned to: `value`, `gradient`, `mean_square` …;
 *   - the scalars of the step (`scalarsOf` of rule.js) as `step_learning_rate` …, or by names of its own, and with a
 *     norm clip `step_norm`, what that divides or multiplies by.
 * Shading languages round, fuse and flush as they like: equal bits are not promised, nor that a NaN stays one.
 */
import { globalFactorOf, normOf, prepared, step } from './rule.js';

/** @typedef {import('./rule.js').Form} Form */
/** @typedef {import('./rule.js').ScalarName} ScalarName */
/** @typedef {keyof import('./rule.js').Arrays<string>} ArrayName */
/** @typedef {'float' | 'vec4' | 'f32' | 'vec4f'} Type GLSL's float and vec4, WGSL's f32 and vec4f */
/**
 * @typedef {object} TextOptions
 * @property {Type} type of an element, which decides the language
 * @property {(name: ScalarName | 'norm') => string} [scalar] what the program calls a scalar; default `step_` and the
 *   name
 */

/** Functions of two numbers that the languages lack, or leave open for NaN: as GLSL's condition on the components. */
const FUNCTIONS = Object.freeze({
  positive_or: { condition: 'a <= 0', whereTrue: 'b', whereFalse: 'a' },
  smaller_of: { condition: 'a < b', whereTrue: 'a', whereFalse: 'b' },
  larger_of: { condition: 'b > a', whereTrue: 'b', whereFalse: 'a' },
});

/** @type {(type: Type) => boolean} */
const isGlsl = (type) => type === 'float' || type === 'vec4';

/**
 * @param {Type} type
 * @returns {string} the functions that the texts of that type call
 */
export function functions(type) {
  return Object.entries(FUNCTIONS).map(([name, { condition, whereTrue, whereFalse }]) => {
    if (!isGlsl(type)) {
      const result = `select(${whereFalse}, ${whereTrue}, ${condition.replace('0', `${type}(0.0)`)})`;
      return `fn ${name}(a: ${type}, b: ${type}) -> ${type} { return ${result}; }\n`;
    }
    const lane = (/** @type {string} */ suffix) =>
      `${condition.replace('0', '0.0')} ? ${whereTrue} : ${whereFalse}`.replace(/\b[ab]\b/g, (a) => a + suffix);
    const result = type === 'float' ? lane('') : `vec4(${['.x', '.y', '.z', '.w'].map(lane).join(', ')})`;
    return `${type} ${name}(${type} a, ${type} b) { return ${result}; }\n`;
  }).join('');
}

/** Statements, of which those are printed that a result needs. */
class Statements {
  #type;
  /** By the name of what they define. @type {Map<string, { expression: string, operands: string[] }>} */
  #made = new Map();

  /** @param {Type} type */
  constructor(type) {
    this.#type = type;
  }

  /** @returns {import('./rule.js').AlgebraOfNorms<string>} */
  get algebra() {
    const type = this.#type;
    const operator = (/** @type {string} */ sign) => (/** @type {string} */ a, /** @type {string} */ b) =>
      this.#define(`${a} ${sign} ${b}`, a, b);
    const call = (/** @type {string} */ name) => (/** @type {string} */ a, /** @type {string} */ b) =>
      this.#define(`${name}(${a}, ${type}(${b}))`, a, b);
    return {
      add: operator('+'),
      subtract: operator('-'),
      multiply: operator('*'),
      divide: operator('/'),
      negate: (a) => this.#define(`-${a}`, a),
      squareRoot: (a) => this.#define(`sqrt(${a})`, a),
      clamp: (a, limit) => {
        const below = call('smaller_of')(a, limit);
        return call('larger_of')(below, this.#define(`${type}(-${limit})`, limit));
      },
      positiveOr: call('positive_or'),
      minimum: call('smaller_of'),
      maximum: call('larger_of'),
      zeros: () => this.#define(`${type}(0.0)`),
      zero: '0.0',
      one: '1.0',
    };
  }

  /**
   * @param {string} expression
   * @param {...string} operands
   * @returns {string} the name of what it gives
   */
  #define(expression, ...operands) {
    const name = `t${this.#made.size}`;
    this.#made.set(name, { expression, operands });
    return name;
  }

  /**
   * @param {[name: string, result: string][]} assignments made after all is computed
   * @returns {string}
   */
  print(assignments) {
    /** @type {Set<string>} */
    const needed = new Set();
    const need = (/** @type {string} */ name) => {
      if (needed.has(name)) return;
      this.#made.get(name)?.operands.forEach(need);
      needed.add(name);
    };
    for (const [, result] of assignments) need(result);
    const declare = isGlsl(this.#type) ? this.#type : 'let';
    const lines = [...this.#made].filter(([name]) => needed.has(name))
      .map(([name, { expression }]) => `${declare} ${name} = ${expression};\n`);
    return [...lines, ...assignments.map(([name, result]) => `${name} = ${result};\n`)].join('');
  }
}

/** @type {(scalar: TextOptions['scalar']) => any} */
const scalarsBy = (scalar = (name) => `step_${name}`) =>
  new Proxy({}, { get: (_, name) => scalar(/** @type {ScalarName} */ (name)) });

/**
 * The body of one step of one element.
 *
 * @param {Form} form
 * @param {readonly ArrayName[]} arrays those that the tensor has; with 'gradient' where it has one in this step
 * @param {TextOptions & { results?: readonly (ArrayName | 'update')[] }} options results: default all that change
 * @returns {string} statements that assign to `value`, `mean_square` … and `update`
 */
export function stepText(form, arrays, { type, scalar, results }) {
  const statements = new Statements(type);
  const scalars = scalarsBy(scalar);
  const names = /** @type {any} */ (Object.fromEntries(arrays.map((name) => [name, name])));
  const changes = Object.entries(step(statements.algebra, form, scalars, names, scalars.norm));
  const asked = changes.filter(([name]) => !results || results.includes(/** @type {ArrayName} */ (name)));
  return statements.print(/** @type {[string, string][]} */ (asked));
}

/**
 * The body of what a step makes of a gradient before any clip.
 *
 * @param {Form} form
 * @param {boolean} accumulates whether there is an accumulator
 * @param {TextOptions} options
 * @returns {string} statements that assign to `gradient`
 */
export function preparedText(form, accumulates, { type, scalar }) {
  const statements = new Statements(type);
  const accumulator = accumulates ? 'accumulator' : undefined;
  const result = prepared(statements.algebra, form, scalarsBy(scalar), 'gradient', accumulator);
  return statements.print([['gradient', result]]);
}

/**
 * The body of what a norm clip makes of a sum of squares, in which the caller declares `norm` to be the sum.
 *
 * @param {boolean} isGlobal
 * @param {TextOptions} options of one number
 * @returns {string} statements that assign to `norm`
 */
export function normText(isGlobal, { type, scalar }) {
  const statements = new Statements(type);
  const clip = isGlobal ? globalFactorOf : normOf;
  return statements.print([['norm', clip(statements.algebra, scalarsBy(scalar), 'norm')]]);
}
