/** The caller went away before its answer was there: nobody is left to be told anything. */
export class CallerGone extends Error {
  override readonly name = 'CallerGone';
  constructor() {
    super('the caller has gone');
  }
}
