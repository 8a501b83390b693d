// The window arithmetic, written independently and without I/O: the oracle for tests of the implementation. Times in
// ms.
//
// A window allows L sends in any W. A bucket of B credits lets an idle gateway burst. Credit accrues at the rate that
// spends the rest of the window evenly until the oldest send leaves it, and never faster than L/W:
//
//     rate = min( L/W, (L - n + 1) / (oldest + W - now) )    n = sends in the last W
//
// (+ 1: the slot that frees when the oldest leaves; without it one slot of every window goes unused.)
// After a burst the pace is slower and even at once, instead of stalling when the window is full; under saturation it
// settles at L/W. Nothing is sent while n = L, so no window can exceed L whatever the credit.
export class Window {
  constructor(limit, span, burst) {
    Object.assign(this, { limit, span, burst, credit: burst, accruedTo: 0, sends: [], head: 0 });
  }

  get #count() {
    return this.sends.length - this.head;
  }
  get #oldestLeaves() {
    return this.#count ? this.sends[this.head] + this.span : Infinity;
  }
  #rate(now) {
    const even = this.limit / this.span;
    return this.#count ? Math.min(even, (this.limit - this.#count + 1) / (this.#oldestLeaves - now)) : even;
  }

  /** Accrues credit up to `now`, piecewise between the times at which a send leaves the window. */
  #advance(now) {
    for (;;) {
      const until = Math.min(now, this.#oldestLeaves);
      if (until > this.accruedTo) {
        this.credit = Math.min(
          this.burst,
          this.credit + this.#rate(this.accruedTo) * (until - this.accruedTo),
        );
        this.accruedTo = until;
      }
      if (this.#oldestLeaves > now) return;
      this.head++;
    }
  }

  /** 0: a send is allowed now. Otherwise the earliest time to ask again, in ms from now. */
  wait(now) {
    this.#advance(now);
    const leaves = this.#oldestLeaves - now;
    if (this.#count >= this.limit) return leaves + 1e-6;
    if (this.credit >= 1 - 1e-9) return 0;
    return Math.min((1 - this.credit) / this.#rate(now), leaves) + 1e-6;
  }

  consume(now) {
    this.credit -= 1;
    this.sends.push(now);
  }
}

/** Bursts: half of the shortest window's limit; for longer windows the whole limit of the shortest. */
export function windows(...limits) {
  const [shortest] = limits.toSorted((a, b) => a[1] - b[1]);
  return limits.map(
    ([limit, span]) =>
      new Window(limit, span, span === shortest[1] ? limit / 2 : Math.min(limit / 2, shortest[0])),
  );
}
