import { createHash } from 'node:crypto'
import { encodeKeyring, type OpenKeyring } from '@sealwright/keyring'

/**
 * The seal of a snapshot is the encrypted text of its sums, and OpenBao reads no more than 8,191 bytes of it when it restores one
 * (2.7.2). It needs no keyring: the stored keys of the same snapshot have it.
 */
const SNAPSHOT_SUMS = /^[0-9a-f]{64} {2}(?:meta\.json|state\.bin)\n[0-9a-f]{64} {2}(?:meta\.json|state\.bin)\n$/
const SNAPSHOT_SUMS_BYTES = 152
/** Probes of the seal are shorter than anything that is kept: 1 and 13 bytes. A challenge for a node that joins has 24. */
const MIN_KEPT_BYTES = 24
const REVISION_DIGITS = 12
const SEPARATOR = '+'
const NO_KEYRING = new Uint8Array()

/** What goes out beside the ciphertexts of one agent. */
export interface KeyringCarrier {
  /** The bytes of the keyring for the blob around this plaintext; none where they would do harm, or for what nobody keeps. */
  keyringFor(plaintext: Uint8Array, held: OpenKeyring): Uint8Array
  /**
   * What OpenBao is told as the id of the current key: that of the generation, and which keyring it was. When OpenBao becomes active and
   * finds another id stored, it has its keys encrypted anew: so its storage, and each snapshot, gets the newest keyring.
   */
  keyIdOf(held: OpenKeyring): string
}

/** Makes a carrier; what it derives from a keyring is made once. */
export function keyringCarrier(): KeyringCarrier {
  let cached: { readonly of: OpenKeyring; readonly bytes: Uint8Array; readonly keyId: string } | undefined
  const derived = (held: OpenKeyring): { readonly bytes: Uint8Array; readonly keyId: string } => {
    if (cached?.of === held) return cached
    const bytes = encodeKeyring(held.keyring)
    const revision = createHash('sha256').update(bytes).digest('hex').slice(0, REVISION_DIGITS)
    cached = { of: held, bytes, keyId: `${held.keyId}${SEPARATOR}${revision}` }
    return cached
  }
  return {
    keyringFor: (plaintext, held) =>
      plaintext.byteLength < MIN_KEPT_BYTES || isSnapshotSums(plaintext) ? NO_KEYRING : derived(held).bytes,
    keyIdOf: held => derived(held).keyId,
  }
}

/** Whether a told key id is that of the generation which a ciphertext names, of whichever keyring. */
export function isKeyIdOf(toldKeyId: string, generationKeyId: string): boolean {
  return toldKeyId === generationKeyId || toldKeyId.startsWith(`${generationKeyId}${SEPARATOR}`)
}

function isSnapshotSums(plaintext: Uint8Array): boolean {
  return plaintext.byteLength === SNAPSHOT_SUMS_BYTES && SNAPSHOT_SUMS.test(Buffer.from(plaintext).toString('latin1'))
}
