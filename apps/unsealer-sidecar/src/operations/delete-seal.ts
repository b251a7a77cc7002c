import { hex, sameBytes } from '@sealwright/bytes'
import {
  findRecords,
  findSeal,
  isMissed,
  type Keyring,
  leadsToCurrent,
  type Member,
  reachedGenerations,
  removeSeal,
  type Seal,
} from '@sealwright/keyring'
import { type SealConfig } from '@sealwright/node-config'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { type SealOperations } from '../control/operations.ts'
import { type Custody, type Unlocked } from '../keyring/custody.ts'
import { CustodyError } from '../keyring/custody-error.ts'
import { OperationError } from './errors.ts'
import { sealOf } from './facts.ts'
import { neverTheLast } from './last-way-in.ts'

/** What a seal is taken away with. */
export interface DeleteSealDependencies {
  readonly custody: Custody
  readonly configured: () => readonly SealConfig[]
  readonly seals: () => readonly ConfiguredSeal[]
}

/**
 * Takes a seal away with all its records, once nobody depends on it as far as that can be known.
 *
 * Of this node it is known: another automatic seal must open now, for real. Of the other nodes the keyring knows who has a TPM, and what
 * their records lead to; which seal opened them it does not, so an operator says of each to have looked. Shares of people are never
 * counted: whether somebody still has them nobody can know here.
 *
 * @throws {@link OperationError} `OPERATION_SEAL_UNKNOWN`, `OPERATION_LAST_WAY_IN`, `OPERATION_SEAL_IN_USE`,
 *   `OPERATION_NODES_UNCHECKED`; as `Custody.change`.
 */
export async function deleteSeal(
  dependencies: DeleteSealDependencies,
  { sealName, checkedNodes }: Pick<Parameters<SealOperations['deleteSeal']>[0], 'sealName' | 'checkedNodes'>,
  signal: AbortSignal,
): Promise<void> {
  const { custody } = dependencies
  const held = custody.holder.held()
  if (held === undefined)
    throw new CustodyError('CUSTODY_SEALED', 'no seal of this node has opened yet: see sealctl status')
  activeSeal(held.key.keyring, sealName)
  await assertOpensWithout(dependencies, sealName, signal)
  assertNotInUseHere(dependencies, sealName)
  await custody.change(({ keyring, sealKeys }) => {
    const seal = activeSeal(keyring, sealName)
    const after = neverTheLast(sealName, () => removeSeal({ keyring, sealKeys, sealId: seal.sealId }))
    assertReachesAsMuch(sealName, { keyring, sealKeys }, after)
    assertNobodyIsShutOut(sealName, keyring, after)
    assertChecked(keyring, seal, checkedNodes)
    return { keyring: after, sealKeys }
  }, signal)
}

function activeSeal(keyring: Keyring, sealName: string): Seal {
  const seal = findSeal(keyring, sealName)
  if (seal !== undefined) return seal
  throw new OperationError('OPERATION_SEAL_UNKNOWN', `the keyring has no seal ${sealName}`)
}

/** What this node would open by at its next start is tried now. */
async function assertOpensWithout(
  { custody, seals }: DeleteSealDependencies,
  sealName: string,
  signal: AbortSignal,
): Promise<void> {
  await custody.holder.probe(signal)
  const others = seals().filter(({ name }) => name !== sealName)
  if (others.some(({ name }) => custody.holder.health(name).kind === 'healthy')) return
  const failing = others.map(({ name }) => {
    const health = custody.holder.health(name)
    return health.kind === 'failing' ? `${name}: ${health.failure.code}` : name
  })
  throw lastWayIn(
    `no other automatic seal opens this node now (${failing.join(', ') || 'it has none'}); people with shares are not counted. ` +
      'See sealctl status',
  )
}

/**
 * Which seal has opened this node does not matter: the key is in memory, another seal has just opened, and at the next start only those of
 * the configuration are asked.
 */
