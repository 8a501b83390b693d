import { createHash } from 'node:crypto';
import { z } from 'zod';
import { isFinished } from './itwin-api.ts';

/**
 * The bytes of a document. Small ones are a string of one character each (`latin1`), which Node writes together with
 * the head; large ones a Buffer, which all readers share instead of copying it.
 */
export type Body = string | Buffer;

/** Longest body that is a string, in bytes: Node writes it without allocating memory. */
const LONGEST_STRING = 16 * 1024;

/** A job document as upstream sent it, with the fields that the gateway decides by. */
export interface JobCopy {
  readonly kind: 'job';
  /** Upstream's bytes. */
  readonly body: Body;
  readonly contentType: string;
  /** Strong entity tag of the bytes, quoted (RFC 9110 section 8.8.3); equal on every replica. */
  readonly etag: string;
  /** The state is final. */
  readonly finished: boolean;
  /** In lower case. */
  readonly iTwinId: string | undefined;
  /** When its call was sent, on the clock of `performance.now()`. */
  readonly readAt: number;
}

/** Upstream has no such job, or none that the gateway may see. */
export interface MissingJob {
  readonly kind: 'missing';
  readonly readAt: number;
}

export type Copy = JobCopy | MissingJob;

export function isFinishedJob(copy: Copy): boolean {
  return copy.kind === 'job' && copy.finished;
}

/** The fields that are read; everything else passes through untouched. */
export const jobDocument = z.object({
  job: z.looseObject({ id: z.string(), state: z.unknown().optional(), iTwinId: z.unknown().optional() }),
});

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Makes a copy of a document; undefined when the bytes do not hold the requested job.
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
