import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { connectRedis } from '../../src/store/redis.ts';
import { atEnd } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** A port that accepts connections and sends nothing. */
async function silentPort(): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    // ioredis waits this long for the end of a lost connection.
    await delay(2000);
  });
  return (server.address() as AddressInfo).port;
}

it('a sentinel that accepts connections and sends nothing times out', async () => {
  const sentinels = [{ host: '127.0.0.1', port: await silentPort() }];
  const login = { username: '', password: '', tls: false };
  const warnings: object[] = [];
  const redis = connectRedis(
    { kind: 'sentinel', sentinels, masterName: 'jobs', sentinelPassword: '', login },
    { warn: (details) => warnings.push(details), info: () => undefined },
  );
  atEnd(async () => redis.disconnect());
  await until('a warning is logged', () => warnings.length > 0);
  expect(warnings).toEqual([{ reason: 'no sentinel answers' }]);
});
