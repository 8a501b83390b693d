/**
 * A band of a stacked plot, or a line: its label, its colour in console.css, and the labels of the metrics that it
 * sums.
 * @typedef {object} Group
 * @property {string} label
 * @property {string} color
 * @property {(name: string) => boolean} takes
 */

/** @type {(...names: string[]) => (name: string) => boolean} */
const named =
  (...names) =>
  (name) =>
    names.includes(name);

/** Outcomes of reads, the cheapest first. @type {Group[]} */
export const READ_KINDS = [
  { label: 'memory', color: '--c-teal', takes: named('memory') },
  { label: 'Redis', color: '--c-green', takes: named('redis') },
  { label: 'stale copy', color: '--c-olive', takes: named('stale', 'stale-if-error') },
  { label: 'collapsed', color: '--c-sky', takes: named('collapsed') },
  { label: 'call upstream', color: '--c-blue', takes: named('upstream') },
  { label: 'refused', color: '--c-amber', takes: named('refused') },
  { label: 'no such job', color: '--c-violet', takes: named('not-found') },
  { label: 'error', color: '--c-red', takes: named('error') },
  { label: 'other', color: '--c-gray', takes: () => true },
];

/** How calls upstream ended. @type {Group[]} */
export const CALL_KINDS = [
  { label: '2xx', color: '--c-blue', takes: (status) => status.startsWith('2') },
  { label: '404', color: '--c-sky', takes: named('404') },
  { label: '429', color: '--c-amber', takes: named('429') },
  { label: 'other 4xx', color: '--c-violet', takes: (status) => status.startsWith('4') },
  { label: '5xx', color: '--c-red', takes: (status) => status.startsWith('5') },
  { label: 'no answer', color: '--c-brown', takes: named('timeout', 'connection') },
  { label: 'other', color: '--c-gray', takes: () => true },
];

/**
 * The sum of each group. A name counts in the first group that takes it.
 * @param {Group[]} groups
 * @param {Readonly<Record<string, number>>} values
 */
export function sumsOf(groups, values) {
  const sums = groups.map(() => 0);
  for (const [name, value] of Object.entries(values)) {
    const index = groups.findIndex(({ takes }) => takes(name));
    sums[index] = (sums[index] ?? 0) + value;
  }
  return sums;
}
