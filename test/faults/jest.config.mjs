import base from '../../jest.config.mjs';

/** The runs with several replicas under load and faults: one at a time, because they measure. */
export default {
  ...base,
  rootDir: '../..',
  roots: ['<rootDir>/test/faults'],
  testPathIgnorePatterns: ['/node_modules/'],
};
