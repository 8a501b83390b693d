import { afterAll, afterEach, beforeAll } from '@jest/globals';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A page that a test has opened, and whatever its browser has complained of. */
export interface OpenPage {
  readonly page: Page;
  /** Errors and warnings of its console, and errors that nobody caught. */
  readonly complaints: string[];
}

/** One Chromium for the tests of a file; each page has a context of its own, closed at the test's end. */
export function shareChromium(): (options?: BrowserContextOptions) => Promise<OpenPage> {
  let browser: Browser;
  beforeAll(async () => {
    // Where the machine has its browser.
    const { CHROMIUM_PATH: executablePath = '/usr/bin/chromium' } = process.env;
    browser = await chromium.launch({ executablePath, args: ARGS });
  });
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
  });
  afterAll(() => browser.close());
  return async (options = {}) => {
    const context = await browser.newContext({ locale: 'en-GB', ...options });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    return { page, complaints };
  };
}
