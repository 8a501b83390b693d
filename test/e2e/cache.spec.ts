import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { cacheStatus } from '../support/cache-status.ts';
import { errorOf, readJob, type Seen } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';

const rig = shareRig({}, () => ({ env: { ACTIVE_FRESH: '1s', NEGATIVE_TTL: '1s', REFRESH_WAIT: '60s' } }));

/** The same key in a header that is not cached, so that it is authenticated again. */
let spellings = 0;
const unknownHeader = (): string => rig.gateway.bearer().replace(' ', ' '.repeat(2 + spellings++));

const isHit = (seen: Seen): boolean => cacheStatus(seen)['hit'] === true;

describe('a hit', () => {
  it.each([
    ['plainly', 200, {}],
    ['with a bound that it keeps', 200, { 'cache-control': 'max-age=1000, only-if-cached' }],
    ['by a reader that has it', 304, { 'if-none-match': 'W/"a", *' }],
    ['with a correlation id', 200, { 'x-correlation-id': 'one of mine' }],
  ])('for %s gets the same answer from the first request of a credential on', async (_, status, headers) => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob({ state: 'success' });
    const { headers: first } = await readJob(gateway, id);
    if (status === 304) Object.assign(headers, { 'if-none-match': first['etag'] });
    const authorization = unknownHeader();
    const fixed = { 'x-correlation-id': 'fixed', ...headers, authorization };
    const seen = await Promise.all([1, 2].map(() => readJob(gateway, id, { headers: fixed })));
    const again = await readJob(gateway, id, { headers: fixed });
    expect(seen.map((one) => one.status)).toEqual([status, status]);
    const said = ({ headers: { date: _, age: __, ...others }, body }: Seen) => [others, body];
    expect(seen.map(said)).toEqual([said(again), said(again)]);
    expect(isHit(again)).toBe(true);
  });
});

describe('the body', () => {
  const job = (rest: string): string => `{"job":{"id":"$id","state":"success","iTwinId":"a",${rest}}}`;
  const BODIES: Readonly<Record<string, string>> = {
    'unknown fields and nulls': job('"newField":{"a":[null,{"b":null}]},"executionInformation":null'),
    'a null iTwin': '{"job":{"iTwinId":null,"state":"success","id":"$id"}}',
    'numbers as they were written': job('"a":3.50,"b":1E+2,"c":12345678901234567890,"d":-0,"e":0.1000'),
    'seven-digit dates': job('"createdDateTime":"2020-09-14T14:29:55.1234567+00:00"'),
    'odd white space': `\r\n\t { "job"\t:\r\n{ "state" : "success"\n,"iTwinId":"a", "id" :"$id" } } \n\n`,
    'text beyond ASCII, escaped and not': job('"name":"Brücke 橋 🌉 \\u00fc\\ud83c\\udf09 \\/ é"'),
    'a byte order mark': `\ufeff${job('"name":"a"')}`,
    'names that mean something to JavaScript': job('"__proto__":{"a":1},"constructor":1,"toString":null'),
    'repeated names': job('"a":1,"a":2'),
    'a sibling of the job': `{"meta":{"job":1},"job":{"id":"$id","state":"success","iTwinId":"a"},"links":[]}`,
    'a long text': job(`"log":"${'ü'.repeat(1_000_000)}"`),
  };

  it('arrives byte for byte, from upstream and from memory, compressed in transit or not', async () => {
    const { upstream, gateway } = rig;
    for (const [what, body] of Object.entries(BODIES)) {
      for (const fault of [undefined, { kind: 'gzip' as const }]) {
        const { id } = upstream.addJob({ body });
        if (fault) upstream.fault(fault, { jobId: id });
        const seen = [await readJob(gateway, id), await readJob(gateway, id)];
        expect([what, seen.map(({ status }) => status)]).toEqual([what, [200, 200]]);
        expect([what, seen.map((answer) => answer.body.equals(upstream.bodyOf(id)))]).toEqual([
          what,
          [true, true],
        ]);
        expect([what, seen.map(isHit)]).toEqual([what, [false, true]]);
        expect(seen[0]!.headers['content-encoding']).toBeUndefined();
      }
    }
    expect(upstream.calls[0]!.headers['accept-encoding']).toContain('gzip');
  });

  it('need not contain the state of the job or its iTwin', async () => {
    const { upstream, gateway } = rig;
    for (const body of ['"state":"success"', '"iTwinId":"a"', '"name":""']) {
      const { id } = upstream.addJob({ body: `{"job":{"id":"$id",${body}}}` });
      const seen = await readJob(gateway, id);
      expect([seen.status, seen.body.equals(upstream.bodyOf(id))]).toEqual([200, true]);
    }
  });

  it('keeps its content type', async () => {
    const { upstream, gateway } = rig;
    const types = [
      'application/json',
      'application/json; charset=utf-8',
      'application/vnd.bentley.itwin-platform.v1+json',
    ];
    for (const contentType of types) {
      const id = randomUUID();
      const body = { job: { id, state: 'success', iTwinId: 'a' } };
      upstream.fault({ kind: 'status', status: 200, body, contentType }, { jobId: id });
      const seen = [await readJob(gateway, id), await readJob(gateway, id)];
      expect(seen.map(({ headers }) => headers['content-type'])).toEqual([contentType, contentType]);
    }
  });
});

