import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Status } from '../status.ts';
import { ReadCounter } from './read-counter.ts';

/** In seconds, from a hit to the longest `PATIENCE`. */
const READ_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const WAIT_BUCKETS = [0.01, 0.05, 0.25, 1, 2.5, 5, 10, 30];

const BUDGET_MODES = ['local', 'shared', 'fallback'];

/** Which build of the gateway runs. */
export interface BuildInfo {
  /** The version in package.json. */
  readonly version: string;
  /** The commit of the build, or `unknown`. */
  readonly revision: string;
}

/** The metrics of docs/CONTRACT.md, section 8. No label takes a value that a caller can choose. */
export class Metrics {
  readonly registry = new Registry();

  readonly jobReads = new ReadCounter(this.registry);
  readonly jobReadSeconds = new Histogram({
    name: 'gateway_job_read_seconds',
    help: 'How long reads of jobs took.',
    buckets: READ_BUCKETS,
    registers: [this.registry],
  });
  readonly upstreamRequests = new Counter({
    name: 'gateway_upstream_requests_total',
    help: 'Calls upstream, by status; timeout or connection when there was no response.',
    labelNames: ['status'] as const,
    registers: [this.registry],
  });
  readonly upstreamSeconds = new Histogram({
    name: 'gateway_upstream_seconds',
    help: 'How long calls upstream took until the response began.',
    buckets: READ_BUCKETS,
    registers: [this.registry],
  });
  readonly queueWaitSeconds = new Histogram({
    name: 'gateway_queue_wait_seconds',
    help: 'How long reads waited for a slot upstream.',
    buckets: WAIT_BUCKETS,
    registers: [this.registry],
  });
  readonly tokenRefreshes = new Counter({
    name: 'gateway_token_refreshes_total',
    help: 'Token requests, by result: ok, refused or unavailable.',
    labelNames: ['result'] as const,
    registers: [this.registry],
  });
  readonly storeErrors = new Counter({
    name: 'gateway_store_errors_total',
    help: 'Failed operations of the shared store. Each counts as a miss, none as an error.',
    labelNames: ['operation'] as const,
    registers: [this.registry],
  });
  readonly logLinesDropped = new Counter({
    name: 'gateway_log_lines_dropped_total',
    help: 'Log lines that were dropped because standard output is not read.',
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Adds the build's version and revision, which differ between replicas during a rollout. */
  showBuild({ version, revision }: BuildInfo): void {
    const build = new Gauge({
      name: 'gateway_build_info',
      help: 'Version and revision of the build; always 1.',
      labelNames: ['version', 'revision'] as const,
      registers: [this.registry],
    });
    build.set({ version, revision }, 1);
  }

  /**
   * Adds the gauges of the queue, the budget and the streams.
   * @param read called for each gauge of each scrape
   */
  showStatus(read: () => Status): void {
    const gauge = <Label extends string>(
      { name, help, labelNames = [] }: { name: string; help: string; labelNames?: readonly Label[] },
      show: (gauge: Gauge<Label>, status: Status) => void,
    ): void => {
      const collect = function (this: Gauge<Label>): void {
        show(this, read());
      };
      new Gauge({ name, help, labelNames, registers: [this.registry], collect });
    };
    gauge({ name: 'gateway_queue_depth', help: 'Reads waiting for a slot upstream.' }, (depth, { queue }) => {
      depth.set(queue.waiting);
    });
    gauge({ name: 'gateway_watchers', help: 'Open streams of job events.' }, (count, { watchers }) => {
      count.set(watchers);
    });
    gauge(
      {
        name: 'gateway_budget_remaining',
        help: 'Calls left in each window.',
        labelNames: ['window'],
      },
      (left, { budget }) => {
        for (const { name, remaining } of budget.windows) left.set({ window: name }, remaining);
      },
    );
    gauge(
      {
        name: 'gateway_limit_share',
        help: 'The part of each limit that is in use: less than 1 after upstream has refused inside it.',
        labelNames: ['window'],
      },
      (part, { budget }) => {
        for (const { name, share } of budget.windows) part.set({ window: name }, share);
      },
    );
    gauge(
      {
        name: 'gateway_budget_mode',
        help: 'Where the budget is kept: 1 for the mode in force.',
        labelNames: ['mode'],
      },
      (inForce, { budget }) => {
        for (const mode of BUDGET_MODES) inForce.set({ mode }, mode === budget.mode ? 1 : 0);
      },
    );
    gauge(
      {
        name: 'gateway_paused_seconds',
        help: 'Seconds for which the gate is still closed; 0 when it is open.',
      },
      (seconds, { budget }) => {
        seconds.set(budget.closedMs / 1000);
      },
    );
  }
}
