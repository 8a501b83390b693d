import { find } from './dom.js';
import { follow } from './follow.js';
import { showPlots } from './gateway-plots.js';
import { showTiles } from './gateway-tiles.js';
import { History } from './history.js';

/** A stream without events for so long is taken for broken. A state comes every second. */
const SILENCE_MS = 10_000;
const history = new History();

/**
 * Shows the gateway's state for as long as the key has permission.
 * @param {{ key: string, signal: AbortSignal, onOpen: () => void, onBreak: (reason: string, waitMs: number) => void }}
 * options
 */
export function followGateway({ key, signal, onOpen, onBreak }) {
  return follow(new URL('events', import.meta.url), {
    key,
    signal,
    silenceMs: SILENCE_MS,
    onOpen: () => {
      find('gateway', HTMLElement).hidden = false;
      onOpen();
    },
    onBreak: (reason, waitMs) => {
      history.breakOff();
      onBreak(reason, waitMs);
    },
    onEvent: ({ type, data }) => {
      if (type !== 'state') return;
      /** @type {import('./history.js').ConsoleState} */
      const state = JSON.parse(data);
      history.add(state);
      showTiles(state);
      showPlots(history.samples);
    },
  });
}
