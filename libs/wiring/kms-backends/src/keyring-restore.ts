import { assertKmsKeyring, type Keyring, reactivateGenerations, retiredSince, type SealKeys } from '@sealwright/keyring'
import { type SealFailure } from '@sealwright/unseal'
import { KmsKeyringError, listOf } from './keyring-error.ts'
import { type RemadeRecord, remakeRecords } from './keyring-remake.ts'
import { changeKeyring, type KeyringNode, unlock, type WrittenKeyring } from './keyring-unlock.ts'

export interface RestoredVersions extends WrittenKeyring {
  readonly restored: readonly number[]
  /** Records of this node in the earlier keyring that do not open: each was left out, and a new one is in its place. */
  readonly remade: readonly RemadeRecord[]
}

/**
 * Takes back that versions were retired: those that an earlier keyring has active are active again, with the records and links that led to
 * them there. All else stays as it is, what came since among it. A plugin that runs takes it over. A record of this node that came back and does
 * not open is made anew.
 *
 * @param former - from before: of this node, or of another one that has a record for a seal of this node.
 * @throws {@link KmsKeyringError} `KMS_KEYRING_VERSION` if nothing would come back, `KMS_KEYRING_SEALED`; {KeyringError}
 *   `KEYRING_OTHER_CLUSTER`, `KEYRING_OTHER_USE`, before a seal is asked to open `former`; as `reactivateGenerations` and `changeKeyring`.
 * @see docs/formats/keyring.md §12
 */
export async function restoreVersions(
  node: KeyringNode,
  former: Keyring,
  signal: AbortSignal,
): Promise<RestoredVersions> {
  assertKmsKeyring(former)
  let restored: readonly number[] = []
  let remade: readonly RemadeRecord[] = []
  const written = await changeKeyring(
    node,
    async ({ keyring, sealKeys, ...surroundings }, { seal, willing, failures }) => {
      const back = retiredSince({ keyring, former })
      if (back.length === 0) throw wrongVersion('no version that is retired here is active in that keyring')
      const ofFormer = new Map<string, SealFailure>()
      const opened = await unlock(willing, former, ofFormer, signal).catch((error: unknown) => {
        throw error instanceof KmsKeyringError ? formerSealed(ofFormer, error) : error
      })
      for (const [name, failure] of ofFormer) if (failure.kind === 'operator') failures.set(name, failure)
      using formerKeys = opened.sealKeys
      const keys = together(sealKeys, formerKeys, former)
      try {
        // What this node cannot reach would be active for nobody.
        const unreached = back.find(({ id }) => !keys.has(id))
        if (unreached !== undefined) {
          const reason = `no seal of this node reaches version ${unreached.number}`
          throw wrongVersion(`${reason}: do this on a node where one does`)
        }
        const next = await remakeRecords({
          ...{ ...surroundings, before: keyring, sealKeys: keys, openedBy: seal.name, label: node.label, failures },
          keyring: reactivateGenerations({ keyring, sealKeys: keys, former }),
          seals: willing.filter(({ name }) => !failures.has(name)),
        })
        restored = back.map(({ number }) => number)
        remade = next.remade
        return { keyring: next.keyring, sealKeys: keys, renewed: remade.map(({ sealName }) => sealName) }
      } catch (error) {
        keys.wipe()
        throw error
      }
    },
    signal,
  )
  return { ...written, restored, remade }
}

/** The keys of both, owned by the caller. */
function together(sealKeys: SealKeys, formerKeys: SealKeys, former: Keyring): SealKeys {
  return former.generations.reduce(
    (held, { id }) => (formerKeys.has(id) && !held.has(id) ? held.with(id, formerKeys.of(id).clone()) : held),
    sealKeys,
  )
}

function formerSealed(failures: ReadonlyMap<string, SealFailure>, cause: KmsKeyringError): KmsKeyringError {
  return new KmsKeyringError(
    'KMS_KEYRING_SEALED',
    `no seal of this node opens the keyring that versions are to come back from, and nothing was changed (${listOf(failures)}). ` +
      'The one in the store opens: take another copy or export from before, or do this on another node',
    { cause },
  )
}

function wrongVersion(reason: string): KmsKeyringError {
  return new KmsKeyringError('KMS_KEYRING_VERSION', `${reason}: nothing was changed`)
}
