import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { metric } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
  version: string;
};

it.each([
  [{ REVISION: '38b9b8d0c7' }, '38b9b8d0c7'],
  [{ REVISION: '' }, 'unknown'],
  [{}, 'unknown'],
])('the first log line and a metric contain the build: %j', async (env, revision) => {
  const gateway = await startGateway({ upstream: await startUpstream(), env });
  expect(gateway.log[0]).toMatchObject({ level: 30, msg: 'starting', version, revision });
  expect(await metric(gateway, 'gateway_build_info', { version, revision })).toBe(1);
  expect(await metric(gateway, 'gateway_build_info')).toBe(1);
});
