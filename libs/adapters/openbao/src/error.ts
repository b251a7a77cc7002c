/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type OpenBaoErrorCode =
  | 'OPENBAO_ADDRESS_INVALID' // not an address we talk to; nothing was sent
  | 'OPENBAO_REQUEST_INVALID' // a token, name or path that cannot be sent; nothing was sent
  | 'OPENBAO_UNREACHABLE' // no connection; nothing was sent
  | 'OPENBAO_TLS' // the two sides do not trust each other, or one does not speak TLS; nothing was sent
  | 'OPENBAO_TIMEOUT' // our deadline passed; the request may have been carried out
  | 'OPENBAO_CANCELLED' // the caller's signal fired; the request may have been carried out
  | 'OPENBAO_CONNECTION_CUT' // no whole answer came; the request may have been carried out
  | 'OPENBAO_SEALED' // 503: sealed, or not initialised
  | 'OPENBAO_PERMISSION_DENIED' // 403: no, wrong or expired token, or no policy for it; never told apart
  | 'OPENBAO_REDIRECTED' // 3xx: only another node can answer, and it may be dead
  | 'OPENBAO_RATE_LIMITED' // 429, except where it means "standby"
  | 'OPENBAO_NOT_FOUND' // 404
  | 'OPENBAO_BAD_REQUEST' // 400
  | 'OPENBAO_STATUS' // any other status that is not a success
  | 'OPENBAO_RESPONSE_MALFORMED' // not HTTP, not JSON, or a field that we use is missing or of another type
  | 'OPENBAO_RESPONSE_TOO_LARGE' // more bytes than the cap
  | 'OPENBAO_CREDENTIAL_UNREADABLE' // what to log in with cannot be read or sent; nothing was sent
  | 'OPENBAO_LOGIN_REFUSED' // 400 or 403 to a login
  | 'OPENBAO_SECRET_ID_REFUSED' // 400 to an approle login; OpenBao counts these, and locks the role for everybody

export interface OpenBaoErrorOptions extends ErrorOptions {
  readonly status?: number | undefined
  readonly redirectOrigin?: string | undefined
  readonly serverErrors?: readonly string[] | undefined
}

/** What goes wrong between us and OpenBao. Messages never hold a token or a body. */
export class OpenBaoError extends Error {
  override readonly name = 'OpenBaoError'
  readonly code: OpenBaoErrorCode
  /** HTTP status, where an answer came. */
  readonly status: number | undefined
  /** Origin that `OPENBAO_REDIRECTED` points to. Whoever follows it decides whom to trust with a token. */
  readonly redirectOrigin: string | undefined
  /** OpenBao's own words, shortened; no secret that we sent, or that came with them, stands in them. */
  readonly serverErrors: readonly string[]

  constructor(code: OpenBaoErrorCode, message: string, options: OpenBaoErrorOptions = {}) {
    super(message, options)
    this.code = code
    this.status = options.status
    this.redirectOrigin = options.redirectOrigin
    this.serverErrors = options.serverErrors ?? []
  }
}
