import { isIP, isIPv6 } from 'node:net';
import ms, { type StringValue } from 'ms';
import { z } from 'zod';
import { isHost, parseUrl } from './texts.ts';

/** A whole number in decimal digits, within bounds. */
export function wholeNumber(least: number, most: number): z.ZodType<number, string> {
  return z.string().transform((text, context) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    context.addIssue(`must be a whole number from ${least} to ${most}`);
    return z.NEVER;
  });
}

/** Another schema's value, or undefined for an empty text. */
export function orNothing<T>(schema: z.ZodType<T, string>): z.ZodType<T | undefined, string> {
  return z.string().transform((text, context) => {
    if (text === '') return undefined;
    const parsed = schema.safeParse(text);
    if (parsed.success) return parsed.data;
    for (const { message } of parsed.error.issues) context.addIssue(message);
    return z.NEVER;
  });
}

/** `500ms`, `5s`, `10m`, `2h`, `30d` → milliseconds, within bounds (written the same way). */
export function duration(least: StringValue, most: StringValue): z.ZodType<number, string> {
  return z.string().transform((text, context) => {
    const value = parseDuration(text);
    // Rounded, because some timers accept only whole milliseconds.
    if (value !== undefined && value >= ms(least) && value <= ms(most)) return Math.round(value);
    context.addIssue(`must be a duration such as 500ms, 5s, 10m or 30d, from ${least} to ${most}`);
    return z.NEVER;
  });
}

/** `512kb`, `64mb`, `1gb` → bytes (powers of 1024). */
export function size(least: number, most: number): z.ZodType<number, string> {
  return z.string().transform((text, context) => {
    const match = /^(\d+)(kb|mb|gb)$/i.exec(text);
    const unit = { kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30 }[match?.[2]?.toLowerCase() ?? ''];
    const value = Number(match?.[1]) * (unit ?? NaN);
    if (value >= least && value <= most) return value;
    const [from, to] = [least, most].map((bytes) => `${Math.floor(bytes / 2 ** 20)}mb`);
    context.addIssue(`must be a size such as 512kb, 64mb or 1gb, from ${from} to ${to}`);
    return z.NEVER;
  });
}

/** Address of a server. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `redis-1:6379,[::1]:6380` → addresses; empty: none. */
export const addresses: z.ZodType<readonly Address[], string> = z.string().transform((text, context) => {
  const parts = text === '' ? [] : text.split(',');
  const valid = parts.map(parseAddress).filter((address) => address !== undefined);
  if (valid.length === parts.length) return valid;
  context.addIssue('must be addresses such as redis-1:6379,[::1]:6380');
  return z.NEVER;
});

/** `https://a.example,https://b.example:8443` → origins, or `*` alone; empty: none. */
export const origins: z.ZodType<readonly string[], string> = z.string().transform((text, context) => {
  const parts = text === '' ? [] : text.split(',').map((part) => part.trim());
  if (text === '*' || parts.every(isOrigin)) return parts;
  context.addIssue('must be * or origins such as https://dashboard.example, as browsers write them');
  return z.NEVER;
});

/** Calls allowed in any window of this length. `name` is the window as written: `1m`. */
export interface QuotaLimit {
  readonly name: string;
  readonly limit: number;
  readonly windowMs: number;
}

const MAX_WINDOWS = 4;
const MAX_CALLS = 1_000_000;

/** `500/1m,5000/1h` → limits, shortest window first. */
export const quotaLimits: z.ZodType<readonly QuotaLimit[], string> = z.string().transform((text, context) => {
  const limits = text.split(',').map((part): QuotaLimit | undefined => {
    const [, limit = '', name = ''] = /^\s*(\d{1,7})\/(\w+)\s*$/.exec(part) ?? [];
    const windowMs = parseDuration(name);
    const calls = Number(limit);
    if (windowMs === undefined || windowMs < 100 || windowMs > ms('31d')) return undefined;
    return calls >= 1 && calls <= MAX_CALLS ? { name, limit: calls, windowMs } : undefined;
  });
  const valid = limits.filter((limit) => limit !== undefined);
  const distinct = new Set(valid.map((limit) => limit.windowMs));
  if (valid.length === limits.length && distinct.size === limits.length && limits.length <= MAX_WINDOWS) {
    return valid.toSorted((a, b) => a.windowMs - b.windowMs);
  }
  context.addIssue(
    `must be 1 to ${MAX_WINDOWS} limits of different windows such as 500/1m,5000/1h (calls 1 to ${MAX_CALLS}, windows 100ms to 31d)`,
  );
  return z.NEVER;
});

/** Whether the host is the local machine. */
export function isLoopback(host: string | undefined): boolean {
  if (host === undefined) return false;
  return ['localhost', '::1', '[::1]'].includes(host) || (isIP(host) === 4 && host.startsWith('127.'));
}

function parseDuration(text: string): number | undefined {
  return /^\d{1,12}(\.\d{1,6})?(ms|s|m|h|d)$/.test(text) ? ms(text as StringValue) : undefined;
}

/** Whether it is an origin as browsers send it: no path, no default port, lower case. Wildcard hosts never match. */
function isOrigin(text: string): boolean {
  return parseUrl(text, ['https:', 'http:'])?.origin === text && !text.includes('*');
}

function parseAddress(text: string): Address | undefined {
  const [, v6, name, digits] = /^\s*(?:\[([\da-f:.]+)\]|([\w.-]+)):(\d{1,5})\s*$/i.exec(text) ?? [];
  const [host = '', port] = [v6 ?? name, Number(digits)];
  const isValid = v6 === undefined ? isHost(host) : isIPv6(host);
  return isValid && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}
