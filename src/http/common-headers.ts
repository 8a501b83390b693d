/** What every answer carries, whoever makes it: a browser takes it for what it says it is, and for nothing else. */
export function commonHeaders(correlationId: string): Readonly<Record<string, string>> {
  return { 'x-correlation-id': correlationId, 'x-content-type-options': 'nosniff' };
}

/** Adds them to a head of names and values in turn. */
export function addCommonHeaders(head: string[], correlationId: string): void {
  head.push('x-correlation-id', correlationId, 'x-content-type-options', 'nosniff');
}
