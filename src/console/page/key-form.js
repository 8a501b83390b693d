import { find, say } from './dom.js';

/** The characters of a bearer token (RFC 6750 section 2.1). */
const TOKEN = /^[\w.~+/-]+=*$/;

const section = find('key', HTMLElement);
const form = find('key-form', HTMLFormElement);
const input = find('key-input', HTMLInputElement);
const error = find('key-error', HTMLElement);

/** The form that asks for a key. */
export const keyForm = {
  /** @param {string} [why] the fault of the previous key */
  ask(why = '') {
    section.hidden = false;
    input.value = '';
    showError(why);
    input.focus();
  },
  hide() {
    section.hidden = true;
    input.value = '';
    showError('');
  },
  /** @param {(key: string) => void} take */
  onKey(take) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (TOKEN.test(key)) take(key);
      else showError('This is not a key: it has characters that keys cannot have.');
    });
  },
};

/** @param {string} why */
function showError(why) {
  say(error, why);
  input.setAttribute('aria-invalid', String(why !== ''));
}
