/** How one call ended, for the log. */
export interface CallOutcome {
  readonly status: number | 'timeout' | 'connection' | 'cancelled';
  /** Why a connection failed or an answer was cut off: `ECONNREFUSED`, `CERT_HAS_EXPIRED`, `HPE_HEADER_OVERFLOW`. */
  readonly code?: string;
  /** Upstream's own correlation id, which its support asks for. */
  readonly correlationId?: string;
}
