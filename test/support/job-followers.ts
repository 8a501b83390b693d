import { setTimeout as delay } from 'node:timers/promises';
import { type Deployment, reader } from './deployment.ts';

const READ_EVERY_MS = 100;
const END_EVERY_MS = 1000;
/** Of the reads, those that may not be answered with any copy that is held. */
const NO_CACHE_PART = 0.1;

interface Observation {
  readonly jobId: string;
  /** On the clock of `performance.now()`. */
  readonly begunAt: number;
  readonly endedAt: number;
  readonly isFinished: boolean;
}

/** Reads running jobs, replaced by others when they have finished, at all replicas in turn. */
export class JobFollowers {
  readonly #observations: Observation[] = [];
  readonly #running: string[] = [];
  readonly #recent: string[] = [];
  readonly #loops: readonly Promise<void>[];
  #isOn = true;
  /** Answers without a document. */
  readonly failures: number[] = [];
  /** Duration of the longest read, in milliseconds. */
  longestMs = 0;

  constructor(
    private readonly deployment: Deployment,
    private readonly random: () => number,
    count: number,
  ) {
    this.#loops = [...Array.from({ length: count }, () => this.#follow()), this.#endJobs(count)];
  }

  async end(): Promise<void> {
    this.#isOn = false;
    await Promise.all(this.#loops);
  }

  get reads(): number {
    return this.#observations.length;
  }

  /** Reads that showed a job unfinished although an earlier read had shown it finished. */
  wentBack(): readonly Observation[] {
    const finishedAt = new Map<string, number>();
    for (const { jobId, endedAt, isFinished } of this.#observations) {
      if (isFinished) finishedAt.set(jobId, Math.min(endedAt, finishedAt.get(jobId) ?? Infinity));
    }
    return this.#observations.filter(
      ({ jobId, begunAt, isFinished }) => !isFinished && begunAt > (finishedAt.get(jobId) ?? Infinity),
    );
  }

  async #follow(): Promise<void> {
    const read = reader(this.deployment);
    while (this.#isOn) {
      await delay(READ_EVERY_MS);
      const jobs = [...this.#running, ...this.#recent];
      const jobId = jobs[Math.floor(this.random() * jobs.length)];
      if (jobId === undefined) continue;
      const begunAt = performance.now();
      const headers = this.random() < NO_CACHE_PART ? { 'cache-control': 'no-cache' } : {};
      const { status, body, tookMs } = await read(jobId, { headers });
      this.longestMs = Math.max(this.longestMs, tookMs);
      if (status === 200)
        this.#observations.push({
          jobId,
          begunAt,
          endedAt: performance.now(),
          isFinished: body.includes('"state":"success"'),
        });
      else this.failures.push(status);
    }
  }

  /** One job finishes each second, and is read for as many more seconds as there are jobs. */
  async #endJobs(count: number): Promise<void> {
    const { upstream } = this.deployment;
    while (this.#isOn) {
      while (this.#running.length < count) this.#running.push(await upstream.addJob({ state: 'active' }));
      await delay(END_EVERY_MS);
      const jobId = this.#running.shift()!;
      this.#recent.push(jobId);
      if (this.#recent.length > count) this.#recent.shift();
      await upstream.setState(jobId, 'success');
    }
  }
}
