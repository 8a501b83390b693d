import { Controller, Get, Inject, Param, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PAGE, type PageFile } from '../pages/page-file.ts';
import { sendPage } from '../pages/send-page.ts';

/** The description, and what the page to read it is made of, by name. */
export const DOCS_FILES = Symbol('what is served of the description');
export const DOCUMENT = 'openapi.json';

/** The description of the public face: for programs, and as a page for people. */
@Controller()
export class OpenApiController {
  constructor(@Inject(DOCS_FILES) private readonly files: ReadonlyMap<string, PageFile>) {}

  @Get(DOCUMENT)
  document(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.file(DOCUMENT, request, reply);
  }

  @Get('docs')
  page(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.file(PAGE, request, reply);
  }

  @Get('docs/:file')
  file(@Param('file') name: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    sendPage(this.files.get(name), request, reply);
  }
}
