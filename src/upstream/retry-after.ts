/**
 * Parses `Retry-After` (RFC 9110 section 10.2.3). An HTTP-date is relative to the response's own `Date`, so that the
 * local clock does not matter; `Date` has whole seconds, which can only lengthen the wait. The caller bounds it to
 * `LONGEST_CLOSING`.
 * @param date the `Date` of the same response
 * @returns the wait in milliseconds; undefined when it is absent, invalid or not positive
 */
export function parseRetryAfter(value: string | undefined, date: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : untilDate(text, date);
  return waitMs > 0 ? Math.min(waitMs, Number.MAX_SAFE_INTEGER) : undefined;
}

/** The HTTP-date formats, including both obsolete ones. Date.parse alone accepts too much. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? /;

function untilDate(text: string, date: string | undefined): number {
  if (!HTTP_DATE.test(text)) return NaN;
  const respondedAt = date === undefined ? NaN : parseDate(date);
  return parseDate(text) - (Number.isNaN(respondedAt) ? Date.now() : respondedAt);
}

/** The asctime format has no time zone: it means GMT, not local time. */
function parseDate(text: string): number {
  const hasZone = /(?:[a-z]|[+-]\d{4})$/i.test(text);
  return Date.parse(hasZone ? text : `${text} GMT`);
}
