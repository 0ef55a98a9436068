/**
 * A learning rate typed as text, as in `0.001 * exp(-step / 2000)`. mathjs parses and evaluates it; it can compute
 * numbers and nothing else:
 *
 *     no code     mathjs compiles to closures, without eval or new Function, so that it works where a page's policy
 *                 forbids these; and of its language only what is listed here passes
 *     no waiting  no loops, no recursion, no definitions and a limited length: a bounded number of operations
 *     same bits   exp, log, cos, sin, pow and ^ are the package's own, made of + - * / and sqrt, because engines differ
 *                 in Math.exp and friends
 */
import { create, parseDependencies } from 'mathjs/number';
import { cos, exp, log, pow } from '../../js/math.js';
import { EXPRESSION_LENGTH } from './configuration.js';

/** How many arguments each takes: at least and at most. @type {Record<string, [Function, number, number]>} */
const FUNCTIONS = {
  sqrt: [Math.sqrt, 1, 1],
  exp: [exp, 1, 1],
  log: [log, 1, 1],
  cos: [cos, 1, 1],
  sin: [(/** @type {number} */ x) => cos(x - Math.PI / 2), 1, 1],
  pow: [pow, 2, 2],
  abs: [Math.abs, 1, 1],
  floor: [Math.floor, 1, 1],
  ceil: [Math.ceil, 1, 1],
  round: [Math.round, 1, 1],
  min: [Math.min, 1, 8],
  max: [Math.max, 1, 8],
};

/** What mathjs calls its operators. @type {Record<string, (a: any, b: any) => number | boolean>} */
const OPERATORS = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  mod: (a, b) => a - b * Math.floor(a / b),
  pow,
  unaryMinus: (a) => -a,
  unaryPlus: (a) => +a,
  smaller: (a, b) => a < b,
  smallerEq: (a, b) => a <= b,
  larger: (a, b) => a > b,
  largerEq: (a, b) => a >= b,
  equal: (a, b) => a === b,
  unequal: (a, b) => a !== b,
  and: (a, b) => Boolean(a && b),
  or: (a, b) => Boolean(a || b),
  not: (a) => !a,
};

const CONSTANTS = { pi: Math.PI, e: Math.E };

/** What has a value only when it is evaluated. */
const VARIABLES = ['step', 'stepsPerEpoch'];

const math = create({ parseDependencies });
math.import({
  ...OPERATORS,
  ...Object.fromEntries(Object.entries(FUNCTIONS).map(([name, [call]]) => [name, call])),
  ...CONSTANTS,
}, { override: true });

/**
 * @param {string} text
 * @returns {(step: number, stepsPerEpoch: number) => number}
 * @throws {RangeError} with a message for the person who typed it; evaluating throws one too where the result is no
 *   finite number
 */
export function compileExpression(text) {
  if (text.trim() === '') throw new RangeError('type a number or an expression in step');
  if (text.length > EXPRESSION_LENGTH) {
    throw new RangeError(`must have at most ${EXPRESSION_LENGTH} characters, got ${text.length}`);
  }
  const node = parse(text);
  node.traverse((/** @type {any} */ part, /** @type {string} */ path, /** @type {any} */ parent) => {
    // The name of a function is checked with the function.
    if (parent?.type === 'FunctionNode' && path === 'fn') return;
    check(part);
  });
  const code = node.compile();
  return (step, stepsPerEpoch) => {
    const value = code.evaluate(new Map([['step', step], ['stepsPerEpoch', stepsPerEpoch]]));
    if (typeof value !== 'number') throw new RangeError(`must be a number, but is ${value} at step ${step}`);
    if (!Number.isFinite(value)) throw new RangeError(`must be finite, but is ${value} at step ${step}`);
    return value;
  };
}

/**
 * @param {string} text
 * @returns {any} a tree of mathjs
 */
function parse(text) {
  try {
    return math.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) throw new RangeError(error.message, { cause: error });
    if (error instanceof RangeError) throw new RangeError('is nested too deeply', { cause: error });
    throw error;
  }
}

/**
 * @param {any} node
 * @throws {RangeError} if it is more than arithmetic
 */
function check(node) {
  switch (node.type) {
    case 'ParenthesisNode':
    case 'ConditionalNode':
      return;
    case 'ConstantNode':
      if (typeof node.value !== 'number') throw new RangeError(`can have numbers only, got ${node.toString()}`);
      return;
    case 'SymbolNode':
      if (!Object.hasOwn(CONSTANTS, node.name) && !VARIABLES.includes(node.name)) {
        const isFunction = Object.hasOwn(FUNCTIONS, node.name);
        throw new RangeError(`${node.name} is ${isFunction ? 'a function: add arguments in parentheses' : 'unknown'}`);
      }
      return;
    case 'OperatorNode':
      if (!Object.hasOwn(OPERATORS, node.fn)) throw new RangeError(`the operator ${node.op} is not available`);
      return;
    case 'RelationalNode':
      if (node.conditionals.every((/** @type {string} */ name) => Object.hasOwn(OPERATORS, name))) return;
      throw new RangeError('that comparison is not available');
    case 'FunctionNode': {
      const name = node.fn.type === 'SymbolNode' ? node.fn.name : '';
      if (!Object.hasOwn(FUNCTIONS, name)) throw new RangeError(`${name || 'that'} is not an available function`);
      const [, least, most] = FUNCTIONS[name];
      if (node.args.length < least || node.args.length > most) {
        const wanted = least === most ? `${least}` : `${least} to ${most}`;
        throw new RangeError(`${name} takes ${wanted} argument${most === 1 ? '' : 's'}, got ${node.args.length}`);
      }
      return;
    }
    default:
      throw new RangeError(`can be arithmetic only, got ${node.toString().slice(0, 40)}`);
  }
}
