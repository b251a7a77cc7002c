/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type NodeConfigErrorCode =
  | 'CONFIG_SYNTAX' // not YAML, or YAML with a duplicate key
  | 'CONFIG_INVALID' // a field is unknown, missing or out of range

/** A configuration that cannot be used. The message names the file, the field and what was expected. */
export class NodeConfigError extends Error {
  override readonly name = 'NodeConfigError'
  readonly code: NodeConfigErrorCode

  constructor(code: NodeConfigErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
