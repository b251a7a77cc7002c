/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type ControlApiErrorCode =
  | 'CONTROL_REQUEST_INVALID' // a field, parameter or body that is not as the operation wants it, or that it does not know
  | 'CONTROL_REQUEST_SLOW' // the body did not come in time
  | 'CONTROL_BODY_TOO_LARGE' // more bytes than the operation takes
  | 'CONTROL_CONTENT_TYPE' // a body of another content type than the operation takes
  | 'CONTROL_PATH_UNKNOWN' // there is no such path
  | 'CONTROL_METHOD_UNKNOWN' // the path is asked with other methods only
  | 'CONTROL_SEAL_UNKNOWN' // no seal has this name
  | 'CONTROL_INTERNAL' // the agent failed; its log says how

/** A request that is answered with an error. The message is for the caller, and holds nothing of what was sent but names of fields. */
export class ControlApiError extends Error {
  override readonly name = 'ControlApiError'
  readonly code: ControlApiErrorCode

  constructor(code: ControlApiErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
