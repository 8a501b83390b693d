/**
 * An error code such as Node's `ECONNREFUSED`, OpenSSL's `CERT_HAS_EXPIRED` or the HTTP parser's `HPE_HEADER_OVERFLOW`.
 */
const CODE = /^[A-Z][A-Z0-9_]{2,60}$/;
const NAME = /^[A-Z][A-Za-z]{0,40}$/;
const SYSCALL = /^[a-z]{1,20}$/;
/** How deep causes of causes are followed: a chain may be circular. */
const MAX_DEPTH = 5;

/** The fields of libraries' errors that are read here. */
interface LibraryError {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly syscall?: unknown;
  readonly cause?: unknown;
  /** Of an AggregateError: Node makes one when no address of a host can be connected to. */
  readonly errors?: unknown;
}

/** The code of an error or of its innermost cause that has one: wrappers add codes of their own. */
export function codeOf(error: unknown): string | undefined {
  return codedError(error)?.code;
}

function codedError(error: unknown, depth = 0): (LibraryError & { readonly code: string }) | undefined {
  if (typeof error !== 'object' || error === null || depth > MAX_DEPTH) return undefined;
  const { code, cause, errors } = error as LibraryError;
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  const inner = codedError(cause, depth + 1) ?? codedError(first, depth + 1);
  if (inner || typeof code !== 'string' || !CODE.test(code)) return inner;
  return error as LibraryError & { readonly code: string };
}

/** A library's error reduced to name, code and system call. */
export class SafeCause extends Error {
  override readonly name: string;
  readonly code: string | undefined;

  constructor(error: unknown) {
    const coded = codedError(error);
    const { name, syscall } = coded ?? ((error ?? {}) as LibraryError);
    const call = typeof syscall === 'string' && SYSCALL.test(syscall) ? syscall : undefined;
    super([call, coded?.code].filter(Boolean).join(' '));
    this.name = typeof name === 'string' && NAME.test(name) ? name : 'Error';
    this.code = coded?.code;
  }
}

/**
 * Makes a library's error safe as the `cause` of one of our own. The original holds the request, and so a token or a
 * secret, and its message names hosts.
 */
export function safeCause(error: unknown): SafeCause {
  return error instanceof SafeCause ? error : new SafeCause(error);
}
