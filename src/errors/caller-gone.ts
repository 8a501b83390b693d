/** The caller closed its connection before it was answered: there is nobody to send an error to. */
export class CallerGone extends Error {
  override readonly name = 'CallerGone';
  constructor() {
    super('the caller has gone');
  }
}
