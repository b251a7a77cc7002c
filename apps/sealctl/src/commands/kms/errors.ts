/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type KmsCommandErrorCode =
  | 'KMS_COMMAND_NO_TRANSIT' // kms.yaml of this node has a backend that is no transit key
  | 'KMS_COMMAND_NO_STATIC_POD' // a container does not get the devices that this configuration needs
  | 'KMS_COMMAND_FOLDER_UNFIT' // a path of this configuration cannot be given to the plugin there: hidden from it, or not its own alone
  | 'KMS_COMMAND_NO_ACTIVE_VERSION' // no version of the key may encrypt
  | 'KMS_COMMAND_VERSION_UNKNOWN' // the key has no such version
  | 'KMS_COMMAND_ENCRYPTION_CONFIG' // the EncryptionConfiguration that was named cannot be understood, or not changed in this way
  | 'KMS_COMMAND_PLUGIN_RUNS' // it would write over what is to be changed
  | 'KMS_COMMAND_NOTHING_TO_ADOPT' // this node remembers no key
  | 'KMS_COMMAND_STATE_UNUSABLE' // what the plugin remembers cannot be read or written
  | 'KMS_PLUGIN_UNREACHABLE' // nobody answers on the socket of the KMS plugin
  | 'KMS_PLUGIN_TIMEOUT' // somebody has taken the call, and does not answer
  | 'KMS_PLUGIN_REFUSED' // the KMS plugin answers with an error
  | 'KMS_PLUGIN_ANSWER' // what answers on the socket is no KMS v2 provider

/** What the commands for the KMS plugin throw themselves. The message says what to do. */
export class KmsCommandError extends Error {
  override readonly name = 'KmsCommandError'
  readonly code: KmsCommandErrorCode

  constructor(code: KmsCommandErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** `KMS_PLUGIN_UNREACHABLE`: nobody listens there at all. Whoever does, and cannot be understood, may encrypt. */
export class PluginAbsent extends KmsCommandError {
  constructor(message: string, options?: ErrorOptions) {
    super('KMS_PLUGIN_UNREACHABLE', message, options)
  }
}

/** `KMS_PLUGIN_REFUSED`, and the gRPC status by which. */
export class PluginRefusal extends KmsCommandError {
  readonly status: string

  constructor(status: string, message: string) {
    super('KMS_PLUGIN_REFUSED', message)
    this.status = status
  }
}
