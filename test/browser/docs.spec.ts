import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { shareChromium } from './chromium.ts';
import { serve } from './served-console.ts';

const openPage = shareChromium();
/** Folder for pictures, for whoever works on the looks. */
const LOOKS = process.env['LOOKS_FOLDER'];

interface Document {
  readonly paths: Record<string, Record<string, unknown>>;
  readonly components: { readonly schemas: object };
}

describe('the page to read the API on', () => {
  it('shows every route and every model of the description, and where each is found', async () => {
    const { url } = await serve();
    const { page, complaints } = await openPage();
    const described = (await (await fetch(`${url}/openapi.json`)).json()) as Document;
    await page.goto(`${url}/docs`);
    await page.locator('main:not([aria-busy])').waitFor();
    const routes = Object.entries(described.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => method.toUpperCase() + path),
    );
    const shown = await page.locator('article:not([id^=model-]) h3').allTextContents();
    expect(shown.sort()).toEqual(routes.sort());
    const models = await page.locator('article[id^=model-] h3').allTextContents();
    expect(models).toEqual(Object.keys(described.components.schemas));
    const dead = await page.evaluate(
      '[...document.querySelectorAll(\'a[href^="#"]\')].filter((a) => !document.getElementById(a.hash.slice(1))).map((a) => a.hash)',
    );
    expect(dead).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('opens an answer with the keyboard alone, and the focus can be seen', async () => {
    const { url } = await serve();
    const { page, complaints } = await openPage();
    await page.goto(`${url}/docs`);
    const answer = page.locator('#getJob summary', { hasText: '429' });
    await answer.focus();
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    await page.keyboard.press('Enter');
    await page.locator('#getJob').getByText('a forecast, never earlier').first().waitFor();
    await page.locator('#getJob').getByText('"TooManyRequests"').waitFor();
    await page.getByRole('link', { name: 'ExecutionInformation' }).first().click();
    await page.getByRole('heading', { name: 'ExecutionInformation' }).waitFor();
    expect(complaints).toEqual([]);
  });

  it('fits a phone and a desk, in light and in dark, with all of it open', async () => {
    const { url } = await serve();
    const { page, complaints } = await openPage();
    for (const [look, width, colorScheme] of [
      ['docs', 1240, 'light'],
      ['docs-dark', 1240, 'dark'],
      ['docs-phone', 390, 'light'],
      ['docs-narrowest', 320, 'dark'],
    ] as const) {
      await page.setViewportSize({ width, height: 844 });
      await page.emulateMedia({ colorScheme });
      await page.goto(`${url}/docs`);
      await page.locator('main:not([aria-busy])').waitFor();
      await page.evaluate(
        "document.querySelectorAll('#getJob details').forEach((each) => (each.open = true))",
      );
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      if (LOOKS) writeFileSync(join(LOOKS, `${look}.png`), await page.screenshot());
    }
    expect(complaints).toEqual([]);
  });
});
