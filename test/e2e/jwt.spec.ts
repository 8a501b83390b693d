import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { expectError } from '../support/error-answer.ts';
import { ForwardProxy } from '../support/forward-proxy.ts';
import { Gateway, type TestCaller, testCaller } from '../support/gateway.ts';
import { Issuer, issuerKey, signed } from '../support/issuer.ts';
import { errorOf, metric, readJob, type Seen } from '../support/reads.ts';
import { refusedTokens } from '../support/refused-tokens.ts';
import { atEnd, startGateway } from '../support/rig.ts';
import { until } from '../support/until.ts';
import { Watcher } from '../support/watcher.ts';

const [GRANTED, OTHER] = [randomUUID(), randomUUID()];
const CLIENTS = [{ id: 'named' }, { id: 'limited', claims: { itwins: [GRANTED] } }, { id: 'unnamed' }];
const KEYED = testCaller('dashboard');
const keySha256 = [createHash('sha256').update(KEYED.key).digest('hex')];
const NAMED = { name: 'dashboard', clientId: 'named', keySha256, iTwins: ['*'] };

let upstream: FakeUpstream;
let issuer: Issuer;
/** `AUTH=jwt`, with debug logs to find any leak. */
let gateway: Gateway;

beforeAll(async () => {
  upstream = await FakeUpstream.start({ unknownJobs: 'make' });
  issuer = await Issuer.start(CLIENTS);
  gateway = await Gateway.start({ upstream, env: { ...issuer.env, LOG_LEVEL: 'debug' } });
  writeFileSync(gateway.callersPath, JSON.stringify({ callers: [NAMED] }));
  await gateway.logged(({ msg }) => msg === 'callers file reloaded');
});
beforeEach(() => {
  upstream.clear();
  issuer.instead = undefined;
});
afterAll(async () => {
  await gateway.stop();
  await issuer.stop();
  await upstream.stop();
});

/** A caller with a token. */
const bearerOf = (token: string): TestCaller => ({ name: 'token', key: token, iTwins: [] });
const read = (token: string, jobId: string = randomUUID(), by = gateway): Promise<Seen> =>
  readJob(by, jobId, { caller: bearerOf(token) });
const codeOf = (seen: Seen): unknown => [seen.status, seen.status === 200 ? 'job' : errorOf(seen).code];

describe('a token of the issuer', () => {
  it('grants the permissions of the callers file, under the name of the entry', async () => {
    const token = await issuer.token('named');
    const { id } = upstream.addJob({ iTwinId: OTHER });
    expect((await read(token, id)).status).toBe(200);
    expect((await read(token, upstream.addJob({ iTwinId: null }).id)).status).toBe(200);
    expect(await metric(gateway, 'gateway_job_reads_total', { caller: 'dashboard', status: '200' })).toBe(2);
    expect(JSON.stringify(upstream.calls.map(({ headers }) => headers))).not.toContain(token);
  });

  it('grants only the iTwins in its claim, under a common name', async () => {
    const token = await issuer.token('limited', 'another itwin-platform');
    expect((await read(token, upstream.addJob({ iTwinId: GRANTED }).id)).status).toBe(200);
    for (const iTwinId of [OTHER, null]) {
      expect(codeOf(await read(token, upstream.addJob({ iTwinId }).id))).toEqual([404, 'JobNotFound']);
    }
    expect(await metric(gateway, 'gateway_job_reads_total', { caller: 'jwt' })).toBeGreaterThanOrEqual(3);
  });

  it('grants nothing when neither has permissions', async () => {
    const token = await issuer.token('unnamed');
    for (const iTwinId of [GRANTED, null]) {
      expect(codeOf(await read(token, upstream.addJob({ iTwinId }).id))).toEqual([404, 'JobNotFound']);
    }
  });

  it('does not queue behind the reads of another client without an entry', async () => {
    const patient = { PATIENCE: '1m', UPSTREAM_CONCURRENCY: '1', UPSTREAM_LIMITS: '20/1s' };
    const busy = await startGateway({ upstream, env: { ...issuer.env, ...patient } });
    const flood = await issuer.token('limited');
    const floods = Array.from({ length: 60 }, () => read(flood, randomUUID(), busy));
    await until('the flood waits', async () => (await metric(busy, 'gateway_queue_depth')) > 20);
    const before = upstream.count;
    const jobId = randomUUID();
    await read(await issuer.token('unnamed'), jobId, busy);
    expect(upstream.calls.findIndex((call) => call.jobId === jobId) - before).toBeLessThan(10);
    await Promise.all(floods);
  });

  it("can have its scopes in an array, like the platform's", async () => {
    expect((await read(await issuer.sign({ client_id: 'named' }))).status).toBe(200);
  });

  it('is checked before the method is', async () => {
    const statusOf = async (token: string): Promise<number> => {
      const headers = { authorization: gateway.bearer(bearerOf(token)) };
      return (
        await fetch(`${gateway.url}/contextcapture/jobs/${randomUUID()}`, { method: 'DELETE', headers })
      ).status;
    };
    expect(await statusOf(await issuer.token('named'))).toBe(405);
    expect(await statusOf(await issuer.token('named', 'another'))).toBe(401);
  });
});

