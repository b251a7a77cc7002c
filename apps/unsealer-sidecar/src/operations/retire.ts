import { parseEnvelope } from '@sealwright/envelope'
import {
  currentGeneration,
  FIRST_GENERATION,
  findRecords,
  type Generation,
  type Keyring,
  type OpenKeyring,
  retireGeneration,
} from '@sealwright/keyring'
import { assertSums, readSealFacts, type SealFacts } from '@sealwright/raft-snapshot'
import { decodeSealBlob } from '@sealwright/seal-plugin'
import { type SealOperations } from '../control/operations.ts'
import { type Custody, CustodyError } from '../keyring/custody.ts'
import { OperationError } from './errors.ts'
import { generationFacts, hex, sealOf } from './facts.ts'

const NO_AAD = new Uint8Array()

/**
 * Retires the generations that OpenBao's storage names no more, as a snapshot shows, and with them what only leads there.
 *
 * The snapshot is whole, and sealed by the current key of this cluster, so it is genuine and not older than the last rotation. Every
 * server of the cluster must be known here: the keyring of a node that nobody here has heard of may know only the old generation.
 *
 * @throws {@link OperationError} `OPERATION_SNAPSHOT_REFUSED`, `OPERATION_NODES_UNKNOWN`; {RaftSnapshotError}; as `Custody.change`.
 */
export async function retire(
  custody: Custody,
  { snapshot, lostNodes }: Parameters<SealOperations['retire']>[0],
  signal: AbortSignal,
): Promise<Awaited<ReturnType<SealOperations['retire']>>> {
  const facts = await readSealFacts(snapshot, { signal })
  const held = custody.holder.held()?.key
  if (held === undefined)
    throw new CustodyError('CUSTODY_SEALED', 'no seal of this node has opened yet: see sealctl status')
  assertOurs(held, facts)
  assertAllNodesKnown(held.keyring, facts, lostNodes)
  const blobs = [facts.storedKeys, ...(facts.recoveryKey === undefined ? [] : [facts.recoveryKey])]
  const named = new Set(blobs.map(blob => keyIdOf(blob, held.keyring)))
  const isSpent = (keyring: Keyring, { state, keyId, id }: Generation): boolean =>
    state === 'active' && !named.has(keyId) && hex(id) !== hex(currentGeneration(keyring).id)

  const spent = held.keyring.generations.filter(generation => isSpent(held.keyring, generation))
  if (spent.length > 0) {
    await custody.change(({ keyring: before, sealKeys }) => {
      const keyring = before.generations
        .filter(generation => isSpent(before, generation))
        .reduce((next, { id }) => retireGeneration({ keyring: next, sealKeys, id }), before)
      return { keyring, sealKeys }
    }, signal)
  }
  const after = generationFacts(custody.holder.held()?.key.keyring ?? held.keyring)
  const spentIds = new Set(spent.map(({ keyId }) => keyId))
  return {
    retired: after.filter(({ keyId, state }) => spentIds.has(keyId) && state === 'retired'),
    kept: after.filter(({ state, isCurrent }) => state === 'active' && !isCurrent),
  }
}

/** The snapshot was sealed by this cluster since its last rotation, and says what the seal says of it. */
function assertOurs(held: OpenKeyring, { snapshot }: SealFacts): void {
  const { ciphertext } = decodeSealBlob(snapshot.sealedSums)
  if (keyIdOf(snapshot.sealedSums, held.keyring) !== held.keyId) {
    throw new OperationError(
      'OPERATION_SNAPSHOT_REFUSED',
      'the snapshot was not sealed by the current key: take it now, after the rotation, from this cluster',
    )
  }
  assertSums(held.decryptBlob({ blob: ciphertext, aad: NO_AAD }), snapshot.sums)
}

/**
 * The key id that a blob is authenticated with; that beside it is not. A blob of the static seal that was taken over has a nonce of its
 * own, and needs the first generation.
 */
function keyIdOf(bytes: Uint8Array, { generations }: Keyring): string | undefined {
  const { iv, ciphertext } = decodeSealBlob(bytes)
  if (iv.length > 0) return generations.find(({ number }) => number === FIRST_GENERATION)?.keyId
  return Buffer.from(parseEnvelope(ciphertext).keyRef).toString('latin1')
}

/** By the label of a member: members of the TPM of each server are called as the server is. */
function assertAllNodesKnown(keyring: Keyring, { snapshot }: SealFacts, lostNodes: readonly string[]): void {
  const tpmMembers = keyring.members.filter(
    member =>
      member.state === 'active' &&
      sealOf(keyring, member)?.sealType === 'tpm' &&
      findRecords(keyring, member).length > 0,
  )
  // Where no seal is of one node alone, each node opens by what all share.
  if (tpmMembers.length === 0) return
  const known = new Set([...tpmMembers.map(({ label }) => label), ...lostNodes])
  const unknown = snapshot.metadata.servers.map(({ id }) => id).filter(id => !known.has(id))
  if (unknown.length === 0) return
  throw new OperationError(
    'OPERATION_NODES_UNKNOWN',
    `nothing was retired: the keyring here has no TPM member that is called as the server ${unknown.join(', ')}, which may know only the old ` +
      'key. Import its keyring (sealctl keyring export there, sealctl keyring import here), or name it with --lost NODE if it is no more',
  )
}
