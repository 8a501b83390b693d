import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Call } from './call-log.ts';
import { BadInput, checkFields, text } from './checks.ts';
import type { FaultScope } from './fault-queue.ts';
import type { FaultSpec } from './faults.ts';
import { faultFrom, jobFrom, settingsFrom } from './inputs.ts';
import type { Job, JobOptions } from './jobs.ts';
import { sendAnswer } from './reactions.ts';
import { readText } from './read-text.ts';
import type { DoubleSettings } from './settings.ts';

/** What of the double can be controlled from another process; `itwin-double.ts` says what each does. */
export interface Controlled {
  readonly settings: Readonly<DoubleSettings>;
  readonly calls: readonly Call[];
  readonly refused: number;
  readonly tokenRequests: readonly unknown[];
  set(changes: Partial<DoubleSettings>): void;
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

type Route = (double: Controlled, request: ControlRequest) => unknown;

/** What a test can do with the double in its own process, for one that runs in another. */
const ROUTES: Readonly<Record<string, Route>> = {
  'GET /_double': (double) => summary(double),
  'PATCH /_double': (double, { body }) => {
    double.set(settingsFrom(body, 'settings'));
    return summary(double);
  },
  'GET /_double/window': (double, { query }) => {
    const windowMs = Number(query.get('ms'));
    if (!(windowMs > 0)) throw new BadInput('ms must be a positive number');
    return { windowMs, most: double.mostInWindow(windowMs) };
  },
  'GET /_double/calls': (double) => double.calls.map(({ headers: _, token: __, ...call }) => call),
  'DELETE /_double/calls': (double) => double.clear(),
  'DELETE /_double/tokens': (double) => double.revokeTokens(),
  'POST /_double/jobs': (double, { body }) => ({ id: double.addJob(jobFrom(body ?? {})).id }),
  'PATCH /_double/jobs/{id}': (double, { id, body }) => changeState(double, id, body),
  'POST /_double/faults': (double, { body }) => addFault(double, body),
  'DELETE /_double/faults': (double) => double.clearFaults(),
};

/** A request that cannot be understood is answered 400 and changes nothing. */
export async function serveControl(
  double: Controlled,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://double');
  const [, id = ''] = /^\/_double\/jobs\/([^/]+)$/.exec(pathname) ?? [];
  const path = id === '' ? pathname : '/_double/jobs/{id}';
  const body = await readText(request);
  const route = ROUTES[`${request.method} ${path}`];
  try {
    if (!route) throw new BadInput(`the routes are ${Object.keys(ROUTES).join(', ')}`);
    const done = route(double, { id, query, body: parse(body) });
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

function addFault(double: Controlled, body: unknown): void {
  const { jobId, times, ...spec } = faultFrom(body);
  double.fault(spec, { ...(jobId !== undefined && { jobId }), ...(times !== undefined && { times }) });
}

function changeState(double: Controlled, id: string, body: unknown): void {
  const { state } = checkFields(body, { state: { ...text, required: true } }, 'job') as { state: string };
  try {
    double.setState(id, state);
  } catch (error) {
    throw new BadInput((error as Error).message);
  }
}

function summary(double: Controlled): object {
  const { clientSecret: _, ...shown } = double.settings;
  const statuses = Object.groupBy(double.calls, ({ status }) => String(status));
  return {
    calls: double.calls.length,
    admitted: double.calls.filter(({ admitted }) => admitted).length,
    refused: double.refused,
    statuses: Object.fromEntries(Object.entries(statuses).map(([status, calls]) => [status, calls?.length])),
    tokenRequests: double.tokenRequests.length,
    settings: shown,
  };
}
