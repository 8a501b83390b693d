import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { testCaller } from '../support/gateway.ts';
import { errorOf, readJob, type Seen } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';

const GRANTED = '3fa85f64-5717-4562-b3fc-2c963f66afa6';
const all = testCaller('all');
const limited = testCaller('limited', [GRANTED.toUpperCase(), randomUUID()]);
const nobody = testCaller('nobody', []);
const rig = shareRig({}, () => ({ callers: [all, limited, nobody] }));

describe('AUTH=keys', () => {
  it('answers 401 before anything else when the credential is missing, malformed or unknown', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob();
    const url = `${gateway.url}/contextcapture/jobs/`;
    for (const path of [id, 'no-uuid', randomUUID()]) {
      const none = await fetch(`${url}${path}`);
      expect([none.status, none.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
      expect(await none.json()).toEqual({
        error: {
          code: 'HeaderNotFound',
          message: 'Header Authorization was not found in the request. Access denied.',
        },
      });
    }
    const wrong = [
      '',
      'Bearer',
      'Bearer ',
      'Bearer nobody',
      `Basic ${all.key}`,
      all.key,
      `Bearer ${all.key} x`,
    ];
    wrong.push(
      `Bearer ${all.key}, Bearer ${all.key}`,
      `Bearer "${all.key}"`,
      `Bearer ${all.key.toUpperCase()}`,
    );
    for (const authorization of wrong) {
      const seen = await readJob(gateway, id, { headers: { authorization } });
      expect([authorization, seen.status, errorOf(seen).code]).toEqual([authorization, 401, 'Unauthorized']);
      expect(seen.headers['www-authenticate']).toMatch(/^Bearer/);
      expect(seen.headers['cache-control']).toBe('no-store');
    }
    expect(upstream.count + upstream.tokenRequests.length).toBe(0);
  });

  it('accepts the scheme in any letter case', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob();
    for (const authorization of [`bearer ${all.key}`, `BEARER  ${all.key}`]) {
      expect((await readJob(gateway, id, { headers: { authorization } })).status).toBe(200);
    }
  });

  it("never forwards the caller's headers upstream", async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob();
    const headers = {
      cookie: 'session=1',
      'x-api-key': 'mine',
      'user-agent': 'a-caller',
      accept: 'text/html',
    };
    await readJob(gateway, id, { caller: limited, headers: { ...headers, 'x-forwarded-for': '10.1.2.3' } });
    const [call] = upstream.calls;
    expect(call!.headers['authorization']).toBe(`Bearer ${call!.token}`);
    const sent = JSON.stringify(call!.headers);
    for (const own of [limited.key, 'session=1', 'mine', 'a-caller', 'text/html', '10.1.2.3']) {
      expect(sent).not.toContain(own);
    }
  });
});

describe('a caller restricted to iTwins', () => {
  /** An answer without date and correlation id. */
  const told = ({ status, headers, body }: Seen) => {
    const { date: _date, 'x-correlation-id': _id, ...rest } = headers;
    return { status, headers: rest, body: body.toString() };
  };

  it('sees the jobs of its iTwins in any letter case', async () => {
    const { upstream, gateway } = rig;
    for (const iTwinId of [GRANTED, GRANTED.toUpperCase()]) {
      const { id } = upstream.addJob({ iTwinId });
      for (let read = 0; read < 2; read++) {
        expect((await readJob(gateway, id, { caller: limited })).status).toBe(200);
      }
    }
  });

  it('cannot distinguish the jobs of others from unknown jobs, cached or not', async () => {
    const { upstream, gateway } = rig;
    const unknown = told(await readJob(gateway, randomUUID(), { caller: limited }));
    expect(unknown.status).toBe(404);
    const foreign = [randomUUID(), null, 'none', '', '*'];
    for (const iTwinId of foreign) {
      const [cold, warm] = [upstream.addJob({ iTwinId }).id, upstream.addJob({ iTwinId }).id];
      expect((await readJob(gateway, warm, { caller: all })).status).toBe(200);
      for (const id of [cold, cold, warm]) {
        for (const headers of [{}, { 'if-none-match': '*' }]) {
          expect(told(await readJob(gateway, id, { caller: limited, headers }))).toEqual(unknown);
        }
        expect((await readJob(gateway, id, { caller: nobody })).status).toBe(404);
      }
      expect((await readJob(gateway, cold, { caller: all })).status).toBe(200);
    }
    expect(told(await readJob(gateway, 'no-uuid', { caller: limited }))).toEqual(unknown);
  });

  it('is authorized separately when it shares a call with a caller that may see the job', async () => {
    const { upstream, gateway } = rig;
    upstream.set({ latencyMs: 200 });
    const { id } = upstream.addJob({ iTwinId: randomUUID() });
    const seen = await Promise.all([all, limited, all].map((caller) => readJob(gateway, id, { caller })));
    upstream.set({ latencyMs: 0 });
    expect(seen.map(({ status }) => status)).toEqual([200, 404, 200]);
    expect(upstream.count).toBe(1);
  });
});

describe('AUTH=off', () => {
  it('allows all reads, and ignores Authorization', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob({ iTwinId: randomUUID() });
    const gateway = await startGateway({ upstream, env: { AUTH: 'off' } });
    const url = `${gateway.url}/contextcapture/jobs/${id}`;
    expect((await fetch(url)).status).toBe(200);
    for (const authorization of ['Bearer nobody', 'Basic !', 'rubbish']) {
      expect((await fetch(url, { headers: { authorization } })).status).toBe(200);
    }
    expect(upstream.calls[0]!.headers['authorization']).toBe(`Bearer ${upstream.calls[0]!.token}`);
  });
});
