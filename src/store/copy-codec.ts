import { z } from 'zod';
import { parseJson } from '../parse-json.ts';
import { bytesOf, type Copy, parseJob } from '../upstream/copy.ts';

/** Longest lifetime of a copy, in milliseconds: ten years. */
const LONGEST_LIFETIME_MS = 3650 * 86_400_000;
/** Tolerance when a remaining lifetime exceeds the total one, in milliseconds: it is rounded when stored. */
const ROUNDING_MS = 1000;

const lifetime = z.number().positive().max(LONGEST_LIFETIME_MS);
/** Valid in a header field. */
const contentTypes = z.string().regex(/^[\x20-\x7e]{0,255}$/);

/** The first line of a stored copy, before the bytes of the document. */
const head = z.discriminatedUnion('kind', [
  z.object({
    kind: z.enum(['finished', 'unfinished']),
    contentType: contentTypes,
    etag: z.string(),
    lifetimeMs: lifetime,
  }),
  z.object({ kind: z.literal('missing'), lifetimeMs: lifetime }),
]);

/** The first bytes of every stored copy of a finished job, and of no other. */
export const FINISHED_BEGINS = '{"kind":"finished",';

const NEWLINE = 0x0a;
/** Longest valid first line, in bytes. */
const MAX_HEAD = 4096;

/** Encodes a copy: a line of JSON, then upstream's bytes. @param lifetimeMs total lifetime from when it was read */
export function encodeCopy(copy: Copy, lifetimeMs: number): Buffer {
  if (copy.kind === 'missing') return line({ kind: 'missing', lifetimeMs });
  const { contentType, etag, body, finished } = copy;
  return Buffer.concat([
    line({ kind: finished ? 'finished' : 'unfinished', contentType, etag, lifetimeMs }),
    bytesOf(body),
  ]);
}

/**
 * Decodes a copy. The entity tag serves as a checksum.
 * @param remainingMs remaining lifetime in the store, which gives the age; Infinity: it has no expiry there
 * @returns undefined when the bytes are not a valid copy of this job
 */
export function decodeCopy(jobId: string, bytes: Buffer, remainingMs: number): Copy | undefined {
  const end = bytes.subarray(0, MAX_HEAD).indexOf(NEWLINE);
  const parsed = head.safeParse(parseJson(bytes.subarray(0, Math.max(0, end)).toString()));
  if (!parsed.success) return undefined;
  // More remaining than total lifetime: the copy would never age.
  if (remainingMs > parsed.data.lifetimeMs + ROUNDING_MS) return undefined;
  const readAt = performance.now() - Math.max(0, parsed.data.lifetimeMs - remainingMs);
  if (parsed.data.kind === 'missing') return { kind: 'missing', readAt };
  const copy = parseJob(jobId, bytes.subarray(end + 1), parsed.data.contentType, readAt);
  return copy?.etag === parsed.data.etag ? copy : undefined;
}

function line(fields: z.input<typeof head>): Buffer {
  return Buffer.from(`${JSON.stringify(fields)}\n`);
}
