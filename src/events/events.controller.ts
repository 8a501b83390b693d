import { Controller, Get, Head, Inject, Query, Req, Res, UseGuards } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CallerGuard, callerOf } from '../callers/caller.guard.ts';
import { GatewayError } from '../errors/gateway-error.ts';
import { openEventStream } from '../http/event-stream.ts';
import { JOBS_PATH } from '../upstream/itwin-api.ts';
import { isJobId } from '../upstream/job-reads.ts';
import { LAST_EVENT_ID } from './events.ts';
import { Streams } from './streams.ts';

const MOST_JOBS = 100;
/** A proxy that compressed the stream would buffer it. */
const CACHE_CONTROL = 'no-store, no-transform';

/** The changes of up to a hundred jobs as a stream of events (docs/CONTRACT.md, section 5). */
@Controller(JOBS_PATH)
@UseGuards(CallerGuard)
export class EventsController {
  constructor(@Inject(Streams) private readonly streams: Streams) {}

  /** Declared before `GET`, for which Fastify would add a HEAD route of its own that never ends. */
  @Head('events')
  head(): never {
    throw GatewayError.of('MethodNotAllowed', { headers: { allow: 'GET' } });
  }

  @Get('events')
  events(
    @Query('ids') ids: string | string[] | undefined,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): void {
    const caller = callerOf(request);
    if (request.headers['last-event-id'] === LAST_EVENT_ID) {
      void reply.status(204).send();
      return;
    }
    const jobIds = jobIdsIn(ids);
    this.streams.admit(caller);
    this.streams.open(openEventStream(reply, CACHE_CONTROL), jobIds, caller, request.headers.authorization);
  }
}

/** Ids without duplicates, in lower case. */
function jobIdsIn(ids: string | string[] | undefined): string[] {
  const given = [ids ?? []].flat().join(',').split(',');
  const jobIds = [...new Set(given.map((id) => id.trim().toLowerCase()))].filter((id) => id !== '');
  if (jobIds.length === 0) throw invalid('ids must name at least one job: ids={id},{id}');
  if (jobIds.length > MOST_JOBS) throw invalid(`ids must name at most ${MOST_JOBS} jobs.`);
  if (!jobIds.every(isJobId)) throw invalid('ids must be UUIDs, separated by commas.');
  return jobIds;
}

function invalid(message: string): GatewayError {
  return GatewayError.of('InvalidRequest', { message, target: 'ids' });
}
