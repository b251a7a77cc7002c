import { sameBytes } from '@sealwright/bytes'
import {
  assertOrigin,
  decodeKeyring,
  encodeKeyring,
  findSeal,
  type Keyring,
  OpenKeyring,
  type SealKeys,
} from '@sealwright/keyring'
import { randomKeyBytes } from '@sealwright/secret'
import { type SealFailure } from '@sealwright/unseal'
import { type ConfiguredSeal } from './configured-seal.ts'
import { EnrolmentError } from './enrolment-error.ts'
import { proveThrough } from './node-seals.ts'
import { openKeyringStore } from './store.ts'
import { tendSeals } from './tend.ts'

/** What came of it. */
export interface Adopted {
  /** As it was written, or as it was in the store already. */
  readonly keyring: Keyring
  /** Names of the seals of this node that open it, proven just now. */
  readonly opens: readonly string[]
  /** Why the others do not, by name: `KEYRING_NO_RECORD` for one that was removed from the keyring. */
  readonly failures: ReadonlyMap<string, SealFailure>
  /** False: the store had all of it already, and is as it was. */
  readonly written: boolean
}

/**
 * Makes a keyring that came from elsewhere this node's own: gives each seal of the node a record, proves it, and writes the store.
 * For a new machine, and for one that lost everything.
 *
 * @param input.sealKeys - of the keyring; stay the caller's.
 * @param input.clusterId - 16 bytes, where it is known from elsewhere; else a record must have proven the origin.
 * @param input.seals - of this node that are not disabled. Whatever device they have now is meant, but for one that was removed.
 * @param input.assertFit - throws for a keyring that this node must not have: it is given the one that comes of what was brought and the store.
 * @throws {@link EnrolmentError} `ENROLMENT_NOTHING_PROVEN`, `ENROLMENT_OTHER_CLUSTER`; {KeyringError} `KEYRING_ORIGIN_UNPROVEN`,
 *   `KEYRING_OTHER_CLUSTER`; {StoreError}. After each the store is as it was.
 */
export async function adoptKeyring(
  input: {
    readonly keyring: Keyring
    readonly sealKeys: SealKeys
    readonly clusterId: Uint8Array | undefined
    readonly seals: readonly ConfiguredSeal[]
    readonly storePath: string
    readonly label: string
    readonly assertFit?: (keyring: Keyring) => void
  },
  signal: AbortSignal,
): Promise<Adopted> {
  const { sealKeys, clusterId, seals, storePath, label } = input
  using brought = OpenKeyring.from(input.keyring, sealKeys)
  assertOrigin(brought, clusterId)
  await using store = await openKeyringStore(storePath, { create: true })
  const stored = await store.readKeyring()
  const base = stored === undefined ? brought : unite(brought, decodeKeyring(stored))
  input.assertFit?.(base.keyring)
  const welcome = seals.map((seal): ConfiguredSeal => ({
    ...seal,
    withLocalMember: ({ signal: seekSignal }, use) =>
      seal.withLocalMember({ knownIn: undefined, signal: seekSignal }, use),
  }))
  const tended = await tendSeals({
    ...{ keyring: base.keyring, sealKeys, seals: welcome, label, admitStrangers: true, now: Date.now, signal },
    randomBytes: randomKeyBytes,
  })
  const failures = new Map(tended.failures)
  for (const { name } of seals) {
    if (findSeal(tended.keyring, name) === undefined && !failures.has(name)) failures.set(name, removedSeal(name))
  }
  const candidates = seals.filter(({ name }) => !failures.has(name))
  if (candidates.length === 0) throw nothingProven(failures)
  const prove = async (keyring: Keyring): Promise<void> => {
    for (const seal of candidates) await proveThrough(seal, { former: base.keyring, keyring }, signal)
  }
  const bytes = encodeKeyring(tended.keyring)
  const written = stored === undefined || !sameBytes(stored, bytes)
  if (!written) await prove(tended.keyring)
  else {
    await store.writeKeyring({
      ...{ bytes, expectedCurrent: stored, signal },
      prove: async bytesReadBack => {
        await prove(decodeKeyring(bytesReadBack))
      },
    })
  }
  return { keyring: tended.keyring, opens: candidates.map(({ name }) => name), failures, written }
}

/** A seal that was removed from the cluster is not made again, and is no reason to leave the others out. */
function removedSeal(name: string): SealFailure {
  return {
    code: 'KEYRING_NO_RECORD',
    message: `the seal ${name} was removed from the keyring, and gets no record: take it out of the configuration, or sealctl init --seal ${name} later`,
    kind: 'permanent',
  }
}

function unite(brought: OpenKeyring, stored: Keyring): OpenKeyring {
  if (!sameBytes(stored.clusterId, brought.keyring.clusterId)) {
    throw new EnrolmentError(
      'ENROLMENT_OTHER_CLUSTER',
      'the store of this node belongs to another cluster, and was left as it is: move it away if that cluster is no more',
    )
  }
  return brought.mergedWith(stored)
}

function nothingProven(failures: ReadonlyMap<string, SealFailure>): EnrolmentError {
  const why = [...failures].map(([name, { code, message }]) => `${name}: ${code}: ${message}`).join('; ')
  return new EnrolmentError(
    'ENROLMENT_NOTHING_PROVEN',
    `no seal of this node could be given a record, and nothing was written (${why})`,
  )
}
