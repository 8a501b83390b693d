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

/** A state that is known now. */
interface ReconciledState {
  readonly version: string | undefined;
  readonly cursors: readonly string[];
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

  /**
   * @returns the state's version, if it stayed the same from the list to the last batch, and cursors: sends up to them
   *   are known
   */
  async reconcile({ closedMs, shares, isNewReplica }: ReplicaState): Promise<ReconciledState> {
    const mayBurst = isNewReplica && this.ledger.isEmpty;
    const { held, cursors, version: listed } = await this.list();
    const missing = this.ledger.missingIn(held, this.clock.now());
    let added = 0;
    let version: string | undefined;
    do {
      const sends: KnownBlock[] = missing.splice(0, MAX_MERGED);
      const isLast = missing.length === 0;
      ({ added, version } = await this.run({
        op: 'merge',
        sends,
        isLast,
        added,
        closedMs,
        shares,
        mayBurst,
      }));
    } while (missing.length > 0);
    // If the state was lost meanwhile and rebuilt by another replica, it may lack what was listed.
    const isSame = listed === undefined || listed === version;
    return { version: isSame ? version : undefined, cursors };
  }

  /** Records all sends of the store in the ledger. */
  async list(): Promise<ReconciledState & { held: ReadonlyMap<string, number> }> {
    const held = new Map<string, number>();
    const sizes = new Set<number>();
    const listed: [size: number, id: string, at: number][] = [];
    let cursors: readonly string[] = [];
    let version: string | undefined;
    for (let isMore = true; isMore;) {
      const reply = await this.run({ op: 'list', from: cursors });
      const now = this.clock.now();
      for (const [size, id, agoMs] of reply.sends) {
        held.set(`${size} ${id}`, now - agoMs);
        sizes.add(size);
        listed.push([size, id, now - agoMs]);
      }
      ({ cursors, version, more: isMore } = reply);
    }
    this.ledger.recordConverted(listed, sizes);
    return { held, cursors, version };
  }
}
