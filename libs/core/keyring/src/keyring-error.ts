/** Stable codes. Adding one is minor; renaming or removing one is breaking. */
export type KeyringErrorCode =
  | 'KEYRING_MALFORMED' // not a keyring: another magic, a field short, long, out of order or at odds with another, bytes left over
  | 'KEYRING_UNSUPPORTED' // a version, seal type, method or state that a newer Sealwright may know
  | 'KEYRING_TOO_LARGE' // more bytes or entries than a keyring may have
  | 'KEYRING_NO_ROOM' // a change that would take the room which a break of the chain needs: made here, or brought by another node
  | 'KEYRING_RECORD_DAMAGED' // the sealed KEK of a record is not the one its wrapped key names; found before any member is asked
  | 'KEYRING_NO_WAY_IN' // no record leads to the current generation: such a keyring is never written nor accepted
  | 'KEYRING_LINEAGE_FORGED' // a generation is not vouched for by the one before it, or the first one is of another cluster
  | 'KEYRING_AUTH_FAILED' // the MAC under the current seal key does not fit: the keyring was changed
  | 'KEYRING_RECORD_AUTH_FAILED' // the KEK of a record does not unwrap its seal key: changed, or taken from elsewhere
  | 'KEYRING_LINK_BROKEN' // a link was changed or leads to another key, or this member has no record since the chain was broken
  | 'KEYRING_NO_RECORD' // this member of this seal has no record
  | 'KEYRING_OTHER_KEY' // the given seal key is not of any generation of this keyring
  | 'KEYRING_OTHER_CLUSTER' // the other keyring belongs to another cluster
  | 'KEYRING_OTHER_USE' // a keyring that opens OpenBao where one of a KMS plugin is needed, or the other way round
  | 'KEYRING_ORIGIN_UNPROVEN' // opened by a record that anybody can make, and nothing else shows whose keyring it is
  | 'KEYRING_DIVERGED' // two keyrings of one cluster contradict each other: no merge is right
  | 'KEYRING_KEY_UNKNOWN' // a key id or generation whose key is not held
  | 'KEYRING_NAME_TAKEN' // a seal of another type has this name
  | 'KEYRING_SEAL_KEY_INVALID' // the given seal key is not 32 bytes long, or all zeros
  | 'KEYRING_INPUT_INVALID' // another argument of the caller cannot be used
  | 'KEYRING_STATIC_BLOB_MALFORMED' // not what OpenBao's own static seal writes: a nonce or a ciphertext of another length
  | 'KEYRING_STATIC_BLOB_AUTH_FAILED' // a blob of the static seal under another key, or changed; we never say which
  | 'KEYRING_CLOSED' // used after it was closed

/** What this library throws. The message states ids, sizes and numbers, never key bytes. */
export class KeyringError extends Error {
  override readonly name = 'KeyringError'
  readonly code: KeyringErrorCode

  constructor(code: KeyringErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
