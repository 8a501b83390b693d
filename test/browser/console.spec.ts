import { describe, expect, it } from '@jest/globals';
import { readJob } from '../support/reads.ts';
import { startGateway } from '../support/rig.ts';
import { shareChromium } from './chromium.ts';
import { callers, dashboard, enter, operator, serve, watch } from './served-console.ts';

const openPage = shareChromium();

describe('the board', () => {
  it('shows a job go from active to success, with its times, and then that there is nothing more to come', async () => {
    const { upstream, url } = await serve();
    const { id } = upstream.addJob({ name: 'A bridge', script: [{ state: 'active' }] });
    const { page, complaints } = await openPage();
    await enter(page, url, operator.key);
    await watch(page, `{"job":"${id.toUpperCase()}"}`);
    const row = page.getByRole('row', { name: 'A bridge' });
    await row.getByText('active', { exact: true }).waitFor();
    await page.getByText('Live: 1 job watched.').waitFor();
    const times = () => row.locator('time').count();
    expect(await times()).toBe(2);
    upstream.setState(id, 'success');
    await row.getByText('success', { exact: true }).waitFor();
    expect(await times()).toBe(3);
    await page.getByText('All done: 1 job, no more changes to come.').waitFor();
    expect(await page.locator('#board-change').textContent()).toBe('A bridge is success.');
    expect(complaints).toEqual([]);
  });

  it('is for any caller, says of each job what is wrong with it, and of a text that there is no id in it', async () => {
    const { url } = await serve();
    const { page } = await openPage();
    await enter(page, url, dashboard.key);
    await page.getByText('This key is not an operator’s').waitFor();
    expect(await page.getByRole('heading', { name: 'Gateway', exact: true }).isVisible()).toBe(false);
    await watch(page, 'no id');
    await page.getByText('No job id found').waitFor();
    await watch(page, '67403a67-0e4b-4c1d-9aad-63942e3fa808');
    await page.getByText('Requested job is not available.').waitFor();
    await page.getByText('not found', { exact: true }).waitFor();
  });

  it('goes on after its stream was lost, and knows its jobs when the page is loaded again', async () => {
    const { upstream, url, cut } = await serve();
    const { id } = upstream.addJob({ name: 'A quarry', script: [{ state: 'active' }] });
    const { page } = await openPage();
    await enter(page, url, operator.key);
    await watch(page, id);
    await page.getByText('active', { exact: true }).waitFor();
    cut();
    await page.getByText('the states shown may be old').waitFor();
    upstream.setState(id, 'failed');
    await page.getByText('failed', { exact: true }).waitFor();
    await page.reload();
    await page.getByRole('row', { name: 'A quarry' }).getByText('failed', { exact: true }).waitFor();
    await page.getByRole('button', { name: `Remove job ${id}` }).click();
    await page.getByRole('row', { name: 'A quarry' }).waitFor({ state: 'detached' });
  });
});

describe('the gateway’s state', () => {
  it('shows budget, queue and what reads were answered from, and a closed gate until when', async () => {
    const { upstream, gateway, url } = await serve({ PATIENCE: '100ms' });
    const { id } = upstream.addJob();
    for (let read = 0; read < 3; read++) await readJob(gateway, id);
    const { page, complaints } = await openPage();
    await enter(page, url, operator.key);
    await page.getByText('of 500 left').waitFor();
    await page.getByText('of 1000 places').waitFor();
    await page.getByText('calls allowed').waitFor();
    expect(await page.locator('figure canvas').count()).toBe(4);

    upstream.fault({ kind: 'too-many', retryAfter: '90' }, { times: 1 });
    await readJob(gateway, upstream.addJob().id);
    const banner = page.getByRole('alert').filter({ hasText: 'Gate closed until' });
    await banner.waitFor();
    const [, hours, minutes, seconds] =
      /until (\d+):(\d+):(\d+)\./.exec((await banner.textContent()) ?? '') ?? [];
    const until = new Date().setHours(Number(hours), Number(minutes), Number(seconds));
    expect(until - Date.now()).toBeGreaterThan(80_000);
    expect(until - Date.now()).toBeLessThan(91_000);
    await page.getByText(/^1 min \d\d s left$/).waitFor();
    await page.locator('#upstream-plot li:visible', { hasText: '429' }).waitFor();
    expect(complaints).toEqual([]);
  });

  it('says that the gateway is gone, and goes on when there is one again', async () => {
    const { upstream, gateway, url } = await serve();
    const { page } = await openPage();
    await enter(page, url, operator.key);
    await page.getByText('Live', { exact: true }).waitFor();
    await gateway.stop();
    await page.getByText('Trying again in').waitFor();
    await startGateway({ upstream, callers, env: { PORT: new URL(gateway.url).port } });
    await page.getByText('Live', { exact: true }).waitFor();
  });
});

describe('the key', () => {
  it('is told to be wrong in words, kept for the tab alone, and forgotten on demand', async () => {
    const { url } = await serve();
    const { page } = await openPage();
    await enter(page, url, 'not-a-key');
    await page.getByText('The gateway does not accept this key').waitFor();
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
    await enter(page, url, operator.key);
    await page.getByText('Live', { exact: true }).waitFor();
    expect(await page.evaluate('[localStorage.length, document.cookie]')).toEqual([0, '']);
    await page.reload();
    await page.getByText('Live', { exact: true }).waitFor();
    const other = await page.context().newPage();
    await other.goto(`${url}/console`);
    await other.getByLabel('The key of a caller').waitFor();
    await page.getByRole('button', { name: 'Forget the key' }).click();
    await page.getByLabel('The key of a caller').waitFor();
    expect(await page.evaluate("Object.values(sessionStorage).join('')")).toBe('');
  });

  it('opens everything to the keyboard alone, and the focus can be seen', async () => {
    const { upstream, url } = await serve();
    const { id } = upstream.addJob({ name: 'A tower' });
    const { page, complaints } = await openPage();
    await page.goto(`${url}/console`);
    await page.keyboard.type(operator.key);
    await page.keyboard.press('Enter');
    await page.getByLabel('Job ids').waitFor();
    await page.keyboard.type(id);
    for (const name of ['Watch', 'Clear', `Remove job ${id}`]) {
      await page.keyboard.press('Tab');
      await page.getByRole('button', { name }).and(page.locator(':focus-visible')).waitFor();
      expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
      if (name !== 'Watch') continue;
      await page.keyboard.press('Enter');
      await page.getByRole('row', { name: 'A tower' }).waitFor();
    }
    await page.keyboard.press('Enter');
    await page.getByRole('row', { name: 'A tower' }).waitFor({ state: 'detached' });
    expect(complaints).toEqual([]);
  });
});
