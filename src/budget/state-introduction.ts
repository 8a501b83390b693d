import type { Clock } from '../clock.ts';
import type { Operation, Reply } from './budget-store.ts';
import type { KnownBlock, Ledger } from './ledger.ts';

/** Most blocks that are told in one request. */
const MOST_TOLD = 500;

/** What a replica brings along. */
export interface Brought {
  readonly closedMs: number;
  readonly shares: readonly number[];
  /** It has known no state before. */
  readonly isFirst: boolean;
}

/**
 * How a replica gets to know a state of the store: it lists all sends there, then tells those that are missing, each in parts, so
 * that Redis works for a moment at a time. The state grants nothing to the replica before the last part is told.
 */
export class StateIntroduction {
  constructor(
    private readonly ledger: Ledger,
    private readonly clock: Clock,
    private readonly ask: (operation: Operation) => Promise<Reply>,
  ) {}

  /** @returns the cursors up to which it has heard of sends */
  async introduce({ closedMs, shares, isFirst }: Brought): Promise<readonly string[]> {
    const fresh = isFirst && this.ledger.empty;
    const { held, cursors } = await this.list();
    const missing = this.ledger.missingIn(held, this.clock.now());
    let added = 0;
    do {
      const sends: KnownBlock[] = missing.splice(0, MOST_TOLD);
      const isLast = missing.length === 0;
      ({ added } = await this.ask({ op: 'tell', sends, isLast, added, closedMs, shares, fresh }));
    } while (missing.length > 0);
    return cursors;
  }

  /** Notes all sends that the store has. */
  async list(): Promise<{ held: ReadonlySet<string>; cursors: readonly string[] }> {
    const held = new Set<string>();
    const sizes = new Set<number>();
    const listed: [size: number, id: string, at: number][] = [];
    let cursors: readonly string[] = [];
    for (let isMore = true; isMore;) {
      const reply = await this.ask({ op: 'list', from: cursors });
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
