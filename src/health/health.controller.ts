import { Controller, Get, Inject, ServiceUnavailableException, UseFilters } from '@nestjs/common';
import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import type { FastifyReply } from 'fastify';
import { GatewayStatus } from '../status.ts';

/** Health documents are terminus' own, also those of a 503 (docs/CONTRACT.md, section 4). */
@Catch(ServiceUnavailableException)
class HealthDocumentFilter implements ExceptionFilter {
  catch(thrown: ServiceUnavailableException, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    void reply.status(503).header('cache-control', 'no-store').send(thrown.getResponse());
  }
}

/** Probes for the platform. They call nothing and wait for nothing. */
@Controller('health')
@UseFilters(HealthDocumentFilter)
export class HealthController {
  constructor(
    @Inject(HealthCheckService) private readonly health: HealthCheckService,
    @Inject(HealthIndicatorService) private readonly indicator: HealthIndicatorService,
    @Inject(GatewayStatus) private readonly status: GatewayStatus,
  ) {}

  /** Whether the event loop turns. It checks nothing else: a restart of this process would mend nothing else. */
  @Get('live')
  live() {
    return this.health.check([]);
  }

  /**
   * Whether requests should come here. A part that the gateway can do without is degraded, which takes no traffic away.
   */
  @Get('ready')
  ready() {
    const { phase, circuit, token, redis, queue, budget } = this.status.read();
    const isRedisUp = redis.pubsub === undefined || (redis.state === 'ready' && redis.pubsub === 'up');
    const closedSeconds = Math.ceil(budget.closedMs / 1000);
    return this.health.check([
      () => {
        const gateway = this.indicator.check('gateway');
        return phase === 'serving' ? gateway.up({ phase }) : gateway.down({ phase });
      },
      () => this.#part('upstream', circuit === 'closed', { state: circuit }),
      () => this.#part('token', token !== 'failing', { state: token }),
      () => this.#part('redis', isRedisUp, { ...redis }),
      () => this.#part('queue', queue.waiting < queue.limit, { ...queue }),
      () => this.#part('gate', closedSeconds === 0, { closedSeconds }),
      () => this.#part('budget', budget.mode !== 'fallback', { mode: budget.mode }),
    ]);
  }

  #part(name: string, isUp: boolean, details: Record<string, unknown>) {
    const part = this.indicator.check(name);
    return isUp ? part.up(details) : part.degraded(details);
  }
}
