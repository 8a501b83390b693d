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

/** A state that a replica has got to know. */
interface Introduced {
  readonly version: string | undefined;
  readonly cursors: readonly string[];
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

  /**
   * @returns the state's version, if it was the same from the list to the last part, and the cursors up to which its
   * sends have been heard of
   */
  async introduce({ closedMs, shares, isFirst }: Brought): Promise<Introduced> {
    const fresh = isFirst && this.ledger.empty;
    const { held, cursors, version: listed } = await this.list();
    const missing = this.ledger.missingIn(held, this.clock.now());
    let added = 0;
    let version: string | undefined;
    do {
      const sends: KnownBlock[] = missing.splice(0, MOST_TOLD);
      const isLast = missing.length === 0;
      ({ added, version } = await this.ask({ op: 'tell', sends, isLast, added, closedMs, shares, fresh }));
    } while (missing.length > 0);
    // Lost meanwhile, and rebuilt by another: what was listed may be missing there.
    const isSame = listed === undefined || listed === version;
    return { version: isSame ? version : undefined, cursors };
  }

  /** Notes all sends that the store has. */
  async list(): Promise<Introduced & { held: ReadonlyMap<string, number> }> {
    const held = new Map<string, number>();
    const sizes = new Set<number>();
    const listed: [size: number, id: string, at: number][] = [];
    let cursors: readonly string[] = [];
    let version: string | undefined;
    for (let isMore = true; isMore;) {
      const reply = await this.ask({ op: 'list', from: cursors });
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
