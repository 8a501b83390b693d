import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { markdown, type Table } from './table.ts';

const PAGE = join(import.meta.dirname, '../../../docs/BENCHMARKS.md');

/** Puts tables where the page has their places, `<!-- name -->` … `<!-- /name -->`; what is said around them stays. */
export function fillPage(tables: readonly Table[]): void {
  let page = readFileSync(PAGE, 'utf8');
  for (const table of tables) {
    const place = new RegExp(`(<!-- ${table.name} -->\n)[^]*?(<!-- /${table.name} -->)`);
    if (!place.test(page)) throw new Error(`docs/BENCHMARKS.md has no place for ${table.name}`);
    page = page.replace(place, (_, start: string, end: string) => `${start}\n${markdown(table)}\n\n${end}`);
  }
  writeFileSync(PAGE, page);
}
