import { randomUUID } from 'node:crypto';
import { JOB_NOT_FOUND } from './documented-errors.ts';
import { isFinished, jobDocument } from './job-document.ts';
import type { JobFields, Moment } from './job-document.ts';
import type { Answer } from './reactions.ts';

/** A state and how many milliseconds a job stays in it; without `forMs` it stays for good. */
export interface ScriptStep {
  readonly state: string;
  readonly forMs?: number;
}

export interface JobOptions extends JobFields {
  /** Default: a new UUID. */
  readonly id?: string;
  /** The state of a job that does not move, with the dates of the API's reference page. Default: `success`. */
  readonly state?: string;
  /** The states that the job goes through from its creation, now, on. Goes before `state`. */
  readonly script?: readonly ScriptStep[];
  /** Exactly these bytes as the answer, whatever else is said; a text may have `$id` where the job's id is to stand. */
  readonly body?: Buffer | string;
}

/** `make`: every UUID is a finished job. */
export type UnknownJobs = 'not-found' | 'make';

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

export class Job {
  readonly id: string;
  readonly #fields: JobFields;
  readonly #raw: Buffer | undefined;
  #moments: readonly Moment[];

  constructor(options: JobOptions) {
    this.id = options.id ?? randomUUID();
    this.#fields = options;
    this.#raw = rawBody(this.id, options.body);
    this.#moments = options.script ? momentsOf(options.script) : pastOf(options.state ?? 'success');
  }

  /** The state that the job is in now. */
  get state(): string {
    return this.#history().at(-1)?.state ?? 'unsubmitted';
  }

  /** Puts the job into a state from now on; what was to come of its script does not. */
  setState(state: string): void {
    if (this.#raw) throw new Error(`job ${this.id} has a fixed body`);
    this.#moments = [...this.#history(), { state, at: now() }];
  }

  /** The bytes of the answer now. */
  body(): Buffer {
    return this.#raw ?? jobDocument(this.id, this.#fields, this.#history());
  }

  #history(): Moment[] {
    const time = now();
    return this.#moments.filter(({ at }) => at <= time);
  }
}

/** All jobs, by id in any letter case. */
export class Jobs {
  readonly #jobs = new Map<string, Job>();

  get size(): number {
    return this.#jobs.size;
  }

  /** A job of the same id is replaced. */
  add(options: JobOptions = {}): Job {
    const job = new Job(options);
    this.#jobs.set(job.id.toLowerCase(), job);
    return job;
  }

  find(id: string, unknown: UnknownJobs): Job | undefined {
    const job = this.#jobs.get(id.toLowerCase());
    if (job || unknown === 'not-found' || !UUID.test(id)) return job;
    return this.add({ id: id.toLowerCase() });
  }

  answer(id: string, unknown: UnknownJobs): Answer {
    const job = this.find(id, unknown);
    return job ? { status: 200, body: job.body() } : JOB_NOT_FOUND;
  }
}

function rawBody(id: string, body: Buffer | string | undefined): Buffer | undefined {
  return typeof body === 'string' ? Buffer.from(body.replaceAll('$id', id)) : body;
}

/** Milliseconds since 1970 on a clock that does not go back. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function momentsOf(script: readonly ScriptStep[]): Moment[] {
  let at = now();
  return script.map(({ state, forMs = Infinity }) => {
    const moment = { state, at };
    at += forMs;
    return moment;
  });
}

const CREATED = { state: 'unsubmitted', at: Date.parse('2020-09-14T14:29:55Z') };
const STARTED_AT = Date.parse('2020-09-14T14:34:28Z');
const ENDED_AT = Date.parse('2020-09-14T14:41:49Z');

function pastOf(state: string): Moment[] {
  if (state.toLowerCase() === 'unsubmitted') return [{ ...CREATED, state }];
  if (!isFinished(state)) return [CREATED, { state, at: STARTED_AT }];
  return [CREATED, { state: 'active', at: STARTED_AT }, { state, at: ENDED_AT }];
}
