import { find, make, say } from './dom.js';
import { spanWords, timeWords } from './words.js';

/**
 * @typedef {import('./history.js').GatewayState} GatewayState
 * @typedef {'good' | 'warn' | 'bad' | 'calm'} Tone never alone: the words say the same
 * @typedef {{ name: string, value: string, more: string, tone: Tone }} Tile
 */

/** A closing that seems to move by less than this is the same one, in milliseconds: the clocks of two machines tell it. */
const SAME_CLOSING_MS = 1500;

const list = find('tiles', HTMLElement);
const banner = find('gate-banner', HTMLElement);
/** @type {Map<string, { tile: HTMLElement, value: HTMLElement, more: HTMLElement }>} */
const shown = new Map();
let closedUntil = 0;

/** @param {GatewayState} state */
export function showTiles(state) {
  showBanner(state.budget.closedMs);
  for (const tile of tilesOf(state)) showTile(tile);
}

/** @param {number} closedMs */
function showBanner(closedMs) {
  const until = Date.now() + closedMs;
  if (Math.abs(until - closedUntil) > SAME_CLOSING_MS) closedUntil = until;
  banner.hidden = closedMs === 0;
  const words = `Gate closed until ${timeWords(new Date(closedUntil))}. Upstream asked for a pause: nothing is sent until then, held copies are served.`;
  say(banner, closedMs === 0 ? '' : words);
}

/**
 * @param {GatewayState} state
 * @returns {Tile[]}
 */
function tilesOf({ budget, queue, circuit, token, redis, watchers, phase }) {
  /** @type {Tile[]} */
  const windows = budget.windows.map(({ name, remaining, limit }) => ({
    name: `Budget ${name}`,
    value: String(Math.floor(remaining)),
    more: `of ${limit} left`,
    tone: remaining < 1 ? 'warn' : 'calm',
  }));
  return [
    gateTile(budget.closedMs),
    ...windows,
    { name: 'Budget kept', ...modeWords(budget.mode) },
    {
      name: 'Queue',
      value: String(queue.waiting),
      more: `of ${queue.limit} places`,
      tone: queue.waiting < queue.limit ? 'calm' : 'bad',
    },
    { name: 'Upstream', ...circuitWords(circuit) },
    { name: 'Token', value: token, more: 'for upstream', tone: token === 'failing' ? 'bad' : 'good' },
    {
      name: 'Redis',
      value: redis,
      more: redis === 'not used' ? 'memory only' : 'shared store',
      tone: redis === 'ready' ? 'good' : redis === 'not used' ? 'calm' : 'warn',
    },
    { name: 'Process', value: phase, more: 'this replica', tone: phase === 'serving' ? 'good' : 'warn' },
    ...(watchers === undefined
      ? []
      : [
          {
            name: 'Watchers',
            value: String(watchers),
            more: 'event streams',
            tone: /** @type {Tone} */ ('calm'),
          },
        ]),
  ];
}

/**
 * @param {number} closedMs
 * @returns {Tile}
 */
function gateTile(closedMs) {
  if (closedMs === 0) return { name: 'Gate', value: 'open', more: 'calls may go', tone: 'good' };
  return { name: 'Gate', value: 'closed', more: `${spanWords(closedMs)} left`, tone: 'bad' };
}

/**
 * @param {GatewayState['budget']['mode']} mode
 * @returns {{ value: string, more: string, tone: Tone }}
 */
function modeWords(mode) {
  switch (mode) {
    case 'local':
      return { value: 'here', more: 'local', tone: 'calm' };
    case 'shared':
      return { value: 'in Redis', more: 'shared', tone: 'good' };
    case 'fallback':
      return { value: 'here, its part', more: 'fallback: Redis is away', tone: 'warn' };
  }
}

/**
 * @param {string} circuit
 * @returns {{ value: string, more: string, tone: Tone }}
 */
function circuitWords(circuit) {
  switch (circuit) {
    case 'closed':
      return { value: 'in use', more: 'circuit closed', tone: 'good' };
    case 'half-open':
      return { value: 'on trial', more: 'circuit half open', tone: 'warn' };
    default:
      return { value: 'given up', more: 'circuit open', tone: 'bad' };
  }
}

/** @param {Tile} tile */
function showTile({ name, value, more, tone }) {
  let parts = shown.get(name);
  if (!parts) {
    parts = { tile: make('div'), value: make('dd'), more: make('dd', { class: 'more' }) };
    parts.tile.append(make('dt', {}, name), parts.value, parts.more);
    list.append(parts.tile);
    shown.set(name, parts);
  }
  parts.tile.className = tone;
  say(parts.value, value);
  say(parts.more, more);
}
