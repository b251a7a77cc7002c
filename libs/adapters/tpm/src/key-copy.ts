import { allocateKeyBytes } from '@sealwright/secret'

/** A copy of key bytes outside the JavaScript heap (see `allocateKeyBytes`). The caller wipes it. */
export function copyKeyBytes(bytes: Uint8Array): Uint8Array {
  const copy = allocateKeyBytes(bytes.byteLength)
  copy.set(bytes)
  return copy
}
