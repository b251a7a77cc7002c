import { hostname } from 'node:os'
import { hex, sameBytes } from '@sealwright/bytes'
import { findSeal, type Keyring, type Member, relabelMember } from '@sealwright/keyring'
import { type SealConfig } from '@sealwright/node-config'
import { type ConfiguredSeal, tendSeals } from '@sealwright/node-seals'
import { randomKeyBytes } from '@sealwright/secret'
import { type SealOperations } from '../control/operations.ts'
import { type Custody, type Unlocked } from '../keyring/custody.ts'
import { OperationError } from './errors.ts'
import { listedMember } from './facts.ts'
import { type NewShareSets, newShareSet } from './new-share-sets.ts'

type Initialised = Awaited<ReturnType<SealOperations['initialise']>>

/** What a seal is initialised with. */
export interface InitialiseDependencies {
  readonly custody: Custody
  readonly configured: () => readonly SealConfig[]
  readonly seals: () => readonly ConfiguredSeal[]
  readonly newShareSets: NewShareSets
}

/**
 * Gives a seal of this node's configuration its first record, or the device that it has now one more. Where that device is a member
 * already and a label is given, it is called so from then on. Of a Shamir seal it makes a new set, which opens nothing before it is confirmed.
 *
 * @throws {@link OperationError} `OPERATION_SEAL_UNKNOWN`, `OPERATION_INVALID`; as `Custody.change`; what the seal throws.
 */
export async function initialise(
  dependencies: InitialiseDependencies,
  request: Parameters<SealOperations['initialise']>[0],
  signal: AbortSignal,
): Promise<Initialised> {
  const { sealName, shares, label } = request
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
  return await newShareSet(dependencies, { sealName, label: label ?? 'default', ...shares }, signal)
}

async function initialiseDevice(
  { custody, seals }: InitialiseDependencies,
  { sealName, label }: { readonly sealName: string; readonly label: string | undefined },
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
      ...{
        ...unlocked,
        seals: [noticed],
        label: label ?? hostname(),
        readdRemoved: true,
        now: Date.now,
        signal: changeSignal,
      },
      randomBytes: randomKeyBytes,
    })
    const failure = failures.get(sealName)
    if (failure !== undefined) throw new OperationError('OPERATION_SEAL_FAILED', `${failure.code}: ${failure.message}`)
    const { sealKeys } = unlocked
    const called = label === undefined ? keyring : relabelled({ keyring, sealKeys }, { sealName, memberId, label })
    return { keyring: called, sealKeys, provenBy: renewed.length > 0 ? [seal] : [] }
  }, signal)
  return {
    member: listedMember(keyring, sealName, memberId ?? new Uint8Array()),
    clusterId: hex(keyring.clusterId),
    shares: [],
  }
}

/** A member that was listed before keeps its label when it is tended: whoever gives another one wants it called so. */
function relabelled(
  { keyring, sealKeys }: Unlocked,
  {
    sealName,
    memberId,
    label,
  }: { readonly sealName: string; readonly memberId: Uint8Array | undefined; readonly label: string },
): Keyring {
  const members = activeMembersOf(keyring, sealName)
  const own = members.find(member => memberId !== undefined && sameBytes(member.memberId, memberId))
  if (own === undefined || own.label === label) return keyring
  const other = members.find(member => member.label === label)
  if (other !== undefined) {
    throw new OperationError(
      'OPERATION_INVALID',
      `nothing was changed: another member of ${sealName} is called ${label} (${hex(other.memberId)}): choose another label, or first call that ` +
        'one otherwise, or shut it out if it is no more (sealctl members revoke)',
    )
  }
  return relabelMember({ keyring, sealKeys, place: own, label })
}

function activeMembersOf(keyring: Keyring, sealName: string): readonly Member[] {
  const seal = findSeal(keyring, sealName)
  return keyring.members.filter(
    ({ sealId, state }) => state === 'active' && seal !== undefined && sameBytes(sealId, seal.sealId),
  )
}
