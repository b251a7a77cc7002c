import { EnvelopeError, parseEnvelope } from '@sealwright/envelope'
import { KeyringError, type OpenKeyring } from '@sealwright/keyring'
import { type SealBlob } from '@sealwright/seal-plugin'
import { type KeyringRefusal } from '../keyring/absorb.ts'
import { type CustodyErrorCode } from '../keyring/custody-error.ts'

/** What is wrong with the keyring of a leader whose blobs do not open here, or which shuts this node out. */
export interface RefusedKeyring extends KeyringRefusal {
  /** Of the generation under which the leader encrypts. */
  readonly keyId: string
  /** When the leader was first met with this key. */
  readonly sinceMs: number
}

/** Knows whether this node could open what the leader of its OpenBao encrypts now. */
export interface LeaderKey {
  /**
   * Takes note of what the leader has just encrypted.
   *
   * @param refusal - why the keyring beside it was not taken, if it was not.
   */
  readonly saw: (blob: Pick<SealBlob, 'ciphertext' | 'iv' | 'wrappedKey'>, refusal: KeyringRefusal | undefined) => void
  /** `undefined` if all is well, or nothing is known: what was held or learned since counts at once. */
  readonly refused: () => RefusedKeyring | undefined
}

type Opener = Pick<OpenKeyring, 'keyIds' | 'decryptBlob'>

export interface LeaderKeyDependencies {
  readonly held: () => Opener | undefined
  /** Wall clock in milliseconds. */
  readonly now: () => number
  /** Told once of each key of a leader, at which something is wrong. */
  readonly onRefused: (refused: RefusedKeyring) => void
}

/** It was taken, and its key is of no use here: a break of the chain is known here that its maker does not know. */
const GIVEN_UP: KeyringRefusal = {
  code: 'KEYRING_KEY_UNKNOWN',
  message:
    'the leader does not know of a break of the chain that is known here: bring it the keyring of this node (sealctl keyring export, then ' +
    'import on the leader)',
}

/** A node that it shuts out has the key of today, and not the next. */
const SHUTS_OUT: CustodyErrorCode = 'CUSTODY_SHUT_OUT'

/** OpenBao gives nothing along with what it has encrypted. */
const NO_AAD = new Uint8Array()

/**
 * Watches whether the leader encrypts under a key that this node does not have: after a restart its OpenBao would stay sealed. And whether its
 * keyring shuts this node out, whose next key this node would not have.
 *
 * Whether the key is held is tried with what the leader has encrypted: a key id is only a text, which a stranger can give to a key of theirs.
 *
 * Only the answers to our own questions to our own OpenBao count, each in place of the one before. What OpenBao hands over to be
 * decrypted does not: strangers may have it handed over by posing as a leader, and would raise an alarm that nothing clears.
 */
export function leaderKey({ held, now, onRefused }: LeaderKeyDependencies): LeaderKey {
  let last: { readonly refused: RefusedKeyring; readonly ciphertext: Uint8Array } | undefined

  const stillRefused = (): RefusedKeyring | undefined => {
    const keyring = held()
    if (last === undefined || keyring === undefined) return undefined
    const { refused, ciphertext } = last
    // Of a branch that was given up the key is held to the next restart, and its id listed no more.
    const isWell = refused.code !== SHUTS_OUT && keyring.keyIds.includes(refused.keyId) && opens(keyring, ciphertext)
    return isWell ? undefined : refused
  }

  return {
    saw(blob, refusal = GIVEN_UP) {
      const keyId = keyIdOf(blob)
      const before = stillRefused()
      if (keyId === undefined) {
        last = undefined
        return
      }
      const sinceMs = before?.keyId === keyId ? before.sinceMs : now()
      last = { refused: { ...refusal, keyId, sinceMs }, ciphertext: Uint8Array.from(blob.ciphertext) }
      const refused = stillRefused()
      if (refused !== undefined && before?.keyId !== keyId) onRefused(refused)
    },
    refused: stillRefused,
  }
}

function opens(keyring: Opener, blob: Uint8Array): boolean {
  try {
    keyring.decryptBlob({ blob, aad: NO_AAD }).fill(0)
    return true
  } catch (error) {
    if (error instanceof KeyringError || error instanceof EnvelopeError) return false
    throw error
  }
}

/** Of a blob that a seal of ours has made, with a keyring beside it; during a migration the leader may have another seal. */
function keyIdOf({ ciphertext, iv, wrappedKey }: Parameters<LeaderKey['saw']>[0]): string | undefined {
  if (iv.length > 0 || wrappedKey.length === 0) return undefined
  try {
    return Buffer.from(parseEnvelope(ciphertext).keyRef).toString('latin1')
  } catch (error) {
    if (error instanceof EnvelopeError) return undefined
    throw error
  }
}
