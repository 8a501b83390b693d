import { z } from 'zod';
import { parseJson } from '../parse-json.ts';
import { bytesOf, type Copy, parseJob } from '../upstream/copy.ts';

/** No copy is kept longer, in milliseconds: ten years. */
const LONGEST_LIFETIME_MS = 3650 * 86_400_000;
/** Redis may say that so much more is left of a life than it has, in milliseconds: what is left is rounded when it is stored. */
const ROUNDING_MS = 1000;

const lifetime = z.number().positive().max(LONGEST_LIFETIME_MS);
/** What can stand in a header field. */
const contentTypes = z.string().regex(/^[\x20-\x7e]{0,255}$/);

/** What stands before the bytes of a document, on a line of its own. */
const head = z.discriminatedUnion('kind', [
  z.object({
    kind: z.enum(['finished', 'unfinished']),
    contentType: contentTypes,
    etag: z.string(),
    lifetimeMs: lifetime,
  }),
  z.object({ kind: z.literal('missing'), lifetimeMs: lifetime }),
]);

/** How the bytes of every finished job begin, and of nothing else. */
export const FINISHED_BEGINS = '{"kind":"finished",';

const NEWLINE = 0x0a;
/** Longer first lines are not ours. */
const LONGEST_HEAD = 4096;

/** A copy as bytes: a line of JSON, then upstream's own bytes. `lifetimeMs` is its whole life, from when it was read. */
export function encodeCopy(copy: Copy, lifetimeMs: number): Buffer {
  if (copy.kind === 'missing') return line({ kind: 'missing', lifetimeMs });
  const { contentType, etag, body, finished } = copy;
  return Buffer.concat([
    line({ kind: finished ? 'finished' : 'unfinished', contentType, etag, lifetimeMs }),
    bytesOf(body),
  ]);
}

/**
 * Bytes → the copy, or nothing when they are not what was stored for this job: the entity tag doubles as a checksum.
 * @param remainingMs what the store says is left of its lifetime: from there comes its age. Infinity: it has no end there
 */
export function decodeCopy(jobId: string, bytes: Buffer, remainingMs: number): Copy | undefined {
  const end = bytes.subarray(0, LONGEST_HEAD).indexOf(NEWLINE);
  const parsed = head.safeParse(parseJson(bytes.subarray(0, Math.max(0, end)).toString()));
  if (!parsed.success) return undefined;
  // More left than it ever had: it would never grow old.
  if (remainingMs > parsed.data.lifetimeMs + ROUNDING_MS) return undefined;
  const readAt = performance.now() - Math.max(0, parsed.data.lifetimeMs - remainingMs);
  if (parsed.data.kind === 'missing') return { kind: 'missing', readAt };
  const copy = parseJob(jobId, bytes.subarray(end + 1), parsed.data.contentType, readAt);
  return copy?.etag === parsed.data.etag ? copy : undefined;
}

function line(fields: z.input<typeof head>): Buffer {
  return Buffer.from(`${JSON.stringify(fields)}\n`);
}
