import type { Logger } from 'pino';
import type { BudgetObserver } from './budget/budget-observer.ts';

/** Logs changes of the gate and of the limits. Milliseconds are rounded. */
export function observeBudget(log: Logger): BudgetObserver {
  return {
    gateClosed: ({ forMs, reason, retryAfterMs: saidMs }) => {
      log.warn({ forMs: Math.round(forMs), reason, saidMs }, 'gate closed');
    },
    gateOpened: (closedMs) => {
      log.info({ closedMs: Math.round(closedMs) }, 'gate opened');
    },
    pauseShortened: (saidMs, closedMs) => {
      log.warn({ saidMs, closedMs }, 'upstream asked for a longer pause than LONGEST_CLOSING');
    },
    otherLimits: (limits) => {
      log.warn({ limits }, 'other replicas have different UPSTREAM_LIMITS');
    },
    limitLowered: ({ window, share, limit }) => {
      log.warn({ window, share: rounded(share), limit }, 'limit lowered');
    },
    limitRaised: ({ window, share, limit }) => {
      log.info({ window, share: rounded(share), limit }, share < 1 ? 'limit raised' : 'limit restored');
    },
  };
}

function rounded(share: number): number {
  return Math.round(share * 1000) / 1000;
}
