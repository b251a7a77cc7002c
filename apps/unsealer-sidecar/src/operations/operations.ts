import { hex } from '@sealwright/bytes'
import { encodeKeyring, type Keyring, type Member } from '@sealwright/keyring'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { type SealConfig } from '@sealwright/node-config'
import { type BreakRequest, type RotationResult, type SealOperations } from '../control/operations.ts'
import { type Custody } from '../keyring/custody.ts'
import { CustodyError } from '../keyring/custody-error.ts'
import { deleteSeal } from './delete-seal.ts'
import { approveEnrolment } from './enrol.ts'
import { OperationError } from './errors.ts'
import { generationFacts, memberFacts, sealFacts, sealOf } from './facts.ts'
import { initialise } from './initialise.ts'
import { confirmShares, createNewShareSets } from './new-share-sets.ts'
import { retire } from './retire.ts'
import { type Rotated, rotateBroken, rotateChained } from './rotate.ts'
import { shareOperations } from './shares.ts'

export interface OperationDependencies {
  readonly custody: Custody
  /** Every seal of the configuration, as it is now. */
  readonly configured: () => readonly SealConfig[]
  /** Those that are not disabled, as the configuration is now. */
  readonly seals: () => readonly ConfiguredSeal[]
  readonly reload: SealOperations['reload']
}

/** What operators can do to the seals of the cluster, done by this agent. */
export function sealOperations(dependencies: OperationDependencies): SealOperations & Disposable {
  const { custody, configured, seals, reload } = dependencies
  const shares = shareOperations({ custody, configured })
  const newShareSets = createNewShareSets()

  const heldKeyring = (): Keyring => {
    const held = custody.holder.held()
    if (held !== undefined) return held.key.keyring
    throw new CustodyError('CUSTODY_SEALED', 'no seal of this node has opened yet: see sealctl status')
  }

  /** Rotates by `make`, stored and proven. */
  const rotated = async (
    make: (unlocked: Parameters<typeof rotateChained>[0], signal: AbortSignal) => Promise<Rotated>,
    signal: AbortSignal,
  ): Promise<RotationResult> => {
    let result: Rotated | undefined
    await custody.change(async (unlocked, changeSignal) => {
      result = await make(unlocked, changeSignal)
      return result
    }, signal)
    if (result === undefined) throw new TypeError('a change ends only with a result')
    const { generation, wrapped, dropped } = result
    return { generation: generation.number, keyId: generation.keyId, wrapped, dropped }
  }

  return {
    seals: () => {
      const held = custody.holder.held()
      return sealFacts(held?.key.keyring, configured(), held?.sealName)
    },
    members: () => memberFacts(heldKeyring()),
    generations: () => generationFacts(heldKeyring()),

    async deleteSeal({ confirm, ...request }, signal) {
      assertConfirmed(confirm, request.sealName, 'the seal')
      await deleteSeal(dependencies, request, signal)
    },

    rotate: async ({ breakChain, ...request }, signal) => {
      if (!breakChain && isOfBreak(request)) {
        throw new OperationError('OPERATION_INVALID', 'members and servers are named only with --break-chain')
      }
      return await rotated(
        breakChain
          ? (unlocked, changeSignal) => rotateBroken(unlocked, { ...request, seals: seals() }, changeSignal)
          : rotateChained,
        signal,
      )
    },

    reload,
    initialise: (request, signal) => initialise({ ...dependencies, newShareSets }, request, signal),
    confirmShares: (request, signal) => confirmShares({ custody, newShareSets }, request, signal),
    retire: (request, signal) => retire(custody, request, signal),
    approveEnrolment: (request, signal) => approveEnrolment(custody, request, signal),

    exportKeyring: () => encodeKeyring(heldKeyring()),
    async importKeyring({ bytes }, signal) {
      const before = heldKeyring()
      // Told to whoever asks, where the agent only notes it of what comes by itself.
      await custody.learn(bytes, signal)
      const after = heldKeyring()
      return { revision: after.revision, hasChanged: after !== before }
    },

    ...shares,
    [Symbol.dispose]: () => {
      shares[Symbol.dispose]()
    },

    revokeMember: ({ sealName, memberId, confirm, ...request }, signal) =>
      rotated((unlocked, changeSignal) => {
        const revoked = activeMember(unlocked.keyring, sealName, memberId)
        assertConfirmed(confirm, revoked.label, 'the member')
        return rotateBroken(unlocked, { ...request, revoked, seals: seals() }, changeSignal)
      }, signal),
  }
}

function isOfBreak({ drop, nodes, lost, members }: BreakRequest): boolean {
  return [drop, nodes, lost].some(names => names.length > 0) || members !== undefined
}

function activeMember(keyring: Keyring, sealName: string, memberId: string): Member {
  const member = keyring.members.find(
    candidate =>
      candidate.state === 'active' &&
      hex(candidate.memberId) === memberId &&
      sealOf(keyring, candidate)?.name === sealName,
  )
  if (member !== undefined) return member
  throw new OperationError(
    'OPERATION_MEMBER_UNKNOWN',
    `the seal ${sealName} has no active member ${memberId}: see sealctl members list`,
  )
}

/** What cannot be taken back takes the name once more. */
function assertConfirmed(confirm: string, name: string, what: string): void {
  if (confirm === name) return
  throw new OperationError(
    'OPERATION_NOT_CONFIRMED',
    `nothing was changed: to go on, type the name of ${what} again: ${name}`,
  )
}
