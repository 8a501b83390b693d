import { jest } from '@jest/globals';

/** A busy machine may disturb a test that has to do with time. It is run once more, and the first failure is told; what is broken fails twice. */
jest.retryTimes(1, { logErrorsBeforeRetry: true });
