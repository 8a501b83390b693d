/**
 * Sends are remembered in blocks of consecutive sends of one replica, so that no window has more than a few thousand entries,
 * however large its limit. A block counts as a whole from its first send on, and until its last one leaves: too high by less than
 * one block for each replica, a thousandth of the limit, never too low. Windows of up to 4000 calls are exact.
 */
export const BLOCK_SIZES = [1, 4, 16, 64, 256] as const;

/** Most full blocks of one window. */
const MOST_BLOCKS = 4000;

/** Which of the sizes, counted from 0, a window with this limit is remembered in. */
export function blockSizeIndex(limit: number): number {
  const index = BLOCK_SIZES.findIndex((size) => limit <= MOST_BLOCKS * size);
  return index < 0 ? BLOCK_SIZES.length - 1 : index;
}

/** The block of one size that holds a send of this name (send-names.ts). */
export function blockOf(replica: string, send: string, size: number): string {
  if (size === 0) return `${replica}:${send}`;
  return `${replica}:${Math.floor(Number.parseInt(send, 10) / (BLOCK_SIZES[size] ?? 1))}`;
}

/** Where a block of one size lies in another: the block that holds it, or all that it holds. */
export function convertBlock(id: string, from: number, to: number): string[] {
  const [replica = '', number = ''] = id.split(':');
  const [fromSize, toSize] = [BLOCK_SIZES[from] ?? 1, BLOCK_SIZES[to] ?? 1];
  const first = Math.floor((Number.parseInt(number, 10) * fromSize) / toSize);
  return Array.from({ length: Math.max(1, fromSize / toSize) }, (_, index) => `${replica}:${first + index}`);
}
