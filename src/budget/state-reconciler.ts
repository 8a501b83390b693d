import type { Clock } from '../clock.ts';
import type { Operation, Reply } from './budget-store.ts';
import type { KnownBlock, Ledger } from './ledger.ts';

/** Most blocks merged in one request. */
const MAX_MERGED = 500;

/** A replica's own view of the budget, merged into the store. */
export interface ReplicaState {
  readonly closedMs: number;
  readonly shares: readonly number[];
  /** It has known no state of the store before. */
  readonly isNewReplica: boolean;
}

/**
 * Reconciles a replica with a state of the store that it does not know: lists all sends there, then merges those that
 * are missing. Both work in batches, so that Redis is never blocked for long. The state grants the replica nothing
 * before the last batch is merged.
 */
export class StateReconciler {
  constructor(
    private readonly ledger: Ledger,
    private readonly clock: Clock,
    private readonly run: (operation: Operation) => Promise<Reply>,
  ) {}

  /** @returns cursors: sends up to them are known */
  async reconcile({ closedMs, shares, isNewReplica }: ReplicaState): Promise<readonly string[]> {
    const mayBurst = isNewReplica && this.ledger.isEmpty;
    const { held, cursors } = await this.list();
    const missing = this.ledger.missingIn(held, this.clock.now());
    let added = 0;
    do {
      const sends: KnownBlock[] = missing.splice(0, MAX_MERGED);
      const isLast = missing.length === 0;
      ({ added } = await this.run({ op: 'merge', sends, isLast, added, closedMs, shares, mayBurst }));
    } while (missing.length > 0);
    return cursors;
  }

  /** Records all sends of the store in the ledger. */
  async list(): Promise<{ held: ReadonlySet<string>; cursors: readonly string[] }> {
    const held = new Set<string>();
    const sizes = new Set<number>();
    const listed: [size: number, id: string, at: number][] = [];
    let cursors: readonly string[] = [];
    for (let isMore = true; isMore;) {
      const reply = await this.run({ op: 'list', from: cursors });
      const now = this.clock.now();
      for (const [size, id, agoMs] of reply.sends) {
        held.add(`${size} ${id}`);
        sizes.add(size);
        listed.push([size, id, now - agoMs]);
      }
      cursors = reply.cursors;
      isMore = reply.more;
    }
    this.ledger.recordConverted(listed, sizes);
    return { held, cursors };
  }
}
