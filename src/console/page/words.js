const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const dayAndClock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/**
 * The time of day, with the date unless it is today.
 * @param {Date} date
 */
export function timeWords(date) {
  const today = date.toDateString() === new Date().toDateString();
  return (today ? clock : dayAndClock).format(date);
}

/**
 * Parses a date of the API, whose seven digits of a second not every browser reads.
 * @param {unknown} text
 * @returns {Date | undefined}
 */
export function apiDate(text) {
  if (typeof text !== 'string') return undefined;
  const date = new Date(text.replace(/(\.\d{3})\d+/, '$1'));
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/**
 * A duration in its two largest units: `8 s`, `2 min 05 s`, `3 h 12 min`.
 * @param {number} ms
 */
export function spanWords(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes === 0) return `${seconds} s`;
  if (hours === 0) return `${minutes} min ${pad(seconds % 60)} s`;
  return `${hours} h ${pad(minutes % 60)} min`;
}

/** @param {number} count */
function pad(count) {
  return String(count).padStart(2, '0');
}

/**
 * @param {number} count
 * @param {string} noun
 */
export function countWords(count, noun) {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/**
 * A rate per second, with the significant digits.
 * @param {number} rate
 */
export function rateWords(rate) {
  return `${rate >= 10 || rate === 0 ? Math.round(rate) : rate.toFixed(1)}/s`;
}