describe('an invalid token', () => {
  it('gets 401 in the envelope, without an upstream call', async () => {
    const { id } = upstream.addJob();
    const made: [string, () => Promise<string>][] = [
      ...refusedTokens(issuer.url, issuer.key),
      ["of the issuer's own, but for another scope", () => issuer.token('named', 'another')],
    ];
    expect(made.length).toBeGreaterThan(25);
    for (const [what, token] of made) {
      const { status, headers, body } = await read(await token(), id);
      expect([what, status]).toEqual([what, 401]);
      expectError({ status, headers, text: body.toString() }, 401, 'Unauthorized');
    }
    expect(upstream.count + upstream.tokenRequests.length).toBe(0);
    expect((await read(await issuer.token('named'), id)).status).toBe(200);
    expect(upstream.count).toBe(1);
  });

  it('with an unknown key fetches the keys at most every two seconds', async () => {
    await read(await issuer.token('named'));
    const before = issuer.keyRequests;
    const since = performance.now();
    const garbage = Array.from({ length: 300 }, () => issuer.sign({}, { kid: randomUUID() }));
    const seen = await Promise.all((await Promise.all(garbage)).map((token) => read(token)));
    expect(new Set(seen.map(({ status }) => status))).toEqual(new Set([401]));
    const seconds = (performance.now() - since) / 1000;
    expect(issuer.keyRequests - before).toBeLessThanOrEqual(1 + Math.ceil(seconds / 2));
    expect(upstream.count).toBeLessThanOrEqual(1);
  });
});

describe('a rotated key', () => {
  it('is used without a restart or a failed read, also among many unknown keys', async () => {
    const old = await issuer.token('named');
    expect((await read(old)).status).toBe(200);
    const load = { running: true };
    const statuses: number[] = [];
    const garbage: number[] = [];
    const flood = (async () => {
      while (load.running) {
        const tokens = await Promise.all(
          Array.from({ length: 10 }, () => issuer.sign({}, { kid: randomUUID() })),
        );
        garbage.push(...(await Promise.all(tokens.map((token) => read(token)))).map(({ status }) => status));
      }
    })();
    const reading = (async () => {
      while (load.running) {
        statuses.push((await read(await issuer.token('named'))).status, (await read(old)).status);
        await delay(20);
      }
    })();
    for (const kid of ['second', 'third']) {
      await delay(500);
      issuer.rotate(await issuerKey(kid));
      const token = await issuer.token('named');
      expect((await read(token)).status).toBe(200);
    }
    load.running = false;
    await Promise.all([flood, reading]);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(new Set(garbage)).toEqual(new Set([401]));
  });
});

describe('an unavailable issuer', () => {
  it('does not matter for known tokens and keys; others get 503 with Retry-After', async () => {
    const token = await issuer.token('named');
    expect((await read(token)).status).toBe(200);
    const [another, expired, next] = [
      await issuer.token('named'),
      await issuer.sign({ exp: 1 }, { kid: randomUUID() }),
      await signed({ iss: issuer.url, client_id: 'named' }, { kid: 'next' }, await issuerKey('next')),
    ];
    issuer.instead = (_, response) => response.writeHead(500).end();
    const seen = await Promise.all([read(token), read(another), read(expired)]);
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 401]);
    upstream.clear();
    const { status, headers, body } = await read(next);
    expectError({ status, headers, text: body.toString() }, 503, 'ServiceUnavailable');
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(5);
    expect(upstream.count).toBe(0);
    await gateway.logged(({ level, reason }) => level === 50 && /was answered 500/.test(String(reason)));
    issuer.instead = undefined;
    await until('the issuer is asked again', async () => (await read(next)).status === 401);
    expect((await read(token)).status).toBe(200);
  });
});

