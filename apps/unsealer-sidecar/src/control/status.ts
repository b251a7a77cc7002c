import { hex } from '@sealwright/bytes'
import {
  type NamedSealStatusView,
  type OpenBaoView,
  type RefusedKeyringView,
  type SealView,
  type ShareSetView,
  type StatusView,
  viewSealHealth,
} from '@sealwright/control-api'
import { type OpenKeyring } from '@sealwright/keyring'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { type Held, type Keyholder } from '../keyring/keyholder.ts'
import { type RefusedKeyring } from '../openbao/leader-key.ts'
import { type CeremonyState } from './operations.ts'

/** Every seal of the node, the disabled ones and those of people too, as the control API shows it: best priority first. */
export function viewSeals(
  seals: readonly Pick<ConfiguredSeal, 'name' | 'type' | 'priority' | 'disabled'>[],
  keyholder: Pick<Keyholder<unknown>, 'health'>,
): SealView[] {
  return seals
    .toSorted((one, other) => one.priority - other.priority)
    .map(({ name, type, priority, disabled }) => ({
      ...{ name, type, priority, disabled },
      health: viewSealHealth(keyholder.health(name)),
    }))
}

/** The whole status of an agent as the control API shows it. */
export function viewStatus(facts: {
  readonly version: string
  readonly pid: number
  readonly startedAt: string
  readonly store: string
  readonly held: Held<OpenKeyring> | undefined
  readonly refusedKeyring: RefusedKeyring | undefined
  readonly seals: readonly SealView[]
  readonly sessions: number
  readonly openbao: OpenBaoView
}): StatusView {
  const { version, pid, startedAt, store, held, refusedKeyring, seals, sessions, openbao } = facts
  const current = currentSeal(seals, held?.sealName)
  const base = {
    ...{ version, pid, startedAt, store, seals: [...seals], sessions, openbao },
    ...(current === undefined ? {} : { currentSeal: { name: current.name, autoUnsealHealth: current.health } }),
    ...(refusedKeyring === undefined ? {} : { refusedKeyring: viewRefusedKeyring(refusedKeyring) }),
  }
  if (held === undefined) return { ...base, state: 'sealed' }
  const { keyring, current: generation } = held.key
  return {
    ...base,
    state: 'open',
    keyring: {
      clusterId: hex(keyring.clusterId),
      generation: generation.number,
      keyId: generation.keyId,
      openedAt: new Date(held.openedAtMs).toISOString(),
      openedBy: held.sealName,
    },
  }
}

function viewRefusedKeyring({ code, message, keyId, sinceMs }: RefusedKeyring): RefusedKeyringView {
  return { code, message, keyId, since: new Date(sinceMs).toISOString() }
}

/**
 * One seal of the configuration as the RFC's `sys/seal-status/:name` shows it; `undefined` if there is none of that name.
 *
 * @param sets - of a Shamir seal.
 */
export function viewNamedSealStatus(
  status: StatusView,
  name: string,
  sets?: readonly CeremonyState[],
): NamedSealStatusView | undefined {
  const sealed = status.state === 'sealed'
  const seal = status.seals.find(candidate => candidate.name === name)
  if (seal === undefined) return undefined
  const { type, priority, disabled, health } = seal
  const opened = status.keyring?.openedBy === name
  return {
    ...{ name, type, priority, disabled, sealed, opened },
    autoUnsealHealth: health,
    ...(sets === undefined ? {} : { sets: sets.map(viewShareSet) }),
  }
}

/**
 * The same status with the sets of shares of its Shamir seals. One whose sets cannot be told stays as it is: what keeps the store from
 * being read stands with the seals that are tried, and a status is wanted most where something is broken.
 */
export async function withShareSets(
  status: StatusView,
  shareSets: (sealName: string) => Promise<readonly CeremonyState[]>,
): Promise<StatusView> {
  const withSets = async (seal: SealView): Promise<SealView> => {
    if (seal.type !== 'shamir' || seal.disabled) return seal
    const [found] = await Promise.allSettled([shareSets(seal.name)])
    return found.status === 'rejected' ? seal : { ...seal, sets: found.value.map(viewShareSet) }
  }
  return { ...status, seals: await Promise.all(status.seals.map(withSets)) }
}

function viewShareSet({ setLabel: label, threshold, count, entered }: CeremonyState): ShareSetView {
  return { label, threshold, count, entered: [...entered] }
}

/** The seal that a node is judged by: the one that opened it, else the one that is tried first. People are waited for last. */
function currentSeal(seals: readonly SealView[], openedBy: string | undefined): SealView | undefined {
  const enabled = seals.filter(({ disabled }) => !disabled)
  const byPriority = enabled.toSorted((one, other) => one.priority - other.priority)
  return (
    enabled.find(({ name }) => name === openedBy) ?? byPriority.find(({ type }) => type !== 'shamir') ?? byPriority[0]
  )
}
