import { find, say } from './dom.js';

/** What can stand in an Authorization header (RFC 6750 section 2.1). */
const USABLE = /^[\w.~+/-]+=*$/;

const section = find('key', HTMLElement);
const form = find('key-form', HTMLFormElement);
const input = find('key-input', HTMLInputElement);
const error = find('key-error', HTMLElement);

/** The form that asks for a key. */
export const keyForm = {
  /** @param {string} [why] what was wrong with the one before */
  ask(why = '') {
    section.hidden = false;
    input.value = '';
    tell(why);
    input.focus();
  },
  hide() {
    section.hidden = true;
    input.value = '';
    tell('');
  },
  /** @param {(key: string) => void} take */
  onKey(take) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (USABLE.test(key)) take(key);
      else tell('This cannot be a key: it holds characters that no key has.');
    });
  },
};

/** @param {string} why */
function tell(why) {
  say(error, why);
  input.setAttribute('aria-invalid', String(why !== ''));
}
