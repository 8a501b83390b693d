import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FakeUpstreamProcess } from '../../support/fake-upstream-process.ts';
import { RedisServer } from '../../support/redis.ts';

/** What a section starts ends with it, last first, whatever comes of it. */
export class Resources {
  readonly #ends: (() => Promise<unknown>)[] = [];

  use<T extends { stop(): Promise<unknown> }>(started: T): T {
    this.#ends.push(() => started.stop());
    return started;
  }

  /** A folder that is gone at the end, with what is in it. */
  folder(): string {
    const folder = mkdtempSync(join(tmpdir(), 'gateway-bench-'));
    // Varnish reads its file as another user.
    chmodSync(folder, 0o755);
    this.#ends.push(async () => {
      rmSync(folder, { recursive: true, force: true });
    });
    return folder;
  }

  /** The iTwin upstream, in a process of its own. */
  async upstream(
    env: Readonly<Record<string, string>> = {},
    settings: object = {},
  ): Promise<FakeUpstreamProcess> {
    return this.use(await FakeUpstreamProcess.start(env, settings));
  }

  async redis(): Promise<RedisServer> {
    const redis = await RedisServer.start();
    this.#ends.push(() => redis.kill());
    return redis;
  }

  /** All of them, even when one will not. */
  async end(): Promise<void> {
    const faults: unknown[] = [];
    for (let end = this.#ends.pop(); end; end = this.#ends.pop())
      await end().catch((fault: unknown) => faults.push(fault));
    if (faults.length > 0) throw new AggregateError(faults, 'what was started has not ended in order');
  }
}

/** Runs something with resources that end with it. */
export async function withResources<T>(run: (resources: Resources) => Promise<T>): Promise<T> {
  const resources = new Resources();
  try {
    return await run(resources);
  } finally {
    await resources.end();
  }
}
