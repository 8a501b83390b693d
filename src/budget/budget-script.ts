import { readFileSync } from 'node:fs';

/** The script of the shared budget. Its parts are one chunk: a part sees the locals of those before it. */
export const budgetScript = ['state', 'windows', 'operations']
  .map((part) => readFileSync(new URL(`script/${part}.lua`, import.meta.url), 'utf8'))
  .join('\n');
