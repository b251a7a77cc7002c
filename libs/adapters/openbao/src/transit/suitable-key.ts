import { TransitError } from './error.ts'
import { type TransitKey } from './messages.ts'
import { softDeletedAdvice } from './translate.ts'

/** Ciphers that authenticate associated data, with keys of 256 bits: what leaves the house must outlast quantum computers. */
const SUITABLE_TYPES: readonly string[] = ['aes256-gcm96', 'chacha20-poly1305', 'xchacha20-poly1305']

/** Of any type that OpenBao has, and little else: a message names it. */
const TYPE_NAME = /^[a-z][a-z\d_-]{1,23}$/

/**
 * Refuses a key that cannot do this, before something is encrypted.
 *
 * @throws {@link TransitError} `TRANSIT_KEY_UNSUITABLE`, `TRANSIT_KEY_SOFT_DELETED`.
 */
export function assertSuitable(key: TransitKey, keyName: string): void {
  if (key.softDeleted) throw new TransitError('TRANSIT_KEY_SOFT_DELETED', softDeletedAdvice(keyName))
  if (!SUITABLE_TYPES.includes(key.type)) {
    throw new TransitError(
      'TRANSIT_KEY_UNSUITABLE',
      `the key ${keyName} is of ${TYPE_NAME.test(key.type) ? `type ${key.type}` : 'an odd type'}: make one of type aes256-gcm96`,
    )
  }
  if (key.derived) {
    throw new TransitError(
      'TRANSIT_KEY_UNSUITABLE',
      `the key ${keyName} is derived and wants a context with each call: make one without derivation`,
    )
  }
}
