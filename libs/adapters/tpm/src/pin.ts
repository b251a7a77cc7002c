import { type Secret } from '@sealwright/secret'
import { sha256, trimAuthValue } from '@sealwright/tpm-wire'

import { copyKeyBytes } from './key-copy.ts'

/**
 * The auth value made from a PIN: SHA-256, so that any length fits, without trailing zeros as a TPM wants it (Part 1, clause 19.6.4.3).
 * Empty without a PIN. The caller wipes it.
 */
export function authValueOfPin(pin: Secret | undefined): Uint8Array {
  if (pin === undefined) return new Uint8Array(0)
  const digest = pin.reveal(bytes => sha256(bytes))
  const authValue = copyKeyBytes(trimAuthValue(digest))
  digest.fill(0)
  return authValue
}
