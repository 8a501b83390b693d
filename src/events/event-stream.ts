import type { ServerResponse } from 'node:http';
import type { Caller } from '../callers/caller.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { endEventStream } from '../http/event-stream.ts';
import { isFinishedJob } from '../upstream/copy.ts';
import { comment, endEvent, errorEvent, jobEvent, retryAfter } from './events.ts';
import type { Update } from './job-poll.ts';
import type { Watches } from './watches.ts';

/** A reader that has taken nothing for so many heartbeats in a row is gone. */
const HEARTBEATS_MISSED = 4;
/** When to come again, at the soonest and with what spread, in milliseconds: not all at the same moment. */
const RETRY_MS = 500;
const RETRY_SPREAD_MS = 2000;

/**
 * One caller's stream of several jobs. A reader that is slower than the news gets the latest of each job, and no
 * backlog: at most one event a job waits.
 */
export class EventStream {
  /** What ends the watch of each job that is not over yet. */
  readonly #open = new Map<string, () => void>();
  /** The event of each job that has still to be written. */
  readonly #waiting = new Map<string, Buffer>();
  /** What was told last of each job: the entity tag, or the code of an error. */
  readonly #told = new Map<string, string>();
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
    // Each has its place before the first can be over: the stream is when none has one.
    for (const jobId of jobIds) this.#open.set(jobId, () => undefined);
    for (const jobId of jobIds) {
      const unwatch = watches.watch(jobId, this.caller.queueKey, (update) => {
        this.#take(jobId, update);
      });
      if (this.#open.has(jobId)) this.#open.set(jobId, unwatch);
      else unwatch();
    }
  }

  /** Whose stream it is may have other rights than before. */
  belongsTo(caller: Caller): void {
    this.caller = caller;
  }

  /** Keeps the connection open. One that nobody reads is closed, and so is one whose reader does not take the end. */
  beat(): void {
    if (!this.#blocked && !this.#ended) this.#blocked = !this.response.write(comment);
    else if (++this.#missed >= HEARTBEATS_MISSED) this.response.destroy();
  }

  /** Ends before its time: the reader is to come again. One that takes nothing holds up nobody. */
  closeEarly(): void {
    endEventStream(this.response, retryAfter(RETRY_MS + Math.random() * RETRY_SPREAD_MS));
    this.stop();
  }

  /** Nobody reads any more. */
  stop(): void {
    this.#ended = true;
    for (const unwatch of this.#open.values()) unwatch();
    this.#open.clear();
    this.#waiting.clear();
  }

  #take(jobId: string, update: Update): void {
    if (!this.#open.has(jobId)) return;
    const seen = this.#visible(update);
    const told = 'error' in seen ? seen.error.body.code : seen.copy.etag;
    const isOver = 'error' in seen ? seen.error.status === 404 : isFinishedJob(seen.copy);
    if (this.#told.get(jobId) !== told) {
      this.#told.set(jobId, told);
      this.#waiting.set(jobId, 'error' in seen ? errorEvent(jobId, seen.error) : jobEvent(seen.copy));
    }
    if (isOver) this.#over(jobId);
    this.#write();
  }

  /** A job that is not this caller's is one that there is not (contract section 4). */
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
