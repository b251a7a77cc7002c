import { EnvelopeError, parseEnvelope } from '@sealwright/envelope'
import { type OpenKeyring } from '@sealwright/keyring'
import { type SealBlob } from '@sealwright/seal-plugin'
import { type KeyringRefusal } from '../keyring/absorb.ts'

/** What is wrong with the keyring of a leader whose blobs do not open here. */
export interface RefusedKeyring extends KeyringRefusal {
  /** Of the generation under which the leader encrypts. */
  readonly keyId: string
  /** When this key was first met. */
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

export interface LeaderKeyDependencies {
  readonly held: () => Pick<OpenKeyring, 'keyIds'> | undefined
  /** Wall clock in milliseconds. */
  readonly now: () => number
  /** Told of each key that is not held here, once. */
  readonly onRefused: (refused: RefusedKeyring) => void
}

/** It was taken, and its key is of no use here: a break of the chain is known here that its maker does not know. */
const GIVEN_UP: KeyringRefusal = {
  code: 'KEYRING_KEY_UNKNOWN',
  message:
    'the leader does not know of a break of the chain that is known here: bring it the keyring of this node (sealctl keyring export, then ' +
    'import on the leader)',
}

/**
 * Watches whether the leader encrypts under a key that this node does not have: after a restart its OpenBao would stay sealed.
 *
 * Only the answers to our own questions to our own OpenBao count, each in place of the one before. What OpenBao hands over to be
 * decrypted does not: strangers may have it handed over by posing as a leader, and would raise an alarm that nothing clears.
 */
export function leaderKey({ held, now, onRefused }: LeaderKeyDependencies): LeaderKey {
  let last: RefusedKeyring | undefined

  const stillRefused = (): RefusedKeyring | undefined => {
    const keyring = held()
    if (last === undefined || keyring === undefined || keyring.keyIds.includes(last.keyId)) return undefined
    return last
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
      last = { ...refusal, keyId, sinceMs }
      const refused = stillRefused()
      if (refused !== undefined && before?.keyId !== keyId) onRefused(refused)
    },
    refused: stillRefused,
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
