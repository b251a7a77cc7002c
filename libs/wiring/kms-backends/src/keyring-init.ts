import { hex } from '@sealwright/bytes'
import {
  addRecord,
  createKeyring,
  decodeKeyring,
  encodeKeyring,
  KEY_BYTES,
  type Keyring,
  makeKmsKeyId,
  matchSealKey,
} from '@sealwright/keyring'
import {
  agentLock,
  classifySealFailure,
  openKeyringStore,
  proveByShares,
  proveThrough,
  recordForShares,
} from '@sealwright/node-seals'
import { randomKeyBytes, Secret } from '@sealwright/secret'
import { type KeyringBackendConfig } from '@sealwright/kms-config'
import { createShareSet, encodeShare, type Share } from '@sealwright/shamir'
import { StoreError } from '@sealwright/seal-store'
import { KmsKeyringError } from './keyring-error.ts'
import { type KeyringNode } from './keyring-unlock.ts'

/** A set of shares that is to be made. */
export interface WantedShares {
  readonly sealName: string
  readonly label: string
  readonly count: number
  readonly threshold: number
}

/** Shares on their way to people. */
export interface HandedShares {
  readonly wanted: WantedShares
  readonly clusterId: Uint8Array
  /** As people write them. Wiped when `handOut` has returned. */
  readonly texts: readonly Secret[]
}

export interface InitInput extends KeyringNode {
  readonly shares: readonly WantedShares[]
  /** Gives the shares away. Only then is the keyring written: a set that nobody has would look like a way in. */
  readonly handOut: (shares: HandedShares) => Promise<void>
  /** Whether an operator accepts that one device alone opens it. */
  readonly acceptSingleWayIn: boolean
}

/** A set with its shares, which nobody has yet. */
interface MadeShares {
  readonly wanted: WantedShares
  readonly memberId: Uint8Array
  readonly shares: readonly Share[]
}

/**
 * Makes the keyring of a new cluster: a random key, which nobody ever sees, with a record for every seal of this node. Each of them is
 * proven to open it before it is written, and nothing is ever written over.
 *
 * @throws {@link KmsKeyringError} `KMS_KEYRING_EXISTS`, `KMS_KEYRING_UNPROVEN`, `KMS_KEYRING_SINGLE_WAY_IN`; {StoreError} `STORE_IN_USE` and
 *   others; what `handOut` throws. After each no keyring was written, and shares that were handed out open nothing.
 */
export async function initKeyring(input: InitInput, signal: AbortSignal): Promise<Keyring> {
  const { config, seals } = input
  if (seals.length === 0) {
    throw new KmsKeyringError(
      'KMS_KEYRING_UNPROVEN',
      'no seal of the configuration opens without people: the KMS plugin could not start by itself. Add a TPM, a token or a transit key',
    )
  }
  await assertNone(config.store)
  assertIsFirst(config)
  await using store = await openKeyringStore(config.store, { create: true })
  // A program that runs with this store, and waits for its first keyring, must not get this one.
  await using lock = agentLock(config.store)
  await lock.ensure(signal)
  using sealKey = new Secret(randomKeyBytes(KEY_BYTES))
  const made: MadeShares[] = []
  try {
    const keyring = await withShares(await withSeals(input, sealKey, signal), input, { sealKey, made }, signal)
    assertSeveralWaysIn(keyring, input)
    await proveAll(keyring, input, { sealKey, made }, signal)
    for (const set of made) await handOutSet(input, keyring, set)
    await store.writeKeyring({
      ...{ bytes: encodeKeyring(keyring), expectedCurrent: undefined, signal },
      prove: async readBack => {
        await proveAll(decodeKeyring(readBack), input, { sealKey, made }, signal)
      },
    })
    return keyring
  } finally {
    for (const { value } of made.flatMap(({ shares }) => shares)) value.wipe()
  }
}

/** A node that has lost its store would get another key, and read nothing of what there is. */
function assertIsFirst({ clusterId }: Pick<KeyringBackendConfig, 'clusterId'>): void {
  if (clusterId === undefined) return
  throw new KmsKeyringError(
    'KMS_KEYRING_EXISTS',
    `the configuration names a keyring that was made before (backend.clusterId ${clusterId}), and no other one was made: bring it here by sealctl kms keyring recover --keyring FILE or import, or let this node in (enroll). Only for a new one that has nothing to do with it take clusterId out`,
  )
}

