/** What every answer carries, whoever makes it: a browser takes it for what it says it is, and for nothing else. */
export function fieldsOfEveryAnswer(correlationId: string): Readonly<Record<string, string>> {
  return { 'x-correlation-id': correlationId, 'x-content-type-options': 'nosniff' };
}
