import { describe, expect, it } from '@jest/globals';
import { decodeCopy, encodeCopy } from '../../src/store/copy-codec.ts';
import { interpret, type Reply } from '../../src/upstream/interpret.ts';
import { UpstreamFailure } from '../../src/upstream/upstream-failure.ts';

const JOB_ID = 'cc3d35cc-416a-4262-9714-b359da70b419';
const OTHER_ID = '67403a67-416a-4262-9714-b359da70b419';

function reply(status: number, body: string): Reply {
  const none = { contentType: undefined, correlationId: undefined, retryAfter: undefined, date: undefined };
  return { ...none, status, body: Buffer.from(body) };
}

const documentOf = (id: unknown): string => JSON.stringify({ job: { id, state: 'success' } });

function codeOf(status: number, body: string): string {
  try {
    return interpret(JOB_ID, reply(status, body), 0).kind;
  } catch (error) {
    return (error as UpstreamFailure).body.code;
  }
}

describe('a success of upstream', () => {
  it.each([JOB_ID, JOB_ID.toUpperCase()])('is the requested job when its id is %s', (id) => {
    expect(codeOf(200, documentOf(id))).toBe('job');
  });

  it.each([
    ['another job', documentOf(OTHER_ID)],
    ['a job whose id only begins like the requested one', documentOf(`${JOB_ID}0`)],
    ['a job without an id', documentOf(undefined)],
    ['a job whose id is null', documentOf(null)],
    ['a job whose id is a number', documentOf(7)],
    ['a list', '[]'],
    ['an error', '{"error":{"code":"JobNotFound","message":"no"}}'],
    ['no body', ''],
  ])('is invalid when it contains %s', (_, body) => {
    expect(codeOf(200, body)).toBe('InvalidUpstreamResponse');
  });

  it.each([201, 202, 203, 204, 206, 226])('is not the complete document with status %i', (status) => {
    expect(codeOf(status, documentOf(JOB_ID))).toBe('InvalidUpstreamResponse');
  });
});

describe('a stored copy', () => {
  it('is valid only for its own job', () => {
    const bytes = encodeCopy(interpret(JOB_ID, reply(200, documentOf(JOB_ID)), 0), 1000);
    expect(decodeCopy(JOB_ID, bytes, 500)).toMatchObject({ kind: 'job', finished: true });
    expect(decodeCopy(OTHER_ID, bytes, 500)).toBeUndefined();
  });
});