function assertNotInUseHere({ configured }: DeleteSealDependencies, sealName: string): void {
  if (configured().some(seal => seal.name === sealName && !seal.disabled)) {
    throw new OperationError(
      'OPERATION_SEAL_IN_USE',
      `${sealName} is in use on this node: take it out of node.yaml, or set disabled, and reload the agent, which need not be restarted`,
    )
  }
}

/**
 * Whatever a device led to, some device still leads to: {@link removeSeal} is content with shares. As there, not what somebody may have
 * planted beside the lineage.
 */
function assertReachesAsMuch(sealName: string, before: Unlocked, after: Keyring): void {
  const reached = reachedGenerations(after, recordsOfDevices(after)).map(({ id }) => hex(id))
  const lost = reachedGenerations(before.keyring, recordsOfDevices(before.keyring)).filter(
    generation => !reached.includes(hex(generation.id)) && isMissed(before, generation),
  )
  if (lost.length === 0) return
  const which = lost.map(({ number, keyId }) => `${number} (${keyId})`).join(', ')
  throw lastWayIn(
    `${sealName} is the last way to generation ${which} but for people with shares: rotate and retire first, or give another seal a record`,
  )
}

function recordsOfDevices(keyring: Keyring) {
  return activeMembers(keyring)
    .filter(({ seal }) => seal.sealType !== 'shamir')
    .flatMap(({ member }) => findRecords(keyring, member))
}

/** Nodes are known by the labels of their TPMs. One that had a way in must keep one: its own, or one that is shared. */
function assertNobodyIsShutOut(sealName: string, before: Keyring, after: Keyring): void {
  const shutOut = tpmLabels(before).filter(label => hasWayIn(before, label) && !hasWayIn(after, label))
  if (shutOut.length === 0) return
  throw lastWayIn(
    `${sealName} is the last way in of ${shutOut.join(', ')}: give each of them a record of another seal first (sealctl init there, then bring ` +
      'its keyring here), or shut out what is no more (sealctl members revoke)',
  )
}

function hasWayIn(keyring: Keyring, label: string): boolean {
  return activeMembers(keyring).some(
    ({ seal, member }) =>
      (seal.sealType === 'tpm' ? member.label === label : seal.sealType !== 'shamir') &&
      leadsToCurrent(keyring, findRecords(keyring, member)),
  )
}

/** A seal of TPMs opens the nodes that it has members of; any other one may open each node of the cluster. */
function assertChecked(keyring: Keyring, seal: Seal, checkedNodes: readonly string[]): void {
  const members = activeMembers(keyring).filter(({ member }) => sameBytes(member.sealId, seal.sealId))
  if (members.every(({ member }) => findRecords(keyring, member).length === 0)) return
  const isShared = seal.sealType !== 'tpm'
  const concerned = isShared ? tpmLabels(keyring) : [...new Set(members.map(({ member }) => member.label))]
  const unchecked = concerned.filter(label => !checkedNodes.includes(label))
  if (unchecked.length === 0 && (!isShared || checkedNodes.length > 0)) return
  throw new OperationError(
    'OPERATION_NODES_UNCHECKED',
    `nothing was changed: ${unchecked.join(', ') || 'every server of the cluster'} may be open by ${seal.name}, which cannot be seen from here. ` +
      `See by sealctl status on each that another seal opens it, and say so with --checked NODE for each server${isShared ? ', also for those that have no TPM' : ''}`,
  )
}

function tpmLabels(keyring: Keyring): readonly string[] {
  const labels = activeMembers(keyring).flatMap(({ seal, member }) => (seal.sealType === 'tpm' ? [member.label] : []))
  return [...new Set(labels)]
}

function activeMembers(keyring: Keyring): readonly { readonly seal: Seal; readonly member: Member }[] {
  return keyring.members.flatMap(member => {
    const seal = sealOf(keyring, member)
    return member.state === 'active' && seal?.state === 'active' ? [{ seal, member }] : []
  })
}

function lastWayIn(why: string): OperationError {
  return new OperationError('OPERATION_LAST_WAY_IN', `nothing was changed: ${why}`)
}
