import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** What this Node offers everywhere: the names that plain JavaScript may use without an import. */
const nodeGlobals = Object.fromEntries(
  Object.getOwnPropertyNames(globalThis).map((name) => [name, 'readonly']),
);

const everywhere = {
  '@typescript-eslint/no-explicit-any': 'error',
  '@typescript-eslint/no-floating-promises': 'error',
  '@typescript-eslint/switch-exhaustiveness-check': ['error', { requireDefaultForNonUnion: true }],
  // A Nest module is a class that says everything in its decorator.
  '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
  // Nest declares its options as classes and expects plain objects.
  '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
  '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
  // A leading underscore says "not used", to the compiler and here alike.
  '@typescript-eslint/no-unused-vars': [
    'error',
    { argsIgnorePattern: '^_', varsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_' },
  ],
};

/** What runs in the browser. */
const PAGE = 'src/*/page/**/*.js';

const inSource = { 'no-console': 'error' };

const outsideConfig = {
  'no-restricted-properties': [
    'error',
    { object: 'process', property: 'env', message: 'Only src/config reads the environment: take a setting.' },
  ],
  'no-restricted-imports': [
    'error',
    ...['process', 'node:process'].map((name) => ({
      name,
      importNames: ['env', 'default'],
      message: 'Use the global process; only src/config reads its environment.',
    })),
  ],
};

const inTests = {
  // A test that meets undefined fails, which is what it is for.
  '@typescript-eslint/no-non-null-assertion': 'off',
  // Fakes fulfil ports that return promises.
  '@typescript-eslint/require-await': 'off',
  '@typescript-eslint/no-confusing-void-expression': [
    'error',
    { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
  ],
};

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  { files: ['**/*.{js,mjs,cjs}'], ignores: [PAGE], languageOptions: { globals: nodeGlobals } },
  // The names that a browser has are known to the type check (tsconfig.page.json).
  {
    files: [PAGE],
    rules: { 'no-undef': 'off', 'no-console': 'error', eqeqeq: ['error', 'always', { null: 'ignore' }] },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: everywhere,
  },
  { files: ['src/**/*.ts'], rules: inSource },
  { files: ['src/**/*.ts'], ignores: ['src/config/**'], rules: outsideConfig },
  { files: ['test/**/*.ts', '**/*.spec.ts'], rules: inTests },
);
