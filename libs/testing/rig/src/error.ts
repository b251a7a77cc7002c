/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type RigErrorCode =
  | 'RIG_TOOL_MISSING' // a real program that tests need is not installed
  | 'RIG_PROCESS_ENDED' // a started program ended before it was ready
  | 'RIG_TIMEOUT' // a condition did not come true in time
  | 'RIG_CANCELLED' // the caller's signal ended the waiting
  | 'RIG_INVALID' // a value that cannot be used: a path too long, a word that needs quoting
  | 'RIG_UNREACHABLE' // a started program does not answer on its address
  | 'RIG_UNREADABLE' // the memory of a process cannot be read

/** What goes wrong in the rig, with a code to switch on. */
export class RigError extends Error {
  override readonly name = 'RigError'
  readonly code: RigErrorCode

  constructor(code: RigErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
