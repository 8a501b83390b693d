/**
 * Redis 6.2 and older put the error of a command inside a script behind words of their own (`luaPushError` and `evalGenericCommand` in their
 * src/scripting.c):
 *
 *     ERR Error running script (call to f_0123…): @user_script:7: @user_script: 7: -READONLY You can't write against a read only replica.
 *     ERR Error running script (call to f_0123…): @user_script:7: WRONGTYPE Operation against a key holding the wrong kind of value
 *
 * Since 7.0, Valkey included, it begins with its code there as well: `READONLY You can't write …. script: 0123…, on @user_script:7.`
 */
const IN_A_SCRIPT = /^ERR Error running script \(call to [^)]*\): (?:@user_script: ?\d+: )*-?([A-Z]{3,}) /;

/** The code that an error reply of Redis bears, `READONLY` or `WRONGTYPE` for example; nothing when it bears none. */
export function replyCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return (IN_A_SCRIPT.exec(error.message) ?? /^([A-Z]{3,}) /.exec(error.message))?.[1];
}
