import { expect } from '@jest/globals';
import type { Gateway } from './gateway.ts';
import { until } from './until.ts';

export interface Readiness {
  /** HTTP status. */
  readonly status: number;
  /** Status of each part: `up`, `degraded` or `down`. */
  readonly parts: Readonly<Record<string, string>>;
}

/** Fetches the readiness of a gateway. */
export async function readiness(gateway: Gateway): Promise<Readiness> {
  const answer = await fetch(`${gateway.url}/health/ready`);
  const { details } = (await answer.json()) as { details: Record<string, { status: string }> };
  const parts = Object.entries(details).map(([name, { status }]) => [name, status] as const);
  return { status: answer.status, parts: Object.fromEntries(parts) };
}

/** Waits for a status of Redis in readiness, which is 200 in either case. */
export async function untilRedisIs(state: 'up' | 'degraded', gateway: Gateway): Promise<void> {
  await until(`redis is ${state}`, async () => {
    const { status, parts } = await readiness(gateway);
    expect(status).toBe(200);
    return parts['redis'] === state;
  });
}

/** The details about Redis in readiness. */
export async function redisDetails(gateway: Gateway): Promise<Readonly<Record<string, unknown>>> {
  const answer = await fetch(`${gateway.url}/health/ready`);
  const { details } = (await answer.json()) as { details: Record<string, Record<string, unknown>> };
  return details['redis'] ?? {};
}
