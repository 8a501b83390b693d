/** How far back the plots go, in seconds. */
export const LONGEST_S = 300;
/** Over how many states a rate is taken: a second alone would show the beat of the pollers. */
const RATE_OVER = 5;

/**
 * @typedef {import('../console-state.ts').ConsoleState} GatewayState
 * @typedef {Readonly<Record<string, number>>} Totals
 * @typedef {object} Sample
 * @property {number} at seconds since 1970, by the gateway's clock
 * @property {GatewayState | undefined} state undefined: nothing is known of this moment
 * @property {Totals | undefined} reads a second, by kind; undefined when nothing came before
 * @property {Totals | undefined} calls a second, by status
 */

/** The states of the last minutes, and the rates that their totals make. */
export class History {
  /** @type {Sample[]} */
  samples = [];

  /** @param {GatewayState} state */
  add(state) {
    const at = state.time / 1000;
    const before = this.samples.slice(-RATE_OVER).find((sample) => sample.state)?.state;
    this.#push({
      at,
      state,
      reads: rates(before, state, 'reads'),
      calls: rates(before, state, 'upstream'),
    });
  }

  /** The stream has broken off: the lines do too. */
  breakOff() {
    const last = this.samples.at(-1);
    if (last?.state) this.#push({ at: last.at + 0.5, state: undefined, reads: undefined, calls: undefined });
  }

  /** @param {Sample} sample */
  #push(sample) {
    // A clock that was set back begins a new history.
    if (sample.at <= (this.samples.at(-1)?.at ?? 0)) this.samples = [];
    this.samples.push(sample);
    const oldest = sample.at - LONGEST_S;
    while (this.samples[0] && this.samples[0].at < oldest) this.samples.shift();
  }
}

/**
 * @param {GatewayState | undefined} before
 * @param {GatewayState} now
 * @param {'reads' | 'upstream'} which
 * @returns {Totals | undefined}
 */
function rates(before, now, which) {
  if (!before || now.time <= before.time) return undefined;
  const seconds = (now.time - before.time) / 1000;
  // A total that has shrunk was begun anew: the gateway was started again.
  const since = (/** @type {string} */ name, /** @type {number} */ total) => {
    const earlier = before[which][name] ?? 0;
    return total < earlier ? total : total - earlier;
  };
  return Object.fromEntries(
    Object.entries(now[which]).map(([name, total]) => [name, since(name, total) / seconds]),
  );
}
