import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Page } from '../pages/page.ts';
import { filesOfPage, type PageFile, pageFile } from '../pages/page-file.ts';
import { openApiDocument } from './document.ts';

export const DOCUMENT = 'openapi.json';

/** The OpenAPI document, and the page that shows it. */
export class DocsPage extends Page {
  /** @param version of the package */
  constructor(version: string) {
    const page = filesOfPage(join(import.meta.dirname, 'page')).map(([name, path]): [string, PageFile] => [
      name,
      pageFile(name, readFileSync(path, 'utf8')),
    ]);
    super(new Map([...page, [DOCUMENT, pageFile(DOCUMENT, JSON.stringify(openApiDocument(version)))]]));
  }
}
