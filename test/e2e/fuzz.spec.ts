import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { type AnyAnswer, expectError } from '../support/error-answer.ts';
import { Gateway } from '../support/gateway.ts';
import { ACTIVE_JOB, anyRequest, aRead, JOB, KEY } from '../support/random-requests.ts';
import { answerTo } from '../support/wire.ts';

/** Seed of the requests; a failure prints seed and path, which reproduce it. */
const SEED = 20_260_731;
/** Concurrent requests per run. */
const TOGETHER = 10;

/** Errors of docs/CONTRACT.md, section 4, that a caller can get with a working upstream. */
const DOCUMENTED: Readonly<Record<number, readonly string[]>> = {
  400: ['InvalidRequest'],
  401: ['HeaderNotFound', 'Unauthorized'],
  404: ['JobNotFound', 'NotFound'],
  405: ['MethodNotAllowed'],
  413: ['RequestTooLarge'],
  414: ['RequestTooLarge'],
  431: ['RequestTooLarge'],
};

let upstream: FakeUpstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await FakeUpstream.start();
  upstream.addJob({ id: JOB });
  upstream.addJob({ id: ACTIVE_JOB, state: 'active' });
  gateway = await Gateway.start({ upstream });
});

afterAll(async () => {
  await gateway.stop();
  await upstream.stop();
});

const ask = (text: string): Promise<AnyAnswer> =>
  answerTo(gateway.url, Buffer.from(text.replaceAll(KEY, gateway.callers[0]!.key), 'latin1'));

function expectDocumented(sent: string, answer: AnyAnswer): void {
  const { status } = answer;
  if (status === 304) return;
  if (status === 200) {
    if (/contextcapture/i.test(sent.split('\r\n')[0]!)) expectJob(answer);
    return;
  }
  const { code } = expectError(answer, status, codeOf(answer));
  expect({ status, code, documented: DOCUMENTED[status]?.includes(code) }).toEqual({
    status,
    code,
    documented: true,
  });
}

function expectJob({ text, headers }: AnyAnswer): void {
  const bodies = [JOB, ACTIVE_JOB].map((job) => upstream.bodyOf(job).toString('latin1'));
  expect(bodies).toContain(text);
  expect(headers['etag']).toMatch(/^"[^"]+"$/);
}

function codeOf({ text }: AnyAnswer): string {
  return (JSON.parse(text) as { error: { code: string } }).error.code;
}

/** Sends the requests of a property concurrently, and names one with a wrong answer. */
async function askTogether(
  texts: readonly string[],
  check: (sent: string, answer: AnyAnswer) => void,
): Promise<void> {
  await Promise.all(
    texts.map(async (sent) => {
      const answer = await ask(sent);
      try {
        check(sent, answer);
      } catch (error) {
        throw new Error(`${JSON.stringify(sent)} was answered ${JSON.stringify(answer)}`, { cause: error });
      }
    }),
  );
}

async function expectStillServing(): Promise<void> {
  const fresh = upstream.addJob({ id: randomUUID() });
  const answer = await ask(
    `GET /contextcapture/jobs/${fresh.id} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${KEY}\r\n\r\n`,
  );
  expect(answer.status).toBe(200);
  expect(answer.text).toBe(upstream.bodyOf(fresh.id).toString('latin1'));
}

it('gives only documented answers to 1,500 random requests, without a 5xx, and keeps serving', async () => {
  const together = fc.array(anyRequest, { minLength: TOGETHER, maxLength: TOGETHER });
  await fc.assert(
    fc.asyncProperty(together, (texts) => askTogether(texts, expectDocumented)),
    { numRuns: 150, seed: SEED },
  );
  await expectStillServing();
});

it('answers 500 reads of a job with any headers and any letter case of the id', async () => {
  const check = (sent: string, answer: AnyAnswer): void => {
    const matchesAny = /^If-None-Match: \*\s*$/m.test(sent);
    expect(matchesAny ? [200, 304] : [200]).toContain(answer.status);
    if (answer.status === 200) expectJob(answer);
  };
  await fc.assert(
    fc.asyncProperty(fc.array(aRead, { minLength: TOGETHER, maxLength: TOGETHER }), (texts) =>
      askTogether(texts, check),
    ),
    { numRuns: 50, seed: SEED },
  );
  await expectStillServing();
});
