/**
 * `node test/setup/check-docs.mjs [folder]`: whether what the code and the documentation refer to is there. It finds
 *
 * - a reference to a file of docs/, or to one of its numbered sections, that does not exist: in src, test, config and any
 *   .md file. The form is `docs/CONTRACT.md, section 3` (or `sections 1 to 4`, `section 3, Freshness`);
 * - a reference to an invariant or race of ARCHITECTURE.md that does not exist;
 * - in .md files, a relative link to a file or heading that does not exist, and a path or source file in backticks
 *   that does not;
 * - a message in a table of log lines (`| log line | …`) that is nowhere in src;
 * - an invariant or a race of ARCHITECTURE.md that names no test file;
 * - a record in docs/decisions that ARCHITECTURE.md does not link.
 *
 * Each fault is one line on stderr with its file and line; the exit code is then 1.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, extname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = process.argv[2] ?? fileURLToPath(new URL('../../', import.meta.url));

const FOLDERS = ['src', 'test', 'config', 'docs'];
const TEXTS = ['.ts', '.mts', '.js', '.mjs', '.lua', '.md', '.yaml', '.env', '.conf', '.html', '.css'];
/** Files that an operator makes, which may be spoken of all the same. */
const NOT_IN_REPOSITORY = ['config/callers.json'];
/** Their examples are references that are broken on purpose. */
const OWN_EXAMPLES = ['test/setup/check-docs.mjs', 'test/setup/check-docs.spec.ts'];

const faults = [];
const contents = new Map();

/** The text of a file of the project; nothing if there is none. */
function read(name) {
  if (!contents.has(name)) {
    const path = join(root, name);
    contents.set(name, existsSync(path) ? readFileSync(path, 'utf8') : undefined);
  }
  return contents.get(name);
}

const exists = (name) => existsSync(join(root, name));

function filesIn(folder) {
  if (!exists(folder)) return [];
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === 'node_modules') return [];
    const name = join(folder, entry.name);
    return entry.isDirectory() ? filesIn(name) : [name];
  });
}

function report(file, text, index, fault) {
  faults.push(`${file}:${text.slice(0, index).split('\n').length}: ${fault}`);
}

