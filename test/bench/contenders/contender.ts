/** A server that answers reads of a job, on a core of its own. */
export interface Contender {
  readonly name: string;
  /** Where it listens. */
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** An answer of the gateway, without what Node adds to every answer: the bare servers send the same. */
export interface Sample {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}
