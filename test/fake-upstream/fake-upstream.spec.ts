import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate } from 'node:timers/promises';
import { basic, getJob, requestToken, tokenFrom } from './client.ts';
import { FakeUpstream } from './fake-upstream.ts';
import type { JobOptions } from './jobs.ts';
import type { FakeUpstreamSettings, TokenFault } from './settings.ts';

const SECRET = 's3cr3t/+:&% é';
const UNKNOWN = '00000000-0000-4000-8000-000000000000';

let upstream: FakeUpstream;

beforeEach(async () => {
  upstream = await FakeUpstream.start({ clientId: 'a client', clientSecret: SECRET });
});

afterEach(() => upstream.stop());

describe('the token endpoint', () => {
  it('authenticates its client by HTTP Basic and by form fields, with any secret', async () => {
    const answers = [
      await requestToken(upstream, { authorization: basic(upstream) }),
      await requestToken(upstream, {}, { client_id: 'a client', client_secret: SECRET }),
    ];
    const bodies = await Promise.all(answers.map((answer) => answer.json()));
    const granted = { access_token: expect.any(String), token_type: 'Bearer', expires_in: 3600 };
    expect(bodies).toEqual([granted, granted]);
    expect(bodies[0]).not.toEqual(bodies[1]);
    expect(upstream.tokenRequests).toMatchObject([
      { auth: 'basic', status: 200 },
      { auth: 'body', status: 200 },
    ]);
  });

  it('refuses an unencoded secret, a wrong one, and missing credentials', async () => {
    const unencoded = `Basic ${Buffer.from(`a client:${SECRET}`).toString('base64')}`;
    const answers = [
      await requestToken(upstream, { authorization: unencoded }),
      await requestToken(upstream, {}, { client_id: 'a client', client_secret: 'wrong' }),
      await requestToken(upstream, {}),
    ];
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401]);
    expect(await answers[0]?.json()).toEqual({ error: 'invalid_client' });
    expect(upstream.tokenRequests.map(({ auth }) => auth)).toEqual(['basic', 'body', 'none']);
  });

  it.each([
    [{ grant_type: 'password' }, 'unsupported_grant_type'],
    [{ scope: 'openid' }, 'invalid_scope'],
  ])('refuses %p', async (fields, error) => {
    const answer = await requestToken(upstream, { authorization: basic(upstream) }, fields);
    expect([answer.status, await answer.json()]).toEqual([400, { error }]);
  });

  it.each<TokenFault>([{ kind: 'reset' }, { kind: 'refuse' }])(
    'drops the connection: %p',
    async (tokenFault) => {
      upstream.set({ tokenFault });
      await expect(requestToken(upstream, {})).rejects.toThrow('fetch failed');
      expect(upstream.tokenRequests).toMatchObject([{ status: tokenFault.kind }]);
      upstream.set({ tokenFault: null });
      expect(await tokenFrom(upstream)).toEqual(expect.any(String));
    },
  );

  it('hangs until the fake upstream stops', async () => {
    upstream.set({ tokenFault: { kind: 'hang' } });
    const failed = expect(requestToken(upstream, {})).rejects.toThrow('fetch failed');
    while (upstream.tokenRequests.length === 0) await setImmediate();
    await upstream.stop();
    await failed;
    expect(upstream.tokenRequests).toMatchObject([{ status: 'hang' }]);
  });

  it('answers with a configured status or body', async () => {
    upstream.set({
      tokenFault: { kind: 'status', status: 503, body: 'busy', headers: { 'retry-after': '7' } },
    });
    const busy = await requestToken(upstream, {});
    expect([busy.status, busy.headers.get('retry-after'), await busy.text()]).toEqual([503, '7', 'busy']);
    upstream.set({ tokenFault: { kind: 'malformed' } });
    await expect((await requestToken(upstream, {})).json()).rejects.toThrow('in JSON');
  });
});

