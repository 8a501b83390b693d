import type { JobReads } from '../upstream/job-reads.ts';
import { JobPoll, type Listener } from './job-poll.ts';

/** The jobs that are watched in this process: there is one poll for each, however many watch it. */
export class Watches {
  readonly #polls = new Map<string, JobPoll>();

  /** @param freshMs how long an unfinished job is fresh, in milliseconds */
  constructor(
    private readonly reads: JobReads,
    private readonly freshMs: number,
  ) {}

  /**
   * Calls back with the present state of a job, if it is known, and with each change.
   * @param queueKey of the caller
   * @returns a function that ends the watch
   */
  watch(jobId: string, queueKey: string, listener: Listener): () => void {
    const poll = this.#polls.get(jobId) ?? new JobPoll(this.reads, jobId, queueKey, this.freshMs);
    this.#polls.set(jobId, poll);
    poll.add(listener);
    return () => {
      poll.remove(listener);
      if (poll.isWatched || this.#polls.get(jobId) !== poll) return;
      this.#polls.delete(jobId);
      poll.end();
    };
  }
}
