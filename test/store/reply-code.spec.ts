import { describe, expect, it } from '@jest/globals';
import { replyCode } from '../../src/store/reply-code.ts';

const SHA = '958c4733d8b224b629ebe89bbe8a4e07492aad5c';

/**
 * 6.2: src/scripting.c (`luaPushError`, and "Error running script" in `evalGenericCommand`), as users report it
 * (redis/lettuce#1244, spring-data-redis#3042). 7.0.15 and Valkey 8.0.1: recorded replies.
 */
const REPLIES: [string, string, string | undefined][] = [
  [
    'Redis 6.2, a script on a replica',
    `ERR Error running script (call to f_${SHA}): @user_script:4: @user_script: 4: -READONLY You can't write against a read only replica.  `,
    'READONLY',
  ],
  [
    'Redis 6.2, a script on a key of another type',
    `ERR Error running script (call to f_${SHA}): @user_script:1: WRONGTYPE Operation against a key holding the wrong kind of value`,
    'WRONGTYPE',
  ],
  [
    'Redis 6.2, a script out of memory',
    `ERR Error running script (call to f_${SHA}): @user_script:1: @user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.`,
    'OOM',
  ],
  [
    'Redis 6.2, a script with a runtime error',
    `ERR Error running script (call to f_${SHA}): @user_script:1: user_script:1: attempt to compare nil with number`,
    'ERR',
  ],
  [
    'Redis 7.0 and Valkey 8.0, a script on a replica',
    `READONLY You can't write against a read only replica. script: ${SHA}, on @user_script:1.`,
    'READONLY',
  ],
  [
    'all servers, a command on a replica',
    "READONLY You can't write against a read only replica.",
    'READONLY',
  ],
  [
    'all servers, a replica without its master',
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    'MASTERDOWN',
  ],
  ['no reply', 'Command timed out', undefined],
];

describe('the code of an error reply', () => {
  it.each(REPLIES)('of %s', (_, message, code) => {
    expect(replyCode(new Error(message))).toBe(code);
  });
});
