import { randomUUID } from 'node:crypto';

const LONGEST = 128;
const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;

/** The caller's X-Correlation-Id, or a new UUID when there is none that can be echoed (docs/CONTRACT.md, section 2). */
export function correlationId(header: string | string[] | undefined): string {
  const usable = typeof header === 'string' && header.length <= LONGEST && PRINTABLE_ASCII.test(header);
  return usable ? header : randomUUID();
}
