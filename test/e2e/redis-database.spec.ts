import { describe, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import { untilRedisIs } from '../support/readiness.ts';
import { readJob } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway, startRedis } from '../support/rig.ts';
import { until } from '../support/until.ts';

jest.setTimeout(60_000);

const away = 'Redis connection lost, serving reads without it';

/** A connection of the test. */
function look(port: number): Redis {
  const admin = new Redis({ port });
  atEnd(async () => admin.disconnect());
  return admin;
}

/** Numbers of the databases with keys. */
async function databasesIn(admin: Redis): Promise<string[]> {
  return [...(await admin.info('keyspace')).matchAll(/^db(\d+):/gm)].map(([, number]) => number!);
}

/** Total number of connections accepted. */
async function connections(admin: Redis): Promise<number> {
  return Number(/total_connections_received:(\d+)/.exec(await admin.info('stats'))?.[1]);
}

describe('the database of REDIS_URL', () => {
  it('is the only one used', async () => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    const admin = look(redis.port);
    const gateway = await startGateway({ upstream, env: { REDIS_URL: `${redis.url}/3` } });
    await untilRedisIs('up', gateway);
    await readJob(gateway, upstream.addJob().id);
    await until('it is stored', async () => (await databasesIn(admin)).length > 0);
    expect(await databasesIn(admin)).toEqual(['3']);
  });

  it.each([
    ['that the server does not have', '99', async () => undefined, 'ERR'],
    [
      'that the user may not choose',
      '3',
      (admin: Redis) => admin.acl('SETUSER', 'default', '-select'),
      'NOPERM',
    ],
  ])('%s is logged once, and no other is used instead', async (_, database, prepare, word) => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    const admin = look(redis.port);
    await prepare(admin);
    const gateway = await startGateway({ upstream, env: { REDIS_URL: `${redis.url}/${database}` } });
    const before = await connections(admin);
    expect((await readJob(gateway, upstream.addJob().id)).status).toBe(200);
    await untilRedisIs('degraded', gateway);
    await until('it has tried again', async () => (await connections(admin)) >= before + 3);
    expect((await readJob(gateway, upstream.addJob().id)).status).toBe(200);
    expect(gateway.log.filter(({ msg }) => /^Redis connection/.test(msg ?? ''))).toEqual([
      expect.objectContaining({
        msg: away,
        reason: `REDIS_URL: database ${database} is refused (${word})`,
      }),
    ]);
    expect(await databasesIn(admin)).toEqual([]);
    if (database === '99') return;
    await admin.acl('SETUSER', 'default', '+select');
    await untilRedisIs('up', gateway);
  });

  it('is named also when the server that refuses it starts later', async () => {
    const [upstream, redis] = [await startUpstream(), await startRedis()];
    await redis.kill();
    const gateway = await startGateway({ upstream, env: { REDIS_URL: `${redis.url}/99` } });
    await gateway.logged(({ msg, reason }) => msg === away && reason === 'ECONNREFUSED');
    await redis.start();
    await gateway.logged(({ reason }) => reason === 'REDIS_URL: database 99 is refused (ERR)');
    expect((await readJob(gateway, upstream.addJob().id)).status).toBe(200);
    expect(await databasesIn(look(redis.port))).toEqual([]);
  });
});
