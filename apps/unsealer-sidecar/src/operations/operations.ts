import {
  encodeKeyring,
  findSeal,
  type Keyring,
  KeyringError,
  type Member,
  removeMember,
  removeSeal,
} from '@sealwright/keyring'
import { type ConfiguredSeal } from '@sealwright/node-seals'
import { type SealConfig } from '@sealwright/node-config'
import { type RotationResult, type SealOperations } from '../control/operations.ts'
import { type Custody, CustodyError } from '../keyring/custody.ts'
import { approveEnrolment } from './enrol.ts'
import { OperationError } from './errors.ts'
import { generationFacts, hex, memberFacts, sealFacts, sealOf } from './facts.ts'
import { initialise } from './initialise.ts'
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

    async deleteSeal({ sealName, confirm }, signal) {
      assertConfirmed(confirm, sealName, 'the seal')
      if (custody.holder.held()?.sealName === sealName) {
        throw new OperationError(
          'OPERATION_SEAL_IN_USE',
          `this node was opened by ${sealName}: disable it in node.yaml, restart the agent so that another seal opens, then delete it`,
        )
      }
      if (configured().some(seal => seal.name === sealName && !seal.disabled)) {
        throw new OperationError(
          'OPERATION_SEAL_IN_USE',
          `${sealName} is in use on this node: take it out of node.yaml, or set disabled, and reload; it would be enrolled again`,
        )
      }
      await custody.change(({ keyring, sealKeys }) => {
        const seal = findSeal(keyring, sealName)
        if (seal === undefined)
          throw new OperationError('OPERATION_SEAL_UNKNOWN', `the keyring has no seal ${sealName}`)
        const { sealId } = seal
        return { keyring: neverTheLast(sealName, () => removeSeal({ keyring, sealKeys, sealId })), sealKeys }
      }, signal)
    },

    rotate: ({ breakChain, drop }, signal) => {
      if (!breakChain && drop.length > 0) {
        throw new OperationError('OPERATION_INVALID', 'members can be given up only with --break-chain')
      }
      return rotated(
        breakChain
          ? (unlocked, changeSignal) => rotateBroken(unlocked, { seals: seals(), drop }, changeSignal)
          : rotateChained,
        signal,
      )
    },

    reload,
    initialise: (request, signal) => initialise(dependencies, request, signal),
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

    revokeMember: ({ sealName, memberId, confirm, drop }, signal) =>
      rotated(async ({ keyring, sealKeys }, changeSignal) => {
        const member = activeMember(keyring, sealName, memberId)
        assertConfirmed(confirm, member.label, 'the member')
        const without = neverTheLast(member.label, () => removeMember({ keyring, sealKeys, place: member }))
        return await rotateBroken({ keyring: without, sealKeys }, { seals: seals(), drop }, changeSignal)
      }, signal),
  }
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

/** Says in an operator's words that something is the last way in. */
function neverTheLast(name: string, remove: () => Keyring): Keyring {
  try {
    return remove()
  } catch (error) {
    if (!(error instanceof KeyringError) || error.code !== 'KEYRING_NO_WAY_IN') throw error
    throw new OperationError(
      'OPERATION_LAST_WAY_IN',
      `nothing was changed: ${name} is the last way in (${error.message}); give another seal a record first`,
      { cause: error },
    )
  }
}

/** What cannot be taken back takes the name once more. */
function assertConfirmed(confirm: string, name: string, what: string): void {
  if (confirm === name) return
  throw new OperationError(
    'OPERATION_NOT_CONFIRMED',
    `nothing was changed: to go on, type the name of ${what} again: ${name}`,
  )
}
