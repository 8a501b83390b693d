/** An arrival, in milliseconds on the receiver's clock. */
interface Arrival {
  readonly at: number;
}

/** Maximum of arrivals in any window of this length. */
export function mostInWindow(arrivals: readonly Arrival[], windowMs: number): number {
  const times = arrivals.map(({ at }) => at).sort((a, b) => a - b);
  let [most, oldest] = [0, 0];
  times.forEach((at, index) => {
    while (times[oldest]! + windowMs <= at) oldest++;
    most = Math.max(most, index - oldest + 1);
  });
  return most;
}

/** Used fraction of a limit, from one window after the first arrival until the last. */
export function usedAfterFirstWindow(
  arrivals: readonly Arrival[],
  { limit, windowMs }: { readonly limit: number; readonly windowMs: number },
): number {
  const times = arrivals.map(({ at }) => at);
  const from = Math.min(...times) + windowMs;
  const to = Math.max(...times);
  return times.filter((at) => at >= from).length / (((to - from) / windowMs) * limit);
}
