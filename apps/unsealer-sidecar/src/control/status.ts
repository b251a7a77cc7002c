import { type OpenBaoView, type SealView, type StatusView, viewSealHealth } from '@sealwright/control-api'
import { type OpenKeyring } from '@sealwright/keyring'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { type Held, type Keyholder } from '../keyring/keyholder.ts'

/** Every seal of the node, the disabled ones too, as the control API shows it. */
export function viewSeals(
  seals: readonly Pick<ConfiguredSeal, 'name' | 'type' | 'priority' | 'disabled'>[],
  keyholder: Pick<Keyholder<unknown>, 'health'>,
): SealView[] {
  return seals.map(({ name, type, priority, disabled }) => ({
    name,
    type,
    priority,
    disabled,
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
  readonly seals: readonly SealView[]
  readonly sessions: number
  readonly openbao: OpenBaoView
}): StatusView {
  const { version, pid, startedAt, store, held, seals, sessions, openbao } = facts
  const base = { version, pid, startedAt, store, seals: [...seals], sessions, openbao }
  if (held === undefined) return { ...base, state: 'sealed' }
  const { keyring, current } = held.key
  return {
    ...base,
    state: 'open',
    keyring: {
      clusterId: Buffer.from(keyring.clusterId).toString('hex'),
      generation: current.number,
      keyId: current.keyId,
      openedAt: new Date(held.openedAtMs).toISOString(),
      openedBy: held.sealName,
    },
  }
}
