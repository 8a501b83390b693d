/**
 * `node test/setup/settings-page.mjs [--check] [folder]` writes the settings of src/config/variables.ts into the tables of
 * docs/SETTINGS.md and into .env.example. With `--check` it writes nothing and fails if either is out of date.
 *
 * A table of docs/SETTINGS.md stands between `<!-- settings NAME NAME … -->`, which says what it lists, and
 * `<!-- /settings -->`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { variables } from '../../src/config/variables.ts';

const isCheck = process.argv.includes('--check');
const root =
  process.argv.slice(2).find((argument) => argument !== '--check') ??
  fileURLToPath(new URL('../../', import.meta.url));

const TABLE = /(<!-- settings ([A-Z_\s]+?)\s*-->\n)[^]*?(\n<!-- \/settings -->)/g;
/** A text that no setting accepts unless it accepts every text. */
const IMPOSSIBLE = '\0';

/** What a setting accepts, as its own error message says it. */
function accepted({ schema }) {
  const { success, error } = schema.safeParse(IMPOSSIBLE);
  if (success) return 'text';
  return (
    error.issues[0].message
      .replace(/^must be (a |an )?/, '')
      .replace(/^(duration|size) such as .*, from/, '$1 from')
      .replace(/^whole number from /, '')
      // The upper bound of a size is this machine's.
      .replace(/^(size from \w+) to .*/, '$1')
  );
}

function row(name) {
  const variable = variables[name];
  const shown = variable.default === '' ? 'empty' : variable.default && `\`${variable.default}\``;
  const cells = [`\`${name}\``, shown ?? 'required', variable.about, accepted(variable)];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function withTables(page) {
  const listed = [];
  const written = page.replace(TABLE, (_, start, names, end) => {
    const inTable = names.split(/\s+/);
    listed.push(...inTable);
    const unknown = inTable.find((name) => !(name in variables));
    if (unknown !== undefined) throw new Error(`docs/SETTINGS.md lists ${unknown}, which is no setting`);
    const head = ['', '| name | default | meaning | accepted |', '|---|---|---|---|'];
    return [start, [...head, ...inTable.map(row), ''].join('\n'), end].join('');
  });
  for (const name of Object.keys(variables)) {
    const count = listed.filter((each) => each === name).length;
    if (count !== 1)
      throw new Error(`docs/SETTINGS.md has to list ${name} once, and lists it ${count} times`);
  }
  return written;
}

/** The comment at the head stays, the rest is made anew. */
function withValues(example) {
  const [head] = example.split('\n\n', 1);
  const entries = Object.entries(variables).map(([name, variable]) =>
    'default' in variable
      ? `# ${variable.about}\n# ${name}=${variable.default}`
      : `# ${variable.about}\n${name}=`,
  );
  return `${[head, ...entries].join('\n\n')}\n`;
}

const files = { 'docs/SETTINGS.md': withTables, '.env.example': withValues };
try {
  for (const [name, update] of Object.entries(files)) {
    const path = join(root, name);
    const current = readFileSync(path, 'utf8');
    const next = update(current);
    if (current === next) continue;
    if (isCheck) throw new Error(`${name} is out of date: run npm run settings`);
    writeFileSync(path, next);
    console.log(`${name} was updated.`);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
