import { validateHeaderName, validateHeaderValue } from 'node:http';
import {
  check,
  checkFields,
  either,
  flag,
  listOf,
  nothing,
  number,
  object,
  oneOf,
  passes,
  text,
  whole,
} from './checks.ts';
import { withFields } from './checks.ts';
import type { Fields, Rule } from './checks.ts';
import type { FaultScope } from './fault-queue.ts';
import type { FaultSpec } from './faults.ts';
import type { JobOptions } from './jobs.ts';
import { parseLimits } from './limiters.ts';
import type { FakeUpstreamSettings, TokenFault } from './settings.ts';

/** Up to the longest delay that a timer takes. */
const milliseconds = number(0, 2 ** 31 - 1);
const anyText: Rule = { isValid: (value) => typeof value === 'string', description: 'a string' };

const latency = either(milliseconds, {
  isValid: (value) => listOf(milliseconds).isValid(value) && isRange(value as number[]),
  description: 'the least and the most',
});

const headers: Rule = {
  isValid: (value) => object.isValid(value) && Object.entries(value as object).every(isHeader),
  description: 'an object of headers that can be sent',
};

const limit = { limit: required(whole(1, 1e9)), windowMs: required(number(1, 1e12)) };
const limits = either(
  {
    isValid: (value) => typeof value === 'string' && passes(() => parseLimits(value)),
    description: 'such as 100/2s,300/10s',
  },
  listOf(withFields(limit, '{limit, windowMs}')),
);

const status: Fields = {
  status: required(whole(200, 599)),
  body: either(anyText, object),
  headers,
  contentType: text,
};
const step: Fields = { state: required(text), forMs: milliseconds };

const TOKEN_FAULTS: Readonly<Record<TokenFault['kind'], Fields>> = {
  status,
  hang: {},
  reset: {},
  malformed: {},
  refuse: {},
};

const FAULTS: Readonly<Record<FaultSpec['kind'], Fields>> = {
  status: { ...status, hangs: flag },
  hang: {},
  'hang-body': {},
  hold: {},
  slow: { ms: required(milliseconds) },
  reset: {},
  'cut-off': {},
  huge: { bytes: required(whole(32, 2 ** 30)) },
  'not-json': {},
  'no-job': {},
  unauthorized: {},
  'unauthorized-unwrapped': {},
  'unknown-client': {},
  'too-many': { retryAfter: text, dateInMs: milliseconds },
  gzip: {},
};

const SCOPE: Fields = { jobId: text, times: whole(1, 1e9) };

const JOB: Readonly<Record<keyof JobOptions, Rule>> = {
  id: { isValid: (value) => /^[^/?#\s]+$/.test(String(value)), description: 'one part of a path' },
  name: text,
  type: text,
  iTwinId: either(text, nothing),
  location: text,
  state: text,
  script: listOf(withFields(step, '{state, forMs?}')),
  body: anyText,
};

const SETTINGS: Readonly<Record<keyof FakeUpstreamSettings, Rule>> = {
  clientId: text,
  clientSecret: text,
  tokenLifetimeSeconds: number(0, 1e9),
  tokenLatencyMs: latency,
  tokenLagMs: milliseconds,
  tokenFault: either(nothing, {
    isValid: (value) => passes(() => checkKind(value, TOKEN_FAULTS, '')),
    description: `{kind, …}, the kind ${oneOf(...Object.keys(TOKEN_FAULTS)).description}`,
  }),
  limits,
  windowKind: oneOf('fixed', 'sliding', 'bucket'),
  retryAfterForm: oneOf('seconds', 'date', 'absent'),
  latencyMs: latency,
  unknownJobs: oneOf('not-found', 'make'),
  stamped: oneOf(true, false),
};

/** Limits may also be written as text: `100/2s,300/10s`. All of these throw BadInput. */
export function settingsFrom(value: unknown, where: string): Partial<FakeUpstreamSettings> {
  const checked = checkFields(value, SETTINGS, where);
  const written = checked['limits'];
  return typeof written === 'string' ? { ...checked, limits: parseLimits(written) } : checked;
}

export function jobFrom(value: unknown): JobOptions {
  return checkFields(value, JOB, 'job');
}

/** `{"kind": …, "jobId"?: …, "times"?: …}`: a fault and whom it meets in one object. */
export function faultFrom(value: unknown): FaultSpec & FaultScope {
  const withScope = Object.entries(FAULTS).map(([kind, fields]) => [kind, { ...fields, ...SCOPE }]);
  checkKind(value, Object.fromEntries(withScope) as typeof FAULTS, 'fault');
  return value as FaultSpec & FaultScope;
}

function checkKind(value: unknown, kinds: Readonly<Record<string, Fields>>, where: string): void {
  check(value, object, where);
  const { kind, ...rest } = value as { readonly kind: string };
  check(kind, oneOf(...Object.keys(kinds)), `${where}.kind`);
  checkFields(rest, kinds[kind] ?? {}, where);
}

function required(rule: Rule): Rule {
  return { ...rule, required: true };
}

function isRange([least = 0, most = -1, ...more]: readonly number[]): boolean {
  return least <= most && more.length === 0;
}

function isHeader([name, value]: [string, unknown]): boolean {
  if (typeof value !== 'string') return false;
  return passes(() => validateHeaderName(name)) && passes(() => validateHeaderValue(name, value));
}
