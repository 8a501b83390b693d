import { Board } from './board.js';
import { find, say } from './dom.js';
import { Refusal } from './follow.js';
import { followGateway } from './gateway.js';
import { keyForm } from './key-form.js';
import { keySession } from './key-session.js';
import { spanWords } from './words.js';

const asksForKey = document.documentElement.dataset['asksForKey'] !== 'no';
const connection = find('connection', HTMLElement);
const forget = find('forget', HTMLButtonElement);
const board = new Board((refusal) => leave(refused(refusal)));
let session = new AbortController();

keyForm.onKey((key) => void open(key, true));
forget.addEventListener('click', () => {
  board.clear();
  leave('');
  say(connection, 'The key was removed from this tab.');
});
const kept = asksForKey ? keySession.key : '';
if (kept === undefined) keyForm.ask();
else void open(kept);

/**
 * Enters with a key. The response of the state stream tells whether the key is valid, and whether it is an operator's.
 * @param {string} key
 * @param {boolean} [typed] whether it was typed just now: the focus then moves on
 */
async function open(key, typed = false) {
  session.abort();
  session = new AbortController();
  const { signal } = session;
  const accepted = once(() => {
    enter(key);
    if (typed) find('board-ids', HTMLElement).focus();
  });
  say(connection, 'Connecting …');
  try {
    await followGateway({
      key,
      signal,
      onOpen: () => {
        accepted();
        say(connection, 'Live');
      },
      onBreak: (reason, waitMs) => say(connection, `${reason}. Trying again in ${spanWords(waitMs)}.`),
    });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    if (error.status !== 403) return leave(refused(error));
    accepted();
    find('gateway', HTMLElement).hidden = true;
    find('not-operator', HTMLElement).hidden = false;
    say(connection, '');
  }
}

/** @param {string} key */
function enter(key) {
  if (asksForKey) keySession.keep(key);
  keyForm.hide();
  forget.hidden = !asksForKey;
  find('not-operator', HTMLElement).hidden = true;
  board.open(key);
}

/** @param {string} why shown in the form; empty when the user left */
function leave(why) {
  session.abort();
  keySession.forget();
  board.close();
  for (const id of ['gateway', 'not-operator']) find(id, HTMLElement).hidden = true;
  forget.hidden = true;
  say(connection, '');
  keyForm.ask(why);
}

/** @param {Refusal} refusal */
function refused({ status, message }) {
  return status === 401 ? 'The gateway does not accept this key (any more).' : message;
}

/** @param {() => void} act */
function once(act) {
  let done = false;
  return () => {
    if (!done) act();
    done = true;
  };
}
