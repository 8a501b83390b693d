import { Controller, Get, Header, Inject } from '@nestjs/common';
import { Metrics } from './metrics.ts';

/** The metrics, for Prometheus. */
@Controller()
export class MetricsController {
  constructor(@Inject(Metrics) private readonly metrics: Metrics) {}

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  scrape(): Promise<string> {
    return this.metrics.registry.metrics();
  }
}
