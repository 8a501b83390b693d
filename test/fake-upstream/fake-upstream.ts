import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CallLog } from './call-log.ts';
import type { Call } from './call-log.ts';
import { serveControl } from './control.ts';
import {
  HEADER_NOT_FOUND,
  NO_SUCH_ROUTE,
  UNAUTHORIZED,
  retryAfter,
  tooManyRequests,
} from './documented-errors.ts';
import { FaultQueue } from './fault-queue.ts';
import type { FaultScope } from './fault-queue.ts';
import { reactionTo } from './faults.ts';
import type { FaultSpec } from './faults.ts';
import { Jobs } from './jobs.ts';
import type { Job, JobOptions } from './jobs.ts';
import { limitersFor, tryAcquireAll } from './limiters.ts';
import type { Limiter } from './limiters.ts';
import { after, plain, sendAnswer } from './reactions.ts';
import type { Answer, Reaction } from './reactions.ts';
import { DEFAULT_SETTINGS, draw } from './settings.ts';
import type { FakeUpstreamSettings } from './settings.ts';
import { TokenEndpoint } from './tokens.ts';
import type { TokenRequest } from './tokens.ts';

export interface FakeUpstreamOptions extends Partial<FakeUpstreamSettings> {
  /** Default: 0, any free port. */
  readonly port?: number;
}

/** No timeout of the server's own may end a request that hangs on purpose, or a connection kept alive. */
const NO_TIMEOUTS = { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 };
const JOB_PATH = /^\/contextcapture\/jobs\/([^/]+)$/;

/** Stands in for the iTwin API's job endpoint and for its token endpoint, faults and rate limits included. */
export class FakeUpstream {
  readonly #settings: FakeUpstreamSettings;
  readonly #jobs = new Jobs();
  readonly #faults = new FaultQueue();
  readonly #log = new CallLog();
  readonly #tokens: TokenEndpoint;
  readonly #server: Server;
  #limiters: Limiter[];
  #port = 0;

  private constructor(settings: Partial<FakeUpstreamSettings>) {
    this.#settings = { ...DEFAULT_SETTINGS, ...settings };
    this.#limiters = limitersFor(this.#settings.limits, this.#settings.windowKind);
    this.#tokens = new TokenEndpoint(this.#settings);
    this.#server = createServer(NO_TIMEOUTS, (request, response) => this.#serve(request, response));
  }

