/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type KmsPluginErrorCode = 'KMS_STATE_OTHER_KEY' // the state is of another cluster, or another kind of backend: the plugin does not start

/** Something is wrong with what the plugin was given. */
export class KmsPluginError extends Error {
  override readonly name = 'KmsPluginError'
  readonly code: KmsPluginErrorCode

  constructor(code: KmsPluginErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
