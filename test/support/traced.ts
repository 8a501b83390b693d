import { randomBytes } from 'node:crypto';
import { Collector, type Span } from './collector.ts';
import { startUpstream, startGateway } from './rig.ts';

export const READ = 'GET /contextcapture/jobs/{id}';
export const WAIT = 'wait for a slot';
export const TOKEN = 'POST token';
export const [SERVER, CLIENT, ERROR] = [2, 3, 2];

/** The spans of a read, found by the ids in its log line. */
export class TraceOf {
  constructor(
    private readonly collector: Collector,
    readonly traceId: string,
  ) {}

  get spans(): Span[] {
    return this.collector.spans.filter(({ traceId }) => traceId === this.traceId);
  }

  get root(): Span {
    const [root] = this.roots;
    if (!root) throw new Error('the span of the read has not come');
    return root;
  }

  get roots(): Span[] {
    return this.spans.filter(({ kind }) => kind === SERVER);
  }

  get calls(): Span[] {
    return this.spans.filter(({ kind }) => kind === CLIENT);
  }

  get waits(): Span[] {
    return this.spans.filter(({ name }) => name === WAIT);
  }
}

export const hex = (bytes: number): string => randomBytes(bytes).toString('hex');

export async function traced(env: Readonly<Record<string, string>> = {}, port = 0) {
  const [collector, upstream] = [await Collector.start(port), await startUpstream({ unknownJobs: 'make' })];
  const gateway = await startGateway({
    upstream,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...env },
  });
  return { collector, upstream, gateway };
}