async function assertNone(storePath: string): Promise<void> {
  try {
    await using store = await openKeyringStore(storePath)
    if ((await store.readKeyring()) === undefined) return
  } catch (error) {
    if (error instanceof StoreError && error.code === 'STORE_NOT_FOUND') return
    throw error
  }
  throw new KmsKeyringError(
    'KMS_KEYRING_EXISTS',
    `${storePath} has a keyring already, and what was encrypted needs it: nothing was changed. See sealctl kms keyring show`,
  )
}

async function withSeals({ seals, label }: InitInput, sealKey: Secret, signal: AbortSignal): Promise<Keyring> {
  const surroundings = { now: Date.now, randomBytes: randomKeyBytes, signal }
  let keyring: Keyring | undefined
  for (const seal of seals) {
    const before = keyring
    keyring = await naming(seal.name, signal, () =>
      seal.withLocalMember({ knownIn: undefined, signal }, async member => {
        const record = { ...surroundings, sealName: seal.name, member, method: member.method, label }
        if (before === undefined) {
          const keyId = makeKmsKeyId({ notBeforeMs: Date.now(), randomBytes: randomKeyBytes })
          return await createKeyring({ ...record, sealKey, keyId })
        }
        return await withRecord(before, sealKey, record)
      }),
    )
  }
  if (keyring === undefined) throw new TypeError('there is a seal')
  return keyring
}

async function withShares(
  first: Keyring,
  { shares: wantedShares }: InitInput,
  { sealKey, made }: { readonly sealKey: Secret; readonly made: MadeShares[] },
  signal: AbortSignal,
): Promise<Keyring> {
  let keyring = first
  for (const wanted of wantedShares) {
    const { sealName, label, count, threshold } = wanted
    const { clusterId } = keyring
    const { shares, ...set } = createShareSet({ clusterId, threshold, shares: count, randomBytes: randomKeyBytes })
    made.push({ wanted, memberId: set.memberId, shares })
    const record = recordForShares({ ...set, sealName, label })
    keyring = await withRecord(keyring, sealKey, { ...record, now: Date.now, randomBytes: randomKeyBytes, signal })
  }
  return keyring
}

async function withRecord(
  keyring: Keyring,
  sealKey: Secret,
  record: Omit<Parameters<typeof addRecord>[0], 'keyring' | 'sealKeys'>,
): Promise<Keyring> {
  using sealKeys = matchSealKey({ keyring, sealKey })
  return await addRecord({ ...record, keyring, sealKeys })
}

/** Every seal, and every set of shares, opens it; and it opens to the very key that was made. */
async function proveAll(
  keyring: Keyring,
  { seals }: InitInput,
  { sealKey, made }: { readonly sealKey: Secret; readonly made: readonly MadeShares[] },
  signal: AbortSignal,
): Promise<void> {
  matchSealKey({ keyring, sealKey }).wipe()
  for (const seal of seals) await naming(seal.name, signal, () => proveThrough(seal, { keyring }, signal))
  for (const { wanted, ...set } of made) await proveByShares(keyring, { ...set, sealName: wanted.sealName }, signal)
}

/** Says which seal it was that failed. */
async function naming<T>(sealName: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    signal.throwIfAborted()
    const { code, message } = classifySealFailure(error)
    throw new KmsKeyringError(
      'KMS_KEYRING_UNPROVEN',
      `the seal ${sealName} could not be given a record that opens (${code}: ${message}): nothing was written. Mend it, or disable it in the configuration`,
      { cause: error },
    )
  }
}

/** Two seals of one device are one way in. */
function assertSeveralWaysIn({ members }: Keyring, { acceptSingleWayIn }: InitInput): void {
  const devices = new Set(members.map(({ memberId }) => hex(memberId)))
  if (devices.size > 1 || acceptSingleWayIn) return
  throw new KmsKeyringError(
    'KMS_KEYRING_SINGLE_WAY_IN',
    'only one device would open this keyring, and nothing was written: should it break, be cleared or get lost, every Secret of the cluster is ' +
      'lost with it, and no backup of etcd brings them back. Configure a second seal, best one of type shamir; or, if further nodes are to join ' +
      'with devices of their own, say --single-way-in, and let them in before anything is encrypted',
  )
}

async function handOutSet(
  { handOut }: InitInput,
  { clusterId }: Keyring,
  { wanted, shares }: MadeShares,
): Promise<void> {
  const texts = shares.map(encodeShare)
  try {
    await handOut({ wanted, clusterId, texts })
  } finally {
    for (const text of texts) text.wipe()
  }
}
