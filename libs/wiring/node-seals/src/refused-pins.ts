import { createHash } from 'node:crypto'
import { type SealMember } from '@sealwright/keyring'
import { mayHaveCostTry } from './classify.ts'

/** How many records are remembered: more than one seal is ever asked for in one go. */
const MAX_REMEMBERED = 256

/** The records for which a device has refused the PIN since the configuration was read. */
export interface RefusedPins {
  /** The member, which answers for such a record as it did before, without asking its device. */
  guard(sealName: string, member: SealMember): SealMember
  /** The PIN may be another one now. */
  forget(): void
}

/**
 * Remembers for which records a PIN was refused. A seal whose first record fails so is not tried again anyhow; but whoever had an old key can
 * plant records beyond the first, which keep no seal from opening, and each of which would cost a try of the PIN each time.
 *
 * @param onRefused - told of each such record, once.
 */
export function refusedPins(onRefused: (sealName: string, error: unknown) => void): RefusedPins {
  /** By the SHA-256 of the sealed KEK, in hex, the oldest first. */
  const refused = new Map<string, unknown>()
  return {
    guard: (sealName, member) => ({
      ...member,
      unsealKek: async (sealedKek, options) => {
        const id = createHash('sha256').update(sealedKek).digest('hex')
        if (refused.has(id)) throw refused.get(id)
        try {
          return await member.unsealKek(sealedKek, options)
        } catch (error) {
          if (mayHaveCostTry(error)) {
            refused.set(id, error)
            const [oldest] = refused.keys()
            if (refused.size > MAX_REMEMBERED && oldest !== undefined) refused.delete(oldest)
            onRefused(sealName, error)
          }
          throw error
        }
      },
    }),
    forget() {
      refused.clear()
    },
  }
}
