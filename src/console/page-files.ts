import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { filesOfPage, PAGE, type PageFile, pageFile } from '../pages/page-file.ts';

/** The page's own files and those of uPlot, read once: what is served cannot be a path that a request has made up. */
export function readPageFiles({
  asksForKey,
}: {
  readonly asksForKey: boolean;
}): ReadonlyMap<string, PageFile> {
  const plots: [string, string][] = [
    ['uplot.js', fileURLToPath(import.meta.resolve('uplot/dist/uPlot.esm.js'))],
    ['uplot.css', fileURLToPath(import.meta.resolve('uplot/dist/uPlot.min.css'))],
  ];
  const files = [...filesOfPage(join(import.meta.dirname, 'page')), ...plots].map(
    ([name, path]): [string, PageFile] => [
      name,
      pageFile(name, forBrowsers(name, readFileSync(path, 'utf8'), asksForKey)),
    ],
  );
  return new Map(files);
}

/** Where Node knows a package by its name, a browser needs an address. The page itself is told whether keys count. */
function forBrowsers(name: string, text: string, asksForKey: boolean): string {
  if (name === PAGE)
    return text.replace('data-asks-for-key="yes"', `data-asks-for-key="${asksForKey ? 'yes' : 'no'}"`);
  return extname(name) === '.js' ? text.replace("from 'uplot'", "from './uplot.js'") : text;
}
