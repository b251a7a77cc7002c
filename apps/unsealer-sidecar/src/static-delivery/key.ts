import { type Secret } from '@sealwright/secret'
import { StaticDeliveryError } from './errors.ts'

/** Length of the key of a static seal, in bytes. OpenBao tells raw keys from encoded ones by this length. */
export const STATIC_KEY_BYTES = 32

/**
 * Unwraps the seal key of this key id. The caller of it owns, and wipes, the returned secret. `undefined`: there is no such key, and there
 * will be none. Whatever it throws means "not now".
 */
export type UnwrapKey = (keyId: string, signal: AbortSignal) => Promise<Secret | undefined>

/** @throws {@link StaticDeliveryError} `STATIC_DELIVERY_KEY_LENGTH`. */
export function assertStaticKey({ byteLength }: Secret): void {
  if (byteLength === STATIC_KEY_BYTES) return
  const message = `a static seal has a key of ${STATIC_KEY_BYTES} bytes, not of ${byteLength}`
  throw new StaticDeliveryError('STATIC_DELIVERY_KEY_LENGTH', message)
}
