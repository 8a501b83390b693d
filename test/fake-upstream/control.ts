import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Call } from './call-log.ts';
import { BadInput, checkFields, text } from './checks.ts';
import type { FaultScope } from './fault-queue.ts';
import type { FaultSpec } from './faults.ts';
import { faultFrom, jobFrom, settingsFrom } from './inputs.ts';
import type { Job, JobOptions } from './jobs.ts';
import { sendAnswer } from './reactions.ts';
import { readText } from './read-text.ts';
import type { FakeUpstreamSettings } from './settings.ts';

/** What of the fake upstream can be controlled from another process; `fake-upstream.ts` says what each does. */
export interface Controlled {
  readonly settings: Readonly<FakeUpstreamSettings>;
  readonly calls: readonly Call[];
  readonly refused: number;
  readonly tokenRequests: readonly unknown[];
  set(changes: Partial<FakeUpstreamSettings>): void;
  addJob(options: JobOptions): Job;
  setState(jobId: string, state: string): void;
  fault(spec: FaultSpec, scope: FaultScope): void;
  clearFaults(): void;
  revokeTokens(): void;
  mostInWindow(windowMs: number): number;
  clear(): void;
}

interface ControlRequest {
  /** The job's id, where the path has one. */
  readonly id: string;
  readonly query: URLSearchParams;
  /** Parsed JSON; undefined when there is no body. */
  readonly body: unknown;
}

type Route = (upstream: Controlled, request: ControlRequest) => unknown;

/** What a test can do with the fake upstream in its own process, for one that runs in another. */
const ROUTES: Readonly<Record<string, Route>> = {
  'GET /_fake': (upstream) => summary(upstream),
  'PATCH /_fake': (upstream, { body }) => {
    upstream.set(settingsFrom(body, 'settings'));
    return summary(upstream);
  },
  'GET /_fake/window': (upstream, { query }) => {
    const windowMs = Number(query.get('ms'));
    if (!(windowMs > 0)) throw new BadInput('ms must be a positive number');
    return { windowMs, most: upstream.mostInWindow(windowMs) };
  },
  'GET /_fake/calls': (upstream) => upstream.calls.map(({ headers: _, token: __, ...call }) => call),
  'DELETE /_fake/calls': (upstream) => upstream.clear(),
  'DELETE /_fake/tokens': (upstream) => upstream.revokeTokens(),
  'POST /_fake/jobs': (upstream, { body }) => ({ id: upstream.addJob(jobFrom(body ?? {})).id }),
  'PATCH /_fake/jobs/{id}': (upstream, { id, body }) => changeState(upstream, id, body),
  'POST /_fake/faults': (upstream, { body }) => addFault(upstream, body),
  'DELETE /_fake/faults': (upstream) => upstream.clearFaults(),
};

/** A request that cannot be understood is answered 400 and changes nothing. */
export async function serveControl(
  upstream: Controlled,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://upstream');
  const [, id = ''] = /^\/_fake\/jobs\/([^/]+)$/.exec(pathname) ?? [];
  const path = id === '' ? pathname : '/_fake/jobs/{id}';
  const body = await readText(request);
  const route = ROUTES[`${request.method} ${path}`];
  try {
    if (!route) throw new BadInput(`the routes are ${Object.keys(ROUTES).join(', ')}`);
    const done = route(upstream, { id, query, body: parse(body) });
    sendAnswer(response, done === undefined ? { status: 204 } : { status: 200, body: JSON.stringify(done) });
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    sendAnswer(response, { status: 400, body: JSON.stringify({ error: error.message }) });
  }
}

function parse(body: string): unknown {
  if (body === '') return undefined;
  try {
    return JSON.parse(body) as unknown;
  } catch {
    throw new BadInput('the body is not JSON');
  }
}

function addFault(upstream: Controlled, body: unknown): void {
  const { jobId, times, ...spec } = faultFrom(body);
  upstream.fault(spec, { ...(jobId !== undefined && { jobId }), ...(times !== undefined && { times }) });
}

function changeState(upstream: Controlled, id: string, body: unknown): void {
  const { state } = checkFields(body, { state: { ...text, required: true } }, 'job') as { state: string };
  try {
    upstream.setState(id, state);
  } catch (error) {
    throw new BadInput((error as Error).message);
  }
}

function summary(upstream: Controlled): object {
  const { clientSecret: _, ...shown } = upstream.settings;
  const statuses = Object.groupBy(upstream.calls, ({ status }) => String(status));
  return {
    calls: upstream.calls.length,
    admitted: upstream.calls.filter(({ admitted }) => admitted).length,
    refused: upstream.refused,
    statuses: Object.fromEntries(Object.entries(statuses).map(([status, calls]) => [status, calls?.length])),
    tokenRequests: upstream.tokenRequests.length,
    settings: shown,
  };
}
