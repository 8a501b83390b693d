import { parseList, Token } from 'structured-headers';
import type { Seen } from './reads.ts';

/** Parses Cache-Status (RFC 9211) of one cache: its name and parameters, tokens as `token:text`. */
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
