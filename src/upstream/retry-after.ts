/**
 * `Retry-After` (RFC 9110 section 10.2.3) → milliseconds from now, never earlier than what was meant; nothing when it is
 * absent, cannot be understood or asks for no wait at all.
 *
 * An HTTP-date is taken relative to the answer's own `Date`, so that no clock of ours matters. That field is cut to
 * whole seconds, which can only make the wait longer.
 * What is granted of it is bounded where it takes effect: `LONGEST_CLOSING`.
 * @param date the `Date` of the same answer
 */
export function parseRetryAfter(value: string | undefined, date: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : untilDate(text, date);
  return waitMs > 0 ? Math.min(waitMs, Number.MAX_SAFE_INTEGER) : undefined;
}

/** A date as HTTP writes it, in the preferred form or one of the two obsolete ones: not whatever Date.parse would take. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? /;

function untilDate(text: string, date: string | undefined): number {
  if (!HTTP_DATE.test(text)) return NaN;
  const answered = date === undefined ? NaN : parseDate(date);
  return parseDate(text) - (Number.isNaN(answered) ? Date.now() : answered);
}

/** One of the forms (asctime) names no zone: it is GMT all the same, and not where the gateway runs. */
function parseDate(text: string): number {
  const namesZone = /(?:[a-z]|[+-]\d{4})$/i.test(text);
  return Date.parse(namesZone ? text : `${text} GMT`);
}
