import { randomUUID } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { expectError } from '../support/error-answer.ts';
import { callersFile, testCaller, type TestCaller } from '../support/gateway.ts';
import { jobIds, metric } from '../support/reads.ts';
import { startUpstream, startGateway } from '../support/rig.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';
import { Watcher } from '../support/watcher.ts';

const MINE = randomUUID();
const [all, limited] = [testCaller('all'), testCaller('limited', [MINE])];
const rig = shareRig({}, () => ({ callers: [all, limited], env: { ACTIVE_FRESH: '200ms' } }));
const PATH = '/contextcapture/jobs/events';

/** The answer to a request that is refused a stream. */
async function refusal(query: string, headers: Record<string, string> = {}) {
  const watcher = await Watcher.ask(rig.gateway, query, { headers });
  await watcher.closed();
  return watcher;
}

describe('ids', () => {
  it.each([
    ['missing', ''],
    ['empty', 'ids='],
    ['commas alone', 'ids=,,%2C'],
    ['under another name', `id=${randomUUID()}`],
    ['a hundred and one', `ids=${jobIds(101).join(',')}`],
    ['no UUID', `ids=${randomUUID()},no-uuid`],
    ['a UUID and more', `ids=${randomUUID()}0`],
    ['in braces', `ids={${randomUUID()}}`],
    ['separated otherwise', `ids=${jobIds(2).join(';')}`],
  ])('that are %s get 400, without a call', async (_, query) => {
    const { target } = expectError(await refusal(query), 400, 'InvalidRequest');
    expect(target).toBe('ids');
    expect(rig.upstream.count).toBe(0);
  });

  it('can be a hundred, repeated, in any letter case, percent-encoded and in several parameters: each is reported once', async () => {
    const [first, second] = [rig.upstream.addJob().id, rig.upstream.addJob().id];
    for (const query of [
      `ids=${first},${second},${first.toUpperCase()}`,
      `ids=${first}&ids=${second}&ids=${first}`,
      `ids=${first}%2C%20${second.toUpperCase()},`,
    ]) {
      const watcher = await Watcher.ask(rig.gateway, query);
      await watcher.closed();
      expect(watcher.events.map(({ event }) => event)).toEqual(['job', 'job', 'end']);
    }
    const many = await Watcher.open(rig.gateway, [...jobIds(99), first]);
    await many.closed();
    const errors = many.events.filter(({ event }) => event === 'job-error');
    expect([many.events.length, errors.length]).toEqual([101, 99]);
  });
});

