import { parseEnvelope } from '@sealwright/envelope'
import {
  currentGeneration,
  FIRST_GENERATION,
  findRecords,
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
  return await retireByFacts(custody, { facts: await readSealFacts(snapshot, { signal }), lostNodes }, signal)
}

/** The same, by what a whole snapshot says. */
export async function retireByFacts(
  custody: Custody,
  { facts, lostNodes }: { readonly facts: SealFacts; readonly lostNodes: readonly string[] },
  signal: AbortSignal,
): Promise<Awaited<ReturnType<SealOperations['retire']>>> {
  const held = custody.holder.held()?.key
  if (held === undefined)
    throw new CustodyError('CUSTODY_SEALED', 'no seal of this node has opened yet: see sealctl status')
  assertOurs(held, facts)
  assertAllNodesKnown(held.keyring, facts, lostNodes)
  const blobs = [facts.storedKeys, ...(facts.recoveryKey === undefined ? [] : [facts.recoveryKey])]
  const named = new Set(blobs.map(blob => keyIdOf(blob, held.keyring)))
  assertNamedAreActive(held.keyring, named)
  const current = hex(currentGeneration(held.keyring).id)
  const spent = held.keyring.generations.filter(
    ({ state, keyId, id }) => state === 'active' && !named.has(keyId) && hex(id) !== current,
  )
  if (spent.length > 0) {
    const spentIds = new Set(spent.map(({ id }) => hex(id)))
    await custody.change(({ keyring: before, sealKeys }) => {
      // Only those that the snapshot was asked about: what a rotation meanwhile made old may be named by newer blobs.
      const keyring = before.generations
        .filter(generation => spentIds.has(hex(generation.id)) && generation.state === 'active')
        .reduce((next, { id }) => retireGeneration({ keyring: next, sealKeys, id }), before)
      return { keyring, sealKeys }
    }, signal)
  }
  const after = generationFacts(custody.holder.held()?.key.keyring ?? held.keyring)
  const spentKeyIds = new Set(spent.map(({ keyId }) => keyId))
  return {
    retired: after.filter(({ keyId, state }) => spentKeyIds.has(keyId) && state === 'retired'),
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

/** A snapshot that names what is retired here already is not of the storage that was judged then. */
function assertNamedAreActive({ generations }: Keyring, named: ReadonlySet<string | undefined>): void {
  for (const { keyId, state } of generations) {
    if (state !== 'retired' || !named.has(keyId)) continue
    throw new OperationError(
      'OPERATION_SNAPSHOT_REFUSED',
      `nothing was retired: the snapshot needs the key ${keyId}, which is retired here: it is not of this cluster as it is now`,
    )
  }
}

/** By the label of a member: members of the TPM of each server are called as the server is. */
function assertAllNodesKnown(keyring: Keyring, { snapshot }: SealFacts, lostNodes: readonly string[]): void {
  const everyTpm = keyring.members.filter(member => sealOf(keyring, member)?.sealType === 'tpm')
  // Where no seal ever was of one node alone, each node opens by what all share. A removed one may be all that its node has.
  if (everyTpm.length === 0) return
  const tpmMembers = everyTpm.filter(member => member.state === 'active' && findRecords(keyring, member).length > 0)
  const known = new Set([...tpmMembers.map(({ label }) => label), ...lostNodes])
  const unknown = snapshot.metadata.servers.map(({ id }) => id).filter(id => !known.has(id))
  if (unknown.length === 0) return
  throw new OperationError(
    'OPERATION_NODES_UNKNOWN',
    `nothing was retired: the keyring here has no TPM member that is called as the server ${unknown.join(', ')}, which may know only the old ` +
      'key. Import its keyring (sealctl keyring export there, sealctl keyring import here), or name it with --lost NODE if it is no more, or opens by a seal that it shares',
  )
}
