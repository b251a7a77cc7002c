import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto'

import { encodeContents } from './codec.ts'
import { KeyringError } from './keyring-error.ts'
import { type Keyring, type KeyringContents } from './keyring.ts'

/**
 * Completes a keyring with its MAC.
 *
 * @param macKey - of the current generation of `contents`.
 * @throws {@link KeyringError} as `encodeKeyring`.
 */
export function authenticate(contents: KeyringContents, macKey: KeyObject): Keyring {
  return { ...contents, mac: macOf(contents, macKey) }
}

/** Whether the MAC of a keyring fits: nothing in it was changed by anybody who lacks its current seal key. */
export function isAuthentic(keyring: Keyring, macKey: KeyObject): boolean {
  return timingSafeEqual(macOf(keyring, macKey), keyring.mac)
}

/**
 * Refuses a keyring whose MAC does not fit.
 *
 * @throws {@link KeyringError} `KEYRING_AUTH_FAILED`.
 */
export function assertAuthentic(keyring: Keyring, macKey: KeyObject): void {
  if (isAuthentic(keyring, macKey)) return
  throw new KeyringError(
    'KEYRING_AUTH_FAILED',
    'the keyring was changed: its MAC under the current seal key does not fit',
  )
}

function macOf(contents: KeyringContents, macKey: KeyObject): Uint8Array {
  return Uint8Array.from(createHmac('sha256', macKey).update(encodeContents(contents)).digest())
}
