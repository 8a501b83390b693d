import { fastify } from 'fastify';
import { readSample } from './sample.ts';

/** Fastify with one route, which sends the head and the bytes. */
const { headers, bytes } = readSample();
const server = fastify({ keepAliveTimeout: 75_000 });
server.get('/contextcapture/jobs/:id', (_request, reply) => {
  void reply.headers(headers).send(bytes);
});
process.stdout.write(`${await server.listen({ port: 0, host: '127.0.0.1' })}\n`);
