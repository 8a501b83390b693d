import { setTimeout as delay } from 'node:timers/promises';
import { Watcher } from '../../support/watcher.ts';
import { startGateway } from '../contenders/gateway.ts';
import { type Options, say } from '../lib/options.ts';
import { cpuMs, residentBytes } from '../lib/pinned.ts';
import { withResources } from '../lib/resources.ts';
import { percentile, spread } from '../lib/statistics.ts';
import type { Table } from '../lib/table.ts';

const WATCHERS = 1000;
const KB = 1024;
const IDLE_SECONDS = 5;

interface Outcome {
  readonly kbEach: number;
  /** Processor time of one watcher in a second in which its job does not change, in microseconds. */
  readonly idleUs: number;
  /** Processor time of telling one watcher of a change, in microseconds. */
  readonly toldUs: number;
  /** From the change to the last watcher that is told, the wait for the poll included. */
  readonly toldP99Ms: number;
  readonly calls: number;
}

/** What a stream of job events costs, many of one running job. */
export async function watchers(options: Options): Promise<Table[]> {
  const outcomes: Outcome[] = [];
  const count = options.short ? 20 : WATCHERS;
  for (let round = 0; round < options.rounds; round++) {
    outcomes.push(await measure(count));
    say(`watchers, round ${round + 1}: ${JSON.stringify(outcomes.at(-1))}`);
  }
  const column = (field: keyof Outcome) => spread(outcomes.map((outcome) => outcome[field]));
  return [
    {
      name: 'watchers',
      columns: [
        'watchers',
        'memory, KB each',
        'CPU of each, µs a second',
        'CPU to tell one, µs',
        'told of a change (p99), ms',
        'upstream calls a second',
      ],
      rows: [
        [count, column('kbEach'), column('idleUs'), column('toldUs'), column('toldP99Ms'), column('calls')],
      ],
    },
  ];
}

function measure(count: number): Promise<Outcome> {
  return withResources(async (own) => {
    const upstream = await own.upstream();
    const { gateway, pid } = own.use(await startGateway(upstream, { ACTIVE_FRESH: '1s' }));
    const id = await upstream.addJob({ state: 'active' });
    const bytes = residentBytes(pid);
    const open = await Promise.all(Array.from({ length: count }, () => Watcher.open(gateway, id)));
    await Promise.all(open.map((watcher) => watcher.event(1)));
    const kbEach = (residentBytes(pid) - bytes) / KB / count;
    const [before, calls] = [cpuMs(pid), (await upstream.recordedCalls()).length];
    await delay(IDLE_SECONDS * 1000);
    const idleMs = (cpuMs(pid) - before) / IDLE_SECONDS;
    const made = (await upstream.recordedCalls()).length - calls;
    const [changedAt, unchanged] = [performance.now(), cpuMs(pid)];
    await upstream.setState(id, 'success');
    const told = await Promise.all(open.map(async (watcher) => (await watcher.event(2)).at - changedAt));
    await Promise.all(open.map((watcher) => watcher.closed()));
    return {
      kbEach,
      idleUs: (1000 * idleMs) / count,
      toldUs: (1000 * (cpuMs(pid) - unchanged)) / count,
      toldP99Ms: percentile(told, 99),
      calls: made / IDLE_SECONDS,
    };
  });
}
