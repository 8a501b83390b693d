import { find } from './dom.js';
import { CALL_KINDS, READ_KINDS, sumsOf } from './groups.js';
import { Plot } from './plot.js';
import { rateWords } from './words.js';

/** @typedef {import('./history.js').Sample} Sample */

const WINDOW_COLORS = ['--c-blue', '--c-teal', '--c-violet', '--c-brown'];

/** @type {Plot | undefined} made with the first state, which names the windows */
let budget;
const queue = new Plot(find('queue-plot', HTMLElement), {
  title: 'Reads waiting',
  lines: [{ label: 'waiting', color: '--c-blue' }],
  least: 5,
  words: String,
});
const reads = new Plot(find('reads-plot', HTMLElement), {
  title: 'Reads by outcome',
  lines: READ_KINDS,
  stacked: true,
  least: 1,
  words: rateWords,
});
const upstream = new Plot(find('upstream-plot', HTMLElement), {
  title: 'Calls upstream by status',
  lines: CALL_KINDS,
  stacked: true,
  least: 1,
  words: rateWords,
});

/** @param {Sample[]} samples */
export function showPlots(samples) {
  const state = samples.at(-1)?.state;
  const times = samples.map(({ at }) => at);
  const closed = samples.map((sample) => (sample.state?.budget.closedMs ?? 0) > 0);
  if (state) showBudget(state, samples, times, closed);
  queue.show(times, [samples.map((sample) => sample.state?.queue.waiting ?? null)], closed);
  showRates(reads, READ_KINDS, samples, 'reads');
  showRates(upstream, CALL_KINDS, samples, 'calls');

  /**
   * @param {Plot} plot
   * @param {import('./groups.js').Group[]} groups
   * @param {Sample[]} all
   * @param {'reads' | 'calls'} which
   */
  function showRates(plot, groups, all, which) {
    const sums = all.map(({ [which]: rates }) => (rates ? sumsOf(groups, rates) : []));
    const lines = groups.map((_, index) => sums.map((sum) => sum[index] ?? null));
    // The legend names only outcomes that occurred.
    plot.show(
      times,
      lines,
      closed,
      lines.map((line) => line.some((value) => (value ?? 0) > 0)),
    );
  }
}

/**
 * @param {import('./history.js').ConsoleState} state
 * @param {Sample[]} samples
 * @param {number[]} times
 * @param {boolean[]} closed
 */
function showBudget(state, samples, times, closed) {
  const { windows } = state.budget;
  budget ??= new Plot(find('budget-plot', HTMLElement), {
    title: 'Budget left per window',
    lines: windows.map(({ name }, index) => ({
      label: name,
      color: WINDOW_COLORS[index % WINDOW_COLORS.length] ?? '--c-gray',
    })),
    least: 100,
    words: (percent) => `${Math.round(percent)} %`,
  });
  const shares = windows.map((_, index) =>
    samples.map((sample) => {
      const window = sample.state?.budget.windows[index];
      return window ? (100 * window.remaining) / window.limit : null;
    }),
  );
  budget.show(times, shares, closed);
}
