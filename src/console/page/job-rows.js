import { find, make, say } from './dom.js';
import { apiDate, spanWords, timeWords } from './words.js';

/** @type {Record<string, string>} */
const TONES = { success: 'good', failed: 'bad', cancelled: 'warn', active: 'busy' };
const COLUMNS = ['Name', 'State', 'Age', 'Created', 'Started', 'Ended', 'Id'];

const table = find('jobs', HTMLTableElement);
const [body] = table.tBodies;

/**
 * @typedef {object} Job the fields that are shown; all come from upstream and may be missing
 * @property {string} id
 * @property {unknown} [name]
 * @property {unknown} [state]
 * @property {unknown} [createdDateTime]
 * @property {{ startedDateTime?: unknown, endedDateTime?: unknown } | null} [executionInformation]
 */

/** A job's row on the board. */
export class JobRow {
  #cells = COLUMNS.map((label) => make('td', { role: 'cell', 'data-label': label }));
  #name = make('span', { class: 'name' });
  #fault = make('span', { class: 'error' });
  #row = make('tr', { role: 'row' });
  #updatedAt = 0;
  state = '';

  /**
   * @param {string} id
   * @param {(id: string) => void} onRemove
   */
  constructor(id, onRemove) {
    this.id = id;
    const remove = make('button', { type: 'button', class: 'remove', 'aria-label': `Remove job ${id}` }, '×');
    remove.addEventListener('click', () => onRemove(id));
    this.#row.append(...this.#cells, make('td', { role: 'cell', class: 'tools' }, remove));
    this.#cell('Name').append(this.#name, this.#fault);
    this.#cell('Id').append(make('code', {}, id));
    say(this.#name, '…');
    this.#showState('waiting', 'calm');
    body?.append(this.#row);
  }

  /** @param {Job} job */
  show(job) {
    this.#updatedAt = Date.now();
    this.state = String(job.state ?? 'unknown');
    say(this.#name, String(job.name ?? 'no name'));
    say(this.#fault, '');
    this.#showState(this.state, TONES[this.state.toLowerCase()] ?? 'calm');
    this.#showTime('Created', job.createdDateTime);
    this.#showTime('Started', job.executionInformation?.startedDateTime);
    this.#showTime('Ended', job.executionInformation?.endedDateTime);
    this.showAge();
  }

  /**
   * @param {string} code
   * @param {string} message
   */
  fail(code, message) {
    this.#updatedAt = Date.now();
    if (this.#name.textContent === '…') say(this.#name, 'unknown');
    say(this.#fault, message);
    // A job keeps the state that was seen: the read has failed, not the job.
    if (code === 'JobNotFound' || this.state === '')
      this.#showState(code === 'JobNotFound' ? 'not found' : 'error', 'bad');
    this.showAge();
  }

  showAge() {
    say(this.#cell('Age'), this.#updatedAt === 0 ? '–' : spanWords(Date.now() - this.#updatedAt));
  }

  get name() {
    return this.#name.textContent;
  }

  remove() {
    this.#row.remove();
  }

  /**
   * @param {string} state
   * @param {string} tone
   */
  #showState(state, tone) {
    this.#cell('State').replaceChildren(make('span', { class: `badge ${tone}` }, state));
  }

  /**
   * @param {string} column
   * @param {unknown} text
   */
  #showTime(column, text) {
    const date = apiDate(text);
    const time =
      date && make('time', { datetime: date.toISOString(), title: date.toISOString() }, timeWords(date));
    this.#cell(column).replaceChildren(time ?? '–');
  }

  /** @param {string} label */
  #cell(label) {
    const cell = this.#cells[COLUMNS.indexOf(label)];
    if (!cell) throw new Error(`the board has no column ${label}`);
    return cell;
  }
}

/** @param {boolean} hasRows */
export function showTable(hasRows) {
  table.hidden = !hasRows;
}
