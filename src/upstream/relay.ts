import { z } from 'zod';
import type { ErrorBody } from '../errors/envelope.ts';
import { relayed, type RelayedStatus } from '../errors/gateway-error.ts';

const LONGEST_MESSAGE = 2000;
const LONGEST_TARGET = 500;
const MAX_DETAILS = 100;

/** Elements of the error pages of proxies and servers, and elements that are dangerous in a page. */
const ELEMENTS =
  'html|head|title|meta|link|base|style|script|body|main|header|footer|section|nav|div|span|p|br|hr|h[1-6]|a|b|i|u|em|' +
  'strong|small|big|font|center|pre|code|tt|address|ul|ol|li|dl|dt|dd|table|thead|tbody|tr|th|td|img|svg|math|iframe|' +
  'object|embed|form|input|button|textarea|select|video|audio|noscript|template';
/** Matches tags but not every `<`: messages of the API may contain `<Draft|Medium>` or `a < b`. */
const MARKUP = new RegExp(
  String.raw`<(?:!doctype|!--|!\[cdata|\?xml|/[a-z]|(?:${ELEMENTS})(?:(?:[\s/][^<>]*)?>|\s*$)|[a-z][\w:-]*\s[^<>]*=)`,
  'i',
);

/** Text that is relayed. Markup is not: it comes from a proxy. */
const text = z.string().refine((value) => /\S/.test(value) && !MARKUP.test(value));
const code = z.string().regex(/^[\w.-]{1,100}$/);
const message = text.transform(shorten);
const target = text.max(LONGEST_TARGET);

/** Invalid fields are dropped one by one: a valid message is kept although its code is invalid. */
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
 * The error body to relay: upstream's own fields, with the defaults of the status for missing or invalid ones
 * (docs/CONTRACT.md, section 4).
 */
export function relayedBody(json: unknown, status: RelayedStatus): ErrorBody {
  const wrapped = envelope.safeParse(json);
  if (wrapped.success) {
    const { details, ...error } = wrapped.data.error;
    const kept = details?.slice(0, MAX_DETAILS).filter((detail) => detail?.code ?? detail?.message);
    const allDropped = kept?.length === 0 && details?.length !== 0;
    return {
      ...withDefaults(error, status),
      ...(kept && !allDropped && { details: kept.map((detail) => withDefaults(detail, status)) }),
    };
  }
  const bare = unwrapped.safeParse(json);
  return bare.success ? { ...relayed[status], message: bare.data.message } : relayed[status];
}

/** A missing target is omitted, as upstream does: some clients of the API cannot read null. */
function withDefaults(error: z.output<typeof entry> = {}, status: RelayedStatus): Omit<ErrorBody, 'details'> {
  const { code, message } = relayed[status];
  const { target } = error;
  return {
    code: error.code ?? code,
    message: error.message ?? message,
    ...(target !== undefined && { target }),
  };
}

function shorten(text: string): string {
  return text.length <= LONGEST_MESSAGE ? text : `${text.slice(0, LONGEST_MESSAGE - 1).toWellFormed()}…`;
}
