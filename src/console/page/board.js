import { find, say } from './dom.js';
import { follow, Refusal } from './follow.js';
import { JobRow, showTable } from './job-rows.js';
import { countWords, spanWords } from './words.js';

const NAME = 'itwin-jobs-gateway-board';
/** The most jobs of one stream (docs/CONTRACT.md, section 5). */
const MOST = 100;
/** A stream without a byte for so long is taken for broken. A comment comes every 15 s. */
const SILENCE_MS = 45_000;
const UUID = /[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/gi;

const section = find('board', HTMLElement);
const form = find('board-form', HTMLFormElement);
const input = find('board-ids', HTMLTextAreaElement);
const formStatus = find('board-status', HTMLElement);
const streamStatus = find('board-stream', HTMLElement);
const latestChange = find('board-change', HTMLElement);

/** The list of watched jobs, updated by an event stream. */
export class Board {
  /** @type {Map<string, JobRow>} */
  #rows = new Map();
  #key = '';
  #following = new AbortController();

  /** @param {(refusal: Refusal) => void} onKeyRefused */
  constructor(onKeyRefused) {
    this.onKeyRefused = onKeyRefused;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#add(input.value);
    });
    find('board-clear', HTMLButtonElement).addEventListener('click', () => {
      this.clear();
      say(formStatus, 'The board is empty.');
      input.focus();
    });
    setInterval(() => this.#rows.forEach((row) => row.showAge()), 1000);
  }

  /**
   * Shows the board with the jobs that were on it before a reload.
   * @param {string} key
   */
  open(key) {
    this.#key = key;
    section.hidden = false;
    this.#put(sessionStorage.getItem(NAME)?.match(UUID) ?? []);
  }

  /** Hides the board. The tab keeps its jobs for the next key. */
  close() {
    this.#following.abort();
    this.#empty();
    say(formStatus, '');
    section.hidden = true;
  }

  clear() {
    this.#empty();
    this.#changed();
  }

  /** @param {string} text */
  #add(text) {
    const ids = new Set(text.match(UUID)?.map((id) => id.toLowerCase()));
    const added = [...ids].filter((id) => !this.#rows.has(id));
    const room = MOST - this.#rows.size;
    if (ids.size === 0)
      return say(formStatus, 'No job id found. An id looks like 67403a67-0e4b-4c1d-9aad-63942e3fa808.');
    input.value = '';
    say(formStatus, addedWords(ids.size, added.length, room));
    this.#put(added.slice(0, room));
  }

  /** @param {string[]} ids */
  #put(ids) {
    for (const id of ids) this.#rows.set(id, new JobRow(id, (removed) => this.#remove(removed)));
    if (ids.length > 0) this.#changed();
  }

  /** @param {string} id */
  #remove(id) {
    this.#rows.get(id)?.remove();
    this.#rows.delete(id);
    // The removed button had the focus.
    input.focus();
    this.#changed();
  }

  #empty() {
    for (const row of this.#rows.values()) row.remove();
    this.#rows.clear();
  }

  /** Opens one stream for all jobs on the board. */
  #changed() {
    this.#following.abort();
    this.#following = new AbortController();
    showTable(this.#rows.size > 0);
    sessionStorage.setItem(NAME, [...this.#rows.keys()].join(','));
    say(streamStatus, '');
    if (this.#rows.size > 0) void this.#follow(this.#following.signal);
  }

  /** @param {AbortSignal} signal */
  async #follow(signal) {
    const url = new URL('../contextcapture/jobs/events', import.meta.url);
    url.searchParams.set('ids', [...this.#rows.keys()].join(','));
    const watched = countWords(this.#rows.size, 'job');
    try {
      await follow(url, {
        key: this.#key,
        signal,
        silenceMs: SILENCE_MS,
        onOpen: () => say(streamStatus, `Live: ${watched} watched.`),
        onBreak: (reason, waitMs) =>
          say(streamStatus, `${reason}. Trying again in ${spanWords(waitMs)}; the states shown may be old.`),
        onEvent: (event) => this.#take(event),
      });
      say(streamStatus, `All done: ${watched}, no more changes to come.`);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refusal && error.status === 401) return this.onKeyRefused(error);
      say(streamStatus, `The jobs cannot be watched: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @param {import('./event-parser.js').ServerEvent} event */
  #take({ type, data }) {
    const document = JSON.parse(data);
    const row = this.#rows.get(String(document.job?.id ?? document.id).toLowerCase());
    if (type === 'job' && row) {
      const before = row.state;
      row.show(document.job);
      if (before !== row.state) say(latestChange, `${row.name} is ${row.state}.`);
    }
    if (type === 'job-error' && row) row.fail(document.error.code, document.error.message);
  }
}

/**
 * @param {number} found
 * @param {number} added
 * @param {number} room
 */
function addedWords(found, added, room) {
  if (added > room)
    return `${countWords(room, 'job')} added; the board holds ${MOST}, so ${added - room} were left out.`;
  const known = found - added;
  return `${countWords(added, 'job')} added${known > 0 ? `, ${known} on the board already` : ''}.`;
}
