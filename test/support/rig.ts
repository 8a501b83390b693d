import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from '@jest/globals';
import { type FakeUpstreamOptions, FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';
import { RedisServer } from './redis.ts';

/** Cleanups of the current test, run in reverse order: a gateway ends before its dependencies. */
const ends: (() => Promise<unknown>)[] = [];
/** Longest drain in tests, also on a busy machine. */
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

/** A folder that is deleted after the test. */
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

/** A cleanup that fails must not prevent the earlier ones. */
async function endOf(gateway: Gateway): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => {
    late.abort();
    gateway.signal('SIGKILL');
  }, LONGEST_END_MS);
  await gateway.stop().finally(() => clearTimeout(timer));
  if (late.signal.aborted) throw new Error(`the gateway did not end within ${LONGEST_END_MS} ms`);
}

/** Registers a cleanup for the end of the test. */
export function atEnd(end: () => Promise<unknown>): void {
  ends.push(end);
}
