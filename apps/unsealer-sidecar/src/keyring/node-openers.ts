import { assertOrigin, type Keyring, OpenKeyring, type OpenOptions } from '@sealwright/keyring'
import { type ConfiguredSeal, type RefusedPins, unwrapThrough } from '@sealwright/node-seals'
import { CustodyError } from './custody-error.ts'
import { type MembersBySeal } from './own-records.ts'

/** How this node opens a keyring by one of its seals. */
export interface NodeOpeners {
  /** The member that each seal of this node was last opened as. */
  readonly ourMembers: MembersBySeal
  /** The seal, which does not send a PIN again for a record for which it was refused. */
  careful(seal: ConfiguredSeal): ConfiguredSeal
  /** A careful one. @throws {@link CustodyError} `CUSTODY_SEALED` if the configuration has it no more. */
  named(sealName: string): ConfiguredSeal
  /** Opens for real, whatever the keyring's origin: for one that must fit what is held, or that the store has already. */
  open(sealName: string, keyring: Keyring, signal: AbortSignal): Promise<OpenKeyring>
  /** The same for a keyring that nothing is known of. @throws {KeyringError} `KEYRING_ORIGIN_UNPROVEN` beside what the seal says. */
  openTrusted(seal: ConfiguredSeal, keyring: Keyring, signal: AbortSignal): Promise<OpenKeyring>
}

export function nodeOpeners({
  seals,
  clusterId,
  opening,
  pins,
}: {
  readonly seals: () => readonly ConfiguredSeal[]
  readonly clusterId: () => Uint8Array | undefined
  readonly opening: OpenOptions
  readonly pins: RefusedPins
}): NodeOpeners {
  const ourMembers = new Map<string, Uint8Array>()

  const careful = (seal: ConfiguredSeal): ConfiguredSeal => ({
    ...seal,
    withRecordedMember: (known, signal, use) =>
      seal.withRecordedMember(known, signal, (member, sealId) => use(pins.guard(seal.name, member), sealId)),
  })

  const named = (sealName: string): ConfiguredSeal => {
    const seal = seals().find(({ name }) => name === sealName)
    if (seal !== undefined) return careful(seal)
    throw new CustodyError('CUSTODY_SEALED', `the seal ${sealName} is not configured any more`)
  }

  const openThrough = async (seal: ConfiguredSeal, keyring: Keyring, signal: AbortSignal): Promise<OpenKeyring> => {
    const noticing: ConfiguredSeal = {
      ...seal,
      withRecordedMember: (known, seekSignal, use) =>
        seal.withRecordedMember(known, seekSignal, async (member, sealId) => {
          const used = await use(member, sealId)
          ourMembers.set(seal.name, Uint8Array.from(member.memberId))
          return used
        }),
    }
    using sealKeys = await unwrapThrough(noticing, keyring, signal)
    return OpenKeyring.from(keyring, sealKeys, opening)
  }

  return {
    ourMembers,
    careful,
    named,
    open: (sealName, keyring, signal) => openThrough(named(sealName), keyring, signal),
    async openTrusted(seal, keyring, signal) {
      const opened = await openThrough(careful(seal), keyring, signal)
      try {
        // Whoever writes the store, or poses as a leader, could have made up one that a public key alone has wrapped.
        assertOrigin(opened, clusterId())
        return opened
      } catch (error) {
        opened.close()
        throw error
      }
    },
  }
}