/** Headings as [level, text], those in code blocks left out. */
function headingsOf(page) {
  const lines = withoutCodeBlocks(page).split('\n');
  return lines.flatMap((line) => {
    const [, marks, text] = /^(#+) +(.*?) *$/.exec(line) ?? [];
    return marks ? [[marks.length, text]] : [];
  });
}

/** The same text with blanks in place of code blocks, so that positions stay what they are. */
function withoutCodeBlocks(page) {
  return page.replace(/^```[^]*?^```/gm, (block) => block.replace(/[^\n]/g, ' '));
}

/** The anchor that a heading gets on the usual hosts. */
function anchorOf(heading) {
  const text = heading.replaceAll('`', '').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
}

function hasAnchor(page, anchor) {
  return headingsOf(page).some(([, text]) => anchorOf(text) === anchor);
}

/** Whether a page has a section `## 3. …`, and below it a heading of that name if one is asked for. */
function hasSection(page, number, name) {
  let isWithin = false;
  for (const [level, text] of headingsOf(page)) {
    if (level <= 2) isWithin = text.startsWith(`${number}. `);
    if (isWithin && (name === undefined || (level > 2 && text === name))) return true;
  }
  return false;
}

function range(from, to) {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}

const DOCS_FILE = /\bdocs\/[\w./-]*\w\.(?:md|json|png)\b/g;
const SECTION = /\b(docs\/\w+\.md), sections? (\d+)(?:,? (to|and|or) (\d+))?(?:, ([A-Z]\w+))?/g;
const UNNAMED_SECTION = /\bcontract,? sections? \d/gi;

function checkReferences(file, text) {
  for (const { 0: name, index } of text.matchAll(DOCS_FILE)) {
    // A link is relative to its page, and checked as such.
    const isPartOfLink = /[(/.]$/.test(text.slice(0, index)) && file.endsWith('.md');
    if (!isPartOfLink && !exists(name)) report(file, text, index, `${name} does not exist`);
  }
  for (const match of text.matchAll(SECTION)) {
    const [, page, from, joint, to = from, name] = match;
    const numbers = joint === 'to' ? range(Number(from), Number(to)) : [Number(from), Number(to)];
    for (const number of new Set(numbers)) {
      const isThere = exists(page) && hasSection(read(page), number, name);
      const shown = name === undefined ? '' : `, ${name}`;
      if (!isThere) report(file, text, match.index, `${page} has no section ${number}${shown}`);
    }
  }
  for (const { 0: found, index } of text.matchAll(UNNAMED_SECTION)) {
    report(file, text, index, `"${found}" names no file: write docs/CONTRACT.md, section N`);
  }
}

const ITEM_REFERENCE = /\bARCHITECTURE\.md, (invariant|race) (\d+)/g;

function checkItemReferences(file, text, items) {
  for (const { 0: reference, 1: kind, 2: number, index } of text.matchAll(ITEM_REFERENCE)) {
    const isThere = items.some((item) => item.kind === kind && item.number === Number(number));
    if (!isThere) report(file, text, index, `${reference} does not exist`);
  }
}

/** A source file that is named without its folder. */
const NAME_IN_BACKTICKS = /`([\w-]+\.(?:ts|mjs|lua|yaml))`/g;
const LINK = /\]\(([^()\s]+)\)/g;
const PATH_IN_BACKTICKS = /`((?:src|test|config|docs)\/[\w./-]+)`/g;

function checkPage(file, text, names) {
  const prose = withoutCodeBlocks(text);
  for (const { 1: target, index } of prose.matchAll(LINK)) {
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
    const [path, anchor] = target.split('#');
    const name = path === '' ? file : relative(root, join(root, dirname(file), path));
    if (!exists(name)) report(file, text, index, `the link to ${target} is broken: no such file`);
    else if (anchor !== undefined && !hasAnchor(read(name), anchor))
      report(file, text, index, `the link to ${target} is broken: no such heading`);
  }
  for (const { 1: path, index } of prose.matchAll(PATH_IN_BACKTICKS)) {
    if (!exists(path) && !NOT_IN_REPOSITORY.includes(path))
      report(file, text, index, `\`${path}\` does not exist`);
  }
  for (const { 1: name, index } of prose.matchAll(NAME_IN_BACKTICKS)) {
    if (!names.has(name)) report(file, text, index, `\`${name}\` does not exist`);
  }
}

const LOG_TABLE = /^\| log line \|.*\n\|[-|]+\|\n((?:\|.*\n)+)/gm;

function checkLogLines(file, text, source) {
  for (const { 1: rows, 0: table, index: start } of text.matchAll(LOG_TABLE)) {
    let index = start + table.length - rows.length;
    for (const line of rows.split('\n')) {
      for (const [, message] of (line.split('|')[1] ?? '').matchAll(/`(?:… )?([^`]+)`/g)) {
        if (!source.includes(message)) report(file, text, index, `nothing in src logs "${message}"`);
      }
      index += line.length + 1;
    }
  }
}

/** The numbered invariants and races of ARCHITECTURE.md. */
function itemsOf(page) {
  const items = [];
  let kind;
  let offset = 0;
  for (const line of withoutCodeBlocks(page).split('\n')) {
    if (/^## /.test(line)) kind = { '## Invariants': 'invariant', '## Races': 'race' }[line.trim()];
    const [, number] = /^(\d+)\. /.exec(line) ?? [];
    if (kind && number) items.push({ kind, number: Number(number), offset, text: line });
    else if (kind && /^ +\S/.test(line) && items.length > 0) items.at(-1).text += `\n${line}`;
    offset += line.length + 1;
  }
  return items;
}

function checkArchitecture(page, items) {
  for (const kind of ['invariant', 'race']) {
    const ofKind = items.filter((item) => item.kind === kind);
    if (ofKind.length === 0) report('ARCHITECTURE.md', page, 0, `there is no ${kind} in a numbered list`);
    ofKind.forEach(({ number, offset, text }, index) => {
      if (number !== index + 1) report('ARCHITECTURE.md', page, offset, `${kind} ${number} is out of order`);
      // Whether each file exists is checked with the other paths in backticks.
      if (!/`test\/[\w./-]+\.spec\.ts`/.test(text))
        report('ARCHITECTURE.md', page, offset, `${kind} ${number} names no test file`);
    });
  }
}

function checkDecisions(page) {
  for (const name of filesIn('docs/decisions')) {
    if (!page.includes(`](${name})`)) report('ARCHITECTURE.md', page, 0, `there is no link to ${name}`);
  }
}

const architecture = read('ARCHITECTURE.md') ?? '';
const items = itemsOf(architecture);
const pages = readdirSync(root).filter((name) => name.endsWith('.md'));
const all = [...pages, ...FOLDERS.flatMap(filesIn)];
const names = new Set(all.map((name) => basename(name)));
const files = all.filter((name) => TEXTS.includes(extname(name)) && !OWN_EXAMPLES.includes(name));
const source = filesIn('src').map(read).join('\n');
for (const file of files) {
  const text = read(file);
  checkReferences(file, text);
  checkItemReferences(file, text, items);
  if (!file.endsWith('.md')) continue;
  checkPage(file, text, names);
  checkLogLines(file, text, source);
}
checkArchitecture(architecture, items);
checkDecisions(architecture);

for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else console.log(`The references in ${files.length} files are all good.`);