describe('a request for events', () => {
  it('is refused without a valid credential, before any other check', async () => {
    const { gateway } = rig;
    const bare = await request(gateway.url).get(PATH);
    expectError(bare, 401, 'HeaderNotFound');
    for (const authorization of ['Bearer nobody', `Basic ${all.key}`]) {
      expectError(await refusal('', { authorization }), 401, 'Unauthorized');
      expectError(await refusal('', { authorization, 'last-event-id': 'end' }), 401, 'Unauthorized');
    }
  });

  it('must be a GET: other methods get 405, unknown callers 401', async () => {
    const { gateway } = rig;
    const url = `${gateway.url}${PATH}?ids=${randomUUID()}`;
    for (const method of ['HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      const answer = await fetch(url, { method, headers: { authorization: gateway.bearer() } });
      expect([method, answer.status, answer.headers.get('allow')]).toEqual([method, 405, 'GET']);
      const text = await answer.text();
      if (method !== 'HEAD') expect(JSON.parse(text)).toMatchObject({ error: { code: 'MethodNotAllowed' } });
      expect((await fetch(url, { method })).status).toBe(401);
    }
    expect(rig.upstream.count).toBe(0);
  });

  it('shows a caller the jobs of its iTwins; others look like unknown jobs', async () => {
    const { upstream, gateway } = rig;
    const [mine, foreign, none] = [
      upstream.addJob({ iTwinId: MINE.toUpperCase(), state: 'active' }).id,
      upstream.addJob({ iTwinId: randomUUID(), state: 'active' }).id,
      upstream.addJob({ iTwinId: null }).id,
    ];
    const unknown = randomUUID();
    const open = (caller: TestCaller) => Watcher.open(gateway, [foreign, none, unknown, mine], { caller });
    // Once cold, and once with all jobs cached.
    const watchers = [await open(limited), await open(all), await open(limited)];
    await Promise.all(watchers.map((watcher) => watcher.event(4)));
    const toldOf = ({ events }: Watcher, id: string): string =>
      events.find(({ data }) => data.includes(id))!.data.replaceAll(id, '');
    for (const watcher of [watchers[0]!, watchers[2]!]) {
      const kinds = watcher.events.map(({ event }) => event).sort();
      expect(kinds).toEqual(['job', 'job-error', 'job-error', 'job-error']);
      for (const id of [foreign, none]) expect(toldOf(watcher, id)).toBe(toldOf(watcher, unknown));
    }
    expect(watchers[1]!.events.map(({ event }) => event).sort()).toEqual(['job', 'job', 'job', 'job-error']);
    for (const watcher of watchers) watcher.leave();
  });
});

describe('an open stream', () => {
  it('follows the permissions of its caller: a job without permission ends, and a stream without a valid key closes', async () => {
    const upstream = await startUpstream();
    const [narrowed, removed, kept] = [testCaller('narrowed'), testCaller('removed'), testCaller('kept')];
    const gateway = await startGateway({
      upstream,
      callers: [narrowed, removed, kept],
      env: { ACTIVE_FRESH: '200ms' },
    });
    const [other, mine] = [
      upstream.addJob({ state: 'active' }).id,
      upstream.addJob({ state: 'active', iTwinId: MINE }).id,
    ];
    const open = (caller: TestCaller) => Watcher.open(gateway, [other, mine], { caller });
    const [narrow, gone, stays] = [await open(narrowed), await open(removed), await open(kept)];
    await Promise.all([narrow, gone, stays].map((watcher) => watcher.event(2)));
    const next = `${gateway.callersPath}.next`;
    writeFileSync(next, callersFile([{ ...narrowed, iTwins: [MINE] }, kept]));
    renameSync(next, gateway.callersPath);
    await gone.closed();
    expect(gone.events.map(({ event }) => event)).toEqual(['job', 'job']);
    const { event, data } = await narrow.event(3);
    expect([event, JSON.parse(data)]).toEqual([
      'job-error',
      { error: { code: 'JobNotFound', message: 'Requested job is not available.' }, id: other },
    ]);
    for (const id of [other, mine]) upstream.setState(id, 'success');
    await Promise.all([narrow.closed(), stays.closed()]);
    expect(narrow.events.map(({ event }) => event).slice(3)).toEqual(['job', 'end']);
    expect(stays.events.map(({ event }) => event)).toEqual(['job', 'job', 'job', 'job', 'end']);
  });

  it('counts against CALLER_STREAMS of its caller: one more is refused until one closes', async () => {
    const upstream = await startUpstream();
    const { id } = upstream.addJob({ state: 'active' });
    const [greedy, modest] = [testCaller('greedy'), testCaller('modest')];
    const gateway = await startGateway({
      upstream,
      callers: [greedy, modest],
      env: { CALLER_STREAMS: '3' },
    });
    const open = (caller: TestCaller) => Watcher.open(gateway, id, { caller });
    const streams = [await open(greedy), await open(greedy), await open(greedy)];
    const refused = await open(greedy);
    await refused.closed();
    expectError(refused, 429, 'TooManyRequests', 'The caller has as many event streams as it may have.');
    expect(await (await open(modest)).state(1)).toBe('active');
    expect(await metric(gateway, 'gateway_watchers')).toBe(4);
    streams[0]!.leave();
    await until('another one is let in', async () => {
      const again = await open(greedy);
      return again.status === 200;
    });
    expect((await open(greedy)).status).toBe(429);
  });
});
