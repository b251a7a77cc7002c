import { hostname } from 'node:os'
import { randomBytes, randomFillSync } from 'node:crypto'
import { addRecord, findSeal, type Keyring, proveRecords, rootGenerations } from '@sealwright/keyring'
import { type SealConfig } from '@sealwright/node-config'
import { type ConfiguredSeal, tendSeals } from '@sealwright/node-seals'
import { allocateKeyBytes, type Secret } from '@sealwright/secret'
import {
  beginCeremony,
  createShareSet,
  encodeShare,
  next,
  readShareSet,
  type Share,
  shamirRemoteMember,
  shamirSealMember,
} from '@sealwright/shamir'
import { type SealOperations } from '../control/operations.ts'
import { type Custody } from '../keyring/custody.ts'
import { OperationError } from './errors.ts'
import { factsOf, hex, isSame, sealOf } from './facts.ts'

type Initialised = Awaited<ReturnType<SealOperations['initialise']>>

/** What a seal is initialised with. */
export interface InitialiseDependencies {
  readonly custody: Custody
  readonly configured: () => readonly SealConfig[]
  readonly seals: () => readonly ConfiguredSeal[]
}

/**
 * Gives a seal of this node's configuration its first record, or the device that it has now one more.
 *
 * @throws {@link OperationError} `OPERATION_SEAL_UNKNOWN`, `OPERATION_INVALID`; as `Custody.change`; what the seal throws.
 */
export async function initialise(
  dependencies: InitialiseDependencies,
  request: Parameters<SealOperations['initialise']>[0],
  signal: AbortSignal,
): Promise<Initialised> {
  const { sealName, shares, label = hostname() } = request
  const configured = dependencies.configured().find(({ name, disabled }) => name === sealName && !disabled)
  if (configured === undefined) {
    throw new OperationError(
      'OPERATION_SEAL_UNKNOWN',
      `the configuration of this node has no seal ${sealName} that is not disabled: add it to node.yaml, then reload the agent (SIGHUP, or sealctl seals add)`,
    )
  }
  if (configured.type !== 'shamir') {
    if (shares !== undefined) {
      throw new OperationError(
        'OPERATION_INVALID',
        `${sealName} is a seal of type ${configured.type}: it has no shares`,
      )
    }
    return await initialiseDevice(dependencies, { sealName, label }, signal)
  }
  if (shares === undefined) {
    throw new OperationError(
      'OPERATION_INVALID',
      `${sealName} is a Shamir seal: say how many shares, and how many of them open`,
    )
  }
  return await initialiseShares(dependencies, { sealName, label: request.label ?? 'default', shares }, signal)
}

async function initialiseDevice(
  { custody, seals }: InitialiseDependencies,
  { sealName, label }: { readonly sealName: string; readonly label: string },
  signal: AbortSignal,
): Promise<Initialised> {
  const seal = seals().find(({ name }) => name === sealName)
  if (seal === undefined) throw new OperationError('OPERATION_SEAL_UNKNOWN', `${sealName} is not running`)
  let memberId: Uint8Array | undefined
  const noticed: ConfiguredSeal = {
    ...seal,
    withLocalMember: ({ signal: seekSignal }, use) =>
      // An operator says that this device is meant: it need not be known.
      seal.withLocalMember({ knownIn: undefined, signal: seekSignal }, async member => {
        memberId = Uint8Array.from(member.memberId)
        return await use(member)
      }),
  }
  const { keyring } = await custody.change(async (unlocked, changeSignal) => {
    const { keyring, renewed, failures } = await tendSeals({
      ...{ ...unlocked, seals: [noticed], label, readdRemoved: true, now: Date.now, signal: changeSignal },
      randomBytes: keyBytes,
    })
    const failure = failures.get(sealName)
    if (failure !== undefined) throw new OperationError('OPERATION_SEAL_FAILED', `${failure.code}: ${failure.message}`)
    return { keyring, sealKeys: unlocked.sealKeys, provenBy: renewed.length > 0 ? [seal] : [] }
  }, signal)
  return initialised(keyring, sealName, memberId ?? new Uint8Array(), [])
}

async function initialiseShares(
  { custody }: InitialiseDependencies,
  {
    sealName,
    label,
    shares: { threshold, count },
  }: {
    readonly sealName: string
    readonly label: string
    readonly shares: { readonly threshold: number; readonly count: number }
  },
  signal: AbortSignal,
): Promise<Initialised> {
  const { clusterId } = await custody.known()
  const made = createShareSet({ clusterId, threshold, shares: count, randomBytes: keyBytes })
  try {
    const { wrappingKey, memberId, data } = made
    const { keyring } = await custody.change(async ({ keyring: before, sealKeys }, changeSignal) => {
      let keyring = before
      for (const { id: generationId } of rootGenerations(before)) {
        keyring = await addRecord({
          ...{ keyring, sealKeys, generationId, sealName, label, data, wrappingKey },
          member: shamirRemoteMember({ wrappingKey, memberId }),
          method: 'shamir-hybrid',
          ...{ now: Date.now, randomBytes: keyBytes, signal: changeSignal },
        })
      }
      return {
        ...{ keyring, sealKeys },
        prove: (readBack, proveSignal) =>
          proveShares(readBack, { sealName, memberId, shares: made.shares }, proveSignal),
      }
    }, signal)
    return initialised(keyring, sealName, memberId, made.shares.map(encodeShare))
  } finally {
    for (const { value } of made.shares) value.wipe()
  }
}

/** Opens what is about to be stored by the shares that are about to be handed out, as people would. */
async function proveShares(
  keyring: Keyring,
  {
    sealName,
    memberId,
    shares,
  }: { readonly sealName: string; readonly memberId: Uint8Array; readonly shares: readonly Share[] },
  signal: AbortSignal,
): Promise<void> {
  const seal = findSeal(keyring, sealName)
  const listed = keyring.members.find(member => isSame(member.memberId, memberId))
  if (seal === undefined || listed === undefined) {
    throw new OperationError('OPERATION_SEAL_FAILED', 'the new set of shares is not in the keyring that was written')
  }
  const nonce = randomBytes(16).toString('hex')
  let ceremony = beginCeremony({ set: readShareSet({ clusterId: keyring.clusterId, member: listed }), nonce })
  for (const share of shares) {
    if (ceremony.kind !== 'collecting') break
    ceremony = next(ceremony, { kind: 'share', nonce, share: { ...share, value: share.value.clone() } })
  }
  if (ceremony.kind === 'failed') throw ceremony.error
  if (ceremony.kind === 'collecting') throw new TypeError('a set has at least as many shares as it needs')
  using privateKey = ceremony.privateKey
  await proveRecords({ keyring, sealId: seal.sealId, member: shamirSealMember({ privateKey }), signal })
}

function initialised(keyring: Keyring, sealName: string, memberId: Uint8Array, shares: readonly Secret[]): Initialised {
  const member = keyring.members.find(
    candidate => isSame(candidate.memberId, memberId) && sealOf(keyring, candidate)?.name === sealName,
  )
  const seal = findSeal(keyring, sealName)
  if (member === undefined || seal === undefined) throw new TypeError(`the keyring lists no such member of ${sealName}`)
  return { member: factsOf(keyring, seal, member), clusterId: hex(keyring.clusterId), shares }
}

function keyBytes(byteLength: number): Uint8Array {
  return randomFillSync(allocateKeyBytes(byteLength))
}
