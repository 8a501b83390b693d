import { readFileSync } from 'node:fs';

/** The Lua script of the shared budget. Its files form one chunk: each sees the locals of the files before it. */
export const budgetScript = ['state', 'windows', 'operations']
  .map((part) => readFileSync(new URL(`script/${part}.lua`, import.meta.url), 'utf8'))
  .join('\n');
