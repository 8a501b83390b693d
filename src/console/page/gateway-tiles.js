import { find, make, say } from './dom.js';
import { spanWords, timeWords } from './words.js';

/**
 * @typedef {import('./history.js').ConsoleState} ConsoleState
 * @typedef {'good' | 'warn' | 'bad' | 'calm'} Tone a colour, never the only carrier of its meaning
 * @typedef {{ name: string, value: string, more: string, tone: Tone }} Tile
 */

/** Ends of a closing that differ by less count as equal, in milliseconds: they are computed with two clocks. */
const END_TOLERANCE_MS = 1500;

const list = find('tiles', HTMLElement);
const banner = find('gate-banner', HTMLElement);
/** @type {Map<string, { tile: HTMLElement, value: HTMLElement, more: HTMLElement }>} */
const shown = new Map();
let closedUntil = 0;

/** @param {ConsoleState} state */
export function showTiles(state) {
  showBanner(state.budget.closedMs);
  for (const tile of tilesOf(state)) showTile(tile);
}

/** @param {number} closedMs */
function showBanner(closedMs) {
  const until = Date.now() + closedMs;
  if (Math.abs(until - closedUntil) > END_TOLERANCE_MS) closedUntil = until;
  banner.hidden = closedMs === 0;
  const words = `Gate closed until ${timeWords(new Date(closedUntil))}. Upstream asked for a pause: no calls are sent until then, cached copies are served.`;
  say(banner, closedMs === 0 ? '' : words);
}

/**
 * @param {ConsoleState} state
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
    { name: 'Budget mode', ...modeWords(budget.mode) },
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
    { name: 'Watchers', value: String(watchers), more: 'event streams', tone: 'calm' },
  ];
}

/**
 * @param {number} closedMs
 * @returns {Tile}
 */
function gateTile(closedMs) {
  if (closedMs === 0) return { name: 'Gate', value: 'open', more: 'calls allowed', tone: 'good' };
  return { name: 'Gate', value: 'closed', more: `${spanWords(closedMs)} left`, tone: 'bad' };
}

/**
 * @param {ConsoleState['budget']['mode']} mode
 * @returns {{ value: string, more: string, tone: Tone }}
 */
function modeWords(mode) {
  switch (mode) {
    case 'local':
      return { value: 'local', more: 'in this process', tone: 'calm' };
    case 'shared':
      return { value: 'shared', more: 'in Redis', tone: 'good' };
    case 'fallback':
      return { value: 'fallback', more: 'local share, Redis unavailable', tone: 'warn' };
  }
}

/**
 * @param {string} circuit
 * @returns {{ value: string, more: string, tone: Tone }}
 */
function circuitWords(circuit) {
  switch (circuit) {
    case 'closed':
      return { value: 'available', more: 'circuit closed', tone: 'good' };
    case 'half-open':
      return { value: 'on trial', more: 'circuit half-open', tone: 'warn' };
    default:
      return { value: 'unavailable', more: 'circuit open', tone: 'bad' };
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
