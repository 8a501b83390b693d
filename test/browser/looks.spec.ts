import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { jobIds, readJob } from '../support/reads.ts';
import { atEnd } from '../support/rig.ts';
import { shareChromium } from './chromium.ts';
import { enter, operator, serve, watch } from './served-console.ts';

const openPage = shareChromium();
/** The README's picture is written only when that is asked for, so that a checkout stays as it is. */
const UPDATE = process.env['UPDATE_SCREENSHOT'] !== undefined;
const PICTURE = join(import.meta.dirname, '../../docs/console.png');
/** Long enough for plots with something in them. */
const SHOWN_FOR_MS = UPDATE ? 75_000 : 4000;
/** Folder for pictures of all looks, for whoever works on them. */
const LOOKS = process.env['LOOKS_FOLDER'];

const NAMES = ['Harbour bridge', 'Quarry east, weekly', 'Town hall roof', 'Dam, crest and spillway'];

type Served = Awaited<ReturnType<typeof serve>>;

/** Readers of some running jobs, and now and then of one that nobody has read. */
function readSteadily({ upstream, gateway }: Served, ids: readonly string[]): void {
  let [running, step] = [true, 0];
  const pollers = Array.from({ length: 14 }, async () => {
    while (running) {
      step++;
      const busy = 1 + Math.sin(step / 60);
      const id =
        step % 8 === 0 ? upstream.addJob().id : step % 97 === 0 ? jobIds(1)[0]! : ids[step % ids.length]!;
      await readJob(gateway, id);
      await delay(900 / (0.4 + busy));
    }
  });
  atEnd(async () => {
    running = false;
    await Promise.allSettled(pollers);
  });
}

describe('the page', () => {
  it('fits a phone and a desk, in light and in dark, with all that it can show', async () => {
    const served = await serve({ UPSTREAM_LIMITS: '500/1m,5000/1h', PATIENCE: '10s', ACTIVE_FRESH: '2s' });
    const { upstream } = served;
    const ids = NAMES.map((name, index) => {
      const script = [{ state: 'active', forMs: SHOWN_FOR_MS / 2 + index * 1e6 }, { state: 'success' }];
      return upstream.addJob({ name, script }).id;
    });
    readSteadily(served, ids);
    const { page, complaints } = await openPage({ viewport: { width: 1240, height: 1000 } });
    await enter(page, served.url, operator.key);
    await watch(page, [...ids, upstream.addJob({ name: 'Mast, north', state: 'failed' }).id].join('\n'));
    await page.getByRole('row').nth(5).waitFor();
    await delay(SHOWN_FOR_MS * 0.55);
    upstream.fault({ kind: 'too-many', retryAfter: UPDATE ? '9' : '1' }, { times: 1 });
    await delay(SHOWN_FOR_MS * 0.45);
    const picture = await page.screenshot({ fullPage: true });
    if (UPDATE) writeFileSync(PICTURE, picture);
    if (LOOKS) writeFileSync(join(LOOKS, 'light.png'), picture);

    for (const [look, width, colorScheme] of [
      ['dark', 1240, 'dark'],
      ['phone', 390, 'light'],
      ['phone-dark', 390, 'dark'],
      ['narrowest', 320, 'light'],
    ] as const) {
      await page.setViewportSize({ width, height: 844 });
      await page.emulateMedia({ colorScheme });
      await page.locator('#queue-plot canvas').waitFor();
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      if (LOOKS) writeFileSync(join(LOOKS, `${look}.png`), await page.screenshot({ fullPage: true }));
    }
    expect(complaints).toEqual([]);
  }, 150_000);
});
