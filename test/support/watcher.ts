import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { TestCaller } from './gateway.ts';
import { LONGEST_WAIT_MS } from './until.ts';

/** An event as received. */
export interface ServerEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string | undefined;
  /** Arrival, on the clock of `performance.now()`. */
  readonly at: number;
}

export interface WatchOptions {
  readonly caller?: TestCaller;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A gateway, or an ingress in front of one. */
export interface Watched {
  readonly url: string;
  bearer(caller?: TestCaller): string;
}

/** Client of an event stream on its own connection, with a parser as in WHATWG HTML section 9.2.6. */
export class Watcher {
  readonly events: ServerEvent[] = [];
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  comments = 0;
  retryMs: number | undefined;
  /** The body, if it is not an event stream. */
  text = '';
  isClosed = false;
  readonly #response: IncomingMessage;
  readonly #looking = new Set<() => void>();
  #rest = '';

  private constructor(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => this.#take(chunk));
    response.on('error', () => undefined);
    response.on('close', () => {
      this.isClosed = true;
      this.#look();
    });
  }

  /** Resolves with the response head. @param ids comma-separated, or a list */
  static open(
    gateway: Watched,
    ids: string | readonly string[],
    options: WatchOptions = {},
  ): Promise<Watcher> {
    return Watcher.ask(gateway, `ids=${[ids].flat().join(',')}`, options);
  }

  /** @param query as it stands in the URL */
  static ask(gateway: Watched, query: string, { caller, headers }: WatchOptions = {}): Promise<Watcher> {
    const { promise, resolve, reject } = Promise.withResolvers<Watcher>();
    get(
      `${gateway.url}/contextcapture/jobs/events?${query}`,
      { agent: false, headers: { authorization: gateway.bearer(caller), ...headers } },
      (response) => resolve(new Watcher(response)),
    ).on('error', reject);
    return promise;
  }

  /** Waits for the nth event, counted from 1. */
  async event(count: number): Promise<ServerEvent> {
    await this.until(`event ${count}`, () => this.events.length >= count);
    return this.events[count - 1]!;
  }

  /** Waits for the nth event. @returns the state of its job */
  async state(count: number): Promise<string> {
    return stateIn(await this.event(count));
  }

  /** Resolves once the stream has ended in any way. */
  async closed(): Promise<void> {
    await this.until('the end', () => this.isClosed);
  }

  /** Resolves as soon as a condition holds; rejects when the stream ends before. */
  until(what: string, holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const over = (fault?: string): void => {
        clearTimeout(timer);
        this.#looking.delete(look);
        if (fault === undefined) resolve();
        else
          reject(new Error(`${what}: ${fault}; ${this.status} ${this.text} ${JSON.stringify(this.events)}`));
      };
      const timer = setTimeout(() => over(`not within ${LONGEST_WAIT_MS} ms`), LONGEST_WAIT_MS);
      const look = (): void => {
        if (holds()) over();
        else if (this.isClosed) over('the stream has ended');
      };
      this.#looking.add(look);
      look();
    });
  }

  /** Stops reading until `resume`. */
  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  leave(): void {
    this.#response.destroy();
  }

  #take(chunk: string): void {
    if (this.headers['content-type'] !== 'text/event-stream') this.text += chunk;
    else this.#parse(chunk);
    this.#look();
  }

  #parse(chunk: string): void {
    const blocks = (this.#rest + chunk).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    const at = performance.now();
    for (const block of blocks) {
      const lines = block.split('\n').map((line) => /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []);
      const last = (name: string): string | undefined => lines.findLast(([, field]) => field === name)?.[2];
      this.comments += lines.filter(([, field]) => field === '').length;
      const retry = last('retry');
      if (retry !== undefined) this.retryMs = Number(retry);
      const data = lines.filter(([, field]) => field === 'data').map(([, , value = '']) => value);
      if (data.length === 0) continue;
      this.events.push({ event: last('event') ?? 'message', data: data.join('\n'), id: last('id'), at });
    }
  }

  #look(): void {
    for (const look of this.#looking) look();
  }
}

export function stateIn({ data }: Pick<ServerEvent, 'data'>): string {
  return (JSON.parse(data) as { job?: { state: string } }).job?.state ?? '';
}
