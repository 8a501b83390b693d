const NAME = 'itwin-jobs-gateway-key';

/** The key, kept by this tab alone: sessionStorage is shared with no other and ends with it. */
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
