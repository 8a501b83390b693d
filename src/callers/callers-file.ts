import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { parseJson } from '../parse-json.ts';

const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/i, 'must be the SHA-256 of a key: 64 hexadecimal digits')
  .transform((hex) => hex.toLowerCase());

const entry = z
  .strictObject({
    name: z.string().regex(/^[\w.-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, dashes or underscores'),
    keySha256: z
      .array(digest)
      .min(1)
      .max(2, 'must hold one digest, or two while a key is rotated')
      .optional(),
    /** The claim `client_id` of this caller's tokens. */
    clientId: z
      .string()
      .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 printable characters')
      .optional(),
    iTwins: z.array(z.string().min(1)),
    operator: z.boolean().default(false),
  })
  .refine(({ keySha256, clientId }) => keySha256 !== undefined || clientId !== undefined, {
    error: 'must have keySha256 or clientId',
  });

const file = z
  .strictObject({ callers: z.array(entry).min(1, 'must name at least one caller') })
  .superRefine(({ callers }, context) => {
    for (const repeated of repeats(callers.map(({ name }) => name))) {
      context.addIssue({ code: 'custom', message: `two callers are named ${repeated}`, path: ['callers'] });
    }
    if (repeats(callers.flatMap(({ keySha256 }) => keySha256 ?? [])).length > 0) {
      context.addIssue({ code: 'custom', message: 'a key belongs to two entries', path: ['callers'] });
    }
    if (repeats(callers.flatMap(({ clientId }) => clientId ?? [])).length > 0) {
      context.addIssue({ code: 'custom', message: 'a clientId belongs to two entries', path: ['callers'] });
    }
  });

/** An entry of the file (docs/CONTRACT.md, section 6). */
export type CallerEntry = z.output<typeof entry>;

/** The faults of a callers file, a line each. No line holds a digest. */
export class CallersFileError extends Error {
  override readonly name = 'CallersFileError';
  constructor(
    readonly faults: readonly string[],
    cause?: Error,
  ) {
    super(faults.join('; '), cause && { cause });
  }
}

/**
 * Reads and checks the file.
 * @param optional whether a missing file counts as one without callers
 * @throws {CallersFileError} with all faults
 */
export function readCallersFile(path: string, optional = false): CallerEntry[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (optional && code === 'ENOENT') return [];
    throw new CallersFileError([`${path} cannot be read (${code})`], error as Error);
  }
  // JSON has no byte order mark; editors on Windows write one.
  const json = parseJson(text.replace(/^\uFEFF/, ''));
  // The parser's own error is not kept as a cause: it quotes the file, and so perhaps a misplaced key.
  if (json === undefined) throw new CallersFileError([`${path} is not JSON`]);
  const parsed = file.safeParse(json);
  if (parsed.success) return parsed.data.callers;
  throw new CallersFileError(
    parsed.error.issues.map((issue) => [issue.path.join('.'), messageOf(issue)].filter(Boolean).join(' ')),
  );
}

/** Describes a fault. An unknown field is quoted only if it looks like a name: it may be a misplaced digest. */
function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return issue.message;
  const names = issue.keys.map((key) => (/^\w{1,32}$/.test(key) ? `"${key}"` : 'one'));
  return `has fields that are not known: ${names.join(', ')}`;
}

function repeats(values: readonly string[]): string[] {
  return [...new Set(values.filter((value, index) => values.indexOf(value) !== index))];
}
