/** How far back the plots go, in seconds. */
export const LONGEST_S = 300;
/** How many states a rate spans: a single second would show the rhythm of pollers. */
const RATE_STATES = 5;

/**
 * @typedef {import('../console-state.ts').ConsoleState} ConsoleState
 * @typedef {Readonly<Record<string, number>>} Totals
 * @typedef {object} Sample
 * @property {number} at seconds since 1970, by the gateway's clock
 * @property {ConsoleState | undefined} state undefined: a gap in the stream
 * @property {Totals | undefined} reads per second by outcome; undefined without an earlier state
 * @property {Totals | undefined} calls per second by status
 */

/** The states of the last minutes, and the rates computed from their totals. */
export class History {
  /** @type {Sample[]} */
  samples = [];

  /** @param {ConsoleState} state */
  add(state) {
    const at = state.time / 1000;
    const before = this.samples.slice(-RATE_STATES).find((sample) => sample.state)?.state;
    this.#push({
      at,
      state,
      reads: rates(before, state, 'reads'),
      calls: rates(before, state, 'upstream'),
    });
  }

  /** Adds a gap: the stream was interrupted. */
  breakOff() {
    const last = this.samples.at(-1);
    if (last?.state) this.#push({ at: last.at + 0.5, state: undefined, reads: undefined, calls: undefined });
  }

  /** @param {Sample} sample */
  #push(sample) {
    // A clock that was set back starts a new history.
    if (sample.at <= (this.samples.at(-1)?.at ?? 0)) this.samples = [];
    this.samples.push(sample);
    const oldest = sample.at - LONGEST_S;
    while (this.samples[0] && this.samples[0].at < oldest) this.samples.shift();
  }
}

/**
 * @param {ConsoleState | undefined} before
 * @param {ConsoleState} now
 * @param {'reads' | 'upstream'} which
 * @returns {Totals | undefined}
 */
function rates(before, now, which) {
  if (!before || now.time <= before.time) return undefined;
  const seconds = (now.time - before.time) / 1000;
  // A smaller total means that the gateway was restarted.
  const since = (/** @type {string} */ name, /** @type {number} */ total) => {
    const earlier = before[which][name] ?? 0;
    return total < earlier ? total : total - earlier;
  };
  return Object.fromEntries(
    Object.entries(now[which]).map(([name, total]) => [name, since(name, total) / seconds]),
  );
}
