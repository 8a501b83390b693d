import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DynamicModule, Module } from '@nestjs/common';
import { filesOfPage, type PageFile, pageFile } from '../pages/page-file.ts';
import { openApiDocument } from './document.ts';
import { DOCS_FILES, DOCUMENT, OpenApiController } from './openapi.controller.ts';

@Module({})
export class OpenApiModule {
  static register(): DynamicModule {
    return {
      module: OpenApiModule,
      controllers: [OpenApiController],
      providers: [{ provide: DOCS_FILES, useFactory: files }],
    };
  }
}

/** Made and read once. */
function files(): ReadonlyMap<string, PageFile> {
  const page = filesOfPage(join(import.meta.dirname, 'page')).map(([name, path]): [string, PageFile] => [
    name,
    pageFile(name, readFileSync(path, 'utf8')),
  ]);
  return new Map([...page, [DOCUMENT, pageFile(DOCUMENT, JSON.stringify(openApiDocument(version())))]]);
}

/** That of the package, which stands beside the build. */
function version(): string {
  const manifest = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