describe('freshness', () => {
  it('never ends for success, failed and cancelled in any letter case, and lasts ACTIVE_FRESH otherwise', async () => {
    const { upstream, gateway } = rig;
    const finished = ['success', 'Success', 'SUCCESS', 'failed', 'FAILED', 'cancelled', 'Cancelled'];
    const others = [
      'unsubmitted',
      'active',
      'Active',
      'terminating',
      'canceled',
      'succeeded',
      ' success',
      'archived',
    ];
    const odd = ['null', '7', '["success"]', '{"success":true}', '""'];
    const states = [...[...finished, ...others].map((state) => JSON.stringify(state)), ...odd];
    const fixed = states.map((state) =>
      upstream.addJob({ body: `{"job":{"id":"$id","state":${state},"iTwinId":"a"}}` }),
    );
    const readAll = () => Promise.all(fixed.map(({ id }) => readJob(gateway, id)));
    const first = await readAll();
    const since = performance.now();
    expect(first.map(({ status }) => status)).toEqual(fixed.map(() => 200));
    expect(upstream.count).toBe(fixed.length);
    await until('the unfinished ones are stale', () => performance.now() > since + 1600);
    const second = await readAll();
    // A copy whose refresh is expected to take longer is a hit too, but a stale one.
    const isFresh = (seen: Seen): boolean => cacheStatus(seen)['detail'] === 'token:memory';
    expect(second.map(isFresh)).toEqual(fixed.map((_, index) => index < finished.length));
  });

  it('ends for an unfinished job after ACTIVE_FRESH: reads cost nothing until then, and one call after', async () => {
    const { upstream, gateway } = rig;
    const { id } = upstream.addJob({ state: 'active' });
    const since = performance.now();
    const first = await readJob(gateway, id);
    upstream.setState(id, 'success');
    const early = await readJob(gateway, id);
    if (performance.now() < since + 1000) expect(early.body.equals(first.body)).toBe(true);
    await until('the change is seen', async () =>
      (await readJob(gateway, id)).body.equals(upstream.bodyOf(id)),
    );
    const afterMs = performance.now() - since;
    expect(afterMs).toBeGreaterThanOrEqual(1000);
    await Promise.all(Array.from({ length: 20 }, () => readJob(gateway, id)));
    expect(upstream.callsFor(id)).toHaveLength(2);
  });

  it('lasts NEGATIVE_TTL for an unknown job, which is then found if it exists', async () => {
    const { upstream, gateway } = rig;
    const id = randomUUID();
    const since = performance.now();
    const first = await readJob(gateway, id);
    expect([first.status, errorOf(first).code]).toEqual([404, 'JobNotFound']);
    expect(first.headers['cache-control']).toBe('no-store');
    upstream.addJob({ id });
    await until('it is found', async () => (await readJob(gateway, id)).status === 200);
    const afterMs = performance.now() - since;
    expect(afterMs).toBeGreaterThanOrEqual(1000);
    expect(upstream.callsFor(id)).toHaveLength(2);
  });

  it('does not exist for errors: the next read goes upstream', async () => {
    const { upstream, gateway } = rig;
    const failures = [
      { fault: { kind: 'status', status: 500 }, code: 'UpstreamError' },
      { fault: { kind: 'status', status: 403 }, code: 'InsufficientPermissions' },
      { fault: { kind: 'status', status: 410 }, code: 'UpstreamError' },
      { fault: { kind: 'not-json' }, code: 'InvalidUpstreamResponse' },
      { fault: { kind: 'no-job' }, code: 'InvalidUpstreamResponse' },
      { fault: { kind: 'cut-off' }, code: 'InvalidUpstreamResponse' },
      { fault: { kind: 'unknown-client' }, code: 'UpstreamAuthenticationFailed' },
    ] as const;
    for (const { fault, code } of failures) {
      const { id } = upstream.addJob();
      upstream.fault(fault, { jobId: id, times: 1 });
      const failed = await readJob(gateway, id);
      expect(errorOf(failed).code).toBe(code);
      expect(failed.headers['cache-control']).toBe('no-store');
      expect((await readJob(gateway, id)).status).toBe(200);
      expect(upstream.callsFor(id)).toHaveLength(2);
    }
  });
});

describe('MEMORY_CACHE_SIZE', () => {
  it('bounds the memory cache: the latest jobs are hits, earlier ones and too large ones are read again', async () => {
    const upstream = await startUpstream();
    const gateway = await startGateway({ upstream, env: { MEMORY_CACHE_SIZE: '1mb' } });
    const sized = (bytes: number) =>
      upstream.addJob({
        body: `{"job":{"id":"$id","state":"success","iTwinId":"a","log":"${'x'.repeat(bytes)}"}}`,
      });
    const jobs = Array.from({ length: 40 }, () => sized(100_000));
    for (const { id } of jobs) await readJob(gateway, id);
    const again: boolean[] = [];
    for (const { id } of jobs.toReversed()) again.push(isHit(await readJob(gateway, id)));
    const kept = again.indexOf(false);
    expect(kept).toBeGreaterThanOrEqual(8);
    expect(kept).toBeLessThanOrEqual(10);
    expect(again.filter(Boolean)).toHaveLength(kept);

    const tooLarge = sized(2_000_000);
    const seen = [await readJob(gateway, tooLarge.id), await readJob(gateway, tooLarge.id)];
    expect(seen.map((answer) => [answer.status, isHit(answer)])).toEqual([
      [200, false],
      [200, false],
    ]);
  });
});
