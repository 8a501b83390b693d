/**
 * Redis 6.2 and older prefix the error of a command inside a script (`luaPushError` and `evalGenericCommand` in their
 * src/scripting.c):
 *
 *     ERR Error running script (call to f_0123…): @user_script:7: @user_script: 7: -READONLY You can't write against …
 *     ERR Error running script (call to f_0123…): @user_script:7: WRONGTYPE Operation against a key holding …
 *
 * Since 7.0, and in Valkey, the error begins with its code: `READONLY You can't write …. script: 0123…, on
 * @user_script:7.`
 */
const IN_A_SCRIPT = /^ERR Error running script \(call to [^)]*\): (?:@user_script: ?\d+: )*-?([A-Z]{3,}) /;

/** The code of an error reply, such as `READONLY` or `WRONGTYPE`, if it has one. */
export function replyCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return (IN_A_SCRIPT.exec(error.message) ?? /^([A-Z]{3,}) /.exec(error.message))?.[1];
}
