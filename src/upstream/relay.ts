import { z } from 'zod';
import type { ErrorBody } from '../errors/envelope.ts';
import { relayed, type RelayedStatus } from '../errors/gateway-error.ts';

const LONGEST_MESSAGE = 2000;
const LONGEST_TARGET = 500;
const MOST_DETAILS = 100;

/** The elements of the pages that proxies and servers put in the place of an answer, and of what does harm in one. */
const ELEMENTS =
  'html|head|title|meta|link|base|style|script|body|main|header|footer|section|nav|div|span|p|br|hr|h[1-6]|a|b|i|u|em|' +
  'strong|small|big|font|center|pre|code|tt|address|ul|ol|li|dl|dt|dd|table|thead|tbody|tr|th|td|img|svg|math|iframe|' +
  'object|embed|form|input|button|textarea|select|video|audio|noscript|template';
/** A tag, and not any `<`: the API may well say that something must be `<Draft|Medium>`, or less than another. */
const MARKUP = new RegExp(
  String.raw`<(?:!doctype|!--|!\[cdata|\?xml|/[a-z]|(?:${ELEMENTS})(?:(?:[\s/][^<>]*)?>|\s*$)|[a-z][\w:-]*\s[^<>]*=)`,
  'i',
);

/** Text that may be passed on. Markup is not: it belongs to some proxy on the way. */
const text = z.string().refine((value) => /\S/.test(value) && !MARKUP.test(value));
const code = z.string().regex(/^[\w.-]{1,100}$/);
const message = text.transform(shortened);
const target = text.max(LONGEST_TARGET);

/** What cannot be passed on is left out alone: a good message outlives a bad code. */
const entry = z.object({
  code: code.optional().catch(undefined),
  message: message.optional().catch(undefined),
  target: target.optional().catch(undefined),
});
const envelope = z.object({
  error: entry.extend({
    details: z.array(entry.optional().catch(undefined)).optional().catch(undefined),
  }),
});
const unwrapped = z.object({ message });

/**
 * Upstream's own words, in the form of the envelope's content; what is missing in them, or cannot be passed on, is what
 * the status says (docs/CONTRACT.md, section 4).
 */
export function ownWords(json: unknown, status: RelayedStatus): ErrorBody {
  const wrapped = envelope.safeParse(json);
  if (wrapped.success) {
    const { details, ...error } = wrapped.data.error;
    const kept = details?.slice(0, MOST_DETAILS).filter((detail) => detail?.code ?? detail?.message);
    const nothingLeft = kept?.length === 0 && details?.length !== 0;
    return {
      ...completed(error, status),
      ...(kept && !nothingLeft && { details: kept.map((detail) => completed(detail, status)) }),
    };
  }
  const bare = unwrapped.safeParse(json);
  return bare.success ? { ...relayed[status], message: bare.data.message } : relayed[status];
}

/** Some clients of the API cannot read a target that is null: there, as upstream does, it is left out. */
function completed(error: z.output<typeof entry> = {}, status: RelayedStatus): Omit<ErrorBody, 'details'> {
  const { code, message } = relayed[status];
  const { target } = error;
  return {
    code: error.code ?? code,
    message: error.message ?? message,
    ...(target !== undefined && { target }),
  };
}

function shortened(long: string): string {
  return long.length <= LONGEST_MESSAGE ? long : `${long.slice(0, LONGEST_MESSAGE - 1).toWellFormed()}…`;
}