  /** Listens on 127.0.0.1. Rejects when the port is taken. */
  static async start({ port = 0, ...settings }: FakeUpstreamOptions = {}): Promise<FakeUpstream> {
    const upstream = new FakeUpstream(settings);
    upstream.#server.listen(port, '127.0.0.1');
    await once(upstream.#server, 'listening');
    upstream.#port = (upstream.#server.address() as AddressInfo).port;
    return upstream;
  }

  /** Ends every connection, those of hanging requests included. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** The API's base address. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get tokenUrl(): string {
    return `${this.url}/connect/token`;
  }

  get settings(): Readonly<FakeUpstreamSettings> {
    return this.#settings;
  }

  set(changes: Partial<FakeUpstreamSettings>): void {
    Object.assign(this.#settings, changes);
    if (changes.limits === undefined && changes.windowKind === undefined) return;
    this.#limiters = limitersFor(this.#settings.limits, this.#settings.windowKind);
  }

  addJob(options: JobOptions = {}): Job {
    return this.#jobs.add(options);
  }

  /** Throws for an unknown job. */
  setState(jobId: string, state: string): void {
    const job = this.#jobs.find(jobId, this.#settings.unknownJobs);
    if (!job) throw new Error(`no job ${jobId}`);
    job.setState(state);
  }

  /** The bytes that a request without faults would be answered with now. */
  bodyOf(jobId: string): Buffer {
    return Buffer.from(this.#jobs.answer(jobId, this.#settings.unknownJobs).body ?? '');
  }

  fault(spec: FaultSpec, scope: FaultScope = {}): void {
    this.#faults.add(spec, scope);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  /** Makes all tokens issued so far invalid. */
  revokeTokens(): void {
    this.#tokens.revoke();
  }

  get tokenRequests(): readonly TokenRequest[] {
    return this.#tokens.requests;
  }

  /** Job requests that came with some Authorization, in the order of their arrival. */
  get calls(): readonly Call[] {
    return this.#log.calls;
  }

  get count(): number {
    return this.#log.calls.length;
  }

  /** How many the limits have refused. */
  get refused(): number {
    return this.#log.refused;
  }

  callsFor(jobId: string): Call[] {
    return this.#log.callsFor(jobId);
  }

  /** Resolves once so many calls have arrived. */
  arrived(count: number): Promise<void> {
    return this.#log.arrived(count);
  }

  /** The largest number of admitted calls that arrived in any window of this length. */
  mostInWindow(windowMs: number): number {
    return this.#log.mostInWindow(windowMs);
  }

  /** Forgets the calls and token requests recorded; limits, tokens, jobs and faults stay. */
  clear(): void {
    this.#log.clear();
    this.#tokens.requests.length = 0;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url?.split('?', 1)[0] ?? '/';
    if (path === '/connect/token') {
      this.#tokens.serve(request, response).catch(() => request.socket.destroy());
    } else if (path.startsWith('/_fake')) {
      serveControl(this, request, response).catch(() => request.socket.destroy());
    } else {
      this.#serveApi(path, request, response);
    }
  }

  #serveApi(path: string, request: IncomingMessage, response: ServerResponse): void {
    const at = performance.now();
    const headers = flat(request.headers);
    const correlationId = headers['x-correlation-id'] ?? randomUUID();
    response.setHeader('x-correlation-id', correlationId);
    response.setHeader('X-ITwinPlatform-Region', 'eastus');
    const jobId = JOB_PATH.exec(path)?.[1];
    if (jobId === undefined || request.method !== 'GET') return sendAnswer(response, NO_SUCH_ROUTE);
    if (headers['authorization'] === undefined) return sendAnswer(response, HEADER_NOT_FOUND);

    const token = /^Bearer +(.+)$/i.exec(headers['authorization'])?.[1] ?? '';
    const known = this.#tokens.accepts(token);
    const waitMs = known ? tryAcquireAll(this.#limiters, at) : null;
    const admitted = known && waitMs === null;
    const reaction = admitted ? this.#read(jobId) : this.#turnAway(waitMs);
    this.#log.add({
      ...{ at, jobId, status: reaction.outcome, admitted, correlationId, headers, token },
      ...(waitMs !== null && { refusedForMs: waitMs }),
    });
    const delayMs = (admitted ? draw(this.#settings.latencyMs) : 0) + (reaction.delayMs ?? 0);
    const answer = (): void => after(response, delayMs, () => reaction.send(request, response));
    if (reaction.held) void this.#faults.cleared.then(answer);
    else answer();
  }

  /** An admitted request: it meets a fault or gets the job. */
  #read(jobId: string): Reaction {
    const answer = this.#jobs.answer(jobId, this.#settings.unknownJobs);
    const normal = this.#settings.stamped ? stamped(answer) : answer;
    const fault = this.#faults.take(jobId);
    return fault ? reactionTo(fault, normal, this.#settings.clientId) : plain(normal);
  }

  /** @param waitMs until the limits would admit it; null: it is the token that is not good */
  #turnAway(waitMs: number | null): Reaction {
    if (waitMs === null) return plain(UNAUTHORIZED);
    const { retryAfterForm, clientId } = this.#settings;
    return plain(tooManyRequests(retryAfter(waitMs, retryAfterForm), clientId));
  }
}

/** With the time of this answer as the first field of the job. */
function stamped(answer: Answer): Answer {
  if (answer.status !== 200) return answer;
  const stamp = `"stampedMs": ${performance.timeOrigin + performance.now()}`;
  return { ...answer, body: String(answer.body).replace(/^\s*{\s*"job"\s*:\s*{/, `$& ${stamp},`) };
}

function flat(headers: IncomingMessage['headers']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, [value].flat().join(', ')]),
  );
}
