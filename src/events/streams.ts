import type { ServerResponse } from 'node:http';
import type { Authenticator, Caller } from '../callers/caller.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { EventStream } from './event-stream.ts';
import type { Watches } from './watches.ts';

export interface StreamsOptions {
  /** Most streams of one caller. */
  readonly perCaller: number;
  /** Most streams of all callers, so that connections are left for reads and probes. */
  readonly inAll?: number;
  /** How often a comment is sent to keep streams open, in milliseconds. */
  readonly heartbeatMs?: number;
}

const HEARTBEAT_MS = 15_000;
/** How often callers with streams are authenticated again, in milliseconds. */
const AUTHENTICATE_EVERY_MS = 1000;

/** The caller of a stream, and its credential. */
interface Holder {
  readonly queueKey: string;
  readonly authorization: string | undefined;
}

/** All open streams of job events. */
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
      every(AUTHENTICATE_EVERY_MS, () => {
        this.#authenticateAll();
      }),
    ];
  }

  get count(): number {
    return this.#open.size;
  }

  /**
   * @throws {GatewayError} `TooManyRequests` at the caller's limit, `ServiceUnavailable` at the limit of all callers
   */
  admit(caller: Caller): void {
    if (this.#open.size >= this.#inAll) {
      throw GatewayError.of('ServiceUnavailable', { retryAfterMs: HEARTBEAT_MS });
    }
    let own = 0;
    for (const holder of this.#open.values()) if (holder.queueKey === caller.queueKey) own++;
    if (own < this.#perCaller) return;
    const message = 'The caller has as many event streams as it may have.';
    throw GatewayError.of('TooManyRequests', { message, retryAfterMs: HEARTBEAT_MS });
  }

  /** Streams changes of jobs until all are over, the reader leaves, its credential is refused, or the gateway ends. */
  open(
    response: ServerResponse,
    jobIds: readonly string[],
    caller: Caller,
    authorization: string | undefined,
  ): void {
    // The reader has left meanwhile: `close` would not be emitted again.
    if (response.destroyed) return;
    const stream = new EventStream(response, caller);
    this.#open.set(stream, { queueKey: caller.queueKey, authorization });
    response.once('close', () => {
      this.#open.delete(stream);
      stream.stop();
    });
    if (this.#closing) stream.closeEarly();
    else stream.start(jobIds, this.watches);
  }

  /** Ends all streams with the gateway. Their readers reconnect to other replicas. */
  closeAll(): void {
    this.#closing = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const stream of this.#open.keys()) stream.closeEarly();
  }

  #authenticateAll(): void {
    for (const [stream, { authorization }] of this.#open) void this.#authenticate(stream, authorization);
  }

  async #authenticate(stream: EventStream, authorization: string | undefined): Promise<void> {
    try {
      stream.updateCaller(await this.authenticator.authenticate(authorization));
    } catch {
      stream.closeEarly();
    }
  }
}
