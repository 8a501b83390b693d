import { z } from 'zod';
import { GatewayError } from '../errors/gateway-error.ts';
import { parseJson } from '../parse-json.ts';
import { isJobId } from '../upstream/job-reads.ts';
import type { SharedReadOutcome } from '../upstream/leases.ts';

/** Progress of a job's shared read, published to the other replicas. */
export type SharedReadMessage = { readonly kind: 'sent' } | { readonly kind: 'waiting' } | SharedReadOutcome;
/** A message about a job. `forgotten` comes from the forget command: all replicas drop the job. */
export type ReplicaMessage = SharedReadMessage | { readonly kind: 'forgotten' };

/** Longest valid message, in characters; only errors of upstream are long. */
const MAX_LENGTH = 64 * 1024;

const body = z.object({ code: z.string(), message: z.string(), target: z.string().exactOptional() });
const messageSchema = z.discriminatedUnion('kind', [
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

/** Encodes a message as `<job id> <JSON>`. */
export function encodeMessage(jobId: string, message: ReplicaMessage): string {
  if (message.kind !== 'failed') return `${jobId} ${JSON.stringify(message)}`;
  const { status, body, options } = message.error;
  const { retryAfterMs } = options;
  return `${jobId} ${JSON.stringify({ kind: 'failed', status, body, retryAfterMs })}`;
}

/**
 * Decodes a message. @returns undefined when it is invalid
 * @param longestRetryAfterMs upper bound for a Retry-After
 */
export function decodeMessage(
  text: string,
  longestRetryAfterMs: number,
): { readonly jobId: string; readonly message: ReplicaMessage } | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  const space = text.indexOf(' ');
  const parsed = messageSchema.safeParse(parseJson(text.slice(space + 1)));
  if (!parsed.success) return undefined;
  const { data } = parsed;
  const jobId = text.slice(0, space);
  if (!isJobId(jobId)) return undefined;
  if (data.kind !== 'failed') return { jobId, message: data };
  const { status, body, retryAfterMs } = data;
  const boundedMs = Math.min(Math.max(0, retryAfterMs ?? 0), longestRetryAfterMs);
  const options = retryAfterMs === undefined ? {} : { retryAfterMs: boundedMs };
  return { jobId, message: { kind: 'failed', error: GatewayError.told(status, body, options) } };
}
