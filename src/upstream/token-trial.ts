import type { TokenCall } from './token.ts';

/** Pause before a token that was refused is tried again, in milliseconds; doubled with each refusal, up to the longest. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 30_000;
/** When a token was in doubt for so long, and refused to so many jobs, reads are refused at once instead of waiting for a trial. */
const LONGEST_DOUBT_MS = 5000;
const JOBS_FOR_REFUSING = 5;
/** Longest pause while it has been refused to fewer, in milliseconds: it may be their own trouble, and others wait. */
const LONGEST_WAIT_MS = 800;
/** Most jobs that are remembered of one doubt. */
const MOST_JOBS = 1000;

/** The pause after the nth refusal in a row, counted from 1, in milliseconds. */
export function refusalPauseMs(nth: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (nth - 1));
}

/**
 * Tries a token that may be of no use: one call at a time, after growing pauses. While no other token serves (it is in doubt),
 * everybody waits for that. Times in milliseconds on the clock of the token source.
 */
export class TokenTrial {
  #refusals = 0;
  #pausedAt = -Infinity;
  #nextAt = -Infinity;
  #ended: PromiseWithResolvers<undefined> | undefined;
  #doubtedSince: number | undefined;
  #isLong = false;
  /** Jobs that were refused since then. */
  readonly #jobs = new Set<string>();

  /** When the next call may try. */
  get nextAt(): number {
    return this.#nextAt;
  }

  get isUnderWay(): boolean {
    return this.#ended !== undefined;
  }

  /** Every token that is held has been refused to distinct jobs. */
  get isInDoubt(): boolean {
    return this.#doubtedSince !== undefined;
  }

  /** It has lasted so long, and met so many jobs, that the credentials are at fault. */
  get isRefusing(): boolean {
    return this.#isLong && this.#jobs.size >= JOBS_FOR_REFUSING;
  }

  /** It has lasted as long for a few jobs, which may be refused on their own. */
  get isStuck(): boolean {
    return this.#isLong && !this.isRefusing;
  }

  /** The jobs that were refused in a doubt that has lasted so long. */
  get longRefusedJobs(): Iterable<string> {
    return this.#isLong ? this.#jobs : [];
  }

  isDue(now: number): boolean {
    return !this.isUnderWay && now >= this.#nextAt;
  }

  /** Resolves when no call tries. */
  async whenEnded(): Promise<void> {
    await this.#ended?.promise;
  }

  begin(): void {
    this.#ended ??= Promise.withResolvers();
  }

  end(): void {
    this.#ended?.resolve(undefined);
    this.#ended = undefined;
  }

  /**
   * A call was refused. Those that were sent before the pause began say nothing new; while reads are refused, neither does a
   * job that was refused before make the pause longer.
   */
  refused({ jobId, sentAt }: Pick<TokenCall, 'jobId' | 'sentAt'>, now: number): void {
    const isKnown = this.#jobs.has(jobId);
    if (this.#jobs.size < MOST_JOBS) this.#jobs.add(jobId);
    if (sentAt < this.#pausedAt) return;
    this.#pausedAt = now;
    if (!this.isRefusing || !isKnown) this.#refusals++;
    const longestMs = this.#jobs.size < JOBS_FOR_REFUSING && this.isInDoubt ? LONGEST_WAIT_MS : Infinity;
    this.#nextAt = now + Math.min(longestMs, refusalPauseMs(this.#refusals));
  }

  /** @param triedSince since when the token has been tried, if it is one that upstream has never accepted */
  doubt(now: number, triedSince = now): void {
    this.#doubtedSince ??= now;
    if (now - Math.max(this.#doubtedSince, triedSince) >= LONGEST_DOUBT_MS) this.#isLong = true;
  }

  /** Another token is tried from now on. After a revoked one the pauses start anew, else they go on growing. */
  restart(): void {
    this.end();
    if (!this.isInDoubt || this.#isLong) return;
    this.#refusals = 0;
    this.#pausedAt = -Infinity;
    this.#nextAt = -Infinity;
  }

  /** Some token serves. */
  endDoubt(): void {
    this.#doubtedSince = undefined;
    this.#isLong = false;
    this.#jobs.clear();
  }

  /** The token serves that was tried. */
  reset(): void {
    this.endDoubt();
    this.end();
    this.#refusals = 0;
    this.#pausedAt = -Infinity;
    this.#nextAt = -Infinity;
  }
}
