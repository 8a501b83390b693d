/**
 * Sends are stored in blocks of consecutive sends of one replica, so that no window has more than a few thousand
 * entries. A block counts in full from its first send until its last one leaves the window. That overcounts by less
 * than one block per replica, a thousandth of the limit, and never undercounts. Windows of up to 4000 calls are exact.
 */
export const BLOCK_SIZES = [1, 4, 16, 64, 256] as const;

const MAX_BLOCKS_PER_WINDOW = 4000;

/** Index in `BLOCK_SIZES` of the size that a window with this limit uses. */
export function blockSizeIndex(limit: number): number {
  const index = BLOCK_SIZES.findIndex((size) => limit <= MAX_BLOCKS_PER_WINDOW * size);
  return index < 0 ? BLOCK_SIZES.length - 1 : index;
}

/** The block of one size that contains a send (send-names.ts). */
export function blockOf(replica: string, send: string, size: number): string {
  if (size === 0) return `${replica}:${send}`;
  return `${replica}:${Math.floor(Number.parseInt(send, 10) / (BLOCK_SIZES[size] ?? 1))}`;
}

/** Converts a block to another size: the larger block that contains it, or all smaller blocks that it contains. */
export function convertBlock(id: string, from: number, to: number): string[] {
  const [replica = '', number = ''] = id.split(':');
  const [fromSize, toSize] = [BLOCK_SIZES[from] ?? 1, BLOCK_SIZES[to] ?? 1];
  const first = Math.floor((Number.parseInt(number, 10) * fromSize) / toSize);
  return Array.from({ length: Math.max(1, fromSize / toSize) }, (_, index) => `${replica}:${first + index}`);
}
