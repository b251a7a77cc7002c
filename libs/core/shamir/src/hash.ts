import { hash } from 'node:crypto'
import { lengthPrefixed } from '@sealwright/bytes'

/** `H` of the format documents: SHA-256 over length-prefixed fields, which may be secret. 32 bytes. */
export function hashOf(fields: readonly Uint8Array[]): Uint8Array {
  const input = lengthPrefixed(fields)
  const digest = hash('sha256', input, 'buffer')
  input.fill(0)
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.byteLength)
}
