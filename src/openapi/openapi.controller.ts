import { Controller, Get, Inject, Param, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PAGE } from '../pages/page-file.ts';
import { DocsPage, DOCUMENT } from './docs-page.ts';

/** The description of the callers' API: for programs, and as a page for people. */
@Controller()
export class OpenApiController {
  constructor(@Inject(DocsPage) private readonly docs: DocsPage) {}

  @Get(DOCUMENT)
  document(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.docs.send(DOCUMENT, request, reply);
  }

  @Get('docs')
  page(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.docs.send(PAGE, request, reply);
  }

  @Get('docs/:file')
  file(@Param('file') name: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    this.docs.send(name, request, reply);
  }
}
