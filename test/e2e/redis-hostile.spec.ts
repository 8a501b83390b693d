import { describe, expect, it, jest } from '@jest/globals';
import { HostileRedis, type Hostility, type Moment } from '../support/hostile-redis.ts';
import { untilRedisIs } from '../support/readiness.ts';
import { jobIds, metric, readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { until } from '../support/until.ts';

jest.setTimeout(180_000);

const ANSWERS: Readonly<Record<string, string>> = {
  'no Redis at all': 'HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n<html>',
  'bytes of TLS': '\x15\x03\x01\x00\x02\x02\x46',
  zeros: '\0'.repeat(1000),
  'an error': '-ERR unknown command\r\n',
  'an error without a word': '-\r\n',
  'an error in bulk': '!11\r\nERR nothing\r\n',
  'that a password is needed': '-NOAUTH Authentication required.\r\n',
  'that it loads': '-LOADING Redis is loading the dataset in memory\r\n',
  'that it cannot write': '-MISCONF Redis is configured to save RDB snapshots\r\n',
  'that it is a replica': "-READONLY You can't write against a read only replica.\r\n",
  'that its master is down': '-MASTERDOWN Link with MASTER is down\r\n',
  'that it has moved': '-MOVED 1 127.0.0.1:1\r\n',
  'that it has moved to nowhere': '-MOVED\r\n',
  'that it has moved to no port': '-MOVED 1 127.0.0.1:99999\r\n',
  'that somebody else is to be asked': '-ASK 1\r\n',
  'that it is busy': '-BUSY Redis is busy running a script.\r\n',
  'that it allows nothing': '-NOPERM this user has no permissions\r\n',
  OK: '+OK\r\n',
  'a number': ':1\r\n',
  nil: '$-1\r\n',
  'the other nil': '_\r\n',
  'no array': '*-1\r\n',
  'an empty array': '*0\r\n',
  'an array of nils': '*3\r\n$-1\r\n$-1\r\n$-1\r\n',
  'an array of words': '*2\r\n$3\r\nten\r\n$1\r\nx\r\n',
  'slots without end': '*1\r\n*3\r\n:0\r\n:9999999999\r\n*2\r\n$9\r\n127.0.0.1\r\n:1\r\n',
  'a boolean': '#t\r\n',
  'no number': ',nan\r\n',
  'an empty map': '%0\r\n',
  'an empty set': '~0\r\n',
  'two answers': '+OK\r\n$-1\r\n',
  'half an answer': '$10\r\nabc',
  'half a head': '*',
  'a length without end': '$99999999999999999999\r\nx',
  'a length below nothing': '$-5\r\nx\r\n',
  'a length of two gigabytes': '$2147483648\r\nx',
  'too many items': '*4294967296\r\n',
  'two thousand million items': '*2000000000\r\n:1\r\n',
  'arrays in arrays': '*1\r\n'.repeat(50_000),
  'an empty push': '>0\r\n',
  'a push of nil': '>1\r\n$-1\r\n',
  'a message without a channel': '>3\r\n$7\r\nmessage\r\n_\r\n_\r\n',
  'a message that is none': '*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n',
  'a subscription without a channel': '>2\r\n$9\r\nsubscribe\r\n_\r\n',
  'a subscription to nothing': '>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n',
  'an end of what nobody asked for': '>3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n',
};

const at = (...moments: readonly Moment[]): Hostility[] =>
  Object.entries(ANSWERS).flatMap(([name, answer]) =>
    moments.map((moment) => ({ what: `${name}, ${moment}`, answer, moment })),
  );

describe('whatever a server replies instead of Redis', () => {
  it.each([
    [
      'at a URL',
      (port: number) => ({ REDIS_URL: `redis://127.0.0.1:${port}/1` }),
      at('at once', 'to each command', 'once it is ready', 'to the handshake, then closes'),
    ],
    [
      'of a sentinel',
      (port: number) => ({ REDIS_SENTINELS: `127.0.0.1:${port}`, REDIS_SENTINEL_NAME: 'jobs' }),
      at('to each command'),
    ],
    [
      'of a cluster',
      (port: number) => ({ REDIS_CLUSTER: `127.0.0.1:${port}` }),
      at('to each command', 'once it is ready'),
    ],
  ])('%s, the process survives and reads are answered', async (where, env, hostilities) => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const hostile = await HostileRedis.start(hostilities);
    atEnd(() => hostile.stop());
    const gateway = await startGateway({ upstream, env: env(hostile.port) });
    const faults: string[] = [];
    const allIsSaid = async (): Promise<boolean> => {
      const { last } = hostile;
      const [fresh = ''] = jobIds(1);
      const outcome = await readJob(gateway, fresh).then(({ status }) => String(status), String);
      if (outcome !== '200') faults.push(`${outcome} after: ${last}; ${hostile.last}`);
      return hostile.left === 0 || gateway.hasEnded;
    };
    await until('all is said', allIsSaid, 150_000);
    expect(faults).toEqual([]);
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
    expect(await metric(gateway, 'process_resident_memory_bytes')).toBeLessThan(500 * 2 ** 20);
    if (where !== 'at a URL') return;
    // The gateway still reconnects after all of them.
    hostile.forwardTo((await startRedis()).port);
    await untilRedisIs('up', gateway);
  });
});
