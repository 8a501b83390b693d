import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isFinished } from './itwin-api.ts';

/**
 * Bytes; few of them as a string of one character each (`latin1`): Node sends that together with the head, a Buffer beside it. Many
 * of them would be copied for each reader.
 */
export type Body = string | Buffer;

/** Up to here a body is a string, in bytes: what Node writes without asking for memory. */
const LONGEST_STRING = 16 * 1024;

/** A job document as upstream sent it, with what the gateway decides by. */
export interface JobCopy {
  readonly kind: 'job';
  /** Upstream's bytes. */
  readonly body: Body;
  readonly contentType: string;
  /** Strong entity tag of the bytes, quoted (RFC 9110 section 8.8.3); equal on every replica. */
  readonly etag: string;
  /** No state follows this one. */
  readonly finished: boolean;
  /** In lower case. */
  readonly iTwinId: string | undefined;
  /** When the call that brought it was sent, on the clock of `performance.now()`. */
  readonly readAt: number;
}

/** The knowledge that upstream has no such job, or none for the gateway. */
export interface MissingJob {
  readonly kind: 'missing';
  readonly readAt: number;
}

export type Copy = JobCopy | MissingJob;

export function isFinishedJob(copy: Copy): boolean {
  return copy.kind === 'job' && copy.finished;
}

/** All that is read of a document; everything else passes through untouched. */
export const jobDocument = z.object({
  job: z.looseObject({ id: z.string(), state: z.unknown().optional(), iTwinId: z.unknown().optional() }),
});

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Makes a copy of a document, or nothing when the bytes do not hold the job that was asked for.
 * @param jobId in lower case; the document may write it in any letter case
 */
export function parseJob(
  jobId: string,
  body: Buffer,
  contentType: string,
  readAt: number,
): JobCopy | undefined {
  let json: unknown;
  try {
    json = JSON.parse(utf8.decode(body));
  } catch {
    return undefined;
  }
  const parsed = jobDocument.safeParse(json);
  if (!parsed.success) return undefined;
  const { id, state, iTwinId } = parsed.data.job;
  if (id.toLowerCase() !== jobId) return undefined;
  return {
    kind: 'job',
    body: body.length <= LONGEST_STRING ? body.toString('latin1') : body,
    contentType,
    etag: entityTag(body),
    finished: typeof state === 'string' && isFinished(state),
    iTwinId: typeof iTwinId === 'string' ? iTwinId.toLowerCase() : undefined,
    readAt,
  };
}

export function bytesOf(body: Body): Buffer {
  return typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
}

function entityTag(body: Buffer): string {
  return `"${createHash('sha256').update(body).digest('base64url')}"`;
}
