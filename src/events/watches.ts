import type { JobReads } from '../upstream/job-reads.ts';
import { JobPoll, type Listener } from './job-poll.ts';

/** The jobs that are watched in this process: each is followed once, as long as anyone watches it. */
export class Watches {
  readonly #polls = new Map<string, JobPoll>();

  /** @param freshMs how long an unfinished job is fresh, in milliseconds */
  constructor(
    private readonly reads: JobReads,
    private readonly freshMs: number,
  ) {}

  /**
   * Tells what is known of a job at once, and each change from then on.
   * @param caller the name of who watches
   * @returns what ends it
   */
  watch(jobId: string, caller: string, listener: Listener): () => void {
    const poll = this.#polls.get(jobId) ?? new JobPoll(this.reads, jobId, caller, this.freshMs);
    this.#polls.set(jobId, poll);
    poll.add(listener);
    return () => {
      poll.remove(listener);
      if (poll.watched || this.#polls.get(jobId) !== poll) return;
      this.#polls.delete(jobId);
      poll.end();
    };
  }
}
