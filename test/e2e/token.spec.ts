import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { errorOf, jobIds, metric, readJob, type Seen } from '../support/reads.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';

const ODD_SECRET = `a:b/c+d =e&f%g%20"h'\\i~j*k!l(m)n<o>pü€🔑`;

describe('the client of the token endpoint', () => {
  it('authenticates by HTTP Basic or in the body, with any characters in id and secret', async () => {
    const upstream = await startUpstream({
      clientId: 'id:with/odd +chars',
      clientSecret: ODD_SECRET,
      unknownJobs: 'make',
    });
    const folder = mkdtempSync(join(tmpdir(), 'secret-'));
    atEnd(async () => rmSync(folder, { recursive: true }));
    const file = join(folder, 'secret');
    writeFileSync(file, `${ODD_SECRET}\n`);
    const fromFile = { ITWIN_CLIENT_SECRET: '', ITWIN_CLIENT_SECRET_FILE: file, ITWIN_CLIENT_AUTH: 'body' };
    const [basic, body] = await Promise.all([
      startGateway({ upstream }),
      startGateway({ upstream, env: fromFile }),
    ]);
    for (const [gateway, auth] of [
      [basic, 'basic'],
      [body, 'body'],
    ] as const) {
      expect((await readJob(gateway, jobIds(1)[0]!)).status).toBe(200);
      expect(upstream.tokenRequests.at(-1)).toMatchObject({ auth, status: 200 });
      for (const form of [encodeURIComponent(ODD_SECRET), Buffer.from(ODD_SECRET).toString('base64')]) {
        expect(gateway.output).not.toContain(form);
      }
    }
    expect(upstream.tokenRequests).toHaveLength(2);
  });
});

describe('the token', () => {
  it('is requested once for many reads, and refreshed in the background before its expiry', async () => {
    const upstream = await startUpstream({
      unknownJobs: 'make',
      tokenLifetimeSeconds: 6,
      tokenLatencyMs: 900,
    });
    const gateway = await startGateway({ upstream });
    const first = await Promise.all(jobIds(30).map((id) => readJob(gateway, id)));
    expect(first.map(({ status }) => status)).toEqual(first.map(() => 200));
    expect(upstream.tokenRequests).toHaveLength(1);
    const since = upstream.tokenRequests[0]!.at;
    const later: (Seen & { readonly begunAt: number })[] = [];
    await until('the first token has ended', async () => {
      const begunAt = performance.now();
      later.push({ begunAt, ...(await readJob(gateway, jobIds(1)[0]!)) });
      return performance.now() > since + 6300;
    });
    expect(later.every(({ status }) => status === 200)).toBe(true);
    expect(upstream.tokenRequests).toHaveLength(2);
    const askedAt = upstream.tokenRequests[1]!.at;
    // A fifth of its life before its end, and not long before that.
    expect(askedAt - since).toBeGreaterThanOrEqual(4000);
    const meanwhile = later.filter(
      ({ begunAt, tookMs }) => begunAt > askedAt && begunAt + tookMs < askedAt + 900,
    );
    expect(meanwhile).not.toEqual([]);
    expect(new Set(upstream.calls.map(({ token }) => token)).size).toBe(2);
    expect(upstream.calls.every(({ admitted }) => admitted)).toBe(true);
  });

  it('is used until its expiry while no other is available, with few requests, and recovers by itself', async () => {
    const upstream = await startUpstream({ unknownJobs: 'make', tokenLifetimeSeconds: 3 });
    const gateway = await startGateway({ upstream });
    const read = (): Promise<Seen> => readJob(gateway, jobIds(1)[0]!);
    expect((await read()).status).toBe(200);
    const since = upstream.tokenRequests[0]!.at;
    upstream.set({ tokenFault: { kind: 'status', status: 500 } });
    const good: Seen[] = [];
    let failed: Seen | undefined;
    await until('the token has ended', async () => {
      const seen = await read();
      if (seen.status === 200) good.push(seen);
      else failed ??= seen;
      return failed !== undefined;
    });
    expect(performance.now() - since).toBeGreaterThanOrEqual(2900);
    expect(good.length).toBeGreaterThan(20);
    expect([failed!.status, errorOf(failed!).code]).toEqual([503, 'ServiceUnavailable']);
    expect(upstream.tokenRequests.length).toBeLessThanOrEqual(4);
    upstream.set({ tokenFault: null });
    await until('it has a token again', async () => (await read()).status === 200);
  });
});

describe('a token endpoint that fails', () => {
  const rig = shareRig({ unknownJobs: 'make' }, () => ({ env: { UPSTREAM_TIMEOUT: '400ms' } }));
  const unavailable = [503, 'ServiceUnavailable'] as const;
  const refused = [502, 'UpstreamAuthenticationFailed'] as const;
  const echo = { error: 'invalid_client', error_description: 'no secret is demo-secret' };

  it.each([
    ['500', { kind: 'status', status: 500 }, unavailable],
    ['hang', { kind: 'hang' }, unavailable],
    ['no token', { kind: 'malformed' }, unavailable],
    ['400 that quotes the secret', { kind: 'status', status: 400, body: echo }, refused],
    ['401 that quotes the secret', { kind: 'status', status: 401, body: echo }, refused],
  ] as const)(
    'by %s is asked again after a cooldown, and recovers by itself',
    async (_, fault, [status, code]) => {
      const { upstream, gateway } = rig;
      const read = (id: string): Promise<Seen> => readJob(gateway, id);
      expect((await read(jobIds(1)[0]!)).status).toBe(200);
      upstream.clear();
      upstream.set({ tokenFault: fault });
      upstream.revokeTokens();
      const seen = [await read(jobIds(1)[0]!)];
      seen.push(...(await Promise.all(jobIds(40).map(read))));
      expect(seen.map((answer) => [answer.status, errorOf(answer).code])).toEqual(
        seen.map(() => [status, code]),
      );
      if (status === 503) {
        expect(seen.every(({ headers }) => /^[1-9]\d*$/.test(String(headers['retry-after'])))).toBe(true);
      }
      expect(seen.map(({ body }) => body.toString()).join()).not.toContain(upstream.settings.clientSecret);
      // The first, and possibly a second after the cooldown.
      expect(upstream.tokenRequests.length).toBeLessThanOrEqual(2);
      // Only calls that met the revoked token before it was in doubt.
      expect(upstream.count).toBeLessThanOrEqual(1 + 10);
      upstream.set({ tokenFault: null });
      await until('it has a token again', async () => (await read(jobIds(1)[0]!)).status === 200);
      expect(await metric(gateway, 'gateway_token_refreshes_total', { result: 'ok' })).toBeGreaterThanOrEqual(
        2,
      );
    },
  );
});
