import { hex } from '@sealwright/bytes'
import { EnvelopeError, parseEnvelope } from '@sealwright/envelope'
import {
  currentGeneration,
  FIRST_GENERATION,
  findRecords,
  type Keyring,
  KeyringError,
  type OpenKeyring,
  retireGeneration,
} from '@sealwright/keyring'
import { assertSums, readSealFacts, type SealFacts } from '@sealwright/raft-snapshot'
import { decodeSealBlob, SealPluginError } from '@sealwright/seal-plugin'
import { type SealOperations } from '../control/operations.ts'
import { type Custody } from '../keyring/custody.ts'
import { CustodyError } from '../keyring/custody-error.ts'
import { OperationError } from './errors.ts'
import { generationFacts } from './facts.ts'
import { assertNodesKnown, tpmMembers } from './nodes-known.ts'

const NO_AAD = new Uint8Array()

/**
 * Retires the generations that OpenBao's storage names no more, as a snapshot shows, and with them what only leads there.
 *
 * The snapshot is whole, and sealed by the current key of this cluster, so it is genuine and not older than the last rotation; and its
 * blobs open here, so they name what they need. Nothing shows that this is the storage that OpenBao has now: what is put back later opens
 * by the keyring that its blobs carry. Every server of the cluster must be known here: the keyring of a node that nobody here has heard
 * of may know only the old generation.
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
  const { storedKeys, recoveryKey } = facts
  const blobs: readonly NamedBlob[] = [
    { what: 'root key', bytes: storedKeys },
    ...(recoveryKey === undefined ? [] : [{ what: 'recovery key', bytes: recoveryKey }]),
  ]
  const named = new Set(blobs.map(blob => keyIdOf(blob, held.keyring)))
  assertNamedAreActive(held.keyring, named)
  for (const blob of blobs) assertOpens(held, blob)
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

/** A blob of the seal that a snapshot has, and what people call what is in it. */
interface NamedBlob {
  readonly what: string
  readonly bytes: Uint8Array
}

/** The snapshot was sealed by this cluster since its last rotation, and says what the seal says of it. */
function assertOurs(held: OpenKeyring, { snapshot }: SealFacts): void {
  const seal = { what: 'seal', bytes: snapshot.sealedSums }
  if (keyIdOf(seal, held.keyring) !== held.keyId) {
    throw new OperationError(
      'OPERATION_SNAPSHOT_REFUSED',
      'the snapshot was not sealed by the current key: take it now, after the rotation, from this cluster',
    )
  }
  assertSums(
    refusing(seal, () => decrypted(held, seal)),
    snapshot.sums,
  )
}

/**
 * The key id that a blob is authenticated with; that beside it is not. A blob of the static seal that was taken over has a nonce of its
 * own, and needs the first generation.
 */
function keyIdOf(blob: NamedBlob, { generations }: Keyring): string | undefined {
  return refusing(blob, () => {
    const { iv, ciphertext } = decodeSealBlob(blob.bytes)
    if (iv.length > 0) return generations.find(({ number }) => number === FIRST_GENERATION)?.keyId
    return Buffer.from(parseEnvelope(ciphertext).keyRef).toString('latin1')
  })
}

/** The blob decrypts here and now: one that is garbled shows nothing of the key that its storage needs. */
function assertOpens(held: OpenKeyring, blob: NamedBlob): void {
  refusing(blob, () => decrypted(held, blob)).fill(0)
}

function decrypted(held: OpenKeyring, { bytes }: NamedBlob): Uint8Array {
  const { iv, ciphertext, keyId } = decodeSealBlob(bytes)
  return iv.length > 0
    ? held.decryptStaticBlob({ ciphertext, iv, keyId, aad: NO_AAD })
    : held.decryptBlob({ blob: ciphertext, aad: NO_AAD })
}

/** What is wrong with a blob is wrong with the snapshot. */
function refusing<T>({ what }: NamedBlob, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof KeyringError || cause instanceof EnvelopeError || cause instanceof SealPluginError))
      throw cause
    throw new OperationError(
      'OPERATION_SNAPSHOT_REFUSED',
      `nothing was retired: the ${what} in the snapshot does not open here (${cause.code}: ${cause.message}): take another one, from this cluster`,
      { cause },
    )
  }
}

/**
 * A snapshot that names what is retired here already is not of the storage that was judged then. One that names what the keyring does not
 * list needs a key that this node has until it restarts, at the most: a break elsewhere has given its generation up.
 */
function assertNamedAreActive({ generations }: Keyring, named: ReadonlySet<string | undefined>): void {
  for (const keyId of named) {
    const listed = generations.filter(generation => generation.keyId === keyId)
    if (listed.some(({ state }) => state === 'active')) continue
    throw new OperationError(
      'OPERATION_SNAPSHOT_REFUSED',
      listed.length > 0
        ? `nothing was retired: the snapshot needs the key ${keyId}, which is retired here: it is not of this cluster as it is now`
        : `nothing was retired: the snapshot needs the key ${keyId ?? 'of the first generation'}, which the keyring does not list: have OpenBao ` +
            're-wrap on a node that still opens it, before any restart (bao write -f sys/rotate/root, bao operator step-down), and take another snapshot',
    )
  }
}

/** A TPM that has a record knows what is current. */
function assertAllNodesKnown(keyring: Keyring, { snapshot }: SealFacts, lostNodes: readonly string[]): void {
  const everyTpm = tpmMembers(keyring)
  assertNodesKnown({
    everyTpm,
    opens: everyTpm.filter(member => member.state === 'active' && findRecords(keyring, member).length > 0),
    nodes: snapshot.metadata.servers.map(({ id }) => id),
    lost: lostNodes,
    nothingDone: 'nothing was retired',
  })
}
