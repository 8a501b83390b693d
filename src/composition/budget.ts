import { randomBytes } from 'node:crypto';
import type { Budget } from '../budget/budget.ts';
import type { BudgetObserver } from '../budget/budget-observer.ts';
import { BudgetStore } from '../budget/budget-store.ts';
import { FailoverBudget } from '../budget/failover-budget.ts';
import { Gate } from '../budget/gate.ts';
import { toleratedLatenessMs } from '../budget/granted-permit.ts';
import { Ledger } from '../budget/ledger.ts';
import { LimitReport } from '../budget/limit-report.ts';
import { LocalBudget } from '../budget/local-budget.ts';
import { SharedBudget } from '../budget/shared-budget.ts';
import { spreadWindows } from '../budget/window.ts';
import type { Settings } from '../config/settings.ts';
import { keyPrefix } from '../store/shared-copies.ts';
import type { Store } from './store.ts';

export interface BudgetOptions {
  readonly settings: Settings;
  readonly onFault: (operation: string) => void;
  readonly onMode: (mode: 'shared' | 'fallback', reason?: unknown) => void;
  readonly observer: BudgetObserver;
}

/** A budget with its start and its end. */
export interface OwnedBudget {
  readonly budget: Budget;
  /** Reads the shared state, so that the first read need not. */
  sync(): Promise<void>;
  end(): void;
}

/** The budget that all replicas share when there is a store, or else this process' own. */
export function createBudget(options: BudgetOptions, store: Store | undefined): OwnedBudget {
  if (!store) return { budget: localBudget(options), sync: () => Promise.resolve(), end: () => undefined };
  const budget = sharedBudget(options, store);
  return {
    budget,
    sync: () => budget.sync(),
    end: () => {
      budget.end();
    },
  };
}

function localBudget({ settings, observer }: BudgetOptions): LocalBudget {
  const { UPSTREAM_LIMITS: limits, LIMIT_MARGIN: marginMs, REPLICAS: replicas } = settings;
  return new LocalBudget({
    windows: spreadWindows(limits, marginMs, replicas),
    gate: new Gate({ longestClosingMs: settings.LONGEST_CLOSING, observer }),
    latenessMs: toleratedLatenessMs(marginMs),
    report: new LimitReport(observer),
    replicas,
  });
}

function sharedBudget(
  { settings, onFault, onMode, observer }: BudgetOptions,
  { redis, hangs }: Store,
): FailoverBudget {
  const { UPSTREAM_LIMITS: limits, LIMIT_MARGIN: marginMs, REPLICAS: replicas } = settings;
  const { LONGEST_CLOSING: longestClosingMs } = settings;
  const windows = spreadWindows(limits, marginMs);
  const parts = {
    windows,
    ledger: new Ledger(windows.map(({ limit, window: { spanMs } }) => ({ limit, spanMs }))),
    gate: new Gate({ longestClosingMs, observer }),
    latenessMs: toleratedLatenessMs(marginMs),
  };
  const store = new BudgetStore(redis, {
    keyPrefix: keyPrefix(settings.ITWIN_API_URL, settings.ITWIN_CLIENT_ID),
    windows,
    replica: randomBytes(6).toString('base64url'),
    longestClosingMs,
  });
  return new FailoverBudget({
    ...parts,
    shared: new SharedBudget({
      ...parts,
      store,
      onOtherLimits: once((limits) => {
        observer.otherLimits(limits);
      }),
    }),
    localWindows: () => spreadWindows(limits, marginMs, replicas),
    replicas,
    onStoreError: (error) => {
      onFault('budget');
      return hangs.failed(error);
    },
    onAnswered: () => {
      hangs.answered();
    },
    onMode,
    report: new LimitReport(observer),
  });
}

/** A rollout lasts for minutes, and every sync in it finds the difference. */
function once<Value>(report: (value: Value) => void): (value: Value) => void {
  let isReported = false;
  return (value) => {
    if (!isReported) report(value);
    isReported = true;
  };
}
