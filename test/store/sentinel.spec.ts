import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { connectRedis } from '../../src/store/redis.ts';
import { atEnd } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** A port that takes connections and says nothing. */
async function silence(): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    // For the end of a connection that is gone ioredis waits so long.
    await delay(2000);
  });
  return (server.address() as AddressInfo).port;
}

it('a sentinel that takes connections and says nothing is not waited for', async () => {
  const sentinels = [{ host: '127.0.0.1', port: await silence() }];
  const login = { username: '', password: '', tls: false };
  const told: object[] = [];
  const redis = connectRedis(
    { kind: 'sentinel', sentinels, masterName: 'jobs', sentinelPassword: '', login },
    { warn: (details) => told.push(details), info: () => undefined },
  );
  atEnd(async () => redis.disconnect());
  await until('it is told', () => told.length > 0);
  expect(told).toEqual([{ reason: 'no sentinel answers' }]);
});
