import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file of the page as it goes over the wire. */
export interface PageFile {
  readonly body: Buffer;
  readonly contentType: string;
  readonly etag: string;
}

/** The file that is the page itself; all others are what it loads. */
export const PAGE = 'index.html';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The page's own files and those of uPlot, read once: what is served cannot be a path that a request has made up. */
export function readPageFiles({
  asksForKey,
}: {
  readonly asksForKey: boolean;
}): ReadonlyMap<string, PageFile> {
  const folder = join(import.meta.dirname, 'page');
  const own = readdirSync(folder).map((name): [string, string] => [name, join(folder, name)]);
  const plots: [string, string][] = [
    ['uplot.js', fileURLToPath(import.meta.resolve('uplot/dist/uPlot.esm.js'))],
    ['uplot.css', fileURLToPath(import.meta.resolve('uplot/dist/uPlot.min.css'))],
  ];
  const files = [...own, ...plots].map(([name, path]): [string, PageFile] => [
    name,
    pageFile(name, forBrowsers(name, readFileSync(path, 'utf8'), asksForKey)),
  ]);
  return new Map(files);
}

function pageFile(name: string, text: string): PageFile {
  const contentType = CONTENT_TYPES[extname(name)];
  if (contentType === undefined) throw new Error(`the console cannot serve ${name}`);
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  return { body: Buffer.from(text), contentType, etag };
}

/** Where Node knows a package by its name, a browser needs an address. The page itself is told whether keys count. */
function forBrowsers(name: string, text: string, asksForKey: boolean): string {
  if (name === PAGE)
    return text.replace('data-asks-for-key="yes"', `data-asks-for-key="${asksForKey ? 'yes' : 'no'}"`);
  return extname(name) === '.js' ? text.replace("from 'uplot'", "from './uplot.js'") : text;
}
