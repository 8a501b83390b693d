const NAME = 'itwin-jobs-gateway-key';

/** Stores the key for this tab: sessionStorage is not shared with other tabs and ends with its own. */
export const keySession = {
  get key() {
    return sessionStorage.getItem(NAME) ?? undefined;
  },
  /** @param {string} key */
  keep(key) {
    sessionStorage.setItem(NAME, key);
  },
  forget() {
    sessionStorage.removeItem(NAME);
  },
};
