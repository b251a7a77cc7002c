import { textBytes } from '@sealwright/bytes'
import { createHash, createHmac } from 'node:crypto'

import { concat, u32 } from './writer.ts'

/** SHA-256 over the parts, one after another. 32 bytes. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return plainView(hash.digest())
}

/** HMAC-SHA-256 over the parts, one after another. 32 bytes. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac('sha256', key)
  for (const part of parts) hmac.update(part)
  return plainView(hmac.digest())
}

/**
 * KDFa with HMAC-SHA-256: SP 800-108 in counter mode (Part 1, clause 11.4.10.2).
 *
 * @param label - without its terminating zero, which is added here.
 * @param bits - how much to derive, a multiple of 8.
 */
export function kdfA(
  key: Uint8Array,
  label: string,
  contextU: Uint8Array,
  contextV: Uint8Array,
  bits: number,
): Uint8Array {
  const fixed = concat(terminated(label), contextU, contextV, u32(bits))
  return counterMode(bits, counter => hmacSha256(key, counter, fixed))
}

/**
 * KDFe with SHA-256: SP 800-56A one-step derivation from an ECDH result (Part 1, clause 11.4.10.3).
 *
 * @param z - x coordinate of the shared point, 32 bytes.
 * @param partyUInfo - x coordinate of the ephemeral key. @param partyVInfo - x coordinate of the static key.
 */
export function kdfE(
  z: Uint8Array,
  label: string,
  partyUInfo: Uint8Array,
  partyVInfo: Uint8Array,
  bits: number,
): Uint8Array {
  const fixed = concat(terminated(label), partyUInfo, partyVInfo)
  return counterMode(bits, counter => sha256(counter, z, fixed))
}

function counterMode(bits: number, block: (counter: Uint8Array) => Uint8Array): Uint8Array {
  const wantedBytes = bits / 8
  const blocks: Uint8Array[] = []
  for (let counter = 1; blocks.length * 32 < wantedBytes; counter++) blocks.push(block(u32(counter)))
  const derived = concat(...blocks)
  for (const derivedBlock of blocks) derivedBlock.fill(0)
  return derived.subarray(0, wantedBytes)
}

function terminated(label: string): Uint8Array {
  return concat(textBytes(label), Uint8Array.of(0))
}

/** The same memory as a plain array: a copy would be one more to wipe. */
function plainView({ buffer, byteOffset, byteLength }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}
