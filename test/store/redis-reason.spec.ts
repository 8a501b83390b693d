import { describe, expect, it } from '@jest/globals';
import { redisReason } from '../../src/store/redis-reason.ts';

const named = (name: string, message: string): Error => Object.assign(new Error(message), { name });
const coded = (code: string, message: string): Error => Object.assign(new Error(message), { code });

describe('the reason why Redis is unavailable', () => {
  it.each([
    ['a system error code', coded('ECONNREFUSED', 'connect ECONNREFUSED 10.0.0.1:6379'), 'ECONNREFUSED'],
    ['the code of an error reply', named('ReplyError', 'WRONGPASS invalid pass-word'), 'WRONGPASS'],
    ['the code of a refused connection', named('ReplyError', 'ERR max number of clients reached'), 'ERR'],
    ['a command timeout', new Error('Command timed out'), 'timeout'],
    ['a socket timeout', new Error('Socket timeout. Expecting data, but none came'), 'timeout'],
    ['a closed connection', new Error('Connection is closed.'), 'connection closed'],
    [
      'a command on a closed connection',
      named('AbortError', 'Command aborted due to connection close'),
      'connection closed',
    ],
    [
      'a missing connection',
      new Error("Stream isn't writeable and enableOfflineQueue options is false"),
      'not connected',
    ],
    [
      'a missing cluster',
      new Error("Cluster isn't ready and enableOfflineQueue options is false"),
      'not connected',
    ],
    [
      'exhausted retries',
      named('MaxRetriesPerRequestError', 'Reached the max retries per request limit'),
      'not connected',
    ],
    [
      'the code of a reply inside a script of Redis 6.2',
      named(
        'ReplyError',
        `ERR Error running script (call to f_0): @user_script:4: @user_script: 4: -READONLY You can't write`,
      ),
      'READONLY',
    ],
    ['a silent subscription', new Error('No message arrives'), 'no message arrives'],
    ['a subscription that closed', new Error('Connection closed'), 'connection closed'],
    ['unreachable nodes', new Error('None of startup nodes is available'), 'no node answers'],
    ['unreachable sentinels', new Error('All sentinels are unreachable. Retrying'), 'no sentinel answers'],
    [
      'the cause of unreachable sentinels',
      new Error('All sentinels are unreachable. Last error: connect EHOSTUNREACH a'),
      'EHOSTUNREACH',
    ],
    ['the error of a node', Object.assign(new Error('it'), { lastNodeError: coded('EPIPE', 'a') }), 'EPIPE'],
    ['the name of another error', new SyntaxError('Unexpected token p of pass-word'), 'SyntaxError'],
    ['an unknown error', new Error('pass-word at 10.0.0.1'), 'unknown'],
    ['a missing error', undefined, 'no node serves'],
  ])('is taken from %s', (_, error, reason) => {
    expect(redisReason(error)).toBe(reason);
  });
});
