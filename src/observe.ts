import type { Logger } from 'pino';
import type { Metrics } from './metrics/metrics.ts';
import { replyCode } from './store/reply-code.ts';
import type { TokenFailure } from './upstream/token-endpoint.ts';
import type { UpstreamObserver } from './upstream/upstream.module.ts';

/** Turns what happens inside into metrics and log lines. */
export function observe(
  metrics: Metrics,
  log: Logger,
): UpstreamObserver & { readonly budgetMode: (mode: 'shared' | 'fallback', reason?: unknown) => void } & {
  readonly storeFailed: (operation: string) => void;
} {
  return {
    called: (status, tookMs) => {
      metrics.upstreamRequests.inc({ status: String(status) });
      metrics.upstreamSeconds.observe(tookMs / 1000);
    },
    slotFound: (waitedMs) => {
      metrics.queueWaitSeconds.observe(waitedMs / 1000);
    },
    refreshed: (failure?: TokenFailure) => {
      metrics.tokenRefreshes.inc({ result: failure?.kind ?? 'ok' });
      if (failure) log.error({ reason: failure.message }, 'no token');
    },
    tokensRefused: () => {
      log.error('upstream refuses every token');
    },
    tokensAccepted: () => {
      log.info('upstream accepts a token again');
    },
    secretChanged: () => {
      log.info('the client secret is another one: a token is asked for with it');
    },
    budgetMode: (mode, reason) => {
      if (mode === 'shared') log.info('the budget is shared again');
      else
        log.warn({ reason: nameOf(reason) }, 'the shared budget is away: this replica goes on with its part');
    },
    circuitOpened: (upstream) => {
      log.error({ upstream }, 'upstream fails steadily: circuit open');
    },
    circuitClosed: () => {
      log.info('upstream answers again: circuit closed');
    },
    storeFailed: (operation) => {
      metrics.storeErrors.inc({ operation });
    },
  };
}

/** What an error of the store is called. Its message may hold a key or an address. */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return (error as NodeJS.ErrnoException).code ?? replyCode(error) ?? error.name;
}
