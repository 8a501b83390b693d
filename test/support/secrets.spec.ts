import { describe, expect, it } from '@jest/globals';
import request from 'supertest';
import { Collector } from './collector.ts';
import { Gateway } from './gateway.ts';
import { startUpstream } from './rig.ts';
import { readJob } from './reads.ts';
import { Watcher } from './watcher.ts';
import { answerTo } from './wire.ts';

/** Upstream says something in its own words, which are passed on: a secret of this gateway, by which it leaks. */
async function leaking(secretOf: (gateway: Gateway) => string, env: Readonly<Record<string, string>> = {}) {
  const upstream = await startUpstream();
  const { id } = upstream.addJob();
  const gateway = await Gateway.start({ upstream, env });
  const message = `of ${secretOf(gateway)}.`;
  upstream.fault({ kind: 'status', status: 422, body: { error: { code: 'Quoting', message } } });
  return { gateway, id, path: `/contextcapture/jobs/${id}` };
}

const keyOf = ({ callers }: Gateway): string => callers[0]!.key;
const secret = (): string => 'demo-secret';

describe('the search for secrets finds one', () => {
  it.each<[string, (leak: Awaited<ReturnType<typeof leaking>>) => Promise<unknown>]>([
    ['an error that is read as a job', ({ gateway, id }) => readJob(gateway, id)],
    [
      'an error that any client reads',
      ({ gateway, path }) => request(gateway.url).get(path).set('authorization', gateway.bearer()),
    ],
    [
      'an error that fetch reads',
      async ({ gateway, path }) =>
        (await fetch(`${gateway.url}${path}`, { headers: { authorization: gateway.bearer() } })).text(),
    ],
    [
      'an error read from the wire',
      ({ gateway, path }) =>
        answerTo(
          gateway.url,
          `GET ${path} HTTP/1.1\r\nhost: a\r\nauthorization: ${gateway.bearer()}\r\n\r\n`,
        ),
    ],
    [
      'an event',
      async ({ gateway, id }) => {
        const watcher = await Watcher.open(gateway, id);
        await watcher.event(1);
        watcher.leave();
      },
    ],
  ])('in %s', async (_, read) => {
    for (const known of [keyOf, secret]) {
      const leak = await leaking(known);
      await read(leak);
      await expect(leak.gateway.stop()).rejects.toThrow('a secret has come out\nan answer: ');
    }
  });

  it('in a header of an answer, a log line and a trace', async () => {
    const collector = await Collector.start();
    const { gateway, id } = await leaking(() => 'nothing', { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    await readJob(gateway, id, { headers: { 'x-correlation-id': keyOf(gateway) } });
    const found = await gateway.stop().catch(String);
    for (const where of ['an answer', 'the log', 'a trace']) expect(found).toContain(`\n${where}: …`);
  });
});
