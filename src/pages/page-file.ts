import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { extname, join } from 'node:path';

/** A file for browsers as it goes over the wire. */
export interface PageFile {
  readonly body: Buffer;
  readonly contentType: string;
  readonly etag: string;
}

/** The name of the page itself; all other files are loaded by it. */
export const PAGE = 'index.html';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
};

/** @param name its extension gives the content type */
export function pageFile(name: string, text: string): PageFile {
  const contentType = CONTENT_TYPES[extname(name)];
  if (contentType === undefined) throw new Error(`no content type is known for the page file ${name}`);
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  return { body: Buffer.from(text), contentType, etag };
}

/** Names and paths of a page's own files, and of those that all pages share. */
export function filesOfPage(folder: string): [name: string, path: string][] {
  const own = readdirSync(folder).map((name): [string, string] => [name, join(folder, name)]);
  const shared = ['base.css', 'icon.svg'].map((name): [string, string] => [
    name,
    join(import.meta.dirname, name),
  ]);
  return [...own, ...shared];
}
