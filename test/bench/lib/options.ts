/** How thorough a run is. */
export interface Options {
  readonly rounds: number;
  /** Seconds of load in each measurement. */
  readonly seconds: number;
  /** The short form: it shows that everything runs, and nothing else. */
  readonly short: boolean;
}

export const FULL: Options = { rounds: 5, seconds: 5, short: false };
export const SHORT: Options = { rounds: 1, seconds: 1, short: true };

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
