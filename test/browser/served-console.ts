import type { Page } from 'playwright-core';
import type { FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { type Gateway, type GatewayOptions, testCaller, testOperator } from '../support/gateway.ts';
import { atEnd, startUpstream, startGateway } from '../support/rig.ts';
import { cableTo } from './cable.ts';

export const operator = testOperator('operator');
export const dashboard = testCaller('dashboard');
export const callers = [operator, dashboard];

/** What is behind a console: `url` is where a browser finds it. */
interface Served {
  readonly upstream: FakeUpstream;
  readonly gateway: Gateway;
  readonly url: string;
  /** Breaks off all that runs between the browser and the gateway. */
  readonly cut: () => void;
}

export async function serve(env: GatewayOptions['env'] = {}): Promise<Served> {
  const upstream = await startUpstream({ limits: [{ limit: 500, windowMs: 60_000 }] });
  const gateway = await startGateway({
    upstream,
    callers,
    env: { UPSTREAM_LIMITS: '500/1m,5000/1h', ACTIVE_FRESH: '300ms', ...env },
  });
  const cable = await cableTo(gateway.url);
  atEnd(() => cable.stop());
  return { upstream, gateway, url: cable.url, cut: () => cable.cut() };
}

export async function enter(page: Page, url: string, key: string): Promise<void> {
  await page.goto(`${url}/console`);
  await page.getByLabel('The key of a caller').fill(key);
  await page.getByRole('button', { name: 'Open' }).click();
}

export async function watch(page: Page, text: string): Promise<void> {
  await page.getByLabel('Job ids').fill(text);
  await page.getByRole('button', { name: 'Watch' }).click();
}
