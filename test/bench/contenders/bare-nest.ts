import 'reflect-metadata';
import { Controller, Get, Res } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply } from 'fastify';
import { readSample } from './sample.ts';

/** Nest on Fastify with one route, which sends the head and the bytes. */
const { headers, bytes } = readSample();

class Jobs {
  read(reply: FastifyReply): void {
    void reply.headers(headers).send(bytes);
  }
}

// What decorators would do: Node strips types, but knows no decorators.
const read = Object.getOwnPropertyDescriptor(Jobs.prototype, 'read');
if (!read) throw new Error('the route has no method');
Get(':id')(Jobs.prototype, 'read', read);
Res()(Jobs.prototype, 'read', 0);
Controller('contextcapture/jobs')(Jobs);

const app = await NestFactory.create<NestFastifyApplication>(
  { module: Jobs, controllers: [Jobs] },
  new FastifyAdapter({ keepAliveTimeout: 75_000 }),
  { logger: false },
);
await app.listen(0, '127.0.0.1');
process.stdout.write(`${await app.getUrl()}\n`);
