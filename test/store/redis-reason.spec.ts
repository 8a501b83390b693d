import { describe, expect, it } from '@jest/globals';
import { redisReason } from '../../src/store/redis-reason.ts';

const named = (name: string, message: string): Error => Object.assign(new Error(message), { name });
const coded = (code: string, message: string): Error => Object.assign(new Error(message), { code });

describe('why Redis is away', () => {
  it.each([
    ['the code of the system', coded('ECONNREFUSED', 'connect ECONNREFUSED 10.0.0.1:6379'), 'ECONNREFUSED'],
    ['the code of a reply', named('ReplyError', 'WRONGPASS invalid pass-word'), 'WRONGPASS'],
    ['a reply that refuses all', named('ReplyError', 'ERR max number of clients reached'), 'ERR'],
    ['a command without an answer', new Error('Command timed out'), 'timeout'],
    ['a connection without a byte', new Error('Socket timeout. Expecting data, but none came'), 'timeout'],
    ['a connection that has ended', new Error('Connection is closed.'), 'connection closed'],
    ['a command on one', named('AbortError', 'Command aborted due to connection close'), 'connection closed'],
    [
      'no connection',
      new Error("Stream isn't writeable and enableOfflineQueue options is false"),
      'not connected',
    ],
    ['no cluster', new Error("Cluster isn't ready and enableOfflineQueue options is false"), 'not connected'],
    [
      'a retry',
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
    ['a subscription without a message', new Error('No message arrives'), 'no message arrives'],
    ['a connection that was just closed', new Error('Connection closed'), 'connection closed'],
    ['no node', new Error('None of startup nodes is available'), 'no node answers'],
    ['no sentinel', new Error('All sentinels are unreachable. Retrying'), 'no sentinel answers'],
    [
      'why there is none',
      new Error('All sentinels are unreachable. Last error: connect EHOSTUNREACH a'),
      'EHOSTUNREACH',
    ],
    ['what its node said', Object.assign(new Error('it'), { lastNodeError: coded('EPIPE', 'a') }), 'EPIPE'],
    ['garbage', new SyntaxError('Unexpected token p of pass-word'), 'SyntaxError'],
    ['nothing that is known', new Error('pass-word at 10.0.0.1'), 'unknown'],
    ['no error', undefined, 'no node serves'],
  ])('is %s, in a word or two', (_, error, reason) => {
    expect(redisReason(error)).toBe(reason);
  });
});
