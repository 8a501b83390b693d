import type { Logger } from 'pino';
import type { Metrics } from './metrics/metrics.ts';
import { redisReason } from './store/redis-reason.ts';
import type { CircuitObserver } from './upstream/layers/circuit.ts';
import type { TokenFailure } from './upstream/token-endpoint.ts';
import type { TokenObserver } from './upstream/token-source.ts';
import type { TransportOptions } from './upstream/transport.ts';

/** Told of events inside the gateway. Times in milliseconds. */
export interface Observer extends TokenObserver, CircuitObserver {
  readonly called: NonNullable<TransportOptions['onCall']>;
  readonly callBroken: NonNullable<TransportOptions['onBroken']>;
  /** A read has waited for its slot. */
  readonly slotFound: (waitedMs: number) => void;
  readonly secretChanged: () => void;
  /** Upstream asked for a longer pause of a job than is granted. */
  readonly pauseCut: (saidMs: number, pauseMs: number) => void;
  readonly budgetMode: (mode: 'shared' | 'fallback', reason?: unknown) => void;
  readonly storeFailed: (operation: string) => void;
}

/** Turns events inside the gateway into metrics and log lines. */
export function observe(metrics: Metrics, log: Logger): Observer {
  return {
    called: (status, tookMs) => {
      metrics.upstreamRequests.inc({ status: String(status) });
      metrics.upstreamSeconds.observe(tookMs / 1000);
    },
    callBroken: ({ read: { jobId, correlationId, trace }, upstream, tookMs }) => {
      const ms = Math.round(tookMs);
      log.warn({ jobId, upstream, ms, correlationId, ...trace?.ids }, 'upstream call failed');
    },
    slotFound: (waitedMs) => {
      metrics.queueWaitSeconds.observe(waitedMs / 1000);
    },
    refreshed: (failure?: TokenFailure) => {
      metrics.tokenRefreshes.inc({ result: failure?.kind ?? 'ok' });
      if (failure)
        log.error(
          { reason: failure.message, code: failure.code, saidMs: failure.retryAfterMs },
          'token request failed',
        );
    },
    pauseCut: (saidMs, pauseMs) => {
      log.warn({ saidMs, pauseMs }, 'upstream asked for a longer pause of a job than LONGEST_CLOSING');
    },
    tokensRefused: () => {
      log.error('upstream refuses every token');
    },
    tokensAccepted: () => {
      log.info('upstream accepts a token again');
    },
    secretChanged: () => {
      log.info('client secret changed, requesting a token with it');
    },
    budgetMode: (mode, reason) => {
      if (mode === 'shared') log.info('shared budget available again');
      else log.warn({ reason: redisReason(reason) }, 'shared budget unavailable, using local share');
    },
    circuitOpened: (upstream, code) => {
      log.error({ upstream, code }, 'circuit opened');
    },
    circuitClosed: () => {
      log.info('circuit closed');
    },
    storeFailed: (operation) => {
      metrics.storeErrors.inc({ operation });
    },
  };
}
