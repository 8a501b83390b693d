import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { jobIds, readJob } from '../support/reads.ts';
import { startUpstream, startGateway, temporaryFolder } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** A Secret as mounted by the kubelet: the file is behind a link to a folder, and that link is replaced. */
class MountedSecret {
  readonly #folder = temporaryFolder();
  #version = 0;

  constructor(secret: string) {
    this.put(secret);
    symlinkSync('..data/secret', this.path);
  }

  get path(): string {
    return join(this.#folder, 'secret');
  }

  put(secret: string): void {
    const version = `..${this.#version++}`;
    mkdirSync(join(this.#folder, version));
    writeFileSync(join(this.#folder, version, 'secret'), `${secret}\n`);
    symlinkSync(version, join(this.#folder, '..next'));
    renameSync(join(this.#folder, '..next'), join(this.#folder, '..data'));
  }
}

/** A gateway with its secret in a file, and continuous reads. */
async function rig(upstream: FakeUpstream) {
  const secret = new MountedSecret(upstream.settings.clientSecret);
  const env = { ITWIN_CLIENT_SECRET: '', ITWIN_CLIENT_SECRET_FILE: secret.path };
  const gateway = await startGateway({ upstream, env });
  const read = async () => (await readJob(gateway, jobIds(1)[0]!)).status;
  return { gateway, secret, read };
}

const tokenStatuses = (upstream: FakeUpstream) => upstream.tokenRequests.map(({ status }) => status);

describe('a rotated client secret', () => {
  it('is read from its file without a restart or a failed read', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const { gateway, secret, read } = await rig(upstream);
    const statuses = [await read()];
    const readOn = async (what: string, holds: () => boolean) =>
      until(what, async () => {
        statuses.push(await read());
        return holds();
      });
    // The platform accepts only the new secret; issued tokens stay valid.
    upstream.set({ clientSecret: 'the-second-secret' });
    secret.put('the-second-secret');
    await readOn('a token has been asked for with the second', () => upstream.tokenRequests.length === 2);
    // At the next rotation the tokens are revoked at the same time, before the file is checked.
    upstream.set({ clientSecret: 'the-third-secret' });
    secret.put('the-third-secret');
    upstream.revokeTokens();
    await readOn('a token has been asked for with the third', () => upstream.tokenRequests.length >= 3);
    await readOn('reads go on', () => statuses.length > 20);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(new Set(tokenStatuses(upstream))).toEqual(new Set([200]));
    expect(gateway.output).toContain('client secret changed');
    expect(gateway.output).not.toMatch(/demo-secret|the-second-secret/);
  });

  it('ends the cooldown that the former one caused', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const { secret, read } = await rig(upstream);
    upstream.set({ clientSecret: 'another-secret' });
    await until('the pause is longer than a second or two', async () => {
      expect(await read()).toBe(502);
      return upstream.tokenRequests.length === 3;
    });
    secret.put('another-secret');
    await until('reads go well', async () => (await read()) === 200);
    expect(tokenStatuses(upstream)).toEqual([401, 401, 401, 200]);
  });

  it('that is refused leaves the token in use, and is logged', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const { gateway, secret, read } = await rig(upstream);
    expect(await read()).toBe(200);
    secret.put('a-wrong-secret');
    await gateway.logged(
      ({ msg, reason }) => msg === 'token request failed' && reason === 'the token endpoint answered 401',
    );
    expect(await read()).toBe(200);
    expect(gateway.output).not.toContain('a-wrong-secret');
  });

  it('is not used while its file is missing or empty', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make' });
    const { secret, read } = await rig(upstream);
    secret.put('');
    upstream.revokeTokens();
    expect(await read()).toBe(200);
  });
});
