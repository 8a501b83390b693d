import { z } from 'zod';

const entry = z.object({
  code: z.string().meta({ description: 'One of the codes of this page, or one of upstream’s own.' }),
  message: z.string().meta({ description: 'For people to read.' }),
  target: z.string().exactOptional().meta({ description: 'What of the request is at fault.' }),
});

/** The form of every error (docs/CONTRACT.md, section 4), and of those of the iTwin API. */
export const envelope = z.object({
  error: entry.extend({ details: z.array(entry).exactOptional() }),
});

/** One entry of `details`. */
type ErrorDetail = Readonly<z.output<typeof entry>>;

/** The content of an error. */
export type ErrorBody = ErrorDetail & { readonly details?: readonly ErrorDetail[] };
