/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type ControlClientErrorCode =
  | 'CONTROL_NO_AGENT' // no socket, or nobody listens on it
  | 'CONTROL_DENIED' // this user may not connect
  | 'CONTROL_TIMEOUT' // the agent took too long
  | 'CONTROL_UNREACHABLE' // any other failure of the connection
  | 'CONTROL_REFUSED' // the agent does not do it; `agentCode` says why
  | 'CONTROL_ANSWER' // not an answer that this version understands

/** What the agent said when it refused. */
export interface AgentRefusal {
  /** Its stable code, such as `CUSTODY_SEALED`. */
  readonly code: string
  /** The HTTP status. */
  readonly status: number
}

/** The agent could not be asked, or refused. The message says what to do. */
export class ControlClientError extends Error {
  override readonly name = 'ControlClientError'
  readonly code: ControlClientErrorCode
  /** The agent's own code, if it answered. */
  readonly agentCode: string | undefined
  /** The HTTP status of its answer. */
  readonly status: number | undefined

  constructor(
    code: ControlClientErrorCode,
    message: string,
    options: ErrorOptions & { readonly refusal?: AgentRefusal } = {},
  ) {
    super(message, options)
    this.code = code
    this.agentCode = options.refusal?.code
    this.status = options.refusal?.status
  }
}
