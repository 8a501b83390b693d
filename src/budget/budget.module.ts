import { randomBytes } from 'node:crypto';
import {
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import type { Settings } from '../config/settings.ts';
import type { HangDetector } from '../store/hang-detector.ts';
import { keyPrefix } from '../store/shared-copies.ts';
import { HANGS, REDIS } from '../store/store.module.ts';
import { type Budget, BUDGET } from './budget.ts';
import type { BudgetObserver } from './budget-observer.ts';
import { BudgetStore, type ScriptClient } from './budget-store.ts';
import { FailoverBudget } from './failover-budget.ts';
import { Gate } from './gate.ts';
import { Ledger } from './ledger.ts';
import { LimitReport } from './limit-report.ts';
import { toleratedLatenessMs } from './granted-permit.ts';
import { LocalBudget } from './local-budget.ts';
import { SharedBudget } from './shared-budget.ts';
import { spreadWindows } from './window.ts';

export interface BudgetModuleOptions {
  readonly settings: Settings;
  readonly store: DynamicModule;
  readonly onFault: (operation: string) => void;
  readonly onMode: (mode: 'shared' | 'fallback', reason?: unknown) => void;
  readonly observer: BudgetObserver;
}

/** What may be sent upstream and when: shared by all replicas when there is a Redis. */
@Module({})
export class BudgetModule implements OnModuleInit, OnApplicationShutdown {
  constructor(@Inject(BUDGET) private readonly budget: Budget) {}

  static register(options: BudgetModuleOptions): DynamicModule {
    return {
      module: BudgetModule,
      imports: [options.store],
      providers: [
        {
          provide: BUDGET,
          useFactory: (redis?: ScriptClient, hangs?: HangDetector): Budget =>
            redis && hangs ? shared(options, redis, hangs) : own(options),
          inject: [
            { token: REDIS, optional: true },
            { token: HANGS, optional: true },
          ],
        },
      ],
      exports: [BUDGET],
    };
  }

  /** The first read should not be the one that finds out how the shared budget stands. */
  async onModuleInit(): Promise<void> {
    if (this.budget instanceof FailoverBudget) await this.budget.sync();
  }

  onApplicationShutdown(): void {
    if (this.budget instanceof FailoverBudget) this.budget.end();
  }
}

/** A rollout goes on for minutes, and each look finds it. */
function once<Told>(tell: (told: Told) => void): (told: Told) => void {
  let isTold = false;
  return (told) => {
    if (!isTold) tell(told);
    isTold = true;
  };
}

function own({ settings, observer }: BudgetModuleOptions): LocalBudget {
  const { UPSTREAM_LIMITS: limits, LIMIT_MARGIN: marginMs, REPLICAS: replicas } = settings;
  return new LocalBudget({
    windows: spreadWindows(limits, marginMs, replicas),
    gate: new Gate({ longestClosingMs: settings.LONGEST_CLOSING, observer }),
    latenessMs: toleratedLatenessMs(marginMs),
    report: new LimitReport(observer),
    replicas,
  });
}

function shared(
  { settings, onFault, onMode, observer }: BudgetModuleOptions,
  redis: ScriptClient,
  hangs: HangDetector,
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
