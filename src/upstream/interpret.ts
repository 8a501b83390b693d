import { z } from 'zod';
import { type ErrorCode, GatewayError, RelayedError } from '../errors/gateway-error.ts';
import { parseJson } from '../parse-json.ts';
import { type Copy, parseJob } from './copy.ts';
import type { CallOutcome } from './exchange.ts';
import { UNKNOWN_CLIENT } from './itwin-api.ts';
import { relayedBody } from './relay.ts';
import { parseRetryAfter } from './retry-after.ts';
import { type FailedCall, type FailureKind, UpstreamFailure } from './upstream-failure.ts';

/** A complete response of upstream. */
export interface Reply {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly correlationId: string | undefined;
  readonly retryAfter: string | undefined;
  readonly date: string | undefined;
  readonly body: Buffer;
}

/** Interprets a response for one job (docs/CONTRACT.md, section 4). @throws {UpstreamFailure} when it brings no copy */
export function interpret(jobId: string, reply: Reply, readAt: number): Copy {
  const { status } = reply;
  switch (status) {
    case 200:
      return parseJobReply(jobId, reply, readAt);
    case 404:
      return { kind: 'missing', readAt };
    case 400:
    case 403:
    case 409:
    case 422:
      throw new UpstreamFailure(
        call(reply, 'final'),
        new RelayedError(status, relayedBody(parseJson(reply.body.toString()), status)),
      );
    case 401:
      // A new token does not help with UnknownClient.
      throw failed(reply, isUnknownClient(reply) ? 'final' : 'token-refused', 'UpstreamAuthenticationFailed');
    case 429:
      throw failed(reply, 'rate-limited', 'TooManyRequests');
    case 502:
    case 503:
    case 504:
      throw failed(reply, 'transient', 'UpstreamError');
    default:
      // Other successes are not the document: 206 is a part of it, 203 a version modified by a proxy.
      throw failed(reply, 'final', status < 300 ? 'InvalidUpstreamResponse' : 'UpstreamError');
  }
}

/** The outcome of a call, for logs and metrics. */
export function callOutcomeOf({
  status,
  correlationId,
}: Pick<Reply, 'status' | 'correlationId'>): CallOutcome {
  return correlationId === undefined ? { status } : { status, correlationId };
}

function parseJobReply(jobId: string, reply: Reply, readAt: number): Copy {
  const copy = parseJob(jobId, reply.body, reply.contentType ?? 'application/json', readAt);
  if (!copy) throw failed(reply, 'final', 'InvalidUpstreamResponse');
  return copy;
}

function failed(reply: Reply, kind: FailureKind, code: ErrorCode): UpstreamFailure {
  return new UpstreamFailure(call(reply, kind), GatewayError.of(code));
}

function call(reply: Reply, kind: FailureKind): FailedCall {
  const hasRetryAfter = reply.status === 429 || reply.status === 503;
  const retryAfterMs = hasRetryAfter ? parseRetryAfter(reply.retryAfter, reply.date) : undefined;
  return { kind, outcome: callOutcomeOf(reply), retryAfterMs };
}

/** The error of a 401, with or without the envelope. */
const coded = z.object({ code: z.string() });
const authenticationError = coded.extend({ details: z.array(coded).nullish() });
const authenticationAnswer = z.union([z.object({ error: authenticationError }), authenticationError]);

function isUnknownClient(reply: Reply): boolean {
  const parsed = authenticationAnswer.safeParse(parseJson(reply.body.toString()));
  if (!parsed.success) return false;
  const error = 'error' in parsed.data ? parsed.data.error : parsed.data;
  return [error, ...(error.details ?? [])].some((entry) => entry.code === UNKNOWN_CLIENT);
}
