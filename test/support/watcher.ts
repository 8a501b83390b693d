import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { TestCaller } from './gateway.ts';
import { LONGEST_WAIT_MS } from './until.ts';

/** An event as the wire has it. */
export interface ServerEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string | undefined;
  /** When it came, on the clock of `performance.now()`. */
  readonly at: number;
}

export interface WatchOptions {
  readonly caller?: TestCaller;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What of a gateway a watcher needs: an ingress in front of one will do. */
export interface Watched {
  readonly url: string;
  bearer(caller?: TestCaller): string;
}

/** A reader of an event stream, on a connection of its own, which reads the wire as WHATWG HTML section 9.2.6 says. */
export class Watcher {
  readonly events: ServerEvent[] = [];
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  comments = 0;
  retryMs: number | undefined;
  /** All that came that is no event stream. */
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

  /** Resolves with the head of the answer. @param ids comma-separated, or a list */
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

  /** The nth event, counted from 1, as soon as it is there. */
  async event(count: number): Promise<ServerEvent> {
    await this.until(`event ${count}`, () => this.events.length >= count);
    return this.events[count - 1]!;
  }

  /** The state of the job that the nth event tells of. */
  async state(count: number): Promise<string> {
    return stateIn(await this.event(count));
  }

  /** Resolves once the stream has ended, in whatever way. */
  async closed(): Promise<void> {
    await this.until('the end', () => this.isClosed);
  }

  /** Resolves as soon as something holds of what has come; rejects when the stream ends without it. */
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

  /** Takes nothing any more, until it is told to go on. */
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
