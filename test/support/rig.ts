import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from '@jest/globals';
import { type FakeUpstreamOptions, FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';
import { RedisServer } from './redis.ts';

/** What a test starts ends with it, last first: each in turn, so that a gateway ends before what it needs. */
const ends: (() => Promise<unknown>)[] = [];
/** A drain of the tests takes no longer, on a busy machine either. */
const LONGEST_END_MS = 60_000;

afterEach(async () => {
  const faults: unknown[] = [];
  for (let end = ends.pop(); end; end = ends.pop()) await end().catch((error: unknown) => faults.push(error));
  if (faults.length > 0) throw faults[0];
});

export async function startUpstream(options: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
  const upstream = await FakeUpstream.start(options);
  ends.push(() => upstream.stop());
  return upstream;
}

/** @param args those of redis-server on a port; default: one that keeps nothing on disk */
export async function startRedis(
  args?: (port: number) => readonly string[],
  command?: string,
): Promise<RedisServer> {
  const redis = await RedisServer.on(args, command);
  ends.push(() => redis.kill());
  await redis.start();
  return redis;
}

/** A folder that is gone after the test, with what is in it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-test-'));
  ends.push(async () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = await Gateway.start(options);
  ends.push(() => endOf(gateway));
  return gateway;
}

/** One that does not end must not keep what was started before it from ending. */
async function endOf(gateway: Gateway): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => {
    late.abort();
    gateway.signal('SIGKILL');
  }, LONGEST_END_MS);
  await gateway.stop().finally(() => clearTimeout(timer));
  if (late.signal.aborted) throw new Error(`the gateway did not end within ${LONGEST_END_MS} ms`);
}

/** Runs at the end of the test. */
export function atEnd(end: () => Promise<unknown>): void {
  ends.push(end);
}