describe('an event stream', () => {
  it('ends when its token expires', async () => {
    const { id } = upstream.addJob({ state: 'active' });
    // Partly elapsed: five seconds of leeway are added at the end.
    const endsAt = (Math.floor(Date.now() / 1000) + 2) * 1000;
    const token = await issuer.sign({ client_id: 'named', exp: endsAt / 1000 - 5 });
    const headers = { authorization: gateway.bearer(bearerOf(token)) };
    const response = await fetch(`${gateway.url}/contextcapture/jobs/events?ids=${id}`, { headers });
    expect(response.status).toBe(200);
    const text = await response.text();
    const lateMs = Date.now() - endsAt;
    expect(text).toMatch(/^event: job\n/);
    expect(text).toMatch(/retry: \d+\n\n$/);
    expect(text).not.toContain('event: end');
    expect(lateMs).toBeGreaterThanOrEqual(0);
    expect((await read(token)).status).toBe(401);
  });

  it('continues with the current permissions of the callers file', async () => {
    const { id } = upstream.addJob({ state: 'active', iTwinId: OTHER });
    const watcher = await Watcher.open(gateway, id, { caller: bearerOf(await issuer.token('named')) });
    expect((await watcher.event(1)).event).toBe('job');
    const lines = gateway.log.length;
    const isRead = (): boolean => gateway.log.slice(lines).some(({ msg }) => msg === 'callers file reloaded');
    writeFileSync(gateway.callersPath, JSON.stringify({ callers: [{ ...NAMED, iTwins: [GRANTED] }] }));
    await until('it is read', isRead);
    await watcher.until('it is told', () => watcher.events.some(({ event }) => event === 'job-error'));
    expect(watcher.events.find(({ event }) => event === 'job-error')!.data).toContain('JobNotFound');
    watcher.leave();
    writeFileSync(gateway.callersPath, JSON.stringify({ callers: [NAMED] }));
  });
});

describe('AUTH', () => {
  it('keys,jwt accepts both, and an entry with both is one caller', async () => {
    const both = await startGateway({ upstream, env: { ...issuer.env, AUTH: 'keys,jwt' } });
    writeFileSync(both.callersPath, JSON.stringify({ callers: [NAMED] }));
    await both.logged(({ msg }) => msg === 'callers file reloaded');
    const token = await issuer.token('named');
    for (let again = 0; again < 2; again++) {
      expect((await readJob(both, randomUUID(), { caller: KEYED })).status).toBe(200);
      expect((await read(token, randomUUID(), both)).status).toBe(200);
    }
    expect(await metric(both, 'gateway_job_reads_total', { caller: 'dashboard', status: '200' })).toBe(4);
    expect(codeOf(await readJob(both, randomUUID(), { caller: testCaller('nobody') }))).toEqual([
      401,
      'Unauthorized',
    ]);
    expect(codeOf(await read(await issuer.sign({ exp: 1 }), randomUUID(), both))).toEqual([
      401,
      'Unauthorized',
    ]);
  });

  it('jwt accepts no keys, needs no callers file, and loads one that appears', async () => {
    expect((await readJob(gateway, randomUUID(), { caller: KEYED })).status).toBe(401);
    const alone = await startGateway({ upstream, env: { ...issuer.env, CALLERS_FILE: '' } });
    expect(
      (await read(await issuer.token('limited'), upstream.addJob({ iTwinId: GRANTED }).id, alone)).status,
    ).toBe(200);
    const token = await issuer.token('named');
    expect((await read(token, randomUUID(), alone)).status).toBe(404);
    await delay(1500);
    expect(alone.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
    const config = join(dirname(alone.callersPath), 'config');
    mkdirSync(config);
    writeFileSync(join(config, 'callers.json'), JSON.stringify({ callers: [NAMED] }));
    await until('it is taken up', async () => (await read(token, randomUUID(), alone)).status === 200);
  });

  it('jwt fetches keys from JWT_JWKS_URL without discovery, through a proxy if one is set', async () => {
    const proxy = await ForwardProxy.start();
    atEnd(() => proxy.stop());
    const env = { JWT_JWKS_URL: `${issuer.url}/jwks`, HTTP_PROXY: `http://127.0.0.1:${proxy.port}` };
    const through = await startGateway({ upstream, env: { ...issuer.env, ...env } });
    expect(
      (await read(await issuer.token('limited'), upstream.addJob({ iTwinId: GRANTED }).id, through)).status,
    ).toBe(200);
    const lines = proxy.seen.map(({ line }) => line).filter((line) => line.includes(issuer.url));
    expect(lines).toEqual([`GET ${issuer.url}/jwks`]);
  });
});

describe('tokens', () => {
  it('appear in no log line, metric or answer', async () => {
    // These are searched for secrets like all answers and events.
    await (await fetch(`${gateway.url}/metrics`)).text();
    expect(gateway.secrets.size).toBeGreaterThan(100);
    gateway.secrets.search('the log', gateway.output);
    gateway.secrets.expectNoLeak();
    expect(gateway.output).toMatch(/"reason":"aud".*access token refused/);
  });
});
