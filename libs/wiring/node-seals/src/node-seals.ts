import { type Keyring, openKeyring, type OpenKeyring, proveRecords } from '@sealwright/keyring'
import { type NodeConfig } from '@sealwright/node-config'
import { type ConfiguredSeal } from './configured-seal.ts'
import { tpmSeal } from './tpm-seal.ts'

/** The seals of a node's configuration, best priority first. Asks none of them anything. */
export function configuredSeals({ seals }: Pick<NodeConfig, 'seals'>): readonly ConfiguredSeal[] {
  return seals.map(tpmSeal).sort((a, b) => a.priority - b.priority)
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
    async (member, sealId) => await openKeyring({ keyring, sealId, member, signal }),
  )
}

/**
 * Proves that a keyring opens through one seal, and that so does every record which its member has: each gives the seal key of
 * its generation. Opening alone asks for the first. For what is about to take the place of records that work.
 *
 * @throws as {@link openThrough}.
 */
export async function proveThrough(seal: ConfiguredSeal, keyring: Keyring, signal: AbortSignal): Promise<void> {
  await seal.withRecordedMember(keyring, signal, async (member, sealId) => {
    await proveRecords({ keyring, sealId, member, signal })
  })
}
