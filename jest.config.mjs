// The source and its tests are ESM; swc compiles each file alone, so jest needs Node's VM modules (package.json says how).
export default {
  testEnvironment: 'node',
  // No promise is measured by it: it ends a test that waits for what never comes, on the busiest machine.
  testTimeout: 180_000,
  // They wait more than they work: three at a time also where there are two cores, which jest would leave one of.
  maxWorkers: 3,
  roots: ['<rootDir>/src', '<rootDir>/test'],
  testMatch: ['**/*.spec.ts'],
  // Several processes under load, measured, and those that need Chromium: they run on their own (their jest.config.mjs).
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/faults/', '<rootDir>/test/browser/'],
  reporters: ['default', '<rootDir>/test/setup/closing-line-reporter.mjs'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2024',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true },
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
};
