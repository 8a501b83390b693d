import type { TokenCall } from './token.ts';

/** Pause before a refused token is tried again, doubled with each refusal up to the longest. In milliseconds. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 30_000;
/** Duration of a doubt and number of refused jobs from which reads fail at once instead of waiting for a trial. */
const LONGEST_DOUBT_MS = 5000;
const JOBS_FOR_FAILING = 5;
/** Longest pause with fewer refused jobs, in milliseconds: they may be refused themselves, while other reads wait. */
const LONGEST_EARLY_PAUSE_MS = 800;
/** Most refused jobs kept for one doubt. */
const MAX_JOBS = 1000;

/** Pause after the nth consecutive refusal, counted from 1, in milliseconds. */
export function refusalPauseMs(nth: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (nth - 1));
}

/**
 * Tries a token that may be invalid with one call at a time, after growing pauses. While there is no other token (it is
 * in doubt), all reads wait for the trial. Times in milliseconds on the clock of the token source.
 */
export class TokenTrial {
  #refusals = 0;
  #pausedAt = -Infinity;
  #nextAt = -Infinity;
  #ended: PromiseWithResolvers<undefined> | undefined;
  #doubtedSince: number | undefined;
  #isLong = false;
  /** Jobs refused during the doubt, or while the token is tried. */
  readonly #jobs = new Set<string>();

  /** When the next trial may begin. */
  get nextAt(): number {
    return this.#nextAt;
  }

  get isUnderWay(): boolean {
    return this.#ended !== undefined;
  }

  /** Whether every available token has been refused to distinct jobs. */
  get isInDoubt(): boolean {
    return this.#doubtedSince !== undefined;
  }

  /** Whether the doubt has lasted so long, for so many jobs, that the credentials must be invalid. */
  get isRefusing(): boolean {
    return this.#isLong && this.#jobs.size >= JOBS_FOR_FAILING;
  }

  /** Whether it has lasted as long for a few jobs, which may be refused themselves. */
  get isStuck(): boolean {
    return this.#isLong && !this.isRefusing;
  }

  /** The refused jobs of a doubt that has lasted that long. */
  get longRefusedJobs(): Iterable<string> {
    return this.#isLong ? this.#jobs : [];
  }

  isDue(now: number): boolean {
    return !this.isUnderWay && now >= this.#nextAt;
  }

  /** Resolves when no trial is under way. */
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
   * A call was refused. Calls sent before the pause began do not extend it. While reads fail at once, neither does a
   * job that was refused before.
   */
  refused({ jobId, sentAt }: Pick<TokenCall, 'jobId' | 'sentAt'>, now: number): void {
    const isKnown = this.#jobs.has(jobId);
    if (this.#jobs.size < MAX_JOBS) this.#jobs.add(jobId);
    if (sentAt < this.#pausedAt) return;
    this.#pausedAt = now;
    if (!this.isRefusing || !isKnown) this.#refusals++;
    const longestMs =
      this.#jobs.size < JOBS_FOR_FAILING && this.isInDoubt ? LONGEST_EARLY_PAUSE_MS : Infinity;
    this.#nextAt = now + Math.min(longestMs, refusalPauseMs(this.#refusals));
  }

  /** @param triedSince since when a token has been tried that upstream has never accepted */
  doubt(now: number, triedSince = now): void {
    this.#doubtedSince ??= now;
    if (now - Math.max(this.#doubtedSince, triedSince) >= LONGEST_DOUBT_MS) this.#isLong = true;
  }

  /** Another token is tried from now on. Pauses start anew only during a doubt that is not long yet. */
  restart(): void {
    this.end();
    if (!this.isInDoubt || this.#isLong) return;
    this.#refusals = 0;
    this.#pausedAt = -Infinity;
    this.#nextAt = -Infinity;
  }

  /** A token was accepted. */
  endDoubt(): void {
    this.#doubtedSince = undefined;
    this.#isLong = false;
    this.#jobs.clear();
  }

  /** The tried token was accepted, or the credentials were replaced. */
  reset(): void {
    this.endDoubt();
    this.end();
    this.#refusals = 0;
    this.#pausedAt = -Infinity;
    this.#nextAt = -Infinity;
  }
}
