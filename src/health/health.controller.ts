import { Controller, Get, Inject, ServiceUnavailableException, UseFilters } from '@nestjs/common';
import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import type { FastifyReply } from 'fastify';
import { Lifecycle } from '../lifecycle.ts';
import { PARTS, type Parts } from './parts.ts';

/** Health documents are terminus' own, also when they say 503 (docs/CONTRACT.md, section 4). */
@Catch(ServiceUnavailableException)
class HealthDocumentFilter implements ExceptionFilter {
  catch(thrown: ServiceUnavailableException, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    void reply.status(503).header('cache-control', 'no-store').send(thrown.getResponse());
  }
}

/** For the platform. Nothing here calls upstream, nor waits for anything. */
@Controller('health')
@UseFilters(HealthDocumentFilter)
export class HealthController {
  constructor(
    @Inject(HealthCheckService) private readonly health: HealthCheckService,
    @Inject(HealthIndicatorService) private readonly indicator: HealthIndicatorService,
    @Inject(Lifecycle) private readonly lifecycle: Lifecycle,
    @Inject(PARTS) private readonly parts: Parts,
  ) {}

  /** Whether the process turns. It checks nothing else: no restart of this process would mend another. */
  @Get('live')
  live() {
    return this.health.check([]);
  }

  /** Whether requests should come here. A part that the gateway can do without is degraded, never a reason to send none. */
  @Get('ready')
  ready() {
    return this.health.check([
      () => this.#process(),
      () => this.#part('upstream', this.parts.upstream()),
      () => this.#part('token', this.parts.token()),
      () => this.#part('redis', this.parts.redis()),
      () => this.#part('queue', this.parts.queue()),
      () => this.#part('gate', this.parts.gate()),
      () => this.#part('budget', this.parts.budget()),
    ]);
  }

  #process() {
    const { phase } = this.lifecycle;
    const process = this.indicator.check('gateway');
    return phase === 'serving' ? process.up({ phase }) : process.down({ phase });
  }

  #part(name: string, { well, details }: ReturnType<Parts[keyof Parts]>) {
    const part = this.indicator.check(name);
    return well ? part.up(details) : part.degraded(details);
  }
}
