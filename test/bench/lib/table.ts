import type { Spread } from './statistics.ts';

export type Cell = string | number | Spread | undefined;

/** What one question came to. */
export interface Table {
  /** Where it stands in docs/BENCHMARKS.md. */
  readonly name: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** The column that is drawn, counted from 0, and what its bars mean. */
  readonly plot?: { readonly column: number; readonly title: string };
}

/** As GitHub's Markdown has tables, with a drawing (Mermaid) under it where there is one. */
export function markdown({ columns, rows, plot }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const table = [
    line(columns),
    line(columns.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...rows.map((row) => line(row.map(written))),
  ];
  if (!plot) return table.join('\n');
  const names = rows.map(([name]) => `"${written(name)}"`);
  const values = rows.map((row) => numberOf(row[plot.column]));
  return [
    ...table,
    ...['', '```mermaid', 'xychart-beta horizontal'],
    `    title "${plot.title}"`,
    `    x-axis [${names.join(', ')}]`,
    `    y-axis "${columns[plot.column] ?? ''}" 0 --> ${rounded(1.1 * Math.max(...values))}`,
    `    bar [${values.map(rounded).join(', ')}]`,
    '```',
  ].join('\n');
}

function written(cell: Cell): string {
  if (cell === undefined) return '';
  if (typeof cell === 'string') return cell;
  if (typeof cell === 'number') return rounded(cell);
  const { median, least, most } = cell;
  return least === most ? rounded(median) : `${rounded(median)} (${rounded(least)}–${rounded(most)})`;
}

function numberOf(cell: Cell): number {
  if (typeof cell === 'object') return cell.median;
  return typeof cell === 'number' ? cell : 0;
}

/** Whole numbers as they are; of others three digits that say something, of larger ones all before the point. */
function rounded(number: number): string {
  if (!Number.isFinite(number)) return '–';
  if (Number.isInteger(number)) return String(number);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number))));
  return number.toFixed(Math.min(digits, 3));
}
