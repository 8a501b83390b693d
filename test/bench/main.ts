import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fillPage } from './lib/page.ts';
import { machine } from './lib/machine.ts';
import { FULL, say, SHORT } from './lib/options.ts';
import { stayWithOthers } from './lib/pinned.ts';
import { markdown } from './lib/table.ts';
import { SECTIONS } from './sections.ts';

/**
 * `npm run bench`: every section, or those that are named. `--short` shows that everything runs. `--write` puts what was
 * measured into docs/BENCHMARKS.md and docs/benchmarks/.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean' }, write: { type: 'boolean' } },
});
const unknown = positionals.filter((name) => !(name in SECTIONS));
if (unknown.length > 0) {
  say(`There is no section ${unknown.join(', ')}: the sections are ${Object.keys(SECTIONS).join(', ')}.`);
  process.exit(2);
}
if (values.short && values.write) {
  say('What the short form measures is not worth keeping: --write goes without --short.');
  process.exit(2);
}
const names = positionals.length > 0 ? positionals : Object.keys(SECTIONS);

stayWithOthers();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

for (const name of names) {
  const tables = await SECTIONS[name]!(values.short ? SHORT : FULL);
  const record = { section: name, at: new Date().toISOString(), machine: machine(), tables };
  for (const table of tables) process.stdout.write(`\n${table.name}\n\n${markdown(table)}\n`);
  process.stdout.write(`\n${JSON.stringify(record)}\n`);
  if (values.write) write(name, record);
}

function write(name: string, record: { readonly tables: Parameters<typeof fillPage>[0] }): void {
  const folder = join(import.meta.dirname, '../../docs/benchmarks');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(record, undefined, 2)}\n`);
  fillPage(record.tables);
}
