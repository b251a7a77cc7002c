/** What a transit key makes: `vault:v<key version>:<base64>`. */
export interface TransitCiphertext {
  /** The text as OpenBao wrote it, and wants it back. ASCII. */
  readonly text: string
  /** Which version of the key made it, 1 or more. */
  readonly keyVersion: number
}

/** Longest text we take, in bytes. That of a KEK has 89 with AES-256-GCM, 105 with XChaCha20, and up to 9 more for its version. */
export const MAX_CIPHERTEXT_BYTES = 512

/** Versions are counted from 1, and stand in 32 bits in a container. */
const MAX_KEY_VERSION = 0xffff_ffff

const CIPHERTEXT = /^vault:v([1-9]\d{0,9}):([A-Za-z0-9+/]+={0,2})$/

/**
 * Reads a ciphertext; null if it is none. There is one spelling for one value: no leading zeros, no line break, no stray bits in
 * its base64, all of which OpenBao would overlook.
 */
export function parseCiphertext(text: string): TransitCiphertext | null {
  const [, version, base64] = CIPHERTEXT.exec(text) ?? []
  if (version === undefined || base64 === undefined || text.length > MAX_CIPHERTEXT_BYTES) return null
  if (Buffer.from(base64, 'base64').toString('base64') !== base64) return null
  const keyVersion = Number(version)
  return keyVersion <= MAX_KEY_VERSION ? { text, keyVersion } : null
}
