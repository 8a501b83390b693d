import { parseList, Token } from 'structured-headers';
import type { Seen } from './reads.ts';

/** The one member of an answer's Cache-Status (RFC 9211): its name, and its parameters with tokens as `token:text`. */
export function cacheStatus({ headers }: Pick<Seen, 'headers'>): Readonly<Record<string, unknown>> {
  const members = parseList(String(headers['cache-status']));
  const [name, parameters] = members[0] ?? [];
  if (members.length !== 1 || !(name instanceof Token) || !parameters) {
    throw new Error(`not the Cache-Status of one cache: ${String(headers['cache-status'])}`);
  }
  const plain: Record<string, unknown> = { name: name.toString() };
  for (const [key, value] of parameters)
    plain[key] = value instanceof Token ? `token:${value.toString()}` : value;
  return plain;
}
