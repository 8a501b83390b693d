import { GatewayError } from '../../src/errors/gateway-error.ts';
import type { Flight, Found, UpstreamTrace } from '../../src/upstream/exchange.ts';
import { Party } from '../../src/upstream/party.ts';
import { type FailureKind, UpstreamFailure } from '../../src/upstream/upstream-failure.ts';

/** What upstream answers to a call that goes well. */
export const found = { source: 'upstream', copy: { kind: 'missing', readAt: 0 }, collapsed: false } as Found;

/** A shared read of a job, with one caller who waits for it. */
export function flight(jobId: string, patienceMs = 10_000): Flight & { readonly refused: GatewayError[] } {
  const party = new Party();
  const refused: GatewayError[] = [];
  party.add({ caller: 'tester', patienceMs, refuse: (error) => refused.push(error) });
  return {
    jobId,
    correlationId: 'correlation',
    caller: { line: 'tester', maySee: () => true },
    wants: { maxAgeMs: Infinity, onlyIfCached: false },
    askedAt: 0,
    patienceMs,
    gone: new AbortController(),
    known: undefined,
    strict: false,
    party,
    again: false,
    onWaiting: () => undefined,
    onSent: () => undefined,
    onFailed: () => undefined,
    refused,
  };
}

/** A failed call that ended so. */
export function failure(
  status: UpstreamTrace['status'],
  { kind = 'final', retryAfterMs }: { kind?: FailureKind; retryAfterMs?: number } = {},
): UpstreamFailure {
  const call = { kind, trace: { status }, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  const code = status === 401 ? 'UpstreamAuthenticationFailed' : 'UpstreamError';
  return new UpstreamFailure(call, GatewayError.of(code));
}
