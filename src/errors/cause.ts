/** A code by which a fault is looked up: Node's `ECONNREFUSED`, OpenSSL's `CERT_HAS_EXPIRED`, the HTTP parser's `HPE_HEADER_OVERFLOW`. */
const CODE = /^[A-Z][A-Z0-9_]{2,60}$/;
const NAME = /^[A-Z][A-Za-z]{0,40}$/;
const SYSCALL = /^[a-z]{1,20}$/;
/** Causes of causes are followed so far; a chain may be a circle. */
const MAX_DEPTH = 5;

/** What libraries put on their errors, as far as it is read here. */
interface LibraryError {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly syscall?: unknown;
  readonly cause?: unknown;
  /** Of an AggregateError: Node makes one when no address of a host can be connected to. */
  readonly errors?: unknown;
}

/** The code of an error, or of what caused it: the innermost, because wrappers give codes of their own. */
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

/** What is kept of a library's error: name, code and system call. */
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
 * An error of a client library as the `cause` of one of our own. The library's own error holds the request, and so a token
 * or a secret; its message names hosts.
 */
export function safeCause(error: unknown): SafeCause {
  return error instanceof SafeCause ? error : new SafeCause(error);
}