describe('the job endpoint', () => {
  it('requires a token that was issued, has not expired and is not revoked', async () => {
    const { id } = upstream.addJob();
    const bare = await fetch(`${upstream.url}/contextcapture/jobs/${id}`);
    expect([bare.status, await bare.json()]).toMatchObject([401, { error: { code: 'HeaderNotFound' } }]);

    const token = await tokenFrom(upstream);
    expect((await getJob(upstream, id, token)).status).toBe(200);
    upstream.revokeTokens();
    upstream.set({ tokenLifetimeSeconds: 0 });
    for (const bad of [token, await tokenFrom(upstream), 'made-up']) {
      const refused = await getJob(upstream, id, bad);
      expect([refused.status, await refused.json()]).toMatchObject([
        401,
        { error: { code: 'Unauthorized' } },
      ]);
    }
    expect(upstream.calls.map(({ status, admitted }) => [status, admitted])).toEqual([
      [200, true],
      [401, false],
      [401, false],
      [401, false],
    ]);
  });

  it('answers with exact bytes and records the call', async () => {
    const token = await tokenFrom(upstream);
    upstream.addJob({ id: UNKNOWN, body: '{ "job":  {"ümlaut":null} }' });
    const answer = await getJob(upstream, UNKNOWN.toUpperCase(), token, { 'X-Correlation-Id': 'mine' });
    expect(await answer.text()).toBe('{ "job":  {"ümlaut":null} }');
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/json',
      'x-correlation-id': 'mine',
      'x-itwinplatform-region': expect.any(String),
    });
    const [call] = upstream.callsFor(UNKNOWN);
    expect(call).toMatchObject({
      status: 200,
      correlationId: 'mine',
      token,
      headers: { 'x-correlation-id': 'mine' },
    });
  });

  it('answers 404 for other jobs, or creates a constant one for any UUID', async () => {
    const token = await tokenFrom(upstream);
    const missing = await getJob(upstream, UNKNOWN, token);
    const error = { code: 'JobNotFound', message: 'Requested job is not available.' };
    expect([missing.status, await missing.json()]).toEqual([404, { error }]);

    upstream.set({ unknownJobs: 'make' });
    const made = Buffer.from(await (await getJob(upstream, UNKNOWN, token)).arrayBuffer());
    expect(JSON.parse(made.toString())).toMatchObject({ job: { id: UNKNOWN, state: 'success' } });
    const other = await FakeUpstream.start({ unknownJobs: 'make' });
    const again = other.bodyOf(UNKNOWN);
    await other.stop();
    expect(again).toEqual(made);
    expect((await getJob(upstream, 'no-uuid', token)).status).toBe(404);
  });

  it('moves a job through its script, then to states that are set', async () => {
    const token = await tokenFrom(upstream);
    const script = [
      { state: 'unsubmitted', forMs: 30 },
      { state: 'active', forMs: 30 },
      { state: 'success' },
    ];
    const { id } = upstream.addJob({ script });
    const changes = new Map<string, unknown>();
    while (!changes.has('success')) {
      const { job } = (await (await getJob(upstream, id, token)).json()) as { job: Record<string, unknown> };
      changes.set(String(job['state']), job['lastModifiedDateTime']);
    }
    // A machine that stalls may miss a state, but never sees one out of turn.
    const seen = script.map(({ state }) => state).filter((state) => changes.has(state));
    expect([...changes.keys()]).toEqual(seen);
    expect(new Set(changes.values()).size).toBe(changes.size);

    upstream.setState(id, 'failed');
    expect(await (await getJob(upstream, id, token)).json()).toMatchObject({ job: { state: 'failed' } });
  });

  it('has a document that matches the state', () => {
    const shown = (options: JobOptions): unknown => {
      const { job } = JSON.parse(upstream.bodyOf(upstream.addJob(options).id).toString()) as { job: unknown };
      return job;
    };
    const date = expect.stringMatching(/^2020-09-14T14:\d\d:\d\d\.0{7}\+00:00$/);
    const times = { submittedDateTime: date, startedDateTime: date, endedDateTime: date };
    expect(shown({ state: 'unsubmitted' })).not.toHaveProperty('executionInformation');
    expect(shown({ state: 'active' })).toMatchObject({
      executionInformation: { ...times, endedDateTime: null },
    });
    expect(shown({ state: 'success' })).toMatchObject({ executionInformation: times });
    expect(shown({ iTwinId: 'none' })).not.toHaveProperty('iTwinId');
    expect(shown({ iTwinId: null })).toHaveProperty('iTwinId', null);
  });
});

describe('the limits', () => {
  const limits = [
    { limit: 3, windowMs: 60_000 },
    { limit: 5, windowMs: 3_600_000 },
  ];

  it.each<FakeUpstreamSettings['windowKind']>(['fixed', 'sliding'])(
    'are never exceeded (%s)',
    async (windowKind) => {
      const token = await tokenFrom(upstream);
      const { id } = upstream.addJob();
      upstream.set({
        limits: [
          { limit: 3, windowMs: 3_600_000 },
          { limit: 5, windowMs: 7_200_000 },
        ],
        windowKind,
      });
      const answers = await Promise.all(Array.from({ length: 5 }, () => getJob(upstream, id, token)));
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 200, 200, 429, 429]);
      expect([upstream.count, upstream.refused, upstream.mostInWindow(3_600_000)]).toEqual([5, 2, 3]);
      upstream.clear();
      expect([upstream.count, upstream.refused, upstream.mostInWindow(3_600_000)]).toEqual([0, 0, 0]);
    },
  );

  it.each<[FakeUpstreamSettings['retryAfterForm'], (answer: Headers, from: number) => void]>([
    ['seconds', (headers) => expect(headers.get('retry-after')).toBe('60')],
    ['absent', (headers) => expect(headers.has('retry-after')).toBe(false)],
    [
      'date',
      (headers, from) => {
        const until = Date.parse(headers.get('retry-after') ?? '');
        expect(until).toBeGreaterThanOrEqual(from + 60_000);
        expect(until - Date.parse(headers.get('date') ?? '')).toBeGreaterThanOrEqual(60_000);
      },
    ],
  ])('send a Retry-After: %s', async (retryAfterForm, check) => {
    const token = await tokenFrom(upstream);
    upstream.set({ limits: limits.map((limit) => ({ ...limit, limit: 1 })).slice(0, 1), retryAfterForm });
    const from = Date.now();
    await getJob(upstream, UNKNOWN, token);
    const refused = await getJob(upstream, UNKNOWN, token);
    expect([refused.status, await refused.json()]).toMatchObject([
      429,
      { error: { code: 'TooManyRequests' } },
    ]);
    expect(refused.headers.get('itwinplatform-ratelimited-application')).toBe('a client');
    expect(refused.headers.get('itwinplatform-ratelimited-tier')).toBe('Trial');
    check(refused.headers, from);
  });
});
