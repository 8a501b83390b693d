import type { ServerResponse } from 'node:http';
import type { Caller } from '../callers/caller.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { endEventStream } from '../http/event-stream.ts';
import { isFinishedJob } from '../upstream/copy.ts';
import { comment, endEvent, errorEvent, jobEvent, retryAfter } from './events.ts';
import type { Update } from './job-poll.ts';
import type { Watches } from './watches.ts';

/** A reader that has taken nothing for so many heartbeats is disconnected. */
const HEARTBEATS_MISSED = 4;
/** When readers should reconnect after an early end, in milliseconds: spread, so that they do not all come at once. */
const RETRY_MS = 500;
const RETRY_SPREAD_MS = 2000;

/**
 * One caller's stream of several jobs. A slow reader gets the latest state of each job and no backlog: at most one
 * event of each job waits to be written.
 */
export class EventStream {
  /** Ends the watch of each job that is not over. */
  readonly #open = new Map<string, () => void>();
  /** The event of each job that waits to be written. */
  readonly #waiting = new Map<string, Buffer>();
  /** The entity tag, or the code of the error, of each job's latest event. */
  readonly #latest = new Map<string, string>();
  #blocked = false;
  #missed = 0;
  #ended = false;

  constructor(
    private readonly response: ServerResponse,
    private caller: Caller,
  ) {
    response.on('drain', () => {
      this.#blocked = false;
      this.#missed = 0;
      this.#write();
    });
  }

  start(jobIds: readonly string[], watches: Pick<Watches, 'watch'>): void {
    // All jobs are added before the first can be over: the stream ends when there is none left.
    for (const jobId of jobIds) this.#open.set(jobId, () => undefined);
    for (const jobId of jobIds) {
      const unwatch = watches.watch(jobId, this.caller.queueKey, (update) => {
        this.#take(jobId, update);
      });
      if (this.#open.has(jobId)) this.#open.set(jobId, unwatch);
      else unwatch();
    }
  }

  /** Takes the caller with its present permissions. */
  updateCaller(caller: Caller): void {
    this.caller = caller;
  }

  /** Keeps the connection open, or closes it if its reader takes neither events nor the end. */
  beat(): void {
    if (!this.#blocked && !this.#ended) this.#blocked = !this.response.write(comment);
    else if (++this.#missed >= HEARTBEATS_MISSED) this.response.destroy();
  }

  /** Ends before the jobs are over, and asks the reader to reconnect. */
  closeEarly(): void {
    endEventStream(this.response, retryAfter(RETRY_MS + Math.random() * RETRY_SPREAD_MS));
    this.stop();
  }

  /** Stops all watches: the reader has left. */
  stop(): void {
    this.#ended = true;
    for (const unwatch of this.#open.values()) unwatch();
    this.#open.clear();
    this.#waiting.clear();
  }

  #take(jobId: string, update: Update): void {
    if (!this.#open.has(jobId)) return;
    const seen = this.#visible(update);
    const version = 'error' in seen ? seen.error.body.code : seen.copy.etag;
    const isOver = 'error' in seen ? seen.error.status === 404 : isFinishedJob(seen.copy);
    if (this.#latest.get(jobId) !== version) {
      this.#latest.set(jobId, version);
      this.#waiting.set(jobId, 'error' in seen ? errorEvent(jobId, seen.error) : jobEvent(seen.copy));
    }
    if (isOver) this.#over(jobId);
    this.#write();
  }

  /** A job that the caller may not see looks like one that does not exist (docs/CONTRACT.md, section 4). */
  #visible(update: Update) {
    if ('error' in update) return update;
    const { copy } = update;
    if (copy.kind === 'job' && this.caller.maySee(copy.iTwinId)) return { copy };
    return { error: GatewayError.of('JobNotFound') };
  }

  #over(jobId: string): void {
    this.#open.get(jobId)?.();
    this.#open.delete(jobId);
  }

  #write(): void {
    for (const [jobId, event] of this.#waiting) {
      if (this.#blocked) return;
      this.#waiting.delete(jobId);
      this.#blocked = !this.response.write(event);
    }
    if (this.#open.size > 0 || this.#ended || this.#waiting.size > 0) return;
    this.#ended = true;
    this.response.end(endEvent);
  }
}
