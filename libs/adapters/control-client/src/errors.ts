/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type ControlClientErrorCode =
  | 'CONTROL_NO_AGENT' // no socket, or nobody listens on it
  | 'CONTROL_DENIED' // this user may not connect
  | 'CONTROL_TIMEOUT' // the agent took too long
  | 'CONTROL_UNREACHABLE' // any other failure of the connection
  | 'CONTROL_ANSWER' // not an answer that this version understands

/** The agent could not be asked. The message says what to do. */
export class ControlClientError extends Error {
  override readonly name = 'ControlClientError'
  readonly code: ControlClientErrorCode

  constructor(code: ControlClientErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
