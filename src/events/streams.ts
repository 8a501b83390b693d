import type { ServerResponse } from 'node:http';
import type { Authenticator, Caller } from '../callers/caller.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { EventStream } from './event-stream.ts';
import type { Watches } from './watches.ts';

export interface StreamsOptions {
  /** Most streams that one caller may have. */
  readonly perCaller: number;
  /** Most streams in all: connections have to be left for reads, and for those who look whether the process lives. */
  readonly inAll?: number;
  /** How often a comment keeps streams open, in milliseconds. */
  readonly heartbeatMs?: number;
}

const HEARTBEAT_MS = 15_000;
/** How often it is looked whether callers still may have their streams, in milliseconds. */
const GRANT_MS = 1000;

/** Who has a stream, and by which credential. */
interface Holder {
  /** Its line: that of those who are counted together. */
  readonly caller: string;
  readonly authorization: string | undefined;
}

/** Every open stream of events. */
export class Streams {
  readonly #open = new Map<EventStream, Holder>();
  readonly #timers: readonly NodeJS.Timeout[];
  readonly #perCaller: number;
  readonly #inAll: number;
  #closing = false;

  constructor(
    private readonly watches: Pick<Watches, 'watch'>,
    private readonly authenticator: Authenticator,
    { perCaller, inAll = Infinity, heartbeatMs = HEARTBEAT_MS }: StreamsOptions,
  ) {
    this.#perCaller = perCaller;
    this.#inAll = inAll;
    const every = (ms: number, run: () => void): NodeJS.Timeout => setInterval(run, ms).unref();
    this.#timers = [
      every(heartbeatMs, () => {
        for (const stream of this.#open.keys()) stream.beat();
      }),
      every(GRANT_MS, () => {
        this.#checkGrants();
      }),
    ];
  }

  get count(): number {
    return this.#open.size;
  }

  /** @throws {GatewayError} `TooManyRequests` when the caller has as many as it may, `ServiceUnavailable` when all have */
  admit(caller: Caller): void {
    if (this.#open.size >= this.#inAll) {
      throw GatewayError.of('ServiceUnavailable', { retryAfterMs: HEARTBEAT_MS });
    }
    let own = 0;
    for (const holder of this.#open.values()) if (holder.caller === caller.queueKey) own++;
    if (own < this.#perCaller) return;
    const message = 'The caller has as many event streams as it may have.';
    throw GatewayError.of('TooManyRequests', { message, retryAfterMs: HEARTBEAT_MS });
  }

  /** Streams the news of these jobs until all are over, the reader goes, its grant ends, or the gateway does. */
  open(
    response: ServerResponse,
    jobIds: readonly string[],
    caller: Caller,
    authorization: string | undefined,
  ): void {
    // Gone while it was let in: nothing would ever tell of its end.
    if (response.destroyed) return;
    const stream = new EventStream(response, caller);
    this.#open.set(stream, { caller: caller.queueKey, authorization });
    response.once('close', () => {
      this.#open.delete(stream);
      stream.stop();
    });
    if (this.#closing) stream.closeEarly();
    else stream.start(jobIds, this.watches);
  }

  /** The gateway ends: readers come again, elsewhere. */
  closeAll(): void {
    this.#closing = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const stream of this.#open.keys()) stream.closeEarly();
  }

  #checkGrants(): void {
    for (const [stream, { authorization }] of this.#open) void this.#checkGrant(stream, authorization);
  }

  async #checkGrant(stream: EventStream, authorization: string | undefined): Promise<void> {
    try {
      stream.belongsTo(await this.authenticator.authenticate(authorization));
    } catch {
      stream.closeEarly();
    }
  }
}
