import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Page } from '../pages/page.ts';
import { filesOfPage, PAGE, type PageFile, pageFile } from '../pages/page-file.ts';

/** The console: its own files and those of uPlot. */
export class ConsolePage extends Page {
  /** @param asksForKey whether callers need a key */
  constructor(asksForKey: boolean) {
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
    super(new Map(files));
  }
}

/**
 * Replaces what a browser cannot resolve: a package's name by an address. The page itself is told whether it asks for a
 * key.
 */
function forBrowsers(name: string, text: string, asksForKey: boolean): string {
  if (name === PAGE)
    return text.replace('data-asks-for-key="yes"', `data-asks-for-key="${asksForKey ? 'yes' : 'no'}"`);
  return extname(name) === '.js' ? text.replace("from 'uplot'", "from './uplot.js'") : text;
}
