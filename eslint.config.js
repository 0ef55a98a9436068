// What `npm run lint` holds the JavaScript to: mistakes, documented exports, and the layout of style.
import js from '@eslint/js';
import jsdoc from 'eslint-plugin-jsdoc';
import globals from 'globals';

const recommended = jsdoc.configs['flat/recommended-typescript-flavor-error'];

const publicMethod = 'MethodDefinition:not([key.type="PrivateIdentifier"], [kind=/^(constructor|set)$/])';

export default [
  { ignores: ['**/node_modules/', '**/generated/', '**/build/', 'dist/', 'tests/.venv/'] },
  js.configs.recommended,
  {
    // The package runs in browsers, workers and Node alike, so it may name only what all of them have.
    files: ['js/**'],
    languageOptions: { globals: globals['shared-node-browser'] },
    rules: {
      'no-restricted-syntax': ['error',
        {
          selector: 'BinaryExpression[operator="instanceof"]',
          message: 'Values come from other realms and other copies of the package: ask js/core/identity.js (arrayKind, '
            + 'isBytes, isMap, isRegExp, isError … of built-ins; hasBrand of our own).',
        },
        {
          selector: 'BinaryExpression > MemberExpression[property.name="name"]'
            + ' > MemberExpression[property.name="constructor"]',
          message: "A class's name can be anything: ask js/core/identity.js (arrayKind, isPlain, hasBrand).",
        },
        {
          selector: 'MemberExpression[property.name=/^(getPrototypeOf|isPrototypeOf)$/]',
          message: 'Prototypes differ among realms: ask js/core/identity.js (isPlain).',
        },
      ],
      'no-restricted-globals': ['error',
        { name: 'structuredClone', message: 'jsdom lacks it: use copyOf of js/core/copy.js.' },
        { name: 'TextEncoder', message: 'jsdom lacks it: use encodeUtf8 of js/core/utf8.js.' },
        { name: 'TextDecoder', message: 'jsdom lacks it: use decodeUtf8 of js/core/utf8.js.' },
      ],
    },
  },
  {
    files: ['js/core/identity.js'],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    files: ['web-demo/**', 'docs/**'],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
  {
    files: ['src/**', 'tests/**', '*.js'],
    languageOptions: { globals: globals.node },
  },
  {
    // Their functions run in pages.
    files: ['tests/browsers/**'],
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
  {
    rules: {
      'eqeqeq': ['error', 'always', { null: 'ignore' }],
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
      'prefer-template': 'error',
      'curly': ['error', 'multi-line'],
      'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],

      'eol-last': 'error',
      'indent': ['error', 2, { SwitchCase: 1, ignoreComments: true }],
      'linebreak-style': 'error',
      'max-len': ['error', { code: 120, ignoreUrls: true, ignoreRegExpLiterals: true }],
      'no-tabs': 'error',
      'no-trailing-spaces': 'error',
      'quotes': ['error', 'single', { avoidEscape: true }],
      'semi': 'error',
    },
  },
  {
    ...recommended,
    settings: { jsdoc: { mode: 'typescript' } },
    rules: {
      ...recommended.rules,
      // The compiler checks that types are there and right; these, that what is exported says what it is for.
      'jsdoc/require-jsdoc': ['error', {
        publicOnly: true,
        require: { ClassDeclaration: true, FunctionDeclaration: true, MethodDefinition: true },
      }],
      'jsdoc/require-returns': ['error', { contexts: ['ExportNamedDeclaration > FunctionDeclaration', publicMethod] }],
      'jsdoc/no-restricted-syntax': ['error', {
        contexts: ['ExportNamedDeclaration', publicMethod].map((context) => ({
          context,
          comment: 'JsdocBlock[description=""]:not(JsdocBlock:has(JsdocTag[tag=/^(returns|inheritDoc|override)$/]))',
          message: 'Say what it does, in a description or at @returns.',
        })),
      }],
      'jsdoc/require-param-description': 'off', // often the name and the type say it all
      'jsdoc/require-property-description': 'off',
      'jsdoc/require-returns-description': 'off',
      'jsdoc/require-returns-check': 'off', // a method to override throws
      'jsdoc/require-yields': 'off', // Generator<T> says it
      'jsdoc/reject-any-type': 'off', // for what comes from outside and is then checked
      'jsdoc/escape-inline-tags': 'off', // the compiler reads `/** Why. @type {T} */` as it is meant
      'jsdoc/valid-types': 'off', // knows less of TypeScript than the compiler
      'jsdoc/tag-lines': ['error', 'any', { startLines: null }],
    },
  },
  {
    files: ['tests/**'],
    rules: {
      // A case of a table is one line.
      'max-len': ['error', { code: 140, ignoreUrls: true, ignoreRegExpLiterals: true }],
      // Nobody calls a test from elsewhere: its helpers say what the compiler cannot infer.
      'jsdoc/no-restricted-syntax': 'off',
      'jsdoc/require-param': 'off',
      'jsdoc/require-returns': 'off',
    },
  },
];
