import { z } from 'zod';
import { parseJson } from '../parse-json.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { isJobId } from '../upstream/job-reads.ts';
import type { SharedReadOutcome } from '../upstream/leases.ts';

/** What one replica tells the others of a job's flight. */
export type SharedReadMessage = { readonly kind: 'sent' } | { readonly kind: 'waiting' } | SharedReadOutcome;
/** What replicas are told of a job: `forgotten` by the command of that name, for nothing of it to be kept anywhere. */
export type ReplicaMessage = SharedReadMessage | { readonly kind: 'forgotten' };

/** A longer message is none of ours, in characters: upstream's errors are all that may be of some length. */
const LONGEST_NOTICE = 64 * 1024;

const body = z.object({ code: z.string(), message: z.string(), target: z.string().exactOptional() });
const notice = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('sent') }),
  z.object({ kind: z.literal('waiting') }),
  z.object({ kind: z.literal('free') }),
  z.object({ kind: z.literal('forgotten') }),
  z.object({
    kind: z.literal('stored'),
    finished: z.boolean(),
    missing: z.boolean(),
    etag: z.string().optional(),
  }),
  z.object({
    kind: z.literal('failed'),
    status: z.number().int().min(400).max(599),
    body: body.extend({ details: z.array(body).exactOptional() }),
    retryAfterMs: z.number().optional(),
  }),
]);

/** A notice as it goes over the wire: `<job id> <JSON>`. */
export function encodeMessage(jobId: string, said: ReplicaMessage): string {
  if (said.kind !== 'failed') return `${jobId} ${JSON.stringify(said)}`;
  const { status, body, options } = said.error;
  const { retryAfterMs } = options;
  return `${jobId} ${JSON.stringify({ kind: 'failed', status, body, retryAfterMs })}`;
}

/**
 * Nothing when it is none of ours.
 * @param longestRetryAfterMs a longer Retry-After is cut to it
 */
export function decodeMessage(
  message: string,
  longestRetryAfterMs: number,
): { readonly jobId: string; readonly said: ReplicaMessage } | undefined {
  if (message.length > LONGEST_NOTICE) return undefined;
  const space = message.indexOf(' ');
  const parsed = notice.safeParse(parseJson(message.slice(space + 1)));
  if (!parsed.success) return undefined;
  const { data } = parsed;
  const jobId = message.slice(0, space);
  if (!isJobId(jobId)) return undefined;
  if (data.kind !== 'failed') return { jobId, said: data };
  const { status, body, retryAfterMs } = data;
  const cutMs = Math.min(Math.max(0, retryAfterMs ?? 0), longestRetryAfterMs);
  const options = retryAfterMs === undefined ? {} : { retryAfterMs: cutMs };
  return { jobId, said: { kind: 'failed', error: GatewayError.told(status, body, options) } };
}
