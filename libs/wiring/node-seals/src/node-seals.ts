import { hex } from '@sealwright/bytes'
import {
  type Keyring,
  openKeyring,
  openKmsKeyring,
  type OpenKmsKeyring,
  type OpenKeyring,
  proveRecords,
  type SealKeys,
  unwrapSealKeys,
} from '@sealwright/keyring'
import { type NodeConfig } from '@sealwright/node-config'
import { type SealFailure } from '@sealwright/unseal'
import { classifySealFailure, mayHaveCostTry } from './classify.ts'
import { type ConfiguredSeal, type SealContext } from './configured-seal.ts'
import { pkcs11Seal } from './pkcs11-seal.ts'
import { tpmSeal } from './tpm-seal.ts'
import { transitSeal } from './transit-seal.ts'

/**
 * The seals of a node's configuration that open without people, best priority first. Asks none of them anything; the caller disposes
 * of each.
 */
export function configuredSeals(
  { seals, clusterId }: Pick<NodeConfig, 'seals' | 'clusterId'>,
  context: SealContext,
): readonly ConfiguredSeal[] {
  const isOurCluster = context.isOurCluster ?? ((id: Uint8Array) => hex(id) === clusterId)
  return seals
    .flatMap(seal => {
      switch (seal.type) {
        case 'tpm':
          return [tpmSeal(seal, isOurCluster)]
        case 'pkcs11':
          return [pkcs11Seal(seal, context)]
        case 'transit':
          return [transitSeal(seal)]
        case 'shamir':
          return []
      }
    })
    .sort((a, b) => a.priority - b.priority)
}

/**
 * Before the keyring is open, a device that is out of reach now is not asked for one record after another; afterwards all that it may give
 * are old generations, and one that it fails at says little of the next.
 */
function mayGoOn(error: unknown, { isOpen }: { readonly isOpen: boolean }): boolean {
  return !mayHaveCostTry(error) && (isOpen || classifySealFailure(error).kind !== 'transient')
}

/**
 * Opens a keyring through one seal, for real.
 *
 * @throws {KeyringError}, {TpmError}, {ProgramError} with their codes; see `classifySealFailure`.
 */
export async function openThrough(seal: ConfiguredSeal, keyring: Keyring, signal: AbortSignal): Promise<OpenKeyring> {
  return await seal.withRecordedMember(
    keyring,
    signal,
    async (member, sealId) => await openKeyring({ keyring, sealId, member, signal, mayGoOn }),
  )
}

/**
 * Opens the keyring of a KMS plugin through one seal, for real.
 *
 * @throws as {@link openThrough}; {KeyringError} `KEYRING_OTHER_USE` for one that opens OpenBao.
 */
export async function openKmsThrough(
  seal: ConfiguredSeal,
  keyring: Keyring,
  signal: AbortSignal,
): Promise<OpenKmsKeyring> {
  return await seal.withRecordedMember(
    keyring,
    signal,
    async (member, sealId) => await openKmsKeyring({ keyring, sealId, member, signal, mayGoOn }),
  )
}

/**
 * The plain seal keys of a keyring through one seal, for a change that needs them. The caller wipes them.
 *
 * @throws as {@link openThrough}.
 */
export async function unwrapThrough(seal: ConfiguredSeal, keyring: Keyring, signal: AbortSignal): Promise<SealKeys> {
  return await seal.withRecordedMember(
    keyring,
    signal,
    async (member, sealId) => await unwrapSealKeys({ keyring, sealId, member, signal, mayGoOn }),
  )
}

/**
 * Proves that a keyring opens through one seal, and that so does every record which its member got by a change: each gives the seal key of
 * its generation. Opening alone asks for the first. For what is about to take the place of records that work.
 *
 * @param change.former - the keyring before the change; without it, all records have to open.
 * @throws as {@link openThrough}.
 */
export async function proveThrough(
  seal: ConfiguredSeal,
  { former, keyring }: { readonly former?: Keyring | undefined; readonly keyring: Keyring },
  signal: AbortSignal,
): Promise<void> {
  await seal.withRecordedMember(keyring, signal, async (member, sealId) => {
    await proveRecords({ former, keyring, sealId, member, signal, mayGoOn })
  })
}

/**
 * The plain seal keys through the first of these seals that opens, one try each and one after another: a PIN that is wrong counts once.
 *
 * @param seals - in the order in which they are asked.
 * @param onFailure - told of each seal that did not open.
 * @returns `undefined` if none did. The caller wipes the keys.
 * @throws what aborts `signal`, and what `classifySealFailure` does not know.
 */
export async function unwrapThroughAny(
  seals: readonly ConfiguredSeal[],
  keyring: Keyring,
  { signal, onFailure }: { readonly signal: AbortSignal; readonly onFailure: (failure: NamedFailure) => void },
): Promise<{ readonly sealName: string; readonly sealKeys: SealKeys } | undefined> {
  for (const seal of seals) {
    try {
      return { sealName: seal.name, sealKeys: await unwrapThrough(seal, keyring, signal) }
    } catch (error) {
      signal.throwIfAborted()
      onFailure({ ...classifySealFailure(error), sealName: seal.name })
    }
  }
  return undefined
}

/** Why a seal did not open. */
export type NamedFailure = SealFailure & { readonly sealName: string }
