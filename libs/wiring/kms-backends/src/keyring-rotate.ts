import { sameBytes } from '@sealwright/bytes'
import { activateGeneration, addGeneration, type Keyring, kmsChain, makeKmsKeyId } from '@sealwright/keyring'
import { withSharesOf } from '@sealwright/node-seals'
import { randomKeyBytes } from '@sealwright/secret'
import { KmsKeyringError } from './keyring-error.ts'
import { type EncryptingVersion } from './keyring-given-up.ts'
import { changeKeyring, type KeyringNode, type WrittenKeyring } from './keyring-unlock.ts'

/** A new version, and when it begins to encrypt. */
export interface RotatedKeyring extends WrittenKeyring {
  readonly version: number
  /** 16 bytes. */
  readonly id: Uint8Array
  /** In milliseconds since 1970. */
  readonly notBeforeMs: number
}

/**
 * Makes the next version of the key. Whoever opens the one before opens it as well, also a device that is away now.
 *
 * @param options.handOutMs - how long the other nodes have to get the keyring before any node encrypts by it.
 * @param options.knownHere - versions that the plugin of this node knows: it may be the last that holds one which the keyring has lost, and
 *   would give it up for another of the same number.
 * @throws {@link KmsKeyringError} `KMS_KEYRING_VERSION` while the one before is being handed out, unless this one is to be used no later, and
 *   where the keyring lacks one of `knownHere`; as `changeKeyring`; {KeyringError} `KEYRING_NO_ROOM`.
 */
export async function rotateKeyring(
  node: KeyringNode,
  { handOutMs, knownHere }: { readonly handOutMs: number; readonly knownHere: readonly EncryptingVersion[] },
  signal: AbortSignal,
): Promise<RotatedKeyring> {
  const notBeforeMs = Date.now() + handOutMs
  const written = await changeKeyring(
    node,
    async unlocked => {
      assertHasAll(unlocked.keyring, knownHere)
      assertHandedOut(unlocked.keyring, notBeforeMs)
      const keyId = makeKmsKeyId({ notBeforeMs, randomBytes: randomKeyBytes })
      const added = addGeneration({ ...unlocked, step: 'chained', keyId })
      const sealKeys = unlocked.sealKeys.with(added.generation.id, added.sealKey)
      try {
        const keyring = activateGeneration({ keyring: added.keyring, sealKeys, id: added.generation.id })
        return { keyring: await withSharesOf({ ...unlocked, keyring, sealKeys }, added.generation), sealKeys }
      } catch (error) {
        added.sealKey.wipe()
        throw error
      }
    },
    signal,
  )
  const made = kmsChain(written.keyring).at(-1)
  if (made === undefined) throw new TypeError('a keyring has a current generation')
  return { ...written, version: made.number, id: made.id, notBeforeMs }
}

function assertHasAll(keyring: Keyring, known: readonly EncryptingVersion[]): void {
  const chain = kmsChain(keyring)
  const lost = known.find(({ lineage }) => !chain.some(({ id }) => sameBytes(id, lineage)))
  if (lost === undefined) return
  throw new KmsKeyringError(
    'KMS_KEYRING_VERSION',
    `the KMS plugin of this node knows version ${lost.version}, which this keyring does not have: nothing was changed. Bring the keyring that has it ` +
      '(sealctl kms keyring import). Only if it was given up for good, and nothing is encrypted by it: stop the plugin, and sealctl kms adopt-key',
  )
}

/** Nodes take a version for handed out when they see one that was made long after it. */
function assertHandedOut(keyring: Keyring, notBeforeMs: number): void {
  const newest = kmsChain(keyring).at(-1)
  if (newest === undefined || newest.notBeforeMs <= Date.now() || notBeforeMs <= newest.notBeforeMs) return
  throw new KmsKeyringError(
    'KMS_KEYRING_VERSION',
    `version ${newest.number} is being handed out until ${new Date(newest.notBeforeMs).toISOString()}: wait until then, or make one that is used no ` +
      'later than that (--hand-out). Nothing was changed',
  )
}
